package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"clerk-credential-helper/protocol"
)

// address is what a person writes for a place: a URL or a host, perhaps with a user in it, as pip's index URLs have one.
type address struct {
	protocol.Address
	password bool   // there was one; it is kept nowhere
	shown    string // for people: the address as written, with a mark in the password's place
}

// readAddress parses an address. The user ends at the first "@", as git has it, so that a second one stays in the host, which
// then matches nothing. Its errors do not repeat the address, which may hold a password.
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
	var a address
	a.Scheme, a.Host, a.Written, a.URL, a.shown = req.Scheme, req.Host, req.ServerURL, req.ServerURL, req.ServerURL
	if before, host, ok := strings.Cut(req.Host, "@"); ok {
		user, _, password := strings.Cut(before, ":")
		a.Host, a.password = host, password
		if a.User, err = url.PathUnescape(user); err != nil || strings.ContainsFunc(a.User, unicode.IsControl) {
			return address{}, errors.New("the user in the address is malformed: a percent sign begins a code such as %40")
		}
		replace := func(with string) string { return strings.Replace(req.ServerURL, before+"@", with, 1) }
		a.Written = replace("")
		if a.URL = a.Written; user != "" {
			a.URL = replace(user + "@")
		}
		if a.shown = a.URL; password {
			a.shown = replace(user + ":...@")
		}
	}
	if a.Host == "" {
		return address{}, malformed
	}
	a.Bare = a.Written
	if a.Scheme == "" {
		a.Scheme, a.URL, a.Bare = "https", "https://"+a.URL, "https://"+a.Bare
	}
	return a, nil
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
