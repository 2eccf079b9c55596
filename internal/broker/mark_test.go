package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform/platformtest"
	"clerk-credential-helper/protocol"
)

// The limits of package broker that these tests go to on both sides.
const (
	moment = 300 * time.Millisecond // a mark has to stand for so long
	doubt  = 5 * time.Second        // in doubt
	// longest bounds a refresh on one side after the other side was killed: the age of its mark, and what follows.
	longest = 160*time.Second + doubt + time.Second
)

// memoryLocks are the locks of one side.
type memoryLocks struct {
	mu   sync.Mutex
	held map[string]bool
}

func (l *memoryLocks) Lock(ctx context.Context, name string) (func(), error) {
	for {
		if release, ok, _ := l.TryLock(name); ok {
			return release, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (l *memoryLocks) TryLock(name string) (release func(), ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[name] {
		return nil, false, nil
	}
	if l.held == nil {
		l.held = map[string]bool{}
	}
	l.held[name] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, name)
	}, true, nil
}

// process is one process of a side. Its steps are before and after each operation of the keychain, and before and after the
// issuer's answer.
type process struct {
	step   int
	delay  func(step int) time.Duration
	kill   int // the step at which the process is killed, 0 for none
	killed bool
	last   string // the last step
}

func (p *process) pass(what string) {
	if p == nil {
		return
	}
	if p.killed {
		runtime.Goexit() // it does nothing more, also in what is deferred
	}
	p.step++
	p.last = what
	if p.delay != nil {
		time.Sleep(p.delay(p.step))
	}
	if p.step == p.kill {
		p.killed = true
		runtime.Goexit()
	}
}

// processLocks are the locks that one process holds. They are free when it ends.
type processLocks struct {
	*memoryLocks
	releases []func()
}

func (l *processLocks) Lock(ctx context.Context, name string) (func(), error) {
	release, err := l.memoryLocks.Lock(ctx, name)
	l.releases = append(l.releases, release)
	return release, err
}

func (l *processLocks) end() {
	for _, release := range l.releases {
		if release != nil {
			release()
		}
	}
}

// steppedKeychain is the keychain of a process.
type steppedKeychain struct {
	broker.Keychain
	p *process
}

func (k steppedKeychain) Get(ctx context.Context, name string) (string, error) {
	k.p.pass("before get")
	defer k.p.pass("after get")
	return k.Keychain.Get(ctx, name)
}

func (k steppedKeychain) Set(ctx context.Context, name, secret string) error {
	k.p.pass("before set")
	defer k.p.pass("after set")
	return k.Keychain.Set(ctx, name, secret)
}

// rotating is an issuer that rotates a grant's refresh token at each use, and ends the grant when one is used again. The name of the
// grant is the beginning of its tokens.
type rotating struct {
	*issuer
	mu        sync.Mutex
	valid     map[string]string // the grants' refresh tokens
	failures  int               // so many refreshes fail from now on, and rotate nothing
	refreshes int
	reuses    int
}

func grant(refreshToken string) string { return refreshToken[:strings.LastIndex(refreshToken, "-")] }

// keeps reports whether a refresh token can be used.
func (i *rotating) keeps(refreshToken string) bool {
	return refreshToken != "" && i.valid[grant(refreshToken)] == refreshToken
}

// issuerOf is the issuer as a process reaches it.
type issuerOf struct {
	*rotating
	p    *process
	half time.Duration
}

func (i issuerOf) Refresh(ctx context.Context, _ *config.Profile, old clerk.Tokens) (clerk.Tokens, error) {
	i.p.pass("before asking")
	time.Sleep(i.half)
	t, err := i.answer(old)
	time.Sleep(i.half)
	i.p.pass("after asking")
	return t, err
}

func (i *rotating) answer(old clerk.Tokens) (clerk.Tokens, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refreshes++
	if i.failures > 0 {
		i.failures--
		return clerk.Tokens{}, errors.New("no network")
	}
	name := grant(old.RefreshToken)
	if !i.keeps(old.RefreshToken) {
		i.reuses++
		delete(i.valid, name)
		return clerk.Tokens{}, clerk.ErrGrantEnded
	}
	now := time.Now()
	i.valid[name] = fmt.Sprintf("%s-%d", name, i.refreshes)
	return clerk.Tokens{
		Subject: "user_ada", Email: "ada@acme.dev", Kind: "jwt", AccessToken: fmt.Sprintf("access-%d", i.refreshes),
		RefreshToken: i.valid[name], ReceivedAt: now, ExpiresAt: now.Add(24 * time.Hour),
	}, nil
}

func (i *rotating) Revoke(_ context.Context, _ *config.Profile, token string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.valid, grant(token))
	return nil
}

