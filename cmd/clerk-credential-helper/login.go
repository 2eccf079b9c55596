package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
)

type loginCommand struct {
	Flow      string        `enum:"auto,browser,device,paste" default:"auto" help:"browser: on this machine. device: a code to type in on any device. paste: a browser anywhere, and its last address pasted here. auto: the first of them that works."`
	NoBrowser bool          `help:"Do not open a browser on this machine."`
	Timeout   time.Duration `default:"5m" help:"How long to wait for you."`
	As        string        `placeholder:"HINT" help:"The account to sign in as, usually an e-mail address; asks for a new sign-in in the browser."`
	WithToken bool          `help:"Keep a token that is read from standard input; no browser opens. It cannot be refreshed."`

	Target string `arg:"" optional:"" name:"profile|url" help:"The profile, or a URL or host of it; not needed if there is only one."`
}

// Run signs in, whatever the keychain holds. The person who types it is there, so only CLERK_HELPER_INTERACTIVE=never,
// which a script sets to be sure, and the lack of both browser and terminal keep it from asking.
func (c loginCommand) Run(ctx context.Context, sys *system) error {
	if err := c.check(); err != nil {
		return &usageError{err}
	}
	sys.options = signInOptions{login: true, noBrowser: c.NoBrowser, timeout: c.Timeout, account: c.As}
	if c.Flow != "auto" {
		sys.options.flow = clerk.Flow(c.Flow)
	}
	b, p, err := sys.openProfile(c.Target)
	if errors.Is(err, config.ErrNone) && console.IsTerminal(sys.stdin) {
		if _, err = sys.firstProfile(ctx, toolconfig.Options{}); err == nil {
			b, p, err = sys.openProfile(c.Target)
		}
	}
	if err != nil {
		return err
	}
	if c.WithToken {
		return c.keepGiven(ctx, sys, b, p)
	}
	if sys.getenv("CLERK_HELPER_INTERACTIVE") == "never" {
		return &broker.NeedsSignInError{Profile: p.Name, Reason: sys.mayAsk(p, "login")}
	}
	s, err := b.Login(ctx, p, localUser{system: sys}.flows()...)
	if errors.Is(err, platform.ErrNoBrowser) {
		return &broker.NeedsSignInError{Profile: p.Name, Reason: platform.ErrNoBrowser}
	}
	if err != nil {
		return err
	}
	sys.console().Tell(fmt.Sprintf("signed in to %s as %s; the token is good for %s",
		p.Name, s.Account(), console.Life(s.Left(b.Now()))))
	sayWhere(ctx, sys)
	if s.RefreshToken == "" && p.LegacyPage == "" {
		sys.console().Warn(fmt.Errorf("no refresh token came: a new sign-in is needed after that"),
			"allow the scope offline_access to the OAuth application in Clerk's dashboard")
	}
	if s.BelowMinTTL(p) {
		sys.console().Warn(errors.New(doctor.BelowMinTTL(p, s)), "lower min_ttl, or have the issuer give a longer life")
	}
	warnInjected(ctx, sys, b, p)
	return nil
}

// sayWhere says where a session went that a reboot deletes.
func sayWhere(ctx context.Context, sys *system) {
	if keychain, err := sys.keychain(); err == nil && keychain.InMemory(ctx) {
		sys.console().Tell(fmt.Sprintf("the session is kept in the %s", keychain.Explain(ctx)))
	}
}

// warnInjected warns that a sign-in changes nothing while the environment brings a token.
func warnInjected(ctx context.Context, sys *system, b *broker.Broker, p *config.Profile) {
	if _, source, err := b.Injected(ctx, p); err == nil && source != "" {
		sys.console().Warn(fmt.Errorf("tools get the token in %s, which takes precedence over the session", source), "unset "+source)
	}
}

func (c loginCommand) check() error {
	switch {
	case c.WithToken && (c.NoBrowser || c.Flow != "auto" || c.As != ""):
		return errors.New("--with-token opens no browser and asks for no account: leave the other flags out")
	case c.NoBrowser && c.Flow == "browser":
		return errors.New("--no-browser and --flow browser exclude each other")
	case c.Timeout < time.Second || c.Timeout > time.Hour:
		return fmt.Errorf("--timeout is %v: from 1s to 1h", c.Timeout)
	case strings.ContainsFunc(c.As, unicode.IsControl) || len(c.As) > 320:
		return errors.New("--as is not an account")
	}
	return nil
}
