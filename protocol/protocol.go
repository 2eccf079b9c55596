// Package protocol speaks the wires of the tools that ask for credentials.
//
// A tool's bytes come in through [Wire.ReadRequest] and leave as a [Request], in the terms that all wires share. What
// was decided comes back as a [Reply] and goes out through [Wire.WriteReply], which also knows how "none" and "failed"
// look on that wire and which exit status the tool expects. One file per wire: git.go, docker.go, cargo.go and so on.
// What a tool says in its arguments or in the environment is a field of its wire, for the caller to fill in. Tools that
// ask for nothing have a [Recipe] each: a [Grant] and the texts of their files come in, variables and files' texts go out.
//
// The package is pure. It never opens a file, looks at the environment, starts a program, or decides who may have a
// token; it only reads and writes, within limits, and refuses what the wires' own rules refuse.
package protocol

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Verb is what a tool asks for. Other values than these constants are verbs that a wire does not know.
type Verb string

// The verbs of the wires.
const (
	Get        Verb = "get"
	Store      Verb = "store"
	Erase      Verb = "erase"
	List       Verb = "list"
	Version    Verb = "version"
	Capability Verb = "capability"
	// AllLiveTokens asks for every token that is live now, by host, without network, refresh or sign-in.
	AllLiveTokens Verb = "live"
	// Login and Logout are a tool's own commands for what only our commands do.
	Login  Verb = "login"
	Logout Verb = "logout"
)

// Request is one request of a tool.
type Request struct {
	Verb Verb
	// Scheme is "https", "http" or whatever else the tool sent, unchanged. Empty where the tool sent none: that is not
	// https, and gets nothing. A wire whose names never have one, and whose tool uses https, sets "https".
	Scheme string
	// Host is host[:port] exactly as sent: the configuration matches it.
	Host string
	// Path is the path as sent, where the wire has one. Never used for matching.
	Path string
	// Username is the account the tool asks for; empty means any.
	Username string
	// Secret is the password or credential that a store or erase is about. Never printed. HasSecret reports that git
	// has named one, though it is empty or cannot be decoded: that is no token, and does not stand for any.
	Secret    string
	HasSecret bool
	// ServerURL is docker's name of the server, as sent, to be echoed in the answer.
	ServerURL string
	// Authtype reports that git can send a given Authorization header (capability "authtype", git 2.46). State reports
	// its other capability, "state". git names the latter in an erase only if the answer had it; git-lfs always does.
	Authtype, State bool
	// Sent is the header in which git has sent the token of an erase or a store; AuthAuto if it does not tell (before
	// git 2.46).
	Sent Auth
	// Challenges are the WWW-Authenticate values that the tool got from the server (git since 2.41), in order.
	Challenges []string
	// OtherHeader reports that git has sent the Authorization header of its configuration, and not the token. No wire
	// sets it.
	OtherHeader bool
	// Unauthorized reports that the server has answered the tool's request with 401 (RFC 9110 §15.5.2).
	Unauthorized bool
	// Profile is the profile whose token is asked for, where the person named one in the tool's configuration. Beside
	// a host it narrows the choice; only on wires without hosts does it stand for one.
	Profile string
	// Tool is the identity of the tool that asks, such as [DockerTool]: the row of the caller's table, which no wire sets.
	Tool string
	// Repeats reports that the tool keeps what it gets, so that the same process asks again only if the server has
	// refused it. No wire sets it.
	Repeats bool
	// NeverAsk reports that the tool forbids asking a person for this request.
	NeverAsk bool
}

// Auth is how git is to present a token.
type Auth int

const (
	// AuthAuto is Bearer where git can send it and the server asks for it, or something else, and not for Basic; else Basic.
	AuthAuto Auth = iota
	// AuthBasic is always a user name and the token as its password.
	AuthBasic
	// AuthBearer is Bearer wherever git can send it.
	AuthBearer
)

// Credential is what a tool gets.
type Credential struct {
	Username string
	Token    string
	// Expires is the end of the token's life; zero where it is not known.
	Expires time.Time
	Auth    Auth
	// IdentityToken makes docker present the token as an identity token (user name "<token>").
	IdentityToken bool
}

// Result is what became of a request.
type Result int

