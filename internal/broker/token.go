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
	// aheadLimit is what a refresh may cost a caller whose token still lives.
	aheadLimit = 2 * time.Second
	// refreshLimit bounds one refresh. It does not end with the caller: a rotated refresh token must not be lost.
	refreshLimit = 30 * time.Second
	// rejectionGrace keeps a token that is rejected soon after it was received: the server refuses the person then,
	// and no refresh would help.
	rejectionGrace = time.Minute
	// signInLimit bounds the wait for another command's sign-in: longer than a person has for one.
	signInLimit = 6 * time.Minute
	// revokeLimit bounds what is only tidied up.
	revokeLimit = 5 * time.Second
	// waitingAfter is when somebody who waits for another's sign-in is told so.
	waitingAfter = 3 * time.Second
)

// errSignedOut is why nobody is asked after a logout.
var errSignedOut = errors.New("you signed out of it")

// Token gives a live session of the profile: from the environment, from the keychain, refreshed, or from a sign-in. The
// errors are [*InjectedError], [*NeedsSignIn], [*SignInFailed], platform.ErrLocked, platform.ErrUnavailable, or what
// kept a refresh from an answer.
func (b *Broker) Token(ctx context.Context, p *config.Profile) (Session, error) {
	if s, ok, err := b.injected(p); ok || err != nil {
		return s, err
	}
	if p.Machine {
		return b.machine(b.patient(ctx), p)
	}
	began := b.Now()
	s, err := b.read(ctx, p)
	if err == nil && s.good(p, began) {
		b.trace("profile %s: token from the keychain, good until %s", p.Name, s.ExpiresAt.Format(time.RFC3339))
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
		return Session{}, &NeedsSignIn{p.Name, errSignedOut}
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
	release, lockErr := b.Locks.Lock(limited, "refresh-"+identity(p))
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
	case lockErr != nil: // its holder may be stopped
		return Session{}, fmt.Errorf("waiting for the refresh of profile %q: %w", p.Name, lockErr)
	case s.RefreshToken == "":
		return Session{}, errNoSession
	}
	if o := b.recall(ctx, "refresh", p); o.At.After(began) && o.err() != nil {
		return Session{}, refreshError(p, o.err())
	}
	return b.renew(limited, p, s, began)
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

func refreshError(p *config.Profile, err error) error {
	return fmt.Errorf("refreshing the session of profile %q: %w", p.Name, err)
}

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
		o.Until = b.Now().UTC().Add(aheadPause)
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
		b.trace("profile %s: refreshed, good until %s", p.Name, fresh.ExpiresAt.Format(time.RFC3339))
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

func (b *Broker) signInOnDemand(ctx context.Context, p *config.Profile, began time.Time) (Session, error) {
	if err := b.Ask(p); err != nil {
		return Session{}, &NeedsSignIn{p.Name, err}
	}
	// Who stands before a terminal and asks again means it.
	if until, why := b.CoolDown(ctx, p); why != nil && !b.again(b.recall(ctx, "signin", p)) {
		b.trace("profile %s: nobody is asked before %s", p.Name, until.Format(time.RFC3339))
		return Session{}, &SignInFailed{p.Name, why}
	}
	return b.signIn(ctx, p, began, true)
}

// Login asks the person to sign in, whatever the keychain holds and whatever was refused before. Any account may come.
func (b *Broker) Login(ctx context.Context, p *config.Profile) (Session, error) {
	if p.Machine {
		return Session{}, fmt.Errorf("profile %q is a machine's: its tokens come from CLERK_MACHINE_SECRET_KEY, and nobody signs in to it", p.Name)
	}
	return b.signIn(ctx, p, b.Now(), false)
}

// signIn holds the sign-in lock while a person is asked, so that a thousand tools open one page. On demand, whoever
// waited for another's sign-in shares how it ended: its session, or its failure and no page of their own. A holder that
// was killed leaves no end, and the next one asks.
func (b *Broker) signIn(ctx context.Context, p *config.Profile, began time.Time, onDemand bool) (Session, error) {
	failed := func(err error) (Session, error) {
		if errors.Is(err, context.Canceled) {
			err = errCancelled
		}
		return Session{}, &SignInFailed{p.Name, err}
	}
	release, err := b.awaitSignIn(ctx, p)
	if err != nil {
		return failed(err)
	}
	defer release()

	last, err := b.read(ctx, p)
	if errors.Is(err, platform.ErrLocked) && b.Unlock != nil {
		if err := b.Unlock(ctx); err != nil {
			return failed(err)
		}
		last, err = b.read(ctx, p)
	}
	before := b.recall(ctx, "signin", p)
	switch {
	case err != nil && !errors.Is(err, errNoSession) && (onDemand || !errors.Is(err, ErrUnreadable)):
		return failed(err)
	case onDemand && err == nil && last.good(p, b.Now()):
		b.trace("profile %s: signed in by another process meanwhile", p.Name)
		return last, nil
	case onDemand && err == nil && last.SignedOut:
		return Session{}, &NeedsSignIn{p.Name, errSignedOut}
	case onDemand && before.err() != nil && (before.At.After(began) || before.Until.After(b.Now()) && !b.again(before)):
		// The cool-down is looked at again: its outcome may have been on its way to the disk when we began.
		b.trace("profile %s: the sign-in that was waited for failed: %s", p.Name, before.Code)
		return failed(before.err())
	case onDemand && err == nil && last.RefreshToken != "":
		// The keychain was locked until now.
		s, err := b.refresh(ctx, p, last, began)
		if !errors.Is(err, errNoSession) && !errors.Is(err, clerk.ErrGrantEnded) {
			return s, err
		}
	}

	if !onDemand {
		before = outcome{}
	}
	// Where no outcome can be left, a thousand who wait would open a thousand pages, one after the other.
	now := outcome{Code: asking, By: b.Caller, Refusals: before.Refusals, Until: before.Until}
	if err := b.record(ctx, "signin", p, now); err != nil && onDemand {
		return failed(err)
	}
	s, err := b.ask(ctx, p, last.Subject, onDemand)
	b.settle(ctx, p, before, err)
	if err != nil {
		return failed(err)
	}
	b.trace("profile %s: signed in as %q, good until %s", p.Name, s.Account(), s.ExpiresAt.Format(time.RFC3339))
	return s, nil
}

// awaitSignIn takes the sign-in lock, and says after a while what is waited for. Its holder may have been stopped
// (Ctrl-Z), so that the wait ends when nobody can be at a page any more.
func (b *Broker) awaitSignIn(ctx context.Context, p *config.Profile) (release func(), err error) {
	limited, cancel := context.WithTimeout(ctx, signInLimit)
	defer cancel()
	if b.Waiting != nil {
		timer := time.AfterFunc(waitingAfter, func() { b.Waiting(p, b.recall(ctx, "signin", p).By) })
		defer timer.Stop()
	}
	release, err = b.Locks.Lock(limited, "signin-"+identity(p))
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("another command's sign-in has not ended within %v", signInLimit)
	}
	return release, err
}

