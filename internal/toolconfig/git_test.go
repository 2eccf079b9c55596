package toolconfig

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/testworld"
)

// gitFiles are configurations as people have them.
func gitFiles() map[string]string {
	const user = "[user]\n\tname = Ada Lovelace\n\temail = ada@acme.dev\n"
	return map[string]string{
		"empty":                  "",
		"an empty line":          "\n",
		"a comment alone":        "# nothing here yet\n",
		"user":                   user,
		"no line end at the end": strings.TrimSuffix(user, "\n"),
		"CRLF":                   strings.ReplaceAll(user, "\n", "\r\n"),
		"CRLF, no end":           strings.TrimSuffix(strings.ReplaceAll(user, "\n", "\r\n"), "\r\n"),
		"mixed line ends":        "[user]\r\n\tname = Ada\n\temail = ada@acme.dev\r\n",
		"byte order mark":        "\ufeff" + user,
		"spaces":                 strings.ReplaceAll(user, "\t", "    "),
		"no indentation":         strings.ReplaceAll(user, "\t", ""),
		"blank lines at the end": user + "\n\n\n",
		"comments everywhere":    "# mine\n; mine too\n[user] # the person\n\tname = Ada # me\n\n# end\n",
		"comment without end":    user + "# end",
		"include":                user + "[include]\n\tpath = ~/.gitconfig.local\n",
		"includeIf":              user + "[includeIf \"gitdir:~/work/\"]\n\tpath = ~/work/.gitconfig\n",
		"store":                  user + "[credential]\n\thelper = store\n",
		"two helpers":            "[credential]\n\thelper = cache --timeout=3600\n\thelper = oauth\n",
		"manager":                "[credential]\n\thelper = /usr/local/share/gcm-core/git-credential-manager\n\tcredentialStore = secretservice\n[credential \"https://dev.azure.com\"]\n\tuseHttpPath = true\n",
		"gh":                     "[credential \"https://github.com\"]\n\thelper = \n\thelper = !/usr/bin/gh auth git-credential\n[credential \"https://gist.github.com\"]\n\thelper = \n\thelper = !/usr/bin/gh auth git-credential\n",
		"osxkeychain, one line":  "[credential] helper = osxkeychain\n" + user,
		"section twice":          user + "[core]\n\tpager = less\n" + "[user]\n\tsigningkey = ABC\n",
		"our host, another key":  "[credential \"https://git.acme.dev\"]\n\tusername = ada@acme.dev\n",
		"our host, other helper": "[credential \"https://git.acme.dev\"]\n\thelper = store\n\tusername = ada\n",
		"our host in upper case": "[credential \"https://GIT.acme.dev\"]\n\thelper = cache\n",
		"old subsection":         "[branch.Main]\n\tremote = origin\n" + user,
		"aliases with quotes":    "[alias]\n\tlg = \"log --graph --format='%h %s'\"\n\tx = \"!f() { echo \\\"$1\\\"; }; f\"\n",
		"a value over two lines": "[alias]\n\tlong = log \\\n\t\t--oneline\n" + user,
		"looks like a section":   "[alias]\n\tlong = log \\\n[credential \\\n\tx\n" + user,
		"a flag without value":   "[core]\n\tbare\n\tautocrlf = input\n",
		"url rewriting":          "[url \"ssh://git@github.com/\"]\n\tinsteadOf = https://github.com/\n",
		"escaped subsection":     "[url \"a\\\"b\\\\c\"]\n\tinsteadOf = x\n",
		"subsection with ]":      "[branch \"a]b\"]\n\tremote = origin\n",
		"proxy and TLS":          "[http]\n\tproxy = http://proxy.acme.dev:3128\n\tsslCAInfo = /etc/ssl/acme.pem\n[http \"https://git.acme.dev\"]\n\textraHeader = X: y\n",
		"header, key, comment":   "[core] autocrlf = false ; windows\n",
		"empty section":          "[credential]\n[user]\n",
		"not ASCII":              "[user]\n\tname = Ådå Lövelace 愛\n",
		"tabs and form feeds":    "\t[user]\t\n\t\tname\t=\tAda\t\n",
		"CR without LF":          "[user]\n\tname = a\rb\n",
		"useHttpPath":            "[credential]\n\tuseHttpPath = true\n",
		"a pattern with a path":  "[credential \"https://git.acme.dev/robot\"]\n\thelper = store\n",
		"includes after helpers": "[credential]\n\thelper =\n\thelper = cache\n[include]\n\tpath = other\n",
		"quoted helper":          "[credential]\n\thelper = \"!f() { echo password=x; }; f\"\n",
	}
}

