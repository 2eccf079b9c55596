package toolconfig

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"clerk-credential-helper/platform"
)

// What is written into git's configuration, for each host:
//
//	[credential "https://git.acme.dev"]
//		helper =
//		helper = clerk
//
// The empty helper takes back those that were named before, which would be given our token to keep. That is why the
// section comes last in the file. git rewrites none of it: the text that is not ours stays byte for byte.

// gitURLs are the URLs that git knows hosts by. http reaches only this machine.
func gitURLs(hosts []Host) []string {
	var urls []string
	for _, h := range hosts {
		urls = append(urls, "https://"+h.Name)
		if h.Plain {
			urls = append(urls, "http://"+h.Name)
		}
	}
	return urls
}

func gitAddHosts(text []byte, hosts []Host) ([]byte, error) { return gitAdd(text, gitURLs(hosts)) }

func gitRemoveHosts(text []byte, hosts []Host) ([]byte, error) {
	return gitRemove(text, gitURLs(hosts))
}

// gitFile is the configuration of this user that git reads (git-config(1), "FILES").
func gitFile(env Env) (string, error) {
	if file := env.Getenv("GIT_CONFIG_GLOBAL"); file != "" {
		return filepath.Abs(file)
	}
	home, err := env.home()
	if err != nil {
		return "", err
	}
	file := filepath.Join(home, ".gitconfig")
	if _, err := os.Lstat(file); err == nil {
		return file, nil
	}
	folder := env.Getenv("XDG_CONFIG_HOME")
	if folder == "" {
		folder = filepath.Join(home, ".config")
	}
	if xdg := filepath.Join(folder, "git", "config"); platform.IsPlain(xdg) {
		return xdg, nil
	}
	return file, nil
}

// gitAdd makes us the only helper of the URLs. It returns the text as it is where we are already. An error says what is
// wrong with the text, and where.
func gitAdd(text []byte, urls []string) ([]byte, error) {
	statements, err := parseGit(text)
	if err != nil {
		return nil, err
	}
	var lacking []string
	for _, url := range urls {
		if helpers := gitHelpers(statements, url); len(helpers) != 1 || !IsGitHelper(helpers[0]) {
			lacking = append(lacking, url)
		}
	}
	if lacking == nil {
		return text, nil
	}
	// A section of ours that is there and is not the last word is written again.
	if text, err = gitRemove(text, lacking); err != nil {
		return nil, err
	}
	var lines []string
	for _, url := range lacking {
		lines = append(lines, fmt.Sprintf("[credential %q]", url), "\thelper =", "\thelper = clerk")
	}
	return AppendLines(text, lines), nil
}

// gitRemove takes out what gitAdd has written for the URLs, for all URLs if none is given. Whatever else stands in our
// sections stays, and so does their first line then.
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

// IsGitHelper reports whether git would run us for a helper of that name: "clerk", or a path of git-credential-clerk.
func IsGitHelper(value string) bool {
	return value == "clerk" || strings.TrimSuffix(path.Base(strings.ReplaceAll(value, `\`, "/")), ".exe") == "git-credential-clerk"
}

// gitHelpers are the helpers that git would ask for a URL, going by this one file: a section counts if its URL matches,
// and an empty name takes back those before it (gitcredentials(7)).
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

// gitURLMatches reports whether a section's pattern, which may lack a scheme or a host, is about a URL without a path.
// "*" stands for one label.
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
	alone      bool // nothing else stands on its lines, no comment either
	line       int
	start, end int // of its lines, the line end included
}

// parseGit reads git's configuration syntax (git-config(1), "Syntax"; what git's config.c takes and refuses).
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

// next is the byte at the place, a line end at the end of the text.
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

// value reads to the end of the value's last line, which is not consumed.
func (p *gitParser) value(s *gitStatement) (string, error) {
	var value []byte
	kept := 0 // without blanks at the end
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

// GitSettings are what git says of its whole configuration.
type GitSettings []gitStatement

// ParseGitList reads the output of git config --null --get-regexp.
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

// Helpers are those that git would ask for a URL.
func (g GitSettings) Helpers(url string) []string { return gitHelpers(g, url) }

// GitUsername is a user name that git asks for, and the key of that setting.
type GitUsername struct{ Name, Key string }

// Usernames are what is set for a URL.
func (g GitSettings) Usernames(url string) []GitUsername {
	var all []GitUsername
	for _, s := range g {
		if s.key == "username" && gitURLMatches(s.subsection, url) {
			all = append(all, GitUsername{s.value, strings.Replace("credential."+s.subsection+".username", "..", ".", 1)})
		}
	}
	return all
}

// GitStored reads what git-credential-store has kept.
func GitStored(env Env) (file string, text []byte, err error) {
	home, err := env.home()
	if err != nil {
		return "", nil, err
	}
	file = filepath.Join(home, ".git-credentials")
	text, err = ReadFile(file)
	return file, text, err
}
