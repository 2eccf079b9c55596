package platform

import (
	"bytes"
	"clerk-credential-helper/internal/testworld"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// TestPrompts has a user in front of a keyring's windows: at its first use, and when it is locked.
func TestPrompts(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts desktop programs")
	}
	for _, row := range []struct {
		name         string
		bus          string // more of its configuration
		start        func(t testing.TB, b *sessionBus)
		create, open []string // the keys for the password of a new keyring, and of a locked one
	}{
		{"gnome-keyring", "<standard_session_servicedirs/>", func(t testing.TB, b *sessionBus) {
			need(t, "gnome-keyring-daemon") // the bus starts it, and gcr-prompter, which has the windows
		}, []string{"type password", "key Tab", "type password", "key Return"}, []string{"type password", "key Return"}},
		{"KWallet", "", func(t testing.TB, b *sessionBus) { b.StartKWallet(t, false) }, // the first page has a choice of encryptions, with GnuPG's chosen
			[]string{"mousemove 300 208 click 1", "key Return", "type password", "key Tab", "type password", "key Return"}, []string{"type password", "key Return"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			need(t, "xdotool")
			p := startDisplay(t)
			b := startBusWith(t, row.bus, "DISPLAY="+p.display)
			row.start(t, b)
			waitForService(t, b)
			k := keychainOn(b.address)
			unlock := func(want error, keys ...string) {
				t.Helper()
				end := make(chan error)
				go func() { end <- k.Unlock(t.Context(), nil) }()
				p.answer(t, keys...)
				select {
				case err := <-end:
					if !errors.Is(err, want) {
						t.Errorf("Unlock, and the user presses %q: %v, want %v", keys, err, want)
					}
				case <-time.After(silenceBound):
					t.Fatalf("Unlock, and the user presses %q: no end", keys)
				}
			}

			wantAll(t, k, "item", ErrNoKeyring)
			p.wantNoWindow(t)
			unlock(ErrNoKeyring, "key Escape")
			wantAll(t, k, "item", ErrNoKeyring)
			unlock(nil, row.create...)
			if err := k.Set(t.Context(), "item", "secret"); err != nil {
				t.Fatal(err)
			}

			var collection, prompt dbus.ObjectPath
			var locked []dbus.ObjectPath
			if err := b.secrets(secretsPath).Call(secretsAPI+"Service.ReadAlias", 0, "default").Store(&collection); err != nil {
				t.Fatal(err)
			}
			if err := b.secrets(secretsPath).Call(secretsAPI+"Service.Lock", 0, []dbus.ObjectPath{collection}).Store(&locked, &prompt); err != nil {
				t.Fatal(err)
			}
			if len(locked) != 1 || prompt != "/" {
				t.Fatalf("locking: %q, prompt %q", locked, prompt)
			}
			wantAll(t, k, "item", ErrLocked)
			wantAll(t, k, "missing", ErrLocked)
			p.wantNoWindow(t)
			unlock(ErrLocked, "key Escape")
			wantAll(t, k, "item", ErrLocked)
			unlock(nil, row.open...)
			if got, err := k.Get(t.Context(), "item"); err != nil || got != "secret" {
				t.Errorf("Get after Unlock: %q, %v", got, err)
			}
		})
	}
}

