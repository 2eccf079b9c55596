package sandbox

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testRedirect = "http://127.0.0.1:49152/callback"
	testVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	testState    = "state-of-the-test"
	allScopes    = "openid profile email offline_access"
)

// client is a careful OAuth client of a sandbox behind a real listener.
type client struct {
	t    *testing.T
	s    *Server
	base string
	http *http.Client // follows no redirect
}

// signingKey is that of all sandboxes of this package: making one takes longer than most tests.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// newClient gives one. The sandbox's clock stands, so that only Advance moves it, however slow the machine is.
func newClient(t *testing.T, o Options) *client {
	t.Helper()
	now := time.Now()
	o.Now, o.Key = func() time.Time { return now }, signingKey
	s := New(o)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.SetIssuer(server.URL)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, s, server.URL, &http.Client{Jar: jar, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// correctParams are those of a correct authorization request.
func correctParams() url.Values {
	sum := sha256.Sum256([]byte(testVerifier))
	return url.Values{
		"response_type": {"code"}, "client_id": {"sandbox-client"}, "redirect_uri": {testRedirect}, "state": {testState},
		"nonce": {"nonce-of-the-test"}, "scope": {allScopes}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
	}
}

// with returns v with some values replaced; nil removes one.
func with(v url.Values, change url.Values) url.Values {
	for name, values := range change {
		if values == nil {
			v.Del(name)
		} else {
			v[name] = values
		}
	}
	return v
}

func (c *client) do(method, path string, header http.Header, body string) (*http.Response, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("User-Agent", "sandbox-test/1")
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(answer)
}

func (c *client) get(path string) (*http.Response, string) {
	c.t.Helper()
	return c.do("GET", path, nil, "")
}

func (c *client) form(path string, form url.Values) (*http.Response, string) {
	c.t.Helper()
	return c.do("POST", path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, form.Encode())
}

// location returns the query of the redirect to the client.
func (c *client) location(resp *http.Response) url.Values {
	c.t.Helper()
	to := resp.Header.Get("Location")
	rest, ok := strings.CutPrefix(to, testRedirect+"?")
	if resp.StatusCode != http.StatusSeeOther || !ok {
		c.t.Fatalf("answer is %d to %q, want a 303 to the redirect URI", resp.StatusCode, to)
	}
	q, err := url.ParseQuery(rest)
	if err != nil {
		c.t.Fatal(err)
	}
	return q
}

// code gets an authorization code from a sandbox with Auto.
func (c *client) code(change url.Values) string {
	c.t.Helper()
	resp, _ := c.get("/oauth/authorize?" + with(correctParams(), change).Encode())
	q := c.location(resp)
	if q.Get("code") == "" {
		c.t.Fatalf("no code but %v", q)
	}
	return q.Get("code")
}

func correctExchange(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {testRedirect},
		"client_id": {"sandbox-client"}, "code_verifier": {testVerifier}}
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {"sandbox-client"}}
}

type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    *int64 `json:"expires_in"`
	Scope        string `json:"scope"`
	Error        string `json:"error"`
	status       int
}

// token makes a token request.
func (c *client) token(form url.Values) tokenAnswer {
	c.t.Helper()
	resp, body := c.form("/oauth/token", form)
	var a tokenAnswer
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		c.t.Fatalf("answer %d %q is not JSON: %v", resp.StatusCode, body, err)
	}
	if got := resp.Header.Get("Cache-Control"); got != "no-store" {
		c.t.Errorf("Cache-Control of a token answer is %q", got)
	}
	a.status = resp.StatusCode
	return a
}

// signIn does all of it.
func (c *client) signIn() tokenAnswer {
	c.t.Helper()
	a := c.token(correctExchange(c.code(nil)))
	if a.status != http.StatusOK {
		c.t.Fatalf("sign-in answers %d %s", a.status, a.Error)
	}
	return a
}

// claims decodes a JWT without verifying it.
func claims(t *testing.T, token string) (header, payload map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token has %d parts", len(parts))
	}
	for i, into := range []*map[string]any{&header, &payload} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, payload
}

// program returns the path of a program that runs, or ends the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		out, failed := exec.Command(path, "--version").CombinedOutput()
		if failed == nil {
			return path
		}
		err = fmt.Errorf("%s does not run here: %w\n%s", name, failed, out)
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
	return ""
}

func TestDiscovery(t *testing.T) {
	c := newClient(t, Options{})
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		resp, body := c.get(path)
		var d map[string]any
		if err := json.Unmarshal([]byte(body), &d); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s answers %d, %v", path, resp.StatusCode, err)
		}
		for name, want := range map[string]any{
			"issuer":                 c.base,
			"authorization_endpoint": c.base + "/oauth/authorize",
			"token_endpoint":         c.base + "/oauth/token",
			"revocation_endpoint":    c.base + "/oauth/token/revoke",
			"userinfo_endpoint":      c.base + "/oauth/userinfo",
			"jwks_uri":               c.base + "/.well-known/jwks.json",
			"authorization_response_iss_parameter_supported": true,
		} {
			if d[name] != want {
				t.Errorf("%s: %s is %v, want %v", path, name, d[name], want)
			}
		}
		for _, name := range []string{"introspection_endpoint", "scopes_supported", "response_types_supported",
			"response_modes_supported", "grant_types_supported", "subject_types_supported",
			"id_token_signing_alg_values_supported", "token_endpoint_auth_methods_supported", "claims_supported",
			"code_challenge_methods_supported", "backchannel_logout_supported", "frontchannel_logout_supported"} {
			if _, ok := d[name]; !ok {
				t.Errorf("%s: %s is missing, which Clerk's always has", path, name)
			}
		}
		for _, name := range []string{"device_authorization_endpoint", "registration_endpoint"} {
			if _, ok := d[name]; ok {
				t.Errorf("%s: %s is there and is not served", path, name)
			}
		}
	}
}

