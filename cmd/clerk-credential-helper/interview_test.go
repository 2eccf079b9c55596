package main

import (
	"testing"

	"clerk-credential-helper/internal/config"
)

// TestLastWords: the interview ends with what is so.
func TestLastWords(t *testing.T) {
	person := &config.Profile{Interactive: "auto"}
	machine := &config.Profile{IsMachine: true}
	never := &config.Profile{Interactive: "never"}
	page := &config.Profile{LegacyPage: "https://app.acme.dev/cli-auth"}
	for _, row := range []struct {
		reason   string
		profiles []*config.Profile
		told     []string
		reached  bool
		dryRun   bool
		signedIn bool
		want     string
	}{
		{"all is well", []*config.Profile{person}, []string{"git", "docker"}, true, false, false, "that is all: the first call of git or docker asks you to sign in, or: clerk-credential-helper login"},
		{"git alone", []*config.Profile{person}, []string{"git"}, true, false, false, "that is all: the first call of git asks you to sign in, or: clerk-credential-helper login"},
		{"a service beside a person", []*config.Profile{machine, person}, []string{"git"}, true, false, false, "that is all: the first call of git asks you to sign in, or: clerk-credential-helper login PROFILE"},
		{"two, of which login wants one named", []*config.Profile{person, never}, nil, true, false, false, "that is all: no tool asks us yet; to sign in: clerk-credential-helper login PROFILE"},
		{"the person said no", []*config.Profile{person}, nil, true, false, false, "that is all: no tool asks us yet; to sign in: clerk-credential-helper login"},
		{"no sign-in there", []*config.Profile{person}, []string{"git"}, false, false, false, "that is all, but signing in does not work yet; what is wrong: clerk-credential-helper doctor"},
		{"neither", []*config.Profile{person}, nil, false, false, false, "that is all, but signing in does not work yet; what is wrong: clerk-credential-helper doctor"},
		{"a look", []*config.Profile{person}, []string{"git"}, true, true, false, "nothing was written: without --dry-run each change is made when you say yes"},
		{"a look, and no sign-in there", []*config.Profile{person}, []string{"git"}, false, true, false, "nothing was written: without --dry-run each change is made when you say yes"},
		{"services sign no user in", []*config.Profile{machine}, []string{"git", "docker"}, true, false, false, "that is all: git and docker ask us from now on"},
		{"services, and no tool", []*config.Profile{machine}, nil, true, false, false, "that is all: no tool asks us yet"},
		{"no sign-in on demand", []*config.Profile{never}, []string{"git"}, true, false, false, "that is all: git asks us from now on; to sign in: clerk-credential-helper login"},
		{"a page of the original kind opens for login alone", []*config.Profile{page}, []string{"git"}, true, false, false, "that is all: git asks us from now on; to sign in: clerk-credential-helper login"},
		{"signed in already", []*config.Profile{person}, []string{"git", "docker"}, true, false, true, "that is all: git and docker ask us from now on"},
		{"signed in, and no tool", []*config.Profile{person}, nil, true, false, true, "that is all: no tool asks us yet; for git: clerk-credential-helper setup git"},
	} {
		got := setupCommand{DryRun: row.dryRun}.lastWords(&config.Config{Profiles: row.profiles}, row.told, row.reached, row.signedIn)
		if got != row.want {
			t.Errorf("%s: %q, not %q", row.reason, got, row.want)
		}
	}
}
