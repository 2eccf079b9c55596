//go:build unix

package platform

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

func ownedByOther(path string, info fs.FileInfo) (bool, error) {
	owner, err := ownerOf(path, info)
	return owner != os.Getuid(), err
}

func checkPlace(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return placeOf(os.Getuid(), os.Getenv, path)
}

func placeOf(uid int, getenv func(string) string, path string) error {
	var last error
	_, _, err := walk(path, func(name string, info fs.FileInfo) error {
		owner, err := ownerOf(name, info)
		if err != nil {
			return err
		}
		if last = nil; owner != 0 && owner != uid && !unmapped(owner) && (uid == 0 || !ourGroupWrites(info)) {
			last = &PlaceError{name, owner, uid}
		}
		if uid == 0 {
			return last
		}
		return nil
	})
	place, foreign := errors.AsType[*PlaceError](cmp.Or(last, err))
	switch {
	case !foreign && errors.Is(err, fs.ErrNotExist):
		return nil
	case !foreign:
		return err
	case uid == 0 && ci(getenv) != "" && !bySudo(getenv):
		return nil
	}
	return place
}

func forAnother(getenv func(string) string) error {
	if home := getenv("HOME"); filepath.IsAbs(home) {
		if err := placeOf(os.Getuid(), getenv, home); errors.Is(err, ErrForeign) {
			return fmt.Errorf("HOME is %s: %w", home, err)
		}
	}
	if os.Getuid() == 0 && bySudo(getenv) {
		return fmt.Errorf("this runs as root, by sudo, and not as user %q, who called it", getenv("SUDO_UID"))
	}
	return nil
}

// ourGroupWrites reports whether a folder is given to a group of ours, as the home of a container is that runs with any uid
// (OpenShift's, whose group is root's).
func ourGroupWrites(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode().Perm()&0o020 == 0 {
		return false
	}
	groups, err := os.Getgroups()
	return int(stat.Gid) == os.Getgid() || err == nil && slices.Contains(groups, int(stat.Gid))
}

// bySudo reports whether root has been made of another user.
func bySudo(getenv func(string) string) bool {
	caller := getenv("SUDO_UID")
	return caller != "" && caller != "0"
}

func restrict(path string, drop fs.FileMode) error {
	f, err := openNoFollow(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	other, err := ownedByOther(path, info)
	if other {
		err = fmt.Errorf("%s %w", path, ErrForeign)
	}
	if err == nil {
		err = f.Chmod(info.Mode() &^ drop)
	}
	return errors.Join(err, f.Close())
}

func allows(path string, mode fs.FileMode) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() && !info.IsDir() || info.Mode().Perm()&mode == 0 {
		return false
	}
	other, err := ownedByOther(path, info)
	return err == nil && !other
}
