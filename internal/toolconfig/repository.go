package toolconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"

	"github.com/pelletier/go-toml/v2"
)

// A package manager reads files of the repository that it runs in, and they take precedence over the user's. A token that
// is bound to a host is still sent in the clear if such a file asks for the host by http. It can be read on the way if the
// file names a proxy with a certificate authority of its own. Repository finds such lines before the token is handed out.

// Repository is where a package manager is about to run.
type Repository struct {
	Config *config.Config // with the one profile whose token is to be handed out
	// Program is the package manager, as PackageManager names it; empty if it is not known, so that the files of all are read.
	Program string
	Home    string // the home folder, whose files are the user's own; may be empty
	User    string // the user's configuration file of npm, which is not the repository's; may be missing

	recipe *protocol.Recipe // of a tool that is no relative of npm; may be nil
	grant  *protocol.Grant  // what the recipe's is for; set with it

	homes, users []string // Home and User by each of their names; set by Check
	roots        []string // folders below which Check looks at all
	own          bool     // what is looked at is the user's, and may have a proxy with a user's name
}

// Limits of Check.
const (
	maxLock    = 64 << 20 // bytes of one file
	maxFolders = 20_000   // folders below a repository's root
)

// PackageManager returns npm, pnpm, yarn or bun for a program, by its name, with a version's number after it or none. It
// returns "" for any other.
func PackageManager(program string) string {
	name := strings.TrimRight(strings.ToLower(program[strings.LastIndexAny(program, `/\:`)+1:]), ". ") // Windows drops these
	for _, extension := range []string{".exe", ".cmd", ".bat", ".ps1", ".js", ".cjs", ".mjs", "-cli"} {
		name = strings.TrimSuffix(name, extension)
	}
	return map[string]string{"npm": "npm", "npx": "npm", "pnpm": "pnpm", "pnpx": "pnpm", "pn": "pnpm", "pnx": "pnpm",
		"yarn": "yarn", "yarnpkg": "yarn", "bun": "bun", "bunx": "bun"}[strings.TrimRight(name, "0123456789.-@")]
}

// NamesPackageManager reports whether a command may run a package manager, by a word of it, also inside of an argument, or by
// the program that one is a link to, which lookPath finds. It does so for many commands that run none.
func NamesPackageManager(command []string, lookPath func(string) (string, error)) bool {
	for _, word := range command {
		parts := strings.FieldsFunc(word, func(c rune) bool { return strings.ContainsRune(" \t\r\n;&|()<>=`\"'{}$", c) })
		if program, err := lookPath(word); err == nil {
			if program, err = filepath.EvalSymlinks(program); err == nil {
				parts = append(parts, program)
			}
		}
		if slices.ContainsFunc(parts, func(part string) bool { return PackageManager(part) != "" }) {
			return true
		}
	}
	return false
}

// repositoryFile is a file by which a repository can lead requests elsewhere.
type repositoryFile struct {
	name  string // or a pattern
	users string // the package managers that read it; empty for all
	// check finds lines that the file may not have, besides addresses; nil for a manifest or a lock file.
	check func(r Repository, text []byte) error
}

func repositoryFiles() []repositoryFile {
	files := []repositoryFile{
		{".npmrc", "", Repository.checkNpmrc},
		{".yarnrc", "yarn", Repository.checkYarnrc},
		{".yarnrc.yml", "yarn", Repository.checkYAML},
		{"pnpm-workspace.yaml", "pnpm", Repository.checkYAML},
		{"bunfig.toml", "bun", Repository.checkBunfig},
	}
	for _, name := range []string{"package.json", "package.yaml", "package.json5", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock",
		"pnpm-lock.yaml", "pnpm-lock.*.yaml", "bun.lock", "bun.lockb"} {
		files = append(files, repositoryFile{name: name})
	}
	// bun takes its own environment from them (bun.sh, "Environment Variables").
	for _, name := range []string{".env", ".env.local", ".env.development", ".env.production", ".env.test",
		".env.development.local", ".env.production.local", ".env.test.local"} {
		files = append(files, repositoryFile{name, "bun", Repository.checkDotenv})
	}
	return files
}

