package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// companionCommand is for those who run a companion page (companion/README.md).
type companionCommand struct {
	Add   companionAddCommand   `cmd:"" help:"Write the companion page into a Next.js app."`
	Check companionCheckCommand `cmd:"" help:"Probe a companion page that is deployed, line by line."`
}

// companionClient is the one client that a companion page knows (companion/lib/cli-auth/request.ts).
const companionClient = "clerk-credential-helper"

// companionOrigin reads where a companion page is: an origin, https, or http on this machine.
func companionOrigin(address string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(address, "/"))
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("%q is not an address: write https://app.acme.dev", address)
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(address, "?#"):
		return "", errors.New("a companion page has an app of its own: write https://app.acme.dev, with nothing after the host")
	case u.Scheme == "http" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback():
		return "", fmt.Errorf("%q is not safe: write https (http is for this machine only)", address)
	}
	host := strings.ToLower(u.Host)
	if port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]; strings.HasSuffix(host, port) {
		host = strings.TrimSuffix(host, port)
	}
	return u.Scheme + "://" + host, nil
}
