package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Host is a parsed pattern of the configuration: one host, or after "*." a name with any one label before it.
type Host struct {
	// name is lower-case ASCII without a trailing dot; an IPv6 address in its canonical form and in brackets. For a
	// wildcard it is what follows "*.".
	name     string
	wildcard bool
	// port is 0 for the default port of the scheme.
	port uint16
	// at is where the pattern was read.
	at position
}

// claim is one combination of scheme, host, port and user name that a pattern answers for. Only one profile may have it.
type claim struct {
	scheme   string
	wildcard bool
	name     string
	port     uint16
	username string
}

// parseHost parses a pattern: host, host:port, [IPv6], [IPv6]:port, or *.name, where name has two labels at least.
// Names outside ASCII are mapped by IDNA (UTS 46, for lookup).
func parseHost(pattern string) (Host, error) {
	switch {
	case pattern == "":
		return Host{}, errors.New("the host is empty: write a name such as \"git.acme.dev\"")
	case strings.Contains(pattern, "@"): // what stands before it may be a password, which no error repeats
		return Host{}, errors.New("there is a user name before the host: write only the host")
	case strings.Contains(pattern, "://"):
		return Host{}, fmt.Errorf("%q is a URL: write only the host and, if it is not 443, the port", pattern)
	case strings.Contains(pattern, "/"):
		return Host{}, fmt.Errorf("%q has a path: tokens belong to whole hosts, write only the host", pattern)
	case !strings.HasPrefix(pattern, "[") && strings.Count(pattern, ":") > 1:
		return Host{}, fmt.Errorf("%q: write an IPv6 address in brackets, such as \"[::1]:5000\"", pattern)
	}
	rest, wildcard := strings.CutPrefix(pattern, "*.")
	if strings.Contains(rest, "*") {
		return Host{}, fmt.Errorf("%q: a wildcard stands only for the whole first label, such as \"*.pkg.acme.dev\"", pattern)
	}
	if !isASCII(rest) {
		ascii, err := toASCII(rest)
		if err != nil {
			return Host{}, fmt.Errorf("%q is not a host name: %w", pattern, err)
		}
		rest = ascii
	}
	name, port, err := splitHost(rest)
	if err != nil {
		return Host{}, fmt.Errorf("%q is not a host: %w", pattern, err)
	}
	if _, isAddr := address(name); wildcard && (isAddr || !strings.Contains(name, ".")) {
		return Host{}, fmt.Errorf("%q is too wide: a wildcard needs a name of two labels at least after it, such as \"*.pkg.acme.dev\"", pattern)
	}
	if port == 443 && !isLoopback(name) {
		port = 0 // only https is possible, so both spellings mean the same
	}
	return Host{name: name, wildcard: wildcard, port: port}, nil
}

// String returns the pattern in its normal form, such as "git.acme.dev:8443" or "*.pkg.acme.dev".
func (h Host) String() string {
	s := h.name
	if h.wildcard {
		s = "*." + s
	}
	if h.port != 0 {
		s += ":" + strconv.Itoa(int(h.port))
	}
	return s
}

// Exact reports whether the pattern names one host and has no wildcard.
func (h Host) Exact() bool { return !h.wildcard }

// Loopback reports whether the pattern names an address of this machine, to which http may go too.
func (h Host) Loopback() bool { return !h.wildcard && isLoopback(h.name) }

// At returns where the pattern was read: FILE:LINE:COLUMN, or the name of a variable.
func (h Host) At() string { return h.at.String() }

// Match reports whether the pattern names the host that a tool asks for, as [Config.Match] has it.
func (h Host) Match(scheme, host string) bool {
	scheme, name, port, ok := parseTarget(scheme, host)
	return ok && h.matches(scheme, name, port)
}

// TargetName returns the one spelling of a host that a tool asks for, with its port; the host as it is if it matches nothing.
func TargetName(scheme, host string) string {
	_, name, port, ok := parseTarget(scheme, host)
	if !ok {
		return host
	}
	return net.JoinHostPort(name, strconv.Itoa(int(port)))
}

