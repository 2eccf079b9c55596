package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/testworld"
)

// TestMain makes the test binary its own victim.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == victimWord {
		os.Exit(playVictim(os.Args[2:]))
	}
	status := m.Run()
	removeBuilt()
	os.Exit(status)
}

// All tests use the same programs.
var (
	removeBuilt = func() {}
	built       = sync.OnceValues(func() (*programs, error) {
		p, err := build(context.Background())
		if err == nil {
			removeBuilt = p.remove
		}
		return p, err
	})
)

// size is the size of a storm: all of it in CI, a tenth on a user's machine.
func size(t *testing.T, all int) int {
	if os.Getenv("CI") == "true" {
		return all
	}
	return all / 10
}

func programsFor(t *testing.T) *programs {
	t.Helper()
	testworld.Long(t, "storms, of many processes")
	testworld.Need(t, "sh")
	p, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func worldFor(t *testing.T, p *programs) *world {
	t.Helper()
	w, err := newWorld(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

func TestStorms(t *testing.T) {
	p := programsFor(t)
	for _, s := range fileStorms(size(t, 1000)) {
		t.Run(s.name, func(t *testing.T) { letLoose(t, worldFor(t, p), s) })
	}
}

func TestStormsOnKeyring(t *testing.T) {
	testworld.Long(t, "storms, of many processes")
	testworld.Need(t, "dbus-daemon", "gnome-keyring-daemon")
	p := programsFor(t)
	for _, s := range keyringStorms(size(t, 100)) {
		t.Run(s.name, func(t *testing.T) {
			w, err := newKeyringWorld(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.close)
			letLoose(t, w, s)
		})
	}
}

// TestSides: a store that is shared by processes that do not share the locks' folder, as by a Flatpak and the desktop.
func TestSides(t *testing.T) {
	testworld.Long(t, "storms, of many processes")
	for _, name := range []string{"gnome-keyring", "KeePassXC"} {
		t.Run(name, func(t *testing.T) {
			testworld.Need(t, "bwrap", "xdg-dbus-proxy")
			r, err := stormSides(t.Context(), worldOn(t, testworld.StartKeyring(t, name)), 20, 6)
			t.Log(r)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func letLoose(t *testing.T, w *world, s storm) {
	t.Helper()
	rows, err := s.run(t.Context(), w, s.n)
	for _, r := range rows {
		t.Log(r)
	}
	if err != nil {
		t.Error(err)
	}
	outcomes, err := history(w)
	t.Logf("history: %v", outcomes)
	if err != nil {
		t.Error(err)
	}
}

func TestNotHeldUp(t *testing.T) {
	lines, err := notHeldUp(t.Context(), worldFor(t, programsFor(t)))
	for _, line := range lines {
		t.Log(line)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestInterrupted(t *testing.T) {
	lines, err := interrupted(t.Context(), worldFor(t, programsFor(t)))
	for _, line := range lines {
		t.Log(line)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestKills(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	all, err := killSteps(t.Context(), programsFor(t), 60, seed)
	for _, tally := range all {
		t.Log(tally)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestGrants(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	all, err := grantSteps(t.Context(), programsFor(t), 64, seed)
	for _, tally := range all {
		t.Log(tally)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestInterrupts(t *testing.T) {
	all, err := interruptSteps(t.Context(), programsFor(t), time.Second)
	for _, tally := range all {
		t.Log(tally)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestTorn: the checks that storms and kills rely on find a fault when there is one.
func TestTorn(t *testing.T) {
	w := worldFor(t, programsFor(t))
	if err := w.signIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, ok, err := w.session(t.Context())
	if err != nil || !ok {
		t.Fatal(s, ok, err)
	}
	if err := w.keychain.Set(t.Context(), broker.KeychainItem(w.acme), `{"v":1,"issuer":"`); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.session(t.Context()); err == nil {
		t.Error("a torn record was not seen")
	}
	if _, err := w.run(t.Context(), w.get("CLERK_HELPER_INTERACTIVE=never")); err != nil { // its outcome is not looked at
		t.Fatal(err)
	}
	if _, err := history(w); err != nil {
		t.Error(err)
	}
	file := filepath.Join(w.dir, "home/.local/state/clerk-credential-helper/history/history.jsonl")
	if whole, err := os.ReadFile(file); err != nil {
		t.Error(err)
	} else {
		for _, torn := range [][]byte{whole[:len(whole)-2], append(whole[:len(whole):len(whole)], whole...), append([]byte("{}"), whole...)} {
			if err := os.WriteFile(file, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := history(w); err == nil {
				t.Errorf("a history with the lines %q was not seen", torn)
			}
		}
	}
	if _, _, err := w.right([]reply{{out: "password=a\n"}, {out: "password=b\n"}}); err == nil {
		t.Error("two different answers were not seen")
	}
	release, err := w.lock(t.Context(), "session")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.locksAreFree(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lock that is held was not seen: %v", err)
	}
}
