package protocol

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestGOAUTHReadRequest(t *testing.T) {
	const at = "https://proxy.acme.dev/a/@v/list"
	person := Request{Verb: Get, Scheme: "https", Host: "proxy.acme.dev", Path: "a/@v/list"}
	unauthorized := func(challenges ...string) Request {
		r := person
		r.Unauthorized, r.Challenges = true, challenges
		return r
	}
	missing := person
	missing.NeverAsk = true
	testRequests(t, []requestTest{
		{"401", GOAUTH{at}, "", "HTTP/1.1 401 Unauthorized\nWww-Authenticate: Bearer realm=\"a\"\nDate: x\n\n", unauthorized(`Bearer realm="a"`), ""},
		{"HTTP/2", GOAUTH{at}, "", "HTTP/2.0 401 Unauthorized\n\n", unauthorized(), ""},
		{"403", GOAUTH{at}, "", "HTTP/1.1 403 Forbidden\n\n", person, ""},
		{"404 is no reason to ask", GOAUTH{at}, "", "HTTP/1.1 404 Not Found\n\n", missing, ""},
		{"nor is 410", GOAUTH{at}, "", "HTTP/1.1 410 Gone\n\n", missing, ""},
		{"two challenges, in order", GOAUTH{at}, "", "HTTP/1.1 401 U\nWWW-Authenticate: Basic\nwww-authenticate: Bearer\n\n", unauthorized("Basic", "Bearer"), ""},
		{"CRLF", GOAUTH{at}, "", "HTTP/1.1 401 U\r\nWWW-Authenticate: Basic\r\n\r\nbody", unauthorized("Basic"), ""},
		{"no blank line at the end", GOAUTH{at}, "", "HTTP/1.1 401 U\nWWW-Authenticate: Basic", unauthorized("Basic"), ""},
		{"no header", GOAUTH{at}, "", "HTTP/1.1 401", unauthorized(), ""},
		{"a tab in a header", GOAUTH{at}, "", "HTTP/1.1 401 U\nX: a\tb\n\n", unauthorized(), ""},
		{"a line that is no header", GOAUTH{at}, "", "HTTP/1.1 401 U\nx\n\n", unauthorized(), ""},
		{"a person", GOAUTH{at}, "", "", person, ""},

		{"http", GOAUTH{"http://proxy.acme.dev"}, "", "", Request{}, "needs https"},
		{"no scheme", GOAUTH{"proxy.acme.dev"}, "", "", Request{}, "needs https"},
		{"no host", GOAUTH{"https://"}, "", "", Request{}, "no host"},
		{"a line break in the URL", GOAUTH{"https://proxy.acme.dev\nhttps://x"}, "", "", Request{}, "control character"},
		{"not a response", GOAUTH{at}, "", "protocol=https\nhost=proxy.acme.dev\n", Request{}, "want the head of a response"},
		{"a status of four digits", GOAUTH{at}, "", "HTTP/1.1 4010 x\n\n", Request{}, "want the head of a response"},
		{"a status that is no number", GOAUTH{at}, "", "HTTP/1.1 4x1 x\n\n", Request{}, "want the head of a response"},
		{"a signed status", GOAUTH{at}, "", "HTTP/1.1 +40 x\n\n", Request{}, "want the head of a response"},
		{"another protocol", GOAUTH{at}, "", "ICY 401 x\n\n", Request{}, "want the head of a response"},
		{"a CR inside a line", GOAUTH{at}, "", "HTTP/1.1 401 U\nWWW-Authenticate: Basic\rX: y\n\n", Request{}, "control character in line 2"},
		{"NUL", GOAUTH{at}, "", "HTTP/1.1 401 U\x00\n\n", Request{}, "control character in line 1"},
		{"ESC", GOAUTH{at}, "", "HTTP/1.1 401 U\nX: \x1b[2J\n\n", Request{}, "control character"},
		{"too large", GOAUTH{at}, "", "HTTP/1.1 401 U\nX: " + strings.Repeat("x", goauthMaxResponse) + "\n\n", Request{}, "larger than"},
	})
}

