package testworld

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Write writes a file with mode 0600, and creates its folder with mode 0700.
func Write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Rewrite replaces the first occurrence of old, which the file must contain.
func Rewrite(t testing.TB, file, old, fresh string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s does not hold %q:\n%s", file, old, text)
	}
	Write(t, file, strings.Replace(string(text), old, fresh, 1))
}

// OpenToAll copies the program of the test to where other users of the machine can start it, and returns its path.
func OpenToAll(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "open")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	Chmod(t, dir, 0o755)
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, text, 0o700); err != nil {
		t.Fatal(err)
	}
	Chmod(t, program, 0o755)
	return program
}

// Chmod sets the mode of a file.
func Chmod(t testing.TB, file string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}
