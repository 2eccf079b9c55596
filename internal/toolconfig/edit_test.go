package toolconfig

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"clerk-credential-helper/platform"
)

// TestComesBack: no backup is made of a text that unset restores without one, since it may hold secrets.
func TestComesBack(t *testing.T) {
	const section = "[credential \"https://git.acme.dev\"]\n\thelper =\n\thelper = clerk\n"
	host := []Host{{Name: "git2.acme.dev"}}
	for _, row := range []struct {
		reason, tool, text string
		want               bool
	}{
		{"an empty file", "git", "", true},
		{"a setting", "git", "[user]\n\tname = Ada\n", true},
		{"without a line end", "git", "[user]\n\tname = Ada", true},
		{"lines of ours already", "git", section, true},
		{"and others", "git", "# mine\n" + section, true},
		{"passwords", "docker", `{"auths": {"a": {"auth": "x"}}}`, true},
		{"another helper", "docker", `{"credHelpers": {"b.dev": "ecr-login"}}`, true},
		{"lines of ours alone", "docker", `{"credHelpers": {"a.dev": "clerk"}}`, true},
		{"users", "kubectl", "users:\n- name: a\n  user:\n    token: x\n", true},
		{"our place in the list", "go", "GOAUTH=git /a;netrc\n", true},

		{"blanks of an empty object", "docker", "{ }", false},
		{"an empty object of helpers", "docker", `{"auths": {}, "credHelpers": {}}`, false},
		{"a value that cannot stay", "go", "GOAUTH=off\n", false},
		{"no list of users", "kubectl", "clusters: []\n", false},
		{"an empty list of users", "kubectl", "users: []\n", false},
	} {
		tool, _ := Named(row.tool)
		e := tool.edit("file")
		added, err := tool.add([]byte(row.text), host)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.comesBack([]byte(row.text), added); got != row.want {
			t.Errorf("%s: %v\n%s", row.reason, got, added)
		}
	}
	if (Edit{}).comesBack(nil, nil) {
		t.Error("there is no way back")
	}
}

// TestEncodings: no tool's file is changed, by setup or unset, if the tool could not read it, and the message says why. A byte
// order mark is refused too, or stays.
func TestEncodings(t *testing.T) {
	texts := map[string]string{
		"git": "[user]\r\n\tname = Ada\r\n", "docker": "{\r\n}\r\n", "go": "GOFLAGS=-mod=mod\r\n", "cargo": "[net]\r\nretry = 3\r\n",
		"kubectl": "apiVersion: v1\r\nkind: Config\r\n", "terraform": "disable_checkpoint = true\r\n", "pip": "[global]\r\ntimeout = 60\r\n",
		"npm": "fund=false\r\n", "bazel": "build --jobs=4\r\n",
	}
	hosts := []Host{{Name: "git.acme.dev"}}
	for _, tool := range Tools() {
		text, ok := texts[tool.Name]
		if !ok {
			t.Errorf("%s: no text", tool.Name)
			continue
		}
		low, high := "", ""
		for _, c := range []byte(text) {
			low, high = low+string([]byte{c, 0}), high+string([]byte{0, c})
		}
		for _, row := range []struct{ form, text, want string }{
			{"UTF-16", "\xff\xfe" + low, "line 1: it is UTF-16, as Windows PowerShell writes it: save it as UTF-8"},
			{"UTF-16, the other way round", "\xfe\xff" + high, "line 1: it is UTF-16, as Windows PowerShell writes it: save it as UTF-8"},
			{"UTF-16 without a mark", low, "line 1: it is UTF-16, as Windows PowerShell writes it: save it as UTF-8"},
			{"byte order mark", "\ufeff" + text, "line 1: it begins with a byte order mark: save it as UTF-8 without one"},
			{"UTF-8", text, ""},
		} {
			for undo, change := range map[bool]func([]byte, []Host) ([]byte, error){false: tool.add, true: tool.remove} {
				if change == nil {
					continue
				}
				file := filepath.Join(t.TempDir(), "file")
				if err := os.WriteFile(file, []byte(row.text), 0o600); err != nil {
					t.Fatal(err)
				}
				e := tool.edit(file)
				e.Undo, e.Change = undo, func(text []byte) ([]byte, error) { return change(text, hosts) }
				d, err := newDraft(e)
				stays := row.form == "byte order mark" && err == nil && strings.HasPrefix(string(d.new), "\ufeff") && strings.Count(string(d.new), "\ufeff") == 1
				if row.want == "" && err != nil || row.want != "" && !stays && (err == nil || err.Error() != row.want) {
					t.Errorf("%s, %s, unset %t: %v, %q; want %q", tool.Name, row.form, undo, err, d.new, row.want)
				}
			}
		}
	}
}

// agrees says yes, after it has done something.
type agrees struct {
	meanwhile func()
	told      []string
}

func (*agrees) Show(string) {}

func (a *agrees) Tell(lines ...string) { a.told = append(a.told, lines...) }

func (a *agrees) Confirm(context.Context, string, bool) (bool, error) {
	if a.meanwhile != nil {
		a.meanwhile()
	}
	return true, nil
}

func testEnv(home string) Env {
	return Env{LookPath: exec.LookPath, Getenv: func(name string) string { return map[string]string{"HOME": home}[name] }}
}

