//go:build unix

package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

func ownedByOther(path string, info fs.FileInfo) (bool, error) {
	owner, err := ownerOf(path, info)
	return owner != os.Getuid(), err
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
