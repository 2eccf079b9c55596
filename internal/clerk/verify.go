package clerk

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"clerk-credential-helper/internal/config"
)

const (
	// Leeway is how much the issuer's clock and ours may differ at a sign-in, either way (RFC 7519 §4.1.4 leaves it to
	// us). It costs nothing: state, PKCE and nonce show that the tokens are this sign-in's.
	Leeway = 5 * time.Minute
	// bareLeeway is it where nothing else shows that a token is new.
	bareLeeway = 30 * time.Second
	// unknownLife is assumed for an access token without an expiry.
	unknownLife = time.Hour
)

// The kinds of access token in Tokens.
const (
	kindJWT    = "jwt"
	kindOpaque = "opaque"
)

// claims are the claims that we use of an ID token, or of an access token that is a JWT (RFC 9068 §2.2).
type claims struct {
	jwt.Claims
	ClientID        string `json:"client_id"`
	Nonce           string `json:"nonce"`
	AuthorizedParty string `json:"azp"`
	Email           string `json:"email"`
}

// verify checks the answer to a code and returns its tokens. It verifies signature, issuer, audience, nonce and times of an
// ID token, and signature, issuer, client, subject and times of an access token that is a JWT. It asks the userinfo endpoint
// about an opaque one.
func (c *Client) verify(ctx context.Context, p *config.Profile, issuer *metadata, keys oidc.KeySet, answer *oauth2.Token, nonce string) (Tokens, error) {
	if err := checkAnswer(answer); err != nil {
		return Tokens{}, err
	}
	if p.Companion {
		return c.verifySession(ctx, p, issuer, keys, answer)
	}
	received := c.now()
	tokens := Tokens{
		AccessToken:  answer.AccessToken,
		Kind:         kind(answer.AccessToken),
		RefreshToken: answer.RefreshToken,
		ReceivedAt:   received,
	}
	idToken := idTokenOf(answer)
	if idToken == "" && (p.Token == "id" || slices.Contains(p.Scopes, "openid")) {
		return Tokens{}, errors.New("the answer holds no ID token")
	}

	var id, access claims
	if idToken != "" {
		var err error
		if id, err = verifyID(ctx, p, keys, idToken, nonce, c.drift.clock(received)); err != nil {
			return Tokens{}, fmt.Errorf("ID token: %w", err)
		}
		tokens.Subject, tokens.Email = id.Subject, id.Email
	}
	if tokens.Kind == kindJWT {
		var err error
		if access, err = verifyAccess(ctx, p, keys, tokens.AccessToken, c.drift.clock(received)); err != nil {
			return Tokens{}, fmt.Errorf("access token: %w", err)
		}
		if tokens.Subject != "" && access.Subject != tokens.Subject {
			return Tokens{}, errors.New("access token: it belongs to another account than the ID token")
		}
		tokens.Subject = access.Subject
	}

	if tokens.Kind == kindOpaque || (tokens.Email == "" && slices.Contains(p.Scopes, "email")) {
		var subject, email string
		most := patience
		if tokens.Kind != kindOpaque {
			most = 0 // only the e-mail address is missing
		}
		err := c.patiently(ctx, most, busyOrLost, func() (err error) {
			subject, email, err = c.userinfo(ctx, issuer, tokens.AccessToken)
			return err
		})
		switch {
		case err != nil && tokens.Kind == kindOpaque:
			return Tokens{}, fmt.Errorf("access token: %w", err)
		case err != nil:
			c.tracef("no e-mail address: %v", err) // the subject is known
		case tokens.Subject != "" && subject != tokens.Subject:
			return Tokens{}, errors.New("access token: the userinfo endpoint names another account")
		default:
			tokens.Subject = subject
			if tokens.Email == "" {
				tokens.Email = email
			}
		}
	}

	if !isSubject(tokens.Subject) {
		return Tokens{}, errors.New("the issuer names no usable subject")
	}
	if !isEmail(tokens.Email) {
		tokens.Email = ""
	}
	tokens.ExpiresAt = c.drift.expiry(answer, received, access)
	if p.Token == "id" {
		tokens.IDToken, tokens.ExpiresAt = idToken, c.drift.endOf(id, received)
	}
	return tokens, nil
}

