package platform

import (
	"syscall"

	"golang.org/x/sys/windows"
)

func faultOf(errno syscall.Errno) Fault {
	switch errno {
	case windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL:
		return FaultFull
	case windows.ERROR_DISK_QUOTA_EXCEEDED:
		return FaultQuota
	case windows.ERROR_WRITE_PROTECT:
		return FaultReadOnly
	case windows.ERROR_CRC, windows.ERROR_IO_DEVICE, windows.ERROR_NOT_READY:
		return FaultIO
	case windows.ERROR_TOO_MANY_OPEN_FILES:
		return FaultOpenFiles
	}
	return 0
}

// isUnsupported reports whether a file system answers so to a call that it has not.
func isUnsupported(errno syscall.Errno) bool {
	return errno == windows.ERROR_NOT_SUPPORTED || errno == windows.ERROR_INVALID_FUNCTION
}
