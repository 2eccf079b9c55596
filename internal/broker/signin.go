package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

const (
	// signInLimit bounds the wait for the sign-in of another process. It is longer than a person has for one.
	signInLimit = 6 * time.Minute
	// revokeLimit bounds the revocation of a grant that is not needed.
	revokeLimit = 5 * time.Second
	// waitingAfter is when the person is told that we wait for another sign-in.
	waitingAfter = 3 * time.Second
	// tellAfter is when the person is told that we wait for the issuer, or for a process that does.
	tellAfter = 2 * time.Second
)

// ErrSignedOut is why no tool's call asks the person after a logout.
var ErrSignedOut = errors.New("you signed out of it")

// ErrLegacyPage is why no tool's call opens a page of the original kind: any page of the web could answer it.
var ErrLegacyPage = errors.New("its legacy_page works only with login")

// ErrAbandoned is the cause of a context that ends because the caller has gone. No end is recorded then, as if the holder of
// the sign-in lock had been killed, so the next process that waits asks the person itself.
var ErrAbandoned = errors.New("the caller has gone")

// errGiven means that the person has handed us a token while a tool's page was open. That token is the one that they want.
var errGiven = errors.New("a token was given meanwhile")

// Login asks the person to sign in by one of the flows, tried in that order, even if there is a session, a logout or a
// cool-down. Any account may sign in. The errors are [*SignInError], and one for a machine profile.
func (b *Broker) Login(ctx context.Context, p *config.Profile, flows ...clerk.Flow) (Session, error) {
	if p.IsMachine {
		return Session{}, machineSignIn(p)
	}
	if err := b.Config.Policy.CheckSource(config.SourceSession); err != nil {
		return Session{}, err
	}
	in := signIn{slot: b.slot(p), began: b.Now(), how: Permission{Flows: flows}}
	return in.run(ctx)
}

// signIn is one sign-in to a profile, from the wait for its turn to the session.
type signIn struct {
	slot
	began time.Time // of the call: how a sign-in ended after that is shared
	how   Permission
	// onDemand is set if a tool needs the sign-in. A login, which the person asked for, ignores the previous session, a logout
	// and the cool-down, and accepts any account.
	onDemand bool

	// These are known when it has its turn.
	last   Session   // the previous session
	before record    // how the previous sign-in ended; empty if this one is not on demand
	asked  time.Time // when the person was asked
	opened bool      // whether a page was opened, or could have been
}

// run holds the sign-in lock while the person is asked, so that a thousand tools open one page. On demand, a process that
// waited for another's sign-in shares how it ended: the session, or the error, without a page of its own. A holder that was
// killed leaves no record of its end, and the next process asks.
func (in *signIn) run(ctx context.Context) (Session, error) {
	release, err := in.await(ctx)
	if err != nil {
		return Session{}, in.failure(err)
	}
	defer release()

	if in.onDemand {
		in.before = in.readRecord(ctx, "signin")
	}
	in.last, err = in.readUnlocked(ctx)
	if in.onDemand {
		if s, done, err := in.shared(ctx, err); done {
			return s, err
		}
	} else if err != nil && !errors.Is(err, errNoSession) && !errors.Is(err, ErrUnreadable) {
		return Session{}, in.failure(err)
	}
	// Without a record, a thousand processes that wait would open a thousand pages, one after the other.
	now := record{Code: asking, By: in.b.Caller.Name, Refusals: in.before.Refusals, Until: in.before.Until}
	if err := errors.Join(in.writeRecord(ctx, "signin", now), in.notePage(ctx)); err != nil && in.onDemand {
		return Session{}, in.failure(err)
	}
	s, err := in.ask(ctx)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrAbandoned) {
		err = cause
	}
	in.leaveRecord(ctx, err)
	if err != nil {
		return Session{}, in.failure(err)
	}
	in.trace("signed in as %q, %s", s.Account(), s.goodUntil())
	if s.BelowMinTTL(in.p) {
		in.trace("min_ttl is %v, and a token lives for %v only", in.p.MinTTL, s.Life())
	}
	return s, nil
}

// failure is err as the error of a sign-in.
func (in *signIn) failure(err error) error {
	var named record
	switch named.pauseFor(err, in.b.Now()); {
	case errors.Is(err, context.Canceled):
		err = ErrCancelled
	case !named.Retry.IsZero():
		err = fmt.Errorf("%w; %s", err, notBefore(named.Retry))
	case codeOf(err) == network:
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return &SignInError{in.p.Name, err}
}

// await takes the sign-in lock, and tells the person after a while what it waits for. The holder may be stopped (Ctrl-Z), so
// the wait ends when no sign-in could take longer.
func (in *signIn) await(ctx context.Context) (release func(), err error) {
	limited, cancel := context.WithTimeout(ctx, signInLimit)
	defer cancel()
	timer := time.AfterFunc(waitingAfter, func() {
		in.b.Person.SayWaiting(in.p, in.readRecord(ctx, "signin").By)
	})
	defer timer.Stop()
	release, err = in.b.Locks.Lock(limited, in.name("signin"))
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("the sign-in of another process has not ended within %v", signInLimit)
	}
	return release, err
}

