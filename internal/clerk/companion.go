package clerk

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"clerk-credential-helper/internal/config"
)

// companionMetadata is the member "clerk_companion" of a companion page's metadata.
type companionMetadata struct {
	Version     int    `json:"version"`
	ClerkIssuer string `json:"clerk_issuer"` // the issuer of its session tokens
	Store       bool   `json:"store"`        // it can remember used codes and revoked grants
}

// maxMachineName is the limit of a companion page, in characters.
const maxMachineName = 64

// instance returns the Clerk issuer behind a companion page. If the profile names one, another is refused.
func instance(p *config.Profile, said *companionMetadata) (string, error) {
	if said == nil || said.Version != 1 {
		return "", fmt.Errorf("discovery: %q is not a companion page of a version that this release knows", p.Issuer)
	}
	if p.Instance != "" && said.ClerkIssuer != p.Instance {
		return "", fmt.Errorf("discovery: %w: the companion page belongs to the Clerk issuer %q, and the profile names %q", ErrMisnamed, clip(said.ClerkIssuer, 200), p.Instance)
	}
	u, err := url.Parse(said.ClerkIssuer)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return "", fmt.Errorf("discovery: the companion page names %q as its Clerk issuer, which is no https origin", clip(said.ClerkIssuer, 200))
	}
	return said.ClerkIssuer, nil
}

// machineName turns a machine's name into a label that a companion page accepts, which may be empty.
func machineName(name string) string {
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name))
	if runes := []rune(name); len(runes) > maxMachineName {
		name = string(runes[:maxMachineName])
	}
	return name
}

// verifySession checks the answer of a companion page: a session token of Clerk, not an access token of OAuth.
func (c *Client) verifySession(ctx context.Context, p *config.Profile, issuer *metadata, keys oidc.KeySet, answer *oauth2.Token) (Tokens, error) {
	tokens, err := c.sessionToken(ctx, issuer, keys, answer.AccessToken, originOf(p.Issuer), c.drift.clock(c.now()))
	if err != nil {
		return Tokens{}, fmt.Errorf("session token: %w", err)
	}
	if email, _ := answer.Extra("email").(string); isEmail(email) {
		tokens.Email = email
	}
	tokens.RefreshToken = answer.RefreshToken
	if answer.ExpiresIn > 0 {
		tokens.ExpiresAt = tokens.ReceivedAt.Add(time.Duration(answer.ExpiresIn) * time.Second)
	}
	return tokens, nil
}

// checkParty refuses a token that was made for another web app than page, an origin. A token without azp is accepted
// (clerk.com/docs, "Session tokens": it may be absent).
func checkParty(got claims, page string) error {
	if got.AuthorizedParty != "" && got.AuthorizedParty != page {
		return fmt.Errorf("it was made for the web app %q, not for %q", clip(got.AuthorizedParty, 200), page)
	}
	return nil
}

// sessionToken verifies a session token, or one of a JWT template: signature, issuer, type, times, and that it was made for
// page, the origin of the web app.
func (c *Client) sessionToken(ctx context.Context, issuer *metadata, keys oidc.KeySet, raw, page string, at clock) (Tokens, error) {
	if kind(raw) != kindJWT {
		return Tokens{}, errors.New("it is not a JWT")
	}
	got, err := verifyJWT(ctx, issuer.tokenIssuer, keys, &oidc.Config{SkipClientIDCheck: true}, raw, at, "JWT")
	if err != nil {
		return Tokens{}, err
	}
	if err := checkParty(got, page); err != nil {
		return Tokens{}, err
	}
	if !isSubject(got.Subject) {
		return Tokens{}, errors.New("it names no usable subject")
	}
	tokens := Tokens{Subject: got.Subject, AccessToken: raw, Kind: kindJWT, ReceivedAt: at.now, ExpiresAt: c.drift.endOf(got, at.now)}
	if isEmail(got.Email) {
		tokens.Email = got.Email
	}
	return tokens, nil
}

// legacyMetadata returns metadata for a page of the original kind, which has none.
func legacyMetadata(p *config.Profile) *metadata {
	return &metadata{Keys: p.Issuer + "/.well-known/jwks.json", tokenIssuer: p.Issuer}
}

// tokenExchange is the flow of a page of the original kind, which gets a port and sends a token back in the URL. Most such
// pages do not return the state.
type tokenExchange struct {
	returned
	keys oidc.KeySet
}

// beginToken begins the flow of a page of the original kind. The keys are there already, so that the listener can tell the
// page's token from what others send to its port, which makes no request.
func (a *Attempt) beginToken(ctx context.Context, page returned) (err error) {
	e := &tokenExchange{page, a.keys.keys}
	a.exchange = e
	a.invitation.AuthorizeURL = legacyURL(a.profile, a.invitation.RedirectURI, page.state)
	a.invitation.StartURL, err = a.listener.BeginToken(page.state, a.invitation.AuthorizeURL, func(token string) bool {
		_, err := e.verify(ctx, token)
		return err == nil
	})
	return err
}

// legacyURL returns the address of a page of the original kind, with the port to send the token to.
func legacyURL(p *config.Profile, redirectURI, state string) string {
	port := strings.TrimSuffix(strings.TrimPrefix(redirectURI, "http://127.0.0.1:"), "/callback")
	return p.LegacyPage + "?" + url.Values{"port": {port}, "state": {state}}.Encode()
}

func (e *tokenExchange) verify(ctx context.Context, token string) (Tokens, error) {
	// Such a page may not return the state, and then only its times show that the token is new.
	at := e.client.drift.clock(e.client.now())
	at.past, at.future = bareLeeway, bareLeeway
	return e.client.sessionToken(ctx, e.issuer, e.keys, token, originOf(e.profile.LegacyPage), at)
}

func (e *tokenExchange) redeem(ctx context.Context) (Tokens, error) {
	tokens, err := e.verify(ctx, e.callback.Token)
	if err != nil {
		return Tokens{}, fmt.Errorf("the page's token: %w", err)
	}
	tokens.Unproven = e.callback.Unproven
	return tokens, nil
}

// originOf returns the origin of a URL in a profile, which is in the form of browsers: without the default port.
func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
