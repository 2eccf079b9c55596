package platform

import (
	"syscall"

	"golang.org/x/sys/windows"
)

func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

// withhold has nothing to do: a process here inherits only the handles that are named to it.
func withhold() (giveBack func()) { return func() {} }
