package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"clerk-credential-helper/internal/testworld"
)

// TestPolicyTable: what each key of [policy] does to each command and wire. A key that gets a new row's command, or a new key, has
// to say what it must do there.
func TestPolicyTable(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("only root can make a file of the machine, in a mount namespace of Linux")
	}
	testworld.Need(t, "bwrap")
	const (
		works  = "works" // it does what it does without a policy
		policy = "the policy of this machine does not allow it"
	)
	type call struct {
		args  []string
		stdin string
		gives string // on standard output, where it works
	}
	const self = "clerk-credential-helper"
	calls := map[string]call{
		"git":          {[]string{"git-credential-clerk", "get"}, "protocol=https\nhost=git.acme.dev\n\n", "password=ey"},
		"docker":       {[]string{"docker-credential-clerk", "get"}, "https://registry.acme.dev", `"Secret":"ey`},
		"token wire":   {[]string{self, "bearer", "https://git.acme.dev/x"}, "", "ey"},
		"token":        {[]string{self, "token", "acme"}, "", "ey"},
		"exec":         {[]string{self, "exec", "--profile", "acme", "--env", "TOKEN", "--", "sh", "-c", "echo $TOKEN"}, "", "ey"},
		"login":        {[]string{self, "login", "acme"}, "", ""},
		"given":        {[]string{self, "login", "--with-token", "acme"}, "opaque-token", ""},
		"setup":        {[]string{self, "setup", "git", "--dry-run"}, "", ""},
		"status":       {[]string{self, "status"}, "", "acme: "},
		"explain":      {[]string{self, "explain", "git.acme.dev"}, "", "next"},
		"doctor":       {[]string{self, "doctor", "--verbose"}, "", "policy: /etc/clerk-credential-helper/config.toml:"},
		"history":      {[]string{self, "history"}, "", ""},
		"logout --all": {[]string{self, "logout", "--all"}, "", ""},
	}
	everything := func(want string, but map[string]string) map[string]string {
		all := map[string]string{"history": works}
		for name := range calls {
			if all[name] == "" {
				all[name] = want
			}
		}
		maps.Copy(all, but)
		return all
	}
	const legacy = "\n[profiles.old]\nissuer = \"https://clerk.acme.dev\"\nlegacy_page = \"https://app.acme.dev/cli-auth\"\nhosts = [\"old.acme.dev\"]\n"
	for _, row := range []struct {
		key, value string
		before     string // above the user's tables
		after      string // below them
		env        string
		must       map[string]string // what each call says of the policy, or that it works
	}{
		{key: "stores", value: `["keychain", "kernel"]`, must: everything(`CLERK_HELPER_STORE is "file": `+policy, map[string]string{"setup": works})},
		{key: "stores", value: `["file"]`, must: everything(works, nil)},
		{key: "sources", value: `["environment", "machine"]`, must: everything("a token from the session: "+policy,
			map[string]string{"setup": works, "status": works, "logout --all": works, "explain": "gets no token: a token from the session: " + policy})},
		{key: "sources", value: `["session"]`, env: "CLERK_HELPER_TOKEN_ACME=opaque-token-of-the-environment", must: everything("a token from the environment: "+policy,
			map[string]string{"setup": works, "login": works, "given": works, "logout --all": works, "explain": "gets no token: a token from the environment: " + policy})},
		{key: "sources", value: `["session"]`, must: everything(works, nil)},
		{key: "profiles", value: `"machine"`, must: everything(`profile "acme": `+policy, nil)},
		{key: "profiles", value: `"fixed"`, must: everything(works, nil)},
		{key: "hosts", value: `["*.acme.dev"]`, must: everything(`the host "git.acme.dev" in profile "acme": `+policy, nil)},
		{key: "hosts", value: `["*.other.dev"]`, must: everything(works, nil)},
		{key: "legacy_page", value: `false`, after: legacy, must: everything(`the legacy_page of profile "old": `+policy, nil)},
		{key: "legacy_page", value: `false`, must: everything(works, nil)},
		{key: "with_token", value: `false`, must: everything(works, map[string]string{"given": "login --with-token: " + policy})},
		{key: "history", value: `false`, before: "history = true\n", must: everything("history = true: "+policy, nil)},
		{key: "history", value: `false`, must: everything(works, map[string]string{"history": "no history is kept"})},
		{key: "minimum_version", value: `"99.0.0"`, must: everything(works, nil)}, // a build from a checkout has no version: TestPolicyVersion
	} {
		t.Run(row.key+" "+row.value+row.env+row.before, func(t *testing.T) {
			_, home := wellSetUp(t)
			if status, _, words := runHere("login"); status != exitOK {
				t.Fatal(words)
			}
			own := filepath.Join(home, ".config/clerk-credential-helper/config.toml")
			text, err := os.ReadFile(own)
			if err != nil {
				t.Fatal(err)
			}
			write(t, own, row.before+string(text)+row.after)
			machine := filepath.Join(home, "machine.toml")
			write(t, machine, "[policy]\n"+row.key+" = "+row.value+"\n")
			chmod(t, machine, 0o644)
			for _, name := range append(slices.DeleteFunc(slices.Sorted(maps.Keys(calls)), func(name string) bool { return name == "given" || name == "logout --all" }), "logout --all", "given") {
				c, must := calls[name], row.must[name]
				cmd := exec.Command("bwrap", slices.Concat([]string{"--dev-bind", "/", "/", "--tmpfs", "/etc", "--ro-bind", "/etc/passwd", "/etc/passwd",
					"--ro-bind", machine, "/etc/clerk-credential-helper/config.toml"}, c.args)...)
				var out, words bytes.Buffer
				cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.stdin), &out, &words
				if row.env != "" {
					cmd.Env = append(os.Environ(), row.env)
				}
				err := cmd.Run()
				said := strings.Join(strings.Fields(out.String()+words.String()), " ")
				switch {
				case must == works && (name != "doctor" && err != nil || !strings.Contains(out.String(), c.gives) || strings.Contains(said, policy)):
					t.Errorf("%s: it must work: %v\n%s", name, err, said)
				case must != works && !strings.Contains(said, strings.Join(strings.Fields(must), " ")):
					t.Errorf("%s: it must say %q: %v\n%s", name, must, err, said)
				case must != works && (strings.Contains(out.String(), "ey") && strings.HasPrefix(c.gives, "ey") || strings.Contains(out.String(), "password=") || strings.Contains(out.String(), `"Secret"`)):
					t.Errorf("%s: it gave a token", name)
				}
			}
			kept, _ := os.ReadFile(filepath.Join(home, historyFile))
			// What a source forbids is refused to a tool, and has an entry; the others are an error of the configuration, or of the store.
			want := row.key != "history" && row.must["git"] == works || strings.HasPrefix(row.must["git"], "a token from")
			if strings.Contains(string(kept), `"tool":"git"`) != want {
				t.Errorf("the history, with %t for git: %s", want, kept)
			}
		})
	}
}
