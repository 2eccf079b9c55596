package broker_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform/platformtest"
	"clerk-credential-helper/protocol"

	"golang.org/x/net/idna"
)

// place is what a parser makes of an address: where a tool would go.
type place struct{ scheme, host, port string }

// names reports whether a pattern of the configuration is this place, in other words than config's.
func (p place) names(pattern string) bool {
	host, port := pattern, "443"
	if i := strings.LastIndex(pattern, ":"); i > strings.LastIndex(pattern, "]") {
		host, port = pattern[:i], pattern[i+1:]
	}
	loopback := host == "localhost" || host == "[::1]" || host == "127.0.0.1"
	if !strings.Contains(pattern, ":") && loopback && p.scheme == "http" {
		port = "80"
	}
	if p.port == "" {
		p.port = map[string]string{"https": "443", "http": "80"}[p.scheme]
	}
	if p.scheme != "https" && !(p.scheme == "http" && loopback) || p.port != port {
		return false
	}
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		label, of, ok := strings.Cut(strings.TrimSuffix(p.host, "."), ".")
		return ok && label != "" && of == rest
	}
	return strings.TrimSuffix(p.host, ".") == host
}

// hostile are the hosts of profiles that are made to be mixed up.
const hostile = `
[profiles.git]
issuer = "https://clerk.acme.dev"
client_id = "x"
hosts = ["git.acme.dev"]
[profiles.wild]
issuer = "https://clerk.acme.dev"
client_id = "x"
hosts = ["*.pkg.acme.dev"]
[profiles.loopback]
issuer = "https://clerk.acme.dev"
client_id = "x"
hosts = ["127.0.0.1:8080", "localhost:3000", "[::1]:5000"]
[profiles.names]
issuer = "https://clerk.acme.dev"
client_id = "x"
hosts = ["bücher.example", "kelvin.example", "registry:5000"]
`

// readers are how the wires read an address that a tool passes on. A tool whose names have no scheme goes to https.
var readers = map[string]func(address string) (protocol.Wire, protocol.Verb, string){
	"git": func(a string) (protocol.Wire, protocol.Verb, string) {
		return protocol.Git{}, protocol.Get, "url=" + a + "\n"
	},
	"docker": func(a string) (protocol.Wire, protocol.Verb, string) { return protocol.Docker{}, protocol.Get, a },
	"cargo": func(a string) (protocol.Wire, protocol.Verb, string) {
		return &protocol.Cargo{}, protocol.CargoPlugin, `{"v":1,"kind":"get","registry":{"index-url":` + asJSON("sparse+"+a) + "}}\n"
	},
	"terraform": func(a string) (protocol.Wire, protocol.Verb, string) {
		return protocol.Terraform{Host: a}, protocol.Get, ""
	},
	"bazel": func(a string) (protocol.Wire, protocol.Verb, string) {
		return protocol.Bazel{}, protocol.Get, `{"uri":` + asJSON(a) + "}"
	},
	"keyring": func(a string) (protocol.Wire, protocol.Verb, string) {
		return protocol.Keyring{Args: []string{"get", a, "clerk"}}, "", ""
	},
	"goauth": func(a string) (protocol.Wire, protocol.Verb, string) { return protocol.GOAUTH{URL: a}, "", "" },
	"kube": func(a string) (protocol.Wire, protocol.Verb, string) {
		return protocol.Kube{Info: `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"cluster":{"server":` + asJSON(a) + `}}}`}, "", ""
	},
	"headers": func(a string) (protocol.Wire, protocol.Verb, string) {
		return protocol.Headers{Target: protocol.Target(a)}, "", ""
	},
	"curl-config": func(a string) (protocol.Wire, protocol.Verb, string) {
		return protocol.CurlConfig{Target: protocol.Target(a)}, "", ""
	},
	"bearer": func(a string) (protocol.Wire, protocol.Verb, string) {
		return protocol.Bearer{Target: protocol.Target(a)}, "", ""
	},
	"netrc": func(a string) (protocol.Wire, protocol.Verb, string) {
		return protocol.Netrc{Target: protocol.Target(a)}, "", ""
	},
}

