package console

import (
	"bytes"
	"strings"
	"testing"
)

// TestStyle: colours and signs are for terminals, and for people who have not said otherwise.
func TestStyle(t *testing.T) {
	for _, row := range []struct {
		reason       string
		terminal     bool
		env          map[string]string
		sequences    bool
		colour, sign bool
	}{
		{"a terminal", true, map[string]string{"TERM": "xterm-256color", "LANG": "C.UTF-8"}, true, true, true},
		{"a terminal in a container without a locale", true, map[string]string{"TERM": "xterm"}, true, true, true},
		{"CLICOLOR asks for what is there anyway", true, map[string]string{"TERM": "xterm", "CLICOLOR": "1"}, true, true, true},
		{"a console of Windows has no TERM", true, map[string]string{"OS": "Windows_NT"}, true, true, true},
		{"colours are forced into a pipe, signs are not", false, map[string]string{"CLICOLOR_FORCE": "1"}, false, true, false},
		{"an empty NO_COLOR is none", true, map[string]string{"TERM": "xterm", "NO_COLOR": ""}, true, true, true},

		{"a pipe", false, map[string]string{"TERM": "xterm-256color", "LANG": "C.UTF-8"}, true, false, false},
		{"a pipe, with CLICOLOR", false, map[string]string{"TERM": "xterm", "CLICOLOR": "1"}, true, false, false},
		{"CLICOLOR_FORCE is 0", false, map[string]string{"CLICOLOR_FORCE": "0"}, true, false, false},
		{"NO_COLOR", true, map[string]string{"TERM": "xterm", "NO_COLOR": "0"}, true, false, true},
		{"NO_COLOR takes precedence", true, map[string]string{"TERM": "xterm", "NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, true, false, true},
		{"CLICOLOR is 0", true, map[string]string{"TERM": "xterm", "CLICOLOR": "0"}, true, false, true},
		{"a dumb terminal", true, map[string]string{"TERM": "dumb"}, true, false, false},
		{"no TERM", true, nil, true, false, false},
		{"a console that takes no sequences", true, map[string]string{"OS": "Windows_NT"}, false, false, true},
		{"a locale without such letters", true, map[string]string{"TERM": "xterm", "LC_ALL": "C", "LANG": "C.UTF-8"}, true, true, false},
	} {
		got := styleOf(row.terminal, func(name string) string { return row.env[name] }, func() bool { return row.sequences })
		if got != (style{row.colour, row.sign}) {
			t.Errorf("%s: %+v", row.reason, got)
		}
	}
}

// TestMark: the word says it all; a sign and a colour stand beside it and move nothing.
func TestMark(t *testing.T) {
	long := "store: " + strings.Repeat("word ", 12) + "end"
	plain := style{}.mark(Bad, long, 60)
	if want := "  FAILED     store: " + strings.Repeat("word ", 8) + "\n"; !strings.HasPrefix(plain, strings.TrimSuffix(want, " \n")+"\n             word") {
		t.Errorf("%q", plain)
	}
	for outcome, want := range map[Outcome]string{Good: "  ✓ ok       store", Doubtful: "  ! warning  store", Bad: "  ✗ FAILED   store"} {
		signed := style{signs: true}.mark(outcome, "store", 60)
		if signed != want {
			t.Errorf("%q, not %q", signed, want)
		}
		coloured := style{signs: true, colour: true}.mark(outcome, "store", 60)
		if !strings.Contains(coloured, "\x1b[3") || strings.Count(coloured, "\x1b[0m") != 1 || unpainted(coloured) != want {
			t.Errorf("%q", coloured)
		}
	}
	for outcome, sign := range map[Outcome]string{Good: "\x1b[32m✓\x1b[0m ", Doubtful: "\x1b[33m!\x1b[0m ", Bad: "\x1b[31m✗\x1b[0m "} {
		verdict, ok := strings.CutPrefix(style{signs: true, colour: true}.verdict(outcome, strings.Repeat("word ", 15), 60), sign)
		if !ok {
			t.Errorf("%q is not behind %q", verdict, sign)
		}
		for line := range strings.SplitSeq(verdict, "\n") { // each line ends what it begins, and has no colour but its sign's
			if !strings.HasPrefix(line, "\x1b[1m") || !strings.HasSuffix(line, "\x1b[0m") || strings.Contains(line, "\x1b[3") || len(unpainted(line)) > 62 {
				t.Errorf("%q", line)
			}
		}
	}
}

func unpainted(text string) string {
	return strings.NewReplacer("\x1b[1m", "", "\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(text)
}

// TestMarkEscapes: a mark is made of our words, and its text of others'.
func TestMarkEscapes(t *testing.T) {
	var out bytes.Buffer
	c := &Console{Out: &out, Getenv: func(string) string { return "" }}
	c.Mark(&out, Bad, "issuer: \x1b[2J\u009b31m")
	c.Verdict(Bad, "issuer: \x1b[2J")
	if strings.ContainsAny(out.String(), "\x1b\u009b") || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%q", out.String())
	}
}
