package platform

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// StartDetached starts a program that continues when we end, however we end: in a session of its own, so that Ctrl-C
// and a closed terminal do not reach it, with no streams and nothing else that our caller has opened for us. It
// inherits environment and folder; argv begins with the name that it is called by. wait gives the program's end: nil
// for status 0, a [Fault] for a status of [FaultStatus], or the context's error, which leaves the program running.
func StartDetached(program string, argv ...string) (wait func(context.Context) error, err error) {
	cmd := &exec.Cmd{Path: program, Args: argv}
	OwnSession(cmd)
	if err := startAlone(cmd); err != nil {
		return nil, fmt.Errorf("starting %s in the background: %w", appName, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return func(ctx context.Context) error {
		select {
		case err := <-ended:
			return toldFault(err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}

// startAlone starts a program that may outlive us without the descriptors beside the standard streams that our caller
// has left open for us: the end of a pipe that is read to its end, or the lock of a script. We keep them, for a command
// that we run later.
func startAlone(cmd *exec.Cmd) error {
	giveBack := withhold()
	defer giveBack()
	return cmd.Start()
}

// OwnSession makes a command that is not started yet run in a session of its own, without a controlling terminal: what
// is typed at ours, Ctrl-C included, does not reach it.
func OwnSession(cmd *exec.Cmd) { cmd.SysProcAttr = detached() }

// WithoutSecrets is an environment without the tokens and keys that are for us alone, for the programs of others: those whose
// names begin with CLERK_HELPER_TOKEN, CLERK_HELPER_CI_TOKEN or CLERK_MACHINE_SECRET_KEY, in any case, since Windows takes them in any.
func WithoutSecrets(env []string) []string {
	var kept []string
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		name = strings.ToUpper(name)
		if !strings.HasPrefix(name, "CLERK_HELPER_TOKEN") && !strings.HasPrefix(name, "CLERK_HELPER_CI_TOKEN") && !strings.HasPrefix(name, "CLERK_MACHINE_SECRET_KEY") {
			kept = append(kept, pair)
		}
	}
	return kept
}
