package clerk

import (
	"errors"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/sandbox"
)

// TestClock: a sign-in at a machine whose clock is wrong. The life of the tokens is by the issuer's clock, whatever ours is.
func TestClock(t *testing.T) {
	code := func(options sandbox.Options, scopes ...string) func(*testing.T, *run) (*sandbox.Server, *config.Profile) {
		return func(t *testing.T, r *run) (*sandbox.Server, *config.Profile) {
			s, p := newSandbox(t, r, options)
			if scopes != nil {
				p.Scopes = scopes
			}
			return s, p
		}
	}
	companion := func(t *testing.T, r *run) (*sandbox.Server, *config.Profile) {
		s, _, p := newCompanion(t, r, true)
		return s, p
	}
	const fits, soon = "", time.Minute // the life of a web app's session tokens
	const future, gone = "it was issued in the future", "it has expired"
	for _, row := range []struct {
		reason string
		world  func(*testing.T, *run) (*sandbox.Server, *config.Profile)
		skew   time.Duration // of our clock
		faults sandbox.Faults
		want   string // of the error
		tells  string // a part of what the user is told; empty for nothing
	}{
		{"a good clock", code(sandbox.Options{}), 0, sandbox.Faults{}, fits, ""},
		{"20 s slow", code(sandbox.Options{}), -20 * time.Second, sandbox.Faults{}, fits, ""},
		{"20 s fast", code(sandbox.Options{}), 20 * time.Second, sandbox.Faults{}, fits, ""},
		{"31 s slow", code(sandbox.Options{}), -31 * time.Second, sandbox.Faults{}, fits, "clock is 30s behind the issuer's"},
		{"184 s slow", code(sandbox.Options{}), -184 * time.Second, sandbox.Faults{}, fits, "clock is 3m0s behind the issuer's"},
		{"4 min slow", code(sandbox.Options{}), -4 * time.Minute, sandbox.Faults{}, fits, "clock is 4m0s behind the issuer's. Please set it: beyond 5m0s sign-ins are refused."},
		{"4 min fast", code(sandbox.Options{}), 4 * time.Minute, sandbox.Faults{}, fits, "clock is 4m0s ahead of the issuer's"},
		{"4 min slow, opaque tokens", code(sandbox.Options{Opaque: true}), -4 * time.Minute, sandbox.Faults{}, fits, "4m0s behind"},
		{"4 min fast, and tokens of a minute", code(sandbox.Options{}), 4 * time.Minute, sandbox.Faults{AccessLifetime: soon}, fits, "4m0s ahead"},
		{"6 min slow", code(sandbox.Options{}), -6 * time.Minute, sandbox.Faults{}, "ID token: its times do not fit this machine's clock, which is 6m0s behind the issuer's: " + future, ""},
		{"6 min slow, opaque tokens", code(sandbox.Options{Opaque: true}), -6 * time.Minute, sandbox.Faults{}, "which is 6m0s behind the issuer's: " + future, ""},
		{"7 min fast, and tokens of a minute", code(sandbox.Options{}), 7 * time.Minute, sandbox.Faults{AccessLifetime: soon}, "which is 7m0s ahead of the issuer's: " + gone, ""},
		{"a day slow", code(sandbox.Options{}), -24 * time.Hour, sandbox.Faults{}, "which is 24h0m0s behind the issuer's: " + future, ""},
		// Nothing in the answer is compared with our clock.
		{"10 min fast, and tokens of a day", code(sandbox.Options{}), 10 * time.Minute, sandbox.Faults{}, fits, "10m0s ahead"},
		{"10 min slow, and nothing with a time in it", code(sandbox.Options{Opaque: true}, "profile", "email"), -10 * time.Minute, sandbox.Faults{}, fits, "10m0s behind"},
		{"a good clock, and expired tokens", code(sandbox.Options{}), 0, sandbox.Faults{AccessLifetime: -time.Hour}, "its times do not fit this machine's clock: " + gone, ""},
		{"a companion page, 4 min slow", companion, -4 * time.Minute, sandbox.Faults{}, fits, "4m0s behind"},
		{"a companion page, 4 min fast", companion, 4 * time.Minute, sandbox.Faults{AccessLifetime: soon}, fits, "4m0s ahead"},
		{"a companion page, 6 min slow", companion, -6 * time.Minute, sandbox.Faults{}, "session token: its times do not fit this machine's clock, which is 6m0s behind the issuer's: " + future, ""},
		// Without a state only the times show that its token is new.
		{"a page of the original kind, 20 s slow", newLegacy, -20 * time.Second, sandbox.Faults{EchoState: true}, fits, ""},
		{"a page of the original kind, 2 min slow", newLegacy, -2 * time.Minute, sandbox.Faults{EchoState: true}, "the page's token: its times do not fit this machine's clock, which is 2m0s behind the issuer's: " + future, ""},
		{"a page of the original kind, 2 min fast", newLegacy, 2 * time.Minute, sandbox.Faults{EchoState: true, AccessLifetime: soon}, gone, ""},
	} {
		t.Run(row.reason, func(t *testing.T) {
			r := newRun(t)
			issuer, p := row.world(t, r)
			issuer.SetFaults(func(f *sandbox.Faults) { *f = row.faults })
			r.Now = func() time.Time { return time.Now().Add(row.skew) }
			var told []string
			r.Tell = func(text string) { told = append(told, text) }
			err := r.signIn(t, p)
			if row.want != fits {
				if !errors.Is(err, ErrClock) || !strings.Contains(err.Error(), row.want) || len(r.kept) != 0 {
					t.Errorf("error %v, kept %d; want %q", err, len(r.kept), row.want)
				}
			} else if err != nil {
				t.Error(err)
			} else if got, life := r.kept[0], row.faults.AccessLifetime; life != 0 && got.ExpiresAt.Sub(got.ReceivedAt) != life {
				t.Errorf("by our clock the token lives for %v, not for %v", got.ExpiresAt.Sub(got.ReceivedAt), life)
			}
			if row.tells == "" && told != nil || row.tells != "" && (len(told) != 1 || !strings.Contains(told[0], row.tells)) {
				t.Errorf("the user is told %q, want %q", told, row.tells)
			}
		})
	}
}

