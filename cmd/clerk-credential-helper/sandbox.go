package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"clerk-credential-helper/internal/sandbox"
)

type sandboxCommand struct {
	Port     int           `default:"0" help:"Port on 127.0.0.1; the system chooses one if not given."`
	Auto     bool          `help:"Sign everybody in at once, without a page."`
	Lifetime time.Duration `default:"24h" help:"Life of an access token."`
	Opaque   bool          `help:"Issue opaque access tokens instead of JWTs."`
	Device   bool          `help:"Offer the device grant as well."`
}

// Run serves the stand-in until it is interrupted.
func (c sandboxCommand) Run(ctx context.Context, sys *system) error {
	issuer, _, stop, err := startSandbox(c.Port, sandbox.Options{Auto: c.Auto, AccessLifetime: c.Lifetime, Opaque: c.Opaque, Device: c.Device})
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
`, issuer, sandboxClient)
	<-ctx.Done()
	return nil
}

// sandboxClient is the client id that the stand-in knows.
const sandboxClient = "sandbox-client"

// startSandbox serves a stand-in for Clerk on loopback and gives its issuer.
func startSandbox(port int, o sandbox.Options) (issuer string, s *sandbox.Server, stop func(), err error) {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", nil, nil, fmt.Errorf("listening for the sandbox: %w", err)
	}
	o.Issuer, o.ClientID = "http://"+l.Addr().String(), sandboxClient
	s = sandbox.New(o)
	return o.Issuer, s, serveOn(l, s), nil
}

// serveOn serves until the returned function is called.
func serveOn(l net.Listener, h http.Handler) (stop func()) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ErrorLog: noLog()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			server.Close()
		}
	}()
	return func() {
		server.Close()
		<-done
	}
}
