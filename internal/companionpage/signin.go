package companionpage

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/loopback"
	"clerk-credential-helper/platform"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// tokenLeeway is how much Clerk's clock and ours may differ.
const tokenLeeway = 30 * time.Second

// templateCategory is the cat header of tokens that Clerk makes from a JWT template.
const templateCategory = "cl_B7d4PD222AAA"

// Person is the user, who approves the sign-ins of a check.
type Person interface {
	// Invite shows or opens the page, and may stay until ctx ends. An error of it ends the sign-in.
	Invite(ctx context.Context, p *config.Profile, i clerk.Invitation) error
	// Tell shows messages, one a line.
	Tell(lines ...string)
}

// SignIn is how the user signs in for a check. All fields are required.
type SignIn struct {
	Person Person
	Flow   clerk.Flow    // clerk.Browser or clerk.Paste
	Limit  time.Duration // for each sign-in
}

// approval is the result of a sign-in that the user has approved.
type approval struct {
	code, verifier, redirect string
	tokens                   companionTokens
}

// companionTokens is a successful answer of the token endpoint (RFC 6749 §5.1).
type companionTokens struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Life    int64  `json:"expires_in"`
	Refresh string `json:"refresh_token"`
	Email   string `json:"email"`
}

// SignIn asks the user to approve a sign-in, and uses its code and tokens as intended and not as intended. A page with a
// store needs three sign-ins, since the second use of a code or a refresh token ends its grant. It must follow Run. The
// results, failures included, are lines.
func (p *Probe) SignIn(ctx context.Context, how SignIn) {
	keys, err := p.fetchKeys(ctx)
	if err != nil {
		p.add(Line{NotTold, "what a sign-in would show", "the keys to verify its token are not there", ""})
		return
	}
	times := 1
	if p.hasStore() {
		times = 3
	}
	how.Person.Tell(fmt.Sprintf("times that you are asked to approve: %d", times))
	first, ok := p.approval(ctx, how, keys, p.misuseCode)
	if !ok {
		return
	}
	p.stolen(ctx, first.tokens)
	grant{Probe: p}.person(ctx, first.tokens.Access)
	second := first
	if p.hasStore() {
		const cure = "CLI_AUTH_STORE must be one that all processes of the app share; memory is for one process"
		a, err := p.redeem(ctx, first)
		p.refused("code: a second use is refused", a, err, cure)
		a, err = p.refresh(ctx, first.tokens.Refresh)
		p.refused("code: a second use ends what came of the first", a, err, cure)
		if second, ok = p.approval(ctx, how, keys, nil); !ok {
			return
		}
	}
	a, err := p.redeem(ctx, approval{code: second.tokens.Refresh, verifier: second.verifier, redirect: second.redirect})
	p.refused("refresh token: refused as a code", a, err, cureRoutes)
	a, err = p.refresh(ctx, second.tokens.Refresh)
	fresh, words := readTokens(a, err)
	if words == "" && fresh.Refresh == second.tokens.Refresh {
		words = "it is the previous refresh token"
	}
	if !p.holds("refresh token: brings a new one and a token", words, cureRoutes) {
		return
	}
	p.verified("refreshed token", fresh, keys)
	if !p.hasStore() {
		return
	}
	const cure = "CLI_AUTH_STORE must be one that all processes of the app share; memory is for one process"
	a, err = p.refresh(ctx, second.tokens.Refresh)
	p.refused("refresh token: a second use is refused", a, err, cure)
	a, err = p.refresh(ctx, fresh.Refresh)
	p.refused("refresh token: a second use ends its successors", a, err, cure)

	third, ok := p.approval(ctx, how, keys, nil)
	if !ok {
		return
	}
	a, err = p.post(ctx, "/api/cli-auth/revoke", url.Values{"client_id": {config.CompanionClient}, "token": {third.tokens.Refresh}})
	words = ""
	if err != nil || a.status != http.StatusOK {
		words = seen(a, err) + ", not status 200"
	}
	p.holds("revoke: takes a refresh token", words, cureRoutes)
	a, err = p.refresh(ctx, third.tokens.Refresh)
	p.refused("revoke: holds", a, err, cure)
}

