package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"clerk-credential-helper/platform"
)

// handedOver is set in the environment of a program that is asked in our place, so that two of us never ask each other.
const handedOver = "CLERK_HELPER_HANDED_OVER"

// handOver runs the tool's next program in the PATH, with our arguments and streams, for what is not ours, and gives its
// exit status. Without one it fails.
func (c call) handOver(ctx context.Context, sys *system) int {
	program := c.nextProgram(sys)
	if program == "" {
		c.sayWhat(sys)
		return exitFailed
	}
	cmd, err := platform.CommandContext(ctx, program, sys.args[1:]...) // it may ask a person: only Ctrl-C is its limit
	if err != nil {
		sys.console().Warn(err, "")
		return exitFailed
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = sys.stdin, sys.stdout, sys.stderr
	cmd.Env = append(platform.WithoutSecrets(os.Environ()), handedOver+"=1")
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	}
	sys.console().Warn(err, "")
	return exitFailed
}

// nextProgram is the program that is asked in our place; empty if there is none, or if it has asked us.
func (c call) nextProgram(sys *system) string {
	if sys.getenv(handedOver) != "" {
		return ""
	}
	return nextProgram(sys.getenv("PATH"), c.next)
}

// nextProgram is the absolute path of the first program of that name that is not this one, by whatever name.
func nextProgram(path, name string) string {
	for _, folder := range filepath.SplitList(path) {
		if !filepath.IsAbs(folder) {
			continue
		}
		program, err := exec.LookPath(filepath.Join(folder, name))
		if err != nil {
			continue
		}
		if is, err := platform.IsThisProgram(program); err == nil && !is {
			return program
		}
	}
	return ""
}
