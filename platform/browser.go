package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// ErrNoBrowser means that no browser could be started on this machine.
var ErrNoBrowser = errors.New("no browser could be started")

// OpenBrowser shows a page of our own loopback listener in the person's browser: url must be
// http://127.0.0.1:PORT/..., because a launcher's argument list can be read by others on the machine and so must never
// hold the authorize URL. A launcher that fails is followed by the next one, however late it fails, until opened is
// closed: the page was fetched. It returns nil then, and when a launcher has ended with status 0, which proves nothing:
// some do so without a display. Nil for opened is never closed.
//
// The commands of $BROWSER come first (see [BrowserCommands]), and after one that is "false" none. Launchers are found by absolute path, run in a session of their own so
// that our end does not end them, and get neither our secrets (CLERK_HELPER_TOKEN..., CLERK_MACHINE_SECRET_KEY) nor our
// folder, nor what our caller has opened for us: a browser would keep a script's lock for as long as it runs. What they
// print goes to stderr if that is a terminal and nowhere otherwise: a tool that reads our output to its end would wait
// for the browser to be closed. Windows is asked through its shell, which chooses the program and passes our
// environment on, unless BROWSER names one. In the HOME of another user none is started: a browser writes there. Nor is one where it could not be
// told from another user's (see [OwnPeer]), as where Linux has no /proc: it would be refused.
//
// Errors: [ErrNoBrowser], with what each launcher said; the context's; or that the URL is refused.
func OpenBrowser(ctx context.Context, url string, getenv func(string) string, stderr io.Writer, opened <-chan struct{}) error {
	if err := checkLoopbackURL(url); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := ForAnother(getenv); errors.Is(err, ErrForeign) {
		return fmt.Errorf("%w: %w", ErrNoBrowser, err)
	}
	if err := peersUnknown(); err != nil {
		return fmt.Errorf("%w: %w: the system does not say that it is this user who comes to 127.0.0.1", ErrNoBrowser, err)
	}
	return openBrowser(ctx, url, getenv, stderr, opened)
}

// checkLoopbackURL also holds the URL to bytes that mean nothing to any shell or launcher.
func checkLoopbackURL(raw string) error {
	foreign := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune(":/._~-?=", r)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Opaque != "" || strings.ContainsFunc(raw, foreign) {
		return fmt.Errorf("refusing to open %q, want a page of http://127.0.0.1:PORT", raw)
	}
	addr, err := netip.ParseAddrPort(u.Host)
	if err != nil || addr.Addr() != netip.AddrFrom4([4]byte{127, 0, 0, 1}) || addr.Port() == 0 {
		return fmt.Errorf("refusing to open %q, want a page of http://127.0.0.1:PORT", raw)
	}
	return nil
}

// BrowserCommands reads $BROWSER: commands with colons between them, on Windows semicolons, each a program with arguments, where
// %s stands for the URL. On Unix arguments are split at blanks, and on Windows also by quotes. A path with blanks is taken as it
// is if there is such a file.
func BrowserCommands(browser string) [][]string {
	var all [][]string
	for command := range strings.SplitSeq(browser, browserSeparator) {
		if _, err := os.Stat(command); err == nil && filepath.IsAbs(command) {
			all = append(all, []string{command})
		} else if argv := browserCommand(command); len(argv) > 0 {
			all = append(all, argv)
		}
	}
	return all
}

// OnlyBrowser is the value of $BROWSER with which a program, given by its path, is started, and nothing else if it fails.
func OnlyBrowser(program string) string { return program + browserSeparator + "false" }

// noBrowser reports whether a command is false(1), by which people say that there is no browser.
func noBrowser(argv []string) bool { return ProgramName(argv[0]) == "false" }

// withURL puts the URL into arguments, or at their end.
func withURL(args []string, url string) []string {
	replaced := make([]string, 0, len(args)+1)
	found := false
	for _, arg := range args {
		found = found || strings.Contains(arg, "%s")
		replaced = append(replaced, strings.ReplaceAll(arg, "%s", url))
	}
	if !found {
		replaced = append(replaced, url)
	}
	return replaced
}
