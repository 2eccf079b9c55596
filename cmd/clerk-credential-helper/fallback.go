package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

const (
	// fallbackLimit is for a helper that asks the person to unlock its store.
	fallbackLimit = 2 * time.Minute
	// fallbackMost bounds what is read of its answer.
	fallbackMost = 1 << 20
	// fallbackDepth says, in the environment of a fallback, that it was called by us: a call back from there, also by way of
	// a third helper, would be a loop.
	fallbackDepth = "CLERK_HELPER_FALLBACK_DEPTH"
)

// dockerFallback is the docker helper that was configured before us: a name or a path.
type dockerFallback struct {
	name   string
	getenv func(string) string
	stderr io.Writer
}

func (sys *system) fallback(name string) dockerFallback {
	return dockerFallback{name, sys.getenv, sys.stderr}
}

// answer asks it for a host that is not ours.
func (f dockerFallback) answer(ctx context.Context, req protocol.Request) protocol.Reply {
	program, err := f.find()
	if err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: &config.Error{Err: fmt.Errorf("docker's fallback %q: %w", f.name, err)}}
	}
	out, err := f.call(ctx, program, req)
	if err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: err}
	}
	reply, err := protocol.Docker{}.ReadReply(req.Verb, out)
	if err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: fmt.Errorf("%s: %w", program, err)}
	}
	return reply
}

// find gives the program's absolute path. It is never looked for in the current folder, which may be a stranger's checkout,
// and it is never this program under another name.
func (f dockerFallback) find() (string, error) {
	name := f.name
	if f.getenv(fallbackDepth) != "" {
		return "", errors.New("it leads back to this program")
	}
	program := name
	if !filepath.IsAbs(name) {
		var err error
		// LookPath refuses what it finds only by way of the current folder.
		if program, err = exec.LookPath("docker-credential-" + name); err != nil {
			return "", err
		}
		if program, err = filepath.Abs(program); err != nil {
			return "", err
		}
	}
	switch is, err := platform.IsThisProgram(program); {
	case err != nil:
		return "", err
	case is:
		return "", errors.New("it is this program")
	}
	return program, nil
}

// call runs the helper as docker would. The message of a failure is passed on as it is.
func (f dockerFallback) call(ctx context.Context, program string, req protocol.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fallbackLimit)
	defer cancel()
	stdin, err := protocol.Docker{}.Request(req)
	if err != nil {
		return nil, err
	}
	cmd, err := platform.CommandContext(ctx, program, string(req.Verb))
	if err != nil {
		return nil, err
	}
	cmd.Env = append(platform.WithoutSecrets(os.Environ()), fallbackDepth+"=1")
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second // its children may keep the pipe open
	var out limitedBuffer
	cmd.Stdout = &out
	cmd.Stderr = f.stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s did not answer within %v", program, fallbackLimit)
	case errors.As(err, &exit):
		return nil, &protocol.VerbatimError{Text: strings.TrimSpace(out.String())}
	case err != nil:
		return nil, fmt.Errorf("running docker's fallback: %w", err)
	}
	return out.Bytes(), nil
}

// limitedBuffer takes fallbackMost bytes and refuses more.
type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > fallbackMost {
		return 0, io.ErrShortBuffer
	}
	return b.Buffer.Write(p)
}
