package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxMinTTL is the longest useful value: Clerk's access tokens live for a day.
const maxMinTTL = 24 * time.Hour

// position is where something was read: line and column of a file, from 1, or a variable, without a line.
type position struct {
	file         string
	line, column int
}

func (p position) String() string {
	if p.line == 0 {
		return p.file
	}
	return p.file + ":" + strconv.Itoa(p.line) + ":" + strconv.Itoa(p.column)
}

// value is a setting's value as it was read.
type value struct {
	kind kind
	text string // of a text, and "true" or "false" of a flag
	list []item
	at   position
}

type item struct {
	text string
	at   position
}

type kind int

const (
	other kind = iota
	text
	flag
	list
)

// draft is a profile that is being parsed.
type draft struct {
	*Profile
	companion string // its origin
	at        position
	given     map[string]bool
}

func newDraft(name string, at position, source string) (*draft, error) {
	if err := checkProfileName(name); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return &draft{
		Profile: &Profile{
			Name:        name,
			Scopes:      []string{"openid", "profile", "email", "offline_access"},
			Token:       "access",
			Username:    "clerk",
			GitAuth:     "auto",
			Interactive: "auto",
			MinTTL:      5 * time.Minute,
			Source:      source,
		},
		at:    at,
		given: make(map[string]bool),
	}, nil
}

func checkProfileName(name string) error {
	if len(name) < 1 || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-')
	}) {
		return fmt.Errorf("the profile name %.70q is not usable: take 1 to 64 letters, digits, - and _", name)
	}
	if strings.EqualFold(name, "file") {
		return fmt.Errorf("the profile name %q is not usable: CLERK_HELPER_TOKEN_FILE has a meaning of its own, take another name", name)
	}
	return nil
}

// keys returns the settings of a profile.
func keys() []string {
	return []string{"issuer", "publishable_key", "client_id", "hosts", "scopes", "token", "username", "git_auth",
		"docker_identity_token", "interactive", "min_ttl", "ca_file", "machine", "machine_token", "companion", "legacy_page",
		"ci", "ci_token"}
}

// set stores one setting, which is one of keys. Its error begins with the position and the key.
func (d *draft) set(key string, v value) error {
	var err error
	at := v.at
	switch key {
	case "issuer":
		err = parseText(v, &d.Issuer, parseIssuer)
	case "publishable_key":
		err = parseText(v, &d.Issuer, parsePublishableKey)
	case "client_id":
		err = parseText(v, &d.ClientID, parseClientID)
	case "hosts":
		at, err = d.setHosts(v)
	case "scopes":
		at, err = d.setScopes(v)
	case "token":
		err = v.oneOf(&d.Token, "access", "id")
	case "username":
		err = parseText(v, &d.Username, parseUsername)
	case "git_auth":
		err = v.oneOf(&d.GitAuth, "auto", "basic", "bearer")
	case "docker_identity_token":
		err = v.flag(&d.DockerIdentityToken)
	case "machine":
		err = v.flag(&d.IsMachine)
	case "machine_token":
		err = v.oneOf(&d.MachineToken, "jwt", "opaque")
	case "companion":
		err = parseText(v, &d.companion, ParseCompanion)
	case "legacy_page":
		err = parseText(v, &d.LegacyPage, parsePage)
	case "ci":
		err = v.oneOf(&d.CI, "auto", "off")
	case "ci_token":
		err = parseText(v, &d.CIToken, parseVariable)
	case "interactive":
		err = v.oneOf(&d.Interactive, "auto", "always", "never")
	case "min_ttl":
		err = parseText(v, &d.MinTTL, parseMinTTL)
	case "ca_file":
		err = parseText(v, &d.CAFile, parseCAFile)
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", at, key, err)
	}
	d.given[key] = true
	return nil
}

