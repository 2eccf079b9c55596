package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"
)

// callHere is runHere under a tool's name, with a standard input.
func callHere(stdin string, args ...string) (status int, stdout, stderr string) {
	var out, words bytes.Buffer
	status = run(&system{args: args, stdin: strings.NewReader(stdin), stdout: &out, stderr: &words, getenv: os.Getenv})
	return status, out.String(), words.String()
}

const historyFile = ".local/state/clerk-credential-helper/history/history.jsonl"

// TestHistory: each token that is given, and each that is not, has one entry, and nothing else has.
func TestHistory(t *testing.T) {
	const (
		self      = "clerk-credential-helper"
		own       = ".config/clerk-credential-helper/config.toml"
		gitAsks   = "protocol=https\nhost=git.acme.dev\npath=team/repo\nusername=clerk\n\n"
		dockerAsk = "https://registry.acme.dev"
	)
	git, docker := []string{"git-credential-clerk", "get"}, []string{"docker-credential-clerk", "get"}
	login := func(t *testing.T, _ *world, _ string) {
		if status, _, words := runHere("login"); status != exitOK {
			t.Fatal(words)
		}
	}
	machine := func(t *testing.T, home string) {
		rewrite(t, filepath.Join(home, own), `client_id = "sandbox-client"`, "machine = true")
		t.Setenv("CLERK_API_URL", os.Getenv("ISSUER"))
		t.Setenv("CLERK_MACHINE_SECRET_KEY", "ak_sandbox_machine")
	}
	off := func(t *testing.T, home string) {
		text, err := os.ReadFile(filepath.Join(home, own))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(home, own), "history = false\n"+string(text))
	}
	for _, row := range []struct {
		reason  string
		prepare func(t *testing.T, w *world, home string)
		stdin   string
		args    []string
		want    []string // TOOL HOST OUTCOME of the new entries
	}{
		{"from the keychain", login, gitAsks, git, []string{"git git.acme.dev keychain"}},
		{"another wire", login, dockerAsk, docker, []string{"docker registry.acme.dev keychain"}},
		{"a wire that is a word", login, "", []string{self, "curl-config", "https://git.acme.dev/x"}, []string{"curl git.acme.dev keychain"}},
		{"refreshed", func(t *testing.T, w *world, home string) {
			login(t, w, home)
			if err := testworld.Age(home, 25*time.Hour); err != nil {
				t.Fatal(err)
			}
		}, gitAsks, git, []string{"git git.acme.dev refreshed"}},
		{"not refreshed, and live", func(t *testing.T, w *world, home string) {
			login(t, w, home)
			if err := testworld.Age(home, 13*time.Hour); err != nil {
				t.Fatal(err)
			}
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.TokenStatus = 503 })
		}, gitAsks, git, []string{"git git.acme.dev keychain"}},
		{"signed in", func(*testing.T, *world, string) {}, gitAsks, git, []string{"git git.acme.dev signed_in"}},
		{"minted", func(t *testing.T, _ *world, home string) { machine(t, home) }, gitAsks, git, []string{"git git.acme.dev minted"}},
		{"of the environment", func(t *testing.T, _ *world, _ string) { t.Setenv("CLERK_HELPER_TOKEN_ACME", "opaque-token-of-a-job") },
			gitAsks, git, []string{"git git.acme.dev environment"}},
		{"a command of ours", login, "", []string{self, "token"}, []string{"token  keychain"}},
		{"another one", login, "", []string{self, "exec", "--env", "X", "--", "true"}, []string{"exec  keychain"}},
		{"the user refuses", func(_ *testing.T, w *world, _ string) {
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.DenyConsent = true })
		},
			gitAsks, git, []string{"git git.acme.dev refused"}},
		{"nobody may be asked", func(t *testing.T, _ *world, _ string) { t.Setenv("CLERK_HELPER_INTERACTIVE", "never") },
			dockerAsk, docker, []string{"docker registry.acme.dev refused"}},
		{"an injected token that is none", func(t *testing.T, _ *world, _ string) { t.Setenv("CLERK_HELPER_TOKEN_ACME", `{"access_token":"x"}`) },
			gitAsks, git, []string{"git git.acme.dev refused"}},

		{"a host of no profile", login, strings.Replace(gitAsks, "git.acme", "git.foreign", 1), git, nil},
		{"a registry of no profile", login, "https://user:secret@index.docker.io/v1/", docker, nil},
		{"plain http", login, strings.Replace(gitAsks, "https", "http", 1), git, nil},
		{"another account's address", login, strings.Replace(gitAsks, "username=clerk", "username=robot", 1), git, nil},
		{"git stores", login, gitAsks + "password=x\n", []string{"git-credential-clerk", "store"}, nil},
		{"git erases", login, gitAsks + "password=x\n", []string{"git-credential-clerk", "erase"}, nil},
		{"docker lists", login, "", []string{"docker-credential-clerk", "list"}, nil},
		{"explain", login, "", []string{self, "explain", "git.acme.dev"}, nil},
		{"status, which asks about the token", login, "", []string{self, "status", "--check"}, nil},
		{"doctor", login, "", []string{self, "doctor"}, nil},
		{"login", func(*testing.T, *world, string) {}, "", []string{self, "login"}, nil},
		{"history itself", login, "", []string{self, "history"}, nil},
		{"switched off", func(t *testing.T, w *world, home string) { login(t, w, home); off(t, home) }, gitAsks, git, nil},
		{"the first call of go, switched off", func(t *testing.T, w *world, home string) { login(t, w, home); off(t, home) }, "", []string{self, "goauth"}, nil},
	} {
		t.Run(row.reason, func(t *testing.T) {
			w, home := wellSetUp(t)
			row.prepare(t, w, home)
			callHere(row.stdin, row.args...)
			text, _ := os.ReadFile(filepath.Join(home, historyFile))
			var got []string
			for line := range strings.Lines(string(text)) {
				var e broker.Entry
				if err := json.Unmarshal([]byte(line), &e); err != nil || e.Profile != "acme" || e.At.Location() != time.UTC || (e.Outcome == broker.GaveNone) != (e.Token == "") {
					t.Errorf("%s: %v", line, err)
				}
				got = append(got, e.Tool+" "+e.Host+" "+e.Outcome)
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
			for _, secret := range append(w.Clerk.Issued(), "opaque-token-of-a-job", "secret", "ak_sandbox", "clerk@", "team/repo") {
				if strings.Contains(string(text), secret) {
					t.Errorf("it holds %q", secret)
				}
			}
			_, out, words := runHere("history", "--json")
			checkDocument(t, "history", out)
			if n := strings.Count(out, `"at":`); n != len(row.want) {
				t.Errorf("%d entries are shown: %s%s", n, out, words)
			}
		})
	}
}

