package main

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"clerk-credential-helper/internal/testworld"
)

// TestServices: what docs/keychains.md says of Debian's Secret Services: 20 tools at once with a live token and with one that
// has expired, 10 KB, and a call after the other in three loops.
func TestServices(t *testing.T) {
	testworld.Long(t, "storms, of many processes")
	for name, s := range map[string]service{"gnome-keyring": gnomeKeyring, "KeePassXC": keePassXC(false, func(string) {})} {
		t.Run(name, func(t *testing.T) {
			testworld.Need(t, append(s.needs, "dbus-daemon")...)
			w, err := newServiceWorld(t.Context(), programsFor(t), s)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.close)
			before := w.owner(t)

			large := strings.Repeat("0123456789abcdef", 640)
			if err := w.keychain.Set(t.Context(), "large", large); err != nil {
				t.Fatal(err)
			}
			if got, err := w.keychain.Get(t.Context(), "large"); err != nil || got != large {
				t.Errorf("10 KB: %d bytes, %v", len(got), err)
			}

			if err := w.signIn(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, row := range []struct {
				reason string
				age    time.Duration
				want   int
			}{{"live", 0, 0}, {"past half of its life", 13 * time.Hour, -1}, {"expired", 25 * time.Hour, 1}} {
				if err := w.age(t.Context(), row.age); err != nil {
					t.Fatal(err)
				}
				began := w.counts()
				replies, err := w.storm(t.Context(), 20, w.get())
				if err != nil {
					t.Fatal(err)
				}
				n, slowest, err := w.right(replies)
				now := w.counts().minus(began)
				if row.want < 0 { // one that refreshes answers with the new token, and the others with the old one
					n, err, row.want = 20, nil, 1
				}
				if n != 20 || err != nil || now.refreshes > row.want || row.age > 20*time.Hour && now.refreshes != 1 || now.reuses != 0 {
					t.Errorf("20 at once, %s: %d right, %+v, %v", row.reason, n, now, err)
				}
				t.Logf("20 at once, %s: %d right, %d refreshes, the slowest after %v", row.reason, n, now.refreshes, slowest.Round(time.Millisecond))
			}

			var wg sync.WaitGroup
			var mu sync.Mutex
			var took []time.Duration
			began := time.Now()
			calls := size(t, 100)
			for range 3 {
				wg.Go(func() {
					for range calls {
						r, err := w.run(t.Context(), w.get())
						mu.Lock()
						if took = append(took, r.took); err != nil || r.token() == "" {
							t.Errorf("a call of a loop: %+v, %v", r, err)
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			slices.Sort(took)
			t.Logf("%d calls in three loops: all answered, %v, median %v", len(took), time.Since(began).Round(time.Second), took[len(took)/2])
			if after := w.owner(t); after != before {
				t.Errorf("the service is %s now, and was %s", after, before)
			}
		})
	}
}

// owner returns the unique name of the service on the bus, which changes if it ends and another begins.
func (w *world) owner(t *testing.T) string {
	t.Helper()
	conn, err := dbus.Connect(w.bus)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var name string
	if err := conn.BusObject().Call("org.freedesktop.DBus.GetNameOwner", 0, "org.freedesktop.secrets").Store(&name); err != nil {
		t.Fatal(err)
	}
	return name
}
