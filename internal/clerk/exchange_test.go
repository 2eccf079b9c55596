package clerk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/sandbox"
)

// newJob serves a companion page, and a CI whose jobs of acme/app the page trusts. Its profile is in a job of repository.
func newJob(t *testing.T, r *run, repository string) (*sandbox.Server, *sandbox.Job, *config.Profile) {
	t.Helper()
	issuer, page, p := newCompanion(t, r, true)
	server := httptest.NewUnstartedServer(nil)
	ci := issuer.CI("http://" + server.Listener.Addr().String())
	job := ci.Job(map[string]any{"repository": repository})
	server.Config.Handler = ci
	server.Start()
	t.Cleanup(server.Close)
	page.Trust(ci, sandbox.JobKind{Claims: map[string]any{"repository": "acme/app"}, Named: []string{"repository"}})
	p.InJob, p.IsMachine = "GitHub Actions", true
	r.Client.Job = &config.Job{CI: p.InJob, Variable: "ACTIONS_ID_TOKEN_REQUEST_TOKEN", Address: ci.RequestURL()}
	return issuer, job, p
}

func TestExchange(t *testing.T) {
	r := newRun(t)
	issuer, ci, p := newJob(t, r, "acme/app")
	tokens, err := r.Client.Mint(t.Context(), p, ci.RequestToken)
	if err != nil || tokens.Kind != "jwt" || tokens.Subject != "mch_sandbox" || tokens.RefreshToken != "" || ci.Asked() != 1 {
		t.Fatalf("got %+v, %v; the CI was asked %d times", tokens, err, ci.Asked())
	}
	if got := tokens.Claims.String(); !strings.HasPrefix(got, `iss "http://127.0.0.1:`) || !strings.HasSuffix(got, `, aud "`+p.Issuer+`", repository "acme/app"`) {
		t.Errorf("the claims that were sent: %s", got)
	}
	if left := time.Until(tokens.ExpiresAt); left > 15*time.Minute || left < 14*time.Minute {
		t.Errorf("life %v, want what the page says", left)
	}
	if who, _, _, _ := Inspect(tokens.AccessToken); who != clerkOf(issuer) {
		t.Errorf("issued by %q", who)
	}
	// A CI that brings the token itself, or has an agent that asks for it.
	given, err := ci.Token(p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	r.Client.Job = &config.Job{CI: "CircleCI", Variable: "CIRCLE_OIDC_TOKEN_V2"}
	if _, err := r.Client.Mint(t.Context(), p, given); err != nil || ci.Asked() != 1 {
		t.Errorf("a given one: %v", err)
	}
	asked := ""
	r.Client.Job = &config.Job{CI: "Buildkite", Program: "/agent"}
	r.Client.Agent = func(_ context.Context, program, audience string) (string, error) {
		asked = program + " " + audience
		return given, nil
	}
	if _, err := r.Client.Mint(t.Context(), p, "asks"); err != nil || asked != "/agent "+p.Issuer {
		t.Errorf("an agent: %v, asked %q", err, asked)
	}
}

// jobRun is a run with what the job has.
type jobRun struct {
	*run
	key string
}

// TestExchangeRefused: no token comes of it, no error has a secret, and what is not the page's policy is found out here.
func TestExchangeRefused(t *testing.T) {
	for _, row := range []struct {
		reason string
		change func(r *jobRun, s *sandbox.Server, ci *sandbox.Job, p *config.Profile)
		want   string
	}{
		{"a repository that no policy names", func(r *jobRun, s *sandbox.Server, _ *sandbox.Job, p *config.Profile) {
			other := s.CI("http://127.0.0.1:1").Job(map[string]any{"repository": "evil/fork"})
			r.Client.Job = &config.Job{CI: "CircleCI", Variable: "CIRCLE_OIDC_TOKEN_V2"}
			r.key, _ = other.Token(p.Issuer)
		}, `exchange endpoint: status 400: "invalid_grant"`},
		{"a token for another page", func(r *jobRun, _ *sandbox.Server, ci *sandbox.Job, p *config.Profile) {
			r.Client.Job = &config.Job{CI: "CircleCI", Variable: "CIRCLE_OIDC_TOKEN_V2"}
			r.key, _ = ci.Token("https://app.evil.dev")
		}, `"invalid_grant"`},
		{"a wrong credential", func(r *jobRun, _ *sandbox.Server, _ *sandbox.Job, _ *config.Profile) { r.key = "asks-wrongly" },
			"the token of GitHub Actions: CI endpoint: status 401"},
		{"the credential would go out in the clear", func(r *jobRun, _ *sandbox.Server, _ *sandbox.Job, _ *config.Profile) {
			r.Client.Job.Address = "http://actions.acme.dev/token"
		}, "is not https"},
		{"a password in the address", func(r *jobRun, _ *sandbox.Server, _ *sandbox.Job, _ *config.Profile) {
			r.Client.Job.Address = "https://bob:hunter2@actions.acme.dev/token"
		}, "is not https, or has a user name"},
		{"no address", func(r *jobRun, _ *sandbox.Server, _ *sandbox.Job, _ *config.Profile) { r.Client.Job.Address = "\x7f" }, "is not https"},
		{"no JWT", func(r *jobRun, _ *sandbox.Server, _ *sandbox.Job, _ *config.Profile) {
			r.Client.Job, r.key = &config.Job{CI: "the CI", Variable: "ID_TOKEN"}, "not.a.jwt"
		}, "the token of the CI in ID_TOKEN is not a JWT"},
		{"more than any CI signs", func(r *jobRun, _ *sandbox.Server, _ *sandbox.Job, _ *config.Profile) {
			r.Client.Job, r.key = &config.Job{CI: "the CI", Variable: "ID_TOKEN"}, "ey."+strings.Repeat("a", 17<<10)+".b"
		}, "of at most 16 KiB"},
		{"an agent that fails", func(r *jobRun, _ *sandbox.Server, _ *sandbox.Job, _ *config.Profile) {
			r.Client.Job = &config.Job{CI: "Buildkite", Program: "/agent"}
			r.Client.Agent = func(context.Context, string, string) (string, error) { return "", errors.New("no agent") }
		}, "the token of Buildkite: no agent"},
		{"no agent", func(r *jobRun, _ *sandbox.Server, _ *sandbox.Job, _ *config.Profile) {
			r.Client.Job = &config.Job{CI: "Buildkite", Program: "/agent"}
		}, "cannot be run here"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			r := &jobRun{run: newRun(t)}
			issuer, ci, p := newJob(t, r.run, "acme/app")
			r.key = ci.RequestToken
			row.change(r, issuer, ci, p)
			tokens, err := r.Client.Mint(t.Context(), p, r.key)
			sent := tokens.Claims // also with an error, for those who look for its reason
			if tokens.Claims = nil; err == nil || !strings.Contains(err.Error(), row.want) || !reflect.DeepEqual(tokens, Tokens{}) {
				t.Fatalf("got %+v, %v; want %q", tokens, err, row.want)
			}
			if (sent != nil) != strings.Contains(row.want, "invalid_grant") || sent["repository"] != "" && sent["repository"] != "evil/fork" && sent["repository"] != "acme/app" {
				t.Errorf("sent %v", sent)
			}
			for _, secret := range append(issuer.Issued(), r.key, "hunter2") {
				if len(secret) > 4 && strings.Contains(err.Error()+sent.String(), secret) {
					t.Errorf("the error holds a secret: %v", err)
				}
			}
		})
	}
}

