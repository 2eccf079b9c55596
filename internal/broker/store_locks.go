package broker

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"clerk-credential-helper/platform"
)

// StoreLocks are the locks of a keychain of this machine, a [Locker], with the records beside them. Their folder is looked for
// when the first is needed: a live token needs none, and the search may ask the user database. The errors of all methods are
// those of platform.Locks, of a file store, and of the search.
type StoreLocks struct {
	dir func() (string, error)
}

// LocksOf returns the locks of everything in a keychain. It looks for nothing yet.
func LocksOf(k *platform.Keychain) StoreLocks {
	return StoreLocks{sync.OnceValues(func() (string, error) {
		dir, err := k.LockDir()
		if err != nil {
			return "", fmt.Errorf("finding a place for locks: %w", err)
		}
		return dir, nil
	})}
}

// Lock is [platform.Locks.Lock].
func (l StoreLocks) Lock(ctx context.Context, name string) (release func(), err error) {
	dir, err := l.dir()
	if err != nil {
		return nil, err
	}
	return platform.Locks{Dir: dir}.Lock(ctx, name)
}

// TryLock is [platform.Locks.TryLock].
func (l StoreLocks) TryLock(name string) (release func(), ok bool, err error) {
	dir, err := l.dir()
	if err != nil {
		return nil, false, err
	}
	return platform.Locks{Dir: dir}.TryLock(name)
}

// StoreRecords are [Records] in files in a folder beside the locks of a store: how sign-ins and refreshes ended. No
// secret is in them; see [platform.OpenRecords].
type StoreRecords struct{ locks StoreLocks }

// Records returns the records beside the locks.
func (l StoreLocks) Records() StoreRecords { return StoreRecords{l} }

func (r StoreRecords) open() (*platform.Keychain, error) {
	dir, err := r.locks.dir()
	if err != nil {
		return nil, err
	}
	return platform.OpenRecords(filepath.Join(dir, "outcomes")), nil
}

// Get is [platform.Keychain.Get].
func (r StoreRecords) Get(ctx context.Context, name string) (string, error) {
	k, err := r.open()
	if err != nil {
		return "", err
	}
	return k.Get(ctx, name)
}

// Set is [platform.Keychain.Set].
func (r StoreRecords) Set(ctx context.Context, name, text string) error {
	k, err := r.open()
	if err != nil {
		return err
	}
	return k.Set(ctx, name, text)
}

// Delete is [platform.Keychain.Delete].
func (r StoreRecords) Delete(ctx context.Context, name string) error {
	k, err := r.open()
	if err != nil {
		return err
	}
	return k.Delete(ctx, name)
}
