package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func testDocker() Docker { return Docker{Program: "docker-credential-clerk", Version: "1.2.3"} }

func TestDockerReadServer(t *testing.T) {
	for _, tt := range []struct {
		why, in string
		want    Request
	}{
		{"what every client sends: a host, no newline", "registry.acme.dev", Request{ServerURL: "registry.acme.dev", Scheme: "https", Host: "registry.acme.dev"}},
		{"a port", "127.0.0.1:5001", Request{ServerURL: "127.0.0.1:5001", Scheme: "https", Host: "127.0.0.1:5001"}},
		{"a person's echo", "registry.acme.dev\n", Request{ServerURL: "registry.acme.dev", Scheme: "https", Host: "registry.acme.dev"}},
		{"a person's echo on Windows", "registry.acme.dev \r\n", Request{ServerURL: "registry.acme.dev", Scheme: "https", Host: "registry.acme.dev"}},
		{"spaces around", "  registry.acme.dev ", Request{ServerURL: "registry.acme.dev", Scheme: "https", Host: "registry.acme.dev"}},
		{"go-containerregistry asks for the repository first", "registry.acme.dev/team/app", Request{ServerURL: "registry.acme.dev/team/app", Scheme: "https", Host: "registry.acme.dev", Path: "team/app"}},
		{"Docker Hub", "https://index.docker.io/v1/", Request{ServerURL: "https://index.docker.io/v1/", Scheme: "https", Host: "index.docker.io", Path: "v1/"}},
		{"Hub's pseudo-key at logout", "https://index.docker.io/v1/refresh-token", Request{ServerURL: "https://index.docker.io/v1/refresh-token", Scheme: "https", Host: "index.docker.io", Path: "v1/refresh-token"}},
		{"docker logout tries http too", "http://registry.acme.dev", Request{ServerURL: "http://registry.acme.dev", Scheme: "http", Host: "registry.acme.dev"}},
		{"IPv6", "[::1]:5000", Request{ServerURL: "[::1]:5000", Scheme: "https", Host: "[::1]:5000"}},
		{"IPv6 as a URL", "https://[::1]:5000/v2/", Request{ServerURL: "https://[::1]:5000/v2/", Scheme: "https", Host: "[::1]:5000", Path: "v2/"}},
		{"another scheme is left to the matching", "oci://registry.acme.dev", Request{ServerURL: "oci://registry.acme.dev", Scheme: "oci", Host: "registry.acme.dev"}},
		{"a query", "https://h/?a=b", Request{ServerURL: "https://h/?a=b", Scheme: "https", Host: "h", Path: "?a=b"}},

		{"user information stays in the host", "https://registry.acme.dev@evil.example/", Request{ServerURL: "https://registry.acme.dev@evil.example/", Scheme: "https", Host: "registry.acme.dev@evil.example"}},
		{"user information without a scheme", "evil.example@registry.acme.dev", Request{ServerURL: "evil.example@registry.acme.dev", Scheme: "https", Host: "evil.example@registry.acme.dev"}},
		{"a host behind a query's mark is no host", "evil.example?@registry.acme.dev", Request{ServerURL: "evil.example?@registry.acme.dev", Scheme: "https", Host: "evil.example", Path: "?@registry.acme.dev"}},
		{"a host behind a fragment's mark is no host", "evil.example#registry.acme.dev", Request{ServerURL: "evil.example#registry.acme.dev", Scheme: "https", Host: "evil.example", Path: "#registry.acme.dev"}},
		{"a backslash stays in the host", `registry.acme.dev\@evil.example`, Request{ServerURL: `registry.acme.dev\@evil.example`, Scheme: "https", Host: `registry.acme.dev\@evil.example`}},
		{"an encoded slash stays in the host", "registry.acme.dev%2fx", Request{ServerURL: "registry.acme.dev%2fx", Scheme: "https", Host: "registry.acme.dev%2fx"}},
		{"no host", "https://", Request{ServerURL: "https://", Scheme: "https"}},
		{"no host but a path", "/registry.acme.dev", Request{ServerURL: "/registry.acme.dev", Scheme: "https", Path: "registry.acme.dev"}},
		{"no scheme before ://", "://registry.acme.dev", Request{ServerURL: "://registry.acme.dev", Scheme: "https", Host: ":", Path: "/registry.acme.dev"}},
		{"spaces inside stay", "a b", Request{ServerURL: "a b", Scheme: "https", Host: "a b"}},
	} {
		for _, verb := range []Verb{Get, Erase} {
			tt.want.Verb = verb
			got, err := testDocker().ReadRequest(verb, strings.NewReader(tt.in))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: %s: got %+v, %v; want %+v", tt.why, verb, got, err, tt.want)
			}
		}
	}
}

