package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/testworld"
)

// documented are the commands of the pages below, line by line, in an order in which they can be run. want is what
// TestDocumentedCommands finds on standard output when it runs the line; by is the test that runs it instead, or the script and its
// line; not is why it is run nowhere.
var documented = []struct{ line, want, by, not string }{
	{line: "./install.sh", by: "TestInstall"},
	{line: "powershell -ExecutionPolicy Bypass -File install.ps1", not: "there is no Windows here; .ci/powershell parses the script"},
	{line: "go test ./...", not: "this test is one of them"},
	{line: "(cd companion && npm ci && npm test)", not: "it takes minutes; .ci/companion runs it"},
	{line: "bash .ci/run", not: "it runs this test"},
	{line: "clerk-credential-helper setup acme.dev", by: "newcomer/company: exec clerk-credential-helper setup $COMPANY"},
	{line: "clerk-credential-helper companion add path/to/the/app", by: "script/companion-add: exec clerk-credential-helper companion add shop"},
	{line: "clerk-credential-helper companion check https://app.acme.dev", by: "TestCompanionCheckWell"},
	{line: "sbx secret set-custom --host api.acme.dev --env ACME_TOKEN --command 'clerk-credential-helper token acme' --refresh on-demand",
		not: "sbx needs an account and a virtual machine; the command that it runs is run here"},

	{line: "clerk-credential-helper login acme", want: `^$`},
	{line: "clerk-credential-helper status --check", want: `ada@acme\.dev`},
	{line: "git config --system credential.https://git.acme.dev.helper ''", want: `^$`},
	{line: "git config --system --add credential.https://git.acme.dev.helper clerk", want: `^$`},
	{line: "git clone https://git.acme.dev/platform/api.git", want: `^$`},
	{line: "TOKEN=$(clerk-credential-helper token acme)", want: `^$`},
	{line: "clerk-credential-helper token acme --format header", want: `^Authorization: Bearer ey\S+\n$`},
	{line: "clerk-credential-helper get registry.acme.dev", want: `"Secret":"ey`},
	{line: `printf 'protocol=https\nhost=git.acme.dev\n' | clerk-credential-helper get`, want: `\npassword=ey`},
	{line: "clerk-credential-helper headers https://api.acme.dev/mcp", want: `^\{"Authorization":"Bearer ey`},
	{line: "clerk-credential-helper headers --profile acme", want: `^\{"Authorization":"Bearer ey`},
	{line: "clerk-credential-helper bearer https://api.acme.dev/v1", want: `^ey`},
	{line: "clerk-credential-helper exec --profile acme --env ACME_TOKEN -- codex", want: `^ACME_TOKEN=ey`},
	{line: "clerk-credential-helper exec --profile acme --env ACME_TOKEN -- gemini", want: `^ACME_TOKEN=ey`},
	{line: "clerk-credential-helper exec --profile acme --env CLERK_HELPER_TOKEN --min-ttl 1h -- claude", want: `^CLERK_HELPER_TOKEN=ey`},
	{line: "clerk-credential-helper unset --all && clerk-credential-helper logout --all", by: "script/uninstall: exec clerk-credential-helper unset --all"},
}

// TestDocumentedCommands: each line of a shell block of README.md, docs/rollout.md and docs/tools/agents.md is in the table, and each
// of the table on a page. Hosts stand for those of this world, and an agent for a program that prints the tokens it is given.
func TestDocumentedCommands(t *testing.T) {
	if filepath.Separator == '\\' {
		t.Skip("the lines are for a shell of Unix")
	}
	testworld.Need(t, "git", "sh")
	root := filepath.Join("..", "..")
	var lines []string
	for _, page := range []string{"README.md", "docs/rollout.md", "docs/tools/agents.md"} {
		text := readFile(t, filepath.Join(root, filepath.FromSlash(page)))
		for _, block := range regexp.MustCompile("(?ms)^```(?:sh|console|powershell)\n(.*?)^```").FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(block[1]) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), "  #")
				line, _, _ = strings.Cut(line, " # ")
				if line = strings.TrimSpace(line); line != "" {
					lines = append(lines, line)
				}
			}
		}
	}
	for _, line := range lines {
		if !slices.ContainsFunc(documented, func(d struct{ line, want, by, not string }) bool { return d.line == line }) {
			t.Errorf("%q is run by no test, and is not in the table with a reason", line)
		}
	}
	_, home := wellSetUp(t)
	if err := os.Remove(filepath.Join(home, ".gitconfig")); err != nil {
		t.Fatal(err)
	}
	os.Unsetenv("GIT_CONFIG_NOSYSTEM") // that of wellSetUp, which ends with the test
	t.Setenv("GIT_CONFIG_SYSTEM", filepath.Join(home, "system"))
	bin := t.TempDir()
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	for _, agent := range []string{"codex", "gemini", "claude"} {
		if err := os.WriteFile(filepath.Join(bin, agent), []byte("#!/bin/sh\nenv | grep TOKEN=\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	here := strings.NewReplacer("git.acme.dev/platform/api.git", os.Getenv("GIT")+"/hello.git", "git.acme.dev", os.Getenv("GIT"),
		"registry.acme.dev", os.Getenv("REGISTRY"), "api.acme.dev", os.Getenv("TOOLS"))
	tests := testsOf(t)
	for _, d := range documented {
		if !slices.Contains(lines, d.line) {
			t.Errorf("%q is on no page", d.line)
		}
		switch {
		case d.not != "":
		case strings.HasPrefix(d.by, "Test"):
			if tests[d.by] == nil {
				t.Errorf("%q: there is no %s", d.line, d.by)
			}
		case d.by != "":
			name, words, _ := strings.Cut(d.by, ": ")
			if script := readFile(t, filepath.Join("testdata", filepath.FromSlash(name)+".txtar")); !strings.Contains(script, "\n"+words) {
				t.Errorf("%q: %s has no %q", d.line, name, words)
			}
		default:
			cmd := exec.CommandContext(t.Context(), "sh", "-c", here.Replace(d.line))
			cmd.Dir, cmd.WaitDelay = home, time.Second
			var words strings.Builder
			cmd.Stderr = &words
			out, err := cmd.Output()
			if err != nil || !regexp.MustCompile(d.want).Match(out) {
				t.Errorf("%q: %v, %q, %s", d.line, err, out, words.String())
			}
		}
	}
}