// readUnlocked reads the session, and has the person unlock the keychain if it is locked. Where the keychain has an access
// confirmed, a no is about the profile, and ends as that of a sign-in does.
func (in *signIn) readUnlocked(ctx context.Context) (s Session, err error) {
	read := func() error {
		s, err = in.read(ctx)
		return err
	}
	if !errors.Is(read(), platform.ErrLocked) {
		return s, err
	}
	if err := in.told(in.before); err != nil {
		return Session{}, err
	}
	err = in.unlocked(ctx, read)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrAbandoned) {
		err = cause
	}
	if code := codeOf(err); code == cancelled || code == shut && errors.Is(err, platform.ErrConfirm) {
		in.leaveRecord(ctx, err)
	}
	return s, err
}

// items are the names of what a keychain keeps for the profile.
func (in *signIn) items() []string {
	return []string{KeychainItem(in.p), in.name("mark"), in.name("probe")}
}

// told returns how the sign-in, or the keychain's prompt, ended that a tool has waited for, or that began the cool-down; nil if
// the person may be asked. The cool-down is checked again: its record may not have been on the disk yet when we began.
func (in *signIn) told(before record) error {
	if before.err() != nil && (before.At.After(in.began) || before.Until.After(in.b.Now()) && !before.mayAskAgain(in.b.Caller, in.how)) {
		in.trace("what was waited for failed: %s", before.Code)
		return before.err()
	}
	return nil
}

// shared is what a tool gets without a page when it has its turn: the result of another process's sign-in, or of a session
// that was in a locked keychain. readErr is why in.last could not be read; done is false if the person has to be asked.
func (in *signIn) shared(ctx context.Context, readErr error) (s Session, done bool, err error) {
	now := in.b.Now()
	switch {
	case errors.Is(readErr, errNoSession):
	case readErr != nil:
		return Session{}, true, in.failure(readErr)
	case in.last.good(in.p, now):
		in.trace("signed in by another process meanwhile")
		return in.last, true, nil
	case in.last.SignedOut:
		return Session{}, true, &NeedsSignInError{Profile: in.p.Name, Reason: ErrSignedOut}
	}
	if err := in.told(in.before); err != nil {
		return Session{}, true, in.failure(err)
	}
	plan := Plan{Profile: in.p, Session: in.last, began: in.began}
	if readErr != nil || !in.planSession(ctx, &plan, now) {
		return Session{}, false, nil
	}
	// The keychain was locked when the plan was made.
	if plan.Next != NextRefresh {
		s, err = in.b.Execute(ctx, plan)
		return s, true, err
	}
	s, err = refresh{slot: in.slot, session: in.last, began: in.began}.run(ctx)
	return s, !isOver(err), err
}

// ask has the person sign in by the first flow that works, and keeps the session. The keychain is tried before, so that the
// person is never asked for a session that cannot be kept.
func (in *signIn) ask(ctx context.Context) (Session, error) {
	err := in.probe(ctx)
	if errors.Is(err, platform.ErrLocked) { // the session is in another one, or was never there
		err = in.unlocked(ctx, func() error { return in.probe(ctx) })
	}
	if err != nil {
		return Session{}, err
	}
	in.asked = in.b.Now()
	in.trace("asking the person to sign in")
	issuer, err := in.b.Issuer(in.p)
	if err != nil {
		return Session{}, err
	}
	attempt, err := issuer.Begin(ctx, in.p, in.how.Flows...)
	if err != nil {
		return Session{}, err
	}
	defer attempt.Close()
	for {
		s, err := in.by(ctx, attempt)
		if !errors.Is(err, clerk.ErrOtherFlow) {
			return s, err
		}
		in.b.trace("the flow %q: %v", attempt.Invitation().Flow, err)
		switch next := attempt.Next(ctx); {
		case errors.Is(next, clerk.ErrOtherFlow):
			return Session{}, err
		case next != nil:
			return Session{}, next
		}
	}
}

// The size of a session's item if there has been none, in bytes. An access token of Clerk has 700 to 1,000, an ID token as many,
// and custom claims add to both.
const (
	accessSize = 2000
	idSize     = 3500 // with token = "id"
)

// room is how much more the new session may need than the previous one, in bytes. A new session is about as large as the previous
// one, in whose place it is written.
func (in *signIn) room() int {
	need := accessSize
	if in.p.Token == "id" {
		need = idSize
	}
	if in.last.Version == 0 { // there is none
		return need
	}
	text, err := json.Marshal(in.last)
	if err != nil {
		return need
	}
	return max(0, need-len(text))
}

// probe checks that the keychain stores, returns and deletes an item, and has room for the new session.
func (in *signIn) probe(ctx context.Context) error {
	const short = "probe"
	text := short + strings.Repeat(".", in.room())
	_, err := platform.Probe(ctx, in.b.Keychain, in.name("probe"), text)
	if err == nil {
		return nil
	}
	if len(text) > len(short) && errors.Is(err, platform.ErrNotStored) && !errors.Is(err, platform.ErrLocked) {
		if _, small := platform.Probe(ctx, in.b.Keychain, in.name("probe"), short); small == nil {
			return fmt.Errorf("%w: it has no room for another session: %w", errKeychain, err)
		}
	}
	return fmt.Errorf("%w: %w", errKeychain, err)
}

