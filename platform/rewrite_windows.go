package platform

import (
	"os"

	"golang.org/x/sys/windows"
)

func newBeside(path string) (*os.File, error) { return newTemporary(path) }

// takeOwner gives a new file the DACL of another, before anything is in it. The owner is the user, or the group of
// administrators, as for any file that the user makes.
func takeOwner(f *os.File, like string) error {
	sd, err := windows.GetNamedSecurityInfo(like, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return err
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	control, _, err := sd.Control()
	if err != nil {
		return err
	}
	var what windows.SECURITY_INFORMATION = windows.DACL_SECURITY_INFORMATION | windows.UNPROTECTED_DACL_SECURITY_INFORMATION
	if control&windows.SE_DACL_PROTECTED != 0 { // it inherits nothing from the folder
		what = windows.DACL_SECURITY_INFORMATION | windows.PROTECTED_DACL_SECURITY_INFORMATION
	}
	return windows.SetNamedSecurityInfo(f.Name(), windows.SE_FILE_OBJECT, what, nil, nil, dacl, nil)
}

func keepAccess(*os.File, string) error { return nil }
