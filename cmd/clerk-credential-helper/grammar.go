package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"clerk-credential-helper/docs"
	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"

	"github.com/alecthomas/kong"
)

// Messages for people are lower case, without a full stop: what happened, then a hint line with the command that helps.

// commands is the grammar of the command line for people.
type commands struct {
	Login      loginCommand      `cmd:"" help:"Sign in through the browser."`
	Logout     logoutCommand     `cmd:"" help:"Sign out: forget the session and have Clerk revoke it."`
	Status     statusCommand     `cmd:"" help:"Show the profiles and who is signed in."`
	Token      tokenCommand      `cmd:"" help:"Print a live token, for scripts."`
	Setup      setupCommand      `cmd:"" help:"Configure git, docker and other tools; without a tool, ask step by step."`
	Unset      unsetCommand      `cmd:"" help:"Undo setup: remove our lines from the tool's files."`
	Explain    explainCommand    `cmd:"" help:"Show what a tool would get for a URL, and why."`
	Doctor     doctorCommand     `cmd:"" help:"Check everything that getting a token depends on."`
	Exec       execCommand       `cmd:"" help:"Run a command with a token, in a variable or a file."`
	Companion  companionCommand  `cmd:"" help:"Write the companion page into a web app, or probe one that is deployed."`
	LastError  lastErrorCommand  `cmd:"" help:"Show the last error of each tool."`
	History    historyCommand    `cmd:"" help:"Show which tools got tokens, for which hosts."`
	Completion completionCommand `cmd:"" help:"Print a completion script for a shell."`
	Man        manCommand        `cmd:"" help:"Print a manual page, for man -l."`
	Docs       docs.Command      `cmd:"" help:"Print the documentation: docs list, docs show NAME."`
	Complete   completeCommand   `cmd:"" hidden:""`
	Demo       demoCommand       `cmd:"" help:"Show it at work: a throw-away Clerk, git server and registry on this machine."`
	Sandbox    sandboxCommand    `cmd:"" help:"Run the stand-in for Clerk, to test against without an account."`
	Version    versionCommand    `cmd:"" help:"Print the version, and how it was installed."`

	// The verbs of the wires never reach kong (see toolCall); they stand here for --help.
	Get   toolCommand   `cmd:"" group:"For tools:" help:"Answer git or docker on standard input, or: get URL."`
	Store streamCommand `cmd:"" group:"For tools:" help:"Accept what git or docker stores back."`
	Erase streamCommand `cmd:"" group:"For tools:" help:"Record that a server refused the token."`
	List  streamCommand `cmd:"" group:"For tools:" help:"List the hosts that can be answered without a sign-in."`
}

// toolCommand stands for get in the help text.
type toolCommand struct {
	URL    string `arg:"" optional:"" help:"The URL or host to answer for, instead of standard input."`
	Format string `enum:"json,token" default:"json" help:"For a URL: docker's JSON, or the bare token."`
	streamCommand
}

// streamCommand stands for the other verbs of a wire.
type streamCommand struct {
	Protocol string `enum:"git,docker," default:"" help:"Which wire to speak; told from standard input if not given."`
}

func (streamCommand) Run() error { return toolCommand{}.Run() }

func (toolCommand) Run() error {
	return errors.New("a verb of a wire reached the command line for people")
}

// wireCommand stands for a wire of its own in the help text (see grammar).
type wireCommand struct {
	URL     string `arg:"" optional:"" help:"The URL or host that the token is for."`
	Profile string `help:"The profile whose token it is, where there is no host."`
}

func (wireCommand) Run() error { return toolCommand{}.Run() }

// verbCommand is one whose tool gives a verb.
type verbCommand struct {
	Words []string `arg:"" optional:"" help:"What the tool gives: a verb, and what belongs to it."`
}

func (verbCommand) Run() error { return toolCommand{}.Run() }

