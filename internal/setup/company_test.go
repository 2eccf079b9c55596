package setup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
)

// newSetup returns a setup whose file is in a folder of its own, with that text; the file is missing if it is empty.
func newSetup(t *testing.T, text string) *Setup {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.toml")
	if text != "" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var words bytes.Buffer
	return &Setup{
		Console: &console.Console{In: strings.NewReader(""), Out: &words, Err: &words, Getenv: func(string) string { return "" }},
		File:    func() (string, error) { return file, nil },
		Config: func(read func(string, int64) ([]byte, error)) (*config.Config, error) {
			data, err := read(file, fileLimit)
			if errors.Is(err, fs.ErrNotExist) {
				return nil, config.ErrNone
			}
			if err != nil {
				return nil, err
			}
			c, err := config.Parse(file, data)
			if err != nil {
				return nil, err
			}
			if c, err = config.Merge(c); err == nil && len(c.Profiles) == 0 {
				err = config.ErrNone
			}
			return c, err
		},
		Probe: func(context.Context, *config.Profile) error { return errors.New("offline") },
	}
}

// written is the file's text with a change made.
func written(t *testing.T, s *Setup, d *Draft) string {
	t.Helper()
	before, err := os.ReadFile(d.Edit.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	after, err := d.Edit.Change(before)
	if err != nil {
		t.Fatal(err)
	}
	return string(after)
}

const acmeFile = `{"version":1,"name":"Acme","contact":"it@acme.dev","tools":["git"],
	"profiles":{"acme":{"issuer":"https://clerk.acme.dev","client_id":"id-1","hosts":["git.acme.dev","*.pkg.acme.dev"]}}}`

const acmeLines = `[profiles.acme]
issuer = "https://clerk.acme.dev"
client_id = "id-1"
hosts = ["git.acme.dev", "*.pkg.acme.dev"]
`

func TestTake(t *testing.T) {
	profile := func(members string) string { return `{"version":1,"profiles":{"acme":{` + members + `}}}` }
	for _, row := range []struct {
		reason  string
		origin  string
		own     string // the user's file
		file    string // the company's
		outside []string
		want    string // the user's file afterwards
		from    string // where the file came from, if elsewhere
	}{
		{"the first profile", "https://acme.dev", "", acmeFile, nil, acmeLines, ""},
		{"from a host below the domain", "https://git.acme.dev", "", acmeFile, nil, acmeLines, ""},
		{"after another profile", "https://acme.dev", "[profiles.x]\nissuer = \"https://x.dev\"\nclient_id = \"y\"\nhosts = [\"git.x.dev\"]\n", acmeFile, nil,
			"[profiles.x]\nissuer = \"https://x.dev\"\nclient_id = \"y\"\nhosts = [\"git.x.dev\"]\n\n" + acmeLines, ""},
		{"there already", "https://acme.dev", acmeLines, acmeFile, nil, acmeLines, ""},
		{"all keys", "https://acme.dev", "", profile(`"publishable_key":"pk_live_Y2xlcmsuYWNtZS5kZXYk","client_id":"x","hosts":["a.acme.dev"],"scopes":["openid"],
			"token":"id","username":"u","git_auth":"bearer","min_ttl":"10m","docker_identity_token":true`), nil,
			"[profiles.acme]\npublishable_key = \"pk_live_Y2xlcmsuYWNtZS5kZXYk\"\nclient_id = \"x\"\nhosts = [\"a.acme.dev\"]\nscopes = [\"openid\"]\n" +
				"token = \"id\"\nusername = \"u\"\ngit_auth = \"bearer\"\nmin_ttl = \"10m\"\ndocker_identity_token = true\n", ""},
		{"a page of the company", "https://app.acme.dev", "", profile(`"companion":"https://app.acme.dev","hosts":["api.acme.dev"]`), nil,
			"[profiles.acme]\ncompanion = \"https://app.acme.dev\"\nhosts = [\"api.acme.dev\"]\n", ""},

		// What is not the company's own is named.
		{"another company's host", "https://acme.dev", "", profile(`"issuer":"https://clerk.acme.dev","client_id":"x","hosts":["github.com","git.acme.dev"]`),
			[]string{"github.com"}, "[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\nhosts = [\"github.com\", \"git.acme.dev\"]\n", ""},
		{"another company's issuer", "https://acme.dev", "", profile(`"issuer":"https://clerk.evil.dev","client_id":"x","hosts":["git.acme.dev"]`),
			[]string{"https://clerk.evil.dev"}, "[profiles.acme]\nissuer = \"https://clerk.evil.dev\"\nclient_id = \"x\"\nhosts = [\"git.acme.dev\"]\n", ""},
		{"a neighbour below a public suffix", "https://acme.github.io", "", profile(`"issuer":"https://acme.github.io","client_id":"x","hosts":["evil.github.io"]`),
			[]string{"evil.github.io"}, "[profiles.acme]\nissuer = \"https://acme.github.io\"\nclient_id = \"x\"\nhosts = [\"evil.github.io\"]\n", ""},
		{"a name that only ends alike", "https://acme.dev", "", profile(`"issuer":"https://clerk.acme.dev","client_id":"x","hosts":["git.notacme.dev"]`),
			[]string{"git.notacme.dev"}, "[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\nhosts = [\"git.notacme.dev\"]\n", ""},
		{"this machine", "https://acme.dev", "", profile(`"issuer":"https://clerk.acme.dev","client_id":"x","hosts":["127.0.0.1:8080","localhost","[::1]:80"]`),
			[]string{"127.0.0.1:8080", "localhost", "[::1]:80"}, "", ""},
		{"an address from an address", "http://127.0.0.1:8080", "", profile(`"issuer":"http://127.0.0.1:8080","client_id":"x","hosts":["127.0.0.1:9090","10.0.0.1"]`),
			[]string{"10.0.0.1"}, "", ""},
		{"a public suffix as the address", "https://github.io", "", profile(`"issuer":"https://github.io","client_id":"x","hosts":["a.github.io"]`),
			[]string{"https://github.io", "https://github.io", "a.github.io"}, "", ""},
		{"an issuer whose path ends like the company", "https://acme.dev", "", profile(`"issuer":"https://evil.dev/x.acme.dev","client_id":"x","hosts":["git.acme.dev"]`),
			[]string{"https://evil.dev/x.acme.dev"}, "", ""},
		{"one on a port", "https://acme.dev", "", profile(`"issuer":"https://evil.dev:8443/.acme.dev","client_id":"x","hosts":["git.acme.dev"]`),
			[]string{"https://evil.dev:8443/.acme.dev"}, "", ""},
		{"its own issuer with a path", "https://acme.dev", "", profile(`"issuer":"https://clerk.acme.dev/tenant","client_id":"x","hosts":["git.acme.dev"]`), nil, "", ""},
		{"sessions of another company", "https://acme.dev", "", profile(`"companion":"https://app.acme.dev","issuer":"https://clerk.evil.dev","hosts":["api.acme.dev"]`),
			[]string{"https://clerk.evil.dev"}, "", ""},
		{"metadata of the company that names another's file", "https://git.acme.dev", "", profile(`"issuer":"https://evil.dev","client_id":"x","hosts":["git.evil.dev"]`),
			[]string{"https://evil.dev", "https://evil.dev", "git.evil.dev"}, "", "https://evil.dev"},
		{"a host below another profile's wildcard", "https://acme.dev", "[profiles.x]\nissuer = \"https://x.dev\"\nclient_id = \"y\"\nhosts = [\"*.acme.dev\"]\n",
			profile(`"issuer":"https://clerk.acme.dev","client_id":"x","hosts":["git.acme.dev"]`), []string{"git.acme.dev, which profile x has"}, "", ""},
	} {
		s := newSetup(t, row.own)
		offer, err := s.Take(t.Context(), row.origin, cmp.Or(row.from, row.origin), []byte(row.file), "", false)
		if err != nil {
			t.Errorf("%s: %v", row.reason, err)
			continue
		}
		if !slices.Equal(offer.Outside, row.outside) {
			t.Errorf("%s: outside %q, want %q", row.reason, offer.Outside, row.outside)
		}
		if got := written(t, s, offer.Draft); row.want != "" && got != row.want {
			t.Errorf("%s: it writes\n%s", row.reason, got)
		}
	}
}

// TestTakeNot: an attack with a company's file, and mistakes in one. Nothing of it is taken.
func TestTakeNot(t *testing.T) {
	hosts := func(hosts string) string {
		return `{"version":1,"profiles":{"acme":{"issuer":"https://clerk.acme.dev","client_id":"x","hosts":[` + hosts + `]}}}`
	}
	for _, row := range []struct{ reason, file, want string }{
		{"no JSON", `<html>`, "invalid character"},
		{"nothing", ``, "EOF"},
		{"text behind", acmeFile + `{}`, "text after the object"},
		{"no version", `{"profiles":{}}`, "version 0"},
		{"a later version", `{"version":2,"profiles":{},"new":1}`, "a newer release is needed"},
		{"a later version with the members of this one", `{"version":2,"profiles":{}}`, "version 2"},
		{"no profile", `{"version":1,"profiles":{}}`, "it has no profile"},
		{"too many profiles", manyProfiles(17), "16 are the limit"},
		{"a long name", `{"version":1,"name":"` + strings.Repeat("x", 201) + `","profiles":{"a":{"hosts":[]}}}`, "more than 200 bytes"},
		{"an unknown member", `{"version":1,"run":"rm","profiles":{}}`, `unknown field "run"`},
		{"roots of its own", hostsAnd(`"ca_file":"/tmp/ca"`), `unknown field "ca_file"`},
		{"a page that returns tokens in addresses", hostsAnd(`"legacy_page":"https://acme.dev/p"`), `unknown field "legacy_page"`},
		{"a machine's", hostsAnd(`"machine":true`), `unknown field "machine"`},
		{"how the person is asked", hostsAnd(`"interactive":"always"`), `unknown field "interactive"`},
		{"all domains of a country", hosts(`"*.co.uk"`), "all domains below a public suffix"},
		{"all pages of a host of pages", hosts(`"*.github.io"`), "all domains below a public suffix"},
		{"all hosts", hosts(`"*"`), "hosts"},
		{"all of a top-level domain", hosts(`"*.dev"`), "hosts"},
		{"plain http", `{"version":1,"profiles":{"acme":{"issuer":"http://clerk.acme.dev","client_id":"x","hosts":["git.acme.dev"]}}}`, "https"},
		{"a secret key", `{"version":1,"profiles":{"acme":{"publishable_key":"sk_live_x","client_id":"x","hosts":["git.acme.dev"]}}}`, "secret key"},
		{"too many hosts", hosts(manyHosts(65)), "64 are the limit"},
		{"a line end in a host", hosts(`"git.acme.dev\nissuer = \"x\""`), "hosts"},
		{"a quote in a client id", `{"version":1,"profiles":{"acme":{"issuer":"https://clerk.acme.dev","client_id":"x\"\nca_file=\"/x","hosts":["git.acme.dev"]}}}`, "client_id"},
		{"a name that is another table", `{"version":1,"profiles":{"acme]\n[docker":{"issuer":"https://clerk.acme.dev","client_id":"x","hosts":["git.acme.dev"]}}}`, "profile name"},
		{"no name", `{"version":1,"profiles":{"":{"issuer":"https://clerk.acme.dev","client_id":"x","hosts":["git.acme.dev"]}}}`, "profile name"},
		{"a host that another profile has", hosts(`"git.other.dev"`), "git.other.dev"},
		{"a host of its own twice", hosts(`"git.acme.dev","GIT.acme.dev"`), "git.acme.dev"},
		{"a profile that is there and says something else", strings.ReplaceAll(hosts(`"git.acme.dev"`), `"acme"`, `"other"`), "is there already, and says something else"},
	} {
		s := newSetup(t, "[profiles.other]\nissuer = \"https://clerk.other.dev\"\nclient_id = \"y\"\nhosts = [\"git.other.dev\"]\n")
		offer, err := s.Take(t.Context(), "https://acme.dev", "https://acme.dev", []byte(row.file), "", false)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q; %+v", row.reason, err, row.want, offer)
		}
	}
}

