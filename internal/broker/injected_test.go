package broker_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/protocol"
)

// jwt is a token with these claims; its signature is never checked.
func jwt(claims string) string {
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return encode(`{"alg":"RS256"}`) + "." + encode(claims) + "." + encode("signature")
}

func TestInjected(t *testing.T) {
	const issuer = `"iss":"https://clerk.acme.dev"`
	live := jwt(fmt.Sprintf(`{%s,"exp":%d}`, issuer, start.Add(time.Hour).Unix()))
	for _, row := range []struct {
		reason, token, want string // want is a part of the error; empty for an answer
	}{
		{"a live JWT of the issuer", live, ""},
		{"an opaque access token", "oat_123", ""},
		{"an API key", "ak_123", ""},
		{"an M2M token", "mt_123", ""},
		{"a JWT without an end", jwt("{" + issuer + "}"), ""},
		{"a JWT that has expired", jwt(fmt.Sprintf(`{%s,"exp":%d}`, issuer, start.Add(-time.Second).Unix())), "expired at 2026-11-23T11:59:59Z"},
		{"a JWT that ends now", jwt(fmt.Sprintf(`{%s,"exp":%d}`, issuer, start.Unix())), "expired at"},
		{"a JWT of another issuer", jwt(`{"iss":"https://clerk.evil.dev"}`), `was issued by "https://clerk.evil.dev"`},
		{"a JWT of an issuer that begins alike", jwt(`{"iss":"https://clerk.acme.dev.evil.dev"}`), "was issued by"},
		{"a JWT without an issuer", jwt(`{}`), "was issued by"},
		{"a secret key", "sk_live_123", "secret key"},
		{"a publishable key", "pk_live_123", "publishable key"},
		{"every character of RFC 6750", "AZaz09-._~+/==", ""},
		{"base64 of what is no token of ours", "YWJjZGVm", ""},
		{"a line break", "oat_1\n23", "has several lines"},
		{"a carriage return at its end", "oat_123\r", "ends with a carriage return"},
		{"a line end that was not the only one", "oat_123\n", "more than one line end"},
		{"a blank", "Bearer oat_123", "more of the header Authorization than the token"},
		{"the whole header", "Authorization: Bearer oat_123", "more of the header Authorization than the token"},
		{"nothing but blanks", " \t ", "is empty but for blanks"},
		{"a blank behind it", "oat_123 ", "has a blank before or behind it"},
		{"letters outside ASCII", "oat_é", "contains a character outside ASCII"},
		{"a zero-width space, as web pages have it", "oat_123\u200b", "need not be visible"},
		{"a log's mask", "***", "a log's mask"},
		{"a log's mask within it", "oat_***", "a log's mask"},
		{"GitLab's mask", "[MASKED]", "a missing or a hidden value"},
		{"a variable of Azure Pipelines that is not set", "$(CLERK_TOKEN)", "a variable's name"},
		{"an expression of GitHub Actions in quotes of YAML", "${{ secrets.CLERK_TOKEN }}", "a variable's name"},
		{"a variable of a shell in single quotes", "$CLERK_TOKEN", "a variable's name"},
		{"a variable of cmd.exe that is not set", "%CLERK_TOKEN%", "a variable's name"},
		{"a template of Helm or Ansible", "{{ clerk_token }}", "a variable's name"},
		{"a template of Octopus Deploy", "#{ClerkToken}", "a variable's name"},
		{"quotes of an env file that docker does not take off", `"oat_123"`, "is in quotes"},
		{"single quotes", "'oat_123'", "is in quotes"},
		{"quotes of a word processor", "“oat_123”", "is in quotes"},
		{"a JWT of another issuer in quotes", `"` + jwt(`{"iss":"https://clerk.evil.dev"}`) + `"`, "is in quotes"},
		{"JSON", `{"token":"oat_123"}`, "is JSON"},
		{"a list of JSON", `["oat_123"]`, "is JSON"},
		{"JavaScript's word for nothing", "undefined", "a missing or a hidden value"},
		{"jq's word for nothing", "null", "a missing or a hidden value"},
		{"Python's word for nothing", "None", "a missing or a hidden value"},
		{"Go's word for nothing", "<nil>", "a missing or a hidden value"},
		{"JavaScript's word for an object", "[object Object]", "a missing or a hidden value"},
		{"a placeholder", "<your-token>", "a placeholder in angle brackets"},
		{"a page of a proxy", "<!DOCTYPE html><html>", "a web page"},
		{"a private key", "-----BEGIN PRIVATE KEY-----", "a PEM file"},
		{"a reference of 1Password", "op://vault/clerk/token", "the address of a secret"},
		{"a reference of AWS", "arn:aws:secretsmanager:eu:1:secret:x", "the address of a secret"},
		{"a path for CLERK_HELPER_TOKEN_FILE", "/run/secrets/clerk_token", "is a path"},
		{"a path of Windows", `C:\token.txt`, "a backslash"},
		{"a line end in letters", `oat_123\n`, "a backslash"},
		{"a line of an env file", "CLERK_HELPER_TOKEN=oat_123", "an assignment"},
		{"percent-encoded", "oat_1%2B2", "percent-encoded"},
		{"the colours of a terminal", "\x1b[32moat_123\x1b[0m", "the colours of a terminal"},
		{"a byte order mark", "\ufeffoat_123", "a byte order mark"},
		{"zeros", "\x00\x00\x00", "nothing but zeros"},
		{"UTF-16 of PowerShell", "\xff\xfeo\x00a\x00t\x00_\x001\x00", "is UTF-16"},
		{"UTF-16 without a mark", "o\x00a\x00t\x00_\x001\x00", "is UTF-16"},
		{"UTF-16, the other way round", "\xfe\xff\x00o\x00a\x00t", "is UTF-16"},
		{"a Secret of Kubernetes that was not decoded: a JWT", base64.StdEncoding.EncodeToString([]byte(live)), "in base64"},
		{"the same of a secret key, which the check for those would let pass", base64.StdEncoding.EncodeToString([]byte("sk_live_123")), "in base64"},
		{"only the filling of base64", "==", "contains a character"},
		{"too long", strings.Repeat("x", 16<<10+1), "longer than"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBench(t)
			b.have(time.Hour)
			b.Injected = func(context.Context, *config.Profile) (string, string, error) {
				return row.token, "CLERK_HELPER_TOKEN", nil
			}
			reply := b.get("git.acme.dev")
			if row.want == "" {
				if reply.Result != protocol.Found || reply.Credential.Token != row.token {
					t.Errorf("got %+v", reply)
				}
			} else {
				var injected *broker.InjectedError
				if reply.Result != protocol.Failed || !errors.As(reply.Err, &injected) || !strings.Contains(reply.Err.Error(), row.want) {
					t.Errorf("got %+v, want an error with %q", reply, row.want)
				} else if strings.Contains(reply.Err.Error(), row.token) || strings.Contains(reply.Err.Error(), "oat_") {
					t.Error("the error holds the token")
				}
			}
			b.wantCalls()

			// A host that only looks like ours does not get it.
			if reply := b.get("git.acme.dev.evil.dev"); reply.Result != protocol.None {
				t.Errorf("a foreign host: got %+v", reply)
			}
			if s := b.kept(); s.AccessToken != "kept-access" {
				t.Error("the session was touched")
			}
		})
	}
}

