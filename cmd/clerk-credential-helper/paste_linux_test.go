package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"clerk-credential-helper/internal/demo"
	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"

	"golang.org/x/sys/unix"
)

// person sits at a terminal of their own, in a session of its own, and sees what is written there.
type person struct {
	*testing.T
	world    *world
	env      []string
	dir      string
	keyboard *os.File // the other end of the terminal
	tty      *os.File
	before   unix.Termios

	mu      sync.Mutex
	seen    strings.Builder
	grew    chan struct{} // closed and made anew when seen has grown
	drained int           // how often drain has marked the end
}

// sitDown furnishes a world without a browser and opens a terminal in it. Each person has a world of their own, so they
// sit side by side: most of the time they wait.
func sitDown(t *testing.T, columns uint16, change map[string]string) *person {
	t.Helper()
	testworld.Long(t, "a person at a terminal")
	t.Parallel()
	dir := t.TempDir()
	w, vars, err := newWorld(dir, t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{T: t, world: w, dir: dir, grew: make(chan struct{})}
	vars["BROWSER"], vars["CLERK_HELPER_INTERACTIVE"], vars["TERM"], vars["PATH"] = "", "", "dumb", os.Getenv("PATH")
	delete(vars, "GIT_TERMINAL_PROMPT") // an empty one is 0 to git
	for name, value := range change {
		vars[name] = value
	}
	for name, value := range vars {
		p.env = append(p.env, name+"="+value)
	}
	if p.keyboard, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	number, err := unix.IoctlGetInt(int(p.keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(p.keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(p.keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: columns})
	}
	if err == nil {
		p.tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.before = p.termios()
	gone := make(chan struct{})
	t.Cleanup(func() {
		p.tty.Close()
		<-gone // once no process has the terminal open
		p.keyboard.Close()
	})
	go func() {
		defer close(gone)
		buffer := make([]byte, 64<<10)
		for {
			n, err := unix.Read(int(p.keyboard.Fd()), buffer)
			if err != nil || n == 0 {
				return
			}
			p.mu.Lock()
			p.seen.Write(buffer[:n])
			close(p.grew)
			p.grew = make(chan struct{})
			p.mu.Unlock()
		}
	}()
	return p
}

// resize gives the terminal another size.
func (p *person) resize(columns, rows uint16) {
	p.Helper()
	if err := unix.IoctlSetWinsize(int(p.keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		p.Fatal(err)
	}
}

func (p *person) termios() unix.Termios {
	p.Helper()
	mode, err := unix.IoctlGetTermios(int(p.tty.Fd()), unix.TCGETS)
	if err != nil {
		p.Fatal(err)
	}
	return *mode
}

// run starts a command at the terminal, its standard streams included.
func (p *person) run(name string, args ...string) *exec.Cmd {
	p.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = p.env, p.dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.tty, p.tty, p.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	return cmd
}

// see waits until the terminal shows what is looked for.
func (p *person) see(pattern string) []string {
	p.Helper()
	return p.seeAfter(0, pattern)
}

// seeAfter is see for what is shown behind so many bytes.
func (p *person) seeAfter(before int, pattern string) []string {
	p.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.After(2 * time.Minute)
	for {
		p.mu.Lock()
		text, grew := p.seen.String()[before:], p.grew
		p.mu.Unlock()
		if found := re.FindStringSubmatch(text); found != nil {
			return found
		}
		select {
		case <-grew:
		case <-limit:
			p.Fatalf("the terminal does not show %q but\n%s", pattern, text)
		}
	}
}

// reading waits until a program reads the terminal unseen.
func (p *person) reading() {
	p.Helper()
	for end := time.Now().Add(2 * time.Minute); p.termios().Lflag&unix.ECHO != 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			p.Fatalf("no process reads the terminal, which shows\n%s", p.screen())
		}
	}
}

func (p *person) typeIn(text string) {
	p.Helper()
	if _, err := io.WriteString(p.keyboard, text); err != nil {
		p.Fatal(err)
	}
}

// elsewhere opens the address in a browser on another machine, and gives the one that it ends on.
func (p *person) elsewhere() string {
	p.Helper()
	address := p.see(`(http://127\.0\.0\.1:\d+/oauth/authorize\?\S+)\s`)[1]
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(address)
	if err != nil {
		p.Fatal(err)
	}
	resp.Body.Close()
	return resp.Header.Get("Location")
}

// end waits for a command and looks whether the terminal is what it was.
func (p *person) end(cmd *exec.Cmd, want int) {
	p.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		p.Errorf("status %d, want %d; the terminal shows\n%s", got, want, p.screen())
	}
	if p.termios() != p.before {
		p.Errorf("the terminal was left in %+v", p.termios())
	}
}

// drain waits until everything that was written to the terminal so far is in seen: a mark that is written behind it comes
// out behind it, and is taken out again.
func (p *person) drain() {
	p.Helper()
	p.drained++
	mark := fmt.Sprintf("\x00%d\x00", p.drained)
	if _, err := io.WriteString(p.tty, mark); err != nil {
		p.Fatal(err)
	}
	p.see(mark)
	p.mu.Lock()
	defer p.mu.Unlock()
	text := strings.Replace(p.seen.String(), mark, "", 1)
	p.seen.Reset()
	p.seen.WriteString(text)
}

// screen is what the terminal shows: lines that were written over are as they were last.
func (p *person) screen() string {
	p.Helper()
	var lines []string
	for line := range strings.SplitSeq(p.seenText(), "\n") {
		var cells []rune
		at := 0
		for _, r := range line {
			if r == '\r' {
				at = 0
				continue
			}
			if at == len(cells) {
				cells = append(cells, r)
			} else {
				cells[at] = r
			}
			at++
		}
		lines = append(lines, strings.TrimRight(string(cells), " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
}

// golden compares the screen with testdata/terminal/NAME.txt, but for what is different each time.
func (p *person) golden(name string) {
	p.Helper()
	got := p.screen()
	for _, r := range []struct{ pattern, with string }{
		{`127\.0\.0\.1(:|%3A)\d+`, "127.0.0.1${1}PORT"},
		{`(state|nonce|code_challenge)=[\w-]+`, "$1=RANDOM"},
		{`until \d\d:\d\d:\d\d`, "until 14:05:11"},
		{`Waiting for \S+ to answer \.\.\.\n`, ""}, // on a machine that is slow at that moment
		{`  \d:\d\d\b`, "  4:59"},
		{`[B-Z]{4}-[B-Z]{4}`, "BCDF-GHJK"},
		{`good for \w+`, "good for 23h59m"},
		{regexp.QuoteMeta(p.dir), "DIR"},
	} {
		got = regexp.MustCompile(r.pattern).ReplaceAllString(got, r.with)
	}
	testworld.Golden(p, filepath.Join("testdata", "terminal", name+".txt"), got)
}

// TestPasteClone: git clone on a machine without a browser. The person signs in elsewhere, pastes the address, and the
// clone goes on; no argument list holds anything of the sign-in.
func TestPasteClone(t *testing.T) {
	testworld.Need(t, "git")
	p := sitDown(t, 100, nil)
	url := "https://" + hostOf(p.env, "GIT") + "/hello.git"
	cmd := p.run("git", "clone", "--quiet", url, "hello")
	address := p.elsewhere()
	p.reading()
	arguments := allArguments(t)
	p.typeIn(address + "\r")
	p.see(`Signed in to acme as ada@acme\.dev\.`)
	p.end(cmd, 0)
	if text, err := os.ReadFile(filepath.Join(p.dir, "hello", "hello.txt")); err != nil || string(text) != "hello\n" {
		t.Errorf("cloned %q, %v", text, err)
	}
	p.golden("paste-clone")
	for _, secret := range p.world.Clerk.Issued() {
		if strings.Contains(p.screen(), secret) || strings.Contains(arguments, secret) {
			t.Error("a secret stands on the terminal or in an argument list")
		}
	}
	if !strings.Contains(arguments, "git-credential-clerk") {
		t.Error("the helper was not among the processes: the look at them proves nothing")
	}
	for _, part := range secretParts(t, p) {
		if strings.Contains(arguments, part) {
			t.Errorf("%q stands in an argument list", part)
		}
	}
}

func hostOf(env []string, name string) string {
	for _, pair := range env {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// allArguments is what every other user of this machine can read about its processes.
func allArguments(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Skipf("argument lists cannot be read: %v", err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			all.WriteString(strings.ReplaceAll(string(text), "\x00", " ") + "\n")
		}
	}
	return all.String()
}

// secretParts are state, nonce and challenge of the sign-in that is shown.
func secretParts(t *testing.T, p *person) []string {
	t.Helper()
	u, err := url.Parse(p.see(`(http://127\.0\.0\.1:\d+/oauth/authorize\?\S+)\s`)[1])
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	return []string{q.Get("state"), q.Get("nonce"), q.Get("code_challenge"), "/oauth/authorize"}
}

// TestPasteWrong: each wrong address has its line and another try, and the right one is still taken.
func TestPasteWrong(t *testing.T) {
	for _, row := range []struct{ name, typed, want string }{
		{"another login's address", "http://127.0.0.1:1/callback?code=x&state=y", "is the address of another sign-in"},
		{"longer than a line discipline keeps", strings.Repeat("x", 12_000), "is too long for an address"},
		{"an error address", "chrome-error://chromewebdata/", "is not the address of the last page"},
		{"blanks and quotes", `" what is this "`, "has characters in it"},
		{"1 MiB", strings.Repeat("y", 1<<20), "is too long for an address"},
		{"control characters", "\x1b[31mred\x07", "has characters in it"},
		// Less than 2 KiB, which the kernel takes at once: a gap in it would end the paste.
		{"a page of text", strings.Repeat("many\rlines\r", 150), "is not the address of the last page"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := sitDown(t, 100, nil)
			cmd := p.run("clerk-credential-helper", "login")
			address := p.elsewhere()
			p.reading()
			p.typeIn(row.typed + "\r")
			p.see(`Sorry, that ` + row.want)
			p.see(`Please try again`)
			p.typeIn(" '" + address + "' \r")
			p.see(`signed in to acme as ada@acme\.dev`)
			p.end(cmd, 0)
			if n := strings.Count(p.screen(), "Sorry"); n != 1 {
				t.Errorf("%d complaints about one paste:\n%s", n, p.screen())
			}
		})
	}
}

// TestPasteForms: an address as browsers and terminals give it.
func TestPasteForms(t *testing.T) {
	for _, row := range []struct {
		name  string
		typed func(address string) string
	}{
		{"https", func(address string) string { return strings.Replace(address, "http:", "https:", 1) + "\r" }},
		{"the query alone", func(address string) string { return address[strings.Index(address, "?"):] + "\r" }},
		{"line ends, in brackets", func(address string) string {
			return "<" + address[:40] + "\r" + address[40:50] + "\r" + address[50:] + ">\r"
		}},
		{"line ends, and none behind it", func(address string) string { return address[:40] + "\r" + address[40:] }},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := sitDown(t, 100, nil)
			cmd := p.run("clerk-credential-helper", "login")
			address := p.elsewhere()
			p.reading()
			p.typeIn(row.typed(address))
			p.see(`signed in to acme as ada@acme\.dev`)
			p.end(cmd, 0)
			if text := p.screen(); strings.Contains(text, "Sorry") || strings.Contains(text, "code=") && !strings.Contains(text, "code_challenge=") {
				t.Errorf("the terminal shows\n%s", text)
			}
		})
	}
}

// TestPasteThreeWrong: three of them end it.
func TestPasteThreeWrong(t *testing.T) {
	p := sitDown(t, 100, nil)
	cmd := p.run("clerk-credential-helper", "login", "--flow", "paste")
	address := p.elsewhere()
	p.reading()
	for i, typed := range []string{"http://127.0.0.1:1/callback?code=x&state=y", strings.Replace(address, "state=", "state=x", 1), "what?"} {
		p.typeIn(typed + "\r")
		p.see(fmt.Sprintf("(?s)(Sorry.*){%d}", i+1))
	}
	p.end(cmd, exitFailed)
	p.golden("paste-three-wrong")
	if n := p.world.Clerk.Count("token"); n != 0 {
		t.Errorf("Clerk was asked for tokens %d times", n)
	}
}

// TestPasteDenied: a genuine refusal is one, from here as from a browser.
func TestPasteDenied(t *testing.T) {
	p := sitDown(t, 100, nil)
	p.world.Clerk.SetFaults(func(f *sandbox.Faults) { f.DenyConsent = true })
	cmd := p.run("clerk-credential-helper", "login")
	address := p.elsewhere()
	p.reading()
	p.typeIn(address + "\r")
	p.see("access was denied")
	p.end(cmd, exitFailed)
}

// TestPasteCtrlC: it still works, and the terminal is as it was.
func TestPasteCtrlC(t *testing.T) {
	p := sitDown(t, 100, map[string]string{"TERM": "xterm"})
	cmd := p.run("clerk-credential-helper", "login")
	p.elsewhere()
	p.reading()
	p.typeIn("half an address\x03")
	p.end(cmd, exitInterrupted)
	if strings.Contains(p.screen(), "half an address") || strings.Contains(p.screen(), "Waiting until") {
		t.Errorf("the terminal shows\n%s", p.screen())
	}
}

// TestPasteListener: a browser on this machine, opened by hand, comes back to the listener while the terminal is read.
func TestPasteListener(t *testing.T) {
	p := sitDown(t, 100, nil)
	cmd := p.run("clerk-credential-helper", "login", "--no-browser")
	address := p.see(`(http://127\.0\.0\.1:\d+/oauth/authorize\?\S+)\s`)[1]
	p.reading()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if page, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(page), "You are signed in") {
		t.Errorf("the page is %.300s, %v", page, err)
	}
	p.end(cmd, 0)
}

// TestPasteProgress: on a terminal that can be written over, the time that is left does not scroll.
func TestPasteProgress(t *testing.T) {
	p := sitDown(t, 100, map[string]string{"TERM": "xterm-256color", "NO_COLOR": "1"})
	cmd := p.run("clerk-credential-helper", "login", "--timeout", "5s")
	// On a busy machine not every second is drawn.
	p.see(`until \d\d:\d\d:\d\d; press Ctrl-C to give up\.  0:0[345]`)
	p.see(`until \d\d:\d\d:\d\d; press Ctrl-C to give up\.  0:0[12]`)
	p.end(cmd, exitFailed)
	p.golden("paste-timeout")
	if strings.Contains(p.screen(), "\x1b") {
		t.Error("NO_COLOR is set, and there are escape sequences")
	}
}

// TestPasteNarrow: the line that is written over never wraps, which would scroll.
func TestPasteNarrow(t *testing.T) {
	p := sitDown(t, 30, map[string]string{"TERM": "xterm"})
	cmd := p.run("clerk-credential-helper", "login", "--timeout", "2s")
	p.see("Waiting until")
	p.end(cmd, exitFailed)
	if strings.Contains(p.seenText(), "press Ctrl-C to") {
		t.Errorf("the line was not cut:\n%q", p.seenText())
	}
}

// seenText is all that was written to the terminal, byte by byte.
func (p *person) seenText() string {
	p.Helper()
	p.drain()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

// TestBackgroundFetch: "git fetch &" in an interactive shell with no session neither freezes nor stops, and the shell
// keeps its terminal.
func TestBackgroundFetch(t *testing.T) {
	p := sitDown(t, 100, nil)
	shell := fmt.Sprintf(`set -m
git ls-remote https://%s/hello.git &
wait %%1; echo "git ended with $?"
jobs -l
read line; echo "the shell has $line"
`, hostOf(p.env, "GIT"))
	cmd := p.run("sh", "-c", shell)
	p.see("git ended with 128")
	p.typeIn("the terminal\n")
	p.see("the shell has the terminal")
	p.end(cmd, 0)
	if text := p.screen(); strings.Contains(text, "Stopped") || !strings.Contains(text, "hint: run: clerk-credential-helper login acme") {
		t.Errorf("the terminal shows\n%s", text)
	}
}

// TestStoppedSignIn: while a sign-in is stopped with Ctrl-Z in one terminal, another terminal's get for a live session
// answers, and the sign-in goes on afterwards.
func TestStoppedSignIn(t *testing.T) {
	p := sitDown(t, 100, map[string]string{"TERM": "xterm"})
	first := p.run("clerk-credential-helper", "login")
	address := p.elsewhere()
	p.reading()
	p.typeIn(address + "\r")
	p.end(first, 0)
	p.drain()
	p.mu.Lock()
	p.seen.Reset()
	p.mu.Unlock()

	cmd := p.run("sh", "-c", "set -m; clerk-credential-helper login; echo stopped; read line; fg")
	address = p.elsewhere()
	p.reading()
	p.typeIn("\x1a")
	p.see("stopped\r\n")

	get := exec.Command("git-credential-clerk", "get")
	get.Path, _ = exec.LookPath("git-credential-clerk")
	get.Env, get.Stdin = p.env, strings.NewReader("protocol=https\nhost=git.acme.dev\n")
	get.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	began := time.Now()
	out, err := get.Output()
	if err != nil || !strings.Contains(string(out), "password=") {
		t.Errorf("get answered %d bytes, %v", len(out), err)
	}
	t.Logf("get beside a stopped sign-in took %v", time.Since(began))

	p.typeIn("\r") // fg
	p.reading()
	p.typeIn(address + "\r")
	p.see("signed in to acme as ada@acme.dev")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestBuilderAtTerminal: docker's classic builder asks for each of its hosts. At a terminal, where a refusal does not
// silence the next command, one page is opened for all of them all the same.
func TestBuilderAtTerminal(t *testing.T) {
	p := sitDown(t, 100, nil)
	p.browser()
	p.world.Clerk.SetFaults(func(f *sandbox.Faults) { f.DenyConsent = true })
	const builder = `for host in registry.acme.dev git.acme.dev one.pkg.acme.dev; do
		printf %s $host | docker-credential-clerk get
	done; true`
	for pages := 1; pages <= 2; pages++ {
		p.end(p.run("sh", "-c", builder), 0)
		if n := p.world.Clerk.Count("authorize"); n != pages {
			t.Errorf("after %d builds %d pages were opened; the terminal shows\n%s", pages, n, p.screen())
		}
	}
}

// browser has the person's browser follow the sign-in by itself.
func (p *person) browser() {
	p.Helper()
	browser, err := exec.LookPath(demo.Browser)
	if err != nil {
		p.Fatal(err)
	}
	p.env = append(p.env, "BROWSER="+browser)
}

// TestExplainAtTerminal: git ends where it would ask for a password, and explain says so.
func TestExplainAtTerminal(t *testing.T) {
	p := sitDown(t, 100, map[string]string{"CLERK_HELPER_INTERACTIVE": "never"})
	cmd := p.run("clerk-credential-helper", "explain", "--tools", "https://git.acme.dev")
	p.see("git        quit=1")
	p.end(cmd, exitOK)
}

// TestWidthAtTerminal: what people read follows the width of their terminal, also below a git that shows our messages, and has
// signs and colours; in a pipe, it is what it always is.
func TestWidthAtTerminal(t *testing.T) {
	testworld.Need(t, "git")
	for columns, most := range map[uint16]int{40: 60, 60: 60, 80: 80, 120: 100} {
		t.Run(strconv.Itoa(int(columns)), func(t *testing.T) {
			p := sitDown(t, columns, map[string]string{"CLERK_HELPER_INTERACTIVE": "never", "TERM": "xterm", "GIT_TERMINAL_PROMPT": "0"})
			p.end(p.run("git", "ls-remote", "https://"+hostOf(p.env, "GIT")+"/hello.git"), 128)
			p.end(p.run("clerk-credential-helper", "doctor"), exitOK)
			p.end(p.run("sh", "-c", "clerk-credential-helper doctor | cat > doctor"), 0)
			p.drain()
			text := p.seenText()
			for _, want := range []string{"\x1b[32m✓\x1b[0m ok", "\x1b[33m!\x1b[0m warning", "needs a sign-in", "\nhint: "} {
				if !strings.Contains(text, want) {
					t.Errorf("%d columns: %q is not in\n%s", columns, want, text)
				}
			}
			longest := 0
			for line := range strings.SplitSeq(regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(text, ""), "\r\n") {
				if strings.Contains(line, "clerk") && !strings.HasPrefix(line, "fatal:") && len(strings.Fields(line)) > 2 {
					longest = max(longest, len([]rune(line)))
				}
			}
			if longest > most || longest < most-20 {
				t.Errorf("%d columns: the longest line has %d, not about %d\n%s", columns, longest, most, text)
			}
			piped, err := os.ReadFile(filepath.Join(p.dir, "doctor"))
			if err != nil || strings.ContainsAny(string(piped), "\x1b✓✗") || !strings.Contains(string(piped), "  ok         configuration") {
				t.Errorf("the pipe has %q, %v", piped, err)
			}
		})
	}
}

// TestProgressAtTerminal: who waits for more than a second reads what for, on a line that goes away; in a pipe there is none.
func TestProgressAtTerminal(t *testing.T) {
	silent, err := net.Listen("tcp4", "127.0.0.1:0") // it takes calls, and never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	p := sitDown(t, 100, map[string]string{"TERM": "xterm"})
	rewrite(t, filepath.Join(hostOf(p.env, "HOME"), ".config/clerk-credential-helper/config.toml"), hostOf(p.env, "ISSUER"), "http://"+silent.Addr().String())
	for command, what := range map[string]string{"doctor": "checking", "companion check http://" + silent.Addr().String(): "asking", "setup " + silent.Addr().String(): "asking"} {
		cmd := p.run("clerk-credential-helper", strings.Fields(command)...)
		p.see(what + ` http://127\.0\.0\.1:\d+ \.\.\. \ds`)
		p.typeIn("\x03")
		_ = cmd.Wait() // with the status of a command that was interrupted, or of a doctor whose checks failed
		p.drain()
		if matches(` \.\.\. \ds`, p.screen()) {
			t.Errorf("%s: the line stays on\n%s", command, p.screen())
		}
		p.mu.Lock()
		p.seen.Reset()
		p.mu.Unlock()
	}
	cmd := p.run("sh", "-c", "clerk-credential-helper doctor 2> words")
	p.see("checks failed")
	p.end(cmd, exitFailed)
	if words, err := os.ReadFile(filepath.Join(p.dir, "words")); err != nil || matches(`checking`, string(words)+p.screen()) {
		t.Errorf("standard error has %q, %v, and the terminal\n%s", words, err, p.screen())
	}
}

// TestFirstScreenFits: the help of who types nothing more fits a small terminal, with the shell's prompt below it.
func TestFirstScreenFits(t *testing.T) {
	p := sitDown(t, 60, nil)
	p.end(p.run("clerk-credential-helper"), exitOK)
	p.drain()
	if rows := strings.Count(p.seenText(), "\n"); rows > 23 {
		t.Errorf("it has %d rows:\n%s", rows, p.screen())
	}
}

// TestBrowserAtTerminal: the person sees the address and how long it waits, and what they type is nothing to anybody;
// standard output stays the tool's.
func TestBrowserAtTerminal(t *testing.T) {
	p := sitDown(t, 100, map[string]string{"TERM": "xterm"})
	p.browser()
	p.typeIn("nothing of use\r")
	p.end(p.run("sh", "-c", `printf 'protocol=https\nhost=git.acme.dev\n' | git-credential-clerk get >out 2>err`), 0)
	out, err := os.ReadFile(filepath.Join(p.dir, "out"))
	if err != nil || !strings.HasPrefix(string(out), "username=clerk\npassword=") {
		t.Errorf("git was answered %d bytes, %v", len(out), err)
	}
	if words, err := os.ReadFile(filepath.Join(p.dir, "err")); err != nil || len(words) > 0 {
		t.Errorf("standard error has %q, %v", words, err)
	}
	text := p.seenText()
	for _, want := range []string{`Signing in to acme: your browser opens\.`, `http://127\.0\.0\.1:\d+/oauth/authorize\?`,
		`Waiting until .*; press Ctrl-C to give up\.`, `Signed in to acme as ada@acme\.dev\.`} {
		if !matches(want, text) {
			t.Errorf("the terminal does not show %q but\n%s", want, text)
		}
	}
	if a, b := p.world.Clerk.Count("authorize"), p.world.Clerk.Count("token:authorization_code"); a != 1 || b != 1 {
		t.Errorf("%d pages, %d codes", a, b)
	}
}

// TestLegacyPageAtTerminal: before a page of the original kind opens, the person reads what is wrong with it, and
// afterwards they are asked.
func TestLegacyPageAtTerminal(t *testing.T) {
	p := sitDown(t, 100, nil)
	p.browser()
	config := filepath.Join(hostOf(p.env, "HOME"), ".config/clerk-credential-helper/config.toml")
	rewrite(t, config, `client_id = "sandbox-client"`, fmt.Sprintf("legacy_page = %q", p.world.WebApp(true, t.Cleanup)+"/original/cli-auth"))
	cmd := p.run("clerk-credential-helper", "login")
	p.see(`the token stands(?s).*Is that your account\? \[y/N\] $`)
	p.typeIn("n\r")
	p.end(cmd, exitFailed)
	if !matches(`you did not take the\s+account for yours`, p.screen()) {
		t.Errorf("the terminal shows\n%s", p.screen())
	}
}

// TestLadder: a browser that cannot be started is no end: the address is shown to be opened anywhere.
func TestLadder(t *testing.T) {
	testworld.Need(t, "git")
	fails := filepath.Join(t.TempDir(), "browser")
	if err := os.WriteFile(fails, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := sitDown(t, 100, map[string]string{"BROWSER": fails})
	cmd := p.run("git", "clone", "--quiet", "https://"+hostOf(p.env, "GIT")+"/hello.git", "hello")
	p.see("No browser could be opened")
	p.see("Open this address in a browser on any machine")
	p.mu.Lock()
	text := p.seen.String()
	p.seen.Reset()
	p.seen.WriteString(text[strings.Index(text, "No browser could"):]) // the first address is void
	p.mu.Unlock()
	address := p.elsewhere()
	p.reading()
	p.typeIn(address + "\r")
	p.end(cmd, 0)
}

// failingBrowser writes a browser's launcher that fails when it has been believed for a while.
func (p *person) failingBrowser() string {
	p.Helper()
	launcher := filepath.Join(p.dir, "late")
	if err := os.WriteFile(launcher, []byte("#!/bin/sh\nsleep 1\nexit 3\n"), 0o700); err != nil {
		p.Fatal(err)
	}
	return "BROWSER=" + launcher
}

// TestLadderLate: a launcher that fails after a while is no end either.
func TestLadderLate(t *testing.T) {
	p := sitDown(t, 100, nil)
	p.env = append(p.env, p.failingBrowser(), "DISPLAY=:0")
	cmd := p.run("clerk-credential-helper", "login")
	p.see("If it does not, open this address")
	p.see("No browser could be opened")
	p.see("Open this (address in a browser on any machine|page in a browser on any device)")
	p.typeIn("\x03")
	p.end(cmd, exitInterrupted)
}

// TestLateWithoutTerminal: a tool without a terminal, whose launcher fails after a while, shows where to go; then the call
// goes on. Neither the sign-in address nor a code is there.
func TestLateWithoutTerminal(t *testing.T) {
	p := sitDown(t, 100, map[string]string{"DISPLAY": ":0"})
	get := exec.Command("git-credential-clerk", "get")
	get.Path, _ = exec.LookPath("git-credential-clerk")
	get.Env, get.Stdin = append(p.env, p.failingBrowser()), strings.NewReader("protocol=https\nhost=git.acme.dev\n")
	get.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var answer strings.Builder
	get.Stdout, get.Stderr = &answer, w
	if err := get.Start(); err != nil {
		t.Fatal(err)
	}
	p.Cleanup(func() { get.Process.Kill() })
	w.Close()
	var said strings.Builder
	start, lines := "", bufio.NewScanner(r)
	for start == "" && lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if line := strings.TrimSpace(lines.Text()); strings.HasPrefix(line, "http://127.0.0.1:") {
			start = line
		}
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := (&http.Client{Jar: jar}).Get(start); err != nil {
		t.Errorf("the address %q: %v", start, err)
	} else {
		resp.Body.Close()
	}
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
	}
	if err := get.Wait(); err != nil || !strings.Contains(answer.String(), "password=") {
		t.Errorf("get answered %d bytes, %v", answer.Len(), err)
	}
	if text := said.String(); !strings.Contains(text, "No browser could be opened") || strings.Count(text, start) != 1 || strings.Contains(text, "code=") || strings.Contains(text, "state=") {
		t.Errorf("standard error has\n%s", text)
	}
}

// TestHTTPSOnly: a browser that uses nothing but https does not reach the listener. The person reads so once, at the
// terminal, and the sign-in goes on.
func TestHTTPSOnly(t *testing.T) {
	p := sitDown(t, 100, nil)
	cmd := p.run("clerk-credential-helper", "login", "--flow", "paste")
	address := p.elsewhere()
	p.reading()
	back, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if conn, err := tls.Dial("tcp4", back.Host, &tls.Config{InsecureSkipVerify: true}); err == nil {
			conn.Close()
			t.Error("the listener speaks TLS")
		}
	}
	p.see(`The browser asked over https: open\s+the\s+address\s+with\s+http,\s+or\s+paste\s+the\s+address\s+that\s+it\s+shows\.`)
	p.typeIn(strings.Replace(address, "http:", "https:", 1) + "\r")
	p.end(cmd, exitOK)
	if n := strings.Count(p.screen(), "asked over https"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}

// TestLauncherArguments: while the browser is being started, no argument list on the machine holds state, nonce,
// challenge or the sign-in address, and the one that does stand there is good once.
func TestLauncherArguments(t *testing.T) {
	dir := t.TempDir()
	pipe, launcher := filepath.Join(dir, "pipe"), filepath.Join(dir, "browser")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(launcher, []byte("#!/bin/sh\necho \"$1\" >\""+pipe+"\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := sitDown(t, 100, map[string]string{"BROWSER": launcher})
	cmd := p.run("clerk-credential-helper", "login")
	parts := secretParts(t, p)
	arguments := allArguments(t)
	for end := time.Now().Add(20 * time.Second); !strings.Contains(arguments, "/start/"); arguments = allArguments(t) {
		if time.Now().After(end) {
			t.Fatal("no browser is started")
		}
	}
	for _, part := range parts {
		if strings.Contains(arguments, part) {
			t.Errorf("%q stands in an argument list", part)
		}
	}
	start, err := os.ReadFile(pipe)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(strings.TrimSpace(string(start)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p.see("signed in to acme as ada@acme.dev")
	p.end(cmd, exitOK)
}
