package clerk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"clerk-credential-helper/internal/config"
)

// metadata is the metadata of an issuer (OpenID Connect Discovery 1.0 §3, RFC 8414 §2), checked.
type metadata struct {
	Issuer           string   `json:"issuer"`
	Authorization    string   `json:"authorization_endpoint"`
	Token            string   `json:"token_endpoint"`
	Revocation       string   `json:"revocation_endpoint"`
	Userinfo         string   `json:"userinfo_endpoint"`
	Device           string   `json:"device_authorization_endpoint"`
	Keys             string   `json:"jwks_uri"`
	ChallengeMethods []string `json:"code_challenge_methods_supported"`
	Prompts          []string `json:"prompt_values_supported"`
	Grants           []string `json:"grant_types_supported"`
	// Algorithms are those of the signatures of ID tokens.
	Algorithms []string `json:"id_token_signing_alg_values_supported"`
	// Pushed is set if the issuer takes no authorization request that was not pushed before (RFC 9126 §5).
	Pushed bool `json:"require_pushed_authorization_requests"`
	// NamesItself is set if every authorization response has an iss parameter (RFC 9207 §3).
	NamesItself bool `json:"authorization_response_iss_parameter_supported"`
	// Companion is nil for an issuer that is not a companion page.
	Companion *companionMetadata `json:"clerk_companion"`

	// tokenIssuer is the iss of access and ID tokens: the issuer itself, or the Clerk instance behind a companion page.
	tokenIssuer string
}

const (
	// metadataLife is how long kept metadata is used without a request for it.
	metadataLife = 24 * time.Hour
	// metadataTime limits the request for it after that, because the kept metadata is still there.
	metadataTime = 5 * time.Second
)

// keptMetadata is the metadata of an issuer as it is kept for other processes.
type keptMetadata struct {
	At       time.Time `json:"at"`
	Metadata metadata  `json:"metadata"`
}

// keptName is the name of the kept metadata of p's issuer.
func keptName(p *config.Profile) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%t", p.Issuer, p.Companion))
	return "issuer-" + hex.EncodeToString(sum[:16])
}

// shelf is where the metadata of p's issuer is kept.
type shelf struct {
	*Client
	p *config.Profile
}

// read returns the metadata that was kept last, checked like that of an answer, and its age. ok is false if there is none.
func (s shelf) read(ctx context.Context) (found *metadata, age time.Duration, ok bool) {
	if s.Documents == nil {
		return nil, 0, false
	}
	text, err := s.Documents.Get(ctx, keptName(s.p))
	if err != nil || len(text) > maxBody {
		return nil, 0, false
	}
	var k keptMetadata
	if json.Unmarshal([]byte(text), &k) != nil || k.Metadata.check(s.p) != nil {
		return nil, 0, false
	}
	return &k.Metadata, s.now().Sub(k.At), true
}

// write keeps checked metadata for other processes. An error is only traced.
func (s shelf) write(ctx context.Context, found *metadata) {
	if s.Documents == nil {
		return
	}
	text, err := json.Marshal(keptMetadata{s.now().UTC(), *found})
	if err == nil {
		err = s.Documents.Set(ctx, keptName(s.p), string(text))
	}
	if err != nil {
		s.tracef("the issuer's metadata was not kept: %v", err)
	}
}

// forgetMoved forgets the kept metadata if err is the answer of an endpoint that does not exist, so that the next request
// looks for it.
func (s shelf) forgetMoved(ctx context.Context, err error) {
	refused, ok := errors.AsType[*ResponseError](err)
	if !ok || s.Documents == nil || !slices.Contains([]int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone}, refused.Status) {
		return
	}
	if err := s.Documents.Delete(ctx, keptName(s.p)); err != nil {
		s.tracef("the issuer's metadata is still kept: %v", err)
	}
}

// endpoints returns metadata for a refresh or a revocation. The kept metadata is good for metadataLife, and after that for as
// long as the issuer returns none.
func (c *Client) endpoints(ctx context.Context, p *config.Profile) (*metadata, error) {
	kept, age, ok := shelf{c, p}.read(ctx)
	switch {
	case !ok:
		return c.discover(ctx, p)
	case age >= 0 && age < metadataLife:
		return kept, nil
	}
	limited, cancel := context.WithTimeout(ctx, metadataTime)
	defer cancel()
	found, err := c.fetchMetadata(limited, p)
	if err != nil && ctx.Err() == nil {
		c.tracef("the metadata of %v ago is used: %v", age.Round(time.Second), err)
		return kept, nil
	}
	if err != nil {
		return nil, err
	}
	return c.accept(ctx, p, found)
}

// describe returns the metadata of p's issuer, or of its page.
func (c *Client) describe(ctx context.Context, p *config.Profile) (*metadata, error) {
	if p.LegacyPage != "" {
		return legacyMetadata(p), nil
	}
	return c.discover(ctx, p)
}

// ProbeIssuer makes the requests that a sign-in makes before it involves the user, and returns the number of keys that
// tokens can be verified with.
//
// Errors: ErrMisnamed, a *ResponseError, ErrNoKeys if only the keys are missing, or an error of the network or of the
// check of the metadata.
func (c *Client) ProbeIssuer(ctx context.Context, p *config.Profile) (keys int, err error) {
	issuer, err := c.describe(ctx, p)
	if err != nil {
		return 0, err
	}
	if !p.IsMachine && p.LegacyPage == "" {
		if err := issuer.checkChallenge(); err != nil {
			return 0, err
		}
		if err := issuer.checkSignIn(p); err != nil {
			return 0, err
		}
	}
	set, err := c.keys(ctx, issuer)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoKeys, err)
	}
	return len(set.PublicKeys), nil
}

