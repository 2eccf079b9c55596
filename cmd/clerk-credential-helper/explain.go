package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"strings"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

type explainCommand struct {
	URL   string `arg:"" help:"What a tool would ask for, such as https://git.acme.dev/team/repo."`
	Tools bool   `help:"Also show what each tool would read, with TOKEN in the token's place."`
	JSON  bool   `help:"Print JSON."`
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
	e := main.Explanation
	e.Asked, e.Password = a.Shown, a.Password
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
		return sys.console().JSON(e.Document())
	}
	e.Print(sys.console(), c.Tools)
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
	doctor.Explanation
	reply protocol.Reply
}

func (x *explainer) explain(ctx context.Context, q wanted) (explained, error) {
	if done, ok := x.made[q]; ok {
		return done, nil
	}
	e := doctor.Explanation{Host: q.host, User: q.user, Next: broker.NextNothing}
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
		e.Match(named[0], q.scheme, q.host)
		e.WhyNot(named)
	} else {
		e.Match(p, q.scheme, q.host)
		e.ByEmail = q.user != "" && q.user != p.Username
		plan := b.PlanFor(ctx, p, protocol.Request{Verb: protocol.Get, Scheme: q.scheme, Host: q.host, Tool: q.tool})
		var keychain *platform.Keychain
		if keychain, err = x.sys.keychain(); err == nil {
			err = e.Plan(ctx, b, keychain, plan)
		}
		if err == nil {
			reply = replyTo(plan, q.user)
		}
	}
	if reply.Err != nil {
		reply.Hint = doctor.Hint(reply.Err)
		e.Hint = reply.Hint
	}
	x.made[q] = explained{e, reply}
	return x.made[q], err
}

// replyTo is the reply that the wires would put into their words.
func replyTo(plan broker.Plan, user string) protocol.Reply {
	if plan.Next == broker.NextRefuse || plan.Next == broker.NextNothing {
		return protocol.Reply{Result: broker.Outcome(plan.Why), Err: plan.Why}
	}
	credential := broker.Credential(plan.Profile, plan.Session, user)
	credential.Token = "TOKEN"
	return protocol.Reply{Result: protocol.Found, Credential: credential}
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

// answers has each tool that has a host ask for the address in its own words, and each wire write its reply down.
func (x *explainer) answers(ctx context.Context, a protocol.Address) ([]doctor.ToolAnswer, error) {
	var all []doctor.ToolAnswer
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
		answer := doctor.ToolAnswer{Tool: t.who}
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
