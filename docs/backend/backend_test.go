package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clerk stands in for the issuer and for the Backend API. It signs by hand: code shared with the server proves nothing.
type clerk struct {
	server *httptest.Server
	key    *rsa.PrivateKey
	small  *rsa.PrivateKey // too small to be believed
	asked  atomic.Int32    // for keys
	broken atomic.Bool
}

const secretKey = "sk_test_secret"

func newClerk(t *testing.T) *clerk {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	c := &clerk{key: key, small: small}
	c.server = httptest.NewServer(c)
	t.Cleanup(c.server.Close)
	return c
}

func (c *clerk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/.well-known/jwks.json" {
		c.asked.Add(1)
		if c.broken.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		e := encode(big.NewInt(int64(c.key.E)).Bytes())
		fmt.Fprintf(w, `{"keys":[{"kty":"new","kid":"later"},{"kty":"RSA","kid":"ins_1","alg":"RS256","n":%q,"e":%q},{"kty":"RSA","kid":"small","n":%q,"e":%q}]}`,
			encode(c.key.N.Bytes()), e, encode(c.small.N.Bytes()), e)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+secretKey {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var sent map[string]string
	json.NewDecoder(r.Body).Decode(&sent)
	answers := map[string]string{
		"/v1/oauth_applications/access_tokens/verify oat_good":    `{"subject":"user_1","client_id":"cli","revoked":false,"expired":false}`,
		"/v1/oauth_applications/access_tokens/verify oat_other":   `{"subject":"user_1","client_id":"other"}`,
		"/v1/oauth_applications/access_tokens/verify oat_over":    `{"active":false}`,
		"/v1/oauth_applications/access_tokens/verify oat_machine": `{"subject":"mch_1","client_id":"cli"}`,
		"/v1/m2m_tokens/verify mt_good":                           `{"subject":"mch_1","revoked":false,"expired":false}`,
		"/v1/m2m_tokens/verify mt_revoked":                        `{"subject":"mch_1","revoked":true}`,
		"/v1/api_keys/verify ak_good":                             `{"subject":"user_1","revoked":false,"expired":false}`,
		"/v1/api_keys/verify ak_org":                              `{"subject":"org_1"}`,
		"/v1/api_keys/verify ak_expired":                          `{"subject":"user_1","expired":true}`,
		"/v1/elsewhere ak_moved":                                  `{"subject":"user_1"}`,
		"/v1/api_keys/verify ak_nobody":                           `{}`,
		"/v1/api_keys/verify ak_mute":                             `not JSON`,
	}
	answer, ok := answers[r.URL.Path+" "+sent["access_token"]+sent["token"]+sent["secret"]]
	switch {
	case ok:
		io.WriteString(w, answer)
	case sent["secret"] == "ak_moved":
		http.Redirect(w, r, "/v1/elsewhere", http.StatusTemporaryRedirect)
	case sent["secret"] == "ak_busy":
		w.WriteHeader(http.StatusTooManyRequests)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// handler serves like the program, for the client "cli" and the page https://app.acme.dev.
func (c *clerk) handler(t *testing.T, change func(*Verifier)) (http.Handler, *bytes.Buffer) {
	t.Helper()
	client, err := newClient("")
	if err != nil {
		t.Fatal(err)
	}
	v := &Verifier{
		Issuer: c.server.URL, Clients: []string{"cli"}, Origins: []string{"https://app.acme.dev"},
		API: c.server.URL, SecretKey: secretKey, HTTP: client,
	}
	if change != nil {
		change(v)
	}
	var log bytes.Buffer
	h, err := newHandler(v, served{}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return h, &log
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

type object map[string]any

// sign makes a JWT with these changes to its header and claims; nil takes a member out.
func (c *clerk) sign(key *rsa.PrivateKey, header, payload object) string {
	input := c.input(header, payload)
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return input + "." + encode(signature)
}

func (c *clerk) input(header, payload object) string {
	now := time.Now().Unix()
	h := object{"alg": "RS256", "typ": "JWT", "kid": "ins_1"}
	p := object{"iss": c.server.URL, "sub": "user_1", "iat": now, "nbf": now - 10, "exp": now + 60}
	var parts []string
	for _, part := range []struct{ all, changes object }{{h, header}, {p, payload}} {
		maps.Copy(part.all, part.changes)
		maps.DeleteFunc(part.all, func(_ string, v any) bool { return v == nil })
		text, err := json.Marshal(part.all)
		if err != nil {
			panic(err)
		}
		parts = append(parts, encode(text))
	}
	return strings.Join(parts, ".")
}

func (c *clerk) access(header, payload object) string {
	h, p := object{"typ": "at+jwt"}, object{"client_id": "cli"}
	maps.Copy(h, header)
	maps.Copy(p, payload)
	return c.sign(c.key, h, p)
}

func (c *clerk) session(header, payload object) string {
	p := object{"sid": "sess_1"}
	maps.Copy(p, payload)
	return c.sign(c.key, header, p)
}

func whoamiWith(h http.Handler, authorization ...string) (int, string, http.Header) {
	r := httptest.NewRequest("GET", "/whoami", nil)
	r.Header["Authorization"] = authorization
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String()), w.Header()
}

func basic(token string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("clerk:"+token))
}

func TestAccepted(t *testing.T) {
	c := newClerk(t)
	h, log := c.handler(t, nil)
	user := `{"kind":"session_token","subject":"user_1"}`
	oauth := `{"kind":"oauth_token","subject":"user_1","client_id":"cli"}`
	tests := []struct{ name, authorization, want string }{
		{"access token", "Bearer " + c.access(nil, nil), oauth},
		{"scheme in lower case", "bearer " + c.access(nil, nil), oauth},
		{"as a password, as git and docker send it", basic(c.access(nil, nil)), oauth},
		{"type with its media prefix", "Bearer " + c.access(object{"typ": "application/at+jwt"}, nil), oauth},
		{"access token of an organisation", "Bearer " + c.access(nil, object{"org_id": "org_1"}),
			`{"kind":"oauth_token","subject":"user_1","organization":"org_1","client_id":"cli"}`},
		{"ended within the leeway", "Bearer " + c.access(nil, object{"exp": time.Now().Unix() - 20}), oauth},
		{"opaque access token", "Bearer oat_good", oauth},
		{"session token", "Bearer " + c.session(nil, nil), user},
		{"its category", "Bearer " + c.session(object{"cat": "cl_B7d4PD111AAA"}, nil), user},
		{"its page", "Bearer " + c.session(nil, object{"azp": "https://app.acme.dev"}), user},
		{"its organisation", basic(c.session(nil, object{"o": object{"id": "org_1"}})), `{"kind":"session_token","subject":"user_1","organization":"org_1"}`},
		{"M2M token", "Bearer " + c.sign(c.key, nil, object{"sub": "mch_1"}), `{"kind":"m2m_token","subject":"mch_1"}`},
		{"opaque M2M token", basic("mt_good"), `{"kind":"m2m_token","subject":"mch_1"}`},
		{"API key", "Bearer ak_good", `{"kind":"api_key","subject":"user_1"}`},
		{"API key of an organisation", "Bearer ak_org", `{"kind":"api_key","subject":"org_1","organization":"org_1"}`},
	}
	for _, tt := range tests {
		if status, body, _ := whoamiWith(h, tt.authorization); status != http.StatusOK || body != tt.want {
			t.Errorf("%s: %d %s, not %s\n%s", tt.name, status, body, tt.want, log)
		}
	}
	if n := c.asked.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times, not once", n)
	}
	checkLog(t, log, tests)
}

// checkLog holds that nothing of any token stands in the log, nor the key of the API.
func checkLog(t *testing.T, log *bytes.Buffer, tests []struct{ name, authorization, want string }) {
	t.Helper()
	text := log.String()
	if !strings.Contains(text, "path=/whoami") {
		t.Fatal("nothing was logged")
	}
	for _, tt := range tests {
		_, token, _ := strings.Cut(tt.authorization, " ")
		if len(token) > 4 && strings.Contains(text, token) || strings.Contains(text, secretKey) {
			t.Errorf("%s: its token, or the secret key, is in the log", tt.name)
		}
	}
}

func TestRefused(t *testing.T) {
	c := newClerk(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	good := c.access(nil, nil)
	parts := strings.Split(good, ".")
	public, err := x509.MarshalPKIXPublicKey(&c.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	hs256 := func() string {
		input := c.input(object{"alg": "HS256", "typ": "at+jwt"}, object{"client_id": "cli"})
		mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
		mac.Write([]byte(input))
		return input + "." + encode(mac.Sum(nil))
	}
	jwk := object{"kty": "RSA", "kid": "ins_1", "n": encode(stranger.N.Bytes()), "e": "AQAB"}
	unsigned := c.input(object{"alg": "none", "typ": "at+jwt"}, object{"client_id": "cli"})

	tests := []struct {
		name   string
		tokens []string // each as Bearer and as a password
		reason string
	}{
		{"alg none", []string{unsigned + ".", unsigned + "." + parts[2]}, "RS256"},
		{"HS256 with the public key as its secret", []string{hs256()}, "RS256"},
		{"another algorithm than was agreed on", []string{c.access(object{"alg": "RS512"}, nil), c.access(object{"alg": "PS256"}, nil)}, "RS256"},
		{"signed by a stranger", []string{c.sign(stranger, object{"typ": "at+jwt"}, object{"client_id": "cli"})}, "signature"},
		{"key of 1024 bits", []string{c.sign(c.small, object{"typ": "at+jwt", "kid": "small"}, object{"client_id": "cli"})}, "one of the issuer's"},
		{"signed by a stranger, who brings the key along", []string{c.sign(stranger, object{"typ": "at+jwt", "jwk": jwk}, object{"client_id": "cli"})}, "signature"},
		{"key by an address", []string{c.sign(stranger, object{"typ": "at+jwt", "jku": "https://evil.example/jwks.json"}, object{"client_id": "cli"})}, "signature"},
		{"unknown key", []string{c.access(object{"kid": "ins_2"}, nil), c.access(object{"kid": nil}, nil)}, "one of the issuer's"},
		{"signature of another token", []string{parts[0] + "." + strings.Split(c.access(nil, object{"sub": "user_2"}), ".")[1] + "." + parts[2]}, "signature"},
		{"critical extension", []string{c.access(object{"crit": []string{"exp2"}, "exp2": 1}, nil)}, "signature"},
		{"not three parts", []string{parts[0] + "." + parts[1], good + ".x", "...", "x", `{"payload":"x"}`}, "RS256"},
		{"another issuer", []string{c.access(nil, object{"iss": "https://evil.clerk.accounts.dev"}), c.access(nil, object{"iss": c.server.URL + "/"}), c.access(nil, object{"iss": nil})}, "issuer"},
		{"without an end", []string{c.access(nil, object{"exp": nil})}, "no end"},
		{"expired", []string{c.access(nil, object{"exp": now - 40}), c.session(nil, object{"exp": now - 40})}, "expired"},
		{"not valid yet", []string{c.access(nil, object{"nbf": now + 60})}, "not valid yet"},
		{"issued in the future", []string{c.access(nil, object{"iat": now + 60})}, "not valid yet"},
		{"times that are no numbers", []string{c.access(nil, object{"exp": "never"})}, "signature"},
		{"another client", []string{c.access(nil, object{"client_id": "other"}), c.access(nil, object{"client_id": nil}), "oat_other"}, "another OAuth client"},
		{"access token of a machine", []string{c.access(nil, object{"sub": "mch_1"}), "oat_machine"}, ""},
		{"another audience", []string{c.access(nil, object{"aud": "https://other.acme.dev"}), c.session(nil, object{"aud": []string{"a", "b"}})}, "audience"},
		{"ID token", []string{c.sign(c.key, nil, object{"aud": "cli", "nonce": "n"})}, "audience"},
		{"ID token without audience", []string{c.sign(c.key, nil, object{"nonce": "n"})}, "neither"},
		{"access token under another type", []string{c.access(object{"typ": "JWT"}, nil), c.access(object{"typ": nil}, nil), c.access(object{"typ": "logout+jwt"}, nil)}, "neither"},
		{"token of a template", []string{c.sign(c.key, object{"cat": "cl_B7d4PD222AAA"}, nil), c.session(object{"cat": "cl_B7d4PD222AAA"}, nil), c.sign(c.key, nil, nil)}, "neither"},
		{"session of another page", []string{c.session(nil, object{"azp": "https://evil.example"}), c.session(nil, object{"azp": "https://app.acme.dev.evil.example"})}, "another page"},
		{"pending session", []string{c.session(nil, object{"sts": "pending"})}, "pending"},
		{"M2M token of another category", []string{c.sign(c.key, object{"cat": "cl_B7d4PD111AAA"}, object{"sub": "mch_1"})}, "neither"},
		{"subject of no kind", []string{c.session(nil, object{"sub": ""}), c.session(nil, object{"sub": "admin"})}, "neither"},
		{"over, says Clerk", []string{"oat_over", "mt_revoked", "ak_expired"}, "revoked"},
		{"unknown to Clerk", []string{"oat_x", "mt_x", "ak_x", "mt_good\n", "ak_good ", "mt_ak_good"}, "does not know"},
		{"without a subject", []string{"ak_nobody"}, "subject"},
		{"other secrets of Clerk's", []string{secretKey, "pk_test_x"}, "RS256"},
		{"longer than 16 KiB", []string{c.access(nil, object{"x": strings.Repeat("x", maxToken)}), "ak_" + strings.Repeat("x", maxToken)}, "too long"},
		{"nothing", []string{""}, "no token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, log := c.handler(t, nil)
			for _, token := range tt.tokens {
				for _, authorization := range []string{"Bearer " + token, basic(token)} {
					log.Reset()
					status, body, header := whoamiWith(h, authorization)
					if status != http.StatusUnauthorized || !strings.HasPrefix(header.Get("WWW-Authenticate"), `Basic realm="`) {
						t.Errorf("%.60s…: %d %s", authorization, status, body)
					}
					if !strings.Contains(log.String(), tt.reason) {
						t.Errorf("refused for another reason than %q: %s", tt.reason, log)
					}
					if len(token) > 4 && (strings.Contains(log.String(), token) || strings.Contains(body, token)) {
						t.Errorf("the token is shown: %s", log)
					}
				}
			}
		})
	}
	fields := []struct {
		name   string
		values []string
	}{
		{"no field", nil},
		{"two fields", []string{"Bearer " + good, "Bearer " + good}},
		{"a good field after a bad one", []string{"Bearer x", "Bearer " + good}},
		{"two in one field", []string{"Bearer " + good + ", Bearer " + good}},
		{"without a scheme", []string{good}},
		{"another scheme", []string{"Token " + good}},
		{"the token as the user name", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(good+":"))}},
		{"Basic without a colon", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(good))}},
		{"Basic that is not base64", []string{"Basic " + good}},
	}
	for _, tt := range fields {
		h, _ := c.handler(t, nil)
		if status, body, _ := whoamiWith(h, tt.values...); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", tt.name, status, body)
		}
	}
}

