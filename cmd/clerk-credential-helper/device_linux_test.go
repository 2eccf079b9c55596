package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"clerk-credential-helper/internal/sandbox"
)

// sitDownWithDevice is a place whose Clerk offers the device grant, and asks the person on a page.
func sitDownWithDevice(t *testing.T, columns uint16, change map[string]string) (*person, *sandbox.Server) {
	t.Helper()
	clerk := sandbox.New(sandbox.Options{Device: true, DeviceInterval: time.Second})
	server := httptest.NewServer(clerk)
	t.Cleanup(server.Close)
	clerk.SetIssuer(server.URL)
	empty := filepath.Join(t.TempDir(), "empty.toml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"CLERK_HELPER_CONFIG": empty, "CLERK_HELPER_PROFILE": "acme",
		"CLERK_HELPER_ISSUER": server.URL, "CLERK_HELPER_CLIENT_ID": "sandbox-client", "CLERK_HELPER_HOSTS": "git.acme.dev"}
	for name, value := range change {
		vars[name] = value
	}
	return sitDown(t, columns, vars), clerk
}

// approve is the person's part on another device: open the page with the code, sign in, decide.
func approve(t *testing.T, address, decision string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	base, _, _ := strings.Cut(address, "/device")
	csrf := regexp.MustCompile(`name="csrf" value="(\w+)"`)
	fetch := func(resp *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(page)
	}
	token := func(page string) string {
		t.Helper()
		found := csrf.FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("no form in %s", page)
		}
		return found[1]
	}
	page := fetch(client.Get(address))
	page = fetch(client.PostForm(base+"/sign-in", url.Values{"csrf": {token(page)}, "email": {"ada@acme.dev"}}))
	page = fetch(client.PostForm(base+"/oauth/consent", url.Values{"csrf": {token(page)}, "decision": {decision}}))
	if !strings.Contains(page, "Go back to your terminal") {
		t.Errorf("the end is %s", page)
	}
}

// TestDeviceLogin: without a browser, the device grant where it is offered. Narrow and dumb terminals get no QR code.
func TestDeviceLogin(t *testing.T) {
	p, clerk := sitDownWithDevice(t, 100, nil)
	cmd := p.run("clerk-credential-helper", "login")
	address := p.see(`(http://127\.0\.0\.1:\d+/device\?user_code=\S+)\s`)[1]
	approve(t, address, "allow")
	p.see(`signed in to acme as ada@acme\.dev`)
	p.end(cmd, exitOK)
	p.golden("device-login")
	if clerk.Count("authorize") != 0 || clerk.Count("device") != 1 {
		t.Error("another flow was tried as well")
	}
}

func TestDeviceDenied(t *testing.T) {
	p, _ := sitDownWithDevice(t, 100, nil)
	cmd := p.run("clerk-credential-helper", "login", "--flow", "device")
	approve(t, p.see(`(http://127\.0\.0\.1:\d+/device\?user_code=\S+)\s`)[1], "deny")
	p.see("access was denied")
	p.end(cmd, exitFailed)
}

func TestDeviceExpired(t *testing.T) {
	p, clerk := sitDownWithDevice(t, 100, nil)
	clerk.SetFaults(func(f *sandbox.Faults) { f.DeviceExpired = true })
	cmd := p.run("clerk-credential-helper", "login", "--flow", "device")
	p.see(`not\s+finished\s+in\s+time`)
	p.end(cmd, exitFailed)
}

