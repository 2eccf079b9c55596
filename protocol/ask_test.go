package protocol

import (
	"errors"
	"strings"
	"testing"
)

// TestAsk: what a wire asks for an address is what it reads, and the user is where the tool has it.
func TestAsk(t *testing.T) {
	plain := Address{Scheme: "https", Host: "a.acme.dev:8443", URL: "https://a.acme.dev:8443/x", Bare: "https://a.acme.dev:8443/x", Written: "a.acme.dev:8443/x"}
	named := plain
	named.User, named.URL = "ada", "https://ada@a.acme.dev:8443/x"
	wires := map[string]func(Question) Wire{
		"git":       func(Question) Wire { return Git{} },
		"docker":    func(Question) Wire { return Docker{} },
		"cargo":     func(Question) Wire { return &Cargo{} },
		"terraform": func(q Question) Wire { return Terraform{Host: q.Args[0]} },
		"bazel":     func(Question) Wire { return Bazel{} },
		"keyring":   func(q Question) Wire { return Keyring{Args: q.Args} },
		"goauth":    func(q Question) Wire { return GOAUTH{URL: q.Args[0]} },
		"kube":      func(q Question) Wire { return Kube{Info: q.Env[KubeInfo]} },
		"headers":   func(q Question) Wire { return Headers{Target(q.Args[0])} },
	}
	for _, row := range []struct {
		wire    string
		address Address
		host    string
		user    string
		reason  string
	}{
		{"git", plain, plain.Host, "", "a host"},
		{"git", named, plain.Host, "ada", "git sends the user apart"},
		{"docker", plain, plain.Host, "", "a server as written"},
		{"docker", named, plain.Host, "", "docker has no user in a server"},
		{"cargo", plain, plain.Host, "", "an index"},
		{"cargo", named, "ada@" + plain.Host, "", "cargo leaves the user in the URL"},
		{"terraform", named, plain.Host, "", "a host alone"},
		{"bazel", plain, plain.Host, "", "a URL"},
		{"bazel", named, "ada@" + plain.Host, "", "Bazel leaves the user in the URL"},
		{"keyring", plain, plain.Host, "", "both are asked for"},
		{"keyring", named, plain.Host, "ada", "the password of a user"},
		{"kube", plain, plain.Host, "", "a cluster"},
		{"goauth", plain, plain.Host, "", "the second call"},
		{"headers", plain, plain.Host, "", "a person's command line"},
	} {
		make := wires[row.wire]
		// A wire asks whatever it was made of.
		q, ok := make(Question{Args: []string{""}}).Ask(row.address)
		if !ok {
			t.Errorf("%s: %s: it asks nothing", row.wire, row.reason)
			continue
		}
		req, err := make(q).ReadRequest(q.Verb, strings.NewReader(q.Stdin))
		if err != nil || req.Host != row.host || req.Username != row.user {
			t.Errorf("%s: %s: got %+v, %v", row.wire, row.reason, req, err)
		}
	}
	for _, w := range []Wire{PNPM{}, GCP{}} {
		if q, ok := w.Ask(plain); ok {
			t.Errorf("%T names no host, and asks %+v", w, q)
		}
	}
}

// TestSSH: an address of ssh is told from every other, and its error does not repeat it.
func TestSSH(t *testing.T) {
	for _, address := range []string{
		"git@git.acme.dev:org/x.git", "git.acme.dev:org/x.git", "ada@host:x", "host:~ada/x.git",
		"ssh://git@git.acme.dev/org/x.git", "SSH://git.acme.dev:22/x", "git+ssh://git@git.acme.dev/x", "ssh+git://git.acme.dev/x",
	} {
		if _, err := ParseAddress(address); !errors.Is(err, ErrSSH) {
			t.Errorf("%s: got %v", address, err)
		}
	}
	for why, address := range map[string]string{
		"a URL":                      "https://git.acme.dev/org/x.git",
		"a host":                     "git.acme.dev",
		"a port":                     "registry.acme.dev:5000",
		"a port and a path":          "registry.acme.dev:5000/api",
		"an image's tag":             "registry.acme.dev/api:latest",
		"an image alone":             "api:latest",
		"a URL with a port":          "https://git.acme.dev:8443/x",
		"IPv6":                       "[::1]:5000",
		"a user and a port":          "ada@git.acme.dev:8443",
		"a user and a password":      "ada:hunter2@git.acme.dev",
		"a password with a slash":    "ada:hunt/er2@git.acme.dev",
		"a password with an at sign": "ada:hunt@er2@git.acme.dev",
		"a path with a colon":        "git.acme.dev/a:b/c",
		"nothing":                    "",
		"only a colon":               ":",
		"no host":                    ":org/x",
		"no user":                    "@host:org/x",
		"another scheme with ssh in": "https+ssh2://git.acme.dev/x",
	} {
		if _, err := ParseAddress(address); errors.Is(err, ErrSSH) {
			t.Errorf("%s: %q counts as ssh", why, address)
		}
	}
}