// ask has the person sign in and keeps the session. The keychain proves itself first: nobody is bothered in vain.
func (b *Broker) ask(ctx context.Context, p *config.Profile, lastSubject string, onDemand bool) (Session, error) {
	if err := b.probe(ctx, p); err != nil {
		return Session{}, err
	}
	var s Session
	b.trace("profile %s: asking the person to sign in", p.Name)
	err := b.Issuer.SignIn(ctx, p,
		func(ctx context.Context, i clerk.Invitation) error { return b.Invite(ctx, p, i) },
		func(t clerk.Tokens) error {
			if onDemand && lastSubject != "" && lastSubject != t.Subject {
				b.revoke(ctx, p, t.RefreshToken)
				return ErrOtherAccount
			}
			s = newSession(p, t)
			replaced, err := b.keep(ctx, p, s)
			if err != nil {
				b.revoke(ctx, p, t.RefreshToken)
				return err
			}
			if replaced != s.RefreshToken {
				b.revoke(ctx, p, replaced)
			}
			return nil
		})
	return s, err
}

// revoke ends a grant that nobody keeps any more, also if the caller is leaving. That it could not is only traced.
func (b *Broker) revoke(ctx context.Context, p *config.Profile, refreshToken string) {
	if refreshToken == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeLimit)
	defer cancel()
	if err := b.Issuer.Revoke(ctx, p, refreshToken); err != nil {
		b.trace("profile %s: a grant that is not needed could not be revoked: %v", p.Name, err)
	}
}

