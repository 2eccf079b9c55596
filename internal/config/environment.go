package config

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// PathVariable returns the path in a variable that names a file or a folder, empty if it is not set. A relative path is
// an error that names the variable and says what to write: tools run in folders with foreign content, such as a clone.
func PathVariable(getenv func(string) string, variable string) (string, error) {
	path := getenv(variable)
	if path != "" && !filepath.IsAbs(path) {
		return "", fmt.Errorf("%s is %q, which depends on the current folder: write an absolute path", variable, path)
	}
	return path, nil
}

// TokenVariable returns the environment variable for a token of the profile of that name, such as
// CLERK_HELPER_TOKEN_ACME_CI for acme-ci. Merge refuses two profiles with the same variable.
func TokenVariable(profile string) string {
	return "CLERK_HELPER_TOKEN_" + strings.ReplaceAll(strings.ToUpper(profile), "-", "_")
}

// FromEnvironment returns a configuration with one profile, made from variables, for machines without a file:
//
//	CLERK_HELPER_ISSUER or CLERK_HELPER_PUBLISHABLE_KEY
//	CLERK_HELPER_CLIENT_ID    or, for a machine, CLERK_MACHINE_SECRET_KEY
//	CLERK_HELPER_HOSTS        separated by commas or spaces
//
// and optionally CLERK_HELPER_SCOPES (a list like the hosts), _USERNAME, _GIT_AUTH, _INTERACTIVE, _MIN_TTL and
// _CA_FILE, with the values of the file's keys of those names. Space around values is dropped; an empty variable counts as
// not set. The profile's name is CLERK_HELPER_PROFILE, or "default". Without an issuer and a key there is no profile:
// both results are nil. Errors name the variable.
func FromEnvironment(getenv func(string) string) (*Config, error) {
	const prefix = "CLERK_HELPER_"
	get := func(name string) string { return strings.TrimSpace(getenv(prefix + name)) }
	if get("ISSUER") == "" && get("PUBLISHABLE_KEY") == "" {
		return nil, nil
	}
	d, err := newDraft(cmp.Or(get("PROFILE"), "default"), position{file: prefix + "PROFILE"}, "environment")
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"issuer", "publishable_key", "client_id", "hosts", "scopes", "username", "git_auth",
		"interactive", "min_ttl", "ca_file"} {
		name := strings.ToUpper(key)
		raw := get(name)
		if raw == "" {
			continue
		}
		v := value{kind: text, text: raw, at: position{file: prefix + name}}
		if key == "hosts" || key == "scopes" {
			v.kind = list
			for _, word := range strings.FieldsFunc(raw, func(r rune) bool { return r == ',' || r == ' ' }) {
				v.list = append(v.list, item{word, v.at})
			}
			if v.list == nil {
				continue
			}
		}
		if err := d.set(key, v); err != nil {
			return nil, err
		}
	}
	// With a machine's key and no client, no user can sign in.
	d.IsMachine = !d.given["client_id"] && strings.TrimSpace(getenv("CLERK_MACHINE_SECRET_KEY")) != ""
	if d.IsMachine {
		d.MachineToken = "jwt"
	}
	for _, required := range []string{"client_id", "hosts"} {
		if !d.given[required] && !(required == "client_id" && d.IsMachine) {
			return nil, errors.New(prefix + strings.ToUpper(required) + " is not set: a profile from the environment needs it")
		}
	}
	if d.given["issuer"] && d.given["publishable_key"] {
		return nil, errors.New(prefix + "ISSUER and " + prefix + "PUBLISHABLE_KEY are both set: keep one")
	}
	return &Config{Profiles: []*Profile{d.Profile}}, nil
}
