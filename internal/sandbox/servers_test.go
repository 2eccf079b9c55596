package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// serveTLS serves h with a certificate of this package and returns its address and the file to trust.
func serveTLS(t *testing.T, h http.Handler) (base, caFile string) {
	t.Helper()
	cert, ca, err := Certificate()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	t.Cleanup(server.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL, caFile
}

// git runs git as a person would who has no configuration and no helper.
func git(t *testing.T, caFile string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, "git"), args...)
	cmd.Env = append(gitEnvironment(t.TempDir()), "GIT_SSL_CAINFO="+caFile,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@acme.dev", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@acme.dev")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func newRepository(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	program(t, "git")
	root = t.TempDir()
	if err := NewRepository(t.Context(), filepath.Join(root, "hello.git"), files); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestGit(t *testing.T) {
	root := newRepository(t, map[string]string{"README.md": "# Hello\n", "src/a file.txt": "text without an end"})
	c := newClient(t, Options{Auto: true})
	base, ca := serveTLS(t, c.s.Git(root))
	token := c.signIn().AccessToken
	withUser := strings.Replace(base, "https://", "https://clerk:"+token+"@", 1)
	before := len(c.s.Requests())

	for _, row := range []struct {
		reason string
		args   []string
	}{
		{"Basic, in the URL", []string{"clone", "--quiet", withUser + "/hello.git"}},
		{"Bearer", []string{"-c", "http.extraHeader=Authorization: Bearer " + token, "clone", "--quiet", base + "/hello.git"}},
		{"protocol 0", []string{"-c", "protocol.version=0", "clone", "--quiet", withUser + "/hello.git"}},
	} {
		dir := filepath.Join(t.TempDir(), "clone")
		if out, err := git(t, ca, append(row.args, dir)...); err != nil {
			t.Errorf("%s: %v: %s", row.reason, err, out)
			continue
		}
		if got, err := os.ReadFile(filepath.Join(dir, "src", "a file.txt")); err != nil || string(got) != "text without an end" {
			t.Errorf("%s: file is %q, %v", row.reason, got, err)
		}
	}

	dir := filepath.Join(t.TempDir(), "clone")
	large := strings.Repeat("large and hard to compress, so that git sends it in chunks ", 100)
	for _, args := range [][]string{
		{"clone", "--quiet", withUser + "/hello.git", dir},
		{"-C", dir, "commit", "--quiet", "--allow-empty", "-m", large},
		{"-C", dir, "-c", "http.postBuffer=1024", "-c", "core.compression=0", "push", "--quiet"},
	} {
		if out, err := git(t, ca, args...); err != nil {
			t.Fatalf("git %v: %v: %s", args[0], err, out)
		}
	}
	out, err := git(t, ca, "--git-dir="+filepath.Join(root, "hello.git"), "log", "--format=%s", "main")
	if err != nil || !strings.HasPrefix(out, "large and hard") {
		t.Errorf("the push did not arrive: %v: %s", err, out)
	}
	if len(c.s.Requests()) != before {
		t.Error("the git server's requests are in the sandbox's log")
	}

	refused := func(reason, password string) {
		t.Helper()
		url := strings.Replace(base, "https://", "https://clerk:"+password+"@", 1)
		if out, err := git(t, ca, "ls-remote", url+"/hello.git"); err == nil || !strings.Contains(out, "Authentication failed") {
			t.Errorf("%s: %v: %s", reason, err, out)
		}
	}
	refused("garbage", "garbage")
	if out, err := git(t, ca, "ls-remote", base+"/hello.git"); err == nil {
		t.Errorf("without a token: %s", out)
	}
	if out, err := git(t, ca, "ls-remote", withUser+"/none.git"); err == nil || !strings.Contains(out, "not found") {
		t.Errorf("a repository that is not there: %v: %s", err, out)
	}
	c.s.Advance(25 * time.Hour)
	refused("an expired token", token)
}

func TestGitChallenges(t *testing.T) {
	c := newClient(t, Options{})
	for _, row := range []struct {
		given []string
		want  string
	}{
		{nil, `Basic realm="git"`},
		{[]string{`Bearer realm="git"`, `Basic realm="git"`}, `Bearer realm="git"|Basic realm="git"`},
	} {
		for _, header := range []string{"", "Basic Og==", "Bearer ", "Bearer x", "Digest x"} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "/hello.git/info/refs?service=git-upload-pack", nil)
			r.Header.Set("Authorization", header)
			c.s.Git(t.TempDir(), row.given...).ServeHTTP(w, r)
			if got := strings.Join(w.Header().Values("WWW-Authenticate"), "|"); w.Code != 401 || got != row.want {
				t.Errorf("%q: answers %d %q, want %q", header, w.Code, got, row.want)
			}
		}
	}
}

