package toolconfig

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// npm asks no helper, so setup writes nothing: exec gives it the token for one command, in a configuration of its own. Earlier
// releases wrote a line for each host,
//
//	//npm.acme.dev/:_authToken=${CLERK_TOKEN_ACME}
//
// for a variable that exec set. But npm expands variables in a repository's .npmrc too, which could send it anywhere. So
// setup, like unset, takes these lines out.

// npmFile returns the user's .npmrc, which pnpm and yarn 1 read too.
func npmFile(env Env) (string, error) {
	for _, name := range []string{"npm_config_userconfig", "NPM_CONFIG_USERCONFIG"} {
		if file, err := env.path(name); file != "" || err != nil {
			return file, err
		}
	}
	home, err := env.home("")
	return filepath.Join(home, ".npmrc"), err
}

// npmRemove removes the lines of earlier releases for the profiles of hosts, or all if hosts is nil.
func npmRemove(text []byte, hosts []Host) ([]byte, error) {
	if _, _, err := parseNpm(text); err != nil {
		return nil, err
	}
	written := regexp.MustCompile(`^//[^/\s]+/:_authToken=\$\{CLERK_TOKEN_[A-Z0-9_]+\}$`)
	return cutMatching(text, func(line string) bool {
		return written.MatchString(line) && (hosts == nil || slices.ContainsFunc(hosts, func(h Host) bool { return npmLine(h) == line }))
	}), nil
}

// npmLine returns the line that earlier releases wrote for a host.
func npmLine(h Host) string {
	return "//" + h.Name + "/:_authToken=${CLERK_TOKEN_" + strings.ReplaceAll(strings.ToUpper(h.Profile), "-", "_") + "}"
}

func npmAfter(_ Env, hosts []Host) []string {
	text := []string{"npm, pnpm, yarn and bun ask no helper: exec gives them the token, for one command:"}
	var known []string
	for _, h := range hosts {
		if !slices.Contains(known, h.Profile) {
			known = append(known, h.Profile)
			text = append(text, fmt.Sprintf("  clerk-credential-helper exec --profile %s -- npm ci", h.Profile))
		}
	}
	return append(text, "scripts of packages run as you and can ask for it too: npm ci --ignore-scripts keeps them from running")
}

// npmSetting is a setting for one registry: //HOST[:PORT][/PATH]:KEY = VALUE.
type npmSetting struct {
	line                   int
	host, path, key, value string
}

// parseNpm reads an .npmrc as npm's package ini does, which accepts anything. It returns the settings for registries, and
// the offset of the first section or -1.
func parseNpm(text []byte) (settings []npmSetting, section int, err error) {
	section = -1
	if err := checkLines(text); err != nil {
		return nil, 0, err
	}
	header := regexp.MustCompile(`^\[[^\]]*\]\s*$`)
	at := 0
	for n, raw := range strings.SplitAfter(string(text), "\n") {
		start := at
		at += len(raw)
		line := strings.TrimRight(raw, "\r\n")
		switch {
		case strings.Contains(line, "\r"):
			return nil, 0, fmt.Errorf("line %d: it has a carriage return in it, which npm takes for a line's end", n+1)
		case header.MatchString(line):
			if section < 0 {
				section = start
			}
			continue
		case section >= 0: // part of it
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		key, value = npmUnquote(key), npmUnquote(value)
		rest, ok := strings.CutPrefix(key, "//")
		colon := strings.LastIndexByte(rest, ':')
		if !ok || colon < 0 {
			continue
		}
		host, path, _ := strings.Cut(rest[:colon], "/")
		settings = append(settings, npmSetting{n + 1, strings.ToLower(host), path, rest[colon+1:], value})
	}
	return settings, section, nil
}

func npmUnquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
