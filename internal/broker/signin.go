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
	// signInLimit bounds the wait for another command's sign-in: longer than a person has for one.
	signInLimit = 6 * time.Minute
	// revokeLimit bounds the revocation of a grant that is not needed.
	revokeLimit = 5 * time.Second
	// waitingAfter is when a person is told that another sign-in is waited for.
	waitingAfter = 3 * time.Second
)

// ErrSignedOut is why a person is not asked after a logout.
var ErrSignedOut = errors.New("you signed out of it")

// ErrLegacyPage is why a tool's call never leads to a page of the original kind: any page of the web could answer it.
var ErrLegacyPage = errors.New("its legacy_page works only with login")

// ErrAbandoned is the cause of a context that ends because the caller went away. No end is recorded then, as if the holder of
// the sign-in lock had been killed, so the next process that waits asks the person itself.
var ErrAbandoned = errors.New("whoever asked for it has gone")

// signInRequest is what a sign-in is for.
type signInRequest struct {
	profile *config.Profile
	began   time.Time // of the call: what ended later is shared
	how     Permission
	// onDemand is set for a tool. A login of the person ignores the previous session, a logout and the cool-down, and
	// takes any account.
	onDemand bool
}

// Login asks the person to sign in by one of the flows, tried in their order, whatever the keychain holds and whatever was
// refused before. Any account may come.
func (b *Broker) Login(ctx context.Context, p *config.Profile, flows ...clerk.Flow) (Session, error) {
	if p.IsMachine {
		return Session{}, machineSignIn(p)
	}
	return b.signIn(ctx, signInRequest{profile: p, began: b.Now(), how: Permission{Flows: flows}})
}

// signIn holds the sign-in lock while a person is asked, so that a thousand tools open one page. On demand, a process that
// waited for another's sign-in shares how it ended: its session, or its failure and no page of its own. A holder that was
// killed leaves no record, and the next one asks.
func (b *Broker) signIn(ctx context.Context, r signInRequest) (Session, error) {
	p := r.profile
	release, err := b.awaitSignIn(ctx, p)
	if err != nil {
		return Session{}, signInError(p, err)
	}
	defer release()

	last, err := b.readUnlocked(ctx, p)
	before := b.readRecord(ctx, "signin", p)
	if r.onDemand {
		if s, err, done := b.sharedSignIn(ctx, r, last, err, before); done {
			return s, err
		}
	} else {
		if err != nil && !errors.Is(err, errNoSession) && !errors.Is(err, ErrUnreadable) {
			return Session{}, signInError(p, err)
		}
		before = record{}
	}
	// If no record can be stored, a thousand that wait would open a thousand pages, one after the other.
	now := record{Code: asking, By: b.Caller.Name, Refusals: before.Refusals, Until: before.Until}
	if err := b.writeRecord(ctx, "signin", p, now); err != nil && r.onDemand {
		return Session{}, signInError(p, err)
	}
	s, err := b.ask(ctx, r, last.Subject)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrAbandoned) {
		err = cause
	}
	b.recordSignIn(ctx, p, before, err)
	if err != nil {
		return Session{}, signInError(p, err)
	}
	b.trace("profile %s: signed in as %q, %s", p.Name, s.Account(), s.goodUntil())
	if s.BelowMinTTL(p) {
		b.trace("profile %s: min_ttl is %v, and a token lives for %v only", p.Name, p.MinTTL, s.Life())
	}
	return s, nil
}

// readUnlocked reads the session, and has the person unlock the keychain for that.
func (b *Broker) readUnlocked(ctx context.Context, p *config.Profile) (Session, error) {
	s, err := b.read(ctx, p)
	if !errors.Is(err, platform.ErrLocked) {
		return s, err
	}
	if err := b.Person.Unlock(ctx); err != nil {
		return Session{}, err
	}
	return b.read(ctx, p)
}

// sharedSignIn is what a tool gets without a page when it has its turn: what another process's sign-in has led to, or what
// a locked keychain has hidden. last and err are the session as it is now; done is false if the person has to be asked.
func (b *Broker) sharedSignIn(ctx context.Context, r signInRequest, last Session, err error, before record) (s Session, _ error, done bool) {
	p := r.profile
	switch {
	case errors.Is(err, errNoSession):
	case err != nil:
		return Session{}, signInError(p, err), true
	case last.good(p, b.Now()):
		b.trace("profile %s: signed in by another process meanwhile", p.Name)
		return last, nil, true
	case last.SignedOut:
		return Session{}, &NeedsSignInError{p.Name, ErrSignedOut}, true
	}
	// The cool-down is looked at again: its record may have been on its way to the disk when we began.
	if before.err() != nil && (before.At.After(r.began) || before.Until.After(b.Now()) && !b.mayAskAgain(before, r.how)) {
		b.trace("profile %s: the sign-in that was waited for failed: %s", p.Name, before.Code)
		return Session{}, signInError(p, before.err()), true
	}
	plan := Plan{Profile: p, Session: last, began: r.began}
	if err != nil || !b.planSession(ctx, &plan, b.Now()) {
		return Session{}, nil, false
	}
	// The keychain was locked until now.
	if plan.Next != NextRefresh {
		s, err = b.Execute(ctx, plan)
		return s, err, true
	}
	s, err = b.refresh(ctx, plan)
	return s, err, !isOver(err)
}

