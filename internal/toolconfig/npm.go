package toolconfig

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"clerk-credential-helper/internal/config"
)

// npm asks no helper: it expands variables of its environment in .npmrc (npm help npmrc). There is a line for each host and
// a variable for each profile, so that no host ever gets another profile's token:
//
//	//npm.acme.dev/:_authToken=${CLERK_TOKEN_ACME}
//
// The variable is set for one command, by exec. The line is good for every path of the host.

// npmFile returns the user's .npmrc, which pnpm and yarn 1 read too.
func npmFile(env Env) (string, error) {
	for _, name := range []string{"npm_config_userconfig", "NPM_CONFIG_USERCONFIG"} {
		if file, err := env.path(name); file != "" || err != nil {
			return file, err
		}
	}
	home, err := env.home()
	return filepath.Join(home, ".npmrc"), err
}

func npmRefuses(h config.Host) (why, remedy string) {
	if !h.Exact() {
		return "knows no wildcards", "name its registries in the profile one by one"
	}
	return "", ""
}

// npmVariable returns the variable for a profile's token. We do not take it for an injected token ourselves.
func npmVariable(profile string) string {
	return "CLERK_TOKEN_" + strings.ReplaceAll(strings.ToUpper(profile), "-", "_")
}

func npmLine(h Host) string {
	return "//" + h.Name + "/:_authToken=${" + npmVariable(h.Profile) + "}"
}

// npmAdd adds the lines before the first section, if there is any: npm takes what follows for a part of the section.
func npmAdd(text []byte, hosts []Host) ([]byte, error) {
	settings, section, err := parseNpm(text)
	if err != nil {
		return nil, err
	}
	var lacking []string
	for _, h := range hosts {
		there := false
		for _, s := range settings {
			switch {
			case s.host != h.Name:
			case s.key == "_authToken" && strings.TrimSuffix(s.path, "/") == "" && s.value == "${"+npmVariable(h.Profile)+"}":
				there = true
			case slices.Contains([]string{"_authToken", "_auth", "_password"}, s.key):
				return nil, fmt.Errorf("line %d: it has %s for %s already: remove that line first", s.line, s.key, h.Name)
			}
		}
		if !there {
			lacking = append(lacking, npmLine(h))
		}
	}
	switch {
	case lacking == nil:
		return text, nil
	case section >= 0:
		end := lineEnd(text)
		return slices.Concat(text[:section], []byte(strings.Join(lacking, end)+end), text[section:]), nil
	}
	return AppendLines(text, lacking), nil
}

func npmRemove(text []byte, hosts []Host) ([]byte, error) {
	if _, _, err := parseNpm(text); err != nil {
		return nil, err
	}
	written := regexp.MustCompile(`^//[^/\s]+/:_authToken=\$\{CLERK_TOKEN_[A-Z0-9_]+\}$`)
	return cutMatching(text, func(line string) bool {
		return written.MatchString(line) && (hosts == nil || slices.ContainsFunc(hosts, func(h Host) bool { return npmLine(h) == line }))
	}), nil
}

// lineMost is how wide a command may be before it is split into two lines, in columns.
const lineMost = 80

// npmAfter says how the variables are set, which no file can do.
func npmAfter(hosts []Host) []string {
	text := []string{"npm asks no helper: the token comes in a variable, for one command at a time:"}
	var known []string
	for _, h := range hosts {
		if !slices.Contains(known, h.Profile) {
			known = append(known, h.Profile)
			command := fmt.Sprintf("  clerk-credential-helper exec --profile %s --env %s -- npm ci", h.Profile, npmVariable(h.Profile))
			if len(command) > lineMost {
				command = strings.Replace(command, " --env ", " \\\n    --env ", 1)
			}
			text = append(text, strings.Split(command, "\n")...)
		}
	}
	return append(text,
		"the scripts of packages see it too: npm ci --ignore-scripts keeps them from running, and pnpm has a helper that needs no variable (docs/tools/pnpm.md)")
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
