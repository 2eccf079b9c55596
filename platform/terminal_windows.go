package platform

import (
	"os"

	"golang.org/x/sys/windows"
)

func openTerminal() (*os.File, error) { return os.OpenFile("CONOUT$", os.O_RDWR, 0) }

func foreground(*os.File) bool { return true }

// graphical is false in session 0, where services and SSH servers live and no window is ever shown.
func graphical(func(string) string) bool {
	var session uint32
	err := windows.ProcessIdToSessionId(windows.GetCurrentProcessId(), &session)
	return err == nil && session != 0
}
