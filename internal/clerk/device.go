package clerk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"clerk-credential-helper/internal/config"
)

const (
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
	// pollInterval is the default time between two polls, and what slow_down adds (RFC 8628 §3.2, §3.5).
	pollInterval = 5 * time.Second
	// pollMost is the longest pause after failures of the network.
	pollMost = time.Minute
)

// deviceCode is the answer of the device authorization endpoint (RFC 8628 §3.2).
type deviceCode struct {
	Code      string `json:"device_code"` // secret
	UserCode  string `json:"user_code"`
	URL       string `json:"verification_uri"`
	Complete  string `json:"verification_uri_complete"`
	ExpiresIn int64  `json:"expires_in"`
	Interval  int64  `json:"interval"`
}

// deviceExchange is the device authorization grant (RFC 8628). It has no redirect, no PKCE and no nonce. The tokens are
// verified as always, and an ID token with a nonce is refused: it was made for another sign-in.
type deviceExchange struct {
	*Attempt
	code   deviceCode
	answer *oauth2.Token
}

func (e *deviceExchange) wait(ctx context.Context) (err error) {
	e.answer, err = e.client.poll(ctx, e.profile, e.issuer, e.code)
	return err
}

func (e *deviceExchange) redeem(ctx context.Context) (Tokens, error) {
	return e.accept(ctx, e.answer, "")
}

// beginDevice begins the device grant.
func (a *Attempt) beginDevice(ctx context.Context) error {
	var code deviceCode
	err := a.client.patiently(ctx, briefPatience, busy, func() (err error) {
		code, err = a.client.deviceCode(ctx, a.profile, a.issuer)
		return err
	})
	if err != nil {
		return err
	}
	a.limit = min(a.limit, time.Duration(code.ExpiresIn)*time.Second)
	a.invitation.UserCode, a.invitation.VerifyURL, a.invitation.CompleteURL = code.UserCode, code.URL, code.Complete
	a.exchange = &deviceExchange{Attempt: a, code: code}
	return nil
}

// deviceCode requests a code and checks what will be shown to the user. The page may have another origin than the issuer,
// as Clerk's has: nothing of ours is sent there.
func (c *Client) deviceCode(ctx context.Context, p *config.Profile, issuer *metadata) (deviceCode, error) {
	form := url.Values{"client_id": {p.ClientID}, "scope": {strings.Join(p.Scopes, " ")}}
	req, err := formRequest(ctx, issuer.Device, form)
	if err != nil {
		return deviceCode{}, fmt.Errorf("device: %w", err)
	}
	var code deviceCode
	if err := c.fetchJSON("device", req, &code); err != nil {
		return deviceCode{}, err
	}
	printable := func(s string) bool {
		return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
	}
	switch {
	case !printable(code.Code):
		return deviceCode{}, errors.New("device endpoint: there is no device code that can be used")
	case !printable(code.UserCode) || len(code.UserCode) > 64:
		return deviceCode{}, errors.New("device endpoint: there is no code that a person could type")
	case !isPage(code.URL) || code.Complete != "" && !isPage(code.Complete):
		return deviceCode{}, errors.New("device endpoint: the page to open is not one that a person should open")
	case code.ExpiresIn < 1 || code.ExpiresIn > 24*60*60:
		return deviceCode{}, errors.New("device endpoint: the code does not say how long it lives")
	}
	return code, nil
}

// isPage reports whether raw is the address of a page that the user may be sent to: https, or http to loopback.
func isPage(raw string) bool {
	if len(raw) > 2<<10 || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false
	}
	u, err := url.Parse(raw)
	return err == nil && u.Host != "" && u.User == nil &&
		(u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
}

// poll polls until the user has decided (RFC 8628 §3.4 and §3.5). If the network fails, or the issuer fails without an OAuth
// error, it goes on, with growing pauses: the user may still be signing in.
func (c *Client) poll(ctx context.Context, p *config.Profile, issuer *metadata, code deviceCode) (*oauth2.Token, error) {
	interval := time.Duration(min(max(code.Interval, 0), 3600)) * time.Second
	if interval == 0 {
		interval = pollInterval
	}
	for {
		if err := c.sleep(ctx, interval); err != nil {
			return nil, context.Cause(ctx)
		}
		longer, cancel := outlive(ctx, answerGrace)
		answer, err := c.pollOnce(longer, p, issuer, code.Code)
		cancel()
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var refused *ResponseError
		var network *url.Error
		switch {
		case errors.As(err, &network):
			interval = min(2*interval, pollMost)
		case !errors.As(err, &refused):
			return nil, err
		case refused.OAuth && refused.Code == "authorization_pending":
		case refused.OAuth && refused.Code == "slow_down":
			interval += pollInterval
		case refused.OAuth && refused.Code == "access_denied":
			return nil, ErrDenied
		case refused.OAuth && refused.Code == "expired_token":
			return nil, ErrTimeout
		case refused.OAuth: // RFC 8628 §3.5: every other one ends it
			return nil, err
		case refused.Status >= 500, refused.Status == http.StatusTooManyRequests:
			interval = max(min(2*interval, pollMost), refused.RetryAfter)
		default:
			return nil, err
		}
	}
}

func (c *Client) pollOnce(ctx context.Context, p *config.Profile, issuer *metadata, code string) (*oauth2.Token, error) {
	form := url.Values{"grant_type": {deviceGrant}, "device_code": {code}, "client_id": {p.ClientID}}
	req, err := formRequest(forToken(ctx), issuer.Token, form)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	body, err := c.fetch("token", req, code)
	if err != nil {
		return nil, err
	}
	var answer oauth2.Token
	var raw map[string]any
	if json.Unmarshal(body, &answer) != nil || json.Unmarshal(body, &raw) != nil || answer.AccessToken == "" {
		return nil, errors.New("token endpoint: the answer holds no token")
	}
	return answer.WithExtra(raw), nil
}

func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func formRequest(ctx context.Context, endpoint string, form url.Values) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, nil
}
