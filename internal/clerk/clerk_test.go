package clerk

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/sandbox"
)

// run is one client and all of its output.
type run struct {
	*Client
	mu      sync.Mutex
	said    []string // errors and trace lines
	secrets []string // what must not be in said
	page    string   // where the person's browser ended up
	kept    []Tokens
	flows   []Flow // that a sign-in may try
}

func newRun(t *testing.T) *run {
	r := &run{}
	r.Client = &Client{
		UserAgent: "clerk-credential-helper/test",
		Hostname:  "thinkpad",
		Timeout:   30 * time.Second,
		Sleep:     func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Trace: func(format string, args ...any) {
			r.say(fmt.Sprintf(format, args...))
		},
	}
	t.Cleanup(func() {
		if len(r.said) == 0 {
			t.Error("no trace line at all")
		}
		r.checkSecrets(t)
	})
	return r
}

func (r *run) say(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, s)
}

// hide notes secrets of the run. Short ones are test artefacts and would be found everywhere.
func (r *run) hide(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, secret := range secrets {
		if len(secret) >= 8 {
			r.secrets = append(r.secrets, secret)
		}
	}
}

// checkSecrets looks for every secret of the run, and for every query, in everything that was said.
func (r *run) checkSecrets(t *testing.T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.said {
		for _, secret := range r.secrets {
			if strings.Contains(line, secret) {
				t.Errorf("the secret %q is in %q", secret, line)
			}
		}
		if strings.Contains(line, "state=") || strings.Contains(line, "code=") {
			t.Errorf("a query is in %q", line)
		}
	}
}

// browse is the person: a browser that follows every redirect to the end.
func (r *run) browse(ctx context.Context, invitation Invitation) error {
	authorize, err := url.Parse(invitation.AuthorizeURL)
	if err != nil {
		return err
	}
	r.hide(authorize.Query().Get("state"), authorize.Query().Get("nonce"), authorize.Query().Get("code_challenge"))
	// The context ends with the sign-in, perhaps before the last page has been read.
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, invitation.StartURL, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return nil // the browser failed, not the invitation
	}
	defer resp.Body.Close()
	page, _ := io.ReadAll(resp.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.page = string(page)
	return nil
}

// signInWith runs a whole sign-in as the broker does: the first flow that invite can bring the person into.
func (r *run) signInWith(ctx context.Context, p *config.Profile, invite func(context.Context, Invitation) error, keep func(Tokens) error) error {
	attempt, err := r.Begin(ctx, p, r.flows...)
	if err != nil {
		return err
	}
	defer attempt.Close()
	for {
		err := r.signInBy(ctx, p, attempt, invite, keep)
		if !errors.Is(err, ErrOtherFlow) {
			return err
		}
		if next := attempt.Next(ctx); errors.Is(next, ErrOtherFlow) {
			return err
		} else if next != nil {
			return next
		}
	}
}

func (r *run) signInBy(ctx context.Context, p *config.Profile, attempt *Attempt, invite func(context.Context, Invitation) error, keep func(Tokens) error) error {
	leave, err := InviteDuring(ctx, func(ctx context.Context) error { return invite(ctx, attempt.Invitation()) }, attempt.Wait)
	defer leave()
	if err != nil {
		return err
	}
	tokens, err := attempt.Redeem(ctx)
	if err == nil {
		err = keep(tokens)
	}
	attempt.Finish(ctx, err)
	if err != nil && tokens.RefreshToken != "" {
		if err := r.Revoke(context.WithoutCancel(ctx), p, tokens.RefreshToken); err != nil {
			return err
		}
	}
	return err
}

// signIn runs a whole sign-in, with a person who says yes.
func (r *run) signIn(t *testing.T, p *config.Profile) error {
	t.Helper()
	err := r.signInWith(t.Context(), p, r.browse, func(tokens Tokens) error {
		r.kept = append(r.kept, tokens)
		return nil
	})
	if err != nil {
		r.say(err.Error())
	}
	return err
}

func (r *run) refresh(t *testing.T, p *config.Profile, old Tokens) (Tokens, error) {
	t.Helper()
	tokens, err := r.Refresh(t.Context(), p, old)
	if err != nil {
		r.say(err.Error())
	}
	return tokens, err
}

