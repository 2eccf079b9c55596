package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// program looks for one that a test cannot do without.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// journal is a server that notes what its clients send: method, path, and the scheme of Authorization ("-" for none).
type journal struct {
	*httptest.Server
	mu     sync.Mutex
	served http.Handler
	lines  []string
}

func newJournal(t *testing.T) *journal {
	j := &journal{}
	j.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if scheme == "" {
			scheme = "-"
		}
		j.mu.Lock()
		j.lines = append(j.lines, r.Method+" "+r.URL.Path+" "+scheme)
		served := j.served
		j.mu.Unlock()
		served.ServeHTTP(w, r)
	}))
	t.Cleanup(j.Close)
	return j
}

// serve sets what answers from now on, and takes the notes so far away.
func (j *journal) serve(h http.Handler) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.served, j.lines = h, nil
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

func (j *journal) has(line string) bool { return slices.Contains(j.all(), line) }

// script writes a program of the shell.
func script(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// TestGitClient has a git without a token of its own ask a credential helper: what it sends depends on WWW-Authenticate.
func TestGitClient(t *testing.T) {
	git, curl := program(t, "git"), program(t, "curl")
	folder := t.TempDir()
	c := newClerk(t)
	h, _ := c.handler(t, nil)
	good, bad := c.access(nil, nil), c.access(nil, object{"client_id": "other"})
	script(t, folder, "helper", `echo "$1" >> "$LOG"; [ "$1" != get ] || printf 'username=clerk\npassword=%s\n' "$TOKEN"`)
	asked := filepath.Join(folder, "asked")
	run := func(token string, args ...string) (string, error) {
		os.Remove(asked)
		cmd := exec.Command(git, append([]string{"-c", "credential.helper=" + filepath.Join(folder, "helper")}, args...)...)
		cmd.Dir = folder
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "TOKEN=" + token, "LOG=" + asked,
			"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@acme.dev", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@acme.dev"}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	verbs := func() string {
		text, _ := os.ReadFile(asked)
		return strings.Join(strings.Fields(string(text)), " ")
	}
	must := func(token string, args ...string) {
		t.Helper()
		if out, err := run(token, args...); err != nil {
			t.Fatalf("git %.40q: %v %s", args, err, out)
		}
	}
	must("", "init", "-q", "-b", "main", "work")
	must("", "-C", "work", "commit", "-q", "--allow-empty", "-m", "hello")
	must("", "clone", "-q", "--bare", "work", "served/hello.git")

	v := &Verifier{Issuer: c.server.URL, Clients: []string{"cli"}, API: c.server.URL, HTTP: http.DefaultClient}
	repositories, err := newHandler(v, served{git: filepath.Join(folder, "served"), push: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	j := newJournal(t)
	address := j.URL + "/hello.git"
	const refs, receive = "GET /hello.git/info/refs ", "POST /hello.git/git-receive-pack "

	// As a password.
	j.serve(repositories)
	must(good, "clone", "-q", address, "clone")
	if !j.has(refs+"-") || !j.has(refs+"Basic") || verbs() != "get store" {
		t.Errorf("a clone, helper asked %q: %q", verbs(), j.all())
	}
	must("", "-C", "clone", "commit", "-q", "--allow-empty", "-m", "more")
	must(good, "-C", "clone", "push", "-q", "origin", "main")
	if !j.has(receive+"Basic") || verbs() != "get store" {
		t.Errorf("a push, helper asked %q: %q", verbs(), j.all())
	}
	// A push that git sends in chunks: it holds back 1 MB to know the length.
	if err := os.WriteFile(filepath.Join(folder, "clone", "noise"), noise(3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	must("", "-C", "clone", "add", "noise")
	must("", "-C", "clone", "commit", "-q", "-m", "noise")
	must(good, "-C", "clone", "push", "-q", "origin", "main")

	// As Bearer, which a git before 2.46 sends in this way only.
	j.serve(repositories)
	bearer := "http.extraHeader=Authorization: Bearer " + good
	must("", "-c", bearer, "clone", "-q", address, "clone2")
	must("", "-C", "clone2", "commit", "-q", "--allow-empty", "-m", "last")
	must("", "-c", bearer, "-C", "clone2", "push", "-q", "origin", "main")
	if !j.has(refs+"Bearer") || !j.has(receive+"Bearer") || j.has(refs+"-") || j.has(refs+"Basic") {
		t.Errorf("Bearer: %q", j.all())
	}
	if out, err := run("", "-C", filepath.Join("served", "hello.git"), "log", "--format=%s", "main"); err != nil || strings.Join(strings.Fields(out), " ") != "last noise more hello" {
		t.Errorf("what was pushed: %v %q", err, out)
	}

	// Refused: git tells its helper, and that the token is meant.
	j.serve(repositories)
	if out, err := run(bad, "ls-remote", address); err == nil || verbs() != "get erase" {
		t.Errorf("a bad token, helper asked %q: %v %s", verbs(), err, out)
	}
	// The issuer is down: the token is kept.
	c.broken.Store(true)
	h503, err := newHandler(&Verifier{Issuer: c.server.URL, HTTP: http.DefaultClient}, served{git: filepath.Join(folder, "served")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	j.serve(h503)
	if out, err := run(good, "ls-remote", address); err == nil || strings.Contains(verbs(), "erase") || !strings.Contains(out, "503") {
		t.Errorf("the issuer is down, helper asked %q: %v %s", verbs(), err, out)
	}
	c.broken.Store(false)

	// What docs/backends.md says of WWW-Authenticate.
	features, err := exec.Command(curl, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		challenges []string
		git, curl  bool // which of them sends the password
	}{
		{"both", []string{`Basic realm="x"`, `Bearer realm="x"`}, true, true},
		{"both in one field", []string{`Basic realm="x", Bearer realm="x", error="invalid_token"`}, true, true},
		{"Bearer first", []string{`Bearer realm="x"`, `Basic realm="x"`}, true, true},
		{"no challenge", nil, false, false},
		{"Digest as well", []string{`Basic realm="x"`, `Digest realm="x", nonce="y"`}, false, false},
		{"NTLM as well", []string{`Basic realm="x"`, `NTLM`}, false, false},
		{"Negotiate as well", []string{`Basic realm="x"`, `Negotiate`}, true, false},
	} {
		if feature := map[string]string{"NTLM as well": "NTLM", "Negotiate as well": "SPNEGO"}[tt.name]; !bytes.Contains(features, []byte(feature)) {
			t.Logf("%s: this curl has no %s", tt.name, feature)
			continue
		}
		j.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Www-Authenticate"] = tt.challenges
			w.WriteHeader(http.StatusUnauthorized)
		}))
		run(good, "ls-remote", address)
		if j.has(refs+"Basic") != tt.git {
			t.Errorf("git, %s: %q", tt.name, j.all())
		}
		j.serve(j.served)
		exec.Command(curl, "-sS", "--anyauth", "-u", "clerk:"+good, "-o", os.DevNull, address).Run()
		if j.has("GET /hello.git Basic") != tt.curl {
			t.Errorf("curl, %s: %q", tt.name, j.all())
		}
	}

	// And the handler's own 401s.
	for _, tt := range []struct {
		name, authorization, bearer string
	}{
		{"no token", "", `Bearer realm="Clerk"`},
		{"an empty password", basic(""), `Bearer realm="Clerk"`},
		{"a bad token", "Bearer x", `Bearer realm="Clerk", error="invalid_token"`},
		{"a bad password", basic(bad), `Bearer realm="Clerk", error="invalid_token"`},
	} {
		var values []string
		if tt.authorization != "" {
			values = []string{tt.authorization}
		}
		status, _, header := whoamiWith(h, values...)
		want := []string{`Basic realm="Clerk", charset="UTF-8"`, tt.bearer}
		if got := header.Values("WWW-Authenticate"); status != http.StatusUnauthorized || !slices.Equal(got, want) {
			t.Errorf("%s: %d %q, not %q", tt.name, status, got, want)
		}
	}
}

// noise returns bytes that do not compress.
func noise(n int) []byte {
	var all []byte
	for sum := sha256.Sum256(nil); len(all) < n; sum = sha256.Sum256(sum[:]) {
		all = append(all, sum[:]...)
	}
	return all
}

// snippets returns what stands between ```LANGUAGE and ``` on the page, whose text no test repeats.
func snippets(t *testing.T, language string) []string {
	t.Helper()
	page, err := os.ReadFile("../backends.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(page, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

// registry is Debian's, set up as the page says, with the token service in front.
type registry struct {
	host    string // of the registry
	tokens  *journal
	log     *bytes.Buffer // of the token service
	clerk   *clerk
	folder  string
	handler http.Handler
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	server, openssl := program(t, "docker-registry"), program(t, "openssl")
	r := &registry{folder: t.TempDir(), clerk: newClerk(t), tokens: newJournal(t), log: &bytes.Buffer{}}

	var command string
	for _, s := range snippets(t, "sh") {
		for line := range strings.Lines(s) {
			if strings.HasPrefix(line, "openssl ") {
				command = line
			}
		}
	}
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir, cmd.Env = r.folder, []string{"PATH=" + filepath.Dir(openssl)}
	if out, err := cmd.CombinedOutput(); err != nil || command == "" {
		t.Fatalf("%q: %v %s", command, err, out)
	}
	config := snippets(t, "yaml")
	if len(config) != 1 {
		t.Fatalf("%d configurations of a registry on the page", len(config))
	}
	text := config[0]
	for from, to := range map[string]string{
		"/var/lib/registry":             filepath.Join(r.folder, "images"),
		"/etc/registry/token.pem":       filepath.Join(r.folder, "token.pem"),
		"127.0.0.1:5000":                "127.0.0.1:0",
		"https://tokens.acme.dev/token": r.tokens.URL + "/token",
	} {
		if strings.Count(text, from) != 1 {
			t.Fatalf("the page's configuration does not name %s", from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	file := filepath.Join(r.folder, "config.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	v := &Verifier{Issuer: r.clerk.server.URL, Clients: []string{"cli"}, API: r.clerk.server.URL, SecretKey: secretKey, HTTP: http.DefaultClient}
	var err error
	r.handler, err = newHandler(v, served{push: true, registry: "registry.acme.dev", certificate: filepath.Join(r.folder, "token.pem"), key: filepath.Join(r.folder, "token.key")},
		slog.New(slog.NewTextHandler(r.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r.tokens.serve(r.handler)

	ctx, cancel := context.WithCancel(context.Background())
	run := exec.CommandContext(ctx, server, "serve", file)
	run.Env = []string{"HOME=" + r.folder, "OTEL_TRACES_EXPORTER=none"}
	stderr, err := run.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(said)
		lines := bufio.NewScanner(stderr)
		for found := false; lines.Scan(); {
			if m := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`).FindStringSubmatch(lines.Text()); m != nil && !found {
				found = true
				said <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		run.Wait()
	})
	if r.host = <-said; r.host == "" {
		t.Fatal("the registry ended at once")
	}
	return r
}

// skopeo runs it with a credential helper that gives this answer.
func (r *registry) skopeo(t *testing.T, user, secret string, args ...string) (string, error) {
	t.Helper()
	answer, err := json.Marshal(map[string]string{"ServerURL": r.host, "Username": user, "Secret": secret})
	if err != nil {
		t.Fatal(err)
	}
	script(t, r.folder, "docker-credential-test", "cat > /dev/null; cat <<'END'\n"+string(answer)+"\nEND\n")
	auth := filepath.Join(r.folder, "auth.json")
	if err := os.WriteFile(auth, []byte(`{"credHelpers":{"`+r.host+`":"test"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t, "skopeo"), append([]string{"--insecure-policy", "--override-os", "linux"}, args...)...)
	cmd.Dir = r.folder
	cmd.Env = []string{"PATH=" + r.folder + ":" + os.Getenv("PATH"), "HOME=" + r.folder, "REGISTRY_AUTH_FILE=" + auth, "XDG_RUNTIME_DIR=" + r.folder}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// image writes an image of one layer in skopeo's dir: form.
func image(t *testing.T, folder string) {
	t.Helper()
	type blob struct {
		MediaType string `json:"mediaType"`
		Size      int    `json:"size"`
		Digest    string `json:"digest"`
	}
	put := func(mediaType, text string) blob {
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
		if err := os.WriteFile(filepath.Join(folder, sum), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return blob{mediaType, len(text), "sha256:" + sum}
	}
	layer := put("application/vnd.oci.image.layer.v1.tar", strings.Repeat("\x00", 1024)) // an empty archive
	config := put("application/vnd.oci.image.config.v1+json", `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["`+layer.Digest+`"]}}`)
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": []blob{layer}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"manifest.json": string(manifest), "version": "Directory Transport Version: 1.1\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRegistryClients has real clients push to and pull from a real registry, with the token in each of the three forms.
func TestRegistryClients(t *testing.T) {
	r := newRegistry(t)
	good, bad := r.clerk.access(nil, nil), r.clerk.access(nil, object{"client_id": "other"})
	source := t.TempDir()
	image(t, source)
	push := func(user, token, name string) (string, error) {
		return r.skopeo(t, user, token, "copy", "--dest-tls-verify=false", "dir:"+source, "docker://"+r.host+"/"+name)
	}
	for _, tt := range []struct{ name, user, line string }{
		{"GET, the token as a password", "clerk", "GET /token Basic"},
		{"POST, the token as an identity token", "<token>", "POST /token -"},
	} {
		r.tokens.serve(r.handler)
		name := fmt.Sprintf("demo/hello:%d", len(tt.user))
		if out, err := push(tt.user, good, name); err != nil {
			t.Errorf("%s: push: %v %s", tt.name, err, out)
		}
		out, err := r.skopeo(t, tt.user, good, "inspect", "--raw", "--tls-verify=false", "docker://"+r.host+"/"+name)
		if err != nil || !strings.Contains(out, `"schemaVersion":2`) {
			t.Errorf("%s: pull: %v %s", tt.name, err, out)
		}
		if !r.tokens.has(tt.line) {
			t.Errorf("%s: the token service was asked %q", tt.name, r.tokens.all())
		}
		if out, err := push(tt.user, bad, "demo/bad:1"); err == nil {
			t.Errorf("%s: a bad token was accepted: %s", tt.name, out)
		}
	}
	if text := r.log.String(); strings.Contains(text, good) || strings.Contains(text, bad) || !strings.Contains(text, "path=/token") {
		t.Errorf("the log of the token service: %s", text)
	}
}

// TestTokenService asks as buildx, containerd and docker login do, and has the registry judge what it gets.
func TestTokenService(t *testing.T) {
	r := newRegistry(t)
	good := r.clerk.access(nil, nil)
	source := t.TempDir()
	image(t, source)
	if out, err := r.skopeo(t, "clerk", good, "copy", "--dest-tls-verify=false", "dir:"+source, "docker://"+r.host+"/demo/hello:1"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	const pull = "repository:demo/hello:pull"
	ask := func(req *http.Request) (*http.Response, string) {
		t.Helper()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	request := func(method, address string, form url.Values) *http.Request {
		t.Helper()
		req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if form != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req
	}
	token := func(req *http.Request) string {
		t.Helper()
		resp, body := ask(req)
		var answer struct {
			Token       string `json:"token"`
			AccessToken string `json:"access_token"`
			ExpiresIn   int    `json:"expires_in"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || resp.StatusCode != http.StatusOK || answer.Token == "" || answer.Token != answer.AccessToken ||
			answer.ExpiresIn < 60 || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %d %s", req.Method, req.URL, resp.StatusCode, body)
		}
		return answer.Token
	}
	get := func(scopes ...string) *http.Request {
		req := request("GET", r.tokens.URL+"/token?"+url.Values{"account": {"clerk"}, "service": {"registry.acme.dev"}, "scope": scopes}.Encode(), nil)
		req.Header.Set("Authorization", basic(good))
		return req
	}
	post := func(grant, field, token, scope string) *http.Request {
		return request("POST", r.tokens.URL+"/token", url.Values{"grant_type": {grant}, field: {token}, "username": {"clerk"}, "client_id": {"containerd-client"},
			"service": {"registry.acme.dev"}, "scope": {scope}})
	}
	opens := func(method, path, token string) int {
		t.Helper()
		req := request(method, "http://"+r.host+path, nil)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
		resp, _ := ask(req)
		return resp.StatusCode
	}
	const manifest = "/v2/demo/hello/manifests/1"
	for name, req := range map[string]*http.Request{
		"GET":                      get(pull),
		"GET of several scopes":    get("repository:other:pull", pull),
		"GET of two actions":       get("repository:demo/hello:push,pull"),
		"GET of scopes in a row":   get("repository:other:pull " + pull),
		"POST with a password":     post("password", "password", good, pull),
		"POST with an API key":     post("password", "password", "ak_good", pull),
		"POST with a refresh":      post("refresh_token", "refresh_token", good, pull),
		"POST with several scopes": post("password", "password", good, "repository:demo/other:pull,push "+pull),
	} {
		if status := opens("GET", manifest, token(req)); status != http.StatusOK {
			t.Errorf("%s: the registry answered %d", name, status)
		}
	}
	for name, tt := range map[string]struct {
		req          *http.Request
		method, path string
	}{
		"no scope":                 {get(), "GET", manifest},
		"another repository":       {get("repository:demo/other:pull"), "GET", manifest},
		"a longer name":            {get("repository:demo/hello/more:pull"), "GET", manifest},
		"push alone":               {get("repository:demo/hello:push"), "GET", manifest},
		"a host and port in it":    {get("repository:" + r.host + "/demo/hello:pull"), "GET", manifest},
		"deleting":                 {get("repository:demo/hello:pull,push,delete"), "DELETE", manifest},
		"everything":               {get("repository:demo/hello:*"), "DELETE", manifest},
		"the catalog":              {get("registry:catalog:*"), "GET", "/v2/_catalog"},
		"neither name nor actions": {get("repository:", "repository", ":", "repository:demo/hello:"), "GET", manifest},
		"pull, asked to write":     {get(pull), "POST", "/v2/demo/hello/blobs/uploads/"},
	} {
		if status := opens(tt.method, tt.path, token(tt.req)); status != http.StatusUnauthorized {
			t.Errorf("%s: the registry answered %d", name, status)
		}
	}
	if status := opens("GET", "/v2/", token(get())); status != http.StatusOK {
		t.Errorf("docker login: the registry answered %d", status)
	}
	if status := opens("GET", manifest, good); status != http.StatusUnauthorized {
		t.Errorf("Clerk's own token: the registry answered %d", status)
	}

	// What the service refuses, with what it takes for the next attempt to be better.
	bad := r.clerk.access(nil, object{"client_id": "other"})
	long := strings.Repeat("x", maxForm)
	inQuery := request("POST", r.tokens.URL+"/token?"+url.Values{"password": {good}}.Encode(), url.Values{"grant_type": {"password"}})
	getQuery := request("GET", r.tokens.URL+"/token?"+url.Values{"grant_type": {"password"}, "password": {good}}.Encode(), nil)
	withHeader := post("password", "password", bad, pull)
	withHeader.Header.Set("Authorization", basic(good))
	for name, tt := range map[string]struct {
		req       *http.Request
		presented bool
	}{
		"nothing":                        {request("GET", r.tokens.URL+"/token", nil), false},
		"an empty POST":                  {request("POST", r.tokens.URL+"/token", url.Values{}), false},
		"a bad password":                 {post("password", "password", bad, pull), true},
		"a bad refresh token":            {post("refresh_token", "refresh_token", bad, pull), true},
		"a bad one beside a good header": {withHeader, true},
		"a grant of another kind":        {post("authorization_code", "code", good, pull), false},
		"a password as a refresh token":  {post("refresh_token", "password", good, pull), false},
		"the token in the query":         {inQuery, false},
		"the same, of a GET":             {getQuery, false},
		"a form that is too long":        {post("password", "password", long, pull), false},
	} {
		resp, body := ask(tt.req)
		challenges := resp.Header.Values("WWW-Authenticate")
		if resp.StatusCode != http.StatusUnauthorized || len(challenges) != 2 || !strings.HasPrefix(challenges[0], `Basic realm="`) ||
			strings.Contains(challenges[1], `error="invalid_token"`) != tt.presented {
			t.Errorf("%s: %d %q %s", name, resp.StatusCode, challenges, body)
		}
	}
	r.clerk.broken.Store(true)
	v := &Verifier{Issuer: r.clerk.server.URL, Clients: []string{"cli"}, HTTP: http.DefaultClient}
	h, err := newHandler(v, served{registry: "x", certificate: filepath.Join(r.folder, "token.pem"), key: filepath.Join(r.folder, "token.key")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.tokens.serve(h)
	if resp, body := ask(post("password", "password", good, pull)); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the issuer is down: %d %s", resp.StatusCode, body)
	}
}

// TestTokenServiceKey: without a certificate and its RSA key nothing starts.
func TestTokenServiceKey(t *testing.T) {
	folder := t.TempDir()
	for name, command := range map[string]string{
		"an elliptic curve":      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x -keyout token.key -out token.pem",
		"another key":            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout token.key -out token.pem && openssl genrsa -out token.key 2048",
		"no certificate, no key": "rm -f token.key token.pem",
	} {
		program(t, "openssl")
		cmd := exec.Command("/bin/sh", "-c", command)
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		v := &Verifier{}
		if _, err := newHandler(v, served{registry: "x", certificate: filepath.Join(folder, "token.pem"), key: filepath.Join(folder, "token.key")}, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
