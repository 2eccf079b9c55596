package testworld

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// runLimit is how long a program may take to print its version.
const runLimit = time.Minute

// VersionCommand returns the command that shows that a program runs: the one that prints its version, with few exceptions.
func VersionCommand(program string) []string {
	switch program {
	case "go":
		return []string{program, "version"}
	case "kubectl":
		return []string{program, "version", "--client"}
	case "sh":
		return []string{program, "-c", ":"}
	default:
		return []string{program, "--version"}
	}
}

// Run runs a command in an environment, which is that of this process if it is nil, and returns what it printed. Whether
// the PATH has a program says little: rustup's and pyenv's launchers are there without what they launch. The error of a
// command that fails has its own words.
func Run(ctx context.Context, env []string, command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	path, err := exec.LookPath(command[0])
	if err != nil {
		return "", fmt.Errorf("%s is not installed", command[0])
	}
	cmd := exec.CommandContext(ctx, path, command[1:]...)
	cmd.Env = env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", Failure(command[0], err, stderr.String())
	}
	return string(out), nil
}

// Failure is the error of a program that ended with err, and with its words if there are any.
func Failure(program string, err error, words string) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not installed", program)
	}
	if words = strings.TrimSpace(words); words != "" {
		return fmt.Errorf("%s does not run here: %s", program, words[max(0, len(words)-1000):])
	}
	return fmt.Errorf("%s does not run here: %w", program, err)
}

// Required reports whether a test must fail where the program does not run. Elsewhere than in CI it is skipped; in CI
// everything is installed but for these.
func Required(program string) bool {
	return os.Getenv("CI") == "true" && !slices.Contains([]string{"docker", "cargo", "kubectl", "terraform"}, program)
}

// Need ends a test that needs programs which do not run here: it is skipped, visibly, or has failed where they are
// required.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := Run(t.Context(), nil, VersionCommand(program)...); err != nil {
			if Required(program) {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// Long ends a test that does not belong into the quick run, "go test -short", and says why.
func Long(t testing.TB, reason string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: " + reason)
	}
}

// quick reports whether scripts run a program in the quick run as well.
func quick(program string) bool {
	return slices.Contains([]string{"git", "sh", "bash", "curl"}, program)
}

// Programs remembers which programs run in an environment, so that each is run once.
type Programs struct {
	Env []string

	mu   sync.Mutex
	errs map[string]error
}

// Check returns nil if the program runs, and otherwise why it does not.
func (p *Programs) Check(ctx context.Context, program string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err, ok := p.errs[program]
	if !ok {
		_, err = Run(ctx, p.Env, VersionCommand(program)...)
		if p.errs == nil {
			p.errs = map[string]error{}
		}
		p.errs[program] = err
	}
	return err
}
