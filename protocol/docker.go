package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Docker is the protocol of docker's credential helpers (docker/docker-credential-helpers), which podman, skopeo,
// helm, oras and others share.
type Docker struct {
	// Program is the name that version and errors give: docker-credential-clerk.
	Program string
	// Version is the version of this build.
	Version string
}

const (
	dockerMaxURL   = 64 << 10 // get and erase: the server's name
	dockerMaxStore = 1 << 20  // store: a JSON object

	// dockerNotFound must be the whole of stdout: clients compare it to tell "no credentials" from a failure.
	dockerNotFound = "credentials not found in native keychain"
	// dockerToken is the user name that makes clients use the secret as an identity token.
	dockerToken = "<token>"
)

// These two texts are part of the protocol: clients compare the whole of stdout with them.
var (
	errNoServerURL = errors.New("no credentials server URL")
	errNoUsername  = errors.New("no credentials username")
)

// dockerCredential is the JSON object of get's answer and store's question.
type dockerCredential struct {
	ServerURL string
	Username  string
	Secret    string
}

// ReadRequest reads the server's name for get and erase (64 KiB at most), or the JSON object of store (1 MiB at most),
// up to the end of r. For all other verbs nothing is read; what list's callers write has no meaning.
func (Docker) ReadRequest(verb Verb, r io.Reader) (Request, error) {
	req := Request{Verb: verb}
	switch verb {
	case Get, Erase:
		raw, err := readAll(r, dockerMaxURL)
		if err != nil {
			return req, err
		}
		// A person's echo ends the line; on Windows with CRLF.
		if cut, ok := strings.CutSuffix(raw, "\n"); ok {
			raw = strings.TrimSuffix(cut, "\r")
		}
		server, err := dockerServer(strings.Trim(raw, " "))
		if err != nil {
			return req, err
		}
		server.Verb = verb
		return server, nil
	case Store:
		raw, err := readAll(r, dockerMaxStore)
		if err != nil {
			return req, err
		}
		var c dockerCredential
		if !utf8.ValidString(raw) || json.Unmarshal([]byte(raw), &c) != nil { // Its error may quote the input.
			return req, errors.New(`want a JSON object with ServerURL, Username and Secret`)
		}
		server, err := dockerServer(strings.Trim(c.ServerURL, " "))
		if err != nil {
			return req, err
		}
		if c.Username == "" {
			return req, errNoUsername
		}
		if hasControl(c.Username) {
			return req, errors.New("there is a control character in the user name")
		}
		server.Verb, server.Username, server.Secret = verb, c.Username, c.Secret
		return server, nil
	}
	return req, nil
}

// dockerServer parses a server's name: host[:port], host/repository, or a URL. The names of registries have no scheme, and
// a client calls them over https; http takes an administrator's word (insecure-registries in daemon.json). User
// information stays in the host, which then matches nothing.
func dockerServer(server string) (Request, error) {
	if server == "" {
		return Request{}, errNoServerURL
	}
	if hasControl(server) || !utf8.ValidString(server) {
		return Request{}, errors.New("want one server URL without control characters")
	}
	if len(server) > dockerMaxURL {
		return Request{}, fmt.Errorf("the server URL is longer than %d bytes", dockerMaxURL)
	}
	req := Request{ServerURL: server, Scheme: "https", Host: server}
	// What does not begin with a scheme (RFC 3986, section 3.1) is no URL. It is no host either, and matches nothing.
	if scheme, rest, ok := strings.Cut(server, "://"); ok && scheme != "" && !strings.ContainsFunc(scheme, notInScheme) {
		req.Scheme, req.Host = scheme, rest
	}
	if i := strings.IndexAny(req.Host, "/?#"); i >= 0 {
		req.Host, req.Path = req.Host[:i], strings.TrimPrefix(req.Host[i:], "/")
	}
	return req, nil
}

func notInScheme(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("+-.", r))
}

