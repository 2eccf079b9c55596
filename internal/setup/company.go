package setup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// companyVersion is the version of the file that this program reads and writes.
const companyVersion = 1

// A company's file has at most so many profiles, and as many bytes of the texts that are shown.
const (
	companyProfiles = 16
	companyHosts    = 64 // of a profile
	companyText     = 200
)

// Company is the file that a company publishes at /.well-known/clerk-credential-helper.json; see docs/company-file.md.
type Company struct {
	Version  int                       `json:"version"`
	Name     string                    `json:"name,omitempty"`    // the company's, to be shown
	Contact  string                    `json:"contact,omitempty"` // whom to ask, to be shown
	Profiles map[string]CompanyProfile `json:"profiles"`
	Tools    []string                  `json:"tools,omitempty"` // that are set up where they are there
}

// CompanyProfile is a profile in a company's file, with the keys and values of the configuration file. What decides about
// the user's own machine is not among them.
type CompanyProfile struct {
	Issuer              string   `json:"issuer,omitempty"`
	PublishableKey      string   `json:"publishable_key,omitempty"`
	Companion           string   `json:"companion,omitempty"`
	ClientID            string   `json:"client_id,omitempty"`
	Hosts               []string `json:"hosts"`
	Scopes              []string `json:"scopes,omitempty"`
	Token               string   `json:"token,omitempty"`
	Username            string   `json:"username,omitempty"`
	GitAuth             string   `json:"git_auth,omitempty"`
	DockerIdentityToken bool     `json:"docker_identity_token,omitempty"`
	MinTTL              string   `json:"min_ttl,omitempty"`
}

// ParseAddress parses the address of a company, such as acme.dev, acme.dev:8443 or https://acme.dev, and returns its
// origin. The scheme is https; on loopback it is http unless the address says https.
func ParseAddress(raw string) (origin string, err error) {
	if strings.Contains(raw, "://") {
		return config.ParseCompanion(raw)
	}
	if origin, err := config.ParseCompanion("http://" + raw); err == nil { // on loopback alone
		return origin, nil
	}
	return config.ParseCompanion("https://" + raw)
}

// parseCompany parses a company's file. Unknown members are an error: what a later version says with them could not be left
// out safely.
func parseCompany(text []byte) (*Company, error) {
	var c Company
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		var later struct{ Version int }
		if json.Unmarshal(text, &later) == nil && later.Version > companyVersion {
			return nil, fmt.Errorf("it has version %d, and this program reads version %d: a newer release is needed", later.Version, companyVersion)
		}
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is text after the object")
	}
	switch {
	case c.Version != companyVersion:
		return nil, fmt.Errorf("it has version %d, and this program reads version %d", c.Version, companyVersion)
	case len(c.Profiles) == 0:
		return nil, errors.New("it has no profile")
	case len(c.Profiles) > companyProfiles:
		return nil, fmt.Errorf("it has %d profiles; %d are the limit", len(c.Profiles), companyProfiles)
	case len(c.Name) > companyText || len(c.Contact) > companyText:
		return nil, fmt.Errorf("name or contact has more than %d bytes", companyText)
	}
	var tools []string // each once: the changes stand on one screen with the question
	for _, tool := range c.Tools {
		if !slices.Contains(tools, tool) {
			tools = append(tools, tool)
		}
	}
	c.Tools = tools
	return &c, nil
}

// lines returns the profile as lines of a configuration file.
func (p CompanyProfile) lines(name string) []string {
	lines := []string{header(name)}
	for _, key := range []struct{ name, value string }{
		{"issuer", p.Issuer}, {"publishable_key", p.PublishableKey}, {"companion", p.Companion}, {"client_id", p.ClientID},
	} {
		if key.value != "" {
			lines = append(lines, key.name+" = "+config.Quote(key.value))
		}
	}
	lines = append(lines, "hosts = "+quoteAll(p.Hosts))
	if p.Scopes != nil {
		lines = append(lines, "scopes = "+quoteAll(p.Scopes))
	}
	for _, key := range []struct{ name, value string }{{"token", p.Token}, {"username", p.Username}, {"git_auth", p.GitAuth}, {"min_ttl", p.MinTTL}} {
		if key.value != "" {
			lines = append(lines, key.name+" = "+config.Quote(key.value))
		}
	}
	if p.DockerIdentityToken {
		lines = append(lines, "docker_identity_token = true")
	}
	return lines
}

// Offer is what a company's file would add.
type Offer struct {
	*Draft
	Company *Company
	// Outside are the addresses and hosts that are not below the registrable domain of the company's address, or that another
	// profile has.
	Outside []string
}

