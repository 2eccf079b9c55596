package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// Next is what happens first when a token is asked for.
type Next string

const (
	NextAnswer  Next = "answer"  // the token is handed out as it is
	NextRefresh Next = "refresh" // the issuer is asked for a new one
	NextMint    Next = "mint"    // Clerk is asked for a machine's token, or a companion page for a CI job's
	NextAsk     Next = "ask"     // the person is asked to sign in, or to unlock the keychain
	NextNothing Next = "nothing" // a sign-in is needed, and the person may not be asked
	NextRefuse  Next = "refuse"  // there is an error that a sign-in would not fix
)

// The sources of a token that are not a variable of the environment.
const (
	SourceNone     = "none"
	SourceKeychain = "keychain"
	SourceMachine  = "machine"  // minted with the machine's secret key
	SourceExchange = "exchange" // exchanged by the companion page for the token of a CI job
)

// Plan is what happens when a token of a profile is asked for now.
type Plan struct {
	Profile *config.Profile
	// Source is where the token comes from: a variable of the environment, or one of the sources above.
	Source string
	// Session is the current one, usable or not.
	Session Session
	Next    Next
	// Why is the error of NextNothing and NextRefuse, as Token returns it. With NextAnswer it is why a token past half of its
	// life is not refreshed, with NextRefresh why the last refresh failed, with NextAsk it is platform.ErrLocked if the keychain
	// has to be unlocked. Nil otherwise.
	Why error
	// Until is the end of the pause that has led to Next: the cool-down after a sign-in, the pause after a refresh, or the
	// pause of a machine whose tokens are refused. Zero if there is none.
	Until time.Time
	// UnusedKey says that a machine's key is set for a profile for people, which does not use it; empty if there is none.
	UnusedKey string

	began time.Time  // of the call
	how   Permission // of NextAsk
	over  error      // why the session can only be replaced by a sign-in, nil if it is not known

	// rejected is set if a server has rejected the session's token, so that another one is asked for although it is
	// live. perhaps is set if that is not certain: the token is handed out if there is no other.
	rejected, perhaps bool
	// askers are those of the request, if it depends on them.
	askers askers
}

// Minted reports whether the token is one that is asked for again and again, with a machine's key or for a CI job.
func (p Plan) Minted() bool { return p.Source == SourceMachine || p.Source == SourceExchange }

// Quick reports whether Execute needs no network, no person and no lock.
func (p Plan) Quick() bool {
	return p.Next == NextAnswer || p.Next == NextNothing || p.Next == NextRefuse
}

// Plan decides what happens next for a profile. It uses neither the network nor the person and changes nothing. For a good
// token before half of its life it reads the keychain once.
func (b *Broker) Plan(ctx context.Context, p *config.Profile) Plan {
	plan := Plan{Profile: p, Source: SourceNone}
	s, source, err := b.injected(ctx, p)
	if source != "" {
		plan.Source, plan.Session = source, s
	}
	switch {
	case err != nil:
		return plan.refuse(err)
	case source != "":
		if err := b.Config.Policy.CheckSource(config.SourceEnvironment); err != nil {
			return plan.refuse(err)
		}
		plan.Next = NextAnswer
		return plan
	case p.IsMachine:
		m := b.machine(p)
		if err := b.Config.Policy.CheckSource(m.source()); err != nil {
			return plan.refuse(err)
		}
		return m.plan(ctx)
	}
	return planPerson(ctx, b, plan)
}

// planPerson plans with the session of a person, which a sign-in has brought or would bring.
func planPerson(ctx context.Context, b *Broker, plan Plan) Plan {
	p := plan.Profile
	err := b.Config.Policy.CheckSource(config.SourceSession)
	if err != nil {
		return plan.refuse(err)
	}
	plan.UnusedKey = b.machine(p).unusedKey()
	plan.began = b.Now()
	plan.Session, err = b.slot(p).read(ctx)
	switch {
	case errors.Is(err, ErrDamaged):
		b.trace("%v", err)
		plan.over = ErrDamaged
		return b.slot(p).planSignIn(ctx, plan)
	case errors.Is(err, errNoSession):
		plan.over = elsewhere(err)
		return b.slot(p).planSignIn(ctx, plan)
	case err != nil:
		return b.slot(p).planWithout(ctx, plan, err)
	}
	plan.Source = SourceKeychain
	if b.slot(p).planSession(ctx, &plan, plan.began) {
		return plan
	}
	return b.slot(p).planSignIn(ctx, plan)
}

