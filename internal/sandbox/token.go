package sandbox

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// grant is what one authorization gave: the chain of refresh tokens and the opaque access tokens.
type grant struct {
	person Person
	scopes []string
	nonce  string
	ended  bool
	// signedOut is set if the person has ended it on the companion page's list of machines.
	signedOut bool
}

// refresh is a refresh token, good for one use.
type refresh struct {
	grant   *grant
	rotated bool
}

// access is an opaque access token.
type access struct {
	grant   *grant
	subject string
	scopes  []string
	until   time.Time
	revoked bool
}

// refusal is an error answer of the token and revocation endpoints, RFC 6749 §5.2.
type refusal struct {
	status      int
	code        string
	description string
}

func (e *refusal) Error() string { return e.code + ": " + e.description }

func refuse(status int, code, description string) error { return &refusal{status, code, description} }

// writeError answers an error of the token and revocation endpoints.
func writeError(w http.ResponseWriter, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		r = &refusal{http.StatusInternalServerError, "server_error", err.Error()}
	}
	writeJSON(w, r.status, map[string]string{"error": r.code, "error_description": r.description})
}

// clientForm reads a form to the token or revocation endpoint and checks the client: a public one, named in the body.
func (s *Server) clientForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if r.URL.RawQuery != "" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "parameters belong into the body") // RFC 6749 §3.2
	}
	form, ok := readForm(w, r)
	if !ok {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "the body is not a form")
	}
	for _, values := range form {
		if len(values) > 1 {
			return form, refuse(http.StatusBadRequest, "invalid_request", "a parameter is given more than once")
		}
	}
	if r.Header.Get("Authorization") != "" || form.Has("client_secret") {
		return form, refuse(http.StatusUnauthorized, "invalid_client", "a public client has no secret")
	}
	if form.Get("client_id") != s.options.ClientID {
		return form, refuse(http.StatusUnauthorized, "invalid_client", "the client is not known")
	}
	return form, nil
}

