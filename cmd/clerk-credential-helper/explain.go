package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/protocol"
)

type explainCommand struct {
	URL  string `arg:"" help:"What a tool would ask for, such as https://git.acme.dev/team/repo."`
	JSON bool   `help:"Print JSON."`
}

// explanation is what would happen if a tool asked now.
type explanation struct {
	Asked     string `json:"asked"`
	Host      string `json:"host"`
	User      string `json:"user,omitempty"`    // in the address; git, pip and uv ask for it
	Profile   string `json:"profile,omitempty"` // none for a host of no profile
	DefinedIn string `json:"defined_in,omitempty"`
	Rule      string `json:"rule,omitempty"` // the pattern that names the host
	RuleAt    string `json:"rule_at,omitempty"`

	Source   string `json:"source,omitempty"` // a variable, "keychain", "machine" or "none"
	StoredIn string `json:"stored_in,omitempty"`
	// MachineKey is the variable that brings the key of the source "machine".
	MachineKey string    `json:"machine_key,omitempty"`
	UnusedKey  string    `json:"unused_key,omitempty"` // that a machine's key is set beside a profile for people
	Account    string    `json:"account,omitempty"`
	Token      string    `json:"token_hash,omitempty"` // the first 12 hexadecimal digits of its SHA-256
	Kind       string    `json:"token_kind,omitempty"`
	Expires    time.Time `json:"expires,omitzero"`
	Fallback   string    `json:"docker_fallback,omitempty"` // who answers docker for a host of no profile
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

	Answers []wireAnswer `json:"answers"`

	left time.Duration // until Expires
	how  broker.Permission
	// lastSignIn is why the last one came to nothing, for as long as that counts.
	lastSignIn string
	live       bool // there is a token that has not expired
	byEmail    bool // the user is the account's e-mail, not the profile's user name
	password   bool // the address holds one
}

// wireAnswer is what a tool would read, with TOKEN in the token's place.
type wireAnswer struct {
	Tool   string `json:"tool"`
	Output string `json:"output"`
	Status int    `json:"status"`
	// HandedTo is the program that would be asked in our place; where there is one, output and status are its own.
	HandedTo string `json:"handed_to,omitempty"`
}

// Run says what a tool would get and why. It reads the configuration and the keychain; it asks neither the network nor a
// person, and changes nothing.
func (c explainCommand) Run(ctx context.Context, sys *system) error {
	a, err := protocol.ParseAddress(c.URL)
	if err != nil {
		return &usageError{err}
	}
	cfg, err := sys.config()
	var missing error
	if errors.Is(err, config.ErrNone) {
		missing, cfg, err = err, &config.Config{}, nil
	}
	if err != nil {
		return err
	}
	b, err := sys.broker(cfg)
	if err != nil && len(cfg.Profiles) > 0 {
		return err
	}
	if err == nil {
		b.Caller = broker.Caller{} // a tool asks, and not the shell that has called us
	}
	x := explainer{sys: sys, cfg: cfg, broker: b, made: map[wanted]explained{}}
	main, err := x.explain(ctx, wanted{scheme: a.Scheme, host: a.Host, user: a.User})
	if err != nil {
		return err
	}
	git, err := x.explain(ctx, wanted{scheme: a.Scheme, host: a.Host, user: a.User, tool: protocol.GitTool})
	if err != nil {
		return err
	}
	e := main.explanation
	e.Asked, e.password = a.Shown, a.Password
	if git.Next == broker.NextRefuse && e.Next != broker.NextRefuse {
		e.GitPause, e.Hint = git.Why, cmp.Or(e.Hint, git.reply.Hint)
	}
	if missing != nil {
		e.Why, e.Hint = missing.Error(), doctor.Hint(missing)
	}
	if e.Answers, err = x.answers(ctx, a); err != nil {
		return err
	}
	if c.JSON {
		return sys.console().JSON(e.document())
	}
	e.print(sys.stdout)
	return nil
}

// explainer makes one explanation for each way in which tools ask for an address.
type explainer struct {
	sys    *system
	cfg    *config.Config
	broker *broker.Broker // nil without a profile
	made   map[wanted]explained
}

// wanted is what a plan depends on.
type wanted struct {
	scheme, host, user string
	unasked            string // the tool, if it does not wait for a person
	tool               string // git's, or empty for any other
}

// explained is what the broker would decide, and the reply that the wires would put into their words.
type explained struct {
	explanation
	reply protocol.Reply
}

