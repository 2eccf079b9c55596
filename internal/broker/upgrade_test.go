package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// namedLocks are locks that remember the names by which they were taken.
type namedLocks struct {
	platform.Locks
	mu    sync.Mutex
	names map[string]bool
}

func (l *namedLocks) note(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[name] = true
}

func (l *namedLocks) Lock(ctx context.Context, name string) (func(), error) {
	l.note(name)
	return l.Locks.Lock(ctx, name)
}

func (l *namedLocks) TryLock(name string) (func(), bool, error) {
	l.note(name)
	return l.Locks.TryLock(name)
}

// recorded is what one release has left behind after an event, all times being those of the test's clock.
type recorded struct {
	Item    string            `json:"item,omitempty"` // the session
	Records map[string]string `json:"records"`        // by name
	Locks   []string          `json:"locks"`          // those that were taken
}

// TestUpgrade runs an older release and this one on the same session, in turn: testdata/upgrade has what the older one has
// left behind after each event. This one must read it as its own, and leave the same behind for the older one, which goes on
// as long as a tool calls it by another path, or an older process still waits.
//
// The file was written by the program of commit 5495ca4, and is never written again. A change of what is kept needs a second
// file, and a release that reads both.
func TestUpgrade(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "upgrade", "5495ca4.json"))
	if err != nil {
		t.Fatal(err)
	}
	var older map[string]recorded
	if err := json.Unmarshal(text, &older); err != nil {
		t.Fatal(err)
	}
	unreachable := &url.Error{Op: "Post", URL: "https://clerk.acme.dev", Err: errors.New("no route")}
	busy := &clerk.ResponseError{Endpoint: "token", Status: 503, RetryAfter: 10 * time.Minute}
	client := &clerk.ResponseError{Endpoint: "token", Status: 401, Code: "invalid_client", OAuth: true}
	refresh := func(err error) func(b *bench) {
		return func(b *bench) {
			b.have(25 * time.Hour)
			b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) { return clerk.Tokens{}, err }
			b.get("git.acme.dev")
		}
	}
	signIn := func(err error, times int) func(b *bench) {
		return func(b *bench) {
			b.issuer.signIn = func() (clerk.Tokens, error) { return clerk.Tokens{}, err }
			b.person.atTerminal = true
			for range times {
				b.now = b.now.Add(time.Second)
				b.get("git.acme.dev")
			}
		}
	}
	paused := func(until time.Duration, why error) func(t *testing.T, b *bench) {
		return func(t *testing.T, b *bench) {
			b.now = b.now.Add(3 * time.Second)
			at, err := b.CoolDown(t.Context(), b.acme)
			if !at.Equal(start.Add(until)) || !errors.Is(err, why) {
				t.Errorf("the cool-down ends at %v, by %v", at, err)
			}
			b.issuer.calls = nil
			if reply := b.get("git.acme.dev"); reply.Result != protocol.Refused || len(b.issuer.calls) > 0 {
				t.Errorf("in the cool-down: %+v after %q", reply, b.issuer.calls)
			}
		}
	}
	failed := func(want error) func(t *testing.T, b *bench) {
		return func(t *testing.T, b *bench) {
			b.now = b.now.Add(time.Second)
			err := b.LastRefresh(t.Context(), b.acme)
			if err == nil || !reflect.DeepEqual(broker.Refusal(err), broker.Refusal(want)) {
				t.Errorf("the refresh failed with %v, not %v", err, want)
			}
		}
	}
	found := func(token string) func(t *testing.T, b *bench) {
		return func(t *testing.T, b *bench) {
			b.now = b.now.Add(time.Minute)
			if reply := b.get("git.acme.dev"); reply.Credential.Token != token {
				t.Errorf("got %+v, not %s", reply, token)
			}
			b.wantCalls()
		}
	}
	for name, event := range map[string]struct {
		happens func(b *bench)
		then    func(t *testing.T, b *bench) // what either release knows afterwards
	}{
		"signed in":                    {func(b *bench) { b.get("git.acme.dev") }, found("signed-in-access")},
		"refreshed":                    {func(b *bench) { b.have(25 * time.Hour); b.get("git.acme.dev") }, found("refreshed-access")},
		"declined":                     {signIn(clerk.ErrDenied, 1), paused(61*time.Second, clerk.ErrDenied)},
		"declined twice":               {signIn(clerk.ErrDenied, 2), paused(122*time.Second, clerk.ErrDenied)},
		"not answered":                 {signIn(clerk.ErrTimeout, 1), paused(61*time.Second, clerk.ErrTimeout)},
		"refresh without a network":    {refresh(unreachable), failed(unreachable)},
		"refresh by a busy issuer":     {refresh(busy), failed(busy)},
		"refresh by an unknown client": {refresh(client), failed(client)},
		"signed out":                   {func(b *bench) { b.have(time.Hour); b.Logout(b.t.Context(), b.acme) }, nil},
		"a token that a server has refused": {func(b *bench) {
			b.have(time.Hour)
			b.Answer(b.t.Context(), protocol.Request{Verb: protocol.Erase, Scheme: "https", Host: "git.acme.dev", Secret: "kept-access"})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			locks := &namedLocks{Locks: b.Locks.(platform.Locks), names: map[string]bool{}}
			b.Locks = locks
			event.happens(b)
			left := recorded{Records: map[string]string{}, Locks: slices.Sorted(maps.Keys(locks.names))}
			if item, err := b.keychain.Get(t.Context(), broker.KeychainItem(b.acme)); err == nil {
				left.Item = item
			}
			for _, record := range b.records.Names() {
				if left.Records[record], err = b.records.Get(t.Context(), record); err != nil {
					t.Fatal(err)
				}
			}
			was, ok := older[name]
			if !ok || !reflect.DeepEqual(left, was) {
				got, _ := json.Marshal(left)
				want, _ := json.Marshal(was)
				t.Errorf("an older release beside this one finds\n%s\nnot\n%s", got, want)
			}
			if event.then == nil {
				return
			}

			b = newBench(t) // this release, where the older one was before
			if was.Item != "" {
				if err := b.keychain.Set(t.Context(), broker.KeychainItem(b.acme), was.Item); err != nil {
					t.Fatal(err)
				}
			}
			for record, text := range was.Records {
				if err := b.records.Set(t.Context(), record, text); err != nil {
					t.Fatal(err)
				}
			}
			if strings.HasPrefix(name, "declined") || name == "not answered" {
				b.issuer.signIn = func() (clerk.Tokens, error) { return clerk.Tokens{}, errors.New("asked") }
			}
			event.then(t, b)
		})
	}
}
