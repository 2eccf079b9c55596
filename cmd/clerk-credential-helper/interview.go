package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/setup"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
)

// setup is what profiles are made with.
func (sys *system) setup() *setup.Setup {
	return &setup.Setup{Console: sys.console(), File: sys.userConfig, Config: sys.configFrom, Probe: func(ctx context.Context, p *config.Profile) error {
		client, err := sys.client(p, nil)
		if err == nil {
			_, err = client.ProbeIssuer(ctx, p)
		}
		return err
	}}
}

// firstProfile asks for what a profile needs, and writes it into the configuration of this user when they say yes. It is for a
// person at a terminal who has no profile yet.
func (sys *system) firstProfile(ctx context.Context, options toolconfig.Options) (*setup.Draft, error) {
	first, err := sys.setup().Ask(ctx, options.DryRun)
	if errors.Is(err, console.ErrNoTerminal) {
		return nil, &usageError{fmt.Errorf("%w: setup --help has the flags, and setup ADDRESS takes what a company publishes", err)}
	}
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(sys.stderr)
	options.Question = "Write this profile?"
	return first, toolconfig.Apply(ctx, sys.console(), []toolconfig.Edit{first.Edit}, options)
}

// interview is "setup" alone: it asks for a profile where there is none, then offers git and docker.
func (c setupCommand) interview(ctx context.Context, sys *system) error {
	if c.All {
		return &usageError{errors.New("--all is about docker: clerk-credential-helper setup docker --all")}
	}
	cfg, err := sys.config()
	reached, fresh := true, false
	switch {
	case errors.Is(err, config.ErrNone) && !errors.As(err, new(*config.NoHomeError)): // without a home no profile can be written
		var first *setup.Draft
		if first, err = sys.firstProfile(ctx, c.options()); err != nil {
			return err
		}
		cfg, reached, fresh = first.Config, first.Reached, true
		if !c.DryRun { // whether it is in a place that can be trusted is seen only now
			if cfg, err = sys.config(); err != nil {
				return err
			}
		}
	case err != nil:
		return err
	default:
		reached = sys.setup().Reach(ctx, cfg)
	}
	if ctx.Err() != nil {
		return console.WhyEnded(ctx)
	}
	if _, err := c.hosts(cfg); err != nil {
		return err
	}
	var told, left []string
	for _, tool := range toolconfig.Tools() {
		if !tool.Offered || !tool.Used(sys.toolEnv()) {
			continue
		}
		found, err := c.setUp(ctx, sys, cfg, tool)
		var impossible *toolconfig.RequestError
		switch {
		case errors.As(err, &impossible) && !errors.Is(err, platform.ErrForeign):
			sys.console().Tell(tool.Name + " is left out: " + err.Error())
		case errors.Is(err, toolconfig.ErrDeclined):
			left = append(left, tool.Name)
		case err != nil:
			return err
		case found:
			told = append(told, tool.Name)
		}
	}
	for _, tool := range left {
		sys.console().Tell(tool + " is left as it is; later: clerk-credential-helper setup " + tool)
	}
	return c.end(ctx, sys, cfg, told, reached, fresh)
}

// lastWords are the end of the interview: what happens next.
func (c setupCommand) lastWords(cfg *config.Config, told []string, reached, signedIn bool) string {
	asked := slices.ContainsFunc(cfg.Profiles, func(p *config.Profile) bool { return !p.IsMachine })
	onDemand := slices.ContainsFunc(cfg.Profiles, func(p *config.Profile) bool {
		return !p.IsMachine && p.LegacyPage == "" && p.Interactive != "never"
	})
	login := "clerk-credential-helper login"
	if len(cfg.Profiles) > 1 {
		login += " PROFILE"
	}
	asks := "asks"
	if len(told) > 1 {
		asks = "ask"
	}
	switch {
	case c.DryRun:
		return "nothing was written: without --dry-run each change is made when you say yes"
	case !reached:
		return "that is all, but signing in does not work yet; what is wrong: clerk-credential-helper doctor"
	case signedIn && told != nil:
		return "that is all: " + strings.Join(told, " and ") + " " + asks + " us from now on"
	case signedIn:
		return "that is all: no tool asks us yet; for git: clerk-credential-helper setup git"
	case told == nil && asked:
		return "that is all: no tool asks us yet; to sign in: " + login
	case told == nil:
		return "that is all: no tool asks us yet"
	case onDemand:
		return "that is all: the first call of " + strings.Join(told, " or ") + " asks you to sign in, or: " + login
	case asked:
		return "that is all: " + strings.Join(told, " and ") + " " + asks + " us from now on; to sign in: " + login
	}
	return "that is all: " + strings.Join(told, " and ") + " " + asks + " us from now on"
}

