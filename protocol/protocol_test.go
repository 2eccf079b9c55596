package protocol

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// testFound is an answer whose token ends at 2026-11-23T09:00:00.5Z, said in another zone.
func testFound() Reply {
	return Reply{Result: Found, Credential: Credential{
		Username: "clerk", Token: "tok-123", Expires: time.Date(2026, 11, 23, 10, 0, 0, 5e8, time.FixedZone("", 3600))}}
}

// testNeeds is an answer for a host of ours that has no token without a person.
func testNeeds() Reply {
	return Reply{Result: None, Err: errors.New("needs a sign-in"), Hint: "run: clerk-credential-helper login acme"}
}

// testNeedsWords is how testNeeds looks on stderr.
const testNeedsWords = "clerk-credential-helper: needs a sign-in\nhint: run: clerk-credential-helper login acme\n"

type replyTest struct {
	why    string
	wire   Wire
	req    Request
	reply  Reply
	stdout string
	stderr string
	status int
}

func testReplies(t *testing.T, tests []replyTest) {
	t.Helper()
	for _, tt := range tests {
		var stdout, stderr bytes.Buffer
		status, err := tt.wire.WriteReply(&stdout, &stderr, tt.req, tt.reply)
		if err != nil || status != tt.status || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
			t.Errorf("%s: status %d, error %v, stdout %q, stderr %q; want %d, %q, %q",
				tt.why, status, err, &stdout, &stderr, tt.status, tt.stdout, tt.stderr)
		}
	}
}

type requestTest struct {
	why  string
	wire Wire
	verb Verb
	in   string
	want Request
	err  string // the error's text; the request has no host then
}

