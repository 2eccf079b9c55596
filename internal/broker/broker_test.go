package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/testworld"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/platform/platformtest"
	"clerk-credential-helper/protocol"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// issuer is Clerk as the broker sees it. Its answers are set by the test, and its calls are recorded.
type issuer struct {
	mu      sync.Mutex
	calls   []string
	signIn  func() (clerk.Tokens, error)
	refresh func(old clerk.Tokens) (clerk.Tokens, error)
	revoke  error
	check   func() (clerk.Verdict, error)
	mint    func() (clerk.Tokens, error)
	failure error                // of mint in a CI job
	flows   map[clerk.Flow]error // what the issuer answers when one of these begins; nil works
	finish  func(err error)      // the browser is told of the end; may be nil
}

func (i *issuer) called(call string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls = append(i.calls, call)
}

func (i *issuer) Begin(ctx context.Context, _ *config.Profile, flows ...clerk.Flow) (broker.Attempt, error) {
	if len(flows) == 0 {
		flows = []clerk.Flow{clerk.Browser}
	}
	a := &attempt{issuer: i, rest: flows}
	return a, a.Next(ctx)
}

func (i *issuer) Refresh(_ context.Context, _ *config.Profile, old clerk.Tokens) (clerk.Tokens, error) {
	i.called("refresh " + old.RefreshToken)
	return i.refresh(old)
}

func (i *issuer) Revoke(ctx context.Context, _ *config.Profile, token string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	i.called("revoke " + token)
	return i.revoke
}

func (i *issuer) Mint(context.Context, *config.Profile, string) (clerk.Tokens, error) {
	return i.mint()
}

func (i *issuer) CheckToken(context.Context, *config.Profile, string) (clerk.Verdict, error) {
	return i.check()
}

// attempt is a sign-in whose person signs in as soon as they are invited.
type attempt struct {
	issuer *issuer
	flow   clerk.Flow
	rest   []clerk.Flow
	came   chan struct{}
}

// Next skips flows that the issuer does not offer, as clerk.Attempt does.
func (a *attempt) Next(context.Context) error {
	for len(a.rest) > 0 {
		a.flow, a.rest, a.came = a.rest[0], a.rest[1:], make(chan struct{})
		if err := a.issuer.flows[a.flow]; !errors.Is(err, clerk.ErrOtherFlow) {
			call := "sign in"
			if a.flow != clerk.Browser {
				call += " by " + string(a.flow)
			}
			a.issuer.called(call)
			return err
		}
	}
	return clerk.ErrOtherFlow
}

func (a *attempt) Invitation() clerk.Invitation {
	return clerk.Invitation{Flow: a.flow, Paste: func(string) error { close(a.came); return nil }}
}

func (a *attempt) Wait(ctx context.Context) error {
	select {
	case <-a.came:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *attempt) Redeem(context.Context) (clerk.Tokens, error) { return a.issuer.signIn() }
func (a *attempt) Close()                                       { a.came = nil }

func (a *attempt) Finish(_ context.Context, err error) {
	if a.issuer.finish != nil {
		a.issuer.finish(err)
	}
}

// person says yes to everything, unless a field says otherwise.
type person struct {
	may        func(*config.Profile) error
	atTerminal bool
	invite     func(context.Context, *config.Profile, clerk.Invitation) error
	waiting    func(tool string)
	unlock     func() error
	confirm    error
}

func (h *person) MayAsk(p *config.Profile) (broker.Permission, error) {
	if h.may != nil {
		return broker.Permission{}, h.may(p)
	}
	return broker.Permission{AtTerminal: h.atTerminal}, nil
}

func (h *person) Invite(ctx context.Context, p *config.Profile, i clerk.Invitation) error {
	if h.invite != nil {
		if err := h.invite(ctx, p, i); err != nil {
			return err
		}
	}
	return i.Paste("")
}

func (h *person) Confirm(context.Context, *config.Profile, clerk.Tokens, string) error {
	return h.confirm
}

func (h *person) SayWaiting(_ *config.Profile, tool string) {
	if h.waiting != nil {
		h.waiting(tool)
	}
}

func (h *person) Unlock(context.Context, ...string) error {
	if h.unlock == nil {
		return platform.ErrLocked
	}
	return h.unlock()
}

// bench is a broker and everything that it uses.
type bench struct {
	*broker.Broker
	t        *testing.T
	acme     *config.Profile
	keychain *platformtest.Memory
	records  platformtest.Memory
	issuer   *issuer
	person   *person
	now      time.Time
	unlocks  int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	cfg := parse(t, `
[profiles.acme]
issuer = "https://clerk.acme.dev"
client_id = "client"
hosts = ["git.acme.dev", "registry.acme.dev:5000", "*.pkg.acme.dev"]
`)
	b := &bench{t: t, acme: cfg.Profiles[0], keychain: &platformtest.Memory{}, person: &person{}, now: start}
	b.issuer = &issuer{
		signIn: func() (clerk.Tokens, error) { return b.tokens("signed-in"), nil },
		refresh: func(old clerk.Tokens) (clerk.Tokens, error) {
			fresh := b.tokens("refreshed")
			return fresh, nil
		},
		check: func() (clerk.Verdict, error) { return clerk.Verdict{}, errors.New("no network") },
	}
	b.Broker = &broker.Broker{
		Config:   cfg,
		Keychain: b.keychain,
		Locks:    platform.Locks{Dir: filepath.Join(t.TempDir(), "locks")},
		Records:  &b.records,
		Issuer:   func(*config.Profile) (broker.Issuer, error) { return b.issuer, nil },
		Now:      func() time.Time { return b.now },
		Person:   b.person,
	}
	return b
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("config.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// tokens are good for a day from now. Their values begin with way.
func (b *bench) tokens(way string) clerk.Tokens {
	return clerk.Tokens{
		Subject: "user_ada", Email: "ada@acme.dev", Kind: "jwt",
		AccessToken: way + "-access", RefreshToken: way + "-refresh",
		ReceivedAt: b.now, ExpiresAt: b.now.Add(24 * time.Hour),
	}
}

// have puts a session into the keychain that was received that long ago.
func (b *bench) have(age time.Duration, change ...func(*broker.Session)) {
	b.t.Helper()
	s := broker.Session{
		Version: 1, Issuer: b.acme.Issuer, ClientID: b.acme.ClientID, Scopes: b.acme.Scopes,
		Subject: "user_ada", Email: "ada@acme.dev", Kind: "jwt",
		AccessToken: "kept-access", RefreshToken: "kept-refresh",
		ReceivedAt: b.now.Add(-age), ExpiresAt: b.now.Add(-age).Add(24 * time.Hour),
	}
	for _, c := range change {
		c(&s)
	}
	text, err := json.Marshal(s)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.keychain.Set(b.t.Context(), broker.KeychainItem(b.acme), string(text)); err != nil {
		b.t.Fatal(err)
	}
}

// kept is the session in the keychain.
func (b *bench) kept() broker.Session {
	b.t.Helper()
	text, err := b.keychain.Get(b.t.Context(), broker.KeychainItem(b.acme))
	if err != nil {
		b.t.Fatal(err)
	}
	var s broker.Session
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bench) wantCalls(want ...string) {
	b.t.Helper()
	if !slices.Equal(b.issuer.calls, want) {
		b.t.Errorf("the issuer was asked for %q, want %q", b.issuer.calls, want)
	}
}

func (b *bench) get(host string) protocol.Reply {
	return b.Answer(b.t.Context(), protocol.Request{Verb: protocol.Get, Scheme: "https", Host: host})
}

// standIn is a keychain that stands in for another one.
type standIn struct {
	broker.Keychain
	elsewhere bool
}

func (k standIn) Get(ctx context.Context, name string) (string, error) {
	secret, err := k.Keychain.Get(ctx, name)
	if errors.Is(err, platform.ErrNotFound) {
		err = &platform.UnseenError{Store: "kernel keyring", Why: "the other cannot be looked at", Elsewhere: k.elsewhere}
	}
	return secret, err
}

// TestUnseen: where a keychain could not be looked at, there is no claim that it has no session.
func TestUnseen(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		b := newBench(t)
		b.Keychain = standIn{b.keychain, elsewhere}
		var unseen *platform.UnseenError
		for range 2 { // the first leaves nothing that the second would take for an answer
			if out, err := b.Logout(t.Context(), b.acme); !errors.As(err, &unseen) || out.Session.SignedOut || !strings.Contains(err.Error(), "the other cannot be looked at") {
				t.Errorf("elsewhere %v, Logout: %+v, %v", elsewhere, out, err)
			}
		}
		if _, ok, err := b.ReadSession(t.Context(), b.acme); ok || errors.As(err, &unseen) != elsewhere {
			t.Errorf("elsewhere %v, ReadSession: %v, %v", elsewhere, ok, err)
		}
		// A tool may have the person sign in here: then the session is here.
		if reply := b.get("git.acme.dev"); reply.Result != protocol.Found {
			t.Errorf("elsewhere %v, get: %+v", elsewhere, reply)
		}
		if out, err := b.Logout(t.Context(), b.acme); err != nil || !out.Revoked {
			t.Errorf("elsewhere %v, Logout of a session: %+v, %v", elsewhere, out, err)
		}
		if out, err := b.Logout(t.Context(), b.acme); err != nil || out.Session.Email != "" {
			t.Errorf("elsewhere %v, Logout after that: %+v, %v", elsewhere, out, err)
		}

		b = newBench(t)
		b.Keychain, b.Person = standIn{b.keychain, elsewhere}, broker.NoPerson{Reason: errors.New("CI is set")}
		reply := b.get("git.acme.dev")
		if reply.Result != protocol.None || strings.Contains(reply.Err.Error(), "needs a sign-in") == elsewhere || strings.Contains(reply.Err.Error(), "the other cannot be looked at") != elsewhere ||
			!strings.HasSuffix(reply.Err.Error(), "CI is set") {
			t.Errorf("elsewhere %v, where no person is asked: %+v", elsewhere, reply)
		}
	}
}

// noLocks is a Locker that must not be used.
type noLocks struct{ t *testing.T }

func (l noLocks) Lock(_ context.Context, name string) (func(), error) {
	l.t.Errorf("the lock %s was taken", name)
	return func() {}, nil
}

func (l noLocks) TryLock(name string) (func(), bool, error) {
	l.t.Errorf("the lock %s was tried", name)
	return nil, false, nil
}

// busyLocks are locks that another process holds whenever they are tried: nothing happens ahead of need.
type busyLocks struct{ broker.Locker }

func (busyLocks) TryLock(string) (func(), bool, error) { return nil, false, nil }

func TestLiveTokenIsOneRead(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	b.Locks = noLocks{t}
	b.records.Hook = func(op, _ string) error { t.Errorf("%s of the records", op); return nil }
	b.person.may = func(*config.Profile) error { t.Error("the person was looked for"); return nil }
	var ops []string
	b.keychain.Hook = func(op, _ string) error { ops = append(ops, op); return nil }
	reply := b.get("git.acme.dev")
	want := protocol.Credential{Username: "clerk", Token: "kept-access", Expires: start.Add(23 * time.Hour)}
	if reply.Result != protocol.Found || reply.Credential != want {
		t.Errorf("got %+v", reply)
	}
	if !slices.Equal(ops, []string{"get"}) {
		t.Errorf("the keychain was used for %q; one read is all that the hot path may cost", ops)
	}
	b.wantCalls()
}

// TestFreshness: a token is handed out as it is with min_ttl, or half of its own life, left.
func TestFreshness(t *testing.T) {
	for _, row := range []struct {
		reason      string
		life, age   time.Duration
		minTTL      time.Duration
		wantRefresh bool
	}{
		{"new", 24 * time.Hour, 0, 5 * time.Minute, false},
		{"exactly min_ttl left", 24 * time.Hour, 24*time.Hour - 5*time.Minute, 5 * time.Minute, false},
		{"less than min_ttl left", 24 * time.Hour, 24*time.Hour - 5*time.Minute + time.Second, 5 * time.Minute, true},
		{"a token of one minute is good for its first half", time.Minute, 30 * time.Second, 5 * time.Minute, false},
		{"and not in its second", time.Minute, 31 * time.Second, 5 * time.Minute, true},
		{"min_ttl 0 uses it up to its end", time.Hour, time.Hour - time.Second, 0, false},
		{"but not at its end", time.Hour, time.Hour, 0, true},
		{"expired long ago", time.Hour, 100 * time.Hour, 5 * time.Minute, true},
		{"received in the future: the clock was wrong then, or is now", 24 * time.Hour, -time.Hour, 5 * time.Minute, true},
		{"min_ttl above the token's life asks for half of it", time.Hour, 29 * time.Minute, 2 * time.Hour, false},
	} {
		t.Run(row.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.acme.MinTTL = row.minTTL
				b.Locks = busyLocks{b.Locks}
				b.have(row.age, func(s *broker.Session) { s.ExpiresAt = s.ReceivedAt.Add(row.life) })
				if reply := b.get("git.acme.dev"); reply.Result != protocol.Found {
					t.Fatalf("got %+v", reply)
				}
				if refreshed := len(b.issuer.calls) > 0; refreshed != row.wantRefresh {
					t.Errorf("refreshed: %v, want %v", refreshed, row.wantRefresh)
				}
			})
		})
	}
}