// PlanFor decides what happens next for a get of a tool. A server may have rejected the token: then another one is
// asked for, or git gets none for a while.
func (b *Broker) PlanFor(ctx context.Context, p *config.Profile, req protocol.Request) Plan {
	if req.Tool == protocol.GitTool {
		if err := req.CheckChallenges(gitAuth(p)); err != nil {
			return Plan{Profile: p, Source: SourceNone}.refuse(err)
		}
	}
	plan := b.Plan(ctx, p)
	if req.Tool == protocol.GitTool && plan.Next == NextAnswer {
		if err := b.slot(p).paused(ctx, plan, req); err != nil {
			return plan.refuse(err)
		}
	}
	if req.Repeats {
		plan.askers = b.slot(p).readAskers(ctx)
	}
	if rejected, certain := b.slot(p).rejected(ctx, plan, req); rejected {
		plan = b.PlanRejected(ctx, plan)
		plan.perhaps = !certain
	}
	return plan
}

// PlanRejected plans after a server, or the issuer, has rejected the token of a plan: another one is asked for. The
// plan stays as it is if the token is fresh, or cannot be replaced now without a sign-in.
func (b *Broker) PlanRejected(ctx context.Context, plan Plan) Plan {
	if plan.Next != NextAnswer && plan.Next != NextRefresh || b.Now().Sub(plan.Session.ReceivedAt) < rejectionGrace {
		return plan
	}
	if other, err := b.slot(plan.Profile).another(ctx, plan); err == nil {
		return other
	}
	return plan
}

// PlanFresh plans for a token other than the one that is kept, which a server may have rejected. If only a sign-in
// brings another one, the plan is NextRefuse with an error that says so.
func (b *Broker) PlanFresh(ctx context.Context, p *config.Profile) Plan {
	plan := b.Plan(ctx, p)
	switch plan.Next {
	case NextAnswer, NextRefresh, NextMint:
		other, err := b.slot(p).another(ctx, plan)
		if err != nil {
			return plan.refuse(err)
		}
		return other
	}
	return plan
}

// another makes a plan that hands out a token into one for another token. It fails if that takes a sign-in, or a pause lasts.
func (sl slot) another(ctx context.Context, plan Plan) (Plan, error) {
	p := plan.Profile
	switch {
	case plan.Minted():
		plan.Next = NextMint
	case plan.Source != SourceKeychain:
		return plan, &InjectedError{plan.Source, errors.New("cannot be replaced by another one")}
	case plan.Session.RefreshToken == "":
		return plan, &NeedsSignInError{Profile: p.Name, Reason: errNoRefreshToken}
	default:
		if until, err := sl.readRecord(ctx, "refresh").wantsPause(sl.b.Now()); err != nil {
			plan.Until = until
			return plan, &RefreshError{p.Name, err}
		}
		plan.Next = NextRefresh
	}
	plan.Why, plan.rejected = nil, true
	return plan, nil
}

// errNoRefreshToken is why a token cannot be replaced.
var errNoRefreshToken = errors.New("the session has no refresh token")

func (p Plan) refuse(err error) Plan {
	p.Next, p.Why = NextRefuse, err
	return p
}

func (p Plan) nothing(err error) Plan {
	p.Next, p.Why = NextNothing, err
	return p
}

// planSession plans with the session of the keychain. It reports whether that is possible; otherwise only a sign-in helps.
func (sl slot) planSession(ctx context.Context, plan *Plan, now time.Time) bool {
	p, s := plan.Profile, plan.Session
	switch {
	case s.good(p, now) && !s.pastHalf(now), s.Live(p, now) && s.RefreshToken == "":
		plan.Next = NextAnswer
	case s.RefreshToken != "" && !s.Live(p, now) && sl.noIDToken(ctx):
		plan.over = clerk.ErrNoIDToken
		return false
	case s.RefreshToken != "":
		sl.needRefresh(ctx, plan, now)
	case s.SignedOut:
		*plan = plan.nothing(&NeedsSignInError{Profile: p.Name, Reason: ErrSignedOut})
	default:
		return false
	}
	return true
}

// planSignIn plans if only a sign-in helps.
func (sl slot) planSignIn(ctx context.Context, plan Plan) Plan {
	p := plan.Profile
	if p.LegacyPage != "" {
		return plan.nothing(&NeedsSignInError{Profile: p.Name, Reason: ErrLegacyPage})
	}
	how, err := sl.b.Person.MayAsk(p)
	if err != nil {
		return plan.nothing(&NeedsSignInError{Profile: p.Name, Reason: err, Over: plan.over})
	}
	if other := sl.b.pageOf(ctx); other != "" && other != p.Name {
		return plan.nothing(&NeedsSignInError{Profile: p.Name, Reason: fmt.Errorf("%s asks for each host that it knows, and has opened the page of %q", sl.b.Caller.Name, other)})
	}
	before := sl.readRecord(ctx, "signin")
	// A user who retries at a terminal overrides the cool-down.
	if until, why := before.coolDown(sl.b.Now()); why != nil && !before.mayAskAgain(sl.b.Caller, how) {
		plan.Until = until
		return plan.nothing(&SignInError{p.Name, why})
	}
	plan.Next, plan.how = NextAsk, how
	return plan
}