// sides are brokers that share a keychain and an issuer. Processes of one side share locks and records.
type sides struct {
	*bench
	issuer *rotating
	all    []*oneSide
}

type oneSide struct {
	*sides
	locks   memoryLocks
	records platformtest.Memory
}

// newSides are n sides whose session has expired. It is called in a bubble of synctest.
func newSides(t *testing.T, n int) *sides {
	s := &sides{bench: newBench(t)}
	s.bench.now = time.Now()
	s.have(25*time.Hour, func(s *broker.Session) {
		rejected := fmt.Sprintf(`[{"host":%q,"count":1}]`, config.TargetName("https", "git.acme.dev"))
		if err := json.Unmarshal([]byte(rejected), &s.RejectedBy); err != nil {
			t.Fatal(err)
		}
	})
	s.issuer = &rotating{issuer: s.bench.issuer, valid: map[string]string{"kept": "kept-refresh"}}
	s.bench.issuer.signIn = func() (clerk.Tokens, error) {
		s.bench.now = time.Now()
		s.issuer.mu.Lock()
		defer s.issuer.mu.Unlock()
		s.issuer.valid["signed-in"] = "signed-in-refresh"
		return s.tokens("signed-in"), nil
	}
	s.bench.issuer.check = func() (clerk.Verdict, error) { return clerk.Verdict{Subject: "user_ada"}, nil }
	for range n {
		s.all = append(s.all, &oneSide{sides: s})
	}
	return s
}

// broker is the broker of one process of the side. A refresh takes it twice the time half at the issuer.
func (s *oneSide) broker(p *process, half time.Duration) *broker.Broker {
	b := *s.Broker
	b.Keychain = steppedKeychain{s.keychain, p}
	b.Locks, b.Records, b.SharedStore, b.Now = &s.locks, &s.records, true, time.Now
	b.Issuer = func(*config.Profile) (broker.Issuer, error) { return issuerOf{s.issuer, p, half}, nil }
	return &b
}

// refresh is the detached process of a refresh. It returns false if it was killed.
func (s *oneSide) refresh(p *process, half time.Duration, seen time.Time) (ended bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := s.broker(p, half)
		locks := &processLocks{memoryLocks: &s.locks}
		defer func() {
			if !ended {
				locks.end()
			}
		}()
		b.Locks = locks
		b.RefreshOnce(context.Background(), s.acme, seen)
		ended = true
	}()
	<-done
	return ended
}

// plan is what one side does in a trial.
type plan struct {
	after time.Duration // it begins so late
	gap   time.Duration // from the read of its claim to the write
	slow  time.Duration // from the write to the keychain's answer
	look  time.Duration // before it looks at its mark again
	half  time.Duration // of the issuer's time
}

// The steps of a refresh that no other side disturbs: each of its operations is two.
const (
	afterClaimRead = 4
	afterMark      = 6
	beforeLook     = 7
	afterAnswer    = 14
	beforeWrite    = 15
	lastStep       = 20
)

func (p plan) process() *process {
	return &process{delay: func(step int) time.Duration {
		switch step {
		case afterClaimRead:
			return p.gap
		case afterMark:
			return p.slow
		case beforeLook:
			return p.look
		}
		return 0
	}}
}