// TestClaims: who a job is, in few words that no terminal obeys. What names a person, and what could be long, is left
// out.
func TestClaims(t *testing.T) {
	for _, row := range []struct{ reason, payload, want string }{
		{"GitHub's", `{"sub":"repo:acme/app:ref:refs/heads/main","iss":"https://token.actions.githubusercontent.com","ref":"refs/heads/main","repository":"acme/app","jti":"1","exp":1}`,
			`iss "https://token.actions.githubusercontent.com", sub "repo:acme/app:ref:refs/heads/main", repository "acme/app", ref "refs/heads/main"`},
		{"no person", `{"sub":"a","actor":"ada","user_email":"ada@acme.dev","user_login":"ada","head_ref":"x","build_creator_email":"ada@acme.dev"}`, `sub "a"`},
		{"a line end, an escape and a turn of the line", `{"sub":"a\n\u001b[2J\u202e\u0085b"}`, `sub "a\n\x1b[2J\u202e\u0085b"`},
		{"a quote", `{"sub":"a\", repository \"acme/app"}`, `sub "a\", repository \"acme/app"`},
		{"a long one", `{"sub":"` + strings.Repeat("x", 5000) + `"}`, `sub "` + strings.Repeat("x", 200) + `"`},
		{"a long one once it is escaped", `{"sub":"` + strings.Repeat(`\u0000`, 200) + `"}`, `sub "` + strings.Repeat(`\x00`, 50) + `"`},
		{"a list of one", `{"sub":"a","aud":["b"]}`, `sub "a", aud "b"`},
		{"a list", `{"sub":"a","aud":["b","c"],"environment":{"d":1},"ref":null}`, `sub "a"`},
		{"another claim in capitals", `{"SUB":"a"}`, `nothing of the job`},
		{"none", `{}`, `nothing of the job`},
		{"no object", `[]`, `nothing of the job`},
		{"no JSON", `{`, `nothing of the job`},
	} {
		token := "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(row.payload)) + ".signature"
		if got := claimsOf(token).String(); got != row.want {
			t.Errorf("%s: got %s, want %s", row.reason, got, row.want)
		}
	}
	if got := claimsOf("eyJhbGciOiJub25lIn0.!.signature"); len(got) != 0 {
		t.Errorf("no base64url: %v", got)
	}
}

