package toolconfig

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// The lines for .bazelrc, one for each host (bazel.build, "Command-Line Reference", --credential_helper):
//
//	common --credential_helper=*.pkg.acme.dev=bazel-credential-clerk
//
// Bazel matches domain names only: no ports, no IP addresses.

const bazelName = "bazel-credential-clerk"

// bazelFile is the user's file, which Bazel reads after the workspace's.
func bazelFile(env Env) (string, error) {
	home, err := env.home("")
	return filepath.Join(home, ".bazelrc"), err
}

func bazelRefuses(h config.Host) (why, remedy string) {
	text := h.String()
	name, _, port := strings.Cut(text, ":")
	if _, err := netip.ParseAddr(name); err == nil || strings.HasPrefix(text, "[") {
		return "knows hosts by domain names only", "give the server a name"
	}
	if port {
		return "knows no ports", fmt.Sprintf("if all of its ports take the token, add by hand: common --credential_helper=%s=%s", name, bazelName)
	}
	return "", ""
}

func bazelLine(host string) string { return "common --credential_helper=" + host + "=" + bazelName }

// bazelAdd adds the lines at the end: of several for one host Bazel takes the last.
func bazelAdd(text []byte, hosts []Host) ([]byte, error) {
	helpers, err := parseBazel(text)
	if err != nil {
		return nil, err
	}
	var lacking []string
	for _, h := range hosts {
		i := slices.IndexFunc(helpers, func(of bazelHelper) bool { return of.host == h.Name })
		switch {
		case i < 0:
			lacking = append(lacking, bazelLine(h.Name))
		case !isBazelHelper(helpers[i].program):
			return nil, fmt.Errorf("line %d: for %s it asks %q already: remove that line first", helpers[i].line, h.Name, helpers[i].program)
		}
	}
	if lacking == nil {
		return text, nil
	}
	return AppendLines(text, lacking), nil
}

func bazelRemove(text []byte, hosts []Host) ([]byte, error) {
	if _, err := parseBazel(text); err != nil {
		return nil, err
	}
	return cutMatching(text, func(line string) bool {
		rest, ok := strings.CutPrefix(line, "common --credential_helper=")
		host, program, _ := strings.Cut(rest, "=")
		return ok && program == bazelName && (hosts == nil || slices.ContainsFunc(hosts, func(h Host) bool { return h.Name == host }))
	}), nil
}

func isBazelHelper(program string) bool {
	return platform.CalledName(program) == bazelName
}

// bazelHelper is a helper that the file names for one host or pattern.
type bazelHelper struct {
	line          int
	host, program string
}

// parseBazel reads a .bazelrc as Bazel's client does: a backslash continues a line in the next one, words are separated
// by blanks and may be quoted, and # begins a comment. Imported files are not read.
func parseBazel(text []byte) ([]bazelHelper, error) {
	if err := checkLines(text); err != nil {
		return nil, err
	}
	var all []bazelHelper
	var words []string
	raw := strings.Split(string(text), "\n")
	first := 0
	for n, line := range raw {
		line, goesOn := strings.CutSuffix(strings.TrimSuffix(line, "\r"), `\`)
		if words == nil {
			first = n + 1
		}
		words = append(words, bazelWords(line)...)
		if goesOn {
			if n == len(raw)-1 || n == len(raw)-2 && raw[n+1] == "" {
				return nil, fmt.Errorf("line %d: it ends with a backslash, and no line follows", n+1)
			}
			if words == nil {
				words = []string{}
			}
			continue
		}
		for i, word := range words {
			name, value, given := strings.Cut(word, "=")
			if name != "--credential_helper" && name != "--experimental_credential_helper" {
				continue
			}
			if !given && i+1 < len(words) {
				value = words[i+1]
			}
			// A helper without a host is the default, for hosts that have none.
			if host, program, ok := strings.Cut(value, "="); ok {
				all = append(all, bazelHelper{first, strings.ToLower(host), program})
			}
		}
		words = nil
	}
	return all, nil
}

// bazelWords splits a line into words, without their quotes, up to a comment.
func bazelWords(line string) []string {
	var words []string
	var word strings.Builder
	var quote byte
	inWord := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			inWord = true
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case c == '#' && !inWord:
			return words
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}
