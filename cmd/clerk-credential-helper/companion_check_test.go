package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"clerk-credential-helper/internal/companionpage"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/demo"
	"clerk-credential-helper/internal/testworld"
)

// fakePage is a companion page with one fault at most. It approves every request of a browser at once; who calls
// itself clerk-credential-helper gets the page itself.
type fakePage struct {
	fault       string
	store       bool
	development bool
	template    bool

	origin, issuer string
	key, other     *rsa.PrivateKey

	mu       sync.Mutex
	codes    map[string]binding
	refresh  map[string]string // to its family
	used     map[string]bool
	revoked  map[string]bool // families
	families int
	tokens   []string // that were handed out
}

// probePort is the port in the requests of companion check that no browser follows.
const probePort = "53682"

// binding is what a code is bound to.
type binding struct{ challenge, redirect, family string }

// twoKeys are the instance's and a stranger's. Making them takes longer than all else.
func twoKeys(t *testing.T) (keys [2]*rsa.PrivateKey) {
	t.Helper()
	for i := range keys {
		var err error
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

func newFakePage(t *testing.T, fault string, keys [2]*rsa.PrivateKey) *fakePage {
	t.Helper()
	f := &fakePage{fault: fault, store: true, key: keys[0], other: keys[1], codes: map[string]binding{}, refresh: map[string]string{}, used: map[string]bool{}, revoked: map[string]bool{}}
	app := httptest.NewServer(f)
	t.Cleanup(app.Close)
	clerk := httptest.NewServer(http.HandlerFunc(f.keys))
	t.Cleanup(clerk.Close)
	f.origin, f.issuer = app.URL, clerk.URL
	return f
}

func (f *fakePage) is(fault string) bool { return f.fault == fault }

func (f *fakePage) keys(w http.ResponseWriter, r *http.Request) {
	if f.is("keys: down") || r.URL.Path != "/.well-known/jwks.json" {
		http.NotFound(w, r)
		return
	}
	encode := base64.RawURLEncoding.EncodeToString
	key := map[string]any{"kty": "RSA", "kid": "ins_1", "alg": "RS256", "use": "sig", "n": encode(f.key.N.Bytes()), "e": encode(big.NewInt(int64(f.key.E)).Bytes())}
	switch f.fault {
	case "keys: another algorithm":
		key["alg"] = "RS512"
	case "keys: small":
		key["n"] = encode(f.key.N.Bytes()[:128])
	case "keys: for encryption":
		key["use"] = "enc"
	case "keys: no JSON":
		w.Write([]byte("<html>"))
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"keys": []any{key}})
}

func (f *fakePage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server":
		f.metadata(w)
	case "/cli-auth":
		f.authorize(w, r)
	case "/api/cli-auth/token":
		f.token(w, r)
	case "/api/cli-auth/approve":
		f.approve(w, r)
	case "/api/cli-auth/revoke":
		f.revoke(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (f *fakePage) metadata(w http.ResponseWriter) {
	switch f.fault {
	case "metadata: not deployed":
		w.WriteHeader(http.StatusNotFound)
		return
	case "metadata: misconfigured":
		w.WriteHeader(http.StatusInternalServerError)
		return
	case "metadata: a page":
		w.Write([]byte("<!doctype html>"))
		return
	case "metadata: moved":
		w.Header().Set("Location", "https://elsewhere.example/x")
		w.WriteHeader(http.StatusFound)
		return
	}
	d := map[string]any{
		"issuer": f.origin, "authorization_endpoint": f.origin + "/cli-auth", "token_endpoint": f.origin + "/api/cli-auth/token",
		"revocation_endpoint": f.origin + "/api/cli-auth/revoke", "jwks_uri": f.issuer + "/.well-known/jwks.json",
		"response_types_supported": []string{"code"}, "response_modes_supported": []string{"query"},
		"grant_types_supported":                 []string{"refresh_token", "authorization_code"},
		"token_endpoint_auth_methods_supported": []string{"none"}, "revocation_endpoint_auth_methods_supported": []string{"none"},
		"code_challenge_methods_supported": []string{"S256"}, "authorization_response_iss_parameter_supported": true,
		"prompt_values_supported": []string{"consent"},
		"clerk_companion":         map[string]any{"version": 1, "page_version": "1.1.0", "clerk_issuer": f.issuer, "store": f.store},
	}
	if f.policy() {
		d["grant_types_supported"] = []string{"refresh_token", "authorization_code", grantExchange}
	}
	field, value, _ := strings.Cut(strings.TrimPrefix(f.fault, "metadata="), "=")
	if strings.HasPrefix(f.fault, "metadata=") {
		d[field] = json.RawMessage(value)
	}
	if f.is("metadata: no store field") {
		d["clerk_companion"] = map[string]any{"version": 1, "page_version": "1.1.0", "clerk_issuer": f.issuer}
	}
	if f.is("metadata: version 2") {
		d["clerk_companion"] = map[string]any{"version": 2, "page_version": "1.1.0", "clerk_issuer": f.issuer, "store": f.store}
	}
	if f.is("metadata: version of the page") {
		d["clerk_companion"] = map[string]any{"version": 1, "page_version": "latest", "clerk_issuer": f.issuer, "store": f.store}
	}
	if f.is("metadata: issuer with a slash") {
		d["clerk_companion"] = map[string]any{"version": 1, "page_version": "1.1.0", "clerk_issuer": f.issuer + "/", "store": f.store}
		d["jwks_uri"] = f.issuer + "//.well-known/jwks.json"
	}
	if !f.is("metadata: kept by caches") {
		w.Header().Set("Cache-Control", "no-store")
	}
	json.NewEncoder(w).Encode(d)
}

func (f *fakePage) headers(h http.Header, formAction string) {
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Content-Security-Policy", "frame-ancestors 'none'; base-uri 'none'; object-src 'none'; form-action "+formAction)
	if name, value, ok := strings.Cut(strings.TrimPrefix(f.fault, "header="), "="); strings.HasPrefix(f.fault, "header=") && ok {
		h.Del(name)
		if value != "" {
			h.Set(name, value)
		}
	}
	if directive, ok := strings.CutPrefix(f.fault, "csp-"); ok {
		h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), directive, "x-"+directive, 1))
	}
	if f.is("a second policy") {
		h.Add("Content-Security-Policy", "default-src *; form-action 'self'")
	}
}

