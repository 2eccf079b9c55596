package doctor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/platform"
)

// Explanation is what would happen if a tool asked now.
type Explanation struct {
	Asked     string `json:"asked"`
	Host      string `json:"host"`
	User      string `json:"user,omitempty"`    // in the address; git, pip and uv ask for it
	Profile   string `json:"profile,omitempty"` // none for a host of no profile
	DefinedIn string `json:"defined_in,omitempty"`
	Rule      string `json:"rule,omitempty"` // the pattern that names the host
	RuleAt    string `json:"rule_at,omitempty"`

	Source   string `json:"source,omitempty"` // a variable, "keychain", "exchange", "machine" or "none"
	StoredIn string `json:"stored_in,omitempty"`
	// MachineKey is the variable that brings the key of the source "machine", or a job's credential of "exchange".
	MachineKey string `json:"machine_key,omitempty"`
	// CI is the one whose job's token is exchanged, and Claims are those that were sent last, with or without success.
	CI        string       `json:"ci,omitempty"`
	Claims    clerk.Claims `json:"claims,omitempty"`
	UnusedKey string       `json:"unused_key,omitempty"` // that a machine's key is set beside a profile for people
	Account   string       `json:"account,omitempty"`
	Token     string       `json:"token_hash,omitempty"` // the first 12 hexadecimal digits of its SHA-256
	Kind      string       `json:"token_kind,omitempty"`
	Expires   time.Time    `json:"expires,omitzero"`
	Fallback  string       `json:"docker_fallback,omitempty"` // who answers docker for a host of no profile
	// Next is what would happen first.
	Next broker.Next `json:"next"`
	// Why is the reason if the person would not be asked, nothing could be answered, or a refresh is put off.
	Why string `json:"why,omitempty"`
	// Hint is what helps, with the command for it.
	Hint string `json:"hint,omitempty"`
	// GitPause is why git gets no token although other tools do.
	GitPause string `json:"git_pause,omitempty"`
	// CoolDown is when tools ask again, where a sign-in that came to nothing is the reason; Why says what it was.
	CoolDown time.Time `json:"cool_down,omitzero"`
	// RefreshAfter is when the token is refreshed at the earliest, after a refresh that has failed.
	RefreshAfter time.Time `json:"refresh_after,omitzero"`

	Answers []ToolAnswer `json:"answers"`

	ByEmail  bool `json:"-"` // the user is the account's e-mail, not the profile's user name
	Password bool `json:"-"` // the address holds one

	left time.Duration // until Expires
	how  broker.Permission
	// lastSignIn is why the last one came to nothing, for as long as that counts.
	lastSignIn string
	live       bool // there is a token that has not expired
}

// ToolAnswer is what a tool would read, with TOKEN in the token's place.
type ToolAnswer struct {
	Tool   string `json:"tool"`
	Output string `json:"output"`
	Status int    `json:"status"`
	// HandedTo is the program that would be asked in our place; where there is one, output and status are its own.
	HandedTo string `json:"handed_to,omitempty"`
}

// WhyNot says why none of the profiles that name the host is the user's.
func (e *Explanation) WhyNot(named []*config.Profile) {
	var theirs []string
	for _, p := range named {
		theirs = append(theirs, strconv.Quote(p.Username))
	}
	whose := "the profile's " + theirs[0]
	if len(theirs) > 1 {
		whose = "one of the profiles' " + strings.Join(theirs, ", ")
	}
	e.Why = fmt.Sprintf("the user %q is not %s, nor the e-mail of who is signed in", e.User, whose)
	e.Hint = "leave the user out of the address, or name the profile's: " + named[0].Username + "@" + e.Host
}

// Match fills in which profile names the host, and where.
func (e *Explanation) Match(p *config.Profile, scheme, host string) {
	e.Profile, e.DefinedIn = p.Name, p.Source
	for _, h := range p.Hosts {
		if h.Match(scheme, host) && (e.Rule == "" || h.Exact()) {
			e.Rule, e.RuleAt = h.String(), h.At()
		}
	}
}

