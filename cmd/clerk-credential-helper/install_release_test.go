package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"clerk-credential-helper/internal/testworld"
)

// standIn is the program of the releases in these tests. Only its answers to install.sh matter.
const standIn = `#!/bin/sh
case $1 in
version) echo "clerk-credential-helper VERSION" ;;
man) echo .TH clerk-credential-helper 1 ;;
completion) echo "# $2" ;;
*) exit 2 ;;
esac
`

// place serves releases in the layout of GitHub's, and can fail as networks and mirrors do.
type place struct {
	url string

	mu    sync.Mutex
	files map[string][]byte
	fault func(w http.ResponseWriter, path string, file []byte) bool // reports whether it has answered
}

func newPlace(t *testing.T) *place {
	p := &place{files: map[string][]byte{}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL + "/releases"
	return p
}

func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	file, ok := p.files[strings.TrimPrefix(r.URL.Path, "/releases/")]
	fault := p.fault
	p.mu.Unlock()
	switch {
	case !ok:
		http.NotFound(w, r)
	case fault != nil && fault(w, r.URL.Path, file):
	default:
		w.Write(file)
	}
}

// release makes a release the latest one, with an archive of these files for each system, and returns the checksums.
func (p *place) release(t *testing.T, version string, files map[string]string, systems ...string) []byte {
	t.Helper()
	var text bytes.Buffer
	zipped := gzip.NewWriter(&text)
	packed := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		body := strings.Replace(files[name], "clerk-credential-helper VERSION", "clerk-credential-helper "+version, 1)
		if err := packed.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(body))}); err != nil {
			t.Fatal(err)
		}
		if _, err := packed.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(packed.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text.Bytes())
	p.mu.Lock()
	defer p.mu.Unlock()
	var sums bytes.Buffer
	for _, system := range systems {
		name := "clerk-credential-helper_" + version + "_" + system + ".tar.gz"
		p.files["download/v"+version+"/"+name] = text.Bytes()
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum[:]), name)
	}
	p.files["download/v"+version+"/checksums.txt"] = sums.Bytes()
	p.files["latest/download/checksums.txt"] = sums.Bytes()
	return sums.Bytes()
}

func (p *place) fail(fault func(w http.ResponseWriter, path string, file []byte) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

// archives is a fault of archives alone.
func archives(answer func(w http.ResponseWriter, file []byte)) func(http.ResponseWriter, string, []byte) bool {
	return func(w http.ResponseWriter, path string, file []byte) bool {
		if !strings.HasSuffix(path, ".tar.gz") {
			return false
		}
		answer(w, file)
		return true
	}
}

// userland is a folder with the programs that install.sh may use, and no others.
type userland struct {
	name string
	path string
}

// userlands are GNU's with curl, and without it with wget; and BusyBox's, which has everything in one program.
func userlands(t *testing.T) []userland {
	t.Helper()
	testworld.Need(t, "sh")
	tools := []string{"awk", "cat", "chmod", "cp", "cut", "dirname", "grep", "gzip", "head", "id", "ln", "mkdir", "mktemp", "mv", "od", "readlink", "rm", "rmdir", "sed", "sh",
		"sha256sum", "tar", "tr", "uname"}
	var all []userland
	add := func(name string, find func(tool string) (string, error), tools ...string) {
		path := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, tool := range tools {
			file, err := find(tool)
			if err == nil {
				err = os.Symlink(file, filepath.Join(path, tool))
			}
			if err != nil && tool != "sha256sum" { // macOS has shasum
				t.Fatal(err)
			}
		}
		all = append(all, userland{name, path})
	}
	if _, err := exec.LookPath("sha256sum"); err != nil {
		tools = append(tools, "shasum", "perl")
	}
	for _, download := range []string{"curl", "wget"} {
		if err := testworld.Runs(t.Context(), nil, download); err != nil && !testworld.Required(download) {
			t.Logf("without %s: %v", download, err)
			continue
		}
		add(download, exec.LookPath, append(slices.Clone(tools), download)...)
	}
	if busybox, err := exec.LookPath("busybox"); err == nil {
		add("busybox", func(string) (string, error) { return busybox, nil }, append(slices.Clone(tools), "wget")...)
	} else if testworld.Required("busybox") {
		t.Fatal(err)
	} else {
		t.Logf("without busybox: %v", err)
	}
	if all == nil {
		t.Skip("neither curl nor wget is installed")
	}
	return all
}

// machine is a home in which install.sh runs.
type machine struct {
	home string
	env  []string
}

func newMachine(t *testing.T, u userland, env ...string) machine {
	t.Helper()
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	return machine{home, append([]string{"HOME=" + home, "PATH=" + u.path, "TMPDIR=" + filepath.Join(home, "tmp")}, env...)}
}

// command is install.sh given to the shell of the userland on standard input, as by curl URL | sh.
func (m machine) command(ctx context.Context, script []byte, args ...string) (cmd *exec.Cmd, out *bytes.Buffer) {
	path := ""
	for _, v := range m.env {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			path = value
		}
	}
	cmd = exec.CommandContext(ctx, filepath.Join(path, "sh"), append([]string{"-s", "--"}, args...)...)
	out = &bytes.Buffer{}
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = m.env, m.home, bytes.NewReader(script), out, out
	return cmd, out
}

