package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// RemoveAll removes a folder of ours with all that is in it. On Windows, where a file that another process has open cannot be
// removed, it tries for a moment. The error says what is left.
func RemoveAll(dir string) error {
	if !patient {
		return os.RemoveAll(dir)
	}
	var paths []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, path := range slices.Backward(paths) {
		err = errors.Join(err, Remove(path))
	}
	return err
}

// Remove is RemoveAll of one file or empty folder. What is not there is no error.
func Remove(path string) error {
	err := patiently(func() error { return os.Remove(path) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// patiently retries, for 2 s, what fails because another process has a file open or is replacing it. Between two readers the file
// is free for a moment only. On a machine so loaded that there were few tries in that time it goes on, for 20 s at most.
func patiently(call func() error) error {
	const enough = 100 // tries
	wait := time.Millisecond
	begun := time.Now()
	for tries := 1; ; tries++ {
		err := call()
		took := time.Since(begun)
		if err == nil || !isBusy(err) || took > 2*time.Second && tries >= enough || took > 20*time.Second {
			return err
		}
		time.Sleep(wait)
		wait = min(2*wait, 8*time.Millisecond)
	}
}
