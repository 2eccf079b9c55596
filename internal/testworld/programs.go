package testworld

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// runLimit is how long a program of Run may take.
const runLimit = time.Minute

// versionCommand returns a command that shows that a program runs: usually it prints the version.
func versionCommand(program string) []string {
	program, _, _ = strings.Cut(program, "@")
	switch program {
	case "go", "helm":
		return []string{program, "version"}
	case "kubectl":
		return []string{program, "version", "--client"}
	case "sh":
		return []string{program, "-c", ":"}
	case "mandoc": // it has no version
		return []string{program, os.DevNull}
	case "minisign":
		return []string{program, "-v"}
	case "tmux":
		return []string{program, "-V"}
	case "Xvfb":
		return []string{program, "-help"}
	case "keepassxc": // it needs a display even for its version
		return []string{"keepassxc-cli", "--version"}
	default:
		return []string{program, "--version"}
	}
}

// Run runs a command, for at most a minute, and returns its standard output. env is that of this process if it is nil. The
// error of a command that fails contains its standard error. To look a program up in the PATH is not enough: the launchers
// of rustup and pyenv may be there without what they launch.
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
		return "", failure(command[0], err, stderr.String())
	}
	return string(out), nil
}

// failure returns the error of a program that ended with err and wrote stderr.
func failure(program string, err error, stderr string) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not installed", program)
	}
	if stderr = strings.TrimSpace(stderr); stderr != "" {
		return fmt.Errorf("%s does not run here: %s", program, stderr[max(0, len(stderr)-1000):])
	}
	return fmt.Errorf("%s does not run here: %w", program, err)
}

// version is the first number with a point in what a program prints about itself.
var version = regexp.MustCompile(`(\d+)\.(\d+)`)

// recent returns an error if the program, such as git@2.46, printed an older version than the one after the "@".
func recent(program, printed string) error {
	name, least, ok := strings.Cut(program, "@")
	if !ok {
		return nil
	}
	has, wants := version.FindStringSubmatch(printed), version.FindStringSubmatch(least)
	if has == nil || wants == nil {
		return fmt.Errorf("%s: no version in %.100q", program, printed)
	}
	for i := 1; i <= 2; i++ {
		a, _ := strconv.Atoi(has[i])
		b, _ := strconv.Atoi(wants[i])
		if a != b {
			if a < b {
				return fmt.Errorf("%s is of version %s here, and %s or later is needed", name, has[0], least)
			}
			return nil
		}
	}
	return nil
}

// Required reports whether a test must fail, not be skipped, if the program does not run: in CI (CI=true), where everything
// is installed except for a few programs, and for newer versions than Debian's: .ci/run has a step for them in which no test
// may be skipped.
func Required(program string) bool {
	return os.Getenv("CI") == "true" && !strings.Contains(program, "@") &&
		!slices.Contains([]string{"docker", "cargo", "kubectl", "terraform", "bun", "kwalletd6", // and those of .ci/managers
			"twine", "mvn", "gradle", "poetry", "pdm", "Rscript", "nix-prefetch-url", "deno", "helm"}, program)
}

// Need skips a test that needs programs which do not run here, with the reason, or fails it if they are Required. A program
// may have a least version, as in git@2.46.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if err := Runs(t.Context(), nil, program); err != nil {
			if Required(program) {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// Runs returns nil if the program runs in the environment, that of this process if it is nil, and otherwise why it does
// not. It may have a least version, as in git@2.46.
func Runs(ctx context.Context, env []string, program string) error {
	out, err := Run(ctx, env, versionCommand(program)...)
	if err != nil {
		return err
	}
	return recent(program, out)
}

// Long skips a test in the quick run, "go test -short", with the reason.
func Long(t testing.TB, reason string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: " + reason)
	}
}

// quick reports whether scripts run a program in the quick run as well.
func quick(program string) bool {
	program, _, _ = strings.Cut(program, "@")
	return slices.Contains([]string{"git", "sh", "bash", "curl"}, program)
}

// programs remembers which programs run in an environment, so that each is run once.
type programs struct {
	env []string

	mu   sync.Mutex
	errs map[string]error
}

// check returns nil if the program runs, and otherwise why it does not.
func (p *programs) check(ctx context.Context, program string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err, ok := p.errs[program]
	if !ok {
		err = Runs(ctx, p.env, program)
		if p.errs == nil {
			p.errs = map[string]error{}
		}
		p.errs[program] = err
	}
	return err
}
