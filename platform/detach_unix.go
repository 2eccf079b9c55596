//go:build unix

package platform

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// withhold marks what was left open for us as not to be inherited, until giveBack. Our own files are marked already.
func withhold() (giveBack func()) {
	var held []uintptr
	for _, fd := range openDescriptors() {
		flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		if _, err := unix.FcntlInt(fd, unix.F_SETFD, flags|unix.FD_CLOEXEC); err == nil {
			held = append(held, fd)
		}
	}
	return func() {
		for _, fd := range held {
			_, _ = unix.FcntlInt(fd, unix.F_SETFD, 0) // it was there a moment ago
		}
	}
}

// openDescriptors lists the open descriptors above the standard streams, as far as the system tells.
func openDescriptors() []uintptr {
	dir, err := os.Open("/dev/fd")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what came before an error is better than nothing
	var all []uintptr
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd > unix.Stderr {
			all = append(all, uintptr(fd))
		}
	}
	return all
}
