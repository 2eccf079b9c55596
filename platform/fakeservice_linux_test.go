package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// fakeService is a Secret Service with one item on a real bus, for what gnome-keyring never answers. Each function is
// one service's own way (measured on KeePassXC 2.7.4 and KWallet 5.103).
type fakeService struct {
	conn    *dbus.Conn
	address string
	calls   []string
	mu      sync.Mutex

	aliases    []dbus.ObjectPath                                    // what ReadAlias answers, one call after the other; then: fakeCollection
	stored     []string                                             // what SetSecret was given
	setSecret  *dbus.Error                                          // and what it answers
	locked     bool                                                 // the collection's property
	found      []dbus.ObjectPath                                    // what a search finds
	foundShut  []dbus.ObjectPath                                    // and what it finds locked
	getSecrets func() (map[dbus.ObjectPath]dbusSecret, *dbus.Error) // default: the item holds "secret"
	write      func() (prompt dbus.ObjectPath, failed *dbus.Error)  // CreateItem and Item.Delete
	prompt     func()                                               // what Prompt.Prompt sets off
}

// dbusSecret is the API's Secret struct as the library wants it.
type dbusSecret struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

const (
	fakeCollection = dbus.ObjectPath("/org/freedesktop/secrets/collection/main")
	fakeItem       = fakeCollection + "/1"
	fakePrompt     = dbus.ObjectPath("/org/freedesktop/secrets/prompt/1")
)

func (f *fakeService) called(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
}

func (f *fakeService) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

type fakeRoot struct{ *fakeService }

// ReadAlias answers late and is noted when it does, so that a call that does not wait for the answer is noted first.
func (f fakeRoot) ReadAlias(string) (dbus.ObjectPath, *dbus.Error) {
	time.Sleep(50 * time.Millisecond)
	f.called("ReadAlias")
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.aliases) == 0 {
		return fakeCollection, nil
	}
	alias := f.aliases[0]
	f.aliases = f.aliases[1:]
	return alias, nil
}

func (f fakeRoot) OpenSession(string, dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	f.called("OpenSession")
	return dbus.MakeVariant(""), "/org/freedesktop/secrets/session/1", nil
}

func (f fakeRoot) SearchItems(map[string]string) (open, locked []dbus.ObjectPath, failed *dbus.Error) {
	f.called("SearchItems")
	return f.found, f.foundShut, nil
}

func (f fakeRoot) GetSecrets([]dbus.ObjectPath, dbus.ObjectPath) (map[dbus.ObjectPath]dbusSecret, *dbus.Error) {
	f.called("GetSecrets")
	if f.getSecrets != nil {
		return f.getSecrets()
	}
	return map[dbus.ObjectPath]dbusSecret{fakeItem: {Session: "/", Value: []byte("secret")}}, nil
}

func (f fakeRoot) Unlock([]dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	f.called("Unlock")
	return nil, fakePrompt, nil
}

func (f fakeRoot) CreateCollection(properties map[string]dbus.Variant, _ string) (collection, prompt dbus.ObjectPath, failed *dbus.Error) {
	f.called(fmt.Sprintf("CreateCollection %q", properties[secretsAPI+"Collection.Label"].Value()))
	prompt, failed = f.write()
	return "/", prompt, failed
}

type fakeCollectionObject struct{ *fakeService }

func (f fakeCollectionObject) CreateItem(map[string]dbus.Variant, dbusSecret, bool) (item, prompt dbus.ObjectPath, failed *dbus.Error) {
	f.called("CreateItem")
	prompt, failed = f.write()
	return "/", prompt, failed
}

func (f fakeCollectionObject) Get(string, string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant(f.locked), nil
}

type fakeItemObject struct{ *fakeService }

func (f fakeItemObject) Delete() (dbus.ObjectPath, *dbus.Error) {
	f.called("Delete")
	return f.write()
}

