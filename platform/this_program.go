package platform

import (
	"os"
	"os/exec"
	"path/filepath"
)

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

// Link returns the absolute path of this program under another of its names, for a tool that does not find it in its
// PATH; empty if there is none. It lies in the folder in which this program was called, by a path or by the PATH
// (called is its argument 0), and not in one of a version to which that leads, which the next upgrade removes; only
// otherwise beside the file that is running.
func Link(called, name string) string {
	var folders []string
	if found, err := exec.LookPath(called); err == nil {
		if found, err = filepath.Abs(found); err == nil {
			folders = append(folders, filepath.Dir(found))
		}
	}
	if self, err := os.Executable(); err == nil {
		folders = append(folders, filepath.Dir(self))
	}
	for _, folder := range folders {
		file, err := exec.LookPath(filepath.Join(folder, name))
		if err != nil {
			continue
		}
		if is, err := IsThisProgram(file); err == nil && is {
			return file
		}
	}
	return ""
}