// fit checks the answer to a refresh against the session and returns its tokens. It checks no signatures and does not ask
// userinfo: the answer came over TLS from the token endpoint.
func (c *Client) fit(p *config.Profile, issuer *metadata, answer *oauth2.Token, old Tokens) (Tokens, error) {
	if err := checkAnswer(answer); err != nil {
		return Tokens{}, err
	}
	tokens := Tokens{
		Subject:      old.Subject,
		Email:        old.Email,
		AccessToken:  answer.AccessToken,
		Kind:         kind(answer.AccessToken),
		RefreshToken: answer.RefreshToken,
		ReceivedAt:   c.now(),
	}
	var access claims
	if tokens.Kind == kindJWT || p.Companion {
		var err error
		if access, err = read(tokens.AccessToken); err != nil {
			return Tokens{}, fmt.Errorf("refreshed access token: %w", err)
		}
		if access.Issuer != issuer.tokenIssuer || access.ClientID != p.ClientID && !p.Companion || access.Subject != old.Subject {
			return Tokens{}, errors.New("refreshed access token: issuer, client or subject is not the session's")
		}
		if p.Companion {
			if err := checkParty(access, originOf(p.Issuer)); err != nil {
				return Tokens{}, fmt.Errorf("refreshed session token: %w", err)
			}
		}
	}
	tokens.ExpiresAt = c.drift.expiry(answer, tokens.ReceivedAt, access)

	idToken := idTokenOf(answer)
	if idToken == "" && p.Token == "id" {
		idToken = old.IDToken // OpenID Connect Core 1.0 §12.2: it may be left out
		tokens.SameIDToken = true
	}
	if idToken != "" {
		id, err := read(idToken)
		if err != nil {
			return Tokens{}, fmt.Errorf("refreshed ID token: %w", err)
		}
		if id.Issuer != p.Issuer || !id.Audience.Contains(p.ClientID) || id.Subject != old.Subject {
			return Tokens{}, errors.New("refreshed ID token: issuer, audience or subject is not the session's")
		}
		if p.Token == "id" {
			if id.Expiry == nil || !c.drift.endOf(id, tokens.ReceivedAt).After(tokens.ReceivedAt) {
				return Tokens{}, fmt.Errorf("%w that is still valid", ErrNoIDToken)
			}
			tokens.IDToken, tokens.ExpiresAt = idToken, c.drift.endOf(id, tokens.ReceivedAt)
		}
	} else if p.Token == "id" {
		return Tokens{}, ErrNoIDToken
	}
	return tokens, nil
}

// verifyID checks an ID token (OpenID Connect Core 1.0 §3.1.3.7).
func verifyID(ctx context.Context, p *config.Profile, keys oidc.KeySet, raw, nonce string, at clock) (claims, error) {
	settings := &oidc.Config{ClientID: p.ClientID}
	got, err := verifyJWT(ctx, p.Issuer, keys, settings, raw, at, "", "JWT")
	if err != nil {
		return claims{}, err
	}
	if got.Nonce != nonce {
		return claims{}, errors.New("the nonce is not the one that was sent")
	}
	if len(got.Audience) > 1 && got.AuthorizedParty != p.ClientID {
		return claims{}, errors.New("it was made for several clients and azp does not name this one")
	}
	return got, nil
}

// verifyAccess checks an access token that is a JWT (RFC 9068 §4), except for the audience, which Clerk's lack.
func verifyAccess(ctx context.Context, p *config.Profile, keys oidc.KeySet, raw string, at clock) (claims, error) {
	settings := &oidc.Config{SkipClientIDCheck: true}
	got, err := verifyJWT(ctx, p.Issuer, keys, settings, raw, at, "at+jwt", "application/at+jwt")
	if err != nil {
		return claims{}, err
	}
	if got.ClientID != p.ClientID {
		return claims{}, fmt.Errorf("it was made for the client %q", clip(got.ClientID, 64))
	}
	return got, nil
}

// clock is what the times of a token are compared with.
type clock struct {
	now    time.Time
	ahead  time.Duration // how far the issuer's clock is ahead of ours, at least; 0 if it is not known
	past   time.Duration // how long ago a token may have expired
	future time.Duration // how far its other times may be in the future
}

// drift is how far the issuer's clock was ahead of ours at the last token request, at least; a time.Duration.
type drift struct{ atomic.Int64 }

func (d *drift) ahead() time.Duration { return time.Duration(d.Load()) }

// clock returns the one for a sign-in.
func (d *drift) clock(now time.Time) clock { return clock{now, d.ahead(), Leeway, Leeway} }