// TestRefreshAhead: past half of its life a good token is refreshed ahead of need, and a failure does no harm.
func TestRefreshAhead(t *testing.T) { synctest.Test(t, testRefreshAhead) } // so that no machine is too slow for its 2 s

func testRefreshAhead(t *testing.T) {
	b := newBench(t)
	b.have(12 * time.Hour)
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "refreshed-access" {
		t.Errorf("got %+v", reply)
	}
	b.wantCalls("refresh kept-refresh")

	b = newBench(t)
	b.have(12*time.Hour - time.Second)
	b.get("git.acme.dev")
	b.wantCalls()

	b = newBench(t)
	b.have(13 * time.Hour)
	b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) {
		return clerk.Tokens{}, &clerk.ResponseError{Endpoint: "token", Status: 500}
	}
	for range 3 { // the first failure is enough for five minutes
		if reply := b.get("git.acme.dev"); reply.Credential.Token != "kept-access" {
			t.Errorf("got %+v", reply)
		}
	}
	b.wantCalls("refresh kept-refresh")
	b.now = b.now.Add(5*time.Minute + time.Second)
	b.get("git.acme.dev")
	b.wantCalls("refresh kept-refresh", "refresh kept-refresh")

	// An issuer that does not answer costs the caller two seconds, and the refresh goes on without it.
	b = newBench(t)
	b.have(13 * time.Hour)
	finish, finished := make(chan struct{}), make(chan struct{})
	b.SpawnRefresh = func(ctx context.Context, p *config.Profile, seen time.Time) error {
		go func() {
			<-finish
			if err := b.RefreshOnce(context.Background(), p, seen); err != nil {
				t.Error(err)
			}
			close(finished)
		}()
		<-ctx.Done()
		return ctx.Err()
	}
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "kept-access" {
		t.Errorf("got %+v", reply)
	}
	close(finish)
	<-finished
	if s := b.kept(); s.AccessToken != "refreshed-access" {
		t.Errorf("the refresh was abandoned: %+v", s)
	}
}

// TestSharedRefreshFailure: a process that waited for a refresh that failed does not send another.
func TestSharedRefreshFailure(t *testing.T) {
	b := newBench(t)
	b.have(25 * time.Hour)
	waiting := make(chan struct{})
	var once sync.Once
	b.Now = func() time.Time { return time.Now() }
	b.have(25*time.Hour, func(s *broker.Session) {
		s.ReceivedAt, s.ExpiresAt = time.Now().Add(-25*time.Hour), time.Now().Add(-time.Hour)
	})
	b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) {
		once.Do(func() { <-waiting })
		return clerk.Tokens{}, &clerk.ResponseError{Endpoint: "token", Status: 503}
	}
	var begun, wg sync.WaitGroup
	for range 20 {
		begun.Add(1)
		wg.Go(func() {
			ask := *b.Broker
			begins := sync.OnceFunc(begun.Done)
			ask.Now = func() time.Time { // first called when the call begins
				defer begins()
				return time.Now()
			}
			reply := ask.Answer(t.Context(), protocol.Request{Verb: protocol.Get, Scheme: "https", Host: "git.acme.dev"})
			if reply.Result != protocol.Failed || !strings.Contains(reply.Err.Error(), "503") {
				t.Errorf("got %+v", reply)
			}
		})
	}
	begun.Wait()
	close(waiting)
	wg.Wait()
	b.wantCalls("refresh kept-refresh")
}

func TestRefresh(t *testing.T) {
	b := newBench(t)
	b.have(25 * time.Hour)
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "refreshed-access" {
		t.Errorf("got %+v", reply)
	}
	b.wantCalls("refresh kept-refresh")
	if s := b.kept(); s.RefreshToken != "refreshed-refresh" || s.AccessToken != "refreshed-access" {
		t.Errorf("kept %+v", s)
	}
}

// TestRefreshLooksAgain: a token that another process refreshed while we waited for the lock is used as it is.
func TestRefreshLooksAgain(t *testing.T) {
	b := newBench(t)
	b.have(25 * time.Hour)
	reads := 0
	b.keychain.Hook = func(op, _ string) error {
		if op == "get" {
			if reads++; reads == 2 {
				b.keychain.Hook = nil
				b.have(0, func(s *broker.Session) { s.AccessToken = "theirs" })
			}
		}
		return nil
	}
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "theirs" {
		t.Errorf("got %+v", reply)
	}
	b.wantCalls()
}

// TestFailedRefresh: nothing is lost. The rows say what is kept, what is answered, and whether a person is asked.
func TestFailedRefresh(t *testing.T) {
	refused := &clerk.ResponseError{Endpoint: "token", Status: 500}
	for _, row := range []struct {
		reason      string
		age         time.Duration
		refresh     func(clerk.Tokens) (clerk.Tokens, error)
		wantOutcome protocol.Result
		wantToken   string
		wantRefresh string // the refresh token that is kept
		wantCalls   []string
	}{
		{"the issuer is down, the token is dead: an error, and everything stays", 25 * time.Hour,
			func(clerk.Tokens) (clerk.Tokens, error) { return clerk.Tokens{}, refused },
			protocol.Failed, "", "kept-refresh", []string{"refresh kept-refresh"}},
		{"the issuer is down, the token lives for another minute: it is served", 24*time.Hour - time.Minute,
			func(clerk.Tokens) (clerk.Tokens, error) { return clerk.Tokens{}, refused },
			protocol.Found, "kept-access", "kept-refresh", []string{"refresh kept-refresh"}},
		{"the answer does not fit the session: its refresh token is kept all the same", 25 * time.Hour,
			func(clerk.Tokens) (clerk.Tokens, error) {
				return clerk.Tokens{RefreshToken: "rotated"}, errors.New("another subject")
			},
			protocol.Failed, "", "rotated", []string{"refresh kept-refresh"}},
		{"the grant has ended: the person is asked", 25 * time.Hour,
			func(clerk.Tokens) (clerk.Tokens, error) {
				return clerk.Tokens{}, fmt.Errorf("%w: invalid_grant", clerk.ErrGrantEnded)
			},
			protocol.Found, "signed-in-access", "signed-in-refresh", []string{"refresh kept-refresh", "sign in"}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.have(row.age)
				b.issuer.refresh = row.refresh
				reply := b.get("git.acme.dev")
				if reply.Result != row.wantOutcome || reply.Credential.Token != row.wantToken {
					t.Errorf("got %+v", reply)
				}
				if s := b.kept(); s.RefreshToken != row.wantRefresh {
					t.Errorf("the refresh token kept is %q, want %q", s.RefreshToken, row.wantRefresh)
				}
				b.wantCalls(row.wantCalls...)
			})
		})
	}
}

// TestGrantEndedMeanwhile: a process without our lock has rotated the token; its session wins over invalid_grant.
func TestGrantEndedMeanwhile(t *testing.T) {
	b := newBench(t)
	b.have(25 * time.Hour)
	b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) {
		b.have(0, func(s *broker.Session) { s.AccessToken, s.RefreshToken = "theirs", "their-refresh" })
		return clerk.Tokens{}, clerk.ErrGrantEnded
	}
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "theirs" {
		t.Errorf("got %+v", reply)
	}
	b.wantCalls("refresh kept-refresh")
}

func TestSignInOnDemand(t *testing.T) {
	b := newBench(t)
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "signed-in-access" {
		t.Errorf("got %+v", reply)
	}
	b.wantCalls("sign in")
	if names := b.keychain.Names(); !slices.Equal(names, []string{broker.KeychainItem(b.acme)}) {
		t.Errorf("the keychain holds %q: the probe must not stay", names)
	}
}

func TestMayNotAsk(t *testing.T) {
	b := newBench(t)
	b.person.may = func(*config.Profile) error { return errors.New("CI is set") }
	b.Locks = noLocks{t}
	reply := b.get("git.acme.dev")
	var needs *broker.NeedsSignInError
	if reply.Result != protocol.None || !errors.As(reply.Err, &needs) || needs.Profile != "acme" {
		t.Errorf("got %+v", reply)
	}
	b.wantCalls()
	if names := b.keychain.Names(); len(names) != 0 {
		t.Errorf("the keychain holds %q", names)
	}
}

// TestOneSignIn: however many ask at once, one page opens.
func TestOneSignIn(t *testing.T) {
	b := newBench(t)
	asked := make(chan struct{})
	b.issuer.signIn = func() (clerk.Tokens, error) {
		<-asked
		return b.tokens("signed-in"), nil
	}
	var wg sync.WaitGroup
	var answered atomic.Int32
	for range 50 {
		wg.Go(func() {
			if reply := b.get("git.acme.dev"); reply.Credential.Token == "signed-in-access" {
				answered.Add(1)
			}
		})
	}
	close(asked)
	wg.Wait()
	if answered.Load() != 50 {
		t.Errorf("%d of 50 were answered", answered.Load())
	}
	b.wantCalls("sign in")
}

