package platform

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// TestWindowsHomes: which home folder each tool takes on Windows, whose rules are tested everywhere. The folders' names have
// no backslash, so that filepath is the same on all systems.
func TestWindowsHomes(t *testing.T) {
	const variables = "HOME=h HOMEDRIVE=d HOMEPATH=/p USERPROFILE=u"
	for _, row := range []struct{ reason, variables, there, user, git, kube string }{
		{"a stock Windows", "HOMEDRIVE=d HOMEPATH=/p USERPROFILE=u", "d/p u", "u", "d/p", "u"},
		{"a stock Windows with a kubeconfig on the home drive", "HOMEDRIVE=d HOMEPATH=/p USERPROFILE=u", "d/p d/p/.kube/config u", "u", "d/p", "d/p"},
		{"the home drive is not connected", "HOMEDRIVE=d HOMEPATH=/p USERPROFILE=u", "u", "u", "u", "u"},
		{"a HOME, as Cygwin and Emacs users set it", variables, "h d/p u", "u", "h", "h"},
		{"a HOME that is not there, which git believes", variables, "u", "u", "h", "u"},
		{"a HOME, and a kubeconfig in the profile", variables, "h u u/.kube/config", "u", "h", "u"},
		{"a kubeconfig in each", variables, "h h/.kube/config d/p/.kube/config u/.kube/config", "u", "h", "h"},
		{"half of a home drive is none", "HOMEDRIVE=d USERPROFILE=u", "d u", "u", "u", "u"},
		{"nothing is there", variables, "", "u", "h", "h"},
		{"a HOME that may not be written to", variables, "h:ro u", "u", "h", "u"},
		{"nothing may be written to", variables, "h:ro u:ro", "u", "h", "h"},
		{"a file in place of the home drive's folder", "HOMEDRIVE=d HOMEPATH=/p USERPROFILE=u", "d/p:file u", "u", "u", "u"},
		{"nothing is set", "", "", "", "", ""},
	} {
		set := map[string]string{}
		for _, v := range strings.Fields(row.variables) {
			name, value, _ := strings.Cut(v, "=")
			set[name] = value
		}
		files := fstest.MapFS{}
		for _, path := range strings.Fields(row.there) {
			path, kind, _ := strings.Cut(path, ":")
			mode := fs.ModeDir | 0o700
			switch {
			case kind == "ro":
				mode = fs.ModeDir | 0o500
			case kind == "file", strings.HasSuffix(path, "config"):
				mode = 0o600
			}
			files[path] = &fstest.MapFile{Mode: mode, ModTime: time.Unix(0, 0)}
		}
		getenv := func(name string) string { return set[name] }
		stat := func(path string) (fs.FileInfo, error) { return fs.Stat(files, filepath.ToSlash(path)) }
		if got := windowsUserHome(getenv).Path; got != row.user {
			t.Errorf("%s: docker, cargo and npm take %q, want %q", row.reason, got, row.user)
		}
		if got := windowsGitHome(getenv, stat).Path; got != row.git {
			t.Errorf("%s: git takes %q, want %q", row.reason, got, row.git)
		}
		if got := windowsKubeHome(getenv, stat).Path; got != row.kube {
			t.Errorf("%s: kubectl takes %q, want %q", row.reason, got, row.kube)
		}
	}
}
