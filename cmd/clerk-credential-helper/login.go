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
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

type loginCommand struct {
	Flow      string        `enum:"auto,browser,device,paste" default:"auto" help:"browser: on this machine. device: a code to type in on any device. paste: a browser anywhere, and its last address pasted here. auto: the first of them that works."`
	NoBrowser bool          `help:"Do not open a browser on this machine."`
	Timeout   time.Duration `default:"5m" help:"How long to wait for you."`
	As        string        `placeholder:"HINT" help:"The account to sign in as, usually an e-mail address; asks for a new sign-in in the browser."`

	Target string `arg:"" optional:"" name:"profile|url" help:"The profile, or a URL or host of it; not needed if there is only one."`
}

// Run signs in, whatever the keychain holds. The person who types it is there, so only CLERK_HELPER_INTERACTIVE=never,
// which a script sets to be sure, and the lack of both browser and terminal keep it from asking.
func (c loginCommand) Run(ctx context.Context, sys *system) error {
	if err := c.check(); err != nil {
		return &usageError{err}
	}
	sys.asking = asking{login: true, noBrowser: c.NoBrowser, timeout: c.Timeout, account: c.As}
	if c.Flow != "auto" {
		sys.asking.flow = clerk.Flow(c.Flow)
	}
	b, p, err := sys.session(c.Target)
	if errors.Is(err, errNoConfiguration) && isTerminal(sys.stdin) {
		if err = firstRun(sys); err == nil {
			b, p, err = sys.session(c.Target)
		}
	}
	if err != nil {
		return err
	}
	if sys.getenv("CLERK_HELPER_INTERACTIVE") == "never" {
		return &broker.NeedsSignIn{Profile: p.Name, Reason: sys.mayAsk(p)}
	}
	s, err := b.Login(ctx, p)
	if errors.Is(err, platform.ErrNoBrowser) {
		return &broker.NeedsSignIn{Profile: p.Name, Reason: platform.ErrNoBrowser}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(sys.stderr, "signed in to %s as %s; the token is good for %s\n",
		p.Name, protocol.Escape(s.Account()), life(time.Until(s.ExpiresAt)))
	if s.RefreshToken == "" {
		protocol.Words(sys.stderr, fmt.Errorf("no refresh token came: a new sign-in is needed after that"),
			"allow the scope offline_access to the OAuth application in Clerk's dashboard")
	}
	return nil
}

func (c loginCommand) check() error {
	switch {
	case c.NoBrowser && c.Flow == "browser":
		return errors.New("--no-browser and --flow browser exclude each other")
	case c.Timeout < time.Second || c.Timeout > time.Hour:
		return fmt.Errorf("--timeout is %v: from 1s to 1h", c.Timeout)
	case strings.ContainsFunc(c.As, unicode.IsControl) || len(c.As) > 320:
		return errors.New("--as is not an account")
	}
	return nil
}

type logoutCommand struct {
	Target string `arg:"" optional:"" name:"profile|url" help:"The profile, or a URL or host of it; not needed if there is only one."`
}

// Run forgets the session and says what Clerk did of it, and until when an issued token goes on working.
func (c logoutCommand) Run(ctx context.Context, sys *system) error {
	b, p, err := sys.session(c.Target)
	if err != nil {
		return err
	}
	out, err := b.Logout(ctx, p)
	if err != nil {
		return err
	}
	s := out.Session
	if s.Token(p) == "" && s.RefreshToken == "" {
		fmt.Fprintf(sys.stderr, "not signed in to %s\n", p.Name)
		return nil
	}
	fmt.Fprintf(sys.stderr, "signed out of %s (%s); the session is gone from this machine\n", p.Name, protocol.Escape(s.Account()))
	switch {
	case out.Revoked:
		fmt.Fprintln(sys.stderr, "clerk has revoked the refresh token")
	case out.RevokeErr != nil:
		protocol.Words(sys.stderr, fmt.Errorf("clerk could not be asked to revoke the refresh token: %w", out.RevokeErr), "")
	}
	if s.Kind == "jwt" && s.ExpiresAt.After(time.Now()) {
		fmt.Fprintf(sys.stderr, "the last token is a JWT, which cannot be revoked: servers accept it until %s\n", s.ExpiresAt.Local().Format(time.DateTime))
	}
	return nil
}

// life prints a duration as a person would say it: "23h59m", "4m", "12s".
func life(d time.Duration) string {
	switch {
	case d <= 0:
		return "no time"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