func (f fakeItemObject) SetSecret(s dbusSecret) *dbus.Error {
	f.called("SetSecret")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stored = append(f.stored, string(s.Value))
	if f.setSecret != nil {
		return f.setSecret
	}
	return nil
}

type fakePromptObject struct{ *fakeService }

func (f fakePromptObject) Prompt(string) *dbus.Error {
	f.called("Prompt")
	if f.prompt != nil {
		go f.prompt()
	}
	return nil
}

func (f fakePromptObject) Dismiss() *dbus.Error {
	f.called("Dismiss")
	return nil
}

func (f *fakeService) completed(path dbus.ObjectPath, dismissed bool) {
	f.conn.Emit(path, secretsAPI+"Prompt.Completed", dismissed, dbus.MakeVariant(fakeItem))
}

// run puts the service on a bus of its own and returns a keychain there.
func (f *fakeService) run(t *testing.T) *Keychain {
	t.Helper()
	b := startBus(t)
	f.address = b.address
	f.serve(t, b.conn)
	return keychainOn(b.address)
}

// serve puts the service on a bus.
func (f *fakeService) serve(t *testing.T, conn *dbus.Conn) {
	t.Helper()
	f.conn = conn
	if f.write == nil {
		f.write = func() (dbus.ObjectPath, *dbus.Error) { return "/", nil }
	}
	for _, object := range []struct {
		is   any
		path dbus.ObjectPath
		api  string
	}{
		{fakeRoot{f}, secretsPath, secretsAPI + "Service"},
		{fakeCollectionObject{f}, fakeCollection, secretsAPI + "Collection"},
		{fakeCollectionObject{f}, fakeCollection, "org.freedesktop.DBus.Properties"},
		{fakeItemObject{f}, fakeItem, secretsAPI + "Item"},
		{fakePromptObject{f}, fakePrompt, secretsAPI + "Prompt"},
	} {
		if err := conn.Export(object.is, object.path, object.api); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.RequestName(secretsName, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
}

func dbusError(name string) *dbus.Error { return dbus.NewError(name, []any{"why \x1b[31m"}) }

// TestSecretServiceFirstCall holds the order that keeps gnome-keyring alive; see begin.
func TestSecretServiceFirstCall(t *testing.T) {
	f := &fakeService{found: []dbus.ObjectPath{fakeItem}}
	k := f.run(t)
	for name, call := range map[string]func() error{
		"Get":    func() error { _, err := k.Get(t.Context(), "item"); return err },
		"Set":    func() error { return k.Set(t.Context(), "item", "secret") },
		"Delete": func() error { return k.Delete(t.Context(), "item") },
	} {
		f.mu.Lock()
		f.calls = nil
		f.mu.Unlock()
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if calls := f.seen(); len(calls) < 2 || calls[0] != "ReadAlias" {
			t.Errorf("%s called %q, want ReadAlias and its answer first", name, calls)
		}
	}
}

// TestSecretServiceNotYetKnown has a service that tells a client of which it has no record yet of no keyring; see begin.
func TestSecretServiceNotYetKnown(t *testing.T) {
	onBus := func(t *testing.T, f *fakeService) *Keychain { return f.run(t) }
	throughProxy := func(t *testing.T, f *fakeService) *Keychain {
		b := startBus(t)
		f.serve(t, b.conn)
		return keychainOn(b.startProxy(t))
	}
	for where, run := range map[string]func(*testing.T, *fakeService) *Keychain{"bus": onBus, "proxy": throughProxy} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			for name, call := range map[string]func(*Keychain) error{
				"Get":    func(k *Keychain) error { _, err := k.Get(t.Context(), "item"); return err },
				"Set":    func(k *Keychain) error { return k.Set(t.Context(), "item", "secret") },
				"Delete": func(k *Keychain) error { return k.Delete(t.Context(), "item") },
			} {
				want := ErrNotFound
				if name == "Set" {
					want = nil
				}
				f := &fakeService{aliases: []dbus.ObjectPath{"/"}}
				if err := call(run(t, f)); !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", name, err, want)
				}
				calls := f.seen()
				early, sessions := calls[:min(2, len(calls))], 0
				for _, call := range calls {
					if call == "OpenSession" {
						sessions++
					}
				}
				if !slices.Equal(early, []string{"ReadAlias", "ReadAlias"}) || sessions > 1 {
					t.Errorf("%s called %q, want ReadAlias twice before anything else, and OpenSession once", name, calls)
				}
				f = &fakeService{aliases: []dbus.ObjectPath{"/", "/"}}
				err := call(run(t, f))
				if !errors.Is(err, ErrNoKeyring) || !errors.Is(err, ErrLocked) || strings.Contains(err.Error(), "locked") {
					t.Errorf("%s, and there is no keyring indeed: %v, want %v", name, err, ErrNoKeyring)
				}
			}
		})
	}
}

