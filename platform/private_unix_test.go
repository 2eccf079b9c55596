//go:build unix

package platform

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestOpenPrivateDir(t *testing.T) {
	for _, row := range []struct {
		reason string
		make   func(t *testing.T, top, dir string)
		want   string // part of the error; empty: it is opened
	}{
		{"there is none", func(*testing.T, string, string) {}, ""},
		{"ours", func(t *testing.T, _, dir string) { mkdir(t, dir) }, ""},
		{"below a folder like /tmp", func(t *testing.T, top, _ string) { chmod(t, top, 0o777|os.ModeSticky) }, ""},
		{"below a folder that others may write", func(t *testing.T, top, _ string) { chmod(t, top, 0o777) }, "may be written by others (mode 0777)"},
		{"below a folder that the group may write", func(t *testing.T, top, _ string) { chmod(t, top, 0o770) }, "may be written by others (mode 0770)"},
		{"others may enter it", func(t *testing.T, _, dir string) { mkdir(t, dir); chmod(t, dir, 0o711) }, "is open to others (mode 0711)"},
		{"a file", func(t *testing.T, _, dir string) { writeText(t, dir, "") }, "is not a folder"},
		{"a link to a folder of ours", func(t *testing.T, top, dir string) {
			mkdir(t, dir+"-real")
			symlink(t, dir+"-real", dir)
		}, "is not a folder"},
		{"a link that leads nowhere", func(t *testing.T, top, dir string) { symlink(t, dir+"-real", dir) }, "is not a folder"},
		{"another user's", func(t *testing.T, _, dir string) { mkdir(t, dir); chown(t, dir) }, "belongs to another user"},
		{"to be made in another user's folder", func(t *testing.T, top, _ string) { chown(t, top) }, "belongs to another user"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			top := t.TempDir()
			dir := filepath.Join(top, "private")
			row.make(t, top, dir)
			root, err := OpenPrivateDir(dir)
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("%v, want %q", err, row.want)
				}
				if _, made := os.Lstat(dir); row.reason == "to be made in another user's folder" && made == nil {
					t.Error("it was made")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%v, %v", info, err)
			}
			// What is written goes into the folder that was looked at, whatever its name leads to by then.
			if err := os.Rename(dir, dir+"-moved"); err != nil {
				t.Fatal(err)
			}
			mkdir(t, dir)
			symlink(t, filepath.Join(top, "elsewhere"), filepath.Join(dir+"-moved", "link"))
			if err := root.WriteFile("token", []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			if f, err := root.OpenFile("link", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
				f.Close()
				t.Error("a link was followed")
			}
			if !IsPlain(filepath.Join(dir+"-moved", "token")) || IsPlain(filepath.Join(dir, "token")) {
				t.Error("the file is in another folder")
			}
		})
	}
}

func TestRuntimeDir(t *testing.T) {
	home := t.TempDir()
	runtime := filepath.Join(home, "runtime")
	mkdir(t, runtime)
	state := filepath.Join(home, ".local", "state", appName)
	for _, row := range []struct {
		reason, variable string
		mode             os.FileMode
		want             string
	}{
		{"ours alone", runtime, 0o700, filepath.Join(runtime, appName)},
		{"not set", "", 0o700, state},
		{"relative", "runtime", 0o700, state},
		{"missing", runtime + "-missing", 0o700, state},
		{"others may read it", runtime, 0o755, state},
		{"the group may write to it", runtime, 0o770, state},
		{"a folder like /tmp", runtime, 0o777 | os.ModeSticky, state},
	} {
		chmod(t, runtime, row.mode)
		got, err := RuntimeDir(func(name string) string {
			return map[string]string{"HOME": home, "XDG_RUNTIME_DIR": row.variable, "TMPDIR": runtime}[name]
		})
		if got != row.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", row.reason, got, err, row.want)
		}
	}
	chmod(t, runtime, 0o700)
	chmod(t, home, 0o777)
	if got, err := RuntimeDir(func(name string) string {
		return map[string]string{"HOME": home, "XDG_RUNTIME_DIR": runtime}[name]
	}); got != state || err != nil {
		t.Errorf("others may write above: %q, %v", got, err)
	}
}

func TestWithoutSecrets(t *testing.T) {
	kept := []string{"PATH=/bin", "CLERK_HELPER_TRACE=1", "CLERK_HELPER_STORE=file", "CLERK_SECRET_KEY=theirs", "X=CLERK_HELPER_TOKEN=x", "CLERK_MACHINE=1", "=C:=C:\\"}
	env := append(slices.Clone(kept), "CLERK_HELPER_TOKEN=x", "CLERK_HELPER_TOKEN_FILE=/x", "CLERK_HELPER_TOKEN_ACME=x", "clerk_helper_token=x", "Clerk_Helper_Token_Acme=x",
		"CLERK_MACHINE_SECRET_KEY=ak", "CLERK_MACHINE_SECRET_KEY_ACME=ak", "clerk_machine_secret_key=ak", "CLERK_HELPER_TOKEN")
	if got := WithoutSecrets(env); !slices.Equal(got, kept) {
		t.Errorf("got %q, want %q", got, kept)
	}
}