// complete checks the settings against each other.
func (d *draft) complete() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s: profile %q: %w", d.at, d.Name, fmt.Errorf(format, args...))
	}
	switch {
	case d.given["issuer"] && d.given["publishable_key"]:
		return fail("both issuer and publishable_key are set: keep one")
	case d.LegacyPage != "" && !d.given["issuer"] && !d.given["publishable_key"]:
		return fail("legacy_page needs issuer or publishable_key as well: they tell whose tokens the page may hand out")
	case !d.given["issuer"] && !d.given["publishable_key"] && !d.given["companion"]:
		return fail("issuer is missing: set it to the Frontend API URL of your Clerk application, or set publishable_key")
	case d.page() != "":
		if err := d.completePage(); err != nil {
			return fail("%w", err)
		}
	case d.IsMachine && d.given["client_id"]:
		return fail("both machine and client_id are set: a machine signs in with a secret key of its own, remove client_id")
	case d.IsMachine && d.Token == "id":
		return fail("token is \"id\", which a machine does not have: remove it")
	case d.given["machine_token"] && !d.IsMachine:
		return fail("machine_token has a meaning only with machine = true")
	case !d.given["client_id"] && !d.IsMachine:
		return fail("client_id is missing: copy it from the OAuth application in Clerk's dashboard")
	case d.Token == "id" && !slices.Contains(d.Scopes, "openid"):
		return fail("token is \"id\" but the scopes lack \"openid\": add it")
	}
	for _, key := range []string{"ci", "ci_token"} {
		if d.given[key] && !d.given["companion"] {
			return fail("%s has a meaning only with companion, which exchanges the tokens of CI jobs: remove it", key)
		}
	}
	if d.CI == "off" && d.CIToken != "" {
		return fail("ci is \"off\", and ci_token names a variable: keep one")
	}
	if !d.given["hosts"] {
		return fail("hosts is missing: name the hosts that may have the token")
	}
	if d.IsMachine && !d.given["machine_token"] {
		d.MachineToken = "jwt"
	}
	return nil
}

// CompanionClient is the only client id that a companion page accepts (companion/lib/cli-auth/request.ts).
const CompanionClient = "clerk-credential-helper"

// page returns the key of the sign-in page that a profile has instead of an OAuth application, or "".
func (d *draft) page() string {
	for _, key := range []string{"companion", "legacy_page"} {
		if d.given[key] {
			return key
		}
	}
	return ""
}

// completePage completes the profile of a company's own sign-in page, which has no clients and no scopes.
func (d *draft) completePage() error {
	page := d.page()
	if page == "companion" && d.given["legacy_page"] {
		return errors.New("both companion and legacy_page are set: keep one")
	}
	for _, key := range []string{"client_id", "scopes", "token", "machine", "machine_token"} {
		if d.given[key] {
			return fmt.Errorf("%s has no meaning with %s: remove it", key, page)
		}
	}
	d.Scopes = nil
	if page == "legacy_page" {
		d.ClientID = d.LegacyPage
		return nil
	}
	d.Companion, d.ClientID = true, CompanionClient
	if !d.given["ci"] {
		d.CI = "auto"
	}
	d.Issuer, d.Instance = d.companion, d.Issuer
	return nil
}

func parseText[T any](v value, to *T, parse func(string) (T, error)) error {
	if v.kind != text {
		return errors.New("want text in quotes")
	}
	parsed, err := parse(v.text)
	if err != nil {
		return err
	}
	*to = parsed
	return nil
}

func (v value) flag(to *bool) error {
	if v.kind != flag {
		return errors.New("want true or false, without quotes")
	}
	*to = v.text == "true"
	return nil
}

func (v value) oneOf(to *string, words ...string) error {
	if v.kind != text || !slices.Contains(words, v.text) {
		return fmt.Errorf("want one of \"%s\"", strings.Join(words, `", "`))
	}
	*to = v.text
	return nil
}

