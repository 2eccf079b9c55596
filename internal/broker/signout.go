package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/protocol"
)

// rejectionGrace is how long after its receipt a rejected token is kept: the server refuses the account then, and a refresh
// would not help.
const rejectionGrace = time.Minute

// reject drops the token that a server refused, if it is the one in force; an empty secret stands for any. If a refresh would
// not help, the reply has a message for the person.
func (sl slot) reject(ctx context.Context, host, secret string) (reply protocol.Reply, err error) {
	reply.Result = protocol.Done
	release, err := sl.lock(ctx)
	if err != nil {
		return reply, err
	}
	defer release()
	s, err := sl.read(ctx)
	if errors.Is(err, errNoSession) {
		return reply, nil
	}
	if err != nil {
		return reply, err
	}
	which := "the token of " + cmp.Or(s.Account(), "profile "+sl.p.Name)
	if s.Given {
		which = "the token that was given for profile " + sl.p.Name
	}
	switch {
	case s.Token(sl.p) == "", secret != "" && !equal(secret, s.Token(sl.p)):
		sl.trace("the rejected token is not the one in force")
		return reply, nil
	case sl.b.Now().Sub(s.ReceivedAt) < rejectionGrace:
		sl.trace("the rejected token is fresh and stays: the server refuses the account")
		reply.Err = fmt.Errorf("%s refused %s, which is fresh", host, which)
		reply.Hint = "ask the server's administrator whether this account may use it"
		return reply, nil
	case s.Given:
		reply.Err = fmt.Errorf("%s refused %s, and it is dropped", host, which)
		reply.Hint = "run: clerk-credential-helper login --with-token " + sl.p.Name + ", with another one"
	}
	s.AccessToken, s.IDToken, s.ExpiresAt = "", "", time.Time{}
	sl.trace("the rejected token is dropped")
	return reply, sl.write(ctx, s)
}

// SignOut is the result of a logout.
type SignOut struct {
	// Session is the one that was removed.
	Session Session
	// Revoked is set if the issuer has ended the grant. RevokeErr is why the request failed.
	Revoked   bool
	RevokeErr error
}

// logoutLimit bounds the request to the issuer. The session is removed before.
const logoutLimit = 15 * time.Second

// Logout replaces the session by "signed out", even if there was none, and asks the issuer to end the grant. For a machine
// profile it removes the kept token; the key mints another one when a tool asks.
func (b *Broker) Logout(ctx context.Context, p *config.Profile) (SignOut, error) {
	if p.IsMachine {
		s, err := b.machine(p).forget(ctx)
		return SignOut{Session: s}, err
	}
	sl := b.slot(p)
	release, err := sl.lock(ctx)
	if err != nil {
		return SignOut{}, err
	}
	defer release()
	s, err := sl.read(ctx)
	if err != nil && !errors.Is(err, errNoSession) {
		return SignOut{}, err
	}
	gone := newSession(p, clerk.Tokens{})
	gone.SignedOut = true
	if err := sl.write(ctx, gone); err != nil {
		return SignOut{}, err
	}
	out := SignOut{Session: s}
	if s.RefreshToken != "" {
		limited, cancel := context.WithTimeout(ctx, logoutLimit)
		defer cancel()
		issuer, err := b.Issuer(p)
		if err == nil {
			err = issuer.Revoke(limited, p, s.RefreshToken)
		}
		out.Revoked, out.RevokeErr = err == nil, err
	}
	return out, nil
}