func hostsAnd(member string) string {
	return `{"version":1,"profiles":{"acme":{"issuer":"https://clerk.acme.dev","client_id":"x","hosts":["git.acme.dev"],` + member + `}}}`
}

func manyHosts(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"h%d.acme.dev"`, i))
	}
	return strings.Join(all, ",")
}

func manyProfiles(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"p%d":{"issuer":"https://clerk.acme.dev","client_id":"x","hosts":["h%d.acme.dev"]}`, i, i))
	}
	return `{"version":1,"profiles":{` + strings.Join(all, ",") + `}}`
}

func TestParseAddress(t *testing.T) {
	for _, row := range []struct{ reason, address, want string }{
		{"a domain", "acme.dev", "https://acme.dev"},
		{"upper case", "ACME.dev", "https://acme.dev"},
		{"a port", "acme.dev:8443", "https://acme.dev:8443"},
		{"an address", "https://acme.dev/", "https://acme.dev"},
		{"this machine", "127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"this machine by TLS", "https://127.0.0.1:8443", "https://127.0.0.1:8443"},
		{"plain http", "http://acme.dev", ""},
		{"another scheme", "file:///etc/passwd", ""},
		{"a path", "acme.dev/x", ""},
		{"a user", "ada@acme.dev", ""},
		{"a query", "acme.dev?x", ""},
		{"nothing", "", ""},
	} {
		got, err := ParseAddress(row.address)
		if got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%s: %q, %v; want %q", row.reason, got, err, row.want)
		}
	}
}

