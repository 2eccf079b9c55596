package platform

import (
	"clerk-credential-helper/internal/testworld"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// silenceBound is how long a call may take that meets silence: the limit of one reply and much for a busy machine, but less
// than the time after which a bus gives up a service that does not come up, 25 s.
const silenceBound = replyLimit + 7*time.Second

func BenchmarkSecretServiceGet(b *testing.B) {
	s := startKeyring(b)
	k := keychainOn(s.address)
	if err := k.Set(b.Context(), "benchmark", strings.Repeat("x", 3000)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := k.Get(b.Context(), "benchmark"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSecretServiceItem holds the schema of the items, which is frozen. A label is for people, and no part of it.
func TestSecretServiceItem(t *testing.T) {
	s := startKeyring(t)
	k := keychainOn(s.address)
	wanted := map[string]string{
		"service": "clerk-credential-helper", "account": "session-0123", "xdg:schema": "dev.clerk-credential-helper.Item",
	}
	for _, row := range []struct{ reason, label, want string }{
		{"a new item without a label", "", "clerk-credential-helper session-0123"},
		{"an old item at its next write", "Clerk sign-in: acme", "Clerk sign-in: acme"},
		{"the same label again", "Clerk sign-in: acme", "Clerk sign-in: acme"},
		{"no label is no wish for another", "", "Clerk sign-in: acme"},
		{"a path is a folder to KWallet", "Clerk sign-in: a/b", "Clerk sign-in: a-b"},
	} {
		if err := k.SetLabelled(t.Context(), "session-0123", row.label, row.reason); err != nil {
			t.Fatal(err)
		}
		var open, locked []dbus.ObjectPath
		if err := s.secrets(secretsPath).Call(secretsAPI+"Service.SearchItems", 0, wanted).Store(&open, &locked); err != nil {
			t.Fatal(err)
		}
		if len(open) != 1 || len(locked) != 0 {
			t.Fatalf("%s: found %q and locked %q, want one item", row.reason, open, locked)
		}
		var label string
		var attributes map[string]string
		if err := s.secrets(open[0]).StoreProperty(secretsAPI+"Item.Label", &label); err != nil {
			t.Fatal(err)
		}
		if err := s.secrets(open[0]).StoreProperty(secretsAPI+"Item.Attributes", &attributes); err != nil {
			t.Fatal(err)
		}
		if got, err := k.Get(t.Context(), "session-0123"); label != row.want || !maps.Equal(attributes, wanted) || err != nil || got != row.reason {
			t.Errorf("%s: label %q, want %q; attributes %v; secret %q, %v", row.reason, label, row.want, attributes, got, err)
		}
	}
	if err := k.SetLabelled(t.Context(), "session-4567", "Clerk sign-in: new", "secret"); err != nil {
		t.Fatal(err)
	}
	wanted["account"] = "session-4567"
	var open, locked []dbus.ObjectPath
	if err := s.secrets(secretsPath).Call(secretsAPI+"Service.SearchItems", 0, wanted).Store(&open, &locked); err != nil || len(open) != 1 {
		t.Fatalf("found %q, %v", open, err)
	}
	var label string
	if err := s.secrets(open[0]).StoreProperty(secretsAPI+"Item.Label", &label); err != nil || label != "Clerk sign-in: new" {
		t.Errorf("a new item: label %q, %v", label, err)
	}
}

func TestSecretServiceLocked(t *testing.T) {
	s := startKeyring(t)
	k := keychainOn(s.address)
	if err := k.Set(t.Context(), "there", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := k.Unlock(t.Context(), nil); err != nil {
		t.Errorf("Unlock of an open keyring: %v", err)
	}
	var collection, prompt dbus.ObjectPath
	if err := s.secrets(secretsPath).Call(secretsAPI+"Service.ReadAlias", 0, "default").Store(&collection); err != nil {
		t.Fatal(err)
	}
	var done []dbus.ObjectPath
	if err := s.secrets(secretsPath).Call(secretsAPI+"Service.Lock", 0, []dbus.ObjectPath{collection}).Store(&done, &prompt); err != nil {
		t.Fatal(err)
	}
	if len(done) != 1 || prompt != "/" {
		t.Fatalf("locking: %q, prompt %q", done, prompt)
	}
	wantAll(t, k, "there", ErrLocked)
	wantAll(t, k, "missing", ErrLocked)
	// The prompt cannot be answered here: it has no display, and counts as dismissed.
	wantWithin(t, "Unlock", ErrLocked, silenceBound, func() error { return k.Unlock(t.Context(), nil) })
}

func TestSecretServiceNoDefaultKeyring(t *testing.T) {
	s := startBus(t)
	s.startKeyring(t, "")
	for where, address := range map[string]func(testing.TB) string{"bus": func(testing.TB) string { return s.address }, "proxy": s.startProxy} {
		t.Run(where, func(t *testing.T) {
			k := keychainOn(address(t))
			wantAll(t, k, "missing", ErrLocked)
			wantAll(t, k, "missing", ErrNoKeyring)
			for name, err := range map[string]error{"Set": k.Set(t.Context(), "item", "secret"), "Unlock": k.Unlock(t.Context(), nil)} {
				if err == nil || !strings.Contains(err.Error(), "no default keyring") || strings.Contains(err.Error(), "locked") {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// TestUnseen: why the kernel's keyring, which is empty, does not prove that there is no session.
func TestUnseen(t *testing.T) {
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "bus"), filepath.Join(dir, "file")
	listenMute(t, socket)
	writeText(t, file, "")
	flatpak := filepath.Join(dir, "flatpak-info")
	writeText(t, flatpak, "[Application]\nname=dev.acme.Editor\nruntime=runtime/org.gnome.Platform\n\n[Instance]\nname=other\n")
	const dead = "unix:path=/nonexistent/bus"
	gone := fmt.Errorf("bus: %w: %w", errNoService, syscall.ENOENT)
	answered := fmt.Errorf("%w: %w", errNoService, &secretsError{name: "org.freedesktop.DBus.Error.ServiceUnknown"})
	for _, row := range []struct {
		reason  string
		service secretService
		none    error
		want    string // part of the reason; empty: there are no signs of another store
		bus     string
	}{
		{"a sandbox without the session's bus", secretService{addresses: dead}, gone, "no bus answers at DBUS_SESSION_BUS_ADDRESS", ""},
		{"a shell that has outlived its desktop, beside another", secretService{addresses: dead, socket: socket}, gone, "another bus of this user is at " + socket, socket},
		{"a bus of its own, beside the desktop's", secretService{addresses: dead, socket: socket}, answered, "has no Secret Service; another bus", socket},
		{"the usual bus is dead", secretService{socket: socket}, gone, "no bus answers at " + socket, ""},
		{"the usual bus is named, and dead", secretService{addresses: "unix:path=" + socket, socket: socket}, gone, "no bus answers at DBUS", ""},
		{"a sandbox without the session's folder", secretService{runtime: dir + "/missing"}, gone, "XDG_RUNTIME_DIR is", ""},
		{"a Flatpak without the permission", secretService{addresses: dead, sandbox: flatpak}, answered, "the Flatpak dev.acme.Editor may not talk to the Secret Service", ""},
		{"the same, with a bus that is hidden", secretService{addresses: dead, sandbox: flatpak}, gone, "the Flatpak dev.acme.Editor may not talk", ""},
		{"a Flatpak of no name", secretService{sandbox: file}, gone, "the Flatpak APP may not talk", ""},
		{"root by sudo", secretService{caller: "1000"}, gone, `root cannot look into the keychain of user "1000"`, ""},
		{"root by sudo, whose own bus has no service", secretService{caller: "1000", socket: socket}, answered, `user "1000"`, ""},

		{"a server", secretService{}, gone, "", ""},
		{"a server with a session's folder", secretService{runtime: dir, socket: dir + "/missing"}, gone, "", ""},
		{"a server with a bus", secretService{runtime: dir, socket: socket}, answered, "", ""},
		{"the same, named", secretService{addresses: "unix:path=" + socket + ",guid=00", socket: socket}, answered, "", ""},
		{"a bus that would have to be started", secretService{addresses: "autolaunch:"}, gone, "", ""},
		{"a bus without a service, and a file in the usual place", secretService{addresses: dead, socket: file}, answered, "", ""},
	} {
		err := row.service.unseen(row.none)
		unseen, ok := errors.AsType[*UnseenError](err)
		if !ok || !errors.Is(err, ErrNotFound) || unseen.Elsewhere != (row.want != "") || unseen.Bus != row.bus || !strings.Contains(err.Error(), row.want) ||
			!strings.HasPrefix(err.Error(), "nothing is kept in the kernel keyring, and ") {
			t.Errorf("%s: %v, %+v", row.reason, err, unseen)
		}
	}
}

func TestSecretServiceUnavailable(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it waits for a limit")
	}
	t.Parallel()
	dir := t.TempDir()
	mute := filepath.Join(dir, "mute")
	listenMute(t, mute)
	closed := filepath.Join(dir, "closed")
	hangUp(t, closed)
	for _, row := range []struct{ reason, addresses, socket string }{
		{"no bus at all", "", filepath.Join(dir, "missing")},
		{"the bus would have to be started", "autolaunch:", filepath.Join(dir, "missing")},
		{"a missing socket", "unix:path=" + dir + "/missing", ""},
		{"garbage", "garbage", ""},
		{"a disabled bus", "disabled:", ""},
		{"a bus over the network", "tcp:host=127.0.0.1,port=1", ""},
		{"a program as the bus", "unixexec:path=/bin/true", ""},
		{"no address in the list", ";;", ""},
		{"a file that is no socket", "unix:path=/etc/passwd", ""},
		{"an abstract socket that is not there", "unix:abstract=" + dir + "/missing", ""},
		{"a bus that never says anything", "unix:path=" + mute, ""},
		{"the same at the usual place", "", mute},
		{"a bus that hangs up", "unix:path=" + closed, ""},
	} {
		t.Run(row.reason, func(t *testing.T) {
			t.Parallel()
			s := secretService{addresses: row.addresses, socket: row.socket}
			k := &Keychain{store: s, unlock: s.unlock}
			var wg sync.WaitGroup
			wg.Go(func() {
				wantWithin(t, "Unlock", ErrUnavailable, silenceBound, func() error { return k.Unlock(t.Context(), nil) })
			})
			wantAll(t, k, "missing", ErrUnavailable)
			wg.Wait()
		})
	}
}

func TestSecretServiceNoService(t *testing.T) {
	s := startBus(t)
	k := keychainOn(s.address)
	wantAll(t, k, "missing", ErrUnavailable)
	_, err := k.Get(t.Context(), "missing")
	if want := "the Secret Service cannot be reached"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error does not name %s: %v", want, err)
	}
}

// TestSecretServiceActivation has services that the bus would start, and cannot. They are there, if not in order, so that
// no session may go to the kernel's keyring instead.
func TestSecretServiceActivation(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it waits for a limit")
	}
	for _, row := range []struct{ reason, program string }{
		{"it is not installed", "/nonexistent/program"},
		{"it ends with an error", "/bin/false"},
		{"it ends", "/bin/true"},
		{"it hangs", "/bin/sleep 30"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			service := "[D-BUS Service]\nName=org.freedesktop.secrets\nExec=" + row.program + "\n"
			write(t, filepath.Join(dir, "secrets.service"), service, 0o600)
			s := startBusWith(t, "<servicedir>"+dir+"</servicedir>")
			wantAll(t, chooseNative("auto", secretService{addresses: s.address}), "missing", ErrUnavailable)
		})
	}
}

func TestSecretServiceKilled(t *testing.T) {
	s := startBus(t)
	daemon := s.startKeyring(t, "password")
	k := keychainOn(s.address)
	if err := k.Set(t.Context(), "item", "secret"); err != nil {
		t.Fatal(err)
	}
	gone := make(chan *dbus.Signal, 16)
	s.conn.Signal(gone) // startKeyring has asked for the changes of the name's owner
	if err := daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Fatal("the bus does not notice that the daemon was killed")
	}
	wantAll(t, k, "item", ErrUnavailable)
}

// TestSecretServiceStorm makes short-lived connections, with which gnome-keyring may crash where OpenSession is the first
// call on one, and may deny that there is a keyring where ReadAlias is (see begin).
func TestSecretServiceStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a storm")
	}
	const loops, rounds = 3, 50
	s := startBus(t)
	daemon := s.startKeyring(t, "password")
	k := keychainOn(s.address)
	var wg sync.WaitGroup
	for loop := range loops {
		name := fmt.Sprintf("item-%d", loop)
		wg.Go(func() {
			for range rounds {
				if err := k.Set(t.Context(), name, name); err != nil {
					t.Errorf("Set of a new item: %v", err)
					return
				}
				if got, err := k.Get(t.Context(), name); err != nil || got != name {
					t.Errorf("Get = %q, %v", got, err)
					return
				}
				if err := k.Delete(t.Context(), name); err != nil {
					t.Errorf("Delete: %v", err)
					return
				}
				if _, err := k.Get(t.Context(), name); !errors.Is(err, ErrNotFound) {
					t.Errorf("Get of what was deleted: %v, want ErrNotFound", err)
					return
				}
			}
		})
	}
	wg.Wait()
	var pid uint32
	if err := s.conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, secretsName).Store(&pid); err != nil {
		t.Fatal(err)
	}
	if int(pid) != daemon.Pid {
		t.Errorf("the service is process %d now, and was %d", pid, daemon.Pid)
	}
}

// TestSecretServiceStopped has a service that owns its name and answers nothing.
func TestSecretServiceStopped(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it waits for a limit")
	}
	t.Parallel()
	s := startBus(t)
	daemon := s.startKeyring(t, "password")
	if err := daemon.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	k := keychainOn(s.address)
	wantAll(t, k, "missing", ErrUnavailable)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	wantWithin(t, "Get with a limit of its own", context.DeadlineExceeded, silenceBound, func() error {
		_, err := k.Get(ctx, "missing")
		return err
	})
}

func TestNativeKeychainAddress(t *testing.T) {
	s := startKeyring(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent%2ft;;"+s.address)
	k, err := OpenKeychain("auto", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Set(t.Context(), "item", "secret"); err != nil {
		t.Errorf("Set through the second address of the list: %v", err)
	}
	// The socket at the usual place counts only if no address is set: an address that is set means that bus or none.
	_, path, _ := strings.Cut(s.address, "=")
	path, _, _ = strings.Cut(path, ",")
	usual := &Keychain{store: secretService{socket: path}}
	if err := usual.Set(t.Context(), "item", "secret"); err != nil {
		t.Errorf("Set through the usual socket: %v", err)
	}
	elsewhere := &Keychain{store: secretService{addresses: "unix:path=/nonexistent/bus", socket: path}}
	wantAll(t, elsewhere, "item", ErrUnavailable)
	if k.Describe() != "Secret Service" {
		t.Errorf("Describe = %q", k.Describe())
	}
}

// sessionBus is a private session bus.
type sessionBus struct {
	testworld.Bus
	address string
	conn    *dbus.Conn // the test's own
}

func (b *sessionBus) secrets(path dbus.ObjectPath) dbus.BusObject {
	return b.conn.Object(secretsName, path)
}

func startBus(t testing.TB) *sessionBus { return startBusWith(t, "") }

// startBusWith starts a bus with more in its configuration, whose services, if it can start some, get these variables.
func startBusWith(t testing.TB, more string, env ...string) *sessionBus {
	t.Helper()
	b := &sessionBus{Bus: testworld.StartBus(t, more, env...)}
	b.address = b.Address
	var err error
	if b.conn, err = dbus.Connect(b.address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.conn.Close() })
	return b
}

// StartKeyring runs a gnome-keyring-daemon on a bus of its own and returns the bus's address.
func StartKeyring(t testing.TB) string { return startKeyring(t).address }

func startKeyring(t testing.TB) *sessionBus {
	t.Helper()
	b := startBus(t)
	b.startKeyring(t, "password")
	return b
}

// startKeyring runs a gnome-keyring-daemon on the bus, without a default keyring if there is no password.
func (b *sessionBus) startKeyring(t testing.TB, password string) *os.Process {
	t.Helper()
	changes := make(chan *dbus.Signal, 16)
	b.conn.Signal(changes)
	err := b.conn.AddMatchSignal(dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"),
		dbus.WithMatchArg(0, secretsName))
	if err != nil {
		t.Fatal(err)
	}
	daemon := b.StartGNOMEKeyring(t, password)
	timeout := time.After(20 * time.Second)
	for owned := false; !owned; {
		select {
		case change := <-changes:
			owned = change.Name == "org.freedesktop.DBus.NameOwnerChanged"
		case <-timeout:
			t.Fatal("gnome-keyring-daemon did not come up")
		}
	}
	if err := b.secrets("/").Call("org.freedesktop.DBus.Peer.Ping", dbus.FlagNoAutoStart).Err; err != nil {
		t.Fatal(err)
	}
	return daemon
}

func keychainOn(address string) *Keychain {
	return secretService{addresses: address, granted: new(granted)}.keychain()
}

// wantAll checks that Get, Set and Delete, all at once, end in time with the same condition.
func wantAll(t *testing.T, k *Keychain, name string, want error) {
	t.Helper()
	var wg sync.WaitGroup
	for what, call := range map[string]func() error{
		"Get": func() error {
			_, err := k.Get(t.Context(), name)
			return err
		},
		"Set":    func() error { return k.Set(t.Context(), name, "secret") },
		"Delete": func() error { return k.Delete(t.Context(), name) },
	} {
		wg.Go(func() { wantWithin(t, what, want, silenceBound, call) })
	}
	wg.Wait()
}

func wantWithin(t *testing.T, what string, want error, limit time.Duration, call func() error) {
	t.Helper()
	began := time.Now()
	err := call()
	if took := time.Since(began); took > limit {
		t.Errorf("%s took %v, limit %v", what, took, limit)
	}
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// listenMute accepts connections and never says a word.
func listenMute(t *testing.T, path string) {
	t.Helper()
	serve(t, path, func(net.Conn) {})
}

// hangUp accepts connections and closes them.
func hangUp(t *testing.T, path string) {
	t.Helper()
	serve(t, path, func(conn net.Conn) { conn.Close() })
}

func serve(t *testing.T, path string, handle func(net.Conn)) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			handle(conn)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			conn.Close()
		}
	})
}

func write(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

// need skips the test where a program is missing, and fails it in CI, where all are installed.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", program)
		}
		t.Skipf("%s is not installed", program)
	}
}
