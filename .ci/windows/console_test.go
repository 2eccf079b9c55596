package windows

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"

	"golang.org/x/sys/windows"
)

// TestMain lets the test binary play the program that a person calls others from, as cmd.exe is, and the browser that never
// comes back.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "caller" {
		signal.Notify(make(chan os.Signal, 1), os.Interrupt) // it outlives Ctrl-C
		server := rpc.NewServer()
		server.Register(&Caller{running: map[int]*process{}})
		server.ServeConn(pipes{os.Stdin, os.Stdout})
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "browser" {
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// pipes are a connection of two pipes.
type pipes struct{ in, out *os.File }

func (p pipes) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p pipes) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p pipes) Close() error                { return errors.Join(p.in.Close(), p.out.Close()) }

// Caller runs programs in the console that it has.
type Caller struct{ running map[int]*process }

type process struct {
	*exec.Cmd
	out, err bytes.Buffer
}

// Call is a program with its arguments. With OnConsole its streams are the console's; otherwise it gets Input, and its answer is
// kept.
type Call struct {
	Args      []string
	Env       []string
	Input     string
	OnConsole bool
}

// Ended is how a program ended.
type Ended struct {
	Status   int
	Out, Err string
}

// Modes are those of the console: for what is typed, and for what is shown.
type Modes struct{ In, Out uint32 }

// Start starts a program and returns its process id.
func (c *Caller) Start(call Call, pid *int) error {
	p := &process{Cmd: exec.Command(call.Args[0], call.Args[1:]...)}
	p.Env = call.Env
	p.Stdin, p.Stdout, p.Stderr = strings.NewReader(call.Input), &p.out, &p.err
	if call.OnConsole {
		in, err := os.OpenFile("CONIN$", os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile("CONOUT$", os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer out.Close()
		p.Stdin, p.Stdout, p.Stderr = in, out, out
	}
	if err := p.Cmd.Start(); err != nil {
		return err
	}
	*pid = p.Process.Pid
	c.running[*pid] = p
	return nil
}

// Wait waits for the end of a program.
func (c *Caller) Wait(pid int, ended *Ended) error {
	p := c.running[pid]
	if err := p.Cmd.Wait(); p.ProcessState == nil {
		return err
	}
	*ended = Ended{p.ProcessState.ExitCode(), p.out.String(), p.err.String()}
	return nil
}

// Modes returns the modes that the console has now.
func (c *Caller) Modes(_ int, modes *Modes) error {
	for name, mode := range map[string]*uint32{"CONIN$": &modes.In, "CONOUT$": &modes.Out} {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := windows.GetConsoleMode(windows.Handle(f.Fd()), mode); err != nil {
			return err
		}
	}
	return nil
}

// Press sends Ctrl-C to all programs on the console.
func (c *Caller) Press(_ int, _ *int) error {
	return windows.GenerateConsoleCtrlEvent(windows.CTRL_C_EVENT, 0)
}

// console is a pseudo console (Microsoft, "Creating a Pseudoconsole session"), as Windows Terminal has one for each window, with a
// Caller in it.
type console struct {
	t      *testing.T
	handle windows.Handle
	keys   *os.File
	caller *rpc.Client

	mu    sync.Mutex
	shown bytes.Buffer
	close func()
}

// columns are many, so that no address is broken.
const columns = 1000

func openConsole(t *testing.T) *console {
	t.Helper()
	c := &console{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	keysIn, keys, err := os.Pipe()
	must(err)
	screen, screenOut, err := os.Pipe()
	must(err)
	c.keys = keys
	must(windows.CreatePseudoConsole(windows.Coord{X: columns, Y: 50}, windows.Handle(keysIn.Fd()), windows.Handle(screenOut.Fd()), 0, &c.handle))
	keysIn.Close()
	screenOut.Close()
	c.close = sync.OnceFunc(func() { windows.ClosePseudoConsole(c.handle) })
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := screen.Read(b)
			c.mu.Lock()
			c.shown.Write(b[:n])
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()

	theirIn, in, err := os.Pipe()
	must(err)
	out, theirOut, err := os.Pipe()
	must(err)
	attributes, err := windows.NewProcThreadAttributeList(1)
	must(err)
	defer attributes.Delete()
	must(attributes.Update(windows.PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, *(*unsafe.Pointer)(unsafe.Pointer(&c.handle)), unsafe.Sizeof(c.handle)))
	info := &windows.StartupInfoEx{ProcThreadAttributeList: attributes.List()}
	info.Cb = uint32(unsafe.Sizeof(*info))
	info.Flags = windows.STARTF_USESTDHANDLES
	info.StdInput, info.StdOutput = windows.Handle(theirIn.Fd()), windows.Handle(theirOut.Fd())
	for _, h := range []windows.Handle{info.StdInput, info.StdOutput} {
		must(windows.SetHandleInformation(h, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT))
	}
	self, err := os.Executable()
	must(err)
	line, err := windows.UTF16PtrFromString(windows.ComposeCommandLine([]string{self, "caller"}))
	must(err)
	var started windows.ProcessInformation
	must(windows.CreateProcess(nil, line, nil, nil, true, windows.EXTENDED_STARTUPINFO_PRESENT, nil, nil, &info.StartupInfo, &started))
	theirIn.Close()
	theirOut.Close()
	windows.CloseHandle(started.Thread)
	windows.CloseHandle(started.Process)
	c.caller = rpc.NewClient(pipes{out, in})
	t.Cleanup(func() {
		c.caller.Close()
		c.close()
		keys.Close()
		if t.Failed() {
			t.Logf("the console shows\n%s", c.screen())
		}
	})
	return c
}

// escapes are what a pseudo console draws with.
var escapes = regexp.MustCompile(`\x1b(\[[0-9;?]*[A-Za-z]|\][^\a]*\a)`)

func (c *console) screen() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return escapes.ReplaceAllString(c.shown.String(), "")
}

// see waits until the console has shown what the pattern names, and returns the last of it.
func (c *console) see(pattern string) string {
	c.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if found := re.FindAllStringSubmatch(c.screen(), -1); found != nil {
			last := found[len(found)-1]
			return last[len(last)-1]
		}
	}
	c.t.Fatalf("the console does not show %q", pattern)
	return ""
}

// wipe forgets what was shown.
func (c *console) wipe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown.Reset()
}

