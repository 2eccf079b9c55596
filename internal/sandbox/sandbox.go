// Package sandbox is a stand-in for Clerk as an OAuth 2.0 and OpenID provider, for the demonstration, for our tests
// and for the tests of a company's own CI.
//
// HTTP requests come in, at the paths that Clerk's Frontend API has; pages, redirects and tokens go out, in Clerk's
// formats and with Clerk's refusals. It is as strict as the real one or stricter, so that a client which works here
// works there. A git server and an OCI registry that accept its tokens, certificates for them, a web app with a
// companion page, and a CI whose jobs' tokens that page exchanges are in here too.
//
// It never checks a password, so any client that can reach it can get a token of it: use it on loopback only. It keeps
// everything in memory, forgets everything when it ends, opens no connection and prints nothing. It shares no code with
// the client that is tested against it.
package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxForm      = 64 << 10         // bytes of a form or of a query
	maxLog       = 100_000          // entries of the request log
	codeLifetime = 10 * time.Minute // clerk.com/docs, "How Clerk implements OAuth": authorization codes live 10 min
	pageLifetime = 10 * time.Minute // how long a sign-in or consent page may stay open
)

// Options is how a sandbox is set up. The zero value is a usable one but for the issuer.
type Options struct {
	// Issuer is the origin at which the sandbox is reached, such as "http://127.0.0.1:4321", without a trailing slash.
	// It may be set later, by SetIssuer, before the first request.
	Issuer string
	// ClientID is the one public client that is registered, with the redirect URI http://127.0.0.1/callback.
	// "sandbox-client" if empty.
	ClientID string
	// Application is the client's name on the consent page. "Credential helper" if empty.
	Application string
	// Auto makes the authorization endpoint answer at once, as Person, without a page.
	Auto bool
	// AccessLifetime is the life of access and ID tokens in whole seconds, 24 hours (Clerk's) if 0.
	AccessLifetime time.Duration
	// Opaque makes access tokens opaque ("oat_..."), not JWTs.
	Opaque bool
	// Device offers the device authorization grant (RFC 8628), as Clerk does where support has enabled it.
	Device bool
	// DeviceInterval is how long a client must wait between two polls, in whole seconds; 5 s if 0.
	DeviceInterval time.Duration
	// Now is the clock, time.Now if nil.
	Now func() time.Time
	// Key gives the RSA key that signs tokens, one of 2048 bits that is made at the first use if nil.
	Key func() (*rsa.PrivateKey, error)
	// Person is who signs in when Auto is set. Ada Lovelace, ada@acme.dev, if empty.
	Person Person
}

// Person is a user of the sandbox.
type Person struct {
	ID    string // "user_" and 27 letters and digits, made from the e-mail address if empty
	Email string
	Name  string
}

// Faults are the ways in which a sandbox misbehaves. The zero value is a provider that behaves.
type Faults struct {
	DenyConsent bool // the person refuses: the authorization endpoint answers access_denied

	DevicePending  int  // so many polls of each device code are answered authorization_pending, whatever the person did
	DeviceSlowDown int  // so many polls of each device code are answered slow_down, before anything else
	DeviceExpired  bool // device codes have expired

	OmitResponseIssuer  bool // the authorization response has no "iss" (RFC 9207)
	WrongResponseIssuer bool // the authorization response names another issuer
	WrongState          bool // the authorization response has another state
	EchoState           bool // the page of the original kind sends the state back

	Discovery            map[string]any // members that replace those of the discovery documents; nil removes one
	DiscoveryStatus      int            // the discovery documents answer this status
	DiscoveryDelay       time.Duration  // the discovery documents are answered this much later
	ForeignTokenEndpoint string         // the token endpoint that discovery names
	NoOfflineAccess      bool           // the scope offline_access does not exist
	JWKSDown             bool           // the key set answers 503
	UserinfoStatus       int            // userinfo answers this status
	RevokeStatus         int            // revocation answers this status and revokes nothing

	TokenStatus   int           // the token endpoint answers this status and does no work
	TokenBody     string        // the body of that answer; alone, with status 200
	TokenHeader   http.Header   // header fields of that answer, such as Retry-After or Location
	TokenDrop     bool          // the token endpoint closes the connection and does no work
	TokenLose     bool          // the token endpoint does its work, then closes the connection
	TokenTruncate bool          // the token endpoint does its work, sends half of the answer and closes the connection
	Delay         time.Duration // the token endpoint answers this much later, its work already done

	AccessLifetime   time.Duration // if not 0, the life of access and ID tokens issued from now on
	OmitRefreshToken bool          // no refresh_token in the answer; a refresh leaves the old one good
	OmitExpiresIn    bool          // no expires_in in the answer
	OmitIDToken      bool          // no id_token in the answer
	TokenType        string        // token_type in place of "bearer"

	OtherSubject       bool // tokens name another person
	OtherAccessSubject bool // the access token, and userinfo for it, name another person than the ID token does
	WrongNonce         bool // the ID token has another nonce
	WrongAudience      bool // the ID token is for another client
	WrongClientID      bool // a JWT access token names another client
	WrongType          bool // a JWT access token has the type "JWT", not "at+jwt"
	WrongIssuer        bool // tokens name another issuer
	WrongParty         bool // a session token names another web app
	BadSignature       bool // the signatures of tokens are wrong
	Unsigned           bool // tokens have the algorithm "none" and no signature
}

