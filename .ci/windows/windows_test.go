// Package windows runs the built program, under all of its names, on Windows: .ci/wine runs it under Wine. The programs are
// in the PATH: the seven names of clerk-credential-helper and clerk-demo-browser, and crane, oras and node.
package windows

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"clerk-credential-helper/internal/testworld"
	"clerk-credential-helper/platform"

	"github.com/rogpeppe/go-internal/testscript"
)

// shared are those of the program's scripts that need no program of Unix.
var shared = []string{"companion-check", "completion", "git-bearer-only", "last-error", "people", "shells", "silence", "tool-agents", "tool-bazel",
	"tool-gcp", "tool-uv", "wires"}

// limit is how long a program may take.
const limit = time.Minute

// TestScripts runs the shared scripts, and those that are for Windows only.
// lock takes a lock of the program's.
func lock(ctx context.Context, dir, name string) (release func(), err error) {
	return platform.Locks{Dir: dir}.Lock(ctx, name)
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("script", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, name := range shared {
		files = append(files, filepath.Join("..", "..", "cmd", "clerk-credential-helper", "testdata", "script", name+".txtar"))
	}
	commands := testworld.Commands(lock)
	maps.Copy(commands, map[string]func(*testscript.TestScript, bool, []string){"storm": storm, "registry": serveRegistry, "status": status, "gone": gone, "empty": empty, "follow": follow})
	testscript.Run(t, testscript.Params{Files: files, RequireExplicitExec: true, RequireUniqueNames: true, Setup: setup, Condition: condition, Cmds: commands})
}

type worldKey struct{}

func setup(env *testscript.Env) error {
	browser, err := exec.LookPath("clerk-demo-browser")
	if err != nil {
		return err
	}
	w, _, err := testworld.Setup(env, browser)
	env.Values[worldKey{}] = w
	for _, name := range []string{"PATHEXT", "COMSPEC", "SYSTEMROOT"} {
		env.Setenv(name, os.Getenv(name))
	}
	return err
}

// condition knows [has:PROGRAM]. [alone] is for Linux.
func condition(cond string) (bool, error) {
	program, ok := strings.CutPrefix(cond, "has:")
	if !ok {
		return false, nil
	}
	_, err := exec.LookPath(program)
	return err == nil, nil
}

// storm N INPUT PROGRAM ARGUMENT...: N processes at once, all of which get the file on standard input, end with status 0 and give
// the same answer.
func storm(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	input := ts.ReadFile(args[1])
	var group sync.WaitGroup
	answers, errs := make([]string, n), make([]error, n)
	start := time.Now()
	for i := range n {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*limit)
			defer cancel()
			cmd := exec.CommandContext(ctx, args[2], args[3:]...)
			cmd.Env, cmd.Dir, cmd.Stdin = environ(ts), ts.MkAbs("."), strings.NewReader(input)
			out, err := cmd.Output()
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				err = fmt.Errorf("%w: %s", err, exit.Stderr)
			}
			answers[i], errs[i] = string(out), err
		})
	}
	group.Wait()
	ts.Check(errors.Join(errs...))
	for i, answer := range answers {
		if answer == "" || answer != answers[0] {
			ts.Fatalf("answer %d of %d is %q, and the first is %q", i, n, answer, answers[0])
		}
	}
	ts.Logf("%d processes took %v", n, time.Since(start).Round(time.Millisecond))
}

// empty FOLDER: there is nothing in it.
func empty(ts *testscript.TestScript, neg bool, args []string) {
	found, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, entry := range found {
		ts.Fatalf("%s is left in %s", entry.Name(), args[0])
	}
}

// follow FILE: cmd runs the commands that a message has, which are the lines that begin with two blanks.
func follow(ts *testscript.TestScript, neg bool, args []string) {
	commands := regexp.MustCompile(`(?m)^  (\S.*?)\r?$`).FindAllStringSubmatch(ts.ReadFile(args[0]), -1)
	if len(commands) == 0 {
		ts.Fatalf("%s has no commands", args[0])
	}
	file := ts.MkAbs("follow.cmd")
	for _, command := range commands {
		ts.Check(os.WriteFile(file, []byte("@"+command[1]+"\r\n"), 0o600))
		ts.Check(ts.Exec("cmd", "/c", file))
	}
}