// apply sets a tool up, or undoes that.
func apply(t *testing.T, tool string, undo bool, home string, person *agrees) error {
	t.Helper()
	row, _ := Named(tool)
	cfg := acme(t)
	hosts := cfg.Hosts()[:1]
	env := testEnv(home)
	change, err := row.Setup(env, cfg, hosts, "")
	if err == nil && undo {
		change.Edits, err = row.Unset(env, cfg, nil, "acme")
	}
	if err != nil {
		t.Fatal(err)
	}
	return Apply(t.Context(), person, change.Edits, Options{})
}

// TestApplyAtOnce: a file that another program changes, or has locked, is left to it.
func TestApplyAtOnce(t *testing.T) {
	const before, theirs = "[user]\n\tname = Ada\n", "[user]\n\tname = Eve\n"
	for _, row := range []struct {
		reason, tool, file, lock string
		meanwhile                string // what the file has after the question
		want                     string
	}{
		{"git has its lock", "git", ".gitconfig", ".gitconfig.lock", before, "another program is changing it"},
		{"kubectl has its lock", "kubectl", ".kube/config", ".kube/config.lock", "users: []\n", "another program is changing it"},
		{"another text after the question", "git", ".gitconfig", "", theirs, platform.ErrChanged.Error()},
		{"a tool without a lock", "docker", ".docker/config.json", "", `{"auths": {"x": {}}}`, platform.ErrChanged.Error()},
	} {
		t.Run(row.reason, func(t *testing.T) {
			home := t.TempDir()
			file := filepath.Join(home, filepath.FromSlash(row.file))
			text := map[string]string{"git": before, "kubectl": "users: []\n", "docker": "{}"}[row.tool]
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
			if row.lock != "" {
				if err := os.WriteFile(filepath.Join(home, filepath.FromSlash(row.lock)), nil, 0); err != nil {
					t.Fatal(err)
				}
			}
			err := apply(t, row.tool, false, home, &agrees{meanwhile: func() {
				if err := os.WriteFile(file, []byte(row.meanwhile), 0o600); err != nil {
					t.Error(err)
				}
			}})
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, not %q", err, row.want)
			}
			if now, err := os.ReadFile(file); err != nil || string(now) != row.meanwhile {
				t.Errorf("%v %q", err, now)
			}
			_, err = os.Lstat(file + ".lock")
			if left := err == nil; left != (row.lock != "") {
				t.Errorf("the lock: %v", err)
			}
			if _, err := os.Lstat(file + backupSuffix); err == nil {
				t.Error("a copy is left")
			}
		})
	}
	home := t.TempDir() // and its own lock is gone afterwards
	for _, undo := range []bool{false, true} {
		if err := apply(t, "git", undo, home, &agrees{}); err != nil {
			t.Error(err)
		}
		if left, err := filepath.Glob(filepath.Join(home, ".git*.lock")); err != nil || left != nil {
			t.Errorf("%q %v", left, err)
		}
	}
}

// TestBackup: a copy is made only where it is needed, is this user's alone, and goes with our lines, also if the file has
// changed: a password that the tool has removed must not stay in the copy.
func TestBackup(t *testing.T) {
	const secret = `{"auths": {"ghcr.io": {"auth": "SECRET"}}}`
	for _, row := range []struct {
		reason       string
		before, copy string // the file, and a copy that is there before
		later        string // the file after setup, if it changes
		kept         bool   // after setup
		left         bool   // after unset
		text         string // after unset
	}{
		{"passwords", secret, "", "", false, false, secret},
		{"a layout that would be lost", "{ }", "", "", true, false, "{ }"},
		{"a layout that would be lost, and other changes since", "{ }", "", `{"credHelpers":{"npm.acme.dev":"clerk"},"x":1}`, true, false, `{"x":1}`},
		{"an early release's copy, and docker logout since", `{"auths": {}, "credHelpers": {"npm.acme.dev": "clerk"}}`, secret, "", true, false, `{"auths": {}}`},
		{"the only place of other lines", `{"credHelpers": {"npm.acme.dev": "clerk"}}`, secret, "", true, true, "{}"},
		{"our lines are gone already, and the copy is not", `{"auths": {}}`, secret, `{"auths": {}}`, true, false, `{"auths": {}}`},
		{"a copy that is not ours", `{"auths": {}}`, "not JSON", "", true, true, `{"auths": {}}`},
	} {
		t.Run(row.reason, func(t *testing.T) {
			home := t.TempDir()
			file := filepath.Join(home, ".docker", "config.json")
			backup := file + backupSuffix
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(row.before), 0o640), os.Chmod(file, 0o640)); err != nil {
				t.Fatal(err)
			}
			if row.copy != "" {
				if err := errors.Join(os.WriteFile(backup, []byte(row.copy), 0o644), os.Chmod(backup, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			if err := apply(t, "docker", false, home, &agrees{}); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(backup); (err == nil) != row.kept {
				t.Errorf("after setup: %v", err)
			} else if err == nil && row.copy == "" && platform.Allows(backup, 0o077) {
				t.Error("the copy is open to others")
			}
			if row.later != "" {
				if err := os.WriteFile(file, []byte(row.later), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			if err := apply(t, "docker", true, home, &agrees{}); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(backup); (err == nil) != row.left {
				t.Errorf("after unset: %v", err)
			} else if err == nil && platform.Allows(backup, 0o077) {
				t.Error("the copy that stays is open to others")
			}
			now, err := os.ReadFile(file)
			if err != nil || string(now) != row.text {
				t.Errorf("%v %q, not %q", err, now, row.text)
			}
			if !platform.Allows(file, 0o040) {
				t.Error("its mode is another")
			}
		})
	}
}
