package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"clerk-credential-helper/internal/demo"
	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/platform"
)

type sandboxCommand struct {
	Port     int           `default:"0" help:"Port on 127.0.0.1 for Clerk, and the next ones for the servers; the system chooses them if not given."`
	Auto     bool          `help:"Sign every user in at once, without a page."`
	Lifetime time.Duration `default:"24h" help:"Life of an access token."`
	Opaque   bool          `help:"Issue opaque access tokens instead of JWTs."`
	Device   bool          `help:"Offer the device grant as well."`
	CI       bool          `name:"ci" help:"Also stand in for a web app with the companion page, for GitHub Actions and for GitLab."`
}

// Run serves the stand-in, and servers that take its tokens, until it is interrupted.
func (c sandboxCommand) Run(ctx context.Context, sys *system) error {
	issuer, s, stop, err := sandbox.Listen(c.Port, sandbox.Options{Auto: c.Auto, AccessLifetime: c.Lifetime, Opaque: c.Opaque, Device: c.Device})
	if err != nil {
		return err
	}
	defer stop()
	host, hasGit, stopServers, err := s.ListenServers(ctx, c.Port+min(c.Port, 1)) // the next one, or still 0
	if err != nil {
		return err
	}
	defer stopServers()
	clone := "git clone http://" + host + "/hello.git"
	if !hasGit {
		clone = "# no git is here, so there is no repository to clone"
	}
	fmt.Fprintf(sys.stdout, `The stand-in for Clerk listens on %[1]s. It keeps nothing; Ctrl-C stops it.
A git server, a registry and an API that take its tokens listen on %[3]s.

Set up by its address, as a company's people do:

  clerk-credential-helper setup %[6]s

or in the configuration file:

  [profiles.sandbox]
  issuer    = "%[1]s"
  client_id = "%[2]s"
  hosts     = ["%[3]s"]  # the hosts that may have its tokens

or without a file:

%[7]s

or for a build machine, whose tokens are minted without a sign-in:

%[4]s

Then, for instance:

  clerk-credential-helper setup git    # where it is not yet
  %[5]s
  clerk-credential-helper setup docker
  docker pull %[3]s/demo/hello
  clerk-credential-helper token %[3]s --format header | curl -H @- http://%[3]s/me
`, issuer, sandbox.ClientID, host, platform.SetVariables("CLERK_API_URL="+issuer, "CLERK_MACHINE_SECRET_KEY="+sandbox.MachineKey, "CLERK_HELPER_ISSUER="+issuer, "CLERK_HELPER_HOSTS="+host),
		clone, strings.TrimPrefix(issuer, "http://"), platform.SetVariables("CLERK_HELPER_ISSUER="+issuer, "CLERK_HELPER_CLIENT_ID="+sandbox.ClientID, "CLERK_HELPER_HOSTS="+host))
	if c.CI {
		jobs, stopCI, err := s.ListenCI(c.Port + 2*min(c.Port, 1))
		if err != nil {
			return err
		}
		defer stopCI()
		fmt.Fprintf(sys.stdout, `
A web app with the companion page listens on %[1]s. Its policy gives a token to jobs of
acme/app on the branch main, which store no secret. In a shell of its own:

%[2]s

and then what a job of GitHub Actions has:

%[3]s

or that of a pull request from a fork, which is refused:

%[4]s

or one of GitLab, whose own token is good for an hour:

%[5]s

Then, for instance:

  clerk-credential-helper setup git    # where it is not yet
  %[6]s
  clerk-credential-helper explain http://%[7]s
  clerk-credential-helper history
`, jobs.App, platform.SetVariables("CI=true", "CLERK_HELPER_COMPANION="+jobs.App, "CLERK_HELPER_HOSTS="+host, "CLERK_HELPER_STORE=file"),
			platform.SetVariables(jobs.GitHub...), platform.SetVariables(jobs.Fork...), platform.SetVariables(jobs.GitLab...), clone, host)
	}
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