// brokenGitFiles are refused by git too.
func brokenGitFiles() map[string]string {
	return map[string]string{
		"section not closed":       "[user]\n\tname = a\n[core\n",
		"subsection not closed":    "[credential \"https://git.acme.dev]\n\thelper = x\n",
		"quotes not closed":        "[user]\n\tname = \"Ada\n",
		"no equals sign":           "[user]\n\tname Ada\n",
		"unknown escape":           "[user]\n\tname = a\\qb\n",
		"a digit first":            "[user]\n\t1name = a\n",
		"merge conflict":           "[user]\n<<<<<<< HEAD\n\tname = a\n=======\n\tname = b\n>>>>>>> x\n",
		"JSON":                     "{\"user\": {}}\n",
		"subsection without quote": "[credential https://git.acme.dev]\n",
		"under_score":              "[user]\n\tna_me = a\n",
	}
}

func testURLs() []string {
	return []string{"https://git.acme.dev", "https://git.acme.dev:8443", "https://*.pkg.acme.dev"}
}

// TestGitAddAndRemove adds our lines to each file and removes them again: the rest is never touched, and git reads the file
// as we do.
func TestGitAddAndRemove(t *testing.T) {
	for name, text := range gitFiles() {
		t.Run(name, func(t *testing.T) {
			added, err := gitAdd([]byte(text), testURLs(), "clerk", IsGitHelper)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(added), text) || len(added) == len(text) {
				t.Errorf("what was there is not kept as it was:\n%q", added)
			}
			again, err := gitAdd(added, testURLs(), "clerk", IsGitHelper)
			if err != nil || !bytes.Equal(again, added) {
				t.Errorf("a second time changes it: %v\n%q", err, again)
			}
			if strings.Contains(text, "\r\n") && !strings.Contains(text, "mixed") && strings.Count(string(added), "\n")-strings.Count(text, "\n") != strings.Count(string(added), "\r\n")-strings.Count(text, "\r\n") {
				t.Errorf("the line ends are not the file's: %q", added)
			}
			for _, hosts := range [][]string{testURLs(), nil} {
				removed, err := gitRemove(added, hosts)
				if err != nil || string(removed) != text {
					t.Errorf("removed, it is not what it was: %v\n%q\nnot\n%q", err, removed, text)
				}
			}
			askGit(t, text, added)
		})
	}
}

// askGit checks that git reads what we wrote as we meant it.
func askGit(t *testing.T, text string, added []byte) {
	t.Helper()
	testworld.Need(t, "git")
	list := func(text []byte) []string {
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("git", "config", "--no-includes", "--null", "--list", "--file", file)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git does not accept the file: %v\n%s", err, out)
		}
		return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	}
	want := list([]byte(text))
	if want[0] == "" {
		want = nil
	}
	for _, url := range testURLs() {
		key := "credential." + url + ".helper"
		want = append(want, key+"\n", key+"\nclerk")
	}
	if got := list(added); !slices.Equal(got, want) {
		t.Errorf("git reads\n%q\nnot\n%q", got, want)
	}
}