// signInError is err as the error of a sign-in.
func signInError(p *config.Profile, err error) error {
	switch code, _ := codeOf(err); {
	case errors.Is(err, context.Canceled):
		err = ErrCancelled
	case code == network:
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return &SignInError{p.Name, err}
}

// awaitSignIn takes the sign-in lock, and tells the person after a while what is waited for. Its holder may have been
// stopped (Ctrl-Z), so the wait ends after the longest time that a person has for a sign-in.
func (b *Broker) awaitSignIn(ctx context.Context, p *config.Profile) (release func(), err error) {
	limited, cancel := context.WithTimeout(ctx, signInLimit)
	defer cancel()
	timer := time.AfterFunc(waitingAfter, func() { b.Person.SayWaiting(p, b.readRecord(ctx, "signin", p).By) })
	defer timer.Stop()
	release, err = b.Locks.Lock(limited, "signin-"+identity(p))
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("another command's sign-in has not ended within %v", signInLimit)
	}
	return release, err
}

// ask has the person sign in by the first flow that works, and keeps the session. The keychain is tried first, so that the
// person is not asked for a session that cannot be kept.
func (b *Broker) ask(ctx context.Context, r signInRequest, lastSubject string) (Session, error) {
	p := r.profile
	if err := b.probe(ctx, p); err != nil {
		return Session{}, err
	}
	r.began = b.Now() // from here on the person may hand us a token instead
	b.trace("profile %s: asking the person to sign in", p.Name)
	issuer, err := b.Issuer(p)
	if err != nil {
		return Session{}, err
	}
	attempt, err := issuer.Begin(ctx, p, r.how.Flows...)
	if err != nil {
		return Session{}, err
	}
	defer attempt.Close()
	for {
		s, err := b.signInBy(ctx, attempt, r, lastSubject)
		if !errors.Is(err, clerk.ErrOtherFlow) {
			return s, err
		}
		b.trace("the flow %q: %v", attempt.Invitation().Flow, err)
		switch next := attempt.Next(ctx); {
		case errors.Is(next, clerk.ErrOtherFlow):
			return Session{}, err
		case next != nil:
			return Session{}, next
		}
	}
}

// signInBy has the person sign in by the present flow of the attempt. Only when the session is kept does the browser say so.
func (b *Broker) signInBy(ctx context.Context, attempt Attempt, r signInRequest, lastSubject string) (Session, error) {
	invitation := attempt.Invitation()
	leave, err := clerk.InviteDuring(ctx, func(ctx context.Context) error {
		return b.Person.Invite(ctx, r.profile, invitation)
	}, attempt.Wait)
	defer leave()
	if err != nil {
		return Session{}, err
	}
	var s Session
	t, err := attempt.Redeem(ctx)
	if err == nil {
		s, err = b.acceptTokens(ctx, r, t, lastSubject)
	}
	attempt.Finish(ctx, err)
	return s, err
}

// acceptTokens keeps the tokens of a sign-in as a session, if they are of an account that may be kept, and revokes the
// grant that is not needed: theirs, or that of the session which they replace.
func (b *Broker) acceptTokens(ctx context.Context, r signInRequest, t clerk.Tokens, lastSubject string) (Session, error) {
	p := r.profile
	if r.onDemand && lastSubject != "" && lastSubject != t.Subject {
		b.revoke(ctx, p, t.RefreshToken)
		return Session{}, ErrOtherAccount
	}
	if t.Unproven {
		if err := b.Person.Confirm(ctx, p, t, lastSubject); err != nil {
			return Session{}, err
		}
	}
	s := newSession(p, t)
	replaced, err := b.keepSession(ctx, p, s, func(old Session) bool {
		return r.onDemand && old.Given && old.good(p, b.Now()) && !old.ReceivedAt.Before(r.began)
	})
	if err != nil {
		b.revoke(ctx, p, t.RefreshToken)
	}
	if errors.Is(err, errGiven) {
		return b.read(ctx, p)
	}
	if err != nil {
		return Session{}, err
	}
	if replaced != s.RefreshToken {
		b.revoke(ctx, p, replaced)
	}
	return s, nil
}

// revoke ends a grant that is not needed any more, also if the caller is leaving. A failure is only traced.
func (b *Broker) revoke(ctx context.Context, p *config.Profile, refreshToken string) {
	if refreshToken == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeLimit)
	defer cancel()
	issuer, err := b.Issuer(p)
	if err == nil {
		err = issuer.Revoke(ctx, p, refreshToken)
	}
	if err != nil {
		b.trace("profile %s: a grant that is not needed could not be revoked: %v", p.Name, err)
	}
}

// mayAskAgain reports whether the person may be asked in spite of a cool-down: at a terminal, by another process than the one
// that was refused.
func (b *Broker) mayAskAgain(before record, how Permission) bool {
	return (b.Caller.PID == 0 || b.Caller.PID != before.CallerPID) && how.AtTerminal
}

// errGiven means that the person has handed us a token while a tool's page was open. It is the one that they want.
var errGiven = errors.New("a token was given meanwhile")

// keepSession writes a new session under the session lock, so that no refresh of the old one overwrites it, and returns the
// refresh token that it replaces. The old session stays, with errGiven, if stays reports so; nil never does.
func (b *Broker) keepSession(ctx context.Context, p *config.Profile, s Session, stays func(old Session) bool) (replaced string, err error) {
	release, err := b.lock(ctx, "session", p)
	if err != nil {
		return "", err
	}
	defer release()
	if old, err := b.read(ctx, p); err == nil {
		if stays != nil && stays(old) {
			return "", errGiven
		}
		replaced = old.RefreshToken
	}
	return replaced, b.write(ctx, p, s)
}

// probe checks that the keychain keeps what it is given, before a person is asked.
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