func TestDiscoveryFaults(t *testing.T) {
	c := newClient(t, Options{})
	c.s.SetFaults(func(f *Faults) {
		f.ForeignTokenEndpoint = "https://evil.example/oauth/token"
		f.NoOfflineAccess = true
		f.Discovery = map[string]any{"jwks_uri": nil, "issuer": "https://other.example"}
	})
	_, body := c.get("/.well-known/openid-configuration")
	var d map[string]any
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	if d["token_endpoint"] != "https://evil.example/oauth/token" || d["issuer"] != "https://other.example" {
		t.Errorf("faults do not show: %s", body)
	}
	if _, ok := d["jwks_uri"]; ok || strings.Contains(body, "offline_access") {
		t.Errorf("faults do not show: %s", body)
	}
	c.s.SetFaults(func(f *Faults) { *f = Faults{DiscoveryStatus: 503, JWKSDown: true, UserinfoStatus: 502} })
	for path, want := range map[string]int{"/.well-known/openid-configuration": 503, "/.well-known/jwks.json": 503,
		"/oauth/userinfo": 502} {
		if resp, _ := c.get(path); resp.StatusCode != want {
			t.Errorf("%s answers %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// What must be shown to the person and never be redirected anywhere.
func TestAuthorizeRefusesToRedirect(t *testing.T) {
	redirects := map[string]string{
		"localhost is a name":       "http://localhost:49152/callback",
		"IPv6 is not registered":    "http://[::1]:49152/callback",
		"https is another scheme":   "https://127.0.0.1:49152/callback",
		"upper-case scheme":         "HTTP://127.0.0.1:49152/callback",
		"no scheme":                 "//127.0.0.1:49152/callback",
		"another path":              "http://127.0.0.1:49152/other",
		"trailing slash":            "http://127.0.0.1:49152/callback/",
		"longer path":               "http://127.0.0.1:49152/callback2",
		"path traversal":            "http://127.0.0.1:49152/x/../callback",
		"empty path":                "http://127.0.0.1:49152",
		"query":                     "http://127.0.0.1:49152/callback?a=b",
		"fragment":                  "http://127.0.0.1:49152/callback#a",
		"query that ends as path":   "http://127.0.0.1:49152/?/callback",
		"user info":                 "http://127.0.0.1:49152@evil.example/callback",
		"user info before":          "http://me@127.0.0.1:49152/callback",
		"suffix":                    "http://127.0.0.1.evil.example/callback",
		"suffix with port":          "http://127.0.0.1:49152.evil.example/callback",
		"other loopback address":    "http://127.0.0.2:49152/callback",
		"short form":                "http://127.1:49152/callback",
		"decimal form":              "http://2130706433:49152/callback",
		"port 0":                    "http://127.0.0.1:0/callback",
		"port too large":            "http://127.0.0.1:65536/callback",
		"port with leading zero":    "http://127.0.0.1:080/callback",
		"port with sign":            "http://127.0.0.1:+80/callback",
		"empty port":                "http://127.0.0.1:/callback",
		"star":                      "http://127.0.0.1:*/callback",
		"port without colon":        "http://127.0.0.180/callback",
		"space":                     " http://127.0.0.1:49152/callback",
		"line feed":                 "http://127.0.0.1:49152\n/callback",
		"backslash":                 "http://127.0.0.1:49152\\@evil.example/callback",
		"percent-encoded":           "http://127.0.0.1:49152/%63allback",
		"somewhere else altogether": "https://evil.example/callback",
		"script":                    "javascript:alert(1)//127.0.0.1/callback",
		"empty":                     "",
	}
	rows := map[string]url.Values{
		"redirect_uri missing": {"redirect_uri": nil},
		"redirect_uri twice":   {"redirect_uri": {testRedirect, testRedirect}},
		"client_id missing":    {"client_id": nil},
		"client_id unknown":    {"client_id": {"other"}},
		"client_id twice":      {"client_id": {"sandbox-client", "sandbox-client"}},
		"client_id and case":   {"client_id": {"Sandbox-Client"}},
		"too long":             {"state": {strings.Repeat("s", maxForm)}},
	}
	for reason, uri := range redirects {
		rows[reason] = url.Values{"redirect_uri": {uri}}
	}
	for _, auto := range []bool{true, false} {
		c := newClient(t, Options{Auto: auto})
		for reason, change := range rows {
			params := with(correctParams(), change)
			resp, body := c.get("/oauth/authorize?" + params.Encode())
			if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" {
				t.Errorf("auto=%t, %s: answers %d to %q", auto, reason, resp.StatusCode, resp.Header.Get("Location"))
			}
			if strings.Contains(body, "evil.example") {
				t.Errorf("%s: the page repeats what it was sent", reason)
			}
			if resp, _ := c.form("/oauth/authorize", params); resp.StatusCode != http.StatusBadRequest {
				t.Errorf("auto=%t, %s: POST answers %d", auto, reason, resp.StatusCode)
			}
		}
		if resp, _ := c.get("/oauth/authorize?" + correctParams().Encode() + "&%zz"); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("a malformed query answers %d", resp.StatusCode)
		}
		if len(c.s.Issued()) != 0 {
			t.Errorf("auto=%t: something was issued", auto)
		}
	}
}

func TestAuthorizeErrors(t *testing.T) {
	rows := []struct {
		reason string
		change url.Values
		want   string
	}{
		{"no response_type", url.Values{"response_type": nil}, "invalid_request"},
		{"implicit grant", url.Values{"response_type": {"token"}}, "unsupported_response_type"},
		{"hybrid", url.Values{"response_type": {"code id_token"}}, "unsupported_response_type"},
		{"response_mode", url.Values{"response_mode": {"fragment"}}, "invalid_request"},
		{"no state", url.Values{"state": nil}, "invalid_request"},
		{"state of 7", url.Values{"state": {"1234567"}}, "invalid_request"},
		{"state twice", url.Values{"state": {testState, testState}}, "invalid_request"},
		{"no challenge", url.Values{"code_challenge": nil}, "invalid_request"},
		{"no method means plain", url.Values{"code_challenge_method": nil}, "invalid_request"},
		{"plain", url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
		{"method in lower case", url.Values{"code_challenge_method": {"s256"}}, "invalid_request"},
		{"challenge of 42", url.Values{"code_challenge": {strings.Repeat("a", 42)}}, "invalid_request"},
		{"challenge of 44", url.Values{"code_challenge": {strings.Repeat("a", 44)}}, "invalid_request"},
		{"challenge with padding", url.Values{"code_challenge": {strings.Repeat("a", 42) + "="}}, "invalid_request"},
		{"challenge in plain base64", url.Values{"code_challenge": {strings.Repeat("a", 20) + "+/" + strings.Repeat("a", 21)}}, "invalid_request"},
		{"unknown scope", url.Values{"scope": {"openid admin"}}, "invalid_scope"},
		{"scopes with a comma", url.Values{"scope": {"openid,email"}}, "invalid_scope"},
		{"scope twice", url.Values{"scope": {"openid", "email"}}, "invalid_request"},
		{"nonce twice", url.Values{"nonce": {"a", "b"}}, "invalid_request"},
		{"an unknown parameter twice", url.Values{"x": {"a", "b"}}, "invalid_request"},
		{"prompt unknown", url.Values{"prompt": {"maybe"}}, "invalid_request"},
	}
	c := newClient(t, Options{Auto: true})
	for _, row := range rows {
		resp, _ := c.get("/oauth/authorize?" + with(correctParams(), row.change).Encode())
		q := c.location(resp)
		if q.Get("error") != row.want || q.Has("code") || q.Get("iss") != c.base {
			t.Errorf("%s: redirects with %v, want %s", row.reason, q, row.want)
		}
		if _, changed := row.change["state"]; !changed && q.Get("state") != testState {
			t.Errorf("%s: state is %q", row.reason, q.Get("state"))
		}
	}
	c.s.SetFaults(func(f *Faults) { f.NoOfflineAccess = true })
	resp, _ := c.get("/oauth/authorize?" + correctParams().Encode())
	if got := c.location(resp).Get("error"); got != "invalid_scope" {
		t.Errorf("without offline_access: %q", got)
	}
	c.s.SetFaults(func(f *Faults) { *f = Faults{DenyConsent: true} })
	resp, _ = c.get("/oauth/authorize?" + correctParams().Encode())
	if q := c.location(resp); q.Get("error") != "access_denied" || q.Get("state") != testState || q.Get("iss") != c.base {
		t.Errorf("denied: %v", q)
	}
	if len(c.s.Issued()) != 0 {
		t.Error("something was issued")
	}
}

func TestAuthorizeResponse(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	ask := func() url.Values {
		resp, _ := c.get("/oauth/authorize?" + correctParams().Encode())
		return c.location(resp)
	}
	if q := ask(); q.Get("code") == "" || q.Get("state") != testState || q.Get("iss") != c.base || len(q) != 3 {
		t.Errorf("redirects with %v", q)
	}
	for _, uri := range []string{"http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback", "http://127.0.0.1/callback"} {
		resp, _ := c.get("/oauth/authorize?" + with(correctParams(), url.Values{"redirect_uri": {uri}}).Encode())
		if to := resp.Header.Get("Location"); !strings.HasPrefix(to, uri+"?code=") {
			t.Errorf("%s: redirects to %q", uri, to)
		}
	}
	resp, _ := c.form("/oauth/authorize", correctParams())
	if c.location(resp).Get("code") == "" {
		t.Error("POST gives no code")
	}
	resp, _ = c.form("/oauth/authorize?state="+testState, correctParams())
	if got := c.location(resp).Get("error"); got != "invalid_request" {
		t.Errorf("state in the query and in the form: %q", got)
	}
	c.s.SetFaults(func(f *Faults) { f.OmitResponseIssuer = true })
	if q := ask(); q.Has("iss") {
		t.Errorf("iss is still there: %v", q)
	}
	c.s.SetFaults(func(f *Faults) { *f = Faults{WrongResponseIssuer: true, WrongState: true} })
	if q := ask(); q.Get("iss") == c.base || !q.Has("iss") || q.Get("state") == testState {
		t.Errorf("faults do not show: %v", q)
	}
}

func TestExchange(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	a := c.signIn()
	if a.TokenType != "bearer" || a.Scope != allScopes || a.RefreshToken == "" || a.ExpiresIn == nil || *a.ExpiresIn != 86400 {
		t.Errorf("answer is %+v", a)
	}

	header, payload := claims(t, a.AccessToken)
	if header["typ"] != "at+jwt" || header["alg"] != "RS256" || !strings.HasPrefix(header["kid"].(string), "ins_") {
		t.Errorf("header of the access token is %v", header)
	}
	names := []string{}
	for name := range payload {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"client_id", "exp", "iat", "iss", "jti", "nbf", "scope", "sub"}; !slices.Equal(names, want) {
		t.Errorf("claims of the access token are %v, want %v as in a live one", names, want)
	}
	if payload["iss"] != c.base || payload["client_id"] != "sandbox-client" || payload["scope"] != allScopes ||
		payload["nbf"] != payload["iat"].(float64)-10 || payload["exp"] != payload["iat"].(float64)+86400 ||
		!strings.HasPrefix(payload["jti"].(string), "oat_") || !strings.HasPrefix(payload["sub"].(string), "user_") {
		t.Errorf("claims of the access token are %v", payload)
	}

	header, id := claims(t, a.IDToken)
	if header["typ"] != "JWT" || id["aud"] != "sandbox-client" || id["nonce"] != "nonce-of-the-test" || id["iss"] != c.base ||
		id["sub"] != payload["sub"] || id["email"] != "ada@acme.dev" || id["name"] != "Ada Lovelace" {
		t.Errorf("ID token has %v and %v", header, id)
	}

	p, err := c.s.Verify(a.AccessToken)
	if err != nil || p.Email != "ada@acme.dev" || p.ID != payload["sub"] {
		t.Errorf("Verify gives %+v, %v", p, err)
	}
	if _, err := c.s.Verify(a.IDToken); err == nil {
		t.Error("an ID token passes as an access token")
	}
	for _, scheme := range []string{"Bearer", "bearer"} {
		resp, body := c.do("GET", "/oauth/userinfo", http.Header{"Authorization": {scheme + " " + a.AccessToken}}, "")
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, `"email":"ada@acme.dev"`) || !strings.Contains(body, p.ID) {
			t.Errorf("userinfo answers %d %s", resp.StatusCode, body)
		}
	}
	for reason, value := range map[string]string{"none": "", "Basic": "Basic " + a.AccessToken, "garbage": "Bearer x",
		"ID token": "Bearer " + a.IDToken, "refresh token": "Bearer " + a.RefreshToken} {
		resp, _ := c.do("GET", "/oauth/userinfo", http.Header{"Authorization": {value}}, "")
		if resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("userinfo with %s answers %d", reason, resp.StatusCode)
		}
	}
}

func TestScopesDecide(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	rows := []struct {
		scope            string
		refresh, idToken bool
	}{
		{"profile email", false, false},
		{"openid", false, true},
		{"offline_access", true, false},
		{"", false, false}, // the default is profile email
	}
	for _, row := range rows {
		a := c.token(correctExchange(c.code(url.Values{"scope": {row.scope}})))
		if (a.RefreshToken != "") != row.refresh || (a.IDToken != "") != row.idToken {
			t.Errorf("scope %q: %+v", row.scope, a)
		}
		if row.scope == "openid" {
			if _, id := claims(t, a.IDToken); id["email"] != nil || id["name"] != nil {
				t.Errorf("an ID token without the scope has %v", id)
			}
		}
		if row.scope == "" && a.Scope != "profile email" {
			t.Errorf("the default scope is %q", a.Scope)
		}
	}
}

func TestTokenEndpointRefuses(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	rows := []struct {
		reason string
		change url.Values
		status int
		want   string
	}{
		{"no grant type", url.Values{"grant_type": nil}, 400, "invalid_request"},
		{"empty grant type", url.Values{"grant_type": {""}}, 400, "invalid_request"},
		{"password grant", url.Values{"grant_type": {"password"}}, 401, "unsupported_grant_type"},
		{"client credentials", url.Values{"grant_type": {"client_credentials"}}, 401, "unsupported_grant_type"},
		{"device grant, not advertised", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}}, 401, "unsupported_grant_type"},
		{"no client", url.Values{"client_id": nil}, 401, "invalid_client"},
		{"other client", url.Values{"client_id": {"other"}}, 401, "invalid_client"},
		{"a secret of a public client", url.Values{"client_secret": {""}}, 401, "invalid_client"},
		{"no code", url.Values{"code": nil}, 400, "invalid_request"},
		{"unknown code", url.Values{"code": {"nonsense"}}, 400, "invalid_grant"},
		{"code twice", url.Values{"code": {"a", "a"}}, 400, "invalid_request"},
		{"an unknown parameter twice", url.Values{"x": {"a", "a"}}, 400, "invalid_request"},
		{"no redirect_uri", url.Values{"redirect_uri": nil}, 400, "invalid_request"},
		{"another port", url.Values{"redirect_uri": {"http://127.0.0.1:49153/callback"}}, 400, "invalid_grant"},
		{"the registered URI, not the one used", url.Values{"redirect_uri": {"http://127.0.0.1/callback"}}, 400, "invalid_grant"},
		{"no verifier", url.Values{"code_verifier": nil}, 400, "invalid_request"},
		{"verifier of 42", url.Values{"code_verifier": {strings.Repeat("a", 42)}}, 400, "invalid_request"},
		{"verifier of 129", url.Values{"code_verifier": {strings.Repeat("a", 129)}}, 400, "invalid_request"},
		{"verifier with a plus", url.Values{"code_verifier": {strings.Repeat("a", 43) + "+"}}, 400, "invalid_request"},
		{"another verifier", url.Values{"code_verifier": {strings.Repeat("a", 43)}}, 400, "invalid_grant"},
		{"the challenge as the verifier", url.Values{"code_verifier": {correctParams().Get("code_challenge")}}, 400, "invalid_grant"},
	}
	for _, row := range rows {
		code := c.code(nil)
		a := c.token(with(correctExchange(code), row.change))
		if a.status != row.status || a.Error != row.want || a.AccessToken != "" {
			t.Errorf("%s: answers %d %s, want %d %s", row.reason, a.status, a.Error, row.status, row.want)
		}
		if row.want == "invalid_grant" && !row.change.Has("code") {
			if a := c.token(correctExchange(code)); a.Error != "invalid_grant" {
				t.Errorf("%s: a second guess with the same code is possible", row.reason)
			}
		}
	}

	good := correctExchange(c.code(nil)).Encode()
	formType := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	raw := []struct {
		reason string
		method string
		path   string
		header http.Header
		body   string
		status int
		want   string
	}{
		{"JSON", "POST", "/oauth/token", http.Header{"Content-Type": {"application/json"}}, good, 400, "invalid_request"},
		{"no content type", "POST", "/oauth/token", nil, good, 400, "invalid_request"},
		{"parameters in the query", "POST", "/oauth/token?" + good, formType, "", 400, "invalid_request"},
		{"a malformed form", "POST", "/oauth/token", formType, good + "&%zz=1", 400, "invalid_request"},
		{"too large", "POST", "/oauth/token", formType, good + "&x=" + strings.Repeat("x", maxForm), 400, "invalid_request"},
		{"Basic authentication", "POST", "/oauth/token", http.Header{"Content-Type": formType["Content-Type"],
			"Authorization": {"Basic c2FuZGJveC1jbGllbnQ6"}}, good, 401, "invalid_client"},
		{"GET", "GET", "/oauth/token?" + good, nil, "", 405, ""},
		{"the User-Agent of net/http", "POST", "/oauth/token", http.Header{"Content-Type": formType["Content-Type"],
			"User-Agent": {"Go-http-client/1.1"}}, good, 403, ""},
	}
	for _, row := range raw {
		resp, body := c.do(row.method, row.path, row.header, row.body)
		if resp.StatusCode != row.status || !strings.Contains(body, row.want) {
			t.Errorf("%s: answers %d %q, want %d %s", row.reason, resp.StatusCode, body, row.status, row.want)
		}
		if row.status == 403 && body != "" {
			t.Errorf("%s: the 403 has a body", row.reason)
		}
	}
	if resp, body := c.do("POST", "/oauth/token", formType, good); resp.StatusCode != http.StatusOK {
		t.Errorf("the code that all of these carried is spent: %s", body)
	}
}