// authorize reads a request as the page does; a fault leaves one rule out.
func (f *fakePage) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	wrong := func(name string, good bool) bool { return !good && !f.is("lax: "+name) }
	port, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(q.Get("redirect_uri"), "http://127.0.0.1:"), "/callback"))
	label := q.Get("machine_name")
	word := regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	bad := wrong("response_type", q.Get("response_type") == "code") || wrong("client_id", q.Get("client_id") == config.CompanionClient) ||
		wrong("redirect_uri", port >= 1024 && port <= 65535 && q.Get("redirect_uri") == fmt.Sprintf("http://127.0.0.1:%d/callback", port)) ||
		wrong("state", word.MatchString(q.Get("state"))) || wrong("code_challenge", word.MatchString(q.Get("code_challenge"))) ||
		wrong("code_challenge_method", q.Get("code_challenge_method") == "S256") ||
		wrong("machine_name", len([]rune(label)) <= 64 && !strings.ContainsFunc(label, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf) })) ||
		wrong("size", len(r.URL.RawQuery) <= 8<<10)
	for _, values := range q {
		bad = bad || wrong("duplicates", len(values) == 1)
	}
	if f.is("authorize: sign-in of the app") {
		http.Redirect(w, r, "/sign-in", http.StatusTemporaryRedirect)
		return
	}
	if bad {
		if f.is("refusals with a redirect") {
			w.Header().Set("Location", q.Get("redirect_uri"))
		}
		f.headers(w.Header(), "'self'")
		if f.is("refusals with a loose form") {
			f.headers(w.Header(), "'self' http://127.0.0.1:*")
		}
		w.WriteHeader(http.StatusBadRequest)
		if f.is("refusals that repeat") {
			fmt.Fprint(w, r.URL.Query())
		}
		return
	}
	if !strings.HasPrefix(r.UserAgent(), "clerk-credential-helper/") {
		f.approved(w, r)
		return
	}
	if r.Header.Get("Authorization") != "" && !f.is("authorize: any field") && !(f.is("authorize: stolen tokens in a field") && f.holds(r)) {
		f.headers(w.Header(), "'self'")
		w.WriteHeader(http.StatusForbidden)
		return
	}
	f.headers(w.Header(), "'self' http://127.0.0.1:"+strconv.Itoa(port))
	if f.is("authorize: stolen cookies") && f.holds(r) {
		w.Write([]byte(`<button value="approve">`))
		return
	}
	if f.is("authorize: stolen cookies tell") && f.holds(r) {
		w.Write([]byte("hello, ada@acme.dev"))
		return
	}
	if f.development && r.Header.Get("Sec-Fetch-Dest") == "document" {
		http.Redirect(w, r, f.issuer+"/v1/client/handshake?redirect_url=x", http.StatusTemporaryRedirect)
		return
	}
	w.Write([]byte("sign in"))
}

// holds reports whether a request brings a token that this page has handed out.
func (f *fakePage) holds(r *http.Request) bool {
	return slices.ContainsFunc(f.tokens, func(token string) bool {
		_, password, _ := r.BasicAuth()
		return password == token || strings.Contains(r.Header.Get("Authorization")+r.Header.Get("Cookie"), token)
	})
}

// approved sends the browser back.
func (f *fakePage) approved(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f.families++
	code := rand.Text()
	f.codes[code] = binding{q.Get("code_challenge"), q.Get("redirect_uri"), strconv.Itoa(f.families)}
	back := fmt.Sprintf("%s?code=%s&state=%s&iss=%s", q.Get("redirect_uri"), code, q.Get("state"), f.origin)
	switch f.fault {
	case "sign-in: denied":
		back = fmt.Sprintf("%s?error=access_denied&state=%s&iss=%s", q.Get("redirect_uri"), q.Get("state"), f.origin)
	case "sign-in: another issuer":
		back = strings.Replace(back, "iss=", "iss=https://evil.example&x=", 1)
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}

func (f *fakePage) token(w http.ResponseWriter, r *http.Request) {
	if f.is("cors") && r.Method == http.MethodPost || f.is("cors before") && r.Method == http.MethodOptions {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	}
	if !f.is("token: kept by caches") {
		w.Header().Set("Cache-Control", "no-store")
	}
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"error": code})
	}
	if r.Method != http.MethodPost && !f.is("token: any method") {
		refuse(http.StatusMethodNotAllowed, "invalid_request")
		return
	}
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" && !f.is("token: any kind") {
		refuse(http.StatusUnsupportedMediaType, "invalid_request")
		return
	}
	if r.ParseForm(); r.PostForm.Get("grant_type") == grantExchange && strings.HasPrefix(f.fault, "takes: ") {
		f.exchange(w, r.PostForm)
		return
	}
	if r.ContentLength > 16<<10 && !f.is("token: any size") {
		refuse(http.StatusRequestEntityTooLarge, "invalid_request")
		return
	}
	for _, values := range r.PostForm {
		if len(values) > 1 && !f.is("token: duplicates") {
			refuse(http.StatusBadRequest, "invalid_request")
			return
		}
	}
	if r.PostForm.Get("client_id") != config.CompanionClient && !f.is("token: any client") {
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	}
	family, subject := "", ""
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		if r.PostForm.Get("code_verifier") == "" && !f.is("token: no verifier") {
			refuse(http.StatusBadRequest, "invalid_request")
			return
		}
		family, subject = f.byCode(r)
	case "refresh_token":
		family, subject = f.byRefresh(r.PostForm.Get("refresh_token"))
		if f.is("refresh: down") && family != "" {
			refuse(http.StatusServiceUnavailable, "temporarily_unavailable")
			return
		}
	case grantExchange:
		if f.policy() {
			f.exchange(w, r.PostForm)
			return
		}
		if !f.is("exchange: hidden") {
			refuse(http.StatusBadRequest, "unsupported_grant_type")
			return
		}
	default:
		if !f.is("token: any grant") {
			refuse(http.StatusBadRequest, "unsupported_grant_type")
			return
		}
	}
	if family == "" {
		switch f.fault {
		case "token: other words":
			refuse(http.StatusBadRequest, "access_denied")
		case "token: 401":
			refuse(http.StatusUnauthorized, "invalid_grant")
		default:
			refuse(http.StatusBadRequest, "invalid_grant")
		}
		return
	}
	f.answer(w, r, family, subject)
}

const grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

// policy reports whether the page has one for CI jobs: some of its faults are of one.
func (f *fakePage) policy() bool {
	return strings.HasPrefix(f.fault, "takes: ") || f.is("exchange") || f.is("exchange: tells") || f.is("exchange: repeats") || f.is("exchange: no keys")
}

// exchange refuses what comes, as it must, unless the fault is to take it.
func (f *fakePage) exchange(w http.ResponseWriter, form url.Values) {
	token := form.Get("subject_token")
	refuse := func(name string, status int, code string) bool {
		if f.is("takes: " + name) {
			json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer"})
			return true
		}
		answer := map[string]string{"error": code}
		if f.is("exchange: tells") && code == "invalid_grant" {
			answer["error_description"] = name
		}
		if f.is("exchange: repeats") && code == "invalid_grant" {
			answer["error_description"] = token
		}
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(answer)
		return true
	}
	for _, row := range []struct {
		name   string
		wrong  bool
		status int
		code   string
	}{
		{"a token of 1 MiB", len(token) > 16<<10, 413, "invalid_request"},
		{"two tokens", len(form["subject_token"]) > 1, 400, "invalid_request"},
		{"another client", form.Get("client_id") != config.CompanionClient, 401, "invalid_client"},
		{"no token", token == "", 400, "invalid_request"},
		{"a token that is called an access token", !strings.HasSuffix(form.Get("subject_token_type"), ":jwt"), 400, "invalid_request"},
		{"a refresh token in exchange", !strings.HasSuffix(form.Get("requested_token_type"), ":access_token"), 400, "invalid_request"},
		{"a second token, of an actor", form.Has("actor_token"), 400, "invalid_request"},
		{"a token for another resource", form.Has("resource"), 400, "invalid_target"},
		{"a token with scopes", form.Has("scope"), 400, "invalid_scope"},
	} {
		if row.wrong && refuse(row.name, row.status, row.code) {
			return
		}
	}
	part := func(i int) (said map[string]any) {
		if parts := strings.Split(token, "."); len(parts) == 3 {
			text, _ := base64.RawURLEncoding.DecodeString(parts[i])
			json.Unmarshal(text, &said)
		}
		return said
	}
	header, said := part(0), part(1)
	issuer, _ := said["iss"].(string)
	now := float64(time.Now().Unix())
	at := func(name string) float64 { number, _ := said[name].(float64); return number }
	for _, row := range []struct {
		name  string
		wrong bool
	}{
		{"that is no JWT", said == nil},
		{"without a signature (alg none)", header["alg"] == "none"},
		{"signed with a public key (HS256)", header["alg"] == "HS256"},
		{"with its own key in the header (jwk)", header["jwk"] != nil},
		{"with the address of its own keys (jku)", header["jku"] != nil},
		{"that is an access token (at+jwt)", header["typ"] == "at+jwt"},
		{"of another issuer", issuer == "https://ci.evil.example"},
		{"of an issuer with a slash behind", strings.HasSuffix(issuer, "/")},
		{"of an issuer in capital letters", issuer == strings.ToUpper(issuer)},
		{"of an issuer without TLS", strings.HasPrefix(issuer, "http://") && strings.HasSuffix(issuer, ".")},
		{"of a person", issuer == f.issuer && said["sid"] != nil},
		{"that is a session token of the Clerk instance", issuer == f.issuer},
		{"for another app", said["aud"] == "https://app.evil.example"},
		{"for several apps", fmt.Sprintf("%T", said["aud"]) == "[]interface {}"},
		{"without an end", said["exp"] == nil},
		{"that has expired", at("exp") < now},
		{"from the future", at("nbf") > now+120},
	} {
		if row.wrong && refuse(row.name, 400, "invalid_grant") {
			return
		}
	}
	if f.is("exchange: no keys") && issuer == "https://token.actions.githubusercontent.com" {
		refuse("", 503, "temporarily_unavailable")
		return
	}
	refuse("with a key that its issuer does not have", 400, "invalid_grant")
}

// byCode gives the family of a good code; "" if it is not one.
func (f *fakePage) byCode(r *http.Request) (family, code string) {
	code = r.PostForm.Get("code")
	if at, ok := f.refresh[code]; ok && f.is("refresh token as a code") {
		return at, code
	}
	bound, known := f.codes[code]
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	switch {
	case !known:
		if f.is("made-up codes") && strings.HasPrefix(code, "x.") {
			return "0", code
		}
		return "", code
	case bound.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) && !f.is("any verifier"),
		bound.redirect != r.PostForm.Get("redirect_uri") && !f.is("any port"):
		return "", code
	case f.is("code: down"):
		return "", code
	}
	return f.once(code, bound.family), code
}

func (f *fakePage) byRefresh(token string) (family, name string) {
	if bound, ok := f.codes[token]; ok && f.is("code as a refresh token") {
		return bound.family, token
	}
	family, known := f.refresh[token]
	if !known {
		if f.is("made-up refresh tokens") && strings.HasPrefix(token, "x.") {
			return "0", token
		}
		return "", token
	}
	return f.once(token, family), token
}

// once gives the family unless it is over; a second use of a value ends it.
func (f *fakePage) once(value, family string) string {
	_, isCode := f.codes[value]
	switch {
	case !f.store:
		return family
	case f.used[value] && !(f.is("codes twice") && isCode) && !(f.is("refresh tokens twice") && !isCode):
		f.revoked[family] = !f.is("families live on") && !(f.is("families of codes live on") && isCode)
		return ""
	case f.revoked[family]:
		return ""
	}
	f.used[value] = true
	return family
}

