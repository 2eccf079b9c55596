package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/companionpage"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
)

// companionCommand is for those who run a companion page (companion/README.md).
type companionCommand struct {
	Add   companionAddCommand   `cmd:"" help:"Write the companion page into a Next.js app."`
	Check companionCheckCommand `cmd:"" help:"Probe a companion page that is deployed, line by line."`
}

type companionAddCommand struct {
	Dir     string `arg:"" complete:"folders" help:"The folder of the app, the one with package.json."`
	Origin  string `placeholder:"URL" help:"Where people reach the app; stands in the lines that are printed."`
	Store   string `enum:"redis,postgres,rest,none," default:"" placeholder:"KIND" help:"Say what this kind of store takes: redis, postgres, rest or none."`
	Upgrade bool   `xor:"way" help:"Replace the files that are as an earlier version has them; write beside those that were edited."`
	Force   bool   `xor:"way" help:"Also replace files that are there and differ."`
	DryRun  bool   `help:"Name the files and write none."`
}

// Run copies the files of the companion page, then prints what is left to do by hand.
func (c companionAddCommand) Run(sys *system) error {
	origin := "https://app.acme.dev"
	if c.Origin != "" {
		var err error
		if origin, err = config.ParseCompanion(c.Origin); err != nil {
			return &usageError{err}
		}
	}
	app, err := companionpage.ReadApp(c.Dir)
	if err != nil {
		return err
	}
	way := companionpage.Add
	switch {
	case c.Upgrade:
		way = companionpage.Upgrade
	case c.Force:
		way = companionpage.Force
	}
	app.UseStore(c.Store)
	drafts, err := app.Files(way)
	if err != nil {
		return err
	}
	count := map[companionpage.Writing]int{}
	for _, d := range drafts {
		if count[d.State]++; d.State == companionpage.Differs {
			fmt.Fprint(sys.stdout, d.Line(false))
		}
	}
	if differ := count[companionpage.Differs]; differ > 0 {
		return fmt.Errorf("%d files are there already and differ: nothing was written; --upgrade replaces those that were not edited, --force all", differ)
	}
	for _, d := range drafts {
		if d.State == companionpage.Unchanged {
			continue
		}
		if !c.DryRun {
			if err := d.Write(); err != nil {
				return fmt.Errorf("writing %s: %w", d.Path, err)
			}
		}
		fmt.Fprint(sys.stdout, d.Line(c.DryRun))
	}
	if same := count[companionpage.Unchanged]; same > 0 {
		fmt.Fprintf(sys.stdout, "as they should be already: %d files\n", same)
	}
	fmt.Fprint(sys.stdout, app.Next(origin, way))
	if beside := count[companionpage.Beside]; beside > 0 && !c.DryRun {
		return fmt.Errorf("files that were edited and are as before: %d; merge into each what is new in FILE.new, with its first line, and delete FILE.new", beside)
	}
	return nil
}

type companionCheckCommand struct {
	URL     string        `arg:"" help:"Where the app is, as in CLI_AUTH_ORIGIN."`
	CI      bool          `name:"ci" help:"Also send what the page must not take for the token of a CI job."`
	App     string        `placeholder:"DIR" complete:"folders" help:"With --ci: also look into the policy in the app's folder."`
	SignIn  bool          `help:"Also sign in, through the browser: three times if the page has a store."`
	Timeout time.Duration `default:"5m" help:"How long to wait for you at each sign-in."`
	JSON    bool          `help:"Print JSON."`
}

// Run asks the page what an attacker would ask, and what the helper asks. The exit status is 1 if anything fails.
func (c companionCheckCommand) Run(ctx context.Context, sys *system) error {
	origin, err := config.ParseCompanion(c.URL)
	if err != nil {
		return &usageError{err}
	}
	if c.Timeout < time.Second || c.Timeout > time.Hour {
		return &usageError{fmt.Errorf("--timeout is %v: from 1s to 1h", c.Timeout)}
	}
	if c.App != "" && !c.CI {
		return &usageError{errors.New("--app is about the policy for CI jobs: add --ci")}
	}
	var policy *companionpage.Policy
	if c.App != "" {
		app, err := companionpage.ReadApp(c.App)
		if err != nil {
			return err
		}
		p, err := app.Policy()
		if err != nil {
			return err
		}
		policy = &p
	}
	if c.SignIn && sys.getenv("CLERK_HELPER_INTERACTIVE") == "never" {
		return &usageError{errors.New("--sign-in asks a person, and CLERK_HELPER_INTERACTIVE is never: leave one of them out")}
	}
	transport, err := sys.companionTransport(origin)
	if err != nil {
		return err
	}
	probe := companionpage.NewProbe(origin, userAgent(), transport)
	progress, stop := sys.progress()
	progress.Now("asking " + origin)
	if !c.JSON {
		probe.Tell = func(line companionpage.Line) {
			if ctx.Err() == nil {
				progress.Above(func() { fmt.Fprintln(sys.stdout, line) })
			}
		}
	}
	there, err := probe.Run(ctx)
	if err == nil && there && c.CI {
		err = probe.Exchange(ctx, policy)
	}
	stop()
	if err != nil {
		return err
	}
	if c.SignIn && there {
		sys.options = signInOptions{login: true}
		how := companionpage.SignIn{Person: companionPerson{localUser{system: sys}}, Flow: clerk.Browser, Limit: c.Timeout}
		if sys.where().Browser == "" {
			how.Flow = clerk.Paste
		}
		probe.SignIn(ctx, how)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	bad := 0
	for _, line := range probe.Lines() {
		if line.State != companionpage.Fail {
			continue
		}
		if bad++; !c.JSON && len(probe.Lines()) > 20 { // it may have left the screen
			console.Paragraph(sys.stdout, line.String())
		}
	}
	if c.JSON {
		if err := sys.console().JSON(probe.Report()); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d checks failed", bad, len(probe.Lines()))
	}
	return nil
}

// companionTransport trusts what the profile of that companion page trusts.
func (sys *system) companionTransport(origin string) (http.RoundTripper, error) {
	cfg, err := sys.config()
	if err != nil && !errors.Is(err, config.ErrNone) {
		return nil, err
	}
	profile := &config.Profile{}
	if err == nil {
		at := slices.IndexFunc(cfg.Profiles, func(p *config.Profile) bool { return p.Companion && p.Issuer == origin && p.CAFile != "" })
		if at >= 0 {
			profile = cfg.Profiles[at]
		}
	}
	return sys.transport(profile)
}

// companionPerson is the person at a sign-in of companion check.
type companionPerson struct{ localUser }

func (c companionPerson) Tell(lines ...string) { c.console().Tell(lines...) }