func TestCodeReplayEndsTheGrant(t *testing.T) {
	c := newClient(t, Options{Auto: true, Opaque: true})
	code := c.code(nil)
	first := c.token(correctExchange(code))
	if _, err := c.s.Verify(first.AccessToken); err != nil {
		t.Fatal(err)
	}
	if second := c.token(correctExchange(code)); second.status != 400 || second.Error != "invalid_grant" {
		t.Errorf("replay answers %d %s", second.status, second.Error)
	}
	if _, err := c.s.Verify(first.AccessToken); err == nil {
		t.Error("the access token of a replayed code is still good")
	}
	if a := c.token(refreshForm(first.RefreshToken)); a.Error != "invalid_grant" {
		t.Errorf("the refresh token of a replayed code answers %d %s", a.status, a.Error)
	}
	if c.s.Reuses() != 0 {
		t.Error("a code's replay is counted as a refresh token's reuse")
	}
}

func TestCodeExpires(t *testing.T) {
	for after, want := range map[time.Duration]int{10*time.Minute - time.Second: 200, 10*time.Minute + time.Second: 400} {
		c := newClient(t, Options{Auto: true})
		code := c.code(nil)
		c.s.Advance(after)
		if a := c.token(correctExchange(code)); a.status != want {
			t.Errorf("after %v: answers %d %s", after, a.status, a.Error)
		}
	}
}

