package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/platform"
)

// signals are what ends a wait. The zero value hears nothing yet.
type signals struct {
	stops []func()
}

// heard is the context for what takes longer than a read of the keychain: Ctrl-C ends it, and so does the end of the reader
// of our answer.
func (s *signals) heard(ctx context.Context, stdout io.Writer) context.Context {
	return s.whileHeard(s.interruptible(ctx), stdout)
}

// interruptible is a context that Ctrl-C ends, and so does Ctrl-\, which would leave the terminal as we have set it. A
// second signal kills the program, even mid-refresh. Signal handling starts threads, so an answer from the keychain does
// not set it up.
func (s *signals) interruptible(ctx context.Context) context.Context {
	// A reader that goes away must not end us between an answer of Clerk and the keychain.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	context.AfterFunc(ctx, stop)
	s.stops = append(s.stops, stop)
	return ctx
}

// whileHeard is a context that is also cancelled when the reader of our answer is gone: an editor that gives up kills git but
// leaves git's helpers running. The page of such a sign-in would stay open, and every other caller would wait for it.
func (s *signals) whileHeard(ctx context.Context, stdout io.Writer) context.Context {
	out, ok := stdout.(*os.File)
	if !ok {
		return ctx
	}
	ctx, end := context.WithCancelCause(ctx)
	s.stops = append(s.stops, func() { end(nil) })
	go func() {
		if platform.ReaderGone(ctx, out) {
			end(broker.ErrAbandoned)
		}
	}()
	return ctx
}

// stop ends what interruptible and whileHeard have begun: a signal does again what it always does, also between two questions
// of a tool.
func (s *signals) stop() {
	for _, stop := range s.stops {
		stop()
	}
	s.stops = nil
}
