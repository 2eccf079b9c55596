package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// configLimit bounds a configuration file.
const configLimit = 1 << 20

// config reads the machine's file, the user's file and the environment; a later source replaces an earlier one's
// profile of the same name.
func (sys *system) config() (*config.Config, error) { return sys.configFrom(platform.ReadTrusted) }

// configFrom is config with another way to read a file.
func (sys *system) configFrom(read func(file string, limit int64) ([]byte, error)) (*config.Config, error) {
	named, err := config.PathVariable(sys.getenv, "CLERK_HELPER_CONFIG")
	at, settings, unread := platform.MachinePolicy()
	policy, wrong := config.ParsePolicy(at, settings)
	if err := cmp.Or(err, unread, wrong); err != nil {
		return nil, &config.Error{Err: err}
	}
	machine := platform.MachineConfig()
	files := []string{machine}
	user, homeless := platform.UserConfig(sys.getenv)
	switch {
	case named != "":
		files = append(files, named)
	case homeless == nil: // a service without a home has no file there
		files = append(files, user)
	}
	sources := []*config.Config{{Policy: policy}}
	for _, file := range files {
		data, err := read(file, configLimit)
		if errors.Is(err, fs.ErrNotExist) && file != named {
			continue
		}
		if file == machine && file != named && platform.PassOver(err) {
			sys.warnOnce(fmt.Errorf("the machine's configuration is passed over: %w", err), "clerk-credential-helper doctor says how an administrator closes it")
			continue
		}
		if err != nil && file == named {
			err = fmt.Errorf("CLERK_HELPER_CONFIG: %w", err)
		}
		if err != nil {
			return nil, &config.Error{Err: err}
		}
		c, err := config.Parse(file, data)
		if err != nil {
			return nil, &config.Error{Err: err}
		}
		if file == machine {
			c.Policy = policy.Replacing(c.Policy)
		} else if c.Policy != nil {
			return nil, &config.Error{Err: fmt.Errorf("%s: only %s has a [policy]", c.Policy.At, machine)}
		}
		sources = append(sources, c)
	}
	env, wrong := config.FromEnvironment(sys.getenv)
	merged, err := config.Merge(append(sources, env)...)
	if err := cmp.Or(wrong, err); err != nil {
		return nil, &config.Error{Err: err}
	}
	if err := cmp.Or(merged.Policy.CheckVersion(programVersion()), overrideMinTTL(sys.getenv, merged), merged.EnterJob(sys.getenv)); err != nil {
		return nil, &config.Error{Err: err}
	}
	sys.policy = merged.Policy
	switch {
	case len(merged.Profiles) > 0:
	case named == "" && platform.CheckHome(sys.getenv) != nil:
		return nil, &config.NoHomeError{Err: platform.CheckHome(sys.getenv)}
	default:
		return nil, config.ErrNone
	}
	return merged, nil
}

// warnOnce prints a message on standard error, once in a process.
func (sys *system) warnOnce(err error, hint string) {
	if _, before := sys.told.LoadOrStore(err.Error(), true); !before {
		sys.console().Warn(err, hint)
	}
}

// overrideMinTTL has CLERK_HELPER_MIN_TTL take precedence over what the profiles say: a long build needs a token that
// outlives it.
func overrideMinTTL(getenv func(string) string, cfg *config.Config) error {
	text := getenv("CLERK_HELPER_MIN_TTL")
	if text == "" {
		return nil
	}
	ttl, err := time.ParseDuration(text)
	if err != nil || ttl < 0 {
		return fmt.Errorf("CLERK_HELPER_MIN_TTL is %q: write a time such as 45m", text)
	}
	for _, p := range cfg.Profiles {
		p.MinTTL = ttl
	}
	return nil
}

