package clerk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"clerk-credential-helper/internal/config"
)

const (
	companyPath  = "/.well-known/clerk-credential-helper.json"
	resourcePath = "/.well-known/oauth-protected-resource" // RFC 9728 §3
	maxCompany   = 64 << 10
)

// CompanyFile fetches the file with which a company sets its people up, from the origin of an address: https, or http to
// loopback. An origin without the file may be a server that accepts tokens: then the file is that of the first authorization
// server which its metadata names (RFC 9728). from is the origin that the file came from. No redirect is followed.
//
// Errors: a *ResponseError, with the status 404 if there is no such file; an error of the network; or what is wrong with the
// metadata or the size, at most 64 KiB.
func (c *Client) CompanyFile(ctx context.Context, origin string) (text []byte, from string, err error) {
	text, err = fetchCompany(ctx, c, origin)
	refused, ok := errors.AsType[*ResponseError](err)
	if !ok || refused.Status != http.StatusNotFound {
		return text, origin, err
	}
	server, found := authorizationServer(ctx, c, origin)
	if found != nil {
		return nil, "", found
	}
	if server == "" || server == origin {
		return nil, "", err
	}
	text, err = fetchCompany(ctx, c, server)
	return text, server, err
}

func fetchCompany(ctx context.Context, c *Client, origin string) ([]byte, error) {
	req, err := http.NewRequestWithContext(forDocument(ctx), http.MethodGet, origin+companyPath, nil)
	if err != nil {
		return nil, err
	}
	text, err := c.fetch("company file", req)
	if err == nil && len(text) > maxCompany {
		return nil, fmt.Errorf("the company's file is larger than %d KiB", maxCompany>>10)
	}
	return text, err
}

// authorizationServer returns the origin of the first authorization server of the resource at an origin; empty if the origin
// has no such metadata.
func authorizationServer(ctx context.Context, c *Client, origin string) (string, error) {
	req, err := http.NewRequestWithContext(forDocument(ctx), http.MethodGet, origin+resourcePath, nil)
	if err != nil {
		return "", err
	}
	text, err := c.fetch("protected resource", req)
	if refused, ok := errors.AsType[*ResponseError](err); ok && refused.Status == http.StatusNotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var resource struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	if json.Unmarshal(text, &resource) != nil || originOf(resource.Resource) != origin { // RFC 9728 §3.3
		return "", fmt.Errorf("the metadata of %s is not that of its own resource", origin)
	}
	if len(resource.Servers) == 0 {
		return "", nil
	}
	server, err := url.Parse(resource.Servers[0])
	if err != nil || server.User != nil || server.Scheme == "http" && !strings.HasPrefix(origin, "http:") {
		return "", fmt.Errorf("the metadata of %s names the authorization server %q, which is not an https address", origin, resource.Servers[0])
	}
	address, err := config.ParseCompanion(server.Scheme + "://" + server.Host) // the issuer may have a path
	if err != nil {
		return "", fmt.Errorf("the metadata of %s names an authorization server: %w", origin, err)
	}
	return address, nil
}
