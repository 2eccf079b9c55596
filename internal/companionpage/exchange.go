package companionpage

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"

	"github.com/go-jose/go-jose/v4"
)

const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 §2.1
	tokenTypes    = "urn:ietf:params:oauth:token-type:"               // RFC 8693 §3

	// githubIssuer is the CI that strangers' tokens are most likely to be from, for a policy that cannot be seen.
	githubIssuer = "https://token.actions.githubusercontent.com"

	curePolicy = "write the files again with companion add --force, which leaves lib/cli-auth/ci.ts alone, and deploy"
)

// chosenClaims returns the claims whose value the author of a pull request chooses, or who may start a job
// (lib/cli-auth/policy.ts).
func chosenClaims() []string {
	return []string{"head_ref", "actor", "actor_id", "user_login", "user_id", "user_email", "build_creator_email"}
}

// Policy is what the text of an app's lib/cli-auth/ci.ts shows of its policy for CI jobs, without running it.
type Policy struct {
	Issuers []string // of its entries
	Chosen  []string // claims in it whose value the author of a pull request chooses
}

// Policy reads the app's own policy, of at most 1 MiB. An app without the file has none.
func (app *App) Policy() (Policy, error) {
	file := filepath.Join(app.root, "lib", "cli-auth", "ci.ts")
	text, err := platform.ReadPlain(file, maxSource)
	if err != nil {
		return Policy{}, fmt.Errorf("%s: %w", file, err)
	}
	return parsePolicy(string(text)), nil
}

func parsePolicy(text string) Policy {
	// The parts of a TypeScript file that matter: comments, of which none counts, texts, and names.
	parts := regexp.MustCompile("(?s)//[^\n]*|/\\*.*?(?:\\*/|$)|\"(?:\\\\.|[^\"\\\\\n])*\"|'(?:\\\\.|[^'\\\\\n])*'|`(?:\\\\.|[^`\\\\])*`|[A-Za-z_$][\\w$]*|:")
	var p Policy
	var words []string
	for _, word := range parts.FindAllString(text, -1) {
		if !strings.HasPrefix(word, "//") && !strings.HasPrefix(word, "/*") {
			words = append(words, word)
		}
	}
	for i := 0; i+2 < len(words); i++ {
		if words[i+1] != ":" {
			continue
		}
		switch name := strings.Trim(words[i], "\"'`"); {
		case name == "issuer" && strings.HasPrefix(strings.Trim(words[i+2], "\"'`"), "http"):
			p.Issuers = append(p.Issuers, strings.Trim(words[i+2], "\"'`"))
		case slices.Contains(chosenClaims(), name) && !slices.Contains(p.Chosen, name):
			p.Chosen = append(p.Chosen, name)
		}
	}
	return p
}

// Exchange checks that the page refuses tokens that no CI has made for a job of its policy, or that there is no such
// grant. No token that it sends is one of a CI: it cannot see which jobs the policy lets in. The policy is nil if it is
// not known. Exchange must follow Run.
func (p *Probe) Exchange(ctx context.Context, policy *Policy) error {
	limited, cancel := context.WithTimeoutCause(ctx, probesTime, fmt.Errorf("the checks were not done within %v", probesTime))
	defer cancel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	issuer := githubIssuer
	if policy != nil && len(policy.Issuers) > 0 {
		issuer = policy.Issuers[0]
	}
	g := grant{p, forger{key: key, issuer: issuer, audience: p.origin}}
	p.exchanges = slices.Contains(p.described.Grants, grantExchange)
	if !p.exchanges {
		p.add(Line{NotKept, "that CI jobs get tokens", "the metadata does not name the grant", "an entry in lib/cli-auth/ci.ts makes it"})
		a, err := g.exchange(limited, exchangeForm(g.token(nil, nil)))
		g.refused("exchange: without a policy there is no such grant", a, err, http.StatusBadRequest, "unsupported_grant_type")
	} else {
		g.forged(limited)
		g.forms(limited)
	}
	switch {
	case policy == nil && p.exchanges:
		p.add(Line{NotTold, "exchange: what the policy lets in", "no page shows it", "--app DIR also looks into the app's lib/cli-auth/ci.ts"})
	case policy != nil && len(policy.Chosen) > 0:
		p.add(Line{NotKept, "exchange: that the policy names no claim which a pull request's author chooses", strings.Join(policy.Chosen, ", "),
			"name the repository, and its own branch, tag or environment"})
	case policy != nil:
		p.add(Line{State: Pass, Check: "exchange: that the policy names no claim which a pull request's author chooses"})
	}
	if limited.Err() != nil {
		return context.Cause(limited)
	}
	return nil
}