// people runs a command of a person. It returns the exit status.
func people(sys *system) int {
	ctx := sys.signals.interruptible(context.Background())
	status := -1
	parser, err := kong.New(&commands{}, append(grammar(),
		kong.Name("clerk-credential-helper"),
		kong.Description("One sign-in with Clerk for git, docker and every other tool."),
		kong.Writers(sys.stdout, sys.stderr),
		kong.Exit(func(code int) { status = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(sys.stdout, (*io.Writer)(nil)),
		kong.Bind(sys),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Help(console.HelpPrinter(wantsAll(sys.args[1:]))),
	)...)
	if err != nil {
		sys.console().Warn(err, "")
		return exitFailed
	}
	args := spelled(sys.args[1:])
	sys.caller = "clerk-credential-helper"
	toolconfig.SweepSecretFiles(sys.getenv)
	parsed, err := parser.Parse(args)
	if status >= 0 { // --help has printed its page
		return status
	}
	if err != nil {
		at := (*kong.Context)(nil)
		if refused, ok := errors.AsType[*kong.ParseError](err); ok {
			at = refused.Context
		}
		var words []string
		for word := range strings.SplitSeq(err.Error(), " ") { // which may be an argument
			words = append(words, protocol.Shown(word))
		}
		sys.console().Warn(errors.New(strings.Join(words, " ")), console.WhereHelpIs(at))
		return exitUsage
	}
	err = parsed.Run()
	var child *exitError
	if errors.As(err, &child) {
		return child.status
	}
	if errors.Is(err, syscall.EPIPE) {
		return exitFailed // the reader of our output has enough, as head(1) does
	}
	if err != nil {
		hint, status := sys.advice(err), exitStatus(ctx, err)
		if _, ok := errors.AsType[*usageError](err); ok && hint == "" {
			hint = console.WhereHelpIs(parsed)
		}
		if sys.documents == 0 && wantsJSON(parsed) {
			sys.console().JSON(console.Failure{State: console.StateFailed, Error: console.FailureError{Message: err.Error(), Hint: hint, ExitStatus: status}})
		}
		sys.console().Warn(err, hint)
		return status
	}
	return exitOK
}

// grammar is what the tables add to the commands: a command for each wire that has a word, and the names of tools.
func grammar() []kong.Option {
	options := []kong.Option{kong.Vars{
		"tools":      strings.Join(toolconfig.Names(), ","),
		"tool_list":  oneOf(toolconfig.Names()),
		"exec_tools": oneOf(protocol.RecipeTools()),
	}}
	for _, t := range tools() {
		var command any = &wireCommand{}
		if t.verb != noVerb {
			command = &verbCommand{}
		}
		if t.word != "" {
			options = append(options, kong.DynamicCommand(t.word, t.help, "For tools:", command))
		}
	}
	return options
}

// oneOf is "a, b or c".
func oneOf(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// spelled translates what people know from other programs into our grammar.
func spelled(args []string) []string {
	if len(args) == 0 {
		return []string{"--help"}
	}
	switch {
	case wantsAll(args):
		return []string{"--help"}
	case args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	case args[0] == "--version", args[0] == "-v":
		return append([]string{"version"}, args[1:]...)
	}
	return args
}

// wantsAll reports whether a person asks for the help of all commands.
func wantsAll(args []string) bool {
	return len(args) == 2 && (args[0] == "help" || args[0] == "--help") && args[1] == "--all"
}

// advice is the hint for a person, who may have the doctor look at a configuration, and at folders.
func (sys *system) advice(err error) string {
	words := doctor.Hint(err)
	var configuration *config.Error
	var mark *protocol.ByteOrderMarkError
	switch {
	case errors.As(err, &mark):
		return "write it as UTF-8 without a mark; PowerShell does after $OutputEncoding = [Console]::InputEncoding = [Text.UTF8Encoding]::new($false)"
	case sys.options.login:
		return afterLogin(err, words)
	case words == "" && (errors.As(err, &configuration) || errors.Is(err, platform.ErrForeign) || errors.Is(err, os.ErrPermission)):
		return "clerk-credential-helper doctor says what to do"
	}
	return words
}

// afterLogin is the advice after a sign-in that the user has asked for: telling them to log in again would not help.
func afterLogin(err error, advice string) string {
	var failed *broker.SignInError
	switch {
	case !errors.As(err, &failed) || advice != doctor.SignInAgain(failed.Profile), errors.Is(err, platform.ErrNoBrowser):
		return advice
	case errors.Is(err, clerk.ErrDenied), errors.Is(err, clerk.ErrTimeout), errors.Is(err, broker.ErrCancelled), errors.Is(err, console.ErrCancelled),
		errors.Is(err, console.ErrWrongPastes):
		return "" // it is clear what was missing
	case errors.Is(err, clerk.ErrOtherFlow):
		return "without --flow every way that is possible here is tried"
	}
	return "clerk-credential-helper doctor checks everything that a sign-in depends on"
}

// usageError is a command line that asks for something impossible.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func exitStatus(ctx context.Context, err error) int {
	var usage *usageError
	var request *toolconfig.RequestError
	var configuration *config.Error
	var needs *broker.NeedsSignInError
	var failed *broker.SignInError
	switch {
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &request), errors.As(err, &configuration), errors.Is(err, config.ErrNone), errors.Is(err, docs.ErrNoPage):
		return exitUsage
	case errors.As(err, &needs):
		return exitSignIn
	case errors.Is(err, console.ErrNoTerminal) && !errors.As(err, &failed):
		return exitUsage
	}
	return exitFailed
}

// pick finds the profile that a person means: by name, by a URL or host of it, or the only one there is.
func (sys *system) pick(cfg *config.Config, target string) (*config.Profile, error) {
	if target == "" {
		target = sys.getenv("CLERK_HELPER_PROFILE")
	}
	if target == "" {
		if len(cfg.Profiles) == 1 {
			return cfg.Profiles[0], nil
		}
		return nil, &usageError{fmt.Errorf("several profiles are configured: name one of %s, or set CLERK_HELPER_PROFILE", cfg.Names())}
	}
	if p := cfg.Profile(target); p != nil {
		return p, nil
	}
	at, err := protocol.ParseAddress(target)
	if err != nil {
		return nil, &usageError{err}
	}
	named := cfg.Match(at.Scheme, at.Host)
	for _, p := range named {
		if at.User == p.Username {
			return p, nil
		}
	}
	switch near, missed := cfg.Near(at.Scheme, at.Host); {
	case missed && near.Port:
		return nil, &usageError{fmt.Errorf("%q is not the host of a profile; %v", at.Shown, near)}
	case missed:
		return nil, &usageError{&broker.SchemeError{Scheme: at.Scheme, Host: at.Host, Near: near}}
	case len(named) == 0:
		return nil, &usageError{fmt.Errorf("%q is neither a profile nor the host of one; there is %s", at.Shown, cfg.Names())}
	case at.User != "" && !strings.Contains(at.User, "@"): // an e-mail may be the account's
		return nil, &usageError{fmt.Errorf("the address names another user than the profile's %q: leave it out", named[0].Username)}
	}
	return named[0], nil
}

// openProfile opens what most commands need: the broker and the profile that the person means.
func (sys *system) openProfile(target string) (*broker.Broker, *config.Profile, error) {
	cfg, err := sys.config()
	if err != nil {
		return nil, nil, err
	}
	p, err := sys.pick(cfg, target)
	if err != nil {
		return nil, nil, err
	}
	b, err := sys.broker(cfg)
	return b, p, err
}

type versionCommand struct {
	JSON  bool `help:"Print JSON."`
	Check bool `help:"Compare with the latest release, where CLERK_HELPER_RELEASES names a place of releases. No other command looks."`
}

// Run says what this program is, for those who are asked for help with it.
func (c versionCommand) Run(ctx context.Context, sys *system) error {
	path, _ := os.Executable()
	b := doctor.ReadBuild(version, commit, date, path)
	if c.Check {
		if err := b.Check(ctx, cmp.Or(sys.getenv("CLERK_HELPER_RELEASES"), releases), userAgent()); errors.Is(err, doctor.ErrNoReleases) {
			return &usageError{err}
		} else if err != nil {
			return err
		}
	}
	if c.JSON {
		return sys.console().JSON(b)
	}
	_, err := fmt.Fprintln(sys.stdout, b)
	return err
}
