package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestIsThisProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := TempDir(t)
	other, link := filepath.Join(dir, "other"), filepath.Join(dir, "link")
	if err := os.WriteFile(other, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if is, err := IsThisProgram(self); !is || err != nil {
		t.Errorf("itself: %t, %v", is, err)
	}
	if is, err := IsThisProgram(other); is || err != nil {
		t.Errorf("another: %t, %v", is, err)
	}
	if is, err := IsThisProgram(link); is || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing one: %t, %v", is, err)
	}
	if runtime.GOOS == "windows" {
		return // few people may make symbolic links there, and Wine 8 does not follow one
	}
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	if is, err := IsThisProgram(link); !is || err != nil {
		t.Errorf("a link: %t, %v", is, err)
	}
}
