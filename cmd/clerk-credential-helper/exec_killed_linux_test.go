package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestExecKilled: what a killed exec leaves, and when it goes. The command runs on, so the files are those of a process
// that nothing waits for; the next command of ours, whatever it is, removes them with their folders.
func TestExecKilled(t *testing.T) {
	dir := t.TempDir()
	_, vars, err := newWorld(dir, t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	env := os.Environ()
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	env = append(env, "XDG_RUNTIME_DIR=")
	write(t, filepath.Join(dir, "pom.xml"), "<project><repositories><repository><id>corp</id><url>https://git.acme.dev/maven</url></repository></repositories></project>")
	ours := func(args ...string) *exec.Cmd {
		cmd := exec.Command("clerk-credential-helper", args...)
		cmd.Dir, cmd.Env = dir, env
		return cmd
	}
	if out, err := ours("login").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	left := func() (secrets int) {
		files, err := filepath.Glob(filepath.Join(vars["HOME"], ".local/state/clerk-credential-helper/exec/run-*/*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if filepath.Base(file) == "token" {
				secrets++
			}
		}
		return secrets
	}
	for _, row := range []struct {
		flags string
		files int
	}{
		{"--env T", 0},
		{"--file T", 1},
		{"--file T --file U={basic}", 2},
		{"--for uv", 1},
		{"--for r", 2},
		{"--for maven", 1},
		{"--for npm", 2},
		{"--for bundler,terraform,gradle", 0},
		{"--for uv,maven --file T", 3},
	} {
		t.Run(row.flags, func(t *testing.T) {
			cmd := ours(append(append([]string{"exec"}, strings.Fields(row.flags)...), "--", "sh", "-c", "echo $$; exec sleep 60 >/dev/null 2>&1")...)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			child, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				t.Fatal(err)
			}
			defer syscall.Kill(child, syscall.SIGKILL)
			if got := left(); got != row.files {
				t.Errorf("%d files while it runs, not %d", got, row.files)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait() // it was killed
			if got := left(); got != row.files {
				t.Errorf("%d files after the kill, not %d", got, row.files)
			}
			if err := syscall.Kill(child, 0); err != nil {
				t.Errorf("the command does not run on: %v", err)
			}
			begun := time.Now()
			if out, err := ours("version").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			took := time.Since(begun)
			if got := left(); got != 0 || took > 10*time.Second {
				t.Errorf("%d files after the next command, which took %v", got, took)
			}
			t.Logf("the next command, of %v, removes them", took.Round(time.Millisecond))
		})
	}
}