// TestClockOfIDToken: the life of an ID token, which only the token itself tells, is allowed for by a clock that is
// wrong, at a sign-in and at a refresh: by a fast one it would have expired, and each call would ask for a sign-in.
func TestClockOfIDToken(t *testing.T) {
	for _, skew := range []time.Duration{0, 4 * time.Minute, -4 * time.Minute} {
		r := newRun(t)
		issuer, p := newSandbox(t, r, sandbox.Options{})
		issuer.SetFaults(func(f *sandbox.Faults) { f.AccessLifetime, f.OmitExpiresIn = 2*time.Minute, true })
		p.Token = "id"
		r.Now = func() time.Time { return time.Now().Add(skew) }
		if err := r.signIn(t, p); err != nil {
			t.Errorf("%v: %v", skew, err)
			continue
		}
		fresh, err := r.refresh(t, p, r.kept[0])
		if err != nil {
			t.Errorf("%v: %v", skew, err)
		}
		for _, got := range []Tokens{r.kept[0], fresh} {
			if life := got.ExpiresAt.Sub(got.ReceivedAt); life < 115*time.Second || life > 125*time.Second {
				t.Errorf("%v: by our clock it lives for %v", skew, life)
			}
		}
	}
}

// TestClockOfDevice: the device grant has the same leeway.
func TestClockOfDevice(t *testing.T) {
	for skew, ok := range map[time.Duration]bool{-4 * time.Minute: true, -7 * time.Minute: false} {
		d, _, p := newDeviceRun(t, sandbox.Options{Device: true, Auto: true}, sandbox.Faults{})
		d.offset.Store(int64(skew))
		if err := d.signIn(t, p); (err == nil) != ok || !ok && !errors.Is(err, ErrClock) {
			t.Errorf("%v: %v", skew, err)
		}
	}
}

// TestClockOfCheck: a token that a sign-in has accepted is not called refused afterwards, and one that has expired is.
func TestClockOfCheck(t *testing.T) {
	for _, row := range []struct {
		reason    string
		now, life time.Duration
		ok        bool
	}{
		{"4 min slow", -4 * time.Minute, 0, true},
		{"6 min slow", -6 * time.Minute, 0, false},
		{"expired a minute ago", 2 * time.Minute, time.Minute, false},
	} {
		r := newRun(t)
		issuer, p := newSandbox(t, r, sandbox.Options{})
		p.Token = "id"
		issuer.SetFaults(func(f *sandbox.Faults) { f.AccessLifetime = row.life })
		if err := r.signIn(t, p); err != nil {
			t.Fatal(err)
		}
		later := &Client{UserAgent: r.UserAgent, Trace: r.Trace, Now: func() time.Time { return time.Now().Add(row.now) }}
		if _, err := later.CheckToken(t.Context(), p, r.kept[0].IDToken); (err == nil) != row.ok {
			t.Errorf("%s: %v", row.reason, err)
		}
	}
}

// TestClockOffset: what the Date of an answer proves, and no more.
func TestClockOffset(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		reason     string
		date, sent time.Time
		took, want time.Duration
	}{
		{"the same second", at, at.Add(900 * time.Millisecond), 0, 0},
		{"the next second", at.Add(time.Second), at.Add(900 * time.Millisecond), 200 * time.Millisecond, 0},
		{"a slow answer", at, at.Add(-50 * time.Second), 60 * time.Second, 0},
		{"a minute ahead", at.Add(time.Minute), at, 0, time.Minute},
		{"a minute ahead, a slow answer", at.Add(time.Minute), at, 20 * time.Second, 40 * time.Second},
		{"a minute behind", at.Add(-time.Minute), at, 10 * time.Second, -59 * time.Second},
	} {
		if got := clockOffset(row.date, row.sent, row.sent.Add(row.took)); got != row.want {
			t.Errorf("%s: %v, want %v", row.reason, got, row.want)
		}
	}
}

// TestClockOfMachine: a machine's token lives as long as it says, by any clock: a token that seems to have expired would be
// minted again at each call, which costs money.
func TestClockOfMachine(t *testing.T) {
	for _, skew := range []time.Duration{0, 2 * time.Hour, -2 * time.Hour} {
		r := newRun(t)
		_, p := newSandbox(t, r, sandbox.Options{})
		p.IsMachine, p.MachineToken, r.Backend = true, "opaque", p.Issuer
		r.Now = func() time.Time { return time.Now().Add(skew) }
		r.hide(sandbox.MachineKey)
		got, err := r.Mint(t.Context(), p, sandbox.MachineKey)
		if err != nil || got.ExpiresAt.Sub(got.ReceivedAt) != machineLife {
			t.Errorf("%v: %v, %v", skew, got.ExpiresAt.Sub(got.ReceivedAt), err)
		}
	}
}
