package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clerk-credential-helper/internal/testworld"
)

// toolAsks is what a tool sends for one address, in its own bytes.
type toolAsks struct {
	args  []string
	stdin string
	env   map[string]string
}

// asks lists how each tool asks for an address, by "WIRE VERB", with "--profile" wherever the tool or its user can put
// it. The address stands where the tool puts it, as it is.
func asks(address, profile string) map[string]toolAsks {
	bare, scheme := address, ""
	if before, after, ok := strings.Cut(address, "://"); ok {
		scheme, bare = before, after
	}
	host, _, _ := strings.Cut(bare, "/")
	object := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	const self = "clerk-credential-helper"
	git := "protocol=" + scheme + "\nhost=" + host + "\n"
	if scheme == "" {
		git = "host=" + host + "\n"
	}
	kept := git + "username=clerk\npassword=ak_kept\n"
	docker := object(map[string]string{"ServerURL": address, "Username": "ada", "Secret": "ak_kept"})
	cargo := func(kind string, args ...string) string {
		return object(map[string]any{"v": 1, "kind": kind, "operation": "read", "args": args, "token": "ak_kept",
			"registry": map[string]string{"index-url": "sparse+" + address}}) + "\n"
	}
	kube := map[string]string{"KUBERNETES_EXEC_INFO": object(map[string]any{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
		"spec": map[string]any{"interactive": true, "cluster": map[string]string{"server": address}}})}
	const unauthorized = "HTTP/1.1 401 Unauthorized\r\n\r\n"
	all := map[string]toolAsks{
		"git get":                   {[]string{"git-credential-clerk", "get"}, git, nil},
		"git get, by url":           {[]string{"git-credential-clerk", "get"}, "url=" + address + "\n", nil},
		"git store":                 {[]string{"git-credential-clerk", "store"}, kept, nil},
		"git erase":                 {[]string{"git-credential-clerk", "erase"}, kept, nil},
		"docker get":                {[]string{"docker-credential-clerk", "get"}, address, nil},
		"docker store":              {[]string{"docker-credential-clerk", "store"}, docker, nil},
		"docker erase":              {[]string{"docker-credential-clerk", "erase"}, address, nil},
		"cargo get":                 {[]string{"cargo-credential-clerk", "--cargo-plugin"}, cargo("get"), nil},
		"cargo login":               {[]string{"cargo-credential-clerk", "--cargo-plugin"}, cargo("login"), nil},
		"cargo logout":              {[]string{self, "cargo", "--cargo-plugin"}, cargo("logout"), nil},
		"terraform get":             {[]string{"terraform-credentials-clerk", "get", address}, "", nil},
		"terraform get, by host":    {[]string{"terraform-credentials-clerk", "get", host}, "", nil},
		"terraform store":           {[]string{"terraform-credentials-clerk", "store", address}, `{"token":"ak_kept"}`, nil},
		"terraform forget":          {[]string{self, "terraform", "forget", address}, "", nil},
		"bazel get":                 {[]string{"bazel-credential-clerk", "get"}, object(map[string]string{"uri": address}), nil},
		"keyring get":               {[]string{"keyring", "get", address, "clerk"}, "", nil},
		"keyring get, creds":        {[]string{"keyring", "get", address, "--mode", "creds"}, "", nil},
		"keyring get, JSON":         {[]string{"keyring", "--mode=creds", "--output=json", "get", address}, "", nil},
		"keyring get, by host":      {[]string{"keyring", "get", host, "clerk"}, "", nil},
		"keyring set":               {[]string{"keyring", "set", address, "clerk"}, "ak_kept\n", nil},
		"keyring del":               {[]string{"keyring", "del", address, "clerk"}, "", nil},
		"goauth":                    {[]string{self, "goauth", address}, unauthorized, nil},
		"kube":                      {[]string{self, "kube"}, "", kube},
		"headers":                   {[]string{self, "headers", address}, "", nil},
		"headers, of Claude Code":   {[]string{self, "headers"}, "", map[string]string{"CLAUDE_CODE_MCP_SERVER_URL": address}},
		"curl-config":               {[]string{self, "curl-config", address}, "", nil},
		"bearer":                    {[]string{self, "bearer", address}, "", nil},
		"netrc":                     {[]string{self, "netrc", address}, "", nil},
		"get by a script":           {[]string{self, "get", address}, "", nil},
		"get by a script, git":      {[]string{self, "get", "--protocol", "git"}, git, nil},
		"token by a script":         {[]string{self, "get", "--format", "token", address}, "", nil},
		"pnpm":                      {[]string{self, "pnpm", address}, "", nil},
		"gcp":                       {[]string{self, "gcp", address}, "", nil},
		"goauth, two addresses":     {[]string{self, "goauth", address, address}, unauthorized, nil},
		"terraform, two addresses":  {[]string{"terraform-credentials-clerk", address, "get", address}, "", nil},
		"git, an address as option": {[]string{"git-credential-clerk", address, "get"}, git, nil},
		"docker, an address":        {[]string{"docker-credential-clerk", "get", address}, address, nil},
		"cargo, an address":         {[]string{"cargo-credential-clerk", "--cargo-plugin"}, cargo("get", address), nil},
		"get, two addresses":        {[]string{self, "get", address, address}, "", nil},
		"get, an option":            {[]string{self, "get", "--" + address}, "", nil},
		"an unknown verb":           {[]string{"bazel-credential-clerk", address}, "", nil},
		"docker, an unknown verb":   {[]string{"docker-credential-clerk", address}, "", nil},
		"terraform, unknown verb":   {[]string{"terraform-credentials-clerk", address, "x"}, "", nil},
	}
	if profile == "" {
		return all
	}
	named := map[string]toolAsks{}
	for _, option := range [][]string{{"--profile", profile}, {"--profile=" + profile}} {
		at := " " + option[0]
		with := func(name string, args ...string) {
			of := all[name]
			named[name+at+" of "+strings.Join(args, " ")] = toolAsks{args, of.stdin, of.env}
		}
		for _, name := range []string{"git get", "git get, by url", "git store", "git erase"} {
			verb := all[name].args[1]
			with(name, slices.Concat([]string{"git-credential-clerk"}, option, []string{verb})...)
			with(name, slices.Concat([]string{"git-credential-clerk", verb}, option)...)
		}
		with("terraform get", slices.Concat([]string{"terraform-credentials-clerk"}, option, []string{"get", host})...)
		with("terraform get", slices.Concat([]string{self, "terraform", "get", host}, option)...)
		for _, word := range []string{"goauth", "headers", "curl-config", "bearer", "netrc"} {
			with(word, slices.Concat([]string{self, word}, option, []string{address})...)
			with(word, slices.Concat([]string{self, word, address}, option)...)
		}
		for _, word := range []string{"kube", "pnpm", "gcp", "headers", "curl-config", "bearer"} { // and without a host
			named[word+at+", no host"] = toolAsks{slices.Concat([]string{self, word}, option), "", nil}
		}
		with("kube", slices.Concat([]string{self, "kube"}, option)...)
		named["cargo"+at+" in a repository's file"] = toolAsks{all["cargo get"].args, cargo("get", option...), nil}
	}
	return named
}

