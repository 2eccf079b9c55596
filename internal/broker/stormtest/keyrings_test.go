package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/testworld"
	"clerk-credential-helper/platform"

	"github.com/godbus/dbus/v5"
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

// TestPromptTwoProfiles: two profiles need the same locked keyring. One window is shown, and a no to it is one for both.
func TestPromptTwoProfiles(t *testing.T) {
	testworld.Long(t, "starts desktop programs")
	testworld.Need(t, "bwrap", "xdotool")
	display, _ := testworld.StartDisplay(t)
	bus := testworld.StartBus(t, "<standard_session_servicedirs/>", "DISPLAY="+display) // it starts the program of the windows
	bus.StartGNOMEKeyring(t, "password")
	w := worldOn(t, testworld.Keyring{Address: bus.Address})
	own, err := w.newSide() // the records of a dismissal are about the keychain, and nothing of this user's must read them
	if err != nil {
		t.Fatal(err)
	}
	other := w.get()
	other.stdin = "protocol=https\nhost=" + otherHost + "\n"
	gets := slices.Repeat([]task{w.get().inside(own, ""), other.inside(own, "")}, 4)
	for _, profile := range []string{"acme", "other"} {
		if r, err := w.run(t.Context(), task{program: w.helper, args: []string{"login", profile}}.inside(own, "")); err != nil || r.status != 0 {
			t.Fatal(err, r.errs)
		}
	}

	lock(t, bus)
	for windows := 1; windows >= 0; windows-- { // the second round is in the cool-down
		stop := press(t, display, ".", "Escape")
		replies, err := w.together(t.Context(), gets)
		if n := stop(); n != windows {
			t.Errorf("%d windows, want %d", n, windows)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range replies {
			if r.token() != "" || !strings.Contains(r.errs, "the keychain is locked") {
				t.Errorf("the keyring is locked: %+v", r)
			}
		}
	}
	unlock(t, bus)
	replies, err := w.together(t.Context(), gets)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range replies {
		if r.token() == "" {
			t.Errorf("in the cool-down the keyring is open: %+v", r)
		}
	}
}

// service is the Secret Service of a bus, and its default keyring.
func service(t *testing.T, bus testworld.Bus) (secrets dbus.BusObject, keyring dbus.ObjectPath) {
	t.Helper()
	conn, err := dbus.Connect(bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	secrets = conn.Object("org.freedesktop.secrets", "/org/freedesktop/secrets")
	for range 2 { // gnome-keyring's first answer on a connection may be "/", where there is a keyring
		if err := secrets.Call("org.freedesktop.Secret.Service.ReadAlias", 0, "default").Store(&keyring); err != nil {
			t.Fatal(err)
		}
	}
	return secrets, keyring
}

// lock locks the default keyring.
func lock(t *testing.T, bus testworld.Bus) {
	t.Helper()
	secrets, keyring := service(t, bus)
	if err := secrets.Call("org.freedesktop.Secret.Service.Lock", 0, []dbus.ObjectPath{keyring}).Err; err != nil {
		t.Fatal(err)
	}
}

// unlock opens gnome-keyring's default keyring, as its PAM module does.
func unlock(t *testing.T, bus testworld.Bus) {
	t.Helper()
	secrets, keyring := service(t, bus)
	var output dbus.Variant
	var session dbus.ObjectPath
	err := secrets.Call("org.freedesktop.Secret.Service.OpenSession", 0, "plain", dbus.MakeVariant("")).Store(&output, &session)
	if err != nil {
		t.Fatal(err)
	}
	password := struct {
		Session           dbus.ObjectPath
		Parameters, Value []byte
		ContentType       string
	}{session, []byte{}, []byte("password"), "text/plain"}
	const unlock = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface.UnlockWithMasterPassword"
	if err := secrets.Call(unlock, 0, keyring, password).Err; err != nil {
		t.Fatal(err)
	}
}