// check refuses a token by its times (RFC 7519 §4.1.4 to §4.1.6). The error is ErrClock.
func (c clock) check(got claims) error {
	expires := got.Expiry.Time()
	after := func(t *jwt.NumericDate) bool { return t != nil && t.Time().After(c.now.Add(c.future)) }
	what, ahead := "", c.ahead
	switch {
	case expires.Before(c.now.Add(-c.past)):
		what = "it has expired"
	case after(got.IssuedAt):
		what, ahead = "it was issued in the future", cmp.Or(ahead, got.IssuedAt.Time().Sub(c.now))
	case after(got.NotBefore):
		what, ahead = "it is not valid yet", cmp.Or(ahead, got.NotBefore.Time().Sub(c.now))
	default:
		return nil
	}
	if differs := difference(ahead); differs != "" {
		return fmt.Errorf("%w, which is %s: %s", ErrClock, differs, what)
	}
	return fmt.Errorf("%w: %s", ErrClock, what)
}

// difference says how far our clock is from the issuer's, "" if that is no more than a doubt.
func difference(ahead time.Duration) string {
	about := ahead.Abs().Round(10 * time.Second)
	switch {
	case about < bareLeeway:
		return ""
	case ahead > 0:
		return fmt.Sprintf("%v behind the issuer's", about)
	}
	return fmt.Sprintf("%v ahead of the issuer's", about)
}

// tellClock tells the user about a clock that is wrong, though the tokens were accepted.
func (c *Client) tellClock() {
	if differs := difference(c.drift.ahead()); differs != "" && c.Tell != nil {
		c.Tell(fmt.Sprintf("This machine's clock is %s. Please set it: beyond %v sign-ins are refused.", differs, Leeway))
	}
}

// verifyJWT checks type, signature, issuer, audience (by settings) and times of a JWT. go-oidc checks no type and allows
// no difference between clocks, so these two are done here.
func verifyJWT(ctx context.Context, issuer string, keys oidc.KeySet, settings *oidc.Config, raw string, at clock, types ...string) (claims, error) {
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return claims{}, err
	}
	typ, _ := parsed.Headers[0].ExtraHeaders[jose.HeaderType].(string)
	if !slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, typ) }) {
		return claims{}, fmt.Errorf("its type %q is not allowed for such a token", clip(typ, 64))
	}
	settings.SupportedSigningAlgs = []string{oidc.RS256}
	settings.SkipExpiryCheck = true
	token, err := oidc.NewVerifier(issuer, keys, settings).Verify(ctx, raw)
	if err != nil {
		return claims{}, err
	}
	var got claims
	if err := token.Claims(&got); err != nil {
		return claims{}, errors.New("its claims cannot be read")
	}
	if got.Expiry == nil || got.Subject == "" {
		return claims{}, errors.New("it has no end or no subject")
	}
	if err := at.check(got); err != nil {
		return claims{}, err
	}
	return got, nil
}

// read returns the claims of a JWT without checking its signature.
func read(raw string) (claims, error) {
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return claims{}, err
	}
	var got claims
	if parsed.UnsafeClaimsWithoutVerification(&got) != nil {
		return claims{}, errors.New("its claims cannot be read")
	}
	return got, nil
}

// keySet is the issuer's keys. They are fetched before the user is asked, and once more if none of them made a signature: the
// issuer may have changed its keys while the user signed in.
type keySet struct {
	client *Client
	issuer *metadata
	keys   *oidc.StaticKeySet // nil before they are fetched
	again  bool
}

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	var refused error
	if k.keys != nil {
		payload, err := k.keys.VerifySignature(ctx, token)
		if err == nil || k.again {
			return payload, err
		}
		refused = err
	}
	k.again = true
	if err := k.fetch(ctx, patience, busyOrLost); err != nil {
		return nil, cmp.Or(refused, err)
	}
	return k.keys.VerifySignature(ctx, token)
}

func (k *keySet) fetch(ctx context.Context, most time.Duration, again func(error) bool) error {
	return k.client.patiently(ctx, most, again, func() (err error) {
		k.keys, err = k.client.keys(ctx, k.issuer)
		return err
	})
}