// TestSharedRefusal: the person refuses once, and all processes that waited return that; no other page opens.
func TestSharedRefusal(t *testing.T) {
	b := newBench(t)
	b.Now = time.Now
	decide := make(chan struct{})
	b.issuer.signIn = func() (clerk.Tokens, error) { <-decide; return clerk.Tokens{}, clerk.ErrDenied }
	var begun, ended sync.WaitGroup
	for range 50 {
		begun.Add(1)
		ended.Go(func() {
			p := *b.acme
			ask := *b.Broker
			ask.Person = &person{may: func(*config.Profile) error { begun.Done(); return nil }} // called after the call has begun
			if _, err := ask.Token(t.Context(), &p); !errors.Is(err, clerk.ErrDenied) {
				t.Errorf("got %v", err)
			}
		})
	}
	begun.Wait()
	close(decide)
	ended.Wait()
	b.wantCalls("sign in")
}

// TestCoolDown: a person who refused, or did not respond, is not asked for a minute, then two, up to an hour.
func TestCoolDown(t *testing.T) {
	b := newBench(t)
	answer := clerk.ErrDenied
	b.issuer.signIn = func() (clerk.Tokens, error) {
		if answer != nil {
			return clerk.Tokens{}, answer
		}
		return b.tokens("signed-in"), nil
	}
	asked := func() bool {
		t.Helper()
		before := len(b.issuer.calls)
		b.now = b.now.Add(time.Millisecond) // a call begun later
		reply := b.get("git.acme.dev")
		if answer != nil && (reply.Result != protocol.Refused || !errors.Is(reply.Err, answer)) {
			t.Errorf("got %+v; the words must be the same with and without a page", reply)
		}
		return len(b.issuer.calls) > before
	}
	for _, pause := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
		if !asked() {
			t.Fatalf("the person was not asked, %v", b.now)
		}
		if asked() {
			t.Fatalf("asked again at once; the pause is %v", pause)
		}
		b.now = b.now.Add(pause - time.Second)
		if asked() {
			t.Fatalf("asked again before %v", pause)
		}
		b.now = b.now.Add(2 * time.Second)
	}

	// A person at a terminal may ask again at any time, and login always does.
	if asked(); asked() {
		t.Fatal("no cool-down")
	}
	b.person.atTerminal = true
	if !asked() {
		t.Error("not asked at a terminal")
	}
	b.person.atTerminal = false
	answer = nil
	if _, err := b.Login(t.Context(), b.acme); err != nil {
		t.Error(err)
	}
	if until, _ := b.CoolDown(t.Context(), b.acme); !until.IsZero() {
		t.Errorf("a cool-down until %v after a login", until)
	}

	// Other failures leave none.
	unreachable := &url.Error{Op: "Get", URL: "https://clerk.acme.dev", Err: errors.New("no route")}
	forbidden := fmt.Errorf("listen on 127.0.0.1: %w", &net.OpError{Op: "listen", Net: "tcp4", Err: syscall.EPERM})
	for _, failure := range []error{platform.ErrNoBrowser, context.Canceled, unreachable, forbidden} {
		b = newBench(t)
		b.issuer.signIn = func() (clerk.Tokens, error) { return clerk.Tokens{}, failure }
		b.get("git.acme.dev")
		if until, _ := b.CoolDown(t.Context(), b.acme); !until.IsZero() {
			t.Errorf("%v left a cool-down", failure)
		}
	}
}

// TestCoolDownStays: neither an abandoned page in between, nor a refusal by the issuer, ends it.
func TestCoolDownStays(t *testing.T) {
	b := newBench(t)
	answer := error(clerk.ErrDenied)
	b.issuer.signIn = func() (clerk.Tokens, error) { return clerk.Tokens{}, answer }
	b.get("git.acme.dev")
	until, _ := b.CoolDown(t.Context(), b.acme)
	b.person.atTerminal = true
	answer = context.Canceled
	b.now = b.now.Add(time.Second)
	b.get("git.acme.dev")
	if after, _ := b.CoolDown(t.Context(), b.acme); !after.Equal(until) {
		t.Errorf("after Ctrl-C the cool-down ends at %v, not %v", after, until)
	}
	answer = &clerk.ResponseError{Endpoint: "token", Status: 400, Code: "invalid_client"}
	b.now = b.now.Add(time.Second)
	b.get("git.acme.dev")
	if after, _ := b.CoolDown(t.Context(), b.acme); !after.Equal(b.now.Add(2 * time.Minute)) {
		t.Errorf("after a second refusal the cool-down ends at %v", after)
	}
}

// TestRecordIsNotTrusted: a file from a wrong clock, or from another program, cannot prevent sign-ins for long.
func TestRecordIsNotTrusted(t *testing.T) {
	for reason, text := range map[string]string{
		"of the future":        `{"code":"denied","at":"2026-11-23T13:00:00Z","until":"2026-11-23T13:30:00Z"}`,
		"too old":              `{"code":"denied","at":"2026-11-22T11:00:00Z","until":"2026-11-30T13:30:00Z"}`,
		"a pause of years":     `{"code":"denied","at":"2026-11-23T10:59:00Z","until":"2036-11-23T13:30:00Z"}`,
		"not JSON":             `denied`,
		"no time":              `{"code":"denied","until":"2026-11-23T13:30:00Z"}`,
		"a code of our future": `{"code":"zzz","at":"2026-11-23T11:59:00Z"}`,
	} {
		b := newBench(t)
		if err := b.records.Set(t.Context(), strings.Replace(broker.KeychainItem(b.acme), "session", "signin", 1), text); err != nil {
			t.Fatal(err)
		}
		if reply := b.get("git.acme.dev"); reply.Result != protocol.Found {
			t.Errorf("%s: got %+v", reason, reply)
		}
	}
}

// TestWaitingIsSaid: a person who waits for another process's sign-in is told after a while.
func TestWaitingIsSaid(t *testing.T) {
	testworld.Long(t, "it waits for 3 s")
	t.Parallel()
	b := newBench(t)
	b.Caller.Name = "git"
	said := make(chan string)
	b.person.waiting = func(tool string) { said <- tool }
	b.issuer.signIn = func() (clerk.Tokens, error) {
		var by string
		select {
		case by = <-said:
		case <-time.After(time.Minute):
		}
		if by != "git" {
			t.Errorf("the sign-in is said to be for %q", by)
		}
		return b.tokens("signed-in"), nil
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { b.get("git.acme.dev") })
	}
	wg.Wait()
	b.wantCalls("sign in")
}

// TestSignInFails: a sign-in that fails leaves nothing behind.
func TestSignInFails(t *testing.T) {
	for _, row := range []struct {
		reason string
		spoil  func(*bench)
		want   error
		calls  []string
	}{
		{"the person says no", func(b *bench) {
			b.issuer.signIn = func() (clerk.Tokens, error) { return clerk.Tokens{}, clerk.ErrDenied }
		}, clerk.ErrDenied, []string{"sign in"}},
		{"there is no browser", func(b *bench) {
			b.person.invite = func(context.Context, *config.Profile, clerk.Invitation) error { return platform.ErrNoBrowser }
		}, platform.ErrNoBrowser, []string{"sign in"}},
		{"the keychain takes nothing: the person is not bothered", func(b *bench) {
			b.keychain.Hook = func(op, _ string) error {
				if op == "set" {
					return platform.ErrUnavailable
				}
				return nil
			}
		}, platform.ErrUnavailable, nil},
		{"the keychain fails between probe and session", func(b *bench) {
			b.keychain.Hook = func(op, name string) error {
				if op == "set" && name == broker.KeychainItem(b.acme) {
					return platform.ErrLocked
				}
				return nil
			}
		}, platform.ErrLocked, []string{"sign in", "revoke signed-in-refresh"}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBench(t)
			row.spoil(b)
			reply := b.get("git.acme.dev")
			if reply.Result != protocol.Refused || !errors.Is(reply.Err, row.want) {
				t.Errorf("got %+v", reply)
			}
			b.wantCalls(row.calls...)
			if names := b.keychain.Names(); len(names) != 0 {
				t.Errorf("the keychain holds %q", names)
			}
		})
	}
}

// TestLadder: the first flow that works is used. A flow that cannot reach the person leads to the next; any other error ends
// the sign-in.
func TestLadder(t *testing.T) {
	noBrowser := fmt.Errorf("%w: %w", clerk.ErrOtherFlow, platform.ErrNoBrowser)
	broken := errors.New("broken")
	all := []clerk.Flow{clerk.Browser, clerk.Device, clerk.Paste}
	for _, row := range []struct {
		reason  string
		flows   []clerk.Flow
		issuer  map[clerk.Flow]error
		invites map[clerk.Flow]error
		calls   []string
		err     error
	}{
		{"a browser that works", all, nil, nil, []string{"sign in"}, nil},
		{"no browser", all, nil, map[clerk.Flow]error{clerk.Browser: noBrowser}, []string{"sign in", "sign in by device"}, nil},
		{"no browser, and the issuer has no device grant", all, map[clerk.Flow]error{clerk.Device: clerk.ErrOtherFlow},
			map[clerk.Flow]error{clerk.Browser: noBrowser}, []string{"sign in", "sign in by paste"}, nil},
		{"the last one is not offered: the reason is the person's", []clerk.Flow{clerk.Browser, clerk.Device}, map[clerk.Flow]error{clerk.Device: clerk.ErrOtherFlow},
			map[clerk.Flow]error{clerk.Browser: noBrowser}, []string{"sign in"}, platform.ErrNoBrowser},
		{"the only one is not offered", []clerk.Flow{clerk.Device}, map[clerk.Flow]error{clerk.Device: clerk.ErrOtherFlow}, nil, nil, clerk.ErrOtherFlow},
		{"none works", all, nil, map[clerk.Flow]error{clerk.Browser: clerk.ErrOtherFlow, clerk.Device: clerk.ErrOtherFlow, clerk.Paste: noBrowser},
			[]string{"sign in", "sign in by device", "sign in by paste"}, platform.ErrNoBrowser},
		{"the person's side fails otherwise", all, nil, map[clerk.Flow]error{clerk.Browser: broken}, []string{"sign in"}, broken},
		{"the first flow does not begin", all, map[clerk.Flow]error{clerk.Browser: broken}, nil, []string{"sign in"}, broken},
		{"the next flow does not begin", all, map[clerk.Flow]error{clerk.Device: broken}, map[clerk.Flow]error{clerk.Browser: noBrowser},
			[]string{"sign in", "sign in by device"}, broken},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBench(t)
			b.issuer.flows = row.issuer
			b.person.invite = func(_ context.Context, _ *config.Profile, i clerk.Invitation) error { return row.invites[i.Flow] }
			s, err := b.Login(t.Context(), b.acme, row.flows...)
			if !errors.Is(err, row.err) || (err == nil) != (row.err == nil) || (err == nil) != (s.AccessToken == "signed-in-access") {
				t.Errorf("got %+v, %v; want %v", s, err, row.err)
			}
			b.wantCalls(row.calls...)
		})
	}
}

