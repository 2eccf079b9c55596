package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/doctor"
)

type statusCommand struct {
	Check bool `help:"Ask the issuers whether they accept the tokens."`
	JSON  bool `help:"Print JSON."`

	Target string `arg:"" optional:"" name:"profile|url" help:"Only this profile, or the one of a URL or host."`
}

// Run shows facts from the configuration and the keychain; it never asks a person, and uses the network only with --check.
func (c statusCommand) Run(ctx context.Context, sys *system) error {
	cfg, err := sys.config()
	if err != nil {
		return err
	}
	profiles := cfg.Profiles
	if c.Target != "" {
		p, err := sys.pick(cfg, c.Target)
		if err != nil {
			return err
		}
		profiles = []*config.Profile{p}
	}
	b, err := sys.broker(cfg)
	if err != nil {
		return err
	}
	keychain, err := sys.keychain()
	if err != nil {
		return err
	}
	var all []doctor.ProfileStatus
	var failed []error
	for _, p := range profiles {
		st, err := doctor.Look(ctx, b, keychain, p)
		failed = append(failed, err)
		if c.Check {
			if st.Check, st.CheckDetail = doctor.CheckToken(ctx, b, p); ctx.Err() != nil {
				return ctx.Err()
			}
			// What has been refreshed is shown as it is now.
			fresh, err := doctor.Look(ctx, b, keychain, p)
			if err == nil {
				fresh.Check, fresh.CheckDetail = st.Check, st.CheckDetail
				st = fresh
			}
		}
		all = append(all, st)
	}
	if c.Check {
		failed = append(failed, doctor.CheckError(all))
	}
	if c.JSON {
		return cmp.Or(sys.console().JSON(doctor.NewStatusReport(all)), errors.Join(failed...))
	}
	for _, s := range all {
		s.Print(sys.stdout)
		fmt.Fprintln(sys.stdout)
	}
	err = errors.Join(failed...)
	if err == nil { // otherwise it is the last word
		doctor.PrintVerdict(sys.console(), all)
	}
	return err
}
