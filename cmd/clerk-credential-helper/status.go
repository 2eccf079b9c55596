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
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

type statusCommand struct {
	Check bool `help:"Ask the issuers whether they accept the tokens."`
	JSON  bool `help:"Print JSON."`

	Target string `arg:"" optional:"" name:"profile|url" help:"Only this profile, or the one of a URL or host."`
}

// profileStatus is one profile as status shows it.
type profileStatus struct {
	Profile     string    `json:"profile"`
	DefinedIn   string    `json:"defined_in"`
	Issuer      string    `json:"issuer"`
	Hosts       []string  `json:"hosts"`
	State       string    `json:"state"` // signed in, expired, signed out, not signed in, machine, unknown
	Account     string    `json:"account,omitempty"`
	Expires     time.Time `json:"expires,omitzero"`
	Refreshable bool      `json:"refreshable"`
	// Given is set if the token came by login --with-token.
	Given    bool   `json:"given,omitempty"`
	StoredIn string `json:"stored_in"`
	// Other is the account of a second session, and where it is; a logout ends both.
	Other string `json:"other_session,omitempty"`
	// Injected is the variable that brings a token, which takes precedence over the session.
	Injected string `json:"injected,omitempty"`
	// MachineKey is the variable that brings a machine's secret key.
	MachineKey string `json:"machine_key,omitempty"`
	// LastSignIn is why the last one came to nothing, for as long as that counts.
	LastSignIn string `json:"last_sign_in,omitempty"`
	// AskedAgain is when a tool may next ask the person to sign in after that; zero where none asks at all.
	AskedAgain time.Time `json:"asked_again,omitzero"`
	// LastRefresh is why the last one failed, and RefreshHint what helps.
	LastRefresh string `json:"last_refresh,omitempty"`
	RefreshHint string `json:"refresh_hint,omitempty"`
	Warning     string `json:"warning,omitempty"`
	Error       string `json:"error,omitempty"`

	Check       doctor.TokenState `json:"check,omitempty"` // with --check
	CheckDetail string            `json:"check_detail,omitempty"`

	endless bool          // there is a token, and its end is not known
	left    time.Duration // until Expires
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
	var all []profileStatus
	var failed []error
	for _, p := range profiles {
		st, err := look(ctx, b, keychain, p)
		failed = append(failed, err)
		if c.Check {
			if st.Check, st.CheckDetail = doctor.CheckToken(ctx, b, p); ctx.Err() != nil {
				return ctx.Err()
			}
			// What has been refreshed is shown as it is now.
			fresh, err := look(ctx, b, keychain, p)
			if err == nil {
				fresh.Check, fresh.CheckDetail = st.Check, st.CheckDetail
				st = fresh
			}
		}
		all = append(all, st)
	}
	if c.JSON {
		if err := sys.console().JSON(newStatusReport(all)); err != nil {
			return err
		}
	} else {
		for i, s := range all {
			if i > 0 {
				fmt.Fprintln(sys.stdout)
			}
			s.print(sys.stdout)
		}
	}
	if c.Check {
		failed = append(failed, checkError(all))
	}
	return errors.Join(failed...)
}

// look returns what the configuration and the keychain say of a profile.
func look(ctx context.Context, b *broker.Broker, keychain *platform.Keychain, p *config.Profile) (profileStatus, error) {
	var st profileStatus
	var failed error
	_, source, injectedErr := b.Injected(ctx, p)
	if p.IsMachine {
		s, err := b.ReadMachineToken(ctx, p)
		st = describe(p, s, b.Now(), keychain.Explain(ctx))
		if st.State = "machine"; err != nil && source == "" { // a token of the environment needs no key
			st.Error = err.Error() // a machine without a key is no failure of this command
		}
		st.MachineKey = b.MachineKeyVariable(p)
	} else {
		s, _, err := b.ReadSession(ctx, p)
		st, failed = describe(p, s, b.Now(), keychain.Explain(ctx)), err
		if err != nil {
			st.State, st.Error = "unknown", err.Error()
		}
		if other, used, ok := broker.ReadBeside(ctx, b, p); used {
			st.StoredIn = keptBeside(ctx, keychain)
		} else if ok {
			st.Other = fmt.Sprintf("%s, in the %s; logout ends both", other.Account(), keychain.Beside().Describe())
		}
		if why := b.LastRefresh(ctx, p); why != nil && st.Refreshable {
			st.notRefreshed(why, s.Live(p, b.Now()))
		}
	}
	if until, why := b.CoolDown(ctx, p); why != nil {
		st.LastSignIn = why.Error()
		if _, not := b.Person.MayAsk(p); not == nil && st.State != "signed out" && p.LegacyPage == "" {
			st.AskedAgain = until
		}
	}
	if st.Injected = source; source != "" {
		if plan := b.Plan(ctx, p); plan.Next == broker.NextRefuse { // the token is no good
			st.Error = plan.Why.Error()
		}
	}
	return st, errors.Join(failed, injectedErr)
}

// keptBeside is where a session is that was kept in the other keychain.
func keptBeside(ctx context.Context, keychain *platform.Keychain) string {
	return keychain.Beside().Explain(ctx) + "; it was kept there while there was no " + keychain.Describe()
}

