package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// OwnedByOther reports whether a file or folder belongs to another user than this process's. If it does not exist, the
// nearest folder above it counts. On Windows it is always false: there an administrator's programs run as themselves.
func OwnedByOther(path string) (bool, error) {
	for {
		info, err := os.Lstat(path)
		if err == nil {
			return ownedByOther(path, info)
		}
		above := filepath.Dir(path)
		if !errors.Is(err, fs.ErrNotExist) || above == path {
			return false, err
		}
		path = above
	}
}

// Restrict takes permissions away from a file or folder of this user's: those that are set in drop. A link at path is not
// followed. Windows has no such permissions, and it is [errors.ErrUnsupported] there.
func Restrict(path string, drop fs.FileMode) error { return restrict(path, drop) }

// Allows reports whether a plain file or a folder of this user's has any of the permissions in mode. A link is not
// followed, and is neither. On Windows, which has other permissions, it is always false.
func Allows(path string, mode fs.FileMode) bool { return allows(path, mode) }
