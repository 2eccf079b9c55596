// Package clerk talks to Clerk, or to any OAuth 2.0 issuer that keeps the same contract, such as a companion page.
//
// A profile goes in; verified tokens of a person who has signed in with the browser come out, or refreshed ones, or
// the word that a grant has ended. What the issuer says is checked before it is believed: endpoints must have the
// issuer's origin, redirects are never followed, answers are bounded, tokens are verified before they are handed on.
// The package keeps nothing, and no token, code, verifier or state is ever part of an error or a trace.
package clerk

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/loopback"
)

// Errors that callers branch on.
var (
	// ErrDenied means that the person, or the issuer in their name, refused (RFC 6749 §4.1.2.1, access_denied).
	ErrDenied = errors.New("access was denied")
	// ErrTimeout means that nobody came back from the browser in time.
	ErrTimeout = errors.New("nobody finished the sign-in in time")
	// ErrOtherFlow is the word of an invite that cannot bring the person into its flow: the next one is tried.
	ErrOtherFlow = errors.New("this way of signing in is not possible here")
	// ErrClock means that a token has expired already or is not valid yet: the issuer's clock and ours are apart.
	ErrClock = errors.New("its times do not fit this machine's clock")
	// ErrRedirect goes with ErrTimeout where the browser may have shown an error about the redirect URI in place of a page.
	ErrRedirect = errors.New("the application must have the redirect URI " + registeredRedirect)
	// ErrNoStore means that a companion page cannot remember what it revokes, so that it was not asked.
	ErrNoStore = errors.New("the companion page has no store to remember it in: the grant ends with the session in the web app")
	// ErrMisnamed means that the issuer is not the one that the profile names, or calls itself something else.
	ErrMisnamed = errors.New("the issuer has another name")
	// ErrNoKeys means that an issuer gives no keys to verify a token with.
	ErrNoKeys = errors.New("it gives no keys")
	// ErrGrantEnded means that the refresh token is no longer good: revoked, expired, or used by another process.
	ErrGrantEnded = errors.New("the grant has ended")
	// ErrNoIDToken means that an issuer sent no ID token with a refresh, where the profile hands out ID tokens.
	ErrNoIDToken = errors.New("the refresh brought no ID token")
)

const (
	// personTime is how long a person has for a sign-in where the Client says nothing else.
	personTime = 5 * time.Minute
	// registeredRedirect is the redirect URI that an application must have: Clerk ignores the port of a loopback
	// address (RFC 8252 §7.3).
	registeredRedirect = "http://127.0.0.1/callback"
)

// Flow is a way in which a person can sign in.
type Flow string

const (
	// Browser is the code flow with a browser on this machine, which comes back to a listener on 127.0.0.1 (RFC 8252
	// §7.3).
	Browser Flow = "browser"
	// Device is the device authorization grant (RFC 8628): a browser anywhere, and nothing comes back. It is passed
	// over where the issuer does not offer it.
	Device Flow = "device"
	// Paste is the code flow with a browser anywhere. It ends on an address of 127.0.0.1 that does not load there, and
	// the person brings it back.
	Paste Flow = "paste"
)

// Client talks to issuers. The zero value works; the fields must not change after the first call.
type Client struct {
	Transport http.RoundTripper // nil means one made by NewTransport, without further roots
	UserAgent string            // should name the program: Clerk refuses the default ones of HTTP libraries
	Machine   string            // the machine's name, for the pages of a sign-in
	// Peer says whether a connection to the listener at server, from client, may be the person's own; nil means all may.
	Peer    func(server, client netip.AddrPort) bool
	Now     func() time.Time // nil means time.Now
	Timeout time.Duration    // how long a person has; 0 means 5 min
	Flows   []Flow           // the flows of a sign-in in the order in which they are tried; nil means Browser
	// Account is whom the person wants to be, as a hint for the issuer (login_hint of OpenID Connect Core 1.0 §3.1.2.1;
	// others must ignore it, RFC 6749 §3.1). It also asks for a new sign-in (prompt=login), because a browser that is
	// signed in as somebody else would not ask.
	Account string
	Sleep   func(context.Context, time.Duration) error // between two polls of Device; nil means a real one
	// Trace, if not nil, is told of each request: method, URL without query, status, time taken. It may be called
	// from several goroutines.
	Trace func(format string, args ...any)

	once   sync.Once
	client *http.Client // made once; use c.httpClient
	err    error        // why it could not be made
}

