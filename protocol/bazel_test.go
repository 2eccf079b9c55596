package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestBazelReadRequest(t *testing.T) {
	want := Request{Verb: Get, Scheme: "https", Host: "cache.acme.dev", Path: "ac/1"}
	testRequests(t, []requestTest{
		{"https", Bazel{}, Get, `{"uri":"https://cache.acme.dev/ac/1"}`, want, ""},
		{"gRPC over TLS", Bazel{}, Get, `{"uri":"grpcs://cache.acme.dev/ac/1"}`, want, ""},
		{"gRPC without it is left to the matching", Bazel{}, Get, `{"uri":"grpc://cache.acme.dev/ac/1"}`, Request{Verb: Get, Scheme: "http", Host: "cache.acme.dev", Path: "ac/1"}, ""},
		{"properties that may come", Bazel{}, Get, "{\"uri\":\"https://cache.acme.dev/ac/1\",\"x\":[1]}\n", want, ""},
		{"user information stays in the host", Bazel{}, Get, `{"uri":"https://cache.acme.dev@evil.dev/"}`, Request{Verb: Get, Scheme: "https", Host: "cache.acme.dev@evil.dev"}, ""},

		{"no command", Bazel{}, "", `{"uri":"https://cache.acme.dev/ac/1"}`, Request{}, "only get is known"},
		{"another command", Bazel{}, "store", `{"uri":"https://cache.acme.dev/ac/1"}`, Request{}, `unknown command "store"`},
		{"nothing", Bazel{}, Get, "", Request{}, `want a JSON object`},
		{"not JSON", Bazel{}, Get, "https://cache.acme.dev", Request{}, `want a JSON object`},
		{"a list", Bazel{}, Get, `["https://cache.acme.dev"]`, Request{}, `want a JSON object`},
		{"a URI that is no text", Bazel{}, Get, `{"uri":1}`, Request{}, `want a JSON object`},
		{"two objects", Bazel{}, Get, `{"uri":"https://a"}{"uri":"https://b"}`, Request{}, `want a JSON object`},
		{"not UTF-8", Bazel{}, Get, "{\"uri\":\"https://a\xff\"}", Request{}, `want a JSON object`},
		{"no URI", Bazel{}, Get, `{}`, Request{}, "the URL is empty"},
		{"null", Bazel{}, Get, `null`, Request{}, "the URL is empty"},
		{"a bare host", Bazel{}, Get, `{"uri":"cache.acme.dev"}`, Request{}, "a token needs https"},
		{"no host", Bazel{}, Get, `{"uri":"https:///x"}`, Request{}, "no host"},
		{"a control character", Bazel{}, Get, `{"uri":"https://cache.acme.dev\n"}`, Request{}, "control character"},
		{"too large", Bazel{}, Get, `{"uri":"https://` + strings.Repeat("x", bazelMaxRequest) + `"}`, Request{}, "larger than"},
	})
	if _, err := (Bazel{}).ReadRequest("x", unreadable{t}); err == nil {
		t.Error("an unknown command was accepted")
	}
}

func TestBazelWriteReply(t *testing.T) {
	get := Request{Verb: Get, Host: "cache.acme.dev"}
	forever := testFound()
	forever.Credential.Expires = time.Time{}
	testReplies(t, []replyTest{
		{"no fractions of a second, in UTC", Bazel{}, get, testFound(), `{"headers":{"Authorization":["Bearer tok-123"]},"expires":"2026-11-23T09:00:00Z"}` + "\n", "", 0},
		{"no end", Bazel{}, get, forever, `{"headers":{"Authorization":["Bearer tok-123"]}}` + "\n", "", 0},

		{"a foreign URI is an error", Bazel{}, get, Reply{}, "", "clerk-credential-helper: \"cache.acme.dev\" is the host of no profile\n", 1},
		{"a sign-in is needed", Bazel{}, get, testNeeds(), "", testNeedsWords, 1},
		{"a failure", Bazel{}, get, Reply{Result: Failed, Err: errors.New("no")}, "", "clerk-credential-helper: no\n", 1},
	})
}

// TestBazelSchema holds an answer to get-credentials-response.schema.json of EngFlow/credential-helper-spec: an object,
// headers an object of lists of texts, expires a text; and to the pattern that Bazel parses expires with
// (GetCredentialsResponse.java): yyyy-MM-dd'T'HH:mm:ssXXX.
func TestBazelSchema(t *testing.T) {
	var stdout bytes.Buffer
	if _, err := (Bazel{}).WriteReply(&stdout, io.Discard, Request{Verb: Get, Host: "h"}, testFound()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Headers map[string][]string `json:"headers"`
		Expires *string             `json:"expires"`
	}
	d := json.NewDecoder(&stdout)
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil || len(got.Headers["Authorization"]) != 1 || got.Expires == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if at, err := time.Parse("2006-01-02T15:04:05Z07:00", *got.Expires); err != nil || strings.Contains(*got.Expires, ".") || at.Unix() != testFound().Credential.Expires.Unix() {
		t.Errorf("expires %q: %v", *got.Expires, err)
	}
}

// FuzzBazel: an accepted URI names the host that JSON's other readers see.
func FuzzBazel(f *testing.F) {
	f.Add("https://cache.acme.dev/x", "")
	f.Add("grpcs://a@b", `,"uri":"https://x"`)
	f.Add("\x00", `,"URI":"https://x"`)
	f.Fuzz(func(t *testing.T, uri, more string) {
		in := `{"uri":` + string(mustJSON(uri)) + more + `}`
		req, err := Bazel{}.ReadRequest(Get, strings.NewReader(in))
		if err != nil {
			if req.Host != "" {
				t.Fatalf("%v and %+v", err, req)
			}
			return
		}
		var got map[string]any
		if json.Unmarshal([]byte(in), &got) != nil {
			t.Fatalf("%q is not JSON, and %+v", in, req)
		}
		if more == "" {
			checkTarget(t, got["uri"].(string), req)
		}
		if req.Scheme == "" || strings.HasPrefix(req.Scheme, "grpc") && (req.Scheme == "grpc" || req.Scheme == "grpcs") {
			t.Fatalf("%+v", req)
		}
	})
}