// Entry is one request that was made of the sandbox. Bodies and header fields are not kept.
type Entry struct {
	Time   time.Time
	Method string
	Path   string
	URL    string // the request target as it was sent, with its query
	Grant  string // grant_type at the token endpoint
	Status int    // 0 while the answer is not yet sent, or if there never was one
}

// Server is a sandbox. Its methods may be used by several goroutines.
type Server struct {
	options Options
	mux     *http.ServeMux
	pages   *template.Template
	policy  string // Content-Security-Policy of the pages
	keyID   string
	key     func() (*rsa.PrivateKey, error)

	mu       sync.Mutex
	issuer   string
	offset   time.Duration
	faults   Faults
	log      []*Entry
	issued   []string
	reuses   int
	people   map[string]Person    // by ID
	sessions map[string]Person    // who is signed in, by the browser's cookie; the zero Person before the sign-in
	waiting  map[string]waiting   // pages that await an answer, by their CSRF token
	codes    map[string]*code     // authorization codes of the last codeLifetime
	devices  map[string]*device   // device authorizations of the last deviceLifetime, by device code
	refresh  map[string]*refresh  // refresh tokens, also rotated ones
	opaque   map[string]*access   // opaque access tokens
	registry map[string]time.Time // the registry's own tokens, with their ends
	machines map[string]time.Time // opaque machine tokens, with their ends
	company  map[string]any       // what is published for a company's people; nil for nothing
}

// New returns a sandbox.
func New(o Options) *Server {
	if o.ClientID == "" {
		o.ClientID = "sandbox-client"
	}
	if o.Application == "" {
		o.Application = "Credential helper"
	}
	if o.AccessLifetime == 0 {
		o.AccessLifetime = 24 * time.Hour
	}
	if o.DeviceInterval == 0 {
		o.DeviceInterval = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Person.Email == "" {
		o.Person.Email = "ada@acme.dev"
		if o.Person.Name == "" {
			o.Person.Name = "Ada Lovelace"
		}
	}
	if o.Person.ID == "" {
		o.Person.ID = userID(o.Person.Email)
	}
	if o.Key == nil {
		o.Key = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
	}
	sum := sha256.Sum256([]byte(pageStyle))
	s := &Server{
		options: o,
		mux:     http.NewServeMux(),
		pages:   template.Must(template.New("").Parse(pageTemplates)),
		// Chromium applies form-action to the redirect that answers the form as well, so the client's listener is named.
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
			"form-action 'self' http://127.0.0.1:*; frame-ancestors 'none'; base-uri 'none'",
		keyID:    "ins_" + rand.Text(),
		key:      o.Key,
		issuer:   o.Issuer,
		people:   map[string]Person{o.Person.ID: o.Person, machineSubject: {ID: machineSubject, Name: "CI"}},
		sessions: map[string]Person{},
		waiting:  map[string]waiting{},
		codes:    map[string]*code{},
		devices:  map[string]*device{},
		refresh:  map[string]*refresh{},
		opaque:   map[string]*access{},
		registry: map[string]time.Time{},
		machines: map[string]time.Time{},
	}
	s.mux.HandleFunc("GET /.well-known/openid-configuration", s.serveDiscovery)
	s.mux.HandleFunc("GET /.well-known/oauth-authorization-server", s.serveDiscovery)
	s.mux.HandleFunc("GET /.well-known/jwks.json", s.serveKeys)
	s.mux.HandleFunc("GET /.well-known/clerk-credential-helper.json", s.serveCompany)
	s.mux.HandleFunc("GET /oauth/authorize", s.serveAuthorize)
	s.mux.HandleFunc("POST /oauth/authorize", s.serveAuthorize)
	s.mux.HandleFunc("POST /sign-in", s.serveSignIn)
	s.mux.HandleFunc("POST /oauth/consent", s.serveConsent)
	s.mux.HandleFunc("POST /oauth/token", s.serveToken)
	s.mux.HandleFunc("POST /oauth/token/revoke", s.serveRevoke)
	if o.Device {
		s.mux.HandleFunc("POST /oauth/device_authorization", s.serveDeviceAuthorization)
		s.mux.HandleFunc("GET /device", s.serveDevicePage)
	}
	s.mux.HandleFunc("GET /oauth/userinfo", s.serveUserinfo)
	s.mux.HandleFunc("POST /oauth/userinfo", s.serveUserinfo)
	s.mux.HandleFunc("POST /v1/m2m_tokens", s.serveMachineToken)
	return s
}

// SetIssuer sets the origin at which the sandbox is reached.
func (s *Server) SetIssuer(origin string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issuer = origin
}

// SetFaults changes the faults in force. The function is called once, before SetFaults returns, and must not use s.
func (s *Server) SetFaults(change func(*Faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.faults)
}

// Advance moves the sandbox's clock forward by d, or back if d is negative.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
}