// TestBrowserIsToldLast: the page says "signed in" when the session is kept, and not if it could not be.
func TestBrowserIsToldLast(t *testing.T) {
	for _, failure := range []error{nil, platform.ErrLocked} {
		b := newBench(t)
		b.keychain.Hook = func(op, name string) error {
			if op == "set" && name == broker.KeychainItem(b.acme) {
				return failure
			}
			return nil
		}
		told := 0
		b.issuer.finish = func(err error) {
			told++
			if !errors.Is(err, failure) || len(b.keychain.Names()) != 1 && failure == nil {
				t.Errorf("told of %v with %q in the keychain", err, b.keychain.Names())
			}
		}
		if b.get("git.acme.dev"); told != 1 {
			t.Errorf("told %d times", told)
		}
	}
}

// TestOtherAccount: on demand only the previous account is kept; a login accepts any.
func TestOtherAccount(t *testing.T) {
	b := newBench(t)
	b.have(25*time.Hour, func(s *broker.Session) { s.RefreshToken = "" })
	b.issuer.signIn = func() (clerk.Tokens, error) {
		other := b.tokens("eve")
		other.Subject = "user_eve"
		return other, nil
	}
	if reply := b.get("git.acme.dev"); reply.Result != protocol.Refused || !errors.Is(reply.Err, broker.ErrOtherAccount) {
		t.Errorf("on demand: got %+v", reply)
	}
	if s := b.kept(); s.Subject != "user_ada" {
		t.Errorf("kept %+v", s)
	}
	if s, err := b.Login(t.Context(), b.acme); err != nil || s.Subject != "user_eve" {
		t.Errorf("login: %+v, %v", s, err)
	}
}

// TestOtherAccountAfterTheEnd: the account is still known after the session's end.
func TestOtherAccountAfterTheEnd(t *testing.T) {
	b := newBench(t)
	b.have(25 * time.Hour)
	b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) { return clerk.Tokens{}, clerk.ErrGrantEnded }
	b.issuer.signIn = func() (clerk.Tokens, error) {
		other := b.tokens("eve")
		other.Subject = "user_eve"
		return other, nil
	}
	if reply := b.get("git.acme.dev"); !errors.Is(reply.Err, broker.ErrOtherAccount) {
		t.Errorf("got %+v", reply)
	}
}

// TestOlderGrantIsRevoked: after the new session is kept, never before.
func TestOlderGrantIsRevoked(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	if _, err := b.Login(t.Context(), b.acme); err != nil {
		t.Fatal(err)
	}
	b.wantCalls("sign in", "revoke kept-refresh")

	b = newBench(t)
	b.have(time.Hour)
	b.issuer.signIn = func() (clerk.Tokens, error) { return clerk.Tokens{}, clerk.ErrDenied }
	if _, err := b.Login(t.Context(), b.acme); !errors.Is(err, clerk.ErrDenied) {
		t.Errorf("got %v", err)
	}
	b.wantCalls("sign in")
	if s := b.kept(); s.RefreshToken != "kept-refresh" {
		t.Errorf("a refused login lost the session: %+v", s)
	}
}

func TestLockedKeychain(t *testing.T) {
	lock := func(b *bench) {
		b.have(time.Hour)
		locked := true
		b.keychain.Hook = func(string, string) error {
			if locked {
				return platform.ErrLocked
			}
			return nil
		}
		b.person.unlock = func() error { b.unlocks++; locked = false; return nil }
	}
	b := newBench(t)
	lock(b)
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "kept-access" || b.unlocks != 1 {
		t.Errorf("got %+v after %d prompts", reply, b.unlocks)
	}
	b.wantCalls()

	b = newBench(t)
	lock(b)
	b.person.may = func(*config.Profile) error { return errors.New("CI is set") }
	if reply := b.get("git.acme.dev"); reply.Result != protocol.Failed || !errors.Is(reply.Err, platform.ErrLocked) || b.unlocks != 0 {
		t.Errorf("without a person to ask: got %+v after %d prompts", reply, b.unlocks)
	}
}

// confirming is a keychain that asks for each access, once the person has been asked by Unlock.
type confirming struct {
	*platformtest.Memory
	asks  []string // the items that it may ask for
	asked bool
	yes   bool
}

func (k *confirming) Get(ctx context.Context, name string) (string, error) {
	if !slices.Contains(k.asks, name) {
		return "", platform.ErrConfirm
	}
	if k.asked = true; !k.yes {
		k.asks = nil
		return "", fmt.Errorf("%w, and the prompt was dismissed", platform.ErrConfirm)
	}
	return k.Memory.Get(ctx, name)
}

func (k *confirming) Granted() bool { return k.asked }

// confirmer is the person at such a keychain.
type confirmer struct {
	*person
	keychain *confirming
	unlocks  int
}

func (c *confirmer) Unlock(_ context.Context, items ...string) error {
	c.unlocks++
	c.keychain.asks = items
	return nil
}

// TestConfirmedAccess: where the keychain asks for each access, all that a call does is in one process, and a no is one for the
// cool-down.
func TestConfirmedAccess(t *testing.T) {
	for _, row := range []struct {
		reason string
		age    time.Duration
		want   string
		calls  []string
	}{
		{"a live token", time.Hour, "kept-access", nil},
		{"one that has expired", 25 * time.Hour, "refreshed-access", []string{"refresh kept-refresh"}},
	} {
		b := newBench(t)
		b.have(row.age)
		k := &confirming{Memory: b.keychain, yes: true}
		who := &confirmer{person: b.person, keychain: k}
		b.Broker.Keychain, b.Broker.Person, b.Broker.SharedStore = k, who, true
		b.SpawnRefresh = func(context.Context, *config.Profile, time.Time) error {
			t.Errorf("%s: another process would ask again", row.reason)
			return nil
		}
		if reply := b.get("git.acme.dev"); reply.Credential.Token != row.want || who.unlocks != 1 {
			t.Errorf("%s: %+v after %d prompts", row.reason, reply, who.unlocks)
		}
		b.wantCalls(row.calls...)
	}

	b := newBench(t)
	b.have(time.Hour)
	k := &confirming{Memory: b.keychain}
	who := &confirmer{person: b.person, keychain: k}
	b.Broker.Keychain, b.Broker.Person = k, who
	for _, unlocks := range []int{1, 1} {
		reply := b.get("git.acme.dev")
		if reply.Result != protocol.Refused || !errors.Is(reply.Err, platform.ErrLocked) || who.unlocks != unlocks {
			t.Errorf("the person says no: %+v after %d prompts", reply, who.unlocks)
		}
	}
	b.wantCalls()
}

// TestDismissedUnlock: the person says no to the keychain's own prompt once, and all who waited hear it.
func TestDismissedUnlock(t *testing.T) {
	b := newBench(t)
	b.now = time.Now()
	b.have(0)
	b.Now = time.Now
	b.keychain.Hook = func(string, string) error { return platform.ErrLocked }
	decide := make(chan struct{})
	var prompts atomic.Int32
	var begun, ended sync.WaitGroup
	for range 20 {
		begun.Add(1)
		ended.Go(func() {
			p := *b.acme
			ask := *b.Broker
			once := sync.OnceFunc(begun.Done)
			ask.Person = &person{
				may: func(*config.Profile) error { once(); return nil }, // called after the call has begun
				unlock: func() error {
					prompts.Add(1)
					<-decide
					return fmt.Errorf("%w: the prompt was dismissed", platform.ErrLocked)
				},
			}
			if _, err := ask.Token(t.Context(), &p); !errors.Is(err, platform.ErrLocked) {
				t.Errorf("got %v", err)
			}
		})
	}
	begun.Wait()
	close(decide)
	ended.Wait()
	if n := prompts.Load(); n != 1 {
		t.Errorf("%d prompts, want one", n)
	}

	// The next call is in the cool-down, which a retry at a terminal overrides, as with a browser.
	now := time.Now()
	b.Now = func() time.Time { return now }
	b.person.unlock = func() error { b.unlocks++; return platform.ErrLocked }
	for _, row := range []struct {
		reason  string
		after   time.Duration
		unlocks int
	}{
		{"half a minute later", 30 * time.Second, 0},
		{"after the cool-down", 31 * time.Second, 1},
		{"twice as long, the second time", 90 * time.Second, 1},
		{"after that", 31 * time.Second, 2},
	} {
		now = now.Add(row.after)
		if _, err := b.Token(t.Context(), b.acme); !errors.Is(err, platform.ErrLocked) || b.unlocks != row.unlocks {
			t.Errorf("%s: %v after %d prompts, want %d", row.reason, err, b.unlocks, row.unlocks)
		}
	}
	b.person.atTerminal = true
	b.person.unlock = func() error { b.unlocks++; b.keychain.Hook = nil; return nil }
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "kept-access" || b.unlocks != 3 {
		t.Errorf("at a terminal: %+v after %d prompts", reply, b.unlocks)
	}
	b.wantCalls()
}

// TestLoginMakesAKeyring: the session can be read, because it is in another keychain, and the one that is to have the next is not
// ready.
func TestLoginMakesAKeyring(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	ready := false
	b.keychain.Hook = func(op, name string) error {
		if !ready && op != "get" {
			return platform.ErrNoKeyring
		}
		return nil
	}
	if _, err := b.Login(t.Context(), b.acme); !errors.Is(err, platform.ErrLocked) {
		t.Errorf("dismissed: %v", err)
	}
	b.wantCalls()
	b.person.unlock = func() error { b.unlocks++; ready = true; return nil }
	if _, err := b.Login(t.Context(), b.acme); err != nil || b.unlocks != 1 {
		t.Errorf("%v after %d prompts", err, b.unlocks)
	}
}

// TestLogoutUnlocks: a person who wants to sign out may be asked for the keychain's password, and one who is not there is not.
func TestLogoutUnlocks(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	locked := true
	b.keychain.Hook = func(string, string) error {
		if locked {
			return platform.ErrLocked
		}
		return nil
	}
	b.person.may = func(*config.Profile) error { return errors.New("CI is set") }
	if _, err := b.Logout(t.Context(), b.acme); !errors.Is(err, platform.ErrLocked) {
		t.Errorf("without a person: %v", err)
	}
	b.person.may = nil
	b.person.unlock = func() error { b.unlocks++; return platform.ErrLocked }
	if _, err := b.Logout(t.Context(), b.acme); !errors.Is(err, platform.ErrLocked) || b.unlocks != 1 {
		t.Errorf("dismissed: %v after %d prompts", err, b.unlocks)
	}
	b.person.unlock = func() error { b.unlocks++; locked = false; return nil }
	if out, err := b.Logout(t.Context(), b.acme); err != nil || !out.Revoked || b.unlocks != 2 {
		t.Errorf("unlocked: %+v, %v after %d prompts", out, err, b.unlocks)
	}
}

