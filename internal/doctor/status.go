package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/platform"
)

// ProfileStatus is one profile as status shows it.
type ProfileStatus struct {
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
	// MachineKey is the variable that brings a machine's secret key, or a CI job's credential.
	MachineKey string `json:"machine_key,omitempty"`
	// CI is the one whose job's token is exchanged, and Claims are those that were sent last, with or without success.
	CI     string       `json:"ci,omitempty"`
	Claims clerk.Claims `json:"claims,omitempty"`
	// LastSignIn is why the last one came to nothing, for as long as that counts.
	LastSignIn string `json:"last_sign_in,omitempty"`
	// AskedAgain is when a tool may next ask the person to sign in after that; zero where none asks at all.
	AskedAgain time.Time `json:"asked_again,omitzero"`
	// LastRefresh is why the last one failed, and RefreshHint what helps.
	LastRefresh string `json:"last_refresh,omitempty"`
	RefreshHint string `json:"refresh_hint,omitempty"`
	Warning     string `json:"warning,omitempty"`
	Error       string `json:"error,omitempty"`

	Check       TokenState `json:"check,omitempty"` // with --check
	CheckDetail string     `json:"check_detail,omitempty"`

	endless bool          // there is a token, and its end is not known
	left    time.Duration // until Expires
}

// Look returns what the configuration and the keychain say of a profile.
func Look(ctx context.Context, b *broker.Broker, keychain *platform.Keychain, p *config.Profile) (ProfileStatus, error) {
	var st ProfileStatus
	var failed error
	_, source, injectedErr := b.Injected(ctx, p)
	if p.IsMachine {
		s, err := b.ReadMachineToken(ctx, p)
		st = describe(p, s, b.Now(), keychain.Explain(ctx))
		if st.State = "machine"; err != nil && source == "" { // a token of the environment needs no key
			st.Error = err.Error() // a machine without a key is no failure of this command
		}
		st.MachineKey, st.CI, st.Claims = b.MachineKeyVariable(p), p.InJob, s.Claims
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
func describe(p *config.Profile, s broker.Session, now time.Time, store string) ProfileStatus {
	st := ProfileStatus{
		Profile: p.Name, DefinedIn: p.Source, Issuer: p.Issuer, State: "not signed in",
		Account: s.Account(), Refreshable: s.RefreshToken != "", Given: s.Given && s.Token(p) != "", StoredIn: store,
	}
	for _, h := range p.Hosts {
		st.Hosts = append(st.Hosts, h.String())
	}
	if s.BelowMinTTL(p) {
		st.Warning = BelowMinTTL(p, s)
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
func (s *ProfileStatus) notRefreshed(why error, live bool) {
	s.LastRefresh, s.RefreshHint = why.Error(), Hint(&broker.RefreshError{Profile: s.Profile, Err: why})
	if !broker.CannotRefresh(why) {
		return
	}
	if s.Refreshable = false; !live {
		s.State = "expired"
	}
}

// Print prints a status for people.
func (s ProfileStatus) Print(w io.Writer) {
	state := s.State
	if s.State == "machine" {
		state = "a machine's"
	}
	if s.Account != "" {
		state += " as " + s.Account
	}
	fmt.Fprintf(w, "%s: %s\n", s.Profile, console.Escape(state))
	row := func(name, value string) { console.Row(w, name, 8, console.Escape(value)) }
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
	switch {
	case s.Claims != nil:
		row("job", s.CI+" said: "+s.Claims.String())
	case s.CI != "":
		row("job", "of "+s.CI)
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
			again = AskedAgain(s.AskedAgain)
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

// PrintVerdict prints what all profiles together can do for tools.
func PrintVerdict(c *console.Console, all []ProfileStatus) {
	var ready, missing, broken []string
	for _, s := range all {
		switch {
		case s.Error != "":
			broken = append(broken, s.Profile)
		case s.State == "signed in" || s.State == "machine" || s.Injected != "":
			ready = append(ready, s.Profile)
		default:
			missing = append(missing, s.Profile)
		}
	}
	outcome := console.Good
	var words []string
	if ready != nil {
		words = append(words, "tools get tokens from "+strings.Join(ready, ", "))
	}
	switch len(missing) {
	case 0:
	case 1:
		words = append(words, missing[0]+" needs a sign-in: clerk-credential-helper login "+missing[0])
	default:
		words = append(words, strings.Join(missing, ", ")+" need a sign-in: clerk-credential-helper login NAME")
	}
	if missing != nil {
		outcome = console.Doubtful
	}
	if broken != nil {
		outcome = console.Bad
		words = append(words, "no token from "+strings.Join(broken, ", ")+", by the error above")
	}
	c.Verdict(outcome, strings.Join(words, "; "))
}

func (s ProfileStatus) token() string {
	token := "none"
	if s.State == "machine" && s.Injected == "" && s.Expires.IsZero() && !s.endless {
		if s.CI != "" {
			return "none is kept; the companion page is asked for one when a tool asks"
		}
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

// CheckError returns what the exit status says: 4 if only a sign-in is missing; 1 if an issuer does not answer, or if a
// token that no sign-in replaces is refused. A token of which the issuer says nothing counts as good.
func CheckError(all []ProfileStatus) error {
	failed := 0
	missing, reason := "", ErrNotAsked
	for _, s := range all {
		session := s.Injected == "" && s.State != "machine"
		switch {
		case s.Check == TokenNeedsSignIn, s.Check == TokenRefused && session:
			missing, reason = s.Profile, ErrNotAsked
			if s.State == "signed out" {
				reason = broker.ErrSignedOut
			}
		case s.Check == TokenRefused, s.Check == TokenUnchecked, s.Check == TokenUnknown:
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

// StatusReport is the document that status --json prints. Its state is the worst of the profiles'.
type StatusReport struct {
	State    string          `json:"state"`
	Profiles []ProfileStatus `json:"profiles"`
}

// NewStatusReport makes the document of these profiles; their times get whole seconds.
func NewStatusReport(all []ProfileStatus) StatusReport {
	r := StatusReport{console.StateOK, all}
	for i := range all {
		s := &all[i]
		s.Expires, s.AskedAgain = console.Seconds(s.Expires), console.Seconds(s.AskedAgain)
		switch {
		case s.Error != "", s.Check == TokenRefused, s.Check == TokenUnchecked, s.Check == TokenUnknown:
			r.State = console.StateFailed
		case r.State == console.StateFailed, s.Injected != "":
		case s.State != "signed in" && s.State != "machine", s.Warning != "", s.LastRefresh != "", s.LastSignIn != "", s.Check == TokenNeedsSignIn:
			r.State = console.StateWarning
		}
	}
	return r
}