// answers runs one exchange in this process.
func (a toolAsks) answers() (status int, stdout, stderr string) {
	var out, words bytes.Buffer
	getenv := func(name string) string {
		if value, ok := a.env[name]; ok {
			return value
		}
		return os.Getenv(name)
	}
	status = run(&system{args: a.args, stdin: strings.NewReader(a.stdin), stdout: &out, stderr: &words, getenv: getenv})
	return status, out.String(), words.String()
}

// lonely is an environment with this configuration and nothing else of ours, in which no user can be asked.
func lonely(t *testing.T, configuration string) (state string) {
	t.Helper()
	dir := t.TempDir()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "CLERK_") {
			t.Setenv(name, "")
		}
	}
	file := filepath.Join(dir, "config.toml")
	write(t, file, configuration)
	for name, value := range map[string]string{
		"HOME": dir, "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": filepath.Join(dir, "state"), "PATH": filepath.Join(dir, "bin"), "CI": "",
		"CLERK_HELPER_CONFIG": file, "CLERK_HELPER_STORE": "file", "CLERK_HELPER_INTERACTIVE": "never", "LOCALAPPDATA": filepath.Join(dir, "state"),
	} {
		t.Setenv(name, value)
	}
	return dir
}

const acmeAlone = `
[profiles.acme]
issuer = "https://clerk.acme.dev"
client_id = "x"
hosts = ["git.acme.dev", "127.0.0.1:8080", "localhost:8080"]
`