// TestUnreadableSession: what a later release has written is left as it is by everything but login.
func TestUnreadableSession(t *testing.T) {
	for reason, text := range map[string]string{
		"of a newer release":                         `{"v":2,"issuer":"https://clerk.acme.dev"}`,
		"of a newer release that has another form":   `{"v":3,"issuer":{"name":"https://clerk.acme.dev"},"scopes":"openid"}`,
		"of a newer release, with a field in front":  `{"format":"x","v":2}`,
		"of a release that is far away":              `{"v":1000000}`,
		"of a newer release, with our fields beside": `{"v":2,"issuer":"https://clerk.acme.dev","client_id":"client","access_token":"kept-access"}`,
	} {
		b := newBench(t)
		if err := b.keychain.Set(t.Context(), broker.KeychainItem(b.acme), text); err != nil {
			t.Fatal(err)
		}
		reply := b.get("git.acme.dev")
		var item *broker.ItemError
		if reply.Result != protocol.Failed || !errors.Is(reply.Err, broker.ErrUnreadable) || !errors.As(reply.Err, &item) || item.Profile != "acme" || strings.Contains(reply.Err.Error(), "kept") {
			t.Errorf("%s: got %+v", reason, reply)
		}
		if out, err := b.Logout(t.Context(), b.acme); !errors.Is(err, broker.ErrUnreadable) || out.Damaged {
			t.Errorf("%s: logout: %+v, %v", reason, out, err)
		}
		if got, _ := b.keychain.Get(t.Context(), broker.KeychainItem(b.acme)); got != text {
			t.Errorf("%s: the item was changed", reason)
		}
		if _, err := b.Login(t.Context(), b.acme); err != nil {
			t.Errorf("%s: login: %v", reason, err)
		}
	}
}

// TestDamagedSession: what a full disk, a power cut or a hand has left is no session. A tool signs in where that is
// allowed and says what is wrong where it is not, login replaces it, and logout removes it.
func TestDamagedSession(t *testing.T) {
	good := newBench(t)
	good.have(time.Hour)
	whole, _ := good.keychain.Get(t.Context(), broker.KeychainItem(good.acme))
	for reason, text := range map[string]string{
		"empty":                        "",
		"not JSON":                     "kept-access",
		"JSON of something else":       `[]`,
		"nothing in JSON":              "null",
		"an object without a version":  `{"access_token":"kept-access"}`,
		"version 0":                    `{"v":0}`,
		"a version below":              `{"v":-1}`,
		"a version that is text":       `{"v":"2"}`,
		"cut in half":                  whole[:len(whole)/2],
		"its last byte is missing":     whole[:len(whole)-1],
		"twice":                        whole + whole,
		"a field of another type":      strings.Replace(whole, `"sub":"user_ada"`, `"sub":{}`, 1),
		"a time that is none":          strings.Replace(whole, `"expires_at":"2`, `"expires_at":"x2`, 1),
		"in UTF-16, as an editor does": "\xff\xfe{\x00}\x00",
		"zeros":                        strings.Repeat("\x00", 900),
	} {
		damaged := func() *bench {
			b := newBench(t)
			b.keychain.Damage(broker.KeychainItem(b.acme), text)
			return b
		}
		b := damaged()
		b.person.may = func(*config.Profile) error { return errors.New("CI is set") }
		reply := b.get("git.acme.dev")
		var needs *broker.NeedsSignInError
		if reply.Result != protocol.None || !errors.As(reply.Err, &needs) || !strings.Contains(reply.Err.Error(), "the session in the keychain is damaged") || strings.Contains(reply.Err.Error(), "kept") {
			t.Errorf("%s, no person may be asked: %+v", reason, reply)
		}
		if _, ok, err := b.ReadSession(t.Context(), b.acme); ok || !errors.Is(err, broker.ErrDamaged) {
			t.Errorf("%s: shown: %v, %v", reason, ok, err)
		}
		erase := b.Answer(t.Context(), protocol.Request{Verb: protocol.Erase, Scheme: "https", Host: "git.acme.dev", Secret: "x"})
		if erase.Result != protocol.Done || erase.Err != nil {
			t.Errorf("%s: erase: %+v", reason, erase)
		}

		if reply := damaged().get("git.acme.dev"); reply.Credential.Token != "signed-in-access" {
			t.Errorf("%s: %+v", reason, reply)
		}
		b = damaged()
		if s, err := b.Login(t.Context(), b.acme); err != nil || s.AccessToken != "signed-in-access" || b.kept().AccessToken != s.AccessToken {
			t.Errorf("%s: login: %v", reason, err)
		}
		b = damaged()
		if out, err := b.Logout(t.Context(), b.acme); err != nil || !out.Damaged || out.Revoked || !b.kept().SignedOut {
			t.Errorf("%s: logout: %+v, %v", reason, out, err)
		}
		if out, err := b.Logout(t.Context(), b.acme); err != nil || out.Damaged {
			t.Errorf("%s: a second logout: %+v, %v", reason, out, err)
		}
	}
}

// TestLogoutOnFullDisk: a logout must not leave the session because there is no room for what takes its place.
func TestLogoutOnFullDisk(t *testing.T) {
	for _, row := range []struct {
		reason          string
		again, deletion error // of the second write, and of the deletion
		want            string
	}{
		{"a deletion makes room", nil, nil, "signed out"},
		{"there is no room even then", syscall.ENOSPC, nil, "deleted"},
		{"nothing can be deleted either", nil, syscall.EROFS, "as it was"},
	} {
		b := newBench(t)
		b.have(time.Hour)
		writes := 0
		b.keychain.Hook = func(op, name string) error {
			switch {
			case op == "delete":
				return row.deletion
			case op != "set":
				return nil
			}
			if writes++; writes == 1 {
				return &fs.PathError{Op: "write", Path: "session.tmp", Err: syscall.ENOSPC}
			}
			return row.again
		}
		out, err := b.Logout(t.Context(), b.acme)
		text, missing := b.keychain.Get(t.Context(), broker.KeychainItem(b.acme))
		got := "as it was"
		switch {
		case errors.Is(missing, platform.ErrNotFound):
			got = "deleted"
		case !strings.Contains(text, "kept"):
			got = "signed out"
		}
		if failed := row.want == "as it was"; got != row.want || (err != nil) != failed || out.Revoked == failed || failed && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %s, not %s; %+v, %v", row.reason, got, row.want, out, err)
		}
	}
}

// TestWhoseSession: a session belongs to issuer, client and scopes. A profile with others never reads it, whatever its name.
func TestWhoseSession(t *testing.T) {
	base := newBench(t)
	for _, row := range []struct {
		reason string
		change func(*config.Profile)
		same   bool
	}{
		{"another name", func(p *config.Profile) { p.Name = "other" }, true},
		{"other hosts", func(p *config.Profile) { p.Username = "x" }, true},
		{"another issuer", func(p *config.Profile) { p.Issuer = "https://clerk.evil.dev" }, false},
		{"the issuer with a path", func(p *config.Profile) { p.Issuer += "/x" }, false},
		{"another client", func(p *config.Profile) { p.ClientID = "client2" }, false},
		{"another scope", func(p *config.Profile) { p.Scopes = append(slices.Clone(p.Scopes), "x") }, false},
		{"another order of scopes", func(p *config.Profile) {
			p.Scopes = slices.Clone(p.Scopes)
			slices.Reverse(p.Scopes)
		}, false},
		{"the other kind of token", func(p *config.Profile) { p.Token = "id" }, false},
		{"the border between issuer and client moved", func(p *config.Profile) {
			p.Issuer, p.ClientID = p.Issuer+"c", strings.TrimPrefix(p.ClientID, "c")
		}, false},
	} {
		p := *base.acme
		row.change(&p)
		if same := broker.KeychainItem(&p) == broker.KeychainItem(base.acme); same != row.same {
			t.Errorf("%s: the same item: %v, want %v", row.reason, same, row.same)
		}
	}

	// An item under our name that is not ours is no session, and is not changed until a sign-in.
	b := newBench(t)
	b.person.may = func(*config.Profile) error { return errors.New("CI is set") }
	b.have(time.Hour, func(s *broker.Session) { s.Issuer = "https://clerk.evil.dev" })
	before, _ := b.keychain.Get(t.Context(), broker.KeychainItem(b.acme))
	if reply := b.get("git.acme.dev"); reply.Result != protocol.None {
		t.Errorf("got %+v", reply)
	}
	if after, _ := b.keychain.Get(t.Context(), broker.KeychainItem(b.acme)); after != before {
		t.Error("the record was changed")
	}
}

func TestErase(t *testing.T) {
	for _, row := range []struct {
		reason  string
		req     protocol.Request
		age     time.Duration
		dropped bool
		hint    bool
		foreign bool
	}{
		{"the token in force: the next call gets a new one", protocol.Request{Host: "git.acme.dev", Secret: "kept-access"}, time.Hour, true, true, false},
		{"none named", protocol.Request{Host: "git.acme.dev"}, time.Hour, true, false, false},
		{"an older token", protocol.Request{Host: "git.acme.dev", Secret: "older"}, time.Hour, false, false, false},
		{"the refresh token is not what a tool has", protocol.Request{Host: "git.acme.dev", Secret: "kept-refresh"}, time.Hour, false, false, false},
		{"a fresh token: the server refuses the person", protocol.Request{Host: "git.acme.dev", Secret: "kept-access"}, 59 * time.Second, false, false, false},
		{"a foreign host", protocol.Request{Host: "evil.dev", Secret: "kept-access"}, time.Hour, false, false, true},
		{"another user's name", protocol.Request{Host: "git.acme.dev", Username: "robot", Secret: "kept-access"}, time.Hour, false, false, true},
		{"no host", protocol.Request{Secret: "kept-access"}, time.Hour, false, false, true},
		{"docker's logout", protocol.Request{Host: "registry.acme.dev:5000", ServerURL: "registry.acme.dev:5000", Tool: protocol.DockerTool}, time.Hour, false, true, false},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBench(t)
			b.have(row.age)
			row.req.Verb, row.req.Scheme = protocol.Erase, "https"
			reply := b.Answer(t.Context(), row.req)
			want := protocol.Done
			if row.foreign {
				want = protocol.None
			}
			if reply.Result != want || (reply.Hint != "") != row.hint || (reply.Err != nil) != (row.age == 59*time.Second) {
				t.Errorf("got %+v", reply)
			}
			s := b.kept()
			if dropped := s.AccessToken == ""; dropped != row.dropped {
				t.Errorf("dropped: %v, want %v", dropped, row.dropped)
			}
			if s.RefreshToken != "kept-refresh" {
				t.Error("the refresh token is gone: erase is not a logout")
			}
			b.wantCalls()
		})
	}
}

