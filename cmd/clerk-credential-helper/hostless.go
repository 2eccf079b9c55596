package main

import (
	"context"
	"fmt"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/protocol"
)

// What tools ask that is about a profile and not about one host.

// complete reports whether a request can be answered: it has a host, or asks for more than one, or names its
// profile on a wire that has no hosts. All others get nothing and start nothing.
func (t tool) complete(req protocol.Request) bool {
	switch req.Verb {
	case protocol.List, protocol.AllLiveTokens:
		return true
	case protocol.Get:
		return req.Host != "" || t.hostless && req.Profile != ""
	case protocol.Store, protocol.Erase, protocol.Login, protocol.Logout:
		return req.Host != ""
	}
	return false
}

// narrow leaves only the profile that the person named in the tool's configuration.
func narrow(cfg *config.Config, name string) (*config.Config, error) {
	only := cfg.Only(name)
	if only == nil {
		return nil, &usageError{fmt.Errorf("there is no profile %q; there is %s", protocol.Shown(name), cfg.Names())}
	}
	return only, nil
}

// live gives to the hosts that are named exactly the tokens that need nothing but the keychain. The go command asks again
// for a host that is left out, if it needs it.
func live(ctx context.Context, b *broker.Broker, cfg *config.Config) protocol.Reply {
	tokens := map[string]protocol.Credential{}
	for _, p := range cfg.Profiles {
		plan := b.Plan(ctx, p)
		if plan.Next != broker.NextAnswer {
			continue
		}
		s, _ := broker.Hand(ctx, b, plan, "go", "")
		for _, h := range p.Hosts {
			// Of two profiles for one host the first is meant where no user name chooses.
			if h.Exact() && cfg.Match("https", h.String())[0] == p {
				tokens[h.String()] = broker.Credential(p, s, "")
			}
		}
	}
	return protocol.Reply{Result: protocol.Found, Tokens: tokens}
}

// ownCommand is what to run in place of a tool's own login and logout.
func ownCommand(verb protocol.Verb, named []*config.Profile) protocol.Reply {
	if len(named) == 0 {
		return protocol.Reply{}
	}
	return protocol.Reply{
		Result: protocol.Failed,
		Err:    fmt.Errorf("this %s changes nothing here: one session serves every tool", verb),
		Hint:   fmt.Sprintf("run: clerk-credential-helper %s %s", verb, named[0].Name),
	}
}
