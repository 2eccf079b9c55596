package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// cargoAsks is a question as cargo 1.95 wrote it to a provider, but for the host.
const cargoAsks = `{"v":1,"registry":{"index-url":"sparse+https://cargo.acme.dev/index/","name":"corp","headers":["WWW-Authenticate: Cargo login_url=\"https://cargo.acme.dev/me\""]},"kind":"get","operation":"read"}` + "\n"

func TestCargoReadRequest(t *testing.T) {
	asks := func(kind, index, more string) string {
		return `{"v":1,"registry":{"index-url":"` + index + `"},"kind":"` + kind + `"` + more + "}\n"
	}
	const index = "sparse+https://cargo.acme.dev/index/"
	want := Request{Verb: Get, Scheme: "https", Host: "cargo.acme.dev", Path: "index/"}
	as := func(verb Verb, profile string) Request {
		r := want
		r.Verb, r.Profile = verb, profile
		return r
	}
	big := strings.Repeat("x", cargoMaxLine)
	testRequests(t, []requestTest{
		{"what cargo sends", &Cargo{}, CargoPlugin, cargoAsks, want, ""},
		{"no newline at the end", &Cargo{}, CargoPlugin, strings.TrimSuffix(cargoAsks, "\n"), want, ""},
		{"CRLF", &Cargo{}, CargoPlugin, strings.TrimSuffix(cargoAsks, "\n") + "\r\n", want, ""},
		{"publish", &Cargo{}, CargoPlugin, asks("get", index, `,"operation":"publish","name":"a","vers":"1.0.0","cksum":"0"`), want, ""},
		{"an operation of a later cargo", &Cargo{}, CargoPlugin, asks("get", index, `,"operation":"future","x":{}`), want, ""},
		{"an index in git", &Cargo{}, CargoPlugin, asks("get", "registry+https://cargo.acme.dev/index/", ""), want, ""},
		{"an index without a prefix", &Cargo{}, CargoPlugin, asks("get", "https://cargo.acme.dev/index/", ""), want, ""},
		{"args", &Cargo{}, CargoPlugin, asks("get", index, `,"args":["--profile","acme"]`), as(Get, "acme"), ""},
		{"args in one", &Cargo{}, CargoPlugin, asks("get", index, `,"args":["--profile=acme"]`), as(Get, "acme"), ""},
		{"login", &Cargo{}, CargoPlugin, asks("login", index, `,"token":"tok","login-url":"https://x"`), as(Login, ""), ""},
		{"logout", &Cargo{}, CargoPlugin, asks("logout", index, ""), as(Logout, ""), ""},
		{"a kind of a later cargo", &Cargo{}, CargoPlugin, asks("future", index, ""), as("future", ""), ""},
		{"user information stays in the host", &Cargo{}, CargoPlugin, asks("get", "sparse+https://cargo.acme.dev@evil.dev/", ""), Request{Verb: Get, Scheme: "https", Host: "cargo.acme.dev@evil.dev"}, ""},

		{"no argument", &Cargo{}, "", cargoAsks, Request{}, "--cargo-plugin"},
		{"another argument", &Cargo{}, Get, cargoAsks, Request{}, "--cargo-plugin"},
		{"an empty line", &Cargo{}, CargoPlugin, "\n", Request{}, "want a question of cargo's"},
		{"not JSON", &Cargo{}, CargoPlugin, "get\n", Request{}, "want a question of cargo's"},
		{"half an object", &Cargo{}, CargoPlugin, cargoAsks[:40], Request{}, "want a question of cargo's"},
		{"two objects on a line", &Cargo{}, CargoPlugin, strings.TrimSuffix(cargoAsks, "\n") + "{}\n", Request{}, "want a question of cargo's"},
		{"a version that is not ours", &Cargo{}, CargoPlugin, strings.Replace(cargoAsks, `"v":1`, `"v":2`, 1), Request{}, "version 2"},
		{"no version", &Cargo{}, CargoPlugin, strings.Replace(cargoAsks, `"v":1,`, ``, 1), Request{}, "version 0"},
		{"no index", &Cargo{}, CargoPlugin, asks("get", "", ""), Request{}, "the URL is empty"},
		{"no host", &Cargo{}, CargoPlugin, asks("get", "sparse+https:///index/", ""), Request{}, "no host"},
		{"a control character in the index", &Cargo{}, CargoPlugin, asks("get", `https://cargo.acme.dev\r\n`, ""), Request{}, "control character"},
		{"an argument that is not known", &Cargo{}, CargoPlugin, asks("get", index, `,"args":["--audience","x"]`), Request{}, `unknown argument "--audience"`},
		{"an option without its value", &Cargo{}, CargoPlugin, asks("get", index, `,"args":["--profile"]`), Request{}, `unknown argument "--profile"`},
		{"an empty value", &Cargo{}, CargoPlugin, asks("get", index, `,"args":["--profile="]`), Request{}, "unknown argument"},
		{"args that are no list", &Cargo{}, CargoPlugin, asks("get", index, `,"args":"--profile"`), Request{}, "want a question of cargo's"},
		{"too long", &Cargo{}, CargoPlugin, asks("get", index, `,"x":"`+big+`"`), Request{}, "longer than"},
	})
}

