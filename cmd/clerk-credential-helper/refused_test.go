package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"
)

// refusedStates are the columns of the table "refused" of docs/reliability.md.
var refusedStates = []string{"fresh", "old", "revoked", "Bearer only", "no challenge"}

// refusedWords are the lines that a user may hear of us, each under the letter that stands for it in the table.
var refusedWords = []struct{ letter, line string }{
	{"a", "hint: HOST refused the token of ada@acme.dev; the next try gets a new one"},
	{"b", "clerk-credential-helper: HOST refused the token of ada@acme.dev, which is fresh"},
	{"c", "clerk-credential-helper: HOST has refused the token of ada@acme.dev more than once, and git gets no token for it before TIME"},
	{"d", "hint: ask the server's administrator whether this account may use it; if it accepts Bearer only, that takes git 2.46"},
	{"e", "hint: ask the server's administrator whether this account may use it; where it redirects, the other server may have refused"},
}

// refusedClient is a client, and how it is set up and run, by bash in a folder of its own. Of its rows the first one is
// measured whose programs, in these versions, are here. HOST is the server, SELF this program, ROOTS the file with the
// server's certificate, DIR a folder that is removed.
type refusedClient struct {
	name       string
	rows       []refusedRow
	challenge  string // as this kind of server names it
	registry   bool   // with a token service, if it names Bearer
	files      map[string]string
	setUp, run string
	env        map[string]string
}

var refusedClients = []refusedClient{
	{
		name: "git", challenge: basicChallenge, run: "git ls-remote https://HOST/hello.git",
		rows: []refusedRow{
			{"git 2.46 and later", "git@2.46"}, {"", "git@2.41"}, {"git before 2.41", "git"},
		},
	},
	{
		name: "git-lfs", challenge: basicChallenge, run: "rm -rf .git/lfs/objects; git lfs fetch && test -d .git/lfs/objects",
		rows: []refusedRow{
			{"git-lfs 3.8 and later, with git 2.46", "git-lfs@3.8 git@2.46"}, {"git-lfs 3.6 and 3.7, with git 2.46", "git-lfs@3.6 git@2.46"},
			{"", "git-lfs@3.6"}, {"", "git-lfs git@2.41"}, {"git-lfs before 3.6, with git before 2.41", "git-lfs"},
		},
		files: map[string]string{
			".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
			"large.bin":      "version https://git-lfs.github.com/spec/v1\noid sha256:9bfce334a37bd1bc1d36b0370195b31fe9a9389dd43d0873891a3544ef1140a1\nsize 6\n",
		},
		setUp: "git init -q; git remote add origin https://HOST/hello.git; git config lfs.url https://HOST/lfs; git add .; git -c user.name=a -c user.email=a@b.c commit -qm one; git lfs install --local",
	},
	{
		name: "go", challenge: bearerChallenge, run: "go list -m -versions acme.dev/hello",
		rows: []refusedRow{{"go", "go"}},
		env: map[string]string{"GOENV": "off", "GOPROXY": "https://HOST/go", "GOSUMDB": "off", "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local",
			"GOMODCACHE": "DIR/mod", "GOCACHE": "DIR/cache", "GOAUTH": "SELF goauth"},
	},
	{
		name: "cargo", challenge: `Cargo login_url="https://acme.dev/me"`, run: "cargo fetch",
		rows: []refusedRow{{"cargo", "cargo"}},
		env:  map[string]string{"CARGO_HOME": "DIR/cargo", "CARGO_HTTP_CAINFO": "ROOTS"},
		files: map[string]string{
			"../cargo/config.toml": "[registries.corp]\nindex = \"sparse+https://HOST/cargo/\"\ncredential-provider = [\"cargo-credential-clerk\"]\n",
			"Cargo.toml":           "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nhello = { version = \"1\", registry = \"corp\" }\n",
			"src/main.rs":          "fn main() {}\n",
		},
	},
	{
		name: "docker", challenge: basicChallenge, run: "docker manifest inspect HOST/demo/hello",
		rows:     []refusedRow{{"docker", "docker"}},
		registry: true,
	},
	{
		name: "skopeo", challenge: basicChallenge, run: "skopeo inspect --raw docker://HOST/demo/hello",
		rows:     []refusedRow{{"skopeo", "skopeo"}},
		registry: true,
		env:      map[string]string{"REGISTRY_AUTH_FILE": "DIR/home/.docker/config.json"},
	},
	{
		name: "kubectl", challenge: bearerChallenge, run: "kubectl get --raw /api/v1/namespaces",
		rows:  []refusedRow{{"kubectl", "kubectl"}},
		files: map[string]string{"kubeconfig": kubeconfig("https://HOST", "")},
		env:   map[string]string{"KUBECONFIG": "DIR/work/kubeconfig"},
		setUp: "kubectl get --raw /api/v1/namespaces >/dev/null", // some distributors' kubectl asks for the server's version first, once
	},
	{
		name: "rclone", challenge: bearerChallenge, run: "rclone --config rclone.conf lsf acme:",
		rows:  []refusedRow{{"rclone", "rclone"}},
		files: map[string]string{"rclone.conf": "[acme]\ntype = webdav\nurl = https://HOST/dav/\nvendor = other\nbearer_token_command = SELF bearer https://HOST\n"},
	},
	{
		name: "npm", challenge: bearerChallenge, run: "clerk-credential-helper exec -- npm view hello version",
		rows:  []refusedRow{{"npm, by exec", "npm"}},
		files: map[string]string{"../home/.npmrc": "registry=https://HOST/npm/\ncafile=ROOTS\nfetch-retries=0\n"},
		env:   map[string]string{"NODE_EXTRA_CA_CERTS": "ROOTS", "npm_config_update_notifier": "false", "npm_config_cache": "DIR/npm"},
	},
	{
		name: "pip", challenge: basicChallenge, run: "python3 -m pip download -q --no-deps -d d hello",
		rows: []refusedRow{{"pip, by keyring", "pip3 python3"}},
		env: map[string]string{"PIP_CERT": "ROOTS", "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_KEYRING_PROVIDER": "subprocess",
			"PIP_NO_INPUT": "1", "PIP_INDEX_URL": "https://clerk@HOST/pypi/simple/"},
	},
	{
		name: "curl", challenge: bearerChallenge, run: "curl -sSf -K <(clerk-credential-helper curl-config https://HOST) https://HOST/api/me",
		rows: []refusedRow{{"curl, by curl-config", "curl"}},
		env:  map[string]string{"CURL_CA_BUNDLE": "ROOTS"},
	},
	{
		name: "bazel", challenge: bearerChallenge,
		run:  `curl -sSf -H "$(echo '{"uri":"https://HOST/api/me"}' | bazel-credential-clerk get | sed 's/.*\["\(.*\)"\].*/Authorization: \1/')" https://HOST/api/me`,
		rows: []refusedRow{{"bazel, not installed: its exchange, by curl", "curl"}},
		env:  map[string]string{"CURL_CA_BUNDLE": "ROOTS"},
	},
}