// WriteReply writes the answer for a docker client. "Nothing found" and failures go to stdout with status 1, since
// clients read the reason there. An answer or a failure writes nothing to stderr, because some clients read both
// streams as one; the message of a store, an erase, a list or of "nothing found" goes there.
func (d Docker) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	switch req.Verb {
	case Get, Store, Erase, List:
	case Version:
		return write(stdout, 0, fmt.Appendf(nil, "%s (clerk-credential-helper) %s\n", d.Program, d.Version))
	default:
		return write(stdout, 1, fmt.Appendf(nil, "%s: unknown action: %q\n", d.Program, Shown(string(req.Verb))))
	}
	if reply.Result == Failed || reply.Result == Refused {
		return write(stdout, 1, []byte(dockerFailure(reply)+"\n"))
	}
	switch req.Verb {
	case Get:
		if reply.Result != Found {
			WriteMessage(stderr, reply.Err, reply.Hint)
			return write(stdout, 1, []byte(dockerNotFound+"\n"))
		}
		c := dockerCredential{ServerURL: req.ServerURL, Username: reply.Credential.Username, Secret: reply.Credential.Token}
		if reply.Credential.IdentityToken {
			c.Username = dockerToken
		}
		if c.Username == "" || c.Secret == "" {
			return 1, errors.New("there is no user name or no token to write")
		}
		if !utf8.ValidString(c.Secret) {
			return 1, errors.New("the token cannot be written: it is not UTF-8, and JSON would change it")
		}
		return writeJSON(stdout, c, c.ServerURL, c.Username)
	case List:
		WriteMessage(stderr, reply.Err, reply.Hint) // something is missing from the list
		entries := reply.Entries
		if entries == nil {
			entries = map[string]string{}
		}
		var names []string
		for server, user := range entries {
			names = append(names, server, user)
		}
		return writeJSON(stdout, entries, names...)
	}
	WriteMessage(stderr, reply.Err, reply.Hint)
	return 0, nil
}

// VerbatimError is what another docker helper wrote to its standard output when it failed. It is passed on unchanged:
// clients compare some of these texts.
type VerbatimError struct{ Text string }

func (v *VerbatimError) Error() string { return v.Text }

// dockerFailure is one line: what happened and what helps.
func dockerFailure(reply Reply) string {
	for _, exact := range []error{errNoServerURL, errNoUsername} {
		if errors.Is(reply.Err, exact) {
			return exact.Error()
		}
	}
	var verbatim *VerbatimError
	if errors.As(reply.Err, &verbatim) {
		return verbatim.Text
	}
	// With the prefix an error never equals dockerNotFound.
	text := "clerk-credential-helper: "
	if reply.Err != nil {
		text += Escape(reply.Err.Error())
	} else {
		text += "failed"
	}
	if reply.Hint != "" {
		text += "; hint: " + Escape(reply.Hint)
	}
	return text
}

// Request is the other half of ReadRequest: what docker writes to a helper's standard input.
func (Docker) Request(req Request) (stdin string, err error) {
	if req.Verb != Store {
		return req.ServerURL, nil
	}
	text, err := json.Marshal(map[string]string{"ServerURL": req.ServerURL, "Username": req.Username, "Secret": req.Secret})
	return string(text), err
}

// ReadReply is the other half of WriteReply, for what another helper has written to its standard output. Its errors quote
// nothing of it, which may be the secret.
func (Docker) ReadReply(verb Verb, stdout []byte) (Reply, error) {
	switch verb {
	case Get:
		var c struct{ Username, Secret string }
		if json.Unmarshal(stdout, &c) != nil {
			return Reply{}, errors.New("its answer is not the JSON of a credential")
		}
		return Reply{Result: Found, Credential: Credential{Username: c.Username, Token: c.Secret}}, nil
	case List:
		var entries map[string]string
		if json.Unmarshal(stdout, &entries) != nil {
			return Reply{}, errors.New("its answer is not the JSON of a list")
		}
		return Reply{Result: Found, Entries: entries}, nil
	}
	return Reply{Result: Done}, nil
}

// writeJSON writes v on one line. The names are the parts of v that clients print or put into headers; a secret may
// hold newlines (a key file of a cloud's registry), which JSON escapes.
func writeJSON(stdout io.Writer, v any, names ...string) (int, error) {
	for _, name := range names {
		if hasControl(name) || !utf8.ValidString(name) {
			return 1, errors.New("a server or user name cannot be written: it holds a control character or is not UTF-8")
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return 1, fmt.Errorf("encode the reply: %w", err)
	}
	return write(stdout, 0, out.Bytes())
}

// readAll reads r to its end, limit bytes at most. A byte order mark at its beginning is an error.
func readAll(r io.Reader, limit int64) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return "", fmt.Errorf("read the request: %w", err)
	}
	if int64(len(raw)) > limit {
		return "", fmt.Errorf("the request is larger than %d bytes", limit)
	}
	if err := checkStart(raw); err != nil {
		return "", err
	}
	return string(raw), nil
}
