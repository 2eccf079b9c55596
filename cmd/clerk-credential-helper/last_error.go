package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// failures are kept as records are: one small file for each tool, 0600, in a folder of this user's.
func failures(getenv func(string) string) (broker.Failures, error) {
	folder, err := platform.StateDir(getenv)
	if err != nil {
		return broker.Failures{}, fmt.Errorf("finding the state folder: %w", err)
	}
	kept, err := platform.OpenKeychain("file", filepath.Join(folder, "failures"))
	return broker.Failures{Kept: kept}, err
}

// remember stores why a tool got nothing. Failure to save it is ignored.
func remember(getenv func(string) string, tool, host string, reply protocol.Reply) {
	if kept, err := failures(getenv); err == nil {
		kept.Note(tool, host, reply, time.Now())
	}
}

type lastErrorCommand struct {
	JSON bool `help:"Print JSON."`
}

// Run shows the last failure of each tool, the newest first.
func (c lastErrorCommand) Run(ctx context.Context, sys *system) error {
	kept, err := failures(sys.getenv)
	if err != nil {
		return err
	}
	names := []string{"a script"}
	for _, t := range tools() {
		names = append(names, t.who)
	}
	all, err := kept.Last(ctx, names)
	if err != nil {
		return err
	}
	if c.JSON {
		return sys.console().JSON(lastErrorReport{all})
	}
	if len(all) == 0 {
		fmt.Fprintln(sys.stdout, "no tool has failed")
	}
	for _, f := range all {
		fmt.Fprintf(sys.stdout, "%s, %s\n", protocol.Escape(f.Tool), f.At.Local().Format(time.DateTime))
		if f.Host != "" {
			console.Fact(sys.stdout, "host", f.Host)
		}
		console.Fact(sys.stdout, "error", f.Error)
		if f.Hint != "" {
			console.Fact(sys.stdout, "hint", f.Hint)
		}
	}
	return nil
}
