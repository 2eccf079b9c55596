package clerk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"clerk-credential-helper/internal/config"
)

const (
	// backendURL is Clerk's Backend API, which mints tokens for machines.
	backendURL = "https://api.clerk.com"
	// machineLife is requested, because Clerk's default depends on the machine's settings and may be unlimited.
	machineLife = time.Hour
)

// Mint gets a machine-to-machine token that lives for an hour, for the machine whose secret key is given: POST
// /v1/m2m_tokens of the Backend API at c.Backend, which must be https or loopback. Clerk charges for each token, so callers
// should store it. The instance cannot be read from a key, but from a JWT: one of another issuer is an error.
//
// For a profile in a CI job the companion page exchanges the token of c.Job instead; secretKey is the job's credential.
//
// Errors: ErrNoExchange, a *ResponseError, or an error of the network; they never contain the key.
func (c *Client) Mint(ctx context.Context, p *config.Profile, secretKey string) (Tokens, error) {
	if p.InJob != "" {
		if c.Job == nil {
			return Tokens{}, errors.New("there is no CI job")
		}
		job := *c.Job
		job.Credential = secretKey
		return jobExchange{c, p, job}.run(ctx)
	}
	backend := cmp.Or(c.Backend, backendURL)
	u, err := url.Parse(backend)
	if err != nil || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return Tokens{}, errors.New("the Backend API's address in CLERK_API_URL is not https, or has a user name") // and may hold a password
	}
	question, err := json.Marshal(map[string]any{
		"token_format":             p.MachineToken,
		"seconds_until_expiration": int(machineLife / time.Second),
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("machine token: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, backend+"/v1/m2m_tokens", bytes.NewReader(question))
	if err != nil {
		return Tokens{}, fmt.Errorf("machine token: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+secretKey)
	req.Header.Set("Content-Type", "application/json")
	received := c.now()
	var answer struct {
		Token      string `json:"token"`
		Subject    string `json:"subject"`
		Expiration int64  `json:"expiration"` // milliseconds
		Created    int64  `json:"created_at"` // milliseconds
	}
	if err := c.fetchJSON("machine token", req, &answer, secretKey); err != nil {
		return Tokens{}, err
	}
	if answer.Token == "" {
		return Tokens{}, errors.New("machine token endpoint: the answer holds no token")
	}
	if err := CheckIssuer(p, answer.Token); err != nil {
		return Tokens{}, fmt.Errorf("machine token endpoint: the token %w", err)
	}
	t := Tokens{Subject: answer.Subject, AccessToken: answer.Token, Kind: kind(answer.Token), ReceivedAt: received, ExpiresAt: received.Add(machineLife)}
	at := time.UnixMilli(answer.Expiration)
	if answer.Created > 0 { // then it does not depend on our clock: by a fast one each call would mint a token
		at = received.Add(at.Sub(time.UnixMilli(answer.Created)))
	}
	if answer.Expiration > 0 && at.Before(t.ExpiresAt) {
		t.ExpiresAt = at
	}
	return t, nil
}

// CheckMachineKey returns an error for what cannot be a machine's secret key, which variable brings. It does not repeat
// the key.
func CheckMachineKey(key, variable string) error {
	form := CheckForm(key)
	_, _, _, jwt := Inspect(key)
	switch {
	case strings.HasPrefix(key, "sk_"):
		return errors.New("the one given is a secret key of Clerk's Backend API, which may do everything; it was not used")
	case form != nil:
		return fmt.Errorf("the one in %s %w", variable, form)
	case jwt || strings.HasPrefix(key, "mt_") || strings.HasPrefix(key, "oat_"):
		return fmt.Errorf("%s has a token, which belongs into CLERK_HELPER_TOKEN", variable)
	case strings.HasPrefix(key, "pk_"):
		return fmt.Errorf("%s has a publishable key, which mints nothing", variable)
	}
	return nil
}