func (m machine) run(t *testing.T, script []byte, args ...string) (status int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd, text := m.command(ctx, script, args...)
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), text.String()
}

// everything is what lies in the home: names, modes and contents.
func (m machine) everything(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(m.home, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := ""
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = fmt.Sprintf("%x", sha256.Sum256(content))
		case info.Mode()&fs.ModeSymlink != 0:
			if text, err = os.Readlink(path); err != nil {
				return err
			}
		}
		fmt.Fprintln(&all, strings.TrimPrefix(path, m.home), info.Mode(), text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func installScript(t *testing.T) []byte {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("..", "..", "install.sh"))
	if err != nil {
		t.Fatal(err)
	}
	return script
}

// here is this machine in the names of archives, and elsewhere another one.
var here, elsewhere = runtime.GOOS + "_" + runtime.GOARCH, runtime.GOOS + "_riscv64"

var goodRelease = map[string]string{
	"clerk-credential-helper": standIn, "LICENSE": "MIT\n", "man/clerk-credential-helper.1": ".TH clerk-credential-helper 1\n",
	"man/clerk-credential-helper.toml.5": ".TH clerk-credential-helper.toml 5\n", "man/git-credential-clerk.1": ".TH git-credential-clerk 1\n",
}

// TestInstallRelease installs releases of a server on loopback, with each userland: what is good, over nothing and over an
// older one; and what is not, which changes nothing.
func TestInstallRelease(t *testing.T) {
	testworld.Long(t, "runs install.sh some hundred times")
	script := installScript(t)
	type row struct {
		reason string
		fault  func(t *testing.T, p *place, m *machine) // prepares a place that has the good releases 1.2.2 and 1.2.3
		args   []string
		says   string
	}
	flipped := archives(func(w http.ResponseWriter, file []byte) {
		file = bytes.Clone(file)
		file[len(file)/2] ^= 1
		w.Write(file)
	})
	replaced := func(files map[string]string, systems ...string) func(*testing.T, *place, *machine) {
		return func(t *testing.T, p *place, _ *machine) { p.release(t, "1.2.3", files, systems...) }
	}
	other := map[string]byte{"amd64": 0xb7, "arm64": 0x3e}[runtime.GOARCH]
	rows := []row{
		{"tampered", func(_ *testing.T, p *place, _ *machine) { p.fail(flipped) }, nil, "was cut off or changed on its way"},
		{"longer than it was", func(_ *testing.T, p *place, _ *machine) {
			p.fail(archives(func(w http.ResponseWriter, file []byte) { w.Write(append(bytes.Clone(file), 0)) }))
		}, nil, "was cut off or changed on its way"},
		{"replaced by a page", func(_ *testing.T, p *place, _ *machine) {
			p.fail(archives(func(w http.ResponseWriter, _ []byte) { w.Write([]byte("<html>sign in to the Wi-Fi</html>")) }))
		}, nil, "was cut off or changed on its way"},
		{"the archive is missing", func(_ *testing.T, p *place, _ *machine) {
			p.fail(archives(func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusNotFound) }))
		}, nil, "could not be downloaded; nothing was changed"},
		{"the server fails", func(_ *testing.T, p *place, _ *machine) {
			p.fail(func(w http.ResponseWriter, _ string, _ []byte) bool {
				w.WriteHeader(http.StatusBadGateway)
				return true
			})
		}, nil, "checksums.txt could not be downloaded; nothing was changed"},
		{"no such release", nil, []string{"--version", "9.9.9"}, "download/v9.9.9/checksums.txt could not be downloaded"},
		{"the release of another version", func(_ *testing.T, p *place, _ *machine) {
			p.files["download/v1.2.2/checksums.txt"] = p.files["download/v1.2.3/checksums.txt"]
		}, []string{"--version=1.2.2"}, "the place of release 1.2.2 has release 1.2.3"},
		{"no server", func(_ *testing.T, _ *place, m *machine) {
			m.env = append(m.env, "CLERK_HELPER_RELEASES=http://127.0.0.1:1/releases")
		}, nil,
			"could not be downloaded; nothing was changed"},
		{"no archive for this machine", replaced(goodRelease, elsewhere), nil, "the release has no archive for " + here},
		{"an empty list", func(_ *testing.T, p *place, _ *machine) { p.files["latest/download/checksums.txt"] = nil }, nil, "the release has no archive for " + here},
		{"two archives for this machine", func(_ *testing.T, p *place, _ *machine) {
			p.files["latest/download/checksums.txt"] = bytes.Repeat(p.files["latest/download/checksums.txt"], 2)
		}, nil, "twice"},
		{"a version that leads elsewhere", func(_ *testing.T, p *place, _ *machine) {
			p.files["latest/download/checksums.txt"] = bytes.ReplaceAll(p.files["latest/download/checksums.txt"], []byte("1.2.3"), []byte("../../x"))
		}, nil, "is not of its form"},
		{"no checksum in the list", func(_ *testing.T, p *place, _ *machine) {
			p.files["latest/download/checksums.txt"] = p.files["latest/download/checksums.txt"][64:]
		}, nil, "nothing was changed"},
		{"an archive of something else", replaced(map[string]string{"other": "x"}, here), nil, "could not be unpacked"},
		{"a program of another processor", replaced(map[string]string{"clerk-credential-helper": "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 11) + string([]byte{other, 0}) +
			"\ntouch \"$HOME/run\"\n"}, here), nil, "is not for"},
		{"a program that does not run", replaced(map[string]string{"clerk-credential-helper": "#!/nonexistent/sh\n"}, here), nil, "does not run on this machine"},
		{"a program that does not run, in a new folder", replaced(map[string]string{"clerk-credential-helper": "#!/nonexistent/sh\n"}, here), []string{"--prefix=new/prefix"},
			"does not run on this machine"},
		{"another processor", func(t *testing.T, _ *place, m *machine) {
			m.replace(t, "uname", "#!/bin/sh\ncase $1 in -m) echo riscv64 ;; *) echo Linux ;; esac\n")
		}, nil,
			"there is no release for Linux on riscv64"},
		{"another system", func(t *testing.T, _ *place, m *machine) {
			m.replace(t, "uname", "#!/bin/sh\ncase $1 in -m) echo x86_64 ;; *) echo Plan9 ;; esac\n")
		}, nil,
			"there is no release for Plan9"},
		{"Git Bash on Windows", func(t *testing.T, _ *place, m *machine) {
			m.replace(t, "uname", "#!/bin/sh\ncase $1 in -m) echo x86_64 ;; *) echo MINGW64_NT-10.0 ;; esac\n")
		}, nil, "install.ps1"},
		{"nothing computes SHA-256", func(t *testing.T, _ *place, m *machine) { m.replace(t, "sha256sum", ""); m.replace(t, "shasum", "") }, nil, "nothing here computes SHA-256"},
		{"neither curl nor wget", func(t *testing.T, _ *place, m *machine) { m.replace(t, "curl", ""); m.replace(t, "wget", "") }, nil, "curl or wget is needed"},
		{"no place is configured", func(_ *testing.T, _ *place, m *machine) { m.env = append(m.env, "CLERK_HELPER_RELEASES=") }, nil,
			"set CLERK_HELPER_RELEASES to its address"},
		{"plain http", func(_ *testing.T, _ *place, m *machine) {
			m.env = append(m.env, "CLERK_HELPER_RELEASES=http://releases.acme.dev")
		}, nil, "is not an https address"},
		{"loopback in a user name", func(_ *testing.T, _ *place, m *machine) {
			m.env = append(m.env, "CLERK_HELPER_RELEASES=http://127.0.0.1:80@releases.acme.dev")
		}, nil, "has a user"},
		{"a name that begins like loopback", func(_ *testing.T, _ *place, m *machine) {
			m.env = append(m.env, "CLERK_HELPER_RELEASES=http://127.0.0.1.acme.dev/")
		}, nil,
			"is not an https address"},
		{"a key of no kind", func(_ *testing.T, _ *place, m *machine) { m.env = append(m.env, "CLERK_HELPER_RELEASE_KEY=key.pub") }, nil, "neither a public key of minisign nor"},
		{"half a fingerprint", func(_ *testing.T, _ *place, m *machine) { m.env = append(m.env, "CLERK_HELPER_RELEASE_KEY=DEADBEEF") }, nil, "not a whole fingerprint"},
		{"a read-only prefix", nil, []string{"--prefix", readOnly(t)}, "nothing was changed (--prefix DIR names another folder)"},
		{"a prefix below a file", func(t *testing.T, _ *place, m *machine) { write(t, filepath.Join(m.home, "file"), "mine") }, []string{"--prefix=file/x"}, "nothing was changed"},
		{"a foreign file in the way", func(t *testing.T, _ *place, m *machine) {
			write(t, filepath.Join(m.home, "other/bin/docker-credential-clerk"), "mine")
		},
			[]string{"--prefix=other"}, "is not ours; nothing was changed"},
		{"a latest release that is older", func(t *testing.T, p *place, _ *machine) { p.release(t, "1.2.1", goodRelease, here) }, nil,
			"release 1.2.1 is older than 1.2.2, which is installed: --version 1.2.1 installs it; nothing was changed"},
		{"a key that is a blank", func(_ *testing.T, _ *place, m *machine) { m.env = append(m.env, "CLERK_HELPER_RELEASE_KEY= ") }, []string{"--require-signature"}, "the signature cannot be checked: CLERK_HELPER_RELEASE_KEY names no key"},
		{"a required signature, without a key", nil, []string{"--require-signature"}, "the signature cannot be checked: CLERK_HELPER_RELEASE_KEY names no key; nothing was changed"},
		{"a signature that the environment requires", func(_ *testing.T, _ *place, m *machine) {
			m.env = append(m.env, "CLERK_HELPER_REQUIRE_SIGNATURE=1")
		}, nil, "the signature cannot be checked"},
		{"an unknown option", nil, []string{"--frobnicate"}, "unknown option"},
		{"a version of no form", nil, []string{"--version", "../1.2.3"}, "this is no version"},
		{"an option without its value", nil, []string{"--version"}, "needs a value"},
	}
	for i := range 10 { // the archive, cut off: by a server that says so, and by one that does not
		cut := func(file []byte) []byte { return file[:len(file)*i/10] }
		rows = append(rows, row{fmt.Sprintf("cut off after %d tenths", i), func(_ *testing.T, p *place, _ *machine) {
			p.fail(archives(func(w http.ResponseWriter, file []byte) { w.Write(cut(file)) }))
		}, nil, "nothing was changed"}, row{fmt.Sprintf("a connection that ends after %d tenths", i), func(_ *testing.T, p *place, _ *machine) {
			p.fail(archives(func(w http.ResponseWriter, file []byte) {
				w.Header().Set("Content-Length", fmt.Sprint(len(file)))
				w.Write(cut(file))
				panic(http.ErrAbortHandler)
			}))
		}, nil, "nothing was changed"})
	}
	for _, u := range userlands(t) {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			t.Run("good", func(t *testing.T) { testGoodRelease(t, u, script) })
			for _, row := range rows {
				t.Run(row.reason, func(t *testing.T) {
					p := newPlace(t)
					p.release(t, "1.2.2", goodRelease, here)
					p.release(t, "1.2.3", goodRelease, here, elsewhere)
					m := newMachine(t, u, "CLERK_HELPER_RELEASES="+p.url)
					if row.args == nil { // else the prefix is another one
						if status, out := m.run(t, script, "--version", "1.2.2"); status != 0 {
							t.Fatal(out)
						}
					}
					if row.fault != nil {
						row.fault(t, p, &m)
					}
					was := m.everything(t)
					status, out := m.run(t, script, row.args...)
					if status != 1 || !strings.Contains(out, row.says) {
						t.Errorf("exit status %d, without %q:\n%s", status, row.says, out)
					}
					if is := m.everything(t); is != was {
						t.Errorf("it changed something:\n%s\nbefore:\n%s", is, was)
					}
				})
			}
		})
	}
}

