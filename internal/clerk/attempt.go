package clerk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/loopback"
)

// Flow is a way to sign in.
type Flow string

const (
	// Browser is the authorization code flow with a browser on this machine, which is redirected to a listener on
	// 127.0.0.1 (RFC 8252 §7.3).
	Browser Flow = "browser"
	// Device is the device authorization grant (RFC 8628): the browser may be on any machine. It is skipped if the issuer
	// does not offer it.
	Device Flow = "device"
	// Paste is the authorization code flow with a browser on any machine. The browser ends on an address of 127.0.0.1
	// that does not load there, and the user pastes it here.
	Paste Flow = "paste"
)

// Invitation is where the user can sign in, and until when.
type Invitation struct {
	Flow  Flow
	Until time.Time

	// For Browser and Paste.
	StartURL     string // on 127.0.0.1, good for one browser, redirects to AuthorizeURL; may be an argument of a program
	AuthorizeURL string // contains the state: for the terminal only
	RedirectURI  string // where the browser is redirected in the end
	// Paste takes the address on which the browser ended; see [loopback.Listener.Paste].
	Paste func(address string) error
	// Visited is closed when the user's browser has fetched StartURL, and OverTLS when a browser of theirs that is set to use
	// https alone has asked, which the listener does not speak.
	Visited, OverTLS <-chan struct{}

	// For Device. They are foreign text, printable ASCII.
	UserCode    string // for the user to type, at most 64 bytes
	VerifyURL   string // the page to type it on, at most 2 KiB
	CompleteURL string // the same page with the code in its address, at most 2 KiB; may be empty
}

// Attempt is a sign-in in progress, in one flow at a time. The order of calls is Invitation, which the user is shown; Wait;
// Redeem; Finish, once the tokens are stored or refused. If the user cannot be shown the invitation, Next begins the next flow. Close
// must always be called last. Methods must not be called concurrently.
type Attempt struct {
	client  *Client
	profile *config.Profile
	issuer  *metadata // fetched once, for all flows
	keys    *keySet
	rest    []Flow // what Next may begin

	invitation Invitation
	limit      time.Duration      // how long the user has
	listener   *loopback.Listener // nil for Device
	exchange   exchange
	account    string // of the tokens that Redeem returned
}

// exchange is one flow: how the user's part ends, and how it becomes tokens.
type exchange interface {
	// wait returns after the user's part, or with the cause of the end of ctx.
	wait(ctx context.Context) error
	// redeem returns verified tokens.
	redeem(ctx context.Context) (Tokens, error)
}

