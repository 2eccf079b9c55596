package toolconfig

import (
	"bytes"
	"clerk-credential-helper/platform"
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
	home, err := env.home("")
	return filepath.Join(home, ".terraformrc"), err
}

const terraformLine = `credentials_helper "clerk" {}`

// terraformHelperFile returns the file by which Terraform finds a helper of our name, and how messages show it. The person
// makes it: a link, or a copy on Windows (developer.hashicorp.com, "CLI Configuration", implied local mirror directories).
func terraformHelperFile(env Env) (file, shown string, err error) {
	const name = "terraform-credentials-clerk"
	if os.PathSeparator == '\\' {
		file, err = configFile("terraform.d", "plugins", name+".exe")
		return file, file, err
	}
	const path = ".terraform.d/plugins/" + name
	home, err := env.home("")
	return filepath.Join(home, path), shownInHome(home, path), err
}

func terraformAfter(env Env, _ []Host) []string {
	_, shown, err := terraformHelperFile(env)
	if err != nil {
		return nil
	}
	return append([]string{"terraform finds us in its folder of plugins:"}, platform.HelperCommands(shown)...)
}

func terraformLeft(env Env) ([]string, error) {
	file, shown, err := terraformHelperFile(env)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(file); err != nil {
		return nil, nil
	}
	return []string{"the file by which Terraform found us is left, and is not needed any more:", "  " + platform.Delete(shown)}, nil
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
