package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerk-credential-helper/protocol"
)

// TestToolCall: every tool puts its verb elsewhere, and what the person wrote before or after it is not taken for it.
func TestToolCall(t *testing.T) {
	for _, tt := range []struct {
		why, line string
		wire      protocol.Wire
		verb      protocol.Verb
		profile   string
		err       string
	}{
		{"git's verb is last", "git-credential-clerk --profile=acme get", protocol.Git{}, "get", "acme", ""},
		{"git, in two words", "/usr/bin/git-credential-clerk --profile acme erase", protocol.Git{}, "erase", "acme", ""},
		{"git on Windows", "git-credential-clerk.exe get", protocol.Git{}, "get", "", ""},
		{"docker has nothing but a verb", "docker-credential-clerk get", docker(), "get", "", ""},
		{"cargo's only argument", "cargo-credential-clerk --cargo-plugin", &protocol.Cargo{}, "--cargo-plugin", "", ""},
		{"terraform's verb is second to last", "terraform-credentials-clerk --profile=acme get tf.acme.dev", protocol.Terraform{Host: "tf.acme.dev"}, "get", "acme", ""},
		{"terraform has hosts that are called like verbs", "terraform-credentials-clerk forget get", protocol.Terraform{Host: "get"}, "forget", "", ""},
		{"bazel's name", "bazel-credential-clerk get", protocol.Bazel{}, "get", "", ""},
		{"bazel's word", "clerk-credential-helper bazel get", protocol.Bazel{}, "get", "", ""},
		{"go, the first call", "clerk-credential-helper goauth", protocol.GOAUTH{}, "", "", ""},
		{"go, the second", "clerk-credential-helper goauth https://a/b", protocol.GOAUTH{URL: "https://a/b"}, "", "", ""},
		{"go, with a profile", "clerk-credential-helper goauth --profile acme https://a/b", protocol.GOAUTH{URL: "https://a/b"}, "", "acme", ""},
		{"kubectl", "clerk-credential-helper kube --profile=acme", protocol.Kube{Info: "info"}, "", "acme", ""},
		{"keyring's options are its own", "keyring --mode=creds get --profile=x y", protocol.Keyring{Args: []string{"--mode=creds", "get", "--profile=x", "y"}}, "", "", ""},
		{"headers", "clerk-credential-helper headers https://a", protocol.Headers{Target: "https://a"}, "", "", ""},
		{"a wire's name is a tool's name only as the program's", "clerk-credential-helper curl-config docker", protocol.CurlConfig{Target: "docker"}, "", "", ""},

		{"git: words before the verb", "git-credential-clerk frob get", protocol.Git{}, "get", "", `unexpected argument "frob"`},
		{"git: an option that is not known", "git-credential-clerk --frob get", protocol.Git{}, "get", "", `unexpected argument "--frob"`},
		{"docker: two arguments", "docker-credential-clerk get more", docker(), "get", "", `unexpected argument "more"`},
		{"docker: none", "docker-credential-clerk", docker(), "", "", ""},
		{"docker: options", "docker-credential-clerk --profile=acme get", docker(), "--profile=acme", "", `unexpected argument "get"`},
		{"cargo: more arguments", "cargo-credential-clerk --cargo-plugin x", &protocol.Cargo{}, "--cargo-plugin", "", `unexpected argument "x"`},
		{"terraform: no host", "terraform-credentials-clerk get", protocol.Terraform{Host: "get"}, "", "", ""},
		{"terraform: too much", "terraform-credentials-clerk a get tf.acme.dev", protocol.Terraform{}, "get", "", `unexpected argument "a"`},
		{"bazel: too much", "bazel-credential-clerk get more", protocol.Bazel{}, "get", "", `unexpected argument "more"`},
		{"go: two URLs", "clerk-credential-helper goauth a b", protocol.GOAUTH{}, "", "", `unexpected argument "a"`},
		{"kubectl: a cluster by hand", "clerk-credential-helper kube https://a", protocol.Kube{Info: "info"}, "", "", `unexpected argument "https://a"`},
		{"a profile without a name", "clerk-credential-helper pnpm --profile=", protocol.PNPM{}, "", "", "--profile wants a name"},
		{"a profile without a word", "clerk-credential-helper pnpm --profile", protocol.PNPM{}, "", "", `unexpected argument "--profile"`},
	} {
		sys := &system{args: strings.Fields(tt.line), stdin: strings.NewReader(""), getenv: func(name string) string {
			return map[string]string{"KUBERNETES_EXEC_INFO": "info"}[name]
		}}
		c, ok := toolCall(sys)
		if !ok || fmt.Sprintf("%T%+v", c.wire, c.wire) != fmt.Sprintf("%T%+v", tt.wire, tt.wire) || c.verb != tt.verb || c.profile != tt.profile {
			t.Errorf("%s: got %T%+v, verb %q, profile %q (%v)", tt.why, c.wire, c.wire, c.verb, c.profile, ok)
		}
		if tt.err == "" && c.err != nil || tt.err != "" && (c.err == nil || c.err.Error() != tt.err) {
			t.Errorf("%s: error %v, want %q", tt.why, c.err, tt.err)
		}
	}
	for why, line := range map[string]string{
		"a person's command": "clerk-credential-helper status", "nothing": "clerk-credential-helper", "help": "clerk-credential-helper goauth --help",
		"a word elsewhere": "clerk-credential-helper token goauth", "a name as a word": "clerk-credential-helper git-credential-clerk",
	} {
		sys := &system{args: strings.Fields(line), getenv: func(string) string { return "" }}
		if c, ok := toolCall(sys); ok {
			t.Errorf("%s was taken for a call of %s", why, c.who)
		}
	}
}

