package config

import (
	"errors"
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
		{"[policy]\nsources = [\"sign-in\"]", `p:2:12: sources: want a list of some of "environment", "machine", "session"`},
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
