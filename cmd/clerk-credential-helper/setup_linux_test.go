package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"clerk-credential-helper/internal/console"
)

// TestSetupInterrupted: Ctrl-C at a question is what it is everywhere else, and leaves everything as it was.
func TestSetupInterrupted(t *testing.T) {
	for _, row := range []struct {
		reason, question string
		new              bool // without a profile yet
		args             []string
	}{
		{"a change", `Make these changes\? \[Y/n\] `, false, []string{"setup", "git"}},
		{"the interview", `Key or address: `, true, []string{"setup"}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			p := sitDown(t, 80, nil)
			home := hostOf(p.env, "HOME")
			if row.new {
				if err := os.RemoveAll(filepath.Join(home, ".config")); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Remove(filepath.Join(home, ".gitconfig")); err != nil {
				t.Fatal(err)
			}
			cmd := p.run("clerk-credential-helper", row.args...)
			p.see(row.question)
			p.typeIn("\x03")
			p.end(cmd, exitInterrupted)
			if words := p.screen(); !strings.HasSuffix(words, "\nclerk-credential-helper: it was cancelled\n") {
				t.Errorf("the terminal shows\n%s", words)
			}
			if _, err := os.Lstat(filepath.Join(home, ".gitconfig")); err == nil {
				t.Error("something was written")
			}
		})
	}
}

// TestSetupWidth: at 80 columns nothing that setup says breaks inside a word.
func TestSetupWidth(t *testing.T) {
	p := sitDown(t, console.Width, nil)
	p.env = append(p.env, "CLERK_HELPER_INTERACTIVE=never") // no sign-in is offered
	home := hostOf(p.env, "HOME")
	if err := os.RemoveAll(filepath.Join(home, ".config")); err != nil {
		t.Fatal(err)
	}
	cmd := p.run("clerk-credential-helper", "setup")
	for _, step := range []struct{ question, answer string }{
		{`Key or address: $`, hostOf(p.env, "ISSUER")},
		{`Client id: $`, "sandbox-client"},
		{`Hosts: $`, "git.acme.dev"},
		{`Write this profile\? \[Y/n\] $`, ""},
		{`Make these changes\? \[y/N\] $`, "y"}, // there is a .gitconfig
	} {
		p.see(step.question)
		p.typeIn(step.answer + "\r")
	}
	p.see(`(?s)gitconfig.*(Make these changes\? \[y/N\] $|that is all)`)
	p.typeIn("n\r") // docker, where there is one
	p.see(`that is all`)
	p.end(cmd, exitOK)
	for _, args := range [][]string{{"git"}, {"terraform"}, {"pip"}, {"kubectl"}, {"npm"}} {
		p.end(p.run("clerk-credential-helper", "setup", args[0], "--yes"), exitOK)
	}
	for line := range strings.SplitSeq(p.screen(), "\n") {
		// What is shown of a file, and a path that is longer, cannot be broken.
		if strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-") || !strings.Contains(strings.TrimSpace(line), " ") {
			continue
		}
		if n := utf8.RuneCountInString(line); n > console.Width {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}