func TestGitBroken(t *testing.T) {
	_, err := testworld.Run(t.Context(), nil, "git", "--version")
	for name, text := range brokenGitFiles() {
		t.Run(name, func(t *testing.T) {
			_, addErr := gitAdd([]byte(text), testURLs(), "clerk", IsGitHelper)
			_, removeErr := gitRemove([]byte(text), nil)
			for _, err := range []error{addErr, removeErr} {
				if err == nil || !strings.HasPrefix(err.Error(), "line ") {
					t.Errorf("it was accepted, or the line is not named: %v", err)
				}
			}
			if err != nil {
				return
			}
			file := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("git", "config", "--list", "--file", file).CombinedOutput()
			if err == nil {
				t.Errorf("git accepts it: we are too strict")
			}
			_, line, _ := strings.Cut(string(out), "bad config line ")
			if n, _, _ := strings.Cut(line, " "); addErr != nil && !strings.HasPrefix(addErr.Error(), "line "+n+":") {
				t.Errorf("git says %s, we say %v", out, addErr)
			}
		})
	}
}

// TestGitPresent is about files in which something of ours is there already.
func TestGitPresent(t *testing.T) {
	const url = "https://git.acme.dev"
	const ours = "[credential \"https://git.acme.dev\"]\n\thelper =\n\thelper = clerk\n"
	tests := []struct {
		name, text, added, removed, reason string
	}{
		{"by hand", ours, ours, "", "what the README shows is what setup writes"},
		{"for every host", "[credential]\n\thelper =\n\thelper = clerk\n", "", "[credential]\n\thelper =\n\thelper = clerk\n", "a person's own general section stays theirs"},
		{"with a path", "[credential]\n\thelper = store\n[credential \"https://git.acme.dev\"]\n\thelper = \"\"\n\thelper = /opt/bin/git-credential-clerk\n", "", "[credential]\n\thelper = store\n", "an absolute path is ours too"},
		{"store after us", ours + "[credential]\n\thelper = store\n", "[credential]\n\thelper = store\n" + ours, "[credential]\n\thelper = store\n", "store would keep our token: we must come last"},
		{"without a reset", "[credential]\n\thelper = store\n[credential \"https://git.acme.dev\"]\n\thelper = clerk\n", "[credential]\n\thelper = store\n" + ours, "[credential]\n\thelper = store\n", "store would be given our token"},
		{"a user name beside us", "[credential \"https://git.acme.dev\"]\n\tusername = ada\n\thelper =\n\thelper = clerk\n", "", "[credential \"https://git.acme.dev\"]\n\tusername = ada\n", "the person's key stays, and so its section"},
		{"a user name after us", ours + "\tusername = ada\n", "", "[credential \"https://git.acme.dev\"]\n\tusername = ada\n", "the person's key stays, and so its section"},
		{"a comment at our section", "[credential \"https://git.acme.dev\"] # mine\n\thelper =\n\thelper = clerk\n", "", "[credential \"https://git.acme.dev\"] # mine\n", "the person's words stay"},
		{"all on one line", "[credential \"https://git.acme.dev\"] helper = clerk\n", "", "[credential \"https://git.acme.dev\"] helper = clerk\n", "a line with more than ours is left"},
		{"a comment beside us", ours + "# mine\n[user]\n\tname = a\n", "", "# mine\n[user]\n\tname = a\n", "comments stay"},
		{"a comment in our line", "[credential \"https://git.acme.dev\"]\n\thelper =\n\thelper = clerk # ours\n", "", "[credential \"https://git.acme.dev\"]\n\thelper =\n\thelper = clerk # ours\n", "a line with a comment of the user's is left"},
		{"indented by hand", "  [credential \"https://git.acme.dev\"]\n  helper=\n  helper=clerk\n", "", "", "blanks make no difference"},
		{"another host of ours", ours + "[credential \"https://x.dev\"]\n\thelper =\n\thelper = clerk\n", "", "", "unset without a profile removes all"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.added == "" {
				tt.added = tt.text
			}
			added, err := gitAdd([]byte(tt.text), []string{url}, "clerk", IsGitHelper)
			if err != nil || string(added) != tt.added {
				t.Errorf("set up: %v\n%s\nnot\n%s\n(%s)", err, added, tt.added, tt.reason)
			}
			removed, err := gitRemove([]byte(tt.text), nil)
			if err != nil || string(removed) != tt.removed {
				t.Errorf("undone: %v\n%s\nnot\n%s\n(%s)", err, removed, tt.removed, tt.reason)
			}
		})
	}
	other := ours + "[credential \"https://x.dev\"]\n\thelper =\n\thelper = clerk\n"
	removed, err := gitRemove([]byte(other), []string{"https://x.dev"})
	if err != nil || string(removed) != ours {
		t.Errorf("one profile's hosts: %v\n%s", err, removed)
	}
}

