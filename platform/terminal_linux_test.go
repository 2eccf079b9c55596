package platform

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTerminalForeground(t *testing.T) {
	ptmx, tty := openPty(t)
	if err := unix.IoctlSetWinsize(int(ptmx.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 132}); err != nil {
		t.Fatal(err)
	}
	cmd := self(t, "on terminal")
	cmd.Stdin = tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	out, err := cmd.Output()
	if err != nil || len(out) != 0 {
		t.Fatalf("stdout %q, %v; want nothing there", out, err)
	}
	line, err := bufio.NewReader(ptmx).ReadString('\n')
	if want := "foreground=true width=132"; strings.TrimSpace(line) != want {
		t.Errorf("the terminal got %q, %v; want %q", line, err, want)
	}
}

func TestTerminalBackground(t *testing.T) {
	ptmx, tty := openPty(t)
	cmd := self(t, "on terminal")
	cmd.Args = []string{"sh", "-c", `set -m; "$0" & wait`, cmd.Path} // set -m: a process group for each job
	cmd.Path = "/bin/sh"
	cmd.Stdin = tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(ptmx).ReadString('\n')
	if want := "foreground=false width=80"; strings.TrimSpace(line) != want {
		t.Errorf("in the background: %q, %v; want %q", line, err, want)
	}
}

func TestTerminalNone(t *testing.T) {
	cmd := self(t, "on terminal")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.Output()
	if want := "no terminal\n"; err != nil || string(out) != want {
		t.Errorf("without a controlling terminal: %q, %v; want %q", out, err, want)
	}
}

func TestGraphical(t *testing.T) {
	for _, row := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{"DISPLAY": ":0"}, true},
		{map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, true},
		{map[string]string{"WSL_DISTRO_NAME": "Debian"}, false}, // Where knows about Windows
		{map[string]string{"SSH_CONNECTION": "x"}, false},
		{map[string]string{"XDG_SESSION_TYPE": "tty"}, false},
		{map[string]string{"DISPLAY": ""}, false},
		{nil, false},
	} {
		if got := Graphical(func(name string) string { return row.env[name] }); got != row.want {
			t.Errorf("Graphical with %v = %v, want %v", row.env, got, row.want)
		}
	}
}

func openPty(t *testing.T) (ptmx, tty *os.File) {
	t.Helper()
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { ptmx.Close() })
	number, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(filepath.Join("/dev/pts", strconv.Itoa(number)), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return ptmx, tty
}
