package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func mustParse(t *testing.T, file, text string) *Config {
	t.Helper()
	c, err := Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPolicyHosts(t *testing.T) {
	for _, row := range []struct {
		reason, reserved, host string
		overlaps               bool
	}{
		{"the same", "git.acme.dev", "git.acme.dev", true},
		{"on another port", "git.acme.dev", "git.acme.dev:8443", true},
		{"below it", "*.acme.dev", "git.acme.dev", true},
		{"below it on a port", "*.acme.dev", "git.acme.dev:8443", true},
		{"the same wildcard", "*.acme.dev", "*.acme.dev", true},
		{"a wildcard that takes it in", "git.acme.dev", "*.acme.dev", true},
		{"upper case", "GIT.acme.dev", "git.ACME.dev", true},
		{"an address", "[::1]", "[::1]:80", true},
		{"this machine on a scheme's port", "localhost:443", "localhost", true},

		{"a neighbour", "git.acme.dev", "app.acme.dev", false},
		{"two labels below", "*.acme.dev", "a.b.acme.dev", false},
		{"the domain itself", "*.acme.dev", "acme.dev", false},
		{"a name that only ends alike", "*.acme.dev", "git.notacme.dev", false},
		{"one port alone", "git.acme.dev:8443", "git.acme.dev", false},
		{"another wildcard", "*.pkg.acme.dev", "*.acme.dev", false},
	} {
		a, err := parseHost(row.reserved)
		b, err2 := parseHost(row.host)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if got := a.Overlaps(b); got != row.overlaps {
			t.Errorf("%s: %s and %s: %v", row.reason, a, b, got)
		}
	}
}

func TestPolicyVersion(t *testing.T) {
	for _, row := range []struct {
		program, minimum string
		allowed          bool
	}{
		{"1.2.0", "1.2.0", true}, {"1.10.0", "1.9.9", true}, {"2.0.0-rc.1", "1.2.0", true}, {"devel", "1.2.0", true}, {"0.1.0", "", true},
		{"1.1.9", "1.2.0", false}, {"0.9.0", "0.10.0", false}, {"0.0.0-20261124030139-58933b74362d", "0.1.0", false},
	} {
		if err := (&Policy{MinimumVersion: row.minimum}).CheckVersion(row.program); (err == nil) != row.allowed {
			t.Errorf("%s with %s: %v", row.program, row.minimum, err)
		}
	}
}

// TestPolicyMerge: what a policy forbids to the sources after it, and that it leaves its own file alone.
func TestPolicyMerge(t *testing.T) {
	const (
		acme   = "\n[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\nhosts = [\"git.acme.dev\"]\n"
		same   = "\n[profiles.acme]\nissuer = \"https://clerk.evil.dev\"\nclient_id = \"x\"\nhosts = [\"git.evil.dev\"]\n"
		other  = "\n[profiles.other]\nissuer = \"https://clerk.other.dev\"\nclient_id = \"x\"\nhosts = [\"git.other.dev\"]\n"
		wide   = "\n[profiles.wide]\nissuer = \"https://clerk.other.dev\"\nclient_id = \"x\"\nhosts = [\"*.acme.dev\"]\n"
		legacy = "\n[profiles.old]\nissuer = \"https://clerk.other.dev\"\nlegacy_page = \"https://app.other.dev/cli-auth\"\nhosts = [\"api.other.dev\"]\n"
	)
	for _, row := range []struct {
		reason, machine, user string
		want                  string // in the error; empty for none
	}{
		{"no policy", acme, same, ""},
		{"an empty one", "[policy]\n" + acme, same, ""},
		{"its own profile", "[policy]\nprofiles = \"machine\"\nhosts = [\"*.acme.dev\"]\n" + acme, "", ""},
		{"another profile beside fixed ones", "[policy]\nprofiles = \"fixed\"\n" + acme, other, ""},
		{"a host that is free", "[policy]\nhosts = [\"*.acme.dev\"]\n" + acme, other, ""},
		{"a page that is allowed", "[policy]\nlegacy_page = true\n", legacy, ""},

		{"another profile", "[policy]\nprofiles = \"machine\"\n" + acme, other, `profile "other": the policy`},
		{"a profile replaced, of those alone", "[policy]\nprofiles = \"machine\"\n" + acme, same, `profile "acme": the policy`},
		{"a profile replaced", "[policy]\nprofiles = \"fixed\"\n" + acme, same, "which is the machine's"},
		{"a host below a fixed profile's wildcard", "[policy]\nprofiles = \"fixed\"\n" + wide, acme, `the host "git.acme.dev"`},
		{"a host claimed", "[policy]\nhosts = [\"git.other.dev\"]\n" + acme, other, `the host "git.other.dev"`},
		{"a host claimed by a wildcard", "[policy]\nhosts = [\"git.acme.dev\"]\n", wide, `the host "*.acme.dev"`},
		{"a host claimed by replacing", "[policy]\nhosts = [\"git.evil.dev\"]\n" + acme, same, `the host "git.evil.dev"`},
		{"a page of the original kind", "[policy]\nlegacy_page = false\n", legacy, "the legacy_page"},
		{"one of its own", "[policy]\nlegacy_page = false\n" + legacy, "", "the legacy_page"},
	} {
		merged, err := Merge(mustParse(t, "machine", row.machine), mustParse(t, "user", row.user))
		if row.want == "" {
			if err != nil {
				t.Errorf("%s: %v", row.reason, err)
			} else if (merged.Policy != nil) != strings.HasPrefix(row.machine, "[policy]") {
				t.Errorf("%s: the policy is %v", row.reason, merged.Policy)
			}
			continue
		}
		if forbidden, ok := errors.AsType[*PolicyError](err); !ok || !strings.Contains(err.Error(), row.want) || forbidden.At != "machine:1" {
			t.Errorf("%s: %v", row.reason, err)
		}
	}
}

func TestPolicyStore(t *testing.T) {
	for _, row := range []struct {
		allowed      []string
		choice, want string
	}{
		{nil, "", ""}, {nil, "file", "file"},
		{[]string{"keychain", "kernel"}, "", ""}, {[]string{"keychain", "kernel"}, "auto", "auto"},
		{[]string{"keychain"}, "", "keychain"}, {[]string{"none"}, "auto", "none"}, {[]string{"file", "kernel"}, "kernel", "kernel"},
		{[]string{"keychain"}, "file", "error"}, {[]string{"keychain"}, "nonsense", "error"}, {[]string{"keychain", "kernel"}, "none", "error"},
	} {
		got, err := (&Policy{Stores: row.allowed}).Store(row.choice)
		if err != nil {
			got = "error"
		}
		if got != row.want {
			t.Errorf("%q of %q: %q, %v", row.choice, row.allowed, got, err)
		}
	}
	var none *Policy
	if got, err := none.Store("file"); got != "file" || err != nil || none.CheckSource("session") != nil || none.CheckWithToken() != nil || none.CheckVersion("0.0.1") != nil || none.String() != "" {
		t.Error("no policy forbids something")
	}
}

// TestPolicyWrong: what is wrong in a policy is an error with its place.
func TestPolicyWrong(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"[policy]\nstore = [\"file\"]", `p:2:1: unknown key "store" in [policy]`},
		{"[policy]\nstores = [\"keyring\"]", `p:2:11: stores: want a list of some of "keychain", "kernel", "file", "none"`},
		{"[policy]\nstores = []", `p:2:1: stores: want a list`},
		{"[policy]\nstores = \"file\"", `stores: want a list`},
		{"[policy]\nsources = [\"sign-in\"]", `p:2:12: sources: want a list of some of "environment", "exchange", "machine", "session"`},
		{"[policy]\nprofiles = true", `profiles: want one of "any", "fixed", "machine"`},
		{"[policy]\nhosts = [\"*\"]", `p:2:10: hosts: "*"`},
		{"[policy]\nlegacy_page = \"no\"", `legacy_page: want true or false`},
		{"[policy]\nminimum_version = \"1\"", `minimum_version: "1" is not a version`},
		{"[policy.stores]\nx = 1", `unknown table "stores" in [policy]`},
		{"policy = 1", `p:1:1`},
		{"[[policy]]", `p:1:3`},
	} {
		if _, err := Parse("p", []byte(row.text)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.text, err, row.want)
		}
	}
	for _, text := range []string{"policy = {stores = [\"file\"]}", "policy.stores = [\"file\"]"} {
		if c := mustParse(t, "p", text); c.Policy == nil || c.Policy.Stores == nil || c.Policy.At != "p:1" || !c.Policy.WithToken {
			t.Errorf("%s: %+v", text, c.Policy)
		}
	}
}