// CheckCommand looks at the words of a command and at its environment, at the text of the user's configuration file, and, as
// Check, at the current folder and those that a word names.
func (r Repository) CheckCommand(words, env []string, user []byte) (registries []string, err error) {
	folders := []string{"."}
	own := r
	own.own = true
	for _, word := range words {
		if _, err := own.checkAddresses([]byte(word)); err != nil {
			return nil, &RequestError{errors.New("the command asks for a host of the profile by http, which would send the token in the clear")}
		}
		if _, value, ok := strings.Cut(word, "="); ok {
			word = value
		}
		if info, err := os.Stat(word); err == nil && info.IsDir() { // --prefix, --dir, --cwd
			folders = append(folders, word)
		}
	}
	if registries, err = own.checkSettings(user); err != nil {
		return nil, &config.Error{Err: fmt.Errorf("%s: %w", r.User, err)}
	}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		if !isRegistryVariable(name) {
			continue
		}
		named, err := own.checkAddresses([]byte(value))
		if err != nil {
			return nil, &RequestError{fmt.Errorf("%s asks for a host of the profile by http, which would send the token in the clear", name)}
		}
		registries = append(registries, named...)
	}
	named, err := r.Check(folders...)
	return append(registries, named...), err
}

func isRegistryVariable(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range []string{"npm_config_", "pnpm_config_", "bun_config_", "yarn_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// Check reads the files of each folder, of all above it, and, where a repository may have its root, of all below but
// node_modules. It returns the registries below hosts of the profile that they name, as host/path.
//
// The error is a *RequestError with the file and its line: it would lead the token elsewhere, or it cannot be read as the
// package manager does. A setting of the user's own files is refused only if it asks for a host of the profile by http.
func (r Repository) Check(folders ...string) (registries []string, err error) {
	var above []string
	for _, folder := range folders {
		names, err := places(folder)
		if err != nil {
			return nil, err
		}
		above = append(above, names...)
	}
	if r.Home != "" {
		r.homes = append(r.homes, r.Home)
		if home, err := filepath.EvalSymlinks(r.Home); err == nil {
			r.homes = append(r.homes, home)
		}
	}
	r.users = append(r.users, r.User)
	if user, err := filepath.EvalSymlinks(r.User); err == nil {
		r.users = append(r.users, user)
	}
	given := len(above)
	for i := 0; i < len(above); i++ {
		if next := filepath.Dir(above[i]); !slices.Contains(above, next) {
			above = append(above, next)
		}
		names, folders := r.list(above[i])
		if root := isRoot(names, folders) || r.recipe != nil && i < given; root && (r.recipe == nil || r.recipe.Deep) && !r.holdsHome(above[i]) {
			r.roots = append(r.roots, above[i])
		}
	}
	looked := map[string]bool{}
	look := func(folder string, names []string) error {
		if looked[folder] {
			return nil
		}
		looked[folder] = true
		named, err := r.checkFolder(folder, names)
		registries = append(registries, named...)
		return err
	}
	for _, folder := range above {
		names, _ := r.list(folder)
		if err := look(folder, names); err != nil {
			return nil, err
		}
	}
	for _, root := range r.roots {
		if err := r.below(root, look); err != nil {
			return nil, err
		}
	}
	slices.Sort(registries)
	return slices.Compact(registries), nil
}

// list returns the names of a folder's files, and its folders. Of one that cannot be listed, but perhaps opened by name, it
// returns the files that matter.
func (r Repository) list(folder string) (files, folders []string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		for _, f := range r.files() {
			if _, err := os.Stat(filepath.Join(folder, f.name)); err == nil {
				files = append(files, f.name)
			}
		}
		return files, nil
	}
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, e.Name())
		} else {
			files = append(files, e.Name())
		}
	}
	return files, folders
}

// isRoot reports whether a folder may be the root of a workspace, or is that of a clone, which may have workspaces anywhere.
func isRoot(names, folders []string) bool {
	return slices.Contains(folders, ".git") || slices.ContainsFunc(names, func(name string) bool {
		return isManifest(name) || strings.EqualFold(name, "pnpm-workspace.yaml") || name == ".git"
	})
}

// holdsHome reports whether a folder is the home folder or one above it, which is no repository, whatever is in it.
func (r Repository) holdsHome(folder string) bool {
	return slices.ContainsFunc(r.homes, func(home string) bool { return isBelow(home, folder) })
}