// end offers a person to sign in where their first profile is fresh, and says what happens next.
func (c setupCommand) end(ctx context.Context, sys *system, cfg *config.Config, told []string, reached, fresh bool) error {
	signedIn := false
	people := slices.DeleteFunc(slices.Clone(cfg.Profiles), func(p *config.Profile) bool { return p.IsMachine })
	if fresh && reached && !c.DryRun && !c.Yes && len(people) == 1 && console.IsTerminal(sys.stdin) && sys.getenv("CLERK_HELPER_INTERACTIVE") != "never" {
		// No answer is a no: what was set up stays.
		ok, err := sys.console().Confirm(ctx, "Sign in to "+people[0].Name+" now?", true)
		if ctx.Err() != nil {
			return err
		}
		if ok {
			if err := (loginCommand{Flow: "auto", Timeout: 5 * time.Minute, Target: people[0].Name}).Run(ctx, sys); err != nil {
				return err
			}
			signedIn = true
		}
	}
	sys.console().Tell(c.lastWords(cfg, told, reached, signedIn))
	return nil
}

// company sets up what the company at an address publishes for its people.
func (c setupCommand) company(ctx context.Context, sys *system) error {
	if c.All || c.Host != nil {
		return &usageError{errors.New("--all and --host are about one tool: the company's file names the hosts")}
	}
	origin, err := setup.ParseAddress(string(c.Tool))
	if err != nil {
		return &usageError{err}
	}
	client, err := sys.client(&config.Profile{}, sys.console().Tracer(sys.getenv("CLERK_HELPER_TRACE")))
	if err != nil {
		return err
	}
	progress, stop := sys.progress()
	progress.Now("asking " + origin)
	text, from, err := client.CompanyFile(ctx, origin)
	stop()
	if refused, ok := errors.AsType[*clerk.ResponseError](err); ok {
		err = fmt.Errorf("%s publishes nothing for its people: %w", origin, refused)
	}
	if err != nil {
		return err
	}
	offer, err := sys.setup().Take(ctx, origin, from, text, c.Profile, c.DryRun)
	if err != nil {
		return err
	}
	screen := sys.console()
	screen.Tell(offer.Words(origin, from)...)
	if len(offer.Outside) > 0 {
		outside := fmt.Errorf("not of %s alone: %s", origin, strings.Join(offer.Outside, ", "))
		if c.Yes && !c.DryRun {
			return fmt.Errorf("%w; that wants a yes at a terminal, or the profile by setup --issuer and --host", outside)
		}
		screen.Warn(outside, "make sure with your company that these are its own")
		if !c.DryRun {
			if ok, err := screen.Confirm(ctx, "Trust them all the same?", false); err != nil || !ok {
				return cmp.Or(err, toolconfig.ErrDeclined)
			}
		}
	}
	var edits []toolconfig.Edit
	if offer.Names != nil {
		edits = append(edits, offer.Edit)
	}
	var told, after []string
	for _, name := range offer.Company.Tools {
		tool, ok := toolconfig.Named(name)
		if !ok || !tool.Offered || !tool.Used(sys.toolEnv()) {
			continue
		}
		change, err := setupCommand{}.change(sys, offer.Config, tool)
		if err != nil {
			screen.Tell(tool.Name + " is left out: " + err.Error())
			continue
		}
		edits, after = append(edits, change.Edits...), append(after, change.After...)
		if change.Missing == "" {
			told = append(told, tool.Name)
		} else {
			after = append(after, fmt.Sprintf("%s calls %s, which is not in the PATH", tool.Name, change.Missing))
		}
	}
	options := c.options()
	options.Careful, options.Question = true, "Trust this, and write it?"
	if err := toolconfig.Apply(ctx, screen, edits, options); err != nil {
		return err
	}
	screen.Tell(after...)
	cfg := offer.Config
	if !c.DryRun {
		if cfg, err = sys.config(); err != nil { // whether it is in a place that can be trusted is seen only now
			return err
		}
	}
	return c.end(ctx, sys, cfg, told, sys.setup().Reach(ctx, cfg), offer.Names != nil)
}

// given writes the profile that flags give.
func (c setupCommand) given(ctx context.Context, sys *system) error {
	if c.Tool != "" || c.All {
		return &usageError{errors.New("--issuer, --publishable-key and --companion make a profile: then set the tool up, in a second call")}
	}
	d, err := sys.setup().Add(ctx, setup.Given{Name: c.Profile, Issuer: c.Issuer, PublishableKey: c.PublishableKey, Companion: c.Companion, ClientID: c.ClientID, Hosts: c.Host}, c.DryRun)
	if _, invalid := errors.AsType[*setup.InvalidError](err); invalid {
		return &usageError{err}
	}
	if err != nil {
		return err
	}
	options := c.options()
	options.Question = "Write this profile?"
	return toolconfig.Apply(ctx, sys.console(), []toolconfig.Edit{d.Edit}, options)
}

// companyFile prints what a company could publish: its profiles, and the tools that are set up here.
func (c setupCommand) companyFile(sys *system) error {
	cfg, err := sys.config()
	if err != nil {
		return err
	}
	if c.Profile != "" {
		if cfg, err = narrow(cfg, c.Profile); err != nil {
			return err
		}
	}
	var tools []string
	for _, tool := range toolconfig.Tools() {
		if _, ours, err := tool.Inspect(sys.toolEnv()); err == nil && ours && tool.Offered {
			tools = append(tools, tool.Name)
		}
	}
	text, err := setup.CompanyFile(cfg.Profiles, tools)
	if err != nil {
		return err
	}
	sys.console().Show(console.Escape(string(text)))
	return nil
}