func testRequests(t *testing.T, tests []requestTest) {
	t.Helper()
	for _, tt := range tests {
		got, err := tt.wire.ReadRequest(tt.verb, strings.NewReader(tt.in))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || got.Host != "" || got.Secret != "" {
				t.Errorf("%s: got %+v, %v; want the error %q and no host", tt.why, got, err, tt.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v; want %+v", tt.why, got, err, tt.want)
		}
	}
}

// toolWires are all wires that hand out a token as it is.
func toolWires() map[string]Wire {
	return map[string]Wire{
		"goauth": GOAUTH{URL: "https://h/x"}, "kube": Kube{}, "cargo": &Cargo{}, "terraform": Terraform{Host: "h"}, "bazel": Bazel{},
		"keyring": Keyring{Args: []string{"get", "h", "clerk"}}, "keyring creds": Keyring{Args: []string{"get", "h", "--mode", "creds"}},
		"headers": Headers{"h"}, "curl-config": CurlConfig{"h"}, "pnpm": PNPM{}, "netrc": Netrc{"h"}, "gcp": GCP{},
	}
}

// TestTokenThatCannotBeWritten: a token that could break a line or a header of the tool's goes nowhere.
func TestTokenThatCannotBeWritten(t *testing.T) {
	for name, wire := range toolWires() {
		for _, token := range []string{"", "tok tok", "tok\nb", "tok\r\nX-Evil: 1", "a\x00", "a\tb", "t\u00f6k", "a\xff", "\x7f"} {
			reply := testFound()
			reply.Credential.Token = token
			var stdout, stderr bytes.Buffer
			status, err := wire.WriteReply(&stdout, &stderr, Request{Verb: Get, Host: "h"}, reply)
			inBand := name == "cargo" || name == "gcp" // their failures are answers
			if inBand && (err != nil || status != 0 || strings.Contains(stdout.String(), "Ok") || strings.Contains(stdout.String(), `"success":true`)) {
				t.Errorf("%s: %q was answered with %q", name, token, &stdout)
			}
			if !inBand && (err == nil || status != 1 || stdout.Len() > 0) {
				t.Errorf("%s: %q: status %d, %v, %q", name, token, status, err, &stdout)
			}
			if all := stdout.String() + stderr.String(); len(token) > 1 && strings.Contains(all, token) {
				t.Errorf("%s: %q was shown: %q", name, token, all)
			}
		}
	}
}

// TestUserNameThatCannotBeWritten: as for tokens, on the wires that have one.
func TestUserNameThatCannotBeWritten(t *testing.T) {
	basic := Request{Verb: Get, Host: "h", Challenges: []string{"Basic"}}
	for name, wire := range map[string]Wire{"goauth": GOAUTH{URL: "https://h"}, "netrc": Netrc{"h"}, "keyring": Keyring{Args: []string{"get", "h", "--mode", "creds"}}} {
		for _, user := range []string{"", "a\nb", "a\r", "a\x00b"} {
			reply := testFound()
			reply.Credential.Username = user
			var stdout bytes.Buffer
			if status, err := wire.WriteReply(&stdout, io.Discard, basic, reply); err == nil || status != 1 || stdout.Len() > 0 {
				t.Errorf("%s: %q: status %d, %v, %q", name, user, status, err, &stdout)
			}
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestBrokenPipe(t *testing.T) {
	for name, wire := range toolWires() {
		if status, err := wire.WriteReply(brokenPipe{}, io.Discard, Request{Verb: Get, Host: "h"}, testFound()); err == nil || status != 1 {
			t.Errorf("%s: status %d, %v", name, status, err)
		}
	}
}

// TestFailureIsNeverAnAnswer: without Found there is no token on stdout, whatever the reply holds.
func TestFailureIsNeverAnAnswer(t *testing.T) {
	for name, wire := range toolWires() {
		for _, outcome := range []Result{None, Done, Failed, Refused, Result(99)} {
			for _, verb := range []Verb{Get, Store, Erase, AllLiveTokens, Login, "", "future"} {
				reply := testFound()
				reply.Result, reply.Err, reply.Hint = outcome, errors.New("no"), "run"
				reply.Tokens = map[string]Credential{"h": reply.Credential}
				var stdout bytes.Buffer
				if _, err := wire.WriteReply(&stdout, io.Discard, Request{Verb: verb, Host: "h"}, reply); err != nil || strings.Contains(stdout.String(), "tok-123") {
					t.Errorf("%s: %v, %q: %v, %q", name, outcome, verb, err, &stdout)
				}
			}
		}
	}
}

func TestReadTarget(t *testing.T) {
	for _, tt := range []struct {
		why, in string
		want    Request
	}{
		{"a host", "git.acme.dev", Request{Host: "git.acme.dev"}},
		{"a port", "git.acme.dev:8443", Request{Host: "git.acme.dev:8443"}},
		{"a URL", "https://git.acme.dev/a/b?c#d", Request{Scheme: "https", Host: "git.acme.dev", Path: "a/b?c#d"}},
		{"a host and a path", "git.acme.dev/a", Request{Host: "git.acme.dev", Path: "a"}},
		{"IPv6", "https://[::1]:8443/", Request{Scheme: "https", Host: "[::1]:8443"}},
		{"the scheme is left to the matching", "ftp://git.acme.dev", Request{Scheme: "ftp", Host: "git.acme.dev"}},

		{"user information stays in the host, which matches nothing", "https://git.acme.dev@evil.dev/", Request{Scheme: "https", Host: "git.acme.dev@evil.dev"}},
		{"a host behind a path's mark is no host", "https://evil.dev/@git.acme.dev", Request{Scheme: "https", Host: "evil.dev", Path: "@git.acme.dev"}},
		{"nor behind a query's", "evil.dev?git.acme.dev", Request{Host: "evil.dev", Path: "?git.acme.dev"}},
		{"a backslash stays in the host", `https://evil.dev\@git.acme.dev`, Request{Scheme: "https", Host: `evil.dev\@git.acme.dev`}},
		{"an encoded slash stays in the host", "https://evil.dev%2f.acme.dev", Request{Scheme: "https", Host: "evil.dev%2f.acme.dev"}},
		{"spaces stay", " git.acme.dev", Request{Host: " git.acme.dev"}},
	} {
		tt.want.Verb = Get
		if got, err := readTarget(tt.in); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v; want %+v", tt.why, got, err, tt.want)
		}
	}
	for why, in := range map[string]string{
		"nothing": "", "no host": "https://", "no host but a path": "https:///a", "only a path": "/a", "only a query": "?a",
		"no scheme": "://git.acme.dev", "LF": "git.acme.dev\n", "CR": "git.acme.dev\r", "NUL": "git.acme.dev\x00.evil.dev",
		"tab": "git.acme.dev\t", "not UTF-8": "git\xff", "too long": strings.Repeat("x", maxTarget+1),
	} {
		if got, err := readTarget(in); err == nil || got.Host != "" {
			t.Errorf("%s: got %+v, %v", why, got, err)
		}
	}
}

// checkTarget holds what every reader promises of a request that it accepts.
func checkTarget(t *testing.T, from string, req Request) {
	t.Helper()
	if !strings.Contains(from, req.Host) || strings.ContainsAny(req.Host, "/?#") || hasControl(req.Host) || hasControl(req.Scheme) || !utf8.ValidString(req.Host) {
		t.Fatalf("%q: host %q", from, req.Host)
	}
}

func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"git.acme.dev", "https://a@b/c", "[::1]:5000", "://", "a?b", "\x00", "https:///"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		req, err := readTarget(raw)
		if err != nil {
			if !reflect.DeepEqual(req, Request{}) {
				t.Fatalf("%q: %v and %+v", raw, err, req)
			}
			return
		}
		if req.Host == "" || hasControl(raw) {
			t.Fatalf("%q was accepted: %+v", raw, req)
		}
		checkTarget(t, raw, req)
		// Nothing is lost, and no user information either.
		back := req.Host
		if req.Scheme != "" {
			back = req.Scheme + "://" + back
		}
		if !strings.HasPrefix(raw, back) || !strings.HasSuffix(raw, req.Path) {
			t.Fatalf("%q was taken for %+v", raw, req)
		}
	})
}
