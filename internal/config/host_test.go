package config

import (
	"net"
	"slices"
	"strings"
	"testing"
)

// profiles returns a merged configuration with one profile for each pattern.
func profiles(t *testing.T, patterns ...string) *Config {
	t.Helper()
	c := &Config{}
	for i, pattern := range patterns {
		h, err := parseHost(pattern)
		if err != nil {
			t.Fatal(err)
		}
		c.Profiles = append(c.Profiles, &Profile{Name: "p" + string(rune('a'+i)), Hosts: []Host{h}, Username: "clerk"})
	}
	c, err := Merge(c)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// matched returns the pattern that matched, or "".
func matched(c *Config, scheme, host string) string {
	var names []string
	for _, p := range c.Match(scheme, host) {
		names = append(names, p.Hosts[0].String())
	}
	return strings.Join(names, " ")
}

func TestMatch(t *testing.T) {
	c := profiles(t, "git.acme.dev", "registry.acme.dev:5000", "*.pkg.acme.dev", "npm.pkg.acme.dev", "*.pkg.acme.dev:8443",
		"bücher.example", "*.bücher.example", "bücher.example:8443", "εδώ.example", "my_host", "localhost", "localhost:8080", "127.0.0.1:3000", "[::1]", "[2001:DB8::0:1]:5000", "10.0.0.1",
		"127.9.9.9:80")
	for _, tt := range []struct{ why, scheme, host, want string }{
		{"as named", "https", "git.acme.dev", "git.acme.dev"},
		{"git passes the scheme on as typed", "HTTPS", "git.acme.dev", "git.acme.dev"},
		{"upper case", "https", "GIT.Acme.DEV", "git.acme.dev"},
		{"trailing dot", "https", "git.acme.dev.", "git.acme.dev"},
		{"the default port", "https", "git.acme.dev:443", "git.acme.dev"},
		{"all at once", "https", "Git.ACME.dev.:443", "git.acme.dev"},
		{"a named port", "https", "registry.acme.dev:5000", "registry.acme.dev:5000"},
		{"a wildcard", "https", "go.pkg.acme.dev", "*.pkg.acme.dev"},
		{"a wildcard for a label with digits and hyphens", "https", "1-a_b.PKG.acme.dev.", "*.pkg.acme.dev"},
		{"a wildcard with a port", "https", "go.pkg.acme.dev:8443", "*.pkg.acme.dev:8443"},
		{"a named host beats a wildcard", "https", "npm.pkg.acme.dev", "npm.pkg.acme.dev"},
		{"but only with its port", "https", "npm.pkg.acme.dev:8443", "*.pkg.acme.dev:8443"},
		{"IDNA, as every client sends it", "https", "XN--bcher-kva.example", "bücher.example"},
		{"IDNA, as people write it and git passes it on", "https", "bücher.example", "bücher.example"},
		{"IDNA with ASCII in upper case", "HTTPS", "Bücher.EXAMPLE", "bücher.example"},
		{"IDNA with a trailing dot and the default port", "https", "bücher.example.:443", "bücher.example"},
		{"IDNA with a port", "https", "bücher.example:8443", "bücher.example:8443"},
		{"IDNA under a wildcard", "https", "git.bücher.example", "*.bücher.example"},
		{"a label in Unicode under a wildcard", "https", "kö.pkg.acme.dev", "*.pkg.acme.dev"},
		{"another script", "https", "εδώ.example", "εδώ.example"},
		{"underscore", "https", "my_host", "my_host"},
		{"http to localhost", "http", "localhost", "localhost"},
		{"http to localhost with its default port", "http", "localhost:80", "localhost"},
		{"https to localhost", "https", "localhost:443", "localhost"},
		{"http to localhost with a port", "http", "LOCALHOST:8080", "localhost:8080"},
		{"https to localhost by its full name", "https", "localhost.:8080", "localhost:8080"},
		{"https to localhost with a dot", "https", "LOCALHOST.:8080", "localhost:8080"},
		{"https to that port", "https", "localhost:8080", "localhost:8080"},
		{"http to 127.0.0.1", "http", "127.0.0.1:3000", "127.0.0.1:3000"},
		{"http to 127.0.0.0/8, the port named", "http", "127.9.9.9", "127.9.9.9:80"},
		{"https to that port", "https", "127.9.9.9:80", "127.9.9.9:80"},
		{"http to ::1", "http", "[::1]", "[::1]"},
		{"http to ::1 with its default port", "http", "[::1]:80", "[::1]"},
		{"https to ::1", "https", "[::1]:443", "[::1]"},
		{"::1 in its long form", "https", "[0:0:0:0:0:0:0:1]", "[::1]"},
		{"IPv6 with a port, in another spelling", "https", "[2001:0db8:0::0001]:5000", "[2001:db8::1]:5000"},
		{"IPv4", "https", "10.0.0.1", "10.0.0.1"},
	} {
		want := strings.NewReplacer("bücher", "xn--bcher-kva", "εδώ", "xn--pxab0f").Replace(tt.want)
		if got := matched(c, tt.scheme, tt.host); got != want {
			t.Errorf("%s: %s://%s matches %q; want %q", tt.why, tt.scheme, tt.host, got, want)
		}
	}
}

func TestMatchMustNot(t *testing.T) {
	c := profiles(t, "git.acme.dev", "registry.acme.dev:5000", "*.pkg.acme.dev", "*.tools.acme.dev:8443", "kelvin.example", "xn--bcher-kva.example", "straße.example", "ς.example",
		"strasse.test", "apple.example", "bucher.test",
		"localhost", "localhost:8080", "127.0.0.1", "127.0.0.2:443", "[::1]", "[2001:db8::1]:5000", "10.0.0.1", "10.0.0.2:80", "intranet:80")
	long := strings.Repeat("a", 63)
	for _, tt := range []struct{ why, scheme, host string }{
		{"empty host", "https", ""},
		{"empty host, no scheme", "", ""},
		{"only a port", "https", ":443"},
		{"only a dot", "https", "."},

		{"another host", "https", "github.com"},
		{"the domain of a named host", "https", "acme.dev"},
		{"another host of the domain", "https", "www.acme.dev"},
		{"below a named host", "https", "a.git.acme.dev"},
		{"suffix without a dot", "https", "evilacme.dev"},
		{"suffix of the whole name", "https", "evilgit.acme.dev"},
		{"the name as a prefix", "https", "git.acme.dev.evil.com"},
		{"the name as a prefix without a dot", "https", "git.acme.devil"},
		{"a prefix of the name", "https", "git.acme.de"},
		{"a hyphen for the dot", "https", "git-acme.dev"},

		{"another port", "https", "git.acme.dev:8443"},
		{"http's port", "https", "git.acme.dev:80"},
		{"a named port is not the default", "https", "registry.acme.dev"},
		{"a named port is not 443", "https", "registry.acme.dev:443"},
		{"a named port is not its prefix", "https", "registry.acme.dev:500"},
		{"a named port is not its suffix", "https", "registry.acme.dev:15000"},
		{"leading zero", "https", "git.acme.dev:0443"},
		{"leading zeros", "https", "registry.acme.dev:05000"},
		{"port 0", "https", "git.acme.dev:0"},
		{"port 65536", "https", "git.acme.dev:65536"},
		{"a port that wraps round to 443", "https", "git.acme.dev:65979"},
		{"a huge port", "https", "git.acme.dev:18446744073709552059"},
		{"empty port", "https", "git.acme.dev:"},
		{"signed port", "https", "git.acme.dev:+443"},
		{"negative port", "https", "git.acme.dev:-443"},
		{"port with an underscore", "https", "git.acme.dev:4_43"},
		{"hexadecimal port", "https", "git.acme.dev:0x1bb"},
		{"a name as port", "https", "git.acme.dev:https"},
		{"two ports", "https", "git.acme.dev:443:443"},
		{"a port and a dot", "https", "git.acme.dev:443."},

		{"no scheme is not https", "", "git.acme.dev"},
		{"no scheme to loopback", "", "localhost"},
		{"a blank for a scheme", " ", "git.acme.dev"},
		{"http to localhost with a dot, which a resolver is asked for", "http", "localhost."},
		{"http to localhost with a dot and a port", "http", "localhost.:8080"},
		{"http to an address with a dot", "http", "127.0.0.1."},
		{"https to an address with a dot", "https", "10.0.0.1."},
		{"https to an address with a dot and a port", "https", "127.0.0.2.:443"},
		{"http", "http", "git.acme.dev"},
		{"http with https's port", "http", "git.acme.dev:443"},
		{"http with http's port", "http", "git.acme.dev:80"},
		{"http to a port of its own", "http", "registry.acme.dev:5000"},
		{"http to an intranet name", "http", "intranet"},
		{"http to an intranet name with the named port", "http", "intranet:80"},
		{"http to a private address", "http", "10.0.0.2"},
		{"http to a wildcard", "http", "a.pkg.acme.dev"},
		{"ssh", "ssh", "git.acme.dev"},
		{"git", "git", "git.acme.dev"},
		{"oci", "oci", "registry.acme.dev:5000"},
		{"a scheme with a colon", "https:", "git.acme.dev"},
		{"a scheme with a long s, which folds to s", "http\u017f", "git.acme.dev"},
		{"a scheme with a space", " https", "git.acme.dev"},
		{"a scheme with LF", "https\n", "git.acme.dev"},

		{"user information", "https", "git.acme.dev@evil.com"},
		{"user information in front", "https", "evil.com@git.acme.dev"},
		{"user and password", "https", "a:b@git.acme.dev"},
		{"a path", "https", "git.acme.dev/x"},
		{"a path that ends like the host", "https", "evil.com/git.acme.dev"},
		{"a backslash", "https", `git.acme.dev\.evil.com`},
		{"a query", "https", "evil.com?git.acme.dev"},
		{"a fragment", "https", "evil.com#git.acme.dev"},
		{"a URL", "https", "https://git.acme.dev"},
		{"percent-encoding", "https", "git%2eacme.dev"},
		{"an encoded NUL", "https", "git.acme.dev%00"},
		{"space before", "https", " git.acme.dev"},
		{"space behind", "https", "git.acme.dev "},
		{"tab", "https", "git.acme.dev\t"},
		{"CR", "https", "git.acme.dev\r"},
		{"LF", "https", "git.acme.dev\n"},
		{"LF and another host", "https", "evil.com\ngit.acme.dev"},
		{"NUL", "https", "git.acme.dev\x00"},
		{"NUL and a suffix", "https", "git.acme.dev\x00.evil.com"},
		{"a list", "https", "evil.com,git.acme.dev"},
		{"a semicolon", "https", "git.acme.dev;evil.com"},

		{"two trailing dots", "https", "git.acme.dev.."},
		{"a leading dot", "https", ".git.acme.dev"},
		{"two dots inside", "https", "git..acme.dev"},

		{"fullwidth dots", "https", "git．acme．dev"},
		{"an ideographic dot", "https", "git。acme.dev"},
		{"fullwidth letters", "https", "ｇｉｔ.acme.dev"},
		{"a Kelvin sign, whose lower case is k", "https", "\u212aelvin.example"},
		{"a dotted capital I", "https", "g\u0130t.acme.dev"},
		{"Cyrillic a", "https", "git.\u0430cme.dev"},
		{"the punycode of Cyrillic a", "https", "git.xn--cme-5cd.dev"},
		{"a soft hyphen", "https", "git.ac\u00adme.dev"},
		{"a zero-width joiner", "https", "git.acme\u200d.dev"},
		{"Cyrillic letters throughout", "https", "\u0430\u0440\u0440\u04cf\u0435.example"},
		{"Greek o", "https", "k\u0435lvin.example"},
		{"an IDN without its dots", "https", "bucher.example"},
		{"an IDN's letter with a mark of its own", "https", "bu\u0308cher.example"},
		{"an IDN in upper case, which only some resolvers map", "https", "BÜCHER.example"},
		{"an IDN in full width", "https", "ｂücher.example"},
		{"an IDN with a full-width dot", "https", "bücher．example"},
		{"an IDN with an ideographic dot", "https", "bücher。example"},
		{"an IDN with a soft hyphen", "https", "bü\u00adcher.example"},
		{"an IDN with a variation selector", "https", "bücher\ufe0f.example"},
		{"an IDN with a zero-width space", "https", "bücher\u200b.example"},
		{"an IDN with a mark that turns the direction", "https", "bücher\u202e.example"},
		{"an IDN with Cyrillic c", "https", "bü\u0441her.example"},
		{"an IDN with another u", "https", "bűcher.example"},
		{"an IDN twice encoded", "https", "xn--xn--bcher-kva-.example"},
		{"an IDN with a percent sign", "https", "b%C3%BCcher.example"},
		{"an IDN in Latin-1", "https", "b\xfccher.example"},
		{"an IDN's punycode in another letter", "https", "xn--bcher-kvb.example"},
		{"an IDN with a space", "https", "bücher .example"},
		{"an IDN with a user", "https", "x@bücher.example"},
		{"an IDN with a slash", "https", "bücher.example/"},
		{"an IDN with a slash that is none", "https", "evil.example\u2215.bücher.example"},
		{"an IDN with a question mark that is none", "https", "evil.example\uff1f.bücher.example"},
		{"an IDN with LF", "https", "bücher.example\n"},
		{"an IDN with NUL", "https", "bücher\x00.example"},
		{"an IDN and another port", "https", "bücher.example:444"},
		{"an IDN and an empty port", "https", "bücher.example:"},
		{"an IDN and a port in other digits", "https", "bücher.example:４４３"},
		{"an IDN over http", "http", "bücher.example"},
		{"below an IDN", "https", "a.bücher.example"},
		{"behind an IDN", "https", "bücher.example.evil.com"},
		{"an IDN in brackets", "https", "[bücher.example]"},
		{"a very long IDN", "https", strings.Repeat("ü", 1<<20) + ".example"},
		{"sharp s, which is ss to older resolvers", "https", "straße.example"},
		{"sharp s for ss", "https", "straße.test"},
		{"a capital sharp s", "https", "stra\u1e9ee.example"},
		{"final sigma, which is sigma to older resolvers", "https", "ς.example"},
		{"sigma for final sigma", "https", "σ.example"},
		{"a zero-width joiner that a script allows", "https", "क्\u200dष.pkg.acme.dev"},
		{"a zero-width non-joiner", "https", "نامه\u200cای.pkg.acme.dev"},
		{"Unicode that is localhost", "http", "ｌocalhost"},
		{"Unicode that is an address", "https", "①27.0.0.1"},
		{"Unicode digits that are an address", "https", "１０.0.0.1"},
		{"right to left and left to right in one label", "https", "aא.pkg.acme.dev"},
		{"not UTF-8", "https", "git.acme.dev\xff"},

		{"no label under a wildcard", "https", "pkg.acme.dev"},
		{"an empty label under a wildcard", "https", ".pkg.acme.dev"},
		{"two labels under a wildcard", "https", "a.b.pkg.acme.dev"},
		{"a wildcard has no suffix without a dot", "https", "apkg.acme.dev"},
		{"a wildcard and more behind", "https", "a.pkg.acme.dev.evil.com"},
		{"another port under a wildcard", "https", "a.pkg.acme.dev:8443"},
		{"a wildcard's named port is not the default", "https", "a.tools.acme.dev"},
		{"the wildcard itself", "https", "*.pkg.acme.dev"},
		{"a wildcard in the request", "https", "*.acme.dev"},
		{"nothing but a wildcard", "https", "*"},
		{"a label that begins with a hyphen under a wildcard", "https", "-a.pkg.acme.dev"},
		{"a label that ends with a hyphen under a wildcard", "https", "a-.pkg.acme.dev"},
		{"a bracket under a wildcard", "https", "a].pkg.acme.dev"},
		{"a label of 64 bytes under a wildcard", "https", long + "a.pkg.acme.dev"},
		{"a very long host", "https", strings.Repeat("a.", 1<<20) + "pkg.acme.dev"},

		{"hexadecimal IPv4", "https", "0x7f.0.0.1"},
		{"hexadecimal IPv4, short", "https", "0x7f.1"},
		{"hexadecimal IPv4, one number", "https", "0x7f000001"},
		{"decimal IPv4", "https", "2130706433"},
		{"short IPv4", "https", "127.1"},
		{"octal IPv4", "https", "0177.0.0.1"},
		{"leading zeros in IPv4", "https", "127.000.000.001"},
		{"short IPv4 over http", "http", "127.1"},
		{"decimal IPv4 over http", "http", "2130706433"},
		{"another loopback address", "http", "127.0.0.3"},
		{"IPv4 below another name", "https", "127.0.0.1.evil.com"},
		{"five numbers", "https", "127.0.0.1.1"},
		{"a number too large", "https", "10.0.0.257"},
		{"the unspecified address", "http", "0.0.0.0"},
		{"zero", "http", "0"},
		{"a port named for https is not http's", "http", "127.0.0.2"},
		{"a dot after an IPv4 address: resolvers ask DNS for it", "http", "127.0.0.1.:80"},
		{"a dot after an IPv4 address over https", "https", "127.0.0.1."},
		{"a dot after an IPv4 address that is not loopback", "https", "10.0.0.1."},
		{"two dots after an IPv4 address", "http", "127.0.0.1..:80"},
		{"a dot after localhost: resolvers ask DNS for it", "http", "localhost."},
		{"a dot after localhost, with a port", "http", "localhost.:8080"},
		{"a dot after LOCALHOST, with a port", "http", "LOCALHOST.:8080"},
		{"localhost with another port", "http", "localhost:8081"},
		{"below localhost", "http", "a.localhost"},
		{"localhost with a suffix", "http", "localhost.localdomain"},
		{"http to localhost with https's port", "http", "localhost:443"},
		{"https to localhost with http's port", "https", "localhost:80"},

		{"IPv6 without brackets", "https", "::1"},
		{"IPv6 with a port without brackets", "https", "2001:db8::1:5000"},
		{"IPv6 without its named port", "https", "[2001:db8::1]"},
		{"another IPv6", "https", "[2001:db8::2]:5000"},
		{"http to an IPv6 that is not loopback", "http", "[2001:db8::1]:5000"},
		{"IPv4 mapped into IPv6", "https", "[::ffff:127.0.0.1]"},
		{"IPv4 mapped into IPv6 over http", "http", "[::ffff:127.0.0.1]"},
		{"IPv4 mapped into IPv6, hexadecimal", "http", "[::ffff:7f00:1]"},
		{"a zone", "https", "[::1%lo]"},
		{"an encoded zone", "https", "[::1%25lo]"},
		{"IPv4 in brackets", "https", "[127.0.0.1]"},
		{"a name in brackets", "https", "[localhost]"},
		{"brackets not closed", "https", "[::1"},
		{"brackets not opened", "https", "::1]"},
		{"brackets twice", "https", "[[::1]]"},
		{"empty brackets", "https", "[]"},
		{"a dot behind the brackets", "https", "[::1]."},
		{"a name behind the brackets", "https", "[::1]evil.com"},
		{"a port without a colon", "https", "[::1]443"},
		{"an empty port behind the brackets", "https", "[::1]:"},
		{"a zero before the port behind the brackets", "https", "[2001:db8::1]:05000"},
		{"unspecified IPv6", "http", "[::]"},
	} {
		if got := c.Match(tt.scheme, tt.host); got != nil {
			t.Errorf("%s: %q://%.80q matches %q", tt.why, tt.scheme, tt.host, got[0].Hosts)
		}
	}
	if got := (&Config{}).Match("https", "git.acme.dev"); got != nil {
		t.Errorf("an empty configuration matches: %v", got)
	}
}

// TestNear: a request that misses a profile's host by its scheme or its port only is told which; every other is a stranger.
func TestNear(t *testing.T) {
	c := profiles(t, "git.acme.dev", "registry.acme.dev:5000", "*.pkg.acme.dev", "npm.pkg.acme.dev:8443", "bücher.example", "localhost:8080", "[2001:db8::1]:5000", "*.acme.test:8443")
	for _, tt := range []struct{ why, scheme, host, want string }{
		{"http", "http", "git.acme.dev", "pa gives its token to git.acme.dev over https only"},
		{"http in upper case, its default port", "HTTP", "GIT.acme.dev.:80", "pa gives its token to git.acme.dev over https only"},
		{"http to https's port", "http", "git.acme.dev:443", "pa gives its token to git.acme.dev over https only"},
		{"ssh", "ssh", "git.acme.dev", "pa gives its token to git.acme.dev over https only"},
		{"no scheme", "", "registry.acme.dev:5000", "pb gives its token to registry.acme.dev:5000 over https only"},
		{"http under a wildcard", "http", "go.pkg.acme.dev", "pc gives its token to *.pkg.acme.dev over https only"},
		{"http to Unicode", "http", "bücher.example", "pe gives its token to xn--bcher-kva.example over https only"},
		{"localhost, as a resolver is asked for it", "http", "localhost.:8080", "pf gives its token to localhost:8080 over https only"},
		{"the default port", "https", "registry.acme.dev", "pb has registry.acme.dev:5000: another port"},
		{"a port", "https", "git.acme.dev:8443", "pa has git.acme.dev: another port"},
		{"a port and http", "http", "registry.acme.dev:5001", "pb has registry.acme.dev:5000: another port"},
		{"a port under a wildcard", "https", "go.pkg.acme.dev:444", "pc has *.pkg.acme.dev: another port"},
		{"a named host before a wildcard", "https", "npm.pkg.acme.dev:444", "pd has npm.pkg.acme.dev:8443: another port"},
		{"a port of localhost", "http", "localhost:8081", "pf has localhost:8080: another port"},
		{"a port of an address", "https", "[2001:DB8:0::1]", "pg has [2001:db8::1]:5000: another port"},
		{"a wildcard's port", "https", "a.acme.test", "ph has *.acme.test:8443: another port"},
		{"Unicode and a port", "https", "bücher.example:5000", "pe has xn--bcher-kva.example: another port"},

		{"it matches", "https", "git.acme.dev", ""},
		{"it matches on http", "http", "localhost:8080", ""},
		{"a stranger", "https", "github.com", ""},
		{"a stranger on http", "http", "github.com", ""},
		{"a stranger on a profile's port", "https", "github.com:5000", ""},
		{"a suffix", "http", "evilgit.acme.dev", ""},
		{"a prefix", "http", "git.acme.dev.evil.com", ""},
		{"below a host", "https", "a.git.acme.dev:8443", ""},
		{"two labels under a wildcard", "https", "a.b.pkg.acme.dev:8443", ""},
		{"none under a wildcard", "http", "pkg.acme.dev", ""},
		{"the wildcard itself", "http", "*.pkg.acme.dev", ""},
		{"a port that is none", "https", "git.acme.dev:99999", ""},
		{"an empty port", "https", "git.acme.dev:", ""},
		{"a look-alike", "http", "git.\u0430cme.dev", ""},
		{"another spelling of Unicode", "http", "bu\u0308cher.example", ""},
		{"a user", "http", "ada@git.acme.dev", ""},
		{"a path", "http", "git.acme.dev/x", ""},
		{"a line break", "http", "git.acme.dev\n", ""},
		{"nothing", "", "", ""},
	} {
		near, ok := c.Near(tt.scheme, tt.host)
		got := ""
		if ok {
			got = near.String()
		}
		if got != tt.want {
			t.Errorf("%s: %s://%q: got %q; want %q", tt.why, tt.scheme, tt.host, got, tt.want)
		}
		if ok && c.Match(tt.scheme, tt.host) != nil {
			t.Errorf("%s: %s://%q also matches", tt.why, tt.scheme, tt.host)
		}
	}
}

func TestMatchOrder(t *testing.T) {
	c, err := Parse("c.toml", []byte(`
[profiles.wild]
issuer = "https://clerk.acme.dev"
client_id = "x"
hosts = ["*.acme.dev"]
[profiles.second]
issuer = "https://clerk.acme.dev"
client_id = "x"
hosts = ["git.acme.dev"]
username = "robot"
[profiles.first]
issuer = "https://clerk.acme.dev"
client_id = "x"
hosts = ["a.example", "git.acme.dev:443", "*.acme.dev:444"]
[profiles.both]
issuer = "https://clerk.acme.dev"
client_id = "x"
hosts = ["*.b.example", "x.b.example"]
[profiles.named]
issuer = "https://clerk.acme.dev"
client_id = "x"
hosts = ["x.b.example"]
username = "robot"
`))
	if err == nil {
		c, err = Merge(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]string{
		"git.acme.dev":     {"second", "first"},
		"www.acme.dev":     {"wild"},
		"www.acme.dev:444": {"first"},
		"git.acme.dev:444": {"first"},
		"a.example":        {"first"},
		"x.b.example":      {"both", "named"},
		"y.b.example":      {"both"},
	} {
		var got []string
		for _, p := range c.Match("https", host) {
			got = append(got, p.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q; want %q", host, got, want)
		}
	}
}

func TestParseHost(t *testing.T) {
	for _, tt := range []struct {
		pattern, want string
		exact         bool
	}{
		{"git.acme.dev", "git.acme.dev", true},
		{"GIT.Acme.dev.", "git.acme.dev", true},
		{"git.acme.dev:443", "git.acme.dev", true},
		{"git.acme.dev:80", "git.acme.dev:80", true},
		{"git.acme.dev.:8443", "git.acme.dev:8443", true},
		{"localhost", "localhost", true},
		{"localhost:443", "localhost:443", true},
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"[0:0::1]", "[::1]", true},
		{"[2001:DB8::1]:443", "[2001:db8::1]", true},
		{"*.acme.dev", "*.acme.dev", false},
		{"*.PKG.acme.dev:8443", "*.pkg.acme.dev:8443", false},
		{"Bücher.example:8443", "xn--bcher-kva.example:8443", true},
		{"*.bücher.example", "*.xn--bcher-kva.example", false},
		{"git．acme．dev", "git.acme.dev", true},
		{"\u212aelvin.example", "kelvin.example", true},
		{"1.acme.dev", "1.acme.dev", true},
		{"0x1.acme.dev", "0x1.acme.dev", true},
		{strings.Repeat("a.", 126) + "a.:65535", strings.Repeat("a.", 126) + "a:65535", true},
	} {
		h, err := parseHost(tt.pattern)
		if err != nil || h.String() != tt.want || h.Exact() != tt.exact {
			t.Errorf("%q: got %v, exact %t, %v; want %s, %t", tt.pattern, h, h.Exact(), err, tt.want, tt.exact)
		}
		if again, err := parseHost(h.String()); again != h || err != nil {
			t.Errorf("%q: %v is read as %v, %v", tt.pattern, h, again, err)
		}
	}
	for _, tt := range []struct{ pattern, want string }{
		{"", `the host is empty: write a name such as "git.acme.dev"`},
		{"https://git.acme.dev", `"https://git.acme.dev" is a URL: write only the host and, if it is not 443, the port`},
		{"git.acme.dev/x", `"git.acme.dev/x" has a path: tokens belong to whole hosts, write only the host`},
		{"clerk@git.acme.dev", `there is a user name before the host: write only the host`},
		{"https://clerk:hunter2@git.acme.dev", `there is a user name before the host: write only the host`},
		{"::1", `"::1": write an IPv6 address in brackets, such as "[::1]:5000"`},
		{"git.acme.dev:443:1", `"git.acme.dev:443:1": write an IPv6 address in brackets, such as "[::1]:5000"`},
		{"*", `"*": a wildcard stands only for the whole first label, such as "*.pkg.acme.dev"`},
		{"**.acme.dev", `"**.acme.dev": a wildcard stands only for the whole first label, such as "*.pkg.acme.dev"`},
		{"*.*.acme.dev", `"*.*.acme.dev": a wildcard stands only for the whole first label, such as "*.pkg.acme.dev"`},
		{"a.*.acme.dev", `"a.*.acme.dev": a wildcard stands only for the whole first label, such as "*.pkg.acme.dev"`},
		{"*a.acme.dev", `"*a.acme.dev": a wildcard stands only for the whole first label, such as "*.pkg.acme.dev"`},
		{"*.dev", `"*.dev" is too wide: a wildcard needs a name of two labels at least after it, such as "*.pkg.acme.dev"`},
		{"*.localhost", `"*.localhost" is too wide: a wildcard needs a name of two labels at least after it, such as "*.pkg.acme.dev"`},
		{"*.127.0.0.1", `"*.127.0.0.1" is too wide: a wildcard needs a name of two labels at least after it, such as "*.pkg.acme.dev"`},
		{"*.[::1]", `"*.[::1]": write an IPv6 address in brackets, such as "[::1]:5000"`},
		{"*.", `"*." is not a host: a label is empty or longer than 63 characters`},
		{".", `"." is not a host: a label is empty or longer than 63 characters`},
		{"git..dev", `"git..dev" is not a host: a label is empty or longer than 63 characters`},
		{strings.Repeat("a", 64) + ".dev", `"` + strings.Repeat("a", 64) + `.dev" is not a host: a label is empty or longer than 63 characters`},
		{strings.Repeat("a.", 126) + "aa", `"` + strings.Repeat("a.", 126) + `aa" is not a host: it is longer than 253 characters`},
		{strings.Repeat("a.", 150), `"` + strings.Repeat("a.", 150) + `" is not a host: it is too long`},
		{"-a.dev", `"-a.dev" is not a host: a label begins or ends with a hyphen`},
		{"a]b.dev", `"a]b.dev" is not a host: there is a bracket in the name`},
		{"git acme.dev", `"git acme.dev" is not a host: it holds a character that is not allowed in a host`},
		{"git.acme.dev\n", `"git.acme.dev\n" is not a host: it holds a character that is not allowed in a host`},
		{"git%2eacme.dev", `"git%2eacme.dev" is not a host: it holds a character that is not allowed in a host`},
		{"git.acme.dev:", `"git.acme.dev:" is not a host: the port is not a number from 1 to 65535`},
		{"git.acme.dev:0", `"git.acme.dev:0" is not a host: the port is not a number from 1 to 65535`},
		{"git.acme.dev:0443", `"git.acme.dev:0443" is not a host: the port is not a number from 1 to 65535`},
		{"git.acme.dev:65536", `"git.acme.dev:65536" is not a host: the port is not a number from 1 to 65535`},
		{"127.0.0.1.", `"127.0.0.1." is not a host: an address has no dot at its end`},
		{"127.0.0.1.:8080", `"127.0.0.1.:8080" is not a host: an address has no dot at its end`},
		{"127.1", `"127.1" is not a host: it is not an IPv4 address in its usual form, such as 127.0.0.1`},
		{"0x7f000001", `"0x7f000001" is not a host: it is not an IPv4 address in its usual form, such as 127.0.0.1`},
		{"2130706433", `"2130706433" is not a host: it is not an IPv4 address in its usual form, such as 127.0.0.1`},
		{"010.0.0.1", `"010.0.0.1" is not a host: it is not an IPv4 address in its usual form, such as 127.0.0.1`},
		{"[::1%lo]", `"[::1%lo]" is not a host: it holds a character that is not allowed in a host`},
		{"[127.0.0.1]", `"[127.0.0.1]" is not a host: it is not an IPv6 address in brackets`},
		{"[::1", `"[::1" is not a host: it is not an IPv6 address in brackets`},
		{"[::1]x", `"[::1]x" is not a host: there is something other than a port after the brackets`},
		{"℀.dev", `"℀.dev" is not a host name: `},
		{"a\u200d.dev", "\"a\\u200d.dev\" is not a host name: "},
	} {
		h, err := parseHost(tt.pattern)
		if err == nil || err.Error() != tt.want && !(strings.HasSuffix(tt.want, "name: ") && strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%q: got %v, error %v; want %s", tt.pattern, h, err, tt.want)
		}
	}
}

// oracle reports whether a pattern matches, by another method than the code's: it writes out every spelling of the request
// that the pattern allows.
func oracle(pattern Host, scheme, host string) bool {
	name, port := pattern.String(), ""
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "]") {
		name, port = name[:i], name[i+1:]
	}
	defaultPort := "443"
	switch strings.Map(lower, scheme) {
	case "https":
	case "http":
		defaultPort = "80"
		if strings.HasSuffix(host, ".") || strings.Contains(host, ".:") {
			return false
		}
		v4 := strings.HasPrefix(name, "127.") && strings.Trim(name, "0123456789.") == ""
		if name != "localhost" && name != "[::1]" && !v4 {
			return false
		}
	default:
		return false
	}
	host = strings.Map(lower, host)
	if port == "" || port == defaultPort {
		port = defaultPort
		if !strings.HasSuffix(host, ":"+port) || net.ParseIP(strings.Trim(host, "[]")) != nil {
			host += ":" + port
		}
	}
	host, ok := strings.CutSuffix(host, ":"+port)
	if !ok {
		return false
	}
	if strings.HasPrefix(name, "[") {
		literal, ok := strings.CutPrefix(host, "[")
		literal, ok2 := strings.CutSuffix(literal, "]")
		got := net.ParseIP(literal)
		return ok && ok2 && strings.Contains(literal, ":") && got != nil && got.Equal(net.ParseIP(strings.Trim(name, "[]")))
	}
	full := strings.HasSuffix(host, ".")
	host = strings.TrimSuffix(host, ".")
	if full && (defaultPort == "80" || net.ParseIP(host) != nil) {
		return false
	}
	suffix, wildcard := strings.CutPrefix(name, "*")
	if !wildcard {
		return host == name
	}
	label, ok := strings.CutSuffix(host, suffix)
	return ok && 1 <= len(label) && len(label) <= 63 && len(host) <= 253 && strings.Trim(label, "-") == label &&
		strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

func lower(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// FuzzMatch: a profile answers for a host exactly if an independent oracle says so.
func FuzzMatch(f *testing.F) {
	for _, pattern := range []string{"git.acme.dev", "*.pkg.acme.dev", "registry.acme.dev:5000", "localhost", "127.0.0.1:80", "bücher.example", "[::1]:5000"} {
		for _, host := range []string{"GIT.acme.dev.", "a.pkg.acme.dev:443", "git.acme.dev.evil.com", "registry.acme.dev:05000", "127.1:80", "localhost:80", "\u212a", "[0::1]:5000", "x@git.acme.dev", "bücher.example"} {
			f.Add(pattern, "https", host)
			f.Add(pattern, "http", host)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, scheme, host string) {
		h, err := parseHost(pattern)
		if err != nil {
			return
		}
		normal := h.String()
		if strings.ToLower(normal) != normal || strings.ContainsFunc(normal, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("%q has the normal form %q", pattern, normal)
		}
		if again, err := parseHost(normal); err != nil || again != h {
			t.Fatalf("%q: %q is read as %q, %v", pattern, h, again, err)
		}
		c := &Config{Profiles: []*Profile{{Name: "a", Hosts: []Host{h}}}}
		if !isASCII(host) {
			ascii, err := toASCII(host)
			if c.Match(scheme, host) != nil && (err != nil || !oracle(h, scheme, ascii)) {
				t.Fatalf("%q matches %q://%q", h, scheme, host)
			}
			return
		}
		if got, want := c.Match(scheme, host) != nil, oracle(h, scheme, host); got != want {
			t.Fatalf("%q matches %q://%q: %t; want %t", h, scheme, host, got, want)
		}
		if got := c.Match("https", normal) != nil; got != h.Exact() {
			t.Fatalf("%q matches itself: %t", h, got)
		}
	})
}