// TestKWalletAtLogin: the wallet that KWallet's PAM module opens at the login is open to the API with ksecretd. With kwalletd6 6.13
// it is locked until a client has called a prompt. It shows no window for that, unless its setting says so, which a client of the
// API cannot see. So a call that may not ask does not.
func TestKWalletAtLogin(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts desktop programs")
	}
	for _, row := range []struct {
		setting string
		keys    []string // of the user, in the window; nil for none
		want    error
	}{
		{"Prompt on Open=false", nil, nil}, // as it comes
		{"Prompt on Open=true", []string{"key Escape"}, ErrLocked},
	} {
		t.Run(row.setting, func(t *testing.T) {
			need(t, "xdotool")
			p := startDisplay(t)
			b := startBusWith(t, "", "DISPLAY="+p.display)
			b.StartKWallet(t, true, row.setting)
			waitForService(t, b)
			k := keychainOn(b.address)
			want := ErrLocked
			if _, err := exec.LookPath("ksecretd"); err == nil {
				want = ErrNotFound
			}
			for limit := time.Now().Add(silenceBound); ; time.Sleep(20 * time.Millisecond) {
				if _, err := k.Get(t.Context(), "item"); errors.Is(err, want) && !errors.Is(err, ErrNoKeyring) {
					break // PAM's password has come, and the wallet is made
				} else if time.Now().After(limit) {
					t.Fatalf("Get: %v, want %v", err, want)
				}
			}
			if want == ErrNotFound {
				p.wantNoWindow(t)
				return
			}
			var unlocked []dbus.ObjectPath
			var prompt dbus.ObjectPath
			objects := []dbus.ObjectPath{"/org/freedesktop/secrets/collection/kdewallet"}
			if err := b.secrets(secretsPath).Call(secretsAPI+"Service.Unlock", 0, objects).Store(&unlocked, &prompt); err != nil {
				t.Fatal(err)
			}
			if len(unlocked) != 0 || prompt == "/" {
				t.Errorf("Unlock, without its prompt, has unlocked %q; the prompt is %q", unlocked, prompt)
			}
			wantAll(t, k, "item", ErrLocked)
			p.wantNoWindow(t)

			end := make(chan error)
			go func() { end <- k.Unlock(t.Context(), nil) }()
			if row.keys != nil {
				p.answer(t, row.keys...)
			}
			select {
			case err := <-end:
				if !errors.Is(err, row.want) {
					t.Errorf("Unlock: %v, want %v", err, row.want)
				}
			case <-time.After(silenceBound):
				t.Fatal("Unlock: no end")
			}
			p.wantNoWindow(t)
			if row.want != nil {
				wantAll(t, k, "item", row.want)
				return
			}
			if err := k.Set(t.Context(), "item", "secret"); err != nil {
				t.Errorf("Set: %v", err)
			}
			if got, err := keychainOn(b.address).Get(t.Context(), "item"); err != nil || got != "secret" {
				t.Errorf("Get: %q, %v", got, err)
			}
		})
	}
}

func waitForService(t *testing.T, b *sessionBus) {
	t.Helper()
	s := secretService{addresses: b.address}
	_, err := s.provider(t.Context())
	for limit := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(limit); _, err = s.provider(t.Context()) {
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("the Secret Service did not come up: %v", err)
	}
}

// person is a user in front of an invisible display.
type person struct {
	display string // its name
	screen  string // a file with what it shows
}

func startDisplay(t testing.TB) person {
	t.Helper()
	display, screen := testworld.StartDisplay(t)
	return person{display, screen}
}

// look waits until something is shown that has not changed for 400 ms, as a program may still be drawing its window.
func (p person) look(t testing.TB) {
	t.Helper()
	var before []byte
	since := time.Now()
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		now, err := os.ReadFile(p.screen)
		if err != nil {
			t.Error(err)
			return
		}
		pixels := now[len(now)-800*600*4:] // behind a header
		if !bytes.Equal(now, before) || bytes.Count(pixels, []byte{0}) > len(pixels)*99/100 {
			before, since = now, time.Now()
		}
		if time.Since(since) > 400*time.Millisecond { // a cursor blinks more slowly
			return
		}
	}
	t.Error("the screen does not come to rest")
}

// answer waits for a window, and gives it the keys: each is a command of xdotool with its arguments.
func (p person) answer(t testing.TB, keys ...string) {
	t.Helper()
	var window string
	for limit := time.Now().Add(20 * time.Second); window == ""; time.Sleep(50 * time.Millisecond) {
		if window = p.window(); window == "" && time.Now().After(limit) {
			t.Errorf("there is no window for %q", keys)
			return
		}
	}
	p.do("windowfocus --sync " + window)
	for _, key := range keys {
		p.look(t)
		if out, err := p.do(key); err != nil {
			t.Errorf("xdotool %s: %v: %s", key, err, out)
		}
	}
	for limit := time.Now().Add(20 * time.Second); p.window() == window; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Errorf("the window stays after %q", keys)
			return
		}
	}
}

// window returns the number of the window that is shown, empty if there is none.
func (p person) window() string {
	out, _ := p.do("search --onlyvisible --class .") // it fails where there is none
	all := strings.Fields(out)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

func (p person) wantNoWindow(t testing.TB) {
	t.Helper()
	if window := p.window(); window != "" {
		t.Errorf("there is a window: %s", window)
	}
}

func (p person) do(command string) (string, error) {
	cmd := exec.Command("timeout", append([]string{"10", "xdotool"}, strings.Fields(command)...)...)
	cmd.Env = append(os.Environ(), "DISPLAY="+p.display)
	out, err := cmd.Output()
	return string(out), err
}
