package main

import (
	"strings"
	"testing"
)

// TestAgree: explain and doctor say the same of how a person is asked, which is the first step of the ladder.
func TestAgree(t *testing.T) {
	const browser, terminal = "the browser opens", "an address is shown on the terminal"
	for _, row := range []struct {
		reason  string
		change  map[string]string
		said    string // by explain and by doctor
		neither string
	}{
		{"a desktop", map[string]string{"DISPLAY": ":0"}, browser, terminal},
		{"BROWSER that is there", map[string]string{"BROWSER": "/bin/true"}, browser, terminal},
		{"SSH", map[string]string{"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"}, terminal, browser},
		{"a text console", nil, terminal, browser},
		{"BROWSER that says there is none", map[string]string{"BROWSER": "/bin/false"}, terminal, browser},
		{"BROWSER that is not there", map[string]string{"BROWSER": "nosuch --new"}, terminal, browser},
		{"CI", map[string]string{"CI": "true", "DISPLAY": ":0"}, "CI is set", browser},
		{"CLERK_HELPER_INTERACTIVE", map[string]string{"CLERK_HELPER_INTERACTIVE": "never", "DISPLAY": ":0"}, `interactive is "never"`, browser},
	} {
		t.Run(row.reason, func(t *testing.T) {
			p := sitDown(t, 200, row.change)
			cmd := p.run("sh", "-c", "clerk-credential-helper explain git.acme.dev; echo ---; clerk-credential-helper doctor --verbose; true")
			p.end(cmd, 0)
			words := func(text string) string { return strings.Join(strings.Fields(text), " ") }
			explain, doctor, _ := strings.Cut(p.seenText(), "---")
			for name, text := range map[string]string{"explain": words(explain), "doctor": words(doctor)} {
				if !strings.Contains(text, row.said) || strings.Contains(text, row.neither) {
					t.Errorf("%s does not say %q, or it says %q:\n%s", name, row.said, row.neither, text)
				}
			}
		})
	}
}
