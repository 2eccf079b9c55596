package platform

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Errors of Rewrite.
var (
	// ErrChanged means that a file has other text than was read, or is not there any more.
	ErrChanged = errors.New("it has changed since it was read")
	// ErrAccess means that a new file could not be given the owner, group, mode and access list of the old one.
	ErrAccess = errors.New("its owner, group or access list would be lost")
)

// Rewrite replaces the text of a file of another program, which must be there. It writes a temporary file beside it, flushes
// that to the disk and renames it, so that a reader and a power cut see the old text or the new one. A link at path is
// replaced, not followed.
//
// The new file has the owner, group, mode and access list of the old one: on Linux a POSIX access list, on Windows the
// DACL, on macOS the access list where the file system can clone files, as APFS can. It is ErrAccess if they cannot be
// kept, and ErrChanged if the text is not old any more; then the file is as it was. It is a [*PlaceError] in another user's
// place.
func Rewrite(path string, old, text []byte) (err error) {
	if err := CheckPlace(filepath.Dir(path)); errors.Is(err, ErrForeign) {
		return err
	}
	f, err := newBeside(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := errors.Join(takeOwner(f, path), keepAccess(f, path)); err != nil {
		return fmt.Errorf("%w: %w", ErrAccess, err)
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	now, err := ReadPlain(path, int64(len(old))+1)
	if err != nil || !bytes.Equal(now, old) {
		return errors.Join(ErrChanged, err)
	}
	if err := replaceFile(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// WriteCopy makes a new file that is readable by at most those that can read the file like: by its owner alone, who is
// the same, or on Windows by those in its DACL. It is [fs.ErrExist] if the file is there, ErrAccess if it cannot be
// made so, and a [*PlaceError] in another user's place.
func WriteCopy(path, like string, text []byte) (err error) {
	if err := CheckPlace(filepath.Dir(path)); errors.Is(err, ErrForeign) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(path)
		}
	}()
	if err := takeOwner(f, like); err != nil {
		return fmt.Errorf("%w: %w", ErrAccess, err)
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// newTemporary makes a new, empty file of mode 0600 in the folder of another one.
func newTemporary(beside string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(beside), "."+filepath.Base(beside)+".*.tmp")
}
