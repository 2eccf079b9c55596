package main

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	registryIssuer = "backend-example" // auth.token.issuer of the registry's configuration
	registryLife   = 5 * time.Minute   // a client asks again when a push takes longer; it outlives what it was issued for
	maxScopes      = 50                // of one request
	maxForm        = 32 << 10          // a token of 16 KiB, and scopes
)

// tokenService issues the tokens of a registry (https://distribution.github.io/distribution/spec/auth/token/ and
// …/oauth/). A registry sends its clients here; they bring a token of Clerk's and get one for the repositories that
// they ask for. The registry checks it by the certificate, and never sees the token of Clerk's.
type tokenService struct {
	name   string // auth.token.service of the registry's configuration
	push   bool
	signer jose.Signer
	now    func() time.Time
}

// newTokenService reads the certificate that the registry trusts (auth.token.rootcertbundle), and its RSA key, from PEM
// files.
func newTokenService(name, certificate, key string, push bool, now func() time.Time) (*tokenService, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	options := (&jose.SignerOptions{}).WithType("JWT").
		WithHeader("x5c", []string{base64.StdEncoding.EncodeToString(pair.Certificate[0])})
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: pair.PrivateKey}, options)
	if err != nil {
		return nil, err
	}
	return &tokenService{name, push, signer, now}, nil
}

// access is an entry of a registry token's claim of that name.
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// grant returns which of the actions a caller may do with a repository: here every caller may pull everywhere, with
// -push also push, and delete nothing. The rules of a company belong here.
func (s *tokenService) grant(_ Caller, _ string, actions []string) []string {
	return slices.DeleteFunc(actions, func(action string) bool { return action != "pull" && !(s.push && action == "push") })
}

// issue answers a request whose token is good. A scope is TYPE:NAME:ACTION,ACTION; what is not granted is left out, and
// the registry refuses it. Without a scope, as docker login asks, the token is good for nothing but its holder's name.
func (s *tokenService) issue(w http.ResponseWriter, r *http.Request, caller Caller) {
	granted := []access{} // never null in JSON
	scopes := r.URL.Query()["scope"]
	if r.Method == http.MethodPost {
		scopes = r.PostForm["scope"] // which Form has parsed
	}
	names := strings.Fields(strings.Join(scopes, " "))
	for _, scope := range names[:min(len(names), maxScopes)] {
		kind, rest, _ := strings.Cut(scope, ":")
		colon := strings.LastIndexByte(rest, ':') // a name may hold one: HOST:PORT/NAME
		if kind != "repository" || colon < 0 {
			continue
		}
		if actions := s.grant(caller, rest[:colon], strings.Split(rest[colon+1:], ",")); len(actions) > 0 {
			granted = append(granted, access{kind, rest[:colon], actions})
		}
	}
	now := s.now()
	token, err := jwt.Signed(s.signer).Claims(map[string]any{
		"iss": registryIssuer, "aud": s.name, "sub": caller.Subject, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Add(-leeway).Unix(), "exp": now.Add(registryLife).Unix(),
		"access": granted,
	}).Serialize()
	if err != nil {
		http.Error(w, "the token could not be signed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(map[string]any{
		"token": token, "access_token": token, // a GET's and a POST's name for it
		"expires_in": int(registryLife.Seconds()), "issued_at": now.UTC().Format(time.RFC3339),
	})
}

// Form checks the token in the form of a POST: a password, as buildx and containerd send it, or a refresh token, as all
// send what their helper calls an identity token. The query is not looked at: addresses are logged.
func (v *Verifier) Form(r *http.Request) (Caller, error) {
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	var token string
	switch r.PostFormValue("grant_type") {
	case "password":
		token = r.PostFormValue("password")
	case "refresh_token":
		token = r.PostFormValue("refresh_token")
	}
	return v.Token(r.Context(), token)
}