// TestCargoNeverShowsATokenThatItReads: login brings one, and a broken line may hold it.
func TestCargoNeverShowsATokenThatItReads(t *testing.T) {
	for _, in := range []string{`{"v":1,"token":"tok-123"`, `{"v":"tok-123"}`, `tok-123`, `{"v":1,"registry":{"index-url":""},"kind":"login","token":"tok-123"}`} {
		if _, err := new(Cargo).ReadRequest(CargoPlugin, strings.NewReader(in+"\n")); err == nil || strings.Contains(err.Error(), "tok-123") {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// TestCargoConversation: cargo waits for the hello, asks as often as it likes, and then closes the stream. A question
// that cannot be read does not end the conversation, one without an end does.
func TestCargoConversation(t *testing.T) {
	var c Cargo
	var hello bytes.Buffer
	if err := c.Hello(&hello); err != nil || hello.String() != `{"v":[1]}`+"\n" {
		t.Errorf("hello: %q, %v", &hello, err)
	}
	if err := c.Hello(brokenPipe{}); err == nil {
		t.Error("a hello that cannot be written is an error")
	}
	in, out := io.Pipe() // one line at a time, as cargo writes
	read := func() (Request, error) { return c.ReadRequest(CargoPlugin, in) }
	for i, line := range []string{cargoAsks, "x\n", cargoAsks} {
		go io.WriteString(out, line)
		if req, err := read(); (err == nil) != (i != 1) || (req.Host == "") != (i == 1) {
			t.Errorf("question %d: %+v, %v", i, req, err)
		}
	}
	out.Close()
	for range 2 {
		if _, err := read(); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
	}
	for why, r := range map[string]io.Reader{
		"a line without an end": strings.NewReader(strings.Repeat("x", cargoMaxLine+1) + "\n" + cargoAsks),
		"a stream that breaks":  io.MultiReader(strings.NewReader("{"), iotest.ErrReader(errors.New("broken"))),
	} {
		c = Cargo{}
		if _, err := c.ReadRequest(CargoPlugin, r); err == nil || err == io.EOF {
			t.Errorf("%s: %v", why, err)
		}
		if _, err := c.ReadRequest(CargoPlugin, r); err != io.EOF {
			t.Errorf("after %s: %v", why, err)
		}
	}
}

func TestCargoWriteReply(t *testing.T) {
	get := Request{Verb: Get, Host: "cargo.acme.dev"}
	forever := testFound()
	forever.Credential.Expires = Credential{}.Expires
	failed := Reply{Result: Failed, Err: errors.New("cargo login does nothing here"), Hint: "run: clerk-credential-helper login acme"}
	testReplies(t, []replyTest{
		{"get: Ok, the scheme in the token, whole seconds", &Cargo{}, get, testFound(), `{"Ok":{"kind":"get","token":"Bearer tok-123","cache":"expires","expiration":1795424400,"operation_independent":true}}` + "\n", "", 0},
		{"no end", &Cargo{}, get, forever, `{"Ok":{"kind":"get","token":"Bearer tok-123","cache":"session","operation_independent":true}}` + "\n", "", 0},

		{"a foreign registry: cargo asks the next provider", &Cargo{}, get, Reply{}, `{"Err":{"kind":"url-not-supported"}}` + "\n", "", 0},
		{"a login for a foreign registry", &Cargo{}, Request{Verb: Login, Host: "h"}, Reply{}, `{"Err":{"kind":"url-not-supported"}}` + "\n", "", 0},
		{"ours without a token: cargo ends with what helps", &Cargo{}, get, testNeeds(), `{"Err":{"kind":"other","message":"needs a sign-in","caused-by":["run: clerk-credential-helper login acme"]}}` + "\n", "", 0},
		{"login", &Cargo{}, Request{Verb: Login, Host: "h"}, failed, `{"Err":{"kind":"other","message":"cargo login does nothing here","caused-by":["run: clerk-credential-helper login acme"]}}` + "\n", "", 0},
		{"a kind of a later cargo", &Cargo{}, Request{Verb: "future", Host: "h"}, Reply{}, `{"Err":{"kind":"operation-not-supported"}}` + "\n", "", 0},
		{"a question that could not be read", &Cargo{}, Request{}, Reply{Result: Failed, Err: errors.New("a\nb")}, `{"Err":{"kind":"other","message":"a\\nb"}}` + "\n", "", 0},
	})
}

// FuzzCargo: what cargo encodes is what is read, and a conversation ends.
func FuzzCargo(f *testing.F) {
	f.Add("https://cargo.acme.dev/index/", "get", "acme", []byte("\n\n{}\n"))
	f.Add("https://a@b/", "login", "", []byte(cargoAsks))
	f.Add("\x00", "x", "--profile", []byte("\xff"))
	f.Fuzz(func(t *testing.T, index, kind, profile string, rest []byte) {
		question := map[string]any{"v": 1, "kind": kind, "registry": map[string]any{"index-url": "sparse+" + index}, "args": []string{"--profile", profile}}
		line, err := json.Marshal(question)
		if err != nil || json.Unmarshal(line, &question) != nil {
			t.Fatal(err)
		}
		in := bytes.NewReader(append(append(line, '\n'), rest...))
		var c Cargo
		req, err := c.ReadRequest(CargoPlugin, in)
		if err == nil {
			sent := question["registry"].(map[string]any)["index-url"].(string)
			checkTarget(t, sent, req)
			if string(req.Verb) != question["kind"] || req.Profile != question["args"].([]any)[1] || req.Profile == "" {
				t.Fatalf("%s: %+v", line, req)
			}
		} else if req.Host != "" {
			t.Fatalf("%v and %+v", err, req)
		}
		for n := 0; ; n++ {
			req, err := c.ReadRequest(CargoPlugin, in)
			if err == io.EOF {
				break
			}
			if n > bytes.Count(rest, []byte("\n"))+1 {
				t.Fatal("the conversation does not end")
			}
			if err != nil && !reflect.DeepEqual(req, Request{Verb: req.Verb}) {
				t.Fatalf("%v and %+v", err, req)
			}
		}
	})
}