func (c *console) typeIn(text string) {
	c.t.Helper()
	if _, err := c.keys.WriteString(text); err != nil {
		c.t.Fatal(err)
	}
}

// ask has the caller do something.
func ask[R any](c *console, method string, args any) (result R) {
	c.t.Helper()
	ended := c.caller.Go("Caller."+method, args, &result, make(chan *rpc.Call, 1))
	select {
	case <-ended.Done:
		if ended.Error != nil {
			c.t.Fatalf("%s: %v", method, ended.Error)
		}
	case <-time.After(limit):
		c.t.Fatalf("%s takes more than %v", method, limit)
	}
	return result
}

func (c *console) start(call Call) (pid int) {
	c.t.Helper()
	program, err := exec.LookPath(call.Args[0])
	if err != nil {
		c.t.Fatal(err)
	}
	call.Args[0] = program
	return ask[int](c, "Start", call)
}

// run runs a program on the console to its end.
func (c *console) run(env []string, args ...string) Ended {
	c.t.Helper()
	return ask[Ended](c, "Wait", c.start(Call{Args: args, Env: env}))
}

// event delivers a control event to a process as the system does: by a thread at CtrlRoutine of kernelbase.dll. Wine 8 itself
// ends a process at Ctrl-Break, and at the end of its console, without asking it.
func event(t *testing.T, pid int, event uintptr) {
	t.Helper()
	const createThread = windows.PROCESS_CREATE_THREAD | windows.PROCESS_QUERY_INFORMATION | windows.PROCESS_VM_OPERATION |
		windows.PROCESS_VM_WRITE | windows.PROCESS_VM_READ
	p, err := windows.OpenProcess(createThread, false, uint32(pid))
	if err != nil {
		t.Fatal(err)
	}
	defer windows.CloseHandle(p)
	routine := windows.NewLazySystemDLL("kernelbase.dll").NewProc("CtrlRoutine")
	create := windows.NewLazySystemDLL("kernel32.dll").NewProc("CreateRemoteThread")
	thread, _, err := create.Call(uintptr(p), 0, 0, routine.Addr(), event, 0, 0)
	if thread == 0 {
		t.Fatal(err)
	}
	windows.CloseHandle(windows.Handle(thread))
}

