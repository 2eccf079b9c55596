package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// history is what the broker tells of each token; nil if none is kept.
func (sys *system) history(cfg *config.Config) func(broker.Entry) {
	folder, err := platform.StateDir(sys.getenv)
	if err != nil || !cfg.KeepsHistory() {
		return nil
	}
	return broker.HistoryIn(folder).Add
}

type historyCommand struct {
	JSON  bool          `help:"Print JSON."`
	Since time.Duration `placeholder:"24h" help:"Only what is not older than that."`
}

// Run shows which tools got tokens, the oldest first.
func (c historyCommand) Run(_ context.Context, sys *system) error {
	cfg, unusable := sys.config() // without one no tool gets a token
	since := time.Time{}
	if c.Since > 0 {
		since = time.Now().Add(-c.Since)
	}
	folder, err := platform.StateDir(sys.getenv)
	if err != nil {
		return fmt.Errorf("finding the state folder: %w", err)
	}
	entries, err := broker.HistoryIn(folder).Read(since)
	if err != nil {
		return err
	}
	r := historyReport{unusable == nil && cfg.KeepsHistory(), entries}
	if c.JSON {
		return sys.console().JSON(r)
	}
	if unusable == nil && !r.Kept {
		fmt.Fprintln(sys.stdout, "no history is kept: the configuration, or its policy, says so")
	}
	for _, e := range entries {
		fmt.Fprintln(sys.stdout, historyLine(e))
	}
	return nil
}

// historyLine is an entry for a terminal.
func historyLine(e broker.Entry) string {
	job := ""
	if e.Claims != nil {
		job = "  " + e.CI + ": " + e.Claims.String()
	}
	return protocol.Escape(fmt.Sprintf("%s  %-11s %-8s  %s  %s %s (%s)%s", e.At.Local().Format(time.DateTime), e.Outcome, cmp.Or(e.Token, "-"),
		e.Profile, cmp.Or(e.Host, "-"), e.Tool, cmp.Or(e.Program, "-"), job))
}
