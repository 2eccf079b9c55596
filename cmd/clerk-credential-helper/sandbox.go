package main

import (
	"context"
	"fmt"
	"time"

	"clerk-credential-helper/internal/demo"
	"clerk-credential-helper/internal/sandbox"
)

type sandboxCommand struct {
	Port     int           `default:"0" help:"Port on 127.0.0.1; the system chooses one if not given."`
	Auto     bool          `help:"Sign every user in at once, without a page."`
	Lifetime time.Duration `default:"24h" help:"Life of an access token."`
	Opaque   bool          `help:"Issue opaque access tokens instead of JWTs."`
	Device   bool          `help:"Offer the device grant as well."`
}

// Run serves the stand-in until it is interrupted.
func (c sandboxCommand) Run(ctx context.Context, sys *system) error {
	issuer, _, stop, err := sandbox.Listen(c.Port, sandbox.Options{Auto: c.Auto, AccessLifetime: c.Lifetime, Opaque: c.Opaque, Device: c.Device})
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintf(sys.stdout, `The stand-in for Clerk listens on %[1]s. It keeps nothing; Ctrl-C stops it.

In the configuration file:

  [profiles.sandbox]
  issuer    = "%[1]s"
  client_id = "%[2]s"
  hosts     = ["127.0.0.1:8080"]  # the hosts that may have its tokens

or without a file:

  export CLERK_HELPER_ISSUER=%[1]s CLERK_HELPER_CLIENT_ID=%[2]s CLERK_HELPER_HOSTS=127.0.0.1:8080

Then, for instance:

  clerk-credential-helper token
`, issuer, sandbox.ClientID)
	<-ctx.Done()
	return nil
}

type demoCommand struct {
	Browser bool `help:"Sign in with your own browser instead of following the redirects."`
	Keep    bool `help:"Keep the folder with the configuration, the clones and the trace, and say where it is."`
}

// Run shows the product at work.
func (c demoCommand) Run(ctx context.Context, sys *system) error {
	return demo.Run(ctx, demo.Options{Stdout: sys.stdout, Getenv: sys.getenv, OwnBrowser: c.Browser, Keep: c.Keep})
}