func TestDockerReadServerRefuses(t *testing.T) {
	const onlyOne = "want one server URL without control characters"
	for _, tt := range []struct{ why, in, want string }{
		{"nothing", "", "no credentials server URL"},
		{"an empty line", "\n", "no credentials server URL"},
		{"spaces", "   \r\n", "no credentials server URL"},
		{"two lines: a scanner would join them", "registry.acme.dev\n.evil.example", onlyOne},
		{"two newlines at the end", "registry.acme.dev\n\n", onlyOne},
		{"a newline before", "\nregistry.acme.dev", onlyOne},
		{"a CR inside", "registry.acme.dev\rx", onlyOne},
		{"a lone CR at the end", "registry.acme.dev\r", onlyOne},
		{"two CRs at the end", "registry.acme.dev\r\r\n", onlyOne},
		{"NUL", "registry.acme.dev\x00", onlyOne},
		{"ESC", "\x1b[2Jregistry.acme.dev", onlyOne},
		{"tab", "\tregistry.acme.dev", onlyOne},
		{"DEL", "registry.acme.dev\x7f", onlyOne},
		{"git's wire", "protocol=https\nhost=registry.acme.dev\n", onlyOne},
		{"not UTF-8: JSON could not echo it", "registry\xff", onlyOne},
		{"too long", strings.Repeat("x", 64<<10+1), "the request is larger than 65536 bytes"},
	} {
		for _, verb := range []Verb{Get, Erase} {
			got, err := testDocker().ReadRequest(verb, strings.NewReader(tt.in))
			if err == nil || err.Error() != tt.want || !reflect.DeepEqual(got, Request{Verb: verb}) {
				t.Errorf("%s: %s: got %+v, %v; want nothing and %s", tt.why, verb, got, err, tt.want)
			}
		}
	}
	long := strings.Repeat("x", 64<<10)
	if got, err := testDocker().ReadRequest(Get, strings.NewReader(long)); err != nil || got.Host != long {
		t.Errorf("64 KiB are allowed: got a host of %d bytes, %v", len(got.Host), err)
	}
}

