package protocol_test

import (
	"fmt"
	"os"
	"strings"
	"time"

	"clerk-credential-helper/protocol"
)

// git asks in lines of key=value. Expires becomes password_expiry_utc.
func ExampleGit() {
	wire := protocol.Git{}
	req, err := wire.ReadRequest(protocol.Get, strings.NewReader("protocol=https\nhost=git.acme.dev\n\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %s %s\n", req.Verb, req.Scheme, req.Host)

	status, err := wire.WriteReply(os.Stdout, os.Stderr, req, protocol.Reply{
		Result: protocol.Found,
		Credential: protocol.Credential{
			Username: "clerk",
			Token:    "example-token",
			Expires:  time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		},
	})
	fmt.Println(status, err)
	// Output:
	// get https git.acme.dev
	// username=clerk
	// password=example-token
	// password_expiry_utc=1798761600
	// 0 <nil>
}

// Nothing for the host is silence and status 0, so that git asks its next helper.
func ExampleGit_none() {
	wire := protocol.Git{}
	req, _ := wire.ReadRequest(protocol.Get, strings.NewReader("protocol=https\nhost=github.com\n\n"))
	status, err := wire.WriteReply(os.Stdout, os.Stderr, req, protocol.Reply{Result: protocol.None})
	fmt.Println(status, err)
	// Output:
	// 0 <nil>
}

// docker names a server and gets JSON.
func ExampleDocker() {
	wire := protocol.Docker{Program: "docker-credential-clerk", Version: "1.0.0"}
	req, err := wire.ReadRequest(protocol.Get, strings.NewReader("https://registry.acme.dev:5000"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %s %s\n", req.Verb, req.Scheme, req.Host)

	status, err := wire.WriteReply(os.Stdout, os.Stderr, req, protocol.Reply{
		Result:     protocol.Found,
		Credential: protocol.Credential{Username: "clerk", Token: "example-token"},
	})
	fmt.Println(status, err)
	// Output:
	// get https registry.acme.dev:5000
	// {"ServerURL":"https://registry.acme.dev:5000","Username":"clerk","Secret":"example-token"}
	// 0 <nil>
}

// On docker's wire a fixed text on standard output means "none"; clients compare all of it.
func ExampleDocker_none() {
	wire := protocol.Docker{}
	req, _ := wire.ReadRequest(protocol.Get, strings.NewReader("registry.example.com"))
	status, err := wire.WriteReply(os.Stdout, os.Stderr, req, protocol.Reply{Result: protocol.None})
	fmt.Println(status, err)
	// Output:
	// credentials not found in native keychain
	// 1 <nil>
}

// bazel calls once for each host that is configured, and gets headers.
func ExampleBazel() {
	wire := protocol.Bazel{}
	req, err := wire.ReadRequest(protocol.Get, strings.NewReader(`{"uri": "https://cache.acme.dev/ac/1"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(req.Host)
	wire.WriteReply(os.Stdout, os.Stderr, req, protocol.Reply{
		Result:     protocol.Found,
		Credential: protocol.Credential{Token: "example-token"},
	})
	// Output:
	// cache.acme.dev
	// {"headers":{"Authorization":["Bearer example-token"]}}
}

// Foreign text is printed only escaped: it cannot move the cursor or hide what follows.
func ExampleEscape() {
	fmt.Println(protocol.Escape("git.acme.dev\x1b[2J\u202e"))
	// Output:
	// git.acme.dev\x1b[2J\u202e
}
