package protocol

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Cargo is the protocol of cargo's credential providers (The Cargo Book, "Credential Provider Protocol", since cargo
// 1.74): a line of JSON for each question and each answer, several in one process. A Cargo holds one conversation.
type Cargo struct {
	lines *bufio.Reader
	lost  bool // there is no next question, or its beginning cannot be found
}

const (
	// cargoMaxLine bounds one question. It holds the headers of a 401, which cargo bounds at 300 KiB or so.
	cargoMaxLine = 1 << 20
	// CargoPlugin is the only argument that cargo gives. What the user has configured comes in the question.
	CargoPlugin Verb = "--cargo-plugin"
)

// Hello writes the supported versions of the protocol. Cargo waits for it.
func (*Cargo) Hello(stdout io.Writer) error {
	_, err := write(stdout, 0, []byte(`{"v":[1]}`+"\n"))
	return err
}

// ReadRequest reads one question. Of its args only "--profile NAME" or "--profile=NAME" is allowed.
func (c *Cargo) ReadRequest(verb Verb, r io.Reader) (Request, error) {
	if c.lost {
		return Request{}, io.EOF
	}
	if verb != CargoPlugin {
		c.lost = true
		return Request{Verb: verb}, fmt.Errorf("want the argument %s, as cargo gives it", CargoPlugin)
	}
	if c.lines == nil {
		c.lines = bufio.NewReaderSize(r, cargoMaxLine)
	}
	line, err := c.lines.ReadSlice('\n')
	switch {
	case err == nil, err == io.EOF && len(line) > 0:
	case err == io.EOF:
		return Request{}, io.EOF
	case errors.Is(err, bufio.ErrBufferFull):
		c.lost = true
		return Request{}, fmt.Errorf("the question is longer than %d bytes", cargoMaxLine)
	default:
		c.lost = true
		return Request{}, fmt.Errorf("read the question: %w", err)
	}
	if err := checkStart(line); err != nil {
		return Request{}, err
	}
	var in struct {
		V        int
		Kind     string
		Args     []string
		Registry struct {
			IndexURL string `json:"index-url"`
			Headers  []string
		}
	}
	if json.Unmarshal(line, &in) != nil { // Its error may quote the input, which holds a token at login.
		return Request{}, errors.New("want a question of cargo's: one JSON object on one line")
	}
	if in.V != 1 {
		return Request{}, fmt.Errorf("version %d of the protocol is not supported", in.V)
	}
	// sparse+ and registry+ say how the index is read, not where it is.
	index := strings.TrimPrefix(strings.TrimPrefix(in.Registry.IndexURL, "sparse+"), "registry+")
	req, err := readTarget(index)
	if err != nil {
		return Request{}, fmt.Errorf("the registry's index-url: %w", err)
	}
	req.Verb = Verb(in.Kind) // get, login, logout, or one that cargo may invent
	for len(in.Args) > 0 {
		var name string
		if name, in.Args, err = profileOption(in.Args); err != nil {
			return Request{Verb: req.Verb}, err
		}
		req.Profile = name
	}
	return req, nil
}

// profileOption takes "--profile NAME" or "--profile=NAME" from the front of args.
func profileOption(args []string) (name string, rest []string, err error) {
	name, given := strings.CutPrefix(args[0], "--profile=")
	rest = args[1:]
	if !given && args[0] == "--profile" && len(rest) > 0 {
		name, rest, given = rest[0], rest[1:], true
	}
	if !given || name == "" {
		return "", nil, fmt.Errorf("unknown argument %q: only --profile NAME is known", Shown(args[0]))
	}
	return name, rest, nil
}

// cargoGet is the answer to get. The token is sent as the whole Authorization header, so the scheme is part of it.
type cargoGet struct {
	Kind  string `json:"kind"`
	Token string `json:"token"`
	Cache string `json:"cache"`
	// Expires is in Unix seconds, for the cache "expires" only.
	Expires     int64 `json:"expiration,omitempty"`
	Independent bool  `json:"operation_independent"`
}

// cargoError makes cargo ask the next provider (url-not-supported), or end with what it says (other).
type cargoError struct {
	Kind     string   `json:"kind"`
	Message  string   `json:"message,omitempty"`
	CausedBy []string `json:"caused-by,omitempty"`
}

// WriteReply writes one line to stdout: a Result of Rust, {"Ok":...} or {"Err":...}. The status is 0 also for failures:
// any other one makes cargo forget the answer.
func (*Cargo) WriteReply(stdout, _ io.Writer, req Request, reply Reply) (int, error) {
	refuse := func(e cargoError) (int, error) {
		return writeJSON(stdout, map[string]cargoError{"Err": e})
	}
	switch req.Verb {
	case Get, Login, Logout, "":
	default:
		return refuse(cargoError{Kind: "operation-not-supported"})
	}
	switch {
	case reply.Result == None && reply.Err == nil:
		return refuse(cargoError{Kind: "url-not-supported"})
	case reply.Result != Found || req.Verb != Get:
		e := cargoError{Kind: "other", Message: Escape(failure(req, reply).Error())}
		if reply.Hint != "" {
			e.CausedBy = []string{Escape(reply.Hint)}
		}
		return refuse(e)
	}
	header, err := authorization(reply.Credential)
	if err != nil {
		return refuse(cargoError{Kind: "other", Message: err.Error()})
	}
	out := cargoGet{Kind: "get", Token: header, Cache: "session", Independent: true}
	if expires := reply.Credential.Expires; !expires.IsZero() {
		out.Cache, out.Expires = "expires", expires.Unix()
	}
	return writeJSON(stdout, map[string]cargoGet{"Ok": out})
}
