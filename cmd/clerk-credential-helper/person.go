package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// mayAsk says whether a person may be asked on behalf of a tool (design §6). The error is the reason why not.
func (sys *system) mayAsk(p *config.Profile) error {
	mode := p.Interactive
	if m := sys.getenv("CLERK_HELPER_INTERACTIVE"); m != "" {
		mode = m
	}
	switch mode {
	case "always":
		return nil
	case "never":
		return errors.New(`interactive is "never"`)
	case "auto":
	default:
		return fmt.Errorf("CLERK_HELPER_INTERACTIVE is %q, not auto, always or never", mode)
	}
	if ci := sys.getenv("CI"); ci != "" && ci != "0" && ci != "false" {
		return errors.New("CI is set")
	}
	terminal := foreground()
	if sys.getenv("GIT_TERMINAL_PROMPT") == "0" && !terminal {
		// The go command sets it on its own: nobody waits for a page then.
		return errors.New("GIT_TERMINAL_PROMPT is 0")
	}
	if !terminal && !platform.Graphical(sys.getenv) {
		return errors.New("there is neither a terminal nor a graphical session")
	}
	return nil
}

// foreground says whether a person at a terminal waits for us.
func foreground() bool {
	t, err := platform.OpenTerminal()
	if err != nil {
		return false
	}
	defer t.Close()
	return t.Foreground()
}

// invite opens the browser at the one-time address and shows the sign-in address on the terminal. Standard output
// belongs to the tool. Without a browser and without a terminal nobody would come: that is an error.
func (sys *system) invite(ctx context.Context, p *config.Profile, i clerk.Invitation) error {
	var screen io.Writer = sys.stderr
	t, err := platform.OpenTerminal()
	onTerminal := err == nil && t.Foreground()
	if err == nil {
		defer t.Close()
	}
	if onTerminal {
		screen = t
	}
	canOpen := sys.getenv("BROWSER") != "" || platform.Graphical(sys.getenv)
	switch {
	case !canOpen && !onTerminal:
		return platform.ErrNoBrowser
	case !canOpen:
		fmt.Fprintf(screen, "Signing in to %s: open this address in a browser on this machine.\n", p.Name)
	case onTerminal:
		fmt.Fprintf(screen, "Signing in to %s: your browser opens. If it does not, open this address on this machine.\n", p.Name)
	default:
		fmt.Fprintf(screen, "Signing in to %s: your browser opens.\n", p.Name)
	}
	if onTerminal {
		// A log that keeps standard error has no use for the address.
		fmt.Fprintf(screen, "\n  %s\n\n", protocol.Escape(i.AuthorizeURL))
	}
	fmt.Fprintf(screen, "Waiting until %s; press Ctrl-C to give up.\n", i.Until.Local().Format(time.TimeOnly))
	if !canOpen {
		return nil
	}
	err = platform.OpenBrowser(ctx, i.StartURL, sys.getenv, sys.stderr)
	if err != nil && ctx.Err() == nil && onTerminal {
		fmt.Fprintln(screen, "No browser could be opened.")
		return nil
	}
	return err
}

// sayWaiting tells a person at the terminal that another command's sign-in is waited for.
func (sys *system) sayWaiting(p *config.Profile, by string) {
	t, err := platform.OpenTerminal()
	if err != nil {
		return
	}
	defer t.Close()
	if by == "" {
		by = "another command"
	}
	if t.Foreground() {
		fmt.Fprintf(t, "Waiting for the sign-in to %s that %s has started; press Ctrl-C to give up.\n", p.Name, protocol.Escape(by))
	}
}
