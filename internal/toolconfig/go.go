package toolconfig

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
)

// goFile returns the file that "go env -w" writes (go help env).
func goFile(env Env) (string, error) {
	switch env.Getenv("GOENV") {
	case "":
	case "off":
		return "", &RequestError{errors.New("GOENV is off: the go command reads no file")}
	default:
		return env.path("GOENV")
	}
	return configFile("go", "env")
}

const goCommand = "clerk-credential-helper goauth"

// goAdd puts us before the commands in GOAUTH: the first one with a credential wins. The default is netrc, and "off" cannot
// be combined (go help goauth).
func goAdd(text []byte) ([]byte, error) {
	at, value, ok := goAuth(text)
	switch {
	case !ok:
		return AppendLines(text, []string{"GOAUTH=" + goCommand + ";netrc"}), nil
	case slices.Contains(strings.Split(value, ";"), goCommand):
		return text, nil
	case value == "" || value == "off":
		value = "netrc"
	}
	return replaceSpan(text, at, goCommand+";"+value), nil
}

func goRemove(text []byte) ([]byte, error) {
	at, value, ok := goAuth(text)
	if !ok {
		return text, nil
	}
	commands := strings.Split(value, ";")
	i := slices.Index(commands, goCommand)
	if i < 0 {
		return text, nil
	}
	commands = slices.Delete(commands, i, i+1)
	if len(commands) > 0 && !slices.Equal(commands, []string{"netrc"}) {
		return replaceSpan(text, at, strings.Join(commands, ";")), nil
	}
	line := span{bytes.LastIndexByte(text[:at.start], '\n') + 1, len(text)}
	if end := bytes.IndexByte(text[at.end:], '\n'); end >= 0 {
		line.end = at.end + end + 1
	}
	return cutLines(text, []span{line}), nil
}

// goAuth returns the value of GOAUTH and its position. The last line counts.
func goAuth(text []byte) (at span, value string, ok bool) {
	found := regexp.MustCompile(`(?m)^GOAUTH=([^\r\n]*)`).FindAllSubmatchIndex(text, -1)
	if found == nil {
		return span{}, "", false
	}
	last := found[len(found)-1]
	return span{last[2], last[3]}, string(text[last[2]:last[3]]), true
}