// by has the person sign in by the attempt's current flow. The browser says "signed in" only after the session is written.
func (in *signIn) by(ctx context.Context, attempt Attempt) (Session, error) {
	in.opened = true
	invitation := attempt.Invitation()
	leave, err := clerk.InviteDuring(ctx, func(ctx context.Context) error {
		return in.b.Person.Invite(ctx, in.p, invitation)
	}, attempt.Wait)
	defer leave()
	if err != nil {
		return Session{}, err
	}
	var s Session
	t, err := attempt.Redeem(ctx)
	if err == nil {
		s, err = in.accept(ctx, t)
	}
	attempt.Finish(ctx, err)
	if err != nil {
		in.revoke(ctx, t.RefreshToken)
	}
	return s, err
}

// accept keeps the tokens of a sign-in as a session, if the account may be kept, and revokes the grant that they replace.
func (in *signIn) accept(ctx context.Context, t clerk.Tokens) (Session, error) {
	if in.onDemand && in.last.Subject != "" && in.last.Subject != t.Subject {
		return Session{}, ErrOtherAccount
	}
	if t.Unproven {
		if err := in.b.Person.Confirm(ctx, in.p, t, in.last.Subject); err != nil {
			return Session{}, err
		}
	}
	s := newSession(in.p, t)
	replaced, err := in.keep(ctx, s)
	if errors.Is(err, errGiven) {
		in.revoke(ctx, t.RefreshToken)
		return in.read(ctx)
	}
	if err != nil {
		return Session{}, err
	}
	for _, token := range replaced {
		if token != s.RefreshToken {
			in.revoke(ctx, token)
		}
	}
	return s, nil
}

// keep writes the new session under the session lock, so that no refresh of the previous one overwrites it, and returns the
// refresh tokens that it replaces. If the person has handed us a token since a tool's page was opened, that stays, and the
// error is errGiven.
func (in *signIn) keep(ctx context.Context, s Session) (replaced []string, err error) {
	release, err := in.lock(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer release()
	old, err := in.read(ctx)
	if err == nil {
		if in.onDemand && old.Given && old.good(in.p, in.b.Now()) && !old.ReceivedAt.Before(in.asked) {
			return nil, errGiven
		}
		replaced = append(replaced, old.RefreshToken)
	}
	if other, err := in.readBeside(ctx); err == nil && !other.same(old) {
		replaced = append(replaced, other.RefreshToken)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// A keychain may write after we have given up, and then the grant of the session that it has would be revoked.
	return replaced, in.write(context.WithoutCancel(ctx), s)
}

// tellWaiting tells the person after a while that the issuer is waited for, unless stop is called before.
func (sl slot) tellWaiting() (stop func()) {
	issuer, err := url.Parse(sl.p.Issuer)
	if err != nil || sl.b.Tell == nil {
		return func() {}
	}
	timer := time.AfterFunc(tellAfter, func() { sl.b.Tell(clerk.Waiting(issuer.Host)) })
	return func() { timer.Stop() }
}

// revoke ends a grant that is not kept, even if ctx has ended. An error is only traced.
func (sl slot) revoke(ctx context.Context, refreshToken string) {
	if refreshToken == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeLimit)
	defer cancel()
	issuer, err := sl.b.Issuer(sl.p)
	if err == nil {
		err = issuer.Revoke(ctx, sl.p, refreshToken)
	}
	if err != nil {
		sl.trace("a grant that is not needed could not be revoked: %v", err)
	}
}

// leaveRecord records how the sign-in ended. A refusal, a timeout or an error of the issuer begins a cool-down, because each
// further sign-in would open a page. So does an issuer that names a pause, even before a page was opened. On demand, the
// previous cool-down stays as it was after Ctrl-C, without a network, or if the keychain fails. A login ends it, unless the
// login begins another.
func (in *signIn) leaveRecord(ctx context.Context, err error) {
	ctx = context.WithoutCancel(ctx)
	end := ended(err)
	end.Refusals, end.Until, end.CallerPID = in.before.Refusals, in.before.Until, in.b.Caller.PID
	refusal := Refusal(err)
	switch {
	case refusal != nil && !refusal.Lasting() && !in.opened: // another request costs no page
	case end.Code == ok:
		end.Refusals, end.Until = 0, time.Time{}
		in.b.Records.Delete(ctx, in.name("refresh")) // it was about the previous session
	case end.Code == shut && !errors.Is(err, platform.ErrConfirm): // its cool-down is the keychain's
	case slices.Contains([]code{denied, timeout, refused, unfit, otherUser, shut}, end.Code):
		end.pauseAfter(in.before, in.b.Now())
	}
	if end.pauseFor(err, in.b.Now()); end.Retry.After(end.Until) {
		end.Until = end.Retry
	}
	in.writeRecord(ctx, "signin", end)
}
