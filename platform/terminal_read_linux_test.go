package platform

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// reader is a process that reads lines from a terminal of its own, as a person sees it.
type reader struct {
	*testing.T
	keyboard *os.File // the other end of the terminal
	tty      *os.File
	cmd      *exec.Cmd
	out      *os.File
	said     *bufio.Reader
	before   unix.Termios
}

// startReader runs the reader below sh, with $0 for it, as a shell's job.
func startReader(t *testing.T, limit, shell string) *reader {
	t.Helper()
	return startReaderAs(t, "reading", limit, shell)
}

func startReaderAs(t *testing.T, role, limit, shell string) *reader {
	t.Helper()
	ptmx, tty := openPty(t)
	cmd := self(t, role, "PLATFORM_TEST_LIMIT="+limit)
	cmd.Args = []string{"sh", "-c", shell, cmd.Path}
	cmd.Path = "/bin/sh"
	cmd.Stdin = tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe := out.(*os.File)
	r := &reader{T: t, keyboard: ptmx, tty: tty, cmd: cmd, out: pipe, said: bufio.NewReader(pipe), before: termios(t, tty)}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	r.expect("reading")
	return r
}

func termios(t *testing.T, tty *os.File) unix.Termios {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(tty.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	return *mode
}

// awaitMode waits until the terminal echoes, or does not.
func (r *reader) awaitMode(echo bool) {
	r.Helper()
	for end := time.Now().Add(10 * time.Second); (termios(r.T, r.tty).Lflag&unix.ECHO != 0) != echo; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("the terminal's echo is not %v", echo)
		}
	}
}

func (r *reader) expect(want string) {
	r.Helper()
	if err := r.out.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		r.Fatal(err)
	}
	line, err := r.said.ReadString('\n')
	if strings.TrimSpace(line) != want {
		r.Fatalf("said %q, %v; want %q", line, err, want)
	}
}

func (r *reader) typeIn(text string) {
	r.Helper()
	if _, err := io.WriteString(r.keyboard, text); err != nil {
		r.Fatal(err)
	}
}

// end waits for the process and looks whether the terminal is what it was.
func (r *reader) end() {
	r.Helper()
	if _, err := io.Copy(io.Discard, r.said); err != nil {
		r.Error(err)
	}
	err := r.cmd.Wait()
	r.Logf("ended: %v", err)
	if got := termios(r.T, r.tty); got != r.before {
		r.Errorf("the terminal was left in %+v, it was in %+v", got, r.before)
	}
	if n, err := unix.IoctlGetInt(int(r.tty.Fd()), unix.TIOCINQ); err != nil || n != 0 {
		r.Errorf("%d bytes of input are left for the shell, %v", n, err)
	}
}

func TestReadLines(t *testing.T) {
	r := startReader(t, "30s", `exec "$0"`)
	r.awaitMode(false)
	// More than the line discipline of Linux keeps.
	r.typeIn(strings.Repeat("a", 12_000) + "\r")
	r.expect(`12000 false "` + strings.Repeat("a", 40) + `"`)
	r.typeIn("\x1b[200~http://127.0.0.1:1/callback?x\x1b[201~\r")
	r.expect(`29 false "http://127.0.0.1:1/callback?x"`)
	// A whole page is one answer.
	r.typeIn("one\rtwo\rthree\r")
	r.expect(`13 false "one\ntwo\nthree"`)
	// An address that was copied from a narrow window, without a line end behind it, and with the marks of a paste.
	r.typeIn("\x1b[200~http://127.0.0.1:1\r/callback?x\x1b[201~")
	r.expect(`30 false "http://127.0.0.1:1\n/callback?x"`)
	r.typeIn("\x1b[200~http://127.0.0.1:1\r/callback?x\r\r\x1b[201~\r")
	r.expect(`30 false "http://127.0.0.1:1\n/callback?x"`)
	r.typeIn("one\r" + strings.Repeat("c", 20_000) + "\r")
	r.expect(`16388 false "one\n` + strings.Repeat("c", 36) + `"`)
	r.typeIn(strings.Repeat("b", 1<<20) + "\r")
	r.expect(`0 true ""`)
	r.typeIn("\x04")
	r.expect("end <nil>")
	r.end()

	// Nothing of it was echoed.
	if n, err := unix.IoctlGetInt(int(r.keyboard.Fd()), unix.TIOCINQ); err != nil || n != 0 {
		t.Errorf("the terminal shows %d bytes, %v", n, err)
	}
}

func TestReadLinesCtrlC(t *testing.T) {
	r := startReader(t, "30s", `"$0"; echo status $?`)
	r.awaitMode(false)
	r.typeIn("half a line")
	r.typeIn("\x03")
	r.expect("end context canceled")
	r.end()
}

// TestReadLinesEmptied: Ctrl-C takes what was typed out of the queue, also between the reader's look and its read.
func TestReadLinesEmptied(t *testing.T) {
	r := startReaderAs(t, "reading again", "", `trap : INT; "$0"`)
	for range 200 {
		r.awaitMode(false)
		r.typeIn("half a line")
		r.typeIn("\x03")
		r.expect("end context canceled")
		r.expect("reading")
	}
}

func TestReadLinesEndOfTime(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it waits for a limit")
	}
	t.Parallel() // most of it is waiting
	r := startReader(t, "3s", `exec "$0"`)
	r.awaitMode(false)
	r.typeIn("typed in vain")
	r.expect("end context deadline exceeded")
	r.end()
}

// TestReadLinesInBackground: what is typed is the shell's, which is not stopped, and neither is the reader.
func TestReadLinesInBackground(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it waits for a limit")
	}
	t.Parallel()
	r := startReader(t, "3s", `set -m; "$0" & read line; echo "the shell got $line"; wait; echo status $?`)
	if got := termios(t, r.tty); got != r.before {
		t.Errorf("the terminal was changed from the background: %+v", got)
	}
	r.typeIn("for the shell\n")
	r.expect("the shell got for the shell")
	r.expect("end context deadline exceeded")
	r.expect("status 0") // 149 or 150 would be a stopped one
	r.end()
}

// TestReadLinesStopped: Ctrl-Z stops it like anything else; in the foreground again it goes on with its own mode.
func TestReadLinesStopped(t *testing.T) {
	r := startReader(t, "30s", `set -m; "$0"; stty sane; echo stopped; read line; fg >/dev/null; echo back`)
	r.awaitMode(false)
	r.typeIn("\x1a")
	r.expect("stopped")
	r.awaitMode(true)
	r.typeIn("\n") // now the shell may go on
	r.awaitMode(false)
	r.typeIn("again\r")
	r.expect(`5 false "again"`)
	r.typeIn("\x04")
	r.expect("end <nil>")
	r.expect("back")
	const usual = unix.ECHO | unix.ICANON | unix.ISIG
	if got := termios(t, r.tty).Lflag & usual; got != usual {
		t.Errorf("the terminal was left with %#x of %#x", got, usual)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Error(err)
	}
}
