//go:build unix

package platform

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock uses flock(2): the lock belongs to the open file, so a second open in the same process is refused too, and
// the kernel takes it back with the last descriptor. O_CLOEXEC keeps that descriptor out of our children.
func tryLock(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
}

// unlock does not wait for the close: a child that is between fork and exec still has the descriptor.
func unlock(f *os.File) { unix.Flock(int(f.Fd()), unix.LOCK_UN) }
