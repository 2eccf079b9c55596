package protocol

import (
	"errors"
	"io"
	"slices"
	"strings"
)

// Keyring stands in for the keyring command, which pip and uv call (keyring's cli.py; pip's network/auth.py; uv's
// uv-auth/src/keyring.rs), in the forms
//
//	keyring get SERVICE USER                                        pip before 26.2, uv
//	keyring get SERVICE --mode creds                                uv
//	keyring --mode=creds --output=json get SERVICE [USER]           pip 26.2 and later
//	keyring set SERVICE USER, keyring del SERVICE USER
//
// Everything else is a None without an error, which the caller passes to the real keyring command.
type Keyring struct {
	Args []string
}

// keyringCall is a parsed command line.
type keyringCall struct {
	creds, json bool // --mode creds, --output json
	words       []string
}

func (k Keyring) parse() (keyringCall, bool) {
	var c keyringCall
	options := []struct {
		name, plain, other string
		to                 *bool
	}{{"--mode", "password", "creds", &c.creds}, {"--output", "plain", "json", &c.json}}
words:
	for args := k.Args; len(args) > 0; args = args[1:] {
		if !strings.HasPrefix(args[0], "-") {
			c.words = append(c.words, args[0])
			continue
		}
		for _, o := range options {
			value, ok := strings.CutPrefix(args[0], o.name+"=")
			if args[0] == o.name && len(args) > 1 {
				args = args[1:]
				value, ok = args[0], true
			}
			if ok && (value == o.plain || value == o.other) {
				*o.to = value == o.other
				continue words
			}
		}
		return c, false
	}
	return c, true
}

// ReadRequest parses the arguments. It reads nothing: the password of a set is for the real keyring command if the
// service is not ours, and dropped if it is.
func (k Keyring) ReadRequest(_ Verb, _ io.Reader) (Request, error) {
	c, ok := k.parse()
	if !ok || len(c.words) < 2 || len(c.words) > 3 {
		return Request{}, nil
	}
	i := slices.Index([]string{"get", "set", "del"}, c.words[0])
	if i < 0 || i > 0 && len(c.words) != 3 || i == 0 && len(c.words) != 3 && !c.creds {
		return Request{}, nil
	}
	req, err := readTarget(c.words[1])
	if err != nil {
		return Request{}, nil // A service may be any text.
	}
	req.Verb = []Verb{Get, Store, Logout}[i]
	if len(c.words) == 3 {
		if req.Username = c.words[2]; hasControl(req.Username) {
			return Request{Verb: req.Verb}, errors.New("there is a control character in the user name")
		}
	}
	return req, nil
}

// WriteReply writes the password, the user name and the password on a line each, or both as JSON. Nothing to be had is
// status 1: pip takes 2 for a keyring that is too old. What is set for a host of ours is dropped, with a message on
// stderr.
func (k Keyring) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	switch {
	case reply.Result == Done:
		WriteMessage(stderr, reply.Err, reply.Hint)
		return 0, nil
	case reply.Result != Found || req.Verb != Get:
		WriteMessage(stderr, reply.Err, reply.Hint)
		return 1, nil
	}
	c, _ := k.parse()
	name, token := reply.Credential.Username, reply.Credential.Token
	if _, err := authorization(reply.Credential); err != nil {
		return 1, err
	}
	if name == "" || hasControl(name) {
		return 1, errors.New("the user name cannot be written: it is empty or holds a control character")
	}
	switch {
	case c.json && c.creds:
		return writeJSON(stdout, struct {
			Username string `json:"username"`
			Password string `json:"password"`
		}{name, token}, name)
	case c.json:
		return writeJSON(stdout, map[string]string{"password": token})
	case c.creds:
		return write(stdout, 0, []byte(name+"\n"+token+"\n"))
	}
	return write(stdout, 0, []byte(token+"\n"))
}
