package toolconfig

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kubeUser returns the lines for a kubeconfig: a user whose token comes from us. kubectl tells us the cluster, and we answer
// only for servers that are hosts of a profile. The lines are as kubectl writes them, so that they are still found after
// kubectl has rewritten the file.
func kubeUser(indent string) []string {
	lines := []string{
		"- name: clerk",
		"  user:",
		"    exec:",
		"      apiVersion: client.authentication.k8s.io/v1",
		"      args:",
		"      - kube",
		"      command: clerk-credential-helper",
		"      env: null",
		"      interactiveMode: IfAvailable",
		"      provideClusterInfo: true",
	}
	for i := range lines {
		lines[i] = indent + lines[i]
	}
	return lines
}

// kubeFile returns the file that kubectl writes: the first of KUBECONFIG, or ~/.kube/config.
func kubeFile(env Env) (string, error) {
	for _, file := range filepath.SplitList(env.Getenv("KUBECONFIG")) {
		if file != "" {
			return absolute("KUBECONFIG", file)
		}
	}
	home, err := env.home("kubectl")
	return filepath.Join(home, ".kube", "config"), err
}

// kubeHead returns the first lines of a new file.
func kubeHead() []string { return []string{"apiVersion: v1", "kind: Config", "users:"} }

// kubeBlank reports whether a file is empty or holds only kubeHead.
func kubeBlank(text []byte) bool {
	at, ok := findLines(text, kubeHead())
	return isBlank(text) || ok && isBlank(text[:at.start]) && isBlank(text[at.end:])
}

func kubeAfter(Env, []Host) []string {
	return []string{
		"kubectl asks us for contexts of the user clerk:",
		"  kubectl config set-context --current --user=clerk",
	}
}

// kubeLeft reports contexts that name our user. The person has made them, since setup makes none.
func kubeLeft(env Env) ([]string, error) {
	file, err := kubeFile(env)
	if err != nil {
		return nil, err
	}
	text, err := ReadFile(file)
	if err != nil {
		return nil, err
	}
	for _, line := range lines(text) {
		// In the form that kubectl writes only a context has such a line.
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "user: "); ok && strings.Trim(name, `"`) == "clerk" {
			return []string{"contexts of the user clerk are left; give them another: kubectl config set-context NAME --user=USER"}, nil
		}
	}
	return nil, nil
}

// kubeAdd puts our user first in the list, so that the others need not be parsed.
func kubeAdd(text []byte) ([]byte, error) {
	if isBlank(text) {
		return AppendLines(text, append(kubeHead(), kubeUser("")...)), nil
	}
	users, err := kubeUsers(text)
	if err != nil {
		return nil, err
	}
	if _, ok := findLines(text, kubeUser("")); ok {
		return text, nil
	}
	if users.named {
		return nil, fmt.Errorf(`there is a user "clerk" already: rename it, or give it our exec section by hand`)
	}
	end := lineEnd(text)
	ours := []byte(strings.Join(kubeUser(users.indent), end))
	switch {
	case users.line.end == 0:
		return AppendLines(text, append([]string{"users:"}, kubeUser("")...)), nil
	case users.empty:
		return replaceSpan(text, users.line, "users:"+end+string(ours)), nil
	case users.line.end == len(text):
		return slices.Concat(text, []byte(end), ours), nil
	}
	at := users.line.end + len(end)
	return slices.Concat(text[:at], ours, []byte(end), text[at:]), nil
}

func kubeRemove(text []byte) ([]byte, error) {
	if isBlank(text) {
		return text, nil
	}
	if _, err := kubeUsers(text); err != nil {
		return nil, err
	}
	if at, ok := findLines(text, kubeUser("")); ok {
		return cutLines(text, []span{at}), nil
	}
	return text, nil
}

// kubeList describes the list of users in a kubeconfig.
type kubeList struct {
	line   span // of "users:", without its end; zero if there is none
	indent string
	empty  bool // written as "users: []" or the like
	named  bool // a user has our name
}

// kubeUsers finds the list in the block style that kubectl writes, and refuses any other form. It checks only lines at the
// margin. Errors begin with the line.
func kubeUsers(text []byte) (kubeList, error) {
	var list kubeList
	top := regexp.MustCompile(`^("?[A-Za-z][A-Za-z0-9_-]*"?):($|\s+(\S.*)?$)`)
	inUsers, first := false, false
	at := 0
	for n := 1; at < len(text); n++ {
		start, end := at, len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i
		}
		at = end + 1
		line := strings.TrimSuffix(string(text[start:end]), "\r")
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || line == "---" || line == "...":
			continue
		case line[0] == '\t':
			return list, fmt.Errorf("line %d: YAML allows no tabs at the beginning of a line", n)
		case line[0] == '{' || line[0] == '[':
			return list, fmt.Errorf("line %d: it is not in the form that kubectl writes, and that kubectl config view --raw prints", n)
		case line[0] == ' ' || strings.HasPrefix(line, "- ") || line == "-":
			if inUsers && first {
				list.indent, first = line[:len(line)-len(strings.TrimLeft(line, " "))], false
				if !strings.HasPrefix(trimmed, "-") {
					return list, fmt.Errorf("line %d: the users are not a list", n)
				}
			}
			name := strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(trimmed, "-"), " "))
			outer := len(line) - len(strings.TrimLeft(line, " "))
			if inUsers && outer <= len(list.indent)+2 && (name == "name: clerk" || name == `name: "clerk"`) {
				list.named = true
			}
			continue
		}
		key := top.FindStringSubmatch(line)
		if key == nil {
			return list, fmt.Errorf("line %d: this is not the YAML of a kubeconfig", n)
		}
		inUsers = strings.Trim(key[1], `"`) == "users"
		if !inUsers {
			continue
		}
		if list.line.end > 0 {
			return list, fmt.Errorf("line %d: the users are there twice", n)
		}
		first = true
		list.line = span{start, start + len(line)}
		value, _, _ := strings.Cut(key[3], "#")
		switch strings.TrimSpace(value) {
		case "":
		case "[]", "null", "~":
			list.empty = true
		default:
			return list, fmt.Errorf("line %d: the users are not in the form that kubectl writes", n)
		}
	}
	return list, nil
}
