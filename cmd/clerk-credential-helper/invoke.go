package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"clerk-credential-helper/protocol"

	"golang.org/x/term"
)

// call is one exchange with a tool: in which wire, and what is asked.
type call struct {
	wire protocol.Wire
	tool string // who asks, for people
	verb protocol.Verb
	in   io.Reader
	// err is what is wrong with the call itself; it is answered on the wire.
	err error
}

// toolCall tells who called, in which wire: by the name we were called by, by the first word, or by the first bytes on
// standard input. It is false for a person's command. kong never stands between a tool and its wire: its errors and
// its exit status would not be the wire's.
func toolCall(sys *system) (call, bool) {
	args := sys.args[1:]
	switch sys.name() {
	case "git-credential-clerk":
		// git appends the verb to whatever the configuration says (gitcredentials(7)).
		c := call{wire: protocol.Git{}, tool: "git", in: sys.stdin}
		if len(args) > 0 {
			c.verb = protocol.Verb(args[len(args)-1])
		}
		if len(args) > 1 {
			c.err = fmt.Errorf("unknown option %q", args[0])
		}
		return c, true
	case "docker-credential-clerk":
		c := call{wire: docker(), tool: "docker", in: sys.stdin}
		if len(args) == 1 {
			c.verb = protocol.Verb(args[0])
		} else {
			c.err = errors.New("expects exactly one of get, store, erase, list, version")
		}
		return c, true
	}
	if len(args) == 0 {
		return call{}, false
	}
	switch verb := protocol.Verb(args[0]); verb {
	case protocol.Get, protocol.Store, protocol.Erase, protocol.List, protocol.Capability:
		return ownCall(sys, verb, args[1:])
	}
	return call{}, false
}

// ownCall reads "get [--protocol git|docker] [URL]" and its like. "get --format token" is the person's command "token"
// under another name, and --help is kong's.
func ownCall(sys *system, verb protocol.Verb, args []string) (call, bool) {
	c := call{wire: docker(), tool: "a script", verb: verb, in: sys.stdin}
	flags := flag.NewFlagSet(string(verb), flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	wire := flags.String("protocol", "", "")
	format := flags.String("format", "json", "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return call{}, false
	case err != nil:
		c.err = err
	case flags.NArg() > 1, flags.NArg() == 1 && verb != protocol.Get:
		c.err = fmt.Errorf("unexpected argument %q", flags.Arg(flags.NArg()-1))
	case *format == "token" && flags.NArg() == 1:
		sys.args = []string{sys.args[0], "token", "--", flags.Arg(0)}
		return call{}, false
	case *format != "json":
		c.err = fmt.Errorf("unknown format %q: json, or token with a URL", *format)
	case flags.NArg() == 1:
		c.in = strings.NewReader(flags.Arg(0))
		return c, true
	case *wire == "":
		c.wire, c.in, c.err = sniff(verb, sys.stdin)
	case *wire == "git":
		c.wire = protocol.Git{}
	case *wire != "docker":
		c.err = fmt.Errorf("unknown protocol %q: git or docker", *wire)
	}
	return c, true
}

func sniff(verb protocol.Verb, stdin io.Reader) (protocol.Wire, io.Reader, error) {
	if f, ok := stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) && verb != protocol.List && verb != protocol.Capability {
		return docker(), stdin, fmt.Errorf("%s reads its request from standard input, and that is a terminal", verb)
	}
	r := bufio.NewReader(stdin)
	kind, err := protocol.Sniff(verb, r)
	if kind == "git" {
		return protocol.Git{}, r, err
	}
	return docker(), r, err
}

func docker() protocol.Docker {
	return protocol.Docker{Program: "docker-credential-clerk", Version: programVersion()}
}
