package main

import (
	"context"
	"fmt"
	"time"

	"clerk-credential-helper/internal/console"
)

type tokenCommand struct {
	Target string        `arg:"" optional:"" name:"profile|url" help:"The profile, or a URL or host of it; not needed if there is only one."`
	MinTTL time.Duration `name:"min-ttl" placeholder:"45m" help:"How long the token must live: longer than the build."`
	Fresh  bool          `help:"Replace the token first, which servers refuse although it is live."`
	Format string        `enum:"bare,bearer,header,json" default:"bare" help:"bare, bearer (\"Bearer TOKEN\"), header (\"Authorization: Bearer TOKEN\") or json."`
}

// Run prints a live token and nothing else. If it takes a person and none may be asked, the exit status is 4.
func (c tokenCommand) Run(ctx context.Context, sys *system) error {
	p, s, err := sys.liveSession(ctx, "token", c.Target, c.MinTTL, c.Fresh)
	if err != nil {
		return err
	}
	token := s.Token(p)
	switch c.Format {
	case "bearer":
		token = "Bearer " + token
	case "header":
		token = "Authorization: Bearer " + token
	case "json":
		return sys.console().JSON(tokenDocument{p.Name, s.Account(), token, console.Seconds(s.ExpiresAt)})
	}
	_, err = fmt.Fprintln(sys.stdout, token)
	return err
}

// tokenDocument is the document of token. Without a known end of the token it has none.
type tokenDocument struct {
	Profile string    `json:"profile"`
	Account string    `json:"account,omitempty"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires,omitzero"`
}
