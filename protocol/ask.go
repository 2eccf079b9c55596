package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Address is a place that a token could be asked for, as a person writes it in place of a tool.
type Address struct {
	Scheme, Host string // the scheme of a host alone is https
	User         string // decoded; empty for none
	URL          string // the whole address with its scheme, and with the user but no password
	Bare         string // the same without the user
	Written      string // without the user and, where none was written, without a scheme
	Shown        string // for people: as written, with a mark in the password's place
	Password     bool   // there was one, which is kept nowhere
}

// ParseAddress parses a URL or a host, perhaps with a user in it, as pip's index URLs have one. The user ends at the first
// "@", as git has it; a second one stays in the host, which then matches nothing. Its
// errors do not repeat the address, which may hold a password.
func ParseAddress(text string) (Address, error) {
	if isSSH(text) {
		return Address{}, ErrSSH
	}
	malformed := errors.New("the address is not a URL or a host")
	if userEnd(text) == 0 {
		malformed = fmt.Errorf("%q is not a URL or a host", text)
	}
	req, err := Docker{}.ReadRequest(Get, strings.NewReader(text))
	if err != nil {
		return Address{}, malformed
	}
	if cutPassword(text, req.Host) {
		return Address{}, errors.New("the address is malformed: in a user and a password @ / ? # are written as %40 %2F %3F %23")
	}
	var a Address
	a.Scheme, a.Host, a.Written, a.URL, a.Shown = req.Scheme, req.Host, req.ServerURL, req.ServerURL, req.ServerURL
	if before, host, ok := strings.Cut(req.Host, "@"); ok {
		user, _, password := strings.Cut(before, ":")
		a.Host, a.Password = host, password
		if a.User, err = url.PathUnescape(user); err != nil || strings.ContainsFunc(a.User, unicode.IsControl) {
			return Address{}, errors.New("the user in the address is malformed: a percent sign begins a code such as %40")
		}
		replace := func(with string) string { return strings.Replace(req.ServerURL, before+"@", with, 1) }
		a.Written = replace("")
		if a.URL = a.Written; user != "" {
			a.URL = replace(user + "@")
		}
		if a.Shown = a.URL; password {
			a.Shown = replace(user + ":...@")
		}
	}
	if a.Host == "" || strings.Contains(a.Host, "%40") || userEnd(text) > 0 && strings.HasPrefix(a.Host, ":") {
		return Address{}, malformed
	}
	a.Bare = a.Written
	if !strings.HasPrefix(req.ServerURL, req.Scheme+"://") { // none was written
		a.URL, a.Bare = req.Scheme+"://"+a.URL, req.Scheme+"://"+a.Bare
	}
	return a, nil
}

// ErrSSH means that an address is one of ssh, for which git and docker ask no helper.
var ErrSSH = errors.New("an address of ssh needs no helper: ssh signs in with a key of yours, and a token goes to an https:// address")

// isSSH reports whether an address is one of ssh: of a scheme with ssh in it, or as scp has it, [USER@]HOST:PATH
// (git-clone(1), "GIT URLS"). A path without a slash needs the user, since api:latest is an image.
func isSSH(text string) bool {
	if scheme, _, ok := strings.Cut(text, "://"); ok {
		return slices.Contains([]string{"ssh", "git+ssh", "ssh+git"}, strings.ToLower(scheme))
	}
	user, rest, named := strings.Cut(text, "@")
	if !named {
		rest = text
	}
	host, path, ok := strings.Cut(rest, ":")
	return ok && host != "" && path != "" && !(named && (user == "" || strings.ContainsAny(user, ":/"))) &&
		!strings.ContainsAny(host, "/@[") && (path[0] < '0' || path[0] > '9') && !strings.Contains(path, "@") &&
		(named || strings.Contains(path, "/"))
}

// cutPassword reports whether the host of an address is, or has in it, a piece of a password that would have had to be escaped.
func cutPassword(text, host string) bool {
	before, after, ok := strings.Cut(host, "@")
	if ok {
		return strings.Contains(before, ":") && strings.Contains(after, "@")
	}
	_, port, _ := strings.Cut(host, ":")
	return strings.Contains(text, "@") && !strings.HasPrefix(host, "[") && strings.ContainsFunc(port, func(r rune) bool { return !unicode.IsDigit(r) })
}

// Question is what a tool sends for an address.
type Question struct {
	Verb  Verb
	Args  []string // the last arguments
	Stdin string
	Env   map[string]string // variables of its environment
}

// Ask asks as git does: for a host, with the user apart.
func (Git) Ask(a Address) (Question, bool) {
	stdin := "protocol=" + a.Scheme + "\nhost=" + a.Host + "\n"
	if a.User != "" {
		stdin += "username=" + a.User + "\n"
	}
	return Question{Verb: Get, Stdin: stdin}, true
}

// Ask asks as docker does: for a server as it is written.
func (Docker) Ask(a Address) (Question, bool) {
	return Question{Verb: Get, Stdin: a.Written}, true
}

// Ask asks as Terraform does: for a host.
func (Terraform) Ask(a Address) (Question, bool) {
	return Question{Verb: Get, Args: []string{a.Host}}, true
}

// Ask asks as pip and uv do: for an index without the user, who comes apart.
func (Keyring) Ask(a Address) (Question, bool) {
	if a.User == "" {
		return Question{Verb: Get, Args: []string{"get", a.Bare, "--mode", "creds"}}, true
	}
	return Question{Verb: Get, Args: []string{"get", a.Bare, a.User}}, true
}

// Ask asks as cargo does, for an index of the sparse kind.
func (*Cargo) Ask(a Address) (Question, bool) {
	return Question{Verb: CargoPlugin, Stdin: question(map[string]any{
		"v": 1, "kind": "get", "operation": "read", "registry": map[string]string{"index-url": "sparse+" + a.URL},
	})}, true
}

// Ask asks as Bazel does: for a URL, with a user in it, which makes a host that matches no profile.
func (Bazel) Ask(a Address) (Question, bool) {
	return Question{Verb: Get, Stdin: question(map[string]string{"uri": a.URL})}, true
}

// Ask asks as kubectl does, where it tells of the cluster.
func (Kube) Ask(a Address) (Question, bool) {
	return Question{Env: map[string]string{KubeInfo: question(map[string]any{
		"apiVersion": kubeGroup + "v1", "kind": kubeKind,
		"spec": map[string]any{"interactive": true, "cluster": map[string]string{"server": a.URL}},
	})}}, true
}

// Ask asks as the go command's second call does.
func (GOAUTH) Ask(a Address) (Question, bool) {
	return Question{Verb: Get, Args: []string{a.URL}}, true
}

// Ask is the command line of a person.
func (Target) Ask(a Address) (Question, bool) {
	return Question{Verb: Get, Args: []string{a.URL}}, true
}

// Ask is false: pnpm names no registry.
func (PNPM) Ask(Address) (Question, bool) { return Question{}, false }

// Ask is false: Google's clients name no host.
func (GCP) Ask(Address) (Question, bool) { return Question{}, false }

// question is a line of JSON. What it is made of can always be encoded.
func question(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text) + "\n"
}
