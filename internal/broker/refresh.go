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
// it. spawnRefresh runs it in a process that outlives the caller, and reads the result. RefreshOnce is what runs there:
// from the session lock to the write.

const (
	// sessionLimit bounds the wait for a refresh, and for a lock under which no person is asked.
	sessionLimit = 40 * time.Second
	// turnLimit bounds the wait for the first process that refreshes: it may be stopped (Ctrl-Z) while it waits for the
	// issuer. It is longer than an issuer that says nothing is waited for (10 s), so that the others hear of that.
	turnLimit = 12 * time.Second
	// aheadLimit is how long a caller with a live token waits for a fresh one.
	aheadLimit = 2 * time.Second
	// refreshLimit bounds one refresh. It also applies when the caller has ended: a rotated refresh token must not be lost. The
	// limits of its requests are shorter: 10 s for the metadata, 10 s for a connection, and 60 s for an answer.
	refreshLimit = 150 * time.Second
	// writerLimit bounds the wait for the session lock. It is longer than a refresh, so that a slow issuer costs no sign-in
	// and no logout.
	writerLimit = refreshLimit + 15*time.Second
	// aheadPause is how long no refresh ahead of need is tried after one has failed.
	aheadPause = 5 * time.Minute
	// lastingPause is how long no refresh is tried after a refusal that only a change of the profile, or of the OAuth
	// application, can end.
	lastingPause = time.Minute
)

// ErrStillWaiting means that the caller's time is over, and not that of the refresh.
var ErrStillWaiting = errors.New("the issuer has not answered yet; the refresh goes on in the background")

// RefreshError is why a session got no new token. The session is still there.
type RefreshError struct {
	Profile string
	Err     error
}

func (e *RefreshError) Error() string {
	return fmt.Sprintf("refreshing the session of profile %q: %v", e.Profile, e.Err)
}

func (e *RefreshError) Unwrap() error { return e.Err }

// needRefresh plans for a session with a refresh token, whose token has ended or is past half of its life. After a failure
// there is a pause: always if the token is live, otherwise only if the issuer has asked for one.
func (sl slot) needRefresh(ctx context.Context, plan *Plan, now time.Time) {
	p := plan.Profile
	last := sl.readRecord(ctx, "refresh")
	plan.Next, plan.Why = NextRefresh, last.err()
	if plan.Session.Live(p, now) {
		if last.Until.After(now) || last.Code == noIDToken {
			plan.Next, plan.Until = NextAnswer, last.Until
		}
	} else if until, err := last.wantsPause(now); err != nil {
		*plan = plan.refuse(&RefreshError{p.Name, err})
		plan.Until = until
	}
}

// wantsPause is the error of a failed refresh until the time that the issuer named for the next request, or for a minute if
// only a change of the profile or of the OAuth application can help; nil otherwise.
func (r record) wantsPause(now time.Time) (until time.Time, err error) {
	err = r.err()
	refused := Refusal(err)
	switch {
	case err == nil:
	case r.Retry.After(now):
		return r.Retry, fmt.Errorf("%w; %s", err, notBefore(r.Retry))
	case refused != nil && refused.Lasting() && r.At.Add(lastingPause).After(now):
		return r.At.Add(lastingPause), err
	}
	return time.Time{}, nil
}

// notBefore says when an issuer accepts the next request, in the local time.
func notBefore(t time.Time) string {
	return "it accepts no other request before " + t.Local().Format(time.TimeOnly)
}

// refresh is one refresh of a session, in the process that needs it (run) or in the one that does it (RefreshOnce).
type refresh struct {
	slot
	session          Session   // the one to refresh
	began            time.Time // how a refresh ended after that is shared
	refused, perhaps bool      // see Plan
}

// run carries out NextRefresh. A token that is still live is returned if there is no new one within aheadLimit. If isOver
// reports true for the error, only a sign-in helps; after any other error the session is as it was.
func (r refresh) run(ctx context.Context) (Session, error) {
	if r.session.good(r.p, r.began) && !r.refused {
		return r.ahead(ctx), nil
	}
	limit := sessionLimit
	if r.session.Live(r.p, r.began) && (!r.refused || r.perhaps) {
		limit = aheadLimit
	}
	fresh, err := r.inTurn(ctx, limit)
	if err != nil && r.session.Live(r.p, r.b.Now()) && (!r.refused || r.perhaps) && !errors.Is(err, clerk.ErrGrantEnded) {
		r.trace("not refreshed, the token still lives: %v", err)
		return r.session, nil
	}
	return fresh, err
}

