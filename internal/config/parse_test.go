package config

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// profileText makes a profile of one line for each setting, so that errors are easy to place: the issuer is on line 2,
// client_id on line 3, hosts on line 4, more from line 5.
func profileText(lines ...string) string {
	return "[profiles.acme]\n" + strings.Join(append([]string{
		`issuer = "https://clerk.acme.dev"`, `client_id = "abc"`, `hosts = ["git.acme.dev"]`}, lines...), "\n") + "\n"
}

// pageText makes a profile without issuer and client, which pages have no use for. Its first line is line 2.
func pageText(lines ...string) string {
	return "[profiles.acme]\n" + strings.Join(append(lines, `hosts = ["git.acme.dev"]`), "\n") + "\n"
}

func defaults(name, source string) *Profile {
	return &Profile{
		Name: name, Issuer: "https://clerk.acme.dev", ClientID: "abc",
		Scopes: []string{"openid", "profile", "email", "offline_access"},
		Token:  "access", Username: "clerk", GitAuth: "auto", Interactive: "auto", MinTTL: 5 * time.Minute, Source: source,
	}
}

func hostNames(p *Profile) []string {
	var names []string
	for _, h := range p.Hosts {
		names = append(names, h.String())
	}
	return names
}

func TestParse(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	full := defaults("big-Profile_2", "c.toml:3")
	full.Scopes = []string{"openid", "offline_access"}
	full.Token, full.Username, full.GitAuth, full.Interactive = "id", "jürgen", "bearer", "never"
	full.DockerIdentityToken, full.MinTTL, full.CAFile = true, 90*time.Second, ca
	keyed := defaults("acme", "c.toml:1")
	longest := defaults(strings.Repeat("n", 64), "c.toml:1")
	day := defaults("acme", "c.toml:1")
	day.MinTTL = 24 * time.Hour
	zero := defaults("acme", "c.toml:1")
	zero.MinTTL = 0

	machine := defaults("ci", "c.toml:1")
	machine.ClientID, machine.IsMachine, machine.MachineToken = "", true, "opaque"

	companion := defaults("acme", "c.toml:1")
	companion.Issuer, companion.ClientID, companion.Companion, companion.Scopes, companion.CI = "https://app.acme.dev:8443", "clerk-credential-helper", true, nil, "auto"
	pinned := *companion
	pinned.Instance = "https://clerk.acme.dev"
	legacy := defaults("acme", "c.toml:1")
	legacy.ClientID, legacy.LegacyPage, legacy.Scopes = "https://app.acme.dev/cli-auth", "https://app.acme.dev/cli-auth", nil
	slashed := *legacy
	slashed.ClientID += "/"
	slashed.LegacyPage += "/"

	for _, tt := range []struct {
		why, in string
		want    []*Profile
		hosts   []string // of the first profile
	}{
		{"a companion page", pageText(`companion = "https://App.acme.dev:8443/"`), []*Profile{companion}, []string{"git.acme.dev"}},
		{"a companion page of a named instance", pageText(`companion = "https://app.acme.dev:8443"`, `issuer = "https://clerk.acme.dev"`), []*Profile{&pinned}, []string{"git.acme.dev"}},
		{"the same in the other order, by its key", pageText(`publishable_key = "pk_live_Y2xlcmsuYWNtZS5kZXYk"`, `companion = "https://app.acme.dev:8443"`), []*Profile{&pinned}, []string{"git.acme.dev"}},
		{"an original page", pageText(`issuer = "https://clerk.acme.dev"`, `legacy_page = "https://APP.acme.dev:443/cli-auth"`), []*Profile{legacy}, []string{"git.acme.dev"}},
		{"an original page whose path ends in a slash", pageText(`issuer = "https://clerk.acme.dev"`, `legacy_page = "https://app.acme.dev/cli-auth/"`), []*Profile{&slashed}, []string{"git.acme.dev"}},
		{"an empty file", "", nil, nil},
		{"only comments", "# nothing yet\n\n", nil, nil},
		{"an empty table of profiles", "[profiles]\n", nil, nil},
		{"the least", profileText(), []*Profile{defaults("acme", "c.toml:1")}, []string{"git.acme.dev"}},
		{"a machine", "[profiles.ci]\nissuer = \"https://clerk.acme.dev\"\nmachine = true\nmachine_token = \"opaque\"\nhosts = [\"git.acme.dev\"]\n", []*Profile{machine}, []string{"git.acme.dev"}},
		{"the most", "\n# ours\n[profiles.big-Profile_2]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"abc\"\nhosts = [\n  \"Git.Acme.Dev\", # git\n  \"*.pkg.acme.dev:8443\",\n]\n" +
			"scopes = [\"openid\", \"offline_access\"]\ntoken = \"id\"\nusername = \"jürgen\"\ngit_auth = \"bearer\"\ndocker_identity_token = true\ninteractive = \"never\"\nmin_ttl = \"1m30s\"\nca_file = '" + ca + "'\n",
			[]*Profile{full}, []string{"git.acme.dev", "*.pkg.acme.dev:8443"}},
		{"the file's order, not the alphabet's", strings.ReplaceAll(profileText(), "acme]", "zeta]") + profileText(),
			[]*Profile{defaults("zeta", "c.toml:1"), defaults("acme", "c.toml:5")}, []string{"git.acme.dev"}},
		{"Windows' line ends and Notepad's mark", "\ufeff" + strings.ReplaceAll(profileText(), "\n", "\r\n"),
			[]*Profile{defaults("acme", "c.toml:1")}, []string{"git.acme.dev"}},
		{"dotted keys", "profiles.acme.issuer = \"https://clerk.acme.dev\"\nprofiles.acme.client_id = \"abc\"\nprofiles.acme.hosts = [\"h\"]\n",
			[]*Profile{defaults("acme", "c.toml:1")}, []string{"h"}},
		{"an inline table", `profiles = {acme = {issuer = "https://clerk.acme.dev", client_id = "abc", hosts = ["h"]}}`,
			[]*Profile{defaults("acme", "c.toml:1")}, []string{"h"}},
		{"keys below [profiles]", "[profiles]\nacme.issuer = \"https://clerk.acme.dev\"\nacme.client_id = \"abc\"\nacme.hosts = [\"h\"]\n",
			[]*Profile{defaults("acme", "c.toml:2")}, []string{"h"}},
		{"a quoted name", "[profiles.\"acme\"]\nissuer = 'https://clerk.acme.dev'\nclient_id = 'abc'\nhosts = ['h']\n",
			[]*Profile{defaults("acme", "c.toml:1")}, []string{"h"}},
		{"a publishable key", "[profiles.acme]\npublishable_key = \"pk_test_" + base64.StdEncoding.EncodeToString([]byte("clerk.acme.dev$")) + "\"\nclient_id = \"abc\"\nhosts = [\"h\"]\n",
			[]*Profile{keyed}, []string{"h"}},
		{"a name of 64 characters", strings.Replace(profileText(), "acme", strings.Repeat("n", 64), 1), []*Profile{longest}, []string{"git.acme.dev"}},
		{"the longest min_ttl", profileText(`min_ttl = "24h"`), []*Profile{day}, []string{"git.acme.dev"}},
		{"the shortest min_ttl", profileText(`min_ttl = "0"`), []*Profile{zero}, []string{"git.acme.dev"}},
	} {
		c, err := Parse("c.toml", []byte(tt.in))
		if err != nil {
			t.Errorf("%s: %v", tt.why, err)
			continue
		}
		if len(tt.want) > 0 && !slices.Equal(hostNames(c.Profiles[0]), tt.hosts) {
			t.Errorf("%s: got hosts %q; want %q", tt.why, hostNames(c.Profiles[0]), tt.hosts)
		}
		for i, p := range c.Profiles {
			p.Hosts = nil
			if i < len(tt.want) && !reflect.DeepEqual(p, tt.want[i]) {
				t.Errorf("%s: got %+v; want %+v", tt.why, p, tt.want[i])
			}
		}
		if len(c.Profiles) != len(tt.want) {
			t.Errorf("%s: got %d profiles; want %d", tt.why, len(c.Profiles), len(tt.want))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const (
		issuerMissing = `profile "acme": issuer is missing: set it to the Frontend API URL of your Clerk application, or set publishable_key`
		wantHosts     = `hosts: want a list of hosts, such as ["git.acme.dev"]`
		wantScopes    = `scopes: want a list of scopes, such as ["openid", "offline_access"]`
		notCA         = `is not an absolute path: write the whole path of a PEM file`
	)
	for _, tt := range []struct{ why, in, want string }{
		{"no TOML", "profiles acme\n", "c.toml:1:10: toml: expected '=' after key"},
		{"an unclosed text", "[profiles.acme]\nissuer = \"https", "c.toml:2:15: toml: unterminated basic string"},
		{"a key twice", profileText(`client_id = "x"`), "c.toml:5:1: toml: key client_id is already defined"},
		{"a profile twice", profileText() + "[profiles.acme]\n", "c.toml:5:2: toml: table acme already exists"},
		{"not UTF-8", "[profiles.acme]\nissuer = \"\xff\"\n", "c.toml:2:11: toml: invalid UTF-8 character in basic string"},
		{"UTF-16 of PowerShell", "\xff\xfe[\x00p\x00", "c.toml: the file is UTF-16, as Windows PowerShell writes it: save it as UTF-8"},
		{"UTF-16, the other way round", "\xfe\xff\x00[\x00p", "c.toml: the file is UTF-16, as Windows PowerShell writes it: save it as UTF-8"},
		{"zeros, as a power cut leaves them", strings.Repeat("\x00", 900), "c.toml: the file is nothing but zeros, as a full disk or a power cut leaves it: write it again"},
		{"UTF-16 without a mark", "[\x00p\x00", "c.toml: the file is UTF-16, as Windows PowerShell writes it: save it as UTF-8"},
		{"NUL", profileText("username = \"a\x00\""), "c.toml:5:14: toml: basic strings cannot have control characters"},
		{"very deep", "x = " + strings.Repeat("[", 100000), "c.toml:1:10005: toml: arrays and inline tables are nested more than the maximum of 10000 levels deep"},
		{"too large", strings.Repeat("#", 1<<20+1), "c.toml: the file is larger than 1 MiB: is it the right one?"},

		{"an unknown table", "[servers.a]\n", `c.toml:1:2: unknown key "servers"`},
		{"an unknown table, close", "[profile.acme]\n", `c.toml:1:2: unknown key "profile": did you mean "profiles"?`},
		{"an unknown list of tables", "[[profile]]\n", `c.toml:1:3: unknown key "profile": did you mean "profiles"?`},
		{"an unknown key of docker", "[docker]\nfallbak = \"x\"\n", `c.toml:2:1: unknown key "fallbak" in [docker]: did you mean "fallback"?`},
		{"a table below docker", "[docker.fallback]\n", `c.toml:1:9: unknown table "fallback" in [docker]`},
		{"a fallback by a relative path", "[docker]\nfallback = \"./helper\"\n", `c.toml:2:12: fallback: "./helper" is neither a helper's name, such as "osxkeychain", nor its whole path`},
		{"a fallback with arguments", "[docker]\nfallback = \"pass --x\"\n", `c.toml:2:12: fallback: "pass --x" is neither a helper's name, such as "osxkeychain", nor its whole path`},
		{"an empty fallback", "[docker]\nfallback = \"\"\n", `c.toml:2:12: fallback: "" is neither a helper's name, such as "osxkeychain", nor its whole path`},
		{"a fallback that is no text", "[docker]\nfallback = true\n", `c.toml:2:1: fallback: want text in quotes`},
		{"an unknown key at the top", "debug = true\n", `c.toml:1:1: unknown key "debug"`},
		{"a setting at the top", "issuer = \"https://clerk.acme.dev\"\n", "c.toml:1:1: issuer stands outside of a profile: write it below [profiles.NAME]"},
		{"a setting below [profiles]", "[profiles]\nissuer = \"https://clerk.acme.dev\"\n", `c.toml:2:1: "issuer" is not a profile: write settings below [profiles.NAME]`},
		{"profiles as text", "profiles = \"acme\"\n", `c.toml:1:1: "profiles" is not a profile: write settings below [profiles.NAME]`},
		{"profiles as a list", "[[profiles]]\n", "c.toml:1:3: a profile is written in single brackets: [profiles.NAME]"},
		{"a profile as a list", "[[profiles.acme]]\n", "c.toml:1:3: a profile is written in single brackets: [profiles.NAME]"},
		{"a table in a profile", profileText() + "[profiles.acme.git]\n", `c.toml:5:16: unknown table "git" in profile "acme"`},
		{"an unknown key", profileText(`colour = "red"`), `c.toml:5:1: unknown key "colour"`},
		{"an unknown key with an unknown value", profileText(`x = 1979-05-27`), `c.toml:5:1: unknown key "x"`},
		{"a misspelt key", profileText(`  scope = ["openid"]`), `c.toml:5:3: unknown key "scope": did you mean "scopes"?`},
		{"a key with hyphens", profileText(`git-auth = "basic"`), `c.toml:5:1: unknown key "git-auth": did you mean "git_auth"?`},
		{"a key in capitals", profileText(`Username = "x"`), `c.toml:5:1: unknown key "Username": did you mean "username"?`},
		{"two letters exchanged", profileText(`tokne = "id"`), `c.toml:5:1: unknown key "tokne": did you mean "token"?`},
		{"a companion page with a client", profileText(`companion = "https://app.acme.dev"`), `c.toml:1:11: profile "acme": client_id has no meaning with companion: remove it`},
		{"a companion page over plain http", pageText(`companion = "http://app.acme.dev"`), `c.toml:2:13: companion: "http://app.acme.dev" is not safe: write https (http is for loopback only)`},
		{"a companion page with a query", pageText(`companion = "https://app.acme.dev?x=1"`), `c.toml:2:13: companion: "https://app.acme.dev?x=1" has a query or a fragment: write it as https://app.acme.dev`},
		{"a companion page below a path", pageText(`companion = "https://app.acme.dev/base"`), `c.toml:2:13: companion: "https://app.acme.dev/base" has a path: a companion page has an app of its own, write only the origin, as https://app.acme.dev`},
		{"a companion page that is a flag", pageText(`companion = true`), `c.toml:2:1: companion: want text in quotes`},
		{"a companion page with scopes", pageText(`companion = "https://app.acme.dev"`, `scopes = ["openid"]`), `c.toml:1:11: profile "acme": scopes has no meaning with companion: remove it`},
		{"a companion page and ID tokens", pageText(`companion = "https://app.acme.dev"`, `token = "id"`), `c.toml:1:11: profile "acme": token has no meaning with companion: remove it`},
		{"a companion page of a machine", pageText(`companion = "https://app.acme.dev"`, `machine = true`), `c.toml:1:11: profile "acme": machine has no meaning with companion: remove it`},
		{"both kinds of page", pageText(`issuer = "https://clerk.acme.dev"`, `companion = "https://app.acme.dev"`, `legacy_page = "https://app.acme.dev/cli-auth"`), `c.toml:1:11: profile "acme": both companion and legacy_page are set: keep one`},
		{"a companion page without hosts", "[profiles.acme]\ncompanion = \"https://app.acme.dev\"\n", `c.toml:1:11: profile "acme": hosts is missing: name the hosts that may have the token`},
		{"an original page without an issuer", pageText(`legacy_page = "https://app.acme.dev/cli-auth"`), `c.toml:1:11: profile "acme": legacy_page needs issuer or publishable_key as well: they tell whose tokens the page may hand out`},
		{"an original page with a client", profileText(`legacy_page = "https://app.acme.dev/cli-auth"`), `c.toml:1:11: profile "acme": client_id has no meaning with legacy_page: remove it`},
		{"an original page with a query", pageText(`legacy_page = "https://app.acme.dev/cli-auth?port=1"`), `c.toml:2:15: legacy_page: "https://app.acme.dev/cli-auth?port=1" has a query or a fragment: write it as https://app.acme.dev/cli-auth`},
		{"an original page over plain http", pageText(`legacy_page = "http://app.acme.dev/cli-auth"`), `c.toml:2:15: legacy_page: "http://app.acme.dev/cli-auth" is not safe: write https (http is for loopback only)`},
		{"an original page with a user name", pageText(`legacy_page = "https://me@app.acme.dev/cli-auth"`), `c.toml:2:15: legacy_page: there is a user name in the address: write it as https://app.acme.dev/cli-auth`},
		{"a machine with a client", profileText(`machine = true`), `c.toml:1:11: profile "acme": both machine and client_id are set: a machine signs in with a secret key of its own, remove client_id`},
		{"a machine that is text", profileText(`machine = "true"`), `c.toml:5:11: machine: want true or false, without quotes`},
		{"a machine's token without a machine", profileText(`machine_token = "jwt"`), `c.toml:1:11: profile "acme": machine_token has a meaning only with machine = true`},
		{"a form of token that is none", profileText(`machine_token = "JWT"`), `c.toml:5:17: machine_token: want one of "jwt", "opaque"`},
		{"a client secret has no place", profileText(`client_secret = "hunter2"`), `c.toml:5:1: unknown key "client_secret"`},
		{"a key below a key", profileText(`token.kind = "id"`), `c.toml:5:1: unknown key "token.kind"`},
		{"a hostile key", profileText(`"\u001b[2J" = 1`), `c.toml:5:1: unknown key "\x1b[2J"`},

		{"a name with a space", `[profiles."a b"]`, `c.toml:1:11: the profile name "a b" is not usable: take 1 to 64 letters, digits, - and _`},
		{"an empty name", `[profiles.""]`, `c.toml:1:11: the profile name "" is not usable: take 1 to 64 letters, digits, - and _`},
		{"a name outside ASCII", `[profiles."ä"]`, `c.toml:1:11: the profile name "ä" is not usable: take 1 to 64 letters, digits, - and _`},
		{"a name of 65 characters", "[profiles." + strings.Repeat("n", 65) + "]", `c.toml:1:11: the profile name "` + strings.Repeat("n", 65) + `" is not usable: take 1 to 64 letters, digits, - and _`},
		{"a name that makes CLERK_HELPER_TOKEN_FILE", "[profiles.File]", `c.toml:1:11: the profile name "File" is not usable: CLERK_HELPER_TOKEN_FILE has a meaning of its own, take another name`},

		{"an empty profile", "\n [profiles.acme]\n", "c.toml:2:12: " + issuerMissing},
		{"no issuer", "[profiles.acme]\nclient_id = \"x\"\nhosts = [\"h\"]\n", "c.toml:1:11: " + issuerMissing},
		{"an issuer and a key", profileText(`publishable_key = "pk_test_Y2xlcmsuYWNtZS5kZXYk"`), `c.toml:1:11: profile "acme": both issuer and publishable_key are set: keep one`},
		{"no client_id", "[profiles.acme]\nissuer = \"https://c.d\"\nhosts = [\"h\"]\n", `c.toml:1:11: profile "acme": client_id is missing: copy it from the OAuth application in Clerk's dashboard`},
		{"no hosts", "[profiles.acme]\nissuer = \"https://c.d\"\nclient_id = \"x\"\n", `c.toml:1:11: profile "acme": hosts is missing: name the hosts that may have the token`},
		{"an ID token without openid", profileText(`token = "id"`, `scopes = ["email"]`), `c.toml:1:11: profile "acme": token is "id" but the scopes lack "openid": add it`},

		{"issuer as a number", "[profiles.acme]\nissuer = 1\n", "c.toml:2:1: issuer: want text in quotes"},
		{"client_id as a list", "[profiles.acme]\nclient_id = [\"x\"]\n", "c.toml:2:1: client_id: want text in quotes"},
		{"an empty client_id", "[profiles.acme]\nclient_id = \"\"\n", `c.toml:2:13: client_id: "" is not a client ID: copy it from the OAuth application in Clerk's dashboard`},
		{"a client_id with a space", "[profiles.acme]\nclient_id = \"a b\"\n", `c.toml:2:13: client_id: "a b" is not a client ID: copy it from the OAuth application in Clerk's dashboard`},
		{"a variable that was not replaced as client_id", "[profiles.acme]\nclient_id = \"${CLIENT_ID}\"\n", `c.toml:2:13: client_id: "${CLIENT_ID}" is not a client ID: copy it from the OAuth application in Clerk's dashboard`},
		{"a client_id in two kinds of quotes", "[profiles.acme]\nclient_id = \"'abc'\"\n", `c.toml:2:13: client_id: "'abc'" is not a client ID: copy it from the OAuth application in Clerk's dashboard`},
		{"a secret key as client_id", "[profiles.acme]\nclient_id = \"sk_live_hunter2\"\n", `c.toml:2:13: client_id: this is a secret key, exposed to all who can read this file: replace it in Clerk's dashboard, and write the OAuth application's client ID`},

		{"hosts as text", "[profiles.acme]\nhosts = \"git.acme.dev\"\n", "c.toml:2:9: " + wantHosts},
		{"no host in hosts", "[profiles.acme]\nhosts = []\n", "c.toml:2:1: " + wantHosts},
		{"a number in hosts", "[profiles.acme]\nhosts = [\"a\", 1]\n", "c.toml:2:1: " + wantHosts},
		{"a list in hosts", "[profiles.acme]\nhosts = [[\"a\"]]\n", "c.toml:2:1: " + wantHosts},
		{"a table for hosts", "[profiles.acme]\nhosts = {a = 1}\n", "c.toml:2:1: " + wantHosts},
		{"a bad host on its own line", "[profiles.acme]\nhosts = [\n  \"git.acme.dev\",\n  \"*.dev\",\n]\n", `c.toml:4:3: hosts: "*.dev" is too wide: a wildcard needs a name of two labels at least after it, such as "*.pkg.acme.dev"`},
		{"a URL in hosts", "[profiles.acme]\nhosts = [\"https://git.acme.dev\"]\n", `c.toml:2:10: hosts: "https://git.acme.dev" is a URL: write only the host and, if it is not 443, the port`},

		{"scopes as text", profileText(`scopes = "openid email"`), "c.toml:5:10: " + wantScopes},
		{"no scopes", profileText(`scopes = []`), "c.toml:5:1: " + wantScopes},
		{"two scopes in one", profileText(`scopes = ["openid email"]`), `c.toml:5:11: scopes: "openid email" is not a scope: write one scope in each pair of quotes`},
		{"an empty scope", profileText(`scopes = [""]`), `c.toml:5:11: scopes: "" is not a scope: write one scope in each pair of quotes`},
		{"a quote in a scope", profileText(`scopes = ['a"b']`), `c.toml:5:11: scopes: "a\"b" is not a scope: write one scope in each pair of quotes`},
		{"a scope twice", profileText(`scopes = ["openid", "openid"]`), `c.toml:5:21: scopes: "openid" is named twice: remove one`},

		{"another token", profileText(`token = "refresh"`), `c.toml:5:9: token: want one of "access", "id"`},
		{"another git_auth", profileText(`git_auth = "Basic"`), `c.toml:5:12: git_auth: want one of "auto", "basic", "bearer"`},
		{"git_auth as a flag", profileText(`git_auth = true`), `c.toml:5:1: git_auth: want one of "auto", "basic", "bearer"`},
		{"another interactive", profileText(`interactive = "yes"`), `c.toml:5:15: interactive: want one of "auto", "always", "never"`},
		{"a flag as text", profileText(`docker_identity_token = "true"`), "c.toml:5:25: docker_identity_token: want true or false, without quotes"},
		{"an empty user name", profileText(`username = ""`), `c.toml:5:12: username: "" is not a user name: write one without colons and control characters`},
		{"a colon in the user name", profileText(`username = "a:b"`), `c.toml:5:12: username: "a:b" is not a user name: write one without colons and control characters`},
		{"LF in the user name", profileText(`username = "a\nb"`), `c.toml:5:12: username: "a\nb" is not a user name: write one without colons and control characters`},
		{"a C1 control in the user name", profileText(`username = "a\u009b"`), `c.toml:5:12: username: "a\u009b" is not a user name: write one without colons and control characters`},
		{"docker's mark as user name", profileText(`username = "<token>"`), `c.toml:5:12: username: "<token>" is not a user name: write docker_identity_token = true`},
		{"min_ttl without a unit", profileText(`min_ttl = "5"`), `c.toml:5:11: min_ttl: "5" is not a time from "0s" to "24h": write it as "5m"`},
		{"min_ttl as a number", profileText(`min_ttl = 300`), "c.toml:5:1: min_ttl: want text in quotes"},
		{"a negative min_ttl", profileText(`min_ttl = "-1s"`), `c.toml:5:11: min_ttl: "-1s" is not a time from "0s" to "24h": write it as "5m"`},
		{"a min_ttl above a day", profileText(`min_ttl = "24h1ns"`), `c.toml:5:11: min_ttl: "24h1ns" is not a time from "0s" to "24h": write it as "5m"`},
		{"a ca_file in the caller's folder", profileText(`ca_file = "ca.pem"`), `c.toml:5:11: ca_file: "ca.pem" ` + notCA},
		{"an empty ca_file", profileText(`ca_file = ""`), `c.toml:5:11: ca_file: "" ` + notCA},
		{"NUL in ca_file", profileText(`ca_file = "/etc/ca\u0000.pem"`), `c.toml:5:11: ca_file: "/etc/ca\x00.pem" ` + notCA},
		{"the mark counts for no column", "\ufeffx = 1", `c.toml:1:1: unknown key "x"`},
		{"Windows' line ends count once", "\r\n\r\nx = 1", `c.toml:3:1: unknown key "x"`},
	} {
		c, err := Parse("c.toml", []byte(tt.in))
		if c != nil || err == nil || err.Error() != tt.want {
			t.Errorf("%s:\n got %v\nwant %s", tt.why, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a secret: %v", tt.why, err)
		}
	}
}

func TestIssuer(t *testing.T) {
	for in, want := range map[string]string{
		"https://clerk.acme.dev":              "https://clerk.acme.dev",
		"https://clerk.acme.dev/":             "https://clerk.acme.dev",
		"https://clerk.acme.dev///":           "https://clerk.acme.dev",
		"HTTPS://Clerk.ACME.dev":              "https://clerk.acme.dev",
		"https://clerk.acme.dev:443":          "https://clerk.acme.dev",
		"https://clerk.acme.dev:8443":         "https://clerk.acme.dev:8443",
		"https://app.acme.dev/__clerk":        "https://app.acme.dev/__clerk",
		"https://app.acme.dev/A/b/":           "https://app.acme.dev/A/b",
		"http://localhost":                    "http://localhost",
		"http://localhost:80/":                "http://localhost",
		"http://127.0.0.1:4000":               "http://127.0.0.1:4000",
		"http://[0::1]:4000/x":                "http://[::1]:4000/x",
		"https://a-b-1234.clerk.accounts.dev": "https://a-b-1234.clerk.accounts.dev",
	} {
		if got, err := parseIssuer(in); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "clerk.acme.dev", "//clerk.acme.dev", "https:clerk.acme.dev", "https://", "https:///x", "https://:443", "ftp://clerk.acme.dev",
		"javascript:alert(1)", "file:///etc/passwd", " https://clerk.acme.dev", "https://clerk.acme.dev ", "https://clerk acme.dev",
		"http://clerk.acme.dev", "http://10.0.0.1", "http://localhost.evil.com", "http://127.0.0.1.evil.com", "http://127.1", "http://0.0.0.0",
		"http://a.localhost", "http://[::ffff:127.0.0.1]",
		"http://localhost.", "http://localhost.:4000", "http://127.0.0.1.", "http://127.0.0.1.:4000", "https://127.0.0.1.",
		"https://user@clerk.acme.dev", "https://user:pw@clerk.acme.dev", "https://@clerk.acme.dev", "https://clerk.acme.dev@evil.com",
		"https://clerk.acme.dev?x=1", "https://clerk.acme.dev?", "https://clerk.acme.dev#", "https://clerk.acme.dev/#x", "https://clerk.acme.dev/x?",
		"https://clerk.acme.dev:", "https://clerk.acme.dev:0", "https://clerk.acme.dev:0443", "https://clerk.acme.dev:65536", "https://clerk.acme.dev:x",
		"https://clerk.acme.dev/../x", "https://clerk.acme.dev/./x", "https://clerk.acme.dev//x", "https://clerk.acme.dev/a%2fb", "https://clerk.acme.dev/a b",
		`https://clerk.acme.dev\x`, `https://clerk.acme.dev/\x`, "https://clerk.acme.dev/ä", "https://clerk.äcme.dev", "https://clerk%2eacme.dev",
		"https://clerk.acme.dev\n", "https://clerk.acme.dev/\r", "https://clerk.acme.dev\x00", "https://[::1%25lo]", "https://2130706433",
	} {
		if got, err := parseIssuer(in); err == nil {
			t.Errorf("%q was accepted as %q", in, got)
		}
	}
}

func TestPublishableKey(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for in, want := range map[string]string{
		"pk_live_" + encode("clerk.acme.dev$"):                                   "https://clerk.acme.dev",
		"pk_test_" + encode("quick-fox-12.clerk.accounts.dev$"):                  "https://quick-fox-12.clerk.accounts.dev",
		"pk_test_" + strings.TrimRight(encode("clerk.acme1.dev$"), "="):          "https://clerk.acme1.dev",
		"pk_test_" + strings.TrimRight(encode("clerk.acme12.dev$"), "="):         "https://clerk.acme12.dev",
		"pk_test_" + strings.TrimRight(encode("clerk.acme12.dev$"), "=") + "===": "https://clerk.acme12.dev",
		"pk_live_" + encode("Clerk.Acme.dev$"):                                   "https://clerk.acme.dev",
	} {
		if got, err := parsePublishableKey(in); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "pk_", "pk_test_", "pk_live_", "pk_prod_" + encode("clerk.acme.dev$"), "PK_TEST_" + encode("clerk.acme.dev$"),
		encode("clerk.acme.dev$"), "pk_test_pk_live_" + encode("clerk.acme.dev$"), "pk_test_" + encode("clerk.acme.dev"),
		"pk_test_" + encode("clerk.acme.dev$$"), "pk_test_" + encode("$"), "pk_test_" + encode("localhost$"), "pk_test_" + encode("a$b.c$"),
		"pk_test_" + encode("https://clerk.acme.dev$"), "pk_test_" + encode("clerk.acme.dev/x$"), "pk_test_" + encode("u@clerk.acme.dev$"),
		"pk_test_" + encode("clerk.acme.dev?x$"), "pk_test_" + encode("clerk.acme.dev#$"), "pk_test_" + encode("clerk.acme.dev\n$"), "pk_test_" + encode("127.1$"),
		"pk_test_" + encode("clerk.acme.dev$") + "!", "pk_test_" + encode("clerk.acme.dev$") + " ", "pk_test_hunter2", "sk_test_hunter2", "sk_live_" + encode("clerk.acme.dev$"),
	} {
		got, err := parsePublishableKey(in)
		if err == nil {
			t.Errorf("%q was accepted as %q", in, got)
		} else if len(in) > 8 && strings.Contains(err.Error(), in[8:]) {
			t.Errorf("%q: the error repeats it: %v", in, err)
		}
	}
}

// typical is the file of a company with two applications.
const typical = `# rolled out by the platform team
[profiles.acme]
issuer    = "https://clerk.acme.dev"
client_id = "client_2abcDEF"
hosts     = ["git.acme.dev", "registry.acme.dev:5000", "*.pkg.acme.dev"]

[profiles.lab]
publishable_key = "pk_test_Y2xlcmsuYWNtZS5kZXYk"
client_id = "client_3abcDEF"
hosts     = ["git.lab.acme.dev", "registry.lab.acme.dev"]
scopes    = ["openid", "email", "offline_access"]
min_ttl   = "10m"
`

// BenchmarkParseAndMatch is the configuration's part of the hot path.
func BenchmarkParseAndMatch(b *testing.B) {
	data := []byte(typical)
	b.ReportAllocs()
	for b.Loop() {
		c, err := Parse("c.toml", data)
		if err == nil {
			c, err = Merge(nil, c, nil)
		}
		if err != nil || len(c.Match("https", "git.lab.acme.dev")) != 1 {
			b.Fatal(err)
		}
	}
}

// encode writes a configuration as TOML.
func encode(c *Config) string {
	var b strings.Builder
	quote := func(words []string) string {
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, tomlQuote(w))
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	if c.DockerFallback != "" {
		fmt.Fprintf(&b, "[docker]\nfallback = %s\n", tomlQuote(c.DockerFallback))
	}
	for _, p := range c.Profiles {
		fmt.Fprintf(&b, "[profiles.%s]\n", p.Name)
		issuer := p.Issuer
		if p.Companion {
			issuer = p.Instance
		}
		if issuer != "" {
			fmt.Fprintf(&b, "issuer = %s\n", tomlQuote(issuer))
		}
		fmt.Fprintf(&b, "hosts = %s\nusername = %s\ngit_auth = %s\n",
			quote(hostNames(p)), tomlQuote(p.Username), tomlQuote(p.GitAuth))
		switch {
		case p.Companion:
			fmt.Fprintf(&b, "companion = %s\n", tomlQuote(p.Issuer))
		case p.LegacyPage != "":
			fmt.Fprintf(&b, "legacy_page = %s\n", tomlQuote(p.LegacyPage))
		case p.IsMachine:
			fmt.Fprintf(&b, "scopes = %s\ntoken = %s\nmachine = true\nmachine_token = %s\n", quote(p.Scopes), tomlQuote(p.Token), tomlQuote(p.MachineToken))
		default:
			fmt.Fprintf(&b, "scopes = %s\ntoken = %s\nclient_id = %s\n", quote(p.Scopes), tomlQuote(p.Token), tomlQuote(p.ClientID))
		}
		fmt.Fprintf(&b, "docker_identity_token = %t\ninteractive = %s\nmin_ttl = %s\n", p.DockerIdentityToken, tomlQuote(p.Interactive), tomlQuote(p.MinTTL.String()))
		if p.CAFile != "" {
			fmt.Fprintf(&b, "ca_file = %s\n", tomlQuote(p.CAFile))
		}
	}
	return b.String()
}

func tomlQuote(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, `\U%08x`, r)
	}
	return `"` + b.String() + `"`
}

// FuzzParse: what is accepted keeps the rules of every setting, is the same when written out and read again, and each
// error says where, or is about the file as a whole.
func FuzzParse(f *testing.F) {
	f.Add([]byte(typical))
	f.Add([]byte(profileText(`token = "id"`, `min_ttl = "1h"`, `username = "é"`, `docker_identity_token = true`)))
	f.Add([]byte(`profiles = {a = {issuer = "http://[::1]:1/x", client_id = "x", hosts = ["*.b.c", "é.de"]}}`))
	f.Add([]byte("[profiles.ci]\nissuer = \"https://clerk.acme.dev\"\nmachine = true\nhosts = [\"git.acme.dev\"]\n[docker]\nfallback = \"pass\"\n"))
	f.Add([]byte(pageText(`companion = "https://app.acme.dev"`, `issuer = "https://clerk.acme.dev"`)))
	f.Add([]byte(pageText(`legacy_page = "https://app.acme.dev/x/"`, `issuer = "https://clerk.acme.dev"`)))
	f.Add([]byte("\x00\x00"))
	f.Add([]byte("profiles.a.hosts = [\"h\"]\n[profiles]\n[[x]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("c.toml", data)
		if err != nil {
			if c == nil && strings.HasPrefix(err.Error(), "c.toml: the file is ") {
				return // not a place in it
			}
			var line, column int
			if n, _ := fmt.Sscanf(err.Error(), "c.toml:%d:%d: ", &line, &column); c != nil || n != 2 || line < 1 || column < 1 {
				t.Fatalf("got %v, %v", c, err)
			}
			return
		}
		for _, p := range c.Profiles {
			for _, h := range p.Hosts {
				if h.at.line < 1 || h.at.column < 1 {
					t.Fatalf("%s stands at %s", h, h.at)
				}
			}
			page := p.Companion || p.LegacyPage != ""
			if len(p.Hosts) == 0 || (len(p.Scopes) == 0) != page || p.Companion && p.LegacyPage != "" || page && p.IsMachine || (p.ClientID == "") != p.IsMachine || p.MinTTL < 0 || p.MinTTL > 24*time.Hour ||
				strings.ContainsAny(p.Username, ":\r\n\x00") || p.Username == "" {
				t.Fatalf("accepted %+v", p)
			}
			if issuer, err := parseIssuer(p.Issuer); issuer != p.Issuer || err != nil {
				t.Fatalf("the issuer %q becomes %q, %v", p.Issuer, issuer, err)
			}
			if !strings.HasPrefix(p.Issuer, "https://") && !strings.HasPrefix(p.Issuer, "http://") {
				t.Fatalf("accepted the issuer %q", p.Issuer)
			}
		}
		again, err := Parse("c.toml", []byte(encode(c)))
		if err != nil {
			t.Fatalf("%s\n%v", encode(c), err)
		}
		for _, both := range []*Config{c, again} {
			for _, p := range both.Profiles {
				p.Source = ""
				for i := range p.Hosts {
					p.Hosts[i].at = position{}
				}
			}
		}
		if !reflect.DeepEqual(c, again) {
			t.Fatalf("got %s\nthen %s", encode(c), encode(again))
		}
	})
}

func TestDockerFallback(t *testing.T) {
	machine, err := Parse("machine.toml", []byte("[docker]\nfallback = \"/usr/bin/docker-credential-pass\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	user, err := Parse("user.toml", []byte("docker = { fallback = \"osxkeychain\" }\n"))
	if err != nil {
		t.Fatal(err)
	}
	none, err := Parse("none.toml", []byte("[docker]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		why     string
		sources []*Config
		want    string
	}{
		{"none", []*Config{none}, ""},
		{"the machine's", []*Config{machine, none}, "/usr/bin/docker-credential-pass"},
		{"the user's takes precedence over the machine's", []*Config{machine, user}, "osxkeychain"},
	} {
		c, err := Merge(row.sources...)
		if err != nil || c.DockerFallback != row.want {
			t.Errorf("%s: got %q, %v", row.why, c.DockerFallback, err)
		}
	}
}

func TestParseCompanion(t *testing.T) {
	for address, want := range map[string]string{
		"https://app.acme.dev": "https://app.acme.dev", "https://app.acme.dev/": "https://app.acme.dev", "https://App.acme.dev:443": "https://app.acme.dev",
		"https://app.acme.dev:8443": "https://app.acme.dev:8443", "http://localhost:3000": "http://localhost:3000", "http://127.0.0.1:3000": "http://127.0.0.1:3000",
		"http://[::1]:3000": "http://[::1]:3000",
		"app.acme.dev":      "", "": "", "http://app.acme.dev": "", "https://app.acme.dev/cli-auth": "", "https://app.acme.dev?x": "", "https://app.acme.dev/?": "",
		"https://u@app.acme.dev": "", "https://": "", "ftp://app.acme.dev": "", "http://127.0.0.1.evil.example": "", "https://app.acme.dev#x": "", "https://app.acme.dev/#": "",
	} {
		if got, err := ParseCompanion(address); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", address, got, err)
		}
	}
}
