package broker

import (
	"context"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
)

// Person is the human being at this machine, who can be asked. For a tool, no method but SayWaiting is called before MayAsk
// has allowed it.
type Person interface {
	// MayAsk reports how the person may be asked on behalf of the profile. The error is the reason why not.
	MayAsk(p *config.Profile) (Permission, error)
	// Invite brings the person to the sign-in page; see [clerk.InviteDuring] for when it ends. If it returns
	// [clerk.ErrOtherFlow], the next flow is tried.
	Invite(ctx context.Context, p *config.Profile, i clerk.Invitation) error
	// Confirm asks whether the account that signed in is the person's own. It is called if the page could not prove that it
	// answered us. lastSubject is the subject of the profile's previous session, empty if there was none.
	Confirm(ctx context.Context, p *config.Profile, t clerk.Tokens, lastSubject string) error
	// SayWaiting tells the person, after 3 s, that we wait for the sign-in of another process, which asks for that tool.
	SayWaiting(p *config.Profile, tool string)
	// Unlock asks the person to unlock the keychain, and has a keychain that asks for each access ask for the items. The lock of
	// the keychain's prompt is held.
	Unlock(ctx context.Context, items ...string) error
}

// Permission is how a person may be asked.
type Permission struct {
	// Flows are the ways in which the person can sign in here, in the order in which they are tried.
	Flows []clerk.Flow
	// AtTerminal is set if the person waits at a terminal, and may be asked in spite of a cool-down.
	AtTerminal bool
}

// Caller is the tool that we answer.
type Caller struct {
	// Name is what processes that wait for our sign-in tell the person.
	Name string
	// PID is the calling process. After a refusal the person is not asked for the same process again, not even at a
	// terminal, because docker's classic builder calls once for each registry. Zero if unknown.
	PID int
	// OnePage is set if the tool asks for each host that it knows, as docker's classic builder does: for one process,
	// only one profile's page is opened.
	OnePage bool
}

// NoPerson is a Person who may not be asked.
type NoPerson struct{ Reason error }

func (n NoPerson) MayAsk(*config.Profile) (Permission, error) { return Permission{}, n.Reason }

func (n NoPerson) Invite(context.Context, *config.Profile, clerk.Invitation) error { return n.Reason }

func (n NoPerson) Confirm(context.Context, *config.Profile, clerk.Tokens, string) error {
	return n.Reason
}

func (n NoPerson) SayWaiting(*config.Profile, string) {}

func (n NoPerson) Unlock(context.Context, ...string) error { return n.Reason }