// Plan fills in what the broker plans. The error is why the user may not be asked, if that has changed meanwhile.
func (e *Explanation) Plan(ctx context.Context, b *broker.Broker, keychain *platform.Keychain, plan broker.Plan) error {
	p := plan.Profile
	e.Source, e.StoredIn, e.Next, e.UnusedKey = plan.Source, "the environment", plan.Next, plan.UnusedKey
	switch plan.Source {
	case broker.SourceNone, broker.SourceKeychain, broker.SourceMachine, broker.SourceExchange:
		e.StoredIn = keychain.Explain(ctx)
		if _, used, _ := broker.ReadBeside(ctx, b, p); used && plan.Source == broker.SourceKeychain {
			e.StoredIn = keptBeside(ctx, keychain)
		}
	}
	if plan.Minted() {
		e.MachineKey, e.CI, e.Claims = cmp.Or(b.MachineKeyVariable(p), config.MachineKey), p.InJob, plan.Session.Claims
	}
	s := plan.Session
	if token := s.Token(p); token != "" {
		sum := sha256.Sum256([]byte(token))
		e.Token, e.Kind, e.Expires = hex.EncodeToString(sum[:6]), s.Kind, s.ExpiresAt
		e.left, e.live = s.Left(b.Now()), s.Live(p, b.Now())
	}
	e.Account = s.Account()
	var needs *broker.NeedsSignInError
	var failed *broker.SignInError
	switch {
	case errors.As(plan.Why, &needs):
		e.Why = needs.Reason.Error()
	case errors.As(plan.Why, &failed):
		e.Why, e.CoolDown = failed.Err.Error(), plan.Until
		e.lastSignIn = e.Why
	case plan.Next == broker.NextAsk && plan.Why == nil:
		var err error
		if e.how, err = b.Person.MayAsk(p); err != nil {
			return err
		}
		if e.CoolDown, err = b.CoolDown(ctx, p); err != nil {
			e.lastSignIn = err.Error()
		}
	case plan.Next == broker.NextRefuse:
		e.Why = plan.Why.Error()
	case plan.Why != nil:
		e.Why, e.RefreshAfter = plan.Why.Error(), plan.Until
	}
	return nil
}

// Print prints an explanation for people: the answer, what it follows from, and with tools what each tool would read.
func (e Explanation) Print(c *console.Console, tools bool) {
	w := c.Out
	fact := func(name, text string) { console.Fact(w, name, text) }
	c.Verdict(e.answer())
	fmt.Fprintln(w)
	if e.Asked != e.Host {
		fact("asked", e.Asked)
	}
	if e.Profile != "" {
		fact("profile", fmt.Sprintf("%s, by the host %s (%s)", e.Profile, e.Rule, e.RuleAt))
	} else if e.Fallback != "" {
		fact("fallback", "docker hears what "+e.Fallback+" answers")
	}
	if e.User != "" && e.Profile != "" {
		whose := "the profile's"
		switch {
		case e.Source == "": // no profile's: Why has the reason
			whose = "not of a profile here"
		case e.ByEmail:
			whose = "the account's e-mail"
		}
		fact("user", fmt.Sprintf("%q, %s; only git, pip and uv ask for a user, and most others get nothing for an address that names one", e.User, whose))
	}
	if e.Password {
		fact("password", "there is one in the address: tools that find it there send it, and ask no helper")
	}
	switch e.Source {
	case "":
	case "none":
		fact("source", "none: no session is kept in: "+e.StoredIn)
	case "keychain":
		fact("source", "the session in: "+e.StoredIn)
	case "exchange":
		fact("source", "exchanged for the token of "+e.CI+", kept in: "+e.StoredIn)
		if e.Claims != nil {
			fact("job", e.CI+" said: "+e.Claims.String())
		}
	case "machine":
		fact("source", "minted with "+e.MachineKey+", kept in: "+e.StoredIn)
	default:
		fact("source", e.Source+" in the environment, which takes precedence over every session")
	}
	if e.UnusedKey != "" {
		fact("key", e.UnusedKey)
	}
	if e.Account != "" {
		fact("account", e.Account)
	}
	if e.Token != "" {
		fact("token", fmt.Sprintf("sha256:%s..., %s, %s", e.Token, e.Kind, e.until()))
	}
	if next := e.next(); next != "" {
		fact("next", next)
	}
	if e.GitPause != "" {
		fact("git", e.GitPause)
	}
	if !e.RefreshAfter.IsZero() {
		fact("pause", fmt.Sprintf("the last refresh failed (%s); not before %s", e.Why, e.RefreshAfter.Local().Format(time.TimeOnly)))
	}
	if !e.CoolDown.IsZero() {
		fact("pause", CameToNothing(e.lastSignIn)+"; "+AskedAgain(e.CoolDown))
	}
	if e.Hint != "" {
		fact("hint", e.Hint)
	}
	if !tools {
		fmt.Fprintln(w, "\n  --tools shows what each tool would read")
		return
	}
	fmt.Fprintln(w, "\n  what each tool would read:")
	for _, a := range e.Answers {
		text := strings.ReplaceAll(strings.TrimSpace(a.Output), "\n", " ; ")
		switch {
		case a.HandedTo != "":
			text = "what the next " + a.HandedTo + " in the PATH answers, if there is one"
		case text == "":
			text = "nothing"
		}
		if a.Status != 0 && a.HandedTo == "" {
			text += fmt.Sprintf(" (exit status %d)", a.Status)
		}
		text = console.Escape(text)
		if most := console.Columns(w) - console.FactIndent; len(text) > most {
			text = strings.ToValidUTF8(text[:most-3], "") + "..."
		}
		fmt.Fprintf(w, "  %-*s %s\n", console.FactIndent-3, a.Tool, text)
	}
}

