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

// checkLimit bounds the question to the issuer about a token, which can be kept without an answer.
const checkLimit = 10 * time.Second

// TokenLogin is a session made of a token that a person has handed to us.
type TokenLogin struct {
	Session
	// Unchecked is why the issuer has not verified the token, nil if it has.
	Unchecked error
}

// ErrWouldReplaceSession means that the token is unverified and would replace a session that can be refreshed, which may be
// worth more. After a logout such a token is kept.
var ErrWouldReplaceSession = errors.New("nobody vouched for the token, and it would end a session that can be refreshed: nothing was changed")

// errOwnToken is a token that came out of the session which it should replace.
var errOwnToken = errors.New("the token is the one of this session, which can be refreshed: nothing was changed")

// LoginWithToken keeps a token that a person has handed to us in the place of the session, and revokes the grant of that.
// It cannot be refreshed. One whose end is not known stays until a server refuses it, or a logout. The issuer is asked
// whose it is; one that refuses it keeps it out, and so does one that says nothing if there is a session to lose.
func (b *Broker) LoginWithToken(ctx context.Context, p *config.Profile, token string) (TokenLogin, error) {
	if p.IsMachine {
		return TokenLogin{}, machineSignIn(p)
	}
	s, err := CheckInjected(p, token, b.Now())
	if err != nil {
		return TokenLogin{}, fmt.Errorf("the token %w", err)
	}
	issuer, unchecked := b.Issuer(p)
	var of clerk.Verdict
	if unchecked == nil {
		limited, cancel := context.WithTimeout(ctx, checkLimit)
		defer cancel()
		of, unchecked = issuer.CheckToken(limited, p, token)
	}
	switch {
	case ctx.Err() != nil:
		return TokenLogin{}, ctx.Err()
	case errors.Is(unchecked, clerk.ErrRefused):
		return TokenLogin{}, fmt.Errorf("the token was not kept: %w", unchecked)
	case unchecked == nil && s.Subject != "" && of.Subject != s.Subject:
		return TokenLogin{}, errors.New("the token was not kept: the issuer says that it is another account's than the one it names")
	case unchecked == nil:
		s.Subject, s.Email = of.Subject, of.Email
	}
	s.Given = true
	in := signIn{slot: b.slot(p)}
	if err := in.unlock(ctx); err != nil {
		return TokenLogin{}, err
	}
	if old, err := in.read(ctx); err == nil && old.RefreshToken != "" {
		switch {
		case equal(old.Token(p), token): // to revoke its grant could end the token
			return TokenLogin{}, errOwnToken
		case unchecked != nil:
			return TokenLogin{}, fmt.Errorf("%w (%w)", ErrWouldReplaceSession, unchecked)
		}
	}
	replaced, err := in.keep(ctx, s)
	if err != nil {
		return TokenLogin{}, err
	}
	in.revoke(ctx, replaced)
	in.leaveRecord(ctx, nil)
	in.trace("keeps a token that was given, of %q, %s", s.Account(), s.goodUntil())
	return TokenLogin{s, unchecked}, nil
}

// unlock has the person unlock the keychain if it is locked and they may be asked.
func (in *signIn) unlock(ctx context.Context) error {
	if _, err := in.read(ctx); !errors.Is(err, platform.ErrLocked) {
		return nil // the write says what is wrong
	}
	if _, err := in.b.Person.MayAsk(in.p); err != nil {
		return nil
	}
	release, err := in.await(ctx)
	if err != nil {
		return err
	}
	defer release()
	return in.b.Person.Unlock(ctx)
}