// TestGOAUTHFirstCall: it reads nothing, never asks for a sign-in, and wants every live token.
func TestGOAUTHFirstCall(t *testing.T) {
	got, err := GOAUTH{}.ReadRequest("", unreadable{t})
	if err != nil || got.Verb != AllLiveTokens || !got.NeverAsk || got.Host != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestGOAUTHWriteReply(t *testing.T) {
	get := Request{Verb: Get, Scheme: "https", Host: "proxy.acme.dev", Path: "a/@v/list"}
	basic := get
	basic.Challenges = []string{`Basic realm="a, Bearer"`}
	both := get
	both.Challenges = []string{"Basic", "Bearer"}
	live := Reply{Result: Found, Tokens: map[string]Credential{"b.acme.dev:8443": testFound().Credential, "a.acme.dev": {Token: "x"}}}
	const block = "https://proxy.acme.dev\n\nAuthorization: Bearer tok-123\n\n"
	testReplies(t, []replyTest{
		{"the second call", GOAUTH{}, get, testFound(), block, "", 0},
		{"a proxy that wants Basic", GOAUTH{}, basic, testFound(), "https://proxy.acme.dev\n\nAuthorization: Basic " + base64.StdEncoding.EncodeToString([]byte("clerk:tok-123")) + "\n\n", "", 0},
		{"a proxy that takes both", GOAUTH{}, both, testFound(), block, "", 0},
		{"the first call, sorted", GOAUTH{}, Request{Verb: AllLiveTokens}, live, "https://a.acme.dev\n\nAuthorization: Bearer x\n\nhttps://b.acme.dev:8443\n\nAuthorization: Bearer tok-123\n\n", "", 0},

		{"the first call without a token is empty, not a block that deletes", GOAUTH{}, Request{Verb: AllLiveTokens}, Reply{Result: Found}, "", "", 0},
		{"the first call never fails", GOAUTH{}, Request{Verb: AllLiveTokens}, Reply{Result: Failed, Err: testNeeds().Err}, "", "clerk-credential-helper: needs a sign-in\n", 0},
		{"a foreign host", GOAUTH{}, get, Reply{}, "", "", 0},
		{"go -x shows what helps", GOAUTH{}, get, testNeeds(), "", testNeedsWords, 1},
	})
	for why, host := range map[string]string{"nothing": "", "LF": "a\nhttps://b", "a path": "a/b", "a space": "a b", "user information": "u@a", "a query": "a?b", "a fragment": "a#b"} {
		var stdout bytes.Buffer
		reply := Reply{Result: Found, Tokens: map[string]Credential{host: testFound().Credential}}
		if status, err := (GOAUTH{}).WriteReply(&stdout, io.Discard, Request{Verb: AllLiveTokens}, reply); err == nil || status != 1 || stdout.Len() > 0 {
			t.Errorf("%s: status %d, %v, %q", why, status, err, &stdout)
		}
	}
}

// readGOAUTH reads the format of "go help goauth": blocks of URLs, a blank line, header lines, a blank line; LF only.
func readGOAUTH(out string) (map[string][]string, error) {
	headers := map[string][]string{}
	for out != "" {
		var urls, fields []string
		for _, part := range []*[]string{&urls, &fields} {
			for {
				line, rest, ok := strings.Cut(out, "\n")
				if !ok || strings.Contains(line, "\r") {
					return nil, fmt.Errorf("no LF at the end of %q", line)
				}
				if out = rest; line == "" {
					break
				}
				*part = append(*part, line)
			}
		}
		if len(urls) == 0 || len(fields) == 0 {
			return nil, fmt.Errorf("a block of %d URLs and %d headers", len(urls), len(fields))
		}
		for _, u := range urls {
			if parsed, err := url.ParseRequestURI(u); err != nil || parsed.Scheme != "https" || parsed.Host == "" {
				return nil, fmt.Errorf("not an absolute https URL: %q", u)
			}
			headers[strings.TrimPrefix(u, "https://")] = fields
		}
	}
	return headers, nil
}

// FuzzGOAUTHReply: whatever is written can be read back, one header for each host, or is an error and nothing.
func FuzzGOAUTHReply(f *testing.F) {
	f.Add("proxy.acme.dev", "b:80", "tok", "Basic")
	f.Add("a\n", "[::1]", "t k", "")
	f.Add("a%zz", "b", "tok", "Bearer")
	f.Fuzz(func(t *testing.T, one, two, token, challenge string) {
		for _, host := range []string{one, two} {
			if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") != "" {
				return // The configuration lets no other host in.
			}
			if _, err := url.ParseRequestURI("https://" + host); err != nil {
				return
			}
		}
		req := Request{Verb: AllLiveTokens, Challenges: []string{challenge}}
		reply := Reply{Result: Found, Tokens: map[string]Credential{one: {Username: "clerk", Token: token}, two: {Username: "clerk", Token: token}}}
		var stdout bytes.Buffer
		status, err := GOAUTH{}.WriteReply(&stdout, io.Discard, req, reply)
		if err != nil {
			if status != 1 || stdout.Len() > 0 {
				t.Fatalf("status %d and %q beside %v", status, &stdout, err)
			}
			return
		}
		got, err := readGOAUTH(stdout.String())
		if err != nil || len(got) != len(reply.Tokens) {
			t.Fatalf("%q: %v, %v", &stdout, got, err)
		}
		for host, fields := range got {
			bearer := "Authorization: Bearer " + token
			basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("clerk:"+token))
			if len(fields) != 1 || fields[0] != bearer && fields[0] != basic {
				t.Fatalf("%q: %q", host, fields)
			}
		}
	})
}

// FuzzGOAUTHRequest: an accepted head has a status, and its challenges hold no line's end.
func FuzzGOAUTHRequest(f *testing.F) {
	f.Add("https://h/x", "HTTP/1.1 401 Unauthorized\nWww-Authenticate: Bearer\n\n")
	f.Add("https://h", "HTTP/2.0 404\r\n\r\n")
	f.Add("http://h", "\x00")
	f.Fuzz(func(t *testing.T, target, head string) {
		if target == "" {
			return
		}
		req, err := GOAUTH{target}.ReadRequest("", strings.NewReader(head))
		if err != nil {
			if req.Host != "" {
				t.Fatalf("%v and %+v", err, req)
			}
			return
		}
		checkTarget(t, target, req)
		if req.Scheme != "https" || req.Verb != Get {
			t.Fatalf("%+v", req)
		}
		first, _, _ := strings.Cut(head, "\n")
		asks := strings.Contains(first, " 401") || strings.Contains(first, " 403") || strings.TrimSuffix(first, "\r") == ""
		if req.NeverAsk == asks {
			t.Fatalf("%q: NeverAsk %v", first, req.NeverAsk)
		}
		if slices.ContainsFunc(req.Challenges, func(s string) bool { return hasControl(strings.ReplaceAll(s, "\t", "")) }) {
			t.Fatalf("%q", req.Challenges)
		}
	})
}
