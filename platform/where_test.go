package platform

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
)

// machine is a place to be recognised.
type machine struct {
	env       map[string]string
	osrelease string   // of the kernel; "" for none, as on macOS and Windows
	files     []string // that are there
	system    func(func(string) string) string
	terminal  string // "", "there" or "foreground"
}

func (m machine) where() Surroundings {
	getenv := func(name string) string { return m.env[name] }
	if m.system == nil {
		m.system = windowSystem
	}
	return Where(getenv, Probes{
		ReadFile: func(name string) ([]byte, error) {
			if name != "/proc/sys/kernel/osrelease" || m.osrelease == "" {
				return nil, fs.ErrNotExist
			}
			return []byte(m.osrelease + "\n"), nil
		},
		Exists:    func(name string) bool { return slices.Contains(m.files, name) },
		Graphical: m.system,
		Terminal:  func() (bool, bool) { return m.terminal != "", m.terminal == "foreground" },
	})
}

func TestWhere(t *testing.T) {
	const (
		debian = "6.1.0-18-amd64"
		wsl1   = "4.4.0-19041-Microsoft"
		wsl2   = "5.15.90.1-microsoft-standard-WSL2"
	)
	env := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for _, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			m[name] = value
		}
		return m
	}
	mac := func(owner int, err error) func(func(string) string) string {
		return func(func(string) string) string { return consoleOwner(owner, err, 501) }
	}
	windows := func(session uint32, err error) func(func(string) string) string {
		return func(func(string) string) string { return windowsSession(session, err) }
	}
	ssh := "SSH_CONNECTION=10.0.0.1 50000 10.0.0.2 22"
	for _, row := range []struct {
		name string
		machine
		want string // names of Facts
	}{
		{"a GNOME desktop", machine{env("DISPLAY=:0", "WAYLAND_DISPLAY=wayland-0"), debian, nil, nil, "foreground"},
			"graphical session, terminal, foreground, browser"},
		{"an X11 desktop's cron job with DISPLAY", machine{env("DISPLAY=:0"), debian, nil, nil, ""},
			"graphical session, browser"},
		{"a text console", machine{nil, debian, nil, nil, "foreground"},
			"terminal, foreground"},
		{"git fetch & on a text console", machine{nil, debian, nil, nil, "there"},
			"terminal"},
		{"a system service", machine{nil, debian, nil, nil, ""},
			""},
		{"variables that are set and empty", machine{env("DISPLAY=", "CI=", "SSH_CONNECTION=", "BROWSER=", "WSL_DISTRO_NAME="), debian, nil, nil, ""},
			""},
		{"BROWSER without a desktop", machine{env("BROWSER=/usr/local/bin/open-elsewhere"), debian, []string{"/usr/local/bin/open-elsewhere"}, nil, "foreground"},
			"terminal, foreground, browser"},
		{"BROWSER with an argument, by its name", machine{env("BROWSER=nosuch:open-elsewhere --new", "PATH=/usr/bin:/usr/local/bin"), debian, []string{"/usr/local/bin/open-elsewhere"}, nil, "foreground"},
			"terminal, foreground, browser"},
		{"BROWSER with blanks in its path", machine{env("BROWSER=/opt/My Browser/run"), debian, []string{"/opt/My Browser/run"}, nil, "foreground"},
			"terminal, foreground, browser"},
		{"BROWSER that is not there", machine{env("BROWSER=/usr/local/bin/open-elsewhere"), debian, nil, nil, "foreground"},
			"terminal, foreground"},
		{"BROWSER that is in no folder of the PATH", machine{env("BROWSER=open-elsewhere", "PATH=/usr/bin"), debian, []string{"/usr/local/bin/open-elsewhere"}, nil, "foreground"},
			"terminal, foreground"},
		{"BROWSER in the current folder", machine{env("BROWSER=./open", "PATH=.:bin"), debian, []string{"./open", "open", "bin/open"}, nil, "foreground"},
			"terminal, foreground"},
		{"BROWSER that says there is none", machine{env("BROWSER=/bin/false"), debian, []string{"/bin/false"}, nil, "foreground"},
			"terminal, foreground"},
		{"BROWSER that says there is none, on a desktop", machine{env("BROWSER=false", "DISPLAY=:0", "PATH=/bin"), debian, []string{"/bin/false"}, nil, "foreground"},
			"graphical session, terminal, foreground, browser"},
		{"SSH to a server", machine{env(ssh, "SSH_TTY=/dev/pts/0"), debian, nil, nil, "foreground"},
			"SSH, terminal, foreground"},
		{"a command over SSH, no terminal", machine{env(ssh), debian, nil, nil, ""},
			"SSH"},
		{"SSH with a forwarded display", machine{env(ssh, "DISPLAY=localhost:10.0"), debian, nil, nil, "foreground"},
			"graphical session, SSH, terminal, foreground, browser"},
		{"an old SSH server", machine{env("SSH_CLIENT=10.0.0.1 50000 22"), debian, nil, nil, "foreground"},
			"SSH, terminal, foreground"},
		{"WSL 2", machine{env("WSL_DISTRO_NAME=Debian", "WSL_INTEROP=/run/WSL/8_interop"), wsl2, nil, nil, "foreground"},
			"WSL, terminal, foreground, browser"},
		{"WSL 2 with its own windows", machine{env("WSL_DISTRO_NAME=Debian", "DISPLAY=:0"), wsl2, nil, nil, "foreground"},
			"graphical session, WSL, terminal, foreground, browser"},
		{"WSL 2 behind sudo, which drops the variables", machine{nil, wsl2, nil, nil, "foreground"},
			"WSL, terminal, foreground, browser"},
		{"WSL 1", machine{env("WSL_DISTRO_NAME=Ubuntu"), wsl1, nil, nil, "foreground"},
			"WSL, terminal, foreground, browser"},
		{"WSL with a kernel of one's own", machine{env("WSL_DISTRO_NAME=Arch"), "6.6.0-custom", nil, nil, "foreground"},
			"WSL, terminal, foreground, browser"},
		{"docker on a WSL kernel has no Windows to call", machine{nil, wsl2, []string{"/.dockerenv"}, nil, "foreground"},
			"container, terminal, foreground"},
		{"docker run -it", machine{nil, debian, []string{"/.dockerenv"}, nil, "foreground"},
			"container, terminal, foreground"},
		{"docker run", machine{nil, debian, []string{"/.dockerenv"}, nil, ""},
			"container"},
		{"podman", machine{env("container=podman"), debian, []string{"/run/.containerenv"}, nil, "foreground"},
			"container, terminal, foreground"},
		{"systemd-nspawn", machine{env("container=systemd-nspawn"), debian, nil, nil, "foreground"},
			"container, terminal, foreground"},
		{"a pod", machine{env("KUBERNETES_SERVICE_HOST=10.96.0.1"), debian, nil, nil, ""},
			"container"},
		{"a container with the desktop's display", machine{env("DISPLAY=:0"), debian, []string{"/.dockerenv"}, nil, "foreground"},
			"graphical session, container, terminal, foreground, browser"},
		{"VS Code over SSH", machine{env(ssh, "VSCODE_IPC_HOOK_CLI=/run/user/1000/vscode-ipc-1.sock", "BROWSER=/home/ada/.vscode-server/bin/1/bin/helpers/browser.sh"), debian, []string{"/home/ada/.vscode-server/bin/1/bin/helpers/browser.sh"}, nil, "foreground"},
			"SSH, remote editor, terminal, foreground, browser"},
		{"a dev container", machine{env("REMOTE_CONTAINERS=true", "VSCODE_IPC_HOOK_CLI=/tmp/vscode-ipc-1.sock", "BROWSER=/vscode/vscode-server/bin/helpers/browser.sh"), debian, []string{"/.dockerenv", "/vscode/vscode-server/bin/helpers/browser.sh"}, nil, "foreground"},
			"remote editor, container, terminal, foreground, browser"},
		{"git of a dev container's editor, without a terminal", machine{env("REMOTE_CONTAINERS=true", "BROWSER=/vscode/helpers/browser.sh"), debian, []string{"/.dockerenv", "/vscode/helpers/browser.sh"}, nil, ""},
			"remote editor, container, browser"},
		{"VS Code in WSL", machine{env("WSL_DISTRO_NAME=Debian", "VSCODE_IPC_HOOK_CLI=/mnt/wslg/runtime-dir/vscode-ipc-1.sock"), wsl2, nil, nil, "foreground"},
			"WSL, remote editor, terminal, foreground, browser"},
		{"VS Code on this machine is no remote end", machine{env("DISPLAY=:0", "TERM_PROGRAM=vscode", "VSCODE_GIT_IPC_HANDLE=/run/user/1000/vscode-git.sock"), debian, nil, nil, "foreground"},
			"graphical session, terminal, foreground, browser"},
		{"Codespaces", machine{env("CODESPACES=true", "CODESPACE_NAME=fluffy-1", "REMOTE_CONTAINERS=true", "VSCODE_IPC_HOOK_CLI=/tmp/v.sock", "BROWSER=/vscode/helpers/browser.sh"), debian, []string{"/.dockerenv", "/vscode/helpers/browser.sh"}, nil, "foreground"},
			"Codespaces, container, terminal, foreground"},
		{"GitHub Actions", machine{env("CI=true", "GITHUB_ACTIONS=true"), debian, nil, nil, ""},
			"CI"},
		{"GitLab's runner in docker", machine{env("CI=true", "GITLAB_CI=true"), debian, []string{"/.dockerenv"}, nil, ""},
			"container, CI"},
		{"Azure Pipelines, which sets no CI", machine{env("TF_BUILD=True"), debian, nil, nil, ""},
			"CI"},
		{"Jenkins", machine{env("JENKINS_URL=https://ci.acme.dev/"), debian, nil, nil, ""},
			"CI"},
		{"TeamCity on a Windows desktop", machine{env("TEAMCITY_VERSION=2026.1"), "", nil, windows(1, nil), ""},
			"graphical session, CI, browser"},
		{"CI switched off by hand", machine{env("CI=false", "DISPLAY=:0"), debian, nil, nil, "foreground"},
			"graphical session, terminal, foreground, browser"},
		{"CI with a word of its own", machine{env("CI=woodpecker"), debian, nil, nil, ""},
			"CI"},
		{"a Mac", machine{nil, "", nil, mac(501, nil), "foreground"},
			"graphical session, terminal, foreground, browser"},
		{"a Mac at whose screen another user sits", machine{nil, "", nil, mac(502, nil), "foreground"},
			"terminal, foreground"},
		{"a Mac at the login window", machine{nil, "", nil, mac(0, nil), ""},
			""},
		{"a Mac without a console", machine{nil, "", nil, mac(501, errors.New("gone")), ""},
			""},
		{"SSH to one's own Mac: the screen is elsewhere", machine{env(ssh), "", nil, mac(501, nil), "foreground"},
			"SSH, terminal, foreground"},
		{"Windows", machine{nil, "", nil, windows(1, nil), "foreground"},
			"graphical session, terminal, foreground, browser"},
		{"a remote desktop of Windows", machine{env("SESSIONNAME=RDP-Tcp#0"), "", nil, windows(3, nil), "foreground"},
			"graphical session, terminal, foreground, browser"},
		{"a service of Windows", machine{nil, "", nil, windows(0, nil), ""},
			""},
		{"OpenSSH's server on Windows", machine{env(ssh), "", nil, windows(0, nil), "foreground"},
			"SSH, terminal, foreground"},
		{"a Windows that does not say", machine{nil, "", nil, windows(1, errors.New("denied")), ""},
			""},
	} {
		var names []string
		for _, fact := range row.where().Facts() {
			names = append(names, fact.Name)
			for name, value := range row.env {
				if len(value) > 4 && strings.Contains(fact.Evidence, value) {
					t.Errorf("%s: the evidence %q shows the value of %s", row.name, fact.Evidence, name)
				}
			}
		}
		if got := strings.Join(names, ", "); got != row.want {
			t.Errorf("%s: %s; want %s", row.name, got, row.want)
		}
	}
}

