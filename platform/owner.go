package platform

import (
	"errors"
	"fmt"
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

// PlaceError is a file that would be made or changed below a folder of another user. It is also [ErrForeign].
type PlaceError struct {
	Path        string // of the folder, or of a link that leads there
	Owner, User int    // whose it is, and who we are
}

func (e *PlaceError) Error() string {
	whose := "root's"
	if e.User != 0 {
		whose = fmt.Sprintf("user %d's", e.User)
	}
	return fmt.Sprintf("%s %v (%d), and what this writes there would be %s", e.Path, ErrForeign, e.Owner, whose)
}

func (e *PlaceError) Unwrap() error { return ErrForeign }

// CheckPlace returns a [*PlaceError] if what is written at a path would be in another user's place: one call as root
// with a person's HOME, as sudo makes it on many systems, would leave folders there that the person can neither write
// nor read. All that we write ourselves passes it: what is kept, locks, traces, files of exec, and the files that setup
// changes.
//
// Root writes below folders and links of root's only. For every other user the last of them that is there must be the
// user's own, root's, such as /tmp, or one that a group of the user's may write to. A build service's job that runs as
// root, without sudo, may write below the home that the service has mounted: there is no person. On Windows it is
// always nil: an administrator's programs run as themselves.
func CheckPlace(path string) error { return checkPlace(path) }

// ForAnother returns why what this process finds is not its own user's: it is root by sudo, or HOME is another user's. It is
// nil for a user at home, and on Windows.
func ForAnother(getenv func(string) string) error { return forAnother(getenv) }

// Restrict takes permissions away from a file or folder of this user's: those that are set in drop. A link at path is not
// followed. Windows has no such permissions, and it is [errors.ErrUnsupported] there.
func Restrict(path string, drop fs.FileMode) error { return restrict(path, drop) }

// Allows reports whether a plain file or a folder of this user's has any of the permissions in mode. A link is not
// followed, and is neither. On Windows, which has other permissions, it is always false.
func Allows(path string, mode fs.FileMode) bool { return allows(path, mode) }
