package broker

import (
	"context"
	"errors"
	"fmt"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// Token gives a live session of the profile: from the environment, from the keychain, refreshed, or from a sign-in. The
// errors are [*InjectedError], [*NeedsSignIn], [*SignInFailed], [*RefreshFailed], platform.ErrLocked,
// platform.ErrUnavailable, or what kept a lock or a machine's token from an answer.
func (b *Broker) Token(ctx context.Context, p *config.Profile) (Session, error) {
	if s, ok, err := b.injected(ctx, p); ok || err != nil {
		return s, err
	}
	if p.Machine {
		return b.machine(ctx, p)
	}
	began := b.Now()
	s, err := b.read(ctx, p)
	if err == nil && s.good(p, began) {
		b.trace("profile %s: token from the keychain, %s", p.Name, s.goodUntil())
		if s.RefreshToken == "" || !s.pastHalf(began) {
			return s, nil
		}
		return b.refreshAhead(ctx, p, s, began), nil
	}
	ctx = b.long(ctx)
	if err == nil && s.alive() {
		if s.usable(p, began) && !b.needRefresh(ctx, p, s, began) {
			return s, nil
		}
		if s, err = b.refresh(ctx, p, s, began); err == nil {
			return s, nil
		}
	}
	switch {
	case err == nil && s.SignedOut:
		return Session{}, &NeedsSignIn{p.Name, ErrSignedOut}
	case err == nil, errors.Is(err, errNoSession), errors.Is(err, clerk.ErrGrantEnded):
		b.trace("profile %s: no session", p.Name)
		return b.signInOnDemand(ctx, p, began)
	case errors.Is(err, platform.ErrLocked):
		b.trace("profile %s: the keychain is locked", p.Name)
		if _, not := b.Person.MayAsk(p); not != nil {
			return Session{}, err
		}
		return b.signInOnDemand(ctx, p, began)
	}
	return Session{}, err
}

func (b *Broker) long(ctx context.Context) context.Context {
	if b.LongContext == nil {
		return ctx
	}
	return b.LongContext(ctx)
}

// Current is what would answer now, without a refresh or a sign-in: a token that the environment brings, the machine's,
// or the session, whether it is still alive or not. It is an error if there is nothing.
func (b *Broker) Current(ctx context.Context, p *config.Profile) (Session, error) {
	if s, ok, err := b.injected(ctx, p); ok || err != nil {
		return s, err
	}
	if p.Machine {
		return b.readMachine(ctx, machineItem(p, b.MachineKey))
	}
	return b.read(ctx, p)
}

// ReadSession reads the session of a profile as it is, for people. ok is false if there is none.
func (b *Broker) ReadSession(ctx context.Context, p *config.Profile) (s Session, ok bool, err error) {
	s, err = b.read(ctx, p)
	if errors.Is(err, errNoSession) {
		return Session{}, false, nil
	}
	return s, err == nil, err
}

func (b *Broker) lock(ctx context.Context, kind string, p *config.Profile) (func(), error) {
	limited, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	release, err := b.Locks.Lock(limited, kind+"-"+identity(p))
	if err != nil {
		return nil, fmt.Errorf("locking the session of profile %q: %w", p.Name, err)
	}
	return release, nil
}
