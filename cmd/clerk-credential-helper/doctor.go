package main

import (
	"context"
	"errors"
	"fmt"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/doctor"
)

type doctorCommand struct {
	JSON    bool `help:"Print JSON."`
	Verbose bool `help:"Also show what is as it should be."`
	Fix     bool `help:"Fix what can be fixed safely, asking before each change."`
	Yes     bool `short:"y" help:"With --fix: do not ask."`
	DryRun  bool `help:"With --fix: show the fixes and make none."`
}

// Run looks at everything that a token's way depends on. Its one change is a probe that it puts into the keychain and
// takes out again, and with --fix what the person agrees to. The exit status is 1 if a check fails.
func (c doctorCommand) Run(ctx context.Context, sys *system) error {
	if (c.Yes || c.DryRun) && !c.Fix {
		return &usageError{errors.New("--yes and --dry-run go with --fix")}
	}
	progress, stop := sys.progress()
	env := sys.doctorEnv()
	env.Doing = progress.Now
	findings := doctor.Run(ctx, env)
	stop()
	if c.Fix {
		var err error
		fix := doctor.Fix{Yes: c.Yes, DryRun: c.DryRun, Console: sys.console()}
		if findings, err = fix.Make(ctx, sys.doctorEnv(), findings); err != nil {
			return err
		}
	}
	if !c.JSON {
		if doctor.Print(sys.console(), findings, c.Verbose) {
			return &exitError{exitFailed}
		}
		return nil
	}
	failed := 0
	for _, f := range findings {
		if f.State == doctor.Failing {
			failed++
		}
	}
	if err := sys.console().JSON(doctor.NewReport(findings)); err != nil || failed == 0 {
		return err
	}
	return fmt.Errorf("%d of %d checks failed", failed, len(findings))
}

// progress shows at the terminal what a command waits for, until stop is called.
func (sys *system) progress() (p *console.Progress, stop func()) {
	p = sys.console().Progress()
	sys.screen.Store(p.Screen)
	return p, func() { sys.screen.Store(nil); p.Stop() }
}

// doctorEnv is what of this process the doctor looks at.
func (sys *system) doctorEnv() doctor.Env {
	return doctor.Env{
		Config:   sys.config,
		Keychain: sys.keychain,
		Broker:   sys.broker,
		Client:   func(p *config.Profile) (*clerk.Client, error) { return sys.client(p, nil) },
		Where:    sys.where,
		Tools:    sys.toolEnv(),
		Version:  programVersion(),
	}
}