func TestRotationAndReuse(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	first := c.signIn()
	second := c.token(refreshForm(first.RefreshToken))
	if second.status != 200 || second.RefreshToken == "" || second.RefreshToken == first.RefreshToken ||
		second.AccessToken == first.AccessToken {
		t.Fatalf("refresh answers %+v", second)
	}
	if _, id := claims(t, second.IDToken); id["nonce"] != nil {
		t.Error("a refreshed ID token has a nonce")
	}
	third := c.token(refreshForm(second.RefreshToken))
	if third.status != 200 || c.s.Reuses() != 0 {
		t.Fatalf("second refresh answers %+v", third)
	}
	if a := c.token(refreshForm(first.RefreshToken)); a.status != 401 || a.Error != "invalid_grant" {
		t.Errorf("reuse answers %d %s", a.status, a.Error)
	}
	if c.s.Reuses() != 1 {
		t.Errorf("reuses are %d", c.s.Reuses())
	}
	if a := c.token(refreshForm(third.RefreshToken)); a.status != 401 || a.Error != "invalid_grant" {
		t.Errorf("the last token after a reuse answers %d %s", a.status, a.Error)
	}
	if n := c.s.Count("token:refresh_token"); n != 4 {
		t.Errorf("refreshes counted: %d", n)
	}
	// A grant of its own is not touched.
	if a := c.token(refreshForm(c.signIn().RefreshToken)); a.status != 200 {
		t.Errorf("another grant answers %d %s", a.status, a.Error)
	}
}