// keys fetches the issuer's public keys (RFC 7517 §5); none is an error. They are not kept for other sign-ins: a key that is
// missing is not the issuer's.
func (c *Client) keys(ctx context.Context, issuer *metadata) (*oidc.StaticKeySet, error) {
	if issuer.Keys == "" {
		return nil, errors.New("discovery: there is no jwks_uri")
	}
	req, err := http.NewRequestWithContext(forDocument(ctx), http.MethodGet, issuer.Keys, nil)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	var answer struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := c.fetchJSON("keys", req, &answer); err != nil {
		return nil, err
	}
	set := &oidc.StaticKeySet{}
	for _, raw := range answer.Keys {
		var key jose.JSONWebKey
		// RFC 7517 §5: keys that are not understood are ignored.
		if json.Unmarshal(raw, &key) != nil || !key.IsPublic() || key.Use == "enc" {
			continue
		}
		if key.Algorithm == "" || key.Algorithm == oidc.RS256 {
			set.PublicKeys = append(set.PublicKeys, key.Key)
		}
	}
	switch {
	case len(answer.Keys) == 0:
		return nil, errors.New("keys endpoint: the set is empty")
	case len(set.PublicKeys) == 0:
		return nil, fmt.Errorf("keys endpoint: none of the %d keys is for RS256", len(answer.Keys))
	}
	return set, nil
}

// userinfo returns the account of an access token (OpenID Connect Core 1.0 §5.3).
func (c *Client) userinfo(ctx context.Context, issuer *metadata, accessToken string) (subject, email string, err error) {
	if issuer.Userinfo == "" {
		return "", "", errors.New("discovery: there is no userinfo_endpoint")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer.Userinfo, nil)
	if err != nil {
		return "", "", fmt.Errorf("userinfo: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	var answer struct {
		Subject string `json:"sub"`
		Email   string `json:"email"`
	}
	if err := c.fetchJSON("userinfo", req, &answer, accessToken); err != nil {
		return "", "", err
	}
	return answer.Subject, answer.Email, nil
}

// checkAnswer checks every token answer: the token type (RFC 6749 §7.1: a client must not use a type that it does not know)
// and the characters of tokens (appendix A.12 and A.17), so that a token fits on a line of any tool's wire.
func checkAnswer(answer *oauth2.Token) error {
	if !strings.EqualFold(answer.TokenType, "bearer") {
		return fmt.Errorf("token endpoint: the type of the token is %q, not bearer", clip(answer.TokenType, 64))
	}
	for _, token := range []string{answer.AccessToken, answer.RefreshToken, idTokenOf(answer)} {
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("token endpoint: a token has characters that no token may have")
		}
	}
	return nil
}

func idTokenOf(answer *oauth2.Token) string {
	token, _ := answer.Extra("id_token").(string)
	return token
}

// kind recognises a JWT by its three parts and its header. What looks like one must then be verified as one.
func kind(accessToken string) string {
	parts := strings.Split(accessToken, ".")
	if len(parts) != 3 {
		return kindOpaque
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil || !json.Valid(header) {
		return kindOpaque
	}
	return kindJWT
}

// expiry returns when an access token ends: by expires_in (RFC 6749 §5.1), which does not depend on the issuer's clock; by
// its exp claim; or after unknownLife.
func (d *drift) expiry(answer *oauth2.Token, received time.Time, access claims) time.Time {
	switch {
	case answer.ExpiresIn > 0:
		return received.Add(time.Duration(answer.ExpiresIn) * time.Second)
	case access.Expiry != nil:
		return d.endOf(access, received)
	default:
		return received.Add(unknownLife)
	}
}

// lastSecond is the end of the year 9999, the last that JSON can hold (RFC 3339 §5.6). A record with a later one could not be
// written, and the refresh token in it would be lost.
const lastSecond = 253402300799

// endOf is the end that a token names, which must name one, by our clock: a clock that is known to be wrong is allowed for.
// One after the year 9999 is no time, often milliseconds, and the end is unknown; one before 1970 has passed.
func (d *drift) endOf(token claims, received time.Time) time.Time {
	end := token.Expiry.Time()
	if ahead := d.ahead(); difference(ahead) != "" {
		end = end.Add(-ahead)
	}
	switch {
	case end.Unix() > lastSecond:
		return received.Add(unknownLife)
	case end.Unix() < 0:
		return received
	default:
		return end
	}
}

// isSubject reports whether s can be a subject: 1 to 255 ASCII characters (OpenID Connect Core 1.0 §2).
func isSubject(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// isEmail reports whether s can be shown as an e-mail address: at most 320 bytes, all printable. It may be empty.
func isEmail(s string) bool {
	return len(s) <= 320 && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == ' ' })
}
