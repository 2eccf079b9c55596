package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
)

// interview is the questions of "setup" alone.
type interview struct{ *system }

// interview is "setup" alone: it asks for a profile where there is none, then offers git and docker.
func (c setupCommand) interview(ctx context.Context, sys *system) error {
	if c.All {
		return &usageError{errors.New("--all is about docker: clerk-credential-helper setup docker --all")}
	}
	cfg, err := sys.config()
	reached := true
	switch {
	case errors.Is(err, config.ErrNone) && !errors.As(err, new(*config.NoHomeError)): // without a home no profile can be written
		var first *newProfile
		if first, err = (interview{sys}).askProfile(ctx, c.DryRun); err != nil {
			return err
		}
		if err := first.write(ctx, sys, c.Yes, c.DryRun); err != nil {
			return err
		}
		cfg, reached = first.config, first.reached
		if !c.DryRun { // whether it is in a place that can be trusted is seen only now
			if cfg, err = sys.config(); err != nil {
				return err
			}
		}
	case err != nil:
		return err
	default:
		reached = interview{sys}.reach(ctx, cfg)
	}
	if ctx.Err() != nil {
		return console.WhyEnded(ctx)
	}
	if _, err := c.hosts(cfg); err != nil {
		return err
	}
	var told, left []string
	for _, tool := range toolconfig.Tools() {
		if !tool.Offered || !tool.Used(sys.toolEnv()) {
			continue
		}
		found, err := c.setUp(ctx, sys, cfg, tool)
		var impossible *toolconfig.RequestError
		switch {
		case errors.As(err, &impossible) && !errors.Is(err, platform.ErrForeign):
			sys.console().Tell(tool.Name + " is left out: " + err.Error())
		case errors.Is(err, toolconfig.ErrDeclined):
			left = append(left, tool.Name)
		case err != nil:
			return err
		case found:
			told = append(told, tool.Name)
		}
	}
	for _, tool := range left {
		sys.console().Tell(tool + " is left as it is; later: clerk-credential-helper setup " + tool)
	}
	sys.console().Tell(c.lastWords(cfg, told, reached))
	return nil
}

// lastWords are the end of the interview: what happens next.
func (c setupCommand) lastWords(cfg *config.Config, told []string, reached bool) string {
	asked := slices.ContainsFunc(cfg.Profiles, func(p *config.Profile) bool { return !p.IsMachine })
	onDemand := slices.ContainsFunc(cfg.Profiles, func(p *config.Profile) bool {
		return !p.IsMachine && p.LegacyPage == "" && p.Interactive != "never"
	})
	login := "clerk-credential-helper login"
	if len(cfg.Profiles) > 1 {
		login += " PROFILE"
	}
	asks := "asks"
	if len(told) > 1 {
		asks = "ask"
	}
	switch {
	case c.DryRun:
		return "nothing was written: without --dry-run each change is made when you say yes"
	case !reached:
		return "that is all, but signing in does not work yet; what is wrong: clerk-credential-helper doctor"
	case told == nil && asked:
		return "that is all: no tool asks us yet; to sign in: " + login
	case told == nil:
		return "that is all: no tool asks us yet"
	case onDemand:
		return "that is all: the first call of " + strings.Join(told, " or ") + " asks you to sign in, or: " + login
	case asked:
		return "that is all: " + strings.Join(told, " and ") + " " + asks + " us from now on; to sign in: " + login
	}
	return "that is all: " + strings.Join(told, " and ") + " " + asks + " us from now on"
}

// firstRun asks for what a profile needs, and writes it into the configuration of this user when they say yes. It is for a
// person at a terminal who has no profile yet.
func firstRun(ctx context.Context, sys *system) error {
	first, err := (interview{sys}).askProfile(ctx, false)
	if err != nil {
		return err
	}
	return first.write(ctx, sys, false, false)
}

// newProfile is a profile that a person has told us, and that is not written yet.
type newProfile struct {
	edit    toolconfig.Edit
	config  *config.Config // as it is with the profile
	reached bool           // whether people can sign in there now
}

func (n *newProfile) write(ctx context.Context, sys *system, yes, dryRun bool) error {
	fmt.Fprintln(sys.stderr)
	return toolconfig.Apply(ctx, sys.console(), []toolconfig.Edit{n.edit}, toolconfig.Options{Question: "Write this profile?", Yes: yes, DryRun: dryRun})
}