func TestGitURLMatches(t *testing.T) {
	tests := []struct {
		pattern, url string
		want         bool
	}{
		{"", "https://git.acme.dev", true},
		{"https://", "https://git.acme.dev", true},
		{"https://git.acme.dev", "https://git.acme.dev", true},
		{"https://git.acme.dev:443", "https://git.acme.dev", true},
		{"https://GIT.acme.dev/", "https://git.acme.dev", true},
		{"git.acme.dev", "https://git.acme.dev", true},
		{"https://ada@git.acme.dev", "https://git.acme.dev", true},
		{"https://*.acme.dev", "https://git.acme.dev", true},
		{"http://git.acme.dev", "https://git.acme.dev", false},
		{"https://git.acme.dev:8443", "https://git.acme.dev", false},
		{"https://git.acme.dev/team", "https://git.acme.dev", false},
		{"https://acme.dev", "https://git.acme.dev", false},
		{"https://*.dev", "https://git.acme.dev", false},
		{"https://git.acme.dev", "https://git.acme.dev:8443", false},
	}
	for _, tt := range tests {
		if got := gitURLMatches(tt.pattern, tt.url); got != tt.want {
			t.Errorf("%q for %q: %v", tt.pattern, tt.url, got)
		}
	}
}

func FuzzGit(f *testing.F) {
	for _, text := range gitFiles() {
		f.Add([]byte(text))
	}
	for _, text := range brokenGitFiles() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("clerk")) || bytes.HasSuffix(text, []byte("\r")) {
			t.Skip("what was ours already is removed too; a CR at the very end becomes part of a line end")
		}
		added, err := gitAdd(text, testURLs(), "clerk", IsGitHelper)
		if err != nil {
			return
		}
		statements, err := parseGit(added)
		if err != nil {
			t.Fatalf("what we wrote cannot be read: %v\n%q", err, added)
		}
		for _, url := range testURLs() {
			if got := fmt.Sprint(gitHelpers(statements, url)); got != "[clerk]" {
				t.Fatalf("%s is answered by %s", url, got)
			}
		}
		removed, err := gitRemove(added, nil)
		if err != nil || !bytes.Equal(removed, text) {
			t.Fatalf("%v\n%q\nnot\n%q", err, removed, text)
		}
	})
}

// TestGitUnicode: git asks us for a host in Unicode by both of its names, which are two to git.
func TestGitUnicode(t *testing.T) {
	testworld.Need(t, "git")
	home := t.TempDir()
	hosts := []Host{{Name: "xn--bcher-kva.example:8443"}, {Name: "git.acme.dev"}}
	text, err := gitAddHosts(nil, hosts)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "git-credential-clerk"), []byte("#!/bin/sh\nprintf 'username=clerk\\npassword=token\\n'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"xn--bcher-kva.example:8443": true, "bücher.example:8443": true, "git.acme.dev": true,
		"bücher.example": false, "bűcher.example:8443": false, "bucher.example:8443": false,
	} {
		cmd := exec.Command("git", "credential", "fill")
		cmd.Env = []string{"HOME=" + home, "PATH=" + home + string(os.PathListSeparator) + os.Getenv("PATH"), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1"}
		cmd.Stdin = strings.NewReader("protocol=https\nhost=" + host + "\n\n")
		if err := cmd.Run(); (err == nil) != want {
			t.Errorf("%s: %v; asked: want %t", host, err, want)
		}
	}
	if rest, err := gitRemoveHosts(text, hosts); err != nil || len(rest) > 0 {
		t.Errorf("%q is left, %v", rest, err)
	}
}

