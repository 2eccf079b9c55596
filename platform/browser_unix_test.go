//go:build unix

package platform

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const pageURL = "http://127.0.0.1:8080/start/x"

// fetched is a page that is fetched at once.
func fetched() <-chan struct{} {
	opened := make(chan struct{})
	close(opened)
	return opened
}

func TestOpenBrowser(t *testing.T) {
	dir := t.TempDir()
	good, bad := script(t, dir, "good", ""), script(t, dir, "bad", "exit 3")
	blank := script(t, dir, "with blank", "")
	for _, row := range []struct {
		reason, browser string
		want            []string // the programs that ran, with their arguments
		err             error
	}{
		{"one program", good, []string{"good " + pageURL}, nil},
		{"a program in the PATH", "good", []string{"good " + pageURL}, nil},
		{"arguments", "good -a  -b", []string{"good -a -b " + pageURL}, nil},
		{"the URL's place", "good --page=%s -b", []string{"good --page=" + pageURL + " -b"}, nil},
		{"the first fails", bad + ":" + good, []string{"bad " + pageURL, "good " + pageURL}, nil},
		{"the second is not needed", good + ":" + bad, []string{"good " + pageURL}, nil},
		{"a program that is not there", "/nonexistent/browser:good", []string{"good " + pageURL}, nil},
		{"empty entries", "::good:", []string{"good " + pageURL}, nil},
		{"a path with a blank", blank, []string{"with blank " + pageURL}, nil},
		{"all fail", bad + ":bad -x", []string{"bad " + pageURL, "bad -x " + pageURL}, ErrNoBrowser},
		{"there is no shell", "good;bad", nil, ErrNoBrowser},
		{"nothing from the current folder", "./good", nil, ErrNoBrowser},
		{"nothing at all", "", nil, ErrNoBrowser},
	} {
		t.Run(row.reason, func(t *testing.T) {
			t.Chdir(dir)
			log := filepath.Join(t.TempDir(), "log")
			t.Setenv("TEST_LOG", log)
			// The relative and empty entries stand for the current folder, where "good" and "bad" are.
			env := map[string]string{"BROWSER": row.browser, "PATH": "/nonexistent::.:" + dir}
			if row.browser == "./good" || row.browser == "" {
				env["PATH"] = "::."
			}
			err := OpenBrowser(t.Context(), pageURL, func(name string) string { return env[name] }, io.Discard, nil)
			if !errors.Is(err, row.err) {
				t.Errorf("OpenBrowser: %v, want %v", err, row.err)
			}
			if got := logged(t, log); !slices.Equal(got, row.want) {
				t.Errorf("ran %q, want %q", got, row.want)
			}
		})
	}
}

// TestOpenBrowserLookup: a program in the current folder is never found, however the PATH names that folder.
func TestOpenBrowserLookup(t *testing.T) {
	dir := t.TempDir()
	script(t, dir, "good", "")
	t.Chdir(dir)
	for _, path := range []string{"", ":", ".", "./", "::.", "../" + filepath.Base(dir)} {
		if found, err := lookAbsolute("good", path); err == nil {
			t.Errorf("with PATH=%q found %q", path, found)
		}
	}
	if found, err := lookAbsolute("good", ".:"+dir); err != nil || found != filepath.Join(dir, "good") {
		t.Errorf("lookAbsolute = %q, %v", found, err)
	}
}

// TestOpenBrowserStreams: what a launcher prints reaches neither our stdout, which is the wire, nor a stderr that a
// tool may be reading to its end.
func TestOpenBrowserStreams(t *testing.T) {
	dir := t.TempDir()
	noisy := script(t, dir, "noisy", "echo to stdout; echo to stderr >&2; read line && echo read >>$TEST_LOG")
	log := filepath.Join(dir, "log")
	t.Setenv("TEST_LOG", log)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, stdin := os.Stdout, os.Stderr, os.Stdin
	os.Stdout, os.Stderr, os.Stdin = w, w, r
	err = OpenBrowser(t.Context(), pageURL, browserIs(noisy), w, nil)
	os.Stdout, os.Stderr, os.Stdin = stdout, stderr, stdin
	w.Close()
	if err != nil {
		t.Logf("OpenBrowser: %v", err) // the script ends with its read, which must fail
	}
	if printed, err := io.ReadAll(r); err != nil || len(printed) != 0 {
		t.Errorf("the launcher printed %q into our streams, %v", printed, err)
	}
	if got := logged(t, log); len(got) != 1 {
		t.Errorf("ran %q, want no line read from our stdin", got)
	}
}

