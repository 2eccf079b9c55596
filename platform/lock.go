package platform

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Locks are named locks between the processes of one user, kept by the operating system on files in one folder. A
// holder that ends, however it ends, holds nothing any more. Two holders in one process exclude each other as well.
//
// Dir must be absolute. It is made with mode 0700 when it is missing, and must be a folder (not a link to one) that
// belongs to this user and is closed to others. The files NAME.lock in it are never truncated and never removed, since
// a lock on a removed file excludes no other process. They hold no data.
type Locks struct{ Dir string }

// lockOp is the Op of a *fs.PathError of a lock.
const lockOp = "lock"

// Lock waits for the lock of that name until ctx ends, and then returns the context's error. It notices that the lock is free
// within 100 ms, or after a longer wait within a quarter of that, and at most 1 s. A name is 1 to 100 bytes of
// [a-z0-9-]. The lock is held until release is called; calling it again does nothing.
func (l Locks) Lock(ctx context.Context, name string) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := l.open(name)
	if err != nil {
		return nil, err
	}
	// A thousand processes that look ten times a second leave no time to the one that they wait for. So the pause grows with the
	// time that has been waited. Its second half is left to chance: callers that began together and look together would get the
	// lock one a pause.
	began := time.Now()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, max(100*time.Millisecond, time.Since(began)/4), time.Second) {
		switch ok, err := tryLock(f); {
		case err != nil:
			return nil, lockFailed(f, err)
		case ok:
			return releaseLock(f), nil
		}
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			f.Close()
			return nil, ctx.Err()
		}
	}
}

// TryLock takes the lock of that name if it is free, and reports whether it did. It never waits.
func (l Locks) TryLock(name string) (release func(), ok bool, err error) {
	f, err := l.open(name)
	if err != nil {
		return nil, false, err
	}
	ok, err = tryLock(f)
	if err != nil {
		return nil, false, lockFailed(f, err)
	}
	if !ok {
		return nil, false, f.Close()
	}
	return releaseLock(f), true, nil
}

// open returns the file of the lock of that name, and makes it and the folder if they are missing.
func (l Locks) open(name string) (*os.File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(l.Dir) {
		return nil, fmt.Errorf("the folder for locks must be absolute, not %q", l.Dir)
	}
	if err := makePrivateDir(l.Dir); err != nil {
		return nil, err
	}
	f, err := openNoFollow(filepath.Join(l.Dir, name+".lock"), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := checkPrivateFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lockFailed closes f, whose lock could not be taken because of err.
func lockFailed(f *os.File, err error) error {
	return errors.Join(&os.PathError{Op: lockOp, Path: f.Name(), Err: err}, f.Close())
}

// releaseLock returns the function that gives the lock of f back.
func releaseLock(f *os.File) func() {
	return sync.OnceFunc(func() {
		unlock(f)
		f.Close()
	})
}
