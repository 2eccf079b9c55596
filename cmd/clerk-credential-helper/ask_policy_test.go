package main

import (
	"strings"
	"testing"

	"clerk-credential-helper/internal/config"
)

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for _, pair := range pairs {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// TestMayAskToldNot: what a person has said about asking, before any look at the machine.
func TestMayAskToldNot(t *testing.T) {
	for _, row := range []struct {
		reason  string
		profile string
		env     []string
		want    string // in the reason why not; "" is yes
	}{
		{"the profile says always", "always", nil, ""},
		{"the profile says never", "never", nil, "never"},
		{"ours goes before the profile's", "never", []string{"CLERK_HELPER_INTERACTIVE=always"}, ""},
		{"ours forbids it", "always", []string{"CLERK_HELPER_INTERACTIVE=never"}, "never"},
		{"ours is nothing known", "always", []string{"CLERK_HELPER_INTERACTIVE=perhaps"}, "not auto, always or never"},
		{"git goes before the profile's", "always", []string{"GIT_CONFIG_PARAMETERS='credential.interactive'='false'"}, "credential.interactive"},
		{"ours goes before git's", "auto", []string{"CLERK_HELPER_INTERACTIVE=always", "GIT_CONFIG_PARAMETERS='credential.interactive'='false'"}, ""},
		{"git allows it, which changes nothing", "never", []string{"GIT_CONFIG_PARAMETERS='credential.interactive'='true'"}, "never"},
		{"GCM is told never", "always", []string{"GCM_INTERACTIVE=never"}, "GCM_INTERACTIVE"},
		{"GCM is told 0", "always", []string{"GCM_INTERACTIVE=0"}, "GCM_INTERACTIVE"},
		{"GCM is told always", "always", []string{"GCM_INTERACTIVE=always"}, ""},
		{"GCM is told auto", "always", []string{"GCM_INTERACTIVE=auto"}, ""},
		{"CI", "auto", []string{"CI=true", "DISPLAY=:0"}, "CI is set"},
		{"CI and always", "always", []string{"CI=true"}, ""},
	} {
		sys := &system{getenv: environment(row.env...)}
		err := sys.mayAsk(&config.Profile{Interactive: row.profile}, "git")
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.reason, err, row.want)
		}
	}
}