// TestSecretServiceNoKeyring: where no keyring is made, none is called locked.
func TestSecretServiceNoKeyring(t *testing.T) {
	f := &fakeService{aliases: []dbus.ObjectPath{"/", "/"}, write: func() (dbus.ObjectPath, *dbus.Error) { return fakePrompt, nil }}
	f.prompt = func() { f.completed(fakePrompt, true) }
	if err := f.run(t).Unlock(t.Context(), nil); !errors.Is(err, ErrNoKeyring) || strings.Contains(err.Error(), "is locked") {
		t.Errorf("its prompt is dismissed: %v", err)
	}
}

func TestSecretServiceGetDialects(t *testing.T) {
	answers := func(secrets map[dbus.ObjectPath]dbusSecret, name string) func() (map[dbus.ObjectPath]dbusSecret, *dbus.Error) {
		return func() (map[dbus.ObjectPath]dbusSecret, *dbus.Error) {
			if name != "" {
				return nil, dbusError(name)
			}
			return secrets, nil
		}
	}
	item := []dbus.ObjectPath{fakeItem}
	for _, row := range []struct {
		reason string
		fake   *fakeService
		want   error
	}{
		{"the item is there", &fakeService{found: item}, nil},
		{"nothing is there", &fakeService{}, ErrNotFound},
		{"KeePassXC hides the items of a locked database", &fakeService{locked: true}, ErrLocked},
		{"gnome-keyring and KWallet list them as locked", &fakeService{foundShut: item}, ErrLocked},
		{"KWallet reads a locked item as empty",
			&fakeService{found: item, getSecrets: answers(map[dbus.ObjectPath]dbusSecret{fakeItem: {Session: "/"}}, "")}, ErrLocked},
		{"locked between search and read",
			&fakeService{found: item, locked: true, getSecrets: answers(nil, "")}, ErrLocked},
		{"gone between search and read", &fakeService{found: item, getSecrets: answers(nil, "")}, ErrNotFound},
		{"the same in KWallet",
			&fakeService{found: item, getSecrets: answers(nil, "org.freedesktop.DBus.Error.InvalidArgs")}, ErrNotFound},
		{"the same with an unknown object",
			&fakeService{found: item, getSecrets: answers(nil, "org.freedesktop.DBus.Error.UnknownObject")}, ErrNotFound},
		{"locked, in the API's word",
			&fakeService{found: item, getSecrets: answers(nil, "org.freedesktop.Secret.Error.IsLocked")}, ErrLocked},
		{"a sandbox that may see the service only",
			&fakeService{found: item, getSecrets: answers(nil, "org.freedesktop.DBus.Error.AccessDenied")}, fs.ErrPermission},
		{"the service ends while it is asked",
			&fakeService{found: item, getSecrets: answers(nil, "org.freedesktop.DBus.Error.NoReply")}, ErrUnavailable},
	} {
		t.Run(row.reason, func(t *testing.T) {
			k := row.fake.run(t)
			if secret, err := k.Get(t.Context(), "item"); !errors.Is(err, row.want) || (err == nil) != (secret == "secret") {
				t.Errorf("Get = %q, %v; want %v", secret, err, row.want)
			}
		})
	}
}

