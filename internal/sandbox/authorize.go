package sandbox

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// authorization is a valid authorization request.
type authorization struct {
	redirectURI string
	state       string
	nonce       string
	challenge   string // S256, RFC 7636 §4.2
	scopes      []string
	device      *device // of the device grant, which has none of the above but scopes
}

// waiting is a page that awaits the person's answer. Each page has a CSRF token of its own, good for one answer from
// the browser that has the cookie.
type waiting struct {
	authorization
	cookie string
	hint   string // whom the sign-in page suggests
	person Person // on the consent page
	until  time.Time
}

// code is an authorization code that was given out.
type code struct {
	authorization
	person Person
	until  time.Time
	used   bool
	grant  *grant // what it gave
}

// serveAuthorize is the authorization endpoint, RFC 6749 §4.1.1 with RFC 7636, as Clerk restricts it for public
// clients. A wrong client or redirect URI is shown to the person and never redirected to (RFC 9700 §4.11); everything
// else that is wrong goes back to the client.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	params, ok := authorizeParams(w, r)
	if !ok {
		s.showError(w, "The sign-in request is malformed or too long.")
		return
	}
	if v := params["client_id"]; len(v) != 1 || v[0] != s.options.ClientID {
		s.showError(w, "The application (client_id) is not known here.")
		return
	}
	if v := params["redirect_uri"]; len(v) != 1 || !validRedirect(v[0]) {
		s.showError(w, "The redirect URI is not registered for this application. It has to be "+
			"http://127.0.0.1/callback, with any port.")
		return
	}
	a, code, description := parseAuthorization(params, s.currentFaults())
	if code != "" {
		s.redirect(w, a, url.Values{"error": {code}, "error_description": {description}})
		return
	}
	if s.options.Auto {
		s.finish(w, a, s.hinted(params.Get("login_hint")))
		return
	}

	cookie, person := s.browser(w, r)
	signedIn := person.ID != ""
	switch params.Get("prompt") {
	case "none":
		code := "login_required" // OpenID Connect Core §3.1.2.6
		if signedIn {
			code = "consent_required"
		}
		s.redirect(w, a, url.Values{"error": {code}, "error_description": {"a person has to be asked"}})
		return
	case "login":
		signedIn = false
	}
	if signedIn {
		s.showConsent(w, waiting{authorization: a, cookie: cookie, person: person})
		return
	}
	s.showSignIn(w, waiting{authorization: a, cookie: cookie, hint: params.Get("login_hint")}, "")
}

// hinted is the person whom the client has named (OpenID Connect Core §3.1.2.1, login_hint), or the usual one.
func (s *Server) hinted(hint string) Person {
	if !isEmail(hint) {
		return s.options.Person
	}
	return s.person(hint)
}

// isEmail reports whether text is an e-mail address and nothing more.
func isEmail(text string) bool {
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text && len(text) <= 254
}

// authorizeParams returns the parameters of the query and of a form together, so that one given in both is seen as
// given twice.
func authorizeParams(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	if len(r.URL.RawQuery) > maxForm {
		return nil, false
	}
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, false
	}
	if r.Method == http.MethodPost {
		form, ok := readForm(w, r)
		if !ok {
			return nil, false
		}
		for name, values := range form {
			params[name] = append(params[name], values...)
		}
	}
	return params, true
}

// validRedirect reports whether a redirect URI is the registered one, http://127.0.0.1/callback, with any port (RFC
// 8252 §7.3). It compares text, not parsed addresses: another spelling is another address.
func validRedirect(uri string) bool {
	rest, ok := strings.CutPrefix(uri, "http://127.0.0.1")
	if !ok {
		return false
	}
	port, ok := strings.CutSuffix(rest, "/callback")
	if !ok {
		return false
	}
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port[1:], 10, 16)
	return err == nil && n > 0 && port == ":"+strconv.FormatUint(n, 10)
}

// parseAuthorization checks what may be answered by a redirect: the request, or an error code of RFC 6749 §4.1.2.1 and
// its description. The redirect URI and the state are set in either case.
func parseAuthorization(params url.Values, f Faults) (a authorization, code, description string) {
	a = authorization{redirectURI: params.Get("redirect_uri"), nonce: params.Get("nonce"),
		challenge: params.Get("code_challenge"), scopes: strings.Fields(params.Get("scope"))}
	if len(params["state"]) == 1 {
		a.state = params.Get("state")
	}
	if len(a.scopes) == 0 {
		a.scopes = []string{"profile", "email"} // Clerk's default
	}
	for _, values := range params {
		if len(values) > 1 {
			return a, "invalid_request", "a parameter is given more than once"
		}
	}
	switch {
	case params.Get("response_type") == "":
		return a, "invalid_request", "response_type is missing"
	case params.Get("response_type") != "code":
		return a, "unsupported_response_type", "response_type must be code"
	case params.Has("response_mode") && params.Get("response_mode") != "query":
		return a, "invalid_request", "response_mode must be query"
	case len(a.state) < 8:
		return a, "invalid_request", "state must have at least 8 characters"
	case a.challenge == "":
		return a, "invalid_request", "code_challenge is required for public clients"
	case params.Get("code_challenge_method") != "S256":
		return a, "invalid_request", "code_challenge_method must be S256"
	case len(a.challenge) != 43 || strings.Trim(a.challenge, base64URL) != "":
		return a, "invalid_request", "code_challenge is not a SHA-256 sum in base64url"
	case !slices.Contains([]string{"", "none", "login", "consent"}, params.Get("prompt")):
		return a, "invalid_request", "prompt is not known"
	}
	known := scopes(f)
	for _, scope := range a.scopes {
		if !slices.Contains(known, scope) {
			return a, "invalid_scope", "a scope is not known"
		}
	}
	return a, "", ""
}

