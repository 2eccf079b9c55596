package sandbox

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	companionClient = "clerk-credential-helper"
	sessionLifetime = 10 * time.Minute
)

// Companion is a stand-in for a companion page (companion/README.md) of a web app that signs its people in with s, and
// for a page of the original kind, below /original/cli-auth. Every browser is signed in to the web app as the sandbox's
// Person and approves at once. Its session tokens are good at Git and Registry too, and its requests are in the log of
// s.
type Companion struct {
	server *Server
	origin string
	store  bool
	mux    *http.ServeMux

	mu      sync.Mutex
	ended   bool
	codes   map[string]*companionCode
	refresh map[string]*refresh
	trusted []trust // whose jobs' tokens are exchanged
}

// companionCode is a code of a companion page.
type companionCode struct {
	redirectURI, challenge string
	grant                  *grant
	used                   bool
}

// Companion makes a companion page of the origin at which it is served. store reports whether it refuses what has been
// used once, and forgets what is revoked.
func (s *Server) Companion(origin string, store bool) *Companion {
	c := &Companion{server: s, origin: origin, store: store, mux: http.NewServeMux(),
		codes: map[string]*companionCode{}, refresh: map[string]*refresh{}}
	c.mux.HandleFunc("GET /.well-known/oauth-authorization-server", c.serveMetadata)
	c.mux.HandleFunc("GET /cli-auth", c.serveAuthorize)
	c.mux.HandleFunc("POST /api/cli-auth/token", c.serveToken)
	c.mux.HandleFunc("POST /api/cli-auth/revoke", c.serveRevoke)
	c.mux.HandleFunc("GET /original/cli-auth", c.serveOriginal)
	c.mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		// The app around the page answers everything, as many do.
		_, _ = w.Write([]byte("<!doctype html><title>Acme</title>"))
	})
	return c
}

// EndSession ends the person's session in the web app, as signing out there does.
func (c *Companion) EndSession() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}

// SignOutMachines ends all grants, as the person does on the page of the machines that are signed in.
func (c *Companion) SignOutMachines() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.refresh {
		t.grant.ended, t.grant.signedOut = true, true
	}
}

// ServeHTTP answers as the web app does.
func (c *Companion) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.server.serve(w, r, c.mux) }

func (c *Companion) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	f := c.server.currentFaults()
	if f.DiscoveryStatus != 0 {
		w.WriteHeader(f.DiscoveryStatus)
		return
	}
	issuer, grants := c.server.currentIssuer(), []string{"authorization_code", "refresh_token"}
	c.mu.Lock()
	if c.trusted != nil {
		grants = append(grants, grantExchange)
	}
	c.mu.Unlock()
	d := map[string]any{
		"issuer":                                         c.origin,
		"authorization_endpoint":                         c.origin + "/cli-auth",
		"token_endpoint":                                 c.origin + "/api/cli-auth/token",
		"revocation_endpoint":                            c.origin + "/api/cli-auth/revoke",
		"jwks_uri":                                       issuer + "/.well-known/jwks.json",
		"response_types_supported":                       []string{"code"},
		"grant_types_supported":                          grants,
		"token_endpoint_auth_methods_supported":          []string{"none"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
		"prompt_values_supported":                        []string{"consent"},
		"clerk_companion":                                map[string]any{"version": 1, "clerk_issuer": issuer, "store": c.store},
	}
	if f.ForeignTokenEndpoint != "" {
		d["token_endpoint"] = f.ForeignTokenEndpoint
	}
	maps.Copy(d, f.Discovery)
	for name, value := range d {
		if value == nil {
			delete(d, name)
		}
	}
	writeJSON(w, http.StatusOK, d)
}

// serveAuthorize is the page: the person who is signed in approves at once. Only a browser's own session counts, never a
// token that a request brings along.
func (c *Companion) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	if r.Header.Values("Authorization") != nil {
		http.Error(w, "a request with an Authorization field is refused here", http.StatusForbidden)
		return
	}
	q, ok := authorizeParams(w, r)
	fits := func(name string) bool { return len(q[name]) == 1 && is43(q.Get(name)) }
	if !ok || q.Get("response_type") != "code" || q.Get("client_id") != companionClient || !validRedirect(q.Get("redirect_uri")) ||
		!fits("state") || !fits("code_challenge") || q.Get("code_challenge_method") != "S256" || len([]rune(q.Get("machine_name"))) > 64 {
		http.Error(w, "not a request of the helper", http.StatusBadRequest)
		return
	}
	a := authorization{redirectURI: q.Get("redirect_uri"), state: q.Get("state")}
	if c.server.currentFaults().DenyConsent {
		c.server.redirectAs(c.origin, w, a, url.Values{"error": {"access_denied"}})
		return
	}
	code := rand.Text()
	c.server.mu.Lock()
	c.server.note(code)
	c.server.mu.Unlock()
	c.mu.Lock()
	c.ended = false // opening this page signs in again
	c.codes[code] = &companionCode{redirectURI: a.redirectURI, challenge: q.Get("code_challenge"),
		grant: &grant{person: c.server.options.Person}}
	c.mu.Unlock()
	c.server.redirectAs(c.origin, w, a, url.Values{"code": {code}})
}

// is43 reports whether s is 32 bytes in base64url.
func is43(s string) bool { return len(s) == 43 && strings.Trim(s, base64URL) == "" }