// checkSignIn refuses an issuer whose tokens could not be verified after the user has signed in to p.
func (m *metadata) checkSignIn(p *config.Profile) error {
	switch {
	case m.Pushed:
		return errors.New("the issuer accepts only pushed authorization requests, which are not supported")
	case !signed(p):
	case m.Keys == "":
		return errors.New("discovery: there is no jwks_uri")
	case m.Algorithms != nil && !slices.Contains(m.Algorithms, oidc.RS256):
		return fmt.Errorf("the issuer signs ID tokens with %s, and only RS256 is supported", clip(strings.Join(m.Algorithms, ", "), 200))
	}
	return nil
}

// signed reports whether a sign-in to p brings a token whose signature is verified.
func signed(p *config.Profile) bool {
	return p.Companion || p.LegacyPage != "" || slices.Contains(p.Scopes, "openid")
}

// checkChallenge refuses an issuer without PKCE (RFC 7636): anyone who sees a code could redeem it.
func (m *metadata) checkChallenge() error {
	if !slices.Contains(m.ChallengeMethods, "S256") {
		return errors.New("the issuer does not offer PKCE with S256")
	}
	return nil
}

// discover fetches the metadata of p's issuer and refuses any that could send a token elsewhere. It is kept for Refresh and
// Revoke.
func (c *Client) discover(ctx context.Context, p *config.Profile) (*metadata, error) {
	found, err := c.fetchMetadata(ctx, p)
	if err != nil {
		return nil, err
	}
	return c.accept(ctx, p, found)
}

// accept checks fetched metadata and keeps it.
func (c *Client) accept(ctx context.Context, p *config.Profile, found *metadata) (*metadata, error) {
	if err := found.check(p); err != nil {
		return nil, err
	}
	shelf{c, p}.write(ctx, found)
	return found, nil
}

// issuerURL parses the address of p's issuer, which must be https or loopback.
func issuerURL(p *config.Profile) (*url.URL, error) {
	issuer, err := url.Parse(p.Issuer)
	if err != nil {
		return nil, errors.New("the issuer is not a URL")
	}
	if issuer.Scheme != "https" && !(issuer.Scheme == "http" && isLoopback(issuer.Hostname())) {
		return nil, fmt.Errorf("the issuer %q is not https", p.Issuer)
	}
	return issuer, nil
}

// fetchMetadata fetches the metadata of p's issuer, unchecked.
func (c *Client) fetchMetadata(ctx context.Context, p *config.Profile) (*metadata, error) {
	if _, err := issuerURL(p); err != nil {
		return nil, err
	}
	var found metadata
	var err error
	documents := []string{"openid-configuration", "oauth-authorization-server"}
	if p.Companion { // not an OpenID provider, and the app around it may answer any path with a page
		documents = documents[1:]
	}
	for _, document := range documents {
		var req *http.Request
		req, err = http.NewRequestWithContext(forDocument(ctx), http.MethodGet, p.Issuer+"/.well-known/"+document, nil)
		if err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		err = c.fetchJSON("discovery", req, &found)
		if refused, ok := errors.AsType[*ResponseError](err); !ok || refused.Status != http.StatusNotFound {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return &found, nil
}

// check refuses metadata that could send a token elsewhere, and fills in what depends on the profile.
func (m *metadata) check(p *config.Profile) error {
	issuer, err := issuerURL(p)
	if err != nil {
		return err
	}
	// OpenID Connect Discovery 1.0 §4.3, RFC 8414 §3.3: identical, or another issuer could pose as this one.
	if m.Issuer != p.Issuer {
		return fmt.Errorf("discovery: %w: it calls itself %q, not %q", ErrMisnamed, clip(m.Issuer, 200), p.Issuer)
	}
	m.tokenIssuer = p.Issuer
	keysAt := issuer
	if p.Companion {
		if m.tokenIssuer, err = instance(p, m.Companion); err != nil {
			return err
		}
		if keysAt, err = url.Parse(m.tokenIssuer); err != nil {
			return errors.New("discovery: the Clerk instance is not a URL")
		}
	}
	endpoints := []struct {
		name, value string
		required    bool
		at          *url.URL
	}{
		{"authorization_endpoint", m.Authorization, true, issuer},
		{"token_endpoint", m.Token, true, issuer},
		{"revocation_endpoint", m.Revocation, p.Companion, issuer}, // Clerk's own path means nothing in a web app
		{"userinfo_endpoint", m.Userinfo, false, issuer},
		{"device_authorization_endpoint", m.Device, false, issuer},
		{"jwks_uri", m.Keys, p.Companion, keysAt},
	}
	for _, endpoint := range endpoints {
		if endpoint.value == "" {
			if endpoint.required {
				return fmt.Errorf("discovery: there is no %s", endpoint.name)
			}
			continue
		}
		// The same origin includes the scheme, so this is also the check for https.
		u, err := url.Parse(endpoint.value)
		if err != nil || u.User != nil || u.Fragment != "" || origin(u) != origin(endpoint.at) {
			return fmt.Errorf("discovery: the %s %q does not have the issuer's origin", endpoint.name, clip(endpoint.value, 200))
		}
	}
	return nil
}

// origin returns scheme, host and port of u (RFC 6454 §4), in a form that can be compared.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func isLoopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}
