package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// renewVerb makes this program refresh one session, named by its keychain item and the time it was received. Nobody
// but renewDetached says it.
const renewVerb = "renew-session"

// renewDetached refreshes in a copy of this program that outlives us: once sent, a refresh must end in the keychain,
// whatever Ctrl-C or a tool's time limit does to the caller.
func renewDetached(ctx context.Context, p *config.Profile, seen time.Time) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	wait, err := platform.StartDetached(program, renewVerb, broker.Item(p), seen.Format(time.RFC3339Nano))
	if err != nil {
		return err
	}
	return wait(ctx)
}

// renew is the copy's part. It has no streams: the outcome that the broker leaves is what callers read.
func renew(sys *system, item, seen string) int {
	at, err := time.Parse(time.RFC3339Nano, seen)
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
	for _, p := range cfg.Profiles {
		if broker.Item(p) == item {
			if b.Refresh(context.Background(), p, at) != nil {
				return exitFailed
			}
			return exitOK
		}
	}
	return exitUsage
}