// Requests returns the request log in the order of arrival: the last 100,000 requests. Requests made of Git and
// Registry are not in it.
func (s *Server) Requests() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := make([]Entry, len(s.log))
	for i, e := range s.log {
		entries[i] = *e
	}
	return entries
}

// Count returns how many requests of one kind are in the log. The kind is a path ("/oauth/token"), or one of
// "discovery" (either document), "jwks", "authorize", "token", "token:" and a grant type ("token:refresh_token"; a
// companion page's are counted too), "device" (device authorizations), "userinfo" and "revoke". A request counts as soon as
// it has arrived, whatever is answered.
func (s *Server) Count(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.log {
		if e.is(kind) {
			n++
		}
	}
	return n
}

func (e *Entry) is(kind string) bool {
	if grant, ok := strings.CutPrefix(kind, "token:"); ok {
		return (e.Path == "/oauth/token" || e.Path == "/api/cli-auth/token") && e.Grant == grant
	}
	switch kind {
	case "discovery":
		return e.Path == "/.well-known/openid-configuration" || e.Path == "/.well-known/oauth-authorization-server"
	case "jwks":
		return e.Path == "/.well-known/jwks.json"
	case "authorize", "token", "userinfo":
		return e.Path == "/oauth/"+kind
	case "device":
		return e.Path == "/oauth/device_authorization"
	case "revoke":
		return e.Path == "/oauth/token/revoke"
	}
	return e.Path == kind
}

// Issued returns every secret that the sandbox gave out or was sent, in that order: codes, device codes, access, refresh and ID
// tokens, the registry's tokens and PKCE verifiers. A test can look for them where they must not be.
func (s *Server) Issued() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.issued)
}

// Grants returns how many refresh tokens could be used now.
func (s *Server) Grants() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, t := range s.refresh {
		if !t.rotated && !t.grant.ended {
			n++
		}
	}
	return n
}

// Alive reports whether a refresh token could be used now.
func (s *Server) Alive(refreshToken string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.refresh[refreshToken]
	return ok && !t.rotated && !t.grant.ended
}

// Reuses returns how often a refresh token that had been rotated already was presented again.
func (s *Server) Reuses() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reuses
}

// entryKey is the context key of a request's *Entry.
type entryKey struct{}

// ServeHTTP answers as Clerk's Frontend API does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.serve(w, r, s.mux) }

