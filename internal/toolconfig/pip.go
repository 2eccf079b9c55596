package toolconfig

import (
	"bytes"
	"clerk-credential-helper/platform"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// pipFile returns the user's file of pip (pip.pypa.io, "Configuration").
func pipFile(env Env) (string, error) {
	if file, err := env.path("PIP_CONFIG_FILE"); file != "" || err != nil {
		return file, err
	}
	if os.PathSeparator == '\\' {
		return configFile("pip", "pip.ini")
	}
	return configFile("pip", "pip.conf")
}

const (
	pipKey  = "keyring-provider"
	pipLine = pipKey + " = subprocess"
)

// pipHelperFile returns the file of the command that pip asks, and how messages show it. The person makes it: a link, or on
// Windows a copy beside this program, which is in the PATH.
func pipHelperFile(env Env) (file, shown string, err error) {
	if os.PathSeparator == '\\' {
		self, err := os.Executable()
		file = platform.NameBeside(self, "keyring")
		return file, file, err
	}
	const path = ".local/bin/keyring"
	home, err := env.home("")
	return filepath.Join(home, path), shownInHome(home, path), err
}

func pipAfter(env Env, _ []Host) []string {
	_, shown, err := pipHelperFile(env)
	if err != nil {
		return nil
	}
	return append([]string{`pip asks the command "keyring", which we can be:`}, platform.HelperCommands(shown)...)
}

func pipLeft(env Env) ([]string, error) {
	file, shown, err := pipHelperFile(env)
	if err != nil || !leadsToUs(file) {
		return nil, err
	}
	return []string{`the command "keyring" still leads to us; if uv does not ask it either:`, "  " + platform.Delete(shown)}, nil
}

func pipAdd(text []byte) ([]byte, error) {
	provider, section, err := parsePip(text)
	switch {
	case err != nil:
		return nil, err
	case provider == "subprocess":
		return text, nil
	case provider != "":
		return nil, fmt.Errorf("%s is %q already: remove that line first", pipKey, provider)
	case section < 0:
		return AppendLines(text, []string{"[global]", pipLine}), nil
	}
	return insertLine(text, section, pipLine), nil
}

func pipRemove(text []byte) ([]byte, error) {
	if _, _, err := parsePip(text); err != nil {
		return nil, err
	}
	at, ok := findLines(text, []string{pipLine})
	if !ok {
		return text, nil
	}
	if section, ok := findLines(text, []string{"[global]", pipLine}); ok && endsSection(text, section.end) {
		at = section
	}
	return cutLines(text, []span{at}), nil
}

// parsePip reads an INI file as Python's configparser does: a setting must be in a section, and nothing may be there twice.
// section is the offset after the line [global], or -1.
func parsePip(text []byte) (provider string, section int, err error) {
	section = -1
	current, key := "", ""
	known := map[string]bool{}
	at := 0
	for n := 1; at < len(text); n++ {
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		raw := string(text[at:end])
		at = end
		line := strings.TrimSpace(raw)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case key != "" && strings.TrimLeft(raw, " \t") != raw: // goes on
		case line[0] == '[' && strings.Contains(line, "]"):
			current, key = line[1:strings.LastIndexByte(line, ']')], ""
			if known[current] {
				return "", 0, fmt.Errorf("line %d: the section %.40q is there twice", n, current)
			}
			known[current] = true
			if current == "global" {
				section = at
			}
		default:
			i := strings.IndexAny(line, "=:")
			if i <= 0 || current == "" {
				return "", 0, fmt.Errorf("line %d: this is neither a section nor a setting in one", n)
			}
			key = strings.ToLower(strings.TrimSpace(line[:i]))
			if known[current+"\x00"+key] {
				return "", 0, fmt.Errorf("line %d: %.40q is there twice", n, key)
			}
			known[current+"\x00"+key] = true
			if current == "global" && strings.ReplaceAll(key, "_", "-") == pipKey {
				provider = strings.TrimSpace(line[i+1:])
			}
		}
	}
	return provider, section, nil
}
