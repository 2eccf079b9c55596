package clerk

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"clerk-credential-helper/internal/config"
)

// object is a JSON object.
type object = map[string]any

// issuer is an issuer whose answers a row of a table changes.
type issuer struct {
	run    *run
	url    string
	key    *rsa.PrivateKey
	nonce  string
	now    int64    // when it was made
	strays []string // requests for paths that no client should request
	keys   []byte   // what the key set is; nil for the right one

	id, access       object // claims
	idType, kind     string // typ of the ID token and of the access token
	sign             func(typ string, claims object) string
	answer           object // replaces members of the token answer; nil removes one
	token, user      http.HandlerFunc
	callback         url.Values // replaces parameters of the authorization response
	seen             url.Values // the token request
	given, revoked   string     // the refresh tokens
	advertisesIssuer bool
}

// serve makes the issuer and a profile for it.
func serve(t *testing.T, r *run, key *rsa.PrivateKey) (*issuer, *config.Profile) {
	t.Helper()
	i := &issuer{run: r, key: key, idType: "JWT", kind: "at+jwt", advertisesIssuer: true}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	i.url = server.URL
	i.now = time.Now().Unix()
	i.id = object{"iss": i.url, "sub": "user_1", "aud": "client", "iat": i.now, "exp": i.now + 3600, "email": "ada@acme.dev"}
	i.access = object{"iss": i.url, "sub": "user_1", "client_id": "client", "iat": i.now, "nbf": i.now - 10, "exp": i.now + 3600}
	i.sign = i.rs256
	return i, &config.Profile{Name: "acme", Issuer: i.url, ClientID: "client", Scopes: []string{"openid", "email"}, Token: "access"}
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		http.NotFound(w, r) // so that the other document is tried as well
	case "/.well-known/oauth-authorization-server":
		writeJSON(w, object{
			"issuer":                           i.url,
			"authorization_endpoint":           i.url + "/authorize",
			"token_endpoint":                   i.url + "/token",
			"userinfo_endpoint":                i.url + "/userinfo",
			"jwks_uri":                         i.url + "/keys",
			"code_challenge_methods_supported": []string{"S256"},
			"authorization_response_iss_parameter_supported": i.advertisesIssuer,
		})
	case "/authorize":
		query := r.URL.Query()
		i.nonce = query.Get("nonce")
		response := url.Values{"code": {"the-code-of-this-run"}, "state": {query.Get("state")}, "iss": {i.url}}
		for name, values := range i.callback {
			delete(response, name)
			for _, value := range values {
				response.Add(name, strings.ReplaceAll(value, "STATE", query.Get("state")))
			}
		}
		http.Redirect(w, r, query.Get("redirect_uri")+"?"+response.Encode(), http.StatusSeeOther)
	case "/token":
		r.ParseForm()
		i.seen = r.PostForm
		i.run.hide(r.PostForm.Get("code"), r.PostForm.Get("code_verifier"), r.PostForm.Get("refresh_token"))
		if i.token != nil {
			i.token(w, r)
			return
		}
		i.serveToken(w)
	case "/userinfo":
		if i.user != nil {
			i.user(w, r)
			return
		}
		writeJSON(w, object{"sub": "user_1", "email": "ada@acme.dev"})
	case "/keys":
		if i.keys != nil {
			w.Write(i.keys)
			return
		}
		writeJSON(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "ins_1", Use: "sig", Algorithm: "RS256"}}})
	case "/oauth/token/revoke": // Clerk's, because the metadata names none
		i.revoked = r.PostFormValue("token")
	default:
		i.strays = append(i.strays, r.Method+" "+r.URL.Path)
	}
}