// environ is the environment of a script's programs.
func environ(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "SYSTEMROOT", "HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TMP", "BROWSER", "CLERK_HELPER_STORE",
		"CLERK_HELPER_INTERACTIVE", "CLERK_HELPER_TRACE", "CI"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

// registry NAME starts a registry without TLS, as clients expect one on 127.0.0.1, adds it to the script's profile, and to
// docker's configuration, and sets $NAME to its host.
func serveRegistry(ts *testscript.TestScript, neg bool, args []string) {
	server := httptest.NewServer(newPushed(ts.Value(worldKey{}).(*testworld.World).Clerk))
	ts.Defer(server.Close)
	host := server.Listener.Addr().String()
	for name, edit := range map[string][2]string{
		".config/clerk-credential-helper/config.toml": {"hosts = [", fmt.Sprintf("hosts = [%q,", host)},
		".docker/config.json":                         {`"credHelpers":{`, fmt.Sprintf(`"credHelpers":{%q:"clerk",`, host)},
	} {
		file := filepath.Join(ts.Getenv("HOME"), name)
		text, err := os.ReadFile(file)
		ts.Check(err)
		if !bytes.Contains(text, []byte(edit[0])) {
			ts.Fatalf("%s has no %s", file, edit[0])
		}
		ts.Check(os.WriteFile(file, bytes.Replace(text, []byte(edit[0]), []byte(edit[1]), 1), 0o600))
	}
	ts.Setenv(args[0], host)
}

// status N PROGRAM ARGUMENT...: it ends with this status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if got != want {
		ts.Fatalf("status %d, not %d", got, want)
	}
}

// gone FILE: the path on the file's first line is of nothing that is there.
func gone(ts *testscript.TestScript, neg bool, args []string) {
	path, _, _ := strings.Cut(ts.ReadFile(args[0]), "\n")
	path = strings.TrimRight(path, "\r ")
	if !filepath.IsAbs(path) {
		ts.Fatalf("%q is no path", path)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		ts.Fatalf("%s is still there (%v)", path, err)
	}
}

// tempDir is t.TempDir, without the system call that Wine 8 lacks.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "windows")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var paths []string
		filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error {
			paths = append(paths, path)
			return nil
		})
		for i := len(paths) - 1; i >= 0; i-- {
			os.Remove(paths[i])
		}
	})
	return dir
}

// newHome returns the environment of a home that is set up for a world of its own.
func newHome(t *testing.T) (home string, env []string) {
	t.Helper()
	_, home, env = newWorld(t)
	return home, env
}

func newWorld(t *testing.T) (w *testworld.World, home string, env []string) {
	t.Helper()
	browser, err := exec.LookPath("clerk-demo-browser")
	if err != nil {
		t.Fatal(err)
	}
	w, vars, err := testworld.New(tempDir(t), browser, t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"PATH", "PATHEXT", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "TEMP", "TMP"} { // and no variable of a tool
		env = append(env, name+"="+os.Getenv(name))
	}
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	return w, vars["HOME"], env
}

// run runs a program and returns both of its streams.
func run(t *testing.T, env []string, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestSetup sets all tools up, with configurations as they are found on Windows, and undoes it: each line end stays what it was, the
// tool's file is given back byte for byte, and what the tool could not read is refused with a message and left alone.
func TestSetup(t *testing.T) {
	tools := []struct {
		name, file, text string
	}{
		{"git", ".gitconfig", "[user]\n\tname = Ada\n[alias]\n\tst = status\n"},
		{"docker", ".docker/config.json", "{\n\t\"auths\": {},\n\t\"detachKeys\": \"ctrl-e,e\"\n}\n"},
		{"go", ".config/go/env", "GOPROXY=https://proxy.acme.dev,direct\nGOFLAGS=-mod=mod\n"},
		{"cargo", ".cargo/config.toml", "[net]\nretry = 3\n\n[build]\njobs = 2\n"},
		{"kubectl", ".kube/config", "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers:\n- name: other\n  user:\n    token: x\n"},
		{"terraform", ".config/terraform.rc", "plugin_cache_dir = \"cache\"\ndisable_checkpoint = true\n"},
		{"pip", ".config/pip/pip.ini", "[global]\ntimeout = 60\n"},
		{"bazel", ".bazelrc", "build --jobs=4\ntest --test_output=errors\n"},
	}
	for _, tool := range tools {
		t.Run(tool.name, func(t *testing.T) {
			t.Parallel()
			home, env := newHome(t)
			file := filepath.Join(home, filepath.FromSlash(tool.file))
			crlf := strings.ReplaceAll(tool.text, "\n", "\r\n")
			for _, form := range []struct{ name, text, refused string }{
				{"CR LF", crlf, ""},
				{"CR LF, no end of the last line", strings.TrimSuffix(crlf, "\r\n"), ""},
				{"byte order mark", "\ufeff" + crlf, "byte order mark"},
				{"UTF-16", inUTF16("\ufeff" + crlf), "UTF-16"},
			} {
				t.Run(form.name, func(t *testing.T) {
					if form.refused == "" || form.refused == "byte order mark" && reads(t, env, tool.name, file, form.text) {
						comesBack(t, env, tool.name, file, form.text)
					} else {
						isRefused(t, env, tool.name, file, form.text, form.refused)
					}
				})
			}
		})
	}
}

// reads reports whether setup takes the text, in which the tool may read past the mark.
func reads(t *testing.T, env []string, tool, file, text string) bool {
	t.Helper()
	testworld.Write(t, file, text)
	_, err := run(t, env, "clerk-credential-helper", "setup", tool, "--dry-run")
	return err == nil
}

// comesBack sets a tool up, whose file contains the text, and undoes it.
func comesBack(t *testing.T, env []string, tool, file, text string) {
	t.Helper()
	testworld.Write(t, file, text)
	var texts []string
	for _, command := range []string{"setup", "setup", "unset"} {
		if out, err := run(t, env, "clerk-credential-helper", command, tool, "--yes"); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		now, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(now))
	}
	added, again, back := texts[0], texts[1], texts[2]
	if lf, crlf := strings.Count(added, "\n"), strings.Count(added, "\r\n"); added == text || crlf != lf {
		t.Errorf("setup: %d of %d lines end with CR LF: %q", crlf, lf, added)
	}
	if again != added {
		t.Errorf("a second setup changed it: %q", again)
	}
	if back != text {
		t.Errorf("unset left %q; it was %q", back, text)
	}
}

