package platform

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// playOnTerminal says on its terminal what it thinks of it, or on stdout that it has none.
func playOnTerminal() error {
	tty, err := OpenTerminal()
	if err != nil {
		_, err := os.Stdout.WriteString("no terminal\n")
		return err
	}
	_, err = fmt.Fprintf(tty, "foreground=%v width=%d\n", tty.Foreground(), tty.Width())
	return errors.Join(err, tty.Close())
}

func TestShortHostname(t *testing.T) {
	for _, row := range []struct{ reason, name, want string }{
		{"plain", "laptop", "laptop"},
		{"with a domain", "laptop.acme.dev", "laptop"},
		{"empty", "", "this computer"},
		{"only a domain", ".local", "this computer"},
		{"control characters would reach pages and terminals", "lap\x1b[31m\r\ntop", "lap[31mtop"},
		{"blanks", "my laptop", "mylaptop"},
		{"outside ASCII", "Renés-Mac", "Rens-Mac"},
		{"long", strings.Repeat("a", 100), strings.Repeat("a", 63)},
	} {
		if got := shortHostname(row.name); got != row.want {
			t.Errorf("%s: shortHostname(%q) = %q, want %q", row.reason, row.name, got, row.want)
		}
	}
}