// trial has each side refresh once, and checks that the issuer was asked once, by a token that it had not seen before.
func trial(t *testing.T, plans ...plan) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSides(t, len(plans))
		seen := s.kept().ReceivedAt
		var wg sync.WaitGroup
		began := time.Now()
		for i, p := range plans {
			wg.Go(func() {
				time.Sleep(p.after)
				s.all[i].refresh(p.process(), p.half, seen)
			})
		}
		wg.Wait()
		if s.issuer.refreshes != 1 || s.issuer.reuses != 0 {
			t.Errorf("%+v: %d refreshes, %d reuses", plans, s.issuer.refreshes, s.issuer.reuses)
		}
		if kept := s.kept(); !s.issuer.keeps(kept.RefreshToken) {
			t.Errorf("%+v: kept %+v", plans, kept)
		}
		if took := time.Since(began); took > 4*doubt {
			t.Errorf("%+v took %v", plans, took)
		}
	})
}

// TestTwoSides: each order of the reads and writes of two sides, also those that no keychain is slow enough for.
func TestTwoSides(t *testing.T) {
	const little = time.Millisecond
	var all []plan
	for _, gap := range []time.Duration{0, moment / 2, moment - little, moment + little, 3 * moment} {
		for _, slow := range []time.Duration{0, moment - little, moment + little} {
			for _, look := range []time.Duration{0, moment + little} {
				for _, half := range []time.Duration{5 * time.Millisecond, 2 * time.Second} {
					all = append(all, plan{gap: gap, slow: slow, look: look, half: half})
				}
			}
		}
	}
	some, n := raced || os.Getenv("CI") != "true", 0
	for i, one := range all {
		for j, other := range all {
			if some && (i+j)%10 != 0 {
				continue
			}
			for _, after := range []time.Duration{0, moment / 2, moment - little, moment, moment + little, 2*moment + little} {
				other.after = after
				trial(t, one, other)
				if n++; t.Failed() {
					return
				}
			}
		}
	}
	t.Logf("%d orders", n)
}