func (d *draft) setHosts(v value) (position, error) {
	if v.kind != list || len(v.list) == 0 {
		return v.at, errors.New(`want a list of hosts, such as ["git.acme.dev"]`)
	}
	for _, it := range v.list {
		h, err := parseHost(it.text)
		if err != nil {
			return it.at, err
		}
		h.at = it.at
		d.Hosts = append(d.Hosts, h)
	}
	return v.at, nil
}

// setScopes stores the scopes, which must have the characters of RFC 6749 §3.3.
func (d *draft) setScopes(v value) (position, error) {
	if v.kind != list || len(v.list) == 0 {
		return v.at, errors.New(`want a list of scopes, such as ["openid", "offline_access"]`)
	}
	d.Scopes = nil
	seen := make(map[string]bool)
	for _, it := range v.list {
		if it.text == "" || strings.ContainsFunc(it.text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			return it.at, fmt.Errorf("%q is not a scope: write one scope in each pair of quotes", it.text)
		}
		if seen[it.text] {
			return it.at, fmt.Errorf("%q is named twice: remove one", it.text)
		}
		seen[it.text] = true
		d.Scopes = append(d.Scopes, it.text)
	}
	return v.at, nil
}

// parseIssuer parses an https origin, perhaps with a path, or an http one on loopback. It returns the scheme and the host
// in lower case, without the default port, and without slashes at the end.
func parseIssuer(raw string) (string, error) {
	return parseAddress(raw, "an issuer", "https://clerk.acme.dev")
}

// parseAddress is parseIssuer for other addresses; what and example are for its errors.
func parseAddress(raw, what, example string) (string, error) {
	if hasUser(raw) {
		return "", fmt.Errorf("there is a user name in the address: write it as %s", example)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("%q is not %s: write it as %s", raw, what, example)
	}
	if strings.ContainsAny(raw, "?#") {
		return "", fmt.Errorf("%q has a query or a fragment: write it as %s", raw, example)
	}
	name, port, err := splitHost(u.Host)
	if err != nil {
		return "", fmt.Errorf("%q is not %s: its host is not usable: %w", raw, what, err)
	}
	if u.Scheme == "http" && !mayBePlain(u.Host, name) {
		return "", fmt.Errorf("%q is not safe: write https (http is for loopback only)", raw)
	}
	base := strings.TrimRight(u.Path, "/")
	if base != "" && (path.Clean(base) != base || u.EscapedPath() != u.Path) {
		return "", fmt.Errorf("%q has an unusual path: write it without dots, double slashes and percent-encoding", raw)
	}
	if port != 0 && port != defaultPort(u.Scheme) {
		name += ":" + strconv.Itoa(int(port))
	}
	return u.Scheme + "://" + name + base, nil
}

// hasUser reports whether an address has, or may be meant to have, a user and a password, which no error repeats.
func hasUser(raw string) bool {
	before, _, ok := strings.Cut(raw, "@")
	if _, rest, found := strings.Cut(before, "://"); found {
		before = rest
	}
	return ok && (!strings.Contains(before, "/") || strings.Contains(before, ":"))
}

// ParseCompanion parses the origin of a web app with a companion page, as a profile names it: https, or http on loopback.
// It returns the origin as browsers write it: in lower case, without the default port and without a slash at the end.
func ParseCompanion(raw string) (string, error) {
	const example = "https://app.acme.dev"
	origin, err := parseAddress(raw, "the address of a web app", example)
	if err == nil && strings.Count(origin, "/") > 2 {
		return "", fmt.Errorf("%q has a path: a companion page has an app of its own, write only the origin, as %s", raw, example)
	}
	return origin, err
}

// parsePage parses the address of a page: https, or http on loopback.
func parsePage(raw string) (string, error) {
	page, err := parseAddress(raw, "the address of a page", "https://app.acme.dev/cli-auth")
	if u, parseErr := url.Parse(raw); err == nil && parseErr == nil && strings.HasSuffix(u.Path, "/") && strings.Trim(u.Path, "/") != "" {
		page += "/" // which the server may distinguish
	}
	return page, err
}