// TestInjectedOfCompanion: a companion page hands out tokens of its Clerk instance, which the profile may name.
func TestInjectedOfCompanion(t *testing.T) {
	for _, row := range []struct {
		reason, instance, issuer string
		want                     string
	}{
		{"of the instance that the profile names", "https://clerk.acme.dev", "https://clerk.acme.dev", ""},
		{"the profile names none, so that it may be anybody's", "", "https://clerk.acme.dev", "cannot be checked"},
		{"of another instance", "https://clerk.acme.dev", "https://clerk.evil.dev", "was issued by"},
		{"of the page itself, which issues none", "https://clerk.acme.dev", "https://app.acme.dev", "was issued by"},
	} {
		p := &config.Profile{Name: "app", Issuer: "https://app.acme.dev", Companion: true, Instance: row.instance}
		_, err := broker.CheckInjected(p, jwt(fmt.Sprintf(`{"iss":%q}`, row.issuer)), start)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.reason, err)
		}
	}
}

// TestInjectedIsNotErased: the environment would bring it again; the person is told instead.
func TestInjectedIsNotErased(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	b.Injected = func(context.Context, *config.Profile) (string, string, error) {
		return "oat_123", "CLERK_HELPER_TOKEN", nil
	}
	// A "git credential reject" that a person types has no password: no server refused anything.
	for secret, said := range map[string]bool{"oat_123": true, "": false, "another": false} {
		reply := b.Answer(t.Context(), protocol.Request{Verb: protocol.Erase, Scheme: "https", Host: "git.acme.dev", Secret: secret})
		if reply.Result != protocol.Done || (reply.Err != nil) != said {
			t.Errorf("%q: got %+v", secret, reply)
		}
	}
	if s := b.kept(); s.AccessToken != "kept-access" {
		t.Error("the session was touched")
	}
	b.wantCalls()
}