func TestStore(t *testing.T) {
	for _, row := range []struct {
		reason  string
		req     protocol.Request
		outcome protocol.Result
		hint    bool
	}{
		{"git brings our token back", protocol.Request{Host: "git.acme.dev", Username: "clerk", Secret: "kept-access"}, protocol.Done, false},
		{"something else for our host", protocol.Request{Host: "git.acme.dev", Secret: "hunter2"}, protocol.Done, true},
		{"git stores for a foreign host", protocol.Request{Host: "github.com", Secret: "hunter2"}, protocol.None, false},
		{"docker brings our token back", protocol.Request{Host: "registry.acme.dev:5000", ServerURL: "registry.acme.dev:5000", Tool: protocol.DockerTool, Username: "clerk", Secret: "kept-access"}, protocol.Done, false},
		{"docker stores another account for our host", protocol.Request{Host: "registry.acme.dev:5000", ServerURL: "registry.acme.dev:5000", Tool: protocol.DockerTool, Username: "robot", Secret: "hunter2"}, protocol.Done, true},
		{"docker's http spelling of our host", protocol.Request{Scheme: "http", Host: "registry.acme.dev:5000", ServerURL: "http://registry.acme.dev:5000", Tool: protocol.DockerTool, Username: "x", Secret: "hunter2"}, protocol.None, false},
	} {
		b := newBench(t)
		b.have(time.Hour)
		before := b.kept()
		row.req.Verb = protocol.Store
		if row.req.Scheme == "" {
			row.req.Scheme = "https"
		}
		reply := b.Answer(t.Context(), row.req)
		if reply.Result != row.outcome || (reply.Hint != "") != row.hint {
			t.Errorf("%s: got %+v", row.reason, reply)
		}
		if after := b.kept(); !reflect.DeepEqual(after, before) || len(b.keychain.Names()) != 1 {
			t.Errorf("%s: the keychain changed", row.reason)
		}
	}
}

func TestList(t *testing.T) {
	b := newBench(t)
	b.person.may = func(*config.Profile) error { t.Error("list must not ask a person"); return nil }
	list := func() map[string]string {
		return b.Answer(t.Context(), protocol.Request{Verb: protocol.List}).Entries
	}
	if got := list(); len(got) != 0 {
		t.Errorf("signed out: %v", got)
	}
	b.have(25 * time.Hour)
	want := map[string]string{"git.acme.dev": "clerk", "registry.acme.dev:5000": "clerk"}
	if got := list(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v: hosts named exactly, and no refresh yet", got, want)
	}
	b.have(25*time.Hour, func(s *broker.Session) { s.RefreshToken = "" })
	if got := list(); len(got) != 0 {
		t.Errorf("only a sign-in would help: %v", got)
	}
	b.have(23*time.Hour, func(s *broker.Session) { s.RefreshToken = "" })
	if got := list(); !reflect.DeepEqual(got, want) {
		t.Errorf("without a refresh token: got %v", got)
	}
	b.wantCalls()
}

func TestUserName(t *testing.T) {
	for _, row := range []struct {
		reason, username string
		want             protocol.Result
	}{
		{"none", "", protocol.Found},
		{"the profile's", "clerk", protocol.Found},
		{"the account's e-mail", "Ada@acme.dev", protocol.Found},
		{"a robot's", "ci-bot", protocol.None},
		{"another account's", "eve@acme.dev", protocol.None},
		{"the profile's in other letters", "Clerk", protocol.None},
	} {
		b := newBench(t)
		b.have(time.Hour)
		reply := b.Answer(t.Context(), protocol.Request{Verb: protocol.Get, Scheme: "https", Host: "git.acme.dev", Username: row.username})
		if reply.Result != row.want {
			t.Errorf("%s: got %+v", row.reason, reply)
		}
		if row.want == protocol.Found && row.username != "" && reply.Credential.Username != row.username {
			t.Errorf("%s: answered for %q", row.reason, reply.Credential.Username)
		}
	}
	b := newBench(t) // no session, so that the account's name is unknown
	reply := b.Answer(t.Context(), protocol.Request{Verb: protocol.Get, Scheme: "https", Host: "git.acme.dev", Username: "ada@acme.dev"})
	if reply.Result != protocol.None {
		t.Errorf("another name, signed out: got %+v", reply)
	}
	b.wantCalls()
}

// TestForeign: a host of no profile gets nothing, and nothing is started or read for it.
func TestForeign(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	b.person.may = func(*config.Profile) error { t.Error("a person would have been asked"); return nil }
	b.Locks = noLocks{t}
	b.keychain.Hook = func(op, name string) error { t.Errorf("the keychain was asked: %s", op); return nil }
	for _, req := range []protocol.Request{
		{Scheme: "https", Host: "git.acme.dev.evil.com"},
		{Scheme: "https", Host: "evilgit.acme.dev"},
		{Scheme: "", Host: "evil.dev"},
		{Scheme: "https", Host: "a.b.pkg.acme.dev"},
		{Scheme: "https", Host: ""},
		{},
	} {
		req.Verb = protocol.Get
		if reply := b.Answer(t.Context(), req); !reflect.DeepEqual(reply, protocol.Reply{}) {
			t.Errorf("%s://%s: got %+v", req.Scheme, req.Host, reply)
		}
	}
	// Nor does another port of a host of ours: there is only a word about it.
	for _, req := range []protocol.Request{{Scheme: "https", Host: "git.acme.dev:8443"}, {Scheme: "http", Host: "git.acme.dev:8443"}} {
		for verb, want := range map[protocol.Verb]protocol.Reply{
			protocol.Get: {Hint: "acme has git.acme.dev: another port"}, protocol.Store: {}, protocol.Erase: {},
		} {
			req.Verb = verb
			if reply := b.Answer(t.Context(), req); !reflect.DeepEqual(reply, want) {
				t.Errorf("%s of %s://%s: got %+v", verb, req.Scheme, req.Host, reply)
			}
		}
	}
	// A host of ours that is asked for in another way gets nothing either, and the reason.
	for _, req := range []protocol.Request{
		{Scheme: "http", Host: "git.acme.dev"},
		{Scheme: "HTTP", Host: "git.acme.dev:80"},
		{Scheme: "http", Host: "registry.acme.dev:5000", Tool: protocol.DockerTool, ServerURL: "http://registry.acme.dev:5000"},
		{Scheme: "", Host: "x.pkg.acme.dev"},
		{Scheme: "ssh", Host: "git.acme.dev"},
	} {
		req.Verb = protocol.Get
		var insecure *broker.SchemeError
		reply := b.Answer(t.Context(), req)
		if reply.Result != protocol.None || !errors.As(reply.Err, &insecure) || reply.Credential != (protocol.Credential{}) {
			t.Errorf("%s://%s: got %+v", req.Scheme, req.Host, reply)
		}
		for _, verb := range []protocol.Verb{protocol.Store, protocol.Erase} {
			req.Verb = verb
			if reply := b.Answer(t.Context(), req); !reflect.DeepEqual(reply, protocol.Reply{}) {
				t.Errorf("%s of %s://%s: got %+v", verb, req.Scheme, req.Host, reply)
			}
		}
	}
}

// TestForeignIssuer: git hears of setup where a host of no profile has said who issues its tokens, and of nothing else.
func TestForeignIssuer(t *testing.T) {
	const own = `Bearer resource_metadata="https://git.other.dev/.well-known/oauth-protected-resource"`
	for _, row := range []struct {
		reason     string
		host       string
		tool       string
		verb       protocol.Verb
		challenges []string
		hint       bool
	}{
		{"its own metadata", "git.other.dev", protocol.GitTool, protocol.Get, []string{"Basic realm=x", own}, true},
		{"another's", "git.other.dev", protocol.GitTool, protocol.Get, []string{`Bearer resource_metadata="https://git.evil.dev/x"`}, false},
		{"a longer name", "git.other.dev", protocol.GitTool, protocol.Get, []string{`Bearer resource_metadata="https://git.other.dev.evil.dev/x"`}, false},
		{"by plain http", "git.other.dev", protocol.GitTool, protocol.Get, []string{`Bearer resource_metadata="http://git.other.dev/x"`}, false},
		{"none", "git.other.dev", protocol.GitTool, protocol.Get, []string{"Basic realm=x"}, false},
		{"a name for a shell", "git.other.dev;x", protocol.GitTool, protocol.Get, []string{`Bearer resource_metadata="https://git.other.dev;x/"`}, false},
		{"what git stores", "git.other.dev", protocol.GitTool, protocol.Store, []string{own}, false},
		{"docker", "git.other.dev", protocol.DockerTool, protocol.Get, []string{own}, false},
	} {
		b := newBench(t)
		reply := b.Answer(t.Context(), protocol.Request{Verb: row.verb, Tool: row.tool, Scheme: "https", Host: row.host, ServerURL: "https://" + row.host, Challenges: row.challenges})
		want := ""
		if row.hint {
			want = "git.other.dev is in no profile; if it is your company's: clerk-credential-helper setup git.other.dev"
		}
		if reply.Hint != want || reply.Result == protocol.Found {
			t.Errorf("%s: %+v", row.reason, reply)
		}
	}
}

func TestTwoAccountsOnOneHost(t *testing.T) {
	b := newBench(t)
	b.Config = parse(t, `
[profiles.person]
issuer = "https://clerk.acme.dev"
client_id = "client"
hosts = ["git.acme.dev"]
[profiles.robot]
issuer = "https://clerk.robots.dev"
client_id = "client"
hosts = ["git.acme.dev"]
username = "robot"
`)
	asked := ""
	b.person.may = func(p *config.Profile) error { asked = p.Name; return errors.New("not now") }
	for username, want := range map[string]string{"": "person", "clerk": "person", "robot": "robot"} {
		b.Answer(t.Context(), protocol.Request{Verb: protocol.Get, Scheme: "https", Host: "git.acme.dev", Username: username})
		if asked != want {
			t.Errorf("the user name %q chose %s, want %s", username, asked, want)
		}
	}
}

func TestLogout(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	out, err := b.Logout(t.Context(), b.acme)
	if err != nil || !out.Revoked || out.Session.Email != "ada@acme.dev" {
		t.Errorf("got %+v, %v", out, err)
	}
	b.wantCalls("revoke kept-refresh")
	if s := b.kept(); s.AccessToken != "" || s.RefreshToken != "" || s.Subject != "" || !s.SignedOut {
		t.Errorf("kept %+v", s)
	}

	// No tool's call asks until the person runs login.
	var needs *broker.NeedsSignInError
	if reply := b.get("git.acme.dev"); reply.Result != protocol.None || !errors.As(reply.Err, &needs) {
		t.Errorf("after a logout: got %+v", reply)
	}
	if _, err := b.Login(t.Context(), b.acme); err != nil {
		t.Fatal(err)
	}
	if reply := b.get("git.acme.dev"); reply.Result != protocol.Found {
		t.Errorf("after a login: got %+v", reply)
	}

	// Without a network the session is removed as well, and the error is returned.
	b.issuer.revoke = errors.New("no network")
	if out, err := b.Logout(t.Context(), b.acme); err != nil || out.Revoked || out.RevokeErr == nil {
		t.Errorf("offline: got %+v, %v", out, err)
	}
	if s := b.kept(); s.RefreshToken != "" {
		t.Error("offline: the session stayed")
	}

	b = newBench(t)
	if out, err := b.Logout(t.Context(), b.acme); err != nil || out.Session.Subject != "" {
		t.Errorf("not signed in: got %+v, %v", out, err)
	}
	b.wantCalls()
}