// TestCompanyFile: what is printed is taken as the profile that it was made of.
func TestCompanyFile(t *testing.T) {
	for _, own := range []string{
		acmeLines,
		"[profiles.acme]\ncompanion = \"https://app.acme.dev\"\nissuer = \"https://clerk.acme.dev\"\nhosts = [\"api.acme.dev\"]\n",
		"[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\nhosts = [\"a.acme.dev\"]\nscopes = [\"openid\"]\ntoken = \"id\"\nusername = \"u\"\n" +
			"git_auth = \"basic\"\nmin_ttl = \"1m0s\"\ndocker_identity_token = true\n",
	} {
		s := newSetup(t, own)
		cfg, err := s.Config(func(file string, _ int64) ([]byte, error) { return os.ReadFile(file) })
		if err != nil {
			t.Fatal(err)
		}
		text, err := CompanyFile(cfg.Profiles, []string{"git"})
		if err != nil {
			t.Fatal(err)
		}
		offer, err := s.Take(t.Context(), "https://acme.dev", "https://acme.dev", text, "", false)
		if err != nil || offer.Names != nil {
			t.Errorf("%s: %v, %+v\n%s", own, err, offer, text)
		}
	}
	for _, own := range []string{
		"[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nmachine = true\nhosts = [\"a.acme.dev\"]\n",
		"[profiles.acme]\nlegacy_page = \"https://acme.dev/cli-auth\"\nissuer = \"https://clerk.acme.dev\"\nhosts = [\"a.acme.dev\"]\n",
	} {
		cfg, err := config.Parse("x", []byte(own))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := CompanyFile(cfg.Profiles, nil); err == nil {
			t.Errorf("%s: %s", own, text)
		}
	}
}