// again says whether a person may be asked in spite of a cool-down: at a terminal, by another command than the refused one.
func (b *Broker) again(before outcome) bool {
	return (b.Command == 0 || b.Command != before.Command) && b.Foreground != nil && b.Foreground()
}

// keep writes a new session under the session lock, so that no refresh of the old one overwrites it, and gives the
// refresh token that it replaces.
func (b *Broker) keep(ctx context.Context, p *config.Profile, s Session) (replaced string, err error) {
	release, err := b.lock(ctx, "session", p)
	if err != nil {
		return "", err
	}
	defer release()
	if old, err := b.read(ctx, p); err == nil {
		replaced = old.RefreshToken
	}
	return replaced, b.write(ctx, p, s)
}

// probe proves that the keychain keeps what it is given, before a person is bothered.
func (b *Broker) probe(ctx context.Context, p *config.Profile) error {
	const text = "probe"
	name := "probe-" + identity(p)
	if err := b.Keychain.Set(ctx, name, text); err != nil {
		return fmt.Errorf("%w: it takes nothing: %w", errKeychain, err)
	}
	got, err := b.Keychain.Get(ctx, name)
	if err != nil {
		return fmt.Errorf("%w: it does not give back what it took: %w", errKeychain, err)
	}
	if got != text {
		return fmt.Errorf("%w: it gives back something else than it took", errKeychain)
	}
	if err := b.Keychain.Delete(ctx, name); err != nil {
		return fmt.Errorf("%w: it does not delete: %w", errKeychain, err)
	}
	return nil
}

// reject forgets the token that a server refused, if it is the one in force; an empty secret means whichever it is.
func (b *Broker) reject(ctx context.Context, p *config.Profile, secret string) error {
	release, err := b.lock(ctx, "session", p)
	if err != nil {
		return err
	}
	defer release()
	s, err := b.read(ctx, p)
	if errors.Is(err, errNoSession) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case s.Token(p) == "", secret != "" && !equal(secret, s.Token(p)):
		b.trace("profile %s: the rejected token is not the one in force", p.Name)
		return nil
	case b.Now().Sub(s.ReceivedAt) < rejectionGrace:
		b.trace("profile %s: the rejected token is fresh and stays: the server refuses the account", p.Name)
		return nil
	}
	s.AccessToken, s.IDToken, s.ExpiresAt = "", "", time.Time{}
	b.trace("profile %s: the rejected token is dropped", p.Name)
	return b.write(ctx, p, s)
}

// SignOut is what became of a logout.
type SignOut struct {
	// Session is the one that was forgotten.
	Session Session
	// Revoked says that the issuer has ended the grant; RevokeErr why it could not be asked to.
	Revoked   bool
	RevokeErr error
}

// Logout forgets the session, leaves "signed out by the person" also where there was none, and asks the issuer to end
// the grant.
func (b *Broker) Logout(ctx context.Context, p *config.Profile) (SignOut, error) {
	release, err := b.lock(ctx, "session", p)
	if err != nil {
		return SignOut{}, err
	}
	defer release()
	s, err := b.read(ctx, p)
	if err != nil && !errors.Is(err, errNoSession) {
		return SignOut{}, err
	}
	gone := newSession(p, clerk.Tokens{})
	gone.SignedOut = true
	if err := b.write(ctx, p, gone); err != nil {
		return SignOut{}, err
	}
	out := SignOut{Session: s}
	if s.RefreshToken != "" {
		out.RevokeErr = b.Issuer.Revoke(ctx, p, s.RefreshToken)
		out.Revoked = out.RevokeErr == nil
	}
	return out, nil
}

// Current is what would answer now, without a refresh or a sign-in: a token that the environment brings, the machine's,
// or the session, whether it is still alive or not. It is an error if there is nothing.
func (b *Broker) Current(ctx context.Context, p *config.Profile) (Session, error) {
	if s, ok, err := b.injected(p); ok || err != nil {
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
