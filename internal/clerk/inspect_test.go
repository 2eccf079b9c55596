package clerk

import (
	"encoding/base64"
	"strings"
	"testing"

	"clerk-credential-helper/internal/config"
)

// TestCheckIssuer: a JWT is of the profile's issuer or refused, however its claims are written.
func TestCheckIssuer(t *testing.T) {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	jwt := func(claims string) string { return part(`{"alg":"RS256","typ":"JWT"}`) + "." + part(claims) + ".c2ln" }
	acme := &config.Profile{Name: "acme", Issuer: "https://clerk.acme.dev"}
	for _, tt := range []struct {
		why, token string
		profile    *config.Profile
		want       string // empty for a token that may be used
	}{
		{"the profile's", jwt(`{"iss":"https://clerk.acme.dev"}`), acme, ""},
		{"opaque", "mt_123", acme, ""},
		{"a companion's instance", jwt(`{"iss":"https://clerk.acme.dev"}`), &config.Profile{Issuer: "https://app.acme.dev", Companion: true, Instance: "https://clerk.acme.dev"}, ""},

		{"another's", jwt(`{"iss":"https://clerk.rival.dev"}`), acme, `was issued by "https://clerk.rival.dev", not by "https://clerk.acme.dev"`},
		{"a slash behind it", jwt(`{"iss":"https://clerk.acme.dev/"}`), acme, "was issued by"},
		{"capitals", jwt(`{"iss":"https://CLERK.acme.dev"}`), acme, "was issued by"},
		{"no issuer", jwt(`{}`), acme, `was issued by ""`},
		{"another claim that is called alike", jwt(`{"iss":"https://clerk.rival.dev","ISS":"https://clerk.acme.dev"}`), acme, "was issued by"},
		{"only the other claim", jwt(`{"Iss":"https://clerk.acme.dev"}`), acme, "was issued by"},
		{"a list", jwt(`{"iss":["https://clerk.acme.dev"]}`), acme, "was issued by"},
		{"claims that are no object", jwt(`["iss"]`), acme, "was issued by"},
		{"claims that end too early", jwt(`{"iss":"https://clerk.acme.dev"`), acme, "was issued by"},
		{"claims that are not base64", part(`{"alg":"RS256"}`) + ".%%%.c2ln", acme, "was issued by"},
		{"claims in another alphabet", part(`{"alg":"RS256"}`) + "." + base64.StdEncoding.EncodeToString([]byte(`{"iss":"https://clerk.rival.dev"} `)) + ".c2ln", acme, "was issued by"},
		{"a companion that names no instance", jwt(`{"iss":"https://clerk.acme.dev"}`), &config.Profile{Issuer: "https://app.acme.dev", Companion: true}, "cannot be checked"},
		{"of the page itself", jwt(`{"iss":"https://app.acme.dev"}`), &config.Profile{Issuer: "https://app.acme.dev", Companion: true, Instance: "https://clerk.acme.dev"}, "was issued by"},
	} {
		err := CheckIssuer(tt.profile, tt.token)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.why, err, tt.want)
		}
	}
}
