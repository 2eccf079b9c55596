//go:build unix

package platform

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// readerGone asks poll(2) for no events: it reports a closed other end in any case. macOS reports it only if POLLHUP is
// asked for, and then also for a socket whose other end still reads and has only stopped writing (xnu, sys_generic.c
// and sys_pipe.c), so it is asked about pipes alone.
func readerGone(ctx context.Context, f *os.File, pipe bool) bool {
	var events int16
	if pipe {
		events = unix.POLLHUP
	}
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: events}}
		_, err := unix.Poll(fds, int(lookAgain.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || fds[0].Revents&unix.POLLNVAL != 0:
			<-ctx.Done()
		case fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0:
			return true
		}
	}
	return false
}
