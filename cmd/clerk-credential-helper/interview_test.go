package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/testworld"
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
		want     string
	}{
		{"all is well", []*config.Profile{person}, []string{"git", "docker"}, true, false, "that is all: the first call of git or docker asks you to sign in, or: clerk-credential-helper login"},
		{"git alone", []*config.Profile{person}, []string{"git"}, true, false, "that is all: the first call of git asks you to sign in, or: clerk-credential-helper login"},
		{"a service beside a person", []*config.Profile{machine, person}, []string{"git"}, true, false, "that is all: the first call of git asks you to sign in, or: clerk-credential-helper login PROFILE"},
		{"two, of which login wants one named", []*config.Profile{person, never}, nil, true, false, "that is all: no tool asks us yet; to sign in: clerk-credential-helper login PROFILE"},
		{"the person said no", []*config.Profile{person}, nil, true, false, "that is all: no tool asks us yet; to sign in: clerk-credential-helper login"},
		{"no sign-in there", []*config.Profile{person}, []string{"git"}, false, false, "that is all, but signing in does not work yet; what is wrong: clerk-credential-helper doctor"},
		{"neither", []*config.Profile{person}, nil, false, false, "that is all, but signing in does not work yet; what is wrong: clerk-credential-helper doctor"},
		{"a look", []*config.Profile{person}, []string{"git"}, true, true, "nothing was written: without --dry-run each change is made when you say yes"},
		{"a look, and no sign-in there", []*config.Profile{person}, []string{"git"}, false, true, "nothing was written: without --dry-run each change is made when you say yes"},
		{"services sign no user in", []*config.Profile{machine}, []string{"git", "docker"}, true, false, "that is all: git and docker ask us from now on"},
		{"services, and no tool", []*config.Profile{machine}, nil, true, false, "that is all: no tool asks us yet"},
		{"no sign-in on demand", []*config.Profile{never}, []string{"git"}, true, false, "that is all: git asks us from now on; to sign in: clerk-credential-helper login"},
		{"a page of the original kind opens for login alone", []*config.Profile{page}, []string{"git"}, true, false, "that is all: git asks us from now on; to sign in: clerk-credential-helper login"},
	} {
		got := setupCommand{DryRun: row.dryRun}.lastWords(&config.Config{Profiles: row.profiles}, row.told, row.reached)
		if got != row.want {
			t.Errorf("%s: %q, not %q", row.reason, got, row.want)
		}
	}
}

// TestSilentIssuer: who takes the connection and says nothing holds setup for one limit, not for two.
func TestSilentIssuer(t *testing.T) {
	testworld.Long(t, "the limit is waited for")
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var words bytes.Buffer
	sys := &system{stderr: &words, getenv: os.Getenv}
	begun := time.Now()
	companion, reached := interview{sys}.whatIs(t.Context(), `issuer = "http://`+listener.Addr().String()+`"`)
	took := time.Since(begun)
	if companion || reached || took < reachTime || took > 2*reachTime {
		t.Errorf("companion %v, reached %v, after %v", companion, reached, took)
	}
	if got := words.String(); !strings.Contains(got, "now: no answer came within 5s\nhint: clerk-credential-helper doctor") {
		t.Errorf("the words are\n%s", got)
	}
	words.Reset()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, reached := (interview{sys}).whatIs(ctx, `issuer = "http://`+listener.Addr().String()+`"`); reached || words.Len() > 0 {
		t.Errorf("cancelled: reached %v, %s", reached, words.String())
	}
}
