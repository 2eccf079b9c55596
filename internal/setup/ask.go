package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
)

// Ask asks the person at the terminal for what a profile needs, and looks whether people can sign in there. With dryRun, the
// file may be in a place that nothing is written to.
//
// Errors: console.ErrNoTerminal, those of console.Console.Prompt, and *config.Error for a file that cannot be read.
func (s *Setup) Ask(ctx context.Context, dryRun bool) (*Draft, error) {
	file, text, err := s.own(dryRun)
	if err != nil {
		return nil, err
	}
	if !console.IsTerminal(s.Console.In) {
		return nil, console.ErrNoTerminal
	}
	s.Console.Tell("No profile is configured yet. Three answers make one, in "+file+".", "",
		"Where people sign in is one of",
		"  Clerk's publishable key               pk_live_...",
		"  the issuer                            https://clerk.acme.dev",
		"  a web app with the companion page     https://app.acme.dev")
	whose, companion, reached, err := s.askWhere(ctx)
	if err != nil {
		return nil, err
	}
	if companion {
		whose = asCompanion(whose) // which has no clients
	} else {
		s.Console.Tell("", "The client id is that of an OAuth application in Clerk's dashboard (Configure, OAuth applications). "+
			"The application is public, and has the redirect URI http://127.0.0.1/callback and the scopes openid, profile, "+
			"email and offline_access. Those who run Clerk at your company know the id.")
		client, err := s.answer(ctx, "Client id: ", func(answer string) string {
			return "client_id = " + config.Quote(answer)
		}, whose+"\nhosts = [\"git.acme.dev\"]")
		if err != nil {
			return nil, err
		}
		whose += "\n" + client
	}
	s.Console.Tell("", "Hosts that may have the token, one or several, such as",
		"  git.acme.dev registry.acme.dev:5000 *.pkg.acme.dev")
	hosts, err := s.answer(ctx, "Hosts: ", func(answer string) string {
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
	d, err := s.draft(file, text, added)
	if err != nil {
		return nil, err
	}
	d.Reached = reached
	return d, nil
}

// askWhere asks where people sign in, and asks again if an address is not right after all.
func (s *Setup) askWhere(ctx context.Context) (line string, companion, reached bool, err error) {
	for {
		line, err = s.answer(ctx, "Key or address: ", func(answer string) string {
			key := "issuer"
			if strings.HasPrefix(answer, "pk_") || strings.HasPrefix(answer, "sk_") {
				key = "publishable_key"
			}
			return key + " = " + config.Quote(answer)
		}, "client_id = \"x\"\nhosts = [\"git.acme.dev\"]")
		if err != nil {
			return "", false, false, err
		}
		if companion, reached = s.whatIs(ctx, line); reached {
			return line, companion, true, nil
		}
		if ctx.Err() != nil {
			return "", false, false, console.WhyEnded(ctx)
		}
		if ok, err := s.Console.Confirm(ctx, "Use it all the same?", false); ok || err != nil {
			return line, companion, false, err
		}
	}
}

// reachTime is how long a person at setup waits to hear whether people can sign in.
const reachTime = 5 * time.Second

// asCompanion is the line of a profile for a companion page at the address of that one for an issuer.
func asCompanion(line string) string { return strings.Replace(line, "issuer", "companion", 1) }

// whatIs finds out what the first line of a profile leads to: whether it is a companion page, and whether people
// can sign in there now. If they cannot there is a warning, and no more: people set up offline.
func (s *Setup) whatIs(ctx context.Context, line string) (companion, reached bool) {
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
		if err := s.probe(limited, page); err == nil || errors.Is(err, clerk.ErrNoKeys) {
			return true, s.sayReached(ctx, page, err)
		}
	}
	return false, s.sayReached(ctx, p, s.probe(limited, p))
}

// Reach looks whether people can sign in to the profiles now, and warns of those where they cannot.
func (s *Setup) Reach(ctx context.Context, cfg *config.Config) bool {
	limited, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	failed := make([]error, len(cfg.Profiles))
	var looking sync.WaitGroup
	for i, p := range cfg.Profiles {
		looking.Go(func() { failed[i] = s.probe(limited, p) })
	}
	looking.Wait()
	all := true
	for i, p := range cfg.Profiles {
		all = s.sayReached(ctx, p, failed[i]) && all
	}
	return all
}

// probe looks at where people of a profile sign in, as a sign-in does.
func (s *Setup) probe(ctx context.Context, p *config.Profile) error {
	if p.IsMachine {
		return nil // there is no sign-in
	}
	err := s.Probe(ctx, p)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil {
		return fmt.Errorf("no answer came within %v", reachTime)
	}
	return err
}

// sayReached warns if signing in does not work, unless the person has pressed Ctrl-C meanwhile.
func (s *Setup) sayReached(ctx context.Context, p *config.Profile, err error) bool {
	if err == nil || ctx.Err() != nil {
		return err == nil
	}
	s.Console.Warn(fmt.Errorf("signing in at %s does not work now: %w", cmp.Or(p.LegacyPage, p.Issuer), err), "clerk-credential-helper doctor looks again, and says more")
	return false
}

// answer asks until the answer, as a line of a profile, fits what the rest of the profile says. Ctrl-C and Ctrl-D end it.
func (s *Setup) answer(ctx context.Context, question string, line func(string) string, rest string) (string, error) {
	for {
		said, err := s.Console.Prompt(ctx, question)
		if err != nil {
			return "", err
		}
		said = line(said)
		if _, err = config.Parse("answer", []byte("[profiles.x]\n"+said+"\n"+rest+"\n")); err == nil {
			return said, nil
		}
		_, words, _ := strings.Cut(err.Error(), ": ") // where in the answer is nothing to tell
		s.Console.Tell(words)
	}
}
