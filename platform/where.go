package platform

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
	"unicode"
)

// Surroundings describes where this process runs, as far as it matters for asking a user. Each field is the evidence for what
// it is named after, in a few words that contain no value of the environment except names and numbers, or "" if it does
// not hold.
type Surroundings struct {
	Graphical  string // a graphical session of this user, seen from where the person sits
	WSL        string // the Windows Subsystem for Linux, with its version
	SSH        string // reached through SSH
	Editor     string // an editor's remote end: VS Code Remote, a dev container
	Codespaces string // GitHub Codespaces, whose browser is never on this machine
	Container  string // a container of any kind
	CI         string // a build machine
	Terminal   string // there is a controlling terminal
	Foreground string // and our process group is in its foreground
	Browser    string // why a browser could be started for the person
}

// Fact is one thing that holds about the place, with its evidence, for people.
type Fact struct{ Name, Evidence string }

// Facts lists what holds.
func (p Surroundings) Facts() []Fact {
	var facts []Fact
	for _, f := range []Fact{
		{"graphical session", p.Graphical}, {"WSL", p.WSL}, {"SSH", p.SSH}, {"remote editor", p.Editor},
		{"Codespaces", p.Codespaces}, {"container", p.Container}, {"CI", p.CI},
		{"terminal", p.Terminal}, {"foreground", p.Foreground}, {"browser", p.Browser},
	} {
		if f.Evidence != "" {
			facts = append(facts, f)
		}
	}
	return facts
}

// Probes are what Where looks at besides the environment.
type Probes struct {
	ReadFile func(name string) ([]byte, error) // files of the system; all that are read are small
	Exists   func(name string) bool
	// Graphical gives the evidence for a graphical session of this user on this machine, "" for none.
	Graphical func(getenv func(string) string) string
	// Terminal reports whether this process has a controlling terminal, and whether our process group is in its
	// foreground.
	Terminal func() (there, foreground bool)
}

// SystemProbes look at this machine.
func SystemProbes() Probes {
	return Probes{
		ReadFile: os.ReadFile,
		Exists: func(name string) bool {
			_, err := os.Stat(name)
			return err == nil
		},
		Graphical: graphicalEvidence,
		Terminal: func() (there, foreground bool) {
			t, err := OpenTerminal()
			if err != nil {
				return false, false
			}
			defer t.Close()
			return true, t.Foreground()
		},
	}
}

// Where describes where this process runs. It opens the terminal and reads a file or two, so it is not for the hot
// path.
func Where(getenv func(string) string, probes Probes) Surroundings {
	p := Surroundings{
		SSH:        setOne(getenv, "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"),
		Codespaces: codespaces(getenv),
		CI:         ci(getenv),
	}
	if p.Codespaces == "" {
		p.Editor = setOne(getenv, "VSCODE_IPC_HOOK_CLI", "REMOTE_CONTAINERS", "REMOTE_CONTAINERS_IPC")
	}
	p.Container = container(getenv, probes.Exists)
	p.WSL = wsl(getenv, probes.ReadFile, p.Container != "")
	p.Graphical = probes.Graphical(getenv)
	if p.SSH != "" && !forwarded(getenv) {
		p.Graphical = "" // the user sits elsewhere than at this machine's desktop
	}
	if there, foreground := probes.Terminal(); there {
		p.Terminal = "the process has a controlling terminal"
		if foreground {
			p.Foreground = "the terminal listens to our process group"
		}
	}
	p.Browser = browserEvidence(p, getenv, probes.Exists)
	return p
}

// browserEvidence returns why a browser could be started. The one of Codespaces never reaches our listener under its
// own name: the editor's proxy leads it to another origin.
func browserEvidence(p Surroundings, getenv func(string) string, exists func(name string) bool) string {
	switch {
	case p.Codespaces != "":
		return ""
	case namesBrowser(getenv, exists):
		return "BROWSER is set"
	case p.WSL != "":
		return "Windows has one"
	case p.Graphical != "":
		return "there is a graphical session"
	}
	return ""
}

// namesBrowser reports whether a command of $BROWSER can show a page: its program is there, and is not false(1), by
// which people say that there is no browser.
func namesBrowser(getenv func(string) string, exists func(name string) bool) bool {
	for command := range strings.SplitSeq(getenv("BROWSER"), ":") {
		words := strings.Fields(command)
		switch {
		case len(words) == 0 || path.Base(words[0]) == "false":
		case path.IsAbs(command) && exists(command), path.IsAbs(words[0]) && exists(words[0]):
			return true
		case !strings.Contains(words[0], "/"):
			for dir := range strings.SplitSeq(getenv("PATH"), ":") {
				if path.IsAbs(dir) && exists(path.Join(dir, words[0])) {
					return true
				}
			}
		}
	}
	return false
}

