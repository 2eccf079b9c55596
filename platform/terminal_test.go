package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	ossignal "os/signal"
	"strings"
	"testing"
	"time"
)

// playOnTerminal says on its terminal what it thinks of it, or on stdout that it has none.
func playOnTerminal() error {
	tty, err := OpenTerminal()
	if err != nil {
		_, err := os.Stdout.WriteString("no terminal\n")
		return err
	}
	columns, _ := tty.Size()
	_, err = fmt.Fprintf(tty, "foreground=%v width=%d\n", tty.Foreground(), columns)
	return errors.Join(err, tty.Close())
}

// playReading reads lines until Ctrl-D, Ctrl-C or the second that is in its environment, and says on stdout what it got.
func playReading() error {
	tty, err := OpenTerminal()
	if err != nil {
		return err
	}
	defer tty.Close()
	limit, err := time.ParseDuration(os.Getenv("PLATFORM_TEST_LIMIT"))
	if err != nil {
		return err
	}
	return readOnce(tty, limit)
}

// playReadingAgain does so again after each Ctrl-C.
func playReadingAgain() error {
	tty, err := OpenTerminal()
	if err != nil {
		return err
	}
	defer tty.Close()
	for err == nil {
		err = readOnce(tty, 20*time.Second)
	}
	return err
}

func readOnce(tty *Terminal, limit time.Duration) error {
	ctx, stop := ossignal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := os.Stdout.WriteString("reading\n")
	if err != nil {
		return err
	}
	failed := tty.ReadLines(ctx, func(line string, tooLong bool) bool {
		_, err = fmt.Printf("%d %v %.40q\n", len(line), tooLong, line)
		return err == nil
	})
	_, err = fmt.Printf("end %v\n", failed)
	return err
}

func TestInput(t *testing.T) {
	for _, row := range []struct {
		reason, typed, want string
		tooLong             bool
	}{
		{"plain", "abc\r", "abc", false},
		{"a line feed", "abc\n", "abc", false},
		{"empty", "\r", "", false},
		{"backspace", "abx\x7fc\r", "abc", false},
		{"the other backspace", "abx\x08c\r", "abc", false},
		{"backspace before the line", "\x7f\x7fabc\r", "abc", false},
		{"kill", "xyz\x15abc\r", "abc", false},
		{"Ctrl-D in a line is nothing", "ab\x04c\r", "abc", false},
		{"a marked paste", "\x1b[200~abc\x1b[201~\r", "abc", false},
		{"control characters come through", "a\x1b[Ab\x00\r", "a\x1b[Ab\x00", false},
		{"the longest", strings.Repeat("a", maxLine) + "\r", strings.Repeat("a", maxLine), false},
		{"one more", strings.Repeat("a", maxLine+1) + "\r", "", true},
		{"much more", strings.Repeat("a", 1<<20) + "\r", "", true},
		{"too long and killed", strings.Repeat("a", 1<<20) + "\x15abc\r", "abc", false},
	} {
		var in input
		complete := false
		for _, b := range []byte(row.typed) {
			if complete {
				t.Errorf("%s: complete before its end", row.reason)
			}
			var end bool
			if complete, end = in.add(b); end {
				t.Errorf("%s: the input ended", row.reason)
			}
		}
		line, tooLong := in.take()
		if !complete || line != row.want || tooLong != row.tooLong {
			t.Errorf("%s: %q, %v, complete %v", row.reason, line, tooLong, complete)
		}
	}
	var in input
	if _, end := in.add(keyEnd); !end {
		t.Error("Ctrl-D on an empty line does not end the input")
	}
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
