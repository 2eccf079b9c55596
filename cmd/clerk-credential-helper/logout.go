package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/platform"
)

type logoutCommand struct {
	All  bool `help:"Every profile, with a line for each."`
	JSON bool `help:"With --all: print JSON."`

	Target string `arg:"" optional:"" name:"profile|url" help:"The profile, or a URL or host of it; not needed if there is only one."`
}

// Run forgets the session and says what Clerk did, and until when an issued token still works.
func (c logoutCommand) Run(ctx context.Context, sys *system) error {
	switch {
	case c.All && c.Target != "":
		return &usageError{errors.New("--all means every profile: name none")}
	case c.JSON && !c.All:
		return &usageError{errors.New("--json goes with --all")}
	case c.All:
		return c.all(ctx, sys)
	}
	b, p, err := sys.openProfile(c.Target)
	if err != nil {
		return err
	}
	out, err := b.Logout(ctx, p)
	if err != nil {
		return err
	}
	s := out.Session
	if p.IsMachine && p.InJob == "" {
		sys.console().Tell(fmt.Sprintf("%s is a machine's: the token that was kept is gone, and the machine's secret key mints another for the next tool", p.Name))
		return nil
	}
	if out.Damaged {
		sys.console().Tell(fmt.Sprintf("signed out of %s; its session was damaged, and is removed: no grant was revoked", p.Name))
		return out.LivesOn(p)
	}
	if s.Token(p) == "" && s.RefreshToken == "" {
		sys.console().Tell(fmt.Sprintf("not signed in to %s", p.Name))
		return out.LivesOn(p)
	}
	place := "this machine"
	if out.Unseen != nil {
		place = "the " + out.Unseen.Store
	}
	sys.console().Tell(fmt.Sprintf("signed out of %s%s; the session is gone from %s", p.Name, inBrackets(s.Account()), place))
	if other := out.Other; other.Token(p) != "" || other.RefreshToken != "" {
		sys.console().Tell(fmt.Sprintf("another session of %s%s was kept in the kernel keyring, and is gone too", p.Name, inBrackets(other.Account())))
	}
	switch {
	case out.Revoked:
		sys.console().Tell(revoker(p) + " has revoked the refresh token")
	case errors.Is(out.RevokeErr, clerk.ErrNoStore):
		sys.console().Warn(errors.New("the refresh token was not revoked: "+out.RevokeErr.Error()), "sign out in the web app at "+p.Issuer)
	case out.RevokeErr != nil:
		sys.console().Warn(fmt.Errorf("%s could not be asked to revoke the refresh token: %w", revoker(p), out.RevokeErr), "")
	case s.Given:
		sys.console().Tell("the token was given by login --with-token and was not revoked: anyone who has it can use it")
	}
	if until := aliveUntil(s); !until.IsZero() {
		sys.console().Tell(fmt.Sprintf("the last token is a JWT, which cannot be revoked: servers accept it until %s", until.Local().Format(time.DateTime)))
	}
	return out.LivesOn(p)
}

// revoker names who revokes a grant of p.
func revoker(p *config.Profile) string {
	if p.Companion {
		return "the companion page"
	}
	return "Clerk"
}

func inBrackets(account string) string {
	if account == "" {
		return ""
	}
	return " (" + account + ")"
}

// aliveUntil is until when servers accept the last token of a session, whatever is revoked. Zero is for no such token.
func aliveUntil(s broker.Session) time.Time {
	if s.Kind == "jwt" && s.Left(time.Now()) > 0 {
		return s.ExpiresAt
	}
	return time.Time{}
}

