package main

import (
	"strings"
	"testing"
)

// TestWithTokenAtTerminal: a token that is pasted is shown nowhere, however long it is, and every way out leaves the
// terminal as it was.
func TestWithTokenAtTerminal(t *testing.T) {
	t.Parallel()
	const prompt = "Paste the token for acme and press Enter; nothing is shown: "
	// More than a line discipline keeps.
	token := "ak_" + strings.Repeat("0123456789abcdef", 500)
	t.Run("pasted", func(t *testing.T) {
		p := sitDown(t, 80, nil)
		cmd := p.run("clerk-credential-helper", "login", "--with-token")
		p.see(prompt)
		p.reading()
		p.typeIn("  " + token + " \rand a second line\r")
		p.see("signed in to acme with the token; its end is not known")
		p.end(cmd, exitOK)
		if strings.Contains(p.screen(), "0123456789abcdef") || strings.Contains(p.screen(), "second line") {
			t.Errorf("the terminal shows it:\n%s", p.screen())
		}
		cmd = p.run("clerk-credential-helper", "token")
		p.end(cmd, exitOK)
		if got := strings.ReplaceAll(p.screen(), "\n", ""); !strings.Contains(got, token) {
			t.Errorf("another one was kept:\n%s", p.screen())
		}
	})
	for _, row := range []struct {
		reason, typed string
		args          []string
		status        int
		says          string
	}{
		{"Ctrl-C", "ak_1\x03", nil, exitInterrupted, "it was cancelled"},
		{"Ctrl-D", "\x04", nil, exitUsage, "no token was given"},
		{"nobody comes", "", []string{"--timeout", "4s"}, exitFailed, "no token came on standard input within 4s"},
		{"a secret key", "sk_live_1\r", nil, exitFailed, "secret key of Clerk's Backend API"},
		{"a page of text", strings.Repeat("x", 20_000) + "\r", nil, exitUsage, "more than 16384 bytes"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			p := sitDown(t, 80, nil)
			cmd := p.run("clerk-credential-helper", append([]string{"login", "--with-token"}, row.args...)...)
			p.see(prompt)
			p.reading()
			p.typeIn(row.typed)
			p.see(row.says)
			p.end(cmd, row.status)
			if strings.Contains(p.screen(), "ak_1") || strings.Contains(p.screen(), "sk_live") || strings.Contains(p.screen(), "xxxx") {
				t.Errorf("the terminal shows it:\n%s", p.screen())
			}
		})
	}
}
