package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"clerk-credential-helper/protocol"
)

// address is what a person writes for a place: a URL or a host, perhaps with a user in it, as pip's index URLs have one.
type address struct {
	scheme, host string // without the user; the scheme is empty where only a host was written
	user         string // decoded; empty for none
	password     bool   // there was one; it is kept nowhere
	bare         string // the address without the user and the password
	named        string // the address with the user and without the password
	shown        string // for people: named, with a mark in the password's place
}

// readAddress takes an address apart. The user ends at the first "@", as git has it, so that a second one stays in the host,
// which then matches nothing. Its errors do not repeat the address, which may hold a password.
func readAddress(text string) (address, error) {
	malformed := errors.New("the address is not a URL or a host")
	if !strings.Contains(text, "@") {
		malformed = fmt.Errorf("%q is not a URL or a host", text)
	}
	req, err := docker().ReadRequest(protocol.Get, strings.NewReader(text))
	if err != nil {
		return address{}, malformed
	}
	if cutPassword(text, req.Host) {
		return address{}, errors.New("the address is malformed: in a user and a password @ / ? # are written as %40 %2F %3F %23")
	}
	a := address{scheme: req.Scheme, host: req.Host, bare: req.ServerURL, named: req.ServerURL, shown: req.ServerURL}
	if before, host, ok := strings.Cut(req.Host, "@"); ok {
		user, _, password := strings.Cut(before, ":")
		a.host, a.password = host, password
		if a.user, err = url.PathUnescape(user); err != nil || strings.ContainsFunc(a.user, unicode.IsControl) {
			return address{}, errors.New("the user in the address is malformed: a percent sign begins a code such as %40")
		}
		replace := func(with string) string { return strings.Replace(req.ServerURL, before+"@", with, 1) }
		a.bare = replace("")
		if a.named = a.bare; user != "" {
			a.named = replace(user + "@")
		}
		if a.shown = a.named; password {
			a.shown = replace(user + ":...@")
		}
	}
	if a.host == "" {
		return address{}, malformed
	}
	return a, nil
}

// cutPassword says that the host of an address is, or has in it, a piece of a password that would have had to be escaped.
func cutPassword(text, host string) bool {
	before, after, ok := strings.Cut(host, "@")
	if ok {
		return strings.Contains(before, ":") && strings.Contains(after, "@")
	}
	_, port, _ := strings.Cut(host, ":")
	return strings.Contains(text, "@") && !strings.HasPrefix(host, "[") && strings.ContainsFunc(port, func(r rune) bool { return !unicode.IsDigit(r) })
}

// question is what a tool sends us for an address: the last arguments, standard input, and kubectl's variable. Most hand
// the address over as it is written, with a user in it, which makes a host of it that is nobody's.
func (a address) question(w protocol.Wire) (verb protocol.Verb, args []string, stdin, info string, err error) {
	scheme, named := a.scheme, a.named
	if scheme == "" {
		scheme, named = "https", "https://"+a.named
	}
	var v any
	switch w.(type) {
	case protocol.Git:
		stdin = fmt.Sprintf("protocol=%s\nhost=%s\n", scheme, a.host)
		if a.user != "" {
			stdin += "username=" + a.user + "\n"
		}
		return protocol.Get, nil, stdin, "", nil
	case protocol.Docker:
		return protocol.Get, nil, a.bare, "", nil
	case protocol.Terraform:
		return protocol.Get, []string{a.host}, "", "", nil
	case protocol.Keyring:
		service := strings.Replace(named, a.named, a.bare, 1)
		if a.user == "" {
			return protocol.Get, []string{"get", service, "--mode", "creds"}, "", "", nil
		}
		return protocol.Get, []string{"get", service, a.user}, "", "", nil
	case *protocol.Cargo:
		verb = protocol.CargoPlugin
		v = map[string]any{"v": 1, "kind": "get", "operation": "read", "registry": map[string]string{"index-url": "sparse+" + named}}
	case protocol.Bazel:
		verb = protocol.Get
		v = map[string]string{"uri": named}
	case protocol.Kube:
		v = map[string]any{
			"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
			"spec": map[string]any{"interactive": true, "cluster": map[string]string{"server": named}},
		}
	default:
		return protocol.Get, []string{named}, "", "", nil
	}
	text, err := json.Marshal(v)
	if _, ok := w.(protocol.Kube); ok {
		return verb, nil, "", string(text), err
	}
	return verb, nil, string(text) + "\n", "", err
}
