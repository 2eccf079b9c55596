// Package broker makes the one decision: a token that the environment brings, one from the keychain, a refreshed or minted
// one, one that is exchanged for a CI job's, or one from a sign-in.
//
// A [protocol.Request] comes in, is matched against the profiles of the configuration, and a [protocol.Reply] goes out.
// The session of a profile is one item of the keychain, read without a lock and written only under one. The package
// decides, and what it is given acts: it never opens a socket or a browser, its only files are the history and the last
// failures, and it hands a token only to the hosts that the configuration names.
package broker

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// Keychain keeps secrets by name. Get and Delete return platform.ErrNotFound for a missing item, and all methods
// platform.ErrLocked while the store is locked. No call raises a prompt.
type Keychain interface {
	Get(ctx context.Context, name string) (string, error)
	Set(ctx context.Context, name, secret string) error
	Delete(ctx context.Context, name string) error
}

// Labeller is a [Keychain] whose items may have a label, by which people know them in the keychain's own program.
type Labeller interface {
	SetLabelled(ctx context.Context, name, label, secret string) error
}

var _ Labeller = (*platform.Keychain)(nil)

// describe names a keychain for people, if it has a name.
func describe(k Keychain) string {
	if k, ok := k.(interface{ Describe() string }); ok {
		return k.Describe()
	}
	return "keychain"
}

// setItem keeps v as JSON in an item, with a label if the keychain has such.
func setItem(ctx context.Context, k Keychain, name, label string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if k, ok := k.(Labeller); ok {
		return k.SetLabelled(ctx, name, label, string(text))
	}
	return k.Set(ctx, name, string(text))
}

// Locker takes named locks that exclude every other process of this user. When a holder dies, its lock is free.
type Locker interface {
	Lock(ctx context.Context, name string) (release func(), err error)
	TryLock(name string) (release func(), ok bool, err error)
}

// Records keeps small texts by name, for other processes. None of them is secret. Get returns platform.ErrNotFound for a
// missing one.
type Records interface {
	Get(ctx context.Context, name string) (string, error)
	Set(ctx context.Context, name, text string) error
	Delete(ctx context.Context, name string) error
}

// Broker answers for the profiles of one configuration. Fields that may be nil say so; all others are required.
type Broker struct {
	Config   *config.Config
	Keychain Keychain
	// Beside is the keychain in which a session may have been kept while Keychain was not there; see
	// [platform.Keychain.Beside]. May be nil.
	Beside Keychain
	Locks  Locker
	// Records keeps how sign-ins and refreshes ended. It is beside the locks.
	Records Records
	// SharedStore is set if processes that do not share Locks may use Keychain: in a container, for example.
	SharedStore bool
	// Issuer gives the client for a profile, which may have TLS roots of its own.
	Issuer func(*config.Profile) (Issuer, error)
	Now    func() time.Time
	// Injected gives a token that the environment brings for the profile, and its source, which is empty if there is none.
	// It takes precedence over every other source and may block: the token can arrive through a pipe. May be nil.
	Injected func(context.Context, *config.Profile) (token, source string, err error)
	// MachineKey gives the secret key with which tokens are minted for a profile with machine = true, and its variable; both
	// are empty if there is none. May be nil.
	MachineKey func(*config.Profile) (key, variable string, err error)
	// SpawnRefresh runs RefreshOnce in a process that outlives ours, and waits for it until the context ends. If nil,
	// RefreshOnce runs in this one.
	SpawnRefresh func(ctx context.Context, p *config.Profile, seen time.Time) error
	// Fallback answers docker for hosts of no profile, in place of our keychain. May be nil.
	Fallback func(context.Context, protocol.Request) protocol.Reply
	Person   Person
	Caller   Caller
	// Tell is told what the user should know while they wait, once it is 2 s. It may be called from another goroutine. May be
	// nil.
	Tell func(text string)
	// History is told of each token that a tool got, or was refused. It must return at once. May be nil.
	History func(Entry)
	// Trace is told of every decision, never of a secret. May be nil.
	Trace func(format string, args ...any)
}