// TestNotConfigured: what the configuration does not name is refused.
func TestNotConfigured(t *testing.T) {
	c := newClerk(t)
	h, _ := c.handler(t, func(v *Verifier) { v.Clients, v.Origins, v.SecretKey = nil, nil, "" })
	for _, token := range []string{c.access(nil, nil), c.session(nil, object{"azp": "https://app.acme.dev"}), "oat_good", "mt_good", "ak_good"} {
		if status, body, _ := whoamiWith(h, "Bearer "+token); status != http.StatusUnauthorized {
			t.Errorf("%.20s…: %d %s", token, status, body)
		}
	}
}

// TestAudience: a token that says whom it is for is refused by everybody else (RFC 7519 §4.1.3), also where it names
// nobody, and where the backend has no name.
func TestAudience(t *testing.T) {
	const us, other = "https://api.acme.dev", "https://other.acme.dev"
	c := newClerk(t)
	tests := []struct {
		reason  string
		aud     any // nil leaves it out
		named   int // the status where -audience is given
		unnamed int // and where it is not
	}{
		{"no audience", nil, 200, 200},
		{"us", us, 200, 401},
		{"us in a list", []string{us}, 200, 401},
		{"us among others", []string{other, us}, 200, 401},
		{"another", other, 401, 401},
		{"others", []string{other, "x"}, 401, 401},
		{"empty", "", 401, 401},
		{"empty in a list", []string{""}, 401, 401},
		{"empty among others", []string{"", "x"}, 401, 401},
		{"empty beside us", []string{"", us}, 200, 401},
		{"a list of none", []string{}, 401, 401},
		{"null", json.RawMessage("null"), 401, 401},
		{"a space", " ", 401, 401},
		{"us with a slash", us + "/", 401, 401},
		{"us in other letters", strings.ToUpper(us), 401, 401},
		{"a number", 1, 401, 401},
		{"an object", object{us: true}, 401, 401},
		{"a list in a list", []any{[]string{us}}, 401, 401},
	}
	named, namedLog := c.handler(t, func(v *Verifier) { v.Audience = us })
	unnamed, unnamedLog := c.handler(t, nil)
	for _, tt := range tests {
		claims := object{}
		if tt.aud != nil {
			claims["aud"] = tt.aud
		}
		for _, token := range []string{c.access(nil, claims), c.session(nil, claims)} {
			if status, body, _ := whoamiWith(named, "Bearer "+token); status != tt.named {
				t.Errorf("%s, with -audience: %d %s, not %d\n%s", tt.reason, status, body, tt.named, namedLog)
			}
			if status, body, _ := whoamiWith(unnamed, "Bearer "+token); status != tt.unnamed {
				t.Errorf("%s, without -audience: %d %s, not %d\n%s", tt.reason, status, body, tt.unnamed, unnamedLog)
			}
		}
	}
}

