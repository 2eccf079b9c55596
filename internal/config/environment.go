package config

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
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

// WithoutLineEnd returns the text without the line end, LF or CRLF, that files and here-documents have at their end. Only one
// is taken off.
func WithoutLineEnd(text string) string {
	if line, ended := strings.CutSuffix(text, "\n"); ended {
		return strings.TrimSuffix(line, "\r")
	}
	return text
}

// Trimmed returns getenv, with one line end taken off each variable of ours: what fills them often reads a file.
func Trimmed(getenv func(string) string) func(string) string {
	return func(name string) string {
		if !strings.HasPrefix(name, "CLERK_") {
			return getenv(name)
		}
		return WithoutLineEnd(getenv(name))
	}
}

// The variables for a token, and for the file that has one.
const (
	tokenName = "CLERK_HELPER_TOKEN"
	tokenFile = "CLERK_HELPER_TOKEN_FILE"
)

// TokenVariable returns the environment variable for a token of the profile of that name, such as
// CLERK_HELPER_TOKEN_ACME_CI for acme-ci. Merge refuses two profiles with the same variable.
func TokenVariable(profile string) string { return "CLERK_HELPER_TOKEN_" + inVariable(profile) }

// MachineKey is the variable for a machine secret key where all machine profiles have one issuer, or CLERK_HELPER_PROFILE
// names one.
const MachineKey = "CLERK_MACHINE_SECRET_KEY"

// MachineKeyVariable returns the environment variable for the machine secret key of the profile of that name, such as
// CLERK_MACHINE_SECRET_KEY_ACME_CI for acme-ci.
func MachineKeyVariable(profile string) string { return MachineKey + "_" + inVariable(profile) }

func inVariable(profile string) string { return strings.ReplaceAll(strings.ToUpper(profile), "-", "_") }

// MachineKeyOf returns the secret key for a machine profile, and its variable: the one with the profile's name, else
// CLERK_MACHINE_SECRET_KEY. A key does not say whose it is, so one without a name is for the profile that
// CLERK_HELPER_PROFILE names, or for all machine profiles if they have one issuer; otherwise it is an [*Error]. Both are
// empty if there is no key. A profile for people has no key; the variable is then one that is set and used by no profile. For
// one of a CI job it is the job's credential.
func (c *Config) MachineKeyOf(p *Profile, getenv func(string) string) (key, variable string, err error) {
	own := MachineKeyVariable(p.Name)
	if p.InJob != "" {
		job, err := p.JobOf(getenv)
		if job == nil || err != nil {
			return "", "", err
		}
		return job.Credential, job.Variable, nil
	}
	if !p.IsMachine {
		return "", c.unusedKey(p, getenv), nil
	}
	if key := getenv(own); !isBlank(key) {
		return key, own, nil
	}
	key = getenv(MachineKey)
	if isBlank(key) {
		return "", "", nil
	}
	var names []string
	several := false
	for _, other := range c.All() {
		if other.IsMachine && other.InJob == "" {
			names = append(names, other.Name)
			several = several || other.Issuer != p.Issuer
		}
	}
	switch named := getenv("CLERK_HELPER_PROFILE"); {
	case several && named == "":
		return "", "", &Error{fmt.Errorf("%s could be for any of the profiles %s: set %s, or name one in CLERK_HELPER_PROFILE", MachineKey, strings.Join(names, ", "), own)}
	case several && named != p.Name:
		return "", "", nil
	}
	return key, MachineKey, nil
}

// unusedKey returns the variable with a machine's key that is beside p, which is for people, and that no profile uses.
func (c *Config) unusedKey(p *Profile, getenv func(string) string) string {
	switch own := MachineKeyVariable(p.Name); {
	case !isBlank(getenv(own)):
		return own
	case isBlank(getenv(MachineKey)), slices.ContainsFunc(c.All(), func(p *Profile) bool { return p.IsMachine && p.InJob == "" }):
		return ""
	}
	return MachineKey
}

func isBlank(text string) bool { return strings.TrimSpace(text) == "" }

