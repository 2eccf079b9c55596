package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
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
// On Unix the commands of $BROWSER come first. Launchers are found by absolute path, run in a session of their own so
// that our end does not end them, and get neither our secrets (CLERK_HELPER_TOKEN..., CLERK_MACHINE_SECRET_KEY) nor our
// folder, nor what our caller has opened for us: a browser would keep a script's lock for as long as it runs. What they
// print goes to stderr if that is a terminal and nowhere otherwise: a tool that reads our output to its end would wait
// for the browser to be closed. Windows is asked through its shell, which chooses the program and passes our
// environment on. In the HOME of another user none is started: a browser writes there. Nor is one where it could not be
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
