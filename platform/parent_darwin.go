package platform

import (
	"os"

	"golang.org/x/sys/unix"
)

// parentName asks the kernel, which has 16 bytes of the name.
func parentName() string {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", os.Getppid())
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Proc.P_comm[:])
}