func (c *Companion) serveToken(w http.ResponseWriter, r *http.Request) {
	form, ok := readForm(w, r)
	c.server.noteGrant(r, form.Get("grant_type"))
	f := c.server.currentFaults()
	if f.TokenStatus != 0 {
		w.WriteHeader(f.TokenStatus)
		return
	}
	if !ok || form.Get("client_id") != companionClient {
		writeError(w, refuse(http.StatusUnauthorized, "invalid_client", "the client is not known"))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if form.Get("grant_type") == grantExchange {
		answer, err := c.exchange(form)
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, answer)
		return
	}
	g, err := c.redeem(form)
	if err != nil {
		writeError(w, err)
		return
	}
	answer, err := c.answer(g, f)
	if err != nil {
		writeError(w, err)
		return
	}
	if form.Get("grant_type") != "refresh_token" {
		answer["email"] = g.person.Email
	}
	writeJSON(w, http.StatusOK, answer)
}

// redeem checks what a token request brings. c.mu is held.
func (c *Companion) redeem(form url.Values) (*grant, error) {
	bad := func(why string) error { return refuse(http.StatusBadRequest, "invalid_grant", why) }
	if c.ended {
		return nil, bad("the session in the web app has ended")
	}
	switch form.Get("grant_type") {
	case "authorization_code":
		code, known := c.codes[form.Get("code")]
		if !known || !validVerifier(form.Get("code_verifier")) || code.redirectURI != form.Get("redirect_uri") {
			return nil, bad("the code is not known")
		}
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(code.challenge)) != 1 {
			return nil, bad("the code verifier does not fit the challenge")
		}
		if c.store && code.used {
			code.grant.ended = true
			return nil, bad("the code has been used")
		}
		code.used = true
		return code.grant, nil
	case "refresh_token":
		t, known := c.refresh[form.Get("refresh_token")]
		if known && t.grant.signedOut {
			return nil, bad("this machine was signed out on the page of the machines that are signed in")
		}
		if !known || t.grant.ended {
			return nil, bad("the refresh token is not known")
		}
		if c.store && t.rotated {
			t.grant.ended = true
			return nil, bad("the refresh token has been used")
		}
		t.rotated = true
		return t.grant, nil
	}
	return nil, refuse(http.StatusBadRequest, "unsupported_grant_type", "the grant type is not known")
}

// answer makes the tokens. c.mu is held.
func (c *Companion) answer(g *grant, f Faults) (map[string]any, error) {
	token, life, err := c.server.sessionToken(g.person, "", sessionLifetime, f) // no page has asked for it
	if err != nil {
		return nil, err
	}
	next := rand.Text() + rand.Text()
	c.server.mu.Lock()
	c.server.note(next)
	c.server.mu.Unlock()
	c.refresh[next] = &refresh{grant: g}
	answer := map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int64(life / time.Second),
		"refresh_token": next}
	if f.OmitExpiresIn {
		delete(answer, "expires_in")
	}
	return answer, nil
}

// sessionToken mints a session token of Clerk (clerk.com/docs, "Session tokens", version 2) for a page of a web app, or,
// as the Backend API does, for none.
func (s *Server) sessionToken(p Person, party string, life time.Duration, f Faults) (string, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.AccessLifetime != 0 {
		life = f.AccessLifetime
	}
	now := s.now()
	claims := map[string]any{"iss": s.issuer, "sub": p.ID, "sid": "sess_" + rand.Text(), "v": 2, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix() - 10, "exp": now.Add(life).Unix()}
	if party != "" {
		claims["azp"] = party
	}
	if f.WrongIssuer {
		claims["iss"] = "https://clerk.elsewhere.example"
	}
	if f.OtherSubject {
		claims["sub"] = s.otherPerson().ID
	}
	if f.WrongParty {
		claims["azp"] = "https://elsewhere.example"
	}
	kind := "JWT"
	if f.WrongType {
		kind = "at+jwt"
	}
	token, err := s.sign(kind, claims)
	return s.note(token), life, err
}

func (c *Companion) serveRevoke(w http.ResponseWriter, r *http.Request) {
	form, ok := readForm(w, r)
	if !ok || form.Get("client_id") != companionClient {
		writeError(w, refuse(http.StatusUnauthorized, "invalid_client", "the client is not known"))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, known := c.refresh[form.Get("token")]; known && c.store {
		t.grant.ended = true
	}
	writeJSON(w, http.StatusOK, map[string]any{})
}

// serveOriginal is the page of the original kind: a port comes in, and a token of a JWT template, which lives for a
// week, goes back in the address. It checks nothing, and echoes the state only if the query asks for that.
func (c *Companion) serveOriginal(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	port, err := strconv.Atoi(q.Get("port"))
	if err != nil {
		http.Error(w, "no port", http.StatusBadRequest)
		return
	}
	f := c.server.currentFaults()
	token, _, err := c.server.sessionToken(c.server.options.Person, c.origin, 7*24*time.Hour, f)
	if err != nil {
		writeError(w, err)
		return
	}
	answer := url.Values{"token": {token}}
	if f.EchoState {
		answer.Set("state", q.Get("state"))
	}
	if f.WrongState {
		answer.Set("state", "another-"+q.Get("state"))
	}
	w.Header().Set("Location", "http://127.0.0.1:"+strconv.Itoa(port)+"/callback?"+answer.Encode())
	w.WriteHeader(http.StatusFound)
}