const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// finish ends an authorization that the person has allowed.
func (s *Server) finish(w http.ResponseWriter, a authorization, p Person) {
	if a.device != nil {
		s.finishDevice(w, a.device, p)
		return
	}
	if s.currentFaults().DenyConsent {
		s.deny(w, a)
		return
	}
	s.mu.Lock()
	now := s.now()
	for value, c := range s.codes {
		if now.After(c.until) {
			delete(s.codes, value)
		}
	}
	value := s.note(rand.Text())
	s.codes[value] = &code{authorization: a, person: p, until: now.Add(codeLifetime)}
	s.mu.Unlock()
	s.redirect(w, a, url.Values{"code": {value}})
}

func (s *Server) deny(w http.ResponseWriter, a authorization) {
	if a.device != nil {
		s.finishDevice(w, a.device, Person{})
		return
	}
	s.redirect(w, a, url.Values{"error": {"access_denied"}, "error_description": {"the person refused"}})
}

// redirect sends the browser back to the client, with the state and the issuer (RFC 9207).
func (s *Server) redirect(w http.ResponseWriter, a authorization, answer url.Values) {
	s.redirectAs(s.currentIssuer(), w, a, answer)
}

func (s *Server) redirectAs(issuer string, w http.ResponseWriter, a authorization, answer url.Values) {
	f := s.currentFaults()
	if a.state != "" {
		answer.Set("state", a.state)
	}
	if f.WrongState {
		answer.Set("state", "another-"+a.state)
	}
	if f.WrongResponseIssuer {
		issuer = "https://clerk.elsewhere.example"
	}
	if !f.OmitResponseIssuer {
		answer.Set("iss", issuer)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", a.redirectURI+"?"+answer.Encode())
	w.WriteHeader(http.StatusSeeOther) // never 307, RFC 9700 §4.12
}

const cookieName = "__sandbox_session"

// browser returns the cookie by which a browser is known, and who is signed in there. A new browser is given one.
func (s *Server) browser(w http.ResponseWriter, r *http.Request) (cookie string, person Person) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, err := r.Cookie(cookieName); err == nil {
		if person, ok := s.sessions[c.Value]; ok {
			return c.Value, person
		}
	}
	cookie = rand.Text()
	s.sessions[cookie] = Person{}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: cookie, Path: "/", HttpOnly: true,
		Secure: strings.HasPrefix(s.issuer, "https:"), SameSite: http.SameSiteLaxMode})
	return cookie, Person{}
}

// serveSignIn takes the e-mail address from the sign-in page.
func (s *Server) serveSignIn(w http.ResponseWriter, r *http.Request) {
	form, page, ok := s.takeAnswer(w, r)
	if !ok {
		return
	}
	email := strings.TrimSpace(form.Get("email"))
	if !isEmail(email) {
		s.showSignIn(w, page, "That is not an e-mail address.")
		return
	}
	page.person = s.person(email)
	s.mu.Lock()
	s.sessions[page.cookie] = page.person
	s.mu.Unlock()
	s.showConsent(w, page)
}

// person is the person with an e-mail address: every address has an account.
func (s *Server) person(email string) Person {
	if strings.EqualFold(email, s.options.Person.Email) {
		return s.options.Person
	}
	name, _, _ := strings.Cut(email, "@")
	p := Person{ID: userID(email), Email: email, Name: name}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.people[p.ID] = p
	return p
}

// serveConsent takes the decision from the consent page.
func (s *Server) serveConsent(w http.ResponseWriter, r *http.Request) {
	form, page, ok := s.takeAnswer(w, r)
	if !ok {
		return
	}
	switch form.Get("decision") {
	case "allow":
		if page.person.ID == "" { // the token of a sign-in page
			s.showError(w, "You are not signed in.")
			return
		}
		s.finish(w, page.authorization, page.person)
	case "deny":
		s.deny(w, page.authorization)
	case "switch":
		page.person = Person{}
		s.showSignIn(w, page, "")
	default:
		s.showError(w, "The answer is neither yes nor no.")
	}
}

// await keeps a page until it is answered and returns its CSRF token.
func (s *Server) await(page waiting) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for token, p := range s.waiting {
		if now.After(p.until) {
			delete(s.waiting, token)
		}
	}
	page.until = now.Add(pageLifetime)
	token := rand.Text()
	s.waiting[token] = page
	return token
}

// takeAnswer returns the form of a page and the page that it answers. If there is none, it has written an error.
func (s *Server) takeAnswer(w http.ResponseWriter, r *http.Request) (url.Values, waiting, bool) {
	const gone = "This page is not valid any more. Start the sign-in again where you began it."
	form, ok := readForm(w, r)
	if !ok {
		s.showError(w, gone)
		return nil, waiting{}, false
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		s.showError(w, gone)
		return nil, waiting{}, false
	}
	token := form.Get("csrf")
	s.mu.Lock()
	page, ok := s.waiting[token]
	ok = ok && !s.now().After(page.until) && subtle.ConstantTimeCompare([]byte(page.cookie), []byte(cookie.Value)) == 1
	if ok {
		delete(s.waiting, token)
	}
	s.mu.Unlock()
	if !ok {
		s.showError(w, gone)
		return nil, waiting{}, false
	}
	return form, page, true
}

// readForm returns the fields of a form in the body. The query is not looked at.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return nil, false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return nil, false
	}
	return r.PostForm, true
}
