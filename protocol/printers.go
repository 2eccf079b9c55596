package protocol

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Target is where a printer's token goes: a URL or host[:port] from the command line, or empty where the person names a
// profile instead.
type Target string

// ReadRequest makes a Get of the target. It reads nothing from r.
func (t Target) ReadRequest(_ Verb, _ io.Reader) (Request, error) {
	if t == "" {
		return Request{Verb: Get}, nil
	}
	req, err := readTarget(string(t))
	req.Verb = Get
	return req, err
}

// printToken writes what text makes of a found credential. Everything else is a message on stderr and status 1.
func printToken(stdout, stderr io.Writer, req Request, reply Reply, text func(header string) (string, error)) (int, error) {
	if reply.Result != Found {
		WriteMessage(stderr, failure(req, reply), reply.Hint)
		return 1, nil
	}
	header, err := authorization(reply.Credential)
	if err != nil {
		return 1, err
	}
	out, err := text(header)
	if err != nil {
		return 1, err
	}
	return write(stdout, 0, []byte(out))
}

// Headers prints a JSON object of header names and values, as the headersHelper of MCP clients wants it.
type Headers struct{ Target }

// WriteReply writes {"Authorization":"Bearer TOKEN"}.
func (Headers) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	return printToken(stdout, stderr, req, reply, func(header string) (string, error) {
		return fmt.Sprintf("{\"Authorization\":%s}\n", quote(header)), nil
	})
}

// CurlConfig prints a configuration of curl's, for curl -K <(...), so that the token is not in an argument.
type CurlConfig struct{ Target }

// WriteReply writes header = "Authorization: Bearer TOKEN" (curl(1), "--config"). curl drops that header when a redirect
// leads to another host (since 7.58).
func (CurlConfig) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	return printToken(stdout, stderr, req, reply, func(header string) (string, error) {
		return fmt.Sprintf("header = %s\n", quote("Authorization: "+header)), nil
	})
}

// quote writes visible ASCII and spaces as JSON and curl read it back: both escape these two bytes in this way.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// PNPM prints what pnpm expects of a tokenHelper. It names no registry, so a profile must be named.
type PNPM struct{ Target }

// WriteReply writes Bearer TOKEN: pnpm 10 sends the line as it is, and later ones add the scheme only where none is.
func (PNPM) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	return printToken(stdout, stderr, req, reply, func(header string) (string, error) {
		return header + "\n", nil
	})
}

// Bearer prints a bare token, for tools that run a command for it and run that again after a 401: bearer_token_command
// of rclone's WebDAV, apiKeyHelper of Claude Code.
type Bearer struct{ Target }

// WriteReply writes TOKEN.
func (Bearer) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	return printToken(stdout, stderr, req, reply, func(string) (string, error) {
		return reply.Credential.Token + "\n", nil
	})
}

// Netrc prints one line of a .netrc file, for tools that read nothing else. The caller keeps it from a terminal.
type Netrc struct{ Target }

// ReadRequest makes a Get of the target. The file has no ports, and its readers send the password to every port, over
// plain HTTP too; so a target with a port of its own, or http to loopback, is an error.
func (n Netrc) ReadRequest(verb Verb, r io.Reader) (Request, error) {
	req, err := n.Target.ReadRequest(verb, r)
	switch {
	case err != nil:
		return req, err
	case req.Host == "":
		return req, errors.New("a line of a netrc file is for one host: name its URL")
	case req.Scheme != "" && !strings.EqualFold(req.Scheme, "https"):
		return Request{Verb: Get}, fmt.Errorf("%q needs https: a netrc file has no schemes", req.Scheme+"://"+req.Shown())
	case strings.ContainsAny(netrcHost(req), ":[]"):
		return Request{Verb: Get}, fmt.Errorf("a netrc file has no ports: other services of %q would get its token", req.Shown())
	}
	return req, nil
}

func netrcHost(req Request) string {
	return strings.TrimSuffix(strings.TrimSuffix(req.Host, ":443"), ".")
}

// WriteReply writes machine HOST login USER password TOKEN.
func (Netrc) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	return printToken(stdout, stderr, req, reply, func(string) (string, error) {
		host, name, token := netrcHost(req), reply.Credential.Username, reply.Credential.Token
		for _, word := range []string{host, name, token} {
			if word == "" || hasControl(word) || strings.ContainsAny(word, "\"'\\#") || strings.ContainsFunc(word, unicode.IsSpace) {
				return "", errors.New("a value is empty or holds a byte that readers of netrc files interpret differently")
			}
		}
		return fmt.Sprintf("machine %s login %s password %s\n", host, name, token), nil
	})
}
