package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The sources of tokens that a policy may allow.
const (
	SourceEnvironment = "environment" // CLERK_HELPER_TOKEN and the like
	SourceMachine     = "machine"     // minted with a machine's secret key
	SourceExchange    = "exchange"    // for the token of a CI job
	SourceSession     = "session"     // of a person who has signed in
)

// Policy is what an administrator has decided for all users of a machine. It is the table [policy] of the machine's file, and
// of no other, or that of [ParsePolicy]. The methods may be called on nil, which is no policy: all is allowed.
type Policy struct {
	// At is where it was read: FILE:LINE, or a key of Windows' registry.
	At string
	// InPlaceOf is the At of the policy that this one replaces; empty for none.
	InPlaceOf string
	// Stores are the values of CLERK_HELPER_STORE that are allowed; nil for all.
	Stores []string
	// Sources are where tokens may come from; nil for all.
	Sources []string
	// Profiles is "any"; "fixed" if no other source may replace a profile of the machine's file; or "machine" if there are no
	// others at all.
	Profiles string
	// Hosts may be named by profiles of the machine's file alone. One without a port is meant on each.
	Hosts []Host
	// LegacyPage and WithToken allow the page of the original kind, and login --with-token.
	LegacyPage, WithToken bool
	// History has a history kept, or not kept; nil if others decide it.
	History *bool
	// MinimumVersion of this program, such as "1.2.0"; empty for any.
	MinimumVersion string
}

// PolicyError is what a policy forbids.
type PolicyError struct {
	At   string // of the policy
	What string
}

func (e *PolicyError) Error() string {
	return e.What + ": the policy of this machine does not allow it (" + e.At + ")"
}

func policyKeys() []string {
	return []string{"stores", "sources", "profiles", "hosts", "legacy_page", "with_token", "history", "minimum_version"}
}

func newPolicy(at string) *Policy {
	return &Policy{At: at, Profiles: "any", LegacyPage: true, WithToken: true}
}

// ParsePolicy returns the policy that is at a key of Windows' registry, or in a property list of macOS, whose values have the names
// and the meaning of the keys of [policy]: a string for a text, []string or an []any of strings for a list, and a bool or a uint32
// of 0 or 1 for false or true. As in a file, an unknown name is an error, and so is a value of another type. Errors begin with
// the place. Without settings the result is nil.
func ParsePolicy(at string, settings map[string]any) (*Policy, error) {
	if len(settings) == 0 {
		return nil, nil
	}
	p := newPolicy(at)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if !slices.Contains(policyKeys(), name) {
			return nil, fmt.Errorf("%s: unknown value %.40q%s", at, name, didYouMean(name, policyKeys()))
		}
		v := value{at: position{file: at}}
		switch setting := settings[name].(type) {
		case string:
			v.kind, v.text = text, setting
		case []string:
			v.kind = list
			for _, it := range setting {
				v.list = append(v.list, item{it, v.at})
			}
		case []any:
			v.kind = list
			for _, it := range setting {
				text, ok := it.(string)
				if !ok {
					v.kind, v.list = other, nil
					break
				}
				v.list = append(v.list, item{text, v.at})
			}
		case bool:
			v.kind, v.text = flag, strconv.FormatBool(setting)
		case uint32:
			if setting <= 1 {
				v.kind, v.text = flag, strconv.FormatBool(setting == 1)
			}
		}
		if err := p.set(name, v); err != nil {
			form := "a list is a REG_MULTI_SZ, true or false a REG_DWORD of 1 or 0"
			if strings.HasSuffix(at, ".plist") {
				form = "a list is an array of strings, true or false a boolean"
			}
			return nil, fmt.Errorf("%w; %s", err, form)
		}
	}
	return p, nil
}

// Replacing returns the policy that holds where the machine's file has another one: p, as a whole, or the file's if p is nil.
func (p *Policy) Replacing(file *Policy) *Policy {
	if p == nil {
		return file
	}
	if file != nil {
		p.InPlaceOf = file.At
	}
	return p
}

// set stores one setting, which is one of policyKeys.
func (p *Policy) set(key string, v value) error {
	var err error
	at := v.at
	switch key {
	case "stores":
		p.Stores, at, err = v.words("keychain", "kernel", "file", "none")
	case "sources":
		p.Sources, at, err = v.words(SourceEnvironment, SourceExchange, SourceMachine, SourceSession)
	case "profiles":
		err = v.oneOf(&p.Profiles, "any", "fixed", "machine")
	case "hosts":
		if v.kind != list || len(v.list) == 0 {
			err = errors.New(`want a list of hosts, such as ["*.acme.dev"]`)
		}
		for _, it := range v.list {
			h, wrong := parseHost(it.text)
			if wrong != nil {
				at, err = it.at, wrong
				break
			}
			p.Hosts = append(p.Hosts, h)
		}
	case "legacy_page":
		err = v.flag(&p.LegacyPage)
	case "with_token":
		err = v.flag(&p.WithToken)
	case "history":
		p.History = new(bool)
		err = v.flag(p.History)
	case "minimum_version":
		err = parseText(v, &p.MinimumVersion, func(text string) (string, error) {
			if _, ok := version(text); !ok {
				return "", fmt.Errorf("%q is not a version: write three numbers, such as 1.2.0", text)
			}
			return text, nil
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", at, key, err)
	}
	return nil
}

// words returns a list of which each text is one of words.
func (v value) words(words ...string) ([]string, position, error) {
	wrong := fmt.Errorf("want a list of some of \"%s\"", strings.Join(words, `", "`))
	if v.kind != list || len(v.list) == 0 {
		return nil, v.at, wrong
	}
	var all []string
	for _, it := range v.list {
		if !slices.Contains(words, it.text) {
			return nil, it.at, wrong
		}
		all = append(all, it.text)
	}
	return all, v.at, nil
}

// version returns the three numbers of a version; what follows a hyphen or a plus is not looked at.
func version(text string) (numbers [3]int, ok bool) {
	text, _, _ = strings.Cut(text, "-")
	text, _, _ = strings.Cut(text, "+")
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return numbers, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return numbers, false
		}
		numbers[i] = int(n)
	}
	return numbers, true
}