// TestWhereWSL: which one it is stands in the evidence.
func TestWhereWSL(t *testing.T) {
	for release, want := range map[string]string{
		"4.4.0-19041-Microsoft":             "WSL 1, by /proc/sys/kernel/osrelease",
		"4.4.0-43-Microsoft":                "WSL 1, by /proc/sys/kernel/osrelease",
		"4.19.104-microsoft-standard":       "WSL 2, by /proc/sys/kernel/osrelease",
		"5.15.90.1-microsoft-standard-WSL2": "WSL 2, by /proc/sys/kernel/osrelease",
		"6.6.36.3-custom-WSL2":              "WSL 2, by /proc/sys/kernel/osrelease",
		"6.1.0-18-amd64":                    "",
		"5.15.0-1031-azure":                 "",
	} {
		if got := (machine{osrelease: release}).where().WSL; got != want {
			t.Errorf("%s: %q, want %q", release, got, want)
		}
	}
}

// TestWhereCI: each service is known by its own variable alone.
func TestWhereCI(t *testing.T) {
	known := map[string]string{"CI": "1", "GITHUB_ACTIONS": "true", "GITLAB_CI": "true", "TF_BUILD": "True", "BUILDKITE": "true",
		"CIRCLECI": "true", "JENKINS_URL": "http://x", "TEAMCITY_VERSION": "1", "TRAVIS": "true", "APPVEYOR": "True",
		"BITBUCKET_BUILD_NUMBER": "7", "CODEBUILD_BUILD_ID": "x:1", "DRONE": "true", "SEMAPHORE": "true"}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		got := (machine{env: map[string]string{name: known[name]}}).where().CI
		if got != name+" is set" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestSystemProbes looks at this machine: whatever it is, nothing fails, and what is asked is answered.
func TestSystemProbes(t *testing.T) {
	probes := SystemProbes()
	if !probes.Exists(TempDir(t)) || probes.Exists("/nonexistent/file") {
		t.Error("Exists does not tell")
	}
	none := func(string) string { return "" }
	for _, fact := range Where(none, probes).Facts() {
		t.Logf("%s: %s", fact.Name, fact.Evidence)
	}
}
