package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/protocol"
)

type statusCommand struct {
	JSON bool `help:"Print JSON."`
}

// profileStatus is one profile as status shows it.
type profileStatus struct {
	Profile     string    `json:"profile"`
	DefinedIn   string    `json:"defined_in"`
	Issuer      string    `json:"issuer"`
	Hosts       []string  `json:"hosts"`
	State       string    `json:"state"` // signed in, expired, signed out, not signed in, unknown
	Account     string    `json:"account,omitempty"`
	Expires     time.Time `json:"expires,omitzero"`
	Refreshable bool      `json:"refreshable"`
	StoredIn    string    `json:"stored_in"`
	// Injected is the variable that brings a token, which goes before the session.
	Injected string `json:"injected,omitempty"`
	// AskedAgain is when a tool may next ask the person to sign in, after a refusal.
	AskedAgain time.Time `json:"asked_again,omitzero"`
	Error      string    `json:"error,omitempty"`
}

// Run shows facts from the configuration and the keychain; it never asks the network or a person.
func (c statusCommand) Run(ctx context.Context, sys *system) error {
	cfg, err := sys.config()
	if err != nil {
		return err
	}
	b, err := sys.broker(cfg)
	if err != nil {
		return err
	}
	keychain, err := sys.keychain()
	if err != nil {
		return err
	}
	var all []profileStatus
	var failed []error
	for _, p := range cfg.Profiles {
		s, ok, err := b.Look(ctx, p)
		if err != nil {
			failed = append(failed, err)
		}
		st := describe(p, s, ok, err, keychain.Explain(ctx))
		st.AskedAgain, _ = b.CoolDown(ctx, p)
		_, st.Injected, err = b.Injected(p)
		if err != nil {
			failed = append(failed, err)
		}
		all = append(all, st)
	}
	if c.JSON {
		if err := sys.printJSON(all); err != nil {
			return err
		}
		return errors.Join(failed...)
	}
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(sys.stdout)
		}
		s.print(sys.stdout)
	}
	return errors.Join(failed...)
}

func describe(p *config.Profile, s broker.Session, ok bool, err error, store string) profileStatus {
	st := profileStatus{
		Profile: p.Name, DefinedIn: p.Source, Issuer: p.Issuer, State: "not signed in",
		Account: s.Account(), Refreshable: s.RefreshToken != "", StoredIn: store,
	}
	for _, h := range p.Hosts {
		st.Hosts = append(st.Hosts, h.String())
	}
	switch {
	case err != nil:
		st.State, st.Error = "unknown", err.Error()
	case !ok:
	case s.SignedOut:
		st.State = "signed out"
	case s.Token(p) != "" && s.ExpiresAt.After(time.Now()):
		st.State, st.Expires = "signed in", s.ExpiresAt
	case s.RefreshToken != "":
		st.State = "signed in"
	case s.Token(p) != "":
		st.State, st.Expires = "expired", s.ExpiresAt
	}
	return st
}

func (s profileStatus) print(w io.Writer) {
	state := s.State
	if s.Account != "" {
		state += " as " + s.Account
	}
	fmt.Fprintf(w, "%s: %s\n", s.Profile, protocol.Escape(state))
	row := func(name, value string) { fmt.Fprintf(w, "  %-8s %s\n", name, protocol.Escape(value)) }
	row("issuer", s.Issuer)
	row("hosts", strings.Join(s.Hosts, ", "))
	token := "none"
	switch left := time.Until(s.Expires); {
	case left > 0:
		token = fmt.Sprintf("good for %s, until %s", life(left), s.Expires.Local().Format(time.DateTime))
	case !s.Expires.IsZero():
		token = "expired at " + s.Expires.Local().Format(time.DateTime)
	}
	if s.Refreshable {
		token += "; refreshed when needed"
	}
	row("token", token)
	if s.Injected != "" {
		row("injected", s.Injected+" goes before the session")
	}
	if !s.AskedAgain.IsZero() {
		row("sign-in", "was refused; tools ask again after "+s.AskedAgain.Local().Format(time.TimeOnly)+", or run: clerk-credential-helper login "+s.Profile)
	}
	row("stored", s.StoredIn)
	row("defined", s.DefinedIn)
	if s.Error != "" {
		row("error", s.Error)
	}
}