// signingKey is that of all sandboxes of this package: making one takes longer than most tests.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// newSandbox serves a sandbox and returns a profile for it. What it issues is secret in r.
func newSandbox(t *testing.T, r *run, options sandbox.Options) (*sandbox.Server, *config.Profile) {
	t.Helper()
	options.Auto, options.Key = true, signingKey
	issuer := sandbox.New(options)
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	t.Cleanup(func() {
		r.hide(issuer.Issued()...)
		r.checkSecrets(t)
	})
	issuer.SetIssuer(server.URL)
	return issuer, &config.Profile{
		Name:     "acme",
		Issuer:   server.URL,
		ClientID: "sandbox-client",
		Scopes:   []string{"openid", "profile", "email", "offline_access"},
		Token:    "access",
	}
}

func TestSignIn(t *testing.T) {
	tests := []struct {
		name     string
		options  sandbox.Options
		change   func(*config.Profile)
		faults   sandbox.Faults
		kind     string
		refresh  bool
		life     time.Duration
		userinfo int
	}{
		{name: "JWT", kind: "jwt", refresh: true, life: 24 * time.Hour},
		{name: "opaque", options: sandbox.Options{Opaque: true}, kind: "opaque", refresh: true, life: 24 * time.Hour, userinfo: 1},
		{name: "ID token", change: func(p *config.Profile) { p.Token = "id" }, kind: "jwt", refresh: true, life: 24 * time.Hour},
		{name: "JWT without openid", change: func(p *config.Profile) { p.Scopes = []string{"email"} }, kind: "jwt", life: 24 * time.Hour, userinfo: 1},
		{name: "opaque without openid", options: sandbox.Options{Opaque: true}, change: func(p *config.Profile) { p.Scopes = []string{"email"} }, kind: "opaque", life: 24 * time.Hour, userinfo: 1},
		{name: "short life", options: sandbox.Options{AccessLifetime: time.Minute}, kind: "jwt", refresh: true, life: time.Minute},
		{name: "no expires_in, JWT", faults: sandbox.Faults{OmitExpiresIn: true}, kind: "jwt", refresh: true, life: 24 * time.Hour},
		{name: "no expires_in, opaque", options: sandbox.Options{Opaque: true}, faults: sandbox.Faults{OmitExpiresIn: true}, kind: "opaque", refresh: true, life: time.Hour, userinfo: 1},
		{name: "no refresh token though asked for", faults: sandbox.Faults{OmitRefreshToken: true}, kind: "jwt", life: 24 * time.Hour},
		{name: "type of token in upper case", faults: sandbox.Faults{TokenType: "BEARER"}, kind: "jwt", refresh: true, life: 24 * time.Hour},
		{name: "iss not advertised and absent", faults: sandbox.Faults{OmitResponseIssuer: true, Discovery: map[string]any{"authorization_response_iss_parameter_supported": nil}}, kind: "jwt", refresh: true, life: 24 * time.Hour},
		{name: "userinfo down, JWT without openid", change: func(p *config.Profile) { p.Scopes = []string{"email"} }, faults: sandbox.Faults{UserinfoStatus: 500}, kind: "jwt", life: 24 * time.Hour, userinfo: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRun(t)
			issuer, p := newSandbox(t, r, test.options)
			issuer.SetFaults(func(f *sandbox.Faults) { *f = test.faults })
			if test.change != nil {
				test.change(p)
			}
			began := time.Now()
			if err := r.signIn(t, p); err != nil {
				t.Fatal(err)
			}
			if len(r.kept) != 1 {
				t.Fatalf("keep was called %d times", len(r.kept))
			}
			got := r.kept[0]
			if !strings.HasPrefix(got.Subject, "user_") {
				t.Errorf("subject %q", got.Subject)
			}
			if want := "ada@acme.dev"; got.Email != want && test.faults.UserinfoStatus == 0 {
				t.Errorf("e-mail %q, want %q", got.Email, want)
			}
			if got.Kind != test.kind {
				t.Errorf("kind %q, want %q", got.Kind, test.kind)
			}
			if (got.RefreshToken != "") != test.refresh {
				t.Errorf("refresh token %q", got.RefreshToken)
			}
			if (got.IDToken != "") != (p.Token == "id") {
				t.Errorf("ID token %q", got.IDToken)
			}
			if _, err := issuer.Verify(got.AccessToken); err != nil {
				t.Errorf("the access token is not good: %v", err)
			}
			if life := got.ExpiresAt.Sub(began); life < test.life-2*time.Second || life > test.life+20*time.Second {
				t.Errorf("life %v, want %v", life, test.life)
			}
			if !strings.Contains(r.page, "You are signed in") {
				t.Errorf("the browser ended on:\n%s", r.page)
			}
			want := map[string]int{"discovery": 1, "authorize": 1, "token": 1, "token:authorization_code": 1, "userinfo": test.userinfo}
			for kind, n := range want {
				if got := issuer.Count(kind); got != n {
					t.Errorf("%d requests of kind %q, want %d", got, kind, n)
				}
			}
			for _, request := range issuer.Requests() {
				if request.Method == "POST" && strings.Contains(request.URL, "?") {
					t.Errorf("a query in %q", request.URL)
				}
			}
		})
	}
}

