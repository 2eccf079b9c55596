package toolconfig

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"clerk-credential-helper/internal/config"
)

func testHosts() []Host {
	return []Host{{Name: "npm.acme.dev", Profile: "acme"}, {Name: "registry.acme.dev:5000", Profile: "acme"}, {Name: "npm.beta.dev", Profile: "be-ta"}}
}

// npmFiles are shaped as people's are.
func npmFiles() []string {
	return []string{
		"", "\n", "\r\n", "registry=https://npm.example.org/\n", "registry=https://npm.example.org/", "save-exact=true\r\nfund=false\r\n", "save-exact=true\r\nfund=false",
		"# mine\n", "; mine\nprefix=${HOME}/.npm-packages\n", "//npm.example.org/:_authToken=npm_0123456789abcdef\n", "//npm.example.org/:_authToken=${NPM_TOKEN}",
		"@acme:registry=https://npm.acme.dev/\n", "@acme:registry = https://npm.acme.dev/npm/\nalways-auth = true\n", "//npm.pkg.github.com/:_authToken=ghp_x\n@octo:registry=https://npm.pkg.github.com\n",
		"email=ada@acme.dev\ninit-author-name=Ada Lovelace\ninit-license=\"MIT\"\n", "cafile=/etc/ssl/acme.pem\nstrict-ssl=true\n", "ca[]=\"-----BEGIN CERTIFICATE-----\\nx\\n-----END CERTIFICATE-----\"\nca[]=\"y\"\n",
		"proxy=http://proxy.acme.dev:3128/\nhttps-proxy=http://proxy.acme.dev:3128/\nnoproxy=.acme.dev\n", "audit = false\n\n\n", "\n\naudit = false\n", "   indented = 1\n\ttabbed=2\n",
		"//npm.acme.dev.evil.com/:_authToken=x\n", "//npm.acme.dev/:certfile=/a\n//npm.acme.dev/:keyfile=/b\n", "//npm.acme.dev/:email=ada@acme.dev\n//npm.acme.dev/:username=ada\n",
		"//npm.acme.dev/:tokenHelper=/home/ada/bin/clerk-npm-token\n", "//npm.acme.dev:8443/:_authToken=x\n", "# //npm.acme.dev/:_authToken=old\n", "key\nother =\n= value\n",
		"node-options=\"--max-old-space-size=4096\"\nscript-shell=C:\\\\Program Files\\\\git\\\\bin\\\\bash.exe\r\n", "[section]\nkey = 1\n", "a=1\n[section]\n//npm.acme.dev/:_authToken=theirs\n[other]\n", "\ufeffregistry=https://a/\n",
		"é=ü\n", "shamefully-hoist=true\nstore-dir=/mnt/pnpm\n", "//npm.acme.dev/:_authToken2=x\n//npm.acme.dev/x:y=z\n", "legacy-peer-deps=true # not a comment\n",
	}
}

func bazelFiles() []string {
	return []string{
		"", "\n", "\r\n", "# mine\n", "build --jobs=4\n", "build --jobs=4", "build --jobs=4\r\ntest --test_output=errors\r\n", "build --jobs=4\r\ntest --test_output=errors",
		"startup --host_jvm_args=-Xmx4g\n", "common --color=yes\n", "common:ci --color=no\nbuild:ci --keep_going\n", "import %workspace%/tools/ci.bazelrc\n", "try-import %workspace%/user.bazelrc\n", "try-import ~/.bazelrc.local\nimport /etc/acme.bazelrc\n",
		"build --remote_cache=grpcs://cache.acme.dev\nbuild --remote_header=x-key=secret\n", "build --define \\\n  foo=bar \\\n  --copt=-O2\n", "build --copt=\"-DNAME=\\\"a b\\\"\"\n", "build '--copt=-DA B' # why\n", "build --action_env=PATH\n\n\n",
		"   build   --jobs=4   \n\ttest --flaky_test_attempts=2\n", "common --credential_helper=*.github.com=/opt/gh-helper\n", "common --credential_helper=/opt/all-hosts\n", "build --credential_helper=cache.other.dev=%workspace%/tools/helper.sh\n",
		"common --credential_helper=sub.cache.acme.dev=other\n", "# common --credential_helper=cache.acme.dev=old\n", "common --experimental_credential_helper \\\n  x.dev=helper\n", "common --credential_helper_timeout=30s\ncommon --credential_helper_cache_duration=5m\n",
		"build --disk_cache=~/.cache/bazel-disk\nbuild --repository_cache=~/.cache/bazel-repo\n", "query --output=label_kind\nfetch --keep_going\n", "build:asan --strip=never\nbuild:asan --copt -fsanitize=address\n", "\ufeffbuild --jobs=1\n",
		"test --test_env=HOME='C:\\Users\\ada'\r\n", "build --copt=é\n", "#\\\nbuild --jobs=2\n",
	}
}