// ends waits for the end of a process, and returns its status.
func ends(t *testing.T, p windows.Handle) uint32 {
	t.Helper()
	start := time.Now()
	if got, err := windows.WaitForSingleObject(p, uint32(limit.Milliseconds())); got != windows.WAIT_OBJECT_0 {
		t.Fatalf("it did not end: %d, %v", got, err)
	}
	var status uint32
	if err := windows.GetExitCodeProcess(p, &status); err != nil {
		t.Fatal(err)
	}
	t.Logf("it ended after %v, with status %d", time.Since(start).Round(time.Millisecond), status)
	return status
}

// handleOf opens a process, so that its end and its status are seen though the caller has ended.
func handleOf(t *testing.T, pid int) windows.Handle {
	t.Helper()
	p, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_QUERY_INFORMATION, false, uint32(pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { windows.CloseHandle(p) })
	return p
}

// tree returns what is below a folder, but for what stays by design: locks and records.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() && e.Name() == "locks" {
			return filepath.SkipDir
		}
		if err == nil && !e.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// waitingBrowser is a BROWSER that starts and never comes back.
func waitingBrowser(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return `BROWSER="` + self + `" browser`
}

const (
	ctrlBreak = windows.CTRL_BREAK_EVENT
	ctrlClose = 2 // CTRL_CLOSE_EVENT
)

// TestConsoleEnds: Ctrl-C, Ctrl-Break and a window that is closed each end a sign-in that waits. It is told, the listener is
// closed, the next sign-in begins at once, the console is as it was, and nothing is left.
func TestConsoleEnds(t *testing.T) {
	for _, row := range []struct {
		name  string
		login []string
		shows string // when it waits
		end   func(t *testing.T, c *console, pid int)
		alive bool // the console is still there
	}{
		{"Ctrl-C, browser", nil, "your browser opens", func(_ *testing.T, c *console, _ int) { ask[int](c, "Press", 0) }, true},
		{"Ctrl-C, paste", []string{"--no-browser"}, "press Enter", func(_ *testing.T, c *console, _ int) { ask[int](c, "Press", 0) }, true},
		{"Ctrl-Break", nil, "your browser opens", func(t *testing.T, _ *console, pid int) { event(t, pid, ctrlBreak) }, true},
		{"Ctrl-Break, paste", []string{"--no-browser"}, "press Enter", func(t *testing.T, _ *console, pid int) { event(t, pid, ctrlBreak) }, true},
		{"the event of a closed window", nil, "your browser opens", func(t *testing.T, _ *console, pid int) { event(t, pid, ctrlClose) }, true},
		{"a closed window", nil, "your browser opens", func(_ *testing.T, c *console, _ int) { c.close() }, false},
		{"a closed window, paste", []string{"--no-browser"}, "press Enter", func(_ *testing.T, c *console, _ int) { c.close() }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			home, env := newHome(t)
			temp := tempDir(t)
			env = append(env, waitingBrowser(t), "TERM=xterm", "TEMP="+temp, "TMP="+temp)
			c := openConsole(t)
			before, files := ask[Modes](c, "Modes", 0), tree(t, home)
			pid := c.start(Call{Args: append([]string{"clerk-credential-helper", "login"}, row.login...), Env: env, OnConsole: true})
			p := handleOf(t, pid)
			c.see(row.shows)
			address := "127.0.0.1:" + c.see(`redirect_uri=http%3A%2F%2F127\.0\.0\.1%3A([0-9]+)`)
			c.see("press Ctrl-C to give up")
			if conn, err := net.Dial("tcp", address); err != nil {
				t.Fatalf("nothing listens: %v", err)
			} else {
				conn.Close()
			}
			row.end(t, c, pid)
			status := ends(t, p)
			if row.alive {
				if status != 130 { // where the window is closed, Windows lets it end by itself, and Wine kills it
					t.Errorf("status %d, not 130", status)
				}
				c.see("it was cancelled")
				if now := ask[Modes](c, "Modes", 0); now != before {
					t.Errorf("the console's modes are %x, and were %x", now, before)
				}
			}
			if conn, err := net.DialTimeout("tcp", address, 10*time.Second); err == nil {
				conn.Close()
				t.Error("the listener is still there")
			}
			if now := tree(t, home); !slices.Equal(now, files) {
				t.Errorf("it has left %q; there was %q", now, files)
			}
			if left := tree(t, temp); len(left) > 0 {
				t.Errorf("it has left %q", left)
			}
			// The locks are free: another sign-in waits for none.
			out, err := run(t, append(env, "BROWSER=clerk-demo-browser"), "clerk-credential-helper", "login")
			if err != nil || !strings.Contains(out, "signed in to acme") || strings.Contains(out, "Waiting for the sign-in") {
				t.Errorf("the next sign-in: %v\n%s", err, out)
			}
		})
	}
}