func TestSignInFaults(t *testing.T) {
	tests := []struct {
		name   string
		faults sandbox.Faults
		opaque bool
		is     error  // what the error is, or
		want   string // a part of its text
	}{
		{name: "denied", faults: sandbox.Faults{DenyConsent: true}, is: ErrDenied},
		{name: "iss missing though advertised", faults: sandbox.Faults{OmitResponseIssuer: true}, want: "came back from the issuer"},
		{name: "iss of another issuer", faults: sandbox.Faults{WrongResponseIssuer: true}, want: "came back from the issuer"},
		{name: "iss of another issuer, not advertised", faults: sandbox.Faults{WrongResponseIssuer: true, Discovery: map[string]any{"authorization_response_iss_parameter_supported": nil}}, want: "came back from the issuer"},
		{name: "denied by another issuer", faults: sandbox.Faults{WrongResponseIssuer: true, DenyConsent: true}, want: "came back from the issuer"},
		{name: "scope unknown", faults: sandbox.Faults{NoOfflineAccess: true}, want: `authorize endpoint: "invalid_scope"`},
		{name: "no S256", faults: sandbox.Faults{Discovery: map[string]any{"code_challenge_methods_supported": []string{"plain"}}}, want: "S256"},
		{name: "no challenge methods", faults: sandbox.Faults{Discovery: map[string]any{"code_challenge_methods_supported": nil}}, want: "S256"},
		{name: "discovery down", faults: sandbox.Faults{DiscoveryStatus: 503}, want: "discovery endpoint: status 503"},
		{name: "no discovery document", faults: sandbox.Faults{DiscoveryStatus: 404}, want: "discovery endpoint: status 404"},
		{name: "discovery redirects", faults: sandbox.Faults{DiscoveryStatus: 302}, want: "discovery endpoint: status 302"},
		{name: "foreign token endpoint", faults: sandbox.Faults{ForeignTokenEndpoint: "https://evil.example/oauth/token"}, want: "does not have the issuer's origin"},
		{name: "token endpoint down", faults: sandbox.Faults{TokenStatus: 503}, want: "token endpoint: status 503"},
		{name: "403 without a body", faults: sandbox.Faults{TokenStatus: 403}, want: "token endpoint: status 403"},
		{name: "too many requests", faults: sandbox.Faults{TokenStatus: 429}, want: "token endpoint: status 429"},
		{name: "HTML", faults: sandbox.Faults{TokenBody: "<html>no</html>"}, want: "holds no token"},
		{name: "empty answer", faults: sandbox.Faults{TokenStatus: 200, TokenBody: "{}"}, want: "holds no token"},
		{name: "a list", faults: sandbox.Faults{TokenStatus: 200, TokenBody: "[]"}, want: "holds no token"},
		{name: "no type of token", faults: sandbox.Faults{TokenBody: `{"access_token":"oat_x"}`, TokenHeader: http.Header{"Content-Type": {"application/json"}}}, want: "not bearer"},
		{name: "error with status 200", faults: sandbox.Faults{TokenBody: `{"error":"invalid_request"}`, TokenHeader: http.Header{"Content-Type": {"application/json"}}}, want: `status 200: "invalid_request"`},
		{name: "connection closed", faults: sandbox.Faults{TokenDrop: true}, want: "token endpoint: Post"},
		{name: "answer cut off", faults: sandbox.Faults{TokenTruncate: true}, want: "token endpoint: Post"},
		{name: "other type of token", faults: sandbox.Faults{TokenType: "DPoP"}, want: `"DPoP", not bearer`},
		{name: "no ID token", faults: sandbox.Faults{OmitIDToken: true}, want: "no ID token"},
		{name: "keys down", faults: sandbox.Faults{JWKSDown: true}, want: "keys endpoint: status 503"},
		{name: "userinfo down, opaque", faults: sandbox.Faults{UserinfoStatus: 500}, opaque: true, want: "userinfo endpoint: status 500"},
		{name: "userinfo refuses, opaque", faults: sandbox.Faults{UserinfoStatus: 401}, opaque: true, want: "userinfo endpoint: status 401"},
		{name: "access token of another person", faults: sandbox.Faults{OtherAccessSubject: true}, want: "another account"},
		{name: "opaque access token of another person", faults: sandbox.Faults{OtherAccessSubject: true}, opaque: true, want: "another account"},
		{name: "wrong nonce", faults: sandbox.Faults{WrongNonce: true}, want: "nonce"},
		{name: "wrong audience", faults: sandbox.Faults{WrongAudience: true}, want: "audience"},
		{name: "wrong client", faults: sandbox.Faults{WrongClientID: true}, want: `made for the client "another-client"`},
		{name: "wrong type", faults: sandbox.Faults{WrongType: true}, want: `type "JWT"`},
		{name: "wrong issuer", faults: sandbox.Faults{WrongIssuer: true}, want: "different provider"},
		{name: "bad signature", faults: sandbox.Faults{BadSignature: true}, want: "verify"},
		{name: "algorithm none", faults: sandbox.Faults{Unsigned: true}, want: "unexpected signature algorithm"},
		{name: "expired", faults: sandbox.Faults{AccessLifetime: -time.Hour}, want: "expired"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRun(t)
			issuer, p := newSandbox(t, r, sandbox.Options{Opaque: test.opaque})
			issuer.SetFaults(func(f *sandbox.Faults) { *f = test.faults })
			err := r.signIn(t, p)
			if err == nil {
				t.Fatal("signed in")
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("error %q, want %q", err, test.is)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q lacks %q", err, test.want)
			}
			if len(r.kept) != 0 || strings.Contains(r.page, "You are signed in") {
				t.Errorf("kept %d times, page:\n%s", len(r.kept), r.page)
			}
			if n := issuer.Count("token"); n > 1 || n == 1 && strings.Contains(test.want, "came back from the issuer") {
				t.Errorf("%d token requests", n)
			}
			if n := issuer.Grants(); n != 0 && !test.faults.TokenTruncate {
				t.Errorf("%d grants are left", n)
			}
			if errors.Is(err, ErrDenied) && !strings.Contains(r.page, "Sign-in declined") {
				t.Errorf("page:\n%s", r.page)
			}
		})
	}
}

