package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
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
	Profile   string `json:"profile,omitempty"` // none for a host of no profile
	DefinedIn string `json:"defined_in,omitempty"`
	Rule      string `json:"rule,omitempty"` // the pattern that names the host
	RuleAt    string `json:"rule_at,omitempty"`

	Source   string    `json:"source,omitempty"` // a variable, "keychain", "machine" or "none"
	StoredIn string    `json:"stored_in,omitempty"`
	Account  string    `json:"account,omitempty"`
	Token    string    `json:"token_hash,omitempty"` // the first 12 hexadecimal digits of its SHA-256
	Kind     string    `json:"token_kind,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
	Fallback string    `json:"docker_fallback,omitempty"` // who answers docker for a host of no profile
	// Next is what would happen first: "answer", "refresh", "ask", "mint", "refuse" or "nothing".
	Next string `json:"next"`
	// Why is the reason where nobody would be asked, or nothing could be answered.
	Why      string    `json:"why,omitempty"`
	CoolDown time.Time `json:"cool_down,omitzero"`

	Answers []wireAnswer `json:"answers"`

	mint bool // a machine's token that is kept is not good any more, or there is none
}

// wireAnswer is what a tool would read, with TOKEN in the token's place.
type wireAnswer struct {
	Tool   string `json:"tool"`
	Output string `json:"output"`
	Status int    `json:"status"`
}

// Run says what a tool would get and why. It reads the configuration and the keychain; it asks neither the network nor a
// person, and changes nothing.
func (c explainCommand) Run(ctx context.Context, sys *system) error {
	req, err := docker().ReadRequest(protocol.Get, strings.NewReader(c.URL))
	if err != nil || req.Host == "" {
		return &usageError{fmt.Errorf("%q is not a URL or a host", c.URL)}
	}
	cfg, err := sys.config()
	if errors.Is(err, errNoConfiguration) {
		cfg, err = noProfiles(), nil
	}
	if err != nil {
		return err
	}
	e := explanation{Asked: c.URL, Host: req.Host, Next: "nothing"}
	reply := protocol.Reply{}
	if named := cfg.Match(req.Scheme, req.Host); len(named) > 0 {
		b, err := sys.broker(cfg)
		if err != nil {
			return err
		}
		if reply, err = e.explain(ctx, sys, b, named[0], req); err != nil {
			return err
		}
	} else {
		e.Fallback = cfg.DockerFallback
	}
	e.Answers = sys.answers(req, reply, e)
	if c.JSON {
		return sys.printJSON(e)
	}
	e.print(sys.stdout)
	return nil
}

// explain fills in what the broker would decide, and gives the reply that the wires would put into their words.
func (e *explanation) explain(ctx context.Context, sys *system, b *broker.Broker, p *config.Profile, req protocol.Request) (protocol.Reply, error) {
	e.Profile, e.DefinedIn = p.Name, p.Source
	for _, h := range p.Hosts {
		alone := &config.Config{Profiles: []*config.Profile{{Hosts: []config.Host{h}}}}
		if len(alone.Match(req.Scheme, req.Host)) > 0 && (e.Rule == "" || h.Exact()) {
			e.Rule, e.RuleAt = h.String(), h.At()
		}
	}
	keychain, err := sys.keychain()
	if err != nil {
		return protocol.Reply{}, err
	}
	e.StoredIn = keychain.Describe()

	s, err := e.session(ctx, b, p)
	if err != nil {
		e.Next, e.Why = "refuse", err.Error()
		return protocol.Reply{Outcome: protocol.Failed, Err: err}, nil
	}
	if token := s.Token(p); token != "" {
		sum := sha256.Sum256([]byte(token))
		e.Token, e.Kind, e.Expires = hex.EncodeToString(sum[:6]), s.Kind, s.ExpiresAt
	}
	e.Account = s.Account()
	now := time.Now()
	left, life := s.ExpiresAt.Sub(now), s.ExpiresAt.Sub(s.ReceivedAt)
	live := e.Token != "" && (left > 0 || s.ExpiresAt.IsZero())
	switch {
	case e.Source == "machine" && e.mint:
		e.Next = "mint"
	case live && (s.ExpiresAt.IsZero() || left >= min(p.MinTTL, life/2) || s.RefreshToken == ""):
		e.Next = "answer"
	case s.RefreshToken != "":
		e.Next = "refresh"
	default:
		e.CoolDown, err = b.CoolDown(ctx, p)
		switch asked := b.Ask(p); {
		case s.SignedOut:
			e.Why = "you signed out"
		case p.LegacyPage != "":
			e.Why = "a legacy_page works only with login"
		case asked != nil:
			e.Why = asked.Error()
		case err != nil && (b.Foreground == nil || !b.Foreground()):
			e.Why = err.Error()
		default:
			e.Next = "ask"
		}
	}
	if e.Why != "" {
		return needsSignIn(p.Name, e.Why), nil
	}
	credential := protocol.Credential{
		Username: p.Username, Token: "TOKEN", Expires: s.ExpiresAt, IdentityToken: p.DockerIdentityToken,
		Auth: map[string]protocol.Auth{"basic": protocol.AuthBasic, "bearer": protocol.AuthBearer}[p.GitAuth],
	}
	return protocol.Reply{Outcome: protocol.Found, Credential: credential}, nil
}

func needsSignIn(profile, why string) protocol.Reply {
	return protocol.Reply{Outcome: protocol.None, Err: &broker.NeedsSignIn{Profile: profile, Reason: errors.New(why)}}
}

// session is what there is now, and where it comes from.
func (e *explanation) session(ctx context.Context, b *broker.Broker, p *config.Profile) (broker.Session, error) {
	e.Source = "none"
	token, source, err := b.Injected(p)
	if err != nil {
		return broker.Session{}, err
	}
	if source != "" {
		e.Source, e.StoredIn = source, "the environment"
		s, err := broker.CheckInjected(p, token, time.Now())
		if err != nil {
			return s, &broker.InjectedError{Source: source, Err: err}
		}
		return s, nil
	}
	if p.Machine {
		e.Source = "machine"
		s, mint, err := b.LookMachine(ctx, p)
		e.mint = mint
		return s, err
	}
	s, ok, err := b.Look(ctx, p)
	if ok {
		e.Source = "keychain"
	}
	return s, err
}

// answers has each wire that has a host write the reply down. Where a person would be asked, some tools do not wait.
func (sys *system) answers(req protocol.Request, reply protocol.Reply, e explanation) []wireAnswer {
	var all []wireAnswer
	for _, t := range tools(sys) {
		if t.verb == freeForm || t.word == "pnpm" || t.word == "gcp" {
			continue // their requests are more than a host
		}
		said := reply
		if e.Next == "ask" && (t.waits > 0 || t.unwatched) {
			said = needsSignIn(e.Profile, fmt.Sprintf("%s does not wait for a person", t.who))
		}
		var stdout bytes.Buffer
		status, err := t.wire([]string{req.Host}).WriteReply(&stdout, io.Discard, req, said)
		if err != nil {
			continue
		}
		all = append(all, wireAnswer{t.who, stdout.String(), status})
	}
	return all
}

func (e explanation) print(w io.Writer) {
	fmt.Fprintln(w, protocol.Escape(e.Asked))
	if e.Profile == "" {
		fact(w, "profile", fmt.Sprintf("none names %s: it gets no token, and nobody is asked to sign in for it", e.Host))
		if e.Fallback != "" {
			fact(w, "fallback", "docker hears what "+e.Fallback+" answers")
		}
	} else {
		fact(w, "profile", fmt.Sprintf("%s, by the host %s (%s)", e.Profile, e.Rule, e.RuleAt))
	}
	switch e.Source {
	case "":
	case "none":
		fact(w, "source", "none: there is no session in the "+e.StoredIn)
	case "keychain":
		fact(w, "source", "the session in: "+e.StoredIn)
	case "machine":
		fact(w, "source", "minted with CLERK_MACHINE_SECRET_KEY, kept in: "+e.StoredIn)
	default:
		fact(w, "source", e.Source+" in the environment, which goes before every session")
	}
	if e.Account != "" {
		fact(w, "account", e.Account)
	}
	if e.Token != "" {
		text := fmt.Sprintf("sha256:%s..., %s", e.Token, e.Kind)
		switch left := time.Until(e.Expires); {
		case e.Expires.IsZero():
			text += ", its end is not known"
		case left > 0:
			text += fmt.Sprintf(", good for %s, until %s", life(left), e.Expires.Local().Format(time.DateTime))
		default:
			text += ", expired at " + e.Expires.Local().Format(time.DateTime)
		}
		fact(w, "token", text)
	}
	if e.Profile != "" {
		fact(w, "next", map[string]string{
			"answer":  "answered as it is; no network, nobody is asked",
			"refresh": "refreshed at the issuer first; nobody is asked",
			"ask":     "a person is asked: the browser opens",
			"mint":    "a new token is minted first; nobody is asked",
			"refuse":  "refused: " + e.Why,
			"nothing": "nobody is asked: " + e.Why,
		}[e.Next])
	}
	if !e.CoolDown.IsZero() {
		fact(w, "pause", "a sign-in was refused; tools ask again after "+e.CoolDown.Local().Format(time.TimeOnly))
	}
	fmt.Fprintln(w, "\n  what each tool would read:")
	for _, a := range e.Answers {
		text := strings.ReplaceAll(strings.TrimSpace(a.Output), "\n", " ; ")
		if text == "" {
			text = "nothing"
		}
		if a.Status != 0 {
			text += fmt.Sprintf(" (exit status %d)", a.Status)
		}
		text = protocol.Escape(text)
		if most := screenWidth - factIndent; len(text) > most {
			text = strings.ToValidUTF8(text[:most-3], "") + "..."
		}
		fmt.Fprintf(w, "  %-*s %s\n", factIndent-3, a.Tool, text)
	}
}

const (
	screenWidth = 80 // what people's terminals have at least
	factIndent  = 13 // where the text of a fact begins
)

// fact prints a name and a text, over several lines where one is too short.
func fact(w io.Writer, name, text string) { wrap(w, name, factIndent-3, protocol.Escape(text)) }

// wrap prints a text beside a name in a column of that width. A word is never broken: it may be a path.
func wrap(w io.Writer, name string, column int, text string) {
	line := fmt.Sprintf("  %-*s", column, name)
	used := false
	for _, word := range strings.Fields(text) {
		if used && len(line)+1+len(word) > screenWidth {
			fmt.Fprintln(w, line)
			line = strings.Repeat(" ", column+2)
		}
		line, used = line+" "+word, true
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}
