package testworld

import (
	"os"
	"path/filepath"
	"testing"
)

// Hang puts a program of that name first in the PATH. It is a script, and starts a program that holds its streams for 60 s.
func Hang(t testing.TB, name string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nsleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}
