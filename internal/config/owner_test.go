package config

import (
	"errors"
	"strings"
	"testing"
)

// TestOwner: whose a token or a machine's key is depends on all profiles, also where one alone is asked.
func TestOwner(t *testing.T) {
	const acme, rival = "https://clerk.acme.dev", "https://clerk.rival.dev"
	machines := func(first, second string) *Config {
		return &Config{Profiles: []*Profile{{Name: "acme-ci", Issuer: first, IsMachine: true}, {Name: "rival", Issuer: second, IsMachine: true}, {Name: "people", Issuer: "https://clerk.people.dev"}}}
	}
	type env map[string]string
	const key = "CLERK_MACHINE_SECRET_KEY"
	for _, tt := range []struct {
		why       string
		cfg       *Config
		env       env
		of        string
		key, from string // what is found, and the variable
		err       string
	}{
		{"none", machines(acme, rival), env{}, "rival", "", "", ""},
		{"one issuer", machines(acme, acme), env{key: "k"}, "rival", "k", key, ""},
		{"its own", machines(acme, rival), env{key + "_ACME_CI": "k"}, "acme-ci", "k", key + "_ACME_CI", ""},
		{"its own before that of all", machines(acme, acme), env{key: "k", key + "_RIVAL": "r"}, "rival", "r", key + "_RIVAL", ""},
		{"named", machines(acme, rival), env{key: "k", "CLERK_HELPER_PROFILE": "rival"}, "rival", "k", key, ""},
		{"a name does not matter to one issuer", machines(acme, acme), env{key: "k", "CLERK_HELPER_PROFILE": "acme-ci"}, "rival", "k", key, ""},

		{"one of blanks is none", machines(acme, acme), env{key: "k", key + "_RIVAL": " "}, "rival", "k", key, ""},

		{"nothing but blanks", machines(acme, acme), env{key: " \n"}, "rival", "", "", ""},
		{"another's own", machines(acme, rival), env{key + "_ACME_CI": "k"}, "rival", "", "", ""},
		{"people's, which uses none", machines(acme, rival), env{key + "_PEOPLE": "k"}, "people", "", key + "_PEOPLE", ""},
		{"people's, beside machines whose key it is", machines(acme, acme), env{key: "k"}, "people", "", "", ""},
		{"people's, beside no machine", &Config{Profiles: machines(acme, acme).Profiles[2:]}, env{key: "k"}, "people", "", key, ""},
		{"another is named", machines(acme, rival), env{key: "k", "CLERK_HELPER_PROFILE": "rival"}, "acme-ci", "", "", ""},
		{"two issuers", machines(acme, rival), env{key: "k"}, "rival", "", "", key + " could be for any of the profiles acme-ci, rival: set " + key + "_RIVAL, or name one in CLERK_HELPER_PROFILE"},
		{"two issuers, and the other has its own", machines(acme, rival), env{key: "k", key + "_ACME_CI": "a"}, "rival", "", "", "could be for any"},
		{"issuers that differ by a slash", machines(acme, acme+"/x"), env{key: "k"}, "acme-ci", "", "", "could be for any"},
	} {
		getenv := func(name string) string { return tt.env[name] }
		for _, cfg := range []*Config{tt.cfg, tt.cfg.Only(tt.of), tt.cfg.Only(tt.of).Only(tt.of)} {
			got, from, err := cfg.MachineKeyOf(cfg.Profile(tt.of), getenv)
			var mistake *Error
			if got != tt.key || from != tt.from || (err == nil) != (tt.err == "") || err != nil && (!strings.Contains(err.Error(), tt.err) || !errors.As(err, &mistake)) {
				t.Errorf("%s: got %q of %q, %v", tt.why, got, from, err)
			}
		}
	}
	two := machines(acme, rival)
	const token, file = "CLERK_HELPER_TOKEN", "CLERK_HELPER_TOKEN_FILE"
	for _, tt := range []struct {
		why  string
		cfg  *Config
		env  env
		of   string
		from string
		err  string
	}{
		{"none", two, env{}, "rival", "", ""},
		{"the only profile's", &Config{Profiles: two.Profiles[:1]}, env{token: "t"}, "acme-ci", token, ""},
		{"the only profile's, in a file", &Config{Profiles: two.Profiles[:1]}, env{file: "f"}, "acme-ci", file, ""},
		{"its own", two, env{token + "_ACME_CI": "t"}, "acme-ci", token + "_ACME_CI", ""},
		{"its own before one that could be anyone's", two, env{token: "x", file: "f", token + "_RIVAL": "t"}, "rival", token + "_RIVAL", ""},
		{"named", two, env{file: "f", "CLERK_HELPER_PROFILE": "rival"}, "rival", file, ""},

		{"another is named", two, env{token: "t", "CLERK_HELPER_PROFILE": "acme-ci"}, "rival", "", ""},
		{"another's own", two, env{token + "_ACME_CI": "t"}, "rival", "", ""},
		{"several profiles", two, env{token: "t"}, "rival", "", "could be for any of the profiles acme-ci, rival, people: name one in CLERK_HELPER_PROFILE, or set " + token + "_RIVAL"},
		{"several profiles, in a file", two, env{file: "f"}, "people", "", "could be for any"},
		{"both", &Config{Profiles: two.Profiles[:1]}, env{token: "t", file: "f"}, "acme-ci", "", "keep one"},
	} {
		getenv := func(name string) string { return tt.env[name] }
		for _, cfg := range []*Config{tt.cfg, tt.cfg.Only(tt.of)} {
			from, err := cfg.TokenOf(cfg.Profile(tt.of), getenv)
			if from != tt.from || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: got %q, %v", tt.why, from, err)
			}
		}
	}
	if two.Only("nobody") != nil {
		t.Error("a profile that is not there")
	}
	// A profile of the environment alone is a machine's by each of these variables: no user signs in to it.
	for _, name := range []string{key, key + "_DEFAULT", token, token + "_DEFAULT", file} {
		values := env{"CLERK_HELPER_ISSUER": acme, "CLERK_HELPER_HOSTS": "git.acme.dev", name: "ak_1"}
		c, err := FromEnvironment(func(name string) string { return values[name] })
		if err != nil || !c.Profiles[0].IsMachine {
			t.Errorf("%s: %v", name, err)
		}
	}
}
