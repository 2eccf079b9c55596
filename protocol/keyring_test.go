package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestKeyringReadRequest(t *testing.T) {
	args := func(line string) Keyring { return Keyring{strings.Fields(line)} }
	const at = "https://pypi.acme.dev/simple/"
	want := func(verb Verb, user string) Request {
		return Request{Verb: verb, Scheme: "https", Host: "pypi.acme.dev", Path: "simple/", Username: user}
	}
	none := Request{} // handed on
	testRequests(t, []requestTest{
		{"pip before 26.2, and uv with a user name", args("get " + at + " ada"), "", "", want(Get, "ada"), ""},
		{"a host", args("get pypi.acme.dev:8443 ada"), "", "", Request{Verb: Get, Host: "pypi.acme.dev:8443", Username: "ada"}, ""},
		{"uv over http", args("get http://localhost:80 ada"), "", "", Request{Verb: Get, Scheme: "http", Host: "localhost:80", Username: "ada"}, ""},
		{"uv without a user name", args("get " + at + " --mode creds"), "", "", want(Get, ""), ""},
		{"pip 26.2", args("--mode=creds --output=json get " + at), "", "", want(Get, ""), ""},
		{"pip 26.2 with a user name", args("--mode=creds --output=json get " + at + " ada"), "", "", want(Get, "ada"), ""},
		{"the defaults said outright", args("--mode password --output plain get " + at + " ada"), "", "", want(Get, "ada"), ""},
		{"set", args("set " + at + " ada"), "", "", want(Store, "ada"), ""},
		{"del", args("del " + at + " ada"), "", "", want(Logout, "ada"), ""},

		{"no argument", Keyring{}, "", "", none, ""},
		{"a verb alone", args("get"), "", "", none, ""},
		{"no user name where one is needed", args("get " + at), "", "", none, ""},
		{"set without one", args("set " + at), "", "", none, ""},
		{"set with creds and without one", args("--mode creds set " + at), "", "", none, ""},
		{"too much", args("get " + at + " ada more"), "", "", none, ""},
		{"another verb", args("diagnose x y"), "", "", none, ""},
		{"another option", args("--list-backends get " + at + " ada"), "", "", none, ""},
		{"a backend", args("-b x.Keyring get " + at + " ada"), "", "", none, ""},
		{"help", args("--help"), "", "", none, ""},
		{"a mode that is not known", args("--mode=future get " + at), "", "", none, ""},
		{"a mode without its value", args("get " + at + " --mode"), "", "", none, ""},
		{"an option that only begins like ours", args("--modest=creds get " + at), "", "", none, ""},
		{"a service that is no host", Keyring{[]string{"get", "", "ada"}}, "", "", none, ""},
		{"a service with a control character", Keyring{[]string{"get", "a\nb", "ada"}}, "", "", none, ""},
		{"a control character in the user name", Keyring{[]string{"get", at, "a\nb"}}, "", "", none, "control character"},
	})
	// The password that set brings is for the program that keeps it.
	for _, k := range []Keyring{args("get h u"), args("set h u"), args("del h u"), {}} {
		k.ReadRequest("", unreadable{t})
	}
}

func TestKeyringWriteReply(t *testing.T) {
	get := Request{Verb: Get, Host: "pypi.acme.dev"}
	form := func(line string) Keyring { return Keyring{strings.Fields(line)} }
	testReplies(t, []replyTest{
		{"a password", form("get h u"), get, testFound(), "tok-123\n", "", 0},
		{"uv's two lines", form("get h --mode creds"), get, testFound(), "clerk\ntok-123\n", "", 0},
		{"pip's object", form("--mode=creds --output=json get h"), get, testFound(), `{"username":"clerk","password":"tok-123"}` + "\n", "", 0},
		{"an object of a password alone", form("--output=json get h u"), get, testFound(), `{"password":"tok-123"}` + "\n", "", 0},
		{"set", form("set h u"), Request{Verb: Store, Host: "h"}, Reply{Result: Done, Hint: "not kept"}, "", "hint: not kept\n", 0},

		{"none is 1: 2 means that the command is too old", form("get h u"), get, Reply{}, "", "", 1},
		{"a sign-in is needed", form("get h u"), get, testNeeds(), "", testNeedsWords, 1},
		{"a failure", form("get h u"), get, Reply{Result: Failed, Err: errors.New("no")}, "", "clerk-credential-helper: no\n", 1},
		{"del", form("del h u"), Request{Verb: Logout, Host: "h"}, Reply{Result: Failed, Err: errors.New("no"), Hint: "run"}, "", "clerk-credential-helper: no\nhint: run\n", 1},
		{"found is no answer to set", form("set h u"), Request{Verb: Store, Host: "h"}, testFound(), "", "", 1},
	})
}

// FuzzKeyring: the service of an accepted call is one of its words, options are none, and pip and uv read the answer back.
func FuzzKeyring(f *testing.F) {
	f.Add("get\x00https://h/x\x00ada")
	f.Add("--mode=creds\x00--output=json\x00get\x00h")
	f.Add("get\x00h\x00--mode\x00creds")
	f.Add("set\x00-b\x00h")
	f.Fuzz(func(t *testing.T, line string) {
		k := Keyring{strings.Split(line, "\x00")}
		req, err := k.ReadRequest("", unreadable{t})
		if err != nil || req.Verb == "" {
			if req.Host != "" {
				t.Fatalf("%v and %+v", err, req)
			}
			return
		}
		if !slices.ContainsFunc(k.Args, func(word string) bool { return strings.Contains(word, req.Host) && !strings.HasPrefix(word, "-") }) {
			t.Fatalf("%q: %+v", k.Args, req)
		}
		checkTarget(t, line, req)
		if req.Verb != Get {
			if req.Username == "" && !slices.Contains(k.Args, "") {
				t.Fatalf("%q: %+v", k.Args, req)
			}
			return
		}
		var out bytes.Buffer
		if status, err := k.WriteReply(&out, io.Discard, req, testFound()); err != nil || status != 0 {
			t.Fatal(status, err)
		}
		var object struct{ Username, Password string }
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if json.Unmarshal(out.Bytes(), &object) != nil {
			object.Password = lines[len(lines)-1]
		}
		if object.Password != "tok-123" || len(lines) > 2 {
			t.Fatalf("%q: %q", k.Args, &out)
		}
	})
}
