package platform

import "os"

// IsThisProgram reports whether a file is the program that is running, under whatever name and through links. An error means
// that one of the two cannot be looked at, for instance because the file is missing.
func IsThisProgram(file string) (bool, error) {
	there, err := os.Stat(file)
	if err != nil {
		return false, err
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	here, err := os.Stat(self)
	return err == nil && os.SameFile(here, there), err
}