// parseTarget parses what a tool asks for, into a lower-case scheme, a normalised name and a port that is never 0. ok
// is false for what matches nothing.
func parseTarget(scheme, host string) (lower, name string, port uint16, ok bool) {
	lower, ok = lowerASCII(scheme)
	if !ok {
		return "", "", 0, false
	}
	name, port, err := splitAny(host)
	if err != nil || lower != "https" && (lower != "http" || !mayBePlain(host, name)) {
		return "", "", 0, false
	}
	if port == 0 {
		port = defaultPort(lower)
	}
	return lower, name, port, true
}

// toASCII maps the name of host[:port] by IDNA (UTS 46, for lookup).
func toASCII(host string) (string, error) {
	name, port, hasPort := strings.Cut(host, ":")
	ascii, err := idna.Lookup.ToASCII(name)
	if err == nil && hasPort {
		ascii += ":" + port
	}
	return ascii, err
}

// InUnicode returns a name, or a pattern, with a label in Punycode as people write it; empty for any other.
func InUnicode(name string) string {
	rest, wildcard := strings.CutPrefix(name, "*.")
	host, port, hasPort := strings.Cut(rest, ":")
	text, err := idna.Lookup.ToUnicode(host)
	if err != nil || text == host {
		return ""
	}
	if wildcard {
		text = "*." + text
	}
	if hasPort {
		text += ":" + port
	}
	return text
}

// splitAny is splitHost for a host as a tool sent it. Most are ASCII, and pay for no other.
func splitAny(host string) (name string, port uint16, err error) {
	if name, port, err = splitHost(host); err != nil {
		return splitUnicode(host)
	}
	return name, port, nil
}

// splitUnicode is splitHost for a name outside ASCII. Only a name that IDNA leaves as it is may match: what it would map, a
// tool's resolver may map to another name. So is sharp s, which IDNA2003 makes "ss", and what else changed (UTS 46,
// "Deviations").
func splitUnicode(host string) (name string, port uint16, err error) {
	if len(host) > 4*253 || isASCII(host) || strings.ContainsAny(host, "ßς\u200c\u200d") {
		return "", 0, errors.New("it is not a host")
	}
	asked := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, host)
	ascii, err := toASCII(asked)
	if err != nil {
		return "", 0, err
	}
	if InUnicode(ascii) != asked {
		return "", 0, errors.New("it is not in its usual form")
	}
	return splitHost(ascii)
}

// matches compares with a request's normalised name and its port, which is never 0.
func (h Host) matches(scheme, name string, port uint16) bool {
	own := h.port
	if own == 0 {
		own = defaultPort(scheme)
	}
	if own != port {
		return false
	}
	if !h.wildcard {
		return name == h.name
	}
	_, rest, ok := strings.Cut(name, ".")
	return ok && rest == h.name
}

// claims returns the claims of the pattern: one port for https and, on loopback, one for http.
func (h Host) claims(username string) []claim {
	schemes := []string{"https", "http"}
	if h.wildcard || !isLoopback(h.name) {
		schemes = schemes[:1]
	}
	var claims []claim
	for _, scheme := range schemes {
		c := claim{scheme, h.wildcard, h.name, h.port, username}
		if c.port == 0 {
			c.port = defaultPort(scheme)
		}
		claims = append(claims, c)
	}
	return claims
}

func defaultPort(scheme string) uint16 {
	if scheme == "http" {
		return 80
	}
	return 443
}