// misuseCode tries what an attacker who has a code would try.
func (p *Probe) misuseCode(ctx context.Context, good approval) {
	other := good
	other.verifier = randomWord()
	a, err := p.redeem(ctx, other)
	p.refused("code: refused with another verifier", a, err, cureRoutes)
	other = good
	other.redirect = redirectTo(probePort)
	if other.redirect == good.redirect {
		other.redirect = redirectTo("53683")
	}
	a, err = p.redeem(ctx, other)
	p.refused("code: refused for another port", a, err, cureRoutes)
	a, err = p.refresh(ctx, good.code)
	p.refused("code: refused as a refresh token", a, err, cureRoutes)
}

// approval runs one sign-in and redeems its code. misuse, if not nil, is called with the code before.
func (p *Probe) approval(ctx context.Context, how SignIn, keys map[string]*rsa.PublicKey, misuse func(context.Context, approval)) (got approval, ok bool) {
	const check = "sign-in: the browser comes back with a code"
	site, err := url.Parse(p.origin)
	if err != nil {
		return got, false
	}
	listener, err := loopback.Listen(ctx, loopback.Page{Profile: site.Host, Hostname: platform.Hostname()}, platform.OwnPeer)
	if err != nil {
		return got, p.holds(check, err.Error(), "a firewall or a sandbox keeps programs from listening on 127.0.0.1: allow it")
	}
	defer listener.Close()

	got = approval{verifier: randomWord(), redirect: listener.RedirectURI()}
	state, sum := randomWord(), sha256.Sum256([]byte(got.verifier))
	query := p.request()
	query.Set("state", state)
	query.Set("redirect_uri", got.redirect)
	query.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
	address := p.origin + "/cli-auth?" + query.Encode()
	start, err := listener.Begin(state, address)
	if err != nil {
		return got, p.holds(check, err.Error(), "")
	}
	callback, err := how.bring(ctx, listener, &config.Profile{Name: site.Host, Issuer: p.origin, Companion: true}, start, address)
	words := ""
	switch {
	case err != nil:
		words = err.Error()
	case callback.Issuer != p.origin:
		words = fmt.Sprintf("its iss is %.100q, not %q", callback.Issuer, p.origin)
	case callback.Error != "":
		words = fmt.Sprintf("it came back with %.64q", callback.Error)
	}
	if !p.holds(check, words, "approve in the browser; if it showed an error, the app's log says more") {
		listener.Finish(ctx, loopback.Result{Ending: loopback.Failed})
		return got, false
	}
	got.code = callback.Code
	if misuse != nil {
		misuse(ctx, got)
	}
	got.tokens, words = readTokens(p.redeem(ctx, got))
	ok = p.holds("code: brings tokens", words, "the app's log says why; is CLERK_SECRET_KEY the key of the same Clerk instance?")
	if ok {
		ok = p.verified("token", got.tokens, keys)
	}
	result := loopback.Result{Ending: loopback.Failed}
	if ok {
		result = loopback.Result{Ending: loopback.SignedIn, Account: cmp.Or(got.tokens.Email, "this account")}
	}
	listener.Finish(ctx, result)
	return got, ok
}

// bring invites the user and waits for the callback.
func (how SignIn) bring(ctx context.Context, listener *loopback.Listener, profile *config.Profile, start, address string) (loopback.Callback, error) {
	invitation := clerk.Invitation{Flow: how.Flow, Until: time.Now().Add(how.Limit), StartURL: start, AuthorizeURL: address,
		RedirectURI: listener.RedirectURI(), Paste: listener.Paste, Visited: listener.Visited(), OverTLS: listener.OverTLS()}
	timed, release := context.WithTimeoutCause(ctx, how.Limit, clerk.ErrTimeout)
	defer release()
	var callback loopback.Callback
	leave, err := clerk.InviteDuring(timed, func(ctx context.Context) error {
		return how.Person.Invite(ctx, profile, invitation)
	}, func(ctx context.Context) (err error) {
		callback, err = listener.Wait(ctx)
		return err
	})
	leave() // Invite has returned: the terminal is free again
	return callback, err
}

