package clerk

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestCompanyFile asks one origin and, where its metadata names one, another; each origin has what answers says, or 404.
func TestCompanyFile(t *testing.T) {
	const (
		file     = companyPath
		resource = resourcePath
		acme     = "https://acme.dev"
	)
	type answer struct {
		status int
		body   string
		to     string // Location
	}
	for _, row := range []struct {
		reason     string
		origin     string
		answers    map[string]answer
		text, from string
		wrong      string // in the error
	}{
		{"the company's own address", acme, map[string]answer{acme + file: {200, "{}", ""}}, "{}", acme, ""},
		{"a git server that names its issuer", "https://git.acme.dev", map[string]answer{
			"https://git.acme.dev" + resource: {200, `{"resource":"https://git.acme.dev","authorization_servers":["https://clerk.acme.dev"]}`, ""},
			"https://clerk.acme.dev" + file:   {200, "{}", ""},
		}, "{}", "https://clerk.acme.dev", ""},
		{"an issuer with a path", "https://git.acme.dev", map[string]answer{
			"https://git.acme.dev" + resource: {200, `{"resource":"https://git.acme.dev/","authorization_servers":["https://acme.dev/tenant"]}`, ""},
			acme + file:                       {200, "{}", ""},
		}, "{}", acme, ""},
		{"neither", acme, nil, "", "", "company file endpoint: status 404"},
		{"metadata without a server", acme, map[string]answer{acme + resource: {200, `{"resource":"https://acme.dev"}`, ""}}, "", "", "status 404"},
		{"metadata that names itself", acme, map[string]answer{acme + resource: {200, `{"resource":"https://acme.dev","authorization_servers":["https://acme.dev"]}`, ""}}, "", "", "status 404"},

		{"a redirect to another place", acme, map[string]answer{acme + file: {302, "", "https://evil.dev/x"}, "https://evil.dev/x": {200, "{}", ""}}, "", "", "status 302"},
		{"a redirect to itself", acme, map[string]answer{acme + file: {301, "", acme + "/other"}, acme + "/other": {200, "{}", ""}}, "", "", "status 301"},
		{"metadata that redirects", acme, map[string]answer{acme + resource: {302, "", "https://evil.dev/x"}, "https://evil.dev/x": {200, "{}", ""}}, "", "", "status 302"},
		{"metadata of another resource", "https://evil.dev", map[string]answer{
			"https://evil.dev" + resource: {200, `{"resource":"https://git.acme.dev","authorization_servers":["https://acme.dev"]}`, ""},
			acme + file:                   {200, "{}", ""},
		}, "", "", "is not that of its own resource"},
		{"a server in plain http", acme, map[string]answer{acme + resource: {200, `{"resource":"https://acme.dev","authorization_servers":["http://clerk.acme.dev"]}`, ""}}, "", "", "not an https address"},
		{"a server that is a file", acme, map[string]answer{acme + resource: {200, `{"resource":"https://acme.dev","authorization_servers":["file:///etc/passwd"]}`, ""}}, "", "", "names an authorization server"},
		{"a server on this machine", acme, map[string]answer{acme + resource: {200, `{"resource":"https://acme.dev","authorization_servers":["http://127.0.0.1:8080"]}`, ""}}, "", "", "not an https address"},
		{"a server with a user", acme, map[string]answer{acme + resource: {200, `{"resource":"https://acme.dev","authorization_servers":["https://acme.dev@evil.dev"]}`, ""}}, "", "", "not an https address"},
		{"metadata that is a page", acme, map[string]answer{acme + resource: {200, `<html>`, ""}}, "", "", "is not that of its own resource"},
		{"a chain of metadata", "https://git.acme.dev", map[string]answer{
			"https://git.acme.dev" + resource: {200, `{"resource":"https://git.acme.dev","authorization_servers":["https://a.dev"]}`, ""},
			"https://a.dev" + resource:        {200, `{"resource":"https://a.dev","authorization_servers":["https://b.dev"]}`, ""},
			"https://b.dev" + file:            {200, "{}", ""},
		}, "", "", "status 404"},
		{"a file of 64 KiB", acme, map[string]answer{acme + file: {200, strings.Repeat(" ", 64<<10), ""}}, strings.Repeat(" ", 64<<10), acme, ""},
		{"a larger one", acme, map[string]answer{acme + file: {200, strings.Repeat(" ", 64<<10+1), ""}}, "", "", "larger than 64 KiB"},
		{"one without an end", acme, map[string]answer{acme + file: {200, strings.Repeat(" ", 2<<20), ""}}, "", "", "larger than 1 MiB"},
		{"a server that is broken", acme, map[string]answer{acme + file: {500, "", ""}, acme + resource: {200, `{"resource":"https://acme.dev","authorization_servers":["https://b.dev"]}`, ""}}, "", "", "status 500"},
	} {
		var asked []string
		c := &Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			asked = append(asked, req.URL.String())
			if req.Header.Get("Authorization") != "" || req.Header.Get("Cookie") != "" {
				t.Errorf("%s: a credential was sent", row.reason)
			}
			a, ok := row.answers[req.URL.String()]
			if !ok {
				a.status = http.StatusNotFound
			}
			header := http.Header{}
			if a.to != "" {
				header.Set("Location", a.to)
			}
			return &http.Response{StatusCode: a.status, Header: header, Body: io.NopCloser(strings.NewReader(a.body))}, nil
		})}
		text, from, err := c.CompanyFile(context.Background(), row.origin)
		if row.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), row.wrong) {
				t.Errorf("%s: %v, want %q", row.reason, err, row.wrong)
			}
		} else if err != nil || string(text) != row.text || from != row.from {
			t.Errorf("%s: %.40q from %s, %v", row.reason, text, from, err)
		}
		if len(asked) > 3 {
			t.Errorf("%s: it asked %q", row.reason, asked)
		}
	}
}