// Take returns what a company's file would add: all its profiles, or the one of that name. address is the origin that the
// person typed, and from the one that the file came from. What is outside of the address's own domain is for the caller to ask
// about.
//
// Errors: *config.Error for a file that cannot be used, or a profile that is there already and says something else.
func (s *Setup) Take(ctx context.Context, address, from string, text []byte, name string, dryRun bool) (*Offer, error) {
	refused := func(err error) error {
		return &config.Error{Err: fmt.Errorf("the company's file of %s: %w", from, err)}
	}
	c, err := parseCompany(text)
	if err != nil {
		return nil, refused(err)
	}
	names := slices.Sorted(maps.Keys(c.Profiles))
	if name != "" {
		if _, ok := c.Profiles[name]; !ok {
			return nil, refused(fmt.Errorf("it has no profile %q; there is %s", name, protocol.Shown(strings.Join(names, ", "))))
		}
		names = []string{name}
	}
	var before []*config.Profile
	if cfg, err := s.Config(platform.ReadTrusted); err == nil {
		before = cfg.All()
	}
	domain := registrable(hostOf(address))
	offer := &Offer{Company: c}
	if domain == "" || registrable(hostOf(from)) != domain {
		offer.Outside = append(offer.Outside, from)
	}
	var profiles [][]string
	for _, name := range names {
		lines := c.Profiles[name].lines(name)
		p, err := parse(lines)
		if err == nil && len(p.Hosts) > companyHosts {
			err = fmt.Errorf("it has %d hosts; %d are the limit", len(p.Hosts), companyHosts)
		}
		if err != nil {
			return nil, refused(fmt.Errorf("profile %q: %w", name, err))
		}
		for _, h := range p.Hosts {
			if base, ok := strings.CutPrefix(hostOf("//"+h.String()), "*."); ok && registrable(base) == "" {
				return nil, refused(fmt.Errorf("profile %q: %s would be all domains below a public suffix", name, h))
			}
		}
		offer.Outside = append(offer.Outside, outside(domain, p)...)
		for _, b := range before {
			for _, h := range p.Hosts {
				if b.Name != p.Name && slices.ContainsFunc(b.Hosts, func(own config.Host) bool { return own.Overlaps(h) }) {
					offer.Outside = append(offer.Outside, fmt.Sprintf("%s, which profile %s has", h, b.Name))
				}
			}
		}
		profiles = append(profiles, lines)
	}
	file, own, err := s.own(dryRun)
	if err != nil {
		return nil, err
	}
	if offer.Draft, err = s.add(file, own, profiles); err != nil {
		return nil, err
	}
	return offer, nil
}

// Words say what the person would trust. address is what they typed, from the origin that the file came from.
func (o *Offer) Words(address, from string) []string {
	words := []string{cmp.Or(o.Company.Name, address) + " publishes this for its people, at " + from + ":"}
	if o.Company.Contact != "" {
		words = append(words, "questions about it: "+o.Company.Contact)
	}
	if o.Names == nil {
		return append(words, "its profiles are in the configuration already")
	}
	for _, name := range o.Names {
		p := o.Config.Profile(name)
		words = append(words, "  people sign in at      "+p.Issuer)
		if p.Instance != "" {
			words = append(words, "  with sessions of       "+p.Instance)
		}
		for i, h := range p.Hosts {
			label := "  their tokens go to     "
			if i > 0 {
				label = strings.Repeat(" ", len(label))
			}
			words = append(words, label+h.String())
		}
	}
	return append(words, "")
}

// outside returns what of a profile is not below a registrable domain.
func outside(domain string, p *config.Profile) (all []string) {
	add := func(what, host string) {
		if domain == "" || registrable(strings.TrimPrefix(host, "*.")) != domain {
			all = append(all, what)
		}
	}
	add(p.Issuer, hostOf(p.Issuer))
	if p.Instance != "" {
		add(p.Instance, hostOf(p.Instance))
	}
	for _, h := range p.Hosts {
		add(h.String(), hostOf("//"+h.String()))
	}
	return all
}

// hostOf returns the host of an address without its port; empty for what is no address.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// registrable returns the registrable domain of a host: acme.dev for git.acme.dev, an address for itself; empty for a public
// suffix (https://publicsuffix.org), which belongs to many.
func registrable(host string) string {
	if net.ParseIP(host) != nil || host == "localhost" {
		return host
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return ""
	}
	return domain
}

// CompanyFile returns the company's file for profiles, as JSON with an end of line. A profile that is not for people, or has
// a page of the original kind, is an error.
func CompanyFile(profiles []*config.Profile, tools []string) ([]byte, error) {
	c := Company{Version: companyVersion, Profiles: map[string]CompanyProfile{}, Tools: tools}
	for _, p := range profiles {
		if p.IsMachine || p.LegacyPage != "" {
			return nil, &config.Error{Err: fmt.Errorf("profile %q is for a machine or has a legacy_page: a company's file has none of those", p.Name)}
		}
		standard, err := parse([]string{header(p.Name), `issuer = "https://clerk.acme.dev"`, `client_id = "x"`, `hosts = ["acme.dev"]`})
		if err != nil {
			return nil, err
		}
		out := CompanyProfile{Issuer: p.Issuer, ClientID: p.ClientID, DockerIdentityToken: p.DockerIdentityToken}
		if p.Companion {
			out = CompanyProfile{Companion: p.Issuer, Issuer: p.Instance, DockerIdentityToken: p.DockerIdentityToken}
		}
		for _, h := range p.Hosts {
			out.Hosts = append(out.Hosts, h.String())
		}
		if !slices.Equal(p.Scopes, standard.Scopes) && !p.Companion {
			out.Scopes = p.Scopes
		}
		other := func(value, standard string) string {
			if value == standard {
				return ""
			}
			return value
		}
		out.Token = other(p.Token, standard.Token)
		out.Username = other(p.Username, standard.Username)
		out.GitAuth = other(p.GitAuth, standard.GitAuth)
		out.MinTTL = other(p.MinTTL.String(), standard.MinTTL.String())
		c.Profiles[p.Name] = out
	}
	text, err := json.MarshalIndent(c, "", "  ")
	return append(text, '\n'), err
}