// setOne names the first of the variables that is not empty.
func setOne(getenv func(string) string, names ...string) string {
	for _, name := range names {
		if getenv(name) != "" {
			return name + " is set"
		}
	}
	return ""
}

func codespaces(getenv func(string) string) string {
	if getenv("CODESPACES") == "true" {
		return "CODESPACES is set"
	}
	return setOne(getenv, "CODESPACE_NAME")
}

// ci knows the variables by which build services are known, as their manuals name them. CI itself may be switched off.
func ci(getenv func(string) string) string {
	if on, err := strconv.ParseBool(getenv("CI")); getenv("CI") != "" && (err != nil || on) {
		return "CI is set"
	}
	return setOne(getenv, "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "BUILDKITE", "CIRCLECI", "JENKINS_URL",
		"TEAMCITY_VERSION", "TRAVIS", "APPVEYOR", "BITBUCKET_BUILD_NUMBER", "CODEBUILD_BUILD_ID", "DRONE", "SEMAPHORE")
}

// container recognises docker, podman, systemd-nspawn and Kubernetes by what they leave inside every container.
func container(getenv func(string) string, exists func(string) bool) string {
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if exists(mark) {
			return mark + " is there"
		}
	}
	return setOne(getenv, "container", "KUBERNETES_SERVICE_HOST")
}

// wsl tells both kinds by the release of their kernel: "4.4.0-19041-Microsoft" and "5.15.90.1-microsoft-standard-WSL2".
// A container on such a kernel has no Windows to call; sudo takes the variable away.
func wsl(getenv func(string) string, readFile func(string) ([]byte, error), contained bool) string {
	const file = "/proc/sys/kernel/osrelease"
	variable := getenv("WSL_DISTRO_NAME") != ""
	if contained && !variable {
		return ""
	}
	release, err := readFile(file)
	switch {
	case err == nil && bytes.Contains(release, []byte("-microsoft-")), err == nil && bytes.Contains(release, []byte("WSL2")):
		return "WSL 2, by " + file
	case err == nil && bytes.Contains(release, []byte("-Microsoft")):
		return "WSL 1, by " + file
	case variable:
		return "WSL_DISTRO_NAME is set"
	}
	return ""
}

// forwarded reports whether the user's display is forwarded through SSH.
func forwarded(getenv func(string) string) bool {
	return getenv("DISPLAY") != "" || getenv("WAYLAND_DISPLAY") != ""
}

// The rules of each system are functions of what was found, so that one machine can test them all.

// windowSystem (X11 and Wayland) is the rule of Linux and other Unix systems.
func windowSystem(getenv func(string) string) string {
	return setOne(getenv, "WAYLAND_DISPLAY", "DISPLAY")
}

// consoleOwner is the rule of macOS: the system gives /dev/console to the user whose desktop is shown.
func consoleOwner(owner int, err error, us int) string {
	if err != nil || owner != us {
		return ""
	}
	return "/dev/console is this user's"
}

// windowsSession is the rule of Windows: services and SSH servers live in session 0, where no window is ever shown.
func windowsSession(session uint32, err error) string {
	if err != nil || session == 0 {
		return ""
	}
	return "this is session " + strconv.FormatUint(uint64(session), 10)
}

// flatpakInfo is the file with which Flatpak tells a program about its sandbox (flatpak-metadata(5)).
const flatpakInfo = "/.flatpak-info"

// Flatpak returns the id of the Flatpak in which we run, or "APP" if its sandbox does not say; empty outside of one.
func Flatpak() string { return flatpak(flatpakInfo) }

func flatpak(info string) string {
	text, err := os.ReadFile(info)
	if err != nil {
		return ""
	}
	foreign := func(r rune) bool {
		return !strings.ContainsRune(".-_", r) && !unicode.IsDigit(r) && !unicode.IsLetter(r)
	}
	for line := range strings.Lines(string(text)) {
		id, ok := strings.CutPrefix(strings.TrimSpace(line), "name=") // of [Application], the first group
		if ok && id != "" && !strings.ContainsFunc(id, foreign) {
			return id
		}
	}
	return "APP"
}