func TestGitStaysBelowItsRoot(t *testing.T) {
	root := newRepository(t, map[string]string{"a": "b"})
	inside := filepath.Join(root, "inside")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Options{Auto: true})
	token := c.signIn().AccessToken
	h := c.s.Git(inside)
	for _, path := range []string{"/../hello.git/HEAD", "/x/../../hello.git/HEAD", "/%2e%2e/hello.git/HEAD", "//" + root + "/hello.git/HEAD"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		if err := r.ParseForm(); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse("http://127.0.0.1" + path)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = u
		r.SetBasicAuth("clerk", token)
		h.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			t.Errorf("%s is served: %q", path, w.Body)
		}
	}
}

func TestNewRepository(t *testing.T) {
	a, b := newRepository(t, map[string]string{"a": "1", "b": "2"}), newRepository(t, map[string]string{"b": "2", "a": "1"})
	var commits []string
	for _, root := range []string{a, b} {
		out, err := git(t, "", "--git-dir="+filepath.Join(root, "hello.git"), "rev-parse", "HEAD")
		if err != nil {
			t.Fatal(err, out)
		}
		commits = append(commits, out)
	}
	if commits[0] != commits[1] {
		t.Error("the same files make another commit")
	}
	for _, name := range []string{"../a", "/a", "a/../b", "", ".", "a\nM 100644 inline b", `"a`, "a/"} {
		if err := NewRepository(t.Context(), filepath.Join(t.TempDir(), "x.git"), map[string]string{name: ""}); err == nil {
			t.Errorf("the file name %q is accepted", name)
		}
	}
}

func TestRegistry(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		c := newClient(t, Options{Auto: true, Opaque: opaque})
		token := c.signIn().AccessToken
		person := &authn.Basic{Username: "clerk", Password: token}
		identity := authn.FromConfig(authn.AuthConfig{Username: "<token>", IdentityToken: token})
		wrong := &authn.Basic{Username: "clerk", Password: "garbage"}
		rows := []struct {
			reason string
			mode   RegistryMode
			auth   authn.Authenticator
			ok     bool
		}{
			{"Basic", RegistryBasic, person, true},
			{"Basic, garbage", RegistryBasic, wrong, false},
			{"Basic, anonymous", RegistryBasic, authn.Anonymous, false},
			{"Basic, the token as a Bearer", RegistryBasic, &authn.Bearer{Token: token}, false},
			{"token service", RegistryToken, person, true},
			{"token service, identity token", RegistryToken, identity, true},
			{"token service, garbage", RegistryToken, wrong, false},
			{"token service, garbage as identity token", RegistryToken, authn.FromConfig(authn.AuthConfig{IdentityToken: "garbage"}), false},
			{"token service, anonymous", RegistryToken, authn.Anonymous, false},
			{"token service, the token itself as a Bearer", RegistryToken, &authn.Bearer{Token: token}, false},
		}
		for _, row := range rows {
			image, err := pull(t, c.s.Registry(row.mode), row.auth)
			if !row.ok {
				if err == nil {
					t.Errorf("opaque=%t, %s: the image is served", opaque, row.reason)
				}
				continue
			}
			if err != nil {
				t.Errorf("opaque=%t, %s: %v", opaque, row.reason, err)
				continue
			}
			checkImage(t, image)
		}
		c.s.Advance(25 * time.Hour)
		for _, mode := range []RegistryMode{RegistryBasic, RegistryToken} {
			if _, err := pull(t, c.s.Registry(mode), person); err == nil {
				t.Errorf("opaque=%t, mode %d: an expired token is accepted", opaque, mode)
			}
		}
	}
}

