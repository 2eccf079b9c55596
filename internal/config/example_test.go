package config_test

import (
	"fmt"

	"clerk-credential-helper/internal/config"
)

// A host matches if a profile names it: exactly, or by a wildcard for one label. An exact name beats a wildcard.
func ExampleConfig_Match() {
	parsed, err := config.Parse("config.toml", []byte(`
[profiles.acme]
issuer    = "https://clerk.acme.dev"
client_id = "example-client"
hosts     = ["git.acme.dev", "registry.acme.dev:5000", "*.pkg.acme.dev"]

[profiles.lab]
issuer    = "https://clerk.lab.dev"
client_id = "example-client"
hosts     = ["npm.pkg.acme.dev"]
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg, err := config.Merge(parsed)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, request := range []struct{ scheme, host string }{
		{"https", "git.acme.dev"},
		{"https", "GIT.acme.dev:443"},  // upper case, the default port
		{"https", "go.pkg.acme.dev"},   // the wildcard
		{"https", "npm.pkg.acme.dev"},  // an exact name beats it
		{"https", "a.b.pkg.acme.dev"},  // two labels
		{"https", "registry.acme.dev"}, // another port
		{"http", "git.acme.dev"},       // not https
		{"https", "git.acme.dev.evil.dev"},
	} {
		name := "no profile"
		for _, p := range cfg.Match(request.scheme, request.host) {
			name = p.Name
		}
		fmt.Printf("%s://%s: %s\n", request.scheme, request.host, name)
	}
	// Output:
	// https://git.acme.dev: acme
	// https://GIT.acme.dev:443: acme
	// https://go.pkg.acme.dev: acme
	// https://npm.pkg.acme.dev: lab
	// https://a.b.pkg.acme.dev: no profile
	// https://registry.acme.dev: no profile
	// http://git.acme.dev: no profile
	// https://git.acme.dev.evil.dev: no profile
}
