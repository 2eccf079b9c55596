package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// recordVersion is the schema of [Session]. Fields may be added, but not removed, and none may change its meaning.
const recordVersion = 1

// Session is what one sign-in brought: one keychain item, always written whole. Its JSON form is frozen: every release reads
// the items of all earlier ones.
type Session struct {
	Version  int      `json:"v"`
	Issuer   string   `json:"issuer"`
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scopes"`

	Subject string `json:"sub,omitempty"`
	Email   string `json:"email,omitempty"`

	AccessToken string `json:"access_token,omitempty"`
	// Kind is the access token's: "jwt" or "opaque".
	Kind         string `json:"kind,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	// ReceivedAt and ExpiresAt are the beginning and the end of the life of the token that tools get. If ExpiresAt is zero,
	// the end is not known, and the token is used until a server refuses it.
	ReceivedAt time.Time `json:"received_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`

	// Given is set for a token that a person has handed to us (login --with-token). It belongs to no grant of ours.
	Given bool `json:"given,omitempty"`

	// Job is a hash of the credential of the CI job that the token was exchanged for.
	Job string `json:"job,omitempty"`
	// Claims are those of the job's token that say who the job is.
	Claims clerk.Claims `json:"claims,omitempty"`

	// Rejected is how many of a machine's tokens servers have refused in a row.
	Rejected int `json:"rejected,omitempty"`

	// RejectedBy are hosts that have lately rejected a token of this session which was kept.
	RejectedBy rejections `json:"rejected_by,omitempty"`

	// SignedOut is set by logout: no tool's call asks the person until they run login.
	SignedOut bool `json:"signed_out,omitempty"`
}

// Token is what tools get: the access token, or the ID token where the profile says so. Empty if there is none.
func (s Session) Token(p *config.Profile) string {
	if p.Token == "id" {
		return s.IDToken
	}
	return s.AccessToken
}

// Account is the e-mail address, or the subject if there is none.
func (s Session) Account() string {
	if s.Email != "" {
		return s.Email
	}
	return s.Subject
}

// alive reports whether the session can give a token, perhaps after a refresh.
func (s Session) alive() bool { return s.AccessToken != "" || s.RefreshToken != "" }

// tokens is the part of the session that the issuer's answer replaces.
func (s Session) tokens() clerk.Tokens {
	return clerk.Tokens{
		Subject: s.Subject, Email: s.Email, AccessToken: s.AccessToken, Kind: s.Kind,
		RefreshToken: s.RefreshToken, IDToken: s.IDToken, ReceivedAt: s.ReceivedAt, ExpiresAt: s.ExpiresAt,
	}
}

func newSession(p *config.Profile, t clerk.Tokens) Session {
	s := Session{
		Version: recordVersion, Issuer: p.Issuer, ClientID: p.ClientID, Scopes: p.Scopes,
		Subject: t.Subject, Email: t.Email, AccessToken: t.AccessToken, Kind: t.Kind,
		RefreshToken: t.RefreshToken, ReceivedAt: t.ReceivedAt.UTC(), ExpiresAt: t.ExpiresAt.UTC(), Claims: t.Claims,
	}
	if p.Token == "id" {
		s.IDToken = t.IDToken
	}
	return s
}

// good reports whether the token may be handed out as it is: it has min_ttl or half of its own life left, whichever is
// shorter, and was not received in the future.
func (s Session) good(p *config.Profile, now time.Time) bool {
	return s.Live(p, now) && !s.FromFuture(now) &&
		(s.ExpiresAt.IsZero() || s.ExpiresAt.Sub(now) >= min(p.MinTTL, s.Life()/2))
}

// Live reports whether there is a token that has not expired.
func (s Session) Live(p *config.Profile, now time.Time) bool {
	return s.Token(p) != "" && (s.ExpiresAt.IsZero() || s.ExpiresAt.After(now))
}

// Expired reports whether there was a token that has reached its end.
func (s Session) Expired(now time.Time) bool { return !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(now) }

