package broker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// twoProfiles is a bench with a second profile, of another issuer, whose session is in the same keychain.
func twoProfiles(t *testing.T) (b *bench, globex *config.Profile) {
	t.Helper()
	b = newBench(t)
	b.now = time.Now()
	b.Config = parse(t, `
[profiles.acme]
issuer = "https://clerk.acme.dev"
client_id = "client"
hosts = ["git.acme.dev"]

[profiles.globex]
issuer = "https://clerk.globex.dev"
client_id = "client"
hosts = ["git.globex.dev"]
`)
	for _, p := range b.Config.Profiles {
		if b.acme = p; p.Name == "globex" {
			globex = p
		}
		b.have(0)
	}
	b.acme = b.Config.Profiles[0]
	if b.acme.Name != "acme" || globex == nil {
		t.Fatalf("the profiles are %q and %v", b.acme.Name, globex)
	}
	return b, globex
}

// TestPromptShared: the keychain's prompt is one for all profiles. Those who wait share how it ended.
func TestPromptShared(t *testing.T) {
	for _, row := range []struct {
		reason string
		answer error
	}{
		{"dismissed", fmt.Errorf("%w: the prompt was dismissed", platform.ErrLocked)},
		{"answered", nil},
	} {
		b, globex := twoProfiles(t)
		var locked atomic.Bool
		locked.Store(true)
		b.keychain.Hook = func(string, string) error {
			if locked.Load() {
				return platform.ErrLocked
			}
			return nil
		}
		b.Now = time.Now
		decide := make(chan struct{})
		var prompts atomic.Int32
		var begun, ended sync.WaitGroup
		for i := range 20 {
			p := b.acme
			if i%2 == 1 {
				p = globex
			}
			begun.Add(1)
			ended.Go(func() {
				ask := *b.Broker
				once := sync.OnceFunc(begun.Done)
				ask.Person = &person{
					may: func(*config.Profile) error { once(); return nil }, // called after the call has begun
					unlock: func() error {
						prompts.Add(1)
						<-decide
						locked.Store(row.answer != nil)
						return row.answer
					},
				}
				s, err := ask.Token(t.Context(), p)
				if row.answer == nil && (err != nil || s.AccessToken != "kept-access") || row.answer != nil && !errors.Is(err, platform.ErrLocked) {
					t.Errorf("%s: profile %s got %q, %v", row.reason, p.Name, s.AccessToken, err)
				}
			})
		}
		begun.Wait()
		close(decide)
		ended.Wait()
		if n := prompts.Load(); n != 1 {
			t.Errorf("%s: %d prompts, want one", row.reason, n)
		}
		b.wantCalls()
	}
}

