// Package clerk talks to Clerk, or to any OAuth 2.0 issuer that keeps the same contract, such as a companion page.
//
// A profile comes in; the verified tokens of a sign-in go out, or refreshed ones, or one for a machine's key or a CI job's own
// token, or the error that a grant has ended. Nothing from the issuer is trusted unchecked: endpoints must have the issuer's origin,
// redirects are never followed, answers have a size limit, and the tokens of a sign-in are verified before they are returned. The
// package stores nothing but an issuer's metadata, in [Documents]. No token, code, verifier or state is ever part of an error or a trace.
package clerk

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/loopback"
)

// Errors that callers branch on.
var (
	// ErrDenied means that the user, or the issuer on their behalf, refused (RFC 6749 §4.1.2.1, access_denied).
	ErrDenied = errors.New("access was denied")
	// ErrTimeout means that the user did not finish in time.
	ErrTimeout = errors.New("the sign-in was not finished in time")
	// ErrTaken means that another user of this machine may have used the link that the browser was started with.
	ErrTaken = loopback.ErrTaken
	// ErrOtherFlow means that this flow is not possible, here or with this issuer. Another flow may work.
	ErrOtherFlow = errors.New("this way of signing in is not possible here")
	// ErrClock means that a new token has already expired or is not valid yet: the issuer's clock and ours differ.
	ErrClock = errors.New("its times do not fit this machine's clock")
	// ErrRedirect goes with ErrTimeout where the browser may have shown an error about the redirect URI in place of a page.
	ErrRedirect = errors.New("the application must have the redirect URI " + registeredRedirect)
	// ErrNoStore means that a companion page has no store for revocations, so that it was not asked to revoke.
	ErrNoStore = errors.New("the companion page has no store to remember it in: the grant ends with the session in the web app")
	// ErrMisnamed means that the issuer in the metadata is not the one that the profile names.
	ErrMisnamed = errors.New("the issuer has another name")
	// ErrNoKeys means that an issuer has no keys to verify a token with, or did not return them.
	ErrNoKeys = errors.New("it gives no keys")
	// ErrGrantEnded means that the refresh token is no longer valid: revoked, expired, or used by another process.
	ErrGrantEnded = errors.New("the grant has ended")
	// ErrSignedOutThere is an ErrGrantEnded: the person has signed this machine out on the companion page's list of machines.
	ErrSignedOutThere = fmt.Errorf("%w: you signed this machine out in the web app", ErrGrantEnded)
	// ErrNoIDToken means that a refresh returned no ID token, though the profile hands out ID tokens.
	ErrNoIDToken = errors.New("the refresh brought no ID token")
)

const (
	// signedOutThere is how the companion page describes such an invalid_grant (companion/lib/cli-auth/grant.ts).
	signedOutThere = "this machine was signed out on the page of the machines that are signed in"
	// personTime is how long the user has for a sign-in if Client.Timeout is 0.
	personTime = 5 * time.Minute
	// patience is how long a request that changes nothing is tried again when the user has signed in, and briefPatience before.
	patience      = 30 * time.Second
	briefPatience = 3 * time.Second
	// answerGrace is how long the answer to a code is waited for after Ctrl-C.
	answerGrace = 5 * time.Second
	// registeredRedirect is the redirect URI that an application must have: Clerk ignores the port of a loopback
	// address (RFC 8252 §7.3).
	registeredRedirect = "http://127.0.0.1/callback"
)

// Client talks to issuers. The zero value works; the fields must not change after the first call.
type Client struct {
	Transport http.RoundTripper // nil means one made by NewTransport, with the system's roots
	UserAgent string            // should name the program: Clerk refuses the default ones of HTTP libraries
	Hostname  string            // this machine's name, for the pages of a sign-in
	// Peer reports whether a connection to the listener at server, from client, is the user's own, and whether that is
	// certain; see [loopback.Listen]. nil means that all are.
	Peer    func(server, client netip.AddrPort) (own, certain bool)
	Now     func() time.Time // nil means time.Now
	Timeout time.Duration    // how long the user has for a sign-in; 0 means 5 min
	// Account is the account to sign in to, as a hint for the issuer (login_hint of OpenID Connect Core 1.0 §3.1.2.1;
	// others must ignore it, RFC 6749 §3.1). With it the issuer is also asked for a new sign-in (prompt=login), because a
	// browser that is signed in to another account would not ask.
	Account string
	Sleep   func(context.Context, time.Duration) error // between two requests; nil means a real one
	Backend string                                     // Clerk's Backend API, for Mint; empty means https://api.clerk.com
	// Job is the CI job whose token Mint exchanges for a profile in one; may be nil otherwise. Agent asks the agent of a CI,
	// a program, for a token with an audience; may be nil.
	Job   *config.Job
	Agent func(ctx context.Context, program, audience string) (string, error)
	// Documents keeps the metadata of issuers for other processes, so that Refresh and Revoke work while an issuer does not
	// return it. Nothing in it is secret. If nil, nothing is kept.
	Documents Documents
	// Tell, if not nil, is called with what the user should be told: that an answer is waited for, or that their clock is
	// wrong. It may be called from several goroutines.
	Tell func(text string)
	// Trace, if not nil, is called with each request: method, URL without query, status, time taken. It may be called
	// from several goroutines.
	Trace func(format string, args ...any)

	once   sync.Once
	client *http.Client // made once; use c.httpClient
	err    error        // why it could not be made
	drift  drift
}