// Endless reports whether there is a token whose end is not known.
func (s Session) Endless(p *config.Profile) bool { return s.Token(p) != "" && s.ExpiresAt.IsZero() }

// Left is how long the token still lives. It is zero or negative if the token has ended, and zero if its end is not known.
func (s Session) Left(now time.Time) time.Duration {
	if s.ExpiresAt.IsZero() {
		return 0
	}
	return s.ExpiresAt.Sub(now)
}

// FromFuture reports whether the token was received later than now, because the clock was wrong then or is wrong now.
func (s Session) FromFuture(now time.Time) bool { return s.ReceivedAt.After(now) }

// pastHalf reports whether half of the token's life is over.
func (s Session) pastHalf(now time.Time) bool {
	return !s.ExpiresAt.IsZero() && !now.Before(s.ReceivedAt.Add(s.Life()/2))
}

// goodUntil is the end of the token, for a trace.
func (s Session) goodUntil() string {
	if s.ExpiresAt.IsZero() {
		return "good until a server refuses it"
	}
	return "good until " + s.ExpiresAt.Format(time.RFC3339)
}

// Life is how long the token lives from its receipt, zero if its end is not known.
func (s Session) Life() time.Duration {
	if s.ExpiresAt.IsZero() {
		return 0
	}
	return s.ExpiresAt.Sub(s.ReceivedAt)
}

// BelowMinTTL reports whether min_ttl is longer than the life of such a token, so that half of that life is used instead. The
// default of min_ttl does not count: the user has not asked for it.
func (s Session) BelowMinTTL(p *config.Profile) bool {
	return s.Token(p) != "" && s.Life() > 0 && s.Life() < p.MinTTL && p.MinTTL > defaultMinTTL
}

// defaultMinTTL is the min_ttl of a profile that does not set it.
const defaultMinTTL = 5 * time.Minute

// errNoSession means that a profile has no session, or one of another issuer, client or set of scopes.
var errNoSession = errors.New("no session")

// ErrUnreadable means that a later release has written the session's item. It is left as it is; a login replaces it.
var ErrUnreadable = errors.New("the session in the keychain is not readable")

// ErrDamaged means that the session's item is none of any release, as a full disk or a power cut leaves it. It counts as no
// session: a sign-in replaces it, and a logout removes it.
var ErrDamaged = errors.New("the session in the keychain is damaged")

// ItemError is the error for the item of a profile's session: ErrUnreadable or ErrDamaged.
type ItemError struct {
	Profile string
	Err     error
}

func (e *ItemError) Error() string { return fmt.Sprintf("profile %q: %v", e.Profile, e.Err) }

func (e *ItemError) Unwrap() error { return e.Err }

// Is makes a damaged item count as no session.
func (e *ItemError) Is(target error) bool {
	return target == errNoSession && errors.Is(e.Err, ErrDamaged)
}

// KeychainItem is the name of the profile's keychain item. It depends on what the session belongs to: issuer, client, scopes
// and the kind of token that tools get, but not on the profile's name. For machine profiles see machine.item.
func KeychainItem(p *config.Profile) string { return "session-" + identity(p) }

func identity(p *config.Profile) string {
	// A NUL cannot occur in any part, so no two identities have the same bytes.
	text := p.Issuer + "\x00" + p.ClientID + "\x00" + strings.Join(p.Scopes, " ")
	if p.Token == "id" {
		text += "\x00id" // its session has the ID token, and that token's end
	}
	if p.Instance != "" {
		text += "\x00instance " + p.Instance // a companion page has another session for each instance
	}
	return itemName("", text)
}

// slot is what is kept for one profile: its session in the keychain, its locks, and the records of how the last sign-in and
// the last refresh ended.
type slot struct {
	b *Broker
	p *config.Profile
}

func (b *Broker) slot(p *config.Profile) slot { return slot{b, p} }

