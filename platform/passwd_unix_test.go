//go:build unix

package platform

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestHomeOf: users that only the name service knows, as those of LDAP and SSSD.
func TestHomeOf(t *testing.T) {
	unknown := func(string) (*user.User, error) { return nil, user.UnknownUserIdError(12399) }
	const line = `echo "ada:x:12399:12399:Ada, of LDAP:/home/ada:/bin/sh"`
	for _, row := range []struct {
		reason string
		lookup func(string) (*user.User, error)
		script string // of getent; empty: there is none
		want   string
		words  string // of the error; empty: it is found
	}{
		{"in /etc/passwd", func(string) (*user.User, error) { return &user.User{HomeDir: "/home/local"}, nil }, "exit 1", "/home/local", ""},
		{"the name service has it", unknown, line, "/home/ada", ""},
		{"there is no /etc/passwd", func(string) (*user.User, error) { return nil, &os.PathError{Op: "open", Err: os.ErrNotExist} }, line, "/home/ada", ""},
		{"what it is asked", unknown, `test "$*" = "passwd 12399" && ` + line, "/home/ada", ""},
		{"nothing of our environment", unknown, `test -z "$HOME$CLERK_HELPER_TOKEN$LD_PRELOAD" && ` + line, "/home/ada", ""},
		{"a line end that is not alone", unknown, line + "; " + line, "/home/ada", ""},
		{"a folder that is to be cleaned", unknown, `echo "ada:x:12399:12399::/home/../home/ada/:/bin/sh"`, "/home/ada", ""},

		{"no getent", unknown, "", "", "user 12399 is not in the user database (there is no getent"},
		{"unknown there too", unknown, "exit 2", "", "knows no such user"},
		{"another user's line", unknown, `echo "bob:x:12398:12398::/home/bob:/bin/sh"`, "", "could not be used"},
		{"a relative home", unknown, `echo "ada:x:12399:12399::home:/bin/sh"`, "", "could not be used"},
		{"no home", unknown, `echo "ada:x:12399:12399:::/bin/sh"`, "", "could not be used"},
		{"a field too few", unknown, `echo "ada:x:12399:12399:/home/ada:/bin/sh"`, "", "could not be used"},
		{"a field too many", unknown, `echo "ada:x:12399:12399::/home/ada:/bin/sh:x"`, "", "could not be used"},
		{"half a line", unknown, `printf "ada:x:12399:12399::/home/ada:/bin"`, "", "could not be used"},
		{"an answer without end", unknown, "exec yes x", "", "could not be used"},
		{"no answer", unknown, "exec sleep 600", "", "within 2s"},
		{"no answer, and a child that holds the pipe", unknown, `(while test -e "$0"; do sleep 0.1; done) & wait`, "", "within 2s"},
		{"no home in /etc/passwd", func(string) (*user.User, error) { return &user.User{}, nil }, line, "", "names no home folder"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			t.Setenv("CLERK_HELPER_TOKEN", "secret")
			dir := t.TempDir()
			getent := filepath.Join(dir, "getent")
			if row.script != "" {
				writeText(t, getent, "#!/bin/sh\nPATH=/usr/bin:/bin\n"+row.script+"\n")
				chmod(t, getent, 0o700)
			}
			begun := time.Now()
			got, err := homeOf("12399", row.lookup, []string{filepath.Join(dir, "missing"), getent})
			if took := time.Since(begun); took > 10*getentLimit { // usually 0, and 2.1 s for the two without an answer
				t.Errorf("it took %v", took)
			}
			if got != row.want || row.words == "" && err != nil {
				t.Errorf("%q, %v", got, err)
			}
			if row.words != "" && (!errors.Is(err, ErrNoUser) || !strings.Contains(err.Error(), row.words)) {
				t.Errorf("%v, want %q", err, row.words)
			}
		})
	}
	broken := func(string) (*user.User, error) { return nil, os.ErrPermission }
	if _, err := homeOf("12399", broken, nil); !errors.Is(err, os.ErrPermission) || errors.Is(err, ErrNoUser) {
		t.Errorf("a database that cannot be read: %v", err)
	}
}
