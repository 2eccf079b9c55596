package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// recordVersion is the schema of [Session]. A field may be added; none may change its meaning or go.
const recordVersion = 1

// Session is the record of one sign-in: one keychain item, always written whole. Its JSON form is frozen: an item
// written by any release is read by every later one.
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
	// ReceivedAt and ExpiresAt bound the life of the token that tools get. The end of a token without
	// ExpiresAt is not known: it is used until a server refuses it.
	ReceivedAt time.Time `json:"received_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`

	// Given is set for a token that a person has handed to us (login --with-token): no grant of ours stands behind it.
	Given bool `json:"given,omitempty"`

	// Rejected counts a machine's tokens that servers have refused, in a row.
	Rejected int `json:"rejected,omitempty"`

	// SignedOut is set by logout: the person is not asked on demand until they run login.
	SignedOut bool `json:"signed_out,omitempty"`
}

// Token is what tools get: the access token, or the ID token where the profile says so. Empty if there is none.
func (s Session) Token(p *config.Profile) string {
	if p.Token == "id" {
		return s.IDToken
	}
	return s.AccessToken
}

// Account is the e-mail, else the subject.
func (s Session) Account() string {
	if s.Email != "" {
		return s.Email
	}
	return s.Subject
}

// alive reports whether the session can answer, perhaps after a refresh.
func (s Session) alive() bool { return s.AccessToken != "" || s.RefreshToken != "" }

// tokens is the part of the record that the issuer's answer replaces.
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
		RefreshToken: t.RefreshToken, ReceivedAt: t.ReceivedAt.UTC(), ExpiresAt: t.ExpiresAt.UTC(),
	}
	if p.Token == "id" {
		s.IDToken = t.IDToken
	}
	return s
}

// good reports whether the token may be handed out as it is: it is left with min_ttl or half of its own life, whichever is
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

// Left is how long the token lives yet. It is not more than zero if the token has ended, or its end is not known.
func (s Session) Left(now time.Time) time.Duration {
	if s.ExpiresAt.IsZero() {
		return 0
	}
	return s.ExpiresAt.Sub(now)
}

// FromFuture reports whether the token was received later than now: the clock was wrong then, or is now.
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

// Life is how long the token lives from its receipt, zero where its end is not known.
func (s Session) Life() time.Duration {
	if s.ExpiresAt.IsZero() {
		return 0
	}
	return s.ExpiresAt.Sub(s.ReceivedAt)
}

// BelowMinTTL reports whether the profile asks for a longer life than such a token has. Half of that life is met then. The
// default is not taken for a wish.
func (s Session) BelowMinTTL(p *config.Profile) bool {
	return s.Token(p) != "" && s.Life() > 0 && s.Life() < p.MinTTL && p.MinTTL > defaultMinTTL
}

// defaultMinTTL is what a profile has that says nothing.
const defaultMinTTL = 5 * time.Minute

// errNoSession is a profile without a session, or with a record of another issuer, client or set of scopes.
var errNoSession = errors.New("no session")

// ErrUnreadable is a keychain item of ours that this release cannot read. It is left as it is; a login replaces it.
var ErrUnreadable = errors.New("the session in the keychain is not readable")

// KeychainItem is the name of the profile's keychain item: the session belongs to issuer, client and scopes, whatever the
// profile is called, and to the kind of token that it hands out. A machine's token has an item of its own for each secret key; see machine.item.
func KeychainItem(p *config.Profile) string { return "session-" + identity(p) }

func identity(p *config.Profile) string {
	// A NUL cannot occur in any part, so no two identities have the same bytes.
	text := p.Issuer + "\x00" + p.ClientID + "\x00" + strings.Join(p.Scopes, " ")
	if p.Token == "id" {
		text += "\x00id" // its record holds the ID token and that token's end
	}
	if p.Instance != "" {
		text += "\x00instance " + p.Instance // a companion page's session of another instance is not this one
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// slot is what is kept for one profile: the session in the keychain, and how the last sign-in and refresh ended in the
// records. Items, records and locks are named after what the session belongs to.
type slot struct {
	b *Broker
	p *config.Profile
}

func (b *Broker) slot(p *config.Profile) slot { return slot{b, p} }

// name is the name of a lock, of an item or of a record.
func (sl slot) name(kind string) string { return kind + "-" + identity(sl.p) }

func (sl slot) trace(format string, args ...any) {
	if sl.b.Trace != nil {
		sl.b.Trace("profile %s: %s", sl.p.Name, fmt.Sprintf(format, args...))
	}
}

// read reads the session, without a lock. One of another issuer, client or set of scopes is errNoSession, and is left alone.
func (sl slot) read(ctx context.Context) (Session, error) {
	text, err := sl.b.Keychain.Get(ctx, KeychainItem(sl.p))
	if errors.Is(err, platform.ErrNotFound) {
		return Session{}, errNoSession
	}
	if err != nil {
		return Session{}, fmt.Errorf("reading the session of profile %q: %w", sl.p.Name, err)
	}
	var s Session
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		// The decoder's message may quote the session.
		return Session{}, fmt.Errorf("profile %q: %w", sl.p.Name, ErrUnreadable)
	}
	if s.Version != recordVersion {
		return Session{}, fmt.Errorf("profile %q: %w: it has format %d, this release knows %d", sl.p.Name, ErrUnreadable, s.Version, recordVersion)
	}
	if s.Issuer != sl.p.Issuer || s.ClientID != sl.p.ClientID || !slices.Equal(s.Scopes, sl.p.Scopes) {
		return Session{}, errNoSession
	}
	return s, nil
}

// write writes the session whole. The session lock is held.
func (sl slot) write(ctx context.Context, s Session) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the session of profile %q: %w", sl.p.Name, err)
	}
	if err := sl.b.Keychain.Set(ctx, KeychainItem(sl.p), string(text)); err != nil {
		return fmt.Errorf("keeping the session of profile %q: %w: %w", sl.p.Name, errKeychain, err)
	}
	return nil
}

// lock takes the session lock, which every writer of the session holds.
func (sl slot) lock(ctx context.Context) (release func(), err error) {
	limited, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	release, err = sl.b.Locks.Lock(limited, sl.name("session"))
	if err != nil {
		return nil, fmt.Errorf("locking the session of profile %q: %w", sl.p.Name, err)
	}
	return release, nil
}

// ReadSession reads the session of a profile as it is, for people. ok is false if there is none.
func (b *Broker) ReadSession(ctx context.Context, p *config.Profile) (s Session, ok bool, err error) {
	s, err = b.slot(p).read(ctx)
	if errors.Is(err, errNoSession) {
		return Session{}, false, nil
	}
	return s, err == nil, err
}

// Current is what would answer now, without a refresh or a sign-in: a token that the environment brings, the machine's,
// or the session, live or not. It is an error if there is nothing.
func (b *Broker) Current(ctx context.Context, p *config.Profile) (Session, error) {
	if s, source, err := b.injected(ctx, p); source != "" || err != nil {
		return s, err
	}
	if p.IsMachine {
		return b.machine(p).read(ctx)
	}
	return b.slot(p).read(ctx)
}

// ended is the record without its tokens: what a session leaves behind, so that the next sign-in on demand can tell
// whether it is the same person's.
func (s Session) ended() Session {
	return Session{Version: s.Version, Issuer: s.Issuer, ClientID: s.ClientID, Scopes: s.Scopes, Subject: s.Subject, Email: s.Email}
}
