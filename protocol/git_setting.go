package protocol

import (
	"strconv"
	"strings"
)

// GitBool reads a truth value as git does (git-config(1), "Values").
func GitBool(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "yes", "on":
		return true, nil
	case "no", "off":
		return false, nil
	}
	return strconv.ParseBool(value)
}

// GitSetting looks a key up in the configuration that git hands down to its children. The last one counts, and
// GIT_CONFIG_PARAMETERS comes after the numbered ones.
func GitSetting(getenv func(string) string, key string) (value string, found bool) {
	count, err := strconv.Atoi(getenv("GIT_CONFIG_COUNT"))
	if err != nil || count > 1000 {
		count = 0
	}
	for i := range count {
		if n := strconv.Itoa(i); strings.EqualFold(getenv("GIT_CONFIG_KEY_"+n), key) {
			value, found = getenv("GIT_CONFIG_VALUE_"+n), true
		}
	}
	for rest := getenv("GIT_CONFIG_PARAMETERS"); rest != ""; {
		var name, text string
		name, text, rest = cutParameter(rest)
		if strings.EqualFold(name, key) {
			value, found = text, true
		}
	}
	return value, found
}

// cutParameter cuts the first pair off a value of GIT_CONFIG_PARAMETERS: 'key'='value', or 'key=value' as before git
// 2.31, quoted for a shell. A key without a value is true.
func cutParameter(list string) (key, value, rest string) {
	list = strings.TrimLeft(list, " ")
	key, rest = cutQuoted(list)
	if after, ok := strings.CutPrefix(rest, "="); ok {
		value, rest = cutQuoted(after)
		return key, value, rest
	}
	key, value, ok := strings.Cut(key, "=")
	if !ok {
		value = "true"
	}
	return key, value, rest
}

// cutQuoted cuts the first word off: parts in single quotes, and single characters behind backslashes between them.
func cutQuoted(s string) (word, rest string) {
	var b strings.Builder
	for s != "" {
		switch s[0] {
		case '\'':
			part, after, ok := strings.Cut(s[1:], "'")
			b.WriteString(part)
			if !ok {
				return b.String(), ""
			}
			s = after
		case '\\':
			b.WriteString(s[1:min(2, len(s))])
			s = s[min(2, len(s)):]
		case ' ', '=':
			return b.String(), s
		default:
			b.WriteByte(s[0])
			s = s[1:]
		}
	}
	return b.String(), ""
}
