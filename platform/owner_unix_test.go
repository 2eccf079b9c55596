//go:build unix

package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOwnedByOther(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "missing"), filepath.Join(dir, "a", "b", "c")} {
		if other, err := OwnedByOther(path); other || err != nil {
			t.Errorf("%s: %v, %v", path, other, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OwnedByOther(filepath.Join(dir, "file", "below")); err == nil {
		t.Error("a file is no folder")
	}
	theirs := filepath.Join(dir, "theirs")
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can make a folder of another user's")
	}
	if err := os.Chown(theirs, 4242, -1); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{theirs, filepath.Join(theirs, "x", "y")} {
		if other, err := OwnedByOther(path); !other || err != nil {
			t.Errorf("%s: %v, %v", path, other, err)
		}
	}
	if Allows(theirs, 0o077) {
		t.Error("another user's folder was looked at")
	}
	if err := Restrict(theirs, 0o077); err == nil {
		t.Error("the permissions of another user's folder were changed")
	}
}

func TestRestrict(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ before, drop, after fs.FileMode }{
		{0o666, 0o022, 0o644}, {0o664, 0o022, 0o644}, {0o644, 0o077, 0o600}, {0o600, 0o077, 0o600}, {0o755, 0o022, 0o755},
	} {
		if err := os.Chmod(file, row.before); err != nil {
			t.Fatal(err)
		}
		if err := Restrict(file, row.drop); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != row.after {
			t.Errorf("%04o without %04o: %v, %v", row.before, row.drop, info.Mode(), err)
		}
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if err := Restrict(link, 0o077); err == nil || Allows(link, 0o077) {
		t.Error("a link was followed")
	}
	for mode, want := range map[fs.FileMode]bool{0o077: true, 0o022: true, 0o111: false} {
		if got := Allows(file, mode); got != want {
			t.Errorf("0666 allows %04o: %v", mode, got)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("behind the link: %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(dir, 0o775|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	if err := Restrict(dir, 0o022); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode() != fs.ModeDir|fs.ModeSetgid|0o755 {
		t.Errorf("more was taken than was named: %v, %v", info.Mode(), err)
	}
	if err := Restrict(dir, 0o777); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Restrict(filepath.Join(dir, "missing"), 0o077); err == nil {
		t.Error("nothing is there")
	}
}

// TestCheckPlace: what is written stays out of other users' places.
func TestCheckPlace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make folders of other users'")
	}
	const ada, bob = 4242, 4243
	top := t.TempDir()
	for _, f := range []struct {
		name string
		uid  int
		mode os.FileMode
	}{
		{"ada", ada, 0o755}, {"ada/state", ada, 0o700}, {"ada/roots", 0, 0o700}, {"ada/roots/below", 0, 0o700}, {"ada/open", ada, 0o777},
		{"root", 0, 0o700}, {"tmp", 0, 0o777 | os.ModeSticky}, {"tmp/bobs", bob, 0o700}, {"tmp/bobs/own", bob, 0o700},
	} {
		path := filepath.Join(top, f.name)
		mkdir(t, path)
		chmod(t, path, f.mode)
		chownTo(t, path, f.uid, f.uid)
	}
	group := filepath.Join(top, "group")
	mkdir(t, group)
	chmod(t, group, 0o770)
	chownTo(t, group, ada, os.Getgid())
	for link, to := range map[string]string{"ada/away": "root", "root/home": "ada", "tmp/short": "root", "ada/bobs": "tmp/bobs"} {
		symlink(t, filepath.Join(top, to), filepath.Join(top, link))
	}
	chownTo(t, filepath.Join(top, "ada/away"), ada, ada)
	chownTo(t, filepath.Join(top, "ada/bobs"), bob, bob)
	for _, row := range []struct {
		reason  string
		uid     int
		env     string
		path    string
		refused string // the place that is another user's; empty: it may be written
	}{
		{"root in a folder of root's", 0, "", "root/x", ""},
		{"root in a folder that is to be made in one", 0, "", "root/a/b/c", ""},
		{"root in /tmp", 0, "", "tmp/x", ""},
		{"a person at home", ada, "", "ada/.local/state/x", ""},
		{"a person in a folder of theirs", ada, "", "ada/state/x", ""},
		{"a person in /tmp", ada, "", "tmp/x", ""},
		{"a user of any number in a home that is given to their group", bob, "", "group/x", ""},
		{"a person in what root has left in their home, which is for the system to refuse", ada, "", "ada/roots/x", ""},
		{"a person in a folder of theirs below another user's", bob, "", "tmp/bobs/own/x", ""},
		{"a person through a link of theirs", ada, "", "ada/away/x", ""},
		{"root of a build service's job, whose home is mounted", 0, "CI=true", "ada/x", ""},
		{"the same, by the service's own variable", 0, "GITHUB_ACTIONS=true", "ada/x", ""},

		{"root with the HOME of a person", 0, "", "ada/.local/state/x", "ada"},
		{"by sudo", 0, "SUDO_UID=4242", "ada/x", "ada"},
		{"by sudo from root", 0, "SUDO_UID=0", "ada/x", "ada"},
		{"in a folder of the person's that is there", 0, "", "ada/state/x", "ada"},
		{"in a folder that an earlier call as root has left there", 0, "", "ada/roots/x", "ada"},
		{"and below that", 0, "", "ada/roots/below/x", "ada"},
		{"in a folder that all may write", 0, "", "ada/open/x", "ada"},
		{"root through a link of a person's to a folder of root's", 0, "", "ada/away/x", "ada"},
		{"root through a link of root's to a person's home", 0, "", "root/home/x", "ada"},
		{"root in a person's folder in /tmp", 0, "", "tmp/bobs/x", "tmp/bobs"},
		{"root with a way there and back", 0, "", "ada/../root/x", "ada"},
		{"sudo in a build service's job", 0, "CI=true SUDO_UID=4242", "ada/x", "ada"},
		{"CI that is switched off", 0, "CI=false", "ada/x", "ada"},
		{"root in a home that is given to its group", 0, "", "group/x", "group"},
		{"one person in another's home, which is open to all", bob, "", "ada/open/x", "ada/open"},
		{"the same, in a job", bob, "CI=true", "ada/open/x", "ada/open"},
		{"the same, by a link", ada, "", "ada/bobs/x", "tmp/bobs"},
	} {
		getenv := func(name string) string {
			for variable := range strings.FieldsSeq(row.env) {
				if value, ok := strings.CutPrefix(variable, name+"="); ok {
					return value
				}
			}
			return ""
		}
		err := placeOf(row.uid, getenv, top+"/"+row.path)
		if row.refused == "" {
			if err != nil {
				t.Errorf("%s: %v", row.reason, err)
			}
			continue
		}
		place, ok := errors.AsType[*PlaceError](err)
		if !ok || place.Path != filepath.Join(top, row.refused) || place.User != row.uid || !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", row.reason, err)
		}
	}
	if err := placeOf(ada, os.Getenv, filepath.Join(top, "ada/state/file/x")); err != nil {
		t.Error(err)
	}
	writeText(t, filepath.Join(top, "root/file"), "")
	if err := placeOf(0, os.Getenv, filepath.Join(top, "root/file/x")); err == nil || errors.Is(err, ErrForeign) {
		t.Errorf("a file is no folder: %v", err)
	}
}