const (
	// None: not ours, or nothing to be had without asking a person. The tool may ask elsewhere.
	None Result = iota
	// Found: Reply.Credential, for List Reply.Entries, for AllLiveTokens Reply.Tokens, is the answer.
	Found
	// Done: a store or erase was carried out.
	Done
	// Failed: ours, but it could not be answered. Reply.Err says why.
	Failed
	// Refused: ours, and a sign-in was refused or failed. Another helper has nothing for this host.
	Refused
)

// Reply is the answer to a request.
type Reply struct {
	Result     Result
	Credential Credential
	// Entries answers list: server to user name.
	Entries map[string]string
	// Tokens answers AllLiveTokens: host to credential.
	Tokens map[string]Credential
	// Err is what happened, for Failed and Refused. It holds no secret. A None or a Done may carry one too, for the person.
	Err error
	// Hint is one line of advice for a person, with the command that helps. Empty for none.
	Hint string
}

// Tools that differ from all others in more than their wire. See Request.Tool.
const (
	GitTool    = "git"
	DockerTool = "docker" // and all that calls docker-credential-clerk
)

// Wire is one tool's protocol.
type Wire interface {
	// ReadRequest reads the request that follows verb. It reads no more than the wire's size limit. An error means
	// that nothing may be answered; it is reported through WriteReply as Failed.
	ReadRequest(verb Verb, r io.Reader) (Request, error)
	// WriteReply writes reply for the tool to stdout and its message for people to stderr, and returns the exit status.
	// Nothing is written to stdout if any value could break the wire; that is an error too.
	WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error)
	// Ask is what the tool would send for an address. It is false for a wire that names no host.
	Ask(a Address) (Question, bool)
}

// Conversation is a wire on which a tool asks several times in one process. ReadRequest returns io.EOF when the tool has
// no more questions.
type Conversation interface {
	Wire
	// Hello writes what the tool waits for before it asks.
	Hello(stdout io.Writer) error
}

// maxTarget is far more than any URL that a tool can send.
const maxTarget = 64 << 10

// readTarget reads a URL or host[:port], as tools write the place that a token is for. User information stays in the
// host, which then matches nothing.
func readTarget(raw string) (Request, error) {
	switch {
	case raw == "":
		return Request{}, errors.New("the URL is empty")
	case len(raw) > maxTarget:
		return Request{}, fmt.Errorf("the URL is longer than %d bytes", maxTarget)
	case hasControl(raw) || !utf8.ValidString(raw):
		return Request{}, errors.New("there is a control character in the URL, or it is not UTF-8")
	}
	req := Request{Verb: Get, Host: raw}
	if scheme, rest, ok := strings.Cut(raw, "://"); ok {
		if scheme == "" || rest == "" {
			return Request{}, errors.New("the URL has no scheme or no host")
		}
		req.Scheme, req.Host = scheme, rest
	}
	if i := strings.IndexAny(req.Host, "/?#"); i >= 0 {
		req.Host, req.Path = req.Host[:i], strings.TrimPrefix(req.Host[i:], "/")
	}
	if req.Host == "" {
		return Request{}, errors.New("the URL has no host")
	}
	return req, nil
}

// authorization is the value of an Authorization header. Tools put it on lines and into headers of their own, so a token
// of anything but visible ASCII is refused.
func authorization(c Credential) (string, error) {
	if c.Token == "" {
		return "", errors.New("there is no token to write")
	}
	for i := 0; i < len(c.Token); i++ {
		if c.Token[i] <= ' ' || c.Token[i] >= 0x7f {
			return "", errors.New("the token cannot be written: it holds a byte that a header may not have")
		}
	}
	return "Bearer " + c.Token, nil
}

// failure is why a request that has no token got none, for the wires on which that is an error.
func failure(req Request, reply Reply) error {
	switch {
	case reply.Err != nil:
		return reply.Err
	case req.Host == "":
		return errors.New("the tool gave no host: name a profile with --profile NAME")
	case req.Profile != "":
		return fmt.Errorf("%q is not a host of profile %q", req.Shown(), Shown(req.Profile))
	}
	return fmt.Errorf("%q is the host of no profile", req.Shown())
}
