package testworld

import (
	"os"
	"path/filepath"
	"testing"
)

// Hang is a program of that name in a folder that is now first in the PATH. It starts another, which stays and has its
// streams, as a script does that stands in the place of the program.
func Hang(t testing.TB, name string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nsleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}
