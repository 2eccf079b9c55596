package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/internal/sandbox"
)

// explainJSON is what "explain --json" says.
func explainJSON(t *testing.T, address string) doctor.Explanation {
	t.Helper()
	status, out, words := runHere("explain", "--json", address)
	var e doctor.Explanation
	if err := json.Unmarshal([]byte(out), &e); err != nil || status != exitOK {
		t.Fatalf("explain %q: status %d, %v\n%s%s", address, status, err, out, words)
	}
	return e
}

// TestExplainAsTools has each tool ask what it would ask for an address, in its own bytes, and compares what it reads with
// what explain says that it would.
func TestExplainAsTools(t *testing.T) {
	// The questions, in each tool's own words. user is "clerk@" or the like, or empty.
	questions := map[string]func(scheme, user, host string) (args []string, stdin, info string){
		"git": func(scheme, user, host string) ([]string, string, string) {
			asks := fmt.Sprintf("protocol=%s\nhost=%s\n", scheme, host)
			if user != "" {
				asks += "username=" + strings.ReplaceAll(strings.TrimSuffix(user, "@"), "%40", "@") + "\n"
			}
			return []string{"git-credential-clerk", "get"}, asks, ""
		},
		"docker": func(scheme, user, host string) ([]string, string, string) {
			return []string{"docker-credential-clerk", "get"}, scheme + "://" + host + "/simple/", ""
		},
		"cargo": func(scheme, user, host string) ([]string, string, string) {
			return []string{"cargo-credential-clerk", "--cargo-plugin"}, `{"v":1,"registry":{"index-url":"sparse+` + scheme + "://" + user + host + `/simple/"},"kind":"get","operation":"read","args":[]}` + "\n", ""
		},
		"terraform": func(scheme, user, host string) ([]string, string, string) {
			return []string{"terraform-credentials-clerk", "get", host}, "", ""
		},
		"bazel": func(scheme, user, host string) ([]string, string, string) {
			return []string{"bazel-credential-clerk", "get"}, `{"uri":"` + scheme + "://" + user + host + `/simple/"}`, ""
		},
		"pip, uv": func(scheme, user, host string) ([]string, string, string) {
			if user == "" {
				return []string{"keyring", "get", scheme + "://" + host + "/simple/", "--mode", "creds"}, "", ""
			}
			return []string{"keyring", "get", scheme + "://" + host + "/simple/", strings.ReplaceAll(strings.TrimSuffix(user, "@"), "%40", "@")}, "", ""
		},
		"go": func(scheme, user, host string) ([]string, string, string) {
			return []string{"clerk-credential-helper", "goauth", scheme + "://" + user + host + "/simple/"}, "HTTP/1.1 401 Unauthorized\r\n\r\n", ""
		},
		"kubectl": func(scheme, user, host string) ([]string, string, string) {
			return []string{"clerk-credential-helper", "kube"}, "", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"cluster":{"server":"` + scheme + "://" + user + host + `/simple/"},"interactive":true}}`
		},
		"headers": func(scheme, user, host string) ([]string, string, string) {
			return []string{"clerk-credential-helper", "headers", scheme + "://" + user + host + "/simple/"}, "", ""
		},
		"curl": func(scheme, user, host string) ([]string, string, string) {
			return []string{"clerk-credential-helper", "curl-config", scheme + "://" + user + host + "/simple/"}, "", ""
		},
		"bearer": func(scheme, user, host string) ([]string, string, string) {
			return []string{"clerk-credential-helper", "bearer", scheme + "://" + user + host + "/simple/"}, "", ""
		},
		"netrc": func(scheme, user, host string) ([]string, string, string) {
			return []string{"clerk-credential-helper", "netrc", scheme + "://" + user + host + "/simple/"}, "", ""
		},
	}
	token := regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`)
	compare := func(t *testing.T, scheme, user, host string) {
		t.Helper()
		e := explainJSON(t, scheme+"://"+user+host+"/simple/")
		if len(e.Answers) != len(questions) {
			t.Errorf("%d tools are told of, not %d: %+v", len(e.Answers), len(questions), e.Answers)
		}
		for _, a := range e.Answers {
			ask, ok := questions[a.Tool]
			if !ok {
				t.Errorf("nobody knows what %s would ask", a.Tool)
				continue
			}
			args, stdin, info := ask(scheme, user, host)
			var out, words bytes.Buffer
			getenv := func(name string) string {
				if name == "KUBERNETES_EXEC_INFO" {
					return info
				}
				return os.Getenv(name)
			}
			status := run(&system{args: args, stdin: strings.NewReader(stdin), stdout: &out, stderr: &words, getenv: getenv})
			got := token.ReplaceAllString(out.String(), "TOKEN")
			if a.Tool == "cargo" {
				got = strings.TrimPrefix(got, "{\"v\":[1]}\n") // its greeting is no answer
			}
			if got != a.Output || status != a.Status {
				t.Errorf("%s://%s%s: %s reads %q with status %d; explain says %q with status %d\n%s", scheme, user, host, a.Tool, got, status, a.Output, a.Status, words.String())
			}
		}
	}

	w, _ := wellSetUp(t)
	t.Setenv("PATH", os.Getenv("BIN")) // no keyring behind ours
	users := []string{"", "clerk@", "bob@", "ada%40acme.dev@", "eve%40acme.dev@", "Clerk@"}
	all := func(t *testing.T) {
		for _, user := range users {
			for _, host := range []string{"git.acme.dev", os.Getenv("TOOLS"), "ghcr.io"} {
				compare(t, "https", user, host)
			}
			compare(t, "http", user, "git.acme.dev")
		}
	}
	t.Setenv("CLERK_HELPER_INTERACTIVE", "never")
	t.Run("no user has signed in", all)
	t.Setenv("CLERK_HELPER_INTERACTIVE", "always")
	t.Run("a sign-in was refused", func(t *testing.T) {
		w.Clerk.SetFaults(func(f *sandbox.Faults) { f.DenyConsent = true })
		runHere("login")
		w.Clerk.SetFaults(func(f *sandbox.Faults) { f.DenyConsent = false })
		before := w.Clerk.Count("authorize")
		all(t)
		if n := w.Clerk.Count("authorize") - before; n != 0 {
			t.Errorf("%d pages were opened: the comparison changes what it compares", n)
		}
	})
	if status, _, words := runHere("login"); status != exitOK {
		t.Fatal(words)
	}
	t.Run("signed in", all)
	t.Run("another user name in the profile", func(t *testing.T) {
		text, err := os.ReadFile(os.Getenv("HOME") + "/.config/clerk-credential-helper/config.toml")
		if err != nil {
			t.Fatal(err)
		}
		named := os.Getenv("HOME") + "/two.toml"
		write(t, named, strings.Replace(string(text), "client_id", "username = \"bob\"\nclient_id", 1)+`
[profiles.second]
issuer = "https://clerk.other.dev"
client_id = "x"
username = "clerk"
interactive = "never"
hosts = ["git.acme.dev"]
`)
		t.Setenv("CLERK_HELPER_CONFIG", named)
		t.Setenv("CLERK_HELPER_INTERACTIVE", "")
		all(t)
	})
	runHere("logout")
	t.Run("signed out", all)
	t.Setenv("CLERK_HELPER_TOKEN", "sk_live_1")
	t.Run("a token that may not be used", all)
}

// TestExplainUser is what explain says of a user name in an address. A password in it is shown nowhere.
func TestExplainUser(t *testing.T) {
	wellSetUp(t)
	if status, _, words := runHere("login"); status != exitOK {
		t.Fatal(words)
	}
	for _, row := range []struct {
		reason, address string
		next, why       string
		wants, not      []string // in what a person reads
	}{
		{"the profile's, as pip has it", "https://clerk@git.acme.dev/pypi/simple/", "answer", "",
			[]string{"acme, by the host git.acme.dev", `user "clerk", the profile's`, "pip, uv TOKEN"}, []string{"no profile names"}},
		{"without a scheme", "clerk@git.acme.dev", "answer", "", []string{`user "clerk"`}, nil},
		{"the e-mail of who is signed in", "https://ada%40acme.dev@git.acme.dev", "answer", "",
			[]string{`user "ada@acme.dev", the account's e-mail`, "git username=ada@acme.dev"}, nil},
		{"an empty one is none", "https://@git.acme.dev", "answer", "", nil, []string{"user "}},
		{"a password is not shown", "https://clerk:hunter2@git.acme.dev/x", "answer", "",
			[]string{"https://clerk:...@git.acme.dev/x", "password"}, []string{"hunter2"}},
		{"another user's", "https://bob@git.acme.dev", "nothing", `the user "bob" is not the profile's "clerk"`,
			[]string{"acme, by the host git.acme.dev", `user "bob", not of a profile here`, `the user "bob" is not the profile's "clerk"`, "hint"}, []string{"token ", "TOKEN ;"}},
		{"another's e-mail", "https://eve%40acme.dev@git.acme.dev", "nothing", `the user "eve@acme.dev" is not`, nil, nil},
		{"the profile's in other letters", "https://Clerk@git.acme.dev", "nothing", `the user "Clerk" is not`, nil, nil},
		{"a user of a foreign host", "https://clerk:hunter2@ghcr.io", "nothing", "", []string{"ghcr.io gets no token: no profile"}, []string{"hunter2"}},
		{"our host as a user", "https://git.acme.dev@evil.dev", "nothing", "", []string{"evil.dev gets no token: no profile"}, []string{"TOKEN"}},
		{"our host after two", "https://clerk@evil.dev@git.acme.dev", "nothing", "", []string{"evil.dev@git.acme.dev gets no token: no profile"}, []string{"TOKEN"}},
		{"our host in the path", "https://evil.dev/@git.acme.dev", "nothing", "", []string{"evil.dev gets no token: no profile"}, []string{"TOKEN"}},
		{"an @ in the path", "https://git.acme.dev:5000/@scope/x", "nothing", "", []string{"git.acme.dev:5000 gets no token: no profile"}, nil},
		{"an @ in the path of a number", "https://[::1]/@scope/x", "nothing", "", []string{"[::1] gets no token: no profile"}, nil},
	} {
		e := explainJSON(t, row.address)
		if string(e.Next) != row.next || !strings.HasPrefix(e.Why, row.why) || row.why == "" && e.Why != "" {
			t.Errorf("%s: next is %q because %q, want %q because %q", row.reason, e.Next, e.Why, row.next, row.why)
		}
		_, out, words := runHere("explain", "--tools", row.address)
		_, inJSON, _ := runHere("explain", "--json", row.address)
		text := strings.Join(strings.Fields(out), " ")
		for _, want := range row.wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in\n%s%s", row.reason, want, out, words)
			}
		}
		for _, not := range row.not {
			if strings.Contains(text+words, not) || strings.Contains(inJSON, "hunter2") {
				t.Errorf("%s: %q stands in\n%s%s%s", row.reason, not, out, words, inJSON)
			}
		}
	}
	for _, row := range []struct{ reason, address string }{
		{"no host after the user", "https://clerk:hunter2@/x"},
		{"a control character in the user", "https://cl%0aerk:hunter2@git.acme.dev"},
		{"a percent that is none", "https://cl%erk:hunter2@git.acme.dev"},
		{"a control character as it is", "https://cl\nerk:hunter2@git.acme.dev"},
		{"a slash in the password", "https://clerk:hunter2/x@git.acme.dev"},
		{"a question mark in the password", "clerk:hunter2?x@git.acme.dev"},
		{"a number sign in the password", "https://clerk:hunter2#x@git.acme.dev/y"},
		{"an @ in the password", "https://clerk:x@hunter2@git.acme.dev"},
	} {
		if status, out, words := runHere("explain", row.address); status != exitUsage || out != "" || strings.Contains(words, "hunter2") {
			t.Errorf("%s: status %d\n%s%s", row.reason, status, out, words)
		}
	}
}

// TestExplainWithoutConfiguration says what is missing, and how to get it.
func TestExplainWithoutConfiguration(t *testing.T) {
	_, home := wellSetUp(t)
	if err := os.Remove(home + "/.config/clerk-credential-helper/config.toml"); err != nil {
		t.Fatal(err)
	}
	e := explainJSON(t, "https://git.acme.dev")
	if e.Next != "nothing" || e.Why != "no profile is configured" || e.Hint != "run: clerk-credential-helper setup" {
		t.Errorf("%+v", e)
	}
	_, out, _ := runHere("explain", "--tools", "https://git.acme.dev")
	for _, want := range []string{"no profile is configured", "run: clerk-credential-helper setup", "git nothing"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}
