package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	maxToken  = 16 << 10
	maxAnswer = 64 << 10 // of the issuer or the API
	leeway    = 30 * time.Second
)

// The kinds of token, as Clerk's own libraries call them.
const (
	oauthToken   = "oauth_token"
	sessionToken = "session_token"
	machineToken = "m2m_token"
	apiKey       = "api_key"
)

// Caller is who a token speaks for.
type Caller struct {
	Kind         string `json:"kind"`
	Subject      string `json:"subject"` // user_…, org_… or mch_…
	Organization string `json:"organization,omitempty"`
	ClientID     string `json:"client_id,omitempty"`
}

// refusal is the reason why a token is invalid. Every other error means that it could not be checked.
type refusal string

func (r refusal) Error() string { return string(r) }

const errNoToken = refusal("there is no token")

// Verifier checks tokens. Its fields must not change after the first check.
type Verifier struct {
	Issuer    string   // must not be empty
	Clients   []string // OAuth clients whose access tokens are accepted
	Origins   []string // what a session token may name as the page that it was made for
	Audience  string   // what a token may name as its audience; without one a token must have none
	API       string   // Backend API, for tokens that only Clerk can read
	SecretKey string   // for the API; without one such tokens are refused
	HTTP      *http.Client
	Now       func() time.Time // nil means time.Now

	keys keySet
}

// Request checks the token of a request: a Bearer one (RFC 6750 §2.1) or the password of Basic (RFC 7617), with any user
// name. Two Authorization fields are none: a proxy might have looked at the other one.
func (v *Verifier) Request(r *http.Request) (Caller, error) {
	values := r.Header.Values("Authorization")
	switch len(values) {
	case 0:
		return Caller{}, errNoToken
	case 1:
	default:
		return Caller{}, refusal("there are several Authorization fields")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		_, token, _ = r.BasicAuth()
	}
	return v.Token(r.Context(), token)
}

// Token checks a token. Its first letters tell the opaque kinds apart; all others are JWTs.
func (v *Verifier) Token(ctx context.Context, token string) (Caller, error) {
	switch {
	case token == "":
		return Caller{}, errNoToken
	case len(token) > maxToken:
		return Caller{}, refusal("it is too long")
	case strings.HasPrefix(token, "oat_"):
		return v.ask(ctx, Caller{Kind: oauthToken}, "/v1/oauth_applications/access_tokens/verify", "access_token", token)
	case strings.HasPrefix(token, "mt_"):
		return v.ask(ctx, Caller{Kind: machineToken}, "/v1/m2m_tokens/verify", "token", token)
	case strings.HasPrefix(token, "ak_"):
		return v.ask(ctx, Caller{Kind: apiKey}, "/v1/api_keys/verify", "secret", token)
	}
	return v.signed(ctx, token)
}

// claims are what Clerk puts into its JWTs.
type claims struct {
	jwt.Claims
	ClientID        string `json:"client_id"` // of OAuth access tokens
	OrganizationID  string `json:"org_id"`    // of OAuth access tokens, and of session tokens before version 2
	Session         string `json:"sid"`       // of session tokens
	Status          string `json:"sts"`       // of session tokens
	AuthorizedParty string `json:"azp"`       // of session tokens
	Organization    struct {
		ID string `json:"id"`
	} `json:"o"` // of session tokens
}

// signed checks a JWT. Which key fits is the issuer's word, which algorithm is ours: RS256, and no other.
func (v *Verifier) signed(ctx context.Context, token string) (Caller, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return Caller{}, refusal("it is not a JWT that is signed with RS256")
	}
	key, err := v.keys.find(ctx, v, parsed.Headers[0].KeyID)
	if err != nil {
		return Caller{}, err
	}
	var c claims
	var present struct {
		Audience json.RawMessage `json:"aud"`
	}
	if err := parsed.Claims(key, &c, &present); err != nil {
		return Caller{}, refusal("its signature is not the issuer's")
	}
	if c.Issuer != v.Issuer || c.Expiry == nil {
		return Caller{}, refusal("it has another issuer, or no end")
	}
	if err := c.ValidateWithLeeway(jwt.Expected{Time: v.now()}, leeway); err != nil {
		return Caller{}, refusal("it has expired, or is not valid yet")
	}
	// RFC 7519 §4.1.3: a server that a present audience does not name must refuse. "" and an empty list name no server.
	// An ID token sent in place of an access token ends here, too.
	if present.Audience != nil && (v.Audience == "" || !c.Audience.Contains(v.Audience)) {
		return Caller{}, refusal("it is for another audience")
	}
	return v.kind(parsed.Headers[0], c)
}