func TestDockerReadStore(t *testing.T) {
	for _, tt := range []struct {
		why, in string
		want    Request
	}{
		{"docker's form", `{"ServerURL":"h:5000","Username":"u","Secret":"s"}` + "\n", Request{ServerURL: "h:5000", Scheme: "https", Host: "h:5000", Username: "u", Secret: "s"}},
		{"escaped angle brackets", `{"ServerURL":"h","Username":"\u003ctoken\u003e","Secret":"s"}`, Request{ServerURL: "h", Scheme: "https", Host: "h", Username: "<token>", Secret: "s"}},
		{"plain angle brackets", `{"ServerURL":"h","Username":"<token>","Secret":"s"}`, Request{ServerURL: "h", Scheme: "https", Host: "h", Username: "<token>", Secret: "s"}},
		{"a registry whose password is a key file", `{"ServerURL":"h","Username":"_json_key","Secret":"{\n}\n"}`, Request{ServerURL: "h", Scheme: "https", Host: "h", Username: "_json_key", Secret: "{\n}\n"}},
		{"an empty secret", `{"ServerURL":"h","Username":"u"}`, Request{ServerURL: "h", Scheme: "https", Host: "h", Username: "u"}},
		{"unknown keys", `{"ServerURL":"h","Username":"u","Secret":"s","Future":{}}`, Request{ServerURL: "h", Scheme: "https", Host: "h", Username: "u", Secret: "s"}},
	} {
		tt.want.Verb = Store
		got, err := testDocker().ReadRequest(Store, strings.NewReader(tt.in))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v; want %+v", tt.why, got, err, tt.want)
		}
	}

	const notJSON = "want a JSON object with ServerURL, Username and Secret"
	for _, tt := range []struct{ why, in, want string }{
		{"nothing", "", notJSON},
		{"a URL", "https://h", notJSON},
		{"an array", `["hunter2"]`, notJSON},
		{"a number as the secret", `{"ServerURL":"h","Username":"u","Secret":12}`, notJSON},
		{"cut off", `{"ServerURL":"h","Username":"u","Secret":"hunter2`, notJSON},
		{"something behind it", `{"ServerURL":"h","Username":"u","Secret":"hunter2"}{}`, notJSON},
		{"not UTF-8: the secret would be changed", "{\"ServerURL\":\"h\",\"Username\":\"u\",\"Secret\":\"hunter2\xff\"}", notJSON},
		{"null", "null", "no credentials server URL"},
		{"no server", `{"Username":"u","Secret":"hunter2"}`, "no credentials server URL"},
		{"an empty server", `{"ServerURL":" ","Username":"u","Secret":"hunter2"}`, "no credentials server URL"},
		{"no user", `{"ServerURL":"h","Secret":"hunter2"}`, "no credentials username"},
		{"LF in the server", `{"ServerURL":"h\nx","Username":"u","Secret":"hunter2"}`, "want one server URL without control characters"},
		{"NUL in the server", `{"ServerURL":"h\u0000","Username":"u","Secret":"hunter2"}`, "want one server URL without control characters"},
		{"CR in the user", `{"ServerURL":"h","Username":"u\r","Secret":"hunter2"}`, "there is a control character in the user name"},
		{"a server that get would refuse", `{"ServerURL":"` + strings.Repeat("x", 64<<10+1) + `","Username":"u"}`, "the server URL is longer than 65536 bytes"},
		{"too long", `{"ServerURL":"h","Username":"u","Secret":"` + strings.Repeat("x", 1<<20) + `"}`, "the request is larger than 1048576 bytes"},
	} {
		got, err := testDocker().ReadRequest(Store, strings.NewReader(tt.in))
		if err == nil || err.Error() != tt.want || !reflect.DeepEqual(got, Request{Verb: Store}) {
			t.Errorf("%s: got %+v, %v; want nothing and %s", tt.why, got, err, tt.want)
		}
	}
}

func TestDockerReadRequestOtherVerbsReadNothing(t *testing.T) {
	for _, verb := range []Verb{List, Version, Capability, "", "future"} {
		got, err := testDocker().ReadRequest(verb, unreadable{t})
		if err != nil || !reflect.DeepEqual(got, Request{Verb: verb}) {
			t.Errorf("%q: got %+v, %v", verb, got, err)
		}
	}
}

