package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"clerk-credential-helper/internal/testworld"
)

// TestBackground makes each background call of docs/background.md without a session, and counts the pages that open.
// Beside it stands the same tool's call for a user, which opens one: else the count would prove nothing.
func TestBackground(t *testing.T) {
	w, vars, err := newWorld(t.TempDir(), t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	// At a desktop, and in no terminal.
	opened := filepath.Join(t.TempDir(), "opened")
	tab := filepath.Join(t.TempDir(), "browser")
	testworld.Write(t, tab, fmt.Sprintf("#!/bin/sh\necho tab >>%s\nexec %s \"$@\"\n", opened, vars["BROWSER"]))
	testworld.Chmod(t, tab, 0o755)
	vars["BROWSER"], vars["DISPLAY"], vars["CLERK_HELPER_INTERACTIVE"], vars["GIT_TERMINAL_PROMPT"] = tab, ":0", "", ""
	second := fmt.Sprintf("\n[profiles.second]\nissuer = %q\nclient_id = \"sandbox-client\"\nscopes = [\"openid\", \"email\"]\nhosts = [\"registry.second.dev\"]\n", vars["ISSUER"])
	config := filepath.Join(vars["HOME"], ".config", "clerk-credential-helper", "config.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	testworld.Write(t, config, string(text)+second)

	repository := t.TempDir()
	pages := func(script string, env ...string) int {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(vars["HOME"], ".local")); err != nil { // signed out, and no cool-down
			t.Fatal(err)
		}
		os.Remove(opened)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", script)
		cmd.Dir, cmd.Env = repository, []string{"PATH=" + os.Getenv("PATH")}
		for name, value := range vars {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		cmd.Env = append(cmd.Env, env...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		out, _ := cmd.CombinedOutput() // most fail: there is no token
		if ctx.Err() != nil {
			t.Errorf("%s: it did not end:\n%s", script, out)
		}
		tabs, _ := os.ReadFile(opened)
		return bytes.Count(tabs, []byte("tab"))
	}

	const (
		git    = `printf 'protocol=https\nhost=git.acme.dev\n\n' | git-credential-clerk get`
		docker = `printf registry.acme.dev | docker-credential-clerk get`
		kube   = `KUBERNETES_EXEC_INFO='{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":%t,"cluster":{"server":"https://git.acme.dev"}}}' clerk-credential-helper kube`
		goauth = `printf 'HTTP/1.1 %s\r\n\r\n' | clerk-credential-helper goauth https://git.acme.dev/x`
	)
	users := map[string]string{ // of the tools that ask
		"git": git, "docker": docker, "kubectl": fmt.Sprintf(kube, true), "go": fmt.Sprintf(goauth, "401 Unauthorized"),
	}
	rows := []struct {
		tool, call string
		script     string
		env        []string
		pages      int
	}{
		{tool: "git", call: "VS Code's fetch every 3 minutes", script: git, env: []string{"VSCODE_GIT_FETCH_SILENT=true", "VSCODE_GIT_COMMAND=fetch"}},
		{tool: "git", call: "`git -c credential.interactive=false`", script: `printf 'url=https://git.acme.dev\n\n' | git -c credential.helper=clerk -c credential.interactive=false credential fill`},
		{tool: "git", call: "git 2.47 and later: maintenance by its own schedule", script: git, env: []string{"GIT_CONFIG_PARAMETERS='credential.interactive'='false' 'core.askPass'='true'"}},
		{tool: "git", call: "with `credential.interactive` in a file of the user", script: "git config --global credential.interactive false; " + git + "; git config --global --unset credential.interactive"},
		{tool: "git", call: "with `credential.interactive` in the repository", script: "git init -q . && git config credential.interactive never; " + git + "; git config --unset credential.interactive"},
		{tool: "git", call: "with `credential.interactive` in numbered variables", script: git, env: []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=credential.interactive", "GIT_CONFIG_VALUE_0=0"}},
		{tool: "git", call: "a script with `GIT_TERMINAL_PROMPT=0`, without a terminal", script: git, env: []string{"GIT_TERMINAL_PROMPT=0"}},
		{tool: "git", call: "where Git Credential Manager must not ask", script: git, env: []string{"GCM_INTERACTIVE=never"}},
		{tool: "git", call: "a job of a build service", script: git, env: []string{"GITHUB_ACTIONS=true"}},
		{tool: "git", call: "any call where neither a terminal nor a desktop is", script: git, env: []string{"DISPLAY=", "BROWSER="}},
		{tool: "docker", call: "`list`, for each build", script: "docker-credential-clerk list"},
		{tool: "docker", call: "the classic builder's `get` for each entry of `credHelpers`", script: docker + "; printf registry.second.dev | docker-credential-clerk get; " + docker, pages: 1},
		{tool: "go", call: "its first call, before it fetches", script: "clerk-credential-helper goauth"},
		{tool: "go", call: "a module that is not there", script: fmt.Sprintf(goauth, "404 Not Found")},
		{tool: "kubectl", call: "its standard input is no terminal", script: fmt.Sprintf(kube, false)},
		{tool: "bazel", call: "every call", script: `printf '{"uri":"https://git.acme.dev/x"}' | bazel-credential-clerk get`},
		{tool: "pip and uv", call: "every call", script: "keyring get https://git.acme.dev clerk"},
		{tool: "an MCP client", call: "every call for headers", script: "clerk-credential-helper headers", env: []string{"CLAUDE_CODE_MCP_SERVER_URL=https://git.acme.dev"}},
		{tool: "pnpm", call: "every call", script: "clerk-credential-helper pnpm --profile acme"},
		{tool: "Google's clients", call: "every call", script: "clerk-credential-helper gcp --profile acme"},
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "background.md"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(page), "\n| "); lines != len(rows)+1 {
		t.Errorf("docs/background.md has %d rows, and the test %d", lines-1, len(rows))
	}
	asked := map[string]bool{}
	for _, row := range rows {
		if script, ok := users[row.tool]; ok && !asked[row.tool] {
			asked[row.tool] = true
			if n := pages(script); n != 1 {
				t.Errorf("%s for a user: %d pages, which proves nothing", row.tool, n)
			}
		}
		if n := pages(row.script, row.env...); n != row.pages {
			t.Errorf("%s, %s: %d pages, not %d", row.tool, row.call, n, row.pages)
		}
		said := "no page"
		if row.pages > 0 {
			said = "1 page for two profiles"
		}
		if line := fmt.Sprintf("| %s | %s |", row.tool, row.call); !strings.Contains(string(page), line) ||
			!strings.HasSuffix(strings.SplitN(strings.SplitN(string(page), line, 2)[1], "\n", 2)[0], "| "+said+" |") {
			t.Errorf("docs/background.md does not say %s ... %s", line, said)
		}
	}
	if n := w.Clerk.Count("authorize"); n != len(users)+1 {
		t.Errorf("%d sign-ins", n)
	}
}