func (p *page) redeem(ctx context.Context, a approval) (answered, error) {
	return p.post(ctx, "/api/cli-auth/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {config.CompanionClient},
		"code": {a.code}, "code_verifier": {a.verifier}, "redirect_uri": {a.redirect}})
}

func (p *page) refresh(ctx context.Context, token string) (answered, error) {
	return p.post(ctx, "/api/cli-auth/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {config.CompanionClient}, "refresh_token": {token}})
}

// refused adds a line: Pass if the answer is invalid_grant.
func (p *Probe) refused(check string, a answered, err error, cure string) {
	words := ""
	if err != nil || a.status != http.StatusBadRequest || a.oauthError() != "invalid_grant" {
		words = seen(a, err) + ", not status 400, invalid_grant"
	}
	p.holds(check, words, cure)
}

// readTokens parses a successful answer. wrong describes any other; "" for none.
func readTokens(a answered, err error) (tokens companionTokens, wrong string) {
	switch {
	case err != nil || a.status != http.StatusOK:
		return tokens, seen(a, err)
	case json.Unmarshal(a.body, &tokens) != nil:
		return tokens, "the answer is not the JSON that was expected"
	case !strings.EqualFold(tokens.Type, "Bearer"):
		return tokens, fmt.Sprintf("token_type is %.20q, not Bearer", tokens.Type)
	case tokens.Access == "" || tokens.Refresh == "" || tokens.Life <= 0:
		return tokens, "access_token, refresh_token or expires_in is missing"
	case !hasWord("no-store")(a.header.Get("Cache-Control")):
		return tokens, "Cache-Control is not no-store"
	}
	return tokens, ""
}

// verified checks a token as a server that accepts it must (docs/backends.md).
func (p *Probe) verified(check string, tokens companionTokens, keys map[string]*rsa.PublicKey) bool {
	category, err := p.verify(tokens, keys)
	words := ""
	if err != nil {
		words = err.Error()
	}
	if !p.holds(check+": verified with the instance's keys", words, "CLERK_SECRET_KEY and the publishable key must be of the same Clerk instance") {
		return false
	}
	if category == templateCategory {
		p.add(Line{NotKept, check + ": accepted by Clerk's own libraries", "it was made from a JWT template, which @clerk/backend refuses since 3.16.9", "unset CLI_AUTH_TEMPLATE"})
	}
	return true
}

func (p *Probe) verify(tokens companionTokens, keys map[string]*rsa.PublicKey) (category string, err error) {
	parsed, err := jwt.ParseSigned(tokens.Access, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return "", errors.New("it is not a JWT that is signed with RS256")
	}
	key := keys[parsed.Headers[0].KeyID]
	if key == nil {
		return "", errors.New("its key is not one of the instance's")
	}
	var claims struct {
		jwt.Claims
		AuthorizedParty string `json:"azp"`
	}
	if parsed.Claims(key, &claims) != nil {
		return "", errors.New("its signature is not the instance's")
	}
	now := time.Now()
	switch {
	case claims.Issuer != p.described.Companion.Clerk:
		return "", fmt.Errorf("its issuer is %.200q", claims.Issuer)
	case claims.Expiry == nil || claims.ValidateWithLeeway(jwt.Expected{Time: now}, tokenLeeway) != nil:
		return "", errors.New("its times do not fit this machine's clock, or it has no end")
	case claims.Subject == "":
		return "", errors.New("it has no subject")
	case claims.AuthorizedParty == p.origin:
		return "", errors.New("it names the app's own pages (azp) as a browser's session does")
	case claims.AuthorizedParty != "":
		return "", fmt.Errorf("it is for the page %.200q (azp)", claims.AuthorizedParty)
	case (claims.Expiry.Time().Sub(now) - time.Duration(tokens.Life)*time.Second).Abs() > 2*tokenLeeway:
		return "", errors.New("expires_in is not what the token says")
	}
	category, _ = parsed.Headers[0].ExtraHeaders["cat"].(string)
	return category, nil
}