// npmEarlier is what an earlier release made of an .npmrc.
func npmEarlier(text []byte, hosts []Host) ([]byte, error) {
	_, section, err := parseNpm(text)
	if err != nil {
		return nil, err
	}
	var lacking []string
	for _, h := range hosts {
		if !strings.Contains(string(text), npmLine(h)) {
			lacking = append(lacking, npmLine(h))
		}
	}
	switch {
	case lacking == nil:
		return text, nil
	case section >= 0:
		end := lineEnd(text)
		return slices.Concat(text[:section], []byte(strings.Join(lacking, end)+end), text[section:]), nil
	}
	return AppendLines(text, lacking), nil
}

func TestHostToolsAddAndRemove(t *testing.T) {
	for name, files := range map[string][]string{"npm": npmFiles(), "bazel": bazelFiles()} {
		tool, ok := Named(name)
		if !ok || len(files) < 30 {
			t.Fatalf("%s: %v, %d files", name, ok, len(files))
		}
		hosts := testHosts()
		if name == "bazel" {
			hosts = []Host{{Name: "cache.acme.dev", Profile: "acme"}, {Name: "*.pkg.acme.dev", Profile: "acme"}}
		} else {
			tool.add = npmEarlier
		}
		for _, text := range files {
			added, err := tool.add([]byte(text), hosts)
			if err != nil {
				t.Errorf("%s: %q: %v", name, text, err)
				continue
			}
			for _, h := range hosts {
				line := npmLine(h)
				if name == "bazel" {
					line = bazelLine(h.Name)
				}
				if n := strings.Count(string(added), line); n != 1 {
					t.Errorf("%s: %q: %d lines for %s: %q", name, text, n, h.Name, added)
				}
			}
			if again, err := tool.add(added, hosts); err != nil || !bytes.Equal(again, added) {
				t.Errorf("%s: a second time changes it: %v\n%q\nnot\n%q", name, err, again, added)
			}
			for _, back := range [][]Host{hosts, nil} {
				if removed, err := tool.remove(added, back); err != nil || string(removed) != text {
					t.Errorf("%s: removed, it is not what it was: %v\n%q\nnot\n%q\nwith us:\n%q", name, err, removed, text, added)
				}
				if removed, err := tool.remove([]byte(text), back); err != nil || string(removed) != text {
					t.Errorf("%s: there was nothing of ours: %v\n%q\nnot\n%q", name, err, removed, text)
				}
			}
			// One profile's lines go, the other's stay.
			one, err := tool.remove(added, hosts[:1])
			if err != nil || len(one) >= len(added) || len(one) <= len(text) {
				t.Errorf("%s: one host of several: %v\n%q", name, err, one)
			}
		}
	}
}

func TestHostToolsRefuse(t *testing.T) {
	tests := []struct{ tool, text, want, reason string }{
		{"npm", "\xff\xfer\x00=\x001\x00", "not UTF-8", "PowerShell's UTF-16, which npm cannot read"},
		{"npm", "a=1\x00\n", "not UTF-8", "NUL"},
		{"npm", "a=1\rb=2\n", "line 1: it has a carriage return", "npm sees two lines where we see one"},
		{"bazel", "common --credential_helper=cache.acme.dev=other\n", `line 1: for cache.acme.dev it asks "other" already`, "Bazel would drop theirs"},
		{"bazel", "build \\\n  --credential_helper \\\n 'cache.acme.dev=/opt/x y'\n", `line 1: for cache.acme.dev it asks "/opt/x y" already`, "over several lines, and quoted"},
		{"bazel", "build --experimental_credential_helper=CACHE.acme.dev=other\n", `it asks "other"`, "the older name of the option"},
		{"bazel", "build --jobs=4 \\\n", "line 1: it ends with a backslash", "our line would become a part of it"},
		{"bazel", "build --jobs=4 \\", "line 1: it ends with a backslash", "and without a line end"},
		{"bazel", "\xff\xfeb\x00", "not UTF-8", "UTF-16"},
	}
	for _, tt := range tests {
		tool, _ := Named(tt.tool)
		hosts := testHosts()
		if tt.tool == "bazel" {
			hosts = []Host{{Name: "cache.acme.dev", Profile: "acme"}}
		}
		edit := tool.add
		if edit == nil {
			edit = tool.remove
		}
		if got, err := edit([]byte(tt.text), hosts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q: %v, not %q (%s)\n%s", tt.tool, tt.text, err, tt.want, tt.reason, got)
		}
	}
}