// ahead refreshes a token that is still good, unless another process is doing it or the last attempt failed
// recently. It takes at most aheadLimit and never fails: the current token stays valid.
func (r refresh) ahead(ctx context.Context) Session {
	release, free, err := r.b.Locks.TryLock(r.name("refresh"))
	if err != nil || !free {
		return r.session
	}
	defer release()
	if last := r.readRecord(ctx, "refresh"); last.Until.After(r.began) || last.Code == noIDToken { // since the plan was made
		return r.session
	}
	limited, cancel := context.WithTimeout(ctx, aheadLimit)
	defer cancel()
	fresh, err := r.spawnRefresh(limited)
	if err != nil {
		r.trace("not refreshed ahead of need: %v", err)
		return r.session
	}
	return fresh
}

// inTurn waits for its turn, and refreshes unless another process has done so meanwhile: then it shares the new token or the
// error.
func (r refresh) inTurn(ctx context.Context, limit time.Duration) (Session, error) {
	if _, err := r.b.Issuer(r.p); err != nil { // the process that refreshes has no words for it
		return Session{}, r.failure(err)
	}
	defer r.tellWaiting()()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	release, lockErr := r.waitTurn(limited)
	if lockErr == nil {
		defer release()
	}
	s, err := r.read(ctx)
	switch {
	case err != nil:
		return Session{}, err
	case s.good(r.p, r.b.Now()) && !(r.refused && s.ReceivedAt.Equal(r.session.ReceivedAt)):
		r.trace("refreshed by another process meanwhile")
		return s, nil
	case errors.Is(lockErr, context.DeadlineExceeded): // both holders may be stopped
		return Session{}, r.failure(ErrStillWaiting)
	case lockErr != nil:
		return Session{}, fmt.Errorf("waiting for the refresh of profile %q: %w", r.p.Name, lockErr)
	case s.RefreshToken == "":
		return Session{}, errNoSession
	}
	last := r.readRecord(ctx, "refresh")
	if last.Code == noIDToken || last.err() != nil && last.At.After(r.began) {
		return Session{}, r.failure(last.err())
	}
	if _, err := last.wantsPause(r.began); err != nil {
		return Session{}, r.failure(err)
	}
	r.session = s
	return r.spawnRefresh(limited)
}

// waitTurn lets one process at a time have a refresh done. If that process does not go on within turnLimit, the others take
// turns under a second lock. The session lock is another one: only the detached process holds it during a refresh, and a
// person cannot stop that with Ctrl-Z.
func (r refresh) waitTurn(limited context.Context) (release func(), err error) {
	first, cancel := context.WithTimeout(limited, turnLimit)
	defer cancel()
	release, err = r.b.Locks.Lock(first, r.name("refresh"))
	if err != nil && first.Err() != nil && limited.Err() == nil {
		r.trace("the process that refreshes it may be stopped")
		return r.b.Locks.Lock(limited, r.name("refresh-2"))
	}
	return release, err
}

// spawnRefresh has the session refreshed, and reads the result. A refresh that has begun is never abandoned: SpawnRefresh
// runs it in a process that goes on when ours ends.
func (r refresh) spawnRefresh(limited context.Context) (Session, error) {
	run := r.b.SpawnRefresh
	if k, ok := r.b.Keychain.(interface{ Granted() bool }); run == nil || ok && k.Granted() { // another process would ask again
		run = r.b.RefreshOnce
	}
	err := run(limited, r.p, r.session.ReceivedAt)
	if limited.Err() != nil && r.session.Live(r.p, r.b.Now()) && (!r.refused || r.perhaps) {
		return Session{}, r.failure(limited.Err()) // the live token is served, without another read
	}
	// The result is in the keychain and the record, even if the wait has ended before.
	ctx := context.WithoutCancel(limited)
	s, readErr := r.read(ctx)
	if readErr != nil {
		return Session{}, readErr
	}
	if s.good(r.p, r.b.Now()) && !s.ReceivedAt.Equal(r.session.ReceivedAt) {
		return s, nil
	}
	if last := r.readRecord(ctx, "refresh"); !last.At.Before(r.began) && last.err() != nil {
		return Session{}, r.failure(last.err())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = ErrStillWaiting
	}
	if err == nil {
		err = errors.New("it brought no usable token")
	}
	return Session{}, r.failure(err)
}

func (r refresh) failure(err error) error { return &RefreshError{r.p.Name, err} }