// TestGitLink: where git will not find us by name, it is given the path of the link, as a shell and git's own file have
// it; a value that no longer works is replaced, and unset removes every form.
func TestGitLink(t *testing.T) {
	testworld.Need(t, "git")
	const host = "git.acme.dev"
	section := func(helper string) string {
		return "[credential \"https://" + host + "\"]\n\thelper =\n\thelper = " + helper + "\n"
	}
	for _, row := range []struct {
		reason, folder string
		before         string // LINK stands for the path
		inPath         bool
		want           string // LINK stands for its value
	}{
		{"not in the PATH", "bin", "", false, section("LINK")},
		{"in the PATH", "bin", "", true, section("clerk")},
		{"a path with blanks and signs", "My Programs (x86); #1 'a' \"b\"", "", false, section("LINK")},
		{"a path with letters outside ASCII", "prögramme", "", false, section("LINK")},
		{"by name, which git does not find", "bin", section("clerk"), false, section("LINK")},
		{"by the path, which works", "bin", section("LINK"), true, section("LINK")},
		{"by another path, which works", "bin", section("OTHER"), false, section("OTHER")},
		{"by a path that is gone", "bin", section("/opt/Cellar/clerk/1.2/bin/git-credential-clerk"), false, section("LINK")},
		{"by a path that is gone, and the name is found", "bin", section("/opt/Cellar/clerk/1.2/bin/git-credential-clerk"), true, section("clerk")},
		{"by name, and other lines", "bin", "[user]\n\tname = Ada\n" + section("clerk"), false, "[user]\n\tname = Ada\n" + section("LINK")},
	} {
		t.Run(row.reason, func(t *testing.T) {
			home := t.TempDir()
			program := func(folder string) string {
				if err := os.MkdirAll(filepath.Join(home, folder), 0o700); err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(home, folder, "git-credential-clerk")
				if err := os.WriteFile(file, []byte("#!/bin/sh\nprintf 'username=clerk\\npassword=token\\n'\n"), 0o700); err != nil {
					t.Fatal(err)
				}
				return file
			}
			link, other := program(row.folder), program("other")
			fill := strings.NewReplacer("LINK", gitValue(gitCommand(link)), "OTHER", gitValue(gitCommand(other)))
			env := Env{
				Getenv: func(name string) string { return map[string]string{"HOME": home}[name] },
				LookPath: func(name string) (string, error) {
					if row.inPath && name == "git-credential-clerk" {
						name = link
					}
					if !filepath.IsAbs(name) {
						return "", exec.ErrNotFound
					}
					return exec.LookPath(name)
				},
				Link: func(string) string { return link },
			}
			file := filepath.Join(home, ".gitconfig")
			if err := os.WriteFile(file, []byte(fill.Replace(row.before)), 0o600); err != nil {
				t.Fatal(err)
			}
			tool, _ := Named("git")
			cfg, err := config.Parse("c.toml", []byte("[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\nhosts = [\""+host+"\"]\n"))
			if err != nil {
				t.Fatal(err)
			}
			change, err := tool.Setup(env, cfg, cfg.Hosts(), "")
			if err != nil || change.Missing != "" {
				t.Fatalf("%+v, %v", change, err)
			}
			text, err := change.Edits[0].Change([]byte(fill.Replace(row.before)))
			if err != nil || string(text) != fill.Replace(row.want) {
				t.Fatalf("got\n%s%v; want\n%s", text, err, fill.Replace(row.want))
			}
			if again, err := change.Edits[0].Change(text); err != nil || !bytes.Equal(again, text) {
				t.Errorf("the second time: %v\n%s", err, again)
			}
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			path := os.Getenv("PATH")
			if row.inPath {
				path = filepath.Dir(link) + ":" + path
			}
			cmd := exec.Command("git", "credential", "fill")
			cmd.Env = []string{"HOME=" + home, "PATH=" + path, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1"}
			cmd.Stdin = strings.NewReader("protocol=https\nhost=" + host + "\n\n")
			if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "password=token") {
				t.Errorf("git does not find it: %v\n%s", err, out)
			}
			if rest, err := change.Edits[0].Without(text); err != nil || bytes.Contains(rest, []byte("credential")) {
				t.Errorf("unset leaves %q, %v", rest, err)
			}
		})
	}
}
