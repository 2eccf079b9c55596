package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestAbandoned: an editor that gives up ends git, and git's helper would wait for a person for minutes, with all others
// behind it. It ends instead, and the next one opens a page of its own.
func TestAbandoned(t *testing.T) {
	w, vars, err := newWorld(t.TempDir(), t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	start := func(browser, until string) (cmd *exec.Cmd, answer io.ReadCloser) {
		t.Helper()
		cmd = exec.Command("git-credential-clerk", "get")
		cmd.Env = os.Environ()
		for name, value := range vars {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		cmd.Env = append(cmd.Env, "BROWSER="+browser, "CLERK_HELPER_TRACE=1")
		cmd.Stdin = strings.NewReader("protocol=https\nhost=git.acme.dev\n\n")
		answer, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		trace, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		for lines := bufio.NewScanner(trace); lines.Scan(); {
			if strings.Contains(lines.Text(), until) {
				go io.Copy(io.Discard, trace)
				return cmd, answer
			}
		}
		t.Fatalf("the trace has no %q", until)
		return nil, nil
	}
	nobody, err := exec.LookPath("true") // a browser in which no user signs in
	if err != nil {
		t.Fatal(err)
	}
	first, firstAnswer := start(nobody, "asking the person")
	_, answer := start(vars["BROWSER"], "no session")
	came := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(answer)
		came <- string(text)
	}()
	firstAnswer.Close()
	stays := time.AfterFunc(20*time.Second, func() { first.Process.Kill() })
	if first.Wait(); !stays.Stop() {
		t.Error("the first waits for a person on behalf of nobody")
	}
	select {
	case text := <-came:
		if !strings.Contains(text, "password=ey") {
			t.Errorf("the second answers %q", text)
		}
	case <-time.After(20 * time.Second):
		t.Error("the second waits for the first")
	}
	if n := w.Clerk.Count("authorize"); n != 1 {
		t.Errorf("%d pages were visited", n)
	}
}