// serveToken is the token endpoint.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	form, err := s.clientForm(w, r)
	s.noteGrant(r, form.Get("grant_type"))
	// Clerk turns the default User-Agents of HTTP libraries away, without an OAuth error.
	if strings.HasPrefix(r.UserAgent(), "Go-http-client") {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	f := s.currentFaults()
	if f.TokenDrop {
		panic(http.ErrAbortHandler)
	}
	var answer map[string]any
	faked := f.TokenStatus != 0 || f.TokenBody != ""
	if err == nil && !faked {
		answer, err = s.tokens(form)
	}
	select {
	case <-time.After(f.Delay):
	case <-r.Context().Done():
		return
	}
	switch {
	case f.TokenLose:
		panic(http.ErrAbortHandler)
	case faked:
		for name, values := range f.TokenHeader {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
		if f.TokenStatus != 0 {
			w.WriteHeader(f.TokenStatus)
		}
		_, _ = w.Write([]byte(f.TokenBody))
	case err != nil:
		writeError(w, err)
	case f.TokenTruncate:
		sendHalf(w, answer)
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}

// sendHalf promises the whole answer, sends half of it and closes the connection.
func sendHalf(w http.ResponseWriter, answer map[string]any) {
	body, err := json.Marshal(answer)
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// tokens gives what a token request asks for.
func (s *Server) tokens(form url.Values) (map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch form.Get("grant_type") {
	case "authorization_code":
		return s.exchange(form)
	case "refresh_token":
		return s.rotate(form)
	case deviceGrant:
		if s.options.Device {
			return s.poll(form)
		}
	case "":
		return nil, refuse(http.StatusBadRequest, "invalid_request", "grant_type is missing")
	}
	return nil, refuse(http.StatusUnauthorized, "unsupported_grant_type", "the grant type is not supported")
}

// exchange trades an authorization code, RFC 6749 §4.1.3 and RFC 7636 §4.6. s.mu is held.
func (s *Server) exchange(form url.Values) (map[string]any, error) {
	bad := func(why string) error { return refuse(http.StatusBadRequest, "invalid_grant", why) }
	value, verifier := form.Get("code"), form.Get("code_verifier")
	if verifier != "" {
		s.note(verifier)
	}
	switch {
	case value == "":
		return nil, refuse(http.StatusBadRequest, "invalid_request", "code is missing")
	case form.Get("redirect_uri") == "":
		return nil, refuse(http.StatusBadRequest, "invalid_request", "redirect_uri is missing")
	case !validVerifier(verifier):
		return nil, refuse(http.StatusBadRequest, "invalid_request", "code_verifier is missing or malformed")
	}
	c, ok := s.codes[value]
	if !ok {
		return nil, bad("the code is not known")
	}
	if c.used {
		// The code has leaked: all tokens that it gave are revoked (RFC 6749 §4.1.2).
		if c.grant != nil {
			c.grant.ended = true
		}
		return nil, bad("the code has been used")
	}
	c.used = true // by a failure as well: a second attempt is refused
	sum := sha256.Sum256([]byte(verifier))
	switch {
	case s.now().After(c.until):
		return nil, bad("the code has expired")
	case form.Get("redirect_uri") != c.redirectURI:
		return nil, bad("the redirect URI is not the one of the authorization request")
	case subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(c.challenge)) != 1:
		return nil, bad("the code verifier does not fit the challenge")
	}
	c.grant = &grant{person: c.person, scopes: c.scopes, nonce: c.nonce}
	return s.answer(c.grant, c.scopes, c.nonce)
}

// validVerifier reports whether v has the form of RFC 7636 §4.1.
func validVerifier(v string) bool {
	return len(v) >= 43 && len(v) <= 128 && strings.Trim(v, base64URL+".~") == ""
}

// rotate trades a refresh token for an access token and the next refresh token, RFC 6749 §6 and RFC 9700 §4.14.
// s.mu is held.
func (s *Server) rotate(form url.Values) (map[string]any, error) {
	// Clerk answers 400 or 401 with invalid_grant; this is where the sandbox answers 401.
	bad := func(why string) error { return refuse(http.StatusUnauthorized, "invalid_grant", why) }
	value := form.Get("refresh_token")
	if value == "" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "refresh_token is missing")
	}
	t, ok := s.refresh[value]
	if !ok {
		return nil, bad("the refresh token is not known")
	}
	if t.rotated {
		s.reuses++
		t.grant.ended = true
		return nil, bad("the refresh token has been used")
	}
	if t.grant.ended {
		return nil, bad("the grant has ended")
	}
	scopes := t.grant.scopes
	if form.Has("scope") {
		scopes = strings.Fields(form.Get("scope"))
		for _, scope := range scopes {
			if !slices.Contains(t.grant.scopes, scope) {
				return nil, refuse(http.StatusBadRequest, "invalid_scope", "a scope was not granted")
			}
		}
	}
	answer, err := s.answer(t.grant, scopes, "") // no nonce in a refreshed ID token, OpenID Connect Core §12.2
	if err != nil {
		return nil, err
	}
	t.rotated = answer["refresh_token"] != nil
	return answer, nil
}

// answer makes the tokens of a successful answer, RFC 6749 §5.1. s.mu is held.
func (s *Server) answer(g *grant, scopes []string, nonce string) (map[string]any, error) {
	f := s.faults
	lifetime := s.options.AccessLifetime
	if f.AccessLifetime != 0 {
		lifetime = f.AccessLifetime
	}
	now := s.now()
	issuer, subject := s.issuer, g.person.ID
	if f.WrongIssuer {
		issuer = "https://clerk.elsewhere.example"
	}
	if f.OtherSubject {
		subject = s.otherPerson().ID
	}

	accessSubject := subject
	if f.OtherAccessSubject {
		accessSubject = s.otherPerson().ID
	}
	token, err := s.accessToken(g, issuer, accessSubject, scopes, now, lifetime)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{
		"access_token": s.note(token),
		"token_type":   "bearer", // in lower case, as the live Clerk has it
		"scope":        strings.Join(scopes, " "),
	}
	if f.TokenType != "" {
		answer["token_type"] = f.TokenType
	}
	if !f.OmitExpiresIn {
		answer["expires_in"] = int64(lifetime / time.Second)
	}
	if slices.Contains(g.scopes, "offline_access") && !f.OmitRefreshToken {
		value := s.note(rand.Text() + rand.Text())
		s.refresh[value] = &refresh{grant: g}
		answer["refresh_token"] = value
	}
	if slices.Contains(scopes, "openid") && !f.OmitIDToken {
		claims := map[string]any{"iss": issuer, "sub": subject, "aud": s.options.ClientID, "jti": rand.Text(),
			"iat": now.Unix(), "exp": now.Add(lifetime).Unix()}
		if nonce != "" {
			claims["nonce"] = nonce
		}
		if f.WrongNonce {
			claims["nonce"] = "another-" + nonce
		}
		if f.WrongAudience {
			claims["aud"] = "another-client"
		}
		s.personClaims(claims, subject, scopes)
		idToken, err := s.sign("JWT", claims)
		if err != nil {
			return nil, err
		}
		answer["id_token"] = s.note(idToken)
	}
	return answer, nil
}