func (x *explainer) explain(ctx context.Context, q wanted) (explained, error) {
	if done, ok := x.made[q]; ok {
		return done, nil
	}
	e := explanation{Host: q.host, User: q.user, Next: broker.NextNothing}
	reply, err := protocol.Reply{}, error(nil)
	b := x.broker
	if q.unasked != "" && b != nil {
		quiet := *b
		quiet.Person = doesNotWait(q.unasked)
		b = &quiet
	} else if user, ok := x.user(q); ok {
		as := *b
		as.Person = user
		b = &as
	}
	near, missed := x.cfg.Near(q.scheme, q.host)
	if named := x.cfg.Match(q.scheme, q.host); missed && !near.Port {
		reply.Err = &broker.SchemeError{Scheme: q.scheme, Host: q.host, Near: near}
		e.Why = reply.Err.Error()
	} else if len(named) == 0 {
		if e.Fallback = x.cfg.DockerFallback; missed {
			reply.Hint, e.Hint = near.String(), near.String()
		}
	} else if p := b.Choose(ctx, q.scheme, q.host, q.user); p == nil {
		e.match(named[0], q)
		e.whyNot(named)
	} else {
		e.match(p, q)
		e.byEmail = q.user != "" && q.user != p.Username
		reply, err = e.explain(ctx, x.sys, b, b.PlanFor(ctx, p, protocol.Request{Verb: protocol.Get, Scheme: q.scheme, Host: q.host, Tool: q.tool}))
	}
	if reply.Err != nil {
		reply.Hint = doctor.Hint(reply.Err)
		e.Hint = reply.Hint
	}
	x.made[q] = explained{e, reply}
	return x.made[q], err
}

// user is the user as git asks them, if git asks.
func (x *explainer) user(q wanted) (localUser, bool) {
	if x.broker == nil || q.tool == "" {
		return localUser{}, false
	}
	user, ok := x.broker.Person.(localUser)
	user.tool = q.tool
	return user, ok
}

