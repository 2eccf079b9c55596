package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"clerk-credential-helper/platform"
)

// storeLocks are the locks of a keychain of this machine, a [broker.Locker], with the records beside them. Their folder is looked for
// when the first is needed: a live token needs none, and the search may ask the user database. The errors of all methods are
// those of platform.Locks, of a file store, and of the search.
type storeLocks struct {
	dir func() (string, error)
}

// locksOf returns the locks of everything in a keychain. It looks for nothing yet.
func locksOf(k *platform.Keychain) storeLocks {
	return storeLocks{sync.OnceValues(func() (string, error) {
		dir, err := k.LockDir()
		if err != nil {
			return "", fmt.Errorf("finding a place for locks: %w", err)
		}
		return dir, nil
	})}
}

// Lock is [platform.Locks.Lock].
func (l storeLocks) Lock(ctx context.Context, name string) (release func(), err error) {
	dir, err := l.dir()
	if err != nil {
		return nil, err
	}
	return platform.Locks{Dir: dir}.Lock(ctx, name)
}

// TryLock is [platform.Locks.TryLock].
func (l storeLocks) TryLock(name string) (release func(), ok bool, err error) {
	dir, err := l.dir()
	if err != nil {
		return nil, false, err
	}
	return platform.Locks{Dir: dir}.TryLock(name)
}

// storeRecords are [broker.Records] in files in a folder beside the locks of a store: how sign-ins and refreshes ended. No
// secret is in them; see [platform.OpenRecords].
type storeRecords struct{ locks storeLocks }

// records returns the records beside the locks.
func (l storeLocks) records() storeRecords { return storeRecords{l} }

func (r storeRecords) open() (*platform.Keychain, error) {
	dir, err := r.locks.dir()
	if err != nil {
		return nil, err
	}
	return platform.OpenRecords(filepath.Join(dir, "outcomes")), nil
}

// Get is [platform.Keychain.Get].
func (r storeRecords) Get(ctx context.Context, name string) (string, error) {
	k, err := r.open()
	if err != nil {
		return "", err
	}
	return k.Get(ctx, name)
}

// Set is [platform.Keychain.Set].
func (r storeRecords) Set(ctx context.Context, name, text string) error {
	k, err := r.open()
	if err != nil {
		return err
	}
	return k.Set(ctx, name, text)
}

// Delete is [platform.Keychain.Delete].
func (r storeRecords) Delete(ctx context.Context, name string) error {
	k, err := r.open()
	if err != nil {
		return err
	}
	return k.Delete(ctx, name)
}