// TestWiresWantHTTPS: on every wire a token goes over https alone. What is no https gets none, and hears why; what has no
// scheme is https only where the tool's names never have one.
func TestWiresWantHTTPS(t *testing.T) {
	lonely(t, acmeAlone)
	t.Setenv("CLERK_HELPER_TOKEN_ACME", "ak_ours")
	// The tools whose names of a place have no scheme: their protocols go over https.
	schemeless := map[string]bool{"docker get": true, "terraform get": true, "terraform get, by host": true,
		"get by a script": true, "token by a script": true}
	given := map[string]bool{"git get": true, "git get, by url": true, "docker get": true, "cargo get": true, "terraform get, by host": true, "bazel get": true,
		"keyring get": true, "keyring get, creds": true, "keyring get, JSON": true, "goauth": true, "kube": true, "headers": true,
		"headers, of Claude Code": true, "curl-config": true, "bearer": true, "netrc": true, "get by a script": true, "get by a script, git": true, "token by a script": true}
	const none, says = false, true
	for _, tt := range []struct {
		why, address string
		answered     func(name string) bool
		says         bool // that https is needed, where a token is asked for
	}{
		{"https", "https://git.acme.dev/x", func(name string) bool { return given[name] }, none},
		{"https in capitals", "HTTPS://git.acme.dev/x", func(name string) bool { return given[name] && name != "goauth" }, none},
		{"http", "http://git.acme.dev/x", nil, says},
		{"http in capitals", "HTTP://git.acme.dev/x", nil, says},
		{"http with its port", "http://git.acme.dev:80/x", nil, says},
		{"http with https's port", "http://git.acme.dev:443/x", nil, says},
		{"another scheme", "ftp://git.acme.dev/x", nil, says},
		{"no scheme", "git.acme.dev", func(name string) bool { return schemeless[name] }, says},
		{"no scheme and a path", "git.acme.dev/x", func(name string) bool { return schemeless[name] && name != "terraform get" }, says},
		{"no scheme but its slashes", "//git.acme.dev/x", nil, none},
		{"a scheme without its slashes", "https:git.acme.dev/x", nil, none},
		{"a user", "https://clerk@git.acme.dev/x", func(name string) bool { return name == "git get, by url" || name == "token by a script" }, none},
		{"a user and a password", "https://bob:hunter2@git.acme.dev/x", nil, none},
		{"a user over http", "http://clerk@git.acme.dev/x", nil, none},
		{"a user without a scheme", "clerk@git.acme.dev", func(name string) bool { return name == "token by a script" }, none},
		{"loopback", "http://127.0.0.1:8080/x", func(name string) bool { return given[name] && name != "goauth" && name != "netrc" }, none},
		{"an address with a dot is asked of DNS", "http://127.0.0.1.:8080/x", nil, none},
		{"localhost with a dot too", "http://localhost.:8080/x", nil, none},
		{"grpc is http", "grpc://git.acme.dev/x", nil, says},
	} {
		for name, call := range asks(tt.address, "") {
			if strings.HasSuffix(name, "by host") && strings.Contains(tt.address, "://") {
				continue // the rows without a scheme are for them
			}
			want := tt.answered != nil && tt.answered(name)
			_, stdout, stderr := call.answers()
			if got := strings.Contains(stdout, "ak_ours"); got != want {
				t.Errorf("%s (%s), %s: answered is %v\n%s%s", tt.why, tt.address, name, got, stdout, stderr)
			}
			if strings.Contains(stderr, "ak_ours") {
				t.Errorf("%s, %s: the token is on standard error", tt.why, name)
			}
			asked := (given[name] || name == "keyring get, by host") && !want
			if strings.Contains(name, "git") && !strings.Contains(tt.address, "://") {
				asked = false // a request without a protocol is none (CVE-2020-11008)
			}
			if said := stdout + stderr; tt.says && asked && !strings.Contains(said, "https") {
				t.Errorf("%s (%s), %s: it does not say that https is needed:\n%s", tt.why, tt.address, name, said)
			} else if strings.Contains(said, "no profile") && tt.says && asked {
				t.Errorf("%s (%s), %s: the host is a profile's:\n%s", tt.why, tt.address, name, said)
			}
		}
	}
}

