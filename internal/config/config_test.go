package config

import (
	"maps"
	"reflect"
	"strings"
	"testing"
)

// section writes a profile with the hosts and more settings.
func section(name, hosts string, more ...string) string {
	return "[profiles." + name + "]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\nhosts = [" + hosts + "]\n" + strings.Join(more, "\n") + "\n"
}

func TestMerge(t *testing.T) {
	parse := func(file, text string) *Config {
		t.Helper()
		c, err := Parse(file, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	machine := parse("/etc/c.toml", section("acme", `"git.acme.dev"`, `username = "robot"`)+section("lab", `"git.lab.dev"`))
	user := parse("c.toml", section("own", `"git.own.dev"`)+section("acme", `"git.acme.dev", "www.acme.dev"`))
	env := parse("env", section("lab", `"git.lab.dev:8443"`))

	c, err := Merge(machine, nil, user, env)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range c.Profiles {
		got = append(got, p.Name+" "+p.Source)
	}
	if want := []string{"acme c.toml:6", "lab env:1", "own c.toml:1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
	if p := c.Profile("acme"); p.Username != "clerk" {
		t.Errorf("the profile was merged key by key: user name %q", p.Username)
	}
	if p := c.Profile("ACME"); p != nil {
		t.Errorf("names are exact; got %+v", p)
	}
	if len(machine.Profiles) != 2 || machine.Profiles[0].Source != "/etc/c.toml:1" {
		t.Error("a source was changed")
	}
	if c, err := Merge(); err != nil || len(c.Profiles) != 0 {
		t.Errorf("nothing to merge: got %+v, %v", c, err)
	}
	if c, err := Merge(nil, nil); err != nil || c.Match("https", "h") != nil || c.Profile("a") != nil {
		t.Errorf("nothing to merge: got %+v, %v", c, err)
	}
}

func TestMergeOverlaps(t *testing.T) {
	const cure = ": name it in one profile, or give each a different username"
	for _, tt := range []struct{ why, first, second, want string }{
		{"different hosts", section("a", `"a.dev"`), section("b", `"b.dev"`), ""},
		{"different ports", section("a", `"a.dev"`), section("b", `"a.dev:8443"`), ""},
		{"a named host beats a wildcard", section("a", `"*.a.dev"`), section("b", `"x.a.dev"`), ""},
		{"one host, two user names", section("a", `"a.dev"`), section("b", `"a.dev"`, `username = "robot"`), ""},
		{"the same profile in a later file", section("a", `"a.dev"`), section("a", `"a.dev"`), ""},
		{"wildcards of different depth", section("a", `"*.a.dev"`), section("b", `"*.x.a.dev"`), ""},
		{"loopback by different ports", section("a", `"localhost:443"`), section("b", `"localhost:80"`), ""},
		{"80 is another port where only https is possible", section("a", `"a.dev"`), section("b", `"a.dev:80"`), ""},

		{"one host", section("a", `"a.dev"`), section("b", `"x.dev", "a.dev"`), `2.toml:4:19: the host "a.dev" of profile "b" belongs to profile "a" already (1.toml:4:10)` + cure},
		{"one host in another spelling", section("a", `"A.dev."`), section("b", `"a.DEV:443"`), `2.toml:4:10: the host "a.dev" of profile "b" belongs to profile "a" already (1.toml:4:10)` + cure},
		{"one wildcard", section("a", `"*.a.dev"`), section("b", `"*.A.dev:443"`), `2.toml:4:10: the host "*.a.dev" of profile "b" belongs to profile "a" already (1.toml:4:10)` + cure},
		{"one host, one user name that is not the default", section("a", `"a.dev"`, `username = "x"`), section("b", `"a.dev"`, `username = "x"`), `2.toml:4:10: the host "a.dev" of profile "b" belongs to profile "a" already (1.toml:4:10)` + cure},
		{"the default user name, written and not", section("a", `"a.dev"`), section("b", `"a.dev"`, `username = "clerk"`), `2.toml:4:10: the host "a.dev" of profile "b" belongs to profile "a" already (1.toml:4:10)` + cure},
		{"loopback, https's port named", section("a", `"localhost"`), section("b", `"localhost:443"`), `2.toml:4:10: the host "localhost:443" of profile "b" belongs to profile "a" already (1.toml:4:10)` + cure},
		{"loopback, http's port named", section("a", `"[::1]:80"`), section("b", `"[::1]"`), `2.toml:4:10: the host "[::1]" of profile "b" belongs to profile "a" already (1.toml:4:10)` + cure},
		{"twice in one profile", section("a", `"a.dev", "b.dev", "A.dev"`), "", `1.toml:4:28: profile "a" names the host "a.dev" twice (1.toml:4:10): remove one`},
		{"two profiles of one file", section("a", `"a.dev"`) + section("b", `"a.dev"`), "", `1.toml:9:10: the host "a.dev" of profile "b" belongs to profile "a" already (1.toml:4:10)` + cure},
		{"names that differ in case", section("acme", `"a.dev"`), section("Acme", `"b.dev"`), `2.toml:1: profile "Acme" and profile "acme" (1.toml:1) would share the variable CLERK_HELPER_TOKEN_ACME: rename one`},
		{"names that differ in hyphens", section("a-b_c", `"a.dev"`), section("a_b-c", `"b.dev"`), `2.toml:1: profile "a_b-c" and profile "a-b_c" (1.toml:1) would share the variable CLERK_HELPER_TOKEN_A_B_C: rename one`},
	} {
		first, err := Parse("1.toml", []byte(tt.first))
		if err != nil {
			t.Fatal(err)
		}
		second, err := Parse("2.toml", []byte(tt.second))
		if err != nil {
			t.Fatal(err)
		}
		c, err := Merge(first, second)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want || c != nil) {
			t.Errorf("%s:\n got %v\nwant %s", tt.why, err, tt.want)
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	least := map[string]string{"CLERK_HELPER_ISSUER": "https://clerk.acme.dev", "CLERK_HELPER_CLIENT_ID": "abc", "CLERK_HELPER_HOSTS": "git.acme.dev"}
	with := func(more ...string) map[string]string {
		vars := maps.Clone(least)
		for i := 0; i < len(more); i += 2 {
			vars[more[i]] = more[i+1]
		}
		return vars
	}
	getenv := func(vars map[string]string) func(string) string {
		return func(name string) string { return vars[name] }
	}

	keyed := with("CLERK_HELPER_ISSUER", "", "CLERK_HELPER_PUBLISHABLE_KEY", "pk_test_Y2xlcmsuYWNtZS5kZXYk\n")
	full := defaults("ci", "environment")
	full.Scopes, full.Username, full.GitAuth, full.Interactive, full.MinTTL = []string{"openid", "email"}, "robot", "basic", "never", 0
	for _, tt := range []struct {
		why   string
		vars  map[string]string
		want  *Profile
		hosts string
	}{
		{"the least", least, defaults("default", "environment"), "git.acme.dev"},
		{"a publishable key, with the newline that a secret store added", keyed, defaults("default", "environment"), "git.acme.dev"},
		{"a name", with("CLERK_HELPER_PROFILE", "ci-2"), defaults("ci-2", "environment"), "git.acme.dev"},
		{"hosts separated by commas", with("CLERK_HELPER_HOSTS", "a.dev,B.dev:8443,*.c.dev,"), defaults("default", "environment"), "a.dev b.dev:8443 *.c.dev"},
		{"hosts one below the other, as YAML writes a list", with("CLERK_HELPER_HOSTS", "a.dev\n  b.dev\r\n\tc.dev\n"), defaults("default", "environment"), "a.dev b.dev c.dev"},
		{"hosts separated by spaces and both", with("CLERK_HELPER_HOSTS", " a.dev  b.dev, c.dev "), defaults("default", "environment"), "a.dev b.dev c.dev"},
		{"everything else", with("CLERK_HELPER_PROFILE", "ci", "CLERK_HELPER_SCOPES", "openid email", "CLERK_HELPER_USERNAME", "robot", "CLERK_HELPER_GIT_AUTH", "basic",
			"CLERK_HELPER_INTERACTIVE", "never", "CLERK_HELPER_MIN_TTL", "0s"), full, "git.acme.dev"},
		{"CLERK_HELPER_TOKEN is a token, not which one", with("CLERK_HELPER_TOKEN", "id"), defaults("default", "environment"), "git.acme.dev"},
	} {
		c, err := FromEnvironment(getenv(tt.vars))
		if err != nil || len(c.Profiles) != 1 {
			t.Errorf("%s: got %v, %v", tt.why, c, err)
			continue
		}
		p := c.Profiles[0]
		if got := strings.Join(hostNames(p), " "); got != tt.hosts {
			t.Errorf("%s: got hosts %q; want %q", tt.why, got, tt.hosts)
		}
		p.Hosts = nil
		if !reflect.DeepEqual(p, tt.want) {
			t.Errorf("%s: got %+v; want %+v", tt.why, p, tt.want)
		}
	}

	for _, vars := range []map[string]string{nil, {"CLERK_HELPER_CLIENT_ID": "abc", "CLERK_HELPER_HOSTS": "git.acme.dev"}, with("CLERK_HELPER_ISSUER", " ")} {
		if c, err := FromEnvironment(getenv(vars)); c != nil || err != nil {
			t.Errorf("%v: got %v, %v; want nothing", vars, c, err)
		}
	}

	for _, tt := range []struct {
		why  string
		vars map[string]string
		want string
	}{
		{"neither a client nor what a build machine has", with("CLERK_HELPER_CLIENT_ID", ""),
			"neither CLERK_MACHINE_SECRET_KEY nor CLERK_HELPER_TOKEN is set (a fork's pull request gets no secrets); for people set CLERK_HELPER_CLIENT_ID"},
		{"a key of blanks", with("CLERK_HELPER_CLIENT_ID", "", "CLERK_MACHINE_SECRET_KEY", " \n"),
			"neither CLERK_MACHINE_SECRET_KEY nor CLERK_HELPER_TOKEN is set (a fork's pull request gets no secrets); for people set CLERK_HELPER_CLIENT_ID"},
		{"no hosts: a token for every host is no offer", with("CLERK_HELPER_HOSTS", " "), "CLERK_HELPER_HOSTS is not set: a profile from the environment needs it"},
		{"only commas", with("CLERK_HELPER_HOSTS", ", ,"), "CLERK_HELPER_HOSTS is not set: a profile from the environment needs it"},
		{"both", with("CLERK_HELPER_PUBLISHABLE_KEY", "pk_test_Y2xlcmsuYWNtZS5kZXYk"), "CLERK_HELPER_ISSUER and CLERK_HELPER_PUBLISHABLE_KEY are both set: keep one"},
		{"a bad issuer", with("CLERK_HELPER_ISSUER", "http://clerk.acme.dev"), `CLERK_HELPER_ISSUER: issuer: "http://clerk.acme.dev" is not safe: write https (http is for loopback only)`},
		{"a bad host", with("CLERK_HELPER_HOSTS", "a.dev *"), `CLERK_HELPER_HOSTS: hosts: "*": a wildcard stands only for the whole first label, such as "*.pkg.acme.dev"`},
		{"a bad name", with("CLERK_HELPER_PROFILE", "a b"), `CLERK_HELPER_PROFILE: the profile name "a b" is not usable: take 1 to 64 letters, digits, - and _`},
		{"a bad min_ttl", with("CLERK_HELPER_MIN_TTL", "soon"), `CLERK_HELPER_MIN_TTL: min_ttl: "soon" is not a time from "0s" to "24h": write it as "5m"`},
		{"a user name that is not UTF-8", with("CLERK_HELPER_USERNAME", "a\xff"), `CLERK_HELPER_USERNAME: username: "a\xff" is not a user name: write one without colons and control characters`},
	} {
		c, err := FromEnvironment(getenv(tt.vars))
		if c != nil || err == nil || err.Error() != tt.want {
			t.Errorf("%s:\n got %v\nwant %s", tt.why, err, tt.want)
		}
	}

	env, err := FromEnvironment(getenv(least))
	if err != nil {
		t.Fatal(err)
	}
	file, err := Parse("c.toml", []byte(section("acme", `"git.acme.dev"`)))
	if err != nil {
		t.Fatal(err)
	}
	want := `CLERK_HELPER_HOSTS: the host "git.acme.dev" of profile "default" belongs to profile "acme" already (c.toml:4:10): name it in one profile, or give each a different username`
	if _, err := Merge(file, env); err == nil || err.Error() != want {
		t.Errorf("the environment beside a file:\n got %v\nwant %s", err, want)
	}
}