func TestRefreshRefuses(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	a := c.signIn()
	rows := []struct {
		reason string
		change url.Values
		status int
		want   string
	}{
		{"missing", url.Values{"refresh_token": nil}, 400, "invalid_request"},
		{"unknown", url.Values{"refresh_token": {"nonsense"}}, 401, "invalid_grant"},
		{"the access token", url.Values{"refresh_token": {a.AccessToken}}, 401, "invalid_grant"},
		{"twice", url.Values{"refresh_token": {a.RefreshToken, a.RefreshToken}}, 400, "invalid_request"},
		{"other client", url.Values{"client_id": {"other"}}, 401, "invalid_client"},
		{"more scopes", url.Values{"scope": {allScopes + " user:org:read"}}, 400, "invalid_scope"},
	}
	for _, row := range rows {
		if got := c.token(with(refreshForm(a.RefreshToken), row.change)); got.status != row.status || got.Error != row.want {
			t.Errorf("%s: answers %d %s, want %d %s", row.reason, got.status, got.Error, row.status, row.want)
		}
	}
	narrow := c.token(with(refreshForm(a.RefreshToken), url.Values{"scope": {"profile"}}))
	if narrow.status != 200 || narrow.Scope != "profile" || narrow.IDToken != "" || narrow.RefreshToken == "" {
		t.Errorf("fewer scopes: %+v", narrow)
	}
	if wide := c.token(refreshForm(narrow.RefreshToken)); wide.Scope != allScopes {
		t.Errorf("the scopes do not come back: %+v", wide)
	}
}

