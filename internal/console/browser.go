package console

import (
	"context"
	"strings"
	"time"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

const (
	// launchTime is how long a browser may take to fetch the start link before it is not believed to come.
	launchTime = 10 * time.Second
	// hiddenTime is how long the start link stands on standard error, which a tool may hide, if no browser could be started.
	hiddenTime = time.Minute
)

// Browser is a browser that was started for a sign-in, or that the user opens.
type Browser struct {
	// Launched brings the error of the program that starts it, or nil; a nil channel is for a browser that the user opens.
	Launched <-chan error
	// Visited is closed when it has fetched StartURL, and OverTLS when one that uses https alone has asked the listener.
	Visited, OverTLS <-chan struct{}
	// StartURL is shown if there is no terminal, which shows another address anyway. It leads nowhere on another machine.
	StartURL string
	// Pastes is set if the user may paste the address that the browser shows.
	Pastes bool
	// Ladder is set if there is another way to sign in.
	Ladder bool
}

// SayNoBrowser says that no browser could be started, and why: err is platform.ErrNoBrowser with what each launcher said.
func (s *Screen) SayNoBrowser(err error) {
	why := strings.TrimPrefix(err.Error(), platform.ErrNoBrowser.Error())
	s.Say("No browser could be opened%s.", protocol.Escape(why))
}

// Watch says what is wrong with a browser until ctx ends: it could not be started, after all; it does not come; or it insists
// on https. If it could not be started, Watch returns the error of Launched: at once if there is another way to sign in and
// the user has not had the time to open the address themselves; without a terminal, a minute after the start link was shown.
// Otherwise it returns nil.
func (s *Screen) Watch(ctx context.Context, b Browser) error {
	late, soon := time.After(launchTime), true
	shown := s.Terminal != nil
	show := func() {
		if !shown {
			s.Say("Open this address in a browser on this machine:\n\n  %s\n", b.StartURL)
		}
		shown = true
	}
	var hidden <-chan time.Time
	var failed error
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.Visited:
			b.Visited, b.Launched, late, hidden, shown = nil, nil, nil, nil, true
		case <-b.OverTLS:
			b.OverTLS = nil
			words := "The browser asked over https: open the address with http"
			if b.Pastes {
				words += ", or paste the address that it shows"
			}
			s.Say("%s.", words)
			show()
		case <-late:
			soon = false
			show()
		case failed = <-b.Launched:
			b.Launched = nil
			if failed == nil || ctx.Err() != nil {
				continue
			}
			s.SayNoBrowser(failed)
			if b.Ladder && soon {
				return failed
			}
			if show(); s.Terminal == nil {
				hidden = time.After(hiddenTime)
			}
		case <-hidden:
			return failed
		}
	}
}