func TestSecretServiceForeignTextIsQuoted(t *testing.T) {
	f := &fakeService{write: func() (dbus.ObjectPath, *dbus.Error) { return "", dbusError("dev.acme.Broken") }}
	err := f.run(t).Set(t.Context(), "item", "the secret itself")
	if want := `secret service: "dev.acme.Broken": "why \x1b[31m"`; err == nil || err.Error() != want {
		t.Errorf("Set: %v, want %s", err, want)
	}
}

func TestSecretServiceErrorIsSaidOnce(t *testing.T) {
	const name = "org.freedesktop.DBus.Error.AccessDenied" // xdg-dbus-proxy 0.1.6 gives it as the text, too
	for text, want := range map[string]string{
		name: `secret service: "` + name + `"`, "": `secret service: "` + name + `"`, "why": `secret service: "` + name + `": "why"`,
	} {
		if got := (&secretsError{name, text}).Error(); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestSecretServiceWritePrompts follows KeePassXC, which does nothing before its prompt is called.
func TestSecretServiceWritePrompts(t *testing.T) {
	for _, row := range []struct {
		reason string
		prompt func(f *fakeService)
		want   error
	}{
		{"no window, done at once", func(f *fakeService) { f.completed(fakePrompt, false) }, nil},
		{"dismissed", func(f *fakeService) { f.completed(fakePrompt, true) }, ErrLocked},
		{"another's prompt ends first", func(f *fakeService) {
			f.completed(fakePrompt+"2", false)
			f.completed(fakePrompt, true)
		}, ErrLocked},
		{"no answer", func(*fakeService) {}, ErrLocked},
	} {
		t.Run(row.reason, func(t *testing.T) {
			if row.reason == "no answer" && testing.Short() {
				t.Skip("-short: it waits for a limit")
			}
			t.Parallel()
			for name, f := range map[string]*fakeService{"Set": {}, "Delete": {found: []dbus.ObjectPath{fakeItem}}} {
				f.write = func() (dbus.ObjectPath, *dbus.Error) { return fakePrompt, nil }
				f.prompt = func() { row.prompt(f) }
				k := f.run(t)
				call := func() error { return k.Set(t.Context(), "item", "secret") }
				if name == "Delete" {
					call = func() error { return k.Delete(t.Context(), "item") }
				}
				wantWithin(t, name, row.want, silenceBound, call)
				if !slices.Contains(f.seen(), "Prompt") {
					t.Errorf("%s: the prompt was not called: %q", name, f.seen())
				}
			}
		})
	}
}

// TestSecretServiceReplaces gives an item its new secret without a word to the person, which KeePassXC would ask before
// CreateItem replaces one.
func TestSecretServiceReplaces(t *testing.T) {
	item := []dbus.ObjectPath{fakeItem}
	for _, row := range []struct {
		reason string
		fake   *fakeService
		want   error
		calls  []string
	}{
		{"an item is there", &fakeService{found: item}, nil, []string{"SetSecret"}},
		{"none is there", &fakeService{}, nil, []string{"CreateItem"}},
		{"a locked one is there", &fakeService{foundShut: item, locked: true}, ErrLocked, nil},
		{"gone since the search",
			&fakeService{found: item, setSecret: dbusError("org.freedesktop.DBus.Error.UnknownObject")}, nil, []string{"SetSecret", "CreateItem"}},
		{"locked since the search",
			&fakeService{found: item, setSecret: dbusError("org.freedesktop.Secret.Error.IsLocked")}, ErrLocked, []string{"SetSecret"}},
	} {
		k := row.fake.run(t)
		if err := k.Set(t.Context(), "item", "secret"); !errors.Is(err, row.want) {
			t.Errorf("%s: Set: %v, want %v", row.reason, err, row.want)
		}
		writes := slices.DeleteFunc(row.fake.seen(), func(call string) bool { return call != "SetSecret" && call != "CreateItem" })
		if !slices.Equal(writes, row.calls) {
			t.Errorf("%s: wrote with %q, want %q", row.reason, writes, row.calls)
		}
		if slices.Contains(row.calls, "SetSecret") && !slices.Equal(row.fake.stored, []string{"secret"}) {
			t.Errorf("%s: the item was given %q", row.reason, row.fake.stored)
		}
	}
}

// TestSecretServiceNeverPromptsWhenLocked: only Unlock may show a window.
func TestSecretServiceNeverPromptsWhenLocked(t *testing.T) {
	f := &fakeService{locked: true, write: func() (dbus.ObjectPath, *dbus.Error) { return fakePrompt, nil }}
	f.prompt = func() { f.completed(fakePrompt, false) }
	k := f.run(t)
	wantAll(t, k, "item", ErrLocked)
	for _, call := range f.seen() {
		if call == "Prompt" || call == "CreateItem" || call == "Unlock" {
			t.Errorf("a locked service was asked for %s", call)
		}
	}
	if err := k.Unlock(t.Context(), nil); err != nil {
		t.Errorf("Unlock: %v", err)
	}
	prompts := slices.DeleteFunc(f.seen(), func(call string) bool { return call != "Prompt" })
	if len(prompts) != 1 {
		t.Errorf("Unlock raised %d prompts, want one: %q", len(prompts), f.seen())
	}
}

func TestSecretServiceUnlockEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{})
	f := &fakeService{locked: true, prompt: func() { close(asked) }}
	k := f.run(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-asked
		cancel()
	}()
	if err := k.Unlock(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Unlock: %v, want Canceled", err)
	}
}

