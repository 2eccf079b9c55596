package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/protocol"
)

// serve is the whole exchange with a tool: read the request, decide, write the reply. All tools but cargo ask once.
func serve(sys *system, c call) int {
	ctx := context.Background()
	talk, again := c.wire.(protocol.Conversation)
	if again {
		if err := talk.Hello(sys.stdout); err != nil {
			sys.console().Warn(err, "")
			return exitFailed
		}
	}
	for {
		req, err := protocol.Request{Verb: c.verb}, c.err
		if err == nil {
			req, err = c.wire.ReadRequest(c.verb, c.in)
		}
		if again && err == io.EOF {
			return exitOK
		}
		req.Tool, req.Repeats, req.Profile = c.id, c.repeats, cmp.Or(req.Profile, c.profile)
		reply := protocol.Reply{Result: protocol.Failed, Err: err}
		if err == nil {
			reply = answer(ctx, sys, c.tool, req)
			if sys.signals.stops != nil {
				sys.signals.stop()
			}
		}
		reply = sys.withoutPrompt(c.tool, reply)
		if c.next != "" && reply.Result == protocol.None && reply.Err == nil {
			return c.handOver(ctx, sys)
		}
		if reply.Err != nil {
			reply.Hint = cmp.Or(reply.Hint, sys.advice(reply.Err))
			remember(sys.getenv, c.who, req.Shown(), reply)
		}
		status, err := c.wire.WriteReply(sys.stdout, console.Folded(sys.stderr), req, reply)
		if err != nil {
			sys.console().Warn(err, "")
		}
		if !again || c.err != nil {
			return status
		}
	}
}

// answer asks the broker. Without a configuration no host is ours.
func answer(ctx context.Context, sys *system, t tool, req protocol.Request) protocol.Reply {
	if !t.complete(req) {
		return protocol.Reply{}
	}
	cfg, err := sys.config()
	if homeless, ok := errors.AsType[*config.NoHomeError](err); ok && req.Verb == protocol.Get && req.Profile == "" { // no host can be ours
		sys.console().Warn(homeless, sys.advice(homeless))
		if t.id != protocol.DockerTool { // which also has what it kept for other hosts
			return protocol.Reply{}
		}
	}
	if errors.Is(err, config.ErrNone) && req.Profile == "" {
		cfg, err = &config.Config{}, nil
	}
	if err == nil && req.Profile != "" {
		cfg, err = narrow(cfg, req.Profile)
	}
	if err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: err}
	}
	sys.caller, sys.hidden = t.who, t.waits > 0 || t.unwatched
	b, err := sys.broker(cfg)
	if err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: err}
	}
	b.Caller.OnePage = t.onePage
	if t.neverWaits(req) {
		b.Person = doesNotWait(t.who)
	}
	if t.waits > 0 {
		limited, cancel := context.WithTimeout(ctx, t.waits*4/5) // the rest is for the tool to read the answer
		defer cancel()
		ctx = limited
	}
	var decision *broker.Decision
	switch {
	case req.Verb == protocol.AllLiveTokens:
		return live(ctx, b, cfg)
	case req.Verb == protocol.List:
		return b.Answer(ctx, req)
	case req.Host == "":
		if t.check != nil {
			if err := t.check(sys, cfg.Profiles[0]); err != nil {
				return protocol.Reply{Result: protocol.Failed, Err: err}
			}
		}
		decision = b.DecideFor(ctx, cfg.Profiles[0], req)
	case req.Verb == protocol.Login || req.Verb == protocol.Logout:
		return ownCommand(req.Verb, cfg.Match(req.Scheme, req.Host))
	case t.id == protocol.GitTool && req.Verb == protocol.Erase && len(cfg.Match(req.Scheme, req.Host)) > 0:
		req.OtherHeader = doctor.SendsOtherHeader(ctx, sys.toolEnv(), req.Scheme+"://"+req.Host)
		decision = b.Decide(ctx, req)
	default:
		decision = b.Decide(ctx, req)
	}
	if decision.Quick() {
		return decision.Answer(ctx)
	}
	toolconfig.SweepSecretFiles(sys.getenv)
	reply := decision.Answer(sys.signals.heard(ctx, sys.stdout))
	if reply.Result == protocol.Found {
		sayDone(sys, decision.Profile, decision.Session)
	}
	return reply
}

// neverWaits reports whether the tool does not wait for a person to sign in.
func (t tool) neverWaits(req protocol.Request) bool {
	return req.NeverAsk || t.waits > 0 || t.unwatched
}

// doesNotWait is who can be asked for a tool that does not wait.
func doesNotWait(tool string) broker.Person {
	return broker.NoPerson{Reason: fmt.Errorf("%s does not wait for a person", tool)}
}
