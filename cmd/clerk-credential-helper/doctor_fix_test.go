package main

import (
	"clerk-credential-helper/internal/testworld"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const stateBelow = ".local/state/clerk-credential-helper"

// faultsToFix is what --fix can repair, one thing at a time. broken says what is there, and is asked again afterwards.
func faultsToFix(t *testing.T) []fixable {
	mode := func(path string) func(home string) bool {
		return func(home string) bool {
			info, err := os.Stat(filepath.Join(home, path))
			return err == nil && info.Mode().Perm()&0o022 != 0
		}
	}
	there := func(path string) func(home string) bool {
		return func(home string) bool {
			_, err := os.Lstat(filepath.Join(home, path))
			return err == nil
		}
	}
	open := func(home string, patterns ...string) (found bool) {
		for _, pattern := range patterns {
			files, err := filepath.Glob(filepath.Join(home, stateBelow, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
					found = true
				}
			}
		}
		return found
	}
	old := func(t *testing.T, file string) {
		t.Helper()
		at := time.Now().Add(-25 * time.Hour)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	const own = ".config/clerk-credential-helper"
	return []fixable{
		{"the configuration may be written by others", func(t *testing.T, home string) { chmod(t, filepath.Join(home, own, "config.toml"), 0o666) },
			mode(own + "/config.toml"), "chmod go-w"},
		{"and so may its folder", func(t *testing.T, home string) { chmod(t, filepath.Join(home, own), 0o777) },
			mode(own), "look at what the configuration says"},
		{"and so may a folder above", func(t *testing.T, home string) { chmod(t, filepath.Join(home, ".config"), 0o775) },
			mode(".config"), "look at what the configuration says"},
		{"the folder behind a link", func(t *testing.T, home string) {
			write(t, filepath.Join(home, "dotfiles/config.toml"), "")
			if err := os.Rename(filepath.Join(home, own, "config.toml"), filepath.Join(home, "dotfiles/config.toml")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("../../dotfiles/config.toml", filepath.Join(home, own, "config.toml")); err != nil {
				t.Fatal(err)
			}
			chmod(t, filepath.Join(home, "dotfiles"), 0o775)
		}, mode("dotfiles"), "dotfiles"},
		{"the store is open to others", func(t *testing.T, home string) { chmod(t, filepath.Join(home, stateBelow), 0o755) },
			func(home string) bool { return open(home, ".") }, "chmod 0700"},
		{"a session is open to others", func(t *testing.T, home string) {
			files, err := filepath.Glob(filepath.Join(home, stateBelow, "session-*.json"))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			chmod(t, files[0], 0o644)
		}, func(home string) bool { return open(home, "session-*.json") }, "logout --all ends them"},
		{"locks are open to others", func(t *testing.T, home string) {
			files, err := filepath.Glob(filepath.Join(home, stateBelow, "locks", "*.lock"))
			if err != nil || len(files) < 2 {
				t.Fatal(files, err)
			}
			for _, file := range files {
				chmod(t, file, 0o666)
			}
		}, func(home string) bool { return open(home, "locks/*.lock") }, "files in"},
		{"a link in a lock's place", func(t *testing.T, home string) {
			if err := os.Symlink("/nowhere", filepath.Join(home, stateBelow, "locks", "session-x.lock")); err != nil {
				t.Fatal(err)
			}
		}, there(stateBelow + "/locks/session-x.lock"), "session-x.lock"},
		{"what a killed writer has left", func(t *testing.T, home string) {
			file := filepath.Join(home, stateBelow, ".session-x.json.123.tmp")
			write(t, file, "{}")
			old(t, file)
		}, there(stateBelow + "/.session-x.json.123.tmp"), "rm 1 file left over"},
		{"an outcome of yesterday", func(t *testing.T, home string) {
			file := filepath.Join(home, stateBelow, "locks/outcomes/signin-x.json")
			write(t, file, `{"code":"denied","at":"2020-01-01T00:00:00Z"}`)
			old(t, file)
		}, there(stateBelow + "/locks/outcomes/signin-x.json"), "rm 1 file left over"},
		{"git gives our token to store", func(t *testing.T, home string) {
			write(t, filepath.Join(home, ".gitconfig"), "[credential]\n\thelper = clerk\n\thelper = store\n")
		}, func(home string) bool {
			text, err := os.ReadFile(filepath.Join(home, ".gitconfig"))
			return err == nil && !strings.HasSuffix(string(text), "\thelper =\n\thelper = clerk\n")
		}, "clerk-credential-helper setup git"},
		{"two faults, of which one hides the other", func(t *testing.T, home string) {
			chmod(t, filepath.Join(home, own), 0o777)
			write(t, filepath.Join(home, ".gitconfig"), "[credential]\n\thelper = clerk\n\thelper = store\n")
		}, func(home string) bool {
			text, err := os.ReadFile(filepath.Join(home, ".gitconfig"))
			return mode(own)(home) || err != nil || !strings.HasSuffix(string(text), "\thelper =\n\thelper = clerk\n")
		}, "chmod go-w"},
	}
}

type fixable struct {
	name   string
	breaks func(t *testing.T, home string)
	broken func(home string) bool
	offer  string
}

func TestDoctorFix(t *testing.T) {
	testworld.Long(t, "each repair runs git and the program")
	for _, tt := range faultsToFix(t) {
		t.Run(tt.name, func(t *testing.T) {
			_, home := wellSetUp(t)
			if status, _, words := runHere("login"); status != exitOK {
				t.Fatal(words)
			}
			if status, out, words := runHere("doctor", "--fix", "--yes"); status != exitOK || !strings.Contains(words, "nothing to fix") {
				t.Fatalf("before it is broken: status %d\n%s%s", status, out, words)
			}
			tt.breaks(t, home)
			if !tt.broken(home) {
				t.Fatal("nothing is broken")
			}
			if status, out, _ := runHere("doctor"); !strings.Contains(out, "doctor --fix") {
				t.Errorf("doctor alone does not offer it: status %d\n%s", status, out)
			}
			// A hint in passing, a look, and a question that nobody can answer change nothing.
			status, _, words := runHere("doctor", "--fix", "--dry-run")
			if !tt.broken(home) || !strings.Contains(strings.Join(strings.Fields(words), " "), tt.offer) {
				t.Errorf("--dry-run: status %d, broken %v\n%s", status, tt.broken(home), words)
			}
			if status, _, words := runHere("doctor", "--fix"); status != exitUsage || !tt.broken(home) || !strings.Contains(words, "you cannot be asked") {
				t.Errorf("without a terminal: status %d, broken %v\n%s", status, tt.broken(home), words)
			}

			status, out, words := runHere("doctor", "--fix", "--yes")
			if status != exitOK || tt.broken(home) || strings.Contains(out, "FAILED") || strings.Contains(out, "warning") || !strings.Contains(words, "done") {
				t.Errorf("status %d, broken %v\n%s%s", status, tt.broken(home), out, words)
			}
			if status, out, words := runHere("token"); status != exitOK || !strings.HasPrefix(out, "ey") {
				t.Errorf("the session is lost: %d %s", status, words)
			}
		})
	}
}

// TestDoctorFixLeavesAlone: what is in use, what is the user's own, and what is not ours to judge.
func TestDoctorFixLeavesAlone(t *testing.T) {
	_, home := wellSetUp(t)
	if status, _, words := runHere("login"); status != exitOK {
		t.Fatal(words)
	}
	state := filepath.Join(home, stateBelow)
	fresh, note, valid := filepath.Join(state, ".session-x.json.1.tmp"), filepath.Join(state, "note.txt"), filepath.Join(state, "locks/outcomes/signin-y.json")
	write(t, fresh, "{}")
	write(t, note, "mine")
	chmod(t, note, 0o644)
	write(t, valid, fmt.Sprintf(`{"code":"denied","at":%q,"until":%q}`, time.Now().UTC().Format(time.RFC3339), time.Now().UTC().Add(time.Minute).Format(time.RFC3339)))
	locks, err := filepath.Glob(filepath.Join(state, "locks", "*.lock"))
	if err != nil || len(locks) == 0 {
		t.Fatal(locks, err)
	}
	if status, out, words := runHere("doctor", "--fix", "--yes"); status != exitOK {
		t.Fatal(status, out, words)
	}
	for _, file := range append(locks, fresh, note, valid) {
		if _, err := os.Lstat(file); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(note); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the user's own file: %v, %v", info, err)
	}
}

func TestDoctorFlags(t *testing.T) {
	wellSetUp(t)
	for _, flag := range []string{"--yes", "--dry-run"} {
		if status, _, words := runHere("doctor", flag); status != exitUsage || !strings.Contains(words, "go with --fix") {
			t.Errorf("%s: %d %s", flag, status, words)
		}
	}
}

// TestDoctorFixLeavesOthers: root by sudo, in a home folder of another user. A lock that is taken away there
// excludes no process any more.
func TestDoctorFixLeavesOthers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make files of another user's")
	}
	_, home := wellSetUp(t)
	if status, _, words := runHere("login"); status != exitOK {
		t.Fatal(words)
	}
	state := filepath.Join(home, stateBelow)
	left := filepath.Join(state, ".session-x.json.1.tmp")
	write(t, left, "{}")
	at := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(left, at, at); err != nil {
		t.Fatal(err)
	}
	locks, err := filepath.Glob(filepath.Join(state, "locks", "*.lock"))
	if err != nil || len(locks) == 0 {
		t.Fatal(locks, err)
	}
	if err := filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, 4242, 4242))
	}); err != nil {
		t.Fatal(err)
	}
	_, out, words := runHere("doctor", "--fix", "--yes")
	for _, file := range append(locks, left) {
		if _, err := os.Lstat(file); err != nil {
			t.Error(err, out, words)
		}
	}
}

// TestDoctorFixSticky: a folder that is everybody's is not closed to them.
func TestDoctorFixSticky(t *testing.T) {
	_, home := wellSetUp(t)
	shared := filepath.Join(home, "shared")
	if err := os.Mkdir(shared, 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(home, ".config/clerk-credential-helper/config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(shared, "config.toml"), string(text))
	if err := os.Chmod(shared, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CLERK_HELPER_CONFIG", filepath.Join(shared, "config.toml"))
	_, _, words := runHere("doctor", "--fix", "--yes")
	if info, err := os.Stat(shared); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("%v, %v, %s", info.Mode(), err, words)
	}
}