// TestSecretServicePromptIsSaid: a prompt may be behind other windows, so its caller is told, and of one that ends at once is not.
func TestSecretServicePromptIsSaid(t *testing.T) {
	t.Parallel()
	said := make(chan struct{})
	f := &fakeService{locked: true}
	f.prompt = func() {
		<-said
		f.completed(fakePrompt, false)
	}
	if err := f.run(t).Unlock(t.Context(), func() { close(said) }); err != nil {
		t.Errorf("Unlock: %v", err)
	}
	quick := &fakeService{locked: true}
	quick.prompt = func() { quick.completed(fakePrompt, true) }
	err := quick.run(t).Unlock(t.Context(), func() { t.Error("said of a prompt that ended at once") })
	if !errors.Is(err, ErrLocked) {
		t.Errorf("Unlock: %v", err)
	}
}

// askingService is a Secret Service with a keyring, which is open, that asks the person by itself. It has items, so that it can
// keep the contract.
type askingService struct {
	confirm bool        // each connection asks for each item, at a prompt, as KeePassXC 2.7.4 does
	person  func() bool // asked by a prompt, or before the first answer to GetSecrets, as pass_secret_service does; nil: says yes
	broken  string      // a method that fails, or "other value" for GetSecrets

	conn    *dbus.Conn
	address string
	mu      sync.Mutex
	known   bool // the person has answered GetSecrets
	asked   int
	last    int
	items   map[dbus.ObjectPath]*askingItem
	prompts map[dbus.ObjectPath]func()
}

type askingItem struct {
	attributes map[string]string
	value      []byte
	allowed    map[dbus.Sender]bool
}

// StartAsking runs an askingService that has each access confirmed, or one that has a key's password typed in, on a bus of its
// own, and returns the bus's address. The person takes longer than a silent service may.
func StartAsking(t testing.TB, confirm bool) string {
	a := &askingService{confirm: confirm}
	if !confirm {
		a.person = func() bool {
			time.Sleep(replyLimit + time.Second)
			return true
		}
	}
	a.run(t)
	return a.address
}

