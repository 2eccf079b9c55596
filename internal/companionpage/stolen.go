package companionpage

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A token that a server has seen must not act for its person on the page: its holder could approve a grant that
// outlives it. Only a browser's own session counts there.

const cureSession = "write the files again with companion add --upgrade, and deploy"

// tried is a way to present a token.
type tried struct {
	name   string
	header http.Header
}

// inHeaders are the ways with an Authorization field. Clerk's code takes a token without a scheme as well.
func inHeaders(token string) []tried {
	field := func(value string) http.Header { return http.Header{"Authorization": {value}} }
	return []tried{
		{"token in a header", field("Bearer " + token)},
		{"token in a header without a scheme", field(token)},
		{"token as a password", field("Basic " + base64.StdEncoding.EncodeToString([]byte("clerk:"+token)))},
	}
}

// inCookies are the ways with the cookies of a browser that is signed in. Beside the token none of them holds a secret:
// Clerk's code compares them with each other, and a development instance wants one more.
func (p *Probe) inCookies(token string) []tried {
	const signedInSince, browser = "1", "dvb_made_up"
	cookies := func(suffixes ...string) http.Header {
		var pairs []string
		for _, s := range suffixes {
			pairs = append(pairs, "__session"+s+"="+token, "__client_uat"+s+"="+signedInSince, "__clerk_db_jwt"+s+"="+browser)
		}
		return http.Header{"Cookie": {strings.Join(pairs, "; ")}}
	}
	suffixed := p.cookieSuffixes()
	return []tried{
		{"token in the session cookie", cookies("")},
		{"token in the instance's session cookie", cookies(suffixed...)},
		{"token in both session cookies", cookies(append(suffixed, "")...)},
	}
}

// cookieSuffixes are those that the cookies of the Clerk instance may have: 8 letters of a hash of its publishable key,
// which is made of its host, with padding or without (@clerk/shared, keys.ts). Where the app has a proxy in front of its
// instance, the host is another one, and the suffix is not known.
func (p *Probe) cookieSuffixes() (suffixes []string) {
	host := strings.TrimPrefix(p.described.Companion.Clerk, "https://")
	kind := "pk_live_"
	if strings.Contains(host, ".clerk.accounts") { // a development instance
		kind = "pk_test_"
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding} {
		sum := sha1.Sum([]byte(kind + encoding.EncodeToString([]byte(host+"$"))))
		suffixes = append(suffixes, "_"+base64.RawURLEncoding.EncodeToString(sum[:])[:8])
	}
	return slices.Compact(suffixes)
}

// madeUpToken has the form of a session token. No instance has signed it.
func madeUpToken() string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode([]byte(`{"sid":"sess_of_nobody"}`)) + "." + randomWord()
}

// headersRefused asks for the page and approves with an Authorization field, which no browser's own request has.
func (p *Probe) headersRefused(ctx context.Context, prefix, token string, form url.Values) {
	for _, way := range inHeaders(token) {
		a, err := p.openAs(ctx, way.header)
		p.forbidden(prefix+"authorize refuses: "+way.name, a, err)
		a, err = p.approveAs(ctx, way.header, form)
		p.forbidden(prefix+"approve refuses: "+way.name, a, err)
	}
}

// forbidden adds a line that holds if the answer is a 403.
func (p *Probe) forbidden(check string, a answered, err error) {
	words := ""
	if err != nil || a.status != http.StatusForbidden || a.header.Get("Location") != "" {
		words = seen(a, err) + ", not status 403"
	}
	p.holds(check, words, cureSession)
}

// openAs opens the page as a browser does, with more fields.
func (p *page) openAs(ctx context.Context, more http.Header) (answered, error) {
	h := asBrowser()
	maps.Copy(h, more)
	return p.ask(ctx, http.MethodGet, "/cli-auth?"+p.request().Encode(), h, "")
}

// approveAs sends the consent form as the page's own, with more fields.
func (p *page) approveAs(ctx context.Context, more http.Header, form url.Values) (answered, error) {
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html"},
		"Origin": {p.origin}, "Sec-Fetch-Site": {"same-origin"}}
	maps.Copy(h, more)
	return p.ask(ctx, http.MethodPost, "/api/cli-auth/approve", h, form.Encode())
}

// consentForm is the form of the consent page, approved, for a session and an organisation.
func (p *page) consentForm(session, organization string) url.Values {
	form := p.request()
	form.Set("decision", "approve")
	form.Set("session", session)
	form.Set("organization", organization)
	return form
}

// stolen presents the access token that a sign-in has brought, as a server could that the helper has sent it to. All
// that the form needs stands in the token.
func (p *Probe) stolen(ctx context.Context, tokens companionTokens) {
	var claims struct {
		Subject      string `json:"sub"`
		Session      string `json:"sid"`
		Organization struct {
			ID string `json:"id"`
		} `json:"o"`
	}
	parsed, err := jwt.ParseSigned(tokens.Access, []jose.SignatureAlgorithm{jose.RS256})
	if err == nil {
		err = parsed.UnsafeClaimsWithoutVerification(&claims)
	}
	if err != nil {
		return // it has been verified: this cannot be
	}
	form := p.consentForm(claims.Session, claims.Organization.ID)
	p.headersRefused(ctx, "stolen token: ", tokens.Access, form)
	for _, way := range p.inCookies(tokens.Access) {
		a, err := p.openAs(ctx, way.header)
		words := ""
		switch {
		case err != nil:
			words = err.Error()
		case strings.HasPrefix(a.header.Get("Location"), redirectTo(probePort)):
			words = seen(a, nil)
		default:
			for _, known := range []string{`value="approve"`, claims.Session, claims.Subject, tokens.Email} {
				if known != "" && strings.Contains(string(a.body), known) {
					words = "the page tells whose it is, or asks for the approval"
				}
			}
		}
		p.holds("stolen token: authorize does not take: "+way.name, words, cureSession)
		a, err = p.approveAs(ctx, way.header, form)
		words = ""
		again := a.status == http.StatusSeeOther && strings.HasPrefix(a.header.Get("Location"), p.origin+"/cli-auth?")
		if err != nil || !again && a.status != http.StatusForbidden {
			words = seen(a, err) + ", not 303 to /cli-auth"
		}
		p.holds("stolen token: approve does not take: "+way.name, words, cureSession)
	}
}
