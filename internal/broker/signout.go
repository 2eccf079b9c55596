package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// SignOut is the result of a logout.
type SignOut struct {
	// Session is the one that was removed.
	Session Session
	// Revoked is set if the issuer has ended the grant. RevokeErr is why the request failed.
	Revoked   bool
	RevokeErr error
	// Damaged is set if what was removed could not be read.
	Damaged bool
	// Other is a second session that was removed from [Broker.Beside]; empty if there was none. Revoked and RevokeErr are about
	// both.
	Other Session
	// Unseen is why another session of the profile may live on, in a keychain that could not be looked at; nil if all were.
	Unseen *platform.UnseenError
}

// LivesOn is the error of a logout if there are signs of a keychain that could not be looked at, else nil. It wraps Unseen.
func (out SignOut) LivesOn(p *config.Profile) error {
	if out.Unseen == nil || !out.Unseen.Elsewhere {
		return nil
	}
	return &livesOnError{p.Name, out.Unseen}
}

// livesOnError means that a profile was signed out of in one keychain, and that another may have a session.
type livesOnError struct {
	profile string
	unseen  *platform.UnseenError
}

func (e *livesOnError) Error() string {
	return fmt.Sprintf("another session of profile %q may live on: %s", e.profile, e.unseen.Why)
}

func (e *livesOnError) Unwrap() error { return e.unseen }

// logoutLimit bounds the request to the issuer. The session is removed before.
const logoutLimit = 15 * time.Second

// Logout replaces the session by "signed out", even if there was none, and asks the issuer to end the grant. When it
// has begun to write, the end of ctx does not stop it, but leaves the issuer 5 s: no other process has the refresh
// token. For a machine profile it removes the kept token; the key mints another one when a tool asks. In a CI job it does both. Where the session
// may be in a keychain that could not be looked at, the error is a [*platform.UnseenError]: nothing was signed out of,
// and nothing is changed. While the keychain is locked, a session in [Broker.Beside] is ended all the same; see
// [SignOut.LivesOn]. Without one, the error says why the keychain could not be looked at.
func (b *Broker) Logout(ctx context.Context, p *config.Profile) (SignOut, error) {
	if p.IsMachine {
		out, err := b.machine(p).forget(ctx)
		if p.InJob == "" || err != nil {
			return out, err
		} // a person may have signed in to the profile outside of a job
	}
	sl := b.slot(p)
	asked := (&signIn{slot: sl}).unlock(ctx)
	if asked != nil && !errors.Is(asked, platform.ErrLocked) {
		return SignOut{}, asked
	}
	defer sl.tellWaiting()()
	release, err := sl.lock(ctx, nil)
	if err != nil {
		return SignOut{}, err
	}
	defer release()
	other, besideErr := sl.readBeside(ctx) // before a write removes it
	s, err := sl.read(ctx)
	if unseen, ok := errors.AsType[*platform.UnseenError](err); ok {
		return SignOut{}, fmt.Errorf("profile %q: %w", p.Name, unseen)
	}
	out := SignOut{Session: s, Damaged: errors.Is(err, ErrDamaged)}
	errors.As(besideErr, &out.Unseen)
	var item *ItemError
	switch {
	case err == nil, errors.Is(err, errNoSession):
	case errors.As(err, &item), ctx.Err() != nil:
		return SignOut{}, err
	default: // the usual keychain cannot be looked at, but the other one may have a session
		if err = cmp.Or(errors.Unwrap(err), err); errors.Is(err, platform.ErrLocked) { // without a prefix of ours
			err = cmp.Or(asked, err)
		}
		err = fmt.Errorf("the %s could not be looked at: %w", describe(b.Keychain), err)
		if besideErr != nil || !other.alive() {
			return SignOut{}, fmt.Errorf("profile %q: %w", p.Name, err)
		}
		out.Session, out.Unseen = other, &platform.UnseenError{Store: describe(b.Beside), Why: err.Error(), Elsewhere: true, Err: err}
		beside := *b
		beside.Keychain = b.Beside
		sl = beside.slot(p)
	}
	gone := newSession(p, clerk.Tokens{})
	gone.SignedOut = true
	if err := sl.writeOrDelete(context.WithoutCancel(ctx), gone); err != nil {
		return SignOut{}, err
	}
	if other.alive() && !other.same(out.Session) {
		out.Other = other
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutLimit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(revokeLimit, cancel) })()
	var failed []error
	for _, token := range []string{out.Session.RefreshToken, out.Other.RefreshToken} {
		if token == "" {
			continue
		}
		issuer, err := b.Issuer(p)
		if err == nil {
			err = issuer.Revoke(limited, p, token)
		}
		out.Revoked, failed = true, append(failed, err)
	}
	out.RevokeErr = errors.Join(failed...)
	out.Revoked = out.Revoked && out.RevokeErr == nil
	return out, nil
}
