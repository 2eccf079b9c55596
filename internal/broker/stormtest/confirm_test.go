package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/testworld"
	"clerk-credential-helper/platform"
)

// TestConfirm: with KeePassXC as it comes, which has the person confirm each access, one window is enough for a call.
func TestConfirm(t *testing.T) {
	testworld.Long(t, "starts KeePassXC")
	testworld.Need(t, "xdotool")
	keyring, display := testworld.StartConfirmingKeePassXC(t)
	w := worldOn(t, keyring)

	// call runs the program while the person presses the key in each window that asks for an access.
	call := func(what, key string, windows int, c task) reply {
		t.Helper()
		stop := press(t, display, "Access Request", key)
		began := time.Now()
		r, err := w.run(t.Context(), c)
		n := stop()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: status %d after %v, %d windows: %s", what, r.status, time.Since(began).Round(time.Millisecond), n, r.errs)
		if n != windows {
			t.Errorf("%s: %d windows, want %d", what, n, windows)
		}
		return r
	}
	helper := func(args ...string) task { return task{program: w.helper, args: args} }
	alone := []string{"CLERK_HELPER_INTERACTIVE=never"}

	if r := call("the first login", "Return", 0, helper("login", "acme")); r.status != 0 {
		t.Fatal(r.errs)
	}
	token := call("get", "Return", 1, w.get()).token()
	if _, err := w.clerk.Verify(token); err != nil {
		t.Errorf("get: %v", err)
	}
	for _, key := range []string{"Return", "Escape"} {
		if r := call("get, and no person may be asked", key, 0, w.get(alone...)); r.token() != "" || r.took > 10*time.Second ||
			!strings.Contains(r.errs, "has the person confirm each access") || !strings.Contains(r.errs, "Confirm when passwords are retrieved by clients") {
			t.Errorf("get, and no person may be asked: %+v", r)
		}
	}
	if r := call("doctor", "Return", 0, helper("doctor")); !strings.Contains(r.out, "Secret Service (keepassxc)") ||
		!strings.Contains(r.out, "Confirm when passwords are retrieved by clients") {
		t.Errorf("doctor: %s", r.out)
	}

	stop := press(t, display, "Access Request", "Return")
	if err := w.keychain.Unlock(t.Context(), nil, broker.KeychainItem(w.acme)); err != nil {
		t.Fatal(err)
	}
	if err := w.age(t.Context(), 25*time.Hour); err != nil {
		t.Fatal(err)
	}
	stop()
	before := w.counts()
	fresh := call("get with a refresh", "Return", 1, w.get()).token()
	if _, err := w.clerk.Verify(fresh); err != nil || fresh == token {
		t.Errorf("get with a refresh: %v, and the token is the previous one: %t", err, fresh == token)
	}
	if now := w.counts().minus(before); now != (counts{refreshes: 1}) {
		t.Errorf("get with a refresh: %+v", now)
	}
	if again := call("get after it", "Return", 1, w.get()).token(); again != fresh {
		t.Error("get after it: another token")
	}
	if r := call("another login", "Return", 1, helper("login", "acme")); r.status != 0 {
		t.Errorf("another login: %s", r.errs)
	}

	if r := call("get, and the person says no", "Escape", 1, w.get()); r.token() != "" {
		t.Errorf("get, and the person says no: %+v", r)
	}
	if r := call("get in the cool-down", "Return", 0, w.get()); r.token() != "" {
		t.Errorf("get in the cool-down: %+v", r)
	}
	if r := call("logout", "Return", 1, helper("logout", "acme")); r.status != 0 {
		t.Errorf("logout: %s", r.errs)
	}
	for _, name := range []string{"probe-" + w.identity(), "probe-doctor"} {
		if _, err := w.keychain.Get(t.Context(), name); !errors.Is(err, platform.ErrNotFound) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
}

// press is a person who presses a key in each window of that title. stop returns how many there were.
func press(t *testing.T, display, title, key string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	xdotool := func(args ...string) string {
		cmd := exec.Command("xdotool", args...)
		cmd.Env = append(os.Environ(), "DISPLAY="+display)
		platform.OwnSession(cmd)
		out, err := cmd.Output()
		if err != nil {
			return "" // no such window (any more)
		}
		return string(out)
	}
	go func() {
		seen := map[string]bool{}
		defer func() { done <- len(seen) }()
		look := time.NewTicker(50 * time.Millisecond)
		defer look.Stop()
		for ; ctx.Err() == nil; <-look.C {
			for _, window := range strings.Fields(xdotool("search", "--onlyvisible", "--name", title)) {
				seen[window] = true
				xdotool("windowfocus", "--sync", window, "key", key)
			}
		}
	}()
	return func() int {
		cancel()
		return <-done
	}
}