// below calls look for each folder below a repository's root, where the packages of a workspace are. Links are not followed:
// what they lead to is in the repository too, or is not of it.
func (r Repository) below(root string, look func(folder string, names []string) error) error {
	next := []string{root}
	for n := 0; len(next) > 0; n++ {
		folder := next[len(next)-1]
		next = next[:len(next)-1]
		if n > maxFolders {
			return &RequestError{fmt.Errorf("%s: it has more than %d folders, too many to look at; no token is handed out", root, maxFolders)}
		}
		names, folders := r.list(folder)
		if err := look(folder, names); err != nil {
			return err
		}
		for _, name := range folders {
			if name != "node_modules" && name != ".git" {
				next = append(next, filepath.Join(folder, name))
			}
		}
	}
	return nil
}

// checkFolder looks at those of a folder's files that matter.
func (r Repository) checkFolder(folder string, names []string) (registries []string, err error) {
	for _, f := range r.files() {
		names := names
		if strings.Contains(f.name, "/") && platform.IsPlain(filepath.Join(folder, f.name)) {
			names = []string{f.name}
		}
		if r.Program != "" && r.Program != "bun" && f.users != "" && f.users != r.Program {
			continue
		}
		for _, name := range names {
			// As the file systems of macOS and Windows compare them.
			if matches, err := filepath.Match(f.name, strings.ToLower(name)); !strings.EqualFold(name, f.name) && (err != nil || !matches) {
				continue
			}
			named, err := r.checkFile(f, folder, name)
			if err != nil {
				return nil, err
			}
			registries = append(registries, named...)
		}
	}
	return registries, nil
}

func (r Repository) checkFile(f repositoryFile, folder, name string) (registries []string, err error) {
	file := filepath.Join(folder, name)
	text, err := platform.ReadPlain(file, maxLock)
	if err != nil {
		return nil, &RequestError{fmt.Errorf("%s: %w; no token is handed out", file, err)}
	}
	r.own = slices.Contains(r.homes, folder) || slices.Contains(r.users, file)
	switch {
	case f.check != nil && r.recipe == nil: // a recipe's files have comments of other forms
		registries, err = r.checkSettings(text)
	case f.name == "package.json":
		registries, err = r.checkAddresses(dependencies(text))
	default:
		registries, err = r.checkAddresses(text)
	}
	if err == nil && f.check != nil && !r.own {
		err = f.check(r, text)
	}
	if err == nil && !r.holdsHome(folder) {
		switch {
		case isManifest(f.name):
			err = r.checkManifest(folder, f.name, text)
		case slices.Contains([]string{"package-lock.json", "npm-shrinkwrap.json", "pnpm-workspace.yaml"}, f.name):
			err = r.checkPaths(folder, text, false)
		}
	}
	if err != nil {
		return nil, &RequestError{fmt.Errorf("%s: %w; no token is handed out", file, err)}
	}
	if f.check == nil { // addresses of packages
		for i := range registries {
			registries[i], _, _ = strings.Cut(registries[i], "/")
		}
	}
	return registries, nil
}

// checkSettings is checkAddresses for a file of settings, whose comments it passes over.
func (r Repository) checkSettings(text []byte) (registries []string, err error) {
	return r.checkAddresses(regexp.MustCompile(`(?m)^[ \t]*[#;][^\r\n]*`).ReplaceAll(text, nil))
}

// dependencies blanks the members of a package.json whose addresses are for people. The lines stay.
func dependencies(text []byte) []byte {
	if !json.Valid(text) || bytes.TrimSpace(text)[0] != '{' {
		return text
	}
	text = slices.Clone(text)
	for _, m := range scanObject(text, bytes.IndexByte(text, '{')).members {
		switch m.name {
		case "homepage", "repository", "bugs", "author", "contributors", "maintainers", "funding", "license", "licenses", "description", "keywords", "scripts":
			blank(text, m.value)
		}
	}
	return text
}

