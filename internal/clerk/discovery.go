package clerk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

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
	// NamesItself is set if every authorization response has an iss parameter (RFC 9207 §3).
	NamesItself bool `json:"authorization_response_iss_parameter_supported"`
	// Companion is nil for an issuer that is not a companion page.
	Companion *companionMetadata `json:"clerk_companion"`

	// tokenIssuer is the iss of access and ID tokens: the issuer itself, or the Clerk instance behind a companion page.
	tokenIssuer string
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
	}
	set, err := c.keys(ctx, issuer)
	if err == nil && len(set.PublicKeys) == 0 {
		err = errors.New("the set is empty")
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoKeys, err)
	}
	return len(set.PublicKeys), nil
}

// checkChallenge refuses an issuer without PKCE (RFC 7636): anyone who sees a code could redeem it.
func (m *metadata) checkChallenge() error {
	if !slices.Contains(m.ChallengeMethods, "S256") {
		return errors.New("the issuer does not offer PKCE with S256")
	}
	return nil
}

// discover fetches the metadata of p's issuer and refuses any that could send a token elsewhere.
func (c *Client) discover(ctx context.Context, p *config.Profile) (*metadata, error) {
	issuer, err := url.Parse(p.Issuer)
	if err != nil {
		return nil, errors.New("the issuer is not a URL")
	}
	if issuer.Scheme != "https" && !(issuer.Scheme == "http" && isLoopback(issuer.Hostname())) {
		return nil, fmt.Errorf("the issuer %q is not https", p.Issuer)
	}
	var found metadata
	documents := []string{"openid-configuration", "oauth-authorization-server"}
	if p.Companion { // not an OpenID provider, and the app around it may answer any path with a page
		documents = documents[1:]
	}
	for _, document := range documents {
		var req *http.Request
		req, err = http.NewRequestWithContext(ctx, http.MethodGet, p.Issuer+"/.well-known/"+document, nil)
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
	// OpenID Connect Discovery 1.0 §4.3, RFC 8414 §3.3: identical, or another issuer could pose as this one.
	if found.Issuer != p.Issuer {
		return nil, fmt.Errorf("discovery: %w: it calls itself %q, not %q", ErrMisnamed, clip(found.Issuer, 200), p.Issuer)
	}
	found.tokenIssuer = p.Issuer
	keysAt := issuer
	if p.Companion {
		if found.tokenIssuer, err = instance(p, found.Companion); err != nil {
			return nil, err
		}
		if keysAt, err = url.Parse(found.tokenIssuer); err != nil {
			return nil, errors.New("discovery: the Clerk instance is not a URL")
		}
	}
	endpoints := []struct {
		name, value string
		required    bool
		at          *url.URL
	}{
		{"authorization_endpoint", found.Authorization, true, issuer},
		{"token_endpoint", found.Token, true, issuer},
		{"revocation_endpoint", found.Revocation, p.Companion, issuer}, // Clerk's own path means nothing in a web app
		{"userinfo_endpoint", found.Userinfo, false, issuer},
		{"device_authorization_endpoint", found.Device, false, issuer},
		{"jwks_uri", found.Keys, p.Companion, keysAt},
	}
	for _, endpoint := range endpoints {
		if endpoint.value == "" {
			if endpoint.required {
				return nil, fmt.Errorf("discovery: there is no %s", endpoint.name)
			}
			continue
		}
		// The same origin includes the scheme, so this is also the check for https.
		u, err := url.Parse(endpoint.value)
		if err != nil || u.User != nil || u.Fragment != "" || origin(u) != origin(endpoint.at) {
			return nil, fmt.Errorf("discovery: the %s %q does not have the issuer's origin", endpoint.name, clip(endpoint.value, 200))
		}
	}
	return &found, nil
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