// TestHistoryHash: an entry's token and the one that explain shows are the same.
func TestHistoryHash(t *testing.T) {
	wellSetUp(t)
	if status, _, words := runHere("token"); status != exitOK {
		t.Fatal(words)
	}
	_, out, words := runHere("history")
	e := explainJSON(t, "git.acme.dev")
	if len(e.Token) != 12 || !strings.Contains(out, " signed_in   "+e.Token[:8]+"  acme  - token (") || strings.Count(out, "\n") != 1 {
		t.Errorf("%s%s", out, words)
	}
	if status, out, words := runHere("history", "--since", "1h"); status != exitOK || strings.Count(out, "\n") != 1 {
		t.Errorf("--since: status %d, %s%s", status, out, words)
	}
	if status, _, _ := runHere("history", "--since", "yesterday"); status != exitUsage {
		t.Errorf("--since yesterday: status %d", status)
	}
}

// TestHistoryHarmless: where no entry can be written a tool gets its token all the same, without a word, and doctor says why.
func TestHistoryHarmless(t *testing.T) {
	_, home := wellSetUp(t)
	if status, _, words := runHere("login"); status != exitOK {
		t.Fatal(words)
	}
	write(t, filepath.Join(filepath.Dir(filepath.Dir(filepath.Join(home, historyFile))), "history"), "in the place of the folder")
	status, out, words := callHere("protocol=https\nhost=git.acme.dev\n\n", "git-credential-clerk", "get")
	if status != exitOK || !strings.Contains(out, "password=ey") || words != "" {
		t.Errorf("status %d, %d bytes, %s", status, len(out), words)
	}
	status, out, _ = runHere("doctor", "--json")
	if state := checkDocument(t, "doctor", out); state != "warning" || status != exitOK || !strings.Contains(out, "no entry can be written, and tools get tokens all the same") {
		t.Errorf("%s: %s", state, out)
	}
}

// TestHistoryLine: the names in an entry are others' text, and stay on one line of the terminal.
func TestHistoryLine(t *testing.T) {
	for _, foreign := range []string{"a\nb", "a\x1b[2Jb", "\u202eevil", "\u009b31m"} {
		line := historyLine(broker.Entry{Program: foreign, Host: foreign, Profile: "acme", CI: "GitLab", Claims: clerk.Claims{"sub": foreign}})
		if strings.ContainsAny(line, "\n\x1b\u202e\u009b") || !strings.Contains(line, "GitLab") {
			t.Errorf("%q", line)
		}
	}
	e := broker.Entry{Profile: "acme", Tool: "git", Outcome: broker.GaveMinted, CI: "GitHub Actions", Claims: clerk.Claims{"sub": "repo:1"}}
	if line := historyLine(e); !strings.HasSuffix(line, `  acme  - git (-)  GitHub Actions: sub "repo:1"`) {
		t.Errorf("%q", line)
	}
}
