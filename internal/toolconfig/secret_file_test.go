package toolconfig

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"clerk-credential-helper/platform"
)

// TestSecretFileOfAnother: root leaves no file in a person's home, as with sudo, and sweeps none there.
func TestSecretFileOfAnother(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a folder to another user")
	}
	home := t.TempDir()
	old := filepath.Join(home, ".local", "state", "clerk-credential-helper", "exec", "run-old")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, 4242, 4242); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"HOME": home}[name] }
	if _, _, err := SecretFile(getenv, "secret"); !errors.Is(err, platform.ErrForeign) {
		t.Errorf("a file was made: %v", err)
	}
	SweepSecretFiles(getenv)
	if _, err := os.Stat(old); err != nil {
		t.Errorf("something was removed: %v", err)
	}
}

// TestSecretFile: the file is the user's alone, and is gone after remove, also if the program it was for has removed it.
func TestSecretFile(t *testing.T) {
	home := t.TempDir()
	getenv := func(name string) string {
		return map[string]string{"HOME": home, "LocalAppData": home}[name]
	}
	for _, gone := range []bool{false, true} {
		file, remove, err := SecretFile(getenv, "secret")
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(file); err != nil || string(text) != "secret" {
			t.Errorf("it has %q, %v", text, err)
		}
		if gone {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		if err := remove(); err != nil {
			t.Errorf("gone before: %v: %v", gone, err)
		}
		if _, err := os.Stat(filepath.Dir(file)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its folder is left: %v", err)
		}
	}
}
