package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// machineKey returns the key of a machine's profile, or the credential of the CI job that one is used in.
func machineKey(cfg *config.Config, getenv func(string) string) func(*config.Profile) (key, variable string, err error) {
	return func(p *config.Profile) (key, variable string, err error) {
		key, variable, err = cfg.MachineKeyOf(p, getenv)
		if variable == config.JobTokenFile && err == nil { // each time: Kubernetes replaces it before it ends
			text, readErr := platform.ReadPlain(key, broker.MaxInjected)
			if key = strings.TrimSpace(string(text)); readErr != nil {
				err = &config.Error{Err: fmt.Errorf("%s: %w", variable, readErr)}
			}
		}
		return key, variable, err
	}
}

// agentLimit bounds the agent of a CI, which asks its own service.
const agentLimit = 30 * time.Second

// askAgent asks Buildkite's agent for the job's token (buildkite.com/docs, "buildkite-agent oidc").
func askAgent(ctx context.Context, program, audience string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, agentLimit)
	defer cancel()
	cmd, err := platform.CommandContext(ctx, program, "oidc", "request-token", "--audience", audience)
	if err != nil {
		return "", err
	}
	cmd.Env = platform.WithoutSecrets(os.Environ())
	cmd.WaitDelay = time.Second // its children may keep the pipe open
	var out limitedBuffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s: %w", program, err)
	}
	return strings.TrimSpace(out.String()), nil
}