// RefreshOnce is one refresh from the session lock to the write. It does nothing if the session is no longer the one that was
// received at seen. Once the issuer is asked, the end of ctx does not end it. How it ended is recorded for the processes that
// wait.
func (b *Broker) RefreshOnce(ctx context.Context, p *config.Profile, seen time.Time) error {
	r := refresh{slot: b.slot(p), began: b.Now()}
	other := func(s Session) bool { return !s.ReceivedAt.Equal(seen) || s.RefreshToken == "" }
	release, err := r.lock(ctx, other)
	if err != nil {
		return err
	}
	defer release()
	if r.session, err = r.read(ctx); err != nil {
		return err
	}
	if other(r.session) {
		r.trace("the session is another one already")
		return nil
	}
	// Each interrupted caller leaves a process like this one. If the issuer has failed one, the others do not ask it.
	if last := r.readRecord(ctx, "refresh"); last.At.After(r.began) && last.err() != nil {
		r.trace("the refresh that was waited for failed: %s", last.Code)
		return last.err()
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshLimit)
	defer cancel()
	err = r.askForTokens(limited)
	r.leaveRecord(ctx, err)
	return err
}

// askForTokens asks the issuer for new tokens and keeps them. The session lock is held.
func (r refresh) askForTokens(ctx context.Context) error {
	// If the keychain accepts no writes, the rotated token would be lost. Writing the old session shows that before the old
	// token is spent.
	if err := r.write(ctx, r.session); err != nil {
		return err
	}
	var t clerk.Tokens
	issuer, err := r.b.Issuer(r.p)
	if err == nil {
		t, err = issuer.Refresh(ctx, r.p, r.session.tokens())
	}
	switch {
	case err == nil && t.SameIDToken:
		// The old one still lives, and nothing was gained: each further refresh would only rotate the refresh token.
		r.trace("the refresh brought no ID token")
		s := r.session
		s.AccessToken, s.Kind, s.RefreshToken = t.AccessToken, t.Kind, t.RefreshToken
		return errors.Join(clerk.ErrNoIDToken, r.writeFirmly(ctx, s))
	case err == nil:
		fresh := newSession(r.p, t)
		fresh.RejectedBy = r.session.RejectedBy // else a slow tool could ask for ever, with a refresh for each minute
		r.trace("refreshed, %s", fresh.goodUntil())
		return r.writeFirmly(ctx, fresh)
	case errors.Is(err, clerk.ErrGrantEnded):
		return r.afterGrantEnded(ctx, err)
	case t.RefreshToken != "" && t.RefreshToken != r.session.RefreshToken:
		// The access token of the answer cannot be handed out, but the old refresh token is already spent.
		r.trace("the answer to the refresh cannot be used: %v", err)
		s := r.session
		s.RefreshToken = t.RefreshToken
		return errors.Join(err, r.writeFirmly(ctx, s))
	}
	r.trace("the refresh failed: %v", err)
	return err
}

// writeFirmly writes a session that would otherwise be lost. It tries three times, and then revokes its grant: no process has
// the refresh token any more.
func (r refresh) writeFirmly(ctx context.Context, s Session) error {
	ctx = context.WithoutCancel(ctx) // the keychain has limits of its own
	var err error
	for _, pause := range []time.Duration{0, 200 * time.Millisecond, time.Second} {
		time.Sleep(pause)
		if err = r.write(ctx, s); err == nil {
			return nil
		}
	}
	if s.RefreshToken != r.session.RefreshToken {
		r.revoke(ctx, s.RefreshToken)
	}
	return err
}

// afterGrantEnded checks whether a process that does not share our locks has rotated the token; if not, the session is over.
func (r refresh) afterGrantEnded(ctx context.Context, cause error) error {
	for _, pause := range []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond} {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		s, err := r.read(ctx)
		if err != nil {
			return err
		}
		if s.RefreshToken != r.session.RefreshToken {
			return nil
		}
	}
	r.trace("the session is over")
	return errors.Join(cause, r.write(ctx, r.session.ended()))
}

// leaveRecord records how the refresh ended. After a failure there is a pause before the next one.
func (r refresh) leaveRecord(ctx context.Context, err error) {
	end := ended(err)
	if err != nil {
		now := r.b.Now().UTC()
		end.Until = now.Add(aheadPause)
		if end.pauseFor(err, now); end.Retry.After(end.Until) {
			end.Until = end.Retry
		}
	}
	r.writeRecord(context.WithoutCancel(ctx), "refresh", end)
}