func TestOpenBrowserEnvironment(t *testing.T) {
	dir := t.TempDir()
	lister := script(t, dir, "lister", "env >$TEST_LOG")
	log := filepath.Join(dir, "log")
	t.Setenv("TEST_LOG", log)
	for _, secret := range []string{"CLERK_HELPER_TOKEN", "CLERK_HELPER_TOKEN_FILE", "CLERK_HELPER_TOKEN_ACME", "CLERK_MACHINE_SECRET_KEY", "CLERK_MACHINE_SECRET_KEY_ACME"} {
		t.Setenv(secret, "hidden")
	}
	t.Setenv("CLERK_HELPER_PROFILE", "kept")
	if err := OpenBrowser(t.Context(), pageURL, browserIs(lister), io.Discard, nil); err != nil {
		t.Fatal(err)
	}
	env := strings.Join(logged(t, log), "\n")
	if strings.Contains(env, "hidden") {
		t.Errorf("a launcher was given our secrets")
	}
	if !strings.Contains(env, "CLERK_HELPER_PROFILE=kept") {
		t.Errorf("a launcher was not given the rest of the environment")
	}
}

// TestOpenBrowserLateFailure: a launcher that fails long after its start is followed by the next one, unless the page was
// fetched meanwhile.
func TestOpenBrowserLateFailure(t *testing.T) {
	for _, row := range []struct {
		reason, first, second string
		late                  bool // after more than a moment
		fetched               bool // before the first one ends
		want                  []string
		err                   error
	}{
		{"the next one works", "exit 3", "", true, false, []string{"first " + pageURL, "second " + pageURL}, nil},
		{"the next one fails too", "exit 3", "exit 4", false, false, []string{"first " + pageURL, "second " + pageURL}, ErrNoBrowser},
		{"killed by a signal", "kill -9 $$", "", false, false, []string{"first " + pageURL, "second " + pageURL}, nil},
		{"it ends well", "", "exit 4", false, false, []string{"first " + pageURL}, nil},
		{"the page is there", "exit 3", "", false, true, []string{"first " + pageURL}, nil},
	} {
		t.Run(row.reason, func(t *testing.T) {
			dir := t.TempDir()
			pipe, log := filepath.Join(dir, "pipe"), filepath.Join(dir, "log")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TEST_LOG", log)
			t.Setenv("TEST_PIPE", pipe)
			// The first has its line in the log, and then waits for the test.
			first := script(t, dir, "first", "read line <$TEST_PIPE; "+cmp.Or(row.first, "exit 0"))
			second := script(t, dir, "second", row.second)
			opened, ended := make(chan struct{}), make(chan error, 1)
			go func() { ended <- OpenBrowser(t.Context(), pageURL, browserIs(first+":"+second), io.Discard, opened) }()
			f, err := os.OpenFile(pipe, os.O_WRONLY, 0) // once the first reads
			if err != nil {
				t.Fatal(err)
			}
			if row.late {
				select {
				case err := <-ended:
					t.Fatalf("OpenBrowser has not waited for its launcher: %v", err)
				case <-time.After(3 * time.Second / 2):
				}
			}
			if row.fetched {
				close(opened)
				if err := <-ended; err != nil {
					t.Errorf("OpenBrowser: %v", err)
				}
			}
			f.Close()
			if !row.fetched {
				if err := <-ended; !errors.Is(err, row.err) {
					t.Errorf("OpenBrowser: %v, want %v", err, row.err)
				}
			}
			if got := logged(t, log); !slices.Equal(got, row.want) {
				t.Errorf("ran %q, want %q", got, row.want)
			}
		})
	}
}

// TestOpenBrowserDoesNotWait has a launcher that stays until the test lets it go, in a session of its own.
func TestOpenBrowserDoesNotWait(t *testing.T) {
	dir := t.TempDir()
	pipe, log := filepath.Join(dir, "pipe"), filepath.Join(dir, "log")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_LOG", log)
	t.Setenv("TEST_PIPE", pipe)
	slow := script(t, dir, "slow", "echo $$ >>$TEST_LOG; read line <$TEST_PIPE")
	if err := OpenBrowser(t.Context(), pageURL, browserIs(slow), io.Discard, fetched()); err != nil {
		t.Fatal(err)
	}
	pid := awaitNumber(t, log)
	if session, err := unix.Getsid(pid); err != nil || session != pid {
		t.Errorf("the launcher %d is in session %d, %v; want one of its own", pid, session, err)
	}
	f, err := os.OpenFile(pipe, os.O_WRONLY, 0) // lets the launcher go
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestOpenBrowserEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	t.Setenv("TEST_LOG", log)
	if err := OpenBrowser(ctx, pageURL, browserIs(script(t, dir, "good", "")), io.Discard, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenBrowser with an ended context: %v", err)
	}
	if got := logged(t, log); got != nil {
		t.Errorf("ran %q all the same", got)
	}
}

func browserIs(browser string) func(string) string {
	return func(name string) string {
		switch name {
		case "BROWSER":
			return browser
		case "PATH":
			return "/nonexistent"
		}
		return ""
	}
}

// script writes a program that appends its name and arguments to $TEST_LOG and then does as body says.
func script(t *testing.T, dir, name, body string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	content := "#!/bin/sh\necho \"" + name + " $*\" >>$TEST_LOG\n" + body + "\n"
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func logged(t *testing.T, log string) []string {
	t.Helper()
	data, err := os.ReadFile(log)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}
