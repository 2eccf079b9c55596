package broker_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
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

// foreignState is what docker could get and what it would be told that it could.
func (b *bench) foreignState() (items, listed map[string]string) {
	b.t.Helper()
	items, listed = map[string]string{}, map[string]string{}
	for _, name := range b.keychain.Names() {
		text, err := b.keychain.Get(b.t.Context(), name)
		if err != nil {
			b.t.Fatal(err)
		}
		var item struct {
			Server, Username string
			Servers          map[string]string
		}
		if err := json.Unmarshal([]byte(text), &item); err != nil {
			b.t.Fatal(err)
		}
		if item.Server != "" {
			items[item.Server] = item.Username
		}
	}
	for server, user := range b.docker(protocol.List, "", "", "").Entries {
		if user != "clerk" {
			listed[server] = user
		}
	}
	return items, listed
}

// longName makes a registry's name that is as long as one can be.
func longName(i int) string {
	label := strings.Repeat("r", 60)
	return fmt.Sprintf("r%05d.%s.%s.%s.dev", i, label, label, label)
}

// TestForeignMany: a list that outgrows one item of the store goes on in further ones, and shrinks again.
func TestForeignMany(t *testing.T) {
	b := newBench(t)
	const many = 700 // of 200 bytes each: two items of the store's limit
	for i := range many {
		if reply := b.docker(protocol.Store, longName(i), "ada", "secret"); reply.Result != protocol.Done {
			t.Fatalf("store %d: %v", i, reply.Err)
		}
	}
	b.docker(protocol.Store, longName(3), "eve", "another")
	items, listed := b.foreignState()
	if len(items) != many || !maps.Equal(items, listed) || items[longName(3)] != "eve" {
		t.Errorf("%d are kept, %d are listed, not %d", len(items), len(listed), many)
	}
	for _, name := range b.keychain.Names() {
		if text, _ := b.keychain.Get(t.Context(), name); len(text) > 32_000 {
			t.Errorf("%s has %d bytes: the kernel's keyring takes 32,767", name, len(text))
		}
	}
	for i := range many {
		if reply := b.docker(protocol.Erase, longName(i), "", ""); reply.Result != protocol.Done {
			t.Fatalf("erase %d: %v", i, reply.Err)
		}
	}
	if names := b.keychain.Names(); !slices.Equal(names, []string{"docker-index"}) {
		t.Errorf("%q is left", names)
	}
	// The names that do not fit even alone.
	if reply := b.docker(protocol.Store, strings.Repeat("r", 40_000), "ada", "secret"); reply.Result != protocol.Failed || !strings.Contains(reply.Err.Error(), "longer than") {
		t.Errorf("got %+v", reply)
	}
	if items, listed := b.foreignState(); len(items)+len(listed) > 0 {
		t.Errorf("half of it was kept: %v %v", items, listed)
	}
}

