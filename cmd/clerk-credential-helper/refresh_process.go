package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// renewName is the name under which this program refreshes one session: that of the profile given, if its keychain item
// is the one given and was received at the time given. Only spawnRefresh calls it so.
const renewName = "clerk-renew-session"

// spawnRefresh refreshes in a copy of this program that outlives us: once sent, a refresh must end in the keychain,
// whatever Ctrl-C or a tool's time limit does to the caller.
func spawnRefresh(ctx context.Context, p *config.Profile, seen time.Time) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	wait, err := platform.StartDetached(program, renewName, p.Name, broker.KeychainItem(p), seen.Format(time.RFC3339Nano))
	if err != nil {
		return err
	}
	return wait(ctx)
}

// renew is the copy's part. It has no streams: callers read the record that the broker leaves.
func renew(sys *system) int {
	// The end of a terminal or of a desktop session must not end us between Clerk's answer and the keychain. We have a
	// limit of our own.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if len(sys.args) != 4 {
		return exitUsage
	}
	profile, item := sys.args[1], sys.args[2]
	seen, err := time.Parse(time.RFC3339Nano, sys.args[3])
	if err != nil {
		return exitUsage
	}
	cfg, err := sys.config()
	if err != nil {
		return exitUsage
	}
	b, err := sys.broker(cfg)
	if err != nil {
		return exitFailed
	}
	p := cfg.Profile(profile)
	if p == nil || broker.KeychainItem(p) != item { // the configuration has changed meanwhile
		return exitUsage
	}
	return platform.FaultStatus(b.RefreshOnce(context.Background(), p, seen))
}
