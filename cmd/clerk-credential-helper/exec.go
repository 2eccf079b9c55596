package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/platform"
)

type execCommand struct {
	Profile string        `help:"Whose token; not needed if there is only one profile."`
	Env     []string      `sep:"none" placeholder:"NAME[=TEXT]" help:"The variable that holds the token, or a text with {token}, {user}, {host} or {basic} (base64 of user:token) in it. NAME@PROFILE is of another profile. May be repeated."`
	File    []string      `sep:"none" placeholder:"NAME[=TEXT]" help:"The variable that holds the path of a file with the token, or with a text, as for --env. The file is removed at the end. May be repeated."`
	For     []string      `placeholder:"TOOL" help:"What the command runs: give it the token for the profile's hosts in the tool's own form. TOOL@PROFILE is of another profile. May be repeated, or a list with commas: ${exec_tools}. npm, pnpm, yarn and bun need it only if another program runs them."`
	MinTTL  time.Duration `name:"min-ttl" placeholder:"45m" help:"How long the token must live."`
	KeepEnv bool          `help:"Leave in the command's environment the tokens and keys that are for this program alone, for a command that runs it, as git does."`
	Command []string      `arg:"" complete:"command" passthrough:"" name:"command" help:"What to run, after --."`
}

// exitError carries an exit status and no message: the child's own, or one already explained.
type exitError struct{ status int }

func (e *exitError) Error() string { return fmt.Sprintf("the command ended with status %d", e.status) }

// What shells and env(1) say of a command that may not be run, and of one that is not there (POSIX, section 2.8.2).
const (
	notExecutable = 126
	notFound      = 127
)

// Run runs a command with a token in a variable, or in a file whose path is in one, or in the form of a tool that asks
// no helper. The token stands in no argument. The command's exit status is ours, or 128 and the number of the signal
// that ended it.
func (c execCommand) Run(ctx context.Context, sys *system) error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	if len(c.Command) == 0 {
		return &usageError{errors.New("which command? write it after --")}
	}
	all, err := c.givens()
	if err != nil {
		return &usageError{err}
	}
	program, err := exec.LookPath(c.Command[0])
	if err != nil {
		sys.console().Warn(err, "")
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EISDIR) {
			return &exitError{notExecutable}
		}
		return &exitError{notFound}
	}
	run := &execution{sys: sys, command: c.Command, environ: os.Environ(), files: map[string]string{}}
	defer run.end()
	if !c.KeepEnv {
		run.environ = platform.WithoutSecrets(run.environ)
	}
	profiles, tokens := map[string]*config.Profile{}, map[string]string{}
	for _, g := range all {
		target := cmp.Or(g.profile, c.Profile)
		if err := g.checkHost(sys, target); err != nil {
			return err
		}
		if profiles[target] == nil {
			p, s, err := sys.liveSession(ctx, "exec", target, c.MinTTL, false)
			if err != nil {
				return err
			}
			profiles[target], tokens[target] = p, s.Token(p)
			mask(sys.getenv, sys.stderr, basic(p, s.Token(p))) // the token's other form
		}
		if err := run.give(g, profiles[target], tokens[target]); err != nil {
			return err
		}
	}
	cmd, err := platform.Command(program, slices.Concat(run.words, c.Command[1:])...)
	if err != nil {
		return &usageError{err}
	}
	cmd.Env = run.environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = sys.stdin, sys.stdout, sys.stderr
	return runChild(sys, cmd)
}

// runChild runs a command to its end and hands on the signals that we get. What is typed at a terminal reaches the
// command without us: it would come twice.
func runChild(sys *system, cmd *exec.Cmd) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	typed := foreground()
	if err := cmd.Start(); err != nil {
		sys.console().Warn(fmt.Errorf("starting the command: %w", err), "")
		return &exitError{notExecutable}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if !typed || s != os.Interrupt && s != syscall.SIGQUIT {
				cmd.Process.Signal(s) // the command may have ended just now
			}
		case err := <-ended:
			var exit *exec.ExitError
			switch {
			case err == nil:
				return nil
			case !errors.As(err, &exit):
				return fmt.Errorf("running the command: %w", err)
			}
			if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				return &exitError{128 + int(status.Signal())}
			}
			return &exitError{exit.ExitCode()}
		}
	}
}

// liveSession returns a session whose token may be shown. The command line's time takes precedence over min_ttl. If the
// issuer gives a shorter one, the person is told. The command is for the history.
func (sys *system) liveSession(ctx context.Context, command, target string, wanted time.Duration, fresh bool) (*config.Profile, broker.Session, error) {
	b, p, err := sys.openProfile(target)
	if err != nil {
		return nil, broker.Session{}, err
	}
	if wanted > 0 {
		p.MinTTL = wanted
	}
	plan := b.Plan(ctx, p)
	if fresh {
		plan = b.PlanFresh(ctx, p)
	}
	s, err := broker.Hand(ctx, b, plan, command, "")
	if err != nil {
		return nil, broker.Session{}, err
	}
	sayDone(sys, p, s)
	if left := s.Left(b.Now()); wanted > 0 && !s.Endless(p) && left < wanted {
		sys.console().Warn(fmt.Errorf("the token is good for %s, not for %s", console.Life(left), console.Life(wanted)), "the issuer decides how long a token lives")
	}
	mask(sys.getenv, sys.stderr, s.Token(p))
	return p, s, nil
}

// mask tells a build service to strike the token from its log, before anything can print it. The service reads standard
// error as it reads standard output (actions/runner, ScriptHandler.cs; azure-pipelines-agent, NodeHandler.cs), and
// standard output is what $(...) takes. If standard error goes to a file, the line stays in it, but the job itself made
// that file.
func mask(getenv func(string) string, stderr io.Writer, token string) {
	if strings.ContainsAny(token, "%\r\n") {
		return // these services would need them escaped; no token has them
	}
	switch {
	case getenv("GITHUB_ACTIONS") == "true":
		fmt.Fprintf(stderr, "::add-mask::%s\n", token)
	case strings.EqualFold(getenv("TF_BUILD"), "true"):
		fmt.Fprintf(stderr, "##vso[task.setsecret]%s\n", token)
	}
}
