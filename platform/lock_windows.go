package platform

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks the first byte of the file. Windows gives the lock back when the process ends.
func tryLock(f *os.File) (bool, error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}

func unlock(f *os.File) {
	windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, new(windows.Overlapped))
}

// appends: a file is only locked if it may be read.
const appends = os.O_RDWR

// appendWhole locks a byte far behind the end of the file: without it, lines of two processes have been seen in one another.
func appendWhole(f *os.File, p []byte) error {
	far := &windows.Overlapped{OffsetHigh: 1 << 30}
	h := windows.Handle(f.Fd())
	if windows.LockFileEx(h, windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, far) == nil { // what is no file, such as NUL, has no locks
		defer windows.UnlockFileEx(h, 0, 1, 0, far)
	}
	_, err := f.Write(p)
	return err
}