// TestDeviceQR: a wide terminal shows the code, with both colours set or, where none are wanted, without.
func TestDeviceQR(t *testing.T) {
	for _, row := range []struct {
		reason  string
		columns uint16
		rows    uint16
		env     map[string]string
		qr      bool
		colour  bool
	}{
		{"wide, with colours", 100, 50, map[string]string{"TERM": "xterm-256color"}, true, true},
		{"wide, without", 100, 50, map[string]string{"TERM": "xterm-256color", "NO_COLOR": "1"}, true, false},
		{"narrow", 36, 50, map[string]string{"TERM": "xterm-256color"}, false, true},
		{"low: it would scroll the code away", 100, 24, map[string]string{"TERM": "xterm-256color"}, false, true},
		{"a dumb terminal", 100, 50, map[string]string{"TERM": "dumb"}, false, false},
		{"a locale without such characters", 100, 50, map[string]string{"TERM": "xterm", "LANG": "C"}, false, true},
		{"a locale with them", 100, 50, map[string]string{"TERM": "xterm", "LANG": "de_DE.UTF-8"}, true, true},
	} {
		t.Run(row.reason, func(t *testing.T) {
			p, clerk := sitDownWithDevice(t, row.columns, row.env)
			p.resize(row.columns, row.rows)
			clerk.SetFaults(func(f *sandbox.Faults) { f.DeviceExpired = true })
			cmd := p.run("clerk-credential-helper", "login")
			p.end(cmd, exitFailed)
			text := p.seenText()
			if got := strings.Contains(text, "█"); got != row.qr {
				t.Errorf("a QR code is shown: %v", got)
			}
			if got := strings.Contains(text, "\x1b["); got != row.colour {
				t.Errorf("there are escape sequences: %v", got)
			}
			for _, line := range strings.Split(text, "\r\n") {
				line = regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(line, "")
				if strings.ContainsAny(line, "█▀▄") && len([]rune(line)) > int(row.columns) {
					t.Errorf("a row of the QR code is %d columns wide", len([]rune(line)))
				}
			}
		})
	}
}

// TestDeviceCodeStays: on a terminal of 24 rows the code, where to enter it, and how long it is good are on the screen.
func TestDeviceCodeStays(t *testing.T) {
	p, _ := sitDownWithDevice(t, 80, map[string]string{"TERM": "xterm"})
	p.resize(80, 24)
	cmd := p.run("clerk-credential-helper", "login")
	address := p.see(`(http://127\.0\.0\.1:\d+/device\?user_code=\S+)\s[\s\S]*Waiting until`)[1]
	lines := strings.Split(strings.TrimRight(p.screen(), "\n"), "\n")
	last := strings.Join(lines[max(0, len(lines)-23):], "\n")
	for _, want := range []string{address, `/device\n`, `[B-Z]{4}-[B-Z]{4}`, "Waiting until"} {
		if !matches(want, last) && !strings.Contains(last, want) {
			t.Errorf("%q is not among the last rows\n%s", want, last)
		}
	}
	approve(t, address, "allow")
	p.end(cmd, exitOK)
}

// TestDeviceWithoutTerminal: "ssh host clerk-credential-helper login" shows the code on standard error. A tool's get
// would show it to no user, and ends at once.
func TestDeviceWithoutTerminal(t *testing.T) {
	p, _ := sitDownWithDevice(t, 100, map[string]string{"CLERK_HELPER_INTERACTIVE": "always"})
	start := func(stdin, name string, args ...string) (*exec.Cmd, *bufio.Reader) {
		program, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, args...)
		cmd.Env, cmd.Stdin = p.env, strings.NewReader(stdin)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		words, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		return cmd, bufio.NewReader(words)
	}
	get, words := start("protocol=https\nhost=git.acme.dev\n", "git-credential-clerk", "get")
	if text, err := io.ReadAll(words); err != nil || !strings.Contains(string(text), "no browser could be started") || strings.Contains(string(text), "user_code") {
		t.Errorf("get says %q, %v", text, err)
	}
	if err := get.Wait(); err != nil {
		t.Error(err)
	}
	login, words := start("", "clerk-credential-helper", "login")
	for {
		line, err := words.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, "user_code=") {
			approve(t, strings.TrimSpace(line), "allow")
			break
		}
	}
	if text, err := io.ReadAll(words); err != nil || !strings.Contains(string(text), "signed in to acme as ada@acme.dev") {
		t.Errorf("login says %q, %v", text, err)
	}
	if err := login.Wait(); err != nil {
		t.Error(err)
	}
}
