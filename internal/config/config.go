// Package config holds profiles and hosts: where users sign in, and which hosts may have the token.
//
// Bytes of configuration files and values of the environment come in; validated profiles go out, and the profiles that
// name a host. The package is pure: it never opens a file, uses the network or keeps state.
package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Profile is one Clerk application and the hosts that accept its tokens.
type Profile struct {
	// Name is the profile's name in the configuration: [A-Za-z0-9_-]{1,64}.
	Name string
	// Issuer is an origin, perhaps with a path, without a trailing slash: https, or http to loopback. With Companion it is
	// the companion page's.
	Issuer string
	// ClientID is the id of the public OAuth client, not a secret. With Companion it is CompanionClient; with LegacyPage,
	// which has no clients, the page's address.
	ClientID string
	// Companion reports whether users sign in through a companion page (see companion/README.md), which answers with
	// session tokens of Clerk.
	Companion bool
	// Instance is the Clerk issuer whose session tokens the companion page hands out; empty if the page may name it.
	Instance string
	// LegacyPage is the address of a sign-in page of the original kind, which gets a port and sends a token back:
	// https, or http to loopback, with neither query nor fragment. Empty for every other profile.
	LegacyPage string
	// Hosts are the patterns of the hosts that may have the token, normalised, in the order of the file.
	Hosts []Host
	// Scopes are the OAuth scopes requested, in the order of the file.
	Scopes []string
	// Token is the kind of token that tools get: "access" or "id".
	Token string
	// Username is sent by tools, with the token as the password.
	Username string
	// GitAuth is "auto", "basic" or "bearer".
	GitAuth string
	// DockerIdentityToken makes docker use the token as an identity token.
	DockerIdentityToken bool
	// Interactive is "auto", "always" or "never": whether the user may be asked to sign in.
	Interactive string
	// MinTTL is how long a token that is handed out should still be valid: 0 to 24 h.
	MinTTL time.Duration
	// CAFile is the absolute path of a PEM file with additional roots for the issuer's TLS certificate; empty for none.
	CAFile string
	// IsMachine makes the profile a service's: tokens are minted with a machine's secret key (CLERK_MACHINE_SECRET_KEY or
	// CLERK_MACHINE_SECRET_KEY_NAME), and no user signs in. ClientID is then empty.
	IsMachine bool
	// MachineToken is the form of such tokens: "jwt" or "opaque".
	MachineToken string
	// CI is "auto" or "off": whether the companion page is asked to exchange the token of a CI job (see JobOf).
	CI string
	// CIToken is the name of the variable with a job's token, for a CI whose jobs choose it; empty if none is named.
	CIToken string
	// InJob is the CI whose job this process belongs to, if tokens are exchanged for its. IsMachine is then set, and the
	// job's credential takes the place of the machine's key. See [Config.EnterJob].
	InJob string
	// Source is where the profile was defined, for messages: "FILE:LINE" or "environment".
	Source string
}

// Config is the set of profiles in force.
type Config struct {
	Profiles []*Profile
	all      []*Profile // where Only has left some out
	// DockerFallback is the docker helper that keeps the credentials of hosts of no profile: an absolute path, or a name
	// such as "osxkeychain" for docker-credential-osxkeychain. Empty if we keep them.
	DockerFallback string
	// Policy is the machine's; nil for none.
	Policy *Policy
	// History says whether a history is kept; nil for the default. See KeepsHistory.
	History   *bool
	historyAt position
}

// KeepsHistory reports whether a history is kept of which tool got which profile's token.
func (c *Config) KeepsHistory() bool { return c.History == nil || *c.History }

