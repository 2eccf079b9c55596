package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

type setupCommand struct {
	Tool    toolName `arg:"" optional:"" name:"tool|address" enum:",${tools}" default:"" help:"${tool_list}, or a company's address, such as acme.dev, which publishes what its people need. Without either, what is missing is asked for."`
	Profile string   `help:"Only the hosts of this profile; with --issuer and the like, its name."`
	Host    []string `help:"Only these hosts; with --issuer and the like, the profile's."`
	All     bool     `help:"docker: for every registry (credsStore); the previous helper becomes the fallback."`
	Yes     bool     `short:"y" help:"Do not ask."`
	DryRun  bool     `help:"Show the changes and make none."`

	Issuer           string `xor:"where" placeholder:"URL" help:"Write a profile for this issuer, without questions but the last."`
	PublishableKey   string `xor:"where" placeholder:"pk_..." help:"The same, for Clerk's publishable key."`
	Companion        string `xor:"where" placeholder:"URL" help:"The same, for a web app with the companion page."`
	ClientID         string `placeholder:"ID" help:"The OAuth application of --issuer or --publishable-key."`
	PrintCompanyFile bool   `help:"Print what a company can publish for setup ADDRESS, from the profiles here."`
}

type unsetCommand struct {
	Tool    toolName `arg:"" optional:"" enum:",${tools}" default:"" help:"${tool_list}."`
	All     bool     `help:"Every tool whose file has lines of ours."`
	Profile string   `help:"Only the hosts of this profile."`
	Yes     bool     `short:"y" help:"Do not ask."`
	DryRun  bool     `help:"Show the changes and make none."`
}

// toolName is a tool that setup knows, or what a person took for one.
type toolName string

// String is what kong compares with enum, which completion goes by. It is empty for an unknown name: Run refuses
// that in better words than kong has.
func (t toolName) String() string {
	if _, ok := toolconfig.Named(string(t)); ok {
		return string(t)
	}
	return ""
}

// named finds the tool, or says which there are.
func (t toolName) named(sys *system, command string) (toolconfig.Tool, error) {
	tool, ok := toolconfig.Named(string(t))
	if recipe, given := protocol.RecipeOf(string(t)); given && !ok {
		err := fmt.Errorf("%s asks no helper, so there is nothing to set up: exec gives it the token, for one command", recipe.Tool)
		sys.console().Warn(err, "clerk-credential-helper exec --for "+recipe.Tool+" -- COMMAND")
		return tool, &exitError{exitUsage}
	}
	if !ok {
		err := fmt.Errorf("%q is no tool that setup knows; there is %s", string(t), strings.Join(toolconfig.Names(), ", "))
		sys.console().Warn(err, "clerk-credential-helper "+command+" --help")
		return tool, &exitError{exitUsage}
	}
	return tool, nil
}

// Run makes the tool ask us, or for npm removes what earlier builds wrote, after showing the changes.
func (c setupCommand) Run(ctx context.Context, sys *system) error {
	switch {
	case c.PrintCompanyFile:
		return c.companyFile(sys)
	case c.Issuer+c.PublishableKey+c.Companion+c.ClientID != "":
		return c.given(ctx, sys)
	case c.Tool == "":
		return c.interview(ctx, sys)
	case strings.ContainsAny(string(c.Tool), ".:"): // no tool's name has either
		return c.company(ctx, sys)
	}
	tool, err := c.Tool.named(sys, "setup")
	if err != nil {
		return err
	}
	cfg, err := sys.config()
	if err != nil {
		return err
	}
	_, err = c.setUp(ctx, sys, cfg, tool)
	return err
}

// setUp makes the changes for one tool, and says what is left to do. It reports whether the tool finds us.
func (c setupCommand) setUp(ctx context.Context, sys *system, cfg *config.Config, tool toolconfig.Tool) (found bool, err error) {
	change, err := c.change(sys, cfg, tool)
	if err != nil {
		return false, err
	}
	for _, left := range change.LeftOut {
		sys.console().Warn(left.Err, left.Remedy)
	}
	if err := toolconfig.Apply(ctx, sys.console(), change.Edits, c.options()); err != nil {
		return false, err
	}
	sys.console().Tell(change.After...)
	if change.Missing != "" {
		sys.console().Warn(fmt.Errorf("%s calls %s, which is not in the PATH", tool.Name, change.Missing), platform.InstallName("")+"; then: clerk-credential-helper doctor")
		return false, nil
	}
	return true, nil
}

