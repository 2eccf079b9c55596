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

// checkLimit bounds the issuer's check of a token. Without an answer the token can still be kept.
const checkLimit = 10 * time.Second

// TokenLogin is a session made of a token that a person has handed to us.
type TokenLogin struct {
	Session
	// Unchecked is why the issuer has not verified the token, nil if it has.
	Unchecked error
}

// ErrWouldReplaceSession means that the token is unverified and would replace a session that can be refreshed, which may be
// worth more. After a logout such a token is kept.
var ErrWouldReplaceSession = errors.New("the token is unverified, and would replace a session that can be refreshed: nothing was changed")

// errOwnToken means that the token is already the one of the session that it would replace.
var errOwnToken = errors.New("the token is the one of this session, which can be refreshed: nothing was changed")

// LoginWithToken replaces the session by a token that a person has handed to us, and revokes the previous session's grant.
// The token cannot be refreshed. If its end is not known, it stays until a server refuses it or until a logout. The issuer
// is asked whose token it is. A token that the issuer refuses is not kept, and one that it cannot verify is not kept in
// place of a session that can be refreshed (ErrWouldReplaceSession).
func (b *Broker) LoginWithToken(ctx context.Context, p *config.Profile, token string) (TokenLogin, error) {
	if p.IsMachine {
		return TokenLogin{}, machineSignIn(p)
	}
	if err := cmp.Or(b.Config.Policy.CheckWithToken(), b.Config.Policy.CheckSource(config.SourceSession)); err != nil {
		return TokenLogin{}, err
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
		return TokenLogin{}, errors.New("the token was not kept: the issuer says that it belongs to another account than the one it names")
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
		case equal(old.Token(p), token): // revoking its grant could end the token
			return TokenLogin{}, errOwnToken
		case unchecked != nil:
			return TokenLogin{}, fmt.Errorf("%w (%w)", ErrWouldReplaceSession, unchecked)
		}
	}
	replaced, err := in.keep(ctx, s)
	if err != nil {
		return TokenLogin{}, err
	}
	for _, old := range replaced {
		in.revoke(ctx, old)
	}
	in.leaveRecord(ctx, nil)
	in.trace("keeps the token that was given, of %q, %s", s.Account(), s.goodUntil())
	return TokenLogin{s, unchecked}, nil
}

// unlock has the person unlock the keychain if it is locked and the person may be asked. What else is wrong with the session is
// left to the write.
func (in *signIn) unlock(ctx context.Context) error {
	locked := func() error {
		if _, err := in.read(ctx); errors.Is(err, platform.ErrLocked) {
			return err
		}
		return nil
	}
	if locked() == nil {
		return nil
	}
	if _, err := in.b.Person.MayAsk(in.p); err != nil {
		return nil
	}
	return in.unlocked(ctx, locked)
}
