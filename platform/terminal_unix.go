//go:build unix

package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	ossignal "os/signal"
	"time"

	"golang.org/x/sys/unix"
)

func openTerminal() (*os.File, error) { return os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0) }

func foreground(f *os.File) bool {
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

func (t *Terminal) readLines(ctx context.Context, take func(string, bool) bool) error {
	fd := int(t.f.Fd())
	keys, err := openKeys()
	if err != nil {
		return fmt.Errorf("reading the terminal: %w", err)
	}
	defer unix.Close(keys)
	// The group is asked for before each read, and may still change in between. The signals would then stop the whole
	// group, git included; ignored, they make the read fail instead.
	ossignal.Ignore(unix.SIGTTIN, unix.SIGTTOU)
	defer ossignal.Reset(unix.SIGTTIN, unix.SIGTTOU)
	mode := lineMode{fd: fd}
	defer mode.restore()

	awake, wake, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("reading the terminal: %w", err)
	}
	defer awake.Close()
	stop := context.AfterFunc(ctx, func() { wake.Close() })
	defer func() {
		if stop() {
			wake.Close()
		}
	}()

	var in input
	buffer := make([]byte, 4096)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !t.Foreground() {
			if _, err := readable(int(awake.Fd()), -1, lookAgain); err != nil {
				return err
			}
			continue
		}
		if err := mode.set(); err != nil {
			return fmt.Errorf("setting the terminal: %w", err)
		}
		ready, err := readable(int(awake.Fd()), keys, lookAgain)
		if err != nil {
			return err
		}
		if !ready || !t.Foreground() {
			continue
		}
		n, err := unix.Read(keys, buffer)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EIO) && !t.Foreground():
			continue
		case err != nil:
			return fmt.Errorf("reading the terminal: %w", err)
		case n == 0: // it was hung up
			return io.EOF
		}
		for i, b := range buffer[:n] {
			complete, end := in.add(b)
			if end {
				return nil
			}
			if complete {
				in.addRest(buffer[i+1 : n])
				t.readRest(int(awake.Fd()), keys, buffer, &in)
				if !take(in.take()) {
					return nil
				}
				break
			}
		}
	}
}

// openKeys opens the terminal once more, for reads that never wait. What was there when readable looked may be gone: Ctrl-C
// and Ctrl-Z empty the queue before their signals are sent, and a read that waits knows nothing of the context's end.
func openKeys() (int, error) {
	for {
		fd, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// readRest reads the rest of a paste.
func (t *Terminal) readRest(awake, keys int, buffer []byte, in *input) {
	for began := time.Now(); time.Since(began) < maxPaste && t.Foreground(); {
		if ready, err := readable(awake, keys, pasteGap); err != nil || !ready {
			return
		}
		n, err := unix.Read(keys, buffer)
		if err != nil || n == 0 {
			return
		}
		in.addRest(buffer[:n])
	}
}

// readable waits until the terminal has something, the awake end of a pipe is closed, or the time is over. Select,
// because the poll and kqueue of macOS do not know terminals. A terminal of -1 is not looked at.
func readable(awake, terminal int, limit time.Duration) (bool, error) {
	var fds unix.FdSet
	if max(awake, terminal) >= unix.FD_SETSIZE {
		return false, errors.New("reading the terminal: too many files are open")
	}
	fds.Set(awake)
	if terminal >= 0 {
		fds.Set(terminal)
	}
	wait := unix.NsecToTimeval(limit.Nanoseconds())
	_, err := unix.Select(max(awake, terminal)+1, &fds, nil, nil, &wait)
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("waiting for the terminal: %w", err)
	}
	return terminal >= 0 && fds.IsSet(terminal) && !fds.IsSet(awake), nil
}

// lineMode is the mode of the terminal while we read: byte by byte, unseen, with Ctrl-C and Ctrl-Z as signals.
type lineMode struct {
	fd         int
	before, us *unix.Termios // us is nil before the first set
}

// set puts the terminal into our mode, also again after a shell has changed it behind Ctrl-Z and fg.
func (m *lineMode) set() error {
	now, err := unix.IoctlGetTermios(m.fd, getTermios)
	if err != nil || m.us != nil && *now == *m.us {
		return err
	}
	us := *now
	us.Lflag &^= unix.ICANON | unix.ECHO | unix.ECHONL | unix.IEXTEN
	us.Lflag |= unix.ISIG
	us.Cc[unix.VMIN], us.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(m.fd, setTermios, &us); err != nil {
		return err
	}
	if us, err := unix.IoctlGetTermios(m.fd, getTermios); err == nil {
		m.before, m.us = now, us // as the system has understood it
	}
	return nil
}

// restore sets the previous mode, unless another program has changed the mode meanwhile: a shell that took over has its
// own. After Ctrl-C we may be in the background already, with the mode still ours.
func (m *lineMode) restore() {
	if m.us == nil {
		return
	}
	if now, err := unix.IoctlGetTermios(m.fd, getTermios); err == nil && *now == *m.us {
		_ = unix.IoctlSetTermios(m.fd, setTermiosFlush, m.before) // a terminal that is gone needs nothing
	}
}