// TestRecord freezes the form of the item: every release reads the items of all earlier ones.
func TestRecord(t *testing.T) {
	const golden = `{"v":1,"issuer":"https://clerk.acme.dev","client_id":"client","scopes":["openid","profile","email","offline_access"],` +
		`"sub":"user_ada","email":"ada@acme.dev","access_token":"signed-in-access","kind":"jwt","refresh_token":"signed-in-refresh",` +
		`"received_at":"2026-11-23T12:00:00Z","expires_at":"2026-11-24T12:00:00Z"}`
	const item = "session-7a5b6c93537311a0469f8b640c09da3d"
	b := newBench(t)
	if _, err := b.Login(t.Context(), b.acme); err != nil {
		t.Fatal(err)
	}
	got, err := b.keychain.Get(t.Context(), item)
	if err != nil {
		t.Errorf("the item is %q now: sessions of earlier releases are lost", b.keychain.Names())
	} else if got != golden {
		t.Errorf("wrote %s", got)
	}

	b = newBench(t)
	b.now = start.Add(time.Hour)
	if err := b.keychain.Set(t.Context(), broker.KeychainItem(b.acme), golden); err != nil {
		t.Fatal(err)
	}
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "signed-in-access" {
		t.Errorf("a record of release 1 is not read: %+v", reply)
	}
}

// TestSignedOutMeanwhile: a logout counts that comes while a tool waits, or that was in a locked keychain.
func TestSignedOutMeanwhile(t *testing.T) {
	b := newBench(t)
	b.have(25 * time.Hour)
	reads := 0
	b.keychain.Hook = func(op, _ string) error {
		if op == "get" {
			if reads++; reads == 2 { // the lock of the refresh has been waited for
				b.keychain.Hook = nil
				b.have(time.Hour, func(s *broker.Session) { s.AccessToken, s.RefreshToken, s.SignedOut = "", "", true })
			}
		}
		return nil
	}
	var needs *broker.NeedsSignInError
	if reply := b.get("git.acme.dev"); reply.Result != protocol.None || !errors.As(reply.Err, &needs) {
		t.Errorf("while it waited: got %+v", reply)
	}

	b = newBench(t)
	b.have(time.Hour, func(s *broker.Session) { s.AccessToken, s.RefreshToken, s.SignedOut = "", "", true })
	locked := true
	b.keychain.Hook = func(string, string) error {
		if locked {
			return platform.ErrLocked
		}
		return nil
	}
	b.person.unlock = func() error { locked = false; return nil }
	if reply := b.get("git.acme.dev"); reply.Result != protocol.None || !errors.As(reply.Err, &needs) {
		t.Errorf("behind a lock: got %+v", reply)
	}

	b = newBench(t) // without a session before it
	if _, err := b.Logout(t.Context(), b.acme); err != nil {
		t.Fatal(err)
	}
	if reply := b.get("git.acme.dev"); !errors.As(reply.Err, &needs) {
		t.Errorf("never signed in: got %+v", reply)
	}
	b.wantCalls()
}

// TestStoppedHolder: the process whose turn it is to refresh is stopped, and the token that its copy brought is used.
func TestStoppedHolder(t *testing.T) {
	b := newBench(t)
	b.have(25 * time.Hour)
	b.Locks = stoppedHolder{b.Locks, func() { b.have(0, func(s *broker.Session) { s.AccessToken = "theirs" }) }}
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "theirs" {
		t.Errorf("got %+v", reply)
	}
}

// stoppedHolder is a Locker that never gets the lock for a refresh. It calls meanwhile.
type stoppedHolder struct {
	broker.Locker
	meanwhile func()
}

func (l stoppedHolder) Lock(ctx context.Context, name string) (func(), error) {
	if strings.HasPrefix(name, "refresh-") {
		l.meanwhile()
		return nil, context.DeadlineExceeded
	}
	return l.Locker.Lock(ctx, name)
}

// TestUnneededGrants are revoked: one that was refused on this side, and the one that is replaced, as it is then.
func TestUnneededGrants(t *testing.T) {
	b := newBench(t)
	b.have(25*time.Hour, func(s *broker.Session) { s.RefreshToken = "" })
	b.issuer.signIn = func() (clerk.Tokens, error) {
		other := b.tokens("eve")
		other.Subject = "user_eve"
		return other, nil
	}
	b.get("git.acme.dev")
	b.wantCalls("sign in", "revoke eve-refresh")

	for _, row := range []struct {
		reason string
		spoil  func(*bench)
		calls  []string
	}{
		{"the tokens are not good", func(b *bench) {
			b.issuer.signIn = func() (clerk.Tokens, error) {
				return clerk.Tokens{RefreshToken: "eve-refresh"}, clerk.ErrClock
			}
		}, []string{"sign in", "revoke eve-refresh"}},
		{"interrupted", func(b *bench) {
			b.issuer.signIn = func() (clerk.Tokens, error) {
				return clerk.Tokens{RefreshToken: "eve-refresh"}, context.Canceled
			}
		}, []string{"sign in", "revoke eve-refresh"}},
		{"the user does not know the account", func(b *bench) {
			b.issuer.signIn = func() (clerk.Tokens, error) {
				tokens := b.tokens("eve")
				tokens.Unproven = true
				return tokens, nil
			}
			b.person.confirm = errors.New("no")
		}, []string{"sign in", "revoke eve-refresh"}},
		{"the session lock is not free", func(b *bench) { b.Locks = noSessionLock{b.Locks} }, []string{"sign in", "revoke signed-in-refresh"}},
	} {
		b := newBench(t)
		row.spoil(b)
		if reply := b.get("git.acme.dev"); reply.Err == nil {
			t.Errorf("%s: got %+v", row.reason, reply)
		}
		b.wantCalls(row.calls...)
	}

	b = newBench(t)
	b.have(time.Hour)
	b.issuer.signIn = func() (clerk.Tokens, error) {
		b.have(0, func(s *broker.Session) { s.RefreshToken = "rotated meanwhile" })
		return b.tokens("signed-in"), nil
	}
	if _, err := b.Login(t.Context(), b.acme); err != nil {
		t.Fatal(err)
	}
	b.wantCalls("sign in", "revoke rotated meanwhile")
}

// interruptedKeychain writes a session, and is interrupted before it has said so, as one behind a bus can be.
type interruptedKeychain struct {
	broker.Keychain
	interrupt func()
}

func (k interruptedKeychain) Set(ctx context.Context, name, secret string) error {
	if err := k.Keychain.Set(ctx, name, secret); err != nil || !strings.HasPrefix(name, "session-") {
		return err
	}
	k.interrupt()
	return ctx.Err()
}

// TestInterruptedWrite: Ctrl-C while a session is written, or removed, leaves no grant alive that is not in the keychain.
func TestInterruptedWrite(t *testing.T) {
	for _, row := range []struct {
		reason string
		call   func(context.Context, *bench) error
		calls  []string
		kept   string
	}{
		{"login", func(ctx context.Context, b *bench) error {
			_, err := b.Login(ctx, b.acme)
			return err
		}, []string{"sign in", "revoke kept-refresh"}, "signed-in-refresh"},
		{"logout", func(ctx context.Context, b *bench) error {
			out, err := b.Logout(ctx, b.acme)
			return errors.Join(err, out.RevokeErr)
		}, []string{"revoke kept-refresh"}, ""},
	} {
		b := newBench(t)
		b.have(time.Hour)
		ctx, interrupt := context.WithCancel(t.Context())
		b.Keychain = interruptedKeychain{b.keychain, interrupt}
		if err := row.call(ctx, b); err != nil {
			t.Errorf("%s: %v", row.reason, err)
		}
		b.wantCalls(row.calls...)
		if s := b.kept(); s.RefreshToken != row.kept {
			t.Errorf("%s: kept %+v", row.reason, s)
		}
	}
}

// TestNoIDToken: a refresh that brings no ID token is not repeated. The ID token is used to its end, and then a sign-in
// is needed.
func TestNoIDToken(t *testing.T) {
	for name, brings := range map[string]func(*bench, clerk.Tokens) (clerk.Tokens, error){
		"the old one": func(b *bench, old clerk.Tokens) (clerk.Tokens, error) {
			fresh := b.tokens("refreshed")
			fresh.IDToken, fresh.SameIDToken, fresh.ExpiresAt = old.IDToken, true, old.ExpiresAt
			return fresh, nil
		},
		"none": func(b *bench, old clerk.Tokens) (clerk.Tokens, error) {
			return clerk.Tokens{RefreshToken: "refreshed-refresh"}, clerk.ErrNoIDToken
		},
	} {
		b := newBench(t)
		b.acme.Token = "id"
		b.person.may = func(*config.Profile) error { return platform.ErrNoBrowser }
		b.have(13*time.Hour, func(s *broker.Session) { s.IDToken = "kept-id" })
		b.issuer.refresh = func(old clerk.Tokens) (clerk.Tokens, error) { return brings(b, old) }
		for _, later := range []time.Duration{0, time.Minute, time.Hour, 10 * time.Hour} {
			b.now = start.Add(later)
			if reply := b.get("git.acme.dev"); reply.Credential.Token != "kept-id" {
				t.Errorf("%s, %v later: got %+v", name, later, reply)
			}
		}
		b.wantCalls("refresh kept-refresh")
		if s := b.kept(); s.RefreshToken != "refreshed-refresh" {
			t.Errorf("%s: kept %+v", name, s)
		}
		for _, later := range []time.Duration{12 * time.Hour, 13 * time.Hour} {
			b.now = start.Add(later)
			var needs *broker.NeedsSignInError
			if reply := b.get("git.acme.dev"); !errors.As(reply.Err, &needs) || !errors.Is(needs.Over, clerk.ErrNoIDToken) {
				t.Errorf("%s, %v later: got %+v", name, later, reply)
			}
		}
		b.wantCalls("refresh kept-refresh")
		b.person.may = nil
		b.issuer.signIn = func() (clerk.Tokens, error) {
			tokens := b.tokens("signed-in")
			tokens.IDToken = "new-id"
			return tokens, nil
		}
		if reply := b.get("git.acme.dev"); reply.Credential.Token != "new-id" {
			t.Errorf("%s: got %+v", name, reply)
		}
		b.wantCalls("refresh kept-refresh", "sign in", "revoke refreshed-refresh")
		b.now = b.now.Add(13 * time.Hour) // past half of the new one's life it is tried again
		b.get("git.acme.dev")
		b.wantCalls("refresh kept-refresh", "sign in", "revoke refreshed-refresh", "refresh signed-in-refresh")
	}
}