func (f *fakePage) answer(w http.ResponseWriter, r *http.Request, family, subject string) {
	now := time.Now()
	header := map[string]any{"alg": "RS256", "typ": "JWT", "kid": "ins_1", "cat": "cl_B7d4PD111AAA"}
	claims := map[string]any{"iss": f.issuer, "sub": "user_1", "sid": "sess_1", "iat": now.Unix(), "nbf": now.Unix() - 10, "exp": now.Unix() + 600}
	if f.template {
		header["cat"] = "cl_B7d4PD222AAA" // of a token that was made from a JWT template
	}
	key := f.key
	fault := f.fault
	if after, ok := strings.CutPrefix(fault, "refreshed "); ok && r.PostForm.Get("grant_type") == "refresh_token" {
		fault = after
	}
	switch fault {
	case "token of another issuer":
		claims["iss"] = "https://evil.example"
	case "token of another key":
		key = f.other
	case "token of an unknown key":
		header["kid"] = "ins_2"
	case "token that has expired":
		claims["exp"] = now.Unix() - 60
	case "token without an end":
		delete(claims, "exp")
	case "token without a subject":
		delete(claims, "sub")
	case "token of its own page":
		claims["azp"] = f.origin
	case "token of another page":
		claims["azp"] = "https://evil.example"
	case "token of another algorithm":
		header["alg"] = "HS256"
	}
	var parts []string
	for _, part := range []any{header, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			panic(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(text))
	}
	input := strings.Join(parts, ".")
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	token := rand.Text()
	if r.PostForm.Get("grant_type") == "refresh_token" && fault == "no rotation" {
		token = r.PostForm.Get("refresh_token")
	}
	f.refresh[token] = family
	access := input + "." + base64.RawURLEncoding.EncodeToString(signature)
	f.tokens = append(f.tokens, access)
	answer := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 600,
		"refresh_token": token, "email": "ada@acme.dev"}
	switch fault {
	case "tokens of another type":
		answer["token_type"] = "mac"
	case "tokens without a refresh token":
		delete(answer, "refresh_token")
	case "tokens with another life":
		answer["expires_in"] = 86400
	case "tokens kept by caches":
		w.Header().Set("Cache-Control", "private")
	}
	json.NewEncoder(w).Encode(answer)
}