// grant checks a page's grant for CI jobs.
type grant struct {
	*Probe
	forger
}

// forger makes tokens like a CI's, with a key that is none of a CI's.
type forger struct {
	key              *ecdsa.PrivateKey
	issuer, audience string
}

// token makes a token. What header and claims name takes the place of what a CI would write; nil leaves it out.
func (f forger) token(header, claims map[string]any) string {
	now := time.Now().Unix()
	part := func(all, change map[string]any) string {
		for name, value := range change {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
		text, _ := json.Marshal(all) // of texts, numbers and a public key
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]any{"alg": "ES256", "typ": "JWT", "kid": "companion-check"}, header) + "." +
		part(map[string]any{"iss": f.issuer, "aud": f.audience, "sub": "repo:companion/check:ref:refs/heads/main", "repository": "companion/check",
			"ref": "refs/heads/main", "iat": now, "nbf": now, "exp": now + 300, "jti": randomWord()}, claims)
	var signature []byte
	switch alg, _ := header["alg"].(string); cmp.Or(alg, "ES256") {
	case "ES256": // RFC 7518 §3.4
		sum := sha256.Sum256([]byte(signed))
		if r, s, err := ecdsa.Sign(rand.Reader, f.key, sum[:]); err == nil { // else the token is refused as well
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case "HS256":
		public, _ := x509.MarshalPKIXPublicKey(&f.key.PublicKey)
		mac := hmac.New(sha256.New, public)
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// exchangeForm is the helper's own request.
func exchangeForm(subject string) url.Values {
	return url.Values{"grant_type": {grantExchange}, "client_id": {config.CompanionClient}, "subject_token": {subject},
		"subject_token_type": {tokenTypes + "jwt"}, "requested_token_type": {tokenTypes + "access_token"}}
}

func (g grant) exchange(ctx context.Context, form url.Values) (answered, error) {
	return g.post(ctx, "/api/cli-auth/token", form)
}

// refused adds a line: the answer must be this refusal.
func (g grant) refused(check string, a answered, err error, status int, code string) {
	words := ""
	if err != nil || a.status != status || a.oauthError() != code {
		words = fmt.Sprintf("%s, not status %d %s", seen(a, err), status, code)
	}
	g.holds(check, words, curePolicy)
}

// forged sends tokens that no CI has signed. No answer may say more than that: anyone could try names of a policy with
// them.
func (g grant) forged(ctx context.Context) {
	const stranger = "https://ci.evil.example"
	if a, err := g.exchange(ctx, exchangeForm(g.token(nil, nil))); err == nil && a.status == http.StatusServiceUnavailable {
		g.holds("exchange: the page has the keys of its policy's issuer", fmt.Sprintf("%s, for %.200q", seen(a, err), g.issuer),
			"the app must reach the issuer; its log names the cause")
		g.issuer = stranger // whose keys the page does not ask for
	}
	now := time.Now().Unix()
	claims := func(name string, value any) string { return g.token(nil, map[string]any{name: value}) }
	header := func(name string, value any) string { return g.token(map[string]any{name: value}, nil) }
	own := jose.JSONWebKey{Key: &g.key.PublicKey, KeyID: "companion-check", Algorithm: "ES256", Use: "sig"}
	answers := map[string]bool{}
	for _, tt := range []struct{ name, token string }{
		{"of another issuer", claims("iss", stranger)},
		{"with a key that its issuer does not have", g.token(nil, nil)},
		{"without a signature (alg none)", header("alg", "none")},
		{"signed with a public key (HS256)", header("alg", "HS256")},
		{"with its own key in the header (jwk)", header("jwk", own)},
		{"with the address of its own keys (jku)", header("jku", stranger+"/jwks")},
		{"of an issuer with a slash behind", claims("iss", g.issuer+"/")},
		{"of an issuer in capital letters", claims("iss", strings.ToUpper(g.issuer))},
		{"of an issuer without TLS", claims("iss", "http://"+strings.TrimPrefix(strings.TrimPrefix(g.issuer, "https://"), "http://")+".")},
		{"for another app", claims("aud", "https://app.evil.example")},
		{"for several apps", claims("aud", []string{g.audience, "https://app.evil.example"})},
		{"that has expired", g.token(nil, map[string]any{"iat": now - 7200, "nbf": now - 7200, "exp": now - 3600})},
		{"from the future", g.token(nil, map[string]any{"iat": now + 3600, "nbf": now + 3600, "exp": now + 7200})},
		{"without an end", claims("exp", nil)},
		{"that is an access token (at+jwt)", header("typ", "at+jwt")},
		{"that is a session token of the Clerk instance", claims("iss", g.described.Companion.Clerk)},
		{"that is no JWT", "x." + g.state},
	} {
		a, err := g.exchange(ctx, exchangeForm(tt.token))
		answers[string(a.body)] = true
		if err == nil && bytes.Contains(a.body, []byte(tt.token)) {
			g.holds("exchange refuses: a token "+tt.name, "the answer repeats the token", curePolicy)
			continue
		}
		g.refused("exchange refuses: a token "+tt.name, a, err, http.StatusBadRequest, "invalid_grant")
	}
	words := ""
	if len(answers) > 1 {
		words = fmt.Sprintf("%d different answers", len(answers))
	}
	g.holds("exchange: a refusal says nothing of the policy", words, curePolicy)
}

// forms sends requests that are refused whatever the token is.
func (g grant) forms(ctx context.Context) {
	with := func(name string, values ...string) url.Values {
		form := exchangeForm(g.token(nil, nil))
		form[name] = values
		return form
	}
	token := g.token(nil, nil)
	for _, tt := range []struct {
		name   string
		form   url.Values
		status int
		code   string
	}{
		{"no token", with("subject_token"), http.StatusBadRequest, "invalid_request"},
		{"two tokens", with("subject_token", token, token), http.StatusBadRequest, "invalid_request"},
		{"a token that is called an access token", with("subject_token_type", tokenTypes+"access_token"), http.StatusBadRequest, "invalid_request"},
		{"a refresh token in exchange", with("requested_token_type", tokenTypes+"refresh_token"), http.StatusBadRequest, "invalid_request"},
		{"a second token, of an actor", with("actor_token", token), http.StatusBadRequest, "invalid_request"},
		{"a token for another resource", with("resource", "https://api.evil.example"), http.StatusBadRequest, "invalid_target"},
		{"a token with scopes", with("scope", "openid"), http.StatusBadRequest, "invalid_scope"},
		{"another client", with("client_id", "another"), http.StatusUnauthorized, "invalid_client"},
	} {
		a, err := g.exchange(ctx, tt.form)
		g.refused("exchange refuses: "+tt.name, a, err, tt.status, tt.code)
	}
	a, err := g.exchange(ctx, exchangeForm(strings.Repeat("x", 1<<20)))
	words := ""
	if err == nil && a.status != http.StatusRequestEntityTooLarge { // a server may also close the connection while it is sent
		words = seen(a, err) + ", not status 413"
	}
	g.holds("exchange refuses: a token of 1 MiB", words, cureRoutes)
}

// person sends a token of the user who has signed in, which is good, and no job's.
func (g grant) person(ctx context.Context, token string) {
	if g.exchanges {
		a, err := g.exchange(ctx, exchangeForm(token))
		g.refused("exchange refuses: the token of a person who has signed in", a, err, http.StatusBadRequest, "invalid_grant")
	}
}