// parsePublishableKey returns the issuer in a publishable key: pk_test_ or pk_live_, then base64 of the host and a "$",
// with or without padding. The key is public, but a secret may be pasted here by mistake, so no error repeats the value.
func parsePublishableKey(key string) (string, error) {
	if strings.HasPrefix(key, "sk_") {
		return "", errors.New("this is a secret key, exposed to all who can read this file: " +
			"replace it in Clerk's dashboard, and write the publishable key (pk_...)")
	}
	encoded, isTest := strings.CutPrefix(key, "pk_test_")
	encoded, isLive := strings.CutPrefix(encoded, "pk_live_")
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	host, ok := strings.CutSuffix(string(decoded), "$")
	if isTest == isLive || err != nil || !ok || !strings.Contains(host, ".") {
		return "", errors.New("this is not a publishable key: copy it whole from Clerk's dashboard (pk_test_... or pk_live_...)")
	}
	if _, _, err := splitHost(host); err != nil {
		return "", fmt.Errorf("this publishable key names an unusable host: %w: copy it again from Clerk's dashboard", err)
	}
	return parseIssuer("https://" + host)
}

// parseClientID allows the characters of RFC 6749 appendix A.1, without the space and those of a variable that was not
// replaced.
func parseClientID(id string) (string, error) {
	if strings.HasPrefix(id, "sk_") {
		return "", errors.New("this is a secret key, exposed to all who can read this file: " +
			"replace it in Clerk's dashboard, and write the OAuth application's client ID")
	}
	if id == "" || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.ContainsAny(id, "$%{}<>*\"'") {
		return "", fmt.Errorf("%q is not a client ID: copy it from the OAuth application in Clerk's dashboard", id)
	}
	return id, nil
}

// parseUsername allows what HTTP's Basic scheme can carry (RFC 7617 §2). "<token>" is docker's mark of an identity token.
func parseUsername(name string) (string, error) {
	if name == "" || !utf8.ValidString(name) || strings.ContainsRune(name, ':') || strings.ContainsFunc(name, unicode.IsControl) {
		return "", fmt.Errorf("%q is not a user name: write one without colons and control characters", name)
	}
	if name == "<token>" {
		return "", errors.New(`"<token>" is not a user name: write docker_identity_token = true`)
	}
	return name, nil
}

func parseMinTTL(s string) (time.Duration, error) {
	ttl, err := time.ParseDuration(s)
	if err != nil || ttl < 0 || ttl > maxMinTTL {
		return 0, fmt.Errorf("%q is not a time from \"0s\" to \"24h\": write it as \"5m\"", s)
	}
	return ttl, nil
}

// parseCAFile requires an absolute path: tools run in folders with foreign content, such as a clone.
func parseCAFile(name string) (string, error) {
	if !filepath.IsAbs(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", fmt.Errorf("%q is not an absolute path: write the whole path of a PEM file", name)
	}
	return name, nil
}

// parseFallback allows the absolute path of a docker helper, or its name in docker's own configuration: "osxkeychain" for
// docker-credential-osxkeychain.
func parseFallback(name string) (string, error) {
	foreign := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r))
	}
	if filepath.IsAbs(name) && !strings.ContainsFunc(name, unicode.IsControl) || name != "" && !strings.ContainsFunc(name, foreign) {
		return name, nil
	}
	return "", fmt.Errorf("%q is neither a helper's name, such as \"osxkeychain\", nor its whole path", name)
}

// didYouMean suggests the key that was probably meant, or returns "".
func didYouMean(key string, known []string) string {
	key = strings.ReplaceAll(strings.ToLower(key), "-", "_")
	best, bestDistance := "", 3
	for _, k := range known {
		if len(key) >= len(k)+bestDistance { // the distance is at least the difference
			continue
		}
		if d := distance(key, k); d < min(bestDistance, len(k), len(key)) { // they have a letter in common
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// distance returns the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
