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
	// revokeLimit bounds what is only tidied up.
	revokeLimit = 5 * time.Second
	// waitingAfter is when somebody who waits for another's sign-in is told so.
	waitingAfter = 3 * time.Second
)

// ErrSignedOut is why nobody is asked after a logout.
var ErrSignedOut = errors.New("you signed out of it")

// ErrLegacyPage is why no tool's call leads to a page of the original kind, which anybody could answer.
var ErrLegacyPage = errors.New("its legacy_page works only with login")

// ErrAbandoned is the cause of a context that ends because whoever has asked is gone. A sign-in that ends so leaves no end,
// like one whose holder was killed: those who wait ask the person themselves.
var ErrAbandoned = errors.New("whoever asked for it has gone")

// errUnproven is a token that nobody could be asked about.
var errUnproven = errors.New("the page did not prove that it answered this sign-in, and nobody could be asked whose account it is")

func (b *Broker) signInOnDemand(ctx context.Context, p *config.Profile, began time.Time) (Session, error) {
	if p.LegacyPage != "" {
		return Session{}, &NeedsSignIn{p.Name, ErrLegacyPage}
	}
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
		return Session{}, machineSignIn(p)
	}
	return b.signIn(ctx, p, b.Now(), false)
}

// signIn holds the sign-in lock while a person is asked, so that a thousand tools open one page. On demand, whoever
// waited for another's sign-in shares how it ended: its session, or its failure and no page of their own. A holder that
// was killed leaves no end, and the next one asks.
func (b *Broker) signIn(ctx context.Context, p *config.Profile, began time.Time, onDemand bool) (Session, error) {
	failed := func(err error) (Session, error) {
		switch code, _ := codeOf(err); {
		case errors.Is(err, context.Canceled):
			err = ErrCancelled
		case code == network:
			err = fmt.Errorf("%w: %w", ErrUnreachable, err)
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
		return Session{}, &NeedsSignIn{p.Name, ErrSignedOut}
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
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrAbandoned) {
		err = cause
	}
	b.settle(ctx, p, before, err)
	if err != nil {
		return failed(err)
	}
	b.trace("profile %s: signed in as %q, %s", p.Name, s.Account(), s.goodUntil())
	if s.BelowMinTTL(p) {
		b.trace("profile %s: min_ttl is %v, and a token lives for %v only", p.Name, p.MinTTL, s.Life())
	}
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
	began := b.Now()
	given := func(old Session) bool {
		return onDemand && old.Given && old.good(p, b.Now()) && !old.ReceivedAt.Before(began)
	}
	b.trace("profile %s: asking the person to sign in", p.Name)
	err := b.Issuer.SignIn(ctx, p,
		func(ctx context.Context, i clerk.Invitation) error { return b.Invite(ctx, p, i) },
		func(t clerk.Tokens) error {
			if onDemand && lastSubject != "" && lastSubject != t.Subject {
				b.revoke(ctx, p, t.RefreshToken)
				return ErrOtherAccount
			}
			if err := b.confirm(ctx, p, t, lastSubject); err != nil {
				return err
			}
			s = newSession(p, t)
			replaced, err := b.keep(ctx, p, s, given)
			if err != nil {
				b.revoke(ctx, p, t.RefreshToken)
			}
			if errors.Is(err, errGiven) {
				s, err = b.read(ctx, p)
			}
			if err != nil {
				return err
			}
			if replaced != s.RefreshToken {
				b.revoke(ctx, p, replaced)
			}
			return nil
		})
	return s, err
}

func (b *Broker) confirm(ctx context.Context, p *config.Profile, t clerk.Tokens, lastSubject string) error {
	switch {
	case !t.Unproven:
		return nil
	case b.Confirm == nil:
		return errUnproven
	}
	return b.Confirm(ctx, p, t, lastSubject)
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

// errGiven says that a person has handed us a token while a tool's page was open. It is what they meant.
var errGiven = errors.New("a token was given meanwhile")

// keep writes a new session under the session lock, so that no refresh of the old one overwrites it, and gives the
// refresh token that it replaces. The old session stays, with errGiven, if stays says so; nil never does.
func (b *Broker) keep(ctx context.Context, p *config.Profile, s Session, stays func(old Session) bool) (replaced string, err error) {
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