// Begin begins a sign-in in the first of flows that the issuer offers; without flows, in Browser.
//
// Errors: ErrOtherFlow if the issuer offers none of them, a *ResponseError, or an error of the network, of the check of the
// issuer's metadata or of the listener.
func (c *Client) Begin(ctx context.Context, p *config.Profile, flows ...Flow) (*Attempt, error) {
	if len(flows) == 0 {
		flows = []Flow{Browser}
	}
	var issuer *metadata
	err := c.patiently(ctx, briefPatience, busy, func() (err error) {
		issuer, err = c.describe(ctx, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	// What could not work after the user has signed in is found before the user is asked.
	if err := issuer.checkSignIn(p); err != nil {
		return nil, err
	}
	a := &Attempt{client: c, profile: p, issuer: issuer, keys: &keySet{client: c, issuer: issuer}, rest: flows}
	if signed(p) {
		if err := a.keys.fetch(ctx, briefPatience, busy); err != nil {
			return nil, err
		}
	}
	if err := a.Next(ctx); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Next ends the current flow and begins the next one that the issuer offers. The errors are those of Begin; ErrOtherFlow
// means that there is no other flow.
func (a *Attempt) Next(ctx context.Context) error {
	a.Close()
	missing := ErrOtherFlow
	for len(a.rest) > 0 {
		flow := a.rest[0]
		a.rest = a.rest[1:]
		a.limit = cmp.Or(a.client.Timeout, personTime)
		a.invitation = Invitation{Flow: flow}
		var err error
		switch {
		case flow == Device && a.issuer.Device == "":
			missing = fmt.Errorf("%w: the issuer does not offer the device grant", ErrOtherFlow)
			a.client.tracef("the flow %q: %v", flow, missing)
			continue
		case flow == Device:
			err = a.beginDevice(ctx)
		default:
			err = a.beginPage(ctx)
		}
		a.invitation.Until = a.client.now().Add(a.limit)
		return err
	}
	return missing
}

// Invitation returns where the user can sign in.
func (a *Attempt) Invitation() Invitation { return a.invitation }

// Wait waits until the user has done their part. Meanwhile the user is shown the Invitation; see [InviteDuring].
//
// Errors: ErrTimeout, ErrDenied, ErrTaken, or the cause of the end of ctx.
func (a *Attempt) Wait(ctx context.Context) error {
	timed, release := context.WithTimeoutCause(ctx, a.limit, ErrTimeout)
	defer release()
	err := a.exchange.wait(timed)
	switch {
	case !errors.Is(err, ErrTimeout):
		return err
	case a.listener == nil, a.profile.Companion, a.profile.LegacyPage != "":
		return fmt.Errorf("%w (%v)", ErrTimeout, a.limit)
	}
	return fmt.Errorf("%w (%v; %w)", ErrTimeout, a.limit, ErrRedirect)
}

// Redeem exchanges the result of the user's part for verified tokens. It must be called once, after Wait.
//
// Errors: ErrDenied, ErrTaken, ErrClock, a *ResponseError, or an error of the network or of the verification. With an error
// the tokens may have a RefreshToken, and nothing else: the issuer has made a grant, which must be revoked.
func (a *Attempt) Redeem(ctx context.Context) (Tokens, error) {
	tokens, err := a.exchange.redeem(ctx)
	if a.listener != nil && err == nil {
		if err = a.listener.Err(); err != nil { // the second visitor came after the first had signed in
			tokens = Tokens{RefreshToken: tokens.RefreshToken}
		}
	}
	a.account = cmp.Or(tokens.Email, tokens.Subject)
	return tokens, err
}

// Finish shows in the user's browser how the sign-in ended: with err, or successfully if it is nil, which may be said only
// once the tokens are stored.
func (a *Attempt) Finish(ctx context.Context, err error) {
	if a.listener == nil {
		return
	}
	result := loopback.Result{Ending: loopback.Failed}
	switch {
	case err == nil:
		result = loopback.Result{Ending: loopback.SignedIn, Account: a.account}
	case errors.Is(err, ErrDenied):
		result.Ending = loopback.Denied
	}
	a.listener.Finish(ctx, result)
}

// Close releases the port of the current flow's listener.
func (a *Attempt) Close() {
	if a.listener != nil {
		a.listener.Close()
		a.listener = nil
	}
}

// InviteDuring runs invite in a goroutine while wait runs, and returns the error of wait. The context of both ends with ctx,
// and with invite's error as its cause if there is one; that of invite also ends when wait returns. leave waits until invite
// has returned.
func InviteDuring(ctx context.Context, invite, wait func(context.Context) error) (leave func(), err error) {
	waiting, giveUp := context.WithCancelCause(ctx)
	invited := make(chan struct{})
	go func() {
		defer close(invited)
		if err := invite(waiting); err != nil {
			giveUp(err)
		}
	}()
	err = wait(waiting)
	giveUp(nil)
	return func() { <-invited }, err
}

// beginPage begins a flow in which a page redirects the browser to a listener on 127.0.0.1.
func (a *Attempt) beginPage(ctx context.Context) error {
	p, c := a.profile, a.client
	if p.LegacyPage == "" {
		if err := a.issuer.checkChallenge(); err != nil {
			return err
		}
	}
	var err error
	if a.listener, err = loopback.Listen(ctx, loopback.Page{Profile: p.Name, Hostname: c.Hostname}, c.Peer); err != nil {
		return err
	}
	a.invitation.RedirectURI, a.invitation.Paste = a.listener.RedirectURI(), a.listener.Paste
	a.invitation.Visited, a.invitation.OverTLS = a.listener.Visited(), a.listener.OverTLS()
	page := returned{Attempt: a, listener: a.listener, state: random()}
	if p.LegacyPage != "" {
		return a.beginToken(ctx, page)
	}
	code := &codeExchange{returned: page, verifier: random()}
	if slices.Contains(p.Scopes, "openid") { // without it there is no ID token, and an issuer may refuse a nonce
		code.nonce = random()
	}
	a.exchange = code
	a.invitation.AuthorizeURL = code.authorizeURL()
	a.invitation.StartURL, err = a.listener.Begin(page.state, a.invitation.AuthorizeURL)
	return err
}

// returned is a flow that ends with a browser's request to the listener.
type returned struct {
	*Attempt
	listener *loopback.Listener
	state    string
	callback loopback.Callback
}

func (r *returned) wait(ctx context.Context) (err error) {
	r.callback, err = r.listener.Wait(ctx)
	return err
}

// codeExchange is the authorization code flow with PKCE (RFC 7636).
type codeExchange struct {
	returned
	verifier, nonce string
}

func (e *codeExchange) oauthConfig() *oauth2.Config {
	conf := oauthConfig(e.profile, e.issuer)
	conf.RedirectURL = e.invitation.RedirectURI
	return conf
}

func (e *codeExchange) authorizeURL() string {
	options := append(e.client.accountOptions(e.issuer), oauth2.S256ChallengeOption(e.verifier))
	if e.nonce != "" {
		options = append(options, oidc.Nonce(e.nonce))
	}
	if name := machineName(e.client.Hostname); e.profile.Companion && name != "" {
		options = append(options, oauth2.SetAuthURLParam("machine_name", name))
	}
	return e.oauthConfig().AuthCodeURL(e.state, options...)
}

// accountOptions returns the parameters for c.Account.
func (c *Client) accountOptions(issuer *metadata) []oauth2.AuthCodeOption {
	if c.Account == "" {
		return nil
	}
	options := []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("login_hint", c.Account)}
	// Most issuers do not list the prompts that they support (OpenID Connect Prompt Create 1.0 §4.1).
	if issuer.Prompts == nil || slices.Contains(issuer.Prompts, "login") {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	return options
}

func (e *codeExchange) redeem(ctx context.Context) (Tokens, error) {
	// RFC 9207 §2.4: the issuer is compared before anything else in the answer is used, errors included.
	callback := e.callback
	if callback.Issuer != e.profile.Issuer && (callback.Issuer != "" || e.issuer.NamesItself || e.profile.Companion) {
		return Tokens{}, fmt.Errorf("the browser came back from the issuer %q, not from %q", clip(callback.Issuer, 200), e.profile.Issuer)
	}
	if callback.Error == "access_denied" {
		return Tokens{}, ErrDenied
	}
	if callback.Error != "" {
		return Tokens{}, refusal("authorize", 0, callback.Error, callback.ErrorDescription, e.state, e.verifier, e.nonce)
	}
	client, err := e.client.httpClient()
	if err != nil {
		return Tokens{}, err
	}
	longer, cancel := outlive(ctx, answerGrace)
	defer cancel()
	longer = context.WithValue(forToken(longer), oauth2.HTTPClient, client)
	var answer *oauth2.Token
	exchange := func() (err error) {
		answer, err = e.oauthConfig().Exchange(longer, callback.Code, oauth2.VerifierOption(e.verifier))
		if err != nil {
			err = tokenError(err, callback.Code, e.state, e.verifier, e.nonce)
		}
		return err
	}
	if err := e.client.patiently(ctx, patience, pauseNamed, exchange); err != nil {
		return Tokens{}, err
	}
	return e.accept(ctx, answer, e.nonce)
}

// accept verifies the answer to a code. With an error it returns the refresh token of a grant that must be revoked.
func (a *Attempt) accept(ctx context.Context, answer *oauth2.Token, nonce string) (Tokens, error) {
	tokens, err := Tokens{}, context.Cause(ctx)
	if err == nil {
		tokens, err = a.client.verify(ctx, a.profile, a.issuer, a.keys, answer, nonce)
	}
	if err != nil {
		return Tokens{RefreshToken: answer.RefreshToken}, err
	}
	a.client.tellClock()
	return tokens, nil
}

// outlive returns a context that ends grace later than ctx. Once a code is sent, the answer is waited for: only a known grant
// can be revoked.
func outlive(ctx context.Context, grace time.Duration) (longer context.Context, cancel func()) {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(grace):
			end(context.Cause(ctx))
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); end(nil) }
}