// TestDocument: the schema has the members that are read, and the example of the text is one that is taken.
func TestDocument(t *testing.T) {
	type schema struct {
		Properties map[string]json.RawMessage
	}
	members := func(v any) (names []string) {
		for f := range reflect.TypeOf(v).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "company-file.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var top schema
	var profiles struct{ AdditionalProperties schema }
	if err := errors.Join(json.Unmarshal(text, &top), json.Unmarshal(top.Properties["profiles"], &profiles)); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(top.Properties)); !slices.Equal(got, members(Company{})) {
		t.Errorf("the schema has %q", got)
	}
	if got := slices.Sorted(maps.Keys(profiles.AdditionalProperties.Properties)); !slices.Equal(got, members(CompanyProfile{})) {
		t.Errorf("the schema's profile has %q", got)
	}
	text, err = os.ReadFile(filepath.Join("..", "..", "docs", "company-file.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	offer, err := newSetup(t, "").Take(t.Context(), "https://acme.dev", "https://acme.dev", []byte(example), "", false)
	if err != nil || offer.Outside != nil || len(offer.Names) != 1 {
		t.Errorf("the example: %+v, %v", offer, err)
	}
}

// FuzzTake: whatever a file says, what would be written is profiles of the names that are shown, each to an issuer by https
// or on loopback, and what is not below the company's domain is named.
func FuzzTake(f *testing.F) {
	f.Add(acmeFile)
	f.Add(hostsAnd(`"scopes":["openid"]`))
	f.Add(`{"version":1,"profiles":{"a":{"companion":"https://app.evil.dev","hosts":["git.acme.dev"]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		s := newSetup(t, "")
		offer, err := s.Take(t.Context(), "https://acme.dev", "https://acme.dev", []byte(text), "", false)
		if err != nil {
			return
		}
		cfg, err := config.Parse("written", []byte(written(t, s, offer.Draft)))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range cfg.Profiles {
			names = append(names, p.Name)
			if p.CAFile != "" || p.LegacyPage != "" || p.IsMachine || p.Interactive != "auto" {
				t.Errorf("%+v", p)
			}
			for _, h := range p.Hosts {
				if !strings.HasSuffix("."+strings.SplitN(h.String(), ":", 2)[0], ".acme.dev") && !slices.Contains(offer.Outside, h.String()) {
					t.Errorf("%s is not named: %q", h, offer.Outside)
				}
			}
			if u, err := url.Parse(p.Issuer); (err != nil || u.Scheme != "https" || !strings.HasSuffix("."+u.Hostname(), ".acme.dev")) && !slices.Contains(offer.Outside, p.Issuer) {
				t.Errorf("%s is not named: %q", p.Issuer, offer.Outside)
			}
		}
		if slices.Sort(names); !slices.Equal(names, slices.Sorted(slices.Values(offer.Names))) {
			t.Errorf("%q, not %q", names, offer.Names)
		}
	})
}
