package main

import (
	"context"
	"errors"
	"fmt"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/platform"
)

// checkState is the issuer's answer about the token that a tool would get.
type checkState string

const (
	checkAccepted    checkState = "accepted"
	checkRefused     checkState = "refused"
	checkUnreachable checkState = "not reachable" // or without an answer that can be used
	checkNotTold     checkState = "not told"      // the issuer gives no information about tokens of this kind
	checkNoToken     checkState = "no token"      // a machine's, which is not minted for a question
	checkSignIn      checkState = "needs a sign-in"
	checkUnknown     checkState = "unknown" // the keychain does not say
)

// errAsksNoPerson is why --check does not ask the person to sign in.
var errAsksNoPerson = errors.New("status --check asks no person")

// askIssuer asks the issuer about the token that a tool would get. A session is refreshed first if its token is not good
// any more, as a tool would have it; a machine's token is never minted, since each costs money.
func askIssuer(ctx context.Context, b *broker.Broker, p *config.Profile) (checkState, string) {
	quiet := *b
	quiet.Person = broker.NoPerson{Reason: errAsksNoPerson}
	plan := quiet.Plan(ctx, p)
	s, err := plan.Session, error(nil)
	switch {
	case plan.Next != broker.NextMint:
		s, err = quiet.Execute(ctx, plan)
	case !s.Live(p, b.Now()):
		return checkNoToken, "one is minted when a tool asks"
	}
	var needs *broker.NeedsSignInError
	var failed *broker.RefreshError
	switch {
	case errors.As(err, &needs) && errors.Is(err, errAsksNoPerson):
		return checkSignIn, ""
	case errors.As(err, &needs):
		return checkSignIn, needs.Reason.Error()
	case errors.As(err, &failed) && broker.CannotRefresh(err):
		return checkSignIn, failed.Err.Error()
	case errors.As(err, &failed):
		return checkUnreachable, err.Error()
	case errors.Is(err, platform.ErrLocked), errors.Is(err, platform.ErrUnavailable), errors.Is(err, broker.ErrUnreadable):
		return checkUnknown, err.Error()
	case err != nil: // a token of the environment or of a machine that is no good
		return checkRefused, err.Error()
	}
	limited, cancel := context.WithTimeout(ctx, doctor.Limit)
	defer cancel()
	of, err := checkToken(limited, b, p, s.Token(p))
	switch {
	case errors.Is(err, clerk.ErrRefused):
		return checkRefused, err.Error()
	case errors.Is(err, clerk.ErrNotTold):
		return checkNotTold, err.Error()
	case err != nil:
		return checkUnreachable, err.Error()
	case s.Subject != "" && s.Subject != of.Subject:
		return checkRefused, "the issuer names another account"
	}
	return checkAccepted, ""
}

func checkToken(ctx context.Context, b *broker.Broker, p *config.Profile, token string) (clerk.Verdict, error) {
	issuer, err := b.Issuer(p)
	if err != nil {
		return clerk.Verdict{}, err
	}
	return issuer.CheckToken(ctx, p, token)
}

// checkError returns what the exit status says: 4 if only a sign-in is missing; 1 if an issuer does not answer, or if a
// token that no sign-in replaces is refused. A token of which the issuer says nothing, and one that is not minted yet, count
// as good.
func checkError(all []profileStatus) error {
	failed := 0
	missing := ""
	for _, s := range all {
		session := s.Injected == "" && s.State != "machine"
		switch {
		case s.Check == checkSignIn, s.Check == checkRefused && session:
			missing = s.Profile
		case s.Check == checkRefused, s.Check == checkUnreachable, s.Check == checkUnknown:
			failed++
		}
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%d of %d profiles failed the check", failed, len(all))
	case missing != "":
		return &broker.NeedsSignInError{Profile: missing, Reason: errAsksNoPerson}
	}
	return nil
}
