package platform

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// TestKDEService is the service that a bus starts in TestStartKDE: it takes the name in its environment, and then that of the
// API, as kwalletd6 6.13 and ksecretd 6.30 do. It ends with the bus.
func TestKDEService(t *testing.T) {
	name := os.Getenv("KDE_SERVICE")
	if name == "" {
		t.Skip("runs where a bus starts it")
	}
	conn, err := dbus.Connect(os.Getenv("DBUS_STARTER_ADDRESS"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("KDE_API") != "off" {
		time.Sleep(100 * time.Millisecond) // the caller must not look too early
		(&fakeService{found: []dbus.ObjectPath{fakeItem}}).serve(t, conn)
	}
	<-conn.Context().Done()
}

// TestKeyringLabel: on KDE the wallet that is made has the name of KDE's own.
func TestKeyringLabel(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"kwalletd6": "kdewallet", "ksecretd": "kdewallet", "keyring": "Default keyring"} {
		path := filepath.Join(t.TempDir(), name)
		write(t, path, string(program), 0o700)
		b := kdeBus(t, "org.kde.kwalletd6", "/usr/bin/env KDE_SERVICE=org.kde.kwalletd6 "+path+" -test.run=^TestKDEService$")
		s := secretService{addresses: b.address, display: true}
		if !s.start(t.Context()) {
			t.Fatal("the service does not start")
		}
		if got := s.keyringLabel(t.Context()); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	f := &fakeService{aliases: []dbus.ObjectPath{"/", "/"}, write: func() (dbus.ObjectPath, *dbus.Error) { return fakePrompt, nil }}
	f.prompt = func() { f.completed(fakePrompt, false) }
	if err := f.run(t).Unlock(t.Context(), nil); err != nil || !slices.Contains(f.seen(), `CreateCollection "Default keyring"`) {
		t.Errorf("Unlock: %v, calls %q", err, f.seen())
	}
}

// kdeBus starts a bus that can start a program under a name, and not under that of the API.
func kdeBus(t *testing.T, name, program string) *sessionBus {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "kde.service"), fmt.Sprintf("[D-BUS Service]\nName=%s\nExec=%s\n", name, program), 0o600)
	return startBusWith(t, "<servicedir>"+dir+"</servicedir>")
}

// TestStartKDE: the service of KDE is started by its own name before a session goes to the kernel's keyring.
func TestStartKDE(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	service := func(name, more string) string {
		return fmt.Sprintf("/usr/bin/env KDE_SERVICE=%s %s %s -test.run=^TestKDEService$", name, more, self)
	}
	const kwalletd5, kwalletd6, ksecretd = "org.kde.kwalletd5", "org.kde.kwalletd6", "org.kde.secretservicecompat"
	for _, row := range []struct {
		reason        string
		name, program string
		display       bool
		kernel        mapStore
		started       bool
	}{
		{"kwalletd6", kwalletd6, service(kwalletd6, ""), true, mapStore{}, true},
		{"ksecretd", ksecretd, service(ksecretd, ""), true, mapStore{}, true},
		{"kwalletd5", kwalletd5, service(kwalletd5, ""), true, mapStore{}, true},

		{"a session is in the kernel's keyring, and used", kwalletd6, service(kwalletd6, ""), true, mapStore{"item": "kept"}, false},
		{"no display", kwalletd6, service(kwalletd6, ""), false, mapStore{}, false},
		{"it provides no Secret Service", kwalletd6, service(kwalletd6, "KDE_API=off"), true, mapStore{}, false},
		{"it ends at once", kwalletd6, "/bin/false", true, mapStore{}, false},
		{"it is not installed", kwalletd6, "/nonexistent/program", true, mapStore{}, false},
		{"another service", "org.kde.kded6", service("org.kde.kded6", ""), true, mapStore{}, false},
	} {
		t.Run(row.reason, func(t *testing.T) {
			t.Parallel()
			b := kdeBus(t, row.name, row.program)
			s := secretService{addresses: b.address, display: row.display}
			before := maps.Clone(row.kernel)
			got, err := twoStores(s, row.kernel).Get(t.Context(), "item")
			switch want, kept := row.kernel["item"]; {
			case row.started && (err != nil || got != "secret"), kept && (err != nil || got != want):
				t.Errorf("Get: %q, %v", got, err)
			case !row.started && !kept && !errors.Is(err, ErrNotFound):
				t.Errorf("Get: %q, %v", got, err)
			}
			var names []string
			if err := b.conn.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names); err != nil {
				t.Fatal(err)
			}
			if slices.Contains(names, secretsName) != row.started {
				t.Errorf("the names on the bus are %q", names)
			}
			if err := twoStores(s, row.kernel).Set(t.Context(), "item", "newer"); err != nil {
				t.Errorf("Set: %v", err)
			}
			if row.started && !maps.Equal(row.kernel, before) || !row.started && row.kernel["item"] != "newer" {
				t.Errorf("the kernel's keyring has %v", row.kernel)
			}
		})
	}

	t.Run("the first call is a write", func(t *testing.T) {
		t.Parallel()
		kernel := mapStore{}
		k := twoStores(secretService{addresses: kdeBus(t, kwalletd6, service(kwalletd6, "")).address, display: true}, kernel)
		if err := k.Set(t.Context(), "item", "newer"); err != nil || len(kernel) != 0 {
			t.Errorf("Set: %v, and the kernel's keyring has %v", err, kernel)
		}
	})
	t.Run("a logout looks there", func(t *testing.T) {
		t.Parallel()
		kernel := mapStore{"item": "kept"}
		k := twoStores(secretService{addresses: kdeBus(t, kwalletd6, service(kwalletd6, "")).address, display: true}, kernel)
		if got, err := k.Beside().Get(t.Context(), "item"); err != nil || got != "kept" {
			t.Errorf("Beside: %q, %v", got, err)
		}
		if got, err := k.Get(t.Context(), "item"); err != nil || got != "secret" {
			t.Errorf("Get after that: %q, %v", got, err)
		}
	})
}