func TestDockerWriteReply(t *testing.T) {
	get := Request{Verb: Get, ServerURL: "https://h/v1/?a=<b>&c", Host: "h"}
	credential := Credential{Username: "clerk", Token: "tok-1", Expires: time.Unix(1800000000, 0), Auth: AuthBearer}
	found := Reply{Result: Found, Credential: credential, Err: errors.New("warning"), Hint: "hint"}
	identity := found
	identity.Credential.IdentityToken = true
	foreign := Reply{Result: Found, Credential: Credential{Username: "_json_key", Token: "{\n}\r\n"}}
	boom := errors.New("no network")
	const notFound = "credentials not found in native keychain\n"

	for _, tt := range []struct {
		why            string
		req            Request
		reply          Reply
		stdout, stderr string
		status         int
	}{
		{"get: the server as asked, nothing on stderr", get, found, `{"ServerURL":"https://h/v1/?a=<b>&c","Username":"clerk","Secret":"tok-1"}` + "\n", "", 0},
		{"get: an identity token", get, identity, `{"ServerURL":"https://h/v1/?a=<b>&c","Username":"<token>","Secret":"tok-1"}` + "\n", "", 0},
		{"get: a foreign secret with line breaks stays on one line", get, foreign, `{"ServerURL":"https://h/v1/?a=<b>&c","Username":"_json_key","Secret":"{\n}\r\n"}` + "\n", "", 0},
		{"get: none is exactly this text", get, Reply{}, notFound, "", 1},
		{"get: none with words for the person", get, Reply{Err: boom, Hint: "run login"}, notFound, "clerk-credential-helper: no network\nhint: run login\n", 1},
		{"get: done is nothing found", get, Reply{Result: Done}, notFound, "", 1},
		{"get: failed speaks on stdout", get, Reply{Result: Failed, Err: boom, Hint: "try again"}, "clerk-credential-helper: no network; hint: try again\n", "", 1},
		{"get: refused speaks on stdout", get, Reply{Result: Refused, Err: boom}, "clerk-credential-helper: no network\n", "", 1},
		{"get: failed without an error", get, Reply{Result: Failed}, "clerk-credential-helper: failed\n", "", 1},
		{"get: an error with the magic words is no not-found", get, Reply{Result: Failed, Err: errors.New(strings.TrimSpace(notFound))}, "clerk-credential-helper: " + notFound, "", 1},
		{"get: an error of several lines is one", get, Reply{Result: Failed, Err: errors.New("a\nb\x1b[2J"), Hint: "c\nd"}, `clerk-credential-helper: a\nb\x1b[2J; hint: c\nd` + "\n", "", 1},
		{"get: no server, in the protocol's words", Request{Verb: Get}, Reply{Result: Failed, Err: errNoServerURL, Hint: "x"}, "no credentials server URL\n", "", 1},
		{"store: no user, in the protocol's words", Request{Verb: Store}, Reply{Result: Failed, Err: fmt.Errorf("read: %w", errNoUsername)}, "no credentials username\n", "", 1},
		{"store: done", Request{Verb: Store}, Reply{Result: Done}, "", "", 0},
		{"store: dropped with a notice", Request{Verb: Store}, Reply{Result: Done, Hint: "this password was not kept"}, "", "hint: this password was not kept\n", 0},
		{"store: none is no failure, or docker login would fail", Request{Verb: Store}, Reply{}, "", "", 0},
		{"store prints no credential", Request{Verb: Store}, Reply{Result: Found, Credential: credential}, "", "", 0},
		{"store: failed", Request{Verb: Store}, Reply{Result: Failed, Err: boom}, "clerk-credential-helper: no network\n", "", 1},
		{"erase: done with a notice", Request{Verb: Erase}, Reply{Result: Done, Hint: "still signed in"}, "", "hint: still signed in\n", 0},
		{"erase: nothing there, four spellings in a row", Request{Verb: Erase}, Reply{}, "", "", 0},
		{"list: empty, not null", Request{Verb: List}, Reply{Result: Found}, "{}\n", "", 0},
		{"list: none is an empty list", Request{Verb: List}, Reply{}, "{}\n", "", 0},
		{"list: what is missing is said beside it", Request{Verb: List}, Reply{Result: Found, Err: boom}, "{}\n", "clerk-credential-helper: no network\n", 0},
		{"another helper's words are passed on as they stand", get, Reply{Result: Failed, Err: &VerbatimError{"error: \"x\""}, Hint: "no hint"}, "error: \"x\"\n", "", 1},
		{"list: sorted", Request{Verb: List}, Reply{Result: Found, Entries: map[string]string{"b": "2", "a": "<token>", "https://c/v1/": "3"}}, `{"a":"<token>","b":"2","https://c/v1/":"3"}` + "\n", "", 0},
		{"list: failed", Request{Verb: List}, Reply{Result: Failed, Err: boom}, "clerk-credential-helper: no network\n", "", 1},
		{"version", Request{Verb: Version}, Reply{}, "docker-credential-clerk (clerk-credential-helper) 1.2.3\n", "", 0},
		{"version does not depend on the session", Request{Verb: Version}, Reply{Result: Failed, Err: boom}, "docker-credential-clerk (clerk-credential-helper) 1.2.3\n", "", 0},
		{"unknown verb", Request{Verb: "x"}, found, "docker-credential-clerk: unknown action: \"x\"\n", "", 1},
		{"unknown verb, hostile", Request{Verb: "x\n\x1b"}, found, `docker-credential-clerk: unknown action: "x\n\x1b"` + "\n", "", 1},
		{"git's capability is unknown here", Request{Verb: Capability}, Reply{}, "docker-credential-clerk: unknown action: \"capability\"\n", "", 1},
		{"no verb", Request{}, Reply{}, "docker-credential-clerk: unknown action: \"\"\n", "", 1},
	} {
		var stdout, stderr bytes.Buffer
		status, err := testDocker().WriteReply(&stdout, &stderr, tt.req, tt.reply)
		if err != nil || status != tt.status || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
			t.Errorf("%s: got status %d, %v\nstdout %q\nstderr %q\nwant status %d\nstdout %q\nstderr %q",
				tt.why, status, err, &stdout, &stderr, tt.status, tt.stdout, tt.stderr)
		}
	}
}