// NeedsSignInError means that a sign-in is needed, and that the person may not be asked here.
type NeedsSignInError struct {
	Profile string
	// Reason is why the person may not be asked.
	Reason error
	// Over is why no refresh of the session helps, or a [*platform.UnseenError] if it may be where it cannot be reached from
	// here; nil if there is none, or if that is not known.
	Over error
}

func (e *NeedsSignInError) Error() string {
	if errors.Is(e.Reason, ErrSignedOut) {
		return fmt.Sprintf("you signed out of profile %q", e.Profile)
	}
	if elsewhere(e.Over) != nil {
		return fmt.Sprintf("profile %q has no session that can be used here: %v; and a sign-in is not allowed here: %v", e.Profile, e.Over, e.Reason)
	}
	if e.Over != nil {
		return fmt.Sprintf("profile %q needs a sign-in (%v), which is not allowed here: %v", e.Profile, e.Over, e.Reason)
	}
	return fmt.Sprintf("profile %q needs a sign-in, which is not allowed here: %v", e.Profile, e.Reason)
}

func (e *NeedsSignInError) Unwrap() error { return e.Reason }

// SignInError means that a sign-in began, or could not begin, and brought no session.
type SignInError struct {
	Profile string
	Err     error
}

func (e *SignInError) Error() string {
	return fmt.Sprintf("signing in to profile %q: %v", e.Profile, e.Err)
}

func (e *SignInError) Unwrap() error { return e.Err }

// ErrOtherAccount means that the account of a sign-in on demand is not the profile's previous one. Its tokens were not kept.
var ErrOtherAccount = errors.New("another account signed in than the one this profile was last used with")

// SchemeError means that a token was asked for over something other than https for a host of a profile.
type SchemeError struct {
	Scheme, Host string
	Near         config.Near
}

func (e *SchemeError) Error() string {
	if e.Scheme == "" {
		return fmt.Sprintf("%q was asked for without a scheme, and gets no token: %v", e.Host, e.Near)
	}
	return fmt.Sprintf("%q gets no token: %v", protocol.Shown(e.Scheme+"://"+e.Host), e.Near)
}

// Decision is a tool's request, with the profile that it is for and the plan for it.
type Decision struct {
	Profile *config.Profile // of a get; nil for a host of no profile
	// Session is the one that Answer has answered a get from.
	Session Session

	broker *Broker
	req    protocol.Request
	plan   Plan
}

// Decide is the first half of [Broker.Answer]. It costs as much as Plan.
func (b *Broker) Decide(ctx context.Context, req protocol.Request) *Decision {
	if req.Verb != protocol.Get {
		return &Decision{broker: b, req: req}
	}
	return b.DecideFor(ctx, b.choose(ctx, req), req)
}

// DecideFor decides about a get for a profile, which its user has named in the tool's configuration. A nil profile is
// that of a host of no profile.
func (b *Broker) DecideFor(ctx context.Context, p *config.Profile, req protocol.Request) *Decision {
	d := &Decision{Profile: p, broker: b, req: req}
	if p != nil {
		d.plan = b.PlanFor(ctx, p, req)
	}
	return d
}

// Quick reports whether Answer needs neither the network nor the person for a token.
func (d *Decision) Quick() bool { return d.Profile == nil || d.plan.Quick() }

// Answer is the second half of [Broker.Answer].
func (d *Decision) Answer(ctx context.Context) protocol.Reply {
	switch d.req.Verb {
	case protocol.Get:
		return d.get(ctx)
	case protocol.Store:
		return d.store(ctx)
	case protocol.Erase:
		return d.erase(ctx)
	case protocol.List:
		return d.list(ctx)
	}
	return protocol.Reply{}
}