// run puts the service on a bus of its own.
func (a *askingService) run(t testing.TB) *Keychain {
	t.Helper()
	b := startBus(t)
	a.conn, a.address = b.conn, b.address
	a.items, a.prompts = map[dbus.ObjectPath]*askingItem{}, map[dbus.ObjectPath]func(){}
	err := errors.Join(
		a.conn.Export(askingRoot{a}, secretsPath, secretsAPI+"Service"),
		a.conn.Export(askingCollection{a}, fakeCollection, secretsAPI+"Collection"),
		a.conn.Export(askingCollection{a}, fakeCollection, propertiesAPI),
		a.conn.ExportSubtree(askingEntry{a}, fakeCollection, secretsAPI+"Item"),
		a.conn.ExportSubtree(askingPrompt{a}, secretsPath+"/prompt", secretsAPI+"Prompt"),
	)
	if err == nil {
		_, err = a.conn.RequestName(secretsName, dbus.NameFlagDoNotQueue)
	}
	if err != nil {
		t.Fatal(err)
	}
	return keychainOn(b.address)
}

// ask asks the person.
func (a *askingService) ask() bool {
	a.mu.Lock()
	a.asked++
	a.mu.Unlock()
	return a.person == nil || a.person()
}

// prompt returns a prompt that asks the person and then does something.
func (a *askingService) prompt(ask bool, then func()) dbus.ObjectPath {
	a.last++
	path := secretsPath + dbus.ObjectPath(fmt.Sprintf("/prompt/%d", a.last))
	a.prompts[path] = func() {
		yes := !ask || a.ask()
		if yes {
			a.mu.Lock()
			then()
			a.mu.Unlock()
		}
		a.conn.Emit(path, secretsAPI+"Prompt.Completed", !yes, dbus.MakeVariant(""))
	}
	return path
}

type askingRoot struct{ *askingService }

func (a askingRoot) ReadAlias(string) (dbus.ObjectPath, *dbus.Error) { return fakeCollection, nil }

func (a askingRoot) OpenSession(string, dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	return dbus.MakeVariant(""), "/org/freedesktop/secrets/session/1", nil
}

func (a askingRoot) SearchItems(sender dbus.Sender, wanted map[string]string) (open, locked []dbus.ObjectPath, failed *dbus.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for path, item := range a.items {
		fits := true
		for key, value := range wanted {
			fits = fits && item.attributes[key] == value
		}
		switch {
		case !fits:
		case a.confirm && !item.allowed[sender]:
			locked = append(locked, path)
		default:
			open = append(open, path)
		}
	}
	return open, locked, nil
}

func (a askingRoot) Unlock(sender dbus.Sender, objects []dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return nil, a.prompt(true, func() {
		for _, path := range objects {
			if item := a.items[path]; item != nil {
				item.allowed[sender] = true
			}
		}
	}), nil
}

