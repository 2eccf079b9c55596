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

// TestLink finds the link that an upgrade leaves in its place, and not the one of a version to which it leads.
func TestLink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("few people may make symbolic links there, and Wine 8 does not follow one")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(TempDir(t))
	if err != nil {
		t.Fatal(err)
	}
	link := func(to string, elements ...string) string {
		t.Helper()
		name := filepath.Join(append([]string{dir}, elements...)...)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, name); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
		return name
	}
	const name = "git-credential-clerk"
	cellar := link(self, "Cellar", "1.2", "bin", "clerk-credential-helper")
	link(self, "Cellar", "1.2", "bin", name)
	called := link(cellar, "bin", "clerk-credential-helper")
	want := link(filepath.Join(dir, "Cellar", "1.2", "bin", name), "bin", name)
	alone := link(self, "alone", "clerk-credential-helper")
	other := link(self, "other", "clerk-credential-helper")
	link(filepath.Join(dir, "none"), "other", name)
	t.Setenv("PATH", filepath.Dir(called))
	for _, row := range []struct{ reason, called, want string }{
		{"by a path", called, want},
		{"by the PATH", "clerk-credential-helper", want},
		{"there is no link beside it", alone, ""},
		{"what is beside it leads nowhere", other, ""},
		{"it is not in the PATH", "nosuch", ""},
	} {
		if got := Link(row.called, name); got != row.want {
			t.Errorf("%s: %q, want %q", row.reason, got, row.want)
		}
	}
}

// TestCopyOfThisProgram: where there are no links, an installation has a copy for each name.
func TestCopyOfThisProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := TempDir(t)
	other := append([]byte(nil), text...)
	other[len(other)/2] ^= 1
	for _, row := range []struct {
		reason string
		text   []byte
		want   bool
	}{
		{"a copy", text, true},
		{"another version of the same size", other, false},
		{"a shorter one", text[:len(text)-1], false},
		{"an empty file", nil, false},
	} {
		file := filepath.Join(dir, "copy")
		if err := os.WriteFile(file, row.text, 0o700); err != nil {
			t.Fatal(err)
		}
		if is, err := IsThisProgram(file); err != nil || is != row.want {
			t.Errorf("%s: %v, %v", row.reason, is, err)
		}
	}
	if is, err := IsThisProgram(dir); err != nil || is {
		t.Errorf("a folder: %v, %v", is, err)
	}
	name := NameBeside(filepath.Join(dir, "copy"), "keyring")
	if err := GiveName(self, name); err != nil {
		t.Fatal(err)
	}
	if is, err := IsThisProgram(name); err != nil || !is {
		t.Errorf("%s: %v, %v", name, is, err)
	}
}
