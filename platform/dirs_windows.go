package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

func machineConfigDir() string {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, 0)
	if err != nil {
		return `C:\ProgramData` // the default
	}
	return dir
}

const noHome = "there is no home folder"

func userConfigDir(getenv func(string) string) (string, error) { return envDir(getenv, "AppData") }

func userStateDir(getenv func(string) string) (string, error) { return envDir(getenv, "LocalAppData") }

func userRuntimeDir(func(string) string) string { return "" }

func openPrivateDir(dir string) (*os.Root, error) { return os.OpenRoot(dir) }

func envDir(getenv func(string) string, variable string) (string, error) {
	dir := getenv(variable)
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("%w: %%%s%% is not set to an absolute path", ErrNoHome, variable)
	}
	return dir, nil
}

func checkHome(getenv func(string) string) error {
	_, err := userConfigDir(getenv)
	return err
}

func lockDir() (string, error) {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_LocalAppData, 0)
	if err != nil {
		return "", fmt.Errorf("finding the local application data folder: %w", err)
	}
	return filepath.Join(dir, appName, "locks"), nil
}

// openNoFollow opens a file that is not a link. Windows has no flag for it that os.OpenFile passes on; making a link
// here takes a right that only administrators and this user have in a folder that passed its check.
func openNoFollow(path string, flag int) (*os.File, error) {
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.New("is a symbolic link")}
	}
	if flag&os.O_APPEND != 0 { // a line of the history is not worth a wait
		return os.OpenFile(path, flag, 0o600)
	}
	var f *os.File
	err = patiently(func() (err error) {
		f, err = os.OpenFile(path, flag, 0o600)
		return err
	})
	return f, err
}

// openAtOnce has nothing to add: pipes here are no files.
func openAtOnce(path string) (*os.File, error) { return os.Open(path) }

// checkOurs has nothing to add: who may write into a folder is asked where it matters, see checkTrusted.
func checkOurs(*os.File) error { return nil }

func replaceFile(from, to string) error {
	return patiently(func() error { return os.Rename(from, to) })
}

// syncDir has nothing to do: NTFS journals the rename.
func syncDir(string) error { return nil }

// patient: what another process has open can be neither removed nor replaced.
const patient = true

// isBusy reports whether a call failed because another process has the file open, or is replacing it.
func isBusy(err error) bool {
	return errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION)
}