func (a askingRoot) GetSecrets(sender dbus.Sender, paths []dbus.ObjectPath, session dbus.ObjectPath) (map[dbus.ObjectPath]dbusSecret, *dbus.Error) {
	a.mu.Lock()
	known := a.confirm || a.known
	a.mu.Unlock()
	if !known && !a.ask() || a.broken == "GetSecrets" {
		return nil, dbusError("dev.acme.Refused")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known = true
	secrets := map[dbus.ObjectPath]dbusSecret{}
	for _, path := range paths {
		item := a.items[path]
		if item == nil {
			continue
		}
		if a.confirm && !item.allowed[sender] {
			return nil, dbusError("org.freedesktop.Secret.Error.IsLocked")
		}
		secrets[path] = dbusSecret{Session: session, Value: item.value}
		if a.broken == "other value" {
			secrets[path] = dbusSecret{Session: session, Value: []byte("other")}
		}
	}
	return secrets, nil
}

type askingCollection struct{ *askingService }

func (a askingCollection) CreateItem(sender dbus.Sender, properties map[string]dbus.Variant, secret dbusSecret, replace bool) (item, prompt dbus.ObjectPath, failed *dbus.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken == "CreateItem" {
		return "/", "/", dbusError("dev.acme.Broken")
	}
	attributes, _ := properties[secretsAPI+"Item.Attributes"].Value().(map[string]string)
	a.last++
	path := fakeCollection + dbus.ObjectPath(fmt.Sprintf("/%d", a.last))
	create := func() {
		a.items[path] = &askingItem{attributes, secret.Value, map[dbus.Sender]bool{sender: true}}
	}
	if a.confirm {
		return "/", a.prompt(false, create), nil
	}
	create()
	return path, "/", nil
}

func (a askingCollection) Get(string, string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant(false), nil
}

type askingEntry struct{ *askingService }

func (a askingEntry) of(m dbus.Message) (dbus.ObjectPath, *askingItem, *dbus.Error) {
	path, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	if item := a.items[path]; item != nil {
		return path, item, nil
	}
	return path, nil, dbusError("org.freedesktop.DBus.Error.UnknownObject")
}

func (a askingEntry) SetSecret(m dbus.Message, sender dbus.Sender, secret dbusSecret) *dbus.Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, item, failed := a.of(m)
	if failed == nil && a.confirm && !item.allowed[sender] {
		failed = dbusError("org.freedesktop.Secret.Error.IsLocked")
	}
	if failed == nil {
		item.value = secret.Value
	}
	return failed
}

func (a askingEntry) Delete(m dbus.Message) (dbus.ObjectPath, *dbus.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	path, _, failed := a.of(m)
	if failed != nil || a.broken == "Delete" {
		return "/", dbusError("dev.acme.Broken")
	}
	if a.confirm {
		return a.prompt(false, func() { delete(a.items, path) }), nil
	}
	delete(a.items, path)
	return "/", nil
}

type askingPrompt struct{ *askingService }

func (a askingPrompt) Prompt(m dbus.Message, _ string) *dbus.Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	path, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	if run := a.prompts[path]; run != nil {
		go run()
	}
	return nil
}

func (a askingPrompt) Dismiss(m dbus.Message) *dbus.Error { return nil }

func (a *askingService) left() (items, asked int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.items), a.asked
}

