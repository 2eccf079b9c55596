package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"clerk-credential-helper/platform"
)

// TestStoreRemedy: each cause has a remedy of its own, and none advises to lose sessions where something else helps.
func TestStoreRemedy(t *testing.T) {
	const folder = "/home/ada/.local/state/clerk-credential-helper"
	for _, row := range []struct {
		reason string
		err    error
		want   string
		not    []string
	}{
		{"mounted read-only", &fs.PathError{Op: "open", Path: folder + "/x", Err: syscall.EROFS},
			"the file system is mounted read-only: mount it for writing, or name a folder elsewhere with XDG_STATE_HOME", []string{"chmod", "remove", "lost"}},
		{"not ours to write", &fs.PathError{Op: "mkdir", Path: folder, Err: fs.ErrPermission},
			"let this user write to that folder: chmod u+rwx", []string{"0700", "remove", "lost"}},
		{"the disk is full", &fs.PathError{Op: "write", Path: folder + "/x", Err: syscall.ENOSPC},
			"make room", []string{"chmod", "remove", "lost"}},
		{"open to others", fmt.Errorf("%s %w (mode 0755)", folder, platform.ErrOpen), "chmod 0700", []string{"remove", "lost"}},
		{"another user's", fmt.Errorf("%s %w (1000)", folder, platform.ErrForeign), "sudo chown", []string{"remove", "lost"}},
		{"no folder", fmt.Errorf("%s %w", folder, platform.ErrNoFolder), "move away", []string{"chmod", "lost"}},
		{"locked", platform.ErrLocked, "unlock the keychain", []string{"chmod", "lost"}},
		{"any other error", errors.New("input/output error"), "CLERK_HELPER_STORE", []string{"chmod", "remove", "lost"}},
	} {
		got := storeRemedy(row.err)
		if !strings.Contains(got, row.want) {
			t.Errorf("%s: %q, want %q", row.reason, got, row.want)
		}
		for _, not := range row.not {
			if strings.Contains(got, not) {
				t.Errorf("%s: %q holds %q", row.reason, got, not)
			}
		}
	}
}

// TestFixLink makes the link that install.sh makes, where nothing is in its place.
func TestFixLink(t *testing.T) {
	dir := t.TempDir()
	self := filepath.Join(dir, "clerk-credential-helper")
	if err := os.WriteFile(self, []byte(""), 0o600); err != nil {
		t.Fatal(err)
	}
	_, repairs := notInPath(self, "git-credential-clerk")
	if len(repairs) != 1 || repairs[0].do() != nil {
		t.Fatalf("%+v", repairs)
	}
	link := filepath.Join(dir, "git-credential-clerk")
	if to, err := os.Readlink(link); err != nil || to != "clerk-credential-helper" {
		t.Errorf("it leads to %q, %v", to, err)
	}
	remedy, repairs := notInPath(self, "git-credential-clerk")
	if repairs != nil || !strings.Contains(remedy, `export PATH="`+dir+`:$PATH"`) {
		t.Errorf("the folder is all that is missing in the PATH: %q, %+v", remedy, repairs)
	}
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-clerk"), []byte("the user's own"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, repairs := notInPath(self, "docker-credential-clerk"); repairs != nil {
		t.Errorf("the user's own program would be replaced: %+v", repairs)
	}
	if _, repairs := notInPath(filepath.Join(dir, "another-name"), "cargo-credential-clerk"); repairs != nil {
		t.Errorf("a link to nothing would be made: %+v", repairs)
	}
}