// smallKeychain has room for so many bytes.
type smallKeychain struct {
	broker.Keychain
	room  int
	sizes map[string]int
}

func (k *smallKeychain) Set(ctx context.Context, name, secret string) error {
	used := len(secret)
	for other, size := range k.sizes {
		if other != name {
			used += size
		}
	}
	if used > k.room {
		return syscall.EDQUOT
	}
	k.sizes[name] = len(secret)
	return k.Keychain.Set(ctx, name, secret)
}

func (k *smallKeychain) Delete(ctx context.Context, name string) error {
	delete(k.sizes, name)
	return k.Keychain.Delete(ctx, name)
}

// TestNoRoom: a session that the keychain has no room for is noticed before the user is asked. One in the place of a session of
// its size needs none.
func TestNoRoom(t *testing.T) {
	for _, token := range []string{"access", "id"} {
		b := newBench(t)
		b.acme.Token = token
		b.issuer.signIn = func() (clerk.Tokens, error) {
			tokens := b.tokens("signed-in")
			tokens.AccessToken += strings.Repeat("x", 900)
			tokens.IDToken = strings.Repeat("y", 1200)
			return tokens, nil
		}
		k := &smallKeychain{b.keychain, 5500, map[string]int{}}
		b.Broker.Keychain = k
		if _, err := b.Login(t.Context(), b.acme); err != nil {
			t.Fatalf("%s: the first: %v", token, err)
		}
		second := *b.acme
		second.Name, second.ClientID = "second", "another"
		k.room = k.sizes[broker.KeychainItem(b.acme)] + 1000
		b.issuer.calls = nil
		var failed *broker.SignInError
		_, err := b.Login(t.Context(), &second)
		if !errors.As(err, &failed) || !errors.Is(err, syscall.EDQUOT) || !strings.Contains(err.Error(), "no room for another session") {
			t.Errorf("%s: the second: %v", token, err)
		}
		b.wantCalls()
		k.room = k.sizes[broker.KeychainItem(b.acme)] + 2000
		if _, err := b.Login(t.Context(), b.acme); err != nil {
			t.Errorf("%s: the first again: %v", token, err)
		}
		if names := b.keychain.Names(); len(names) != 1 {
			t.Errorf("%s: the keychain holds %q", token, names)
		}
	}
}

// noSessionLock are locks of which the session's cannot be taken.
type noSessionLock struct{ broker.Locker }

func (l noSessionLock) Lock(ctx context.Context, name string) (func(), error) {
	if strings.HasPrefix(name, "session") {
		return nil, errFull
	}
	return l.Locker.Lock(ctx, name)
}

func TestIDTokenProfile(t *testing.T) {
	b := newBench(t)
	b.acme.Token = "id"
	b.issuer.signIn = func() (clerk.Tokens, error) {
		tokens := b.tokens("signed-in")
		tokens.IDToken = "the-id-token"
		return tokens, nil
	}
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "the-id-token" {
		t.Errorf("got %+v", reply)
	}
}

// besides gives a bench a second keychain, and puts a session of another sign-in into it.
func (b *bench) besides() *platformtest.Memory {
	b.t.Helper()
	other := &platformtest.Memory{}
	b.Beside = other
	b.have(time.Hour)
	s := b.kept()
	s.Email, s.AccessToken, s.RefreshToken = "bob@acme.dev", "other-access", "other-refresh"
	text, err := json.Marshal(s)
	if err == nil {
		err = other.Set(b.t.Context(), broker.KeychainItem(b.acme), string(text))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return other
}

// TestBeside: a session in each of two keychains.
func TestBeside(t *testing.T) {
	b := newBench(t)
	b.besides()
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "kept-access" {
		t.Errorf("got %+v", reply)
	}
	if s, used, ok := broker.ReadBeside(t.Context(), b.Broker, b.acme); !ok || used || s.Email != "bob@acme.dev" {
		t.Errorf("ReadBeside: %+v, %v, %v", s, used, ok)
	}
	out, err := b.Logout(t.Context(), b.acme)
	if err != nil || !out.Revoked || out.Session.Email != "ada@acme.dev" || out.Other.Email != "bob@acme.dev" || out.Unseen != nil {
		t.Errorf("Logout: %+v, %v", out, err)
	}
	b.wantCalls("revoke kept-refresh", "revoke other-refresh")

	// What was signed out of is older than a session beside it.
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "other-access" {
		t.Errorf("beside a session that was signed out of: %+v", reply)
	}
	if _, used, ok := broker.ReadBeside(t.Context(), b.Broker, b.acme); !ok || !used {
		t.Errorf("ReadBeside of the session in use: %v, %v", used, ok)
	}

	b = newBench(t)
	b.besides()
	b.issuer.revoke = errors.New("no network")
	if out, err := b.Logout(t.Context(), b.acme); err != nil || out.Revoked || out.RevokeErr == nil {
		t.Errorf("offline: %+v, %v", out, err)
	}

	b = newBench(t)
	b.besides()
	if _, err := b.Login(t.Context(), b.acme); err != nil {
		t.Fatal(err)
	}
	b.wantCalls("sign in", "revoke kept-refresh", "revoke other-refresh")

	// One that is damaged, or cannot be read, is no obstacle.
	for _, failure := range []error{platform.ErrDamaged, platform.ErrUnavailable, platform.ErrNotFound} {
		b = newBench(t)
		b.besides().Hook = func(string, string) error { return failure }
		if out, err := b.Logout(t.Context(), b.acme); err != nil || !out.Revoked || out.Other.Email != "" || out.Unseen != nil {
			t.Errorf("%v: %+v, %v", failure, out, err)
		}
		b.wantCalls("revoke kept-refresh")
	}
}

// TestBesideUnseen: a session was ended, and the other keychain could not be looked at.
func TestBesideUnseen(t *testing.T) {
	b := newBench(t)
	b.besides().Hook = func(string, string) error {
		return &platform.UnseenError{Store: "kernel keyring", Why: "no bus answers", Elsewhere: true}
	}
	for range 2 {
		if out, err := b.Logout(t.Context(), b.acme); err != nil || out.Unseen == nil || out.Unseen.Why != "no bus answers" {
			t.Errorf("Logout: %+v, %v", out, err)
		}
	}
}

// TestBesideLocked: the usual keychain cannot be looked at, so what it has lives on. The session in the other one is ended.
func TestBesideLocked(t *testing.T) {
	dismissed := fmt.Errorf("%w: the prompt was dismissed", platform.ErrLocked)
	for _, row := range []struct {
		reason  string
		may     error
		failure error // of the usual keychain
		want    string
	}{
		{"no person may be asked", errors.New("CI is set"), platform.ErrLocked, "the keychain is locked"},
		{"the person says no", nil, platform.ErrLocked, "the prompt was dismissed"},
		{"the service is silent", nil, platform.ErrUnavailable, "no keychain is available"},
	} {
		b := newBench(t)
		other := b.besides()
		shut := true
		b.keychain.Hook = func(string, string) error {
			if shut {
				return row.failure
			}
			return nil
		}
		b.person.may = func(*config.Profile) error { return row.may }
		b.person.unlock = func() error { return dismissed }
		out, err := b.Logout(t.Context(), b.acme)
		if err != nil || !out.Revoked || out.Session.Email != "bob@acme.dev" || out.Other.Email != "" {
			t.Errorf("%s: %+v, %v", row.reason, out, err)
		}
		lives := out.LivesOn(b.acme)
		if !errors.Is(lives, row.failure) || !strings.Contains(lives.Error(), row.want) || !strings.Contains(lives.Error(), "could not be looked at") {
			t.Errorf("%s: %v", row.reason, lives)
		}
		b.wantCalls("revoke other-refresh")
		var left broker.Session
		if text, err := other.Get(t.Context(), broker.KeychainItem(b.acme)); err != nil || json.Unmarshal([]byte(text), &left) != nil || !left.SignedOut || left.RefreshToken != "" {
			t.Errorf("%s: the other keychain has %+v, %v", row.reason, left, err)
		}

		// There is nothing in the other one now, so nothing is signed out of.
		if out, err := b.Logout(t.Context(), b.acme); !errors.Is(err, row.failure) || out.Revoked || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: again: %+v, %v", row.reason, out, err)
		}
		b.wantCalls("revoke other-refresh")
		shut = false
		if s := b.kept(); s.RefreshToken != "kept-refresh" {
			t.Errorf("%s: the session of the usual keychain is %+v", row.reason, s)
		}
	}

	// A Ctrl-C at the prompt ends the logout, before anything is done.
	b := newBench(t)
	other := b.besides()
	b.keychain.Hook = func(string, string) error { return platform.ErrLocked }
	ctx, cancel := context.WithCancel(t.Context())
	b.person.unlock = func() error { cancel(); return ctx.Err() }
	if out, err := b.Logout(ctx, b.acme); !errors.Is(err, context.Canceled) || out.Revoked {
		t.Errorf("Ctrl-C: %+v, %v", out, err)
	}
	if text, err := other.Get(t.Context(), broker.KeychainItem(b.acme)); err != nil || !strings.Contains(text, "other-refresh") {
		t.Errorf("Ctrl-C: the other keychain has %q, %v", text, err)
	}
}

// labelled is a keychain that remembers the label of each item.
type labelled struct {
	*platformtest.Memory
	labels map[string]string
}

func (k labelled) SetLabelled(ctx context.Context, name, label, secret string) error {
	k.labels[name] = label
	return k.Set(ctx, name, secret)
}

// TestLabels: a person can tell in the keychain's own program what each item is.
func TestLabels(t *testing.T) {
	b := newBench(t)
	k := labelled{b.keychain, map[string]string{}}
	b.Keychain = k
	item := broker.KeychainItem(b.acme)
	if _, err := b.Login(t.Context(), b.acme); err != nil {
		t.Fatal(err)
	}
	if want := "Clerk sign-in: acme (ada@acme.dev), clerk.acme.dev"; k.labels[item] != want {
		t.Errorf("signed in: %q, want %q", k.labels[item], want)
	}
	if _, err := b.Logout(t.Context(), b.acme); err != nil {
		t.Fatal(err)
	}
	if want := "Clerk sign-in: acme (signed out), clerk.acme.dev"; k.labels[item] != want {
		t.Errorf("signed out: %q, want %q", k.labels[item], want)
	}
	b.issuer.signIn = func() (clerk.Tokens, error) {
		foreign := b.tokens("foreign")
		foreign.Email = "ada\x1b[31m@acme.dev"
		return foreign, nil
	}
	if _, err := b.Login(t.Context(), b.acme); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(k.labels[item], "\x1b") {
		t.Errorf("the label carries a control character: %q", k.labels[item])
	}
	for name, label := range k.labels {
		if strings.Contains(label, "access") || strings.Contains(label, "refresh") {
			t.Errorf("the label of %s: %q", name, label)
		}
	}
}