// checkImage reads all of an image; the client compares every digest, and here the two digests of the layer.
func checkImage(t *testing.T, image v1.Image) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 || len(config.RootFS.DiffIDs) != 1 {
		t.Fatalf("%d layers, %d diff ids, %v", len(layers), len(config.RootFS.DiffIDs), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	files, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	if got := digest(files); got != config.RootFS.DiffIDs[0].String() || !strings.Contains(string(files), "Hello") {
		t.Errorf("the layer is %s, the configuration says %s", got, config.RootFS.DiffIDs[0])
	}
}

// pull reads demo/hello:latest.
func pull(t *testing.T, registry http.Handler, auth authn.Authenticator) (v1.Image, error) {
	t.Helper()
	server := httptest.NewServer(registry)
	t.Cleanup(server.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/demo/hello:latest")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return remote.Image(ref, remote.WithAuth(auth), remote.WithContext(ctx))
}

func TestRegistryRefuses(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	token := c.signIn().AccessToken
	const service = "?service=" + registryService
	rows := []struct {
		reason string
		mode   RegistryMode
		method string
		target string
		body   string
		basic  string
		status int
	}{
		{"no authentication", RegistryBasic, "GET", "/v2/", "", "", 401},
		{"good", RegistryBasic, "GET", "/v2/", "", token, 200},
		{"another image", RegistryBasic, "GET", "/v2/demo/other/manifests/latest", "", token, 404},
		{"another tag", RegistryBasic, "GET", "/v2/demo/hello/manifests/v2", "", token, 404},
		{"another blob", RegistryBasic, "GET", "/v2/demo/hello/blobs/sha256:00", "", token, 404},
		{"a push", RegistryBasic, "POST", "/v2/demo/hello/blobs/uploads/", "", token, 404},
		{"a token service where there is none", RegistryBasic, "GET", "/token" + service, "", token, 404},
		{"Basic at a registry that wants its own token", RegistryToken, "GET", "/v2/", "", token, 401},
		{"good", RegistryToken, "GET", "/token" + service, "", token, 200},
		{"no proof", RegistryToken, "GET", "/token" + service, "", "", 401},
		{"another service", RegistryToken, "GET", "/token?service=x", "", token, 400},
		{"no service", RegistryToken, "GET", "/token", "", token, 400},
		{"good", RegistryToken, "POST", "/token", "grant_type=refresh_token&service=" + registryService + "&refresh_token=" + token, "", 200},
		{"good", RegistryToken, "POST", "/token", "grant_type=password&username=u&service=" + registryService + "&password=" + token, "", 200},
		{"garbage", RegistryToken, "POST", "/token", "grant_type=refresh_token&service=" + registryService + "&refresh_token=x", "", 401},
		{"no grant type", RegistryToken, "POST", "/token", "service=" + registryService + "&refresh_token=" + token, "", 400},
		{"no service", RegistryToken, "POST", "/token", "grant_type=refresh_token&refresh_token=" + token, "", 400},
		{"proof in the query", RegistryToken, "POST", "/token?grant_type=refresh_token&service=" + registryService + "&refresh_token=" + token, "", "", 400},
	}
	for _, row := range rows {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(row.method, row.target, strings.NewReader(row.body))
		if row.body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if row.basic != "" {
			r.SetBasicAuth("clerk", row.basic)
		}
		c.s.Registry(row.mode).ServeHTTP(w, r)
		if w.Code != row.status {
			t.Errorf("%s %s, %s: answers %d %s, want %d", row.method, row.target, row.reason, w.Code, w.Body, row.status)
		}
		if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s, %s: the 401 has no challenge", row.method, row.target, row.reason)
		}
	}
}

// The registry's token ends a minute later, whatever the sandbox's token does.
func TestRegistryTokenExpires(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	h := c.s.Registry(RegistryToken)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/token?service="+registryService, nil)
	r.SetBasicAuth("clerk", c.signIn().AccessToken)
	h.ServeHTTP(w, r)
	issued := c.s.Issued()
	token := issued[len(issued)-1]
	for after, want := range map[time.Duration]int{0: 200, time.Minute: 401} {
		c.s.Advance(after)
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/v2/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("after %v: answers %d", after, w.Code)
		}
		c.s.Advance(-after)
	}
}

// The docker command reads a manifest without an engine.
func TestRegistryWithDocker(t *testing.T) {
	docker := program(t, "docker")
	c := newClient(t, Options{Auto: true})
	token := c.signIn().AccessToken
	for _, mode := range []RegistryMode{RegistryBasic, RegistryToken} {
		server := httptest.NewServer(c.s.Registry(mode))
		t.Cleanup(server.Close)
		host := strings.TrimPrefix(server.URL, "http://")
		home := t.TempDir()
		// Without any credentials of its own, docker takes whatever helper the machine has.
		config := filepath.Join(home, ".docker", "config.json")
		if err := os.Mkdir(filepath.Dir(config), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config, []byte(`{"auths": {"registry.example": {}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		run := func(args ...string) (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, docker, append([]string{"--config", filepath.Join(home, ".docker")}, args...)...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "DOCKER_HOST=unix://" + filepath.Join(home, "none.sock")}
			cmd.Stdin = strings.NewReader(token)
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		if out, err := run("manifest", "inspect", "--insecure", host+"/demo/hello:latest"); err == nil {
			t.Errorf("mode %d: anonymous: %s", mode, out)
		}
		if out, err := run("login", "--username", "clerk", "--password-stdin", host); err != nil {
			t.Errorf("mode %d: login: %v: %s", mode, err, out)
			continue
		}
		out, err := run("manifest", "inspect", "--insecure", host+"/demo/hello:latest")
		if err != nil || !strings.Contains(out, manifestType) {
			t.Errorf("mode %d: inspect: %v: %s", mode, err, out)
		}
	}
}

func TestCertificate(t *testing.T) {
	cert, ca, err := Certificate("git.acme.dev", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate in the PEM")
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for host, ok := range map[string]bool{"git.acme.dev": true, "127.0.0.1": true, "localhost": false, "acme.dev": false, "127.0.0.2": false} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); (err == nil) != ok {
			t.Errorf("%s: %v", host, err)
		}
	}

	base, caFile := serveTLS(t, http.NotFoundHandler())
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(base, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1"} {
		resp, err := client.Get("https://" + host + ":" + port)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	client.CloseIdleConnections()
}