// answer is who gets what for the host, until when, and why.
func (e Explanation) answer() (console.Outcome, string) {
	token := "a token"
	if e.Account != "" {
		token = "the token of " + e.Account
	}
	by := " by profile " + e.Profile
	switch e.Next {
	case broker.NextAnswer:
		if e.GitPause != "" {
			return console.Doubtful, e.Host + " gets " + token + by + ", " + e.until() + "; git gets none"
		}
		return console.Good, e.Host + " gets " + token + by + ", " + e.until()
	case broker.NextRefresh:
		return console.Good, e.Host + " gets " + token + by + ", refreshed first"
	case broker.NextMint:
		if e.CI != "" {
			return console.Good, e.Host + " gets a token for the job of " + e.CI + by + ", exchanged first"
		}
		return console.Good, e.Host + " gets a token of the machine" + by + ", minted first"
	case broker.NextAsk:
		return console.Doubtful, e.Host + " gets a token" + by + " after a sign-in"
	case broker.NextRefuse:
		return console.Bad, e.Host + " gets no token: " + e.Why
	}
	if strings.Contains(e.Why, " gets no token: ") {
		return console.Doubtful, e.Why
	}
	return console.Doubtful, e.Host + " gets no token: " + cmp.Or(e.Why, "no profile names it, and no sign-in starts")
}

// until is how long the token is good.
func (e Explanation) until() string {
	switch {
	case e.Expires.IsZero():
		return "its end is not known"
	case e.live:
		return fmt.Sprintf("good for %s, until %s", console.Life(e.left), e.Expires.Local().Format(time.DateTime))
	}
	return "expired at " + e.Expires.Local().Format(time.DateTime)
}

// next is what happens first, for people; empty if nothing does.
func (e Explanation) next() string {
	switch e.Next {
	case broker.NextAnswer:
		return "answered as it is; no network and no sign-in"
	case broker.NextRefresh:
		text := "refreshed at the issuer first; no sign-in"
		if e.live {
			text += "; if that fails, answered as it is"
		}
		if e.Why != "" {
			text += "; the last one failed: " + e.Why
		}
		return text
	case broker.NextAsk:
		if e.Why != "" {
			return "the keychain asks you first: " + e.Why
		}
		return "you are asked to sign in: " + Asked(e.how)
	case broker.NextMint:
		if e.CI != "" {
			return "the companion page is asked for a token first; no sign-in"
		}
		return "a new token is minted first; no sign-in"
	}
	return ""
}

// Document is what --json prints: its times have whole seconds.
func (e Explanation) Document() Explanation {
	e.Expires, e.CoolDown, e.RefreshAfter = console.Seconds(e.Expires), console.Seconds(e.CoolDown), console.Seconds(e.RefreshAfter)
	return e
}