const (
	basicChallenge  = `Basic realm="acme"`
	bearerChallenge = `Bearer realm="acme"`
)

// refusedRow is a row of the table, and the programs that it is about. Versions that are not
// measured have no name.
type refusedRow struct{ name, programs string }

// refusedRequests bounds the requests of one run: a client that makes more does not end.
const refusedRequests = 60

// refusing is a server that refuses tokens as its state says, before the servers of a world.
type refusing struct {
	state, challenge string
	clerk            *sandbox.Server
	next             http.Handler

	mu       sync.Mutex
	revoked  string // the token that was handed out first; while it is empty every good token is accepted
	requests int
}

func (s *refusing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme, token := credentialOf(r)
	_, err := s.clerk.Verify(token)
	s.mu.Lock()
	s.requests++
	n, revoked := s.requests, s.revoked
	s.mu.Unlock()
	accepts := map[string]bool{"revoked": token != revoked, "Bearer only": scheme == "Bearer", "no challenge": true}
	switch {
	case n > refusedRequests:
		http.Error(w, "it does not end", http.StatusForbidden)
	case err == nil && r.URL.Path == "/token": // as a registry's token service
		fmt.Fprintf(w, `{"token":%q}`, token)
	case err == nil && (revoked == "" || accepts[s.state]):
		s.next.ServeHTTP(w, r)
	default:
		if s.challenge != "" {
			w.Header().Set("WWW-Authenticate", s.challenge)
		}
		http.Error(w, "a token is needed", http.StatusUnauthorized)
	}
}

// credentialOf returns the scheme and the token of a request.
func credentialOf(r *http.Request) (scheme, token string) {
	scheme, token, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	if _, password, ok := r.BasicAuth(); ok {
		token = password
	}
	return scheme, token
}

// accepting passes requests on to the servers of a world, with their token in the scheme that the server accepts.
func accepting(tools, git, registry string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			place, basic := tools, false
			for prefix, other := range map[string]string{"/hello.git/": git, "/v2/": registry, "/pypi/": tools, "/lfs/": tools} {
				if strings.HasPrefix(r.In.URL.Path, prefix) {
					place, basic = other, true
				}
			}
			r.SetURL(&url.URL{Scheme: "https", Host: place})
			r.Out.Host = r.In.Host // of which answers make addresses
			_, token := credentialOf(r.In)
			if r.Out.Header.Set("Authorization", "Bearer "+token); basic {
				r.Out.SetBasicAuth("clerk", token)
			}
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, // they are ours
		ErrorLog:  log.New(io.Discard, "", 0),
	}
}