// askProfile asks for what a profile needs, and checks it.
func (v interview) askProfile(ctx context.Context, dryRun bool) (*newProfile, error) {
	file, err := v.userConfig()
	if err != nil {
		return nil, err
	}
	if err := toolconfig.CheckPlace(file); err != nil && !dryRun {
		return nil, err
	}
	text, err := platform.ReadTrusted(file, configLimit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &config.Error{Err: err}
	}
	if _, err := config.Parse(file, text); err != nil {
		return nil, &config.Error{Err: err}
	}
	if !console.IsTerminal(v.stdin) {
		return nil, &usageError{console.ErrNoTerminal}
	}
	v.console().Tell("No profile is configured yet. Three answers make one, in "+file+".", "",
		"Where people sign in is one of",
		"  Clerk's publishable key               pk_live_...",
		"  the issuer                            https://clerk.acme.dev",
		"  a web app with the companion page     https://app.acme.dev")
	whose, err := v.answer(ctx, "Key or address: ", func(answer string) string {
		key := "issuer"
		if strings.HasPrefix(answer, "pk_") || strings.HasPrefix(answer, "sk_") {
			key = "publishable_key"
		}
		return key + " = " + config.Quote(answer)
	}, "client_id = \"x\"\nhosts = [\"git.acme.dev\"]")
	if err != nil {
		return nil, err
	}
	companion, reached := v.whatIs(ctx, whose)
	if companion {
		whose = asCompanion(whose) // which has no clients
	} else {
		v.console().Tell("", "The OAuth application in Clerk's dashboard has an id.")
		client, err := v.answer(ctx, "Client id: ", func(answer string) string {
			return "client_id = " + config.Quote(answer)
		}, whose+"\nhosts = [\"git.acme.dev\"]")
		if err != nil {
			return nil, err
		}
		whose += "\n" + client
	}
	v.console().Tell("", "Hosts that may have the token, one or several, such as",
		"  git.acme.dev registry.acme.dev:5000 *.pkg.acme.dev")
	hosts, err := v.answer(ctx, "Hosts: ", func(answer string) string {
		var quoted []string
		for _, host := range strings.FieldsFunc(answer, func(r rune) bool { return r == ' ' || r == ',' }) {
			quoted = append(quoted, config.Quote(host))
		}
		return "hosts = [" + strings.Join(quoted, ", ") + "]"
	}, whose)
	if err != nil {
		return nil, err
	}
	added := append([]string{"[profiles." + config.NameFor(strings.Split(hosts, `"`)[1]) + "]"}, append(strings.Split(whose, "\n"), hosts)...)
	if len(bytes.TrimSpace(text)) > 0 {
		added = append([]string{""}, added...)
	}
	change := func(text []byte) ([]byte, error) {
		fresh := toolconfig.AppendLines(text, added)
		_, err := config.Parse(file, fresh)
		return fresh, err
	}
	fresh, err := change(text)
	if err != nil {
		return nil, &config.Error{Err: err}
	}
	cfg, err := v.configFrom(func(name string, limit int64) ([]byte, error) {
		if name, err := filepath.Abs(name); err == nil && name == file {
			return fresh, nil
		}
		return platform.ReadTrusted(name, limit)
	})
	if err != nil {
		return nil, err
	}
	return &newProfile{toolconfig.Edit{File: file, Change: change}, cfg, reached}, nil
}

// reachTime is how long a person at setup waits to hear whether people can sign in.
const reachTime = 5 * time.Second

// asCompanion is the line of a profile for a companion page at the address of that one for an issuer.
func asCompanion(line string) string { return strings.Replace(line, "issuer", "companion", 1) }

// whatIs finds out what the first line of a profile leads to: whether it is a companion page, and whether people
// can sign in there now. If they cannot there is a warning, and no more: people set up offline.
func (v interview) whatIs(ctx context.Context, line string) (companion, reached bool) {
	profile := func(line, client string) *config.Profile {
		cfg, err := config.Parse("answer", []byte("[profiles.x]\n"+line+"\n"+client+"hosts = [\"git.acme.dev\"]\n"))
		if err != nil {
			return nil
		}
		return cfg.Profiles[0]
	}
	p := profile(line, "client_id = \"x\"\n")
	if p == nil {
		return false, false
	}
	limited, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	if page := profile(asCompanion(line), ""); page != nil && page.Companion {
		if err := v.probeIssuer(limited, page); err == nil || errors.Is(err, clerk.ErrNoKeys) {
			return true, v.sayReached(ctx, page, err)
		}
	}
	return false, v.sayReached(ctx, p, v.probeIssuer(limited, p))
}

// reach looks whether people can sign in to the profiles now, and warns of those where they cannot.
func (v interview) reach(ctx context.Context, cfg *config.Config) bool {
	limited, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	failed := make([]error, len(cfg.Profiles))
	var looking sync.WaitGroup
	for i, p := range cfg.Profiles {
		looking.Go(func() { failed[i] = v.probeIssuer(limited, p) })
	}
	looking.Wait()
	all := true
	for i, p := range cfg.Profiles {
		all = v.sayReached(ctx, p, failed[i]) && all
	}
	return all
}

// probeIssuer looks at where people of a profile sign in, as a sign-in does.
func (v interview) probeIssuer(ctx context.Context, p *config.Profile) error {
	if p.IsMachine {
		return nil // there is no sign-in
	}
	client, err := v.client(p, nil)
	if err != nil {
		return err
	}
	_, err = client.ProbeIssuer(ctx, p)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil {
		return fmt.Errorf("no answer came within %v", reachTime)
	}
	return err
}

// sayReached warns if signing in does not work, unless the person has pressed Ctrl-C meanwhile.
func (v interview) sayReached(ctx context.Context, p *config.Profile, err error) bool {
	if err == nil || ctx.Err() != nil {
		return err == nil
	}
	v.console().Warn(fmt.Errorf("signing in at %s does not work now: %w", cmp.Or(p.LegacyPage, p.Issuer), err), "clerk-credential-helper doctor looks again, and says more")
	return false
}

// answer asks until the answer, as a line of a profile, fits what the rest of the profile says. Ctrl-C and Ctrl-D end it.
func (v interview) answer(ctx context.Context, question string, line func(string) string, rest string) (string, error) {
	for {
		said, err := v.console().Prompt(ctx, question)
		if errors.Is(err, console.ErrNoTerminal) {
			return "", &usageError{err}
		}
		if err != nil {
			return "", err
		}
		said = line(said)
		if _, err = config.Parse("answer", []byte("[profiles.x]\n"+said+"\n"+rest+"\n")); err == nil {
			return said, nil
		}
		_, words, _ := strings.Cut(err.Error(), ": ") // where in the answer is nothing to tell
		v.console().Tell(words)
	}
}