// whyNot says why none of the profiles that name the host is the user's.
func (e *explanation) whyNot(named []*config.Profile) {
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

// match fills in which profile names the host, and where.
func (e *explanation) match(p *config.Profile, q wanted) {
	e.Profile, e.DefinedIn = p.Name, p.Source
	for _, h := range p.Hosts {
		if h.Match(q.scheme, q.host) && (e.Rule == "" || h.Exact()) {
			e.Rule, e.RuleAt = h.String(), h.At()
		}
	}
}

// explain fills in what the broker plans, and gives the reply that the wires would put into their words.
func (e *explanation) explain(ctx context.Context, sys *system, b *broker.Broker, plan broker.Plan) (protocol.Reply, error) {
	p := plan.Profile
	keychain, err := sys.keychain()
	if err != nil {
		return protocol.Reply{}, err
	}
	e.Source, e.StoredIn, e.Next, e.UnusedKey = plan.Source, "the environment", plan.Next, plan.UnusedKey
	switch plan.Source {
	case broker.SourceNone, broker.SourceKeychain, broker.SourceMachine:
		e.StoredIn = keychain.Explain(ctx)
		if _, used, _ := broker.ReadBeside(ctx, b, p); used && plan.Source == broker.SourceKeychain {
			e.StoredIn = keptBeside(ctx, keychain)
		}
	}
	if plan.Source == broker.SourceMachine {
		e.MachineKey = cmp.Or(b.MachineKeyVariable(p), config.MachineKey)
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
		if e.how, err = b.Person.MayAsk(p); err != nil {
			return protocol.Reply{}, err // it has changed meanwhile
		}
		if e.CoolDown, err = b.CoolDown(ctx, p); err != nil {
			e.lastSignIn = err.Error()
		}
	case plan.Next == broker.NextRefuse:
		e.Why = plan.Why.Error()
	case plan.Why != nil:
		e.Why, e.RefreshAfter = plan.Why.Error(), plan.Until
	}
	if plan.Next == broker.NextRefuse || plan.Next == broker.NextNothing {
		return protocol.Reply{Result: broker.Outcome(plan.Why), Err: plan.Why}, nil
	}
	credential := broker.Credential(p, s, e.User)
	credential.Token = "TOKEN"
	return protocol.Reply{Result: protocol.Found, Credential: credential}, nil
}

// answers has each tool that has a host ask for the address in its own words, and each wire write its reply down.
func (x *explainer) answers(ctx context.Context, a protocol.Address) ([]wireAnswer, error) {
	var all []wireAnswer
	for _, t := range tools() {
		none := func(string) string { return "" }
		asks, ok := t.wire(none, nil).Ask(a)
		if !ok {
			continue
		}
		wire := t.wire(func(name string) string { return asks.Env[name] }, asks.Args)
		req, err := wire.ReadRequest(asks.Verb, strings.NewReader(asks.Stdin))
		req.Tool = t.id
		said := protocol.Reply{Result: protocol.Failed, Err: err}
		if err == nil {
			if said, err = x.reply(ctx, t, req); err != nil {
				return nil, err
			}
		}
		answer := wireAnswer{Tool: t.who}
		if t.verb == freeForm { // a command that several tools call
			answer.Tool = "pip, uv"
		}
		if said.Result == protocol.None && said.Err == nil {
			answer.HandedTo = t.next
		}
		var stdout bytes.Buffer
		if answer.Status, err = wire.WriteReply(&stdout, io.Discard, req, said); err != nil {
			continue
		}
		answer.Output = stdout.String()
		all = append(all, answer)
	}
	return all, nil
}

// reply is what a tool's request would be answered with.
func (x *explainer) reply(ctx context.Context, t tool, req protocol.Request) (protocol.Reply, error) {
	q := wanted{scheme: req.Scheme, host: req.Host, user: req.Username}
	if t.neverWaits(req) {
		q.unasked = t.who
	}
	if t.id == protocol.GitTool {
		q.tool = t.id
	}
	of, err := x.explain(ctx, q)
	return x.sys.withoutPrompt(t, of.reply), err
}

func (e explanation) print(w io.Writer) {
	fmt.Fprintln(w, protocol.Escape(e.Asked))
	switch {
	case e.Profile == "" && e.Why != "":
		console.Fact(w, "profile", "none: "+e.Why)
	case e.Profile == "":
		console.Fact(w, "profile", fmt.Sprintf("none names %s: it gets no token and starts no sign-in", e.Host))
		if e.Fallback != "" {
			console.Fact(w, "fallback", "docker hears what "+e.Fallback+" answers")
		}
	default:
		console.Fact(w, "profile", fmt.Sprintf("%s, by the host %s (%s)", e.Profile, e.Rule, e.RuleAt))
	}
	if e.User != "" && e.Profile != "" {
		whose := "the profile's"
		switch {
		case e.Source == "": // no profile's: Why has the reason
			whose = "not of a profile here"
		case e.byEmail:
			whose = "the account's e-mail"
		}
		console.Fact(w, "user", fmt.Sprintf("%q, %s; only git, pip and uv ask for a user, and most others get nothing for an address that names one", e.User, whose))
	}
	if e.password {
		console.Fact(w, "password", "there is one in the address: tools that find it there send it, and ask no helper")
	}
	switch e.Source {
	case "":
	case "none":
		console.Fact(w, "source", "none: no session is kept in: "+e.StoredIn)
	case "keychain":
		console.Fact(w, "source", "the session in: "+e.StoredIn)
	case "machine":
		console.Fact(w, "source", "minted with "+e.MachineKey+", kept in: "+e.StoredIn)
	default:
		console.Fact(w, "source", e.Source+" in the environment, which takes precedence over every session")
	}
	if e.UnusedKey != "" {
		console.Fact(w, "key", e.UnusedKey)
	}
	if e.Account != "" {
		console.Fact(w, "account", e.Account)
	}
	if e.Token != "" {
		text := fmt.Sprintf("sha256:%s..., %s", e.Token, e.Kind)
		switch {
		case e.Expires.IsZero():
			text += ", its end is not known"
		case e.live:
			text += fmt.Sprintf(", good for %s, until %s", console.Life(e.left), e.Expires.Local().Format(time.DateTime))
		default:
			text += ", expired at " + e.Expires.Local().Format(time.DateTime)
		}
		console.Fact(w, "token", text)
	}
	if e.Profile != "" {
		console.Fact(w, "next", e.next())
	}
	if e.GitPause != "" {
		console.Fact(w, "git", e.GitPause)
	}
	if !e.RefreshAfter.IsZero() {
		console.Fact(w, "pause", fmt.Sprintf("the last refresh failed (%s); not before %s", e.Why, e.RefreshAfter.Local().Format(time.TimeOnly)))
	}
	if !e.CoolDown.IsZero() {
		console.Fact(w, "pause", doctor.CameToNothing(e.lastSignIn)+"; "+doctor.AskedAgain(e.CoolDown))
	}
	if e.Hint != "" {
		console.Fact(w, "hint", e.Hint)
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
		text = protocol.Escape(text)
		if most := console.Width - console.FactIndent; len(text) > most {
			text = strings.ToValidUTF8(text[:most-3], "") + "..."
		}
		fmt.Fprintf(w, "  %-*s %s\n", console.FactIndent-3, a.Tool, text)
	}
}

// next is what happens first, for people.
func (e explanation) next() string {
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
		return "you are asked to sign in: " + doctor.Asked(e.how)
	case broker.NextMint:
		return "a new token is minted first; no sign-in"
	case broker.NextRefuse:
		return "refused: " + e.Why
	}
	return "not answered: " + e.Why
}
