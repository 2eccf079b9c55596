//go:build unix

package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const noHome = "HOME is not set to an absolute path"

func userConfigDir(getenv func(string) string) (string, error) {
	return xdgDir(getenv, "XDG_CONFIG_HOME", ".config")
}

func userStateDir(getenv func(string) string) (string, error) {
	return xdgDir(getenv, "XDG_STATE_HOME", ".local/state")
}

func xdgDir(getenv func(string) string, variable, below string) (string, error) {
	if dir := getenv(variable); filepath.IsAbs(dir) {
		return dir, nil
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", ErrNoHome
	}
	return filepath.Join(home, below), nil
}

func checkHome(getenv func(string) string) error {
	home := getenv("HOME")
	if filepath.IsAbs(getenv("XDG_CONFIG_HOME")) {
		return nil
	}
	if !filepath.IsAbs(home) {
		return ErrNoHome
	}
	info, err := os.Stat(home)
	if err == nil && !info.IsDir() {
		err = ErrNoFolder
	}
	if err != nil {
		return &homeError{home, err}
	}
	return nil
}

// homeError is why the folder in HOME is of no use.
type homeError struct {
	home string
	err  error
}

func (e *homeError) Error() string {
	switch {
	case errors.Is(e.err, fs.ErrNotExist), errors.Is(e.err, syscall.ENOTDIR):
		return fmt.Sprintf("HOME is %q, and there is no such folder", e.home)
	case errors.Is(e.err, ErrNoFolder):
		return fmt.Sprintf("HOME is %q, which %v", e.home, ErrNoFolder)
	}
	return fmt.Sprintf("HOME is %q: %v", e.home, e.err)
}

func (e *homeError) Unwrap() []error { return []error{ErrNoHome, e.err} }

func userRuntimeDir(getenv func(string) string) string {
	real, info, err := walkTrusted(getenv("XDG_RUNTIME_DIR"))
	if err != nil || checkPrivate(real, info) != nil {
		return ""
	}
	return real
}

func openPrivateDir(dir string) (*os.Root, error) {
	real, info, err := walkTrusted(dir)
	if err != nil {
		return nil, err
	}
	if err := checkPrivate(real, info); err != nil {
		return nil, err
	}
	return os.OpenRoot(real)
}

// openNoFollow opens a file that is not a link. O_NONBLOCK keeps the open of a named pipe from waiting for ever.
func openNoFollow(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
}

// openAtOnce opens a file for reading. A named pipe without a writer, for which no context ends the wait, reads as empty.
func openAtOnce(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// checkOurs checks that the file is ours or root's.
func checkOurs(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	owner, err := ownerOf(f.Name(), info)
	if err == nil && owner != 0 && owner != os.Getuid() {
		err = fmt.Errorf("%s %w (%d)", f.Name(), ErrForeign, owner)
	}
	return err
}

// checkPrivate checks that the file or folder is ours and that no other user has any right to it.
func checkPrivate(path string, info fs.FileInfo) error {
	owner, err := ownerOf(path, info)
	switch {
	case err != nil:
		return err
	case owner != os.Getuid():
		return fmt.Errorf("%s %w (%d)", path, ErrForeign, owner)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s %w (mode %04o)", path, ErrOpen, info.Mode().Perm())
	}
	return nil
}

func ownerOf(path string, info fs.FileInfo) (int, error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s: the owner is unknown", path)
	}
	return int(stat.Uid), nil
}

func replaceFile(from, to string) error { return os.Rename(from, to) }

// syncDir makes a rename outlast a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