// broker puts the parts together. Nothing is opened until it is used: the hot path is one read of the keychain.
func (sys *system) broker(cfg *config.Config) (*broker.Broker, error) {
	keychain, err := sys.keychain()
	if err != nil {
		return nil, err
	}
	locks := locksOf(keychain)
	trace := sys.console().Tracer(sys.getenv("CLERK_HELPER_TRACE"))
	var fallback func(context.Context, protocol.Request) protocol.Reply
	if cfg.DockerFallback != "" {
		fallback = sys.fallback(cfg.DockerFallback).answer
	}
	spawn := spawnRefresh
	if _, err := os.Executable(); err != nil { // there is no /proc: the refresh is ours, and ends with us
		spawn = nil
	}
	b := &broker.Broker{
		Config:       cfg,
		Keychain:     keychain,
		Locks:        locks,
		Records:      records{locks},
		SharedStore:  keychain.Shared(),
		Issuer:       func(p *config.Profile) (broker.Issuer, error) { return sys.issuer(p, trace, records{locks}) },
		Now:          time.Now,
		Injected:     sys.tokens.of(sys.getenv, cfg),
		MachineKey:   machineKey(cfg, sys.getenv),
		SpawnRefresh: spawn,
		Fallback:     fallback,
		Person:       localUser{sys, keychain, sys.caller},
		Caller:       broker.Caller{Name: sys.caller, PID: os.Getppid()},
		Tell:         sys.tell,
		History:      sys.history(cfg),
		Trace:        trace,
	}
	if beside := keychain.Beside(); beside != nil {
		b.Beside = beside
	}
	return b, nil
}

func (sys *system) keychain() (*platform.Keychain, error) {
	choice, err := sys.policy.Store(sys.getenv("CLERK_HELPER_STORE"))
	if err != nil {
		return nil, &config.Error{Err: err}
	}
	state := ""
	if choice == "file" {
		if state, err = platform.StateDir(sys.getenv); err != nil {
			return nil, fmt.Errorf("finding the state folder: %w", err)
		}
	}
	k, err := platform.OpenKeychain(choice, state)
	if err != nil {
		return nil, &config.Error{Err: fmt.Errorf("CLERK_HELPER_STORE: %w", err)}
	}
	return k, nil
}

// transport trusts what the profile trusts, and the roots that the crypto/x509 package finds by itself.
func (sys *system) transport(p *config.Profile) (http.RoundTripper, error) {
	if _, err := config.PathVariable(sys.getenv, "SSL_CERT_FILE"); err != nil {
		return nil, &config.Error{Err: err}
	}
	for _, folder := range filepath.SplitList(sys.getenv("SSL_CERT_DIR")) {
		if !filepath.IsAbs(folder) {
			return nil, &config.Error{Err: fmt.Errorf("SSL_CERT_DIR is %q, which depends on the current folder: write absolute paths", sys.getenv("SSL_CERT_DIR"))}
		}
	}
	var roots []byte
	if p.CAFile != "" {
		var err error
		if roots, err = platform.ReadTrusted(p.CAFile, configLimit); err != nil {
			return nil, &config.Error{Err: fmt.Errorf("reading ca_file %q of profile %q: %w", p.CAFile, p.Name, err)}
		}
	}
	t, err := clerk.NewTransport(roots)
	if err != nil {
		return nil, &config.Error{Err: fmt.Errorf("ca_file %q of profile %q: %w", p.CAFile, p.Name, err)}
	}
	return t, nil
}

// client speaks to the issuer of a profile, which may bring its own roots for TLS. Tokens for machines come from Clerk's
// Backend API, or the one that CLERK_API_URL names, as in Clerk's own libraries.
func (sys *system) client(p *config.Profile, trace func(string, ...any)) (*clerk.Client, error) {
	transport, err := sys.transport(p)
	if err != nil {
		return nil, err
	}
	job, err := p.JobOf(sys.getenv)
	if err != nil {
		return nil, err
	}
	return &clerk.Client{
		Transport: transport,
		UserAgent: userAgent(),
		Hostname:  platform.Hostname(),
		Peer:      platform.OwnPeer,
		Now:       time.Now,
		Timeout:   sys.options.timeout,
		Account:   sys.options.account,
		Backend:   strings.TrimSuffix(sys.getenv("CLERK_API_URL"), "/"),
		Job:       job,
		Agent:     askAgent,
		Tell:      sys.tell,
		Trace:     trace,
	}, nil
}

func (sys *system) issuer(p *config.Profile, trace func(string, ...any), documents clerk.Documents) (broker.Issuer, error) {
	c, err := sys.client(p, trace)
	if err != nil {
		return nil, err
	}
	c.Documents = documents
	return broker.Clerk(c), nil
}

// userAgent names us to servers: Clerk refuses the default names of HTTP libraries.
func userAgent() string { return "clerk-credential-helper/" + programVersion() }

// programVersion is the version of this build, "devel" if it is not known.
func programVersion() string { return doctor.ReadBuild(version, "", "", "").Version }
