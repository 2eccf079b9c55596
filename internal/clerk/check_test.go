package clerk

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/sandbox"
)

// TestCheck asks an issuer about tokens of each kind, and about what is not a token.
func TestCheck(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	const ok, unreachable = "", "status 503"
	for _, row := range []struct {
		reason  string
		options sandbox.Options
		change  func(*config.Profile)
		faults  sandbox.Faults
		token   func(t *testing.T, s *sandbox.Server, got Tokens) string
		want    error  // the sentinel; nil for none
		words   string // a part of the error; ok for none
	}{
		{"an access token", sandbox.Options{}, nil, sandbox.Faults{}, nil, nil, ok},
		{"an opaque one", sandbox.Options{Opaque: true}, nil, sandbox.Faults{}, nil, nil, ok},
		{"an ID token, by its signature", sandbox.Options{}, func(p *config.Profile) { p.Token = "id" }, sandbox.Faults{},
			func(_ *testing.T, _ *sandbox.Server, got Tokens) string { return got.IDToken }, nil, ok},
		{"an access token of a bad signature", sandbox.Options{}, nil, sandbox.Faults{},
			func(_ *testing.T, _ *sandbox.Server, got Tokens) string { return forge(got.AccessToken) }, ErrRefused, "status 401"},
		{"an ID token of a bad signature", sandbox.Options{}, func(p *config.Profile) { p.Token = "id" }, sandbox.Faults{},
			func(_ *testing.T, _ *sandbox.Server, got Tokens) string { return forge(got.IDToken) }, ErrRefused, "signature"},
		{"an opaque one that the issuer does not know", sandbox.Options{}, nil, sandbox.Faults{},
			func(*testing.T, *sandbox.Server, Tokens) string { return "oat_unknown" }, ErrRefused, "status 401"},
		{"a token of no algorithm", sandbox.Options{}, nil, sandbox.Faults{}, func(_ *testing.T, s *sandbox.Server, _ Tokens) string {
			return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(fmt.Appendf(nil, `{"iss":"x","sub":"user_1","exp":%d}`, time.Now().Add(time.Hour).Unix())) + "."
		}, ErrRefused, "algorithm"},
		{"an API key", sandbox.Options{}, nil, sandbox.Faults{},
			func(*testing.T, *sandbox.Server, Tokens) string { return "ak_live_12345678" }, ErrNotTold, "only the server"},
		{"userinfo is down", sandbox.Options{}, nil, sandbox.Faults{UserinfoStatus: 503}, nil, nil, unreachable},
		{"userinfo forbids it", sandbox.Options{}, nil, sandbox.Faults{UserinfoStatus: 403}, nil, ErrRefused, "status 403"},
		{"discovery is down", sandbox.Options{}, nil, sandbox.Faults{DiscoveryStatus: 503}, nil, nil, unreachable},
		{"there is no userinfo: the keys tell", sandbox.Options{}, nil, sandbox.Faults{Discovery: map[string]any{"userinfo_endpoint": nil}}, nil, nil, ok},
		{"the keys are down, and are asked for", sandbox.Options{}, nil, sandbox.Faults{JWKSDown: true, Discovery: map[string]any{"userinfo_endpoint": nil}}, nil, nil, unreachable},
	} {
		t.Run(row.reason, func(t *testing.T) {
			r := newRun(t)
			issuer, p := newSandbox(t, r, row.options)
			if row.change != nil {
				row.change(p)
			}
			if err := r.signIn(t, p); err != nil {
				t.Fatal(err)
			}
			token := r.kept[0].AccessToken
			if row.token != nil {
				token = row.token(t, issuer, r.kept[0])
			}
			issuer.SetFaults(func(f *sandbox.Faults) { *f = row.faults })
			r.hide(token)
			refreshes := issuer.Count("token:refresh_token")
			of, err := r.CheckToken(t.Context(), p, token)
			if err != nil {
				r.say(err.Error())
			}
			if row.words == ok {
				if err != nil || of.Subject != r.kept[0].Subject || of.Email != "ada@acme.dev" && row.faults.Discovery == nil {
					t.Errorf("got %+v, %v", of, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), row.words) {
				t.Errorf("got %v, want %q", err, row.words)
			}
			for _, sentinel := range []error{ErrRefused, ErrNotTold} {
				if errors.Is(err, sentinel) != (sentinel == row.want) {
					t.Errorf("%v: is it %v? want %v", err, sentinel, row.want)
				}
			}
			if issuer.Count("token:refresh_token") != refreshes {
				t.Error("a question has cost a refresh")
			}
		})
	}
}

// forge changes the last letters of a signature.
func forge(token string) string {
	tail := "AAAAAAAA"
	if strings.HasSuffix(token, tail) {
		tail = "BBBBBBBB"
	}
	return token[:len(token)-len(tail)] + tail
}

// TestBodyRefusal: the two forms in which Clerk answers an error, and neither.
func TestBodyRefusal(t *testing.T) {
	for _, row := range []struct {
		body  string
		want  string
		oauth bool
	}{
		{`{"error":"invalid_scope","error_description":"gone"}`, `token endpoint: status 400: "invalid_scope" ("gone")`, true},
		{`{"errors":[{"code":"host_invalid","message":"Invalid host","long_message":"We were unable to attribute this request"}]}`,
			`token endpoint: status 400: "host_invalid" ("We were unable to attribute this request")`, false},
		{`{"errors":[{"code":"host_invalid","message":"Invalid host"},{"code":"other"}]}`, `token endpoint: status 400: "host_invalid" ("Invalid host")`, false},
		{`{"errors":[{"code":"invalid_grant","message":"s3cret"}]}`, `token endpoint: status 400: "invalid_grant" ("[secret]")`, false},
		{`{"errors":[]}`, `token endpoint: status 400`, false},
		{`{"errors":{"code":"x"}}`, `token endpoint: status 400`, false},
		{`{"error":7}`, `token endpoint: status 400`, false},
		{`<html>`, `token endpoint: status 400`, false},
	} {
		if got := bodyRefusal("token", 400, []byte(row.body), "s3cret"); got.Error() != row.want || got.OAuth != row.oauth {
			t.Errorf("%s: %v, OAuth: %v", row.body, got, got.OAuth)
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for said, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, " 5 ": 5 * time.Second, "0": 0, "-5": 0, "soon": 0, "1.5": 0, "1e3": 0,
		"999999999":                     24 * time.Hour,
		"99999999999999999999":          0,
		"Mon, 23 Nov 2026 12:01:00 GMT": time.Minute,
		"Mon, 23 Nov 2026 11:59:00 GMT": 0,
		"Mon, 23 Nov 2099 12:00:00 GMT": 24 * time.Hour,
	} {
		if got := retryAfter(http.Header{"Retry-After": {said}}, now); got != want {
			t.Errorf("%q: %v, want %v", said, got, want)
		}
		// By a clock that is wrong it is the same: the answer says when it was made.
		dated := http.Header{"Retry-After": {said}, "Date": {"Mon, 23 Nov 2026 12:00:00 GMT"}}
		if got := retryAfter(dated, now.Add(-10*time.Minute)); got != want {
			t.Errorf("%q, by another clock: %v, want %v", said, got, want)
		}
	}
}
