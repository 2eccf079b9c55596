package platform

import (
	"clerk-credential-helper/internal/testworld"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// keePassXC is KeePassXC as the Secret Service of a bus of its own, on an invisible display.
type keePassXC struct {
	*sessionBus
	display string
}

// StartKeePassXC runs KeePassXC with an empty, open database that has nothing confirmed, and returns the bus's address.
func StartKeePassXC(t testing.TB) string {
	return startKeePassXC(t, "ConfirmAccessItem", "ConfirmDeleteItem").address
}

// StartConfirmingKeePassXC runs KeePassXC that has each access confirmed, which a person does, and returns the bus's address. A
// deletion is not confirmed.
func StartConfirmingKeePassXC(t testing.TB) string {
	x := startKeePassXC(t, "ConfirmDeleteItem")
	stop := x.press(t, accessWindow, "Return", 0)
	t.Cleanup(func() { stop() })
	return x.address
}

// startKeePassXC runs KeePassXC with an empty, open database. The settings named are switched off; it comes with all of them on.
func startKeePassXC(t testing.TB, off ...string) *keePassXC {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: starts KeePassXC")
	}
	display, _ := testworld.StartDisplay(t)
	k := &keePassXC{startBusWith(t, "", "DISPLAY="+display), display}
	k.StartKeePassXC(t, off...)

	// It says by nothing else that its database is open.
	ready := func() error {
		c, err := secretService{addresses: k.address}.connect(t.Context(), nil)
		if err != nil {
			return err
		}
		defer c.close()
		return c.usable(t.Context())
	}
	deadline := time.Now().Add(30 * time.Second)
	err := ready()
	for ; err != nil && time.Now().Before(deadline); err = ready() {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("KeePassXC did not come up: %v", err)
	}
	return k
}

// windows returns how many windows of that title KeePassXC shows.
func (k *keePassXC) windows(t testing.TB, title string) int {
	t.Helper()
	out, err := k.xdotool("search", "--onlyvisible", "--name", title)
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !(ok && exit.ExitCode() == 1) {
		t.Fatalf("xdotool search: %v: %s", err, out)
	}
	return len(strings.Fields(out))
}

func (k *keePassXC) xdotool(args ...string) (string, error) {
	cmd := exec.Command("xdotool", args...)
	cmd.Env = k.Env
	out, err := cmd.Output()
	return string(out), err
}

// press is a person who waits for windows of that title, and presses keys in each of them after a time. stop returns how many
// there were.
func (k *keePassXC) press(t testing.TB, title, keys string, after time.Duration) (stop func() int) {
	t.Helper()
	need(t, "xdotool")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		seen := map[string]bool{}
		defer func() { done <- len(seen) }()
		look := time.NewTicker(50 * time.Millisecond)
		defer look.Stop()
		for ; ctx.Err() == nil; <-look.C {
			out, _ := k.xdotool("search", "--onlyvisible", "--name", title)
			for _, window := range strings.Fields(out) {
				if !seen[window] {
					time.Sleep(after)
				}
				seen[window] = true
				k.xdotool(append([]string{"windowfocus", "--sync", window, "key"}, strings.Fields(keys)...)...)
			}
		}
	}()
	return func() int {
		cancel()
		return <-done
	}
}