// Profile returns the profile of that name, or nil.
func (c *Config) Profile(name string) *Profile {
	for _, p := range c.Profiles {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Only returns the configuration with the profile of that name alone, or nil if there is none. Whose a token of the
// environment is still depends on all profiles; see [Config.All].
func (c *Config) Only(name string) *Config {
	p := c.Profile(name)
	if p == nil {
		return nil
	}
	return &Config{Profiles: []*Profile{p}, all: c.All(), Policy: c.Policy, History: c.History}
}

// All returns the profiles, with those that Only has left out.
func (c *Config) All() []*Profile {
	if c.all != nil {
		return c.all
	}
	return c.Profiles
}

// Names returns the names of all profiles, for people: "acme, app".
func (c *Config) Names() string {
	var all []string
	for _, p := range c.All() {
		all = append(all, p.Name)
	}
	return strings.Join(all, ", ")
}

// Hosts returns the patterns of all profiles, each once, in the configuration's order.
func (c *Config) Hosts() []Host {
	var hosts []Host
	known := make(map[string]bool)
	for _, p := range c.Profiles {
		for _, h := range p.Hosts {
			if !known[h.String()] {
				known[h.String()] = true
				hosts = append(hosts, h)
			}
		}
	}
	return hosts
}

// Match returns the profiles that name this host, usually none or one, in the configuration's order: those that name it
// exactly, or if there are none, those with a wildcard for it. More than one is possible only with different user names;
// the request's user name chooses among them.
//
// The scheme is https; http matches only loopback (127.0.0.0/8, ::1, localhost, without a dot at the end, since a resolver is
// asked for such a name); no other scheme matches. An empty one is not https: a tool whose names have no scheme may use http,
// and one whose protocol has only https says so in its wire. The host is host[:port] as a tool sent it. Upper case, one
// trailing dot of a name, the scheme's default port and the spelling of an IPv6 literal make no difference, nor does Unicode in
// place of Punycode, if IDNA leaves the name as it is; a host with any other byte outside [a-z0-9-._:] and brackets after
// lower-casing matches nothing, nor does an address that is not in its usual form.
func (c *Config) Match(scheme, host string) []*Profile {
	scheme, name, port, ok := parseTarget(scheme, host)
	if !ok {
		return nil
	}
	var exact, wild []*Profile
	for _, p := range c.Profiles {
		named := func(wildcard bool) bool {
			return slices.ContainsFunc(p.Hosts, func(h Host) bool { return h.wildcard == wildcard && h.matches(scheme, name, port) })
		}
		switch {
		case named(false):
			exact = append(exact, p)
		case named(true):
			wild = append(wild, p)
		}
	}
	if exact != nil {
		return exact
	}
	return wild
}

// Near is a host of a profile that a request misses by its scheme or its port only.
type Near struct {
	Profile *Profile
	Host    Host // the pattern
	// Port reports that the port is another one. Otherwise the request is not https.
	Port bool
}

// String says what differs: "acme has git.acme.dev:8443: another port".
func (n Near) String() string {
	if n.Port {
		return fmt.Sprintf("%s has %s: another port", n.Profile.Name, n.Host)
	}
	return fmt.Sprintf("%s gives its token to %s over https only", n.Profile.Name, n.Host)
}

// Near returns what a request that matches nothing misses; ok is false if no profile names its host on any port.
func (c *Config) Near(scheme, host string) (near Near, ok bool) {
	if len(c.Match(scheme, host)) > 0 {
		return Near{}, false
	}
	if strings.EqualFold(scheme, "http") {
		host = strings.TrimSuffix(host, ":80")
	}
	if secure := c.Match("https", host); len(secure) > 0 {
		for _, h := range secure[0].Hosts {
			if h.Match("https", host) && (near.Profile == nil || h.Exact()) {
				near = Near{Profile: secure[0], Host: h}
			}
		}
		return near, true
	}
	name, _, err := splitAny(host)
	if err != nil {
		return Near{}, false
	}
	for _, wildcard := range []bool{false, true} {
		for _, p := range c.Profiles {
			for _, h := range p.Hosts {
				if h.wildcard == wildcard && h.matches("https", name, cmp.Or(h.port, 443)) {
					return Near{Profile: p, Host: h, Port: true}, true
				}
			}
		}
	}
	return Near{}, false
}

// Merge combines several configurations: the machine's file, the user's, the environment. A profile of a later one replaces
// the whole profile of the same name in an earlier one. Sources may be nil. It is an error if two profiles name the same
// host with the same user name, if a profile names a host twice, or if two profiles have the same TokenVariable. It is a
// *PolicyError if a source does what the policy of an earlier one forbids. Every configuration must go through Merge, even a
// single one.
func Merge(sources ...*Config) (*Config, error) {
	merged := &Config{}
	index := make(map[string]int)
	var fixed []*Profile // of the policy's own file
	for _, source := range sources {
		if source == nil {
			continue
		}
		if source.DockerFallback != "" {
			merged.DockerFallback = source.DockerFallback
		}
		own := source.Policy != nil
		if own {
			merged.Policy, fixed = source.Policy, source.Profiles
			if source.Policy.History != nil {
				merged.History = source.Policy.History
			}
		}
		if source.History != nil {
			if err := merged.Policy.checkHistory(source); err != nil {
				return nil, err
			}
			merged.History = source.History
		}
		for _, p := range source.Profiles {
			if policy := merged.Policy; policy != nil && p.LegacyPage != "" && !policy.LegacyPage {
				return nil, policy.forbids("%s: the legacy_page of profile %q", p.Source, p.Name)
			}
			if !own {
				if err := merged.Policy.check(p, fixed); err != nil {
					return nil, err
				}
			}
			if i, ok := index[p.Name]; ok {
				merged.Profiles[i] = p
				continue
			}
			index[p.Name] = len(merged.Profiles)
			merged.Profiles = append(merged.Profiles, p)
		}
	}
	hosts := 0
	for _, p := range merged.Profiles {
		hosts += len(p.Hosts)
	}
	variables := make(map[string]*Profile, len(merged.Profiles))
	type owner struct {
		profile *Profile
		host    *Host
	}
	owners := make(map[claim]owner, hosts)
	for _, p := range merged.Profiles {
		variable := TokenVariable(p.Name)
		if other := variables[variable]; other != nil {
			return nil, fmt.Errorf("%s: profile %q and profile %q (%s) would share the variable %s: rename one",
				p.Source, p.Name, other.Name, other.Source, variable)
		}
		variables[variable] = p
		for i := range p.Hosts {
			h := &p.Hosts[i]
			claims := h.claims(p.Username)
			for _, c := range claims {
				other, taken := owners[c]
				if taken && other.profile == p {
					return nil, fmt.Errorf("%s: profile %q names the host %q twice (%s): remove one", h.at, p.Name, h, other.host.at)
				}
				if taken {
					return nil, fmt.Errorf("%s: the host %q of profile %q belongs to profile %q already (%s): "+
						"name it in one profile, or give each a different username", h.at, h, p.Name, other.profile.Name, other.host.at)
				}
			}
			for _, c := range claims {
				owners[c] = owner{p, h}
			}
		}
	}
	return merged, nil
}