func (p *Policy) forbids(format string, args ...any) error {
	return &PolicyError{p.At, fmt.Sprintf(format, args...)}
}

// Store returns the store for a value of CLERK_HELPER_STORE: for "auto" or none, the first that is allowed.
func (p *Policy) Store(choice string) (string, error) {
	switch {
	case p == nil || p.Stores == nil || slices.Contains(p.Stores, choice):
		return choice, nil
	case choice != "" && choice != "auto":
		return "", p.forbids("CLERK_HELPER_STORE is %q", choice)
	case slices.Contains(p.Stores, "keychain") && slices.Contains(p.Stores, "kernel"):
		return choice, nil
	}
	return p.Stores[0], nil
}

// CheckSource reports why a token may not come from there.
func (p *Policy) CheckSource(source string) error {
	if p == nil || p.Sources == nil || slices.Contains(p.Sources, source) {
		return nil
	}
	return p.forbids("a token from the %s", source)
}

// CheckWithToken reports why a token from standard input may not be kept.
func (p *Policy) CheckWithToken() error {
	if p == nil || p.WithToken {
		return nil
	}
	return p.forbids("login --with-token")
}

// CheckVersion reports whether a program is older than the policy wants. One without a version, built from a checkout, is not.
func (p *Policy) CheckVersion(program string) error {
	if p == nil || p.MinimumVersion == "" {
		return nil
	}
	have, ok := version(program)
	want, _ := version(p.MinimumVersion)
	if !ok || slices.Compare(have[:], want[:]) >= 0 {
		return nil
	}
	return p.forbids("version %s of this program, which is older than %s", program, p.MinimumVersion)
}

// checkHistory reports why another source, or its own file, may not say whether a history is kept.
func (p *Policy) checkHistory(other *Config) error {
	if p == nil || p.History == nil || *p.History == *other.History {
		return nil
	}
	return p.forbids("%s: history = %t", other.historyAt, *other.History)
}

// check reports what a profile of another source than the policy's does that is forbidden. fixed are the policy's own profiles.
func (p *Policy) check(other *Profile, fixed []*Profile) error {
	switch {
	case p == nil:
		return nil
	case p.Profiles == "machine":
		return p.forbids("%s: profile %q", other.Source, other.Name)
	case p.Profiles == "fixed" && slices.ContainsFunc(fixed, func(f *Profile) bool { return f.Name == other.Name }):
		return p.forbids("%s: profile %q, which is the machine's", other.Source, other.Name)
	}
	reserved := p.Hosts
	if p.Profiles == "fixed" { // an exact host takes precedence over a wildcard
		for _, f := range fixed {
			reserved = append(slices.Clip(reserved), f.Hosts...)
		}
	}
	for _, h := range other.Hosts {
		for _, r := range reserved {
			if r.Overlaps(h) {
				return p.forbids("%s: the host %q in profile %q", h.at, h, other.Name)
			}
		}
	}
	return nil
}

// Overlaps reports whether another pattern has a host in common with this one, which is meant on each port if it names none.
func (h Host) Overlaps(other Host) bool {
	if h.port != 0 && h.port != other.port && !(other.port == 0 && (h.port == 443 || h.port == 80)) { // a scheme's own
		return false
	}
	under := func(name, base string) bool {
		label, rest, ok := strings.Cut(name, ".")
		return ok && label != "" && rest == base
	}
	switch {
	case h.wildcard == other.wildcard:
		return h.name == other.name
	case h.wildcard:
		return under(other.name, h.name)
	}
	return under(h.name, other.name)
}

// String says what a policy decides, for people; empty if it allows all.
func (p *Policy) String() string {
	if p == nil {
		return ""
	}
	var parts []string
	add := func(text string, say bool) {
		if say {
			parts = append(parts, text)
		}
	}
	add("stores: "+strings.Join(p.Stores, ", "), p.Stores != nil)
	add("sources: "+strings.Join(p.Sources, ", "), p.Sources != nil)
	add("profiles: those of the machine's file alone", p.Profiles == "machine")
	add("profiles: none of the machine's is replaced", p.Profiles == "fixed")
	var hosts []string
	for _, h := range p.Hosts {
		hosts = append(hosts, h.String())
	}
	add("only the machine's profiles name "+strings.Join(hosts, ", "), hosts != nil)
	add("no legacy_page", !p.LegacyPage)
	add("no login --with-token", !p.WithToken)
	add("no history", p.History != nil && !*p.History)
	add("a history", p.History != nil && *p.History)
	add("version "+p.MinimumVersion+" or later", p.MinimumVersion != "")
	add("it is in place of the one at "+p.InPlaceOf, p.InPlaceOf != "")
	return strings.Join(parts, "; ")
}
