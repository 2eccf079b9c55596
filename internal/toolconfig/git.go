package toolconfig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// The lines for git's configuration, for each host:
//
//	[credential "https://git.acme.dev"]
//		helper =
//		helper = clerk
//
// The empty helper clears the previous ones, to which git would give our token to store; so the section comes last in the
// file. git config is not used, so that the rest of the text stays byte for byte.

// gitURLs returns the URLs by which git knows the hosts: https, and http for loopback. To git a name in Unicode and the same
// one in Punycode are two.
func gitURLs(hosts []Host) []string {
	var urls []string
	for _, h := range hosts {
		urls = append(urls, "https://"+h.Name)
		if name := config.InUnicode(h.Name); name != "" {
			urls = append(urls, "https://"+name)
		}
		if h.Plain {
			urls = append(urls, "http://"+h.Name)
		}
	}
	return urls
}

func gitAddHosts(text []byte, hosts []Host) ([]byte, error) {
	return gitAdd(text, gitURLs(hosts), "clerk", IsGitHelper)
}

// gitAddAs has git call the program by its path if one is given, since git's PATH lacks its folder.
func gitAddAs(env Env, path string) func([]byte, []Host) ([]byte, error) {
	helper := "clerk"
	if path != "" {
		helper = gitCommand(path)
	}
	works := func(value string) bool { return value == helper || IsGitHelper(value) && GitHelperWorks(env, value) }
	return func(text []byte, hosts []Host) ([]byte, error) { return gitAdd(text, gitURLs(hosts), helper, works) }
}

