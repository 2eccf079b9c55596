package platform

import (
	"context"
	"errors"
	"fmt"
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

// Lock waits for the lock of that name until ctx ends, and then returns the context's error. A name is 1 to 100 bytes of
// [a-z0-9-]. The lock is held until release is called; calling it again does nothing.
func (l Locks) Lock(ctx context.Context, name string) (release func(), err error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		release, ok, err := l.TryLock(name)
		if err != nil {
			return nil, err
		}
		if ok {
			return release, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// TryLock takes the lock of that name if it is free, and reports whether it did. It never waits.
func (l Locks) TryLock(name string) (release func(), ok bool, err error) {
	if err := checkName(name); err != nil {
		return nil, false, err
	}
	if !filepath.IsAbs(l.Dir) {
		return nil, false, fmt.Errorf("the folder for locks must be absolute, not %q", l.Dir)
	}
	if err := makePrivateDir(l.Dir); err != nil {
		return nil, false, err
	}
	f, err := openNoFollow(filepath.Join(l.Dir, name+".lock"), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, false, err
	}
	if err := checkPrivateFile(f); err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	ok, err = tryLock(f)
	if err != nil {
		err = &os.PathError{Op: lockOp, Path: f.Name(), Err: err}
	}
	if !ok {
		return nil, false, errors.Join(err, f.Close())
	}
	return sync.OnceFunc(func() {
		unlock(f)
		f.Close()
	}), true, nil
}
