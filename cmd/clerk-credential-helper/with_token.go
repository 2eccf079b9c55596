package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/platform"
)

// keepGiven is "login --with-token": it keeps a token that the person has already, as a session that cannot be refreshed. It
// is for machines that no person can sign in on, and never prints the token.
func (c loginCommand) keepGiven(ctx context.Context, sys *system, b *broker.Broker, p *config.Profile) error {
	limited, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("no token came on standard input within %v", c.Timeout))
	defer cancel()
	token, err := readGiven(limited, sys.stdin, p)
	if err != nil {
		return err
	}
	given, err := b.LoginWithToken(ctx, p, token)
	if err != nil {
		return err
	}
	s := given.Session
	as := " with the token"
	if s.Account() != "" {
		as = " as " + s.Account()
	}
	end := "its end is not known: it is used until a server refuses it"
	if !s.Endless(p) {
		end = "the token is good for " + console.Life(s.Left(b.Now()))
	}
	sys.console().Tell(fmt.Sprintf("signed in to %s%s; %s, and cannot be refreshed", p.Name, as, end))
	sayWhere(ctx, sys)
	switch {
	case given.Unchecked == nil:
	case errors.Is(given.Unchecked, clerk.ErrNotTold):
		sys.console().Tell("could not check whose token this is: " + given.Unchecked.Error())
	default:
		sys.console().Warn(fmt.Errorf("could not check whose token this is: %w", given.Unchecked), "later: clerk-credential-helper status --check "+p.Name)
	}
	warnInjected(ctx, sys, b, p)
	return nil
}

// readGiven reads one token from standard input. At a terminal the person pastes it, and nothing is shown.
func readGiven(ctx context.Context, stdin io.Reader, p *config.Profile) (string, error) {
	if console.IsTerminal(stdin) {
		return readPasted(ctx, p)
	}
	type result struct {
		text []byte
		err  error
	}
	read := make(chan result, 1)
	go func() { // a pipe cannot be told to stop; the process is about to end then
		text, err := io.ReadAll(io.LimitReader(stdin, broker.MaxInjected+1))
		read <- result{text, err}
	}()
	select {
	case r := <-read:
		if r.err != nil {
			return "", fmt.Errorf("reading the token from standard input: %w", r.err)
		}
		return oneToken(r.text)
	case <-ctx.Done():
		return "", console.WhyEnded(ctx)
	}
}

// oneToken is the one line of the input. The rules for all tokens are checked later.
func oneToken(text []byte) (string, error) {
	if len(text) > broker.MaxInjected {
		return "", &usageError{fmt.Errorf("standard input holds more than %d bytes: it takes one token and nothing else", broker.MaxInjected)}
	}
	token := config.WithoutLineEnd(string(text))
	switch {
	case strings.TrimSpace(token) == "":
		return "", &usageError{errors.New("standard input is empty: it takes one token")}
	case strings.ContainsAny(token, "\r\n") && !strings.Contains(token, "\x00"): // which UTF-16 has
		return "", &usageError{errors.New("standard input has several lines: it takes one token and nothing else")}
	}
	return token, nil
}

func readPasted(ctx context.Context, p *config.Profile) (string, error) {
	t, err := platform.OpenTerminal()
	if err != nil {
		return "", fmt.Errorf("reading the token from the terminal: %w", err)
	}
	defer t.Close()
	fmt.Fprintf(t, "Paste the token for %s and press Enter; nothing is shown: ", p.Name)
	defer fmt.Fprintln(t)
	var token string
	err = t.ReadLines(ctx, func(line string, tooLong bool) (more bool) {
		token, _, _ = strings.Cut(strings.TrimSpace(line), "\n") // of a page of text, the first line
		token = strings.TrimSpace(token)
		if tooLong {
			token = strings.Repeat("x", broker.MaxInjected+1) // refused as one that is too long
		}
		return token == ""
	})
	switch {
	case ctx.Err() != nil:
		return "", console.WhyEnded(ctx)
	case err != nil:
		return "", fmt.Errorf("reading the token: %w", err)
	case token == "":
		return "", &usageError{errors.New("no token was given")}
	}
	return oneToken([]byte(token))
}
