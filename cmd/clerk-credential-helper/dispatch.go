package main

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/protocol"
)

// call is one exchange with a tool: in which wire, and what is asked.
type call struct {
	tool
	wire    protocol.Wire
	verb    protocol.Verb
	profile string // what the person has written into the tool's configuration
	in      io.Reader
	// err is what is wrong with the call itself; it is answered on the wire.
	err error
}

// tool is a row of the table: one tool, how it calls us, how it behaves, and what people read about it.
type tool struct {
	id   string // the tool's identity
	name string // the program's name that the tool calls, or
	word string // the first word after our own name
	who  string // for people, in messages
	help string // for people, in --help; of a row with a word

	verb     verbAt // where the verb stands among the arguments that are no options
	operands int    // how many more arguments there may be
	// wire makes the wire out of the operands and of the tool's variables.
	wire func(getenv func(string) string, operands []string) protocol.Wire

	// waits is how long the tool waits for an answer, 0 for as long as it takes.
	waits time.Duration
	// unwatched: the tool hides our messages, so a browser page would open unexplained.
	unwatched bool
	// onePage: the tool asks for each host that it knows, needed or not.
	onePage bool
	// repeats: the tool keeps the token, and asks again only after a 401.
	repeats bool
	// hostless: the wire may have no host, so that --profile stands for one.
	hostless bool
	// check refuses a request without a host, before its token is read; may be nil.
	check func(*system, *config.Profile) error
	// next is the program to run for hosts of no profile; empty if the tool has its own fallback.
	next string
}

type verbAt int

const (
	noVerb verbAt = iota
	only          // the verb is the one argument that the tool can give
	last
	secondToLast
	freeForm // the wire reads the whole command line
)

// tools is the table of wires. A new one is a file in protocol, its test, and a row here.
func tools() []tool {
	return []tool{
		{id: protocol.GitTool, name: "git-credential-clerk", who: "git", verb: last, wire: fixed(protocol.Git{})},
		{id: protocol.DockerTool, name: "docker-credential-clerk", who: "docker", verb: only, onePage: true, wire: fixed(docker())},
		{id: "cargo", name: "cargo-credential-clerk", word: "cargo", who: "cargo", verb: only, wire: func(func(string) string, []string) protocol.Wire { return &protocol.Cargo{} },
			help: "Answer cargo, as cargo-credential-clerk does."},
		{id: "terraform", name: "terraform-credentials-clerk", word: "terraform", who: "terraform", verb: secondToLast, operands: 1,
			wire: func(_ func(string) string, o []string) protocol.Wire { return protocol.Terraform{Host: operand(o)} },
			help: "Answer Terraform, as terraform-credentials-clerk does."},
		{id: "bazel", name: "bazel-credential-clerk", word: "bazel", who: "bazel", verb: only, waits: 10 * time.Second, wire: fixed(protocol.Bazel{}),
			help: "Answer Bazel, as bazel-credential-clerk does."},
		{id: "keyring", name: "keyring", who: "the keyring command of pip and uv", verb: freeForm, unwatched: true, next: "keyring",
			wire: func(_ func(string) string, o []string) protocol.Wire { return protocol.Keyring{Args: o} }},
		{id: "go", word: "goauth", who: "go", operands: 1,
			wire: func(_ func(string) string, o []string) protocol.Wire { return protocol.GOAUTH{URL: operand(o)} },
			help: "Answer the go command: GOAUTH='clerk-credential-helper goauth'."},
		{id: "kubectl", word: "kube", who: "kubectl", hostless: true, repeats: true,
			wire: func(getenv func(string) string, _ []string) protocol.Wire {
				return protocol.Kube{Info: getenv(protocol.KubeInfo)}
			},
			help: "Answer kubectl as a credential plugin."},
		{id: "headers", word: "headers", who: "headers", operands: 1, hostless: true, repeats: true, waits: 10 * time.Second,
			wire: func(getenv func(string) string, o []string) protocol.Wire {
				// The variable is that of Claude Code's headersHelper.
				return protocol.Headers{Target: protocol.Target(cmp.Or(operand(o), getenv("CLAUDE_CODE_MCP_SERVER_URL")))}
			},
			help: "Print request headers as a JSON object."},
		{id: "curl", word: "curl-config", who: "curl", operands: 1, hostless: true,
			wire: func(_ func(string) string, o []string) protocol.Wire {
				return protocol.CurlConfig{Target: protocol.Target(operand(o))}
			},
			help: "Print a configuration for curl -K."},
		{id: "netrc", word: "netrc", who: "netrc", operands: 1,
			wire: func(_ func(string) string, o []string) protocol.Wire {
				return protocol.Netrc{Target: protocol.Target(operand(o))}
			},
			help: "Print a line of a .netrc file, not to a terminal."},
		{id: "pnpm", word: "pnpm", who: "pnpm", waits: time.Minute, hostless: true, check: checkForPNPM, wire: fixed(protocol.PNPM{}),
			help: "Answer pnpm as a tokenHelper."},
		{id: "bearer", word: "bearer", who: "bearer", operands: 1, hostless: true, repeats: true,
			wire: func(_ func(string) string, o []string) protocol.Wire {
				return protocol.Bearer{Target: protocol.Target(operand(o))}
			},
			help: "Print a bare token for rclone and others that ask again after a 401."},
		{id: "gcp", word: "gcp", who: "Google's client", waits: 30 * time.Second, hostless: true,
			wire: func(getenv func(string) string, _ []string) protocol.Wire {
				return protocol.GCP{TokenType: getenv("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE"), Interactive: getenv("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE")}
			},
			help: "Answer Google's clients as an executable credential source."},
	}
}