// TestExchangeAnswers: what a page may not answer.
func TestExchangeAnswers(t *testing.T) {
	r := newRun(t)
	issuer, ci, p := newJob(t, r, "acme/app")
	given, err := ci.Token(p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]any{"access_token": "mt_abc", "issued_token_type": typeAccessToken, "token_type": "Bearer", "expires_in": 900}
	metadata := map[string]any{}
	var answer map[string]any
	var form url.Values
	page := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			json.NewEncoder(w).Encode(metadata)
			return
		}
		req.ParseForm()
		form = req.PostForm
		json.NewEncoder(w).Encode(answer)
	}))
	p.Issuer = "http://" + page.Listener.Addr().String()
	for name, value := range map[string]any{"issuer": p.Issuer, "authorization_endpoint": p.Issuer + "/cli-auth", "token_endpoint": p.Issuer + "/token",
		"revocation_endpoint": p.Issuer + "/revoke", "jwks_uri": clerkOf(issuer) + "/keys", "grant_types_supported": []string{grantExchange},
		"clerk_companion": map[string]any{"version": 1, "clerk_issuer": clerkOf(issuer)}} {
		metadata[name] = value
	}
	page.Start()
	t.Cleanup(page.Close)
	r.Client.Job = &config.Job{CI: "CircleCI", Variable: "CIRCLE_OIDC_TOKEN_V2"}
	for _, row := range []struct {
		reason, key string
		value       any
		want        string
	}{
		{"an opaque token", "", nil, ""},
		{"no token", "access_token", "", "the answer holds no token"},
		{"a token that ends a header", "access_token", "mt_a\r\nX: y", "the answer holds no token"},
		{"a token of another type", "issued_token_type", "urn:ietf:params:oauth:token-type:refresh_token", "is no access token for Bearer"},
		{"a token that is bound to a key", "token_type", "DPoP", "is no access token for Bearer"},
		{"no type", "token_type", nil, "is no access token for Bearer"},
		{"a token of another issuer", "access_token", given, "the token was issued by"},
		{"a life that is longer than an hour", "expires_in", 86400, ""},
		{"no life", "expires_in", nil, ""},
		{"a life in the past", "expires_in", -5, ""},
	} {
		answer = map[string]any{}
		for name, value := range good {
			answer[name] = value
		}
		if row.key != "" {
			answer[row.key] = row.value
		}
		tokens, err := r.Client.Mint(t.Context(), p, given)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %q", row.reason, err, row.want)
		}
		if err == nil && (tokens.ExpiresAt.Sub(tokens.ReceivedAt) > time.Hour || tokens.ExpiresAt.Sub(tokens.ReceivedAt) < time.Minute) {
			t.Errorf("%s: life %v", row.reason, tokens.ExpiresAt.Sub(tokens.ReceivedAt))
		}
	}
	want := url.Values{"grant_type": {grantExchange}, "client_id": {p.ClientID}, "subject_token": {given},
		"subject_token_type": {typeJWT}, "requested_token_type": {typeAccessToken}}
	if form.Encode() != want.Encode() {
		t.Errorf("sent %v", form)
	}
	metadata["grant_types_supported"] = []string{"authorization_code"}
	form = nil
	if _, err := r.Client.Mint(t.Context(), p, given); !errors.Is(err, ErrNoExchange) || form != nil {
		t.Errorf("a page without a policy: %v, sent %v", err, form)
	}
}
