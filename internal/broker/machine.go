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

// ErrNoMachineKey means that a profile with machine = true has no usable secret key.
var ErrNoMachineKey = errors.New("no machine secret key")

// machineSignIn is the error of a sign-in to a machine profile.
func machineSignIn(p *config.Profile) error {
	if p.InJob != "" {
		return fmt.Errorf("profile %q is used by a job of %s, to which no user signs in: write ci = \"off\" in the profile to sign in here", p.Name, p.InJob)
	}
	return fmt.Errorf("profile %q is a machine's: its tokens come from a machine secret key, and no user signs in to it", p.Name)
}

// machine is what is kept for a machine profile: the token that was minted last, in an item of the keychain, and a lock of
// the same name.
type machine struct {
	b        *Broker
	p        *config.Profile
	key      string
	variable string // which brings the key
	err      error  // why there is no key to use
}

func (b *Broker) machine(p *config.Profile) machine {
	m := machine{b: b, p: p}
	if b.MachineKey != nil {
		m.key, m.variable, m.err = b.MachineKey(p)
	}
	if m.err == nil && p.IsMachine {
		m.err = m.checkKey()
	}
	return m
}

// source is where the token comes from, in the words of a plan and of the policy.
func (m machine) source() string {
	if m.p.InJob != "" {
		return SourceExchange
	}
	return SourceMachine
}

// item is the name of the token's item. It depends on the key, so that a rotated key never finds the previous key's
// token, and on the form of token; a CI job's depends on the job's credential, so that jobs of one runner keep theirs
// beside each other. The key cannot be computed from it.
func (m machine) item() string {
	if m.p.InJob != "" {
		return itemName("machine-", "exchange", m.p.Issuer, m.key)
	}
	return itemName("machine-", "machine", m.p.Issuer, m.p.MachineToken, m.key)
}

// lockName is the name of the lock. A runner has thousands of jobs, and a lock is never deleted: they share one. It is
// also the name of the list of the jobs whose tokens are kept.
func (m machine) lockName() string {
	if m.p.InJob != "" {
		return itemName("jobs-", m.p.Issuer)
	}
	return m.item()
}

// itemName is a name of the hash of the parts, none of which has a NUL.
func itemName(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return kind + hex.EncodeToString(sum[:16])
}

// job is a hash of the credential of a CI job, from which it cannot be computed; empty for a machine.
func (m machine) job() string {
	if m.p.InJob == "" {
		return ""
	}
	return itemName("", "job", m.key)
}

// plan plans for a machine profile.
func (m machine) plan(ctx context.Context) Plan {
	plan := Plan{Profile: m.p, Source: m.source()}
	if m.err != nil {
		return plan.refuse(m.err)
	}
	plan.Next = NextMint
	s, err := m.read(ctx)
	if err != nil { // whatever the error is, a new token is minted
		plan.Session.Claims = readRecord(ctx, m.b, m.item()).Claims
		return plan
	}
	plan.Session = s
	if s.good(m.p, m.b.Now()) {
		plan.Next = NextAnswer
	} else if err := m.paused(s); err != nil {
		plan.Until = s.mintAgain()
		return plan.refuse(err)
	}
	return plan
}

func (m machine) checkKey() error {
	form := clerk.CheckForm(m.key)
	switch {
	case m.p.InJob != "" && form != nil:
		return fmt.Errorf("profile %q: %s of %s %w", m.p.Name, m.variable, m.p.InJob, form)
	case m.p.InJob != "":
		return nil
	case m.key == "":
		return fmt.Errorf("profile %q: %w: %s is empty or not set (a fork's pull request gets no secrets)", m.p.Name, ErrNoMachineKey, config.MachineKey)
	}
	if err := clerk.CheckMachineKey(m.key, m.variable); err != nil {
		return fmt.Errorf("profile %q: %w: %w", m.p.Name, ErrNoMachineKey, err)
	}
	return nil
}

// MintError means that Clerk has given no token for a machine's key.
type MintError struct {
	Profile  string
	Variable string       // which brings the key
	Job      string       // the CI whose job's token was to be exchanged; empty for a key
	Claims   clerk.Claims // that were sent; nil for a key
	Err      error
}

func (e *MintError) Error() string {
	if e.Job != "" {
		return fmt.Sprintf("exchanging the token of %s for profile %q: %v", e.Job, e.Profile, e.Err)
	}
	if e.Refused() {
		return fmt.Sprintf("getting a machine's token for profile %q: Clerk refuses the key in %s: %v", e.Profile, e.Variable, e.Err)
	}
	return fmt.Sprintf("getting a machine's token for profile %q: %v", e.Profile, e.Err)
}

func (e *MintError) Unwrap() error { return e.Err }