// Answer answers one request of a tool.
func (b *Broker) Answer(ctx context.Context, req protocol.Request) protocol.Reply {
	return b.Decide(ctx, req).Answer(ctx)
}

func (d *Decision) get(ctx context.Context) protocol.Reply {
	if d.Profile == nil {
		return d.notOurs(ctx)
	}
	s, err := Hand(ctx, d.broker, d.plan, d.req.Tool, d.req.Host)
	renewed := err == nil && d.plan.rejected && !s.ReceivedAt.Equal(d.plan.Session.ReceivedAt)
	if sl := d.broker.slot(d.Profile); renewed {
		sl.noteRenewal(ctx, d.req)
	} else if a := sl.asker(d.req); d.req.Repeats && a.PID != 0 {
		sl.noteAsker(ctx, d.plan.askers, a)
	}
	if err != nil {
		return protocol.Reply{Result: Outcome(err), Err: err}
	}
	d.Session = s
	return protocol.Reply{Result: protocol.Found, Credential: Credential(d.Profile, s, d.req.Username)}
}

// Outcome is how a wire answers a get that fails with an error of Token or of PlanFor.
func Outcome(err error) protocol.Result {
	var needs *NeedsSignInError
	var failed *SignInError
	var rejected *RejectedError
	var challenge *protocol.ChallengeError
	switch {
	case errors.As(err, &needs):
		return protocol.None
	case errors.As(err, &failed), errors.As(err, &rejected), errors.As(err, &challenge):
		return protocol.Refused
	}
	return protocol.Failed
}

// Credential returns what a tool gets of a session, with the user name that it has asked for, or the profile's if that
// is empty.
func Credential(p *config.Profile, s Session, asked string) protocol.Credential {
	c := protocol.Credential{
		Username:      p.Username,
		Token:         s.Token(p),
		Expires:       s.ExpiresAt,
		Auth:          gitAuth(p),
		IdentityToken: p.DockerIdentityToken,
	}
	if asked != "" {
		c.Username = asked
	}
	return c
}

// gitAuth is how git presents the profile's token.
func gitAuth(p *config.Profile) protocol.Auth {
	switch p.GitAuth {
	case "basic":
		return protocol.AuthBasic
	case "bearer":
		return protocol.AuthBearer
	}
	return protocol.AuthAuto
}

// choose finds the profile that a request is for.
func (b *Broker) choose(ctx context.Context, req protocol.Request) *config.Profile {
	if req.Host == "" {
		return nil
	}
	p := b.Choose(ctx, req.Scheme, req.Host, req.Username)
	switch {
	case p != nil:
		b.trace("%q is a host of profile %s", req.Shown(), p.Name)
	case len(b.Config.Match(req.Scheme, req.Host)) > 0:
		b.trace("%q is asked for another account than ours", req.Shown())
	default:
		near, ok := b.Config.Near(req.Scheme, req.Host)
		if !ok {
			b.trace("%q is the host of no profile", req.Shown())
		} else {
			b.trace("%q is the host of no profile; %v", req.Shown(), near)
		}
	}
	return p
}

// Choose finds the profile whose token goes to a host, nil for none. If a user is named, it must be the profile's user name
// or the e-mail of its account, so that a robot's URL keeps its own helper.
func (b *Broker) Choose(ctx context.Context, scheme, host, user string) *config.Profile {
	named := b.Config.Match(scheme, host)
	for _, p := range named {
		if user == "" || user == p.Username {
			return p
		}
	}
	for _, p := range named {
		if s, err := b.slot(p).read(ctx); err == nil && s.Email != "" && strings.EqualFold(user, s.Email) {
			return p
		}
	}
	return nil
}

