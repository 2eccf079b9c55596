package main

import (
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"
)

// TestWhoseToken: a token goes to the hosts of its own profile, from every source, on every wire, and wherever --profile
// stands: whose it is does not depend on which profile a tool's configuration names, which can be a repository's.
func TestWhoseToken(t *testing.T) {
	testworld.Long(t, "every source is tried on every wire")
	clerk := sandbox.New(sandbox.Options{Auto: true})
	server := httptest.NewServer(clerk)
	t.Cleanup(server.Close)
	clerk.SetIssuer(server.URL)
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	jwt := func(payload string) string { return part(`{"alg":"RS256"}`) + "." + part(payload) + ".c2ln" }
	const secret = "ak_acme_secret"
	people, machines := `client_id = "x"`, "machine = true"
	two := func(kind, issuer string) string {
		return fmt.Sprintf(`
[profiles.acme]
issuer = %q
%s
hosts = ["git.acme.dev"]
[profiles.rival]
issuer = %q
%s
hosts = ["git.rival.dev"]
`, server.URL, kind, issuer, kind)
	}
	const rival = "https://clerk.rival.dev"
	type of map[string]string
	for _, tt := range []struct {
		why, configuration string
		env                of
		file               string // of CLERK_HELPER_TOKEN_FILE
		session            bool   // acme's, kept from before
		acme, rival        bool   // who is answered
		says               string // why rival is not, where it asks by name
	}{
		{"a token with no name could be anyone's", two(people, rival), of{"CLERK_HELPER_TOKEN": secret}, "", false, false, false,
			"could be for any of the profiles acme, rival: name one in CLERK_HELPER_PROFILE, or set CLERK_HELPER_TOKEN_RIVAL"},
		{"nor in a file", two(people, rival), nil, secret, false, false, false, "could be for any of the profiles acme, rival"},
		{"nor one of one issuer: opaque ones tell of none", two(people, server.URL), of{"CLERK_HELPER_TOKEN": secret}, "", false, false, false, "could be for any"},
		{"a token of the profile that is named", two(people, rival), of{"CLERK_HELPER_TOKEN": secret, "CLERK_HELPER_PROFILE": "acme"}, "", false, true, false, "needs a sign-in"},
		{"a file's", two(people, rival), of{"CLERK_HELPER_PROFILE": "acme"}, secret, false, true, false, "needs a sign-in"},
		{"a token by its variable's name", two(people, rival), of{"CLERK_HELPER_TOKEN_ACME": secret}, "", false, true, false, "needs a sign-in"},
		{"a token by name, and one that could be anyone's", two(people, rival), of{"CLERK_HELPER_TOKEN_ACME": secret, "CLERK_HELPER_TOKEN": "ak_other"}, "", false, true, false, "could be for any"},
		{"a JWT of another issuer by name", two(people, rival), of{"CLERK_HELPER_TOKEN_RIVAL": jwt(`{"iss":"` + server.URL + `"}`)}, "", false, false, false, "was issued by"},
		{"a JWT that names two issuers", two(people, rival), of{"CLERK_HELPER_TOKEN_RIVAL": jwt(`{"iss":"` + server.URL + `","ISS":"` + rival + `"}`)}, "", false, false, false, "was issued by"},
		{"a JWT whose claims cannot be read", two(people, rival), of{"CLERK_HELPER_TOKEN_RIVAL": jwt(`{"iss":"` + rival + `","exp":"x"`)}, "", false, false, false, "was issued by"},
		{"a JWT whose issuer is a list", two(people, rival), of{"CLERK_HELPER_TOKEN_RIVAL": jwt(`{"iss":["` + rival + `"]}`)}, "", false, false, false, "was issued by"},
		{"a session", two(people, rival), nil, "", true, true, false, "needs a sign-in"},
		{"a session, and a token that could be anyone's", two(people, rival), of{"CLERK_HELPER_TOKEN": "ak_other"}, "", true, false, false, "could be for any"},

		{"a machine's key could be anyone's", two(machines, rival), of{"CLERK_MACHINE_SECRET_KEY": sandbox.MachineKey}, "", false, false, false,
			"CLERK_MACHINE_SECRET_KEY could be for any of the profiles acme, rival: set CLERK_MACHINE_SECRET_KEY_RIVAL"},
		{"a machine's key of the profile that is named", two(machines, rival), of{"CLERK_MACHINE_SECRET_KEY": sandbox.MachineKey, "CLERK_HELPER_PROFILE": "acme"}, "", false, true, false,
			"no machine secret key"},
		{"a machine's key by its variable's name", two(machines, rival), of{"CLERK_MACHINE_SECRET_KEY_ACME": sandbox.MachineKey}, "", false, true, false, "no machine secret key"},
		{"a machine's key under another's name mints for neither", two(machines, rival), of{"CLERK_MACHINE_SECRET_KEY_RIVAL": sandbox.MachineKey}, "", false, false, false, "was issued by"},
		{"opaque, under another's name: only its own", two(machines+"\nmachine_token = \"opaque\"", rival), of{"CLERK_MACHINE_SECRET_KEY_ACME": sandbox.MachineKey}, "", false, true, false, "no machine secret key"},
		{"opaque, with no name", two(machines+"\nmachine_token = \"opaque\"", rival), of{"CLERK_MACHINE_SECRET_KEY": sandbox.MachineKey}, "", false, false, false, "could be for any"},
		{"one issuer has one key", two(machines, server.URL), of{"CLERK_MACHINE_SECRET_KEY": sandbox.MachineKey}, "", false, true, true, ""},
		{"a machine beside people", strings.Replace(two(people, rival), people, machines, 1), of{"CLERK_MACHINE_SECRET_KEY": sandbox.MachineKey}, "", false, true, false, "needs a sign-in"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			dir := lonely(t, tt.configuration)
			t.Setenv("CLERK_API_URL", server.URL)
			if tt.session {
				status := run(&system{args: []string{"clerk-credential-helper", "login", "--with-token", "acme"}, stdin: strings.NewReader(secret + "\n"),
					stdout: &strings.Builder{}, stderr: &strings.Builder{}, getenv: os.Getenv})
				if status != exitOK {
					t.Skip("no token was kept")
				}
			}
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			if tt.file != "" {
				file := filepath.Join(dir, "token")
				write(t, file, tt.file+"\n")
				t.Setenv("CLERK_HELPER_TOKEN_FILE", file)
			}
			isToken := func(text string) bool {
				return strings.Contains(text, secret) || strings.Contains(text, "ak_other") || strings.Contains(text, "eyJ") || strings.Contains(text, "mt_")
			}
			for _, profile := range []string{"", "acme", "rival"} {
				for _, host := range []string{"git.acme.dev", "git.rival.dev", "evil.dev"} {
					for name, call := range asks("https://"+host+"/x", profile) {
						_, stdout, stderr := call.answers()
						gets := strings.Contains(name, "get") || strings.HasPrefix(name, "goauth") || strings.HasPrefix(name, "kube") ||
							strings.HasPrefix(name, "headers") || strings.HasPrefix(name, "curl-config") || strings.HasPrefix(name, "netrc") || strings.HasPrefix(name, "bearer") ||
							strings.HasPrefix(name, "pnpm") || strings.HasPrefix(name, "gcp")
						hosts := map[string]string{"acme": "git.acme.dev", "rival": "git.rival.dev"}
						// The profile that is meant, empty for none.
						meant := strings.TrimSuffix(strings.TrimPrefix(host, "git."), ".dev")
						switch {
						case strings.HasSuffix(name, ", no host"):
							meant = profile
						case meant == "evil", profile != "" && hosts[profile] != host:
							meant = ""
						}
						may := meant == "acme" && tt.acme || meant == "rival" && tt.rival
						if isToken(stdout) && !may {
							t.Errorf("--profile %q, %s, %s: a token that is not its\n%s", profile, host, name, stdout)
						}
						if isToken(stderr) {
							t.Errorf("--profile %q, %s, %s: on standard error\n%s", profile, host, name, stderr)
						}
						if profile == "" || !gets {
							continue
						}
						if may && !isToken(stdout) {
							t.Errorf("--profile %q, %s, %s: no token\n%s%s", profile, host, name, stdout, stderr)
						}
						if said := strings.ReplaceAll(stdout+stderr, `\"`, `"`); meant == "rival" && !may && !strings.Contains(said, tt.says) {
							t.Errorf("--profile %q, %s, %s: it does not say %q:\n%s", profile, host, name, tt.says, said)
						}
					}
				}
			}
			for _, target := range []string{"rival", "https://git.rival.dev"} {
				if status, stdout, _ := runHere("token", target); isToken(stdout) != tt.rival || (status == exitOK) != tt.rival {
					t.Errorf("token %s: status %d, %q", target, status, stdout)
				}
			}
		})
	}
}