// checkAddresses returns the registries below hosts of the profile that a text has https URLs of, as host/path. It is an error,
// which begins with the line, if the text asks for one by http; loopback is allowed.
//
// A URL is read as the WHATWG parser of the package managers does, which takes many spellings; one that is not plain is
// taken for a host of the profile.
func (r Repository) checkAddresses(text []byte) (registries []string, err error) {
	address := regexp.MustCompile(`(?i)(https?):[/\\]*([^/\\?#\s"'<>,;)}|]*)((?:/[A-Za-z0-9._~-]+)*)`)
	user := regexp.MustCompile(`(?i)http:[/\\]*[^/?#]*(?:@|%40)`)
	escape := regexp.MustCompile(`(?i)http:[/\\]*(?:[^/\\?#\s"']+\\[^/\\"]|\\[uUxN])`)
	var all []byte // without what plainLine drops, and without indentations
	n := 0
	for raw := range bytes.SplitSeq(text, []byte("\n")) {
		n++
		plain := raw
		if bytes.ContainsAny(raw, ":%\\\t") {
			plain = plainLine(raw)
		}
		all = append(append(all, bytes.TrimRight(bytes.TrimLeft(plain, " "), " \r\\")...), '\n')
		if !bytes.Contains(plain, []byte(":")) {
			continue
		}
		for _, found := range address.FindAllSubmatch(plain, -1) {
			host := string(found[2])
			host = strings.ToLower(host[strings.LastIndexByte(host, '@')+1:])
			switch {
			case host == "":
			case r.recipe != nil && r.recipe.ByName && r.otherPort(host):
				return nil, fmt.Errorf("line %d: it asks for another port of %q, which would get the token too", n, withoutPort(host))
			case strings.EqualFold(string(found[1]), "https"):
				if len(r.Config.Match("https", host)) > 0 {
					registries = append(registries, strings.TrimSuffix(host, ":443")+string(found[3]))
				}
			case r.byHTTP(host):
				return nil, byHTTP(n, host)
			}
		}
		switch {
		case !r.own && bytes.ContainsAny(plain, "@%") && user.Match(plain):
			return nil, fmt.Errorf("line %d: an address by http has a user's name before its host: write it without", n)
		case bytes.IndexByte(plain, '\\') >= 0 && escape.Match(plain):
			return nil, fmt.Errorf("line %d: %w", n, errForm)
		}
		// Where a backslash is no escape, it is a slash to URLs.
		if bytes.IndexByte(raw, '\\') < 0 {
			continue
		}
		for _, found := range address.FindAllSubmatch(raw, -1) {
			if host := strings.ToLower(string(found[2])); strings.EqualFold(string(found[1]), "http") && r.ofProfile(host) {
				return nil, byHTTP(n, host)
			}
		}
	}
	return registries, r.checkJoined(all)
}

func byHTTP(line int, host string) error {
	return fmt.Errorf("line %d: it asks for %q by http, which would send the token in the clear", line, host)
}

// checkJoined looks for addresses by http that go over several lines, as YAML and TOML may break them: URLs pass over the line
// ends. Where the address ends is not known, so its host may end with each line.
func (r Repository) checkJoined(text []byte) error {
	schemes := regexp.MustCompile(`(?i)h\n*t\n*t\n*p\n*:[/\\\n]*`).FindAllIndex(text, -1)
	for i, scheme := range schemes {
		rest := text[scheme[1]:]
		if i+1 < len(schemes) {
			rest = text[scheme[1]:schemes[i+1][0]]
		}
		if end := bytes.IndexAny(rest, `/\?#`); end >= 0 {
			rest = rest[:end]
		}
		if !bytes.Contains(text[scheme[0]:scheme[1]+len(rest)], []byte("\n")) {
			continue
		}
		parts := bytes.Split(rest, []byte("@"))
		for j, part := range parts {
			first, last := j == 0, j == len(parts)-1
			if end := bytes.IndexAny(part, " \"'<>,;)}|"); end >= 0 {
				part, last = part[:end], false
			}
			host := ""
			for line := range bytes.SplitSeq(part, []byte("\n")) {
				host += strings.ToLower(string(line))
				if len(host) > 1000 {
					break
				}
				odd := isNumber(host) || strings.ContainsFunc(host, func(c rune) bool { return c == '%' || c > '~' })
				if r.ofProfile(host) || odd && (first || last) {
					return byHTTP(lineOf(text, scheme[0]), host)
				}
			}
		}
	}
	return nil
}

// plainLine undoes the escapes of JSON, YAML, TOML and URLs that hide an address, and drops the tabs that URLs may have.
func plainLine(line []byte) []byte {
	line = bytes.ReplaceAll(line, []byte("\t"), nil)
	if bytes.IndexByte(line, '\\') >= 0 {
		line = decode(line, regexp.MustCompile(`\\(?:(?:u00|x|U000000|u\{0*)([0-9a-fA-F]{2})\}?|[\\/tnr])`))
	}
	for range 2 { // yarn's lock file has addresses inside of addresses
		if bytes.IndexByte(line, '%') >= 0 && regexp.MustCompile(`(?i)%3a|%25`).Match(line) {
			line = decode(line, regexp.MustCompile(`%([0-9a-fA-F]{2})`))
		}
	}
	return line
}

