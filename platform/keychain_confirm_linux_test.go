package platform

import (
	"errors"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// The titles of KeePassXC's windows.
const (
	accessWindow = "Access Request"
	unlockWindow = "Unlock Database"
)

// TestKeePassXCConfirms: as it comes, KeePassXC has the person confirm each access.
func TestKeePassXCConfirms(t *testing.T) {
	x := startKeePassXC(t)
	open := func() *Keychain { return keychainOn(x.address) }
	if err := open().Set(t.Context(), "item", "secret"); err != nil {
		t.Fatal(err)
	}

	t.Run("where no person may be asked", func(t *testing.T) {
		for name, call := range map[string]func(*Keychain) error{
			"Get":    func(k *Keychain) error { _, err := k.Get(t.Context(), "item"); return err },
			"Set":    func(k *Keychain) error { return k.Set(t.Context(), "item", "other") },
			"Delete": func(k *Keychain) error { return k.Delete(t.Context(), "item") },
			"Get of an item that was not named": func(k *Keychain) error {
				if err := k.Unlock(t.Context(), nil, "other"); err != nil {
					return err
				}
				_, err := k.Get(t.Context(), "item")
				return err
			},
		} {
			wantWithin(t, name, ErrConfirm, replyLimit, func() error { return call(open()) })
		}
		if n := x.windows(t, accessWindow); n != 0 {
			t.Errorf("%d windows are shown", n)
		}
		if !open().Confirms(t.Context()) {
			t.Error("Confirms reports false")
		}
	})

	t.Run("through a sandbox's proxy", func(t *testing.T) {
		stop := x.press(t, accessWindow, "Return", 0)
		k := keychainOn(x.startProxy(t))
		if err := k.Unlock(t.Context(), nil, "item"); err != nil {
			t.Fatal(err)
		}
		if got, err := k.Get(t.Context(), "item"); err != nil || got != "secret" {
			t.Errorf("Get: %q, %v", got, err)
		}
		if n := stop(); n != 1 {
			t.Errorf("%d windows, want 1", n)
		}
	})

	t.Run("one window for all that a process does", func(t *testing.T) {
		if err := open().Set(t.Context(), "item-2", "secret"); err != nil {
			t.Fatal(err)
		}
		stop := x.press(t, accessWindow, "Return", 0)
		k := open()
		if err := k.Unlock(t.Context(), nil, "item", "item-2", "item-3"); err != nil {
			t.Fatal(err)
		}
		if k.Granted() {
			t.Error("Granted before the person was asked")
		}
		for _, secret := range []string{"newer", "newest"} {
			for _, name := range []string{"item", "item-2", "item-3"} {
				if _, err := k.Get(t.Context(), name); err != nil && name != "item-3" {
					t.Fatalf("Get: %v", err)
				}
				if err := k.Set(t.Context(), name, secret); err != nil {
					t.Fatalf("Set: %v", err)
				}
				if got, err := k.Get(t.Context(), name); err != nil || got != secret {
					t.Fatalf("Get = %q, %v; want %q", got, err, secret)
				}
			}
		}
		if n := stop(); n != 1 {
			t.Errorf("%d windows were shown, want 1", n)
		}
		if !k.Granted() {
			t.Error("Granted reports false")
		}
	})

	t.Run("the person needs 4 s", func(t *testing.T) {
		stop := x.press(t, accessWindow, "Return", 4*time.Second)
		k := open()
		said := make(chan struct{}, 9)
		if err := k.Unlock(t.Context(), func() { said <- struct{}{} }, "item"); err != nil {
			t.Fatal(err)
		}
		if got, err := k.Get(t.Context(), "item"); err != nil || got != "newest" {
			t.Errorf("Get = %q, %v", got, err)
		}
		if stop() != 1 || len(said) != 1 {
			t.Errorf("it was said %d times that there is a window, want 1", len(said))
		}
	})

	t.Run("the person says no", func(t *testing.T) {
		stop := x.press(t, accessWindow, "Escape", 0)
		k := open()
		if err := k.Unlock(t.Context(), nil, "item"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := k.Get(t.Context(), "item"); !errors.Is(err, ErrLocked) {
				t.Errorf("Get: %v", err)
			}
		}
		if err := k.Set(t.Context(), "item", "changed"); !errors.Is(err, ErrLocked) {
			t.Errorf("Set: %v", err)
		}
		if n := stop(); n != 1 {
			t.Errorf("%d windows were shown, want 1", n)
		}
	})

	t.Run("a probe shows no window and leaves nothing", func(t *testing.T) {
		before := x.items(t)
		for range 3 {
			if whole, err := Probe(t.Context(), open(), "probe", "secret"); whole || err != nil {
				t.Errorf("Probe: %t, %v", whole, err)
			}
		}
		if after := x.items(t); after != before || x.windows(t, ".") > 1 {
			t.Errorf("%d items before, %d after, and %d windows", before, after, x.windows(t, "."))
		}
	})
}

// items returns how many items of ours there are.
func (b *sessionBus) items(t *testing.T) int {
	t.Helper()
	var open, locked []dbus.ObjectPath
	err := b.secrets(secretsPath).Call(secretsAPI+"Service.SearchItems", 0, map[string]string{"service": keychainService}).Store(&open, &locked)
	if err != nil {
		t.Fatal(err)
	}
	return len(open) + len(locked)
}

// TestKeePassXCLocked: KeePassXC also shows its own window to a search, if its database is locked.
func TestKeePassXCLocked(t *testing.T) {
	t.Run("as it comes", func(t *testing.T) { keePassXCLocked(t) })
	t.Run("nothing confirmed", func(t *testing.T) { keePassXCLocked(t, "ConfirmAccessItem", "ConfirmDeleteItem") })
}

func keePassXCLocked(t *testing.T, off ...string) {
	x := startKeePassXC(t, off...)
	k := keychainOn(x.address)
	x.lock(t)
	wantAll(t, k, "item", ErrLocked)
	began := time.Now()
	if _, err := k.Get(t.Context(), "item"); !errors.Is(err, ErrLocked) || time.Since(began) > replyLimit {
		t.Errorf("Get where no person may be asked: %v, after %v", err, time.Since(began))
	}
	if _, err := Probe(t.Context(), k, "probe", "secret"); !errors.Is(err, ErrLocked) {
		t.Errorf("Probe: %v", err)
	}

	stop := x.press(t, unlockWindow, "Escape", 0)
	if err := k.Unlock(t.Context(), nil, "item"); !errors.Is(err, ErrLocked) || errors.Is(err, ErrConfirm) {
		t.Errorf("Unlock, and the person says no: %v", err)
	}
	if stop() == 0 {
		t.Error("no window was shown")
	}

	stop = x.press(t, unlockWindow, "p a s s w o r d Return", 0)
	if err := k.Unlock(t.Context(), nil, "item"); err != nil {
		t.Fatalf("Unlock: %v", err)
	}
	if n := stop(); n != 1 {
		t.Errorf("%d windows were shown, want 1", n)
	}
	if _, err := k.Get(t.Context(), "item"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get of a missing item: %v", err)
	}
	if err := k.Set(t.Context(), "item", "secret"); err != nil {
		t.Errorf("Set: %v", err)
	}
}

// lock has KeePassXC lock its database.
func (k *keePassXC) lock(t *testing.T) {
	t.Helper()
	c, err := secretService{addresses: k.address}.connect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var locked []dbus.ObjectPath
	var prompt dbus.ObjectPath
	err = c.send(t.Context(), secretsPath, "Service", "Lock", []dbus.ObjectPath{c.collection})(&locked, &prompt)
	if err == nil {
		err = c.follow(t.Context(), prompt, replyLimit)
	}
	if err != nil {
		t.Fatal(err)
	}
}