// TestPromptCoolDown: after a dismissal no tool's call asks for the keychain's password again, for whatever profile, until the
// cool-down is over or the keychain is open. A sign-in is paused for its own profile alone.
func TestPromptCoolDown(t *testing.T) {
	b, globex := twoProfiles(t)
	locked := true
	b.keychain.Hook = func(string, string) error {
		if locked {
			return platform.ErrLocked
		}
		return nil
	}
	b.person.unlock = func() error { b.unlocks++; return platform.ErrLocked }
	ask := func(reason string, p *config.Profile, unlocks int) {
		t.Helper()
		var failed *broker.SignInError
		_, err := b.Token(t.Context(), p)
		if !errors.Is(err, platform.ErrLocked) || !errors.As(err, &failed) || failed.Profile != p.Name || b.unlocks != unlocks {
			t.Errorf("%s: %v after %d prompts, want %d", reason, err, b.unlocks, unlocks)
		}
	}
	ask("the first", b.acme, 1)
	ask("the same profile", b.acme, 1)
	ask("another profile", globex, 1)
	if until, why := b.CoolDown(t.Context(), globex); !errors.Is(why, platform.ErrLocked) || !until.Equal(b.now.Add(time.Minute)) {
		t.Errorf("the cool-down ends at %v, and is for %v", until, why)
	}
	b.now = b.now.Add(61 * time.Second)
	ask("after the cool-down", globex, 2)
	b.now = b.now.Add(90 * time.Second)
	ask("which is twice as long the second time", b.acme, 2)

	// At a terminal the person overrides it, in another process than the one that was refused.
	b.person.atTerminal = true
	b.Caller = broker.Caller{Name: "docker", PID: 7}
	ask("at a terminal", globex, 3)
	ask("the same process again, for another profile", b.acme, 3)
	b.person.atTerminal, b.Caller = false, broker.Caller{}

	// An open keychain is used, and an answer ends the cool-down.
	locked = false
	if s, err := b.Token(t.Context(), b.acme); err != nil || s.AccessToken != "kept-access" {
		t.Errorf("open: %+v, %v", s, err)
	}
	if _, why := b.CoolDown(t.Context(), b.acme); why != nil {
		t.Errorf("a cool-down of an open keychain: %v", why)
	}
	locked = true
	b.person.unlock = func() error { b.unlocks++; locked = false; return nil }
	b.person.atTerminal = true
	if s, err := b.Token(t.Context(), globex); err != nil || s.AccessToken != "kept-access" || b.unlocks != 4 {
		t.Errorf("unlocked: %+v, %v after %d prompts", s, err, b.unlocks)
	}
	locked, b.person.atTerminal = true, false
	if _, err := b.Token(t.Context(), b.acme); err != nil || b.unlocks != 5 {
		t.Errorf("locked again: %v after %d prompts", err, b.unlocks)
	}

	// A dismissal is no refusal of a sign-in, and a sign-in that was refused pauses no other profile.
	b.keychain.Delete(t.Context(), broker.KeychainItem(b.acme))
	b.keychain.Delete(t.Context(), broker.KeychainItem(globex))
	b.issuer.signIn = func() (clerk.Tokens, error) { return clerk.Tokens{}, clerk.ErrDenied }
	for range 2 {
		if _, err := b.Token(t.Context(), b.acme); !errors.Is(err, clerk.ErrDenied) {
			t.Errorf("signing in: %v", err)
		}
	}
	if until, why := b.CoolDown(t.Context(), b.acme); !errors.Is(why, clerk.ErrDenied) || !until.Equal(b.now.Add(time.Minute)) {
		t.Errorf("the cool-down of the sign-in ends at %v, and is for %v", until, why)
	}
	if _, why := b.CoolDown(t.Context(), globex); why != nil {
		t.Errorf("the other profile has the cool-down of %v", why)
	}
	b.wantCalls("sign in")
}

// TestPromptConfirmedTwoProfiles: where the keychain is open and has each access confirmed, a no is about that item.
func TestPromptConfirmedTwoProfiles(t *testing.T) {
	b, globex := twoProfiles(t)
	k := &confirming{Memory: b.keychain}
	who := &confirmer{person: b.person, keychain: k}
	b.Broker.Keychain, b.Broker.Person = k, who
	for _, row := range []struct {
		p       *config.Profile
		prompts int
	}{{b.acme, 1}, {b.acme, 1}, {globex, 2}, {globex, 2}} {
		if _, err := b.Token(t.Context(), row.p); !errors.Is(err, platform.ErrConfirm) && row.prompts != who.unlocks || who.unlocks != row.prompts {
			t.Errorf("profile %s: %v after %d prompts, want %d", row.p.Name, err, who.unlocks, row.prompts)
		}
	}
}

// TestPromptByHand: who runs a command is asked in spite of the cool-down, and their no begins one for the tools.
func TestPromptByHand(t *testing.T) {
	for reason, command := range map[string]func(context.Context, *bench, *config.Profile) error{
		"login":  func(ctx context.Context, b *bench, p *config.Profile) error { _, err := b.Login(ctx, p); return err },
		"logout": func(ctx context.Context, b *bench, p *config.Profile) error { _, err := b.Logout(ctx, p); return err },
		"login --with-token": func(ctx context.Context, b *bench, p *config.Profile) error {
			_, err := b.LoginWithToken(ctx, p, "given-token")
			return err
		},
	} {
		b, globex := twoProfiles(t)
		b.keychain.Hook = func(string, string) error { return platform.ErrLocked }
		b.person.unlock = func() error { b.unlocks++; return platform.ErrLocked }
		for prompts := 1; prompts <= 2; prompts++ {
			if err := command(t.Context(), b, b.acme); !errors.Is(err, platform.ErrLocked) || b.unlocks != prompts {
				t.Errorf("%s: %v after %d prompts, want %d", reason, err, b.unlocks, prompts)
			}
		}
		if _, err := b.Token(t.Context(), globex); !errors.Is(err, platform.ErrLocked) || b.unlocks != 2 {
			t.Errorf("%s, then a tool: %v after %d prompts, want 2", reason, err, b.unlocks)
		}
	}
}
