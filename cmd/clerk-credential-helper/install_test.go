package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"clerk-credential-helper/internal/testworld"
)

// TestInstall runs install.sh in a clean home, calls what it has installed by every name, and takes it back.
func TestInstall(t *testing.T) {
	testworld.Long(t, "installs, which builds the program")
	testworld.Need(t, "sh", "go")
	script, err := filepath.Abs(filepath.Join("..", "..", "install.sh"))
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	bin := filepath.Join(home, ".local", "bin")
	env := []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS"} {
		// The go command would fetch and build everything anew in a clean home.
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	run := func(want int, name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Fatalf("%s %q: exit status %d (%v)\n%s", filepath.Base(name), args, got, err, out)
		}
		return string(out)
	}

	out := run(0, "sh", script)
	if !strings.Contains(out, "put that folder in the PATH") || !strings.Contains(out, bin) {
		t.Errorf("the folder is not in the PATH, and it does not say so:\n%s", out)
	}
	if out := run(0, filepath.Join(bin, "clerk-credential-helper"), "version"); !strings.Contains(out, "\ninstalled by install.sh: "+bin) {
		t.Errorf("version answered %q", out)
	}
	if out := run(0, filepath.Join(bin, "git-credential-clerk"), "capability"); !strings.HasPrefix(out, "version 0\n") {
		t.Errorf("git-credential-clerk answered %q", out)
	}
	if out := run(0, filepath.Join(bin, "docker-credential-clerk"), "version"); !strings.HasPrefix(out, "docker-credential-clerk ") {
		t.Errorf("docker-credential-clerk answered %q", out)
	}
	if out := run(1, filepath.Join(bin, "bazel-credential-clerk")); !strings.Contains(out, "only get is known") {
		t.Errorf("bazel-credential-clerk answered %q", out)
	}
	if out := run(0, filepath.Join(bin, "cargo-credential-clerk"), "--cargo-plugin"); out != "{\"v\":[1]}\n" {
		t.Errorf("cargo-credential-clerk answered %q", out)
	}
	page := filepath.Join(home, ".local", "share", "man", "man1", "clerk-credential-helper.1")
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), ".SH SYNOPSIS") {
		t.Errorf("no manual page: %v", err)
	}
	run(0, "sh", script) // again, over itself

	// The same program as a release, given to a shell on standard input: then the checkout does not count.
	program, err := os.ReadFile(filepath.Join(bin, "clerk-credential-helper"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	p.release(t, "1.2.3", map[string]string{"clerk-credential-helper": string(program)}, here)
	u := userlands(t)[0]
	m := newMachine(t, u, "CLERK_HELPER_RELEASES="+p.url)
	if status, out := m.run(t, installScript(t)); status != 0 || !strings.Contains(out, "installed in "+m.home+"/.local/bin: clerk-credential-helper ") {
		t.Errorf("a release: exit status %d\n%s", status, out)
	}
	cmd := exec.Command(filepath.Join(m.home, ".local", "bin", "clerk-credential-helper"), "version", "--check", "--json")
	cmd.Env = m.env
	var build struct {
		Schema                     int
		Installed, Latest, Version string
		Update                     *bool
	}
	if out, err := cmd.Output(); err != nil || json.Unmarshal(out, &build) != nil || build.Schema != 1 || build.Installed != "install.sh" || build.Latest != "1.2.3" || build.Update == nil {
		t.Errorf("version --check --json: %v\n%s", err, out)
	}
	if status, out := m.run(t, installScript(t), "--uninstall"); status != 0 || !strings.Contains(out, "removed clerk-credential-helper") {
		t.Errorf("uninstalling a release: exit status %d\n%s", status, out)
	}

	// What is not ours stays, when installing and when taking back.
	other := filepath.Join(bin, "other")
	if err := os.WriteFile(other, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(0, "sh", script, "--uninstall")
	left, err := os.ReadDir(bin)
	if err != nil || len(left) != 1 || left[0].Name() != "other" {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := os.Stat(page); err == nil {
		t.Error("the manual page was left behind")
	}
	run(0, "sh", script, "--uninstall")
	foreign := filepath.Join(home, "prefix", "bin", "git-credential-clerk")
	if err := os.MkdirAll(filepath.Dir(foreign), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(foreign, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(1, "sh", script, "--prefix", filepath.Join(home, "prefix")); !strings.Contains(out, "is not ours") {
		t.Errorf("a foreign file in the way: %s", out)
	}
	run(0, "sh", script, "--uninstall", "--prefix", filepath.Join(home, "prefix"))
	if text, err := os.ReadFile(foreign); err != nil || string(text) != "mine" {
		t.Errorf("a foreign file was touched: %q, %v", text, err)
	}
	run(1, "sh", script, "--frobnicate")
	if out := run(1, "sh", script, "--require-signature"); !strings.Contains(out, "what is built from a checkout has no signature") {
		t.Errorf("a signature that a checkout cannot have: %s", out)
	}
}
