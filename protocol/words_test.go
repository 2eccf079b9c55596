package protocol

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		why  string
		err  error
		hint string
		want string
	}{
		{"nothing to say", nil, "", ""},
		{"an error", errors.New("no network"), "", "clerk-credential-helper: no network\n"},
		{"a hint", nil, "run login", "hint: run login\n"},
		{"both, in all scripts", errors.New(`münchen "日本" 🙂`), `run \login`, "clerk-credential-helper: münchen \"日本\" 🙂\nhint: run \\login\n"},

		{"line ends", errors.New("a\nb\r\nc"), "d\ne", `clerk-credential-helper: a\nb\r\nc` + "\n" + `hint: d\ne` + "\n"},
		{"ESC", errors.New("\x1b]0;title\x07"), "", `clerk-credential-helper: \x1b]0;title\a` + "\n"},
		{"C1: some terminals read U+009B as ESC [", errors.New("\u009b2J"), "", `clerk-credential-helper: \u009b2J` + "\n"},
		{"a lone byte 0x9b is not UTF-8", errors.New("\x9b2J"), "", `clerk-credential-helper: \x9b2J` + "\n"},
		{"DEL and NUL", errors.New("\x7f\x00"), "", `clerk-credential-helper: \x7f\x00` + "\n"},
		{"right-to-left override", errors.New("\u202egit\u202c"), "", `clerk-credential-helper: \u202egit\u202c` + "\n"},
		{"isolates", errors.New("\u2066x\u2069"), "", `clerk-credential-helper: \u2066x\u2069` + "\n"},
		{"invisible and line separators", errors.New("\u200b\u2028\ufeff\u00a0"), "", `clerk-credential-helper: \u200b\u2028\ufeff\u00a0` + "\n"},
		{"a tag character", errors.New("\U000e0041"), "", `clerk-credential-helper: \U000e0041` + "\n"},
	} {
		var out bytes.Buffer
		WriteMessage(&out, tt.err, tt.hint)
		if out.String() != tt.want {
			t.Errorf("%s: got %q; want %q", tt.why, &out, tt.want)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add("no network", "run login")
	f.Add("\x1b[2J\n\u202e", "\x9b")
	f.Fuzz(func(t *testing.T, text, hint string) {
		var out bytes.Buffer
		WriteMessage(&out, errors.New(text), hint)
		want := 1
		if hint != "" {
			want = 2
		}
		if strings.Count(out.String(), "\n") != want {
			t.Fatalf("not %d lines: %q", want, &out)
		}
		for _, r := range strings.ReplaceAll(out.String(), "\n", "") {
			if r < ' ' || 0x7f <= r && r < 0xa0 || 0x200b <= r && r <= 0x200f || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069 {
				t.Fatalf("%U came through: %q", r, &out)
			}
		}
	})
}
