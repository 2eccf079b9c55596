package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// smallTool is a tool whose configuration needs one line, whatever the hosts are: it asks us for each, and we know.
type smallTool struct {
	name        string
	file        func(*system) (string, error)
	add, remove func(text []byte) ([]byte, error)
	// blank tells that nothing is left in a file that setup has made.
	blank func(text []byte) bool
	// after is what is left for the person to do: words, and commands that begin with blanks. calls is the program that must
	// be in the PATH. Either may be empty.
	after []string
	calls string
	// left is what unset leaves for the person to take back, nil where there is no such thing.
	left func(*system) ([]string, error)
}

func smallTools() []smallTool {
	return []smallTool{
		{name: "go", file: (*system).goFile, add: goAdd, remove: goRemove, blank: isBlank, calls: "clerk-credential-helper"},
		{name: "cargo", file: (*system).cargoFile, add: cargoAdd, remove: cargoRemove, blank: isBlank, calls: "cargo-credential-clerk"},
		{name: "terraform", file: (*system).terraformFile, add: terraformAdd, remove: terraformRemove, blank: isBlank, left: (*system).terraformLeft,
			after: []string{
				"terraform finds us in its folder of plugins, by a link:",
				"  mkdir -p ~/.terraform.d/plugins",
				`  ln -s "$(command -v clerk-credential-helper)" \`,
				"    " + terraformLink,
			}},
		{name: "kubectl", file: (*system).kubeFile, add: kubeAdd, remove: kubeRemove, blank: kubeBlank, left: (*system).kubeLeft, calls: "clerk-credential-helper",
			after: []string{
				"kubectl asks us for contexts of the user clerk:",
				"  kubectl config set-context --current --user=clerk",
			}},
		{name: "pip", file: (*system).pipFile, add: pipAdd, remove: pipRemove, blank: isBlank, left: (*system).pipLeft,
			after: []string{
				`pip asks the command "keyring", which we can be:`,
				`  ln -s "$(command -v clerk-credential-helper)" ` + pipLink,
			}},
	}
}

func smallToolNamed(name string) (smallTool, bool) {
	all := smallTools()
	i := slices.IndexFunc(all, func(t smallTool) bool { return t.name == name })
	if i < 0 {
		return smallTool{}, false
	}
	return all[i], true
}

func (t smallTool) edit(sys *system, back bool) ([]edit, error) {
	file, err := t.file(sys)
	if err != nil {
		return nil, err
	}
	if back {
		return []edit{{file: file, back: true, blank: t.blank, again: t.add, change: t.remove}}, nil
	}
	return []edit{{file: file, blank: t.blank, change: t.add, without: t.remove}}, nil
}

// goFile is where "go env -w" writes (go help env).
func (sys *system) goFile() (string, error) {
	switch file := sys.getenv("GOENV"); file {
	case "":
	case "off":
		return "", &usageError{errors.New("GOENV is off: the go command reads no file")}
	default:
		return filepath.Abs(file)
	}
	return sys.configFile("go", "env")
}

// configFile is below the folder that most programs take on each system.
func (sys *system) configFile(elements ...string) (string, error) {
	folder, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding the folder for configurations: %w", err)
	}
	return filepath.Join(append([]string{folder}, elements...)...), nil
}

const goCommand = "clerk-credential-helper goauth"

// goAdd puts us before what GOAUTH names; the first one wins. The default is netrc, and "off" stands alone (go help goauth).
func goAdd(text []byte) ([]byte, error) {
	at, value, ok := goAuth(text)
	switch {
	case !ok:
		return appendLines(text, []string{"GOAUTH=" + goCommand + ";netrc"}), nil
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

// goAuth finds the value of GOAUTH: the last line counts.
func goAuth(text []byte) (at span, value string, ok bool) {
	found := regexp.MustCompile(`(?m)^GOAUTH=([^\r\n]*)`).FindAllSubmatchIndex(text, -1)
	if found == nil {
		return span{}, "", false
	}
	last := found[len(found)-1]
	return span{last[2], last[3]}, string(text[last[2]:last[3]]), true
}

func (sys *system) cargoFile() (string, error) {
	folder := sys.getenv("CARGO_HOME")
	if folder == "" {
		home, err := sys.home()
		if err != nil {
			return "", err
		}
		folder = filepath.Join(home, ".cargo")
	}
	return filepath.Abs(filepath.Join(folder, "config.toml"))
}

const cargoProvider = "cargo-credential-clerk"

// cargoAdd names us last, which is first to be asked (The Cargo Book, "Registry Authentication"). cargo's own store stays.
func cargoAdd(text []byte) ([]byte, error) {
	providers, table, err := cargoProviders(text)
	if err != nil || slices.Contains(providers, cargoProvider) {
		return text, err
	}
	line := fmt.Sprintf(`global-credential-providers = ["cargo:token", %q]`, cargoProvider)
	var edited []byte
	switch header := regexp.MustCompile(`(?m)^[ \t]*\[[ \t]*registry[ \t]*\][ \t]*(#.*)?\r?$\n?`).FindIndex(text); {
	case providers != nil:
		list := regexp.MustCompile(`(?m)^([ \t]*global-credential-providers[ \t]*=[ \t]*\[[^\]\n]*?)(,?[ \t]*\])`)
		edited = list.ReplaceAll(text, []byte(`${1}, "`+cargoProvider+`"${2}`))
	case header != nil:
		edited = insertLine(text, header[1], line)
	case table:
		return nil, fmt.Errorf("there is a registry table in another form: add %s to it by hand", line)
	default:
		edited = appendLines(text, []string{"[registry]", line})
	}
	if now, _, err := cargoProviders(edited); err != nil || !slices.Equal(now, append(slices.Clone(orDefault(providers)), cargoProvider)) {
		return nil, fmt.Errorf("global-credential-providers is written in a form that is not safe to edit: add %q at its end by hand", cargoProvider)
	}
	return edited, nil
}

// orDefault is what cargo has where nothing is said.
func orDefault(said []string) []string {
	if said == nil {
		return []string{"cargo:token"}
	}
	return said
}

func cargoRemove(text []byte) ([]byte, error) {
	providers, _, err := cargoProviders(text)
	if err != nil || !slices.Contains(providers, cargoProvider) {
		return text, err
	}
	line := fmt.Sprintf(`global-credential-providers = ["cargo:token", %q]`, cargoProvider)
	if at, ok := findLines(text, []string{line}); ok {
		if section, ok := findLines(text, []string{"[registry]", line}); ok && endsSection(text, section.end) {
			at = section
		}
		return cutLines(text, []span{at}), nil
	}
	edited := bytes.Replace(text, []byte(`, "`+cargoProvider+`"`), nil, 1)
	if now, _, err := cargoProviders(edited); err != nil || slices.Contains(now, cargoProvider) {
		return nil, fmt.Errorf("global-credential-providers is written in a form that is not safe to edit: take %q out by hand", cargoProvider)
	}
	return edited, nil
}

func cargoProviders(text []byte) (providers []string, table bool, err error) {
	var all struct {
		Registry *struct {
			Providers []string `toml:"global-credential-providers"`
		} `toml:"registry"`
	}
	if err := toml.Unmarshal(text, &all); err != nil {
		var syntax *toml.DecodeError
		if errors.As(err, &syntax) {
			line, _ := syntax.Position()
			return nil, false, fmt.Errorf("line %d: %w", line, err)
		}
		return nil, false, err
	}
	if all.Registry == nil {
		return nil, false, nil
	}
	return all.Registry.Providers, true, nil
}

// endsSection says that the next line begins another section, or that there is none.
func endsSection(text []byte, at int) bool {
	rest := bytes.TrimLeft(text[at:], " \t\r\n")
	return len(rest) == 0 || rest[0] == '['
}

// insertLine puts a line at a place where one begins, or at the end.
func insertLine(text []byte, at int, line string) []byte {
	if at == len(text) {
		return appendLines(text, []string{line})
	}
	return slices.Concat(text[:at], []byte(line+lineEnd(text)), text[at:])
}

func (sys *system) terraformFile() (string, error) {
	if file := sys.getenv("TF_CLI_CONFIG_FILE"); file != "" {
		return filepath.Abs(file)
	}
	if os.PathSeparator == '\\' {
		return sys.configFile("terraform.rc")
	}
	home, err := sys.home()
	return filepath.Join(home, ".terraformrc"), err
}

const terraformLine = `credentials_helper "clerk" {}`

// terraformLink is where Terraform looks for a helper of our name. The person makes the link.
const terraformLink = "~/.terraform.d/plugins/terraform-credentials-clerk"

func (sys *system) terraformLeft() ([]string, error) {
	file, err := sys.below(terraformLink)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(file); err != nil {
		return nil, nil
	}
	return []string{"the link that Terraform found us by is left, and nothing needs it now:", "  rm " + terraformLink}, nil
}

// below is the file that a shell means by a path in the home folder.
func (sys *system) below(path string) (string, error) {
	home, err := sys.home()
	return filepath.Join(home, filepath.FromSlash(strings.TrimPrefix(path, "~/"))), err
}

// leadsToUs says that a file is a link to this program, or was one before the program went.
func leadsToUs(file string) bool {
	target, err := os.Readlink(file)
	if err != nil {
		return false
	}
	if strings.TrimSuffix(filepath.Base(target), ".exe") == "clerk-credential-helper" {
		return true
	}
	there, err := os.Stat(file)
	if err != nil {
		return false
	}
	self, err := os.Executable()
	if err != nil {
		return false
	}
	here, err := os.Stat(self)
	return err == nil && os.SameFile(there, here)
}

// terraformAdd adds a block, of which Terraform takes one only.
func terraformAdd(text []byte) ([]byte, error) {
	helper, err := terraformHelper(text)
	switch {
	case err != nil:
		return nil, err
	case helper == "clerk":
		return text, nil
	case helper != "":
		return nil, fmt.Errorf("it has the credentials helper %q already, and Terraform takes one: take that block out first", helper)
	}
	return appendLines(text, []string{terraformLine}), nil
}

func terraformRemove(text []byte) ([]byte, error) {
	if _, err := terraformHelper(text); err != nil {
		return nil, err
	}
	if at, ok := findLines(text, []string{terraformLine}); ok {
		return cutLines(text, []span{at}), nil
	}
	return text, nil
}

// terraformHelper finds the name in credentials_helper "NAME" outside of comments, and checks that braces and quotes are
// closed. The rest of the language does not matter here.
func terraformHelper(text []byte) (string, error) {
	var open []int // lines of the braces
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case text[i] == '#' || bytes.HasPrefix(rest, []byte("//")):
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
			continue
		case bytes.HasPrefix(rest, []byte("/*")):
			end := bytes.Index(rest, []byte("*/"))
			if end < 0 {
				return "", fmt.Errorf("line %d: the comment does not end", lineOf(text, i))
			}
			i += end + 1
			continue
		case text[i] == '"':
			at := i
			for i++; i < len(text) && text[i] != '"' && text[i] != '\n'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if i >= len(text) || text[i] != '"' {
				return "", fmt.Errorf("line %d: the quotes do not end", lineOf(text, at))
			}
			if len(open) == 0 {
				plain.Write(text[at : i+1])
			}
			continue
		case text[i] == '{':
			open = append(open, lineOf(text, i))
		case text[i] == '}':
			if len(open) == 0 {
				return "", fmt.Errorf("line %d: this brace closes nothing", lineOf(text, i))
			}
			open = open[:len(open)-1]
		}
		plain.WriteByte(text[i])
	}
	if len(open) > 0 {
		return "", fmt.Errorf("line %d: this brace is not closed", open[len(open)-1])
	}
	found := regexp.MustCompile(`\bcredentials_helper\s+"([^"]*)"`).FindStringSubmatch(plain.String())
	if found == nil {
		return "", nil
	}
	return found[1], nil
}

// pipFile is the user's file of pip (pip.pypa.io, "Configuration").
func (sys *system) pipFile() (string, error) {
	if file := sys.getenv("PIP_CONFIG_FILE"); file != "" {
		return filepath.Abs(file)
	}
	if os.PathSeparator == '\\' {
		return sys.configFile("pip", "pip.ini")
	}
	return sys.configFile("pip", "pip.conf")
}

const (
	pipKey  = "keyring-provider"
	pipLine = pipKey + " = subprocess"
)

// pipLink is where setup has the person make the command that pip asks.
const pipLink = "~/.local/bin/keyring"

func (sys *system) pipLeft() ([]string, error) {
	file, err := sys.below(pipLink)
	if err != nil || !leadsToUs(file) {
		return nil, err
	}
	return []string{`the command "keyring" still leads to us; if uv does not ask it either:`, "  rm " + pipLink}, nil
}

func pipAdd(text []byte) ([]byte, error) {
	provider, section, err := parsePip(text)
	switch {
	case err != nil:
		return nil, err
	case provider == "subprocess":
		return text, nil
	case provider != "":
		return nil, fmt.Errorf("%s is %q already: take that line out first", pipKey, provider)
	case section < 0:
		return appendLines(text, []string{"[global]", pipLine}), nil
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

// parsePip reads an INI file as Python's configparser does: it wants a section before any setting, and nothing twice.
// section is the place after the line [global], -1 for none.
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