func (i *issuer) serveToken(w http.ResponseWriter) {
	id := maps.Clone(i.id)
	if _, set := id["nonce"]; !set {
		id["nonce"] = i.nonce
	}
	answer := object{
		"access_token":  i.sign(i.kind, i.access),
		"id_token":      i.sign(i.idType, id),
		"refresh_token": "the-refresh-token-of-this-run",
		"token_type":    "Bearer",
		"expires_in":    3600,
	}
	for name, value := range i.answer {
		answer[name] = value
		if value == nil {
			delete(answer, name)
		}
	}
	for _, name := range []string{"access_token", "id_token", "refresh_token"} {
		if value, ok := answer[name].(string); ok {
			i.run.hide(value)
		}
	}
	if answer["access_token"] != nil { // without it, it is no answer
		i.given, _ = answer["refresh_token"].(string)
	}
	writeJSON(w, answer)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (i *issuer) rs256(typ string, claims object) string {
	return compact(jose.RS256, jose.JSONWebKey{Key: i.key, KeyID: "ins_1"}, typ, claims)
}

// compact signs claims; a typ of "" leaves the member out.
func compact(alg jose.SignatureAlgorithm, key any, typ string, claims object) string {
	options := &jose.SignerOptions{}
	if typ != "" {
		options.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	s, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return s
}

func unsigned(typ string, claims object) string {
	payload, _ := json.Marshal(claims)
	encode := base64.RawURLEncoding.EncodeToString
	return encode(fmt.Appendf(nil, `{"alg":"none","typ":%q}`, typ)) + "." + encode(payload) + "."
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestVerify changes one thing at a time in an answer that would be good.
func TestVerify(t *testing.T) {
	key, otherKey := newKey(t), newKey(t)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})

	tests := []struct {
		reason  string
		change  func(*issuer)
		profile func(*config.Profile)
		want    string // a part of the error; empty for success
		early   bool   // it is found before the user is asked
	}{
		{reason: "nothing is changed", change: func(*issuer) {}},
		{reason: "application/at+jwt is the long form", change: func(i *issuer) { i.kind = "application/at+jwt" }},
		{reason: "types have no case", change: func(i *issuer) { i.kind, i.idType = "AT+JWT", "jwt" }},
		{reason: "an ID token needs no type", change: func(i *issuer) { i.idType = "" }},
		{reason: "ended within the leeway", change: func(i *issuer) { i.id["exp"], i.access["exp"] = i.now-280, i.now-280 }},
		{reason: "not yet valid within the leeway", change: func(i *issuer) { i.access["nbf"], i.id["nbf"], i.id["iat"] = i.now+280, i.now+280, i.now+280 }},
		{reason: "a list of one audience", change: func(i *issuer) { i.id["aud"] = []string{"client"} }},
		{reason: "several audiences and azp", change: func(i *issuer) { i.id["aud"], i.id["azp"] = []string{"other", "client"}, "client" }},
		{reason: "keys we do not understand are passed over", change: func(i *issuer) {
			set, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "ins_1"}}})
			i.keys = append([]byte(`{"keys":[{"kty":"OKP","crv":"Ed448","x":"AA"},{"kty":"new"},`), set[len(`{"keys":[`):]...)
		}},
		{reason: "iss is absent and not advertised", change: func(i *issuer) { i.advertisesIssuer, i.callback = false, url.Values{"iss": nil} }},
		{reason: "an opaque access token beside an ID token", change: func(i *issuer) { i.answer = object{"access_token": "oat_1234567890"} }},
		{reason: "opaque with two dots", change: func(i *issuer) { i.answer = object{"access_token": "oat.1234.567890"} }},
		{reason: "an invisible e-mail address is left out", change: func(i *issuer) { i.id["email"] = "ada\u202e@acme.dev" }},

		{reason: "ID token: algorithm none", change: func(i *issuer) { i.answer = object{"id_token": unsigned("JWT", i.id)} }, want: "ID token: "},
		{reason: "access token: algorithm none", change: func(i *issuer) { i.answer = object{"access_token": unsigned("at+jwt", i.access)} }, want: "access token: "},
		{reason: "ID token: HS256 with the public key", change: func(i *issuer) {
			i.sign = func(typ string, claims object) string { return compact(jose.HS256, publicPEM, typ, claims) }
		}, want: "unexpected signature algorithm"},
		{reason: "ID token: RS512", change: func(i *issuer) {
			i.sign = func(typ string, claims object) string { return compact(jose.RS512, i.key, typ, claims) }
		}, want: "unexpected signature algorithm"},
		{reason: "access token: PS256", change: func(i *issuer) {
			i.answer = object{"access_token": compact(jose.PS256, i.key, "at+jwt", i.access)}
		}, want: "unexpected signature algorithm"},
		{reason: "signed by another key", change: func(i *issuer) {
			i.sign = func(typ string, claims object) string { return compact(jose.RS256, otherKey, typ, claims) }
		}, want: "verify"},
		{reason: "access token signed by another key", change: func(i *issuer) {
			i.answer = object{"access_token": compact(jose.RS256, otherKey, "at+jwt", i.access)}
		}, want: "access token: "},
		{reason: "another key in the header of the token itself", change: func(i *issuer) {
			i.sign = func(typ string, claims object) string {
				signer, _ := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: otherKey}, (&jose.SignerOptions{EmbedJWK: true}).WithType(jose.ContentType(typ)))
				payload, _ := json.Marshal(claims)
				signed, _ := signer.Sign(payload)
				s, _ := signed.CompactSerialize()
				return s
			}
		}, want: "verify"},
		{reason: "no keys", change: func(i *issuer) { i.keys = []byte(`{"keys":[]}`) }, want: "the set is empty", early: true},
		{reason: "the key is for encryption", change: func(i *issuer) {
			set, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), Use: "enc"}}})
			i.keys = set
		}, want: "none of the 1 keys is for RS256", early: true},
		{reason: "the keys are HTML", change: func(i *issuer) { i.keys = []byte(`<html>`) }, want: "keys endpoint: the answer is not the JSON", early: true},
		{reason: "the keys have no end", change: func(i *issuer) { i.keys = bytes.Repeat([]byte{' '}, 10<<20) }, want: "larger than 1 MiB", early: true},

		{reason: "ID token: type of an access token", change: func(i *issuer) { i.idType = "at+jwt" }, want: `ID token: its type "at+jwt"`},
		{reason: "access token: type JWT", change: func(i *issuer) { i.kind = "JWT" }, want: `access token: its type "JWT"`},
		{reason: "access token: no type", change: func(i *issuer) { i.kind = "" }, want: `access token: its type ""`},
		{reason: "access token: the ID token again", change: func(i *issuer) { i.answer = object{"access_token": i.sign("JWT", i.id)} }, want: "access token: its type"},

		{reason: "ID token: another issuer", change: func(i *issuer) { i.id["iss"] = "https://evil.example" }, want: "ID token: "},
		{reason: "ID token: issuer with a slash", change: func(i *issuer) { i.id["iss"] = i.url + "/" }, want: "ID token: "},
		{reason: "ID token: no issuer", change: func(i *issuer) { delete(i.id, "iss") }, want: "ID token: "},
		{reason: "access token: another issuer", change: func(i *issuer) { i.access["iss"] = "https://evil.example" }, want: "access token: "},
		{reason: "access token: no issuer", change: func(i *issuer) { delete(i.access, "iss") }, want: "access token: "},
		{reason: "ID token: another audience", change: func(i *issuer) { i.id["aud"] = "other" }, want: "audience"},
		{reason: "ID token: no audience", change: func(i *issuer) { delete(i.id, "aud") }, want: "audience"},
		{reason: "ID token: several audiences without azp", change: func(i *issuer) { i.id["aud"] = []string{"client", "other"} }, want: "azp"},
		{reason: "ID token: several audiences, azp is another", change: func(i *issuer) { i.id["aud"], i.id["azp"] = []string{"client", "other"}, "other" }, want: "azp"},
		{reason: "ID token: another nonce", change: func(i *issuer) { i.id["nonce"] = "other" }, want: "nonce"},
		{reason: "ID token: no nonce", change: func(i *issuer) { i.id["nonce"] = "" }, want: "nonce"},
		{reason: "ID token: ended", change: func(i *issuer) { i.id["exp"] = i.now - 310 }, want: "expired"},
		{reason: "ID token: no end", change: func(i *issuer) { delete(i.id, "exp") }, want: "no end"},
		{reason: "ID token: not yet valid", change: func(i *issuer) { i.id["nbf"] = i.now + 320 }, want: "not valid yet"},
		{reason: "ID token: issued in the future", change: func(i *issuer) { i.id["iat"] = i.now + 320 }, want: "issued in the future"},
		{reason: "access token: ended", change: func(i *issuer) { i.access["exp"] = i.now - 310 }, want: "expired"},
		{reason: "access token: no end", change: func(i *issuer) { delete(i.access, "exp") }, want: "no end"},
		{reason: "access token: not yet valid", change: func(i *issuer) { i.access["nbf"] = i.now + 320 }, want: "not valid yet"},
		{reason: "access token: times that are words", change: func(i *issuer) { i.access["exp"] = "tomorrow" }, want: "access token: "},
		{reason: "ID token: no subject", change: func(i *issuer) { delete(i.id, "sub") }, want: "no subject"},
		{reason: "access token: no subject", change: func(i *issuer) { delete(i.access, "sub") }, want: "no subject"},
		{reason: "access token: another subject", change: func(i *issuer) { i.access["sub"] = "user_2" }, want: "another account"},
		{reason: "access token: another client", change: func(i *issuer) { i.access["client_id"] = "other" }, want: `client "other"`},
		{reason: "access token: no client", change: func(i *issuer) { delete(i.access, "client_id") }, want: `client ""`},
		{reason: "a subject with a line break", change: func(i *issuer) { i.id["sub"], i.access["sub"] = "user\n1", "user\n1" }, want: "no usable subject"},
		{reason: "a subject of 256 characters", change: func(i *issuer) {
			i.id["sub"], i.access["sub"] = strings.Repeat("x", 256), strings.Repeat("x", 256)
		}, want: "no usable subject"},

		{reason: "no access token", change: func(i *issuer) { i.answer = object{"access_token": nil} }, want: "holds no token"},
		{reason: "no ID token", change: func(i *issuer) { i.answer = object{"id_token": nil} }, want: "no ID token"},
		{reason: "no ID token to hand out", change: func(i *issuer) { i.answer = object{"id_token": nil} },
			profile: func(p *config.Profile) { p.Token, p.Scopes = "id", []string{"email"} }, want: "no ID token"},
		{reason: "an ID token that is a number", change: func(i *issuer) { i.answer = object{"id_token": 7} }, want: "no ID token"},
		{reason: "no type of token", change: func(i *issuer) { i.answer = object{"token_type": nil} }, want: "not bearer"},
		{reason: "an access token with a line break", change: func(i *issuer) { i.answer = object{"access_token": "oat_1\npassword=x"} }, want: "characters"},
		{reason: "an access token with a space", change: func(i *issuer) { i.answer = object{"access_token": "oat_1 x"} }, want: "characters"},
		{reason: "an access token beyond ASCII", change: func(i *issuer) { i.answer = object{"access_token": "oat_é"} }, want: "characters"},
		{reason: "a refresh token with NUL", change: func(i *issuer) { i.answer = object{"refresh_token": "x\x00y"} }, want: "characters"},
		{reason: "opaque: userinfo names another account", change: func(i *issuer) {
			i.answer = object{"access_token": "oat_1234567890"}
			i.user = func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, object{"sub": "user_2"}) }
		}, want: "another account"},
		{reason: "opaque: userinfo has no subject", change: func(i *issuer) {
			i.answer = object{"access_token": "oat_1234567890"}
			i.user = func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, object{}) }
		}, want: "another account"},
		{reason: "opaque without an ID token: userinfo has no subject", change: func(i *issuer) {
			i.answer = object{"access_token": "oat_1234567890", "id_token": nil}
			i.user = func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, object{}) }
		}, profile: func(p *config.Profile) { p.Scopes = nil }, want: "no usable subject"},
		{reason: "opaque: userinfo redirects", change: func(i *issuer) {
			i.answer = object{"access_token": "oat_1234567890"}
			i.user = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/stray", http.StatusFound) }
		}, want: "userinfo endpoint: status 302"},
		{reason: "opaque: userinfo quotes the token", change: func(i *issuer) {
			i.answer = object{"access_token": "oat_1234567890"}
			i.user = func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				writeJSON(w, object{"error": "invalid_token", "error_description": r.Header.Get("Authorization")})
			}
		}, want: "[secret]"},

		{reason: "callback: iss is missing though advertised", change: func(i *issuer) { i.callback = url.Values{"iss": nil} }, want: "came back from"},
		{reason: "callback: iss has a slash", change: func(i *issuer) { i.callback = url.Values{"iss": {i.url + "/"}} }, want: "came back from"},
		{reason: "callback: an error that quotes the state", change: func(i *issuer) {
			i.callback = url.Values{"code": nil, "error": {"server_error"}, "error_description": {"the state was STATE\x1b[2J"}}
		}, want: `authorize endpoint: "server_error" ("the state was [secret]\x1b[2J")`},
		{reason: "callback: an error without end", change: func(i *issuer) {
			i.callback = url.Values{"code": nil, "error": {strings.Repeat("e", 1000)}, "error_description": {strings.Repeat("d", 1000)}}
		}, want: `"` + strings.Repeat("e", 64) + `" ("` + strings.Repeat("d", 200) + `")`},

		{reason: "token: redirect to another path", change: func(i *issuer) {
			i.token = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/stray", http.StatusFound) }
		}, want: "token endpoint: status 302"},
		{reason: "token: redirect that keeps the body", change: func(i *issuer) {
			i.token = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/stray", http.StatusTemporaryRedirect)
			}
		}, want: "token endpoint: status 307"},
		{reason: "token: permanent redirect that keeps the body", change: func(i *issuer) {
			i.token = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/stray", http.StatusPermanentRedirect)
			}
		}, want: "token endpoint: status 308"},
		{reason: "token: a body of 10 MiB", change: func(i *issuer) {
			i.token = func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, `{"access_token":"`)
				io.Copy(w, io.LimitReader(endless{}, 10<<20))
			}
		}, want: "larger than 1 MiB"},
		{reason: "token: 10 MiB in a few bytes of gzip", change: func(i *issuer) {
			i.token = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				io.Copy(z, io.LimitReader(endless{}, 10<<20))
				z.Close()
			}
		}, want: "larger than 1 MiB"},
		{reason: "token: a header of 1 MiB", change: func(i *issuer) {
			i.token = func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }
		}, want: "token endpoint: Post"},
		{reason: "token: an answer that is not HTTP quotes the request", change: func(i *issuer) {
			i.token = func(w http.ResponseWriter, r *http.Request) {
				hijack(w, "HTTP/1.1 200 OK\r\n"+r.PostForm.Get("code_verifier")+"\r\n\r\n")
			}
		}, want: "token endpoint: the answer is not HTTP"},
		{reason: "opaque: an answer of userinfo that is not HTTP quotes the request", change: func(i *issuer) {
			i.answer = object{"access_token": "oat_1234567890"}
			i.user = func(w http.ResponseWriter, r *http.Request) { hijack(w, "oat_1234567890\r\n\r\n") }
		}, want: "userinfo endpoint: the answer is not HTTP"},
		{reason: "token: the refusal quotes the request", change: func(i *issuer) {
			i.token = func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				writeJSON(w, object{"error": r.PostForm.Get("code"), "error_description": "verifier " + r.PostForm.Get("code_verifier")})
			}
		}, want: `status 400: "[secret]" ("verifier [secret]")`},
		{reason: "token: the HTML of a refusal quotes the request", change: func(i *issuer) {
			i.token = func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				io.WriteString(w, "<html>"+r.PostForm.Encode())
			}
		}, want: "token endpoint: status 403"},
		{reason: "token: JSON that cannot be decoded quotes the request", change: func(i *issuer) {
			i.token = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"access_token":"x","expires_in":%q}`, r.PostForm.Get("code_verifier"))
			}
		}, want: "holds no token"},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			r := newRun(t)
			i, p := serve(t, r, key)
			test.change(i)
			if test.profile != nil {
				test.profile(p)
			}
			err := r.signIn(t, p)
			if len(i.strays) != 0 {
				t.Errorf("stray requests: %q", i.strays)
			}
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if len(r.kept) != 1 || r.kept[0].Subject != "user_1" || r.kept[0].RefreshToken != "the-refresh-token-of-this-run" {
					t.Errorf("kept %+v", r.kept)
				}
				if email := r.kept[0].Email; email != "ada@acme.dev" && email != "" {
					t.Errorf("e-mail %q", email)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v lacks %q", err, test.want)
			}
			if i.revoked != i.given {
				t.Errorf("revoked %q, not %q", i.revoked, i.given)
			}
			if len(r.kept) != 0 || !test.early && !strings.Contains(r.page, "Not signed in") || test.early && r.page != "" {
				t.Errorf("kept %+v, page:\n%s", r.kept, r.page)
			}
		})
	}
}

// hijack answers with raw bytes.
func hijack(w http.ResponseWriter, answer string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	io.WriteString(conn, answer)
	conn.Close()
}

// endless reads as the letter x for ever.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for n := range b {
		b[n] = 'x'
	}
	return len(b), nil
}

// TestTokenRequest: the request has the public client in the body, once, and nothing else.
func TestTokenRequest(t *testing.T) {
	r := newRun(t)
	i, p := serve(t, r, newKey(t))
	requests := 0
	i.token = func(w http.ResponseWriter, req *http.Request) {
		requests++
		if req.Header.Get("Authorization") != "" || req.URL.RawQuery != "" || req.Method != http.MethodPost {
			t.Errorf("%s %s with Authorization %q", req.Method, req.URL, req.Header.Get("Authorization"))
		}
		if got := req.UserAgent(); got != r.UserAgent {
			t.Errorf("User-Agent %q", got)
		}
		i.serveToken(w)
	}
	if err := r.signIn(t, p); err != nil {
		t.Fatal(err)
	}
	if requests != 1 {
		t.Errorf("%d requests", requests)
	}
	if len(i.seen["code_verifier"]) != 1 || len(i.seen.Get("code_verifier")) != 43 {
		t.Errorf("verifier %q", i.seen["code_verifier"])
	}
	if i.seen.Get("client_id") != "client" || i.seen.Get("code") != "the-code-of-this-run" || len(i.seen) != 5 {
		t.Errorf("request %v", i.seen)
	}
	if _, err := r.refresh(t, p, r.kept[0]); err != nil {
		t.Fatal(err)
	}
	want := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"the-refresh-token-of-this-run"}, "client_id": {"client"}}
	if i.seen.Encode() != want.Encode() {
		t.Errorf("refresh request %v, want %v", i.seen, want)
	}
}

// TestDiscovery changes one member of an https issuer's document at a time. HOST is the issuer's host and port.
func TestDiscovery(t *testing.T) {
	tests := []struct {
		member string
		value  any
		ok     bool
		reason string
	}{
		{"issuer", "https://HOST", true, "as it should be"},
		{"token_endpoint", "HTTPS://HOST/token", true, "schemes have no case"},
		{"revocation_endpoint", nil, true, "need not be there"},
		{"userinfo_endpoint", nil, true, "need not be there"},
		{"jwks_uri", nil, true, "need not be there"},
		{"device_authorization_endpoint", "https://HOST/device", true, "may be there"},

		{"issuer", "https://HOST/", false, "a slash more"},
		{"issuer", "https://evil.example", false, "another issuer"},
		{"issuer", "", false, "empty"},
		{"issuer", nil, false, "no issuer"},
		{"issuer", 7, false, "not a string"},
		{"authorization_endpoint", nil, false, "required"},
		{"token_endpoint", nil, false, "required"},
		{"token_endpoint", "", false, "empty is missing"},
		{"token_endpoint", "https://evil.example/token", false, "another host"},
		{"token_endpoint", "https://HOST.evil.example/token", false, "the issuer's host as a prefix"},
		{"token_endpoint", "https://HOST@evil.example/token", false, "the issuer's host as a user"},
		{"token_endpoint", "https://user@HOST/token", false, "user information"},
		{"token_endpoint", "https://127.0.0.1:1/token", false, "another port"},
		{"token_endpoint", "https://127.0.0.1/token", false, "the default port"},
		{"token_endpoint", "https://localhost:PORT/token", false, "another name of the host"},
		{"token_endpoint", "http://HOST/token", false, "http"},
		{"token_endpoint", "//HOST/token", false, "no scheme"},
		{"token_endpoint", "/token", false, "relative"},
		{"token_endpoint", "https:/HOST/token", false, "no host"},
		{"token_endpoint", "https:HOST/token", false, "opaque"},
		{"token_endpoint", "https://HOST\\@evil.example/token", false, "a backslash"},
		{"token_endpoint", "https://HOST/token#x", false, "a fragment"},
		{"token_endpoint", "javascript:alert(1)", false, "no place at all"},
		{"token_endpoint", "https://HO\nST/token", false, "a control character"},
		{"authorization_endpoint", "https://evil.example/authorize", false, "another host"},
		{"authorization_endpoint", "http://HOST/authorize", false, "http"},
		{"revocation_endpoint", "https://evil.example/revoke", false, "another host"},
		{"userinfo_endpoint", "https://evil.example/userinfo", false, "another host"},
		{"device_authorization_endpoint", "https://evil.example/device", false, "another host"},
		{"jwks_uri", "https://evil.example/keys", false, "another host"},
		{"jwks_uri", "http://HOST/keys", false, "http"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %s", test.member, test.reason), func(t *testing.T) {
			r := newRun(t)
			var server *httptest.Server
			server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				document := object{
					"issuer":                 server.URL,
					"authorization_endpoint": server.URL + "/authorize",
					"token_endpoint":         server.URL + "/token",
					"revocation_endpoint":    server.URL + "/revoke",
					"userinfo_endpoint":      server.URL + "/userinfo",
					"jwks_uri":               server.URL + "/keys",
				}
				document[test.member] = test.value
				if text, ok := test.value.(string); ok {
					host := strings.TrimPrefix(server.URL, "https://")
					text = strings.ReplaceAll(text, "HOST", host)
					document[test.member] = strings.ReplaceAll(text, "PORT", host[strings.LastIndex(host, ":")+1:])
				} else if test.value == nil {
					delete(document, test.member)
				}
				writeJSON(w, document)
			}))
			defer server.Close()
			r.Transport = server.Client().Transport
			_, err := r.discover(t.Context(), &config.Profile{Issuer: server.URL})
			if (err == nil) != test.ok {
				t.Errorf("error %v", err)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("a control character in %q", err)
			}
		})
	}
}

func TestIssuerMustBeHTTPS(t *testing.T) {
	for _, issuer := range []string{
		"http://clerk.acme.dev", "http://10.0.0.1", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://0.0.0.0:1",
		"http://localhost.", "http://localhost.:1", "http://127.0.0.1.:1",
		"ftp://clerk.acme.dev", "clerk.acme.dev", "", "//clerk.acme.dev", "file:///etc", "http://[::]:1", "%zz",
	} {
		client := &Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			t.Errorf("%q: a request was made", issuer)
			return nil, errors.New("no")
		})}
		if _, err := client.discover(t.Context(), &config.Profile{Issuer: issuer}); err == nil {
			t.Errorf("%q was accepted", issuer)
		}
	}
	for _, issuer := range []string{"http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://127.9.9.9", "https://clerk.acme.dev"} {
		asked := false
		client := &Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			asked = true
			return nil, errors.New("no")
		})}
		client.discover(t.Context(), &config.Profile{Issuer: issuer})
		if !asked {
			t.Errorf("%q was refused", issuer)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestNewTransport(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	server, old := httptest.NewUnstartedServer(handler), httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.Config.ErrorLog = server.Config.ErrorLog
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	server.StartTLS()
	defer server.Close()
	old.StartTLS()
	defer old.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})

	tests := []struct {
		reason, url string
		ca          []byte
		ok          bool
	}{
		{"the file's root is trusted", server.URL, ca, true},
		{"an unknown root is not", server.URL, nil, false},
		{"TLS 1.1 is too old", old.URL, ca, false},
	}
	for _, test := range tests {
		transport, err := NewTransport(test.ca)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, test.url, nil)
		resp, err := transport.RoundTrip(req)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.reason, err)
		}
		if err == nil {
			resp.Body.Close()
		}
		cancel()
		transport.(*http.Transport).CloseIdleConnections()
	}
	for _, bad := range []string{"", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := NewTransport([]byte(bad)); err == nil {
			t.Errorf("the CA file %q was accepted", bad)
		}
	}
}

// TestEndOutOfRange: a time that JSON cannot hold (RFC 3339 has the years 0000 to 9999) would keep a session, and with it
// the refresh token of a rotation, from being written.
func TestEndOutOfRange(t *testing.T) {
	key := newKey(t)
	milliseconds := time.Now().Add(time.Hour).UnixMilli()
	for _, row := range []struct {
		reason  string
		exp     int64
		token   string
		refresh bool // a sign-in refuses it, as expired
		life    time.Duration
	}{
		{"milliseconds", milliseconds, "access", false, unknownLife},
		{"milliseconds in the ID token that is handed out", milliseconds, "id", false, unknownLife},
		{"the first second of the year 10000", 253402300800, "access", false, unknownLife},
		{"the largest number", 1 << 53, "access", false, unknownLife},
		{"a refresh: milliseconds", milliseconds, "access", true, unknownLife},
		{"a refresh: milliseconds in the ID token that is handed out", milliseconds, "id", true, unknownLife},
		{"a refresh: long before the year 0", -1 << 50, "access", true, 0},
	} {
		t.Run(row.reason, func(t *testing.T) {
			r := newRun(t)
			i, p := serve(t, r, key)
			p.Token = row.token
			i.answer = object{"expires_in": nil}
			spoil := func() { i.id["exp"], i.access["exp"] = row.exp, row.exp }
			if !row.refresh {
				spoil()
			}
			if err := r.signIn(t, p); err != nil {
				t.Fatal(err)
			}
			tokens := r.kept[0]
			if row.refresh {
				spoil()
				var err error
				if tokens, err = r.refresh(t, p, tokens); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := json.Marshal(tokens.ExpiresAt.UTC()); err != nil {
				t.Error(err)
			}
			if life := tokens.ExpiresAt.Sub(tokens.ReceivedAt); life != row.life {
				t.Errorf("it lives for %v, want %v", life, row.life)
			}
		})
	}
	// A companion's session token, and one of the environment.
	if _, _, expires, ok := Inspect(unsigned("JWT", object{"iss": "x", "sub": "y", "exp": int64(253402300800)})); !ok || !expires.IsZero() {
		t.Errorf("Inspect: %v, %v", expires, ok)
	}
	if _, _, expires, ok := Inspect(unsigned("JWT", object{"iss": "x", "sub": "y", "exp": int64(253402300799)})); !ok || expires.UTC().Year() != 9999 {
		t.Errorf("Inspect: %v, %v", expires, ok)
	}
}