func (f *fakePage) approve(w http.ResponseWriter, r *http.Request) {
	site := r.Header.Get("Sec-Fetch-Site")
	foreign := r.Header.Get("Origin") != f.origin && !f.is("approve: any origin") || site != "" && site != "same-origin" && !f.is("approve: any site")
	if foreign && !f.is("approve: anything") {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if r.Header.Get("Authorization") != "" && !f.is("approve: any field") && !(f.is("approve: stolen tokens in a field") && f.holds(r)) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	to := f.origin + "/cli-auth?x"
	stolen := f.is("approve: stolen tokens in a field") && r.Header.Get("Authorization") != "" || f.is("approve: stolen cookies") && r.Header.Get("Cookie") != ""
	if f.is("approve: straight back") || stolen && f.holds(r) {
		to = "http://127.0.0.1:" + probePort + "/callback" + "?code=x"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (f *fakePage) revoke(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	family, known := f.refresh[r.PostForm.Get("token")]
	switch {
	case r.PostForm.Get("client_id") != config.CompanionClient && !f.is("revoke: any client"):
		w.WriteHeader(http.StatusUnauthorized)
	case f.is("revoke: tells") && !known, f.is("revoke: down") && known:
		w.WriteHeader(http.StatusBadRequest)
	case known && !f.is("revoke: forgets"):
		f.revoked[family] = true
	}
}

// check runs "companion check" against f.
func (f *fakePage) check(t *testing.T, args ...string) (status int, lines []companionpage.Line, all string) {
	t.Helper()
	status, out, words := runHere(append([]string{"companion", "check", f.origin, "--json"}, args...)...)
	var report companionpage.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %s%s", err, out, words)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for secret := range f.codes {
		if strings.Contains(out+words, secret) {
			t.Error("a code is printed")
		}
	}
	for secret := range f.refresh {
		if strings.Contains(out+words, secret) {
			t.Error("a refresh token is printed")
		}
	}
	if strings.Contains(out+words, "eyJ") {
		t.Error("a token is printed")
	}
	return status, report.Checks, out + words
}

func checks(lines []companionpage.Line, o companionpage.State) (names []string) {
	for _, line := range lines {
		if line.State == o {
			names = append(names, line.Check)
		}
	}
	return names
}

// companionHome furnishes a home without configuration, and a browser that follows by itself.
func companionHome(t *testing.T) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("CLERK_HELPER_CONFIG", "")
	browser, err := exec.LookPath(demo.Browser)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BROWSER", browser)
	for _, name := range []string{"XDG_CONFIG_HOME", "CI", "CLERK_HELPER_ISSUER", "CLERK_HELPER_PUBLISHABLE_KEY", "CLERK_HELPER_COMPANION"} {
		t.Setenv(name, "")
	}
}

func TestCompanionCheckWell(t *testing.T) {
	companionHome(t)
	f := newFakePage(t, "", twoKeys(t))
	if status, lines, all := f.check(t, "--sign-in"); status != exitOK || len(checks(lines, companionpage.Pass)) != len(lines) || len(lines) < 90 {
		t.Errorf("status %d, %d lines\n%s", status, len(lines), all)
	}
	if f.families != 3 {
		t.Errorf("the person was asked %d times, not 3", f.families)
	}

	f = newFakePage(t, "", twoKeys(t))
	f.store, f.development, f.template = false, true, true
	status, lines, all := f.check(t, "--sign-in")
	kept := []string{"that codes and refresh tokens work once, and that revoke holds", "token: accepted by Clerk's own libraries", "refreshed token: accepted by Clerk's own libraries"}
	if status != exitOK || !slices.Equal(checks(lines, companionpage.NotKept), kept) || !slices.Equal(checks(lines, companionpage.NotTold), []string{"authorize: a browser's first visit"}) {
		t.Errorf("status %d\n%s", status, all)
	}
	if f.families != 1 {
		t.Errorf("without a store the person was asked %d times, not once", f.families)
	}
	if _, out, _ := runHere("companion", "check", f.origin); !strings.Contains(out, "\nnot kept  that codes and refresh tokens work once, and that revoke holds: no store; set CLI_AUTH_STORE\n") {
		t.Errorf("it is not said in words:\n%s", out)
	}

	// With a policy for CI jobs the page grants one thing more.
	f = newFakePage(t, "exchange", twoKeys(t))
	if status, lines, all := f.check(t); status != exitOK || len(checks(lines, companionpage.Pass)) != len(lines) || strings.Contains(all, `"exchange`) {
		t.Errorf("status %d\n%s", status, all)
	}
	if status, lines, all := f.check(t, "--ci", "--sign-in"); status != exitOK || len(checks(lines, companionpage.Fail)) > 0 || strings.Count(all, `"exchange`) != 29 ||
		!slices.Equal(checks(lines, companionpage.NotTold), []string{"exchange: what the policy lets in"}) {
		t.Errorf("status %d, %d lines of the exchange\n%s", status, strings.Count(all, `"exchange`), all)
	}
	f = newFakePage(t, "", twoKeys(t))
	if status, lines, all := f.check(t, "--ci"); status != exitOK || !slices.Contains(checks(lines, companionpage.NotKept), "that CI jobs get tokens") ||
		!slices.Contains(checks(lines, companionpage.Pass), "exchange: without a policy there is no such grant") {
		t.Errorf("status %d\n%s", status, all)
	}
}

// TestCompanionCheckPolicy: what a pull request's author chooses is found in the app's own file, and what is a comment
// is not.
func TestCompanionCheckPolicy(t *testing.T) {
	companionHome(t)
	f := newFakePage(t, "exchange", twoKeys(t))
	app := t.TempDir()
	write(t, filepath.Join(app, "package.json"), `{"dependencies":{"next":"16.0.0"}}`)
	write(t, filepath.Join(app, "app", "page.tsx"), "")
	const name = "exchange: that the policy names no claim which a pull request's author chooses"
	for _, row := range []struct {
		reason, text string
		state        companionpage.State
		seen         string
	}{
		{"no file", "", companionpage.Pass, ""},
		{"as it is shipped", readFile(t, filepath.Join("..", "..", "companion", "lib", "cli-auth", "ci.ts")), companionpage.Pass, ""},
		{"a repository's own branch", `export const policy = [{ issuer: "https://ci.dev", claims: { repository: "acme/app", ref: "refs/heads/main" } }];`, companionpage.Pass, ""},
		{"in a comment, and in a text", "// { actor: \"ada\" }\n/* head_ref: 1 */ export const policy = [{ name: \"actor: x\" }];", companionpage.Pass, ""},
		{"the person", `export const policy = [{ issuer: "https://ci.dev/*", claims: { 'actor' : "ada" } }];`, companionpage.NotKept, "actor"},
		{"the branch of a pull request", "export const policy = [{ claims: { \"user_login\": \"ada\",\n  head_ref: \"main\" } }]; // actor: none", companionpage.NotKept, "user_login, head_ref"},
	} {
		if row.text != "" {
			write(t, filepath.Join(app, "lib", "cli-auth", "ci.ts"), row.text)
		}
		_, lines, all := f.check(t, "--ci", "--app", app)
		at := slices.IndexFunc(lines, func(l companionpage.Line) bool { return l.Check == name })
		if at < 0 || lines[at].State != row.state || lines[at].Seen != row.seen {
			t.Errorf("%s:\n%s", row.reason, all)
		}
	}
	if status, _, words := runHere("companion", "check", f.origin, "--app", app); status != exitUsage || !strings.Contains(words, "add --ci") {
		t.Errorf("status %d, %s", status, words)
	}
	policy := readFile(t, filepath.Join("..", "..", "companion", "lib", "cli-auth", "policy.ts"))
	if !strings.Contains(policy, `const CHOSEN = ["head_ref", "actor", "actor_id", "user_login", "user_id", "user_email", "build_creator_email"];`) {
		t.Error("policy.ts has other claims than this test, and chosenClaims, have")
	}
}

// TestCompanionCheckFaults breaks one thing at a time. Exactly the named lines must fail, and every line that there is
// must fail at least once.
func TestCompanionCheckFaults(t *testing.T) {
	testworld.Long(t, "each of its faults is a whole check of a page")
	companionHome(t)
	const (
		csp   = "authorize: Content-Security-Policy "
		csp4  = "authorize refuses: Content-Security-Policy "
		token = "token refuses: "

		stolen = "stolen token: "

		exchange = "exchange refuses: "
	)
	redirects := []string{"port with another host behind it", "port in hexadecimal", "port with a fragment", "port with a leading zero", "negative port",
		"port out of range", "privileged port", "no port", "redirect to another host", "redirect to localhost", "redirect to another path",
		"redirect with a query", "redirect over https", "redirect to a script", "no redirect address"}
	refuses := func(names ...string) (all []string) {
		for _, name := range names {
			all = append(all, "authorize refuses: "+name)
		}
		return all
	}
	everyRefusal := refuses(append(slices.Insert(redirects, 8, "two redirect addresses"), "no state", "short state", "two states", "no challenge", "two challenges",
		"plain challenge", "no challenge method", "another client", "two clients", "token in the address", "machine name that turns the line round",
		"machine name too long", "request of 9 KiB")...)
	inHeaders := []string{"token in a header", "token in a header without a scheme", "token as a password"}
	var forged, forms []string
	for _, name := range []string{"of another issuer", "with a key that its issuer does not have", "without a signature (alg none)", "signed with a public key (HS256)",
		"with its own key in the header (jwk)", "with the address of its own keys (jku)", "of an issuer with a slash behind", "of an issuer in capital letters",
		"of an issuer without TLS", "for another app", "for several apps", "that has expired", "from the future", "without an end", "that is an access token (at+jwt)",
		"that is a session token of the Clerk instance", "that is no JWT"} {
		forged = append(forged, exchange+"a token "+name)
	}
	for _, name := range []string{"no token", "two tokens", "a token that is called an access token", "a refresh token in exchange", "a second token, of an actor",
		"a token for another resource", "a token with scopes", "another client", "a token of 1 MiB"} {
		forms = append(forms, exchange+name)
	}
	type fault struct {
		fault  string
		signIn bool
		fails  []string
		seen   string // in the first of them
	}
	tests := []fault{
		{"metadata: not deployed", false, []string{"metadata: it answers"}, "status 404"},
		{"metadata: misconfigured", false, []string{"metadata: it answers"}, "status 500"},
		{"metadata: a page", false, []string{"metadata: it answers"}, "not the JSON"},
		{"metadata: moved", false, []string{"metadata: it answers"}, `a redirect to "elsewhere.example"`},
		{"metadata: kept by caches", false, []string{"metadata: Cache-Control"}, "missing"},
		{`metadata=issuer="https://other.example"`, false, []string{"metadata: issuer"}, `"https://other.example"`},
		{`metadata=authorization_endpoint="https://other.example/cli-auth"`, false, []string{"metadata: authorization_endpoint"}, "other.example"},
		{`metadata=token_endpoint="https://other.example/t"`, false, []string{"metadata: token_endpoint"}, "other.example"},
		{`metadata=revocation_endpoint=""`, false, []string{"metadata: revocation_endpoint"}, `it is ""`},
		{`metadata=jwks_uri="https://other.example/jwks.json"`, false, []string{"metadata: jwks_uri", "jwks_uri: RSA keys for RS256"}, "other.example"},
		{`metadata=response_types_supported=["code","token"]`, false, []string{"metadata: response_types_supported"}, "code token"},
		{`metadata=response_modes_supported=["fragment"]`, false, []string{"metadata: response_modes_supported"}, "fragment"},
		{`metadata=grant_types_supported=["authorization_code"]`, false, []string{"metadata: grant_types_supported"}, "authorization_code"},
		{`metadata=grant_types_supported=["authorization_code","refresh_token","password"]`, false, []string{"metadata: grant_types_supported"}, "password"},
		{`metadata=token_endpoint_auth_methods_supported=["client_secret_basic"]`, false, []string{"metadata: token_endpoint_auth_methods_supported"}, "client_secret_basic"},
		{`metadata=revocation_endpoint_auth_methods_supported=[]`, false, []string{"metadata: revocation_endpoint_auth_methods_supported"}, `it is ""`},
		{`metadata=code_challenge_methods_supported=["S256","plain"]`, false, []string{"metadata: code_challenge_methods_supported"}, "S256 plain"},
		{`metadata=authorization_response_iss_parameter_supported=false`, false, []string{"metadata: authorization_response_iss_parameter_supported"}, "false"},
		{`metadata=prompt_values_supported=["none"]`, false, []string{"metadata: prompt_values_supported"}, "none"},
		{`metadata=clerk_companion={}`, false, []string{"metadata: clerk_companion.clerk_issuer", "metadata: jwks_uri", "metadata: clerk_companion.version",
			"metadata: clerk_companion.store", "jwks_uri: RSA keys for RS256"}, "no https address"},
		{"metadata: version 2", false, []string{"metadata: clerk_companion.version"}, `it is "2"`},
		{"metadata: version of the page", false, []string{"page: version"}, `it is "latest", which is no version`},
		{"metadata: no store field", false, []string{"metadata: clerk_companion.store"}, "missing"},
		{"metadata: issuer with a slash", false, []string{"metadata: clerk_companion.clerk_issuer", "jwks_uri: RSA keys for RS256"}, "no https address"},
		{"keys: down", false, []string{"jwks_uri: RSA keys for RS256"}, "status 404"},
		{"keys: another algorithm", false, []string{"jwks_uri: RSA keys for RS256"}, "none of its 1 keys"},
		{"keys: small", false, []string{"jwks_uri: RSA keys for RS256"}, "none of its 1 keys"},
		{"keys: for encryption", false, []string{"jwks_uri: RSA keys for RS256"}, "none of its 1 keys"},
		{"keys: no JSON", false, []string{"jwks_uri: RSA keys for RS256"}, "not the JSON"},

		{"authorize: sign-in of the app", false, slices.Concat([]string{"authorize: a good request gets a page"}, everyRefusal, refuses(inHeaders...)), `a redirect to "/sign-in"`},
		{"header=X-Frame-Options=SAMEORIGIN", false, []string{"authorize: X-Frame-Options"}, "SAMEORIGIN"},
		{"header=Cache-Control=public", false, []string{"authorize: Cache-Control"}, "public"},
		{"header=X-Content-Type-Options=", false, []string{"authorize: X-Content-Type-Options"}, "missing"},
		{"header=Referrer-Policy=no-referrer", false, []string{"authorize: Referrer-Policy"}, "no-referrer"},
		{"header=Content-Security-Policy=", false, []string{csp + "frame-ancestors", csp + "base-uri", csp + "object-src", csp + "form-action",
			csp4 + "frame-ancestors", csp4 + "base-uri", csp4 + "object-src", csp4 + "form-action"}, "missing"},
		{"csp-frame-ancestors 'none'", false, []string{csp + "frame-ancestors", csp4 + "frame-ancestors"}, "missing"},
		{"header=Content-Security-Policy=frame-ancestors 'self'; base-uri 'none'; object-src 'none'; form-action 'self' http://127.0.0.1:" + probePort, false,
			[]string{csp + "frame-ancestors", csp4 + "frame-ancestors", csp4 + "form-action"}, `it is "'self'"`},
		{"csp-base-uri", false, []string{csp + "base-uri", csp4 + "base-uri"}, "missing"},
		{"csp-object-src", false, []string{csp + "object-src", csp4 + "object-src"}, "missing"},
		{"csp-http://127.0.0.1:" + probePort, false, []string{csp + "form-action"}, "'self' x-http"},
		{"a second policy", false, []string{csp + "form-action"}, `it is "'self'", not "'self' http://127.0.0.1:` + probePort},
		{"refusals with a loose form", false, []string{csp4 + "form-action"}, "127.0.0.1:*"},

		{"lax: redirect_uri", false, refuses(redirects...), "status 200"},
		{"lax: state", false, refuses("no state", "short state"), "status 200"},
		{"lax: code_challenge", false, refuses("no challenge"), "status 200"},
		{"lax: code_challenge_method", false, refuses("plain challenge", "no challenge method"), "status 200"},
		{"lax: client_id", false, refuses("another client"), "status 200"},
		{"lax: response_type", false, refuses("token in the address"), "status 200"},
		{"lax: machine_name", false, refuses("machine name that turns the line round", "machine name too long"), "status 200"},
		{"lax: size", false, refuses("request of 9 KiB"), "status 200"},
		{"lax: duplicates", false, refuses("two redirect addresses", "two states", "two challenges", "two clients"), "status 200"},
		{"refusals with a redirect", false, slices.DeleteFunc(slices.Clone(everyRefusal), func(name string) bool { return strings.HasSuffix(name, "no redirect address") }), "a redirect to"},
		{"refusals that repeat", false, refuses("port with another host behind it", "two redirect addresses", "redirect to another host", "redirect to another path",
			"redirect with a query", "another client", "two clients", "machine name that turns the line round"), "repeats"},

		{"token: any method", false, []string{token + "GET"}, "status 401"},
		{"token: any kind", false, []string{token + "JSON in place of a form"}, "status 401"},
		{"token: any client", false, []string{token + "another client", token + "no client"}, "invalid_grant"},
		{"token: no verifier", false, []string{token + "no verifier"}, "invalid_grant"},
		{"token: any grant", false, []string{token + "a password"}, "invalid_grant"},
		{"token: duplicates", false, []string{token + "two codes"}, "invalid_grant"},
		{"token: any size", false, []string{token + "form of 17 KiB"}, "invalid_grant"},
		{"token: other words", false, []string{token + "made-up code", token + "made-up refresh token"}, "status 400, not status 400 invalid_grant"},
		{"token: 401", false, []string{token + "made-up code", token + "made-up refresh token"}, "status 401"},
		{"made-up codes", false, []string{token + "made-up code"}, "status 200"},
		{"made-up refresh tokens", false, []string{token + "made-up refresh token"}, "status 200"},
		{"token: kept by caches", false, []string{"token: Cache-Control"}, "missing"},
		{"cors", false, []string{"token: no CORS"}, `"*"`},
		{"cors before", false, []string{"token: no CORS before a request"}, `"*"`},
		{"approve: any origin", false, []string{"approve refuses: form of a page without an origin", "approve refuses: form without an origin"}, `a redirect to`},
		{"approve: anything", false, []string{"approve refuses: form of another page", "approve refuses: form of a page without an origin",
			"approve refuses: form without an origin", "approve refuses: origin that does not fit the rest"}, "a redirect to"},
		{"approve: any site", false, []string{"approve refuses: origin that does not fit the rest"}, "status 303"},
		{"approve: straight back", false, []string{"approve: a user who is signed out is asked again"}, "127.0.0.1:" + probePort},
		{"authorize: any field", false, refuses(inHeaders...), "status 200, not status 403"},
		{"approve: any field", false, []string{"approve refuses: token in a header", "approve refuses: token in a header without a scheme",
			"approve refuses: token as a password"}, "status 303"},
		{"revoke: tells", false, []string{"revoke: a made-up token"}, "status 400"},
		{"revoke: any client", false, []string{"revoke refuses: another client"}, "status 200"},

		{"sign-in: denied", true, []string{"sign-in: the browser comes back with a code"}, "access_denied"},
		{"sign-in: another issuer", true, []string{"sign-in: the browser comes back with a code"}, "evil.example"},
		{"any verifier", true, []string{"code: refused with another verifier", "code: brings tokens"}, "status 200"},
		{"any port", true, []string{"code: refused for another port", "code: brings tokens"}, "status 200"},
		{"code as a refresh token", true, []string{"code: refused as a refresh token"}, "status 200"},
		{"code: down", true, []string{"code: brings tokens"}, "status 400, invalid_grant"},
		{"tokens of another type", true, []string{"code: brings tokens"}, `"mac"`},
		{"tokens without a refresh token", true, []string{"code: brings tokens"}, "missing"},
		{"tokens kept by caches", true, []string{"code: brings tokens"}, "no-store"},
		{"tokens with another life", true, []string{"token: verified with the instance's keys"}, "expires_in"},
		{"token of another issuer", true, []string{"token: verified with the instance's keys"}, "evil.example"},
		{"token of another key", true, []string{"token: verified with the instance's keys"}, "signature"},
		{"token of an unknown key", true, []string{"token: verified with the instance's keys"}, "not one of"},
		{"token that has expired", true, []string{"token: verified with the instance's keys"}, "times"},
		{"token without an end", true, []string{"token: verified with the instance's keys"}, "no end"},
		{"token without a subject", true, []string{"token: verified with the instance's keys"}, "subject"},
		{"token of another page", true, []string{"token: verified with the instance's keys"}, "azp"},
		{"token of another algorithm", true, []string{"token: verified with the instance's keys"}, "RS256"},
		{"token of its own page", true, []string{"token: verified with the instance's keys"}, "as a browser's session does"},
		{"authorize: stolen tokens in a field", true, []string{stolen + "authorize refuses: token in a header", stolen + "authorize refuses: token in a header without a scheme",
			stolen + "authorize refuses: token as a password"}, "status 200, not status 403"},
		{"approve: stolen tokens in a field", true, []string{stolen + "approve refuses: token in a header", stolen + "approve refuses: token in a header without a scheme",
			stolen + "approve refuses: token as a password"}, `a redirect to "127.0.0.1:` + probePort},
		{"authorize: stolen cookies", true, []string{stolen + "authorize does not take: token in the session cookie",
			stolen + "authorize does not take: token in the instance's session cookie", stolen + "authorize does not take: token in both session cookies"}, "asks for the approval"},
		{"authorize: stolen cookies tell", true, []string{stolen + "authorize does not take: token in the session cookie",
			stolen + "authorize does not take: token in the instance's session cookie", stolen + "authorize does not take: token in both session cookies"}, "tells whose it is"},
		{"approve: stolen cookies", true, []string{stolen + "approve does not take: token in the session cookie",
			stolen + "approve does not take: token in the instance's session cookie", stolen + "approve does not take: token in both session cookies"}, `a redirect to "127.0.0.1:` + probePort},
		{"codes twice", true, []string{"code: a second use is refused", "code: a second use ends what came of the first"}, "status 200"},
		{"families of codes live on", true, []string{"code: a second use ends what came of the first"}, "status 200"},
		{"refresh token as a code", true, []string{"refresh token: refused as a code"}, "status 200"},
		{"refresh: down", true, []string{"refresh token: brings a new one and a token"}, "status 503"},
		{"no rotation", true, []string{"refresh token: brings a new one and a token"}, "the previous refresh token"},
		{"refreshed token of another issuer", true, []string{"refreshed token: verified with the instance's keys"}, "evil.example"},
		{"refresh tokens twice", true, []string{"refresh token: a second use is refused", "refresh token: a second use ends its successors"}, "status 200"},
		{"families live on", true, []string{"code: a second use ends what came of the first", "refresh token: a second use ends its successors"}, "status 200"},
		{"revoke: down", true, []string{"revoke: takes a refresh token", "revoke: holds"}, "status 400"},
		{"revoke: forgets", true, []string{"revoke: holds"}, "status 200"},

		{"exchange: repeats", false, slices.Concat(forged, []string{"exchange: a refusal says nothing of the policy"}), "repeats the token"},
		{"exchange: no keys", false, []string{"exchange: the page has the keys of its policy's issuer"}, "status 503, temporarily_unavailable, for \"https://token.actions"},
		{"exchange: hidden", false, []string{"exchange: without a policy there is no such grant"}, "invalid_grant"},
		{"exchange: tells", false, []string{"exchange: a refusal says nothing of the policy"}, "17 different answers"},
		{"takes: of a person", true, []string{exchange + "the token of a person who has signed in"}, "status 200"},
	}
	for _, check := range append(slices.Clone(forged), forms...) {
		name, isForged := strings.CutPrefix(check, exchange+"a token ")
		fails := []string{check}
		if isForged = isForged && slices.Contains(forged, check); isForged {
			fails = append(fails, "exchange: a refusal says nothing of the policy")
		} else {
			name = strings.TrimPrefix(check, exchange)
		}
		tests = append(tests, fault{"takes: " + name, false, fails, "status 200, not status 4"})
	}
	keys := twoKeys(t)
	failedOnce := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			f := newFakePage(t, tt.fault, keys)
			var args []string
			if tt.signIn {
				args = []string{"--sign-in"}
			}
			if strings.HasPrefix(tt.fault, "exchange") || strings.HasPrefix(tt.fault, "takes: ") {
				args = append(args, "--ci")
			}
			status, lines, all := f.check(t, args...)
			if fails := checks(lines, companionpage.Fail); status != exitFailed || !slices.Equal(fails, tt.fails) {
				t.Errorf("status %d; these failed: %q, not %q\n%s", status, fails, tt.fails, all)
			}
			for _, line := range lines {
				if line.State != companionpage.Fail {
					continue
				}
				if line.Check == tt.fails[0] && !strings.Contains(line.Seen, tt.seen) {
					t.Errorf("%s: %q does not say %q", line.Check, line.Seen, tt.seen)
				}
				if line.Cure == "" && !strings.HasPrefix(line.Check, "sign-in") {
					t.Errorf("%s: there is no cure", line.Check)
				}
				failedOnce[line.Check] = true
			}
		})
	}
	_, lines, _ := newFakePage(t, "", twoKeys(t)).check(t, "--sign-in")
	_, ofCI, _ := newFakePage(t, "exchange", twoKeys(t)).check(t, "--sign-in", "--ci")
	for _, line := range append(lines, ofCI...) {
		if !failedOnce[line.Check] && line.State != companionpage.NotTold {
			t.Errorf("nothing makes this line fail: %s", line.Check)
		}
	}
}