// TestThreeSides: some orders of three.
func TestThreeSides(t *testing.T) {
	seed := rand.Uint64()
	chance := rand.New(rand.NewPCG(seed, 0))
	upTo := func(d time.Duration) time.Duration { return time.Duration(chance.Int64N(int64(d))) }
	trials := 1500
	if raced {
		trials = 150
	}
	for range trials {
		var plans []plan
		for range 3 {
			p := plan{after: upTo(4 * moment), half: upTo(2 * time.Second)}
			for _, d := range []*time.Duration{&p.gap, &p.slow, &p.look} {
				if chance.IntN(2) == 0 {
					*d = upTo(2 * moment)
				}
			}
			plans = append(plans, p)
		}
		trial(t, plans...)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestKilledSide: a process is killed at each of its steps. A process of its own side goes on at once, one of another side
// when the mark is too old; then the next one does at once. The session is lost only if the issuer has rotated its token for
// the process that was killed.
func TestKilledSide(t *testing.T) {
	for _, sameSide := range []bool{true, false} {
		for kill := 1; kill <= lastStep+1; kill++ {
			synctest.Test(t, func(t *testing.T) {
				s := newSides(t, 2)
				seen := s.kept().ReceivedAt
				victim := &process{kill: kill}
				if ended := s.all[0].refresh(victim, 0, seen); ended != (kill > lastStep) {
					t.Fatalf("killed at step %d: ended %v after step %d", kill, ended, victim.step)
				}
				other := s.all[1]
				if sameSide {
					other = s.all[0]
				}
				kept := s.kept()
				lost := !s.issuer.keeps(kept.RefreshToken)
				began := time.Now()
				other.refresh(nil, 0, seen)
				took := time.Since(began)
				limit := longest
				if sameSide {
					limit = 4 * moment // it may also look again after invalid_grant
				}
				if took > limit {
					t.Errorf("killed %s (step %d), same side %v: the next one took %v", victim.last, kill, sameSide, took)
				}
				if lost != (kill == afterAnswer || kill == beforeWrite) || lost != (s.issuer.reuses == 1) || !lost && s.issuer.refreshes != 1 {
					t.Errorf("killed %s (step %d), same side %v: lost %v, %d refreshes, %d reuses", victim.last, kill, sameSide, lost, s.issuer.refreshes, s.issuer.reuses)
				}
				if lost {
					return
				}
				limit = moment
				if kill > beforeWrite && kill <= lastStep {
					limit = longest // there was nothing to do, and the mark stood
				}
				s.age(25 * time.Hour)
				began = time.Now()
				s.all[1].refresh(nil, 0, s.kept().ReceivedAt)
				if took := time.Since(began); s.issuer.reuses != 0 || s.issuer.refreshes != 2 || took > limit || !s.issuer.keeps(s.kept().RefreshToken) {
					t.Errorf("killed %s (step %d), same side %v: the one after took %v, %d refreshes", victim.last, kill, sameSide, took, s.issuer.refreshes)
				}
			})
		}
	}
}

// TestCallersOfTwoSides: all tools of both sides get one token, also while the issuer fails at first.
func TestCallersOfTwoSides(t *testing.T) {
	for _, row := range []struct {
		what           string
		age            time.Duration
		failures, want int
		half           time.Duration
	}{
		{"expired", 25 * time.Hour, 0, 1, 100 * time.Millisecond},
		{"expired, and the issuer is slow", 25 * time.Hour, 0, 1, 10 * time.Second},
		{"half of its life is over", 13 * time.Hour, 0, 1, 100 * time.Millisecond},
		{"the first refresh fails, which the other side repeats", 25 * time.Hour, 1, 2, 100 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSides(t, 2)
			s.age(row.age - 25*time.Hour)
			s.issuer.failures = row.failures
			var mu sync.Mutex
			tokens := map[string]int{}
			began := time.Now()
			var wg sync.WaitGroup
			for i := range 12 {
				wg.Go(func() {
					b := s.all[i%2].broker(nil, row.half)
					once := b.RefreshOnce
					b.SpawnRefresh = func(ctx context.Context, p *config.Profile, seen time.Time) error {
						done := make(chan error, 1)
						go func() { done <- once(context.WithoutCancel(ctx), p, seen) }()
						select {
						case err := <-done:
							return err
						case <-ctx.Done():
							return ctx.Err()
						}
					}
					got, _ := b.Token(context.Background(), s.acme)
					mu.Lock()
					defer mu.Unlock()
					tokens[got.AccessToken]++
				})
			}
			wg.Wait()
			if took := time.Since(began); took > 40*time.Second { // the limit of a caller
				t.Errorf("%s: took %v", row.what, took)
			}
			time.Sleep(longest) // until the last process has ended
			if s.issuer.refreshes != row.want || s.issuer.reuses != 0 || !s.issuer.keeps(s.kept().RefreshToken) {
				t.Errorf("%s: %d refreshes, %d reuses, answers %v", row.what, s.issuer.refreshes, s.issuer.reuses, tokens)
			}
			fresh := s.kept().AccessToken
			if row.failures == 0 && tokens[fresh]+tokens["kept-access"] != 12 || row.age > 24*time.Hour && (tokens["kept-access"] > 0 || tokens[fresh] < 6) {
				t.Errorf("%s: answers %v", row.what, tokens)
			}
		})
	}
}

// TestUselessMark: no mark keeps a session from being used or refreshed for longer than a mark counts.
func TestUselessMark(t *testing.T) {
	now := func(d time.Duration) string { // in the bubble
		return fmt.Sprintf(`{"by":"other","at":%q}`, time.Now().Add(d).Format(time.RFC3339Nano))
	}
	for _, row := range []struct {
		what  string
		text  func() string
		fails string // an operation of the keychain on the mark
		limit time.Duration
	}{
		{"none", nil, "", moment},
		{"empty", func() string { return "" }, "", moment},
		{"not JSON", func() string { return "{" }, "", moment},
		{"of a later release", func() string { return `{"v":2,"at":{}}` }, "", moment},
		{"of yesterday", func() string { return now(-24 * time.Hour) }, "", doubt},
		{"of tomorrow, when the clock was wrong", func() string { return now(24 * time.Hour) }, "", doubt},
		{"of now, from a side that was killed", func() string { return now(0) }, "", longest},
		{"of the near future, from a side that was killed", func() string { return now(2 * time.Minute) }, "", longest},
		{"the keychain has no room for it", nil, "set", 0},
		{"the keychain does not read it", nil, "get", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSides(t, 1)
			const item = "mark-7a5b6c93537311a0469f8b640c09da3d"
			if row.text != nil {
				s.keychain.Damage(item, row.text())
			}
			s.keychain.Hook = func(op, name string) error {
				if op == row.fails && name == item {
					return errors.New("no")
				}
				return nil
			}
			began := time.Now()
			s.all[0].refresh(nil, 0, s.kept().ReceivedAt)
			if took := time.Since(began); took > row.limit || s.issuer.refreshes != 1 || !s.issuer.keeps(s.kept().RefreshToken) {
				t.Errorf("%s: %d refreshes after %v", row.what, s.issuer.refreshes, took)
			}

			if row.text != nil {
				s.keychain.Damage(item, row.text())
			}
			reads := 0
			s.keychain.Hook = func(string, string) error { reads++; return nil }
			b := s.all[0].broker(nil, 0)
			b.Locks = noLocks{t}
			if got, err := b.Token(t.Context(), s.acme); err != nil || got.AccessToken != "access-1" || reads != 1 {
				t.Errorf("%s: a live token: %q, %v, after %d reads", row.what, got.AccessToken, err, reads)
			}
		})
	}
}