// TestConsoleRefresh: Clerk has got a refresh when the caller ends. The new session is not lost.
func TestConsoleRefresh(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, c *console, pid int){
		"Ctrl-C":          func(_ *testing.T, c *console, _ int) { ask[int](c, "Press", 0) },
		"Ctrl-Break":      func(t *testing.T, _ *console, pid int) { event(t, pid, ctrlBreak) },
		"a closed window": func(_ *testing.T, c *console, _ int) { c.close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, home, env := newWorld(t)
			if out, err := run(t, env, "clerk-credential-helper", "login"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if err := testworld.Age(home, 25*time.Hour); err != nil {
				t.Fatal(err)
			}
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.Delay = 3 * time.Second })
			c := openConsole(t)
			pid := c.start(Call{Args: []string{"git-credential-clerk", "get"}, Env: env, Input: request})
			p := handleOf(t, pid)
			for start := time.Now(); w.Clerk.Count("token:refresh_token") == 0; time.Sleep(10 * time.Millisecond) {
				if time.Since(start) > limit {
					t.Fatal("no refresh came")
				}
			}
			end(t, c, pid)
			ends(t, p)
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if err := testworld.Settle(ctx, home, lock); err != nil {
				t.Fatal(err)
			}
			out, err := run(t, env, "clerk-credential-helper", "token")
			if err != nil || !strings.HasPrefix(out, "ey") {
				t.Errorf("%v\n%s", err, out)
			}
			if n := w.Clerk.Count("token:refresh_token"); n != 1 {
				t.Errorf("%d refreshes, not one", n)
			}
		})
	}
}

// lastPage follows a sign-in to the address of its last page, which a person copies from their browser.
func lastPage(t *testing.T, authorize string) string {
	t.Helper()
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := stay.Get(authorize)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if !strings.Contains(res.Header.Get("Location"), "code=") {
		t.Fatalf("%s: %q", res.Status, res.Header)
	}
	return res.Header.Get("Location")
}

// atConsole is the environment of a person who can be asked.
func atConsole(env []string, more ...string) []string {
	return append(append(env, "CLERK_HELPER_INTERACTIVE=auto", "GIT_TERMINAL_PROMPT=1", "TERM=xterm"), more...)
}

const request = "protocol=https\nhost=git.acme.dev\n\n"