func TestWrongStateDoesNotEndTheWait(t *testing.T) {
	r := newRun(t)
	issuer, p := newSandbox(t, r, sandbox.Options{})
	issuer.SetFaults(func(f *sandbox.Faults) { f.WrongState = true })
	r.Timeout = 300 * time.Millisecond
	err := r.signIn(t, p)
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "http://127.0.0.1/callback") {
		t.Errorf("error %v", err)
	}
}

func TestSignInEndings(t *testing.T) {
	boom := errors.New("boom")
	nothing := func(context.Context, Invitation) error { return nil }
	patient := func(ctx context.Context, _ Invitation) error { <-ctx.Done(); return ctx.Err() }
	tests := []struct {
		name    string
		invite  func(context.Context, Invitation) error // nil is the person
		keep    error
		timeout time.Duration
		cancel  bool
		want    error
		page    string
	}{
		{name: "no browser", invite: func(context.Context, Invitation) error { return boom }, want: boom},
		{name: "the user does not come", invite: nothing, timeout: 50 * time.Millisecond, want: ErrTimeout},
		{name: "the user does not come, and the invitation stays", invite: patient, timeout: 50 * time.Millisecond, want: ErrTimeout},
		{name: "interrupted", invite: patient, cancel: true, want: context.Canceled},
		{name: "not kept", keep: boom, want: boom, page: "Not signed in"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRun(t)
			_, p := newSandbox(t, r, sandbox.Options{})
			if test.invite == nil {
				test.invite = r.browse
			}
			if test.timeout != 0 {
				r.Timeout = test.timeout
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			invite := func(ctx context.Context, invitation Invitation) error {
				if left := time.Until(invitation.Until); left > r.Timeout || left < r.Timeout-10*time.Second {
					t.Errorf("until %v", invitation.Until)
				}
				if !strings.HasPrefix(invitation.StartURL, strings.TrimSuffix(invitation.RedirectURI, "/callback")+"/start/") {
					t.Errorf("start %q, redirect %q", invitation.StartURL, invitation.RedirectURI)
				}
				if test.cancel {
					cancel()
				}
				return test.invite(ctx, invitation)
			}
			err := r.signInWith(ctx, p, invite, func(Tokens) error { return test.keep })
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if !strings.Contains(r.page, test.page) {
				t.Errorf("page:\n%s", r.page)
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	r := newRun(t)
	issuer, p := newSandbox(t, r, sandbox.Options{})
	if err := r.signIn(t, p); err != nil {
		t.Fatal(err)
	}
	first := r.kept[0]
	keys := issuer.Count("jwks")

	second, err := r.refresh(t, p, first)
	if err != nil {
		t.Fatal(err)
	}
	if second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken || second.RefreshToken == "" {
		t.Error("the tokens are not new")
	}
	if second.Subject != first.Subject || second.Email != first.Email || second.Kind != "jwt" {
		t.Errorf("account %q, %q, kind %q", second.Subject, second.Email, second.Kind)
	}
	if left := time.Until(second.ExpiresAt); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("life %v", left)
	}
	if issuer.Count("jwks") != keys || issuer.Count("userinfo") != 0 || issuer.Count("token:refresh_token") != 1 {
		t.Error("a refresh is one token request, without keys and userinfo")
	}

	// Without a new refresh token the old one stays.
	issuer.SetFaults(func(f *sandbox.Faults) { f.OmitRefreshToken, f.OmitExpiresIn = true, true })
	third, err := r.refresh(t, p, second)
	if err != nil || third.RefreshToken != second.RefreshToken {
		t.Errorf("refresh token %q, %v", third.RefreshToken, err)
	}
	if left := time.Until(third.ExpiresAt); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("life by the token's own word: %v", left)
	}

	// A used one ends the grant; the sandbox says so with 401.
	if _, err := r.refresh(t, p, first); !errors.Is(err, ErrGrantEnded) {
		t.Errorf("reuse: %v", err)
	}
	if _, err := r.refresh(t, p, second); !errors.Is(err, ErrGrantEnded) {
		t.Errorf("after reuse: %v", err)
	}
	if _, err := r.refresh(t, p, Tokens{}); err == nil || errors.Is(err, ErrGrantEnded) {
		t.Errorf("without a refresh token: %v", err)
	}
}

// TestRefreshRefused: what ends a grant, and what does not.
func TestRefreshRefused(t *testing.T) {
	json := http.Header{"Content-Type": {"application/json"}}
	tests := []struct {
		name   string
		faults sandbox.Faults
		ended  bool
		status int // of the *ResponseError; 0 if it is not one
	}{
		{name: "invalid_grant with 400", faults: sandbox.Faults{TokenStatus: 400, TokenBody: `{"error":"invalid_grant"}`, TokenHeader: json}, ended: true, status: 400},
		{name: "invalid_grant with 401", faults: sandbox.Faults{TokenStatus: 401, TokenBody: `{"error":"invalid_grant"}`, TokenHeader: json}, ended: true, status: 401},
		{name: "invalid_grant without a content type", faults: sandbox.Faults{TokenStatus: 400, TokenBody: `{"error":"invalid_grant"}`}, ended: true, status: 400},
		{name: "invalid_grant with 500", faults: sandbox.Faults{TokenStatus: 500, TokenBody: `{"error":"invalid_grant"}`, TokenHeader: json}, status: 500},
		{name: "invalid_grant with 403", faults: sandbox.Faults{TokenStatus: 403, TokenBody: `{"error":"invalid_grant"}`, TokenHeader: json}, status: 403},
		{name: "invalid_grant as a form", faults: sandbox.Faults{TokenStatus: 400, TokenBody: `error=invalid_grant`, TokenHeader: http.Header{"Content-Type": {"text/plain"}}}, status: 400},
		{name: "invalid_grant inside HTML", faults: sandbox.Faults{TokenStatus: 400, TokenBody: `<html>invalid_grant</html>`}, status: 400},
		{name: "invalid_client", faults: sandbox.Faults{TokenStatus: 401, TokenBody: `{"error":"invalid_client"}`, TokenHeader: json}, status: 401},
		{name: "401 without a body", faults: sandbox.Faults{TokenStatus: 401}, status: 401},
		{name: "403 without a body", faults: sandbox.Faults{TokenStatus: 403}, status: 403},
		{name: "429", faults: sandbox.Faults{TokenStatus: 429}, status: 429},
		{name: "503", faults: sandbox.Faults{TokenStatus: 503}, status: 503},
		{name: "302", faults: sandbox.Faults{TokenStatus: 302, TokenHeader: http.Header{"Location": {"/oauth/token"}}}, status: 302},
		{name: "307", faults: sandbox.Faults{TokenStatus: 307, TokenHeader: http.Header{"Location": {"/oauth/token"}}}, status: 307},
		{name: "connection closed", faults: sandbox.Faults{TokenDrop: true}},
		{name: "HTML", faults: sandbox.Faults{TokenBody: "<html></html>"}},
		{name: "discovery down", faults: sandbox.Faults{DiscoveryStatus: 500}, status: 500},
		{name: "foreign token endpoint", faults: sandbox.Faults{ForeignTokenEndpoint: "https://evil.example/token"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRun(t)
			issuer, p := newSandbox(t, r, sandbox.Options{})
			if err := r.signIn(t, p); err != nil {
				t.Fatal(err)
			}
			issuer.SetFaults(func(f *sandbox.Faults) { *f = test.faults })
			tokens, err := r.refresh(t, p, r.kept[0])
			if err == nil || !reflect.DeepEqual(tokens, Tokens{}) {
				t.Fatalf("refreshed: %+v, %v", tokens, err)
			}
			if errors.Is(err, ErrGrantEnded) != test.ended {
				t.Errorf("ended is not %v: %v", test.ended, err)
			}
			var refused *ResponseError
			if status := 0; errors.As(err, &refused) {
				if status = refused.Status; status != test.status {
					t.Errorf("status %d, want %d", status, test.status)
				}
			} else if test.status != 0 {
				t.Errorf("not a ResponseError: %v", err)
			}
			if n := issuer.Count("token:refresh_token"); n > 1 {
				t.Errorf("the refresh token was sent %d times", n)
			}
			if test.ended {
				return
			}
			// The old one is as good as before.
			issuer.SetFaults(func(f *sandbox.Faults) { *f = sandbox.Faults{} })
			if _, err := r.refresh(t, p, r.kept[0]); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestRefreshMisfit: an answer that is not the session's yields its refresh token and nothing else.
func TestRefreshMisfit(t *testing.T) {
	tests := []struct {
		name   string
		token  string
		opaque bool
		faults sandbox.Faults
		ok     bool
		old    func(*Tokens)
	}{
		{name: "another person", faults: sandbox.Faults{OtherSubject: true}},
		{name: "access token of another person", faults: sandbox.Faults{OtherAccessSubject: true}},
		{name: "another issuer", faults: sandbox.Faults{WrongIssuer: true}},
		{name: "access token of another issuer", faults: sandbox.Faults{WrongIssuer: true, OmitIDToken: true}},
		{name: "ID token of another issuer", opaque: true, faults: sandbox.Faults{WrongIssuer: true}},
		{name: "ID token of another person", opaque: true, faults: sandbox.Faults{OtherSubject: true}},
		{name: "another client", faults: sandbox.Faults{WrongClientID: true}},
		{name: "another audience of the ID token", faults: sandbox.Faults{WrongAudience: true}},
		{name: "no signature", faults: sandbox.Faults{Unsigned: true}},
		{name: "another type of token", faults: sandbox.Faults{TokenType: "mac"}},
		{name: "signatures are not asked again", faults: sandbox.Faults{BadSignature: true, JWKSDown: true, UserinfoStatus: 500}, ok: true},
		{name: "no ID token where none is handed out", faults: sandbox.Faults{OmitIDToken: true}, ok: true},
		{name: "no ID token, the old one is still valid", token: "id", faults: sandbox.Faults{OmitIDToken: true}, ok: true},
		{name: "no ID token, the old one has ended", token: "id", faults: sandbox.Faults{OmitIDToken: true}, old: func(old *Tokens) {
			old.IDToken = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl"
		}},
		{name: "no ID token and no old one", token: "id", faults: sandbox.Faults{OmitIDToken: true}, old: func(old *Tokens) { old.IDToken = "" }},
		{name: "an ID token that has ended", token: "id", faults: sandbox.Faults{AccessLifetime: -time.Minute}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRun(t)
			issuer, p := newSandbox(t, r, sandbox.Options{Opaque: test.opaque})
			if test.token != "" {
				p.Token = test.token
			}
			if err := r.signIn(t, p); err != nil {
				t.Fatal(err)
			}
			old := r.kept[0]
			if test.old != nil {
				test.old(&old)
			}
			issuer.SetFaults(func(f *sandbox.Faults) { *f = test.faults })
			tokens, err := r.refresh(t, p, old)
			if (err == nil) != test.ok {
				t.Fatalf("error %v", err)
			}
			if tokens.RefreshToken == "" || tokens.RefreshToken == old.RefreshToken {
				t.Error("the rotated refresh token is lost")
			}
			if (tokens.AccessToken != "") != test.ok || tokens.IDToken != "" && !test.ok {
				t.Errorf("tokens %+v", tokens)
			}
			if test.ok && test.token == "id" && (tokens.IDToken != old.IDToken || !tokens.SameIDToken) {
				t.Error("the old ID token is lost")
			}
		})
	}
}

func TestRevoke(t *testing.T) {
	r := newRun(t)
	issuer, p := newSandbox(t, r, sandbox.Options{})
	if err := r.signIn(t, p); err != nil {
		t.Fatal(err)
	}
	issuer.SetFaults(func(f *sandbox.Faults) { f.RevokeStatus = 503 })
	err := r.Revoke(t.Context(), p, r.kept[0].RefreshToken)
	var refused *ResponseError
	if !errors.As(err, &refused) || refused.Status != 503 || refused.Endpoint != "revoke" {
		t.Errorf("503: %v", err)
	}
	// Clerk's path is used if discovery names none.
	issuer.SetFaults(func(f *sandbox.Faults) {
		*f = sandbox.Faults{Discovery: map[string]any{"revocation_endpoint": nil}}
	})
	if err := r.Revoke(t.Context(), p, r.kept[0].RefreshToken); err != nil {
		t.Fatal(err)
	}
	if _, err := r.refresh(t, p, r.kept[0]); !errors.Is(err, ErrGrantEnded) {
		t.Errorf("refresh after revoke: %v", err)
	}
}

// TestTrace: the query of an endpoint is not traced, not even one from the metadata.
func TestTrace(t *testing.T) {
	var lines []string
	client := &Client{
		Now:       func() time.Time { return time.Unix(0, 0) },
		Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("the-words-of-the-network") }),
		Trace:     func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) },
	}
	req, err := http.NewRequest(http.MethodGet, "https://user:password@clerk.acme.dev/a%20path?token=secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.fetch("userinfo", req); err == nil {
		t.Error("no error")
	}
	want := "GET https://clerk.acme.dev/a%20path: no answer (0s)"
	if len(lines) != 1 || lines[0] != want {
		t.Errorf("trace %q, want %q", lines, want)
	}
}

func TestUserAgent(t *testing.T) {
	r := newRun(t)
	_, p := newSandbox(t, r, sandbox.Options{})
	r.UserAgent = "" // then Clerk and the sandbox turn us away: the field is what carries it
	if err := r.signIn(t, p); err == nil || !strings.Contains(err.Error(), "status 403") {
		t.Errorf("error %v", err)
	}
}