// Refused reports whether Clerk does not accept the key (RFC 9110 §15.5.2, §15.5.4), or the companion page does not accept the
// job's token (RFC 6749 §5.2).
func (e *MintError) Refused() bool {
	refusal := Refusal(e.Err)
	if e.Job != "" {
		return refusal != nil && refusal.Code == "invalid_grant"
	}
	return refusal != nil && (refusal.Status == 401 || refusal.Status == 403)
}

// mint returns a new token, or the one that another process has minted meanwhile. Minting costs money, so one process mints
// for all that wait, and they share its failure. If the keychain cannot keep the token, each call mints one. One that a
// server has certainly rejected is not returned.
func (m machine) mint(ctx context.Context, plan Plan) (Session, error) {
	began := m.b.Now()
	limited, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	release, err := m.lock(limited)
	if err != nil {
		return Session{}, err
	}
	defer release()
	s, err := m.read(ctx)
	rejected := plan.rejected && s.ReceivedAt.Equal(plan.Session.ReceivedAt)
	if err == nil && s.good(m.p, m.b.Now()) && !rejected {
		return s, nil
	}
	if err == nil {
		if err := m.paused(s); err != nil {
			return Session{}, err
		}
	}
	var t clerk.Tokens
	var mintErr error
	if t.Claims, mintErr = m.failedSince(ctx, began); mintErr == nil {
		t, mintErr = m.ask(limited)
		m.enlist(ctx, mintErr)
		m.leaveRecord(limited, t.Claims, mintErr)
	}
	if mintErr != nil {
		if err == nil && s.Live(m.p, m.b.Now()) && (!rejected || plan.perhaps) {
			m.b.trace("profile %s: no new machine token, the last one still lives: %v", m.p.Name, mintErr)
			return s, nil
		}
		return Session{}, &MintError{m.p.Name, m.variable, m.p.InJob, t.Claims, mintErr}
	}
	fresh := newSession(m.p, t)
	fresh.Job = m.job()
	if err == nil && s.Token(m.p) == "" {
		fresh.Rejected = s.Rejected // a token that lived to its end sets the count back
	}
	fresh.RejectedBy = s.RejectedBy
	m.b.trace("profile %s: minted a machine's token, good until %s", m.p.Name, fresh.ExpiresAt.Format(time.RFC3339))
	if err := m.write(ctx, fresh); err != nil {
		m.b.trace("profile %s: the machine's token was not kept: %v", m.p.Name, err)
	}
	return fresh, nil
}

// failedSince is why another process got no token, and the claims that it sent; nil if none has failed since then.
func (m machine) failedSince(ctx context.Context, began time.Time) (clerk.Claims, error) {
	if last := readRecord(ctx, m.b, m.item()); last.At.After(began) {
		return last.Claims, last.err()
	}
	return nil, nil
}

// leaveRecord records why there is no token, for the processes that wait. The end of ctx is the caller's alone.
func (m machine) leaveRecord(ctx context.Context, claims clerk.Claims, err error) {
	if err == nil || ctx.Err() != nil || errors.Is(err, clerk.ErrNoExchange) {
		return
	}
	end := ended(err)
	end.Claims = claims
	writeRecord(ctx, m.b, m.item(), end) // which traces its errors
}

const (
	// jobsKept is of how many CI jobs the tokens are kept for a profile: those that run on one machine at a time.
	jobsKept = 16
	// jobLife is the longest life of a job's token, and of the record of a failure.
	jobLife = time.Hour
)

// listedJob is an entry of the list of jobs.
type listedJob struct {
	Item string    `json:"item"`
	Ends time.Time `json:"ends"`
}

// enlist notes in the keychain that a token of this CI job, or the record of its failure, is kept. What is kept of jobs
// that have ended is deleted, and the oldest where there are too many. The lock is held.
func (m machine) enlist(ctx context.Context, mintErr error) {
	if m.p.InJob == "" || errors.Is(mintErr, clerk.ErrNoExchange) {
		return
	}
	var before []listedJob
	if text, err := m.b.Keychain.Get(ctx, m.lockName()); err == nil && json.Unmarshal([]byte(text), &before) != nil {
		before = nil
	}
	now := m.b.Now().UTC()
	before = slices.DeleteFunc(before, func(j listedJob) bool { return j.Item == m.item() })
	var jobs []listedJob
	for i, j := range before {
		if j.Ends.After(now) && len(before)-i < jobsKept {
			jobs = append(jobs, j)
		} else if strings.HasPrefix(j.Item, "machine-") {
			m.b.Keychain.Delete(ctx, j.Item)
			m.b.Records.Delete(ctx, j.Item)
		}
	}
	jobs = append(jobs, listedJob{m.item(), now.Add(jobLife)})
	if err := setItem(ctx, m.b.Keychain, m.lockName(), "Clerk CI jobs: "+m.p.Name, jobs); err != nil {
		m.b.trace("profile %s: the list of jobs was not kept: %v", m.p.Name, err)
	}
}