// store keeps nothing: what git and docker store for a host of ours is the token that they were just given.
func (d *Decision) store(ctx context.Context) protocol.Reply {
	b, asked := d.broker, d.req
	if fromDocker(asked) {
		asked.Username = "" // what docker stores, not the account that it asks for
	}
	p := b.choose(ctx, asked)
	if p == nil {
		return d.notOurs(ctx)
	}
	reply := protocol.Reply{Result: protocol.Done}
	if s, err := b.current(ctx, p); err != nil || !equal(d.req.Secret, s.Token(p)) {
		reply.Hint = fmt.Sprintf("not kept: tokens for %q come from the sign-in of profile %s", d.req.Shown(), p.Name)
	} else if d.req.Tool == protocol.GitTool {
		d.accepted(ctx, p)
	}
	return reply
}

// notOurs answers for a host of no profile: docker gets what any helper would answer, other wires get nothing. A host of
// ours that is asked for over http is no stranger: no token goes there, and it must not reach the fallback.
func (d *Decision) notOurs(ctx context.Context) protocol.Reply {
	near, ok := d.broker.Config.Near(d.req.Scheme, d.req.Host)
	hint := ""
	switch {
	case ok && !near.Port && d.req.Verb == protocol.Get:
		return protocol.Reply{Err: &SchemeError{d.req.Scheme, d.req.Host, near}}
	case ok && !near.Port:
		return protocol.Reply{}
	case ok && d.req.Verb == protocol.Get && !(d.req.Tool == protocol.GitTool && near.Host.Loopback()): // its other ports are other servers
		hint = near.String()
	case d.req.Verb == protocol.Get && d.req.Tool == protocol.GitTool && d.req.NamesIssuer():
		hint = fmt.Sprintf("%[1]s is in no profile; if it is your company's: clerk-credential-helper setup %[1]s", d.req.Host)
	}
	if !fromDocker(d.req) || len(d.broker.Config.Match(d.req.Scheme, d.req.Host)) > 0 {
		return protocol.Reply{Hint: hint}
	}
	reply := d.broker.foreign(ctx, d.req)
	if reply.Result == protocol.None {
		reply.Hint = cmp.Or(reply.Hint, hint)
	}
	return reply
}

// list names what can be answered without asking a person, because docker calls get for each entry. If the keychain or the
// fallback cannot be listed, its entries are missing and the reply's error says why.
func (d *Decision) list(ctx context.Context) protocol.Reply {
	reply := d.broker.foreign(ctx, protocol.Request{Verb: protocol.List})
	reply.Result = protocol.Found
	quiet := *d.broker
	quiet.Person = NoPerson{errors.New("list asks no person")}
	entries := map[string]string{}
	for server, username := range reply.Entries {
		if !quiet.ours(server) {
			entries[server] = username
		}
	}
	for _, p := range quiet.Config.Profiles {
		if !quiet.lists(ctx, p) {
			continue
		}
		for _, h := range p.Hosts {
			if h.Exact() {
				entries[h.String()] = p.Username
			}
		}
	}
	reply.Entries = entries
	return reply
}

// lists reports whether list names the hosts of a profile. A machine profile is listed once a token has been minted.
func (b *Broker) lists(ctx context.Context, p *config.Profile) bool {
	switch plan := b.Plan(ctx, p); plan.Next {
	case NextAnswer, NextRefresh:
		return true
	case NextMint:
		return plan.Session.Token(p) != ""
	}
	return false
}

// ours reports whether a server, as docker writes it, is a host of a profile.
func (b *Broker) ours(server string) bool {
	req, err := protocol.Docker{}.ReadRequest(protocol.Get, strings.NewReader(server))
	return err == nil && len(b.Config.Match(req.Scheme, req.Host)) > 0
}

// fromDocker reports whether the caller is docker, or a tool that speaks docker's protocol.
func fromDocker(req protocol.Request) bool { return req.Tool == protocol.DockerTool }

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (b *Broker) trace(format string, args ...any) {
	if b.Trace != nil {
		b.Trace(format, args...)
	}
}
