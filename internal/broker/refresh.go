package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
)

// A refresh has four steps. needRefresh decides whether there is one. waitTurn keeps all callers but one from asking for
// it. spawnRefresh has it run in a process that outlives the caller, and reads what it has led to. RefreshOnce is what runs
// there: from the session lock to the write.

const (
	// sessionLimit bounds the wait for a refresh. No person is asked in it.
	sessionLimit = 40 * time.Second
	// turnLimit bounds the wait for the first process that refreshes: it may have been stopped (Ctrl-Z) while it waits for
	// the issuer.
	turnLimit = 10 * time.Second
	// aheadLimit is how long a caller with a live token waits for a fresh one.
	aheadLimit = 2 * time.Second
	// refreshLimit bounds one refresh. It does not end with the caller: a rotated refresh token must not be lost.
	refreshLimit = 30 * time.Second
)

// needRefresh plans with a refresh token and a token that has ended or is past half of its life. After a failure there is a
// pause: for a live token always, for one that has ended only if the issuer asked for it.
func (b *Broker) needRefresh(ctx context.Context, plan *Plan, now time.Time) {
	last := b.readRecord(ctx, "refresh", plan.Profile)
	plan.Next = NextRefresh
	if plan.Session.Live(plan.Profile, now) {
		if last.Until.After(now) {
			plan.Next, plan.Why, plan.Until = NextAnswer, last.err(), last.Until
		}
	} else if err := last.wantsPause(now); err != nil {
		*plan = plan.refuse(refreshError(plan.Profile, err))
		plan.Until = last.Retry
	}
}

// refreshAhead refreshes a token that is good for a while yet, unless another process is doing it or the last attempt
// failed recently. It takes at most aheadLimit and never fails: the current token stays valid.
func (b *Broker) refreshAhead(ctx context.Context, plan Plan) Session {
	p, s, began := plan.Profile, plan.Session, plan.began
	release, free, err := b.Locks.TryLock("refresh-" + identity(p))
	if err != nil || !free {
		return s
	}
	defer release()
	if b.readRecord(ctx, "refresh", p).Until.After(began) { // a refresh has failed since the plan was made
		return s
	}
	limited, cancel := context.WithTimeout(ctx, aheadLimit)
	defer cancel()
	fresh, err := b.spawnRefresh(limited, p, s, began)
	if err != nil {
		b.trace("profile %s: not refreshed ahead of need: %v", p.Name, err)
		return s
	}
	return fresh
}

// refresh carries out NextRefresh. A token that is still live is returned if no fresh one comes within aheadLimit. If isOver
// holds for the error, only a sign-in helps; any other error leaves the session as it was.
func (b *Broker) refresh(ctx context.Context, plan Plan) (Session, error) {
	p, s, began := plan.Profile, plan.Session, plan.began
	if s.good(p, began) {
		return b.refreshAhead(ctx, plan), nil
	}
	limit := sessionLimit
	if s.Live(p, began) {
		limit = aheadLimit
	}
	fresh, err := b.refreshInTurn(ctx, p, began, limit)
	if err != nil && s.Live(p, b.Now()) && !errors.Is(err, clerk.ErrGrantEnded) {
		b.trace("profile %s: not refreshed, the token still lives: %v", p.Name, err)
		return s, nil
	}
	return fresh, err
}

// refreshInTurn waits for its turn. A caller whose turn comes after a refresh that helped uses what that has brought; one
// that waited for a refresh that failed shares its failure.
func (b *Broker) refreshInTurn(ctx context.Context, p *config.Profile, began time.Time, limit time.Duration) (Session, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	release, lockErr := b.waitTurn(limited, p)
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
	last := b.readRecord(ctx, "refresh", p)
	if last.err() != nil && last.At.After(began) {
		return Session{}, refreshError(p, last.err())
	}
	if err := last.wantsPause(began); err != nil {
		return Session{}, refreshError(p, err)
	}
	return b.spawnRefresh(limited, p, s, began)
}

// wantsPause is the error of a refresh that the issuer wants no other request after, until the time that it named.
func (r record) wantsPause(now time.Time) error {
	if r.err() == nil || !r.Retry.After(now) {
		return nil
	}
	return fmt.Errorf("%w; it wants no other request before %s", r.err(), r.Retry.Format(time.RFC3339))
}

