package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerk-credential-helper/protocol"
)

func TestLastError(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	if status, out, words := runHere("last-error"); status != exitOK || out != "no tool has failed\n" {
		t.Errorf("status %d\n%s%s", status, out, words)
	}
	sys := &system{getenv: os.Getenv}
	remember(sys.getenv, "docker", "registry.acme.dev", protocol.Reply{Err: errors.New("first")})
	remember(sys.getenv, "docker", "registry.acme.dev\x1b[2J", protocol.Reply{Err: errors.New(strings.Repeat("long ", 1000)), Hint: "run: this"})
	remember(sys.getenv, "go", "", protocol.Reply{Err: &protocol.VerbatimError{Text: "secret of another program"}})
	remember(sys.getenv, "git", "git.acme.dev", protocol.Reply{})
	status, out, words := runHere("last-error")
	if status != exitOK || !strings.HasPrefix(out, "go, ") || !strings.Contains(out, "docker, ") || !strings.Contains(out, "run: this") {
		t.Errorf("status %d\n%s%s", status, out, words)
	}
	for _, unwanted := range []string{"first", "secret of", "\x1b", "git, "} {
		if strings.Contains(out, unwanted) {
			t.Errorf("it holds %q:\n%s", unwanted, out)
		}
	}
	size := int64(0)
	err := filepath.WalkDir(home, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v", path, info.Mode())
		}
		size += info.Size()
		return err
	})
	if err != nil || size > 6<<10 {
		t.Errorf("%d bytes are kept (%v)", size, err)
	}
}
