package doctor

import (
	"context"
	"errors"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// TokenState is the issuer's answer about the token that a tool would get. "status --check --json" prints it.
type TokenState string

const (
	TokenAccepted    TokenState = "accepted"
	TokenRefused     TokenState = "refused"
	TokenUnchecked   TokenState = "not reachable" // the issuer is not, or its answer cannot be used
	TokenNotTold     TokenState = "not told"      // the issuer gives no information about tokens of this kind
	TokenNeedsSignIn TokenState = "needs a sign-in"
	TokenUnknown     TokenState = "unknown" // the keychain does not say
)

// ErrNotAsked is why CheckToken does not ask the user to sign in.
var ErrNotAsked = errors.New("status --check asks no person")

// CheckToken asks the issuer about the token that a tool would get; detail says why, where the state alone does not. A
// session is refreshed first if its token is not good any more, as a tool would have it, and once if the issuer refuses
// its token and that is not fresh; that of a companion page always, since its grant can end before its token. A machine's
// token is minted only if none is kept that lives, since each costs money. The request about the token is limited by Limit, a
// refresh as for a tool.
func CheckToken(ctx context.Context, b *broker.Broker, p *config.Profile) (state TokenState, detail string) {
	quiet := *b
	quiet.Person = broker.NoPerson{Reason: ErrNotAsked}
	plan := quiet.Plan(ctx, p)
	state, detail = checkPlan(ctx, &quiet, plan)
	if state == TokenRefused && plan.Source == broker.SourceKeychain {
		if other := quiet.PlanRejected(ctx, plan); other.Next == broker.NextRefresh {
			return checkPlan(ctx, &quiet, other)
		}
	}
	if kept := plan.Next == broker.NextAnswer && plan.Session.RefreshToken != ""; kept && p.Companion && state == TokenAccepted {
		// The token is good until it expires. Whether the grant was ended in the web app, only a refresh tells.
		if grant, why := checkPlan(ctx, &quiet, quiet.PlanFresh(ctx, p)); grant == TokenNeedsSignIn {
			return grant, why
		}
	}
	return state, detail
}

// checkPlan asks the issuer about the token of a plan.
func checkPlan(ctx context.Context, b *broker.Broker, plan broker.Plan) (state TokenState, detail string) {
	p, s := plan.Profile, plan.Session
	var err error
	if plan.Next != broker.NextMint || !s.Live(p, b.Now()) {
		s, err = b.Execute(ctx, plan)
	}
	var needs *broker.NeedsSignInError
	var failed *broker.RefreshError
	var mint *broker.MintError
	switch {
	case errors.As(err, &needs) && errors.Is(err, ErrNotAsked) && needs.Over != nil:
		return TokenNeedsSignIn, needs.Over.Error()
	case errors.As(err, &needs) && errors.Is(err, ErrNotAsked):
		return TokenNeedsSignIn, ""
	case errors.As(err, &needs):
		return TokenNeedsSignIn, needs.Reason.Error()
	case errors.As(err, &failed) && broker.CannotRefresh(err):
		return TokenNeedsSignIn, failed.Err.Error()
	case errors.As(err, &mint) && !mint.Refused():
		return TokenUnchecked, withHint(err)
	case errors.As(err, &failed):
		return TokenUnchecked, err.Error()
	case errors.Is(err, platform.ErrLocked), errors.Is(err, platform.ErrUnavailable), errors.Is(err, broker.ErrUnreadable):
		return TokenUnknown, err.Error()
	case err != nil: // a token of the environment or of a machine that is no good
		return TokenRefused, withHint(err)
	}
	limited, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	of, err := askIssuer(limited, b, p, s.Token(p))
	switch {
	case errors.Is(err, clerk.ErrRefused):
		return TokenRefused, err.Error()
	case errors.Is(err, clerk.ErrNotTold):
		return TokenNotTold, err.Error()
	case err != nil:
		return TokenUnchecked, err.Error()
	case s.Subject != "" && s.Subject != of.Subject:
		return TokenRefused, "the issuer names another account"
	}
	return TokenAccepted, ""
}

// withHint is an error's text with what helps.
func withHint(err error) string {
	if hint := Hint(err); hint != "" {
		return err.Error() + "; " + hint
	}
	return err.Error()
}

func askIssuer(ctx context.Context, b *broker.Broker, p *config.Profile, token string) (clerk.Verdict, error) {
	issuer, err := b.Issuer(p)
	if err != nil {
		return clerk.Verdict{}, err
	}
	return issuer.CheckToken(ctx, p, token)
}