// accessToken makes an access token, in one of Clerk's two formats. s.mu is held.
func (s *Server) accessToken(g *grant, issuer, subject string, scopes []string, now time.Time, lifetime time.Duration) (string, error) {
	id := "oat_" + rand.Text()
	if s.options.Opaque {
		s.opaque[id] = &access{grant: g, subject: subject, scopes: scopes, until: now.Add(lifetime)}
		return id, nil
	}
	// The claims that a live token has: no "aud", no "email".
	claims := map[string]any{"client_id": s.options.ClientID, "iss": issuer, "sub": subject, "jti": id,
		"scope": strings.Join(scopes, " "), "iat": now.Unix(), "nbf": now.Unix() - 10, "exp": now.Add(lifetime).Unix()}
	if s.faults.WrongClientID {
		claims["client_id"] = "another-client"
	}
	kind := "at+jwt" // RFC 9068 §2.1
	if s.faults.WrongType {
		kind = "JWT"
	}
	return s.sign(kind, claims)
}

// sign makes a JWT. s.mu is held.
func (s *Server) sign(kind string, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	if s.faults.Unsigned {
		header := fmt.Sprintf(`{"alg":"none","typ":%q}`, kind)
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
			base64.RawURLEncoding.EncodeToString(payload) + ".", nil
	}
	key, err := s.key()
	if err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	token, err := signJWT(key, s.keyID, kind, payload)
	if err != nil {
		return "", err
	}
	if s.faults.BadSignature {
		dot := strings.LastIndexByte(token, '.')
		other := "A"
		if token[dot+1] == 'A' {
			other = "B"
		}
		token = token[:dot+1] + other + token[dot+2:]
	}
	return token, nil
}

// signJWT signs a payload with RS256.
func signJWT(key *rsa.PrivateKey, keyID, kind string, payload []byte) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: keyID}},
		new(jose.SignerOptions).WithType(jose.ContentType(kind)))
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return token, nil
}

// otherPerson is the person whom the faults put into tokens. s.mu is held.
func (s *Server) otherPerson() Person {
	p := Person{ID: userID("mallory@acme.dev"), Email: "mallory@acme.dev", Name: "Mallory"}
	s.people[p.ID] = p
	return p
}

// personClaims adds what the scopes tell about a person. s.mu is held.
func (s *Server) personClaims(claims map[string]any, subject string, scopes []string) {
	p := s.people[subject]
	if slices.Contains(scopes, "email") {
		claims["email"], claims["email_verified"] = p.Email, true
	}
	if slices.Contains(scopes, "profile") {
		given, family, _ := strings.Cut(p.Name, " ")
		claims["name"], claims["given_name"], claims["family_name"] = p.Name, given, family
	}
}

// serveKeys answers the key set, RFC 7517 §5.
func (s *Server) serveKeys(w http.ResponseWriter, _ *http.Request) {
	if s.currentFaults().JWKSDown {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	key, err := s.key()
	if err != nil {
		writeError(w, fmt.Errorf("making a key: %w", err))
		return
	}
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: key.Public(), KeyID: s.keyID, Algorithm: "RS256", Use: "sig"}}})
}