func asJSON(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestHosts holds our readers of addresses against what the WHATWG's parser has made of them (testdata/whatwg.js), and
// against net/url: where another parser sees another place, no wire has a token.
func TestHosts(t *testing.T) {
	h := newHosts(t)
	for i, address := range slices.Sorted(maps.Keys(h.recorded)) {
		if i%3 == 0 || !testing.Short() {
			h.hold(t, address, h.recorded[address], true)
		}
	}
	for wire := range readers {
		if h.answered[wire] == 0 {
			t.Errorf("%s never has a token, which proves nothing", wire)
		}
	}
}

// FuzzHosts does so for addresses that a fuzzer makes up, and asks the WHATWG's parser itself, where node runs.
func FuzzHosts(f *testing.F) {
	h := newHosts(f)
	for i, address := range slices.Sorted(maps.Keys(h.recorded)) {
		if i%25 == 0 { // each costs a fuzzer milliseconds before it begins
			f.Add(address)
		}
	}
	ask := liveParser(f)
	f.Fuzz(func(t *testing.T, address string) {
		saw, known := h.recorded[address]
		if ask != nil && utf8.ValidString(address) {
			saw, known = ask(t, address), true
		}
		h.hold(t, address, saw, known)
	})
}

// hosts is what TestHosts and FuzzHosts hold against each other.
type hosts struct {
	*broker.Broker
	recorded map[string]*place // nil for what is no URL
	answered map[string]int    // by wire
}

func newHosts(t testing.TB) *hosts {
	t.Helper()
	h := &hosts{recorded: map[string]*place{}, answered: map[string]int{}}
	h.Broker = &broker.Broker{Config: parseProfiles(t, hostile), Keychain: &platformtest.Memory{}}
	file, err := os.Open(filepath.Join("testdata", "whatwg.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		address, p := readRecord(t, lines.Bytes())
		h.recorded[address] = p
	}
	if len(h.recorded) < 3000 {
		t.Fatalf("only %d addresses are recorded", len(h.recorded))
	}
	return h
}

// hold has every wire read an address, and compares where a token would go with what net/url sees and, if it is known, the
// WHATWG.
func (h *hosts) hold(t *testing.T, address string, whatwg *place, known bool) {
	t.Helper()
	for wire, reader := range readers {
		w, verb, stdin := reader(address)
		req, err := w.ReadRequest(verb, strings.NewReader(stdin))
		if err != nil || req.Host == "" {
			continue
		}
		p := h.Choose(t.Context(), req.Scheme, req.Host, req.Username)
		if p == nil {
			continue
		}
		h.answered[wire]++
		whole := address
		if wire == "docker" { // it forgives the end of a line
			whole = strings.Trim(strings.TrimSuffix(strings.TrimSuffix(address, "\n"), "\r"), " ")
		}
		bare := !strings.Contains(whole, "://")
		if bare && wire != "docker" && wire != "terraform" {
			t.Fatalf("%s: %q has no scheme, and a token of %s", wire, address, p.Name)
		}
		if bare { // the tool adds it
			whole = "https://" + whole
		}
		whole = gRPC(wire, whole)
		if u, err := url.Parse(whole); err == nil {
			saw := place{strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()}
			if addr, err := netip.ParseAddr(saw.host); err == nil && addr.Is6() { // whose spelling it leaves
				saw.host = "[" + addr.String() + "]"
			} else if ascii, err := idna.Lookup.ToASCII(saw.host); err == nil { // as net/http does with it
				saw.host = ascii
			}
			check(t, wire, address, "net/url", saw, p)
		}
		if whole != address {
			whatwg, known = h.recorded[whole]
		}
		switch {
		case known && whatwg != nil:
			check(t, wire, address, "the WHATWG", *whatwg, p)
		case known && !strings.Contains(strings.ToLower(req.Host), "xn--"):
			// It decodes these, and refuses what stands for nothing; to all others they are letters.
			t.Fatalf("%s: %q is no URL for the WHATWG, and has a token of %s", wire, address, p.Name)
		}
	}
}

// gRPC's schemes are HTTP's to Bazel.
func gRPC(wire, address string) string {
	if wire != "bazel" {
		return address
	}
	if rest, ok := strings.CutPrefix(address, "grpcs://"); ok {
		return "https://" + rest
	}
	if rest, ok := strings.CutPrefix(address, "grpc://"); ok {
		return "http://" + rest
	}
	return address
}

func check(t *testing.T, wire, address, parser string, saw place, matched *config.Profile) {
	t.Helper()
	for _, h := range matched.Hosts {
		if saw.names(h.String()) {
			return
		}
	}
	t.Fatalf("%s: %q is %+v for %s, and has a token of %s", wire, address, saw, parser, matched.Name)
}

// readRecord reads a line that whatwg.js prints. What is no URL is nil.
func readRecord(t testing.TB, line []byte) (string, *place) {
	t.Helper()
	var words []string
	if err := json.Unmarshal(line, &words); err != nil || len(words) != 1 && len(words) != 4 {
		t.Fatalf("%q: %v", line, err)
	}
	if len(words) == 1 {
		return words[0], nil
	}
	return words[0], &place{strings.TrimSuffix(words[1], ":"), words[2], words[3]}
}

// liveParser asks the WHATWG's parser itself while a fuzzer makes up addresses, where node runs. Nil otherwise: a test run
// has what is recorded.
func liveParser(f *testing.F) func(*testing.T, string) *place {
	worker := flag.Lookup("test.fuzzworker")
	if worker == nil || worker.Value.String() != "true" {
		return nil
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil
	}
	cmd := exec.Command(node, filepath.Join("testdata", "whatwg.js"), "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		f.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { in.Close(); cmd.Wait() })
	lines := bufio.NewReader(out)
	return func(t *testing.T, address string) *place {
		if _, err := in.Write([]byte(asJSON(address) + "\n")); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		_, p := readRecord(t, line)
		return p
	}
}

func parseProfiles(t testing.TB, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("config.toml", []byte(text))
	if err == nil {
		cfg, err = config.Merge(cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}
