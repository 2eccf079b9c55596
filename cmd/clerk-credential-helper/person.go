package main

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// mayAsk reports whether a person may be asked on behalf of a tool. The error is the reason why not.
// CLERK_HELPER_INTERACTIVE, which is for us alone, takes precedence over what git was told, and that over the profile.
func (sys *system) mayAsk(p *config.Profile) error {
	ours := sys.getenv("CLERK_HELPER_INTERACTIVE")
	if ours == "" {
		if err := toldNotToAsk(sys.getenv); err != nil {
			return err
		}
	}
	switch mode := cmp.Or(ours, p.Interactive); mode {
	case "always":
		return nil
	case "never":
		return errors.New(`interactive is "never"`)
	case "auto":
	default:
		return fmt.Errorf("CLERK_HELPER_INTERACTIVE is %q, not auto, always or never", mode)
	}
	place := sys.where()
	unprompted := !sys.mayPrompt()
	switch {
	case place.CI != "":
		return errors.New(place.CI)
	case unprompted && (place.Foreground == "" || place.Browser == ""):
		// The go command sets it on its own, and then no person waits for a page.
		return errors.New("GIT_TERMINAL_PROMPT is 0")
	case place.Foreground == "" && place.Terminal != "" && place.Browser == "":
		return errors.New("this runs in the background of its terminal, and there is no browser")
	case place.Foreground == "" && place.Graphical == "" && place.WSL == "" && place.Editor == "":
		return errors.New("there is neither a terminal nor a graphical session")
	case place.Foreground == "" && place.Browser == "":
		return errors.New("there is neither a terminal nor a browser")
	}
	return nil
}

// where looks at the place again: a job may have gone to the background meanwhile.
func (sys *system) where() platform.Place {
	return platform.Where(sys.getenv, platform.SystemProbes())
}

// mayPrompt reports whether the terminal may be read: git and those who set GIT_TERMINAL_PROMPT (git(1)) may forbid it, but
// not to a command that a person has typed.
func (sys *system) mayPrompt() bool {
	if sys.asking.login {
		return true
	}
	on, err := gitBool(sys.getenv("GIT_TERMINAL_PROMPT"))
	return sys.getenv("GIT_TERMINAL_PROMPT") == "" || err != nil || on
}

// foreground reports whether a person at a terminal waits for us.
func foreground() bool {
	t, err := platform.OpenTerminal()
	if err != nil {
		return false
	}
	defer t.Close()
	return t.Foreground()
}

// suspendable reports whether a prompt of git would stop it for ever: a job in the background of a shell that wants to
// read the terminal is stopped with its whole group.
func suspendable() bool {
	t, err := platform.OpenTerminal()
	if err != nil {
		return false
	}
	defer t.Close()
	return !t.Foreground()
}

// toldNotToAsk reads what git was told about helpers, credential.interactive, where git leaves it for its children:
// "git -c" in GIT_CONFIG_PARAMETERS, and the variables of GIT_CONFIG_COUNT. git's files are not read: to ask git for them
// costs a process for each answer. GCM_INTERACTIVE is honoured as a courtesy to those who come from there.
func toldNotToAsk(getenv func(string) string) error {
	value, found := gitConfig(getenv, "credential.interactive")
	if never(value) && found {
		return fmt.Errorf("git's credential.interactive is %q", value)
	}
	if value := getenv("GCM_INTERACTIVE"); never(value) {
		return fmt.Errorf("GCM_INTERACTIVE is %q", value)
	}
	return nil
}

func never(value string) bool {
	on, err := gitBool(value)
	return strings.EqualFold(value, "never") || value != "" && err == nil && !on
}

// gitBool reads a truth value as git does (git-config(1), "Values").
func gitBool(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "yes", "on":
		return true, nil
	case "no", "off":
		return false, nil
	}
	return strconv.ParseBool(value)
}

// gitConfig looks a key up in the configuration that git hands down to its children. The last one counts, and
// GIT_CONFIG_PARAMETERS comes after the numbered ones.
func gitConfig(getenv func(string) string, key string) (value string, found bool) {
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

// cutParameter takes the first pair off a value of GIT_CONFIG_PARAMETERS: 'key'='value', or 'key=value' as before git
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

// cutQuoted takes the first word off: parts in single quotes, and single characters behind backslashes between them.
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
