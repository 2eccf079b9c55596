//go:build unix

package platform

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func faultOf(errno syscall.Errno) Fault {
	switch errno {
	case unix.ENOSPC:
		return FaultFull
	case unix.EDQUOT:
		return FaultQuota
	case unix.EROFS:
		return FaultReadOnly
	case unix.EIO, unix.ESTALE: // ESTALE: the server of a network's file system has replaced the file
		return FaultIO
	case unix.ENOLCK:
		return FaultNoLocks
	case unix.EMFILE, unix.ENFILE:
		return FaultOpenFiles
	}
	return 0
}

// isUnsupported reports whether a file system answers so to a call that it has not.
func isUnsupported(errno syscall.Errno) bool {
	return errno == unix.ENOSYS || errno == unix.EOPNOTSUPP || errno == unix.ENOTSUP
}