// replace makes the home's PATH one in which a program is another one, or missing if the text is empty.
func (m *machine) replace(t *testing.T, program, text string) {
	t.Helper()
	for i, v := range m.env {
		path, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		if filepath.Dir(path) != m.home {
			own := filepath.Join(m.home, "programs")
			if err := os.Mkdir(own, 0o700); err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				target, err := os.Readlink(filepath.Join(path, e.Name()))
				if err == nil {
					err = os.Symlink(target, filepath.Join(own, e.Name()))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			m.env[i], path = "PATH="+own, own
		}
		file := filepath.Join(path, program)
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// readOnly is a prefix in which this user can make nothing: root can in all folders but those of the kernel.
func readOnly(t *testing.T) string {
	t.Helper()
	if os.Getuid() == 0 && runtime.GOOS == "linux" {
		return "/proc/clerk"
	}
	folder := t.TempDir()
	chmod(t, folder, 0o500)
	return folder
}

// testGoodRelease installs a release over nothing, a newer one over it, and takes it back.
func testGoodRelease(t *testing.T, u userland, script []byte) {
	p := newPlace(t)
	p.release(t, "1.2.2", map[string]string{"clerk-credential-helper": standIn, "man/clerk-credential-helper.1": ".TH\n", "man/gone.7": ".TH\n"}, here)
	p.release(t, "1.2.3", goodRelease, here, elsewhere)
	m := newMachine(t, u, "CLERK_HELPER_RELEASES="+p.url+"/", "SHELL=/bin/zsh")
	empty := m.everything(t)
	local := filepath.Join(m.home, ".local")

	status, out := m.run(t, script, "--version=v1.2.2")
	for _, says := range []string{"looking for a release for " + here + " at " + p.url,
		"the signature was NOT checked: CLERK_HELPER_RELEASE_KEY names no key", "downloading clerk-credential-helper_1.2.2_" + here + ".tar.gz",
		"its SHA-256 is the one in checksums.txt", "installed in " + local + "/bin: clerk-credential-helper 1.2.2", "put that folder in the PATH, for example in ~/.zprofile", "next: "} {
		if status != 0 || !strings.Contains(out, says) {
			t.Fatalf("exit status %d, without %q:\n%s", status, says, out)
		}
	}
	old := m.everything(t)
	if !strings.Contains(old, "/share/man/man7/gone.7 ") {
		t.Errorf("without its pages:\n%s", old)
	}

	// A program that runs meanwhile keeps its file.
	running, err := os.Open(filepath.Join(local, "bin", "clerk-credential-helper"))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	status, out = m.run(t, script)
	if status != 0 || !strings.Contains(out, "clerk-credential-helper 1.2.3") {
		t.Fatalf("exit status %d:\n%s", status, out)
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(running); err != nil || !strings.Contains(text.String(), "1.2.2") {
		t.Errorf("the program was overwritten while it runs: %v\n%s", err, text.String())
	}
	is := m.everything(t)
	for _, file := range []string{"/bin/clerk-credential-helper -rwxr-xr-x", "/bin/git-credential-clerk Lrwxrwxrwx clerk-credential-helper",
		"/bin/docker-credential-clerk Lrwxrwxrwx clerk-credential-helper", "/bin/cargo-credential-clerk Lrwxrwxrwx clerk-credential-helper",
		"/bin/bazel-credential-clerk Lrwxrwxrwx clerk-credential-helper", "/share/man/man1/clerk-credential-helper.1 -rw-r--r--", "/share/man/man1/git-credential-clerk.1 -rw-r--r--",
		"/share/man/man5/clerk-credential-helper.toml.5 -rw-r--r--", "/share/bash-completion/completions/clerk-credential-helper -rw-r--r--",
		"/share/zsh/site-functions/_clerk-credential-helper -rw-r--r--", "/share/fish/vendor_completions.d/clerk-credential-helper.fish -rw-r--r--"} {
		if runtime.GOOS == "darwin" {
			file = strings.Replace(file, "Lrwxrwxrwx", "Lrwxr-xr-x", 1)
		}
		if !strings.Contains(is, file) {
			t.Errorf("there is no %s:\n%s", file, is)
		}
	}
	if strings.Contains(is, "gone.7") {
		t.Error("a page of the older release is left")
	}
	receipt, err := os.ReadFile(filepath.Join(local, "share/clerk-credential-helper/installed"))
	if err != nil || !strings.HasPrefix(string(receipt), "install.sh release 1.2.3\nshare/man/man1/clerk-credential-helper.1\n") {
		t.Errorf("the list of what was installed: %q, %v", receipt, err)
	}
	if status, out := m.run(t, script, "--version", "latest", "--prefix", filepath.Join(local)); status != 0 || m.everything(t) != is {
		t.Errorf("a second time it changes something: exit status %d\n%s", status, out)
	}

	// The list is not trusted beyond what install.sh writes into it.
	write(t, filepath.Join(m.home, "mine"), "mine")
	if err := os.WriteFile(filepath.Join(local, "share/clerk-credential-helper/installed"), append(receipt, "share/man/man1/../../../../mine\n../mine\n/etc/passwd\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out = m.run(t, script, "--uninstall"); status != 1 || !strings.Contains(out, "nothing was removed") { // the stand-in cannot take itself out of files
		t.Errorf("exit status %d:\n%s", status, out)
	}
	if status, out = m.run(t, script, "--uninstall", "--force"); status != 0 || !strings.Contains(out, "removed clerk-credential-helper") {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	if err := os.Remove(filepath.Join(m.home, "mine")); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(m.everything(t)) {
		if !strings.Contains(empty, line) && !strings.Contains(line, " drwx") {
			t.Errorf("left behind: %s", line)
		}
	}
}

// TestInstallOlder: the latest release is not installed over a newer one, which a place could do to bring back a fault; a release
// that is named is, and install.sh says so.
func TestInstallOlder(t *testing.T) {
	testworld.Long(t, "runs install.sh some dozen times")
	script := installScript(t)
	older := func(is, was string) string {
		return "release " + is + " is older than " + was + ", which is installed"
	}
	for _, u := range userlands(t) {
		if u.name == "wget" {
			continue // versions are compared by the same programs as with curl
		}
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			for _, row := range []struct {
				reason, installed, latest string
				args                      []string
				status                    int
				says                      string // or, if it is empty, it says nothing of an older one
			}{
				{"older", "1.2.3", "1.2.2", nil, 1, older("1.2.2", "1.2.3") + ": --version 1.2.2 installs it; nothing was changed"},
				{"older, and called the latest", "1.2.3", "1.2.2", []string{"--version", "latest"}, 1, older("1.2.2", "1.2.3")},
				{"named", "1.2.3", "1.2.2", []string{"--version", "1.2.2"}, 0, older("1.2.2", "1.2.3") + "\n"},
				{"older as numbers, and later in the alphabet", "1.10.0", "1.9.9", nil, 1, older("1.9.9", "1.10.0")},
				{"a newer major version with lower numbers", "1.9.9", "2.0.0", nil, 0, ""},
				{"newer as numbers", "1.9.9", "1.10.0", nil, 0, ""},
				{"the same", "1.2.3", "1.2.3", nil, 0, ""},
				{"what came before the release that is installed", "1.2.3", "1.2.3-rc1", nil, 1, older("1.2.3-rc1", "1.2.3")},
				{"the release of what came before it", "1.2.3-rc1", "1.2.3", nil, 0, ""},
				{"an older one of two before a release", "1.2.3-rc2", "1.2.3-rc1", nil, 1, older("1.2.3-rc1", "1.2.3-rc2")},
				{"a newer one of two before a release", "1.2.3-rc1", "1.2.3-rc2", nil, 0, ""},
				{"built from a changed checkout of that release", "1.2.3+dirty", "1.2.3", nil, 0, ""},
				{"built from a checkout of the previous release", "1.2.3-0.20260102030405-0123456789ab", "1.2.3", nil, 0, ""},
				{"a release of no form, over one", "1.2.3", "devel", nil, 1, older("devel", "1.2.3")},
				{"a build without a version", "devel", "0.0.1", nil, 0, ""},
			} {
				t.Run(row.reason, func(t *testing.T) {
					p := newPlace(t)
					p.release(t, row.installed, goodRelease, here)
					m := newMachine(t, u, "CLERK_HELPER_RELEASES="+p.url)
					if status, out := m.run(t, script); status != 0 {
						t.Fatal(out)
					}
					p.release(t, row.latest, goodRelease, here)
					was := m.everything(t)
					status, out := m.run(t, script, row.args...)
					if status != row.status || !strings.Contains(out, row.says) || (row.says == "" && strings.Contains(out, "is older than")) {
						t.Errorf("exit status %d, want %d and %q:\n%s", status, row.status, row.says, out)
					}
					if is := m.everything(t); (is == was) != (row.status == 1 || row.installed == row.latest) {
						t.Errorf("installed now:\n%s", is)
					}
				})
			}
		})
	}
}

// TestInstallRedirect: a place with TLS may lead to another one with TLS, and to none without.
func TestInstallRedirect(t *testing.T) {
	script := installScript(t)
	mirror := newPlace(t)
	mirror.release(t, "1.2.3", goodRelease, here)
	secure := httptest.NewTLSServer(mirror)
	t.Cleanup(secure.Close)
	root := filepath.Join(t.TempDir(), "root.pem")
	write(t, root, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	for _, row := range []struct {
		reason, to string
		status     int
		says       map[string]string // of each userland
	}{
		{"to TLS", secure.URL, 0, map[string]string{"curl": "installed in ", "wget": "installed in "}},
		{"to a place without it", strings.TrimSuffix(mirror.url, "/releases"), 1, map[string]string{
			"curl": "could not be downloaded; nothing was changed", "wget": "leads to an address without TLS; nothing was changed"}},
	} {
		p := &place{files: map[string][]byte{}}
		p.release(t, "1.2.3", goodRelease, here)
		server := httptest.NewTLSServer(p)
		t.Cleanup(server.Close)
		p.fail(func(w http.ResponseWriter, path string, _ []byte) bool {
			if !strings.HasSuffix(path, ".tar.gz") {
				return false
			}
			w.Header().Set("Location", row.to+path)
			w.WriteHeader(http.StatusFound)
			return true
		})
		for _, u := range userlands(t) {
			t.Run(u.name+" "+row.reason, func(t *testing.T) {
				m := newMachine(t, u, "CLERK_HELPER_RELEASES="+server.URL+"/releases", "CURL_CA_BUNDLE="+root)
				write(t, filepath.Join(m.home, ".wgetrc"), "ca_certificate = "+root+"\n")
				want, says := row.status, row.says[u.name]
				if u.name == "busybox" {
					want, says = 1, "this wget does not check who answers"
				}
				if status, out := m.run(t, script); status != want || !strings.Contains(out, says) {
					t.Errorf("exit status %d, want %d and %q:\n%s", status, want, says, out)
				}
				if _, err := os.Stat(filepath.Join(m.home, ".local")); (err == nil) != (want == 0) {
					t.Errorf("installed: %v", err == nil)
				}
			})
		}
	}
}

// TestInstallCutOff: a script of which only the beginning has come does nothing.
func TestInstallCutOff(t *testing.T) {
	testworld.Long(t, "runs install.sh some dozen times")
	script := bytes.TrimSpace(installScript(t))
	places := []int{}
	for i := range 10 {
		places = append(places, len(script)*i/10)
	}
	for i := range 22 { // everywhere in the last line, { main "$@"; exit; }
		places = append(places, len(script)-1-i)
	}
	for _, u := range userlands(t) {
		p := newPlace(t)
		p.release(t, "1.2.3", goodRelease, here)
		m := newMachine(t, u, "CLERK_HELPER_RELEASES="+p.url)
		was := m.everything(t)
		p.fail(func(http.ResponseWriter, string, []byte) bool { t.Error("it asks for a release"); return false })
		for _, at := range places {
			if _, out := m.run(t, script[:at]); m.everything(t) != was {
				t.Fatalf("%s: cut off after %d bytes of %d it does something:\n%s", u.name, at, len(script), out)
			}
		}
		p.fail(nil)
		if status, out := m.run(t, script); status != 0 { // without its last line end
			t.Errorf("%s: exit status %d:\n%s", u.name, status, out)
		}
	}
}

// TestInstallInterrupted: a signal during a download changes nothing.
func TestInstallInterrupted(t *testing.T) {
	script := installScript(t)
	for _, u := range userlands(t) {
		p := newPlace(t)
		p.release(t, "1.2.3", goodRelease, here)
		m := newMachine(t, u, "CLERK_HELPER_RELEASES="+p.url)
		was := m.everything(t)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd, out := m.command(ctx, script)
		started := make(chan struct{})
		p.fail(archives(func(w http.ResponseWriter, file []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(file)))
			w.Write(file[:len(file)/2])
			w.(http.Flusher).Flush()
			<-started
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler) // as Ctrl-C ends the download too
		}))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		close(started)
		cmd.Wait()
		if status := cmd.ProcessState.ExitCode(); status != 143 {
			t.Errorf("%s: exit status %d:\n%s", u.name, status, out)
		}
		if is := m.everything(t); is != was {
			t.Errorf("%s: it changed something:\n%s\nbefore:\n%s", u.name, is, was)
		}
	}
}

// TestInstallSignature: where there is a key and a program for it, only what is signed with that key is installed.
func TestInstallSignature(t *testing.T) {
	script := installScript(t)
	u := userlands(t)[0]
	required := []string{"--require-signature"}
	run := func(dir string, command ...string) string {
		t.Helper()
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GNUPGHOME="+filepath.Join(dir, "gnupg"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", command, err, out)
		}
		return string(out)
	}
	// sign returns what signs a file under another name, and the keys that are right and wrong.
	type signer func(t *testing.T, dir string) (sign func(file, as string), right, wrong string)
	minisign := func(t *testing.T, dir string) (func(file, as string), string, string) {
		for _, key := range []string{"right", "wrong"} {
			run(dir, "minisign", "-G", "-W", "-f", "-p", key+".pub", "-s", key+".sec")
		}
		last := func(name string) string {
			lines := strings.Split(strings.TrimSpace(readFile(t, filepath.Join(dir, name))), "\n")
			return lines[len(lines)-1]
		}
		return func(file, as string) { run(dir, "minisign", "-S", "-s", "right.sec", "-m", file, "-x", as) }, last("right.pub"), last("wrong.pub")
	}
	gpg := func(t *testing.T, dir string) (func(file, as string), string, string) {
		if err := os.Mkdir(filepath.Join(dir, "gnupg"), 0o700); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { exec.Command("gpgconf", "--homedir", filepath.Join(dir, "gnupg"), "--kill", "all").Run() })
		var prints []string
		for _, key := range []string{"right", "wrong"} {
			run(dir, "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", key, "ed25519", "sign")
			found := regexp.MustCompile(`(?m)^fpr:+([0-9A-F]{40}):`).FindStringSubmatch(run(dir, "gpg", "--batch", "--with-colons", "--list-keys", key))
			prints = append(prints, strings.ToLower(found[1]))
		}
		return func(file, as string) {
			run(dir, "gpg", "--batch", "--yes", "--quiet", "--armor", "--local-user", "right", "--output", as, "--detach-sign", file)
		}, prints[0], prints[1]
	}
	for _, kind := range []struct {
		program, suffix string
		keys            signer
		rival           string // a key for the other program, which is not there
	}{{"minisign", "minisig", minisign, strings.Repeat("0", 40)}, {"gpg", "asc", gpg, "RWQ"}} {
		t.Run(kind.program, func(t *testing.T) {
			testworld.Need(t, kind.program)
			dir, err := os.MkdirTemp("", "sig") // gpg's agent has a socket there, whose path must be short
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			sign, right, wrong := kind.keys(t, dir)
			p := newPlace(t)
			sums := p.release(t, "1.2.3", goodRelease, here)
			list := filepath.Join(dir, "checksums.txt")
			if err := os.WriteFile(list, sums, 0o600); err != nil {
				t.Fatal(err)
			}
			sign(list, list+".sig")
			signed := []byte(readFile(t, list+".sig"))
			if err := os.WriteFile(list, append(sums, '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
			sign(list, list+".other")
			ofOther := []byte(readFile(t, list+".other"))
			for _, row := range []struct {
				reason, key string
				with        bool // the program is there
				signature   []byte
				args        []string
				status      int
				says        string
			}{
				{"signed", right, true, signed, nil, 0, "checksums.txt is signed with the key "},
				{"signed, as is required", right, true, signed, required, 0, "checksums.txt is signed with the key "},
				{"another key", wrong, true, signed, nil, 1, "nothing was changed"},
				{"one of two keys is another", right + " " + wrong, true, signed, nil, 1, "nothing was changed"},
				{"the signature of another file", right, true, ofOther, nil, 1, "nothing was changed"},
				{"no signature", right, true, nil, nil, 1, "checksums.txt." + kind.suffix + " could not be downloaded"},
				{"an empty signature", right, true, []byte{}, nil, 1, "nothing was changed"},
				{"nothing to check it with", right, false, signed, nil, 0, "the signature was NOT checked: " + kind.program + " is not installed"},
				{"nothing to check it with, and it is required", right, false, signed, required, 1,
					"the signature cannot be checked: " + kind.program + " is not installed; nothing was changed"},
				{"one of two required keys cannot be checked", right + " " + kind.rival, true, signed, required, 1, "is not installed; nothing was changed"},
			} {
				t.Run(row.reason, func(t *testing.T) {
					delete(p.files, "latest/download/checksums.txt."+kind.suffix)
					if row.signature != nil {
						p.files["latest/download/checksums.txt."+kind.suffix] = row.signature
					}
					m := newMachine(t, u, "CLERK_HELPER_RELEASES="+p.url, "CLERK_HELPER_RELEASE_KEY="+row.key, "GNUPGHOME="+filepath.Join(dir, "gnupg"))
					m.replace(t, kind.program, "") // and the other one is in no userland
					if row.with {
						program, err := exec.LookPath(kind.program)
						if err != nil {
							t.Fatal(err)
						}
						if err := os.Symlink(program, filepath.Join(m.home, "programs", kind.program)); err != nil {
							t.Fatal(err)
						}
					}
					status, out := m.run(t, script, row.args...)
					_, err := os.Stat(filepath.Join(m.home, ".local"))
					if status != row.status || !strings.Contains(out, row.says) || (err == nil) != (row.status == 0) {
						t.Errorf("exit status %d, installed: %v, without %q:\n%s", status, err == nil, row.says, out)
					}
				})
			}
		})
	}
}
