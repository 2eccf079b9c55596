package clerk

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Inspect returns issuer, subject and end of a JWT without checking its signature. It is good for messages about a token
// that the user has put into a variable, and for nothing else. ok reports whether token is a JWT; a claim that it does not
// have is empty.
func Inspect(token string) (issuer, subject string, expires time.Time, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || kind(token) != kindJWT {
		return "", "", time.Time{}, false
	}
	var said struct {
		Issuer  string  `json:"iss"`
		Subject string  `json:"sub"`
		Expiry  float64 `json:"exp"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &said) != nil {
		return "", "", time.Time{}, false
	}
	if said.Expiry > 0 && said.Expiry <= lastSecond {
		expires = time.Unix(int64(said.Expiry), 0)
	}
	return said.Issuer, said.Subject, expires, true
}