func TestDockerWriteReplyRefuses(t *testing.T) {
	entry := func(server, user string) Reply {
		return Reply{Result: Found, Entries: map[string]string{"a": "b", server: user}}
	}
	credential := func(user, token string) Reply {
		return Reply{Result: Found, Credential: Credential{Username: user, Token: token}}
	}
	for _, tt := range []struct {
		why   string
		req   Request
		reply Reply
	}{
		{"no token: an empty success is worse than nothing found", Request{Verb: Get, ServerURL: "h"}, credential("clerk", "")},
		{"no user name", Request{Verb: Get, ServerURL: "h"}, credential("", "t")},
		{"an identity token without a token", Request{Verb: Get, ServerURL: "h"}, Reply{Result: Found, Credential: Credential{IdentityToken: true}}},
		{"LF in the user name", Request{Verb: Get, ServerURL: "h"}, credential("a\nb", "t")},
		{"CR in the user name", Request{Verb: Get, ServerURL: "h"}, credential("a\r", "t")},
		{"NUL in the user name", Request{Verb: Get, ServerURL: "h"}, credential("\x00", "t")},
		{"LF in the server", Request{Verb: Get, ServerURL: "h\n"}, credential("a", "t")},
		{"a secret that JSON would change", Request{Verb: Get, ServerURL: "h"}, credential("a", "t\xff")},
		{"LF in a listed server", Request{Verb: List}, entry("h\nx", "u")},
		{"ESC in a listed user", Request{Verb: List}, entry("h", "\x1b")},
		{"a listed server that JSON would change", Request{Verb: List}, entry("h\xff", "u")},
	} {
		var stdout, stderr bytes.Buffer
		status, err := testDocker().WriteReply(&stdout, &stderr, tt.req, tt.reply)
		if status != 1 || err == nil || stdout.Len() > 0 || stderr.Len() > 0 {
			t.Errorf("%s: got status %d, %v, stdout %q; want 1, an error, nothing", tt.why, status, err, &stdout)
		}
	}
}

func TestDockerWriteReplyBrokenPipe(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	for _, verb := range []Verb{Get, List, Version, "x"} {
		status, err := testDocker().WriteReply(w, io.Discard, Request{Verb: verb, ServerURL: "h"}, Reply{})
		if status != 1 || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: got status %d, %v; want 1 and the writer's error", verb, status, err)
		}
	}
}

// FuzzDockerServer: a server's name comes back as sent, and its host is a piece of it that no separator can enter.
func FuzzDockerServer(f *testing.F) {
	for _, seed := range []string{"registry.acme.dev", "[::1]:5000", "https://index.docker.io/v1/", "a@b", "h/repo", "h\n", "h\r\n", "\x00", "://", "https://a?b#c/d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, server string) {
		want := strings.Trim(server, " ")
		bad := want == "" || len(server) > 64<<10 || !utf8.ValidString(want) || strings.ContainsFunc(want, func(r rune) bool { return r < ' ' || r == 0x7f })
		got, err := testDocker().ReadRequest(Get, strings.NewReader(server))
		if bad && err == nil && !strings.HasSuffix(server, "\n") {
			t.Fatalf("%q was accepted as %+v", server, got)
		}
		if bad {
			return
		}
		if err != nil || got.ServerURL != want {
			t.Fatalf("%q: got %+v, %v", server, got, err)
		}
		if !strings.Contains(want, got.Host) || strings.ContainsAny(got.Host, "/?#") {
			t.Fatalf("%q: host %q", server, got.Host)
		}
		if before, _, ok := strings.Cut(want, "@"); ok && !strings.ContainsAny(before, "/?#") && !strings.Contains(got.Host, "@") {
			t.Fatalf("%q: the user information was dropped: %q", server, got.Host)
		}
	})
}

