package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Terraform is the protocol of the credentials helpers of Terraform and OpenTofu (developer.hashicorp.com,
// "Credentials Helpers"; terraform-svchost, auth/helper_program.go).
type Terraform struct {
	// Host is the last argument: host[:port] in ASCII.
	Host string
}

const (
	// Forget is what "terraform logout" says.
	Forget Verb = "forget"

	terraformMaxStore = 1 << 20  // a JSON object
	terraformMaxDrain = 64 << 20 // of one that is too large
)

// ReadRequest reads nothing for get and forget. For store it always reads the JSON object to its end, so that Terraform
// is not interrupted while it writes; an unknown property is an error, as the protocol requires.
func (t Terraform) ReadRequest(verb Verb, r io.Reader) (Request, error) {
	failed := Request{Verb: verb}
	var raw string
	if verb == Store {
		var err error
		if raw, err = readAll(r, terraformMaxStore); err != nil {
			io.Copy(io.Discard, io.LimitReader(r, terraformMaxDrain))
			return failed, err
		}
	}
	switch verb {
	case Get, Store, Forget:
	default:
		return failed, fmt.Errorf("unknown verb %q: get, store or forget", Shown(string(verb)))
	}
	req, err := readTarget(t.Host)
	if err != nil {
		return failed, fmt.Errorf("the host: %w", err)
	}
	if req.Host != t.Host {
		return failed, fmt.Errorf("want a host, not a URL: %q", Shown(t.Host))
	}
	req.Verb, req.Scheme = verb, "https" // the only one of service discovery
	if verb == Forget {
		req.Verb = Logout
	}
	if verb != Store {
		return req, nil
	}
	var in map[string]any
	var token string
	if utf8.ValidString(raw) && json.Unmarshal([]byte(raw), &in) == nil {
		token, _ = in["token"].(string)
	}
	if token == "" {
		return failed, errors.New(`want a JSON object with "token"`)
	}
	if len(in) > 1 {
		return failed, errors.New(`want "token" and no other property`)
	}
	req.Secret = token
	return req, nil
}

// WriteReply writes {"token":"..."}, or {} for none. Success says nothing on stderr. A failure writes what helps to
// stderr, since Terraform quotes it, and has status 1. Failures are also a get for a host of ours that needs a sign-in,
// a store for a host of no profile, whose token would be lost silently, and a forget for a host of ours, which would
// not end the session.
func (Terraform) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	foreign := reply.Result == None && reply.Err == nil
	switch {
	case req.Verb == Get && reply.Result == Found:
		if _, err := authorization(reply.Credential); err != nil {
			return 1, err
		}
		return writeJSON(stdout, map[string]string{"token": reply.Credential.Token})
	case req.Verb == Get && foreign:
		return write(stdout, 0, []byte("{}\n"))
	case req.Verb == Store && foreign:
		WriteMessage(stderr, fmt.Errorf("%w, and tokens of other hosts are not kept here", failure(req, reply)),
			"put the token into a credentials block of the CLI configuration")
		return 1, nil
	case foreign, reply.Result == Done:
		return 0, nil
	}
	WriteMessage(stderr, failure(req, reply), reply.Hint)
	return 1, nil
}