// Of many that present one refresh token at once, one wins.
func TestConcurrentRefresh(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	form := refreshForm(c.signIn().RefreshToken).Encode()
	const n = 20
	statuses := make(chan int, n)
	for range n {
		go func() {
			r := httptest.NewRequest("POST", "/oauth/token", strings.NewReader(form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("User-Agent", "sandbox-test/1")
			w := httptest.NewRecorder()
			c.s.ServeHTTP(w, r)
			statuses <- w.Code
		}()
	}
	won := 0
	for range n {
		if <-statuses == http.StatusOK {
			won++
		}
	}
	if won != 1 || c.s.Reuses() != n-1 {
		t.Errorf("%d of %d won, %d reuses", won, n, c.s.Reuses())
	}
}

func TestRevoke(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		c := newClient(t, Options{Auto: true, Opaque: opaque})
		a := c.signIn()
		revoke := func(form url.Values) (int, string) {
			resp, body := c.form("/oauth/token/revoke", form)
			return resp.StatusCode, body
		}
		for reason, row := range map[string]struct {
			form   url.Values
			status int
			want   string
		}{
			"no client":    {url.Values{"token": {a.RefreshToken}}, 401, "invalid_client"},
			"other client": {url.Values{"token": {a.RefreshToken}, "client_id": {"x"}}, 401, "invalid_client"},
			"no token":     {url.Values{"client_id": {"sandbox-client"}}, 400, "invalid_request"},
			"unknown":      {url.Values{"token": {"nonsense"}, "client_id": {"sandbox-client"}}, 200, ""},
			"an ID token":  {url.Values{"token": {a.IDToken}, "client_id": {"sandbox-client"}}, 400, "unsupported_token_type"},
		} {
			if status, body := revoke(row.form); status != row.status || !strings.Contains(body, row.want) {
				t.Errorf("%s: answers %d %s", reason, status, body)
			}
		}
		old := a.RefreshToken
		a = c.token(refreshForm(old))
		if a.status != 200 {
			t.Fatalf("the grant is gone after what should not have ended it: %+v", a)
		}
		if status, _ := revoke(url.Values{"token": {old}, "client_id": {"sandbox-client"}}); status != 200 {
			t.Errorf("a rotated token answers %d", status)
		}
		if a = c.token(refreshForm(a.RefreshToken)); a.status != 200 {
			t.Errorf("revoking a rotated token ended the grant: %+v", a)
		}

		status, body := revoke(url.Values{"token": {a.AccessToken}, "client_id": {"sandbox-client"}})
		_, err := c.s.Verify(a.AccessToken)
		if opaque && (status != 200 || err == nil) {
			t.Errorf("opaque access token: %d %s, %v", status, body, err)
		}
		if !opaque && (status != 400 || !strings.Contains(body, "unsupported_token_type") || err != nil) {
			t.Errorf("JWT access token: %d %s, %v", status, body, err)
		}

		if a = c.token(refreshForm(a.RefreshToken)); a.status != 200 {
			t.Fatalf("revoking the access token ended the grant: %+v", a)
		}
		if status, body := revoke(url.Values{"token": {a.RefreshToken}, "client_id": {"sandbox-client"}}); status != 200 || body != "" {
			t.Errorf("the refresh token: %d %s", status, body)
		}
		if _, err := c.s.Verify(a.AccessToken); (err != nil) != opaque {
			t.Errorf("opaque=%t: the access token of a revoked grant: %v", opaque, err)
		}
		if got := c.token(refreshForm(a.RefreshToken)); got.status != 401 || got.Error != "invalid_grant" {
			t.Errorf("a revoked refresh token answers %d %s", got.status, got.Error)
		}
		if c.s.Reuses() != 0 {
			t.Errorf("%d reuses", c.s.Reuses())
		}
	}
}

func TestOpaque(t *testing.T) {
	c := newClient(t, Options{Auto: true, Opaque: true})
	a := c.signIn()
	if !strings.HasPrefix(a.AccessToken, "oat_") || strings.Contains(a.AccessToken, ".") {
		t.Errorf("access token is %q", a.AccessToken)
	}
	resp, body := c.do("GET", "/oauth/userinfo", http.Header{"Authorization": {"Bearer " + a.AccessToken}}, "")
	_, id := claims(t, a.IDToken)
	if resp.StatusCode != 200 || !strings.Contains(body, id["sub"].(string)) {
		t.Errorf("userinfo answers %d %s", resp.StatusCode, body)
	}
	if _, err := c.s.Verify("oat_nonsense"); err == nil {
		t.Error("an unknown opaque token is accepted")
	}
}

func TestExpiry(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		c := newClient(t, Options{Auto: true, Opaque: opaque, AccessLifetime: time.Minute})
		a := c.signIn()
		if *a.ExpiresIn != 60 {
			t.Errorf("expires_in is %d", *a.ExpiresIn)
		}
		c.s.Advance(58 * time.Second)
		if _, err := c.s.Verify(a.AccessToken); err != nil {
			t.Errorf("opaque=%t: %v", opaque, err)
		}
		c.s.Advance(2 * time.Second)
		if _, err := c.s.Verify(a.AccessToken); err == nil {
			t.Errorf("opaque=%t: an expired token is accepted", opaque)
		}
		c.s.SetFaults(func(f *Faults) { f.AccessLifetime = time.Hour })
		b := c.token(refreshForm(a.RefreshToken))
		if *b.ExpiresIn != 3600 {
			t.Errorf("expires_in is %d", *b.ExpiresIn)
		}
		c.s.Advance(59 * time.Minute)
		if _, err := c.s.Verify(b.AccessToken); err != nil {
			t.Errorf("opaque=%t: %v", opaque, err)
		}
		c.s.Advance(-2 * time.Hour)
		if _, err := c.s.Verify(b.AccessToken); err == nil && !opaque {
			t.Error("a token from the future is accepted")
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	good := c.signIn().AccessToken
	other := newClient(t, Options{Auto: true})
	rows := map[string]string{
		"empty":                   "",
		"garbage":                 "a.b.c",
		"another server's":        other.signIn().AccessToken,
		"one more character":      good + "A",
		"without its signature":   good[:strings.LastIndexByte(good, '.')+1],
		"with another's payload":  splice(good, other.signIn().AccessToken),
		"with a space in front":   " " + good,
		"the user name before it": "clerk:" + good,
	}
	for name, fault := range map[string]func(*Faults){
		"bad signature": func(f *Faults) { f.BadSignature = true },
		"unsigned":      func(f *Faults) { f.Unsigned = true },
		"wrong type":    func(f *Faults) { f.WrongType = true },
		"wrong issuer":  func(f *Faults) { f.WrongIssuer = true },
		"wrong client":  func(f *Faults) { f.WrongClientID = true },
	} {
		c.s.SetFaults(func(f *Faults) { *f = Faults{}; fault(f) })
		rows[name] = c.signIn().AccessToken
	}
	for reason, token := range rows {
		if _, err := c.s.Verify(token); err == nil {
			t.Errorf("%s: accepted", reason)
		}
	}
	if _, err := c.s.Verify(good); err != nil {
		t.Error(err)
	}
}

// splice puts the payload of one JWT into another.
func splice(a, b string) string {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	return x[0] + "." + y[1] + "." + x[2]
}

func TestTokenFaults(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	under := func(change func(*Faults)) tokenAnswer {
		t.Helper()
		c.s.SetFaults(func(f *Faults) { *f = Faults{}; change(f) })
		return c.signIn()
	}
	if a := under(func(f *Faults) { f.OmitRefreshToken, f.OmitExpiresIn, f.OmitIDToken = true, true, true }); a.RefreshToken != "" ||
		a.ExpiresIn != nil || a.IDToken != "" {
		t.Errorf("omitted things are there: %+v", a)
	}
	if a := under(func(f *Faults) { f.TokenType = "Bearer" }); a.TokenType != "Bearer" {
		t.Errorf("token_type is %q", a.TokenType)
	}
	a := under(func(f *Faults) { f.OtherSubject = true })
	_, access := claims(t, a.AccessToken)
	_, id := claims(t, a.IDToken)
	if access["sub"] != id["sub"] || id["email"] == "ada@acme.dev" {
		t.Errorf("other subject: %v and %v", access, id)
	}
	a = under(func(f *Faults) { f.OtherAccessSubject, f.WrongNonce, f.WrongAudience = true, true, true })
	_, access = claims(t, a.AccessToken)
	_, id = claims(t, a.IDToken)
	if access["sub"] == id["sub"] || id["email"] != "ada@acme.dev" || id["nonce"] == "nonce-of-the-test" || id["aud"] == "sandbox-client" {
		t.Errorf("other access subject, nonce, audience: %v and %v", access, id)
	}
	if a := under(func(f *Faults) { f.Unsigned = true }); !strings.HasSuffix(a.AccessToken, ".") {
		t.Error("an unsigned token has a signature")
	}
	// A refresh that brings no new refresh token leaves the old one good.
	a = under(func(*Faults) {})
	c.s.SetFaults(func(f *Faults) { f.OmitRefreshToken = true })
	for range 2 {
		if b := c.token(refreshForm(a.RefreshToken)); b.status != 200 || b.RefreshToken != "" {
			t.Errorf("refresh answers %+v", b)
		}
	}
	if c.s.Reuses() != 0 {
		t.Errorf("%d reuses", c.s.Reuses())
	}
}

func TestTokenEndpointFaults(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	a := c.signIn()
	c.s.SetFaults(func(f *Faults) {
		f.TokenStatus, f.TokenBody, f.TokenHeader = 429, "slow down", http.Header{"Retry-After": {"7"}}
	})
	resp, body := c.form("/oauth/token", refreshForm(a.RefreshToken))
	if resp.StatusCode != 429 || body != "slow down" || resp.Header.Get("Retry-After") != "7" {
		t.Errorf("answers %d %q %v", resp.StatusCode, body, resp.Header)
	}
	c.s.SetFaults(func(f *Faults) { *f = Faults{TokenBody: "<html>"} })
	if resp, body := c.form("/oauth/token", refreshForm(a.RefreshToken)); resp.StatusCode != 200 || body != "<html>" {
		t.Errorf("answers %d %q", resp.StatusCode, body)
	}
	broken := func(change func(*Faults)) {
		t.Helper()
		c.s.SetFaults(func(f *Faults) { *f = Faults{}; change(f) })
		req, err := http.NewRequest("POST", c.base+"/oauth/token", strings.NewReader(refreshForm(a.RefreshToken).Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("User-Agent", "sandbox-test/1")
		resp, err := c.http.Do(req)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("the answer is whole")
		}
	}
	broken(func(f *Faults) { f.TokenDrop = true })
	c.s.SetFaults(func(f *Faults) { *f = Faults{} })
	a = c.token(refreshForm(a.RefreshToken))
	if a.status != 200 || c.s.Reuses() != 0 {
		t.Fatalf("after faults that do no work: %+v, %d reuses", a, c.s.Reuses())
	}
	broken(func(f *Faults) { f.TokenLose = true })
	c.s.SetFaults(func(f *Faults) { *f = Faults{} })
	if got := c.token(refreshForm(a.RefreshToken)); got.Error != "invalid_grant" || c.s.Reuses() != 1 {
		t.Errorf("after a lost answer: %+v, %d reuses", got, c.s.Reuses())
	}
	a = c.signIn()
	broken(func(f *Faults) { f.TokenTruncate = true })
	c.s.SetFaults(func(f *Faults) { *f = Faults{} })
	if got := c.token(refreshForm(a.RefreshToken)); got.Error != "invalid_grant" || c.s.Reuses() != 2 {
		t.Errorf("after half an answer: %+v, %d reuses", got, c.s.Reuses())
	}
	a = c.signIn()
	c.s.SetFaults(func(f *Faults) { f.Delay = 50 * time.Millisecond })
	start := time.Now()
	if c.token(refreshForm(a.RefreshToken)); time.Since(start) < 50*time.Millisecond {
		t.Error("the answer is not delayed")
	}
	c.s.SetFaults(func(f *Faults) { *f = Faults{RevokeStatus: 500} })
	if resp, _ := c.form("/oauth/token/revoke", url.Values{"token": {"x"}, "client_id": {"sandbox-client"}}); resp.StatusCode != 500 {
		t.Errorf("revocation answers %d", resp.StatusCode)
	}
}

func TestRequestLog(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	a := c.signIn()
	c.token(refreshForm(a.RefreshToken))
	c.get("/nothing")
	var got []string
	for _, e := range c.s.Requests() {
		if e.Time.IsZero() || !strings.HasPrefix(e.URL, e.Path) {
			t.Errorf("entry is %+v", e)
		}
		got = append(got, strings.Join([]string{e.Method, e.Path, e.Grant, http.StatusText(e.Status)}, " "))
		for _, secret := range c.s.Issued() {
			if strings.Contains(e.URL, secret) {
				t.Errorf("a secret is in the URL of %s", e.Path)
			}
		}
	}
	want := []string{"GET /oauth/authorize  See Other", "POST /oauth/token authorization_code OK",
		"POST /oauth/token refresh_token OK", "GET /nothing  Not Found"}
	if !slices.Equal(got, want) {
		t.Errorf("log is %q, want %q", got, want)
	}
	for kind, want := range map[string]int{"authorize": 1, "token": 2, "token:authorization_code": 1, "token:refresh_token": 1,
		"token:password": 0, "discovery": 0, "/oauth/token": 2, "/nothing": 1, "userinfo": 0, "revoke": 0, "jwks": 0} {
		if got := c.s.Count(kind); got != want {
			t.Errorf("Count(%q) is %d, want %d", kind, got, want)
		}
	}
	issued := c.s.Issued()
	for _, secret := range []string{testVerifier, a.AccessToken, a.RefreshToken, a.IDToken} {
		if !slices.Contains(issued, secret) {
			t.Errorf("a secret is not in Issued")
		}
	}
}

func TestIssuerIsNeeded(t *testing.T) {
	w := httptest.NewRecorder()
	New(Options{}).ServeHTTP(w, httptest.NewRequest("GET", "/.well-known/openid-configuration", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("without an issuer: %d", w.Code)
	}
}

// The same key set has to verify what was signed; go-jose in the client is another one's test.
func TestKeySet(t *testing.T) {
	c := newClient(t, Options{Auto: true})
	header, _ := claims(t, c.signIn().AccessToken)
	_, body := c.get("/.well-known/jwks.json")
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.NewDecoder(bytes.NewReader([]byte(body))).Decode(&set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 || set.Keys[0]["kid"] != header["kid"] || set.Keys[0]["kty"] != "RSA" || set.Keys[0]["alg"] != "RS256" ||
		set.Keys[0]["d"] != "" {
		t.Errorf("key set is %s", body)
	}
	if n, err := base64.RawURLEncoding.DecodeString(set.Keys[0]["n"]); err != nil || len(n) != 256 {
		t.Errorf("modulus has %d bytes, %v", len(n), err)
	}
}
