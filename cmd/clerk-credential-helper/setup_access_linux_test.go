package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSetupKeepsGroup: a file that only a group may read besides its owner stays so, and no copy of its passwords is left,
// for the members of the user's own group least of all.
func TestSetupKeepsGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file to a group that it is not in")
	}
	_, home := wellSetUp(t)
	const group, mode = 3000, 0o640
	folder := filepath.Join(home, ".docker")
	file := filepath.Join(folder, "config.json")
	const text = `{"auths":{"ghcr.io":{"auth":"YTpi"}}}`
	write(t, file, text)
	if err := os.Chown(file, 0, group); err != nil {
		t.Fatal(err)
	}
	chmod(t, file, mode)
	for _, command := range []string{"setup", "unset"} {
		status, _, words := runHere(command, "docker", "--yes")
		if status != exitOK {
			t.Fatalf("%s: %s", command, words)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if s := info.Sys().(*syscall.Stat_t); s.Gid != group || info.Mode() != mode {
			t.Errorf("%s: it is %v of the group %d", command, info.Mode(), s.Gid)
		}
		entries, err := os.ReadDir(folder)
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: %v %v", command, err, entries)
		}
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != text {
		t.Errorf("%v %s", err, now)
	}
	// A layout that would be lost: the copy is root's alone.
	write(t, file, "{ }")
	if status, _, words := runHere("setup", "docker", "--yes"); status != exitOK || !strings.Contains(words, "the previous text is in config.json.clerk-backup") {
		t.Fatal(words)
	}
	if info, err := os.Stat(file + ".clerk-backup"); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}