func (c setupCommand) change(sys *system, cfg *config.Config, tool toolconfig.Tool) (toolconfig.Change, error) {
	if tool.EveryHost && !c.All && (c.Profile != "" || c.Host != nil) {
		return toolconfig.Change{}, &usageError{fmt.Errorf("%s is set up for all hosts at once: it asks for each, and we know them", tool.Name)}
	}
	hosts, err := c.hosts(cfg)
	if err != nil {
		return toolconfig.Change{}, err
	}
	if c.All {
		return tool.SetupAll(sys.toolEnv())
	}
	return tool.Setup(sys.toolEnv(), cfg, hosts, c.Profile)
}

func (c setupCommand) options() toolconfig.Options {
	return toolconfig.Options{Yes: c.Yes, DryRun: c.DryRun}
}

// hosts are those that the person means, in the configuration's order.
func (c setupCommand) hosts(cfg *config.Config) ([]config.Host, error) {
	if c.Profile != "" {
		narrowed, err := narrow(cfg, c.Profile)
		if err != nil {
			return nil, err
		}
		cfg = narrowed
	}
	hosts := cfg.Hosts()
	if c.Host == nil {
		return hosts, nil
	}
	var known []string
	for _, h := range hosts {
		known = append(known, h.String())
	}
	for i, wanted := range c.Host {
		if at := slices.IndexFunc(known, func(name string) bool { return config.InUnicode(name) == wanted }); at >= 0 {
			wanted, c.Host[i] = known[at], known[at]
		}
		if !slices.Contains(known, wanted) {
			return nil, &usageError{fmt.Errorf("%q is in no profile as such; there is %s", protocol.Shown(wanted), strings.Join(known, ", "))}
		}
	}
	return slices.DeleteFunc(hosts, func(h config.Host) bool { return !slices.Contains(c.Host, h.String()) }), nil
}

// Run takes out what setup has written, and nothing else.
func (c unsetCommand) Run(ctx context.Context, sys *system) error {
	switch {
	case c.All && (c.Tool != "" || c.Profile != ""):
		return &usageError{errors.New("--all means every tool, and all of its hosts: name none")}
	case c.All:
		return c.all(ctx, sys)
	case c.Tool == "":
		return &usageError{errors.New("name a tool, or --all for every one: there is " + strings.Join(toolconfig.Names(), ", "))}
	}
	tool, err := c.Tool.named(sys, "unset")
	if err != nil {
		return err
	}
	var hosts []config.Host
	cfg := &config.Config{}
	if c.Profile != "" {
		if cfg, err = sys.config(); err != nil {
			return err
		}
		if hosts, err = (setupCommand{Profile: c.Profile}).hosts(cfg); err != nil {
			return err
		}
	}
	edits, err := tool.Unset(sys.toolEnv(), cfg, hosts, c.Profile)
	if err != nil {
		return err
	}
	if err := toolconfig.Apply(ctx, sys.console(), edits, toolconfig.Options{Yes: c.Yes, DryRun: c.DryRun}); err != nil {
		return err
	}
	left, err := tool.Left(sys.toolEnv())
	if err != nil {
		return err
	}
	sys.console().Tell(left...)
	return nil
}

// all takes us out of every tool's file that doctor finds us in, and says what is left to do by hand.
func (c unsetCommand) all(ctx context.Context, sys *system) error {
	edits, leftOut := toolconfig.UnsetAll(sys.toolEnv())
	for _, err := range leftOut {
		sys.console().Warn(err, "")
	}
	if edits == nil && leftOut == nil {
		sys.console().Tell("no tool's file has lines of ours")
	}
	if err := toolconfig.Apply(ctx, sys.console(), edits, toolconfig.Options{Yes: c.Yes, DryRun: c.DryRun}); err != nil {
		return err
	}
	sys.console().Tell(toolconfig.LeftAll(sys.toolEnv())...)
	if !c.DryRun {
		sys.console().Tell(doctor.GitLeft(ctx, sys.toolEnv())...)
	}
	if leftOut != nil {
		return fmt.Errorf("%d of the tools may still ask us", len(leftOut))
	}
	return nil
}

// toolEnv is what of this process the tools' files depend on.
func (sys *system) toolEnv() toolconfig.Env {
	return toolconfig.Env{
		Getenv: sys.getenv, LookPath: exec.LookPath, OwnConfig: sys.userConfig,
		Link:         func(name string) string { return platform.Link(sys.args[0], name) },
		FindFallback: func(name string) (string, error) { return sys.fallback(name).find() },
	}
}

// userConfig is our own configuration file of this user.
func (sys *system) userConfig() (string, error) {
	file, err := config.PathVariable(sys.getenv, "CLERK_HELPER_CONFIG")
	switch {
	case err != nil:
		return "", &config.Error{Err: err}
	case file != "":
		return filepath.Clean(file), nil
	}
	if file, err = platform.UserConfig(sys.getenv); err != nil {
		return "", fmt.Errorf("finding the configuration: %w", err)
	}
	return file, nil
}
