package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

// Bazel is the credential helper protocol of Bazel and of other build tools (EngFlow/credential-helper-spec, spec.md).
type Bazel struct{}

const bazelMaxRequest = 1 << 20 // a JSON object

// ReadRequest reads {"uri":"..."}; other properties are ignored. gRPC's schemes stand for HTTP's.
func (Bazel) ReadRequest(verb Verb, r io.Reader) (Request, error) {
	failed := Request{Verb: verb}
	if verb != Get {
		return failed, fmt.Errorf("unknown command %q: only get is known", Shown(string(verb)))
	}
	raw, err := readAll(r, bazelMaxRequest)
	if err != nil {
		return failed, err
	}
	var in struct{ URI string }
	if !utf8.ValidString(raw) || json.Unmarshal([]byte(raw), &in) != nil {
		return failed, errors.New(`want a JSON object with "uri"`)
	}
	req, err := readTarget(in.URI)
	if err != nil {
		return failed, fmt.Errorf(`"uri": %w`, err)
	}
	switch req.Scheme {
	case "":
		return failed, fmt.Errorf(`"uri" has no scheme, and a token needs https: %q`, Shown(in.URI))
	case "grpcs":
		req.Scheme = "https"
	case "grpc":
		req.Scheme = "http"
	}
	return req, nil
}

// WriteReply writes the headers, each a list of values, and when they expire, without fractions of a second, which
// Bazel's parser does not take. Everything else is an error on stderr, which Bazel quotes, with status 1: also a URI of
// no profile (spec.md, "Output").
func (Bazel) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	if reply.Result != Found {
		WriteMessage(stderr, failure(req, reply), reply.Hint)
		return 1, nil
	}
	header, err := authorization(reply.Credential)
	if err != nil {
		return 1, err
	}
	out := struct {
		Headers map[string][]string `json:"headers"`
		Expires string              `json:"expires,omitempty"`
	}{Headers: map[string][]string{"Authorization": {header}}}
	if expires := reply.Credential.Expires; !expires.IsZero() {
		out.Expires = expires.UTC().Format(time.RFC3339)
	}
	return writeJSON(stdout, out)
}
