package main

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"
)

// TestWaitingWords: an issuer that takes 3 s. Without a terminal, a tool's standard error says after 2 s what is waited for,
// once, unless the tool reads it as a part of the answer or hides it; each tool gets its token.
func TestWaitingWords(t *testing.T) {
	testworld.Long(t, "each tool waits for a slow issuer")
	var all sync.WaitGroup // most of the time they wait
	for name, says := range map[string]bool{
		"git get": true, "docker get": true, "terraform get, by host": true, "goauth": true, "curl-config": true,
		"netrc": true, "token by a script": true, "cargo get": true, "kube": true,
		"bazel get": false, "headers": false, "pnpm": false, "gcp": false, "keyring get": false,
	} {
		w, vars, err := newWorld(t.TempDir(), t.Cleanup)
		if err != nil {
			t.Fatal(err)
		}
		vars["PATH"] = os.Getenv("PATH")
		run := func(asked toolAsks) (out, words string) {
			program, err := exec.LookPath(asked.args[0])
			if err != nil {
				t.Error(err)
			}
			var stdout, stderr bytes.Buffer
			cmd := exec.Command(program, asked.args[1:]...)
			for _, env := range []map[string]string{vars, asked.env} {
				for key, value := range env {
					cmd.Env = append(cmd.Env, key+"="+value)
				}
			}
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(asked.stdin), &stdout, &stderr
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := cmd.Run(); err != nil {
				t.Errorf("%s: %v\n%s", name, err, stderr.String())
			}
			return stdout.String(), stderr.String()
		}
		asked := asks("https://git.acme.dev/x", "")[name]
		if slices.Contains([]string{"kube", "gcp", "pnpm"}, name) {
			asked = asks("https://git.acme.dev/x", "acme")[name+" --profile=acme, no host"]
		}
		if name == "gcp" {
			asked.env = map[string]string{"GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1"}
		}
		all.Go(func() {
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.AccessLifetime = time.Second })
			run(asks("https://git.acme.dev/x", "")["git get"])
			time.Sleep(2 * time.Second) // until the token has expired
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.AccessLifetime, f.Delay = 0, 3*time.Second })
			out, words := run(asked)
			if !slices.ContainsFunc(w.Clerk.Issued(), func(secret string) bool { return strings.Contains(out, secret) }) {
				t.Errorf("%s: no token in %d bytes", name, len(out))
			}
			if n := strings.Count(words, "Waiting for 127.0.0.1:"); n > 1 || n == 1 != says || !says && words != "" {
				t.Errorf("%s: standard error has\n%s", name, words)
			}
		})
	}
	all.Wait()
}