// TestForeignTenThousand: docker login goes on working with ten thousand registries.
func TestForeignTenThousand(t *testing.T) {
	b := newBench(t)
	const many = 10_000
	want := map[string]string{}
	// What as many calls would leave, without their time: the pages, written as they are kept.
	const pages, each = 40, many / 40
	for page := range pages {
		servers := map[string]string{}
		for i := page * each; i < (page+1)*each; i++ {
			server := fmt.Sprintf("registry-%05d.region.example.com", i)
			servers[server], want[server] = "ada", "ada"
			b.keepForeign(t, server, "ada")
		}
		list := map[string]any{"v": 1, "servers": servers}
		name := fmt.Sprintf("docker-index-%d", page)
		if page == 0 {
			list["pages"], name = pages, "docker-index"
		}
		text, err := json.Marshal(list)
		if err == nil {
			err = b.keychain.Set(t.Context(), name, string(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		server := fmt.Sprintf("new-%d.example.com", i)
		if reply := b.docker(protocol.Store, server, "eve", "s"); reply.Result != protocol.Done {
			t.Fatal(reply.Err)
		}
		want[server] = "eve"
	}
	gone := "registry-05000.region.example.com"
	if reply := b.docker(protocol.Erase, gone, "", ""); reply.Result != protocol.Done {
		t.Fatal(reply.Err)
	}
	delete(want, gone)
	if items, listed := b.foreignState(); !maps.Equal(items, want) || !maps.Equal(listed, want) {
		t.Errorf("%d are kept and %d are listed, of %d", len(items), len(listed), len(want))
	}
}

// keepForeign puts a credential into the keychain as a store would.
func (b *bench) keepForeign(t *testing.T, server, user string) {
	t.Helper()
	sum := sha256.Sum256([]byte(server))
	text := fmt.Sprintf(`{"v":1,"server":%q,"username":%q,"secret":"s"}`, server, user)
	if err := b.keychain.Set(t.Context(), "docker-"+hex.EncodeToString(sum[:16]), text); err != nil {
		t.Fatal(err)
	}
}

// TestForeignFormat: what earlier builds have written is read, and goes on being written. Never change these texts.
func TestForeignFormat(t *testing.T) {
	const item = `{"v":1,"server":"ghcr.io","username":"ada","secret":"hunter2"}`
	const list = `{"v":1,"servers":{"ghcr.io":"ada"}}`
	const name = "docker-0fd460f0568e29c129d5164443c22dc2"
	b := newBench(t)
	b.docker(protocol.Store, "ghcr.io", "ada", "hunter2")
	var names []string
	for _, name := range b.keychain.Names() {
		text, _ := b.keychain.Get(t.Context(), name)
		if want := map[bool]string{true: list, false: item}[name == "docker-index"]; text != want {
			t.Errorf("%s is %s, not %s", name, text, want)
		}
		names = append(names, name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{name, "docker-index"}) {
		t.Errorf("the items are %q", names)
	}

	// A list of one item that is as large as the store takes: it is read, and the next login divides it.
	b = newBench(t)
	servers := map[string]string{}
	for i := 0; ; i++ {
		servers[longName(i)] = "ada"
		text, err := json.Marshal(map[string]any{"v": 1, "servers": servers})
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 64<<10 {
			delete(servers, longName(i))
			break
		}
		b.keepForeign(t, longName(i), "ada")
	}
	text, err := json.Marshal(struct {
		Version int               `json:"v"`
		Servers map[string]string `json:"servers"`
	}{1, servers})
	if err == nil {
		err = b.keychain.Set(t.Context(), "docker-index", string(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	if items, listed := b.foreignState(); !maps.Equal(items, servers) || !maps.Equal(listed, servers) {
		t.Errorf("%d of %d are listed", len(listed), len(servers))
	}
	if reply := b.docker(protocol.Store, longName(9999), "eve", "s"); reply.Result != protocol.Done {
		t.Fatal(reply.Err)
	}
	servers[longName(9999)] = "eve"
	if items, listed := b.foreignState(); !maps.Equal(items, servers) || !maps.Equal(listed, servers) {
		t.Errorf("%d of %d are listed after a login", len(listed), len(servers))
	}
}

// TestForeignHalf: whichever write of a login or a logout fails, what is kept is listed and what is listed is kept, and
// both are as before.
func TestForeignHalf(t *testing.T) {
	full := errors.New("the store is full")
	for _, had := range []int{0, 3, 147, 148, 149} { // the list grows or shrinks by an item here
		prepared := newBench(t)
		for i := range had {
			prepared.docker(protocol.Store, longName(i), "ada", "s")
		}
		for _, change := range []struct {
			verb   protocol.Verb
			server string
		}{
			{protocol.Store, "new.dev"}, {protocol.Store, longName(1)}, {protocol.Store, strings.Repeat("n", 9000)},
			{protocol.Erase, longName(0)}, {protocol.Erase, longName(had - 1)}, {protocol.Erase, "unknown.dev"},
		} {
			for fails := 1; ; fails++ {
				b := newBench(t)
				for _, name := range prepared.keychain.Names() {
					text, _ := prepared.keychain.Get(t.Context(), name)
					b.keychain.Set(t.Context(), name, text)
				}
				before, _ := b.foreignState()
				writes, failed := 0, false
				b.keychain.Hook = func(op, name string) error {
					if op == "get" {
						return nil
					}
					if writes++; writes == fails {
						failed = true
						return full
					}
					return nil
				}
				reply := b.docker(change.verb, change.server, "eve", "t")
				b.keychain.Hook = nil
				items, listed := b.foreignState()
				if !maps.Equal(items, listed) {
					t.Errorf("%d, %s %.20s, write %d fails: %d are kept and %d are listed", had, change.verb, change.server, fails, len(items), len(listed))
				}
				if !failed {
					break // it needs no more writes
				}
				if reply.Result == protocol.Failed && !maps.Equal(items, before) {
					t.Errorf("%d, %s %.20s, write %d fails: %d are kept, not %d as before", had, change.verb, change.server, fails, len(items), len(before))
				}
				if reply.Result == protocol.Failed && !errors.Is(reply.Err, full) {
					t.Errorf("%d, %s %.20s, write %d fails: %v", had, change.verb, change.server, fails, reply.Err)
				}
			}
		}
	}
}

// TestForeignWithPassword: a registry's address with a password in it is not kept; docker sends none.
func TestForeignWithPassword(t *testing.T) {
	b := newBench(t)
	for _, server := range []string{"https://bob:hunter2@ghcr.io/v1/", "bob@ghcr.io", "bob:hunter2%40ghcr.io"} {
		if reply := b.docker(protocol.Store, server, "ada", "s"); reply.Result != protocol.Failed || strings.Contains(reply.Err.Error(), "bob") {
			t.Errorf("%s: got %+v", server, reply)
		}
	}
	if names := b.keychain.Names(); len(names) > 0 {
		t.Errorf("%q are kept", names)
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

// TestForeignDamaged: neither a damaged credential nor a damaged list keeps docker from signing in and out. What a
// later release has written stays.
func TestForeignDamaged(t *testing.T) {
	item := func(b *bench) string {
		for _, name := range b.keychain.Names() {
			if name != "docker-index" {
				return name
			}
		}
		t.Fatal("nothing is kept")
		return ""
	}
	for reason, text := range map[string]string{"0 bytes": "", "zeros": strings.Repeat("\x00", 900), "cut": `{"v":1,"server`, "no servers": `{"v":1}`, "null": "null"} {
		b := newBench(t)
		b.docker(protocol.Store, "ghcr.io", "ada", "secret")
		b.keychain.Damage(item(b), text)
		if reply := b.docker(protocol.Get, "ghcr.io", "", ""); reply.Result != protocol.Failed || !strings.Contains(reply.Hint, "docker login ghcr.io") {
			t.Errorf("%s: get: %+v", reason, reply)
		}
		if reply := b.docker(protocol.Store, "ghcr.io", "ada", "again"); reply.Result != protocol.Done {
			t.Errorf("%s: a credential is not replaced: %+v", reason, reply)
		}
		b.keychain.Damage(item(b), text)
		if reply := b.docker(protocol.Erase, "ghcr.io", "", ""); reply.Result != protocol.Done {
			t.Errorf("%s: a credential is not removed: %+v", reason, reply)
		}

		b.docker(protocol.Store, "ghcr.io", "ada", "secret")
		b.keychain.Damage("docker-index", text)
		if reply := b.docker(protocol.List, "", "", ""); text != "null" && text != `{"v":1}` && (reply.Err == nil || !strings.Contains(reply.Err.Error(), "docker login puts a registry on it again")) {
			t.Errorf("%s: list: %+v", reason, reply)
		}
		if reply := b.docker(protocol.Get, "ghcr.io", "", ""); reply.Credential.Token != "secret" {
			t.Errorf("%s: a credential that is not listed: %+v", reason, reply)
		}
		if reply := b.docker(protocol.Store, "quay.io", "eve", "secret"); reply.Result != protocol.Done {
			t.Errorf("%s: a list is not replaced: %+v", reason, reply)
		}
		if reply := b.docker(protocol.List, "", "", ""); reply.Err != nil || reply.Entries["quay.io"] != "eve" {
			t.Errorf("%s: the new list: %+v", reason, reply)
		}
		b.keychain.Damage("docker-index", text)
		if reply := b.docker(protocol.Erase, "quay.io", "", ""); reply.Result != protocol.Done {
			t.Errorf("%s: erase with a damaged list: %+v", reason, reply)
		}
	}
	b := newBench(t)
	const later = `{"v":2,"servers":[]}`
	b.keychain.Damage("docker-index", later)
	for _, verb := range []protocol.Verb{protocol.Store, protocol.Erase} {
		if reply := b.docker(verb, "ghcr.io", "ada", "secret"); reply.Result != protocol.Failed {
			t.Errorf("%s: %+v", verb, reply)
		}
	}
	if got, _ := b.keychain.Get(t.Context(), "docker-index"); got != later {
		t.Errorf("a later release's list is now %q", got)
	}
}
