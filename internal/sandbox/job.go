package sandbox

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 §2.1
	exchangedLife = 15 * time.Minute
	jobTokenLife  = 5 * time.Minute
)

// CI is a stand-in for a CI, which signs tokens for its jobs as GitHub Actions does: a job asks for one, with the audience that
// it chooses, at RequestURL with RequestToken.
type CI struct {
	// RequestToken is what the job asks with.
	RequestToken string

	server *Server
	origin string
	key    func() (*rsa.PrivateKey, error)
	mux    *http.ServeMux

	mu     sync.Mutex
	claims map[string]any
	asked  int
}

// CI makes a stand-in for a CI of the origin at which it is served. Its one job is of the claims given, beside those of every
// token.
func (s *Server) CI(origin string, claims map[string]any) *CI {
	ci := &CI{RequestToken: "sandbox-job-" + rand.Text(), server: s, origin: origin, mux: http.NewServeMux(), claims: claims,
		key: sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })}
	ci.mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"issuer": origin, "jwks_uri": origin + "/.well-known/jwks",
			"id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	ci.mux.HandleFunc("GET /.well-known/jwks", func(w http.ResponseWriter, _ *http.Request) {
		key, err := ci.key()
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "job", Algorithm: "RS256", Use: "sig"}}})
	})
	ci.mux.HandleFunc("GET /job/token", ci.serveToken)
	s.mu.Lock()
	s.note(ci.RequestToken)
	s.mu.Unlock()
	return ci
}

// RequestURL is where the job asks for a token.
func (ci *CI) RequestURL() string { return ci.origin + "/job/token?api-version=2.0" }

// Asked is how many tokens were asked for at RequestURL.
func (ci *CI) Asked() int {
	ci.mu.Lock()
	defer ci.mu.Unlock()
	return ci.asked
}

// ServeHTTP answers as the CI does.
func (ci *CI) ServeHTTP(w http.ResponseWriter, r *http.Request) { ci.mux.ServeHTTP(w, r) }

func (ci *CI) serveToken(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+ci.RequestToken)) != 1 {
		http.Error(w, "not a job of ours", http.StatusUnauthorized)
		return
	}
	ci.mu.Lock()
	ci.asked++
	ci.mu.Unlock()
	token, err := ci.Token(r.URL.Query().Get("audience"))
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"count": len(token), "value": token})
}

// Token signs a token of the job for an audience.
func (ci *CI) Token(audience string) (string, error) {
	now := ci.server.now()
	claims := map[string]any{"iss": ci.origin, "aud": audience, "jti": rand.Text(), "iat": now.Unix(), "nbf": now.Unix(),
		"exp": now.Add(jobTokenLife).Unix()}
	ci.mu.Lock()
	maps.Copy(claims, ci.claims)
	ci.mu.Unlock()
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	key, err := ci.key()
	if err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	token, err := signJWT(key, "job", "JWT", payload)
	if err != nil {
		return "", err
	}
	ci.server.mu.Lock()
	defer ci.server.mu.Unlock()
	return ci.server.note(token), nil
}

// Trust has the companion page exchange tokens of the CI's jobs that have these claims.
func (c *Companion) Trust(ci *CI, claims map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ci, c.trusted = ci, claims
}

// exchange answers a token exchange (RFC 8693 §2). c.mu is held.
func (c *Companion) exchange(form url.Values) (map[string]any, error) {
	bad := func(why string) error { return refuse(http.StatusBadRequest, "invalid_grant", why) }
	if c.ci == nil {
		return nil, refuse(http.StatusBadRequest, "unsupported_grant_type", "the grant type is not known")
	}
	if form.Get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "the subject token is of another type")
	}
	key, err := c.ci.key()
	if err != nil {
		return nil, err
	}
	signed, err := jose.ParseSignedCompact(form.Get("subject_token"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, bad("the subject token is not a JWT")
	}
	payload, err := signed.Verify(&key.PublicKey)
	if err != nil {
		return nil, bad("the subject token is not signed by the CI")
	}
	var said map[string]any
	if json.Unmarshal(payload, &said) != nil || said["iss"] != c.ci.origin || said["aud"] != c.origin {
		return nil, bad("the subject token is for another page")
	}
	if end, ok := said["exp"].(float64); !ok || int64(end) <= c.server.now().Unix() {
		return nil, bad("the subject token has expired")
	}
	for name, value := range c.trusted {
		if said[name] != value {
			return nil, bad("no policy allows this job")
		}
	}
	token, _, _, _, err := c.server.mint("jwt", exchangedLife)
	if err != nil {
		return nil, err
	}
	return map[string]any{"access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
		"token_type": "Bearer", "expires_in": int64(exchangedLife / time.Second)}, nil
}
