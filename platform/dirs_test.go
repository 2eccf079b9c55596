package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteFile(t *testing.T) {
	path := filepath.Join(TempDir(t), "a", "b", "file")
	for _, content := range []string{"first", strings.Repeat("x", 10000), ""} {
		if err := WriteFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Fatalf("read %d bytes, %v; want %d", len(got), err, len(content))
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want the one file", entries, err)
	}
}

func TestWriteFileFailsWhole(t *testing.T) {
	dir := TempDir(t)
	target := filepath.Join(dir, "file")
	if err := os.MkdirAll(filepath.Join(target, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(target, []byte("secret")); err == nil {
		t.Error("a folder was replaced")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want no temporary file", entries, err)
	}
}

func TestReadTrustedMissing(t *testing.T) {
	dir := TempDir(t)
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		filepath.Join(dir, "config.toml"),
		filepath.Join(dir, "missing", "config.toml"),
		filepath.Join(dir, "file", "config.toml"),
	} {
		if _, err := ReadTrusted(path, 100); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadTrusted of a missing file: %v, want ErrNotExist", err)
		}
	}
}

func TestOpenKeychain(t *testing.T) {
	for _, choice := range []string{"", "auto", "keychain", "none"} {
		k, err := OpenKeychain(choice, "")
		if err != nil || k.Describe() == "" {
			t.Errorf("OpenKeychain(%q) = %v", choice, err)
		}
	}
	for _, row := range []struct{ reason, choice, dir, want string }{
		{"a word that is none", "vault", "", `"vault"`},
		{"another case", "File", "/tmp", `"File"`},
		{"a store in the current folder", "file", "state", `"state"`},
		{"a file store without a place", "file", "", `""`},
	} {
		if _, err := OpenKeychain(row.choice, row.dir); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: OpenKeychain(%q, %q): %v, want an error with %s", row.reason, row.choice, row.dir, err, row.want)
		}
	}
}

func TestNoStore(t *testing.T) {
	k, err := OpenKeychain("none", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Get(t.Context(), "item"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get: %v, want ErrNotFound", err)
	}
	if err := k.Set(t.Context(), "item", "secret"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Set: %v, want a refusal", err)
	}
	if err := k.Delete(t.Context(), "item"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Delete: %v, want ErrNotFound", err)
	}
	if err := k.Unlock(t.Context(), nil); err != nil {
		t.Errorf("Unlock: %v", err)
	}
}