// TestNotChecked: a fault that is not the token's is not a 401, after which git would discard the token.
func TestNotChecked(t *testing.T) {
	c := newClerk(t)
	tests := []struct {
		name, token string
		change      func(*Verifier)
	}{
		{"the keys cannot be fetched", c.access(nil, nil), func(*Verifier) { c.broken.Store(true) }},
		{"the API does not answer", "ak_good", func(v *Verifier) { v.API = "http://127.0.0.1:1" }},
		{"the API refuses our key", "ak_good", func(v *Verifier) { v.SecretKey = "sk_test_wrong" }},
		{"the API is busy", "ak_busy", nil},
		{"the API redirects", "ak_moved", nil},
		{"the API babbles", "ak_mute", nil},
	}
	for _, tt := range tests {
		c.broken.Store(false)
		h, log := c.handler(t, tt.change)
		status, body, header := whoamiWith(h, "Bearer "+tt.token)
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %s", tt.name, status, body)
		}
		if strings.Contains(log.String(), tt.token) || strings.Contains(log.String(), "sk_test") {
			t.Errorf("%s: a secret is in the log: %s", tt.name, log)
		}
	}
}

// TestKeys: unknown keys cause one fetch a minute, however many requests name them; a withdrawn key is forgotten.
func TestKeys(t *testing.T) {
	c := newClerk(t)
	clock := time.Now()
	var mu sync.Mutex
	later := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(d)
	}
	h, _ := c.handler(t, func(v *Verifier) {
		v.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return clock }
	})
	long := object{"exp": time.Now().Add(24 * time.Hour).Unix()}
	good, unknown := c.access(nil, long), c.access(object{"kid": "ins_2"}, long)
	storm := func(authorization string, want int) {
		t.Helper()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if status, body, _ := whoamiWith(h, authorization); status != want {
					t.Errorf("%d %s", status, body)
				}
			})
		}
		all.Wait()
	}
	fetched := func(want int32) {
		t.Helper()
		if n := c.asked.Load(); n != want {
			t.Fatalf("the keys were fetched %d times so far, not %d", n, want)
		}
	}
	storm("Bearer "+unknown, 401)
	fetched(1)
	storm("Bearer "+good, 200)
	fetched(1)
	later(59 * time.Second)
	storm("Bearer "+unknown, 401)
	fetched(1)
	later(2 * time.Second)
	storm("Bearer "+unknown, 401)
	fetched(2)

	// The issuer is down: the previous keys stay in use, and it is not asked again at once.
	c.broken.Store(true)
	later(2 * time.Hour)
	storm("Bearer "+good, 200)
	fetched(3)
	later(2 * time.Minute)
	storm("Bearer "+unknown, 401)
	fetched(4)

	// It comes back with another key of the same name: the old one's tokens are refused after an hour.
	fresh, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c.broken.Store(false)
	c.key = fresh
	later(61 * time.Minute)
	storm("Bearer "+good, 401)
	fetched(5)
}