// isRefused tries to set a tool up, whose file contains the text: the message has the word, and nothing is changed.
func isRefused(t *testing.T, env []string, tool, file, text, word string) {
	t.Helper()
	testworld.Write(t, file, text)
	out, err := run(t, env, "clerk-credential-helper", "setup", tool, "--yes")
	if err == nil || !strings.Contains(out, word) {
		t.Errorf("it was not refused with %q: %v\n%s", word, err, out)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != text {
		t.Errorf("it was changed: %v, %q", err, now)
	}
}

// inUTF16 encodes a text as Windows PowerShell's > does.
func inUTF16(text string) string {
	var out strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		out.Write([]byte{byte(unit), byte(unit >> 8)})
	}
	return out.String()
}

// TestSandbox starts the sandbox, as a company's CI does, and signs in to it with what it prints.
func TestSandbox(t *testing.T) {
	home, env := newHome(t)
	cmd := exec.Command("clerk-credential-helper", "sandbox", "--auto")
	cmd.Env = env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	r := bufio.NewReader(out)
	var printed strings.Builder
	for !strings.Contains(printed.String(), "/me") {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("it printed %q, %v", printed.String(), err)
		}
		printed.WriteString(line)
	}
	go io.Copy(io.Discard, r)
	issuer := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`).FindString(printed.String())
	res, err := http.Get(issuer + "/.well-known/openid-configuration")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", res, err)
	}
	res.Body.Close()
	empty := filepath.Join(home, "empty.toml")
	testworld.Write(t, empty, "")
	env = append(env, "CLERK_HELPER_CONFIG="+empty)
	lines := regexp.MustCompile(`(?m)^  (set ".*")\r?$`).FindAllStringSubmatch(printed.String(), -1)
	if len(lines) != 2 { // for a person, and for a machine
		t.Fatalf("%d lines for cmd in\n%s", len(lines), printed.String())
	}
	host := regexp.MustCompile(`"CLERK_HELPER_HOSTS=(.*?)"`).FindStringSubmatch(lines[0][1])[1]
	command := filepath.Join(home, "lines.cmd")
	for i, then := range []string{"login", "token"} {
		testworld.Write(t, command, "@"+lines[i][1]+"\r\n@clerk-credential-helper "+then+"\r\n@clerk-credential-helper get "+host+"\r\n")
		if out, err := run(t, env, "cmd", "/c", command); err != nil || !strings.Contains(out, `"Secret":"ey`) {
			t.Errorf("%v: %v\n%s", lines[i][1], err, out)
		}
		powershell := "  $env:" + strings.NewReplacer(`set "`, "", `"& `, "'; $env:", "=", "='", `"`, "'").Replace(lines[i][1])
		if !strings.Contains(printed.String(), powershell+"\n") {
			t.Errorf("PowerShell would read something else than %s", powershell)
		}
	}
}
