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

func TestShown(t *testing.T) {
	for _, tt := range []struct{ why, in, want string }{
		{"a host", "git.acme.dev", "git.acme.dev"},
		{"a URL", "https://git.acme.dev:8443/a?b=c#d", "https://git.acme.dev:8443/a?b=c#d"},
		{"an npm scope", "https://npm.acme.dev/@acme/x", "https://npm.acme.dev/@acme/x"},
		{"an npm scope behind a port", "https://npm.acme.dev:8443/@acme/x", "https://npm.acme.dev:8443/@acme/x"},
		{"an npm scope on an IPv6 host", "http://[::1]/@acme/x", "http://[::1]/@acme/x"},
		{"a word", "frobnicate", "frobnicate"},
		{"nothing", "", ""},

		{"a user and a password", "https://bob:hunter2@git.acme.dev/a", "https://git.acme.dev/a"},
		{"without a scheme", "bob:hunter2@git.acme.dev", "git.acme.dev"},
		{"a token in the user's place", "https://hunter2@git.acme.dev", "https://git.acme.dev"},
		{"no user", "https://:hunter2@git.acme.dev", "https://git.acme.dev"},
		{"an npm scope behind it", "https://bob:hunter2@npm.acme.dev/@acme/x", "https://npm.acme.dev/@acme/x"},
		{"no host", "https://bob:hunter2@", "https://"},
		{"an @ in the password", "https://bob:hun@ter2@git.acme.dev", "https://git.acme.dev"},
		{"a slash in the password", "https://bob:hun/ter2@git.acme.dev/a", "https://git.acme.dev/a"},
		{"a question mark in the password", "bob:hun?ter2@git.acme.dev", "git.acme.dev"},
		{"a number sign in the password", "bob:hun#ter2@git.acme.dev", "git.acme.dev"},
		{"all of them in the password", "https://bob:h@u:n/t@e?r2@git.acme.dev", "https://git.acme.dev"},
		{"an encoded @", "https://bob:hunter2%40git.acme.dev", "https://git.acme.dev"},
		{"all encoded", "bob%3Ahunter2%40git.acme.dev", "git.acme.dev"},
		{"a backslash", `https://bob:hunter2\@git.acme.dev`, "https://git.acme.dev"},
		{"an option", "--bob:hunter2@git.acme.dev", "git.acme.dev"},
		{"words before it", "no such flag: -https://bob:hunter2@git.acme.dev", "no such flag: -https://git.acme.dev"},
		{"no scheme before ://", "://bob:hunter2@git.acme.dev", "://git.acme.dev"},
		{"three slashes", "https:///bob:hunter2@git.acme.dev", "https://git.acme.dev"},
		{"a scheme twice", "https://https://bob:hunter2@git.acme.dev", "https://git.acme.dev"},
	} {
		if got := Shown(tt.in); got != tt.want {
			t.Errorf("%s: %q is shown as %q, not %q", tt.why, tt.in, got, tt.want)
		}
	}
	for _, address := range []string{"https://bob:hun/ter2@git.acme.dev", "https://bob:hunter2@git.acme.dev", "bob:hun?ter2@git.acme.dev/x"} {
		if req, err := readTarget(address); err != nil || req.Shown() != "git.acme.dev" {
			t.Errorf("the host of %q is shown as %q (%v)", address, req.Shown(), err)
		}
	}
}

// FuzzShown: what stands before the last "@" of a host is never shown, and nothing is added.
func FuzzShown(f *testing.F) {
	for _, seed := range []string{"https://bob:hunter2@git.acme.dev/@a", "a:b/c@d", "%40", "@@", "://@", "[::1]:5/@"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := Shown(raw)
		if Shown(got) != got || len(got) > len(raw) {
			t.Fatalf("%q is shown as %q, and that as %q", raw, got, Shown(got))
		}
		if strings.Contains(raw, "hunter2") {
			return // it is no password there
		}
		if req, err := readTarget("bob:hunter2@" + raw); err == nil && strings.Contains(req.Shown(), "hunter2") {
			t.Fatalf("%q: %q is shown", raw, req.Shown())
		}
	})
}