// Documents keeps small texts by name.
type Documents interface {
	Get(ctx context.Context, name string) (string, error)
	Set(ctx context.Context, name, text string) error
	Delete(ctx context.Context, name string) error
}

// Tokens are the result of a sign-in or a refresh.
type Tokens struct {
	Subject      string    // the issuer's id of the account: 1 to 255 printable ASCII characters
	Email        string    // for people, at most 320 bytes; empty if unknown
	AccessToken  string    // printable ASCII without spaces
	Kind         string    // of the access token: "jwt" or "opaque"
	RefreshToken string    // opaque, printable ASCII; empty if the issuer gave none
	IDToken      string    // empty unless the profile hands out ID tokens
	SameIDToken  bool      // a refresh brought none, and IDToken is the previous one
	ExpiresAt    time.Time // the end of the token that the profile hands out
	ReceivedAt   time.Time // by our clock
	// Claims say who the CI job is whose token was exchanged, also where the exchange has failed.
	Claims Claims
	// Unproven is set if the sign-in page did not prove that it answered us: another page may have sent the token of its own
	// account, and the user must confirm the account before the tokens are stored.
	Unproven bool
}

// Refresh exchanges old.RefreshToken for new tokens (RFC 6749 §6). old must have Subject, Email and RefreshToken, and
// IDToken if the profile hands out ID tokens.
//
// Errors: ErrGrantEnded, a *ResponseError, or an error of the network, with empty tokens: old is still valid. One case is
// different: an answer that does not fit the session, or cannot be used, is an error together with tokens whose AccessToken
// is empty and whose RefreshToken replaces the old one. It must be stored, since the old one may have been used up.
func (c *Client) Refresh(ctx context.Context, p *config.Profile, old Tokens) (Tokens, error) {
	if old.RefreshToken == "" {
		return Tokens{}, errors.New("there is no refresh token")
	}
	issuer, err := c.endpoints(ctx, p)
	if err != nil {
		return Tokens{}, err
	}
	client, err := c.httpClient()
	if err != nil {
		return Tokens{}, err
	}
	ctx = context.WithValue(forToken(ctx), oauth2.HTTPClient, client)
	// The token source has no access token, so it refreshes; it keeps the old refresh token if there is no new one.
	source := oauthConfig(p, issuer).TokenSource(ctx, &oauth2.Token{RefreshToken: old.RefreshToken})
	answer, err := source.Token()
	if err != nil {
		err = tokenError(err, old.RefreshToken)
		shelf{c, p}.forgetMoved(ctx, err)
		// Clerk answers invalid_grant with 400 or 401: the code counts, not the status alone.
		if refused, ok := errors.AsType[*ResponseError](err); ok && refused.OAuth && refused.Code == "invalid_grant" &&
			(refused.Status == 400 || refused.Status == 401) {
			if p.Companion && refused.Description == signedOutThere {
				return Tokens{}, fmt.Errorf("%w: %w", ErrSignedOutThere, err)
			}
			return Tokens{}, fmt.Errorf("%w: %w", ErrGrantEnded, err)
		}
		return Tokens{}, err
	}
	tokens, err := c.fit(p, issuer, answer, old)
	if err != nil {
		return Tokens{Subject: old.Subject, Email: old.Email, RefreshToken: answer.RefreshToken, ReceivedAt: c.now()}, err
	}
	return tokens, nil
}

// Revoke ends the grant of refreshToken (RFC 7009). It also succeeds for a token that the issuer does not know. Access
// tokens that are JWTs stay valid until they expire.
//
// Errors: ErrNoStore, a *ResponseError, or an error of the network or of the check of the metadata.
func (c *Client) Revoke(ctx context.Context, p *config.Profile, refreshToken string) error {
	issuer, err := c.endpoints(ctx, p)
	if err != nil {
		return err
	}
	if issuer.Companion != nil && !issuer.Companion.Store {
		// It may have one since its metadata was kept.
		if issuer, err = c.discover(ctx, p); err != nil {
			return err
		}
		if !issuer.Companion.Store {
			return ErrNoStore
		}
	}
	endpoint := issuer.Revocation
	if endpoint == "" {
		endpoint = p.Issuer + "/oauth/token/revoke"
	}
	form := url.Values{
		"client_id":       {p.ClientID},
		"token":           {refreshToken},
		"token_type_hint": {"refresh_token"},
	}
	req, err := formRequest(ctx, endpoint, form)
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	_, err = c.fetch("revoke", req, refreshToken)
	shelf{c, p}.forgetMoved(ctx, err)
	return err
}

func oauthConfig(p *config.Profile, issuer *metadata) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID,
		Scopes:   p.Scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL:  issuer.Authorization,
			TokenURL: issuer.Token,
			// Without a style the library tries two, and may send a code or a refresh token twice.
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}
}

// random returns 32 random bytes in base64url: 43 characters, as RFC 7636 §4.1 recommends for a verifier.
func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (c *Client) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

func (c *Client) tracef(format string, args ...any) {
	if c.Trace != nil {
		c.Trace(format, args...)
	}
}
