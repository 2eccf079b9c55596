// Command clerk-credential-helper hands Clerk-issued tokens to developer tools.
//
// Tools call it by names of their own (git-credential-clerk, docker-credential-clerk; the table in dispatch.go has all of
// them), people and scripts by its own name. This package is the only one that touches the arguments, the standard
// streams and the exit status; decisions are made in internal/broker. A token is printed in the answer to a host of its
// profile, and by token for the person who asks.
package main

import (
	"context"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/demo"
	"clerk-credential-helper/platform"
)

// What a release's build gives the linker with -X; otherwise empty. See packaging/README.md.
var (
	version  string // such as 1.2.3
	commit   string // in full
	date     string // of the commit (RFC 3339)
	releases string // the place of releases: see doctor.Build.Check
)

// system is the process as the rest of the program sees it.
type system struct {
	args    []string // args[0] is the name we were called by
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	getenv  func(string) string
	caller  string        // the tool that we answer, for people
	options signInOptions // how a person wants to be asked

	inviting sync.WaitGroup                 // invitations that may hold the terminal
	invited  bool                           // the person was asked to sign in
	screen   atomic.Pointer[console.Screen] // of the invitation under way
	told     sync.Map                       // what tell has said
	hidden   bool                           // the tool that we answer hides our messages, or does not wait for a user
	tokens   environmentTokens
	signals  signals
	policy   *config.Policy // of the configuration that was read last

	documents int // of JSON that were printed
}

// Exit statuses of our own commands; a wire has its own.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2 // the command line or the configuration is wrong
	exitSignIn      = 4 // a sign-in is needed, which is not allowed here
	exitInterrupted = 130
)

func main() {
	os.Exit(run(&system{args: os.Args, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}))
}

func run(sys *system) int {
	sys.getenv = config.Trimmed(sys.getenv)
	if sys.name() == demo.Browser && len(sys.args) == 2 {
		if demo.Browse(context.Background(), sys.args[1]) != nil {
			return exitFailed
		}
		return exitOK
	}
	if sys.name() == renewName {
		return renew(sys)
	}
	if call, ok := toolCall(sys); ok {
		if call.byHand(sys) {
			return exitOK
		}
		return serve(sys, call)
	}
	return people(sys)
}

// console is what a command for people says and asks through.
func (sys *system) console() *console.Console {
	return &console.Console{In: sys.stdin, Out: sys.stdout, Err: sys.stderr, Getenv: sys.getenv, Documents: &sys.documents}
}

// name is the one we were called by, without folder and ".exe".
func (sys *system) name() string { return platform.ProgramName(sys.args[0]) }