// name is the name of a lock, an item or a record of that kind.
func (sl slot) name(kind string) string { return kind + "-" + identity(sl.p) }

func (sl slot) trace(format string, args ...any) {
	if sl.b.Trace != nil {
		sl.b.Trace("profile %s: %s", sl.p.Name, fmt.Sprintf(format, args...))
	}
}

// read reads the session, without a lock. An item of another issuer, client or set of scopes is errNoSession, and is left
// alone. A session beside one that grants nothing is from a later sign-in, because a logout ends both.
func (sl slot) read(ctx context.Context) (Session, error) {
	text, err := sl.b.Keychain.Get(ctx, KeychainItem(sl.p))
	s, err := parseSession(sl.p, text, err)
	if err == nil && !s.alive() {
		if later, beside := sl.readBeside(ctx); beside == nil && later.alive() {
			return later, nil
		}
	}
	return s, err
}

// readBeside reads the session that was kept in the other keychain, if there is one.
func (sl slot) readBeside(ctx context.Context) (Session, error) {
	if sl.b.Beside == nil {
		return Session{}, errNoSession
	}
	text, err := sl.b.Beside.Get(ctx, KeychainItem(sl.p))
	return parseSession(sl.p, text, err)
}

// parseSession makes a session of the text of its item, or of the error of reading it.
func parseSession(p *config.Profile, text string, err error) (Session, error) {
	unseen, ok := errors.AsType[*platform.UnseenError](err)
	switch {
	case ok:
		return Session{}, fmt.Errorf("%w: %w", errNoSession, unseen)
	case errors.Is(err, platform.ErrNotFound):
		return Session{}, errNoSession
	case errors.Is(err, platform.ErrDamaged):
		return Session{}, &ItemError{p.Name, ErrDamaged}
	case err != nil:
		return Session{}, fmt.Errorf("reading the session of profile %q: %w", p.Name, err)
	}
	var s Session
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Version != recordVersion {
		err = ErrDamaged // the decoder's message may quote the session
		if version := itemVersion(text); version > recordVersion {
			err = fmt.Errorf("%w: it has format %d, this release knows %d", ErrUnreadable, version, recordVersion)
		}
		return Session{}, &ItemError{p.Name, err}
	}
	if s.Issuer != p.Issuer || s.ClientID != p.ClientID || !slices.Equal(s.Scopes, p.Scopes) {
		return Session{}, errNoSession
	}
	return s, nil
}

// itemVersion returns the version of an item's schema; 0 for what is no item.
func itemVersion(text string) int {
	var item struct {
		Version int `json:"v"`
	}
	if json.Unmarshal([]byte(text), &item) != nil {
		return 0
	}
	return item.Version
}

// write writes the session whole. The session lock is held.
func (sl slot) write(ctx context.Context, s Session) error {
	if err := setItem(ctx, sl.b.Keychain, KeychainItem(sl.p), label(sl.p, s), s); err != nil {
		return fmt.Errorf("keeping the session of profile %q: %w: %w", sl.p.Name, errKeychain, err)
	}
	return nil
}

// label is by what people know the item of a session. The profile is the one that wrote it last.
func label(p *config.Profile, s Session) string {
	kind, who := "sign-in", s.Account()
	switch {
	case s.Job != "":
		kind = "token of a CI job"
	case p.IsMachine && p.InJob == "":
		kind = "machine token"
	case s.SignedOut:
		who = "signed out"
	}
	text := "Clerk " + kind + ": " + p.Name
	if who != "" {
		text += " (" + protocol.Escape(who) + ")"
	}
	return text + ", " + strings.TrimPrefix(p.Issuer, "https://")
}

// writeOrDelete writes a session that grants nothing. A store without room for it, such as a full disk, may still have room
// once the previous session is deleted, which matters more than what was to be written.
func (sl slot) writeOrDelete(ctx context.Context, s Session) error {
	err := sl.write(ctx, s)
	if err == nil || sl.b.Keychain.Delete(ctx, KeychainItem(sl.p)) != nil {
		return err
	}
	if err := sl.write(ctx, s); err != nil {
		sl.trace("the session is deleted, and nothing is written in its place: %v", err)
	}
	return nil
}