// FuzzDockerStore: what a client encodes is what is read.
func FuzzDockerStore(f *testing.F) {
	f.Add("registry.acme.dev", "<token>", "a\n\"b\\", true)
	f.Add("h\n", "u", "s", false)
	f.Add("h", "u\x00", "s\x00", false)
	f.Fuzz(func(t *testing.T, server, username, secret string, escape bool) {
		if !utf8.ValidString(server) || !utf8.ValidString(username) || !utf8.ValidString(secret) {
			return // No client can encode it.
		}
		var in bytes.Buffer
		enc := json.NewEncoder(&in)
		enc.SetEscapeHTML(escape)
		if err := enc.Encode(map[string]string{"ServerURL": server, "Username": username, "Secret": secret}); err != nil {
			t.Fatal(err)
		}
		size := in.Len()
		got, err := testDocker().ReadRequest(Store, &in)
		server = strings.Trim(server, " ")
		control := strings.ContainsFunc(server+username, func(r rune) bool { return r < ' ' || r == 0x7f })
		if size > 1<<20 || len(server) > 64<<10 || control || server == "" || username == "" {
			if err == nil {
				t.Fatalf("accepted %+v", got)
			}
			return
		}
		if err != nil || got.ServerURL != server || got.Username != username || got.Secret != secret {
			t.Fatalf("got %+v, %v", got, err)
		}
	})
}

// FuzzDockerReply: whatever the values hold, stdout is one line, and the client decodes what was meant.
func FuzzDockerReply(f *testing.F) {
	f.Add("get", "h", "clerk", "tok\n", "no network", 1, false)
	f.Add("list", "h\n", "clerk", "", "a\nb", 0, true)
	f.Add("x\n", "h", "clerk", "", "credentials not found in native keychain", 3, true)
	f.Fuzz(func(t *testing.T, verb, server, username, token, failure string, outcome int, identity bool) {
		reply := Reply{
			Result:     Result(outcome),
			Credential: Credential{Username: username, Token: token, IdentityToken: identity},
			Entries:    map[string]string{server: username},
			Err:        errors.New(failure),
			Hint:       failure,
		}
		var stdout, stderr bytes.Buffer
		status, err := testDocker().WriteReply(&stdout, &stderr, Request{Verb: Verb(verb), ServerURL: server}, reply)
		if err != nil {
			if status != 1 || stdout.Len() > 0 {
				t.Fatalf("status %d and %q beside error %v", status, &stdout, err)
			}
			return
		}
		out := stdout.String()
		if strings.Count(out, "\n") > 1 || strings.ContainsAny(out, "\r\x00\x1b") || out != "" && !strings.HasSuffix(out, "\n") {
			t.Fatalf("stdout is not one line: %q", out)
		}
		for _, line := range strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n") {
			if line != "" && !strings.HasPrefix(line, "clerk-credential-helper: ") && !strings.HasPrefix(line, "hint: ") {
				t.Fatalf("a value forged a line on stderr: %q", &stderr)
			}
		}
		isNotFound := strings.TrimSpace(out) == "credentials not found in native keychain"
		if want := verb == "get" && reply.Result != Found && reply.Result != Failed && reply.Result != Refused; isNotFound != want {
			t.Fatalf("%s, outcome %d: stdout %q", verb, outcome, out)
		}
		if reply.Result != Found || status != 0 {
			return
		}
		switch Verb(verb) {
		case Get:
			var got struct{ ServerURL, Username, Secret string }
			if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if identity {
				username = "<token>"
			}
			if got.ServerURL != server || got.Username != username || got.Secret != token || stderr.Len() > 0 {
				t.Fatalf("got %+v from %q", got, out)
			}
		case List:
			var got map[string]string
			if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || !maps.Equal(got, reply.Entries) {
				t.Fatalf("got %v, %v from %q", got, err, out)
			}
		}
	})
}
