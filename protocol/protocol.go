// Package protocol speaks the wires of the tools that ask for credentials.
//
// A tool's bytes come in through [Wire.ReadRequest] and leave as a [Request], in the words that all wires share. What
// was decided comes back as a [Reply] and goes out through [Wire.WriteReply], which also knows how "none" and "failed"
// look on that wire and which exit status the tool expects. One file per wire: git.go, docker.go.
//
// The package is pure. It never opens a file, looks at the environment, starts a program, or decides who may have a
// token; it only reads and writes, within limits, and refuses what the wires' own rules refuse.
package protocol

import (
	"io"
	"time"
)

// Verb is what a tool asks for. Values that are none of these constants stand for verbs that a wire does not know.
type Verb string

// The verbs of the git and docker wires.
const (
	Get        Verb = "get"
	Store      Verb = "store"
	Erase      Verb = "erase"
	List       Verb = "list"
	Version    Verb = "version"
	Capability Verb = "capability"
)

// Request is one question of a tool.
type Request struct {
	Verb Verb
	// Scheme is "https", "http" or whatever else the tool sent, unchanged. Empty where the wire sent a bare host.
	Scheme string
	// Host is host[:port] exactly as sent: matching it is the configuration's business.
	Host string
	// Path is the path as sent, where the wire has one. Never used for matching.
	Path string
	// Username is the account the tool asks for; empty means any.
	Username string
	// Secret is the password or credential that a store or erase is about. Never printed.
	Secret string
	// ServerURL is docker's name of the server, as sent, to be echoed in the answer.
	ServerURL string
	// Authtype says that git can send what it is told to in an Authorization header (capability "authtype", git 2.46).
	Authtype bool
	// Challenges are the WWW-Authenticate values that git got from the server (git 2.41), in order.
	Challenges []string
}

// Auth is how git is to present a token.
type Auth int

const (
	// AuthAuto is Bearer where git can and the server asks for Bearer and not for Basic; else Basic.
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

// Outcome is what became of a request.
type Outcome int

const (
	// None: not ours, or nothing to be had without asking a person. The tool may ask elsewhere.
	None Outcome = iota
	// Found: Reply.Credential, or for list Reply.Entries, is the answer.
	Found
	// Done: a store or erase was taken care of.
	Done
	// Failed: ours, but it could not be answered. Reply.Err says why.
	Failed
	// Refused: ours, and a sign-in was refused or failed. Asking elsewhere for this host is of no use.
	Refused
)

// Reply is the answer to a request.
type Reply struct {
	Outcome    Outcome
	Credential Credential
	// Entries answers list: server to user name.
	Entries map[string]string
	// Err is what happened, for Failed and Refused. It holds no secret. A None may carry one too, for the person.
	Err error
	// Hint is one line of advice for a person, with the command that helps. Empty for none.
	Hint string
}

// Wire is one tool's protocol.
type Wire interface {
	// ReadRequest reads the request that follows verb. It reads no more than the wire's size limit. An error means
	// that nothing may be answered; it is reported through WriteReply as Failed.
	ReadRequest(verb Verb, r io.Reader) (Request, error)
	// WriteReply writes reply for the tool to stdout and its words for people to stderr, and returns the exit
	// status. Nothing is written to stdout if any value could break the wire; that is an error too.
	WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error)
}
