package testworld

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestCheck: a program in the PATH that does not run is as good as none, and says why itself.
func TestCheck(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs are shell scripts")
	}
	dir := t.TempDir()
	for name, script := range map[string]string{
		"runs":   "exit 0",
		"shim":   "echo trying >&2; echo 'error: rustup could not choose a version of cargo to run' >&2; exit 1",
		"silent": "exit 3",
		"home":   `test -e "$HOME/toolchain" || { echo no toolchain in $HOME >&2; exit 1; }`,
		"once":   `test ! -e "$HOME/ran" && : >"$HOME/ran"`,
		"git":    "echo git version 2.46.0.rc1.9",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv("HOME", dir)
	if err := os.WriteFile(filepath.Join(dir, "toolchain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	programs := programs{env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}}
	for _, row := range []struct{ program, want string }{
		{"runs", ""},
		{"once", ""},
		{"once", ""}, // and not a second time
		{"not-there", "not-there is not installed"},
		{"shim", "shim does not run here: trying\nerror: rustup could not choose a version of cargo to run"},
		{"silent", "silent does not run here: exit status 3"},
		{"git", ""},
		{"git@2.46", ""},
		{"git@2.9", ""}, // the numbers are compared, not the text
		{"git@1.99", ""},
		{"git@2.47", "git is of version 2.46 here, and 2.47 or later is needed"},
		{"git@10.0", "git is of version 2.46 here, and 10.0 or later is needed"},
		{"runs@1.0", `runs@1.0: no version in ""`},
		{"not-there@1.0", "not-there is not installed"},
		{"home", "home does not run here: no toolchain in " + home}, // the environment is the script's
	} {
		got := ""
		if err := programs.check(t.Context(), row.program); err != nil {
			got = err.Error()
		}
		if got != row.want {
			t.Errorf("%s: %q, not %q", row.program, got, row.want)
		}
	}
}

func TestRequired(t *testing.T) {
	for _, row := range []struct {
		ci, program string
		want        bool
	}{
		{"true", "git", true},
		{"true", "cargo", false}, // no package of Debian's is new enough
		{"true", "git@2.46", false},
		{"", "git", false},
		{"false", "git", false},
	} {
		t.Setenv("CI", row.ci)
		if got := Required(row.program); got != row.want {
			t.Errorf("CI=%s, %s: %v", row.ci, row.program, got)
		}
	}
}

// ending is a test whose end can be looked at.
type ending struct {
	testing.TB
	failed bool
	atEnd  []func()
}

func (e *ending) Helper()               {}
func (e *ending) Logf(string, ...any)   {}
func (e *ending) Errorf(string, ...any) { e.failed = true }
func (e *ending) Failed() bool          { return e.failed }
func (e *ending) Cleanup(f func())      { e.atEnd = append(e.atEnd, f) }

func TestGolden(t *testing.T) {
	before := *update
	t.Cleanup(func() { *update = before })
	for _, row := range []struct {
		name            string
		update, fails   bool
		got, left       string
		failedAfterward bool
	}{
		{"as it was", false, false, "old", "old", false},
		{"changed", false, false, "new", "old", true},
		{"accepted", true, false, "new", "new", false},
		{"a test that fails later", true, true, "new", "old", true},
	} {
		*update = row.update
		file := filepath.Join(t.TempDir(), "golden")
		if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		e := &ending{TB: t}
		Golden(e, file, row.got)
		if row.fails {
			e.Errorf("the program failed")
		}
		for _, f := range e.atEnd {
			f()
		}
		if left, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(left)) != row.left || e.failed != row.failedAfterward {
			t.Errorf("%s: %q is left, %v; the test failed: %v", row.name, left, err, e.failed)
		}
	}
}