// TestHostToolsPresent is about files that something of ours is in already.
func TestHostToolsPresent(t *testing.T) {
	for _, tt := range []struct{ tool, text, reason string }{
		{"bazel", "common --credential_helper=npm.acme.dev=bazel-credential-clerk\n", "as written"},
		{"bazel", "build --credential_helper=npm.acme.dev=/home/ada/.local/bin/bazel-credential-clerk\n", "by hand, with a path"},
		{"bazel", "build --credential_helper=npm.acme.dev=other\ncommon --credential_helper=npm.acme.dev=bazel-credential-clerk", ""},
	} {
		tool, _ := Named(tt.tool)
		got, err := tool.add([]byte(tt.text), testHosts()[:1])
		if tt.reason == "" { // the first of two words is not ours: the user must decide
			if err == nil {
				t.Errorf("%s: %q: accepted", tt.tool, tt.text)
			}
		} else if err != nil || string(got) != tt.text {
			t.Errorf("%s: %s: %v\n%q", tt.tool, tt.reason, err, got)
		}
	}
}

// TestHostToolsLeave: a host that a tool cannot be set up for is left out, and named.
func TestHostToolsLeave(t *testing.T) {
	cfg, err := config.Parse("c.toml", []byte("[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\nhosts = [\"git.acme.dev\", \"*.pkg.acme.dev\", \"registry.acme.dev:5000\", \"127.0.0.1:8080\", \"10.0.0.5\", \"[::1]:8080\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"npm":   nil, // exec gives it the token, whatever the repository asks for
		"bazel": {"registry.acme.dev:5000", "127.0.0.1:8080", "10.0.0.5", "[::1]:8080"},
	} {
		tool, _ := Named(name)
		var left []string
		for _, h := range cfg.Profiles[0].Hosts {
			if why, remedy := tool.refuse(h); why != "" {
				left = append(left, h.String())
				if remedy == "" {
					t.Errorf("%s: %s: there is no remedy", name, h)
				}
			}
		}
		if !slices.Equal(left, want) {
			t.Errorf("%s leaves out %q, not %q", name, left, want)
		}
	}
}

// FuzzHostTools: whatever is in a file, what we add can be removed again, and nothing else is removed with it.
func FuzzHostTools(f *testing.F) {
	for _, text := range append(npmFiles(), bazelFiles()...) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(bytes.ToLower(text), []byte("clerk")) || bytes.HasSuffix(text, []byte("\r")) {
			t.Skip("what was ours already is removed too; a CR at the very end becomes part of a line end")
		}
		for _, name := range []string{"npm", "bazel"} {
			tool, _ := Named(name)
			if name == "npm" {
				tool.add = npmEarlier
			}
			hosts := []Host{{Name: "npm.acme.dev", Profile: "acme"}, {Name: "x.dev", Profile: "b"}}
			added, err := tool.add(text, hosts)
			if err != nil {
				continue
			}
			if again, err := tool.add(added, hosts); err != nil || !bytes.Equal(again, added) {
				t.Fatalf("%s: a second time: %v\n%q\nnot\n%q", tool.Name, err, again, added)
			}
			if removed, err := tool.remove(added, nil); err != nil || !bytes.Equal(removed, text) {
				t.Fatalf("%s: %v\n%q\nnot\n%q", tool.Name, err, removed, text)
			}
		}
	})
}

// TestNPMWritesNothing: setup takes the lines of earlier releases out, and adds none.
func TestNPMWritesNothing(t *testing.T) {
	tool, _ := Named("npm")
	cfg, err := config.Parse("c.toml", []byte("[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\nhosts = [\"npm.acme.dev\", \"*.pkg.acme.dev\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	env := Env{Getenv: func(name string) string { return map[string]string{"HOME": t.TempDir()}[name] }}
	change, err := tool.Setup(env, cfg, cfg.Hosts(), "")
	if err != nil || len(change.Edits) != 1 || change.LeftOut != nil || tool.Writes() {
		t.Fatalf("%v %+v", err, change)
	}
	for _, text := range npmFiles() {
		with, err := npmEarlier([]byte(text), testHosts())
		if err != nil {
			t.Fatal(err)
		}
		for _, before := range []string{text, string(with)} {
			if got, err := change.Edits[0].Change([]byte(before)); err != nil || string(got) != text {
				t.Errorf("%q: %v %q, not %q", before, err, got, text)
			}
		}
	}
	if words := strings.Join(change.After, "\n"); !strings.Contains(words, "  clerk-credential-helper exec --profile acme -- npm ci") || strings.Contains(words, "--env") {
		t.Error(words)
	}
}
