package clerk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"clerk-credential-helper/internal/config"
)

var (
	// ErrRefused means that a token is not valid, according to the issuer or by the issuer's keys.
	ErrRefused = errors.New("the issuer does not accept it")
	// ErrNotTold means that an issuer gives no information about such a token: an API key, or a machine's opaque token.
	ErrNotTold = errors.New("only the server that takes it can tell")
)

// Verdict is the account of a valid token.
type Verdict struct {
	Subject string
	Email   string // empty if unknown
}

// CheckToken reports whose token it is, if it is valid now. It asks the userinfo endpoint about an OAuth access token, and
// verifies signature and times of any other JWT with the issuer's keys, which it fetches. It changes nothing.
//
// Errors: ErrRefused, ErrNotTold, or why the issuer did not answer.
func (c *Client) CheckToken(ctx context.Context, p *config.Profile, token string) (Verdict, error) {
	issuer, err := c.describe(ctx, p)
	if err != nil {
		return Verdict{}, err
	}
	typ := typeOf(token)
	switch {
	case (strings.HasPrefix(token, "oat_") || strings.EqualFold(typ, "at+jwt")) && issuer.Userinfo != "":
		subject, email, err := c.userinfo(ctx, issuer, token)
		if refused, ok := errors.AsType[*ResponseError](err); ok && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden) {
			return Verdict{}, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		if err != nil {
			return Verdict{}, err
		}
		if !isSubject(subject) {
			return Verdict{}, errors.New("userinfo endpoint: it names no usable subject")
		}
		if !isEmail(email) {
			email = ""
		}
		return Verdict{subject, email}, nil
	case kind(token) == kindJWT:
		keys, err := c.keys(ctx, issuer)
		if err != nil {
			return Verdict{}, err
		}
		at := c.drift.clock(c.now())
		at.past = bareLeeway // as servers have it
		got, err := verifyJWT(ctx, issuer.tokenIssuer, keys, &oidc.Config{SkipClientIDCheck: true}, token, at, typ)
		if err != nil {
			return Verdict{}, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		if page := pageOf(p); page != "" {
			if err := checkParty(got, page); err != nil {
				return Verdict{}, fmt.Errorf("%w: %w", ErrRefused, err)
			}
		}
		verdict := Verdict{Subject: got.Subject}
		if isEmail(got.Email) {
			verdict.Email = got.Email
		}
		return verdict, nil
	}
	return Verdict{}, ErrNotTold
}

// pageOf returns the origin of the web app whose session tokens p hands out, or "" for an OAuth application.
func pageOf(p *config.Profile) string {
	switch {
	case p.Companion:
		return originOf(p.Issuer)
	case p.LegacyPage != "":
		return originOf(p.LegacyPage)
	}
	return ""
}

// typeOf returns the typ in the header of a JWT, or "" if there is none.
func typeOf(token string) string {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(parsed.Headers) == 0 {
		return ""
	}
	typ, _ := parsed.Headers[0].ExtraHeaders[jose.HeaderType].(string)
	return typ
}