// Tokens are what a sign-in or a refresh has brought.
type Tokens struct {
	Subject      string    // the issuer's name of the account: 1 to 255 printable ASCII characters
	Email        string    // for people; empty if unknown
	AccessToken  string    // printable ASCII without spaces
	Kind         string    // of the access token: "jwt" or "opaque"
	RefreshToken string    // opaque, printable ASCII; empty if the issuer gave none
	IDToken      string    // only where the profile hands out ID tokens
	ExpiresAt    time.Time // when the token that the profile hands out ends
	ReceivedAt   time.Time
	// Unproven says that the sign-in page did not prove that it answered us: somebody else may have sent their own
	// account's token, and the person must be shown the account before it is kept.
	Unproven bool
}

// Invitation is where a person can sign in, and until when.
type Invitation struct {
	Flow  Flow
	Until time.Time

	// Of Browser and Paste.
	StartURL     string // on 127.0.0.1, good for one GET, leads to AuthorizeURL; may stand in an argv
	AuthorizeURL string // for people's eyes: it holds the state
	RedirectURI  string // where the browser comes back to
	// Paste takes the address that a browser has ended on, from whoever has it; see [loopback.Listener.Paste].
	Paste func(address string) error

	// Of Device. What is shown is foreign text, printable ASCII.
	UserCode    string // what to type, at most 64 bytes
	VerifyURL   string // where, at most 2 KiB
	CompleteURL string // the same with the code in it; may be empty
}

// SignIn asks a person to sign in, in the first of c.Flows that works.
//
// invite is told where, and opens a browser or prints the URL. It runs beside the wait and may stay: its context ends
// when the person's part is over, and SignIn returns after it has. An error from it ends the wait, and is the sign-in's
// error, unless it is ErrOtherFlow and there is another flow; after nil the wait goes on.
//
// keep is called once, with verified tokens, before the page in the browser says that the person is signed in; an error
// from it is the sign-in's error.
//
// Errors: ErrDenied, ErrTimeout, ErrOtherFlow, a *ResponseError, or what invite, keep, the network or the verification
// said.
func (c *Client) SignIn(ctx context.Context, p *config.Profile, invite func(context.Context, Invitation) error, keep func(Tokens) error) error {
	flows := c.Flows
	if flows == nil {
		flows = []Flow{Browser}
	}
	issuer, err := c.describe(ctx, p)
	if err != nil {
		return err
	}
	var failed error
	for _, flow := range flows {
		switch {
		case flow != Device:
			failed = c.signInByBrowser(ctx, p, issuer, flow, invite, keep)
		case issuer.Device != "":
			failed = c.signInByDevice(ctx, p, issuer, invite, keep)
		case failed == nil:
			failed = fmt.Errorf("%w: the issuer does not offer the device grant", ErrOtherFlow)
		}
		if !errors.Is(failed, ErrOtherFlow) {
			return failed
		}
		c.tracef("the flow %q: %v", flow, failed)
	}
	return failed
}

