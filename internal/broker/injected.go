package broker

import (
	"context"
	"fmt"
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
const MaxInjected = clerk.GivenMost

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
	t, err := clerk.Given(p, token, now)
	if err != nil {
		return Session{}, err
	}
	s := newSession(p, t)
	if p.Token == "id" {
		s.AccessToken = ""
	}
	return s, nil
}