// fixed is a wire that depends on nothing.
func fixed(w protocol.Wire) func(func(string) string, []string) protocol.Wire {
	return func(func(string) string, []string) protocol.Wire { return w }
}

func operand(operands []string) string {
	if len(operands) == 0 {
		return ""
	}
	return operands[0]
}

// toolCall finds out which tool called, in which wire: by the name we were called by, by the first word, or by the first bytes on
// standard input. It is false for a person's command. kong never stands between a tool and its wire: its errors and
// its exit status would not be the wire's.
func toolCall(sys *system) (call, bool) {
	name, args := sys.name(), sys.args[1:]
	for _, t := range tools() {
		if t.name == name {
			return t.call(sys, args), true
		}
		if len(args) > 0 && t.word != "" && t.word == args[0] {
			help := t.verb != freeForm && (slices.Contains(args, "--help") || slices.Contains(args, "-h"))
			return t.call(sys, args[1:]), !help
		}
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

// call parses a tool's arguments. Where the person can write some of them, --profile NAME may be among them.
func (t tool) call(sys *system, args []string) call {
	c := call{tool: t, in: sys.stdin}
	if t.verb == freeForm {
		c.wire = t.wire(sys.getenv, args)
		return c
	}
	var words []string
	if t.verb == only {
		words, args = slices.Clone(args), nil
	}
	for len(args) > 0 {
		word, rest := args[0], args[1:]
		value, given := strings.CutPrefix(word, "--profile=")
		switch {
		case given:
			c.profile = value
		case word == "--profile" && len(rest) > 0:
			c.profile, rest, given = rest[0], rest[1:], true
		default:
			words = append(words, word)
		}
		if given && c.profile == "" {
			c.err = errors.New("--profile wants a name")
		}
		args = rest
	}
	at := map[verbAt]int{noVerb: -1, only: 0, last: len(words) - 1, secondToLast: len(words) - 2}[t.verb]
	if at >= 0 && at < len(words) {
		c.verb = protocol.Verb(words[at])
		words = slices.Delete(words, at, at+1)
	}
	if len(words) > t.operands {
		c.err = fmt.Errorf("unexpected argument %q", protocol.Shown(words[0]))
		words = nil
	}
	c.wire = t.wire(sys.getenv, words)
	if _, ok := c.wire.(protocol.Netrc); ok && console.IsTerminal(sys.stdout) {
		c.err = errors.New("a token for a netrc file is not shown on a terminal: send it to a pipe or a file")
	}
	return c
}

// ownCall reads "get [--protocol git|docker] [URL]" and its like. "get --format token" is the person's command "token"
// under another name, and --help is kong's.
func ownCall(sys *system, verb protocol.Verb, args []string) (call, bool) {
	c := call{tool: tool{id: protocol.DockerTool, who: "a script"}, wire: docker(), verb: verb, in: sys.stdin}
	flags := flag.NewFlagSet(string(verb), flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	wire := flags.String("protocol", "", "")
	format := flags.String("format", "json", "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return call{}, false
	case err != nil:
		c.err = errors.New(protocol.Shown(err.Error()))
	case flags.NArg() > 1, flags.NArg() == 1 && verb != protocol.Get:
		c.err = fmt.Errorf("unexpected argument %q", protocol.Shown(flags.Arg(flags.NArg()-1)))
	case *format == "token" && flags.NArg() == 1:
		sys.args = []string{sys.args[0], "token", "--", flags.Arg(0)}
		return call{}, false
	case *format != "json":
		c.err = fmt.Errorf("unknown format %q: json, or token with a URL", protocol.Shown(*format))
	case flags.NArg() == 1:
		c.in = strings.NewReader(flags.Arg(0))
		return c, true
	case *wire == "":
		if c.wire, c.in, c.err = sniff(verb, sys.stdin); c.wire == protocol.Wire(protocol.Git{}) {
			c.id = protocol.GitTool
		}
	case *wire == "git":
		c.id, c.wire = protocol.GitTool, protocol.Git{}
	case *wire != "docker":
		c.err = fmt.Errorf("unknown protocol %q: git or docker", protocol.Shown(*wire))
	}
	return c, true
}

func sniff(verb protocol.Verb, stdin io.Reader) (protocol.Wire, io.Reader, error) {
	if console.IsTerminal(stdin) && verb != protocol.List && verb != protocol.Capability {
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