// waitTurn keeps all processes but one from asking for a refresh. If that one does not come to an end, the others take turns
// of their own. This is not the session lock, which the refresh itself takes and which a person can therefore not stop.
func (b *Broker) waitTurn(limited context.Context, p *config.Profile) (release func(), err error) {
	first, cancel := context.WithTimeout(limited, turnLimit)
	defer cancel()
	release, err = b.Locks.Lock(first, "refresh-"+identity(p))
	if err != nil && first.Err() != nil && limited.Err() == nil {
		b.trace("profile %s: the process that refreshes it may be stopped", p.Name)
		return b.Locks.Lock(limited, "refresh-2-"+identity(p))
	}
	return release, err
}

// spawnRefresh has the session that was seen refreshed, and reads the new one. A refresh once begun is never abandoned:
// SpawnRefresh runs it in a process that our end does not reach.
func (b *Broker) spawnRefresh(limited context.Context, p *config.Profile, seen Session, began time.Time) (Session, error) {
	run := b.SpawnRefresh
	if run == nil {
		run = b.RefreshOnce
	}
	err := run(limited, p, seen.ReceivedAt)
	if limited.Err() != nil && seen.Live(p, b.Now()) {
		return Session{}, refreshError(p, limited.Err()) // the live token is served, without another read
	}
	// The result is in the keychain and the record, also if we gave up waiting.
	ctx := context.WithoutCancel(limited)
	s, readErr := b.read(ctx, p)
	if readErr != nil {
		return Session{}, readErr
	}
	if s.good(p, b.Now()) && !s.ReceivedAt.Equal(seen.ReceivedAt) {
		return s, nil
	}
	if last := b.readRecord(ctx, "refresh", p); !last.At.Before(began) && last.err() != nil {
		return Session{}, refreshError(p, last.err())
	}
	if err == nil {
		err = errors.New("it brought no token that is good")
	}
	return Session{}, refreshError(p, err)
}

// RefreshError is why a session got no new token. The session is still there.
type RefreshError struct {
	Profile string
	Err     error
}

func (e *RefreshError) Error() string {
	return fmt.Sprintf("refreshing the session of profile %q: %v", e.Profile, e.Err)
}

func (e *RefreshError) Unwrap() error { return e.Err }

func refreshError(p *config.Profile, err error) error { return &RefreshError{p.Name, err} }

// RefreshOnce is one refresh from the lock to the write, unless the session is not the one received at seen any more. It
// does not end with ctx once the issuer is asked. How it ended is recorded for the processes that wait.
func (b *Broker) RefreshOnce(ctx context.Context, p *config.Profile, seen time.Time) error {
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
	if last := b.readRecord(ctx, "refresh", p); last.At.After(began) && last.err() != nil {
		b.trace("profile %s: the refresh that was waited for failed: %s", p.Name, last.Code)
		return last.err()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshLimit)
	defer cancel()
	err = b.askForTokens(ctx, p, s)
	r := record{}
	if r.Code, r.Status = codeOf(err); err != nil {
		now := b.Now().UTC()
		r.Until = now.Add(aheadPause)
		var refused *clerk.ResponseError
		if errors.As(err, &refused) && refused.RetryAfter > 0 {
			r.Retry = now.Add(refused.RetryAfter) // at most an hour of it counts, see parseRecord
			r.Until = laterOf(r.Until, r.Retry)
		}
	}
	// The limit of the refresh must not keep its record back.
	b.writeRecord(context.WithoutCancel(ctx), "refresh", p, r)
	return err
}

// askForTokens asks the issuer for new tokens and keeps them. The session lock is held.
func (b *Broker) askForTokens(ctx context.Context, p *config.Profile, s Session) error {
	// A keychain that takes no writes any more would lose the rotated token. Writing the old record shows it now, before the
	// old token is spent.
	if err := b.write(ctx, p, s); err != nil {
		return err
	}
	var t clerk.Tokens
	issuer, err := b.Issuer(p)
	if err == nil {
		t, err = issuer.Refresh(ctx, p, s.tokens())
	}
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

// writeFirmly tries three times to write what would be lost otherwise.
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

// afterGrantEnded checks whether a process that does not share our locks has rotated the token; if not, the session is over.
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
