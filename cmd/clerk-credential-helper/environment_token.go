package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
)

// environmentTokens are the tokens that the environment brings.
type environmentTokens struct {
	piped pipedToken
}

// of finds the token for a profile of a configuration, in the variable that [config.Config.TokenOf] tells.
func (e *environmentTokens) of(getenv func(string) string, cfg *config.Config) func(context.Context, *config.Profile) (token, source string, err error) {
	return func(ctx context.Context, p *config.Profile) (token, source string, err error) {
		source, err = cfg.TokenOf(p, getenv)
		if err != nil || source == "" {
			return "", "", err
		}
		if source != "CLERK_HELPER_TOKEN_FILE" {
			return getenv(source), source, nil
		}
		file, err := config.PathVariable(getenv, source) // it may be a link, as Kubernetes mounts them
		if err != nil {
			return "", "", &config.Error{Err: err}
		}
		token, err = e.in(ctx, file)
		if err != nil {
			return "", "", &config.Error{Err: fmt.Errorf("%s: %w", source, err)}
		}
		return token, source, nil
	}
}

// pipedTime is how long a pipe may take to bring its token: its writer may have to ask for one first.
const pipedTime = 30 * time.Second

// pipedToken is what came through a pipe. It comes once, however often it is asked for.
type pipedToken struct {
	once sync.Once
	came chan struct{} // closed then
	text string
	err  error
}

// in reads the token in a file, or the one that comes through a pipe.
func (e *environmentTokens) in(ctx context.Context, file string) (string, error) {
	if info, err := os.Stat(file); err != nil || info.Mode().IsRegular() {
		return readToken(file) // each time: Kubernetes replaces it before it ends
	}
	pipe := &e.piped
	pipe.once.Do(func() {
		pipe.came = make(chan struct{})
		go func() { // neither the open nor the read of a pipe can be told to stop; the process is about to end then
			defer close(pipe.came)
			pipe.text, pipe.err = readToken(file)
		}()
	})
	limited, cancel := context.WithTimeoutCause(ctx, pipedTime, fmt.Errorf("no token came through the pipe within %v", pipedTime))
	defer cancel()
	select {
	case <-pipe.came:
		return pipe.text, pipe.err
	case <-limited.Done():
		return "", console.WhyEnded(limited)
	}
}

// readToken reads a token's file. Who else may read it is decided by what mounted it there (Kubernetes and
// BuildKit have ways of their own).
func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, broker.MaxInjected+int64(len("\r\n")))) // one that is too long is refused as a token
	return config.WithoutLineEnd(string(text)), err
}
