package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSignalBetweenQuestions: a helper that has signed a user in, and waits for cargo's next question, ends with the
// first signal.
func TestSignalBetweenQuestions(t *testing.T) {
	_, vars, err := newWorld(t.TempDir(), t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	vars["CLERK_HELPER_CONFIG"] = filepath.Join(vars["HOME"], ".config/clerk-credential-helper/config.toml")
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(end.String(), func(t *testing.T) {
			vars["HOME"] = t.TempDir() // signed out
			cmd := exec.Command("cargo-credential-clerk", "--cargo-plugin")
			cmd.Env = os.Environ()
			for name, value := range vars {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			stdin, err := cmd.StdinPipe() // stays open, as cargo has it
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(stdout)
			if hello, err := lines.ReadString('\n'); err != nil {
				t.Fatalf("%q, %v", hello, err)
			}
			fmt.Fprintln(stdin, `{"v":1,"kind":"get","registry":{"index-url":"sparse+https://git.acme.dev/index/"}}`)
			if answer, err := lines.ReadString('\n'); err != nil || !strings.Contains(answer, `"Ok"`) {
				t.Fatalf("%q, %v", answer, err)
			}
			deaf := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
			if err := cmd.Process.Signal(end); err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			var exit *exec.ExitError
			if !deaf.Stop() || !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != end {
				t.Errorf("it ended with %v, not by the signal", err)
			}
		})
	}
}

// TestQuitAtTerminal: Ctrl-\ ends a sign-in that reads the terminal, and leaves it as it was: the next to type sees it.
func TestQuitAtTerminal(t *testing.T) {
	p := sitDown(t, 100, nil)
	cmd := p.run("clerk-credential-helper", "login")
	p.see("paste its address here and press Enter")
	p.reading()
	p.typeIn("\x1c")
	p.end(cmd, exitInterrupted)
	if strings.Contains(p.screen(), "goroutine") {
		t.Errorf("the terminal shows\n%s", p.screen())
	}
}