// planWithout plans if the keychain cannot be read. The person can unlock a locked one, if they may be asked.
func (sl slot) planWithout(ctx context.Context, plan Plan, err error) Plan {
	if !errors.Is(err, platform.ErrLocked) {
		return plan.refuse(err)
	}
	if _, not := sl.b.Person.MayAsk(plan.Profile); not != nil {
		return plan.refuse(err)
	}
	plan = sl.planSignIn(ctx, plan)
	if plan.Next != NextAsk {
		return plan
	}
	if until, why := promptPause(ctx, sl.b, plan.how); why != nil && !errors.Is(err, platform.ErrConfirm) {
		plan.Until = until
		return plan.nothing(&SignInError{sl.p.Name, why})
	}
	plan.Why = err
	return plan
}

// Execute carries out a plan. It returns the errors of Token.
func (b *Broker) Execute(ctx context.Context, plan Plan) (Session, error) {
	s, _, err := execute(ctx, b, plan)
	return s, err
}

// execute is Execute, and says where the token came from.
func execute(ctx context.Context, b *Broker, plan Plan) (s Session, gave string, err error) {
	p := plan.Profile
	switch plan.Next {
	case NextAnswer:
		if plan.Source == SourceKeychain || plan.Minted() {
			b.trace("profile %s: token from the keychain, %s", p.Name, plan.Session.goodUntil())
			return plan.Session, GaveKeychain, nil
		}
		return plan.Session, GaveEnvironment, nil
	case NextMint:
		gave = GaveMinted
		s, err = b.machine(p).mint(ctx, plan)
		if errors.Is(err, clerk.ErrNoExchange) {
			// A runner that keeps its home may have a session from before.
			if kept := planPerson(ctx, b, Plan{Profile: p, Source: SourceNone}); kept.Next == NextAnswer || kept.Next == NextRefresh {
				return execute(ctx, b, kept)
			}
		}
	case NextAsk:
		if plan.Why != nil {
			b.trace("profile %s: the keychain is locked", p.Name)
		} else {
			b.trace("profile %s: no session", p.Name)
		}
		gave = GaveSignedIn
		in := signIn{slot: b.slot(p), began: plan.began, how: plan.how, onDemand: true}
		s, err = in.run(ctx)
	case NextRefresh:
		gave = GaveRefreshed
		s, err = refresh{slot: b.slot(p), session: plan.Session, began: plan.began, refused: plan.rejected, perhaps: plan.perhaps}.run(ctx)
		switch {
		case isOver(err):
			switch {
			case errors.Is(err, clerk.ErrNoIDToken):
				plan.over = clerk.ErrNoIDToken
			case errors.Is(err, clerk.ErrSignedOutThere):
				plan.over = clerk.ErrSignedOutThere
			}
			return execute(ctx, b, b.slot(p).planSignIn(ctx, plan)) // which is never another refresh
		case errors.Is(err, platform.ErrLocked):
			return execute(ctx, b, b.slot(p).planWithout(ctx, plan, err))
		}
	default:
		if !plan.Until.IsZero() {
			b.trace("profile %s: paused until %s", p.Name, plan.Until.Format(time.RFC3339))
		}
		return Session{}, GaveNone, plan.Why
	}
	if s.ReceivedAt.Equal(plan.Session.ReceivedAt) || gave == GaveSignedIn && s.ReceivedAt.Before(plan.began) { // it was there before
		gave = GaveKeychain
	}
	return s, gave, err
}

// isOver reports whether an error of a refresh means that only a sign-in helps.
func isOver(err error) bool {
	return errors.Is(err, errNoSession) || errors.Is(err, clerk.ErrGrantEnded) || errors.Is(err, clerk.ErrNoIDToken)
}

// Token returns a live session of the profile: from the environment, from the keychain, refreshed, or from a sign-in. The
// errors are [*config.Error], [*InjectedError], [*NeedsSignInError], [*SignInError], [*RefreshError], [ErrUnreadable], [ErrNoMachineKey],
// platform.ErrLocked, platform.ErrUnavailable, or why a lock could not be taken or a machine's token not be minted.
func (b *Broker) Token(ctx context.Context, p *config.Profile) (Session, error) {
	return b.Execute(ctx, b.Plan(ctx, p))
}
