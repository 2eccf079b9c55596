package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
)

// InjectedError is why a token from the environment cannot be used. Its text never contains the token.
type InjectedError struct {
	// Source is where the token came from, such as "CLERK_HELPER_TOKEN".
	Source string
	Err    error
}

func (e *InjectedError) Error() string { return fmt.Sprintf("the token in %s %v", e.Source, e.Err) }

func (e *InjectedError) Unwrap() error { return e.Err }

// MaxInjected bounds an injected token, in bytes.
const MaxInjected = 16 << 10

// injected makes a session of a token that the environment brings, which takes precedence over every other source. The
// source is empty if there is none for this profile. Like any token it goes only to the hosts of the profile. It cannot be
// refreshed, so its form and its end are checked here, before a server refuses it.
func (b *Broker) injected(ctx context.Context, p *config.Profile) (s Session, source string, err error) {
	if b.Injected == nil {
		return Session{}, "", nil
	}
	token, source, err := b.Injected(ctx, p)
	if err != nil || source == "" {
		return Session{}, "", err
	}
	s, err = CheckInjected(p, token, b.Now())
	if err != nil {
		return Session{}, source, &InjectedError{source, err}
	}
	b.trace("profile %s: token from %s", p.Name, source)
	return s, source, nil
}

// CheckInjected makes a session of a token that was handed to us. The error is what is wrong with it; its text continues
// "the token ...".
func CheckInjected(p *config.Profile, token string, now time.Time) (Session, error) {
	switch {
	case len(token) > MaxInjected:
		return Session{}, fmt.Errorf("is longer than %d bytes", MaxInjected)
	case strings.HasPrefix(token, "sk_"):
		return Session{}, errors.New("is a secret key of Clerk's Backend API, which must never reach a tool: replace it in Clerk's dashboard, and use an access token, an API key or an M2M token")
	case strings.HasPrefix(token, "pk_"):
		return Session{}, errors.New("is a publishable key, which grants no access")
	}
	if err := clerk.CheckForm(token); err != nil {
		return Session{}, err
	}
	s := Session{
		Version: recordVersion, Issuer: p.Issuer, ClientID: p.ClientID, Scopes: p.Scopes,
		Kind: "opaque", AccessToken: token, ReceivedAt: now.UTC(),
	}
	if err := clerk.CheckIssuer(p, token); err != nil {
		return Session{}, err
	}
	_, subject, expires, jwt := clerk.Inspect(token)
	if jwt {
		s.Kind, s.Subject, s.ExpiresAt = "jwt", subject, expires.UTC()
		if !expires.IsZero() && !expires.After(now) {
			return Session{}, fmt.Errorf("expired at %s", expires.UTC().Format(time.RFC3339))
		}
	}
	if p.Token == "id" {
		s.IDToken, s.AccessToken = token, ""
	}
	return s, nil
}