// TestKeysWithoutPatience: a caller who goes away does not cost the others their keys.
func TestKeysWithoutPatience(t *testing.T) {
	c := newClerk(t)
	h, log := c.handler(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/whoami", nil)
	r.Header.Set("Authorization", "Bearer "+c.access(nil, nil))
	h.ServeHTTP(httptest.NewRecorder(), r)
	if status, body, _ := whoamiWith(h, "Bearer "+c.access(nil, nil)); status != http.StatusOK {
		t.Errorf("%d %s\n%s", status, body, log)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"https://clerk.acme.dev": true, "https://app.acme.dev/__clerk": true, "http://127.0.0.1:4400": true, "http://[::1]:4400": true,
		"": false, "clerk.acme.dev": false, "http://clerk.acme.dev": false, "https://clerk.acme.dev/": false, "https://u@clerk.acme.dev": false,
		"https://": false, "http://127.0.0.1.evil.example": false, "http://localhost": false, "https://clerk.acme.dev?x": false, "file:///keys": false,
	} {
		if isSafe(address) != want {
			t.Errorf("%q: %v", address, !want)
		}
	}
}

// TestCompanyFile: it is served as it is, without a token, beside repositories that need one.
func TestCompanyFile(t *testing.T) {
	dir := t.TempDir()
	named := func(text string) string {
		name := filepath.Join(dir, "company.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const file = `{"version": 1, "profiles": {"acme": {"issuer": "https://clerk.acme.dev", "client_id": "x", "hosts": ["git.acme.dev"]}}}`
	handler, err := newHandler(&Verifier{}, served{git: dir, company: named(file)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/.well-known/clerk-credential-helper.json": 200, "/.well-known/other.json": 401, "/whoami": 401} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want || want == 200 && (w.Body.String() != file || w.Header().Get("Content-Type") != "application/json") {
			t.Errorf("%s: %d, %v, %q", path, w.Code, w.Header(), w.Body)
		}
	}
	for text, why := range map[string]string{
		"": "empty", "acme": "no JSON", `{"version": 2, "profiles": {"a": {}}}`: "another version", `{"version": 1}`: "no profile",
		file[:len(file)-1] + `, "name": "` + strings.Repeat("x", 64<<10) + `"}`: "larger than a helper reads",
	} {
		if _, err := newHandler(&Verifier{}, served{company: named(text)}, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: it is served", why)
		}
	}
	if _, err := newHandler(&Verifier{}, served{company: filepath.Join(dir, "missing")}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file that is not there is served")
	}
}

func TestGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	folder := t.TempDir()
	env := append(os.Environ(), "HOME="+folder, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@acme.dev", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@acme.dev")
	run := func(args ...string) (string, error) {
		cmd := exec.Command(git, args...)
		cmd.Dir, cmd.Env = folder, env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{
		{"init", "-q", "work"}, {"-C", "work", "commit", "-q", "--allow-empty", "-m", "hello"}, {"clone", "-q", "--bare", "work", "served/hello.git"},
	} {
		if out, err := run(args...); err != nil {
			t.Fatalf("git %q: %v %s", args, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "served", "hello.git", "secret"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := newClerk(t)
	client, err := newClient("")
	if err != nil {
		t.Fatal(err)
	}
	v := &Verifier{Issuer: c.server.URL, Clients: []string{"cli"}, API: c.server.URL, HTTP: client}
	h, err := newHandler(v, served{git: filepath.Join(folder, "served")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	at := func(token string) string {
		u, _ := url.Parse(server.URL + "/hello.git")
		if token != "" {
			u.User = url.UserPassword("clerk", token)
		}
		return u.String()
	}
	token := c.access(nil, nil)
	if out, err := run("clone", "-q", at(token), "clone"); err != nil {
		t.Fatalf("clone: %v %s", err, out)
	}
	if out, err := run("-C", "clone", "log", "--format=%s"); err != nil || strings.TrimSpace(out) != "hello" {
		t.Errorf("the clone holds %q (%v)", out, err)
	}
	for _, version := range []string{"0", "1"} {
		if out, err := run("-c", "protocol.version="+version, "clone", "-q", at(token), "clone"+version); err != nil {
			t.Errorf("protocol %s: %v %s", version, err, out)
		}
	}
	for name, address := range map[string]string{"without a token": at(""), "with a wrong token": at("x"), "of another client": at(c.access(nil, object{"client_id": "other"}))} {
		if out, err := run("clone", "-q", address, "not"); err == nil {
			t.Errorf("clone %s: %s", name, out)
		}
	}
	if out, err := run("-C", "clone", "push", "-q", at(token), "HEAD:refs/heads/new"); err == nil {
		t.Errorf("a push went through: %s", out)
	}
	for _, target := range []string{"/hello.git/secret", "/hello.git/HEAD", "/hello.git/info/refs", "/hello.git/info/refs?service=git-receive-pack",
		"/hello.git/info/refs?service=git-upload-pack&service=git-receive-pack", "/../work/.git/info/refs?service=git-upload-pack",
		"/hello.git/../hello.git/info/refs?service=git-upload-pack", "/.hidden/info/refs?service=git-upload-pack"} {
		r := httptest.NewRequest("GET", target, nil)
		r.SetBasicAuth("clerk", token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	// What git is started with does not hold the token.
	bin := filepath.Join(folder, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nenv\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	spy, err := newHandler(v, served{git: filepath.Join(folder, "served")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/hello.git/info/refs?service=git-upload-pack", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	spy.ServeHTTP(w, r)
	if body := w.Body.String(); !strings.Contains(body, "GIT_PROJECT_ROOT=") || strings.Contains(body, token) {
		t.Errorf("the environment of git: %.200s", body)
	}
	// A request in chunks, as git sends a long one.
	req, err := http.NewRequest("POST", server.URL+"/hello.git/git-upload-pack", io.MultiReader(strings.NewReader("0000")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	req.SetBasicAuth("clerk", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a request in chunks: %s", resp.Status)
	}
}

// TestGrant: a caller may pull; to push takes -push, and nothing gives the right to delete.
func TestGrant(t *testing.T) {
	for push, want := range map[bool][]string{false: {"pull"}, true: {"pull", "push"}} {
		s := &tokenService{push: push}
		if got := s.grant(Caller{}, "a", []string{"pull", "push", "delete", "*", ""}); !slices.Equal(got, want) {
			t.Errorf("-push is %t: %q", push, got)
		}
	}
}