// since takes the number of requests.
func (s *refusing) since() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.requests
	s.requests = 0
	return n
}

// arm begins to refuse.
func (s *refusing) arm(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked, s.requests = token, 0
}

// measure runs a client, signed in, at a server in this state, and returns the cell of the table.
func (c refusedClient) measure(t *testing.T, state string) string {
	dir := t.TempDir()
	w, vars, err := newWorld(dir, t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	self, err := exec.LookPath("clerk-credential-helper")
	if err != nil {
		t.Fatal(err)
	}
	server := &refusing{state: state, challenge: c.challenge, clerk: w.Clerk, next: accepting(vars["TOOLS"], vars["GIT"], vars["BASIC"])}
	host, home, work := w.Serve(server, t.Cleanup), vars["HOME"], filepath.Join(dir, "work")
	fill := strings.NewReplacer("HOST", host, "DIR", dir, "SELF", self, "ROOTS", vars["SSL_CERT_FILE"])
	switch state {
	case "Bearer only":
		if server.challenge = bearerChallenge; c.registry {
			server.challenge = `Bearer realm="https://` + host + `/token",service="acme"`
		}
	case "no challenge":
		server.challenge = ""
	}
	write(t, filepath.Join(home, ".config/clerk-credential-helper/config.toml"),
		fmt.Sprintf("[profiles.acme]\nissuer = %q\nclient_id = \"sandbox-client\"\nhosts = [%q]\n", vars["ISSUER"], host))
	write(t, filepath.Join(home, ".docker/config.json"), fmt.Sprintf(`{"credHelpers":{%q:"clerk"}}`, host))
	write(t, filepath.Join(work, "README"), "")
	for name, text := range c.files {
		write(t, filepath.Join(work, name), fill.Replace(text))
	}
	maps.Copy(vars, testworld.Toolchains())
	maps.Copy(vars, c.env)
	env := []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir}
	for name, value := range vars {
		env = append(env, name+"="+fill.Replace(value))
	}
	call := func(script string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-c", fill.Replace(script))
		cmd.Dir, cmd.Env, cmd.WaitDelay = work, env, time.Second
		out, err := cmd.CombinedOutput()
		if ctx.Err() != nil {
			t.Errorf("%s: it did not end:\n%s", script, out)
		}
		return string(out), err
	}
	must := func(script string) string {
		t.Helper()
		out, err := call("set -e; " + script)
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return out
	}

	must("clerk-credential-helper login acme; " + c.setUp)
	if state != "fresh" {
		if err := testworld.Age(home, 2*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	server.arm(strings.TrimSpace(must("clerk-credential-helper token acme")))
	before := w.Clerk.Count("token:refresh_token")
	pages := w.Clerk.Count("authorize")
	var requests, heard []string
	ended, runs := "", 2
	if strings.HasPrefix(c.name, "git") {
		runs = 3 // after two refusals git gets nothing
	}
	for run := 1; run <= runs && ended == ""; run++ {
		out, err := call(c.run)
		if err := testworld.Settle(t.Context(), home, lockIn); err != nil {
			t.Error(err)
		}
		n := server.since()
		t.Logf("run %d: %v, %d requests:\n%s", run, err, n, out)
		if n > refusedRequests {
			t.Errorf("run %d does not end by itself", run)
		}
		said := wordsIn(t, out, host)
		if said != "" || err != nil {
			heard = append(heard, cmp.Or(said, "-"))
		}
		if err != nil {
			requests = append(requests, fmt.Sprint(n))
			continue
		}
		if ended = "ok"; run > 1 {
			ended = fmt.Sprintf("ok in run %d", run)
		}
	}
	if n := w.Clerk.Count("authorize") - pages; n != 0 {
		t.Errorf("%d pages were opened", n)
	}
	cell := cmp.Or(ended, strings.Join(requests, " + ")+" requests, refused")
	switch n := w.Clerk.Count("token:refresh_token") - before; {
	case n == 1:
		cell += ", 1 refresh"
	case n > 1:
		cell += fmt.Sprintf(", %d refreshes", n)
	}
	if words := strings.Join(heard, " + "); strings.Trim(words, " +-") != "" {
		cell += ": " + words
	}
	if ended == "" && state == "revoked" {
		must("clerk-credential-helper token --fresh acme; " + c.run)
		cell += "; after token --fresh ok"
	}
	return cell
}

// wordsIn returns the letters of our lines in the output of a client, in the order of refusedWords.
func wordsIn(t *testing.T, out, host string) string {
	t.Helper()
	out = regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`).ReplaceAllString(strings.ReplaceAll(out, host, "HOST"), "TIME")
	said := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		i := slices.IndexFunc(refusedWords, func(w struct{ letter, line string }) bool { return w.line == line })
		switch {
		case i >= 0 && !strings.Contains(said, refusedWords[i].letter):
			said += refusedWords[i].letter
		case i < 0 && (strings.Contains(line, "clerk-credential-helper:") || strings.Contains(line, "hint:")):
			t.Errorf("the table has no letter for: %s", line)
		}
	}
	letters := strings.Split(said, "")
	slices.Sort(letters)
	return strings.Join(letters, "")
}

const (
	reliability = "../../docs/reliability.md"
	refusedHead = "| client | fresh | old | revoked | Bearer only | no challenge |\n|---|---|---|---|---|---|\n"
)

// refusedTable returns docs/reliability.md, cut around the rows of the table.
func refusedTable(t *testing.T) (before, rows, after string) {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(reliability))
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), refusedHead)
	rows, after, _ = strings.Cut(rest, "\n\n")
	if !ok {
		t.Fatalf("%s has no table %s", reliability, refusedHead)
	}
	return before + refusedHead, rows + "\n", "\n" + after
}

// TestRefused measures the rows of the table "refused" of docs/reliability.md whose clients run here, and compares
// them. With -update it writes them. Where a client is not there, its row stays.
func TestRefused(t *testing.T) {
	testworld.Long(t, "it runs many clients")
	if runtime.GOOS == "windows" {
		t.Skip("the clients are run by bash")
	}
	before, rows, after := refusedTable(t)
	var mu sync.Mutex
	measured := map[string][]string{}
	for _, c := range refusedClients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			last := c.rows[len(c.rows)-1].programs
			testworld.Need(t, strings.Fields(last)...)
			row := c.here(t.Context())
			if row == "" {
				t.Skip("the table has no row for the versions of " + last + " here")
			}
			cells := make([]string, len(refusedStates))
			mu.Lock()
			measured[row] = cells
			mu.Unlock()
			for i, state := range refusedStates {
				t.Run(state, func(t *testing.T) {
					t.Parallel()
					cells[i] = c.measure(t, state)
				})
			}
		})
	}
	t.Cleanup(func() { // when all have ended
		text := before
		for line := range strings.Lines(rows) {
			was := strings.Split(strings.Trim(line, "| \n"), " | ")
			now := slices.Clone(was)
			for i, cell := range measured[was[0]] {
				if cell != "" {
					now[1+i] = cell
				}
			}
			if !slices.Equal(now, was) && !testworld.Updating() {
				t.Errorf("%s has %q, not %q; -update accepts it", reliability, was, now)
			}
			text += "| " + strings.Join(now, " | ") + " |\n"
		}
		if !t.Failed() {
			testworld.Golden(t, filepath.FromSlash(reliability), text+after)
		}
	})
}

// here returns the name of the first row of the client whose programs are here.
func (c refusedClient) here(ctx context.Context) string {
	for _, r := range c.rows {
		missing := func(program string) bool { return testworld.Runs(ctx, nil, program) != nil }
		if !slices.ContainsFunc(strings.Fields(r.programs), missing) {
			return r.name
		}
	}
	return ""
}

// TestRefusedIsDocumented: the table has the rows of all clients, a line for each letter, and no others.
func TestRefusedIsDocumented(t *testing.T) {
	_, rows, after := refusedTable(t)
	var got, want []string
	for line := range strings.Lines(rows) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if got = append(got, strings.TrimSpace(cells[0])); len(cells) != 1+len(refusedStates) {
			t.Errorf("%d cells in %s", len(cells), line)
		}
	}
	for _, c := range refusedClients {
		for _, r := range c.rows {
			if r.name != "" {
				want = append(want, r.name)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the rows are %q, not %q", got, want)
	}
	var legend strings.Builder
	for _, w := range refusedWords {
		fmt.Fprintf(&legend, "- %s: `%s`\n", w.letter, w.line)
		if !regexp.MustCompile(`re(fresh|fused): [a-z+ -]*` + w.letter).MatchString(rows) {
			t.Errorf("no row has the letter %s", w.letter)
		}
	}
	if !strings.Contains(after, "\n"+legend.String()+"\n") {
		t.Errorf("%s does not have these lines:\n%s", reliability, &legend)
	}
}
