package clients

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	registry "oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// tokenService is docs/backend with -registry, and what it was asked: the method, and the grant of a form.
type tokenService struct {
	url         string
	certificate *x509.Certificate

	mu    sync.Mutex
	asked []string
}

func startTokenService(t *testing.T, program, issuer string) *tokenService {
	t.Helper()
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "token.pem"), filepath.Join(dir, "token.key")
	s := &tokenService{}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	if s.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: der},
		key:         {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-issuer", issuer, "-client-id", "sandbox-client", "-registry", "lab", "-registry-cert", certificate, "-registry-key", key)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	address, err2 := url.Parse(regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`).FindString(line))
	if err != nil || err2 != nil || address.Host == "" {
		t.Fatalf("docs/backend said %q, %v", line, err)
	}
	proxy := httputil.NewSingleHostReverseProxy(address)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		s.mu.Lock()
		s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+form.Get("grant_type")))
		s.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// take returns what was asked since the last call.
func (s *tokenService) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// opens reports whether a registry token is signed by the service's key and lets its holder pull a repository.
func (s *tokenService) opens(token, repository string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(s.certificate.PublicKey.(*rsa.PublicKey), crypto.SHA256, sum[:], signature) != nil {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var claims struct {
		Audience string `json:"aud"`
		Access   []struct {
			Type, Name string
			Actions    []string
		}
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Audience != "lab" {
		return false
	}
	for _, a := range claims.Access {
		if a.Type == "repository" && a.Name == repository && slices.Contains(a.Actions, "pull") {
			return true
		}
	}
	return false
}

// TestTokenService has oras-go, the client in oras and helm, bring the helper's token to docs/backend in all three forms;
// ForceAttemptOAuth2 makes it ask as buildx and containerd do.
func TestTokenService(t *testing.T) {
	program := filepath.Join(t.TempDir(), "backend")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = filepath.Join("..", "..", "docs", "backend")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building docs/backend: %v\n%s", err, out)
	}
	w := newWorld(t) // with a home of its own, in which Go would build everything again
	if err := os.Symlink("clerk-credential-helper", filepath.Join(w.bin, "docker-credential-clerk")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", w.bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	issuer := os.Getenv("CLERK_HELPER_ISSUER")
	service := startTokenService(t, program, issuer)

	start := func(challenge string, allowed func(authorization string) bool) string {
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !allowed(r.Header.Get("Authorization")) {
				rw.Header().Set("WWW-Authenticate", challenge)
				rw.WriteHeader(http.StatusUnauthorized)
			}
		}))
		t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
	bearer := func() string {
		return start(`Bearer realm="`+service.url+`/token",service="lab",scope="repository:demo/hello:pull"`, func(authorization string) bool {
			token, ok := strings.CutPrefix(authorization, "Bearer ")
			return ok && service.opens(token, "demo/hello")
		})
	}
	plain := func() string {
		return start(`Basic realm="lab"`, func(authorization string) bool { return strings.HasPrefix(authorization, "Basic ") })
	}
	asPassword, asIdentity, basic, basicIdentity := bearer(), bearer(), plain(), plain()

	config := filepath.Join(t.TempDir(), "config.toml")
	profile := func(name, hosts, more string) string {
		return "[profiles." + name + "]\nissuer = \"" + issuer + "\"\nclient_id = \"sandbox-client\"\nhosts = [" + hosts + "]\n" + more
	}
	text := profile("password", `"`+asPassword+`", "`+basic+`"`, "") + profile("identity", `"`+asIdentity+`", "`+basicIdentity+`"`, "docker_identity_token = true\n")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"CLERK_HELPER_ISSUER", "CLERK_HELPER_CLIENT_ID", "CLERK_HELPER_HOSTS"} {
		os.Unsetenv(name) // newWorld has set them, and puts back what was there before
	}
	t.Setenv("CLERK_HELPER_CONFIG", config)
	w.run(t, "login", "password")
	w.run(t, "login", "identity")

	for _, tt := range []struct {
		name, host string
		force      bool
		asked      []string // of the token service
		status     int      // 0: no token at all
	}{
		{"GET with Basic", asPassword, false, []string{"GET"}, http.StatusOK},
		{"POST with a password", asPassword, true, []string{"POST password"}, http.StatusOK},
		{"POST with a refresh token", asIdentity, false, []string{"POST refresh_token"}, http.StatusOK},
		{"a registry that asks for Basic", basic, false, nil, http.StatusOK},
		{"the same beside docker_identity_token", basicIdentity, false, nil, 0},
	} {
		client := &registry.Client{
			Credential:           credentials.Credential(credentials.NewNativeStore("clerk")),
			ForceAttemptOAuth2:   tt.force,
			BlockedRealmPrefixes: []netip.Prefix{}, // the service is on this machine
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+tt.host+"/v2/demo/hello/manifests/latest", nil)
		if err != nil {
			t.Fatal(err)
		}
		status := 0
		res, err := client.Do(req)
		if err == nil {
			status = res.StatusCode
			res.Body.Close()
		}
		if asked := service.take(); status != tt.status || !slices.Equal(asked, tt.asked) {
			t.Errorf("%s: %d, %v; the token service was asked %q", tt.name, status, err, asked)
		}
	}
}