func (m machine) ask(ctx context.Context) (clerk.Tokens, error) {
	issuer, err := m.b.Issuer(m.p)
	if err != nil {
		return clerk.Tokens{}, err
	}
	return issuer.Mint(ctx, m.p, m.key)
}

// paused is the error between the rejection of a token and the time when the next one may be minted; nil otherwise.
func (m machine) paused(s Session) error {
	until := s.mintAgain()
	if s.Token(m.p) != "" || !m.b.Now().Before(until) {
		return nil
	}
	return fmt.Errorf("profile %q: servers have refused the machine's last tokens; a new one is not minted before %s",
		m.p.Name, until.Local().Format(time.TimeOnly))
}

// mintAgain is the end of the pause after a rejection.
func (s Session) mintAgain() time.Time { return s.ReceivedAt.Add(mintPause(s.Rejected)) }

// mintPause is how long no token is minted after a rejection: a minute after the first one, twice as long after each further
// one, and at most coolDownMost.
func mintPause(rejected int) time.Duration {
	pause := coolDownFirst
	for range min(rejected, 10) - 1 {
		pause = min(2*pause, coolDownMost)
	}
	return pause
}

// forget deletes the token from the keychain. Without the key its item cannot be named.
func (m machine) forget(ctx context.Context) (SignOut, error) {
	if m.key == "" {
		return SignOut{}, nil
	}
	release, err := m.lock(ctx)
	if err != nil {
		return SignOut{}, err
	}
	defer release()
	s, err := m.read(ctx)
	damaged := errors.Is(err, ErrDamaged)
	if err == nil || damaged || errors.Is(err, ErrUnreadable) {
		err = m.b.Keychain.Delete(ctx, m.item())
	}
	if err != nil && (!errors.Is(err, platform.ErrNotFound) || elsewhere(err) != nil) {
		if m.b.Beside != nil { // whose token nothing else would delete
			m.b.Beside.Delete(ctx, m.item())
		}
		return SignOut{}, fmt.Errorf("forgetting the machine's token of profile %q: %w", m.p.Name, err)
	}
	return SignOut{Session: s, Damaged: damaged}, nil
}

// ReadMachineToken reads the machine's token from the keychain, and mints none. The session is empty if there is none that
// can be read. The error is why none would be handed out or minted now.
func (b *Broker) ReadMachineToken(ctx context.Context, p *config.Profile) (Session, error) {
	plan := b.machine(p).plan(ctx)
	return plan.Session, plan.Why
}

// MachineKeyVariable is the variable that brings the key of a machine's profile, empty without a key that is its own.
func (b *Broker) MachineKeyVariable(p *config.Profile) string {
	if b.MachineKey == nil || !p.IsMachine {
		return ""
	}
	_, variable, _ := b.MachineKey(p) // what is wrong with it is the reason of every plan
	return variable
}

// unusedKey says that a machine's key is set beside a profile for people, which does not use it; empty if there is none.
func (m machine) unusedKey() string {
	if m.p.IsMachine || m.variable == "" {
		return ""
	}
	unused := fmt.Sprintf("%s is set, and not used: profile %q is not a machine's (machine = true)", m.variable, m.p.Name)
	m.b.trace("%s", unused)
	return unused
}

func (m machine) lock(ctx context.Context) (release func(), err error) {
	limited, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	release, err = m.b.Locks.Lock(limited, m.lockName())
	if err != nil {
		return nil, fmt.Errorf("waiting for the machine's token of profile %q: %w", m.p.Name, inWords(err))
	}
	return release, nil
}

func (m machine) read(ctx context.Context) (Session, error) {
	text, err := m.b.Keychain.Get(ctx, m.item())
	if errors.Is(err, platform.ErrDamaged) {
		return Session{}, ErrDamaged
	}
	if err != nil {
		return Session{}, err
	}
	var s Session
	switch err := json.Unmarshal([]byte(text), &s); {
	case (err != nil || s.Version != recordVersion) && itemVersion(text) <= recordVersion:
		return Session{}, ErrDamaged
	case m.job() != s.Job:
		return Session{}, platform.ErrNotFound
	case err != nil, s.Version != recordVersion, (!m.p.Companion || m.p.Instance != "") && clerk.CheckIssuer(m.p, s.AccessToken) != nil:
		return Session{}, ErrUnreadable
	}
	return s, nil
}

func (m machine) write(ctx context.Context, s Session) error {
	return setItem(ctx, m.b.Keychain, m.item(), label(m.p, s), s)
}