// TestPasswordsInAddresses: what an address has before its host reaches no stream, trace or file, on no wire, whatever
// becomes of the request; nor does it from a command of a user's.
func TestPasswordsInAddresses(t *testing.T) {
	// Every address has a piece of this password, also where it is cut in two.
	const password = "hunter2"
	addresses := []string{
		"https://bob:hunter2@git.acme.dev/x", "https://bob:hunter2@git.acme.dev", "bob:hunter2@git.acme.dev", "bob:hunter2@git.acme.dev/x",
		"http://bob:hunter2@git.acme.dev/x", "https://bob:hunter2@evil.dev/x", "bob:hunter2@evil.dev", "http://bob:hunter2@evil.dev:8080",
		"https://hunter2@git.acme.dev/x", "https://:hunter2@evil.dev/x", "https://clerk:hunter2@git.acme.dev/x",
		"https://bob:hunter2/@git.acme.dev/x", "https://bob:hunter2?@evil.dev/x", "https://bob:a@hunter2@git.acme.dev/x", "bob:hunter2#@git.acme.dev",
		"https://bob:hunter2%40git.acme.dev/x", "https://bob%3Ahunter2%40evil.dev/x", `https://bob:hunter2\@git.acme.dev/x`,
		"https://bob:hunter2@", "https://bob:hunter2@/x", "://bob:hunter2@git.acme.dev", "https:///bob:hunter2@git.acme.dev",
		"https://bob:hunter2@git.acme.dev:99999/x", "https://bob:hunter2@git.acme.dev\n", "https://bob:hunter2@git.acme.dev\x00", "bob:hunter2@git.acme.dev\xff",
		"ftp://bob:hunter2@git.acme.dev/x", "https://bob:hunter2@[::1/x", "https://bob:hunter2@gït.acme.dev/x", "https://bob:hunter2@git.acme.dev %zz",
		"https://bob:hunter2@" + strings.Repeat("a", 70<<10),
	}
	for _, tt := range []struct {
		outcome, configuration string
		env                    map[string]string
	}{
		{"no user has signed in", acmeAlone, nil},
		{"there is a token", acmeAlone, map[string]string{"CLERK_HELPER_TOKEN_ACME": "ak_ours"}},
		{"the token is not one", acmeAlone, map[string]string{"CLERK_HELPER_TOKEN_ACME": "sk_ours"}},
		{"no configuration", "", nil},
		{"a configuration with a mistake", "profiles = 1", nil},
		{"docker has a fallback", acmeAlone + "[docker]\nfallback = \"missing\"\n", nil},
		{"the issuer has one", strings.ReplaceAll(acmeAlone, "https://clerk", "https://bob:hunter2@clerk"), nil},
		{"a host has one", strings.ReplaceAll(acmeAlone, "git.acme", "bob:hunter2@git.acme"), nil},
		{"a variable has one", "", map[string]string{"CLERK_HELPER_ISSUER": "bob:hunter2@clerk.acme.dev"}},
		{"the Backend API has one", strings.ReplaceAll(acmeAlone, `client_id = "x"`, "machine = true"),
			map[string]string{"CLERK_API_URL": "http://bob:hunter2@api.acme.dev", "CLERK_MACHINE_SECRET_KEY": "ak_1"}},
		{"no keychain", acmeAlone, map[string]string{"CLERK_HELPER_STORE": "none"}},
	} {
		t.Run(tt.outcome, func(t *testing.T) {
			if tt.outcome != "no user has signed in" {
				testworld.Long(t, "each outcome takes a second")
			}
			dir := lonely(t, tt.configuration)
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			trace := filepath.Join(dir, "trace")
			for i, address := range addresses {
				if testing.Short() && i%5 > 1 {
					continue
				}
				t.Setenv("CLERK_HELPER_TRACE", []string{"1", trace}[i%2])
				calls := asks(address, "")
				for _, command := range []string{"token", "explain", "status", "logout", "login"} {
					calls[command] = toolAsks{args: []string{"clerk-credential-helper", command, address}}
					calls[command+", two addresses"] = toolAsks{args: []string{"clerk-credential-helper", command, address, address}}
				}
				calls["explain --json"] = toolAsks{args: []string{"clerk-credential-helper", "explain", "--json", address}}
				calls["setup --host"] = toolAsks{args: []string{"clerk-credential-helper", "setup", "git", "--dry-run", "--host", address}}
				calls["an option of that name"] = toolAsks{args: []string{"clerk-credential-helper", "status", "--" + address}}
				calls["a command of that name"] = toolAsks{args: []string{"clerk-credential-helper", address}}
				calls["a profile of that name"] = toolAsks{args: []string{"clerk-credential-helper", "pnpm", "--profile", address}}
				calls["last-error"] = toolAsks{args: []string{"clerk-credential-helper", "last-error"}}
				for name, call := range calls {
					_, stdout, stderr := call.answers()
					if strings.HasPrefix(name, "explain") && strings.HasPrefix(address, "https://hunter2@") {
						continue // it tells about users, and this one is the user
					}
					if strings.Contains(stderr, password) || strings.Contains(stdout, password) {
						t.Errorf("%.60q, %s:\n%.300s\n%.300s", address, name, stdout, stderr)
					}
				}
				if t.Failed() {
					break
				}
			}
			err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
				if err != nil || e.IsDir() || path == filepath.Join(dir, "config.toml") {
					return err
				}
				text, err := os.ReadFile(path)
				if i := strings.Index(string(text), password); i >= 0 {
					t.Errorf("%s: %q", path, text[max(0, i-100):min(len(text), i+100)])
				}
				return err
			})
			if text, err := os.ReadFile(trace); tt.configuration == acmeAlone && (err != nil || len(text) == 0) {
				t.Errorf("no trace was written, which proves nothing: %v", err)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