// TestConsoleOfTool: the streams of a tool are its own. Its person is asked on the console, and answers there, unseen.
func TestConsoleOfTool(t *testing.T) {
	_, env := newHome(t)
	env = atConsole(env, waitingBrowser(t))
	c := openConsole(t)
	before := ask[Modes](c, "Modes", 0)
	pid := c.start(Call{Args: []string{"git-credential-clerk", "get"}, Env: env, Input: request})
	authorize := c.see(`(http://127\.0\.0\.1:[0-9]+/oauth/authorize\S+)`)
	c.see("press Ctrl-C to give up")
	during := before
	for start := time.Now(); during.In == before.In && time.Since(start) < limit; time.Sleep(10 * time.Millisecond) {
		during = ask[Modes](c, "Modes", 0)
	}
	if during.In&(windows.ENABLE_ECHO_INPUT|windows.ENABLE_LINE_INPUT) != 0 || during.In&windows.ENABLE_PROCESSED_INPUT == 0 {
		t.Errorf("what is typed is read in mode %x", during.In)
	}
	if during.Out&windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING == 0 {
		t.Errorf("the console shows in mode %x, without escape sequences", during.Out)
	}
	c.typeIn("something else\r")
	c.see("Sorry, .*Please try again")
	page := lastPage(t, authorize)
	c.typeIn(page + "\r")
	ended := ask[Ended](c, "Wait", pid)
	if !regexp.MustCompile(`^username=clerk\npassword=ey\S+\npassword_expiry_utc=[0-9]+\n$`).MatchString(ended.Out) || ended.Status != 0 || ended.Err != "" {
		t.Errorf("%+v", ended)
	}
	c.see("Signed in to acme as ada@acme.dev")
	if now := ask[Modes](c, "Modes", 0); now != before {
		t.Errorf("the console's modes are %x, and were %x", now, before)
	}
	if code := page[strings.Index(page, "code="):]; strings.Contains(c.screen(), code[:20]) || strings.Contains(c.screen(), "something else") {
		t.Error("the console shows what was typed")
	}
}

// TestConsoleOfCommand: the questions of a command are answered on the console, and Ctrl-C there ends it.
func TestConsoleOfCommand(t *testing.T) {
	home, env := newHome(t)
	env = atConsole(env)
	file := filepath.Join(home, ".cargo", "config.toml")
	for _, row := range []struct {
		name   string
		answer func(c *console)
		status int
		made   bool
	}{
		{"Ctrl-C", func(c *console) { ask[int](c, "Press", 0) }, 130, false},
		{"no", func(c *console) { c.typeIn("n\r") }, 1, false},
		{"yes", func(c *console) { c.typeIn("y\r") }, 0, true},
	} {
		c := openConsole(t)
		before := ask[Modes](c, "Modes", 0)
		pid := c.start(Call{Args: []string{"clerk-credential-helper", "setup", "cargo"}, Env: env, OnConsole: true})
		c.see(`\[[Yy]/[Nn]\]`)
		row.answer(c)
		ended := ask[Ended](c, "Wait", pid)
		if _, err := os.Stat(file); ended.Status != row.status || (err == nil) != row.made {
			t.Errorf("%s: status %d, not %d; the file: %v", row.name, ended.Status, row.status, err)
		}
		if now := ask[Modes](c, "Modes", 0); now != before {
			t.Errorf("%s: the console's modes are %x, and were %x", row.name, now, before)
		}
	}
}

// TestNoConsole: without a console and a browser the wire says that there is no credential, and nothing else.
func TestNoConsole(t *testing.T) {
	w, _, env := newWorld(t)
	env = atConsole(env, "BROWSER=", "SSH_CONNECTION=192.0.2.1 50000 192.0.2.2 22") // whose person sees no window of this machine
	for program, row := range map[string]struct {
		input, out, why string
		status          int
	}{
		"git-credential-clerk":    {request, "", "there is neither a terminal nor a graphical session", 0},
		"docker-credential-clerk": {"registry.acme.dev", "credentials not found in native keychain\n", "there is neither a terminal nor a graphical session", 1},
		"bazel-credential-clerk":  {`{"uri":"https://cache.pkg.acme.dev/x"}`, "", "bazel does not wait for a person", 1},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, "get")
		cmd.Env, cmd.Stdin = env, strings.NewReader(row.input)
		cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS}
		var words bytes.Buffer
		cmd.Stderr = &words
		out, err := cmd.Output()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if string(out) != row.out || cmd.ProcessState.ExitCode() != row.status || !strings.Contains(words.String(), row.why) {
			t.Errorf("%s: %q, status %d\n%s", program, out, cmd.ProcessState.ExitCode(), words.String())
		}
	}
	if n := w.Clerk.Count("authorize"); n != 0 {
		t.Errorf("%d sign-ins", n)
	}
}