// decode replaces each escape by the byte whose two hexadecimal digits it captures, or by its last byte if that is a slash or
// a backslash. What stands for a blank goes.
func decode(line []byte, escape *regexp.Regexp) []byte {
	return escape.ReplaceAllFunc(line, func(found []byte) []byte {
		code, err := strconv.ParseUint(string(escape.FindSubmatch(found)[1]), 16, 8)
		switch last := found[len(found)-1]; {
		case err == nil:
			return []byte{byte(code)}
		case last == '/' || last == '\\':
			return []byte{last}
		}
		return nil
	})
}

// byHTTP reports whether a host of an http URL is one of the profile's, and not loopback.
func (r Repository) byHTTP(host string) bool {
	if decoded, err := url.PathUnescape(host); err == nil {
		host = strings.ToLower(decoded)
	}
	if strings.ContainsFunc(host, func(c rune) bool {
		return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.ContainsRune(".-_:[]", c))
	}) {
		return true // an international name, or a spelling that only browsers know
	}
	return isNumber(host) || r.ofProfile(host)
}

// withoutPort returns the name in a URL's host.
func withoutPort(host string) string {
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:colon]
	}
	return strings.TrimSuffix(host, ".")
}

// isNumber reports whether a host is an IPv4 address in another spelling than the usual, such as 0x7f.1.
func isNumber(host string) bool {
	name := withoutPort(host)
	if _, err := strconv.ParseUint(name[strings.LastIndexByte(name, '.')+1:], 0, 64); err != nil {
		return false
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}

// ofProfile reports whether a host in the usual spelling is one of the profile's that it does not have by http.
func (r Repository) ofProfile(host string) bool {
	host = strings.TrimSuffix(host, ":80")
	name := withoutPort(host)
	// npm puts the user's registry in this one's place, and before release 11 keeps the scheme (npm help config,
	// "replace-registry-host").
	if name == "registry.npmjs.org" {
		return true
	}
	for _, of := range []string{host, name} {
		if len(r.Config.Match("http", of)) == 0 && len(r.Config.Match("https", of)) > 0 {
			return true
		}
	}
	return false
}

// otherPort reports whether a host has the name of one of the profile's, and a port that the profile has not.
func (r Repository) otherPort(host string) bool {
	name := withoutPort(host)
	return name != host && len(r.Config.Match("https", name)) > 0 && len(r.Config.Match("https", host)) == 0
}

var errForm = errors.New("it is in a form that cannot be checked here")

// settingLines calls check for each line of a file of settings that is not a comment, with the line trimmed. The error of
// check is returned with the line.
func settingLines(text []byte, comments string, check func(line string) error) error {
	if err := checkLines(text); err != nil {
		return err
	}
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.IndexByte(comments, line[0]) >= 0 {
			continue
		}
		err := check(line)
		switch {
		case err != nil:
		case strings.ContainsRune(line, '\r'):
			err = errForm
		case regexp.MustCompile(`\$\{?CLERK_`).MatchString(line):
			err = errors.New("it takes a variable of clerk-credential-helper: remove it, exec needs none")
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return nil
}

// leadsElsewhere is the error about a setting.
func leadsElsewhere(key string) error {
	return fmt.Errorf("%.40q can lead requests elsewhere: if you want it, set it in your own configuration", key)
}

// variableInAddress finds a variable in the address of a registry, which could stand for anything.
func variableInAddress(line string) error {
	if regexp.MustCompile(`(?i)(regist|server|url|https?:)[a-z]*["'\]]*\s*[:=]?\s*["']?[^"'\s,}]*\$`).MatchString(line) {
		return errors.New("there is a variable in the address of a registry: write the address out")
	}
	return nil
}

// checkNpmrc is about .npmrc, for npm's keys and those that pnpm and yarn have besides.
func (r Repository) checkNpmrc(text []byte) error {
	plain := regexp.MustCompile(`^[A-Za-z0-9@/._:\[\]*-]+$`)
	elsewhere := regexp.MustCompile(`(?i)proxy|strict-?ssl|^ca$|cafile|host-suffix|userconfig|globalconfig|auth-?file|^prefix$|^git$|^replace-registry-host$|^lockfile-?dir$|^git-?branch-?lockfile$`)
	return settingLines(text, "#;", func(line string) error {
		if line[0] == '[' {
			return nil // what follows is not npm's, but may be another's
		}
		key, value, given := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), npmUnquote(value)
		name := strings.TrimSuffix(key, "[]")
		registry, ofRegistry := strings.CutPrefix(name, "//")
		switch {
		case !plain.MatchString(key) && (ofRegistry && strings.Contains(key, "$") || !ofRegistry):
			return errForm
		case ofRegistry:
			host, _, _ := strings.Cut(registry, "/")
			setting := registry[strings.LastIndexByte(registry, ':')+1:]
			if elsewhere.MatchString(setting) {
				return leadsElsewhere(setting)
			}
			host = strings.TrimSuffix(host, ":"+setting)
			if slices.Contains([]string{"_authToken", "_auth", "_password", "tokenHelper"}, setting) && len(r.Config.Match("https", host)) > 0 {
				return fmt.Errorf("it has %s for %s, which takes precedence over the token: remove that line", setting, host)
			}
			return nil
		case elsewhere.MatchString(name) && !(name == "strict-ssl" && value == "true" && given):
			return leadsElsewhere(name)
		case strings.Contains(value, `\`) && strings.Contains(strings.ToLower(name), "registry"):
			return errForm
		}
		return variableInAddress(line)
	})
}

// checkYarnrc is about .yarnrc of yarn 1: a key, a blank and a value, or an option of the command line.
func (r Repository) checkYarnrc(text []byte) error {
	elsewhere := regexp.MustCompile(`(?i)proxy|strict-?ssl|^ca$|cafile|host-suffix|userconfig|use-yarnrc|^env$`)
	return settingLines(text, "#", func(line string) error {
		if strings.Contains(line, `\`) {
			return errForm
		}
		key := strings.Trim(strings.Fields(line)[0], `"':`)
		if option, ok := strings.CutPrefix(key, "--"); ok {
			key, _, _ = strings.Cut(option[strings.LastIndexByte(option, '.')+1:], "=")
		}
		if elsewhere.MatchString(key) && !strings.HasPrefix(key, "@") {
			return leadsElsewhere(key)
		}
		return variableInAddress(line)
	})
}

// checkYAML is about the keys at the margin of .yarnrc.yml and pnpm-workspace.yaml.
func (r Repository) checkYAML(text []byte) error {
	margin := -1
	plain := regexp.MustCompile(`^["']?([A-Za-z0-9_.-]+)["']?[ \t]*:`)
	elsewhere := regexp.MustCompile(`(?i)^(npm-?)?(https?-?proxy|proxy|no-?proxy|strict-?ssl|enable-?strict-?ssl|ca|cafile|https?-?ca-?file-?path|ca-?file-?path|network-?settings|npmrc-?auth-?file|user-?config|lockfile-?dir|git-?branch-?lockfile)$`)
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimRight(line, "\r ")
		inner := strings.TrimLeft(line, " ")
		if inner == "" || inner[0] == '#' || line == "---" {
			continue
		}
		indent := len(line) - len(inner)
		if margin < 0 {
			margin = indent
		}
		key := plain.FindStringSubmatch(inner)
		switch {
		case indent > margin || indent == margin && strings.HasPrefix(inner, "-"):
		case key == nil || indent < margin:
			return fmt.Errorf("line %d: %w", n+1, errForm)
		case elsewhere.MatchString(key[1]):
			return fmt.Errorf("line %d: %w", n+1, leadsElsewhere(key[1]))
		}
	}
	return settingLines(text, "#", variableInAddress)
}

// checkBunfig is about bunfig.toml.
func (r Repository) checkBunfig(text []byte) error {
	var all map[string]any
	if err := toml.Unmarshal(text, &all); err != nil {
		return errForm
	}
	install, _ := all["install"].(map[string]any)
	for _, key := range []string{"ca", "cafile"} {
		if _, ok := install[key]; ok {
			at := regexp.MustCompile(`\b` + key + `\b`).FindIndex(text)
			if at == nil {
				at = []int{0}
			}
			return fmt.Errorf("line %d: %w", lineOf(text, at[0]), leadsElsewhere(key))
		}
	}
	return settingLines(text, "#", variableInAddress)
}

// checkDotenv is about .env and its like.
func (r Repository) checkDotenv(text []byte) error {
	elsewhere := regexp.MustCompile(`(?i)proxy|tls_reject|npm_config|bun_config|extra_ca|ssl_cert|node_options|bun_options`)
	return settingLines(text, "#", func(line string) error {
		key, _, _ := strings.Cut(line, "=")
		if key = strings.TrimSpace(strings.TrimPrefix(key, "export ")); elsewhere.MatchString(key) {
			return leadsElsewhere(key)
		}
		return nil
	})
}
