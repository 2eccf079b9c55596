//go:build unix

package platform

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestOwnedByOther(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "missing"), filepath.Join(dir, "a", "b", "c")} {
		if other, err := OwnedByOther(path); other || err != nil {
			t.Errorf("%s: %v, %v", path, other, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OwnedByOther(filepath.Join(dir, "file", "below")); err == nil {
		t.Error("a file is no folder")
	}
	theirs := filepath.Join(dir, "theirs")
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can make a folder of another user's")
	}
	if err := os.Chown(theirs, 4242, -1); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{theirs, filepath.Join(theirs, "x", "y")} {
		if other, err := OwnedByOther(path); !other || err != nil {
			t.Errorf("%s: %v, %v", path, other, err)
		}
	}
	if Allows(theirs, 0o077) {
		t.Error("another user's folder was looked at")
	}
	if err := Restrict(theirs, 0o077); err == nil {
		t.Error("the permissions of another user's folder were changed")
	}
}

func TestRestrict(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ before, drop, after fs.FileMode }{
		{0o666, 0o022, 0o644}, {0o664, 0o022, 0o644}, {0o644, 0o077, 0o600}, {0o600, 0o077, 0o600}, {0o755, 0o022, 0o755},
	} {
		if err := os.Chmod(file, row.before); err != nil {
			t.Fatal(err)
		}
		if err := Restrict(file, row.drop); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != row.after {
			t.Errorf("%04o without %04o: %v, %v", row.before, row.drop, info.Mode(), err)
		}
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if err := Restrict(link, 0o077); err == nil || Allows(link, 0o077) {
		t.Error("a link was followed")
	}
	for mode, want := range map[fs.FileMode]bool{0o077: true, 0o022: true, 0o111: false} {
		if got := Allows(file, mode); got != want {
			t.Errorf("0666 allows %04o: %v", mode, got)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("behind the link: %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(dir, 0o775|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	if err := Restrict(dir, 0o022); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode() != fs.ModeDir|fs.ModeSetgid|0o755 {
		t.Errorf("more was taken than was named: %v, %v", info.Mode(), err)
	}
	if err := Restrict(dir, 0o777); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Restrict(filepath.Join(dir, "missing"), 0o077); err == nil {
		t.Error("nothing is there")
	}
}
