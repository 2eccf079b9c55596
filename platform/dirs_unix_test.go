//go:build unix

package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestReadTrusted(t *testing.T) {
	type place struct{ top, dir, other, file string }
	linkDir := func(t *testing.T, p place) { // dir becomes a link to other
		if err := os.Rename(p.dir, p.dir+"-moved"); err != nil {
			t.Fatal(err)
		}
		symlink(t, p.other, p.dir)
	}
	for _, row := range []struct {
		reason string
		spoil  func(t *testing.T, p place)
		want   string // part of the error; empty: it is read
	}{
		{"ours and closed", func(*testing.T, place) {}, ""},
		{"readable by all is no harm", func(t *testing.T, p place) { chmod(t, p.dir, 0o755); chmod(t, p.file, 0o644) }, ""},
		{"a link to a good place", func(t *testing.T, p place) { relink(t, p.file, filepath.Join(p.other, "config.toml")) }, ""},
		{"anybody may write the file", func(t *testing.T, p place) { chmod(t, p.file, 0o666) }, "config.toml may be written by others (mode 0666)"},
		{"the group may write the file", func(t *testing.T, p place) { chmod(t, p.file, 0o620) }, "config.toml may be written by others (mode 0620)"},
		{"only others may write the file", func(t *testing.T, p place) { chmod(t, p.file, 0o602) }, "may be written by others (mode 0602)"},
		{"the group may write the folder", func(t *testing.T, p place) { chmod(t, p.dir, 0o770) }, "dir may be written by others (mode 0770)"},
		{"a folder like /tmp, in which a file of ours cannot be replaced", func(t *testing.T, p place) { chmod(t, p.dir, 0o777|os.ModeSticky) }, ""},
		{"a folder like /tmp above the last", func(t *testing.T, p place) { chmod(t, p.top, 0o777|os.ModeSticky) }, ""},
		{"a link of ours to a folder of ours", linkDir, ""},
		{"a link that goes up and down again", func(t *testing.T, p place) { relink(t, p.file, "../dir/../other/./config.toml") }, ""},
		{"a store as in Nix, by two links", func(t *testing.T, p place) {
			needRoot(t)
			chownTo(t, p.other, 0, 3000)
			chmod(t, p.other, 0o775|os.ModeSticky)
			chmod(t, filepath.Join(p.other, "config.toml"), 0o444)
			symlink(t, filepath.Join(p.other, "config.toml"), filepath.Join(p.other, "generation"))
			relink(t, p.file, filepath.Join(p.other, "generation"))
		}, ""},
		{"a store as in Nix, whose file has many names", func(t *testing.T, p place) {
			needRoot(t)
			chownTo(t, p.other, 0, 3000)
			chmod(t, p.other, 0o775|os.ModeSticky)
			hardLink(t, filepath.Join(p.other, "config.toml"), filepath.Join(p.other, "same"))
			relink(t, p.file, filepath.Join(p.other, "config.toml"))
		}, ""},
		{"a folder like /tmp, another user's file", func(t *testing.T, p place) { chmod(t, p.dir, 0o777|os.ModeSticky); chown(t, p.file) }, "config.toml belongs to another user (12345)"},
		{"a folder like /tmp, another user's folder in it", func(t *testing.T, p place) { chmod(t, p.top, 0o777|os.ModeSticky); chown(t, p.dir) }, "dir belongs to another user (12345)"},
		{"a folder like /tmp, another user's link in it", func(t *testing.T, p place) {
			chmod(t, p.dir, 0o777|os.ModeSticky)
			relink(t, p.file, filepath.Join(p.other, "config.toml"))
			chown(t, p.file)
		}, "config.toml, a link, belongs to another user (12345)"},
		{"a folder like /tmp that is another user's", func(t *testing.T, p place) { chmod(t, p.dir, 0o777|os.ModeSticky); chown(t, p.dir) }, "dir belongs to another user (12345)"},
		{"a folder like /tmp, a file that the group may write", func(t *testing.T, p place) { chmod(t, p.dir, 0o777|os.ModeSticky); chmod(t, p.file, 0o660) },
			"config.toml may be written by others (mode 0660)"},
		{"a folder like /tmp, a file that others may write", func(t *testing.T, p place) { chmod(t, p.dir, 0o777|os.ModeSticky); chmod(t, p.file, 0o602) },
			"config.toml may be written by others (mode 0602)"},
		{"a folder like /tmp, a folder in it that the group may write", func(t *testing.T, p place) { chmod(t, p.top, 0o777|os.ModeSticky); chmod(t, p.dir, 0o770) },
			"dir may be written by others (mode 0770)"},
		{"a folder like /tmp, a pipe in it", func(t *testing.T, p place) {
			chmod(t, p.dir, 0o777|os.ModeSticky)
			remove(t, p.file)
			if err := syscall.Mkfifo(p.file, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is not a plain file"},
		{"a folder that the group may write, with the bits of its group and user set instead", func(t *testing.T, p place) { chmod(t, p.dir, 0o775|os.ModeSetgid|os.ModeSetuid) },
			"dir may be written by others (mode 0775)"},
		{"a store as in Nix, whose file is another user's", func(t *testing.T, p place) { nixStore(t, p.other); chown(t, relinkTo(t, p.file, p.other)) },
			"config.toml belongs to another user (12345)"},
		{"a store as in Nix, whose file the builders may write", func(t *testing.T, p place) {
			nixStore(t, p.other)
			chmod(t, relinkTo(t, p.file, p.other), 0o464)
		}, "config.toml may be written by others (mode 0464)"},
		{"a store as in Nix, and a builder's link in it", func(t *testing.T, p place) {
			nixStore(t, p.other)
			symlink(t, "config.toml", filepath.Join(p.other, "generation"))
			chown(t, filepath.Join(p.other, "generation"))
			relink(t, p.file, filepath.Join(p.other, "generation"))
		}, "generation, a link, belongs to another user (12345)"},
		{"a store as in Nix, and a builder's folder in it", func(t *testing.T, p place) {
			nixStore(t, p.other)
			below := filepath.Join(p.other, "hash-files")
			mkdir(t, below)
			writeText(t, filepath.Join(below, "config.toml"), "content")
			chown(t, below)
			relink(t, p.file, filepath.Join(below, "config.toml"))
		}, "hash-files belongs to another user (12345)"},
		{"a store as in Nix, and a folder in it that the builders may write", func(t *testing.T, p place) {
			nixStore(t, p.other)
			below := filepath.Join(p.other, "hash-files")
			mkdir(t, below)
			chmod(t, below, 0o775)
			writeText(t, filepath.Join(below, "config.toml"), "content")
			relink(t, p.file, filepath.Join(below, "config.toml"))
		}, "hash-files may be written by others (mode 0775)"},
		{"a store like Nix's that a builder owns", func(t *testing.T, p place) {
			nixStore(t, p.other)
			chownTo(t, p.other, 12345, 3000)
			relinkTo(t, p.file, p.other)
		}, "other belongs to another user (12345)"},
		{"a store like Nix's without the sticky bit", func(t *testing.T, p place) {
			nixStore(t, p.other)
			chmod(t, p.other, 0o775)
			relinkTo(t, p.file, p.other)
		}, "other may be written by others (mode 0775)"},
		{"a store that all may write, whose file has many names", func(t *testing.T, p place) {
			nixStore(t, p.other)
			chmod(t, p.other, 0o777|os.ModeSticky)
			hardLink(t, relinkTo(t, p.file, p.other), filepath.Join(p.other, "same"))
		}, "has 2 names"},
		{"the group may write above the last folder", func(t *testing.T, p place) { chmod(t, p.top, 0o775) }, "may be written by others (mode 0775)"},
		{"anybody may write above the last folder", func(t *testing.T, p place) { chmod(t, p.top, 0o703) }, "may be written by others (mode 0703)"},
		{"another user's folder above the last", func(t *testing.T, p place) { chown(t, p.top) }, "belongs to another user (12345)"},
		{"a folder like /tmp, another name of a file of ours", func(t *testing.T, p place) {
			chmod(t, p.dir, 0o777|os.ModeSticky)
			remove(t, p.file)
			hardLink(t, filepath.Join(p.other, "config.toml"), p.file)
		}, "has 2 names"},
		{"another user's link in place of the folder", func(t *testing.T, p place) { linkDir(t, p); chown(t, p.dir) }, "dir, a link, belongs to another user (12345)"},
		{"another user's link in place of the file", func(t *testing.T, p place) {
			relink(t, p.file, filepath.Join(p.other, "config.toml"))
			chown(t, p.file)
		}, "config.toml, a link, belongs to another user (12345)"},
		{"the second link is another user's", func(t *testing.T, p place) {
			relink(t, p.file, filepath.Join(p.other, "second"))
			symlink(t, "config.toml", filepath.Join(p.other, "second"))
			chown(t, filepath.Join(p.other, "second"))
		}, "second, a link, belongs to another user (12345)"},
		{"the second link is in a folder that others may write", func(t *testing.T, p place) {
			third := filepath.Join(p.top, "third")
			mkdir(t, third)
			symlink(t, filepath.Join(p.other, "config.toml"), filepath.Join(third, "second"))
			relink(t, p.file, filepath.Join(third, "second"))
			chmod(t, third, 0o777)
		}, "third may be written by others (mode 0777)"},
		{"a link through a folder that others may write, and back", func(t *testing.T, p place) {
			mkdir(t, filepath.Join(p.other, "below"))
			relink(t, p.file, filepath.Join(p.other, "below")+"/../config.toml")
			chmod(t, filepath.Join(p.other, "below"), 0o777)
		}, "below may be written by others (mode 0777)"},
		{"a link to a place whose folder above others may write", func(t *testing.T, p place) {
			below := filepath.Join(p.other, "below")
			mkdir(t, below)
			writeText(t, filepath.Join(below, "config.toml"), "content")
			relink(t, p.file, filepath.Join(below, "config.toml"))
			chmod(t, p.other, 0o772)
		}, "other may be written by others (mode 0772)"},
		{"links that go round", func(t *testing.T, p place) { relink(t, p.file, p.file) }, "too many levels of symbolic links"},
		{"a link to a pipe", func(t *testing.T, p place) {
			if err := syscall.Mkfifo(p.file+"-pipe", 0o600); err != nil {
				t.Fatal(err)
			}
			relink(t, p.file, p.file+"-pipe")
		}, "is not a plain file"},
		{"a link into a folder that others may write", func(t *testing.T, p place) {
			relink(t, p.file, filepath.Join(p.other, "config.toml"))
			chmod(t, p.other, 0o777)
		}, "other may be written by others (mode 0777)"},
		{"a link to a file that others may write", func(t *testing.T, p place) {
			relink(t, p.file, filepath.Join(p.other, "config.toml"))
			chmod(t, filepath.Join(p.other, "config.toml"), 0o666)
		}, "config.toml may be written by others (mode 0666)"},
		{"a link that others may turn, to a good place", func(t *testing.T, p place) {
			relink(t, p.file, filepath.Join(p.other, "config.toml"))
			chmod(t, p.dir, 0o777)
		}, "dir may be written by others (mode 0777)"},
		{"a folder", func(t *testing.T, p place) { remove(t, p.file); mkdir(t, p.file) }, "is not a plain file"},
		{"a pipe must not hold us", func(t *testing.T, p place) {
			remove(t, p.file)
			if err := syscall.Mkfifo(p.file, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is not a plain file"},
		{"one byte too long", func(t *testing.T, p place) {
			if err := os.WriteFile(p.file, []byte(strings.Repeat("x", 101)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "above the limit of 100 bytes"},
		{"another user's file", func(t *testing.T, p place) { chown(t, p.file) }, "config.toml belongs to another user (12345)"},
		{"another user's folder", func(t *testing.T, p place) { chown(t, p.dir) }, "dir belongs to another user (12345)"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			top := t.TempDir()
			p := place{top: top, dir: filepath.Join(top, "dir"), other: filepath.Join(top, "other"), file: filepath.Join(top, "dir", "config.toml")}
			for _, dir := range []string{p.dir, p.other} {
				mkdir(t, dir)
				if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte("content"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			row.spoil(t, p)
			data, err := ReadTrusted(p.file, 100)
			if row.want == "" {
				if err != nil || string(data) != "content" {
					t.Errorf("ReadTrusted = %q, %v", data, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), top) || data != nil {
				t.Errorf("ReadTrusted = %q, %v; want an error with the path and %q", data, err, row.want)
			}
		})
	}
}

// TestReadTrustedNothingThere: where there is no file, nothing is trusted, and nothing is wrong with the folders.
func TestReadTrustedNothingThere(t *testing.T) {
	top := t.TempDir()
	writeText(t, filepath.Join(top, "file"), "content")
	symlink(t, filepath.Join(top, "nowhere"), filepath.Join(top, "link"))
	for _, mode := range []os.FileMode{0o700, 0o775, 0o777, 0o777 | os.ModeSticky} {
		chmod(t, top, mode)
		for _, path := range []string{"config.toml", "dir/config.toml", "file/config.toml", "link", "link/config.toml"} {
			if data, err := ReadTrusted(filepath.Join(top, path), 100); !errors.Is(err, fs.ErrNotExist) || data != nil {
				t.Errorf("mode %v, %s: %q, %v", mode, path, data, err)
			}
		}
	}
	for _, path := range []string{"", "config.toml", "./file"} {
		if _, err := ReadTrusted(path, 100); err == nil {
			t.Errorf("%q is read", path)
		}
	}
}

func TestFileStoreModes(t *testing.T) {
	old := syscall.Umask(0) // the widest: the modes must come from us
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "parent", "state")
	k := fileKeychain(t, dir)
	for range 2 {
		if err := k.Set(t.Context(), "session-0123", "{\"a\": 1}\n"); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "session-0123.json")
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Dir(dir): 0o700, file: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", path, info.Mode().Perm(), err, want)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "{\"a\": 1}\n" {
		t.Errorf("the file holds %q, %v; want the secret's bytes and nothing else", data, err)
	}
	if err := os.WriteFile(file, []byte("edited"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Get(t.Context(), "session-0123"); err != nil || got != "edited" {
		t.Errorf("Get after an edit = %q, %v", got, err)
	}
	if want := "file " + dir; k.Describe() != want {
		t.Errorf("Describe = %q, want %q", k.Describe(), want)
	}
	if locks, err := k.LockDir(); err != nil || filepath.Dir(locks) != dir {
		t.Errorf("LockDir = %q, %v; want it beside the files", locks, err)
	}
}

// TestFileStoreRefusals: what was open to others is refused, for reading and for writing, and left as it is.
func TestFileStoreRefusals(t *testing.T) {
	for _, row := range []struct {
		reason string
		spoil  func(t *testing.T, dir, file string)
		reads  bool // whether only a read is refused: a write puts a new file in its place
	}{
		{"others may read the folder", func(t *testing.T, dir, _ string) { chmod(t, dir, 0o750) }, false},
		{"others may enter the folder", func(t *testing.T, dir, _ string) { chmod(t, dir, 0o701) }, false},
		{"a link in place of the folder", func(t *testing.T, dir, _ string) {
			if err := os.Rename(dir, dir+"-moved"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(dir+"-moved", dir); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"a file in place of the folder", func(t *testing.T, dir, _ string) {
			if err := os.Rename(dir, dir+"-moved"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"another user's folder", func(t *testing.T, dir, _ string) { chown(t, dir) }, false},
		{"others may read the file", func(t *testing.T, _, file string) { chmod(t, file, 0o640) }, true},
		{"others may write the file", func(t *testing.T, _, file string) { chmod(t, file, 0o602) }, true},
		{"a link in place of the file", func(t *testing.T, dir, file string) {
			elsewhere := filepath.Join(filepath.Dir(dir), "elsewhere")
			if err := os.WriteFile(elsewhere, []byte("elsewhere"), 0o600); err != nil {
				t.Fatal(err)
			}
			relink(t, file, elsewhere)
		}, true},
		{"a pipe in place of the file", func(t *testing.T, _, file string) {
			remove(t, file)
			if err := syscall.Mkfifo(file, 0o600); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"another user's file", func(t *testing.T, _, file string) { chown(t, file) }, true},
		{"an empty file", func(t *testing.T, _, file string) {
			if err := os.Truncate(file, 0); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"a file above the limit", func(t *testing.T, _, file string) {
			if err := os.Truncate(file, maxSecret+1); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(row.reason, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			k := fileKeychain(t, dir)
			if err := k.Set(t.Context(), "item", "before"); err != nil {
				t.Fatal(err)
			}
			row.spoil(t, dir, filepath.Join(dir, "item.json"))
			if got, err := k.Get(t.Context(), "item"); err == nil || got != "" {
				t.Errorf("Get = %q, %v; want a refusal", got, err)
			} else if !strings.Contains(err.Error(), dir) {
				t.Errorf("the refusal names no path: %v", err)
			}
			err := k.Set(t.Context(), "item", "after")
			if !row.reads {
				if err == nil {
					t.Error("Set was not refused")
				}
				return
			}
			if err != nil {
				t.Fatalf("Set: %v", err)
			}
			if got, err := k.Get(t.Context(), "item"); err != nil || got != "after" {
				t.Errorf("Get after Set = %q, %v", got, err)
			}
			if data, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "elsewhere")); err == nil && string(data) != "elsewhere" {
				t.Errorf("Set wrote through the link: %q", data)
			}
		})
	}
}

func TestLocksRefuseForeignPlaces(t *testing.T) {
	for _, row := range []struct {
		reason string
		spoil  func(t *testing.T, dir string)
	}{
		{"others may enter", func(t *testing.T, dir string) { mkdir(t, dir); chmod(t, dir, 0o711) }},
		{"a link", func(t *testing.T, dir string) {
			mkdir(t, dir+"-real")
			if err := os.Symlink(dir+"-real", dir); err != nil {
				t.Fatal(err)
			}
		}},
		{"another user's", func(t *testing.T, dir string) { mkdir(t, dir); chown(t, dir) }},
		{"a link as the lock file", func(t *testing.T, dir string) {
			mkdir(t, dir)
			if err := os.Symlink(filepath.Join(dir, "target"), filepath.Join(dir, "session.lock")); err != nil {
				t.Fatal(err)
			}
		}},
		{"a lock file that others may open", func(t *testing.T, dir string) {
			mkdir(t, dir)
			if err := os.WriteFile(filepath.Join(dir, "session.lock"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			chmod(t, filepath.Join(dir, "session.lock"), 0o666)
		}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "locks")
			row.spoil(t, dir)
			if _, ok, err := (Locks{dir}).TryLock("session"); ok || err == nil {
				t.Errorf("TryLock = %v, %v; want a refusal", ok, err)
			}
		})
	}
}

func TestUserDirs(t *testing.T) {
	for _, row := range []struct {
		reason        string
		env           map[string]string
		config, state string // empty: an error
	}{
		{"home", map[string]string{"HOME": "/home/a"},
			"/home/a/.config/clerk-credential-helper/config.toml", "/home/a/.local/state/clerk-credential-helper"},
		{"XDG", map[string]string{"HOME": "/home/a", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"},
			"/c/clerk-credential-helper/config.toml", "/s/clerk-credential-helper"},
		{"XDG without a home", map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"},
			"/c/clerk-credential-helper/config.toml", "/s/clerk-credential-helper"},
		{"a relative XDG path is ignored", map[string]string{"HOME": "/home/a", "XDG_CONFIG_HOME": "c", "XDG_STATE_HOME": "./s"},
			"/home/a/.config/clerk-credential-helper/config.toml", "/home/a/.local/state/clerk-credential-helper"},
		{"a relative home", map[string]string{"HOME": "a"}, "", ""},
		{"nothing", nil, "", ""},
	} {
		getenv := func(name string) string { return row.env[name] }
		config, err := UserConfig(getenv)
		if config != row.config || (err == nil) != (row.config != "") {
			t.Errorf("%s: UserConfig = %q, %v; want %q", row.reason, config, err, row.config)
		}
		state, err := StateDir(getenv)
		if state != row.state || (err == nil) != (row.state != "") {
			t.Errorf("%s: StateDir = %q, %v; want %q", row.reason, state, err, row.state)
		}
	}
}

// TestLockDirIgnoresTheEnvironment: two environments that see the same keychain must meet at the same locks.
func TestLockDirIgnoresTheEnvironment(t *testing.T) {
	before, err := LockDir()
	if err != nil {
		t.Skipf("this user has no home folder in the user database: %v", err)
	}
	for _, variable := range []string{"HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "TMPDIR"} {
		t.Setenv(variable, filepath.Join(t.TempDir(), variable))
	}
	if after, err := LockDir(); err != nil || after != before {
		t.Errorf("LockDir with another environment = %q, %v; want %q", after, err, before)
	}
	if !filepath.IsAbs(before) || strings.HasPrefix(before, os.TempDir()+"/") {
		t.Errorf("LockDir = %q", before)
	}
}

func fileKeychain(t *testing.T, dir string) *Keychain {
	t.Helper()
	k, err := OpenKeychain("file", dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// chown gives a file to a user that there is not, which only root can.
func chown(t *testing.T, path string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away, not user " + strconv.Itoa(os.Getuid()))
	}
	if err := os.Lchown(path, 12345, -1); err != nil {
		t.Fatal(err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make a folder of root's")
	}
}

func chownTo(t *testing.T, path string, uid, gid int) {
	t.Helper()
	if err := os.Lchown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, to, link string) {
	t.Helper()
	if err := os.Symlink(to, link); err != nil {
		t.Fatal(err)
	}
}

func hardLink(t *testing.T, file, name string) {
	t.Helper()
	if err := os.Link(file, name); err != nil {
		t.Fatal(err)
	}
}

// nixStore makes a folder into a store as that of Nix, which its builders' group may write to.
func nixStore(t *testing.T, dir string) {
	t.Helper()
	needRoot(t)
	chownTo(t, dir, 0, 3000)
	chmod(t, dir, 0o775|os.ModeSticky)
}

// relinkTo makes link a link to the file in a store, which it returns.
func relinkTo(t *testing.T, link, store string) string {
	t.Helper()
	file := filepath.Join(store, "config.toml")
	chmod(t, file, 0o444)
	relink(t, link, file)
	return file
}

func relink(t *testing.T, link, to string) {
	t.Helper()
	remove(t, link)
	if err := os.Symlink(to, link); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
