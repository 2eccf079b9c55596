package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

const (
	// sessionLimit bounds the wait for a refresh: no person is ever asked in it.
	sessionLimit = 40 * time.Second
	// turnLimit bounds the wait for whoever refreshes first: they may have been stopped (Ctrl-Z) while they wait for the issuer.
	turnLimit = 10 * time.Second
	// aheadLimit is what a refresh may cost a caller whose token still lives.
	aheadLimit = 2 * time.Second
	// refreshLimit bounds one refresh. It does not end with the caller: a rotated refresh token must not be lost.
	refreshLimit = 30 * time.Second
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
		return b.refreshAhead(ctx, p, s, began), nil
	}
	ctx = b.patient(ctx)
	if err == nil && s.alive() {
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
	case errors.Is(err, platform.ErrLocked) && b.Unlock != nil:
		b.trace("profile %s: the keychain is locked", p.Name)
		if b.Ask(p) != nil {
			return Session{}, err
		}
		return b.signInOnDemand(ctx, p, began)
	}
	return Session{}, err
}

func (b *Broker) patient(ctx context.Context) context.Context {
	if b.Patient == nil {
		return ctx
	}
	return b.Patient(ctx)
}

// refreshAhead refreshes a good token past half of its life if nobody else does so, and if the last try was not in vain.
// It costs aheadLimit at most and never fails: the token that is there goes on living.
func (b *Broker) refreshAhead(ctx context.Context, p *config.Profile, s Session, began time.Time) Session {
	half := s.ReceivedAt.Add(s.ExpiresAt.Sub(s.ReceivedAt) / 2)
	if s.RefreshToken == "" || began.Before(half) {
		return s
	}
	release, free, err := b.Locks.TryLock("refresh-" + identity(p))
	if err != nil || !free {
		return s
	}
	defer release()
	if b.recall(ctx, "refresh", p).Until.After(began) {
		return s
	}
	limited, cancel := context.WithTimeout(b.patient(ctx), aheadLimit)
	defer cancel()
	fresh, err := b.renew(limited, p, s, began)
	if err != nil {
		b.trace("profile %s: not refreshed ahead of need: %v", p.Name, err)
		return s
	}
	return fresh
}

// refresh replaces a token that is not good any more. While it still lives, the caller waits aheadLimit at most, and
// gets it if no fresh one comes. errNoSession and clerk.ErrGrantEnded say that only a sign-in helps; any other error
// leaves the session as it was.
func (b *Broker) refresh(ctx context.Context, p *config.Profile, s Session, began time.Time) (Session, error) {
	limit := sessionLimit
	if s.usable(p, began) {
		if s.RefreshToken == "" || b.recall(ctx, "refresh", p).Until.After(began) {
			return s, nil
		}
		limit = aheadLimit
	}
	fresh, err := b.awaitRefresh(ctx, p, began, limit)
	if err != nil && s.usable(p, b.Now()) && !errors.Is(err, clerk.ErrGrantEnded) {
		b.trace("profile %s: not refreshed, the token still lives: %v", p.Name, err)
		return s, nil
	}
	return fresh, err
}

// awaitRefresh takes its turn among those who want a refresh. Whoever comes after one that helped is done, and whoever
// waited for one that failed shares its failure.
func (b *Broker) awaitRefresh(ctx context.Context, p *config.Profile, began time.Time, limit time.Duration) (Session, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	release, lockErr := b.refreshTurn(limited, p)
	if lockErr == nil {
		defer release()
	}
	s, err := b.read(ctx, p)
	switch {
	case err != nil:
		return Session{}, err
	case s.good(p, b.Now()):
		b.trace("profile %s: refreshed by another process meanwhile", p.Name)
		return s, nil
	case lockErr != nil: // both holders may be stopped
		return Session{}, fmt.Errorf("waiting for the refresh of profile %q: %w", p.Name, lockErr)
	case s.RefreshToken == "":
		return Session{}, errNoSession
	}
	switch o := b.recall(ctx, "refresh", p); {
	case o.err() == nil:
	case o.At.After(began):
		return Session{}, refreshError(p, o.err())
	case o.Retry.After(began):
		return Session{}, refreshError(p, fmt.Errorf("%w; it wants no other request before %s", o.err(), o.Retry.Format(time.RFC3339)))
	}
	return b.renew(limited, p, s, began)
}

// refreshTurn keeps all but one from asking for a refresh. If that one does not come to an end, the others take turns of
// their own: the session's lock, which the refresh itself takes, is never held by what a person can stop.
func (b *Broker) refreshTurn(limited context.Context, p *config.Profile) (release func(), err error) {
	first, cancel := context.WithTimeout(limited, turnLimit)
	defer cancel()
	release, err = b.Locks.Lock(first, "refresh-"+identity(p))
	if err != nil && first.Err() != nil && limited.Err() == nil {
		b.trace("profile %s: whoever refreshes it may be stopped", p.Name)
		return b.Locks.Lock(limited, "refresh-2-"+identity(p))
	}
	return release, err
}

