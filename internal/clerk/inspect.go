package clerk

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"clerk-credential-helper/internal/config"
)

// Inspect returns issuer, subject and end of a JWT without checking its signature. It serves to refuse a token
// that was handed to us, and to name it in messages; it proves nothing. ok reports whether token is a JWT; a claim that it does not
// have is empty.
func Inspect(token string) (issuer, subject string, expires time.Time, ok bool) {
	if kind(token) != kindJWT {
		return "", "", time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		return "", "", time.Time{}, true
	}
	// The names of a struct's fields would be found in any case, and "ISS" is another claim.
	var said map[string]json.RawMessage
	if json.Unmarshal(payload, &said) != nil {
		return "", "", time.Time{}, true
	}
	var expiry float64
	json.Unmarshal(said["iss"], &issuer) // a claim of another type is left empty
	json.Unmarshal(said["sub"], &subject)
	json.Unmarshal(said["exp"], &expiry)
	if expiry > 0 && expiry <= lastSecond {
		expires = time.Unix(int64(expiry), 0)
	}
	return issuer, subject, expires, true
}

// CheckIssuer returns an error for a JWT, from whatever source, that is not of the profile's issuer, and nil for every other
// token. The error's text goes on from "the token ...".
func CheckIssuer(p *config.Profile, token string) error {
	issuer, _, _, ok := Inspect(token)
	if !ok {
		return nil
	}
	want := p.Issuer
	if p.Companion { // its tokens are its Clerk instance's
		want = p.Instance
	}
	switch {
	case want == "":
		return errors.New("cannot be checked: the profile does not name the Clerk instance, as issuer = \"...\" beside companion does")
	case issuer != want:
		return fmt.Errorf("was issued by %.200q, not by %q", issuer, want)
	}
	return nil
}

// GivenMost bounds a token that is handed to us, in bytes.
const GivenMost = 16 << 10

// Given makes tokens of one that was handed to us, as access token and as ID token. The error is what is wrong with it;
// its text goes on from "the token ...", and does not repeat the token.
func Given(p *config.Profile, token string, now time.Time) (Tokens, error) {
	switch {
	case len(token) > GivenMost:
		return Tokens{}, fmt.Errorf("is longer than %d bytes", GivenMost)
	case strings.HasPrefix(token, "sk_"):
		return Tokens{}, errors.New("is a secret key of Clerk's Backend API, which must never reach a tool: replace it in Clerk's dashboard, and use an access token, an API key or an M2M token")
	case strings.HasPrefix(token, "pk_"):
		return Tokens{}, errors.New("is a publishable key, which grants no access")
	}
	if err := CheckForm(token); err != nil {
		return Tokens{}, err
	}
	if err := CheckIssuer(p, token); err != nil {
		return Tokens{}, err
	}
	_, subject, expires, jwt := Inspect(token)
	if jwt && !expires.IsZero() && !expires.After(now) {
		return Tokens{}, fmt.Errorf("expired at %s", expires.UTC().Format(time.RFC3339))
	}
	return Tokens{Subject: subject, AccessToken: token, IDToken: token, Kind: kind(token), ReceivedAt: now, ExpiresAt: expires}, nil
}
