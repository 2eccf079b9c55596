package companionpage

import (
	"strings"

	companionfiles "clerk-credential-helper/companion"
)

// UseStore makes [App.Next] say what a kind of store takes: "redis", "postgres", "rest" or "none". With "", it says only that
// there are stores.
func (app *App) UseStore(kind string) {
	app.store = kind
	for _, need := range []struct{ kind, name, install string }{
		{"redis", "redis", "redis@6"},
		{"postgres", "pg", "pg@8"},
	} {
		if _, installed := app.version(need.name, ""); kind == need.kind && !installed {
			app.install[0] = append(app.install[0], need.install)
		}
	}
}

// storeLines returns the lines of the environment for the store.
func (app *App) storeLines() string {
	switch app.store {
	case "redis":
		return `CLI_AUTH_STORE=rediss://default:PASSWORD@redis.acme.dev:6379
                               # its maxmemory-policy has to be noeviction
    CLI_AUTH_STORE_CA=...      # only for a certificate authority of your own: PEM`
	case "postgres":
		return `CLI_AUTH_STORE=postgres://app:PASSWORD@db.acme.dev:5432/acme
    CLI_AUTH_STORE_CA=...      # only for a certificate authority of your own: PEM`
	case "rest":
		return `CLI_AUTH_STORE=https://...  # the address of a Redis REST interface
    CLI_AUTH_STORE_TOKEN=...   # its token, which may write`
	case "none":
		return `                           # no CLI_AUTH_STORE: a code or a refresh token can be
                               # used twice, and revoke does nothing`
	}
	return `CLI_AUTH_STORE=...         # see companion/README.md: without one, a code or a
                               # refresh token can be used twice, and revoke does nothing`
}

// migration returns the step that makes the tables of the store, "" if it has none.
func (app *App) migration() string {
	if app.store != "postgres" {
		return ""
	}
	sql := strings.TrimSpace(companionfiles.PostgresTables)
	return "Make the store's tables, with psql or as a migration:\n\n    " + strings.ReplaceAll(strings.ReplaceAll(sql, "\n", "\n    "), "\n    \n", "\n\n")
}
