//go:build unix

package platform

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNothingIsInherited: what our caller has opened for us ends with us, though a browser or a refresh goes on.
// The reader of a pipe would wait for them, and a lock of a script would stay locked.
func TestNothingIsInherited(t *testing.T) {
	for _, row := range []struct {
		name  string
		start func(t *testing.T, program string) error
	}{
		{"a browser", func(t *testing.T, program string) error {
			return OpenBrowser(t.Context(), pageURL, browserIs(program), io.Discard, fetched())
		}},
		{"a detached program", func(_ *testing.T, program string) error {
			_, err := StartDetached(program, "detached")
			return err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			log := filepath.Join(dir, "log")
			t.Setenv("TEST_LOG", log)
			// It reports that it runs, and stays.
			program := script(t, dir, "stays", "echo $$ >>$TEST_LOG; exec sleep 120")
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			inherited, err := unix.FcntlInt(w.Fd(), unix.F_DUPFD, 3) // without close-on-exec, as a shell's 3>...
			if err != nil {
				t.Fatal(err)
			}
			if err := row.start(t, program); err != nil {
				t.Fatal(err)
			}
			stop(t, log)
			if flags, err := unix.FcntlInt(uintptr(inherited), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
				t.Errorf("flags %d, %v: a command that we run later does not get it any more", flags, err)
			}
			unix.Close(inherited)
			w.Close()
			if err := r.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if n, err := r.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("read %d bytes, %v: another process still has the other end open", n, err)
			}
		})
	}
}

// stop waits until the script has said its number, and ends it at the end of the test.
func stop(t *testing.T, log string) {
	t.Helper()
	pid := awaitNumber(t, log)
	t.Cleanup(func() { unix.Kill(pid, unix.SIGKILL) })
}

// awaitNumber waits for the number of a process, the line that a script writes after its name.
func awaitNumber(t *testing.T, log string) int {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		_, number, _ := strings.Cut(string(data), "\n")
		number, whole := strings.CutSuffix(number, "\n")
		if !whole {
			continue
		}
		pid, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("the program has not said its number: %q", data)
		}
		return pid
	}
	t.Fatal("the program does not run")
	return 0
}