// signInByBrowser sends a person to a page that comes back to a listener on 127.0.0.1.
func (c *Client) signInByBrowser(ctx context.Context, p *config.Profile, issuer *metadata, flow Flow, invite func(context.Context, Invitation) error, keep func(Tokens) error) error {
	if p.LegacyPage == "" {
		if err := issuer.checkChallenge(); err != nil {
			return err
		}
	}
	listener, err := loopback.Listen(ctx, loopback.Page{Profile: p.Name, Machine: c.Machine}, c.Peer)
	if err != nil {
		return err
	}
	defer listener.Close()

	state := random()
	begin, trip := listener.Begin, c.codeTrip(p, issuer, listener.RedirectURI(), state)
	if p.LegacyPage != "" {
		if trip, err = c.tokenTrip(ctx, p, issuer, listener.RedirectURI(), state); err != nil {
			return err
		}
		begin = func(state, url string) (string, error) { return listener.BeginToken(state, url, trip.good) }
	}
	invitation := Invitation{Flow: flow, AuthorizeURL: trip.url, RedirectURI: listener.RedirectURI(), Paste: listener.Paste}
	if invitation.StartURL, err = begin(state, trip.url); err != nil {
		return err
	}
	var callback loopback.Callback
	leave, err := c.ask(ctx, c.limit(), invitation, invite, func(ctx context.Context) (err error) {
		callback, err = listener.Wait(ctx)
		return err
	})
	defer leave()
	if errors.Is(err, ErrTimeout) {
		err = fmt.Errorf("%w (%v)", ErrTimeout, c.limit())
		if !p.Companion && p.LegacyPage == "" {
			err = fmt.Errorf("%w (%v; %w)", ErrTimeout, c.limit(), ErrRedirect)
		}
		return err
	}
	if err != nil {
		return err
	}

	tokens, err := trip.redeem(ctx, callback)
	if err == nil {
		err = keep(tokens)
	}
	listener.Finish(ctx, result(tokens, err))
	return err
}

// trip is a person's way to a page and back.
type trip struct {
	url    string // where the page is
	redeem func(context.Context, loopback.Callback) (Tokens, error)
	good   func(token string) bool // of a page of the original kind
}

// codeTrip is the authorization code flow with PKCE (RFC 7636).
func (c *Client) codeTrip(p *config.Profile, issuer *metadata, redirectURI, state string) trip {
	verifier, nonce := random(), random()
	conf := oauthConfig(p, issuer)
	conf.RedirectURL = redirectURI
	options := append(c.accountOptions(issuer), oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce))
	if name := machineName(c.Machine); p.Companion && name != "" {
		options = append(options, oauth2.SetAuthURLParam("machine_name", name))
	}
	return trip{url: conf.AuthCodeURL(state, options...), redeem: func(ctx context.Context, callback loopback.Callback) (Tokens, error) {
		return c.redeem(ctx, p, issuer, conf, callback, state, verifier, nonce)
	}}
}

// accountOptions ask for c.Account.
func (c *Client) accountOptions(issuer *metadata) []oauth2.AuthCodeOption {
	if c.Account == "" {
		return nil
	}
	options := []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("login_hint", c.Account)}
	// Most issuers do not list what they take (OpenID Connect Prompt Create 1.0 §4.1).
	if issuer.Prompts == nil || slices.Contains(issuer.Prompts, "login") {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	return options
}

// ask runs invite beside wait, whose context ends after limit with ErrTimeout, or with invite's error. leave waits for
// invite, whose context has ended by then.
func (c *Client) ask(ctx context.Context, limit time.Duration, invitation Invitation, invite func(context.Context, Invitation) error, wait func(context.Context) error) (leave func(), err error) {
	invitation.Until = c.now().Add(limit)
	timed, release := context.WithTimeoutCause(ctx, limit, ErrTimeout)
	waiting, giveUp := context.WithCancelCause(timed)
	invited := make(chan struct{})
	go func() {
		defer close(invited)
		if err := invite(waiting, invitation); err != nil {
			giveUp(err)
		}
	}()
	err = wait(waiting)
	release()
	giveUp(nil)
	return func() { <-invited }, err
}

// limit is how long a person has.
func (c *Client) limit() time.Duration {
	return cmp.Or(c.Timeout, personTime)
}