// serveRevoke is the revocation endpoint, RFC 7009 as Clerk has it: a refresh token ends its grant, an opaque access
// token ends alone, a JWT access token cannot be revoked, and what is not known, or rotated, is answered with success.
func (s *Server) serveRevoke(w http.ResponseWriter, r *http.Request) {
	form, err := s.clientForm(w, r)
	if err != nil {
		writeError(w, err)
		return
	}
	if status := s.currentFaults().RevokeStatus; status != 0 {
		w.WriteHeader(status)
		return
	}
	token := form.Get("token")
	switch {
	case token == "":
		writeError(w, refuse(http.StatusBadRequest, "invalid_request", "token is missing"))
		return
	case strings.Count(token, ".") == 2:
		writeError(w, refuse(http.StatusBadRequest, "unsupported_token_type", "a JWT cannot be revoked"))
		return
	}
	s.mu.Lock()
	if t, ok := s.refresh[token]; ok && !t.rotated {
		t.grant.ended = true
	}
	if t, ok := s.opaque[token]; ok {
		t.revoked = true
	}
	s.mu.Unlock()
	w.WriteHeader(http.StatusOK)
}

// serveUserinfo is OpenID Connect's userinfo endpoint with Clerk's members.
func (s *Server) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	if status := s.currentFaults().UserinfoStatus; status != 0 {
		w.WriteHeader(status)
		return
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s.mu.Lock()
	subject, scopes, err := s.verify(token)
	claims := map[string]any{"object": "oauth_user_info", "instance_id": s.keyID, "user_id": subject, "sub": subject}
	s.personClaims(claims, subject, scopes)
	s.mu.Unlock()
	if !strings.EqualFold(scheme, "Bearer") || err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`) // RFC 6750 §3
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	writeJSON(w, http.StatusOK, claims)
}

// Verify does what a server does that is given an access token of this sandbox: for a JWT it checks type, signature,
// issuer, client and times, for an opaque one that it is known, alive and not revoked. An ID token is not an access
// token.
func (s *Server) Verify(token string) (Person, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	subject, _, err := s.verify(token)
	if err != nil {
		return Person{}, err
	}
	return s.people[subject], nil
}

// verify returns whose access token it is, and its scopes. s.mu is held.
func (s *Server) verify(token string) (subject string, scopes []string, err error) {
	now := s.now()
	if strings.HasPrefix(token, "oat_") {
		t, ok := s.opaque[token]
		switch {
		case !ok:
			return "", nil, errors.New("access token is not known")
		case t.revoked || t.grant.ended:
			return "", nil, errors.New("access token is revoked")
		case !now.Before(t.until):
			return "", nil, errors.New("access token has expired")
		}
		return t.subject, t.scopes, nil
	}
	if until, ok := s.machines[token]; ok {
		if !now.Before(until) {
			return "", nil, errors.New("machine token has expired")
		}
		return machineSubject, nil, nil
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return "", nil, fmt.Errorf("access token is not a signed JWT: %w", err)
	}
	header := signed.Signatures[0].Header
	if header.KeyID != s.keyID {
		return "", nil, errors.New("JWT is not of this issuer")
	}
	key, err := s.key()
	if err != nil {
		return "", nil, fmt.Errorf("making a key: %w", err)
	}
	payload, err := signed.Verify(key.Public())
	if err != nil {
		return "", nil, fmt.Errorf("verifying the access token: %w", err)
	}
	var claims struct {
		Issuer    string `json:"iss"`
		Subject   string `json:"sub"`
		ClientID  string `json:"client_id"`
		Session   string `json:"sid"`
		Scope     string `json:"scope"`
		Expires   int64  `json:"exp"`
		NotBefore int64  `json:"nbf"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return "", nil, fmt.Errorf("decoding the access token: %w", err)
	}
	kind := header.ExtraHeaders[jose.HeaderType]
	// A machine's token and the session token of a web app are no access tokens of OAuth, and have no client.
	other := isMachine(kind, claims.Subject) || kind == "JWT" && strings.HasPrefix(claims.Session, "sess_")
	switch {
	case kind != "at+jwt" && !other:
		return "", nil, errors.New("JWT is not an access token")
	case claims.Issuer != s.issuer:
		return "", nil, errors.New("access token is of another issuer")
	case !other && claims.ClientID != s.options.ClientID:
		return "", nil, errors.New("access token is for another client")
	case now.Unix() >= claims.Expires:
		return "", nil, errors.New("access token has expired")
	case now.Unix() < claims.NotBefore:
		return "", nil, errors.New("access token is not valid yet")
	}
	return claims.Subject, strings.Fields(claims.Scope), nil
}
