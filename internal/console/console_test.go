package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// TestNoAnswer: a read that Ctrl-C has ended is cancelled, though the signal comes later.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if err := noAnswer(ctx); !errors.Is(err, ErrCancelled) {
			t.Errorf("Ctrl-C is %v", err)
		}
		if err := noAnswer(t.Context()); err == nil || errors.Is(err, ErrCancelled) {
			t.Errorf("the end of the input is %v", err)
		}
	})
}

// TestJSONIsPrintable: facts as JSON are read at terminals too, and hold what issuers, servers and tools have said.
func TestJSONIsPrintable(t *testing.T) {
	for _, row := range []struct{ reason, text, want string }{
		{"printable text stays", "Zoë <a@b> \"x\" 日本 🐹", `"Zoë <a@b> \"x\" 日本 🐹"`},
		{"CSI, one character to many terminals", "\u009b31m", `"\u009b31m"`},
		{"NEL and the rest of C1", "\u0080\u0085\u009f", `"\u0080\u0085\u009f"`},
		{"DEL", "\u007f", `"\u007f"`},
		{"ESC", "\x1b[2J", `"\u001b[2J"`},
		{"right-to-left override", "a\u202eb", `"a\u202eb"`},
		{"isolates and marks", "\u2066\u2069\u200e\u200f\u061c", `"\u2066\u2069\u200e\u200f\u061c"`},
		{"nothing to see", "\u200b\ufeff\u00ad", `"\u200b\ufeff\u00ad"`},
		{"blanks that are not the usual one", "\u00a0\u3000\u2028\u2029", `"\u00a0\u3000\u2028\u2029"`},
		{"tags, beyond four digits", "\U000e0041", `"\udb40\udc41"`},
		{"the last character", "\U0010ffff", `"\udbff\udfff"`},
		{"line ends inside a string", "a\nb\rc", `"a\nb\rc"`},
		{"what is not UTF-8", "\xff", `"\ufffd"`},
	} {
		var out bytes.Buffer
		if err := (&Console{Out: &out}).JSON(map[string]string{row.text: row.text}); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if !strings.Contains(text, row.want+": "+row.want) || !utf8.ValidString(text) {
			t.Errorf("%s: %q lacks %s", row.reason, text, row.want)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }) {
			t.Errorf("%s: %q is not printable", row.reason, text)
		}
		var back map[string]any // with the number of the schema
		want := strings.ToValidUTF8(row.text, "\ufffd")
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back[want] != want {
			t.Errorf("%s: it is read back as %q, %v", row.reason, back, err)
		}
	}
}
