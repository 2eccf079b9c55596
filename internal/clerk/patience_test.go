package clerk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/sandbox"
)

// answers is a network whose answers to one path are replaced, one after the other; then it is in order.
func answers(path string, replaced ...func(*http.Request) (*http.Response, error)) roundTripper {
	return func(req *http.Request) (*http.Response, error) {
		if strings.HasSuffix(req.URL.Path, path) && len(replaced) > 0 {
			first := replaced[0]
			replaced = replaced[1:]
			return first(req)
		}
		return http.DefaultTransport.RoundTrip(req)
	}
}

// status is an answer without a body. retryAfter is its Retry-After, empty for none.
func status(code int, retryAfter string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		header := http.Header{}
		if retryAfter != "" {
			header.Set("Retry-After", retryAfter)
		}
		return &http.Response{StatusCode: code, Header: header, Body: http.NoBody, Request: req}, nil
	}
}

func lost(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") }

// TestPatience: one answer of a busy issuer does not throw away what the user has done.
func TestPatience(t *testing.T) {
	type replies = []func(*http.Request) (*http.Response, error)
	for _, row := range []struct {
		reason, path string
		replaced     replies
		want         string // a part of the error; empty for success
		waited       []time.Duration
	}{
		{"discovery is busy", "/openid-configuration", replies{status(503, "")}, "", []time.Duration{time.Second}},
		{"discovery stays busy", "/openid-configuration", replies{status(503, ""), status(503, ""), status(503, "")}, "discovery endpoint: status 503", []time.Duration{time.Second, 2 * time.Second}},
		{"discovery is busy for longer than the user waits for a page", "/openid-configuration", replies{status(429, "60")}, "discovery endpoint: status 429", nil},
		{"no network", "/openid-configuration", replies{lost}, "connection reset", nil},
		{"the keys name a pause", "/jwks.json", replies{status(429, "3")}, "", []time.Duration{3 * time.Second}},
		{"userinfo is busy", "/userinfo", replies{status(503, "")}, "", []time.Duration{time.Second}},
		{"userinfo names a pause", "/userinfo", replies{status(429, "20"), status(429, "7")}, "", []time.Duration{20 * time.Second, 7 * time.Second}},
		{"userinfo names a longer pause", "/userinfo", replies{status(429, "31")}, "userinfo endpoint: status 429", nil},
		{"userinfo is lost", "/userinfo", replies{lost}, "", []time.Duration{time.Second}},
		{"userinfo refuses", "/userinfo", replies{status(403, "1")}, "userinfo endpoint: status 403", nil},
		{"the token endpoint puts it off", "/oauth/token", replies{status(429, "3")}, "", []time.Duration{3 * time.Second}},
		{"the token endpoint fails", "/oauth/token", replies{status(503, "")}, "token endpoint: status 503", nil},
		{"the token endpoint fails with a pause", "/oauth/token", replies{status(500, "3")}, "token endpoint: status 500", nil},
		{"the token endpoint is lost", "/oauth/token", replies{lost}, "connection reset", nil},
	} {
		t.Run(row.reason, func(t *testing.T) {
			r := newRun(t)
			_, p := newSandbox(t, r, sandbox.Options{Opaque: true})
			r.Transport = answers(row.path, row.replaced...)
			var waited []time.Duration
			r.Sleep = func(_ context.Context, d time.Duration) error {
				waited = append(waited, d)
				return nil
			}
			err := r.signIn(t, p)
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v", err)
			}
			if !slices.Equal(waited, row.waited) {
				t.Errorf("waited %v, not %v", waited, row.waited)
			}
		})
	}
}

// TestKeysChange: keys that the issuer has changed while the user signed in are fetched again, once.
func TestKeysChange(t *testing.T) {
	other := newKey(t)
	for _, forged := range []bool{false, true} {
		r := newRun(t)
		i, p := serve(t, r, newKey(t))
		i.token = func(w http.ResponseWriter, _ *http.Request) {
			i.key = other
			i.serveToken(w)
			if forged {
				i.key = newKey(t)
			}
		}
		if err := r.signIn(t, p); (err != nil) != forged {
			t.Errorf("forged: %v: %v", forged, err)
		}
	}
}

// TestUnusableMetadata: what could not work after the sign-in is found before the user is asked.
func TestUnusableMetadata(t *testing.T) {
	for _, row := range []struct {
		reason   string
		metadata map[string]any
		scopes   []string
		want     string // a part of the error; empty for success
	}{
		{"no keys", map[string]any{"jwks_uri": nil}, nil, "there is no jwks_uri"},
		{"other signatures", map[string]any{"id_token_signing_alg_values_supported": []string{"ES256", "EdDSA"}}, nil, "the issuer signs ID tokens with ES256, EdDSA, and only RS256 is supported"},
		{"requests that must be pushed", map[string]any{"require_pushed_authorization_requests": true}, nil, "pushed authorization requests"},
		{"signatures are not named", map[string]any{"id_token_signing_alg_values_supported": nil}, nil, ""},
		{"no keys, and no ID token", map[string]any{"jwks_uri": nil}, []string{"email"}, ""},
		{"requests that may be pushed", map[string]any{"pushed_authorization_request_endpoint": "https://elsewhere.example/par"}, nil, ""},
	} {
		r := newRun(t)
		issuer, p := newSandbox(t, r, sandbox.Options{Opaque: true})
		if row.scopes != nil {
			p.Scopes = row.scopes
		}
		issuer.SetFaults(func(f *sandbox.Faults) { f.Discovery = row.metadata })
		err := r.signIn(t, p)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.reason, err)
		}
		if asked := issuer.Count("authorize"); (asked > 0) != (err == nil) {
			t.Errorf("%s: the user was sent to the issuer %d times", row.reason, asked)
		}
		if p.IsMachine = true; row.metadata["require_pushed_authorization_requests"] != nil {
			if _, err := r.ProbeIssuer(t.Context(), p); err != nil {
				t.Errorf("%s: no user signs in to a machine's profile: %v", row.reason, err)
			}
		}
		p.IsMachine = false
		if _, err := r.ProbeIssuer(t.Context(), p); (err == nil) != (row.want == "" && row.scopes == nil) {
			t.Errorf("%s: doctor hears %v", row.reason, err)
		}
	}
}

// TestNonce: a nonce goes out only where an ID token comes back (OpenID Connect Core 1.0 §3.1.2.1).
func TestNonce(t *testing.T) {
	for _, row := range []struct {
		scopes []string
		nonce  bool
	}{{[]string{"openid"}, true}, {[]string{"profile", "email", "offline_access"}, false}} {
		r := newRun(t)
		_, p := newSandbox(t, r, sandbox.Options{})
		p.Scopes = row.scopes
		sent := ""
		err := r.signInWith(t.Context(), p, func(ctx context.Context, i Invitation) error {
			sent = i.AuthorizeURL
			return r.browse(ctx, i)
		}, func(Tokens) error { return nil })
		if err != nil || strings.Contains(sent, "nonce=") != row.nonce {
			t.Errorf("%q: %v, sent %s", row.scopes, err, fmt.Sprint(strings.Contains(sent, "nonce=")))
		}
	}
}