// gitCommand is a path as a value of credential.helper: git gives it to a shell (gitcredentials(7), "CUSTOM HELPERS").
func gitCommand(path string) string {
	var b strings.Builder
	for _, r := range filepath.ToSlash(path) {
		if r < 0x80 && !isLetter(byte(r)) && !isDigit(byte(r)) && !strings.ContainsRune("/._-:+@", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// GitHelperWorks reports whether git finds us by a value for which [IsGitHelper] is true.
func GitHelperWorks(env Env, value string) bool {
	if value == "clerk" {
		_, err := env.LookPath("git-credential-clerk")
		return err == nil
	}
	_, err := env.LookPath(strings.ReplaceAll(value, `\`, ""))
	return err == nil
}

func gitRemoveHosts(text []byte, hosts []Host) ([]byte, error) {
	return gitRemove(text, gitURLs(hosts))
}

// gitFile returns the user's configuration file that git reads (git-config(1), "FILES").
func gitFile(env Env) (string, error) {
	if file, err := env.path("GIT_CONFIG_GLOBAL"); file != "" || err != nil {
		return file, err
	}
	home, err := env.home("git")
	if err != nil {
		return "", err
	}
	file := filepath.Join(home, ".gitconfig")
	if _, err := os.Lstat(file); err == nil {
		return file, nil
	}
	folder, err := env.path("XDG_CONFIG_HOME")
	if err != nil {
		return "", err
	}
	if folder == "" {
		folder = filepath.Join(home, ".config")
	}
	if xdg := filepath.Join(folder, "git", "config"); platform.IsPlain(xdg) {
		return xdg, nil
	}
	return file, nil
}

// gitAdd makes us, by that value, the only helper of the URLs. It returns text itself if we are already, by a value
// that works. Errors begin with the line.
func gitAdd(text []byte, urls []string, helper string, works func(value string) bool) ([]byte, error) {
	statements, err := parseGit(text)
	if err != nil {
		return nil, err
	}
	var lacking []string
	for _, url := range urls {
		if helpers := gitHelpers(statements, url); len(helpers) != 1 || !works(helpers[0]) {
			lacking = append(lacking, url)
		}
	}
	if lacking == nil {
		return text, nil
	}
	// A section of ours that a later one overrides is moved to the end.
	if text, err = gitRemove(text, lacking); err != nil {
		return nil, err
	}
	var lines []string
	for _, url := range lacking {
		lines = append(lines, fmt.Sprintf("[credential %q]", url), "\thelper =", "\thelper = "+gitValue(helper))
	}
	return AppendLines(text, lines), nil
}

// gitValue writes a value, in quotes if it holds more than letters (git-config(1), "Values").
func gitValue(value string) string {
	if strings.ContainsAny(value, `\"#;`) {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
	}
	return value
}

// gitRemove removes what gitAdd has written for the URLs, or for all if urls is nil. A section that holds anything else
// keeps that and its header.
func gitRemove(text []byte, urls []string) ([]byte, error) {
	statements, err := parseGit(text)
	if err != nil {
		return nil, err
	}
	var ours []span
	for i, s := range statements {
		if !s.header || s.section != "credential" || !strings.Contains(s.subsection, "://") ||
			urls != nil && !slices.Contains(urls, s.subsection) {
			continue
		}
		body := statements[i+1:]
		if end := slices.IndexFunc(body, func(s gitStatement) bool { return s.header }); end >= 0 {
			body = body[:end]
		}
		at := slices.IndexFunc(body, func(s gitStatement) bool { return s.alone && s.key == "helper" && IsGitHelper(s.value) })
		if at < 0 {
			continue
		}
		first := at
		if at > 0 && body[at-1].alone && body[at-1].key == "helper" && body[at-1].value == "" {
			first--
		}
		if first == 0 && at == len(body)-1 && s.alone {
			ours = append(ours, span{s.start, s.end})
		}
		for _, s := range body[first : at+1] {
			ours = append(ours, span{s.start, s.end})
		}
	}
	return cutLines(text, ours), nil
}

// IsGitHelper reports whether git would run us for this value of credential.helper: "clerk", or a path of
// git-credential-clerk.
func IsGitHelper(value string) bool {
	return value == "clerk" || platform.CalledName(value) == "git-credential-clerk"
}

// gitHelpers returns the helpers that git would ask for a URL, if statements were its whole configuration: a section
// counts if its URL matches, and an empty value clears the previous ones (gitcredentials(7)).
func gitHelpers(statements []gitStatement, url string) []string {
	var helpers []string
	for _, s := range statements {
		if s.header || s.section != "credential" || s.key != "helper" || !gitURLMatches(s.subsection, url) {
			continue
		}
		if s.value == "" {
			helpers = nil
		} else {
			helpers = append(helpers, s.value)
		}
	}
	return helpers
}

// gitURLMatches reports whether a section's pattern, which may lack a scheme or a host, matches a URL without a path.
// "*" matches one label.
func gitURLMatches(pattern, url string) bool {
	scheme, host, _ := strings.Cut(url, "://")
	rest, wanted := pattern, ""
	if before, after, ok := strings.Cut(pattern, "://"); ok {
		wanted, rest = strings.ToLower(before), after
	}
	if wanted != "" && wanted != scheme {
		return false
	}
	rest, below, _ := strings.Cut(rest, "/")
	if below != "" {
		return false // git strips the path unless useHttpPath is set
	}
	if _, after, ok := strings.Cut(rest, "@"); ok {
		rest = after
	}
	if rest == "" {
		return true
	}
	defaultPort := map[string]string{"https": ":443", "http": ":80"}[scheme]
	labels := strings.Split(strings.TrimSuffix(strings.ToLower(rest), defaultPort), ".")
	of := strings.Split(strings.TrimSuffix(host, defaultPort), ".")
	return slices.EqualFunc(labels, of, func(label, of string) bool { return label == "*" || label == of })
}

// gitStatement is a section's header or a variable of a configuration file of git.
type gitStatement struct {
	header     bool
	section    string // in lower case
	subsection string
	key        string // in lower case
	value      string
	alone      bool // its lines hold nothing else, not even a comment
	line       int
	start, end int // of its lines, the line end included
}

// parseGit parses git's configuration syntax (git-config(1), "Syntax"), and accepts and refuses what git's config.c does.
// Errors begin with the line.
func parseGit(text []byte) ([]gitStatement, error) {
	p := gitParser{text: text, line: 1}
	if bytes.HasPrefix(text, []byte("\ufeff")) {
		p.at = 3
		p.lineStart = 3
	}
	for p.at < len(p.text) {
		var err error
		switch c := p.text[p.at]; {
		case c == '\n':
			p.newline()
		case c == '\r' || c == ' ' || c == '\t' || c == '\v' || c == '\f':
			p.at++
		case c == '#' || c == ';':
			if n := len(p.statements); n > 0 && p.statements[n-1].line == p.line {
				p.statements[n-1].alone = false
			}
			p.skipLine()
		case c == '[':
			err = p.header()
		case isLetter(c):
			err = p.variable()
		default:
			err = p.wrong("a line begins with %q", c)
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range p.statements {
		s := &p.statements[i]
		end := bytes.IndexByte(text[s.end:], '\n')
		if end < 0 {
			s.end = len(text)
		} else {
			s.end += end + 1
		}
		if i > 0 && p.statements[i-1].end > s.start {
			s.alone, p.statements[i-1].alone = false, false
		}
	}
	return p.statements, nil
}

type gitParser struct {
	text       []byte
	at         int
	line       int
	lineStart  int
	section    string
	subsection string
	statements []gitStatement
}

func (p *gitParser) wrong(format string, args ...any) error {
	return fmt.Errorf("line %d: %s", p.line, fmt.Sprintf(format, args...))
}

func (p *gitParser) newline() {
	p.at++
	p.line++
	p.lineStart = p.at
}

func (p *gitParser) skipLine() {
	for p.at < len(p.text) && p.text[p.at] != '\n' {
		p.at++
	}
}

// next returns the byte at p.at, and a line end at the end of the text.
func (p *gitParser) next() byte {
	if p.at >= len(p.text) {
		return '\n'
	}
	if p.text[p.at] == '\r' && p.at+1 < len(p.text) && p.text[p.at+1] == '\n' {
		p.at++
	}
	return p.text[p.at]
}

func (p *gitParser) header() error {
	start := p.lineStart
	p.at++
	name := p.at
	for isLetter(p.next()) || isDigit(p.next()) || p.next() == '-' || p.next() == '.' {
		p.at++
	}
	p.section, p.subsection = strings.ToLower(string(p.text[name:p.at])), ""
	if c := p.next(); c == ' ' || c == '\t' {
		for c = p.next(); c == ' ' || c == '\t'; c = p.next() {
			p.at++
		}
		if c != '"' {
			return p.wrong("a section's second name lacks its quotes")
		}
		var sub []byte
		for p.at++; ; p.at++ {
			c := p.next()
			if c == '\n' {
				return p.wrong("a section's name does not end")
			}
			if c == '"' {
				break
			}
			if c == '\\' {
				p.at++
				if c = p.next(); c == '\n' {
					return p.wrong("a section's name does not end")
				}
			}
			sub = append(sub, c)
		}
		p.at++
		p.subsection = string(sub)
	} else if section, sub, ok := strings.Cut(p.section, "."); ok {
		p.section, p.subsection = section, sub
	}
	if p.next() != ']' {
		return p.wrong("a section's first line is not closed by a bracket")
	}
	p.at++
	p.statements = append(p.statements, gitStatement{
		header: true, section: p.section, subsection: p.subsection, alone: true, line: p.line, start: start, end: p.at,
	})
	return nil
}

func (p *gitParser) variable() error {
	s := gitStatement{section: p.section, subsection: p.subsection, alone: true, start: p.lineStart, line: p.line}
	name := p.at
	for isLetter(p.next()) || isDigit(p.next()) || p.next() == '-' {
		p.at++
	}
	s.key = strings.ToLower(string(p.text[name:p.at]))
	for p.next() == ' ' || p.next() == '\t' {
		p.at++
	}
	switch p.next() {
	case '\n':
		s.value = "true"
	case '=':
		p.at++
		var err error
		if s.value, err = p.value(&s); err != nil {
			return err
		}
	default:
		return p.wrong("there is no = after %.40q", s.key)
	}
	s.line, s.end = p.line, p.at
	p.statements = append(p.statements, s)
	return nil
}

// value reads a value, and stops before its line end.
func (p *gitParser) value(s *gitStatement) (string, error) {
	var value []byte
	kept := 0 // the length without trailing blanks
	quoted := false
	for {
		c := p.next()
		switch {
		case c == '\n' && quoted:
			return "", p.wrong("the quotes of %.40q do not end", s.key)
		case c == '\n':
			return string(value[:kept]), nil
		case !quoted && (c == '#' || c == ';'):
			s.alone = false
			p.skipLine()
			return string(value[:kept]), nil
		case c == '"':
			quoted = !quoted
			p.at++
			kept = len(value)
		case c == '\\':
			p.at++
			switch c = p.next(); c {
			case '\n':
				if p.at >= len(p.text) {
					return "", p.wrong("the file ends in the middle of %.40q", s.key)
				}
				p.newline()
				if p.at >= len(p.text) {
					return "", p.wrong("the file ends in the middle of %.40q", s.key)
				}
				continue
			case 't', 'b', 'n', '"', '\\':
				value = append(value, map[byte]byte{'t': '\t', 'b': '\b', 'n': '\n', '"': '"', '\\': '\\'}[c])
				kept = len(value)
				p.at++
			default:
				return "", p.wrong("%.40q has an unknown escape, \\%c", s.key, c)
			}
		case !quoted && (c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r'):
			p.at++
			if len(value) > 0 {
				value = append(value, c)
			}
		default:
			value = append(value, c)
			kept = len(value)
			p.at++
		}
	}
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// GitSettings are the settings of git's whole configuration, of all files and scopes.
type GitSettings []gitStatement

// ParseGitList parses the output of "git config --null --get-regexp": entries that end with NUL, with a line feed between
// key and value (git-config(1), --null). Entries that are not of this form are skipped.
func ParseGitList(out []byte) GitSettings {
	var settings GitSettings
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		i, j := strings.IndexByte(key, '.'), strings.LastIndexByte(key, '.')
		if i < 0 {
			continue
		}
		s := gitStatement{section: key[:i], key: key[j+1:], value: value}
		if i < j {
			s.subsection = key[i+1 : j]
		}
		settings = append(settings, s)
	}
	return settings
}

// Helpers returns the helpers that git would ask for a URL without a path, such as https://git.acme.dev, in their order.
func (g GitSettings) Helpers(url string) []string { return gitHelpers(g, url) }

// Ours returns the addresses for which git asks us by name, such as https://git.acme.dev, in their order. They may hold
// a user.
func (g GitSettings) Ours() []string {
	var all []string
	for _, s := range g {
		if s.section == "credential" && s.key == "helper" && strings.Contains(s.subsection, "://") && IsGitHelper(s.value) && !slices.Contains(all, s.subsection) {
			all = append(all, s.subsection)
		}
	}
	return all
}

// GitUsername is a user name that git sends to helpers, and the key of that setting, such as
// credential.https://git.acme.dev.username.
type GitUsername struct{ Name, Key string }

// Usernames returns the user names that are set for a URL without a path.
func (g GitSettings) Usernames(url string) []GitUsername {
	var all []GitUsername
	for _, s := range g {
		if s.key == "username" && gitURLMatches(s.subsection, url) {
			all = append(all, GitUsername{s.value, strings.Replace("credential."+s.subsection+".username", "..", ".", 1)})
		}
	}
	return all
}

// AuthorizationHeader returns the key of the setting that gives git an Authorization header for a URL without a path, such as
// http.https://git.acme.dev/.extraheader; empty for none. git sends that header, and no other.
func (g GitSettings) AuthorizationHeader(url string) string {
	found := ""
	for _, s := range g {
		name, _, _ := strings.Cut(s.value, ":")
		switch {
		case s.section != "http" || s.key != "extraheader" || !gitURLMatches(s.subsection, url):
		case s.value == "": // clears the previous ones (git-config(1), http.extraHeader)
			found = ""
		case strings.EqualFold(strings.TrimSpace(name), "Authorization"):
			found = strings.Replace("http."+s.subsection+".extraheader", "..", ".", 1)
		}
	}
	return found
}

// GitByPath reports whether the user's own configuration has git call us by a path that works.
func GitByPath(env Env) bool {
	file, err := gitFile(env)
	if err != nil {
		return false
	}
	text, err := ReadFile(file)
	if err != nil {
		return false
	}
	statements, err := parseGit(text)
	return err == nil && slices.ContainsFunc(statements, func(s gitStatement) bool {
		return s.section == "credential" && s.key == "helper" && s.value != "clerk" && IsGitHelper(s.value) && GitHelperWorks(env, s.value)
	})
}

// GitStored reads ~/.git-credentials, where git-credential-store keeps a URL with a password in each line
// (git-credential-store(1)). The text of a missing file is nil, without an error.
func GitStored(env Env) (file string, text []byte, err error) {
	home, err := env.home("git")
	if err != nil {
		return "", nil, err
	}
	file = filepath.Join(home, ".git-credentials")
	text, err = ReadFile(file)
	return file, text, err
}
