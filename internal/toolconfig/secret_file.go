package toolconfig

import (
	"clerk-credential-helper/platform"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	secretsFolder = "exec" // below the user's runtime folder; in it are a folder for each file, and the lock of all
	secretsRun    = "run-"
	secretName    = "token"
	secretsLock   = "exec"
	// sweepLimit bounds how many folders of killed runs one command takes away.
	sweepLimit = 1000
)

// SweepSecretFiles removes the secret files of killed processes. It reports nothing: what it cannot remove, the next call may.
func SweepSecretFiles(getenv func(string) string) {
	runtime, err := platform.RuntimeDir(getenv)
	if err != nil {
		return
	}
	folders := []string{runtime}
	if state, err := platform.StateDir(getenv); err == nil && state != runtime {
		folders = append(folders, state)
	}
	for _, folder := range folders {
		folder = filepath.Join(folder, secretsFolder)
		if _, err := os.Lstat(folder); err != nil {
			continue // there was no run
		}
		root, err := platform.OpenPrivateDir(folder)
		if err != nil {
			continue
		}
		if unlock, free, err := (platform.Locks{Dir: root.Name()}).TryLock(secretsLock); err == nil && free {
			sweepRuns(root)
			unlock()
		}
		root.Close()
	}
}

// sweepRuns removes the runs that are not locked. The lock of all is held: no run is between its folder and its lock.
func sweepRuns(root *os.Root) {
	f, err := root.Open(".")
	if err != nil {
		return
	}
	defer f.Close()
	names, _ := f.Readdirnames(sweepLimit) // what could be read
	for _, name := range names {
		if !strings.HasPrefix(name, secretsRun) {
			continue
		}
		if unlock, free, err := (platform.Locks{Dir: filepath.Join(root.Name(), name)}).TryLock(secretsLock); err == nil && free {
			unlock()
			removeRun(root, name)
		}
	}
}

// removeRun removes the files of a run and, if it is then empty, its folder. It fails if the secret's file is left.
func removeRun(root *os.Root, name string) (left error) {
	for _, file := range []string{secretName, secretsLock + ".lock", ""} {
		file = filepath.Join(name, file)
		err := root.Remove(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			err = platform.Remove(filepath.Join(root.Name(), file)) // with patience
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && filepath.Base(file) == secretName {
			left = err
		}
	}
	return left
}

// SecretFile writes a secret to a new file of mode 0600, for a program that we start, and removes it with remove. If that
// fails, as on Windows where another process has the file open, the file is empty, or else the error names it. Its folder,
// which is locked until remove is called, is one in which no other user may write: with a TMPDIR of others the secret could be written to a
// folder of theirs.
func SecretFile(getenv func(string) string, secret string) (file string, remove func() error, err error) {
	fail := func(what string, err error) (string, func() error, error) {
		if errors.Is(err, platform.ErrWritable) || errors.Is(err, platform.ErrForeign) || errors.Is(err, platform.ErrOpen) {
			err = fmt.Errorf("%w: name a folder of mode 0700 in XDG_RUNTIME_DIR", err)
		}
		return "", nil, fmt.Errorf("%s the token's file: %w", what, err)
	}
	folder, err := platform.RuntimeDir(getenv)
	if err != nil {
		return fail("finding a place for", err)
	}
	root, err := platform.OpenPrivateDir(filepath.Join(folder, secretsFolder))
	if err != nil {
		return fail("making a place for", err)
	}
	defer func() {
		if err != nil {
			root.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), secretsLockLimit)
	defer cancel()
	release, err := platform.Locks{Dir: root.Name()}.Lock(ctx, secretsLock)
	if err != nil {
		return fail("locking the place for", err)
	}
	defer release()
	run := secretsRun + rand.Text()
	if err := root.Mkdir(run, 0o700); err != nil {
		return fail("making a place for", err)
	}
	unlock, free, err := platform.Locks{Dir: filepath.Join(root.Name(), run)}.TryLock(secretsLock)
	if err == nil && !free {
		err = errors.New("another process has it")
	}
	if err != nil {
		removeRun(root, run)
		return fail("locking the place for", err)
	}
	remove = func() error {
		unlock()
		defer root.Close()
		err := removeRun(root, run)
		if err == nil {
			return nil
		}
		path := filepath.Join(root.Name(), run, secretName)
		if os.Truncate(path, 0) == nil { // a reader that has it open may not keep us from that
			return nil
		}
		return fmt.Errorf("the token's file is still there: %w", err)
	}
	f, err := root.OpenFile(filepath.Join(run, secretName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.WriteString(secret)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		unlock()
		removeRun(root, run)
		return fail("writing", err)
	}
	return filepath.Join(root.Name(), run, secretName), remove, nil
}

// secretsLockLimit bounds the wait for the lock of all runs, which is held for moments.
const secretsLockLimit = 10 * time.Second
