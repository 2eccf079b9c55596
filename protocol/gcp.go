package protocol

import (
	"errors"
	"fmt"
	"io"
)

// GCP is the protocol of Google's executable-sourced credentials (google.aip.dev/auth/4117), for Workload Identity
// Federation with Clerk as the OpenID provider. It names no host, so a profile must be named.
type GCP struct {
	// TokenType and Interactive are the variables GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE and _INTERACTIVE.
	TokenType, Interactive string
}

const (
	gcpIDToken = "urn:ietf:params:oauth:token-type:id_token"
	gcpJWT     = "urn:ietf:params:oauth:token-type:jwt"
)

// ReadRequest reads nothing from r. The interactive form expects the token in a file, and we never write one.
func (g GCP) ReadRequest(_ Verb, _ io.Reader) (Request, error) {
	req := Request{Verb: Get, NeverAsk: true}
	switch {
	case g.Interactive != "" && g.Interactive != "0":
		return req, errors.New("the interactive form would store the token in a file: sign in first and use the other form")
	case g.TokenType != "" && g.TokenType != gcpIDToken && g.TokenType != gcpJWT:
		return req, fmt.Errorf("the subject_token_type %q is not supported: use %s", g.TokenType, gcpIDToken)
	}
	return req, nil
}

// gcpReply is the one object of an answer. Google's clients read both streams as one, and the object only where the
// status is 0.
type gcpReply struct {
	Version   int    `json:"version"`
	Success   bool   `json:"success"`
	TokenType string `json:"token_type,omitempty"`
	IDToken   string `json:"id_token,omitempty"`
	Expires   int64  `json:"expiration_time,omitempty"` // Unix seconds
	Code      string `json:"code,omitempty"`
	Message   string `json:"message,omitempty"`
}

// WriteReply writes one JSON object and nothing to stderr. A failure is an object too, with status 0.
func (g GCP) WriteReply(stdout, _ io.Writer, req Request, reply Reply) (int, error) {
	var err error
	if reply.Result != Found {
		err = failure(req, reply)
	} else {
		_, err = authorization(reply.Credential)
	}
	if err != nil {
		message := Escape(err.Error())
		if reply.Hint != "" {
			message += "; " + Escape(reply.Hint)
		}
		return writeJSON(stdout, gcpReply{Version: 1, Code: "401", Message: message})
	}
	out := gcpReply{Version: 1, Success: true, TokenType: gcpIDToken, IDToken: reply.Credential.Token}
	if g.TokenType != "" {
		out.TokenType = g.TokenType
	}
	if expires := reply.Credential.Expires; !expires.IsZero() {
		out.Expires = expires.Unix()
	}
	return writeJSON(stdout, out)
}
