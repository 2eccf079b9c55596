package main

import (
	"context"
	"errors"

	"clerk-credential-helper/protocol"
)

// serve is the whole exchange with a tool: read the request, decide, write the reply.
func serve(sys *system, c call) int {
	var req protocol.Request
	err := c.err
	if err == nil {
		req, err = c.wire.ReadRequest(c.verb, c.in)
	}
	reply := protocol.Reply{Outcome: protocol.Failed, Err: err}
	if err == nil {
		sys.caller = c.tool
		reply = answer(interruptible(), sys, req)
	}
	if reply.Err != nil && reply.Hint == "" {
		reply.Hint = hint(reply.Err)
	}
	req.Verb = c.verb
	status, err := c.wire.WriteReply(sys.stdout, sys.stderr, req, reply)
	if err != nil {
		protocol.Words(sys.stderr, err, "")
	}
	return status
}

// answer asks the broker. Without a configuration nothing is ours, and a tool hears what it would without us.
func answer(ctx context.Context, sys *system, req protocol.Request) protocol.Reply {
	needsHost := req.Verb == protocol.Get || req.Verb == protocol.Store || req.Verb == protocol.Erase
	if needsHost && req.Host == "" || !needsHost && req.Verb != protocol.List {
		return protocol.Reply{}
	}
	cfg, err := sys.config()
	if errors.Is(err, errNoConfiguration) {
		cfg, err = noProfiles(), nil
	}
	if err != nil {
		return protocol.Reply{Outcome: protocol.Failed, Err: err}
	}
	b, err := sys.broker(cfg)
	if err != nil {
		return protocol.Reply{Outcome: protocol.Failed, Err: err}
	}
	return b.Answer(ctx, req)
}
