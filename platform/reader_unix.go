//go:build unix

package platform

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// readerGone asks poll(2) for nothing: that the other end is gone it tells all the same.
func readerGone(ctx context.Context, f *os.File) bool {
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(f.Fd())}}
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