// renew has the session that was seen refreshed, and reads what came of it. A refresh once begun is never abandoned:
// Renew runs it where our end does not reach it.
func (b *Broker) renew(limited context.Context, p *config.Profile, seen Session, began time.Time) (Session, error) {
	var err error
	if b.Renew != nil {
		err = b.Renew(limited, p, seen.ReceivedAt)
	} else {
		err = b.Refresh(limited, p, seen.ReceivedAt)
	}
	if limited.Err() != nil && seen.usable(p, b.Now()) {
		return Session{}, refreshError(p, limited.Err()) // the live token is served, without another read
	}
	// What there is to be known is in the keychain, also if we gave up waiting.
	ctx := context.WithoutCancel(limited)
	s, readErr := b.read(ctx, p)
	if readErr != nil {
		return Session{}, readErr
	}
	if s.good(p, b.Now()) && !s.ReceivedAt.Equal(seen.ReceivedAt) {
		return s, nil
	}
	if o := b.recall(ctx, "refresh", p); !o.At.Before(began) && o.err() != nil {
		return Session{}, refreshError(p, o.err())
	}
	if err == nil {
		err = errors.New("it brought no token that is good")
	}
	return Session{}, refreshError(p, err)
}

// RefreshFailed says what kept a session from a new token. The session is there still.
type RefreshFailed struct {
	Profile string
	Err     error
}

func (e *RefreshFailed) Error() string {
	return fmt.Sprintf("refreshing the session of profile %q: %v", e.Profile, e.Err)
}

func (e *RefreshFailed) Unwrap() error { return e.Err }

func refreshError(p *config.Profile, err error) error { return &RefreshFailed{p.Name, err} }

// Refresh is one refresh from the lock to the write, unless the session is not the one received at seen any more. It
// does not end with ctx once the issuer is asked. Its outcome is left for those who wait.
func (b *Broker) Refresh(ctx context.Context, p *config.Profile, seen time.Time) error {
	began := b.Now()
	release, err := b.lock(ctx, "session", p)
	if err != nil {
		return err
	}
	defer release()
	s, err := b.read(ctx, p)
	if err != nil {
		return err
	}
	if !s.ReceivedAt.Equal(seen) || s.RefreshToken == "" {
		b.trace("profile %s: the session is another one already", p.Name)
		return nil
	}
	// Each caller that was interrupted leaves one of us. They do not all ask an issuer that has failed the first.
	if o := b.recall(ctx, "refresh", p); o.At.After(began) && o.err() != nil {
		b.trace("profile %s: the refresh that was waited for failed: %s", p.Name, o.Code)
		return o.err()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshLimit)
	defer cancel()
	err = b.refreshNow(ctx, p, s)
	o := outcome{}
	if o.Code, o.Status = codeOf(err); err != nil {
		now := b.Now().UTC()
		o.Until = now.Add(aheadPause)
		var refused *clerk.ResponseError
		if errors.As(err, &refused) && refused.RetryAfter > 0 {
			o.Retry = now.Add(refused.RetryAfter) // whoever reads it keeps to an hour at most
			o.Until = later(o.Until, o.Retry)
		}
	}
	// The limit of the refresh must not keep its outcome back.
	b.record(context.WithoutCancel(ctx), "refresh", p, o)
	return err
}

func (b *Broker) refreshNow(ctx context.Context, p *config.Profile, s Session) error {
	// A keychain that has stopped taking what it is given would lose the rotated token. The old record proves it now,
	// while nothing is spent.
	if err := b.write(ctx, p, s); err != nil {
		return err
	}
	t, err := b.Issuer.Refresh(ctx, p, s.tokens())
	switch {
	case err == nil:
		fresh := newSession(p, t)
		b.trace("profile %s: refreshed, %s", p.Name, fresh.goodUntil())
		return b.writeFirmly(ctx, p, fresh)
	case errors.Is(err, clerk.ErrGrantEnded):
		return b.afterGrantEnded(ctx, p, s, err)
	case t.RefreshToken != "" && t.RefreshToken != s.RefreshToken:
		// The answer's access token cannot be handed out, but the old refresh token is spent already.
		b.trace("profile %s: the answer to the refresh cannot be used: %v", p.Name, err)
		s.RefreshToken = t.RefreshToken
		return errors.Join(err, b.writeFirmly(ctx, p, s))
	}
	b.trace("profile %s: the refresh failed: %v", p.Name, err)
	return err
}

// writeFirmly writes what would be lost otherwise: it tries three times.
func (b *Broker) writeFirmly(ctx context.Context, p *config.Profile, s Session) error {
	ctx = context.WithoutCancel(ctx) // the keychain has limits of its own
	var err error
	for _, pause := range []time.Duration{0, 200 * time.Millisecond, time.Second} {
		time.Sleep(pause)
		if err = b.write(ctx, p, s); err == nil {
			return nil
		}
	}
	return err
}

// afterGrantEnded looks whether a process that does not keep our lock has rotated the token; if not, the session is over.
func (b *Broker) afterGrantEnded(ctx context.Context, p *config.Profile, spent Session, cause error) error {
	for _, pause := range []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond} {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		s, err := b.read(ctx, p)
		if err != nil {
			return err
		}
		if s.RefreshToken != spent.RefreshToken {
			return nil
		}
	}
	b.trace("profile %s: the session is over", p.Name)
	return errors.Join(cause, b.write(ctx, p, spent.ended()))
}

// Current is what would answer now, without a refresh or a sign-in: a token that the environment brings, the machine's,
// or the session, whether it is still alive or not. It is an error if there is nothing.
func (b *Broker) Current(ctx context.Context, p *config.Profile) (Session, error) {
	if s, ok, err := b.injected(ctx, p); ok || err != nil {
		return s, err
	}
	if p.Machine {
		return b.readMachine(ctx, machineItem(p, b.Machine))
	}
	return b.read(ctx, p)
}

// Look reads the session of a profile as it is, for people. ok is false where there is none.
func (b *Broker) Look(ctx context.Context, p *config.Profile) (s Session, ok bool, err error) {
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