// TestWritersKeepOut: every function that writes leaves another user's home as it is.
func TestWritersKeepOut(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make folders of another user's")
	}
	for _, name := range []string{"CI", "GITHUB_ACTIONS", "SUDO_UID"} {
		t.Setenv(name, "")
	}
	home := filepath.Join(t.TempDir(), "ada")
	mkdir(t, home)
	writeText(t, filepath.Join(home, "file"), "old")
	mkdir(t, filepath.Join(home, "roots")) // of an earlier call as root
	for _, path := range []string{home, filepath.Join(home, "file")} {
		chownTo(t, path, 4242, 4242)
	}
	writeText(t, filepath.Join(home, "roots", "old.json"), "{}")
	if err := fileKeychain(t, filepath.Join(home, "roots")).Delete(t.Context(), "old"); !errors.Is(err, ErrForeign) {
		t.Errorf("what an earlier call has left: %v", err)
	}
	for _, below := range []string{"", "new", "roots"} {
		folder := filepath.Join(home, below)
		for name, write := range map[string]func() error{
			"WriteFile":  func() error { return WriteFile(filepath.Join(folder, "x"), []byte("x")) },
			"Rewrite":    func() error { return Rewrite(filepath.Join(home, "file"), []byte("old"), []byte("new")) },
			"WriteCopy":  func() error { return WriteCopy(filepath.Join(folder, "copy"), filepath.Join(home, "file"), nil) },
			"AppendFile": func() error { _, err := AppendFile(filepath.Join(folder, "trace")); return err },
			"locks":      func() error { _, _, err := (Locks{Dir: filepath.Join(folder, "locks")}).TryLock("x"); return err },
			"locks, in the folder itself": func() error {
				_, _, err := (Locks{Dir: folder}).TryLock("x")
				return err
			},
			"the file store": func() error { return fileKeychain(t, filepath.Join(folder, "state")).Set(t.Context(), "x", "x") },
			"OpenPrivateDir": func() error { _, err := OpenPrivateDir(filepath.Join(folder, "private")); return err },
		} {
			if err := write(); !errors.Is(err, ErrForeign) {
				t.Errorf("%s, %q: %v", name, below, err)
			}
		}
	}
	var found []string
	err := filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error {
		found = append(found, filepath.Base(path))
		return err
	})
	text, _ := os.ReadFile(filepath.Join(home, "file"))
	if err != nil || strings.Join(found, " ") != "ada file roots old.json" || string(text) != "old" {
		t.Errorf("%q, %v, %q", found, err, text)
	}
}
