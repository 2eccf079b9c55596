package protocol

import (
	"encoding/json"
	"strings"
	"testing"
)

const kubeHead = `"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1"`

func TestKubeReadRequest(t *testing.T) {
	at := func(spec string) Kube { return Kube{`{` + kubeHead + `,"spec":{` + spec + `}}`} }
	server := Request{Verb: Get, Scheme: "https", Host: "k8s.acme.dev:6443", NeverAsk: true}
	asks := server
	asks.NeverAsk = false
	testRequests(t, []requestTest{
		{"what kubectl sends", at(`"cluster":{"server":"https://k8s.acme.dev:6443","config":null},"interactive":false`), "", "", server, ""},
		{"a person sits before it", at(`"cluster":{"server":"https://k8s.acme.dev:6443"},"interactive":true`), "", "", asks, ""},
		{"no cluster", at(`"interactive":true`), "", "", Request{Verb: Get}, ""},
		{"an empty server is none", at(`"cluster":{"server":""}`), "", "", Request{Verb: Get, NeverAsk: true}, ""},
		{"a path behind a proxy", at(`"cluster":{"server":"https://k8s.acme.dev:6443/k/1"}`), "", "", Request{Verb: Get, Scheme: "https", Host: "k8s.acme.dev:6443", Path: "k/1", NeverAsk: true}, ""},
		{"v1beta1", Kube{strings.Replace(`{`+kubeHead+`,"spec":{}}`, "io/v1", "io/v1beta1", 1)}, "", "", Request{Verb: Get, NeverAsk: true}, ""},
		{"no spec", Kube{`{` + kubeHead + `}`}, "", "", Request{Verb: Get, NeverAsk: true}, ""},
		{"a person calls by hand", Kube{}, "", "", Request{Verb: Get}, ""},

		{"not JSON", Kube{`{`}, "", "", Request{}, "not an ExecCredential"},
		{"two objects", Kube{`{` + kubeHead + `}{}`}, "", "", Request{}, "not an ExecCredential"},
		{"another kind", Kube{`{"kind":"Pod","apiVersion":"client.authentication.k8s.io/v1"}`}, "", "", Request{}, "not an ExecCredential"},
		{"a list", Kube{`[]`}, "", "", Request{}, "not an ExecCredential"},
		{"null", Kube{`null`}, "", "", Request{}, "not an ExecCredential"},
		{"interactive that is a text", at(`"interactive":"true"`), "", "", Request{}, "not an ExecCredential"},
		{"v1alpha1, which is gone", Kube{`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1alpha1"}`}, "", "", Request{}, `"client.authentication.k8s.io/v1alpha1" is not supported`},
		{"no apiVersion", Kube{`{"kind":"ExecCredential"}`}, "", "", Request{}, `"" is not supported`},
		{"another group", Kube{`{"kind":"ExecCredential","apiVersion":"evil.dev/v1"}`}, "", "", Request{}, "not supported"},
		{"a control character in the server", at(`"cluster":{"server":"https://k8s.acme.dev\n.evil.dev"}`), "", "", Request{}, "control character"},
		{"no host in the server", at(`"cluster":{"server":"https:///x"}`), "", "", Request{}, "no host"},
		{"too large", Kube{`{` + kubeHead + `,"x":"` + strings.Repeat("x", kubeMaxInfo) + `"}`}, "", "", Request{}, "larger than"},
	})
	if _, err := (Kube{}).ReadRequest("", unreadable{t}); err != nil {
		t.Error(err)
	}
}

func TestKubeWriteReply(t *testing.T) {
	get := Request{Verb: Get, Host: "k8s.acme.dev"}
	forever := testFound()
	forever.Credential.Expires = Credential{}.Expires
	const head, tail = `{"apiVersion":"client.authentication.k8s.io/`, `","kind":"ExecCredential","status":{"expirationTimestamp":"2026-11-23T09:00:00Z","token":"tok-123"}}` + "\n"
	testReplies(t, []replyTest{
		{"v1", Kube{`{` + kubeHead + `}`}, get, testFound(), head + "v1" + tail, "", 0},
		{"the apiVersion is the one that was asked in", Kube{`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1"}`}, get, testFound(), head + "v1beta1" + tail, "", 0},
		{"by hand", Kube{}, Request{Verb: Get, Profile: "acme"}, testFound(), head + "v1" + tail, "", 0},
		{"no end is no timestamp", Kube{}, get, forever, head + `v1","kind":"ExecCredential","status":{"token":"tok-123"}}` + "\n", "", 0},

		{"a sign-in is needed", Kube{}, get, testNeeds(), "", testNeedsWords, 1},
		{"a foreign cluster", Kube{}, get, Reply{}, "", "clerk-credential-helper: \"k8s.acme.dev\" is the host of no profile\n", 1},
		{"neither cluster nor profile", Kube{}, Request{Verb: Get}, Reply{}, "", "clerk-credential-helper: kubectl did not say which cluster: set provideClusterInfo: true, or add --profile NAME to args\n", 1},
		{"a failure", Kube{}, get, Reply{Result: Failed, Err: testNeeds().Err}, "", "clerk-credential-helper: needs a sign-in\n", 1},
	})
}

// FuzzKube: an accepted server is a piece of the variable as JSON spells it, and a person is asked only if the variable
// allows it.
func FuzzKube(f *testing.F) {
	f.Add("https://k8s.acme.dev:6443", true, "v1", `,"x":1`)
	f.Add("https://a@b/c", false, "v1beta1", "")
	f.Add("\n", false, "v2", "}")
	f.Fuzz(func(t *testing.T, server string, interactive bool, version, more string) {
		var sent string // as JSON carries it
		quoted := mustJSON(server)
		if err := json.Unmarshal(quoted, &sent); err != nil {
			t.Fatal(err)
		}
		info := `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/` + version + `","spec":{"cluster":{"server":` + string(quoted) + `}`
		if interactive {
			info += `,"interactive":true`
		}
		req, err := Kube{info + `}` + more + `}`}.ReadRequest("", unreadable{t})
		if err != nil {
			if req.Host != "" {
				t.Fatalf("%v and %+v", err, req)
			}
			return
		}
		if req.Verb != Get || req.Username != "" {
			t.Fatalf("%+v", req)
		}
		if more == "" {
			checkTarget(t, sent, req)
			if req.NeverAsk == interactive {
				t.Fatalf("interactive %v: %+v", interactive, req)
			}
		}
	})
}