// TestParsePolicy: the values of a registry are as strict as the keys of a file.
func TestParsePolicy(t *testing.T) {
	const at = `HKLM\SOFTWARE\Policies\X`
	all := map[string]any{
		"stores": []string{"keychain"}, "sources": []string{"session", "machine"}, "profiles": "fixed", "hosts": []string{"*.acme.dev", "git.other.dev"},
		"legacy_page": uint32(0), "with_token": uint32(1), "history": uint32(0), "minimum_version": "1.2.0",
	}
	got, err := ParsePolicy(at, all)
	if err != nil {
		t.Fatal(err)
	}
	file := mustParse(t, "p", `[policy]
		stores = ["keychain"]
		sources = ["session", "machine"]
		profiles = "fixed"
		hosts = ["*.acme.dev", "git.other.dev"]
		legacy_page = false
		with_token = true
		history = false
		minimum_version = "1.2.0"`).Policy
	file.At = at
	if !reflect.DeepEqual(got, file) {
		t.Errorf("%+v, and of a file %+v", got, file)
	}
	if len(all) != len(policyKeys()) {
		t.Errorf("%d of %d keys are tried", len(all), len(policyKeys()))
	}
	if p, err := ParsePolicy(at, nil); p != nil || err != nil {
		t.Errorf("no values: %v, %v", p, err)
	}
	for _, row := range []struct {
		reason, name string
		value        any
		want         string
	}{
		{"an unknown name", "store", []string{"file"}, `unknown value "store": did you mean "stores"?`},
		{"another case", "Stores", []string{"file"}, `unknown value "Stores": did you mean "stores"?`},
		{"the value without a name", "", "x", `unknown value ""`},
		{"a word that is none", "stores", []string{"keyring"}, `stores: want a list of some of`},
		{"an empty list", "stores", []string{}, `stores: want a list`},
		{"a text for a list", "hosts", "*.acme.dev", "hosts: want a list of hosts"},
		{"a list for a text", "profiles", []string{"fixed"}, `profiles: want one of`},
		{"a number for a text", "profiles", uint32(1), `profiles: want one of`},
		{"a text for a number", "with_token", "false", "with_token: want true or false"},
		{"a number that is neither", "with_token", uint32(2), "with_token: want true or false"},
		{"a type that is not read", "with_token", 1.0, "with_token: want true or false"},
		{"a host that is none", "hosts", []string{"*"}, `hosts: "*"`},
		{"a version that is none", "minimum_version", "1", `"1" is not a version`},
	} {
		_, err := ParsePolicy(at, map[string]any{"profiles": "any", row.name: row.value})
		if err == nil || !strings.HasPrefix(err.Error(), at+": ") || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.reason, err, row.want)
		}
	}
}

