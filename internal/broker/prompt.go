package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clerk-credential-helper/platform"
)

// A keychain's own prompt, which asks for its password, is about all that the keychain keeps. So the lock of who shows it, the
// record of how it ended and the cool-down after it are those of the keychain, not of a profile. A keychain that is open, and has
// the person confirm an access, asks about the profile's items alone: how that ends is the profile's.

// promptName is the name of that lock and of that record.
const promptName = "keychain"

// unlocked has the person unlock the keychain that use has found locked, and calls use again. One process shows the prompt at a
// time. A tool that has waited for another's shares how it ended. The error is errShut if the keychain is still locked.
func (in *signIn) unlocked(ctx context.Context, use func() error) error {
	release, err := in.awaitPrompt(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err = use(); !errors.Is(err, platform.ErrLocked) { // another process has had it unlocked
		return err
	}
	before := readRecord(ctx, in.b, promptName)
	if in.onDemand && !errors.Is(err, platform.ErrConfirm) {
		if err := in.told(before); err != nil {
			return err
		}
	}
	now := record{Code: asking, By: in.b.Caller.Name, Refusals: before.Refusals, Until: before.Until}
	if err := writeRecord(ctx, in.b, promptName, now); err != nil && in.onDemand { // each who waits would show it again
		return err
	}
	if err = in.b.Person.Unlock(ctx, in.items()...); err == nil {
		err = use()
	}
	shutNow := errors.Is(err, platform.ErrLocked)
	switch {
	case ctx.Err() != nil: // nothing has been decided
	case shutNow && !errors.Is(err, platform.ErrConfirm):
		end := ended(&shutError{err})
		end.CallerPID = in.b.Caller.PID
		end.pauseAfter(before, in.b.Now())
		writeRecord(ctx, in.b, promptName, end)
	case err != nil && !shutNow && before.Code != "": // the service has failed, and the person has not decided
		writeRecord(ctx, in.b, promptName, before)
	default:
		in.b.Records.Delete(ctx, promptName)
	}
	if shutNow {
		err = &shutError{err}
	}
	return err
}

// awaitPrompt takes the lock of the keychain's prompt, and tells the person after a while what it waits for.
func (in *signIn) awaitPrompt(ctx context.Context) (release func(), err error) {
	limited, cancel := context.WithTimeout(ctx, signInLimit)
	defer cancel()
	if in.b.Tell != nil {
		defer time.AfterFunc(tellAfter, func() {
			in.b.Tell("Waiting for the keychain, which asks in a window for another command; press Ctrl-C to give up.")
		}).Stop()
	}
	release, err = in.b.Locks.Lock(limited, promptName)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("the keychain's prompt of another process has not ended within %v", signInLimit)
	}
	return release, err
}

// promptPause is the time before which no tool's call has the person unlock the keychain, and why; the error is nil if there is no
// cool-down. how is how the person may be asked.
func promptPause(ctx context.Context, b *Broker, how Permission) (until time.Time, why error) {
	before := readRecord(ctx, b, promptName)
	if before.mayAskAgain(b.Caller, how) {
		return time.Time{}, nil
	}
	if until, why = before.coolDown(b.Now()); why != nil {
		why = errShut // also if another prompt has begun and was abandoned
	}
	return until, why
}

// pauseAfter begins the cool-down after a refusal. Each in a row doubles it.
func (r *record) pauseAfter(before record, now time.Time) {
	pause := coolDownFirst << max(0, min(before.Refusals, 6))
	r.Refusals = before.Refusals + 1
	r.Until = now.UTC().Add(min(pause, coolDownMost))
}
