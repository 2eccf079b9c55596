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

// checkLimit bounds what the issuer is asked about a token: it can be kept without.
const checkLimit = 10 * time.Second

// Given is a session made of a token that a person has handed to us.
type Given struct {
	Session
	// Unchecked is why the issuer has not vouched for it, nil if it has.
	Unchecked error
}

// ErrInItsPlace is a token that nobody vouched for and that would end a session which can be refreshed: more may be lost than
// is gained. After a logout it is kept.
var ErrInItsPlace = errors.New("nobody vouched for the token, and it would end a session that can be refreshed: nothing was changed")

// errOwnToken is a token that came out of the session which it should replace.
var errOwnToken = errors.New("the token is the one of this session, which can be refreshed: nothing was changed")

// LoginWithToken keeps a token that a person has handed to us in the place of the session, and revokes the grant of that.
// It cannot be refreshed. One whose end is not known stays until a server refuses it, or a logout. The issuer is asked
// whose it is; one that refuses it keeps it out, and so does one that says nothing if there is a session to lose.
func (b *Broker) LoginWithToken(ctx context.Context, p *config.Profile, token string) (Given, error) {
	if p.Machine {
		return Given{}, machineSignIn(p)
	}
	s, err := CheckInjected(p, token, b.Now())
	if err != nil {
		return Given{}, fmt.Errorf("the token %w", err)
	}
	unchecked := errors.New("nobody was asked")
	if b.Check != nil {
		limited, cancel := context.WithTimeout(ctx, checkLimit)
		defer cancel()
		var of clerk.Verdict
		of, unchecked = b.Check(limited, p, token)
		switch {
		case ctx.Err() != nil:
			return Given{}, ctx.Err()
		case errors.Is(unchecked, clerk.ErrRefused):
			return Given{}, fmt.Errorf("the token was not kept: %w", unchecked)
		case unchecked == nil && s.Subject != "" && of.Subject != s.Subject:
			return Given{}, errors.New("the token was not kept: the issuer says that it is another account's than the one it names")
		case unchecked == nil:
			s.Subject, s.Email = of.Subject, of.Email
		}
	}
	s.Given = true
	if err := b.unlockFor(ctx, p); err != nil {
		return Given{}, err
	}
	if old, err := b.read(ctx, p); err == nil && old.RefreshToken != "" {
		switch {
		case equal(old.Token(p), token): // to revoke its grant could end the token
			return Given{}, errOwnToken
		case unchecked != nil:
			return Given{}, fmt.Errorf("%w (%w)", ErrInItsPlace, unchecked)
		}
	}
	replaced, err := b.keep(ctx, p, s, nil)
	if err != nil {
		return Given{}, err
	}
	b.revoke(ctx, p, replaced)
	b.settle(ctx, p, outcome{}, nil)
	b.trace("profile %s: keeps a token that was given, of %q, %s", p.Name, s.Account(), s.goodUntil())
	return Given{s, unchecked}, nil
}

// unlockFor has the person unlock the keychain if it must be, and if they may be asked.
func (b *Broker) unlockFor(ctx context.Context, p *config.Profile) error {
	_, err := b.read(ctx, p)
	if !errors.Is(err, platform.ErrLocked) || b.Unlock == nil || b.Ask(p) != nil {
		return nil // the write says what is wrong
	}
	release, err := b.awaitSignIn(ctx, p)
	if err != nil {
		return err
	}
	defer release()
	return b.Unlock(ctx)
}
