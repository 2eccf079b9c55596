package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestPrintersReadRequest(t *testing.T) {
	want := Request{Verb: Get, Scheme: "https", Host: "api.acme.dev:8443", Path: "v1"}
	testRequests(t, []requestTest{
		{"a URL", Headers{"https://api.acme.dev:8443/v1"}, "", "", want, ""},
		{"a URL, for curl", CurlConfig{"https://api.acme.dev:8443/v1"}, "", "", want, ""},
		{"a host", Headers{"api.acme.dev"}, "", "", Request{Verb: Get, Host: "api.acme.dev"}, ""},
		{"a profile stands for it", CurlConfig{}, "", "", Request{Verb: Get}, ""},
		{"pnpm names no host", PNPM{}, "", "", Request{Verb: Get}, ""},
		{"netrc", Netrc{"https://api.acme.dev:443/v1"}, "", "", Request{Verb: Get, Scheme: "https", Host: "api.acme.dev:443", Path: "v1"}, ""},
		{"netrc, by host", Netrc{"api.acme.dev"}, "", "", Request{Verb: Get, Host: "api.acme.dev"}, ""},

		{"a line break", Headers{"https://api.acme.dev\n"}, "", "", Request{}, "control character"},
		{"no host", CurlConfig{"https://"}, "", "", Request{}, "no host"},
		{"netrc knows no ports", Netrc{"https://api.acme.dev:8443"}, "", "", Request{}, "has no ports"},
		{"netrc: the port of http", Netrc{"api.acme.dev:80"}, "", "", Request{}, "has no ports"},
		{"netrc: http", Netrc{"http://localhost"}, "", "", Request{}, "needs https"},
		{"netrc: IPv6", Netrc{"https://[::1]"}, "", "", Request{}, "has no ports"},
		{"netrc: no host", Netrc{}, "", "", Request{}, "name its URL"},
		{"netrc: a line break", Netrc{"a\nmachine b"}, "", "", Request{}, "control character"},
	})
	for _, wire := range []Wire{Headers{}, CurlConfig{}, PNPM{}, Netrc{}} {
		wire.ReadRequest("", unreadable{t})
	}
}

func TestPrintersWriteReply(t *testing.T) {
	req := Request{Verb: Get, Scheme: "https", Host: "api.acme.dev"}
	port := Request{Verb: Get, Host: "api.acme.dev.:443"}
	testReplies(t, []replyTest{
		{"headers", Headers{}, req, testFound(), `{"Authorization":"Bearer tok-123"}` + "\n", "", 0},
		{"curl", CurlConfig{}, req, testFound(), `header = "Authorization: Bearer tok-123"` + "\n", "", 0},
		{"pnpm, with its scheme: pnpm 10 sends it as it is", PNPM{}, Request{Verb: Get, Profile: "acme"}, testFound(), "Bearer tok-123\n", "", 0},
		{"netrc", Netrc{}, req, testFound(), "machine api.acme.dev login clerk password tok-123\n", "", 0},
		{"netrc: the default port is no port", Netrc{}, port, testFound(), "machine api.acme.dev login clerk password tok-123\n", "", 0},

		{"a foreign host", Headers{}, req, Reply{}, "", "clerk-credential-helper: \"api.acme.dev\" is the host of no profile\n", 1},
		{"a host of another profile", CurlConfig{}, Request{Verb: Get, Host: "h", Profile: "acme"}, Reply{}, "", "clerk-credential-helper: \"h\" is not a host of profile \"acme\"\n", 1},
		{"neither a host nor a profile", PNPM{}, Request{Verb: Get}, Reply{}, "", "clerk-credential-helper: the tool gave no host: name a profile with --profile NAME\n", 1},
		{"a sign-in is needed", CurlConfig{}, req, testNeeds(), "", testNeedsWords, 1},
		{"a failure", PNPM{}, req, Reply{Result: Failed, Err: errors.New("no")}, "", "clerk-credential-helper: no\n", 1},
	})
	for _, word := range []string{"a b", `a"b`, "a'b", `a\b`, "a#b", "a\tb"} {
		reply := testFound()
		reply.Credential.Username = word
		var stdout bytes.Buffer
		if status, err := (Netrc{}).WriteReply(&stdout, io.Discard, req, reply); err == nil || status != 1 || stdout.Len() > 0 {
			t.Errorf("netrc: %q: status %d, %v, %q", word, status, err, &stdout)
		}
	}
}

// FuzzPrinters: whatever the token, its reader gets it back whole, on one line, or nothing is written.
func FuzzPrinters(f *testing.F) {
	f.Add("tok-123", "clerk")
	f.Add(`a"b\c`, "a b")
	f.Add("a\nmachine evil", "")
	f.Fuzz(func(t *testing.T, token, user string) {
		reply := testFound()
		reply.Credential.Token, reply.Credential.Username = token, user
		for name, wire := range map[string]Wire{"headers": Headers{}, "curl": CurlConfig{}, "pnpm": PNPM{}, "netrc": Netrc{}} {
			var stdout bytes.Buffer
			status, err := wire.WriteReply(&stdout, io.Discard, Request{Verb: Get, Host: "h"}, reply)
			if err != nil {
				if status != 1 || stdout.Len() > 0 {
					t.Fatalf("%s: status %d and %q beside %v", name, status, &stdout, err)
				}
				continue
			}
			line, ok := strings.CutSuffix(stdout.String(), "\n")
			if !ok || hasControl(line) {
				t.Fatalf("%s: %q is not one line", name, &stdout)
			}
			var got string
			switch name {
			case "headers":
				var headers map[string]string
				if err := json.Unmarshal([]byte(line), &headers); err != nil || len(headers) != 1 {
					t.Fatalf("%q: %v", line, err)
				}
				got = headers["Authorization"]
			case "curl":
				// curl(1): within quotes \\ and \" are escapes.
				quoted, ok := strings.CutPrefix(line, `header = "`)
				got = strings.TrimPrefix(unquoteCurl(quoted), "Authorization: ")
				if !ok {
					t.Fatal(line)
				}
			case "pnpm":
				got = line
			case "netrc":
				words := strings.Fields(line)
				if len(words) != 6 || words[1] != "h" || words[3] != user {
					t.Fatalf("%q", line)
				}
				got = "Bearer " + words[5]
			}
			if got != "Bearer "+token {
				t.Fatalf("%s: %q came back as %q", name, token, got)
			}
		}
	})
}

// unquoteCurl reads up to the closing quote, which must be the end.
func unquoteCurl(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
		case s[i] == '"' && i == len(s)-1:
			return out.String()
		case s[i] == '"':
			return "a quote in the middle"
		}
		out.WriteByte(s[i])
	}
	return "no closing quote"
}
