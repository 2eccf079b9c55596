package setup

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// Given is a profile as flags give it: where there is no person to ask, as in a roll-out.
type Given struct {
	Name                              string // empty: made from the first host
	Issuer, PublishableKey, Companion string // one of them
	ClientID                          string // not with Companion
	Hosts                             []string
}

// InvalidError means that a value which was given cannot be in a profile. It begins with the key.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }
func (e *InvalidError) Unwrap() error { return e.Err }

// Add adds the profile that was given. Nothing is asked of the issuer: a roll-out may run where it cannot be reached.
//
// Errors: *InvalidError for a value that cannot be; *config.Error for a profile that is there already and says something else,
// and for a file that cannot be read.
func (s *Setup) Add(ctx context.Context, g Given, dryRun bool) (*Draft, error) {
	file, text, err := s.own(dryRun)
	if err != nil {
		return nil, err
	}
	name := g.Name
	switch {
	case name != "":
	case len(g.Hosts) > 0:
		name = config.NameFor(g.Hosts[0])
	default:
		name = "default"
	}
	lines := []string{header(name)}
	for _, key := range []struct{ name, value string }{
		{"issuer", g.Issuer}, {"publishable_key", g.PublishableKey}, {"companion", g.Companion}, {"client_id", g.ClientID},
	} {
		if key.value != "" {
			lines = append(lines, key.name+" = "+config.Quote(key.value))
		}
	}
	lines = append(lines, "hosts = "+quoteAll(g.Hosts))
	return s.add(file, text, [][]string{lines})
}

// header is the line that opens a profile.
func header(name string) string {
	bare := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-'
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !bare(r) }) {
		name = config.Quote(name)
	}
	return "[profiles." + name + "]"
}

func quoteAll(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = config.Quote(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// add returns the change that adds profiles, each of them lines. One that is in force already as it is here is left out; one
// that says something else is an error: a profile is never replaced.
func (s *Setup) add(file string, text []byte, profiles [][]string) (*Draft, error) {
	var before []*config.Profile
	cfg, err := s.Config(platform.ReadTrusted)
	switch {
	case err == nil:
		before = cfg.All()
	case !errors.Is(err, config.ErrNone):
		return nil, err
	}
	var lines, names []string
	for _, profile := range profiles {
		p, err := parse(profile)
		if err != nil {
			return nil, &InvalidError{err}
		}
		if at := slices.IndexFunc(before, func(b *config.Profile) bool { return b.Name == p.Name }); at >= 0 {
			if other := before[at]; !same(p, other) {
				return nil, &config.Error{Err: fmt.Errorf("%s: profile %q is there already, and says something else: "+
					"take it out, or give this one another name with --profile", other.Source, p.Name)}
			}
			continue
		}
		if lines != nil {
			lines = append(lines, "")
		}
		lines, names = append(lines, profile...), append(names, p.Name)
	}
	d, err := s.draft(file, text, lines)
	if err != nil {
		return nil, err
	}
	d.Names = names
	return d, nil
}

// parse parses the lines of one profile. The error says nothing about where it stands: there is no file yet.
func parse(lines []string) (*config.Profile, error) {
	cfg, err := config.Parse("profile", []byte(strings.Join(lines, "\n")+"\n"))
	if err != nil {
		_, words, _ := strings.Cut(err.Error(), ": ")
		return nil, errors.New(words)
	}
	return cfg.Profiles[0], nil
}

// same reports whether two profiles of one name say the same, wherever they stand.
func same(a, b *config.Profile) bool {
	if !slices.EqualFunc(a.Hosts, b.Hosts, func(a, b config.Host) bool { return a.String() == b.String() }) {
		return false
	}
	left, right := *a, *b
	left.Hosts, right.Hosts, left.Source, right.Source = nil, nil, "", ""
	return reflect.DeepEqual(left, right)
}
