package main

import (
	"context"
	"errors"
	"testing"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/testworld"
	"clerk-credential-helper/platform"
)

// TestKeyrings: each keyring answers 20 tools at once, with an expired token and with a live one, and 600 in three loops. It must
// be the same process at the end.
func TestKeyrings(t *testing.T) {
	testworld.Long(t, "storms, of many processes")
	for _, name := range testworld.Keyrings {
		t.Run(name, func(t *testing.T) {
			keyring := testworld.StartKeyring(t, name)
			before := keyring.PID(t)
			w := worldOn(t, keyring)
			for _, s := range []storm{{"expired", stormExpired, 20}, {"live", stormLive, 20}, {"loops", stormLoops, size(t, 600)}} {
				letLoose(t, w, s)
			}
			if after := keyring.PID(t); after != before {
				t.Errorf("the keyring is process %d now, and was %d", after, before)
			}
		})
	}
}

// TestKWalletSides is TestSides with KWallet.
func TestKWalletSides(t *testing.T) {
	testworld.Long(t, "storms, of many processes")
	testworld.Need(t, "bwrap")
	r, err := stormSides(t.Context(), worldOn(t, testworld.StartKeyring(t, "KWallet")), 20, 6)
	t.Log(r)
	if err != nil {
		t.Error(err)
	}
}

// worldOn makes a world whose store is a keyring.
func worldOn(t *testing.T, keyring testworld.Keyring) *world {
	t.Helper()
	p := programsFor(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", keyring.Address) // the store's client reads it, once
	w, err := furnish(p, "keychain", []string{"DBUS_SESSION_BUS_ADDRESS=" + keyring.Address})
	if err != nil {
		t.Fatal(err)
	}
	w.bus = keyring.Address
	w.ends = append(w.ends, w.removeLocks)
	t.Cleanup(w.close)
	err = until(t.Context(), "the keyring is up", func() bool {
		_, err := w.keychain.Get(context.Background(), broker.KeychainItem(w.acme))
		return errors.Is(err, platform.ErrNotFound)
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}
