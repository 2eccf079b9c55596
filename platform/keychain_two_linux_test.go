package platform

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/godbus/dbus/v5"
)

// mapStore stands in for the kernel's keyring, so that these tests write nothing to a person's.
type mapStore map[string]string

func (m mapStore) get(_ context.Context, name string) (string, error) {
	secret, ok := m[name]
	if !ok {
		return "", ErrNotFound
	}
	return secret, nil
}

func (m mapStore) set(_ context.Context, name, secret string) error {
	m[name] = secret
	return nil
}

func (m mapStore) delete(_ context.Context, name string) error {
	if _, ok := m[name]; !ok {
		return ErrNotFound
	}
	delete(m, name)
	return nil
}

// closedStore is the kernel's keyring in a container that refuses it, or one that fails.
type closedStore struct{ err error }

func (c closedStore) get(context.Context, string) (string, error) { return "", c.err }
func (c closedStore) set(context.Context, string, string) error   { return c.err }
func (c closedStore) delete(context.Context, string) error        { return c.err }

func twoStores(s secretService, kernel store) *Keychain {
	k := chooseNative("auto", s)
	both := serviceOrKernel{s, kernel}
	k.store, k.beside.store = both, besideService{both}
	return k
}

// TestTwoStores keeps an item while there is no Secret Service, and goes on when there is one.
func TestTwoStores(t *testing.T) {
	ctx := t.Context()
	kernel := mapStore{}
	before := twoStores(secretService{addresses: "unix:path=/nonexistent/bus"}, kernel)
	for _, name := range []string{"session", "other"} {
		if err := before.Set(ctx, name, "kept before"); err != nil {
			t.Fatal(err)
		}
	}
	var unseen *UnseenError
	if _, err := before.Beside().Get(ctx, "session"); !errors.As(err, &unseen) {
		t.Errorf("Beside without a service: %v", err)
	}

	k := twoStores(secretService{addresses: startKeyring(t).address}, kernel)
	if got, err := k.Get(ctx, "session"); err != nil || got != "kept before" {
		t.Errorf("Get of what was kept before the service came up: %q, %v", got, err)
	}
	if got, err := k.Beside().Get(ctx, "session"); err != nil || got != "kept before" {
		t.Errorf("Beside: %q, %v", got, err)
	}
	if err := k.Set(ctx, "session", "newer"); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Get(ctx, "session"); err != nil || got != "newer" {
		t.Errorf("Get after Set: %q, %v", got, err)
	}
	if _, ok := kernel["session"]; ok {
		t.Error("the older secret is still in the kernel's keyring, and would be used again without the service")
	}
	// Two sessions of one name: one from a login without the service.
	kernel["session"] = "of a shell without the service"
	if got, err := k.Get(ctx, "session"); err != nil || got != "newer" {
		t.Errorf("Get with one in each: %q, %v", got, err)
	}
	for _, name := range []string{"session", "other"} {
		if err := k.Delete(ctx, name); err != nil {
			t.Errorf("Delete of %q: %v", name, err)
		}
		if _, err := k.Get(ctx, name); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get of %q after Delete: %v", name, err)
		}
		if err := k.Delete(ctx, name); !errors.Is(err, ErrNotFound) {
			t.Errorf("a second Delete of %q: %v", name, err)
		}
	}
	if len(kernel) != 0 {
		t.Errorf("the kernel's keyring still has %v", kernel)
	}
}

// TestTwoStoresNoKeyring is KDE's usual case: the service comes up without a keyring while a session is in the kernel's.
func TestTwoStoresNoKeyring(t *testing.T) {
	ctx := t.Context()
	s := startBus(t)
	s.startKeyring(t, "")
	kernel := mapStore{"session": "kept before"}
	k := twoStores(secretService{addresses: s.address}, kernel)
	if got, err := k.Get(ctx, "session"); err != nil || got != "kept before" {
		t.Errorf("Get: %q, %v", got, err)
	}
	if err := k.Set(ctx, "session", "refreshed"); err != nil || kernel["session"] != "refreshed" {
		t.Errorf("Set: %v, %v", err, kernel)
	}
	if err := k.Delete(ctx, "session"); err != nil || len(kernel) != 0 {
		t.Errorf("Delete: %v, %v", err, kernel)
	}
	wantAll(t, k, "session", ErrNoKeyring)
	if len(kernel) != 0 {
		t.Errorf("a new item went to the kernel's keyring, and there is a service: %v", kernel)
	}
}

// TestTwoStoresMustNot: a service that may have the item decides, and a kernel that refuses its keyring is no obstacle.
func TestTwoStoresMustNot(t *testing.T) {
	ctx := t.Context()
	kernel := mapStore{"session": "kept before"}
	shut := &fakeService{locked: true}
	shut.run(t)
	k := twoStores(secretService{addresses: shut.address}, kernel)
	wantAll(t, k, "session", ErrLocked)
	if kernel["session"] != "kept before" {
		t.Errorf("behind a locked service the kernel's keyring was changed: %v", kernel)
	}
	if err := k.Beside().SetLabelled(ctx, "session", "label", "signed out"); err != nil || kernel["session"] != "signed out" {
		t.Errorf("Set beside a locked service: %v, %v", err, kernel)
	}
	if got, err := k.Beside().Get(ctx, "session"); err != nil || got != "signed out" {
		t.Errorf("Get beside a locked service: %q, %v", got, err)
	}
	if err := k.Beside().Delete(ctx, "session"); err != nil || len(kernel) != 0 {
		t.Errorf("Delete beside a locked service: %v, %v", err, kernel)
	}

	open := startKeyring(t).address
	k = twoStores(secretService{addresses: open}, closedStore{ErrUnavailable})
	if _, err := k.Get(ctx, "session"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if err := k.Delete(ctx, "session"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Delete: %v", err)
	}
	if err := k.Set(ctx, "session", "secret"); err != nil {
		t.Errorf("Set: %v", err)
	}
	full := errors.New("the quota is used up")
	k = twoStores(secretService{addresses: open}, closedStore{full})
	if got, err := k.Get(ctx, "session"); err != nil || got != "secret" {
		t.Errorf("Get: %q, %v", got, err)
	}
	// What may be left there must not be called gone.
	if err := k.Set(ctx, "session", "signed out"); !errors.Is(err, full) {
		t.Errorf("Set: %v, want %v", err, full)
	}
	if err := k.Delete(ctx, "session"); !errors.Is(err, full) {
		t.Errorf("Delete: %v, want %v", err, full)
	}
}

// TestTwoStoresHotPath: what is in the service is read without the kernel's keyring.
func TestTwoStoresHotPath(t *testing.T) {
	f := &fakeService{found: []dbus.ObjectPath{fakeItem}}
	f.run(t)
	k := twoStores(secretService{addresses: f.address}, nil)
	if got, err := k.Get(t.Context(), "item"); err != nil || got != "secret" {
		t.Errorf("Get: %q, %v", got, err)
	}
	calls := f.seen()
	slices.Sort(calls) // two travel together
	if !slices.Equal(calls, []string{"GetSecrets", "OpenSession", "ReadAlias", "SearchItems"}) {
		t.Errorf("one read costs %q", calls)
	}
}