// signedOut is what became of one profile.
type signedOut struct {
	Profile string `json:"profile"`
	// Outcome is "revoked"; "unknown" if the session is gone here but Clerk may not know; "forgotten" if there was no
	// grant; "nothing" if there was no session; or "failed" if the session is still here, or where it might be could
	// not be looked at.
	Outcome string `json:"outcome"`
	Account string `json:"account,omitempty"`
	// Accepted is until when servers accept the last token, a JWT.
	Accepted time.Time `json:"accepted_until,omitzero"`
	// Injected is the variable that still brings a token.
	Injected string `json:"injected,omitempty"`
	Error    string `json:"error,omitempty"`

	machine bool
	damaged bool // what was removed could not be read
	unasked bool // the companion page has no store to revoke anything in
}

// all signs out of every profile. One that fails does not keep the others.
func (c logoutCommand) all(ctx context.Context, sys *system) error {
	cfg, err := sys.config()
	if err != nil {
		return err
	}
	b, err := sys.broker(cfg)
	if err != nil {
		return err
	}
	all := []signedOut{}
	failed := 0
	for _, p := range cfg.Profiles {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		out, err := b.Logout(ctx, p)
		err = errors.Join(err, out.LivesOn(p))
		o := signOutcome(p, out, err)
		_, o.Injected, _ = b.Injected(ctx, p)   // what is wrong with it is no business of a logout
		if errors.Is(err, platform.ErrLocked) { // one prompt for all
			b.Person = broker.NoPerson{Reason: err}
		}
		if o.Outcome == "failed" {
			failed++
		}
		if !c.JSON { // a slow issuer does not hide what is done
			console.Fact(sys.stdout, o.Outcome, o.words())
		}
		all = append(all, o)
	}
	if c.JSON {
		if err := sys.console().JSON(newLogoutReport(all)); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d profiles could not be signed out of", failed, len(all))
	}
	return nil
}

func signOutcome(p *config.Profile, out broker.SignOut, err error) signedOut {
	s := out.Session
	o := signedOut{Profile: p.Name, Account: s.Account(), Accepted: aliveUntil(s), machine: p.IsMachine && p.InJob == ""}
	switch {
	case err != nil && out.Revoked:
		o.Outcome, o.Error = "failed", "signed out in the "+out.Unseen.Store+", and "+revoker(p)+" has revoked that grant; "+err.Error()
	case err != nil && out.RevokeErr != nil:
		o.Outcome, o.Error = "failed", "signed out in the "+out.Unseen.Store+"; "+revoker(p)+" could not be asked to revoke that grant: "+out.RevokeErr.Error()+"; "+err.Error()
	case err != nil:
		o.Outcome, o.Error = "failed", err.Error()
	case out.Revoked:
		o.Outcome = "revoked"
	case out.RevokeErr != nil:
		o.Outcome, o.Error = "unknown", out.RevokeErr.Error()
		o.unasked = errors.Is(out.RevokeErr, clerk.ErrNoStore)
	case s.Token(p) != "", out.Damaged:
		o.Outcome, o.damaged = "forgotten", out.Damaged
	default:
		o.Outcome = "nothing"
	}
	return o
}

func (o signedOut) words() string {
	text := o.Profile + inBrackets(o.Account)
	switch o.Outcome {
	case "revoked":
		text += ": signed out, and Clerk has revoked the grant"
	case "unknown":
		text += ": signed out here; Clerk could not be asked to revoke the grant: " + o.Error
		if o.unasked {
			text = o.Profile + inBrackets(o.Account) + ": signed out here; the grant was not revoked: " + o.Error
		}
	case "forgotten":
		if o.machine {
			text += ": the token that was kept is gone, and the machine's secret key mints another for the next tool"
			break
		}
		text += ": signed out; there was no grant to revoke"
		if o.damaged {
			text = o.Profile + ": signed out; its session was damaged, and is removed: no grant was revoked"
		}
	case "nothing":
		text += ": there was no session"
	default:
		text += ": " + o.Error
	}
	if !o.Accepted.IsZero() {
		text += "; servers accept its last token, a JWT, until " + o.Accepted.Local().Format(time.DateTime)
	}
	if o.Injected != "" {
		text += "; " + o.Injected + " goes on bringing a token"
	}
	return text
}
