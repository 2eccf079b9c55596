package broker_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// docker sends a request as docker does.
func (b *bench) docker(verb protocol.Verb, server, username, secret string) protocol.Reply {
	b.t.Helper()
	req := protocol.Request{Verb: verb}
	if verb != protocol.List {
		var err error
		if req, err = (protocol.Docker{}).ReadRequest(protocol.Get, strings.NewReader(server)); err != nil {
			b.t.Fatal(err)
		}
		req.Verb, req.Username, req.Secret, req.Tool = verb, username, secret, protocol.DockerTool
	}
	return b.Answer(b.t.Context(), req)
}

// TestForeignCredentials: as credsStore we serve other registries like any helper.
func TestForeignCredentials(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	if reply := b.docker(protocol.Get, "ghcr.io", "", ""); reply.Result != protocol.None || reply.Err != nil {
		t.Errorf("before: got %+v", reply)
	}
	for _, server := range []string{"ghcr.io", "quay.io"} {
		if reply := b.docker(protocol.Store, server, "ada", "secret of "+server); reply.Result != protocol.Done {
			t.Fatalf("store: got %+v", reply)
		}
	}
	b.docker(protocol.Store, "quay.io", "eve", "another") // replaces
	want := protocol.Credential{Username: "eve", Token: "another"}
	if reply := b.docker(protocol.Get, "quay.io", "", ""); reply.Result != protocol.Found || reply.Credential != want {
		t.Errorf("got %+v", reply)
	}
	entries := map[string]string{"git.acme.dev": "clerk", "registry.acme.dev:5000": "clerk", "ghcr.io": "ada", "quay.io": "eve"}
	if got := b.docker(protocol.List, "", "", "").Entries; !reflect.DeepEqual(got, entries) {
		t.Errorf("list: got %v", got)
	}
	for range 2 { // docker's logout erases a host in several spellings
		if reply := b.docker(protocol.Erase, "quay.io", "", ""); reply.Result != protocol.Done {
			t.Errorf("erase: got %+v", reply)
		}
	}
	delete(entries, "quay.io")
	if got := b.docker(protocol.List, "", "", "").Entries; !reflect.DeepEqual(got, entries) {
		t.Errorf("list after an erase: got %v", got)
	}
	if reply := b.docker(protocol.Get, "quay.io", "", ""); reply.Result != protocol.None {
		t.Errorf("get after an erase: got %+v", reply)
	}

	// git's helper is given the passwords of all hosts, and keeps none.
	reply := b.Answer(t.Context(), protocol.Request{Verb: protocol.Store, Scheme: "https", Host: "github.com", Username: "ada", Secret: "hunter2"})
	if reply.Result != protocol.None || len(b.keychain.Names()) != 3 { // the session, ghcr.io, the list
		t.Errorf("git's store: got %+v, %q", reply, b.keychain.Names())
	}
	b.wantCalls()
}

// TestForeignMustNot: a foreign request gets only what was stored under exactly that name.
func TestForeignMustNot(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	b.docker(protocol.Store, "ghcr.io", "ada", "hunter2")
	for _, server := range []string{"ghcr.io.evil.dev", "GHCR.io", "https://ghcr.io", "ghcr.io/", "a@ghcr.io", "hcr.io", "ghcr.io:443",
		"git.acme.dev.evil.dev", "x@registry.acme.dev:5000", "http://registry.acme.dev:5000", "docker-index", "index"} {
		if reply := b.docker(protocol.Get, server, "", ""); reply.Result != protocol.None {
			t.Errorf("%s: got %+v", server, reply)
		}
	}
}

// TestForeignWithoutKeychain: a public image needs no credential, and so no keychain; a login must fail.
func TestForeignWithoutKeychain(t *testing.T) {
	for _, row := range []struct {
		reason string
		err    error
		get    protocol.Result
	}{
		{"no keychain at all: nothing can have been kept", platform.ErrUnavailable, protocol.None},
		{"a locked one may hold what is asked for", platform.ErrLocked, protocol.Failed},
		{"a broken one too", errors.New("i/o error"), protocol.Failed},
	} {
		b := newBench(t)
		b.keychain.Hook = func(string, string) error { return row.err }
		if reply := b.docker(protocol.Get, "ghcr.io", "", ""); reply.Result != row.get {
			t.Errorf("%s: get: %+v", row.reason, reply)
		}
		if reply := b.docker(protocol.Store, "ghcr.io", "ada", "hunter2"); reply.Result != protocol.Failed || !errors.Is(reply.Err, row.err) {
			t.Errorf("%s: store: %+v", row.reason, reply)
		}
		reply := b.docker(protocol.List, "", "", "")
		if reply.Result != protocol.Found || len(reply.Entries) != 0 || (reply.Err == nil) != (row.get == protocol.None) {
			t.Errorf("%s: list: %+v", row.reason, reply)
		}
	}
}

// TestForeignAtOnce: parallel logins lose nothing from the list.
func TestForeignAtOnce(t *testing.T) {
	b := newBench(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { b.docker(protocol.Store, fmt.Sprintf("r%d.dev", i), "ada", "secret") })
	}
	wg.Wait()
	if got := b.docker(protocol.List, "", "", "").Entries; len(got) != 20 {
		t.Errorf("%d of 20 are listed", len(got))
	}
}

// TestFallback: the previous helper keeps the credentials of foreign hosts, and is never asked about ours.
func TestFallback(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	var heard []string
	b.Fallback = func(_ context.Context, req protocol.Request) protocol.Reply {
		heard = append(heard, string(req.Verb)+" "+req.ServerURL)
		if req.Verb == protocol.List {
			return protocol.Reply{Result: protocol.Failed, Entries: nil, Err: &protocol.VerbatimError{Text: "its own words"}}
		}
		return protocol.Reply{Result: protocol.Failed, Err: &protocol.VerbatimError{Text: "its own words"}}
	}
	reply := b.docker(protocol.Get, "ghcr.io", "", "")
	var verbatim *protocol.VerbatimError
	if !errors.As(reply.Err, &verbatim) {
		t.Errorf("got %+v", reply)
	}
	b.docker(protocol.Store, "ghcr.io", "ada", "hunter2")
	b.docker(protocol.Get, "registry.acme.dev:5000", "", "")
	b.docker(protocol.Erase, "http://registry.acme.dev:5000", "", "")
	b.docker(protocol.Store, "registry.acme.dev:5000", "clerk", "kept-access")
	if len(b.keychain.Names()) != 1 {
		t.Errorf("our keychain holds %q", b.keychain.Names())
	}
	if reply := b.docker(protocol.List, "", "", ""); len(reply.Entries) != 2 || reply.Err == nil {
		t.Errorf("a list that fails there: got %+v; what we have and a word about it are wanted", reply)
	}
	if want := []string{"get ghcr.io", "store ghcr.io", "list "}; !reflect.DeepEqual(heard, want) {
		t.Errorf("the fallback heard %q, want %q", heard, want)
	}
}