// serve keeps the log of a request and has h answer it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, h http.Handler) {
	s.mu.Lock()
	e := &Entry{Time: s.now(), Method: r.Method, Path: r.URL.Path, URL: r.RequestURI}
	if len(s.log) == maxLog {
		s.log = s.log[1:]
	}
	s.log = append(s.log, e)
	issuer := s.issuer
	s.mu.Unlock()
	if issuer == "" {
		http.Error(w, "sandbox: the issuer is not set", http.StatusInternalServerError)
		return
	}
	rec := &recorder{ResponseWriter: w, server: s, entry: e}
	h.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), entryKey{}, e)))
}

// recorder notes the status of an answer in the request log.
type recorder struct {
	http.ResponseWriter
	server *Server
	entry  *Entry
}

func (r *recorder) WriteHeader(status int) {
	r.server.mu.Lock()
	r.entry.Status = status
	r.server.mu.Unlock()
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.server.mu.Lock()
	if r.entry.Status == 0 {
		r.entry.Status = http.StatusOK
	}
	r.server.mu.Unlock()
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// noteGrant writes the grant type of a token request into the log.
func (s *Server) noteGrant(r *http.Request, grant string) {
	if e, ok := r.Context().Value(entryKey{}).(*Entry); ok {
		s.mu.Lock()
		e.Grant = grant
		s.mu.Unlock()
	}
}

// now is the sandbox's time. s.mu is held.
func (s *Server) now() time.Time { return s.options.Now().Add(s.offset) }

// currentFaults returns a copy of the faults in force.
func (s *Server) currentFaults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.faults
	f.Discovery = maps.Clone(f.Discovery)
	f.TokenHeader = f.TokenHeader.Clone()
	return f
}

func (s *Server) currentIssuer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issuer
}

// note keeps a secret for Issued. s.mu is held.
func (s *Server) note(secret string) string {
	s.issued = append(s.issued, secret)
	return secret
}

// userID makes the ID of a person: the same one for the same e-mail address, as if the account were there already.
func userID(email string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(email)))
	return "user_" + strings.NewReplacer("-", "x", "_", "y").Replace(base64.RawURLEncoding.EncodeToString(sum[:]))[:27]
}

// serveDiscovery answers RFC 8414 and OpenID Connect Discovery metadata with the members that Clerk's has.
func (s *Server) serveDiscovery(w http.ResponseWriter, r *http.Request) {
	f := s.currentFaults()
	select {
	case <-time.After(f.DiscoveryDelay):
	case <-r.Context().Done():
		return
	}
	if f.DiscoveryStatus != 0 {
		w.WriteHeader(f.DiscoveryStatus)
		return
	}
	issuer := s.currentIssuer()
	d := map[string]any{
		"issuer":                                         issuer,
		"authorization_endpoint":                         issuer + "/oauth/authorize",
		"token_endpoint":                                 issuer + "/oauth/token",
		"revocation_endpoint":                            issuer + "/oauth/token/revoke",
		"introspection_endpoint":                         issuer + "/oauth/token_info",
		"userinfo_endpoint":                              issuer + "/oauth/userinfo",
		"jwks_uri":                                       issuer + "/.well-known/jwks.json",
		"scopes_supported":                               scopes(f),
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"RS256"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "none", "client_secret_post"},
		"claims_supported":                               []string{"sub", "iss", "aud", "exp", "iat", "email", "name"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
		"backchannel_logout_supported":                   false,
		"frontchannel_logout_supported":                  false,
	}
	if s.options.Device {
		d["device_authorization_endpoint"] = issuer + "/oauth/device_authorization"
		d["grant_types_supported"] = []string{"authorization_code", "refresh_token", deviceGrant}
	}
	if f.ForeignTokenEndpoint != "" {
		d["token_endpoint"] = f.ForeignTokenEndpoint
	}
	for name, value := range f.Discovery {
		if value == nil {
			delete(d, name)
		} else {
			d[name] = value
		}
	}
	writeJSON(w, http.StatusOK, d)
}

// scopes are the scopes that exist.
func scopes(f Faults) []string {
	all := []string{"openid", "profile", "email", "public_metadata", "private_metadata", "offline_access", "user:org:read"}
	if f.NoOfflineAccess {
		all = slices.DeleteFunc(all, func(s string) bool { return s == "offline_access" })
	}
	return all
}

// writeJSON answers v. Everything that can be a token must not be kept by a cache, RFC 6749 §5.1.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A client that does not read its answer has gone; there is no one to report it to.
	_ = json.NewEncoder(w).Encode(v)
}
