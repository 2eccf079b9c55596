package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// fileStore keeps each secret in a file of its own, DIR/NAME.json, whose content is the secret's bytes and nothing
// else. It is chosen by name only, because everything that can read the user's files, a backup included, can read
// these.
//
// The folder and the files must be this user's and closed to all others (0700 and 0600); anything else is refused
// rather than repaired, because what was open may have been read or replaced already.
type fileStore struct {
	dir     string
	records bool // see OpenRecords
}

// OpenRecords opens a folder of small files that are no secrets, as a file store. What is written is not flushed to the
// disk: a power cut may take it away, and an empty file may be left, which is [ErrDamaged].
func OpenRecords(dir string) *Keychain {
	return &Keychain{
		store:    fileStore{dir: dir, records: true},
		describe: "file " + dir,
		lockDir:  func() (string, error) { return filepath.Join(dir, "locks"), nil },
	}
}

func (s fileStore) path(name string) string { return filepath.Join(s.dir, name+".json") }

func (s fileStore) get(_ context.Context, name string) (string, error) {
	if err := checkPrivateDir(s.dir); err != nil {
		return "", notFound(err)
	}
	f, err := openNoFollow(s.path(name), os.O_RDONLY)
	if err != nil {
		return "", s.noItem(name, notFound(err))
	}
	defer f.Close()
	if err := checkPrivateFile(f); err != nil {
		return "", s.noItem(name, err)
	}
	secret, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", err
	case len(secret) == 0:
		return "", fmt.Errorf("%w: %s is empty", ErrDamaged, s.path(name))
	case len(secret) > maxSecret:
		return "", fmt.Errorf("%w: %s is above the limit of %d bytes", ErrDamaged, s.path(name), maxSecret)
	}
	return string(secret), nil
}

// noItem returns ErrDamaged for what is neither missing nor a plain file, such as a link, which a write replaces.
// Otherwise, and for a folder, which no write replaces, it returns the error.
func (s fileStore) noItem(name string, err error) error {
	if info, failed := os.Lstat(s.path(name)); failed == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return fmt.Errorf("%w: %s is not a plain file", ErrDamaged, s.path(name))
	}
	return err
}

func (s fileStore) set(_ context.Context, name, secret string) error {
	if err := makePrivateDir(s.dir); err != nil {
		return err
	}
	if err := s.sweep(name); err != nil {
		return err
	}
	return writeFile(s.path(name), []byte(secret), !s.records)
}

func (s fileStore) delete(_ context.Context, name string) error {
	if err := checkPrivateDir(s.dir); err != nil {
		return notFound(err)
	}
	if err := CheckPlace(s.dir); errors.Is(err, ErrForeign) {
		return err
	}
	return errors.Join(s.sweep(name), notFound(patiently(func() error { return os.Remove(s.path(name)) })))
}

// sweep removes the temporary files of killed writers of the item, in which a secret would stay. Writers of one item
// exclude each other (see [Keychain.Set]), so none of these files is being written.
func (s fileStore) sweep(name string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "."+name+".json.") || !strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		if err := Remove(filepath.Join(s.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// notFound turns "no such file" into ErrNotFound, also below what is no folder: the home of a service user is often
// /dev/null.
func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return ErrNotFound
	}
	return err
}
