package main

import (
	"fmt"
	"slices"

	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/protocol"
)

// byHand answers a person who has typed what a tool calls. --help and --version, which no tool gives, are answered, and
// done is true; a wire that waits for a request on a terminal is preceded by a word on what it is.
func (c call) byHand(sys *system) (done bool) {
	args := sys.args[1:]
	named := c.name != "" && c.name == sys.name()
	if named && len(args) == 1 && (c.next == "" || c.nextProgram(sys) == "") {
		switch args[0] {
		case "--version", "-v":
			fmt.Fprintf(sys.stdout, "%s (clerk-credential-helper) %s\n", c.name, programVersion())
			return true
		case "--help", "-h":
			fmt.Fprintf(sys.stdout, "%s\nFor people: clerk-credential-helper --help\n", c.what(sys))
			return true
		}
	}
	answers := []protocol.Verb{protocol.List, protocol.Version, protocol.Capability, protocol.Login, protocol.Logout}
	waits := c.verb != "" || c.tool.verb != noVerb || c.id == "go"
	if waits && (named || c.word != "") && c.next == "" && !slices.Contains(answers, c.verb) {
		c.sayWhat(sys)
	}
	return false
}

// what is one sentence about the program that a tool calls, by the name it was called by.
func (c call) what(sys *system) string {
	if c.next != "" {
		return fmt.Sprintf("%s stands in for %s; no other is in the PATH.", c.name, c.who)
	}
	name := c.name
	if name != sys.name() {
		name = "clerk-credential-helper " + c.word
	}
	return fmt.Sprintf("%s answers %s, which sends it a request.", name, c.who)
}

// sayWhat says on a terminal what this is: no tool gives its terminal to us as the standard input.
func (c call) sayWhat(sys *system) {
	if console.IsTerminal(sys.stdin) {
		fmt.Fprintf(sys.stderr, "%s\nhint: what it would answer: clerk-credential-helper explain URL\n", c.what(sys))
	}
}