// TestPolicyReplacing: the policy of a registry holds as a whole, and says so, and the profiles of the machine's file stay the
// machine's.
func TestPolicyReplacing(t *testing.T) {
	const acme = "\n[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\nhosts = [\"git.acme.dev\"]\n"
	merge := func(settings map[string]any, machine, user string) (*Config, error) {
		policy, err := ParsePolicy("registry", settings)
		if err != nil {
			t.Fatal(err)
		}
		sources := []*Config{{Policy: policy}}
		if machine != "" {
			c := mustParse(t, "machine", machine)
			c.Policy = policy.Replacing(c.Policy)
			sources = append(sources, c)
		}
		return Merge(append(sources, mustParse(t, "user", user))...)
	}
	only := map[string]any{"profiles": "machine", "with_token": uint32(0)}
	for _, row := range []struct {
		reason                string
		settings              map[string]any
		machine, user         string
		at, inPlaceOf, refuse string
	}{
		{"none at all", nil, "", acme, "", "", ""},
		{"the file's", nil, "[policy]\nstores = [\"file\"]" + acme, "", "machine:1", "", ""},
		{"the registry's, and the machine's profiles", only, acme, "", "registry", "", ""},
		{"both", only, "[policy]\nstores = [\"file\"]" + acme, "", "registry", "machine:1", ""},
		{"a user's profile beside the machine's file", only, acme, strings.ReplaceAll(acme, "acme", "other"), "", "", `profile "other"`},
		{"a user's profile where there is no file of the machine's, or it is passed over", only, "", acme, "", "", `profile "acme"`},
		{"a reserved host, likewise", map[string]any{"hosts": []string{"*.acme.dev"}}, "", acme, "", "", `the host "git.acme.dev"`},
	} {
		c, err := merge(row.settings, row.machine, row.user)
		if row.refuse != "" {
			if forbidden, ok := errors.AsType[*PolicyError](err); !ok || !strings.Contains(err.Error(), row.refuse) || forbidden.At != "registry" {
				t.Errorf("%s: %v", row.reason, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", row.reason, err)
			continue
		}
		var at, inPlaceOf string
		if p := c.Policy; p != nil {
			at, inPlaceOf = p.At, p.InPlaceOf
		}
		if at != row.at || inPlaceOf != row.inPlaceOf {
			t.Errorf("%s: at %q, in place of %q", row.reason, at, inPlaceOf)
		}
		if row.inPlaceOf != "" && (c.Policy.Stores != nil || !strings.Contains(c.Policy.String(), "in place of the one at machine:1")) {
			t.Errorf("%s: %v", row.reason, c.Policy)
		}
	}
}