// splitHost parses host[:port] and normalises the host. The port is 0 if there is none. It refuses everything that another
// parser could read as another host.
func splitHost(host string) (name string, port uint16, err error) {
	// DNS limits a name to 253 characters; a dot and a port may follow.
	if len(host) > 253+len(".:65535") {
		return "", 0, errors.New("it is too long")
	}
	host, ok := lowerASCII(host)
	if !ok {
		return "", 0, errors.New("it holds a character that is not allowed in a host")
	}
	var portText string
	var hasPort bool
	if strings.HasPrefix(host, "[") {
		literal, rest, ok := strings.Cut(host[1:], "]")
		addr, parseErr := netip.ParseAddr(literal)
		if !ok || parseErr != nil || !addr.Is6() {
			return "", 0, errors.New("it is not an IPv6 address in brackets")
		}
		if portText, hasPort = strings.CutPrefix(rest, ":"); !hasPort && rest != "" {
			return "", 0, errors.New("there is something other than a port after the brackets")
		}
		name = "[" + addr.String() + "]"
	} else {
		name, portText, hasPort = strings.Cut(host, ":")
		full := name
		name = strings.TrimSuffix(name, ".")
		if err := checkName(name); err != nil {
			return "", 0, err
		}
		if name != full {
			if _, ok := address(name); ok {
				return "", 0, errors.New("an address has no dot at its end")
			}
		}
	}
	if hasPort {
		n, err := strconv.ParseUint(portText, 10, 16)
		if err != nil || n == 0 || portText[0] < '1' || portText[0] > '9' {
			return "", 0, errors.New("the port is not a number from 1 to 65535")
		}
		port = uint16(n)
	}
	return name, port, nil
}

// checkName checks a lower-case name against DNS's limits. A name whose last label is a number is an IPv4 address to
// browsers and C libraries, in many spellings (WHATWG URL, "ends in a number checker"); only the usual one is accepted.
func checkName(name string) error {
	if len(name) > 253 {
		return errors.New("it is longer than 253 characters")
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return errors.New("a label is empty or longer than 63 characters")
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("a label begins or ends with a hyphen")
		}
		if strings.ContainsAny(label, "[]") {
			return errors.New("there is a bracket in the name")
		}
		last = label
	}
	if isNumber(last) {
		if _, ok := address(name); !ok {
			return errors.New("it is not an IPv4 address in its usual form, such as 127.0.0.1")
		}
	}
	return nil
}

// isNumber reports whether a label is decimal, or 0x and hexadecimal.
func isNumber(label string) bool {
	digits := "0123456789"
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		label, digits = hex, "0123456789abcdef"
	}
	return strings.Trim(label, digits) == ""
}

// address parses a normalised name that is an IP address. It checks the first byte first, since most names are no address
// and an error of ParseAddr costs more than the rest.
func address(name string) (netip.Addr, bool) {
	if literal, ok := strings.CutPrefix(name, "["); ok {
		name = strings.TrimSuffix(literal, "]")
	} else if name == "" || name[0] < '0' || name[0] > '9' {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(name)
	return addr, err == nil
}

// mayBePlain reports whether http may go to a host as it was written, whose normalised name is given. curl, git and C
// libraries ask DNS for "localhost." with its dot, and so do not stay on this machine.
func mayBePlain(host, name string) bool {
	host, _, _ = strings.Cut(host, ":")
	return isLoopback(name) && !strings.HasSuffix(host, ".")
}

// isLoopback reports whether a normalised name is in 127.0.0.0/8, ::1 or localhost. Other addresses that lead to loopback
// do not count.
func isLoopback(name string) bool {
	if name == "localhost" {
		return true
	}
	addr, ok := address(name)
	return ok && !addr.Is4In6() && addr.IsLoopback()
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// lowerASCII lowers A to Z. It fails for every byte that is not allowed in a host; strings.ToLower would turn some
// letters outside ASCII, such as the Kelvin sign, into ASCII letters.
func lowerASCII(s string) (string, bool) {
	upper := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("-._:[]", c) >= 0:
		case 'A' <= c && c <= 'Z':
			upper = true
		default:
			return "", false
		}
	}
	if upper {
		s = strings.ToLower(s)
	}
	return s, true
}