// TestCompanionCheckAway: a page that is not there, and one whose certificate only the profile trusts.
func TestCompanionCheckAway(t *testing.T) {
	companionHome(t)
	if status, out, words := runHere("companion", "check", "http://127.0.0.1:1"); status != exitFailed || !strings.HasPrefix(out, "fail      metadata: it answers: no answer: ") || strings.Count(out, "\n") != 1 {
		t.Errorf("status %d\n%s%s", status, out, words)
	}
	f := newFakePage(t, "", twoKeys(t))
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	f.origin = server.URL
	if status, out, _ := runHere("companion", "check", server.URL); status != exitFailed || !strings.Contains(out, "certificate") {
		t.Errorf("status %d: a certificate of nobody was taken\n%s", status, out)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, certificatePEM(server))
	write(t, filepath.Join(os.Getenv("HOME"), ".config/clerk-credential-helper/config.toml"),
		fmt.Sprintf("[profiles.app]\ncompanion = %q\nhosts = [\"api.acme.dev\"]\nca_file = %q\n", server.URL, ca))
	status, out, words := runHere("companion", "check", server.URL+"/")
	if !strings.Contains(out, "pass      metadata: issuer\n") || status != exitFailed || strings.Count(out, "fail") != 2 ||
		!strings.Contains(out, "fail      metadata: clerk_companion.clerk_issuer") || // http, behind an https page
		!strings.Contains(out[strings.LastIndex(out, "pass      "):], "\nfail metadata: clerk_companion.clerk_issuer") { // and once more, last
		t.Errorf("status %d\n%s%s", status, out, words)
	}
}

func certificatePEM(server *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}
