package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestTerraformReadRequest(t *testing.T) {
	at := Terraform{Host: "tf.acme.dev:8443"}
	testRequests(t, []requestTest{
		{"get", at, Get, "", Request{Verb: Get, Scheme: "https", Host: "tf.acme.dev:8443"}, ""},
		{"forget", at, Forget, "", Request{Verb: Logout, Scheme: "https", Host: "tf.acme.dev:8443"}, ""},
		{"store", at, Store, `{"token":"tok-123"}`, Request{Verb: Store, Scheme: "https", Host: "tf.acme.dev:8443", Secret: "tok-123"}, ""},
		{"store with space around", at, Store, " {\"token\":\"tok-123\"}\r\n", Request{Verb: Store, Scheme: "https", Host: "tf.acme.dev:8443", Secret: "tok-123"}, ""},

		{"no verb", at, "", "", Request{}, `unknown verb ""`},
		{"erase is forget here", at, Erase, "", Request{}, `unknown verb "erase"`},
		{"a verb that is not known", at, "list", "", Request{}, `unknown verb "list"`},
		{"no host", Terraform{}, Get, "", Request{}, "the URL is empty"},
		{"a URL", Terraform{"https://tf.acme.dev"}, Get, "", Request{}, "want a host, not a URL"},
		{"a slash", Terraform{"tf.acme.dev/"}, Get, "", Request{}, "want a host, not a URL"},
		{"a query", Terraform{"tf.acme.dev?"}, Get, "", Request{}, "want a host, not a URL"},
		{"a path", Terraform{"tf.acme.dev/x"}, Get, "", Request{}, "want a host, not a URL"},
		{"a control character", Terraform{"tf.acme.dev\n"}, Get, "", Request{}, "control character"},
		{"store: nothing", at, Store, "", Request{}, `want a JSON object with "token"`},
		{"store: another property", at, Store, `{"token":"tok","other":1}`, Request{}, `"token" and no other`},
		{"store: only another property", at, Store, `{"other":"tok"}`, Request{}, `with "token"`},
		{"store: the property in another case", at, Store, `{"Token":"tok"}`, Request{}, `with "token"`},
		{"store: an empty token", at, Store, `{"token":""}`, Request{}, `with "token"`},
		{"store: a token that is a number", at, Store, `{"token":1}`, Request{}, `with "token"`},
		{"store: a list", at, Store, `["token"]`, Request{}, `with "token"`},
		{"store: null", at, Store, `null`, Request{}, `with "token"`},
		{"store: two objects", at, Store, `{"token":"a"}{"token":"b"}`, Request{}, `with "token"`},
		{"store: not UTF-8", at, Store, "{\"token\":\"\xff\"}", Request{}, `with "token"`},
		{"store: too large", at, Store, `{"token":"` + strings.Repeat("x", terraformMaxStore) + `"}`, Request{}, "larger than"},
	})
	for _, verb := range []Verb{Get, Forget, "x"} {
		at.ReadRequest(verb, unreadable{t})
	}
}

// TestTerraformReadsToTheEnd: whatever comes of a store, Terraform could write all of it.
func TestTerraformReadsToTheEnd(t *testing.T) {
	for why, in := range map[string]string{"not JSON": strings.Repeat("x", 1<<18), "too large": strings.Repeat("x", 3<<20), "well": `{"token":"a"}` + strings.Repeat(" ", 1<<18)} {
		for _, host := range []string{"tf.acme.dev", ""} {
			r := strings.NewReader(in)
			Terraform{host}.ReadRequest(Store, r)
			if r.Len() > 0 {
				t.Errorf("%s, host %q: %d bytes were left", why, host, r.Len())
			}
		}
	}
	broken := errors.New("broken")
	if _, err := (Terraform{"h"}).ReadRequest(Store, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestTerraformWriteReply(t *testing.T) {
	at := Terraform{"tf.acme.dev"}
	req := func(verb Verb) Request { return Request{Verb: verb, Scheme: "https", Host: "tf.acme.dev"} }
	const foreign = "clerk-credential-helper: \"tf.acme.dev\" is the host of no profile"
	testReplies(t, []replyTest{
		{"get", at, req(Get), testFound(), `{"token":"tok-123"}` + "\n", "", 0},
		{"get for a foreign host", at, req(Get), Reply{}, "{}\n", "", 0},
		{"store is silent, whatever there is to say", at, req(Store), Reply{Result: Done, Hint: "not kept"}, "", "", 0},
		{"forget for a foreign host", at, req(Logout), Reply{}, "", "", 0},

		{"a sign-in is needed", at, req(Get), testNeeds(), "", testNeedsWords, 1},
		{"a sign-in was refused", at, req(Get), Reply{Result: Refused, Err: errors.New("no")}, "", "clerk-credential-helper: no\n", 1},
		{"a foreign store would lose the token", at, req(Store), Reply{}, "", foreign + ", and tokens of other hosts are not kept here\nhint: put the token into a credentials block of the CLI configuration\n", 1},
		{"a failure without an error is not silent either", at, req(Get), Reply{Result: Failed}, "", foreign + "\n", 1},
		{"forget", at, req(Logout), Reply{Result: Failed, Err: errors.New("no"), Hint: "run"}, "", "clerk-credential-helper: no\nhint: run\n", 1},
		{"a verb that is not known", at, Request{Verb: "x"}, Reply{Result: Failed, Err: errors.New("unknown verb")}, "", "clerk-credential-helper: unknown verb\n", 1},
	})
}

// FuzzTerraformStore: only an object with a token and nothing else is taken, and its token as it was meant.
func FuzzTerraformStore(f *testing.F) {
	f.Add("tf.acme.dev", "tok", `{"token":"x"}`)
	f.Add("a/b", "\n", `{"token":"a","token":"b"}`)
	f.Add("", "", "[]")
	f.Fuzz(func(t *testing.T, host, token, raw string) {
		for _, in := range []string{raw, fmt.Sprintf(`{"token":%s}`, mustJSON(token))} {
			req, err := Terraform{host}.ReadRequest(Store, strings.NewReader(in))
			if err != nil {
				if req.Host != "" || req.Secret != "" {
					t.Fatalf("%v and %+v", err, req)
				}
				continue
			}
			var want map[string]string
			if json.Unmarshal([]byte(in), &want) != nil || len(want) != 1 || want["token"] != req.Secret || req.Secret == "" || req.Host != host || !utf8.ValidString(in) {
				t.Fatalf("%q was taken for %+v", in, req)
			}
			checkTarget(t, host, req)
		}
	})
}

func mustJSON(s string) []byte {
	out, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return out
}