// TestSecretServiceAsks: a service that asks by itself gets a person's time where a person may be asked, and is no broken one
// elsewhere.
func TestSecretServiceAsks(t *testing.T) {
	for _, confirm := range []bool{false, true} {
		t.Run(fmt.Sprintf("at a prompt %t", confirm), func(t *testing.T) {
			t.Parallel()
			answer := make(chan bool)
			a := &askingService{confirm: confirm, person: func() bool { return <-answer }}
			k := a.run(t)
			if err := k.Set(t.Context(), "item", "secret"); err != nil {
				t.Fatal(err)
			}
			wantWithin(t, "Get where no person may be asked", ErrLocked, silenceBound, func() error {
				_, err := k.Get(t.Context(), "item")
				return err
			})
			if !confirm {
				answer <- false // too late
			}
			said := make(chan struct{}, 1)
			if err := k.Unlock(t.Context(), func() { said <- struct{}{} }, "item", "item-2"); err != nil {
				t.Fatal(err)
			}
			go func() {
				<-said
				time.Sleep(replyLimit)
				answer <- true
			}()
			if got, err := k.Get(t.Context(), "item"); err != nil || got != "secret" {
				t.Errorf("Get, and the person takes %v: %q, %v", promptSaid+replyLimit, got, err)
			}
			_, before := a.left()
			for _, name := range []string{"item", "item-2"} {
				if err := k.Set(t.Context(), name, "newer"); err != nil {
					t.Errorf("Set: %v", err)
				}
				if got, err := k.Get(t.Context(), name); err != nil || got != "newer" {
					t.Errorf("Get: %q, %v", got, err)
				}
			}
			if _, asked := a.left(); asked != before {
				t.Errorf("asked %d times, and %d more", before, asked-before)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := k.Get(ctx, "item"); !errors.Is(err, context.Canceled) {
				t.Errorf("Get with an ended context: %v", err)
			}
			if _, err := k.Get(t.Context(), "item"); err != nil {
				t.Errorf("Get after that: %v", err)
			}
		})
	}
}

// TestSecretServiceAsksInVain: a call ends with its context while the person is asked, and one that was refused is not repeated.
func TestSecretServiceAsksInVain(t *testing.T) {
	asked := make(chan struct{}, 9)
	answer := make(chan bool)
	a := &askingService{confirm: true, person: func() bool {
		asked <- struct{}{}
		return <-answer
	}}
	k := a.run(t)
	if err := k.Set(t.Context(), "item", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := k.Unlock(t.Context(), nil, "item"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := k.Get(ctx, "item"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v, want Canceled", err)
	}
	answer <- false
	if err := k.Unlock(t.Context(), nil, "item"); err != nil {
		t.Fatal(err)
	}
	go func() { answer <- false }()
	for range 3 {
		if _, err := k.Get(t.Context(), "item"); !errors.Is(err, ErrConfirm) {
			t.Errorf("Get: %v, want %v", err, ErrConfirm)
		}
	}
	if _, n := a.left(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

// TestProbeLeavesNothing: whatever fails.
func TestProbeLeavesNothing(t *testing.T) {
	for _, row := range []struct {
		reason string
		fake   *askingService
		whole  bool
		says   string // empty: no error
		left   int
	}{
		{"all is well", &askingService{}, true, "", 0},
		{"it would ask before it deletes", &askingService{confirm: true}, false, "", 0},
		{"it stores nothing", &askingService{broken: "CreateItem"}, true, "it stores nothing: ", 0},
		{"it is not read", &askingService{broken: "GetSecrets"}, true, "it does not return what was stored: ", 0},
		{"the person says no", &askingService{person: func() bool { return false }}, true, "it does not return what was stored: ", 0},
		{"another value is read", &askingService{broken: "other value"}, true, "it does not return what was stored: it is a different value", 0},
		{"it deletes nothing", &askingService{broken: "Delete"}, true, "it deletes nothing: ", 1},
	} {
		k := row.fake.run(t)
		whole, err := Probe(t.Context(), k, "probe", "secret")
		if whole != row.whole || (err == nil) != (row.says == "") || err != nil && !strings.HasPrefix(err.Error(), row.says) {
			t.Errorf("%s: %t, %v", row.reason, whole, err)
		}
		if left, _ := row.fake.left(); left != row.left {
			t.Errorf("%s: %d items are left", row.reason, left)
		}
	}

	t.Run("the caller ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := &askingService{person: func() bool { cancel(); return true }}
		if _, err := Probe(ctx, a.run(t), "probe", "secret"); err == nil {
			t.Error("no error")
		}
		if left, _ := a.left(); left != 0 {
			t.Errorf("%d items are left", left)
		}
	})
	t.Run("the person takes long", func(t *testing.T) {
		t.Parallel()
		answer := make(chan bool)
		a := &askingService{person: func() bool { return <-answer }}
		k := a.run(t)
		if _, err := Probe(t.Context(), k, "probe", "secret"); !errors.Is(err, ErrLocked) {
			t.Errorf("Probe where no person may be asked: %v", err)
		}
		if left, _ := a.left(); left != 0 {
			t.Errorf("%d items are left", left)
		}
		answer <- false
		if err := k.Unlock(t.Context(), nil, "probe"); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(replyLimit + time.Second)
			answer <- true
		}()
		if whole, err := Probe(t.Context(), k, "probe", "secret"); !whole || err != nil {
			t.Errorf("Probe: %t, %v", whole, err)
		}
		if left, _ := a.left(); left != 0 {
			t.Errorf("%d items are left", left)
		}
	})
}
