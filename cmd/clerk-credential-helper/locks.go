package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"clerk-credential-helper/platform"
)

// storeLocks are the locks of a keychain; the records are beside them. Their folder is looked for when the first is
// needed: a live token needs none, and the search may ask the user database.
type storeLocks struct {
	dir func() (string, error)
}

func locksOf(k *platform.Keychain) storeLocks {
	return storeLocks{sync.OnceValues(func() (string, error) {
		dir, err := k.LockDir()
		if err != nil {
			return "", fmt.Errorf("finding a place for locks: %w", err)
		}
		return dir, nil
	})}
}

func (l storeLocks) Lock(ctx context.Context, name string) (func(), error) {
	dir, err := l.dir()
	if err != nil {
		return nil, err
	}
	return platform.Locks{Dir: dir}.Lock(ctx, name)
}

func (l storeLocks) TryLock(name string) (func(), bool, error) {
	dir, err := l.dir()
	if err != nil {
		return nil, false, err
	}
	return platform.Locks{Dir: dir}.TryLock(name)
}

// records keeps how sign-ins and refreshes ended, in small files in a folder beside the locks. No secret is in them.
type records struct{ locks storeLocks }

func (r records) open() (*platform.Keychain, error) {
	dir, err := r.locks.dir()
	if err != nil {
		return nil, err
	}
	return platform.OpenRecords(filepath.Join(dir, "outcomes")), nil
}

func (r records) Get(ctx context.Context, name string) (string, error) {
	k, err := r.open()
	if err != nil {
		return "", err
	}
	return k.Get(ctx, name)
}

func (r records) Set(ctx context.Context, name, text string) error {
	k, err := r.open()
	if err != nil {
		return err
	}
	return k.Set(ctx, name, text)
}

func (r records) Delete(ctx context.Context, name string) error {
	k, err := r.open()
	if err != nil {
		return err
	}
	return k.Delete(ctx, name)
}