// kind tells what a verified JWT is, and holds it to the rules of its kind. typ is of RFC 9068 §2.1, cat is Clerk's; an
// instance may be set up to leave cat out, and OAuth tokens have none.
func (v *Verifier) kind(header jose.Header, c claims) (Caller, error) {
	typ, _ := header.ExtraHeaders[jose.HeaderType].(string)
	category, _ := header.ExtraHeaders["cat"].(string)
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	switch {
	case typ == "at+jwt":
		if !slices.Contains(v.Clients, c.ClientID) || !strings.HasPrefix(c.Subject, "user_") {
			return Caller{}, refusal("it is an access token of another OAuth client")
		}
		return Caller{oauthToken, c.Subject, c.OrganizationID, c.ClientID}, nil
	case typ == "jwt" && strings.HasPrefix(c.Subject, "mch_") && (category == "" || category == "cl_B7d4PD333AAA"):
		return Caller{Kind: machineToken, Subject: c.Subject}, nil
	case typ == "jwt" && strings.HasPrefix(c.Subject, "user_") && c.Session != "" && (category == "" || category == "cl_B7d4PD111AAA"):
		if c.AuthorizedParty != "" && !slices.Contains(v.Origins, c.AuthorizedParty) {
			return Caller{}, refusal("it is a session token of another page")
		}
		if c.Status == "pending" {
			return Caller{}, refusal("its session is pending: the person has not finished signing in")
		}
		return Caller{Kind: sessionToken, Subject: c.Subject, Organization: cmp.Or(c.Organization.ID, c.OrganizationID)}, nil
	}
	return Caller{}, refusal("it is neither an access, a session nor an M2M token") // a template's, for instance
}

// ask has the Backend API check a token that only Clerk can read. Such a token can be revoked, so the answer is not kept.
func (v *Verifier) ask(ctx context.Context, caller Caller, path, field, token string) (Caller, error) {
	if v.SecretKey == "" {
		return Caller{}, refusal("opaque tokens are not accepted here: CLERK_SECRET_KEY is not set")
	}
	body, err := json.Marshal(map[string]string{field: token})
	if err != nil {
		return Caller{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.API+path, bytes.NewReader(body))
	if err != nil {
		return Caller{}, err
	}
	req.Header.Set("Authorization", "Bearer "+v.SecretKey)
	req.Header.Set("Content-Type", "application/json")
	var answer struct {
		Subject  string `json:"subject"`
		ClientID string `json:"client_id"`
		Active   *bool  `json:"active"`
		Revoked  bool   `json:"revoked"`
		Expired  bool   `json:"expired"`
	}
	status, err := v.fetch(req, &answer)
	switch {
	case status == http.StatusBadRequest || status == http.StatusNotFound || status == http.StatusUnprocessableEntity:
		return Caller{}, refusal("Clerk does not know it")
	case err != nil: // 401 and 403 too: then it is our key that is wrong
		return Caller{}, err
	case answer.Revoked || answer.Expired || answer.Active != nil && !*answer.Active:
		return Caller{}, refusal("it has expired or was revoked")
	case caller.Kind == oauthToken && !slices.Contains(v.Clients, answer.ClientID):
		return Caller{}, refusal("it is an access token of another OAuth client")
	}
	prefix, _, _ := strings.Cut(answer.Subject, "_")
	if !slices.Contains(map[string][]string{oauthToken: {"user"}, machineToken: {"mch"}, apiKey: {"user", "org", "mch"}}[caller.Kind], prefix) {
		return Caller{}, refusal("it has no usable subject")
	}
	caller.Subject, caller.ClientID = answer.Subject, answer.ClientID
	if prefix == "org" {
		caller.Organization = answer.Subject
	}
	return caller, nil
}

// fetch makes a request and decodes the JSON of a 200. No error holds what was sent.
func (v *Verifier) fetch(req *http.Request, into any) (status int, err error) {
	resp, err := v.HTTP.Do(req)
	if err != nil {
		return 0, fmt.Errorf("asking Clerk: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, fmt.Errorf("asking Clerk: status %d from %s", resp.StatusCode, req.URL.Path)
	}
	if json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into) != nil {
		return resp.StatusCode, fmt.Errorf("asking Clerk: the answer from %s is not the JSON that was expected", req.URL.Path)
	}
	return resp.StatusCode, nil
}

func (v *Verifier) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}
