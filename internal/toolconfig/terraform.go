package toolconfig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func terraformFile(env Env) (string, error) {
	if file, err := env.path("TF_CLI_CONFIG_FILE"); file != "" || err != nil {
		return file, err
	}
	if os.PathSeparator == '\\' {
		return configFile("terraform.rc")
	}
	home, err := env.home()
	return filepath.Join(home, ".terraformrc"), err
}

const terraformLine = `credentials_helper "clerk" {}`

// terraformLink is where Terraform looks for a helper of our name: a link, which the person makes.
const terraformLink = "~/.terraform.d/plugins/terraform-credentials-clerk"

func terraformAfter([]Host) []string {
	return []string{
		"terraform finds us in its folder of plugins, by a link:",
		"  mkdir -p ~/.terraform.d/plugins",
		`  ln -s "$(command -v clerk-credential-helper)" \`,
		"    " + terraformLink,
	}
}

func terraformLeft(env Env) ([]string, error) {
	file, err := env.below(terraformLink)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(file); err != nil {
		return nil, nil
	}
	return []string{"the link by which Terraform found us is left, and is not needed any more:", "  rm " + terraformLink}, nil
}

// terraformAdd adds our block. Terraform accepts only one of the kind.
func terraformAdd(text []byte) ([]byte, error) {
	helper, err := terraformHelper(text)
	switch {
	case err != nil:
		return nil, err
	case helper == "clerk":
		return text, nil
	case helper != "":
		return nil, fmt.Errorf("it has the credentials helper %q already, and Terraform accepts only one: remove that block first", helper)
	}
	return AppendLines(text, []string{terraformLine}), nil
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

// terraformHelper returns the name in credentials_helper "NAME" outside of comments, or "", and checks that braces and
// quotes are closed. It ignores the rest of the language. Errors begin with the line.
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
