package toolconfig

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/pelletier/go-toml/v2"
)

func cargoFile(env Env) (string, error) {
	if folder, err := env.path("CARGO_HOME"); folder != "" || err != nil {
		return filepath.Join(folder, "config.toml"), err
	}
	home, err := env.home("")
	return filepath.Join(home, ".cargo", "config.toml"), err
}

const cargoProvider = "cargo-credential-clerk"

// cargoAdd adds us as the last provider, which cargo asks first (The Cargo Book, "Registry Authentication"). cargo's own
// store stays in the list.
func cargoAdd(text []byte) ([]byte, error) {
	providers, table, err := cargoProviders(text)
	if err != nil || slices.Contains(providers, cargoProvider) {
		return text, err
	}
	line := fmt.Sprintf(`global-credential-providers = ["cargo:token", %q]`, cargoProvider)
	var edited []byte
	switch header := regexp.MustCompile(`(?m)^[ \t]*\[[ \t]*registry[ \t]*\][ \t]*(#.*)?\r?$\n?`).FindIndex(text); {
	case providers != nil:
		list := regexp.MustCompile(`(?m)^([ \t]*global-credential-providers[ \t]*=[ \t]*\[[^\]\n]*?)(,?[ \t]*\])`)
		edited = list.ReplaceAll(text, []byte(`${1}, "`+cargoProvider+`"${2}`))
	case header != nil:
		edited = insertLine(text, header[1], line)
	case table:
		return nil, fmt.Errorf("there is a registry table in another form: add %s to it by hand", line)
	default:
		edited = AppendLines(text, []string{"[registry]", line})
	}
	if now, _, err := cargoProviders(edited); err != nil || !slices.Equal(now, append(slices.Clone(orDefault(providers)), cargoProvider)) {
		return nil, fmt.Errorf("global-credential-providers is written in a form that is not safe to edit: add %q at its end by hand", cargoProvider)
	}
	return edited, nil
}

// orDefault returns the providers, or cargo's default if none is set.
func orDefault(providers []string) []string {
	if providers == nil {
		return []string{"cargo:token"}
	}
	return providers
}

func cargoRemove(text []byte) ([]byte, error) {
	providers, _, err := cargoProviders(text)
	if err != nil || !slices.Contains(providers, cargoProvider) {
		return text, err
	}
	line := fmt.Sprintf(`global-credential-providers = ["cargo:token", %q]`, cargoProvider)
	if at, ok := findLines(text, []string{line}); ok {
		if section, ok := findLines(text, []string{"[registry]", line}); ok && endsSection(text, section.end) {
			at = section
		}
		return cutLines(text, []span{at}), nil
	}
	edited := bytes.Replace(text, []byte(`, "`+cargoProvider+`"`), nil, 1)
	if now, _, err := cargoProviders(edited); err != nil || slices.Contains(now, cargoProvider) {
		return nil, fmt.Errorf("global-credential-providers is written in a form that is not safe to edit: remove %q by hand", cargoProvider)
	}
	return edited, nil
}

func cargoProviders(text []byte) (providers []string, table bool, err error) {
	var all struct {
		Registry *struct {
			Providers []string `toml:"global-credential-providers"`
		} `toml:"registry"`
	}
	if err := toml.Unmarshal(text, &all); err != nil {
		if syntax, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, _ := syntax.Position()
			return nil, false, fmt.Errorf("line %d: %w", line, err)
		}
		return nil, false, err
	}
	if all.Registry == nil {
		return nil, false, nil
	}
	return all.Registry.Providers, true, nil
}
