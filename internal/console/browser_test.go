package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clerk-credential-helper/platform"
)

// TestWatch: what a person without a terminal is told, and when, and how the watch ends. The clock is synctest's.
func TestWatch(t *testing.T) {
	const (
		address = "Open this address in a browser on this machine:\n\n  http://127.0.0.1:1/start/x\n\n"
		none    = "No browser could be opened; /usr/bin/xdg-open: exit status 3.\n"
		https   = "The browser asked over https: open the address with http.\n"
	)
	failure := fmt.Errorf("%w; /usr/bin/xdg-open: exit status 3", platform.ErrNoBrowser)
	for _, row := range []struct {
		reason string
		ladder bool
		// What happens after how long; 0 for never.
		failed, well, visited, overTLS time.Duration
		said                           string // with the second of each text
		err                            error
		after                          time.Duration // 5 min is until the end of the sign-in
	}{
		{"the browser comes", false, 0, time.Second, 2 * time.Second, 0, "", nil, 5 * time.Minute},
		{"the launcher stays, and the browser comes", false, 0, 0, 9 * time.Second, 0, "", nil, 5 * time.Minute},
		{"it fails when the browser has come", false, 3 * time.Second, 0, 2 * time.Second, 0, "", nil, 5 * time.Minute},
		{"it fails late", false, time.Second, 0, 0, 0, "1: " + none + "1: " + address, failure, 61 * time.Second},
		{"it fails late, and the person opens the address", false, time.Second, 0, 50 * time.Second, 0, "1: " + none + "1: " + address, nil, 5 * time.Minute},
		{"it fails late, with another way to sign in", true, time.Second, 0, 0, 0, "1: " + none, failure, time.Second},
		{"it fails when another way comes too late", true, 20 * time.Second, 0, 0, 0, "10: " + address + "20: " + none, failure, 80 * time.Second},
		{"it ends well, and opens nothing", false, 0, time.Second, 0, 0, "10: " + address, nil, 5 * time.Minute},
		{"it stays, and opens nothing", false, 0, 0, 0, 0, "10: " + address, nil, 5 * time.Minute},
		{"it stays, opens nothing, and fails", false, 15 * time.Second, 0, 0, 0, "10: " + address + "15: " + none, failure, 75 * time.Second},
		{"the browser insists on https", false, 0, time.Second, 0, 2 * time.Second, "2: " + https + "2: " + address, nil, 5 * time.Minute},
		{"it insists on https on its way back", false, 0, time.Second, 2 * time.Second, 30 * time.Second, "30: " + https, nil, 5 * time.Minute},
		{"it insists, and the person opens the address", false, 0, time.Second, 5 * time.Second, 2 * time.Second, "2: " + https + "2: " + address, nil, 5 * time.Minute},
	} {
		t.Run(row.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var said strings.Builder
				s := &Screen{stderr: writerFunc(func(p []byte) (int, error) {
					fmt.Fprintf(&said, "%.0f: %s", time.Since(began).Seconds(), p)
					return len(p), nil
				})}
				launched, visited, overTLS := make(chan error, 1), make(chan struct{}), make(chan struct{})
				for after, do := range map[*time.Duration]func(){
					&row.failed: func() { launched <- failure }, &row.well: func() { launched <- nil },
					&row.visited: func() { close(visited) }, &row.overTLS: func() { close(overTLS) },
				} {
					if *after > 0 {
						time.AfterFunc(*after, do)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				err := s.Watch(ctx, Browser{Launched: launched, Visited: visited, OverTLS: overTLS, StartURL: "http://127.0.0.1:1/start/x", Ladder: row.ladder})
				if after := time.Since(began); !errors.Is(err, row.err) || after != row.after {
					t.Errorf("%v after %v, want %v after %v", err, after, row.err, row.after)
				}
				if said.String() != row.said {
					t.Errorf("said\n%s\nwant\n%s", said.String(), row.said)
				}
			})
		})
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