// lock takes the session lock, which every writer of the session holds. In a shared store it also excludes the processes that
// do not share our locks, if there is a refresh token to lose and something to write: idle, which may be nil, reports that there
// is nothing.
func (sl slot) lock(ctx context.Context, idle func(Session) bool) (release func(), err error) {
	limited, cancel := context.WithTimeout(ctx, writerLimit)
	defer cancel()
	for began := time.Now(); err == nil; {
		var unlock, unmark func()
		if unlock, err = sl.b.Locks.Lock(limited, sl.name("session")); err != nil {
			break
		}
		if !sl.b.SharedStore {
			return unlock, nil
		}
		s, readErr := sl.read(limited)
		if errors.Is(readErr, errNoSession) || readErr == nil && (s.RefreshToken == "" || idle != nil && idle(s)) {
			return unlock, nil
		}
		var ok bool
		unmark, ok, err = marks{sl}.claim(limited, time.Since(began) > markLimit)
		if ok && err == nil {
			return func() { unmark(); unlock() }, nil
		}
		unlock()
		if err == nil {
			err = pause(limited, markPoll)
		}
	}
	return nil, fmt.Errorf("locking the session of profile %q: %w", sl.p.Name, inWords(err))
}

// elsewhere returns why a session that was not found may be in another keychain, which cannot be reached from here: a
// [*platform.UnseenError]. It is nil without signs of one.
func elsewhere(err error) error {
	if unseen, ok := errors.AsType[*platform.UnseenError](err); ok && unseen.Elsewhere {
		return unseen
	}
	return nil
}

// inWords is the error of a lock, for people.
func inWords(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errHeld
	}
	return err
}

// errHeld means that another process has not released a lock in time.
var errHeld = errors.New("another process has not finished with it in time")

// ReadSession reads the session of a profile as it is, to show it. ok is false if there is none. The error may be an
// [*ItemError], or a [*platform.UnseenError] if there are signs of another keychain, which cannot be reached from here.
func (b *Broker) ReadSession(ctx context.Context, p *config.Profile) (s Session, ok bool, err error) {
	s, err = b.slot(p).read(ctx)
	if errors.Is(err, errNoSession) && !errors.Is(err, ErrDamaged) {
		return Session{}, false, elsewhere(err)
	}
	return s, err == nil, err
}

// ReadBeside reads the session that was kept in [Broker.Beside], to show it. ok is false if there is none. used is set if it is
// the one that tools get.
func ReadBeside(ctx context.Context, b *Broker, p *config.Profile) (s Session, used, ok bool) {
	s, err := b.slot(p).readBeside(ctx)
	if err != nil || !s.alive() {
		return Session{}, false, false
	}
	current, err := b.slot(p).read(ctx)
	return s, err == nil && current.same(s), true
}

// same reports whether two sessions are copies of one.
func (s Session) same(other Session) bool {
	return equal(s.AccessToken, other.AccessToken) && equal(s.RefreshToken, other.RefreshToken)
}

// current returns what would be used now, without a refresh or a sign-in: a token that the environment brings, the machine's
// token, or the session, live or not. It returns an error if there is none.
func (b *Broker) current(ctx context.Context, p *config.Profile) (Session, error) {
	if s, source, err := b.injected(ctx, p); source != "" || err != nil {
		return s, err
	}
	if p.IsMachine {
		return b.machine(p).read(ctx)
	}
	return b.slot(p).read(ctx)
}

// ended is the session without its tokens. It is kept so that the next sign-in on demand can compare the account.
func (s Session) ended() Session {
	return Session{Version: s.Version, Issuer: s.Issuer, ClientID: s.ClientID, Scopes: s.Scopes, Subject: s.Subject, Email: s.Email}
}