// TokenOf returns the variable with a token for p: the one with the profile's name, CLERK_HELPER_TOKEN, or
// CLERK_HELPER_TOKEN_FILE, which names a file. A token without a name is for the only profile, or for the one that
// CLERK_HELPER_PROFILE names; otherwise it is an [*Error]. It is empty if there is no token.
func (c *Config) TokenOf(p *Profile, getenv func(string) string) (variable string, err error) {
	const plain, file = tokenName, tokenFile
	own := TokenVariable(p.Name)
	switch named := getenv("CLERK_HELPER_PROFILE"); {
	case getenv(own) != "":
		return own, nil
	case getenv(plain) == "" && getenv(file) == "":
		return "", nil
	case getenv(plain) != "" && getenv(file) != "":
		return "", &Error{errors.New(plain + " and " + file + " are both set: keep one")}
	case named == "" && len(c.All()) > 1:
		return "", &Error{fmt.Errorf("%s could be for any of the profiles %s: name one in CLERK_HELPER_PROFILE, or set %s", plain, c.Names(), own)}
	case named != "" && named != p.Name:
		return "", nil
	case getenv(plain) != "":
		return plain, nil
	}
	return file, nil
}

// FromEnvironment returns a configuration with one profile, made from variables, for machines without a file:
//
//	CLERK_HELPER_ISSUER or CLERK_HELPER_PUBLISHABLE_KEY, or CLERK_HELPER_COMPANION
//	CLERK_HELPER_CLIENT_ID    not with CLERK_HELPER_COMPANION; or, for a machine, CLERK_MACHINE_SECRET_KEY or CLERK_HELPER_TOKEN, also with the profile's
//	                          name behind it, or CLERK_HELPER_TOKEN_FILE
//	CLERK_HELPER_HOSTS        separated by commas, spaces or line ends
//
// and optionally CLERK_HELPER_SCOPES (a list like the hosts), _USERNAME, _GIT_AUTH, _INTERACTIVE, _MIN_TTL and
// _CA_FILE, with the values of the file's keys of those names. Space around values is dropped; an empty variable counts as
// not set. The profile's name is CLERK_HELPER_PROFILE, or "default". Without an issuer and a key there is no profile:
// both results are nil. Errors name the variable.
func FromEnvironment(getenv func(string) string) (*Config, error) {
	const prefix = "CLERK_HELPER_"
	get := func(name string) string { return strings.TrimSpace(getenv(prefix + name)) }
	if get("ISSUER") == "" && get("PUBLISHABLE_KEY") == "" && get("COMPANION") == "" {
		return nil, nil
	}
	d, err := newDraft(cmp.Or(get("PROFILE"), "default"), position{file: prefix + "PROFILE"}, "environment")
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"issuer", "publishable_key", "companion", "client_id", "hosts", "scopes", "username", "git_auth",
		"interactive", "min_ttl", "ca_file"} {
		name := strings.ToUpper(key)
		raw := get(name)
		if raw == "" {
			continue
		}
		v := value{kind: text, text: raw, at: position{file: prefix + name}}
		if key == "hosts" || key == "scopes" {
			v.kind = list
			for _, word := range strings.FieldsFunc(raw, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
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
	// With a machine's key or a token and no client, no user can sign in.
	d.IsMachine = !d.given["client_id"] && !d.given["companion"] && slices.ContainsFunc([]string{MachineKey, MachineKeyVariable(d.Name), tokenName, tokenFile, TokenVariable(d.Name)},
		func(variable string) bool { return !isBlank(getenv(variable)) })
	if d.IsMachine {
		d.MachineToken = "jwt"
	}
	switch {
	case !d.given["hosts"]:
		return nil, errors.New(prefix + "HOSTS is not set: a profile from the environment needs it")
	case d.given["companion"]:
		if err := d.completePage(); err != nil {
			return nil, fmt.Errorf("%sCOMPANION: %w", prefix, err)
		}
	case !d.given["client_id"] && !d.IsMachine:
		return nil, errors.New("neither " + MachineKey + " nor " + tokenName + " is set (a fork's pull request gets no secrets); for people set " + prefix + "CLIENT_ID")
	}
	if d.given["issuer"] && d.given["publishable_key"] {
		return nil, errors.New(prefix + "ISSUER and " + prefix + "PUBLISHABLE_KEY are both set: keep one")
	}
	return &Config{Profiles: []*Profile{d.Profile}}, nil
}