// redeem turns the callback into verified tokens.
func (c *Client) redeem(ctx context.Context, p *config.Profile, issuer *metadata, conf *oauth2.Config, callback loopback.Callback, state, verifier, nonce string) (Tokens, error) {
	// RFC 9207 §2.4: the issuer is compared before anything else in the answer is used, errors included.
	if callback.Issuer != p.Issuer && (callback.Issuer != "" || issuer.NamesItself || p.Companion) {
		return Tokens{}, fmt.Errorf("the browser came back from the issuer %q, not from %q", clip(callback.Issuer, 200), p.Issuer)
	}
	if callback.Error == "access_denied" {
		return Tokens{}, ErrDenied
	}
	if callback.Error != "" {
		return Tokens{}, refusal("authorize", 0, callback.Error, callback.ErrorDescription, state, verifier, nonce)
	}
	client, err := c.httpClient()
	if err != nil {
		return Tokens{}, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	answer, err := conf.Exchange(ctx, callback.Code, oauth2.VerifierOption(verifier))
	if err != nil {
		return Tokens{}, tokenError(err, callback.Code, state, verifier, nonce)
	}
	return c.verify(ctx, p, issuer, answer, nonce)
}

// Refresh gets new tokens for old.RefreshToken (RFC 6749 §6). old brings Subject, Email and RefreshToken, and IDToken
// where the profile hands out ID tokens.
//
// Errors: ErrGrantEnded, a *ResponseError, or what the network said, with empty tokens: old stays what it was. One case
// is different: an answer that does not fit the session, or cannot be used, comes back as an error together with tokens
// whose AccessToken is empty and whose RefreshToken is the one to go on with. It must be kept, for the old one may have
// been spent.
func (c *Client) Refresh(ctx context.Context, p *config.Profile, old Tokens) (Tokens, error) {
	if old.RefreshToken == "" {
		return Tokens{}, errors.New("there is no refresh token")
	}
	issuer, err := c.discover(ctx, p)
	if err != nil {
		return Tokens{}, err
	}
	client, err := c.httpClient()
	if err != nil {
		return Tokens{}, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	// The token source has no access token, so it asks; it keeps the old refresh token if no new one comes.
	source := oauthConfig(p, issuer).TokenSource(ctx, &oauth2.Token{RefreshToken: old.RefreshToken})
	answer, err := source.Token()
	if err != nil {
		err = tokenError(err, old.RefreshToken)
		// Clerk says invalid_grant with 400 or 401: the code counts, not the status alone.
		var refused *ResponseError
		if errors.As(err, &refused) && refused.Code == "invalid_grant" &&
			(refused.Status == 400 || refused.Status == 401) {
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

// Revoke ends the grant of refreshToken (RFC 7009). An issuer answers the same for a token that it does not know, and
// access tokens that are JWTs live on until they end.
func (c *Client) Revoke(ctx context.Context, p *config.Profile, refreshToken string) error {
	issuer, err := c.discover(ctx, p)
	if err != nil {
		return err
	}
	if issuer.Companion != nil && !issuer.Companion.Store {
		return ErrNoStore
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
	return err
}

// result is what the browser is told of a sign-in that ended with err.
func result(tokens Tokens, err error) loopback.Result {
	switch {
	case err == nil:
		return loopback.Result{Outcome: loopback.SignedIn, Account: cmp.Or(tokens.Email, tokens.Subject)}
	case errors.Is(err, ErrDenied):
		return loopback.Result{Outcome: loopback.Denied}
	default:
		return loopback.Result{Outcome: loopback.Failed}
	}
}

func oauthConfig(p *config.Profile, issuer *metadata) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID,
		Scopes:   p.Scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL:  issuer.Authorization,
			TokenURL: issuer.Token,
			// Without a style the library tries two, and so sends a code or a refresh token twice.
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