// age makes the kept session older.
func (s *sides) age(d time.Duration) {
	kept := s.kept()
	kept.ReceivedAt, kept.ExpiresAt = kept.ReceivedAt.Add(-d), kept.ExpiresAt.Add(-d)
	text, err := json.Marshal(kept)
	if err == nil {
		err = s.keychain.Set(context.Background(), broker.KeychainItem(s.acme), string(text))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestWritersOfOtherSides: what a person or a tool does on one side while the other refreshes is not undone, and the session is
// not lost.
func TestWritersOfOtherSides(t *testing.T) {
	ctx := context.Background()
	rejected := protocol.Request{Verb: protocol.Erase, Tool: protocol.GitTool, Scheme: "https", Host: "git.acme.dev", Secret: "kept-access"}
	for _, row := range []struct {
		what string
		do   func(*broker.Broker, *config.Profile) error
		want func(s *sides) bool
	}{
		{"logout", func(b *broker.Broker, p *config.Profile) error {
			_, err := b.Logout(ctx, p)
			return err
		}, func(s *sides) bool { return s.kept().SignedOut && len(s.issuer.valid) == 0 }},
		{"login", func(b *broker.Broker, p *config.Profile) error {
			_, err := b.Login(ctx, p)
			return err
		}, func(s *sides) bool {
			return s.kept().AccessToken == "signed-in-access" && len(s.issuer.valid) == 1 && s.issuer.keeps("signed-in-refresh")
		}},
		{"login --with-token", func(b *broker.Broker, p *config.Profile) error {
			_, err := b.LoginWithToken(ctx, p, "given")
			return err
		}, func(s *sides) bool { return s.kept().Given && len(s.issuer.valid) == 0 }},
		{"erase", func(b *broker.Broker, p *config.Profile) error {
			return b.Answer(ctx, rejected).Err
		}, func(s *sides) bool { return s.issuer.keeps(s.kept().RefreshToken) }},
		{"store", func(b *broker.Broker, p *config.Profile) error {
			accepted := rejected
			accepted.Verb = protocol.Store
			return b.Answer(ctx, accepted).Err
		}, func(s *sides) bool { return s.issuer.keeps(s.kept().RefreshToken) }},
	} {
		for after := time.Duration(0); after < 3*moment; after += 20 * time.Millisecond {
			for _, slow := range []time.Duration{0, moment / 4, moment - time.Millisecond} {
				synctest.Test(t, func(t *testing.T) {
					s := newSides(t, 2)
					kept := s.kept()
					var wg sync.WaitGroup
					wg.Go(func() { s.all[0].refresh(nil, moment/2, kept.ReceivedAt) })
					wg.Go(func() {
						time.Sleep(after)
						began := time.Now()
						b := s.all[1].broker(&process{delay: func(step int) time.Duration {
							if step%2 == 0 {
								return slow / 4 // of each operation
							}
							return 0
						}}, 0)
						if err := row.do(b, s.acme); err != nil {
							t.Errorf("%s after %v: %v", row.what, after, err)
						}
						if took := time.Since(began); took > 4*doubt {
							t.Errorf("%s after %v took %v", row.what, after, took)
						}
					})
					wg.Wait()
					if !row.want(s) || s.issuer.reuses != 0 || s.issuer.refreshes > 1 {
						t.Errorf("%s after %v, slow by %v: kept %+v, valid %q, %d refreshes, %d reuses", row.what, after, slow, s.kept(), s.issuer.valid, s.issuer.refreshes, s.issuer.reuses)
					}
				})
				if t.Failed() {
					return
				}
			}
		}
	}
}

// TestNothingToWrite: a writer that has nothing to write, or no refresh token to lose, marks nothing and waits for no moment.
func TestNothingToWrite(t *testing.T) {
	for _, row := range []struct {
		what string
		do   func(*broker.Broker, *config.Profile) error
	}{
		{"a refresh that another process has done", func(b *broker.Broker, p *config.Profile) error {
			return b.RefreshOnce(context.Background(), p, start)
		}},
		{"an erase of another token", func(b *broker.Broker, _ *config.Profile) error {
			return b.Answer(context.Background(), protocol.Request{
				Verb: protocol.Erase, Tool: protocol.GitTool, Scheme: "https", Host: "git.acme.dev", Secret: "another",
			}).Err
		}},
		{"a login after a logout", func(b *broker.Broker, p *config.Profile) error {
			if err := b.Keychain.Delete(context.Background(), broker.KeychainItem(p)); err != nil {
				return err
			}
			_, err := b.Login(context.Background(), p)
			return err
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSides(t, 1)
			began := time.Now()
			if err := row.do(s.all[0].broker(nil, 0), s.acme); err != nil {
				t.Errorf("%s: %v", row.what, err)
			}
			if took := time.Since(began); took != 0 || len(s.keychain.Names()) != 1 {
				t.Errorf("%s took %v, and the keychain has %q", row.what, took, s.keychain.Names())
			}
		})
	}
}

// TestUnreadableOnce: a keychain that fails for a moment does not let a refresh go out beside another side's.
func TestUnreadableOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSides(t, 2)
		seen := s.kept().ReceivedAt
		var fails atomic.Bool
		s.keychain.Hook = func(op, name string) error {
			if op == "get" && name == broker.KeychainItem(s.acme) && fails.CompareAndSwap(true, false) {
				return errors.New("no answer")
			}
			return nil
		}
		var wg sync.WaitGroup
		wg.Go(func() { s.all[0].refresh(nil, time.Second, seen) })
		time.Sleep(moment + 100*time.Millisecond)
		fails.Store(true)
		s.all[1].refresh(nil, 0, seen)
		wg.Wait()
		if s.issuer.refreshes != 1 || s.issuer.reuses != 0 {
			t.Errorf("%d refreshes, %d reuses", s.issuer.refreshes, s.issuer.reuses)
		}
	})
}
