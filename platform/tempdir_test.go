package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TempDir is t.TempDir for tests that also run in Wine 8: it lacks the system call of os.RemoveAll, and has os.Remove's.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "platform")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var paths []string
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			paths = append(paths, path)
			return err
		})
		for _, path := range slices.Backward(paths) {
			err = errors.Join(err, os.Remove(path))
		}
		if err != nil {
			t.Errorf("removing the folder of the test: %v", err)
		}
	})
	return dir
}