// describe is what a session tells, which is empty if there is none.
func describe(p *config.Profile, s broker.Session, now time.Time, store string) profileStatus {
	st := profileStatus{
		Profile: p.Name, DefinedIn: p.Source, Issuer: p.Issuer, State: "not signed in",
		Account: s.Account(), Refreshable: s.RefreshToken != "", Given: s.Given && s.Token(p) != "", StoredIn: store,
	}
	for _, h := range p.Hosts {
		st.Hosts = append(st.Hosts, h.String())
	}
	if s.BelowMinTTL(p) {
		st.Warning = doctor.BelowMinTTL(p, s)
	}
	st.endless, st.left = s.Endless(p), s.Left(now)
	switch {
	case s.SignedOut:
		st.State = "signed out"
	case s.Live(p, now):
		st.State, st.Expires = "signed in", s.ExpiresAt
	case s.RefreshToken != "":
		st.State = "signed in"
	case s.Token(p) != "":
		st.State, st.Expires = "expired", s.ExpiresAt
	}
	return st
}

// notRefreshed adds why the last refresh failed. If no further one helps, the session is not refreshable.
func (s *profileStatus) notRefreshed(why error, live bool) {
	s.LastRefresh, s.RefreshHint = why.Error(), doctor.Hint(&broker.RefreshError{Profile: s.Profile, Err: why})
	if !broker.CannotRefresh(why) {
		return
	}
	if s.Refreshable = false; !live {
		s.State = "expired"
	}
}

func (s profileStatus) print(w io.Writer) {
	state := s.State
	if s.State == "machine" {
		state = "a machine's"
	}
	if s.Account != "" {
		state += " as " + s.Account
	}
	fmt.Fprintf(w, "%s: %s\n", s.Profile, protocol.Escape(state))
	row := func(name, value string) { console.Row(w, name, 8, protocol.Escape(value)) }
	row("issuer", s.Issuer)
	row("hosts", strings.Join(s.Hosts, ", "))
	row("token", s.token())
	switch {
	case s.Injected != "" && s.State == "machine":
		row("injected", "tools get the token in "+s.Injected)
	case s.Injected != "":
		row("injected", s.Injected+" takes precedence over the session")
	}
	if s.MachineKey != "" {
		row("key", s.MachineKey)
	}
	if s.Check != "" {
		text := string(s.Check)
		if s.CheckDetail != "" {
			text += ": " + s.CheckDetail
		}
		row("check", text)
	}
	if s.LastRefresh != "" {
		text := "failed (" + s.LastRefresh + ")"
		if s.RefreshHint != "" {
			text += "; " + s.RefreshHint
		}
		row("refresh", text)
	}
	if s.Warning != "" {
		row("warning", s.Warning)
	}
	if s.LastSignIn != "" {
		again := "tools do not ask"
		if !s.AskedAgain.IsZero() {
			again = doctor.AskedAgain(s.AskedAgain)
		}
		row("sign-in", fmt.Sprintf("came to nothing (%s); %s; run: clerk-credential-helper login %s", s.LastSignIn, again, s.Profile))
	}
	row("stored", s.StoredIn)
	if s.Other != "" {
		row("also", s.Other)
	}
	row("defined", s.DefinedIn)
	if s.Error != "" {
		row("error", s.Error)
	}
}

func (s profileStatus) token() string {
	token := "none"
	if s.State == "machine" && s.Injected == "" && s.Expires.IsZero() && !s.endless {
		return "none is kept; one is minted when a tool asks"
	}
	switch {
	case s.endless:
		token = "its end is not known: used until a server refuses it"
	case !s.Expires.IsZero() && s.left > 0:
		token = fmt.Sprintf("good for %s, until %s", console.Life(s.left), s.Expires.Local().Format(time.DateTime))
	case !s.Expires.IsZero():
		token = "expired at " + s.Expires.Local().Format(time.DateTime)
	}
	switch {
	case s.Refreshable:
		token += "; refreshed when needed"
	case s.Given:
		token += "; given by login --with-token, not refreshable"
	}
	return token
}

// checkError returns what the exit status says: 4 if only a sign-in is missing; 1 if an issuer does not answer, or if a
// token that no sign-in replaces is refused. A token of which the issuer says nothing counts as good.
func checkError(all []profileStatus) error {
	failed := 0
	missing, reason := "", doctor.ErrNotAsked
	for _, s := range all {
		session := s.Injected == "" && s.State != "machine"
		switch {
		case s.Check == doctor.TokenNeedsSignIn, s.Check == doctor.TokenRefused && session:
			missing, reason = s.Profile, doctor.ErrNotAsked
			if s.State == "signed out" {
				reason = broker.ErrSignedOut
			}
		case s.Check == doctor.TokenRefused, s.Check == doctor.TokenUnchecked, s.Check == doctor.TokenUnknown:
			failed++
		}
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%d of %d profiles failed the check", failed, len(all))
	case missing != "":
		return &broker.NeedsSignInError{Profile: missing, Reason: reason}
	}
	return nil
}