// TestTools: the table names each tool once, and only wires without hosts let a profile stand for one.
func TestTools(t *testing.T) {
	seen := map[string]bool{}
	for _, tool := range tools() {
		for _, name := range []string{tool.name, tool.word, "id " + tool.id} {
			if name != "" && seen[name] {
				t.Errorf("%s stands twice in the table", name)
			}
			seen[name] = true
		}
		if tool.id == "" || tool.who == "" || tool.word != "" && tool.help == "" || tool.wire == nil || tool.name == "" && tool.word == "" {
			t.Errorf("a row is not complete: %+v", tool)
		}
		hostless := map[string]bool{"kube": true, "pnpm": true, "gcp": true, "headers": true, "curl-config": true, "bearer": true}
		if tool.hostless != hostless[tool.word] {
			t.Errorf("%s%s: hostless is %v", tool.name, tool.word, tool.hostless)
		}
		// Who is not answered in time, or not watched, asks no user.
		if asks := tool.waits == 0 && !tool.unwatched; asks == (tool.word == "bazel" || tool.word == "headers" || tool.word == "pnpm" || tool.word == "gcp" || tool.name == "keyring") {
			t.Errorf("%s%s: asks is %v", tool.name, tool.word, asks)
		}
		for _, req := range []protocol.Request{{Verb: protocol.Get}, {Verb: protocol.Store, Profile: "acme"}, {Verb: protocol.Erase, Profile: "acme"}, {Verb: "future", Host: "h"}, {}} {
			if tool.complete(req) {
				t.Errorf("%s%s: %+v is taken for complete", tool.name, tool.word, req)
			}
		}
		if got := tool.complete(protocol.Request{Verb: protocol.Get, Profile: "acme"}); got != tool.hostless {
			t.Errorf("%s%s: a profile alone: %v", tool.name, tool.word, got)
		}
	}
}

// TestToolHelp: each word of the table is a command with help, also where the tool gives a verb.
func TestToolHelp(t *testing.T) {
	for _, tool := range tools() {
		if tool.word == "" {
			continue
		}
		status, out, words := runHere(tool.word, "--help")
		if flat := strings.Join(strings.Fields(out), " "); status != exitOK || words != "" || !strings.Contains(flat, tool.help) {
			t.Errorf("%s --help: status %d\n%s%s", tool.word, status, out, words)
		}
	}
}

// TestNextProgram: never ourselves by another name, never a relative place, never what cannot be run.
func TestNextProgram(t *testing.T) {
	dir := t.TempDir()
	place := func(folder, name string, mode os.FileMode) string {
		path := filepath.Join(dir, folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
		return filepath.Dir(path)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	linked := filepath.Join(dir, "linked")
	if err := os.MkdirAll(linked, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(linked, "keyring")); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	text, good, later := place("text", "keyring", 0o600), place("good", "keyring", 0o700), place("later", "keyring", 0o700)
	join := func(folders ...string) string { return strings.Join(folders, string(os.PathListSeparator)) }
	for why, tt := range map[string]struct{ path, want string }{
		"the first that is not us": {join(linked, text, good, later), filepath.Join(good, "keyring")},
		"only us":                  {linked, ""},
		"only what cannot be run":  {text, ""},
		"a relative folder":        {join("good", ".", ""), ""},
		"nothing":                  {"", ""},
		"a folder that is not":     {filepath.Join(dir, "missing"), ""},
	} {
		t.Chdir(dir)
		if got := nextProgram(tt.path, "keyring"); got != tt.want {
			t.Errorf("%s: got %q, want %q", why, got, tt.want)
		}
	}
}
