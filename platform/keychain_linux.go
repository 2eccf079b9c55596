package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"clerk-credential-helper/platform/bus"
)

func openNative(choice string) (*Keychain, error) {
	service := secretService{
		addresses: os.Getenv("DBUS_SESSION_BUS_ADDRESS"),
		socket:    filepath.Join("/run/user", strconv.Itoa(os.Geteuid()), "bus"),
		runtime:   os.Getenv("XDG_RUNTIME_DIR"),
		sandbox:   flatpakInfo,
		display:   os.Getenv("WAYLAND_DISPLAY") != "" || os.Getenv("DISPLAY") != "",
		granted:   new(granted),
	}
	if os.Geteuid() == 0 && bySudo(os.Getenv) {
		service.caller = os.Getenv("SUDO_UID")
	}
	return chooseNative(choice, service), nil
}

func chooseNative(choice string, service secretService) *Keychain {
	k := service.keychain()
	if choice == "kernel" {
		return &Keychain{
			store: kernelKeyring{}, describe: "kernel keyring", lockDir: LockDir,
			explain: kernelKeyring{}.explain, inMemory: func(context.Context) bool { return true },
		}
	}
	if choice != "keychain" {
		both := serviceOrKernel{service, kernelKeyring{}}
		k.store, k.unlock, k.explain, k.inMemory, k.probe = both, both.unlock, both.explain, both.inMemory, both.probe
		k.beside = &Keychain{store: besideService{both}, describe: kernelName, explain: kernelKeyring{}.explain, lockDir: LockDir}
	}
	return k
}

// keychain is the Secret Service alone.
func (s secretService) keychain() *Keychain {
	return &Keychain{
		store: s, unlock: s.unlock, describe: "Secret Service", explain: s.explain, lockDir: LockDir,
		probe: s.probe, granted: s.granted.holds, confirms: s.confirms,
	}
}

const kernelName = "kernel keyring"

// serviceOrKernel is the Secret Service, or the kernel's keyring if there is no service at all. The call itself finds
// that out, so the usual case costs nothing. An item that was kept in the kernel's keyring is used while a service that has
// come up does not have it, and moves there when it is next written.
type serviceOrKernel struct {
	service secretService
	kernel  store
}

func (s serviceOrKernel) get(ctx context.Context, name string) (string, error) {
	secret, err := s.service.get(ctx, name)
	switch {
	case errors.Is(err, errNoService):
		var ours error
		if secret, ours = s.kernel.get(ctx, name); ours != nil && s.service.start(ctx) {
			return s.service.get(ctx, name)
		}
		if errors.Is(ours, ErrNotFound) {
			return "", s.service.unseen(err)
		}
		return secret, s.service.neither(ours, err)
	case hasNone(err):
		if secret, ours := s.kernel.get(ctx, name); ours == nil {
			return secret, nil
		}
	}
	return secret, err
}

func (s serviceOrKernel) set(ctx context.Context, name, secret string) error {
	return s.setLabelled(ctx, name, "", secret)
}

func (s serviceOrKernel) setLabelled(ctx context.Context, name, label, secret string) error {
	err := s.service.setLabelled(ctx, name, label, secret)
	if errors.Is(err, errNoService) { // what is in the kernel's keyring stays there, so that its next write does not fail
		if _, ours := s.kernel.get(ctx, name); ours != nil && s.service.start(ctx) {
			err = s.service.setLabelled(ctx, name, label, secret)
		}
	}
	switch {
	case err == nil:
		err = s.kernel.delete(ctx, name)
		if hasNone(err) || errors.Is(err, ErrUnavailable) {
			return nil
		}
	case errors.Is(err, errNoService):
		return s.service.neither(s.kernel.set(ctx, name, secret), err)
	case errors.Is(err, ErrNoKeyring): // what is in the kernel's stays there until there is one
		if _, ours := s.kernel.get(ctx, name); ours == nil {
			return s.kernel.set(ctx, name, secret)
		}
	}
	return err
}

func (s serviceOrKernel) delete(ctx context.Context, name string) error {
	err := s.service.delete(ctx, name)
	if !errors.Is(err, errNoService) && !hasNone(err) && err != nil {
		return err
	}
	ours := s.kernel.delete(ctx, name)
	switch {
	case errors.Is(err, errNoService) && errors.Is(ours, ErrNotFound):
		return s.service.unseen(err)
	case errors.Is(err, errNoService):
		return s.service.neither(ours, err)
	case errors.Is(ours, ErrNotFound), errors.Is(ours, ErrUnavailable):
		return err
	}
	return ours
}

// hasNone reports whether an error of a store means that it was looked at, and does not have the item.
func hasNone(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoKeyring) }

// besideService is what the kernel's keyring has beside a service.
type besideService struct{ both serviceOrKernel }

func (s besideService) get(ctx context.Context, name string) (string, error) {
	service := s.both.service
	if _, err := service.provider(ctx); errors.Is(err, errNoService) && !service.start(ctx) {
		return "", service.unseen(err)
	}
	return s.both.kernel.get(ctx, name)
}

func (s besideService) set(ctx context.Context, name, secret string) error {
	return s.both.kernel.set(ctx, name, secret)
}

func (s besideService) delete(ctx context.Context, name string) error {
	return s.both.kernel.delete(ctx, name)
}

// unseen is the error if the kernel's keyring, which stands in for the service, does not have an item. none is why there is
// no service: in a sandbox, as root or in a shell that has outlived its desktop there may be one elsewhere.
func (s secretService) unseen(none error) error {
	e := &UnseenError{Store: kernelName, Elsewhere: true, Caller: s.caller}
	info, err := os.Stat(s.socket)
	usual := err == nil && info.Mode()&fs.ModeSocket != 0
	named := s.addresses != "" && s.addresses != "autolaunch:"
	if usual && named && !strings.Contains(s.addresses, "unix:path="+s.socket) {
		e.Bus = s.socket
	}
	var answer *secretsError
	silent := !errors.As(none, &answer)
	switch _, err := os.Stat(s.runtime); {
	case s.caller != "":
		e.Why = fmt.Sprintf("root cannot look into the keychain of user %q, who called sudo", s.caller)
	case flatpak(s.sandbox) != "":
		e.Flatpak = flatpak(s.sandbox)
		e.Why = fmt.Sprintf("the Flatpak %s may not talk to the Secret Service of the session", e.Flatpak)
	case named && silent:
		e.Why = fmt.Sprintf("the keychain of the session cannot be reached from here: no bus answers at DBUS_SESSION_BUS_ADDRESS, %q", s.addresses)
	case e.Bus != "":
		e.Why = fmt.Sprintf("the bus at DBUS_SESSION_BUS_ADDRESS, %q, has no Secret Service", s.addresses)
	case usual && silent:
		e.Why = fmt.Sprintf("the keychain of the session cannot be reached from here: no bus answers at %s", s.socket)
	case s.runtime != "" && err != nil:
		e.Why = fmt.Sprintf("the keychain of the session cannot be reached from here: XDG_RUNTIME_DIR is %q, which is not there", s.runtime)
	default:
		e.Elsewhere, e.Why = false, "there is no Secret Service here, which other sessions of this user may have"
	}
	if e.Bus != "" {
		e.Why += fmt.Sprintf("; another bus of this user is at %s", e.Bus)
	}
	return e
}

// probe is that of the service, unless the kernel's keyring stands in for it.
func (s serviceOrKernel) probe(ctx context.Context, name, secret string) (whole bool, err error) {
	whole, err = s.service.probe(ctx, name, secret)
	if errors.Is(err, errNoService) {
		return Probe(ctx, &Keychain{store: s}, name, secret)
	}
	return whole, err
}

func (s serviceOrKernel) unlock(ctx context.Context, waiting func(), items ...string) error {
	err := s.service.unlock(ctx, waiting, items...)
	if errors.Is(err, errNoService) && s.service.start(ctx) {
		err = s.service.unlock(ctx, waiting, items...)
	}
	if errors.Is(err, errNoService) {
		return nil
	}
	return err
}

// neither adds to an error of the kernel's keyring that there is no Secret Service, or why it cannot be looked at: sandboxes
// often close both.
func (s secretService) neither(err, none error) error {
	if !errors.Is(err, ErrUnavailable) {
		return err
	}
	err = fmt.Errorf("%w; there is no Secret Service either", err)
	if unseen, ok := errors.AsType[*UnseenError](s.unseen(none)); ok && unseen.Elsewhere {
		err = fmt.Errorf("%w: %s", err, unseen.Why)
	}
	return err
}

func (s serviceOrKernel) explain(ctx context.Context) string {
	name, err := s.service.provider(ctx)
	if errors.Is(err, errNoService) {
		return kernelKeyring{}.explain(ctx) + ", because there is no Secret Service"
	}
	return name
}

// inMemory reports whether there is no Secret Service at all, so that the kernel's keyring is the store.
func (s serviceOrKernel) inMemory(ctx context.Context) bool {
	_, err := s.service.provider(ctx)
	return errors.Is(err, errNoService)
}

// secretService keeps each secret as an item of the default collection of org.freedesktop.secrets, the Secret Service
// API 0.2, with the attributes below. gnome-keyring, KeePassXC and KWallet provide it, each with its own idea of the
// details, named where the code follows them.
type secretService struct {
	addresses string // D-Bus addresses of the session bus; empty: socket
	socket    string // path of the session bus's usual socket
	runtime   string // the folder in which a session has it, as the environment says
	caller    string // the user who called us by sudo, empty if none did
	sandbox   string // path of the file that tells about a Flatpak
	display   bool   // whether there is a desktop here
	granted   *granted
}

// The limits of waiting.
const (
	replyLimit  = 3 * time.Second // one reply, without a prompt
	personLimit = 2 * time.Minute // one prompt, where a user may be asked
	promptSaid  = 2 * time.Second // after which we say that there is a prompt, as it may be behind other windows
	// searchLimit is when a search that is not answered yet may be waiting for the person: KeePassXC has them unlock its
	// database before it searches.
	searchLimit = 500 * time.Millisecond
)

const (
	busName     = "org.freedesktop.DBus"
	busPath     = dbus.ObjectPath("/org/freedesktop/DBus")
	secretsName = "org.freedesktop.secrets"
	secretsPath = dbus.ObjectPath("/org/freedesktop/secrets")
	secretsAPI  = "org.freedesktop.Secret."
	itemSchema  = "dev.clerk-credential-helper.Item"
	noObject    = dbus.ObjectPath("/")
)

// start has the bus start KDE's service, which it does not know by the name of the API: kwallet ships files for the names
// below only (6.30: ksecretd, 6.13: kwalletd6, 5.103: kwalletd5), and a session without its PAM module has no service until a program of KDE
// needs one. It reports whether there is a service now. Without a display they end at once, so they are not started.
func (s secretService) start(ctx context.Context) bool {
	const alreadyRunning = 2 // D-Bus Specification, StartServiceByName
	if !s.display {
		return false
	}
	c, err := s.dial(ctx)
	if err != nil {
		return false
	}
	defer c.close()
	call := func(method string, args ...any) func(...any) error {
		return c.sendTo(ctx, busName, busPath, busName, method, args...)
	}
	call("Hello")
	// They take their own name before the API's; kwalletd5 5.103, 1 ms before.
	call("AddMatch", "type='signal',sender='"+busName+"',member='NameOwnerChanged',arg0='"+secretsName+"'")
	for _, name := range []string{"org.kde.secretservicecompat", "org.kde.kwalletd6", "org.kde.kwalletd5"} {
		var result uint32
		if call("StartServiceByName", name, uint32(0))(&result) != nil {
			continue
		}
		var owned bool
		if err := call("NameHasOwner", secretsName)(&owned); err != nil || owned {
			return owned
		}
		for c.Limit(replyLimit); result != alreadyRunning; {
			m, err := c.Receive()
			if err != nil {
				break
			}
			if m.Type == dbus.TypeSignal && m.Headers[dbus.FieldMember].Value() == "NameOwnerChanged" {
				return true
			}
		}
	}
	return false
}

// secret is the API's Secret struct, (oayays).
type secret struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

func attributes(name string) map[string]string {
	return map[string]string{"service": keychainService, "account": name, "xdg:schema": itemSchema}
}

func (s secretService) get(ctx context.Context, name string) (string, error) {
	c, opened, found, err := s.look(ctx, name)
	if err != nil {
		return "", err
	}
	defer c.close()
	session, err := opened()
	if err != nil {
		return "", err
	}
	open, locked, err := found()
	if err != nil {
		return "", err
	}
	if len(open) == 0 {
		return "", c.absent(ctx, locked)
	}
	var secrets map[dbus.ObjectPath]secret
	err = c.send(ctx, secretsPath, "Service", "GetSecrets", open, session)(&secrets)
	if err != nil && !isUnknown(err) { // KWallet's answer for an item that has gone meanwhile
		return "", err
	}
	for _, path := range open {
		if item, ok := secrets[path]; ok {
			if len(item.Value) == 0 {
				if provider, err := s.provider(ctx); err == nil && strings.Contains(provider, "gnome-keyring") {
					return "", fmt.Errorf("%w: it is empty", ErrDamaged)
				}
				// KWallet's answer for a locked item, which gnome-keyring does not give
				return "", fmt.Errorf("%w: the item is there but reads empty", ErrLocked)
			}
			return string(item.Value), nil
		}
	}
	return "", c.absent(ctx, nil)
}

func (s secretService) set(ctx context.Context, name, value string) error {
	return s.setLabelled(ctx, name, "", value)
}

// setLabelled replaces the secret of an existing item, or creates the item. Both are one step for readers. CreateItem could
// replace it as well, but KeePassXC asks the person before it does. Without a label, a new item has its name, and another
// keeps what it has.
func (s secretService) setLabelled(ctx context.Context, name, label, value string) error {
	c, opened, found, err := s.look(ctx, name)
	if err != nil {
		return err
	}
	defer c.close()
	session, err := opened()
	if err != nil {
		return err
	}
	open, locked, err := found()
	if err != nil {
		return err
	}
	if len(open) == 0 && c.confirms(ctx, locked) { // to replace it by CreateItem would ask the person
		return ErrConfirm
	}
	content := secret{session, []byte{}, []byte(value), "text/plain; charset=utf8"}
	kept := false
	for _, path := range open {
		stored := c.send(ctx, path, "Item", "SetSecret", content)
		relabel := c.relabel(ctx, path, label)
		err := stored()
		if err != nil && !isUnknown(err) {
			return err
		}
		if err == nil {
			relabel()
		}
		kept = kept || err == nil
	}
	if kept {
		return nil
	}
	// KeePassXC answers a write to a locked database with a prompt that would ask the person, so look first.
	if err := c.usable(ctx); err != nil {
		return err
	}
	prompt, err := c.create(ctx, name, label, content)
	if err != nil {
		return err
	}
	return c.follow(ctx, prompt, c.patience)
}

// create makes an item, at the end of the prompt if that is not "/". Another process may have made the item since we looked;
// then it is replaced.
func (c *secretsConn) create(ctx context.Context, name, label string, content secret) (prompt dbus.ObjectPath, err error) {
	if label == "" {
		label = keychainService + " " + name
	}
	properties := map[string]dbus.Variant{
		secretsAPI + "Item.Label":      dbus.MakeVariant(label),
		secretsAPI + "Item.Attributes": dbus.MakeVariant(attributes(name)),
	}
	const replace = true
	var item dbus.ObjectPath
	err = c.send(ctx, c.collection, "Collection", "CreateItem", properties, content, replace)(&item, &prompt)
	return prompt, err
}

func (s secretService) delete(ctx context.Context, name string) error {
	c, _, found, err := s.look(ctx, name)
	if err != nil {
		return err
	}
	defer c.close()
	open, locked, err := found()
	if err != nil {
		return err
	}
	if len(open) == 0 {
		return c.absent(ctx, locked)
	}
	return c.remove(ctx, open)
}

// remove deletes items. KWallet also deletes locked ones if it is told to, so only open ones are named.
func (c *secretsConn) remove(ctx context.Context, open []dbus.ObjectPath) error {
	for _, path := range open {
		var prompt dbus.ObjectPath
		err := c.send(ctx, path, "Item", "Delete")(&prompt)
		if err == nil {
			err = c.follow(ctx, prompt, c.patience)
		}
		if err != nil && !isUnknown(err) {
			return err
		}
	}
	return nil
}

// probe makes, reads and deletes an item, all on one connection. KeePassXC, as it comes, asks the person before it deletes
// anything, so nothing is made there: whole is false. It alone answers each CreateItem with a prompt, and makes nothing before
// the prompt is called.
func (s secretService) probe(ctx context.Context, name, value string) (whole bool, err error) {
	made, whole, err := s.tryItem(ctx, name, value)
	if made && err != nil {
		s.delete(context.WithoutCancel(ctx), name) // on another connection: that one may have ended
	}
	return whole, err
}

// tryItem is probe, and may leave what it has made.
func (s secretService) tryItem(ctx context.Context, name, value string) (made, whole bool, err error) {
	c, opened, found, err := s.look(ctx, name)
	if err != nil {
		return false, true, fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	defer c.close()
	session, err := opened()
	if err == nil {
		_, _, err = found()
	}
	if err == nil {
		err = c.usable(ctx)
	}
	var prompt dbus.ObjectPath
	if err == nil {
		made = true
		prompt, err = c.create(ctx, name, "", secret{session, []byte{}, []byte(value), "text/plain; charset=utf8"})
	}
	if err != nil {
		return made, true, fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	if prompt != noObject {
		return false, false, c.send(ctx, prompt, "Prompt", "Dismiss")()
	}
	open, _, err := c.search(ctx, attributes(name))()
	if err == nil {
		err = c.reads(ctx, open, session, value)
	}
	if err != nil {
		return true, true, fmt.Errorf("it does not return what was stored: %w", err)
	}
	if err := c.remove(ctx, open); err != nil {
		return true, true, fmt.Errorf("it deletes nothing: %w", err)
	}
	return true, true, nil
}

// reads checks that there are items, and that each has that secret.
func (c *secretsConn) reads(ctx context.Context, open []dbus.ObjectPath, session dbus.ObjectPath, value string) error {
	var secrets map[dbus.ObjectPath]secret
	if err := c.send(ctx, secretsPath, "Service", "GetSecrets", open, session)(&secrets); err != nil {
		return err
	}
	for _, item := range open {
		if string(secrets[item].Value) != value {
			return errOtherValue
		}
	}
	if len(open) == 0 {
		return ErrNotFound
	}
	return nil
}

func (s secretService) unlock(ctx context.Context, waiting func(), items ...string) error {
	if err := s.unlockKeyrings(ctx, waiting); err != nil {
		return err
	}
	s.granted.begin(waiting, items)
	return nil
}

// unlockKeyrings has the person unlock the default keyring and those with items of ours, or make a default one.
func (s secretService) unlockKeyrings(ctx context.Context, waiting func()) error {
	c, err := s.connect(ctx, nil)
	if err != nil {
		return err
	}
	defer c.close()
	var prompt dbus.ObjectPath
	if c.collection == noObject {
		var made dbus.ObjectPath
		properties := map[string]dbus.Variant{secretsAPI + "Collection.Label": dbus.MakeVariant(s.keyringLabel(ctx))}
		err := c.send(ctx, secretsPath, "Service", "CreateCollection", properties, "default")(&made, &prompt)
		if err != nil {
			return err
		}
		if err = c.ask(ctx, prompt, waiting); errors.Is(err, ErrLocked) {
			err = fmt.Errorf("%w, and its prompt to make one was dismissed, or could not be shown", ErrNoKeyring)
		}
		return err
	}
	var shut []dbus.ObjectPath
	if err := c.usable(ctx); errors.Is(err, ErrLocked) {
		shut = append(shut, c.collection)
	} else if err != nil {
		return err
	}
	// Our items may also be in a collection that was the default one when they were made.
	_, locked, err := c.search(ctx, map[string]string{"service": keychainService, "xdg:schema": itemSchema})()
	if err != nil && !errors.Is(err, ErrLocked) {
		return err
	}
	shut = append(shut, c.shut(ctx, locked)...)
	if len(shut) == 0 {
		return nil
	}
	var unlocked []dbus.ObjectPath
	err = c.send(ctx, secretsPath, "Service", "Unlock", shut)(&unlocked, &prompt)
	if err != nil {
		return err
	}
	return c.ask(ctx, prompt, waiting)
}

// keyringLabel is the label of a default keyring that is to be made. KWallet makes a wallet of that name the person's default,
// even if the person cancels, and its PAM module opens only the one that is called kdewallet.
func (s secretService) keyringLabel(ctx context.Context) string {
	provider, _ := s.provider(ctx)
	if strings.Contains(provider, "kwalletd") || strings.Contains(provider, "ksecretd") {
		return "kdewallet"
	}
	return "Default keyring"
}

// ask carries out a prompt for the person.
func (c *secretsConn) ask(ctx context.Context, prompt dbus.ObjectPath, waiting func()) error {
	if waiting != nil && prompt != noObject {
		defer time.AfterFunc(promptSaid, waiting).Stop()
	}
	return c.follow(ctx, prompt, personLimit)
}

// secretsConn is one private connection to the bus. It lives for one call of [Keychain], unless it is granted's.
type secretsConn struct {
	*bus.Conn
	collection dbus.ObjectPath // the default one, "/" if there is none
	session    dbus.ObjectPath // in which secrets travel; empty before openSession
	patience   time.Duration   // how long one reply may take
	known      bool            // the service has answered
	end        func()          // in place of closing it; may be nil
}

// dial connects to the bus.
func (s secretService) dial(ctx context.Context) (*secretsConn, error) {
	conn, err := bus.Dialer{Limit: replyLimit, None: errNoService, Foreign: ErrForeign}.Dial(ctx, s.addresses, s.socket)
	if err != nil {
		return nil, err
	}
	return &secretsConn{Conn: conn, collection: noObject, patience: replyLimit}, nil
}

// answer waits for the answer to a call. The error is a [*secretsError] if the answer is one.
func (c *secretsConn) answer(serial uint32) (*dbus.Message, error) {
	m, err := c.Answer(serial)
	if err == nil && m.Type == dbus.TypeError {
		return nil, failure(m)
	}
	return m, err
}

func (c *secretsConn) close() {
	if c.end != nil {
		c.end()
		return
	}
	c.Conn.Close()
}

// granted is the connection on which the person is asked for each access, by a service that does so itself. KeePassXC has it
// confirmed, as it comes, and remembers the answer for the connection; pass_secret_service asks for the password of a key. The
// connection is kept, so that one answer is enough for all that this process does with the items. No other item is read on it.
type granted struct {
	mu      sync.Mutex
	items   []string // empty before Unlock
	waiting func()
	conn    *secretsConn // nil if there is none
	asked   bool         // the person has confirmed an access on it
}

// begin has the items asked for from now on.
func (g *granted) begin(waiting func(), items []string) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.items, g.waiting = items, waiting
}

// holds reports whether there is an answer of the person that another process would need again.
func (g *granted) holds() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conn != nil && g.asked
}

// take returns the connection for an item that is asked for; nil for another item. It is the caller's until its close.
func (s secretService) take(ctx context.Context, name string) (c *secretsConn, err error) {
	g := s.granted
	if g == nil {
		return nil, nil
	}
	g.mu.Lock()
	if !slices.Contains(g.items, name) {
		g.mu.Unlock()
		return nil, nil
	}
	if g.conn == nil {
		if g.conn, err = s.connect(context.WithoutCancel(ctx), nil); err != nil {
			g.mu.Unlock()
			return nil, err
		}
		g.conn.patience = personLimit
	}
	c = g.conn
	c.Watch(ctx)
	said := time.AfterFunc(promptSaid, func() {
		if g.waiting != nil {
			g.waiting()
		}
	})
	c.end = func() {
		said.Stop()
		if !c.Release() {
			c.Conn.Close()
			g.conn = nil
		}
		g.mu.Unlock()
	}
	return c, nil
}

// grant has the person confirm the access to the items, all in one prompt, where that has to be.
func (c *secretsConn) grant(ctx context.Context, items []string) error {
	var all []dbus.ObjectPath
	for _, name := range items {
		_, locked, err := c.search(ctx, attributes(name))()
		if err != nil {
			return err
		}
		all = append(all, locked...)
	}
	if len(all) == 0 {
		return nil
	}
	var unlocked []dbus.ObjectPath
	var prompt dbus.ObjectPath
	if err := c.send(ctx, secretsPath, "Service", "Unlock", all)(&unlocked, &prompt); err != nil {
		return err
	}
	err := c.follow(ctx, prompt, c.patience)
	if errors.Is(err, ErrLocked) {
		err = fmt.Errorf("%w, and the prompt was dismissed or not answered", ErrConfirm)
	}
	return err
}

// look connects, asks for a session and searches for an item.
func (s secretService) look(ctx context.Context, name string) (c *secretsConn, opened func() (dbus.ObjectPath, error), found func() (open, locked []dbus.ObjectPath, err error), err error) {
	if c, err := s.take(ctx, name); c != nil || err != nil {
		opened = func() (session dbus.ObjectPath, err error) {
			if c.session == "" {
				c.session, err = c.openSession(ctx)()
			}
			return c.session, err
		}
		found = func() (open, locked []dbus.ObjectPath, err error) {
			open, locked, err = c.search(ctx, attributes(name))()
			if err == nil && len(locked) > 0 {
				if err = c.grant(ctx, s.granted.items); err == nil {
					s.granted.asked = true
					open, locked, err = c.search(ctx, attributes(name))()
				} else {
					s.granted.items = nil // the person has said no, and is not asked twice
				}
			}
			return open, locked, err
		}
		return c, opened, found, err
	}
	c, err = s.connect(ctx, func(c *secretsConn) {
		opened, found = c.openSession(ctx), c.search(ctx, attributes(name))
	})
	return c, opened, found, err
}

// connect returns a connection on which the service has answered once. No bus is ever started, but the bus may start the
// service. next, if not nil, prepares calls while the service works on its first answer; they go out when one of theirs
// is waited for. It is called again, for other serials, if there was a second question.
func (s secretService) connect(ctx context.Context, next func(*secretsConn)) (*secretsConn, error) {
	c, err := s.dial(ctx)
	if err != nil {
		return nil, noSecretService(ctx, err)
	}
	if err := c.begin(ctx, next); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// begin signs on to the bus and awaits the first answer of the service. That first call must be a harmless one: where
// it is OpenSession, short-lived clients crash gnome-keyring-daemon about once in 5,000 calls (it may handle the call
// before it has made its record of the client), and the keyring comes back locked. ReadAlias costs nothing: its answer
// is needed anyway, and it travels with the greeting of the bus. In the same rare case gnome-keyring answers it with no
// keyring; it makes the record before it turns to another call, so the second answer is the true one.
func (c *secretsConn) begin(ctx context.Context, next func(*secretsConn)) error {
	hello := c.sendTo(ctx, busName, busPath, busName, "Hello")
	alias := c.send(ctx, secretsPath, "Service", "ReadAlias", "default")
	if err := c.Flush(); err != nil {
		return serviceFailure(ctx, err)
	}
	if next != nil {
		next(c)
	}
	resume := c.Hold() // nothing more goes out before the service has answered
	var unique string
	if err := hello(&unique); err != nil {
		return err
	}
	err := alias(&c.collection)
	if err == nil && c.collection == noObject {
		err = c.send(ctx, secretsPath, "Service", "ReadAlias", "default")(&c.collection)
	}
	if !resume() && next != nil {
		next(c)
	}
	c.known = err == nil
	return err
}

// explain names the program that provides the service.
func (s secretService) explain(ctx context.Context) string {
	name, _ := s.provider(ctx)
	return name
}

// provider names the service and the program that provides it. The error is why nothing could be asked; the name is the
// service's alone then.
func (s secretService) provider(ctx context.Context) (string, error) {
	const name = "Secret Service"
	c, err := s.connect(ctx, nil)
	if err != nil {
		return name, err
	}
	defer c.close()
	var pid uint32
	if err := c.sendTo(ctx, busName, busPath, busName, "GetConnectionUnixProcessID", secretsName)(&pid); err != nil {
		return name, nil
	}
	process := filepath.Join("/proc", strconv.Itoa(int(pid)))
	program, err := os.Readlink(filepath.Join(process, "exe"))
	if err != nil { // as of KeePassXC, which lets no other process look
		text, failed := os.ReadFile(filepath.Join(process, "comm"))
		if program = strings.TrimSpace(string(text)); failed != nil || program == "" {
			return name, nil
		}
	}
	return name + " (" + filepath.Base(program) + ")", nil
}

// openSession asks for a session with the plain algorithm: secrets cross the socket as they are. The socket is a local
// one whose other end belongs to this user, and a process of this user that could listen on the bus could ask the
// service itself. So the Diffie-Hellman kind would hide nothing, and it would more than double the time of a read.
func (c *secretsConn) openSession(ctx context.Context) func() (dbus.ObjectPath, error) {
	opened := c.send(ctx, secretsPath, "Service", "OpenSession", "plain", dbus.MakeVariant(""))
	return func() (session dbus.ObjectPath, err error) {
		var output dbus.Variant
		err = opened(&output, &session)
		return session, err
	}
}

// search finds items in all collections.
func (c *secretsConn) search(ctx context.Context, attributes map[string]string) func() (open, locked []dbus.ObjectPath, err error) {
	serial, found := c.prepare(ctx, secretsName, secretsPath, secretsAPI+"Service", "SearchItems", attributes)
	return func() (open, locked []dbus.ObjectPath, err error) {
		if c.patience == replyLimit && !c.Answered(serial) && c.Quiet(searchLimit) && errors.Is(c.usable(ctx), ErrLocked) {
			return nil, nil, fmt.Errorf("%w, and it asks for its password before it searches", ErrLocked)
		}
		err = found(&open, &locked)
		return open, locked, err
	}
}

const propertiesAPI = "org.freedesktop.DBus.Properties"

// relabel prepares to give an item a label, if there is one and the item has another: a service saves its keyring for each
// change. An item without a good label is as useful to us, so an error is passed over.
func (c *secretsConn) relabel(ctx context.Context, item dbus.ObjectPath, label string) func() {
	if label == "" {
		return func() {}
	}
	asked := c.sendTo(ctx, secretsName, item, propertiesAPI, "Get", secretsAPI+"Item", "Label")
	return func() {
		var has dbus.Variant
		if err := asked(&has); err == nil && has.Value() != label {
			c.sendTo(ctx, secretsName, item, propertiesAPI, "Set", secretsAPI+"Item", "Label", dbus.MakeVariant(label))()
		}
	}
}

// absent returns why no open item was found. An empty result proves nothing while the collection is locked: KeePassXC
// shows no items then.
func (c *secretsConn) absent(ctx context.Context, locked []dbus.ObjectPath) error {
	if c.confirms(ctx, locked) {
		return ErrConfirm
	}
	if len(locked) > 0 {
		return ErrLocked
	}
	if err := c.usable(ctx); err != nil {
		return err
	}
	return ErrNotFound
}

// confirms reports whether locked items are so although their keyrings are open: the person has to confirm the access.
func (c *secretsConn) confirms(ctx context.Context, locked []dbus.ObjectPath) bool {
	return len(locked) > 0 && len(c.shut(ctx, locked)) == 0
}

// shut returns the items of locked keyrings among locked items.
func (c *secretsConn) shut(ctx context.Context, locked []dbus.ObjectPath) (items []dbus.ObjectPath) {
	for _, item := range locked {
		if c.open(ctx, dbus.ObjectPath(path.Dir(string(item)))) != nil {
			items = append(items, item)
		}
	}
	return items
}

// confirms reports whether the person has to confirm the access to items of ours.
func (s secretService) confirms(ctx context.Context) bool {
	c, err := s.connect(ctx, nil)
	if err != nil {
		return false
	}
	defer c.close()
	if c.usable(ctx) != nil {
		return false
	}
	_, locked, err := c.search(ctx, map[string]string{"service": keychainService, "xdg:schema": itemSchema})()
	return err == nil && c.confirms(ctx, locked)
}

// usable checks that there is a default collection and that it is open.
func (c *secretsConn) usable(ctx context.Context) error {
	if c.collection == noObject {
		return ErrNoKeyring
	}
	return c.open(ctx, c.collection)
}

// open checks that a collection is open.
func (c *secretsConn) open(ctx context.Context, collection dbus.ObjectPath) error {
	var locked dbus.Variant
	property := c.sendTo(ctx, secretsName, collection, propertiesAPI, "Get", secretsAPI+"Collection", "Locked")
	if err := property(&locked); err != nil {
		return err
	}
	switch locked.Value() {
	case false:
		return nil
	case true:
		return ErrLocked
	}
	return errors.New("secret service: the keyring does not report whether it is locked")
}

// follow carries out a prompt, if the service answered with one, and waits for its end. Following is not asking:
// KeePassXC answers each write with a prompt that shows no window, and does nothing until it is called.
func (c *secretsConn) follow(ctx context.Context, prompt dbus.ObjectPath, limit time.Duration) error {
	if prompt == noObject {
		return nil
	}
	const completed = "Completed"
	const rule = "type='signal',sender='" + secretsName + "',interface='" + secretsAPI + "Prompt',member='" + completed + "'"
	if err := c.sendTo(ctx, busName, busPath, busName, "AddMatch", rule)(); err != nil {
		return err
	}
	asked := c.Call(secretsName, prompt, secretsAPI+"Prompt", "Prompt", "")
	c.Limit(limit)
	var err error
	for err == nil {
		var m *dbus.Message
		switch m, err = c.Receive(); {
		case err != nil:
		case m.Type == dbus.TypeError && bus.ReplySerial(m) == asked:
			return serviceFailure(ctx, failure(m))
		case m.Type == dbus.TypeSignal && m.Headers[dbus.FieldPath].Value() == prompt && m.Headers[dbus.FieldMember].Value() == completed:
			if len(m.Body) == 0 || m.Body[0] != false {
				return fmt.Errorf("%w: the prompt was dismissed", ErrLocked)
			}
			c.Limit(c.patience)
			_, err := c.answer(asked)
			return err
		}
	}
	if ctx.Err() != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return noSecretService(ctx, err)
	}
	c.Call(secretsName, prompt, secretsAPI+"Prompt", "Dismiss")
	c.Limit(replyLimit)
	c.Flush() // if this fails, the prompt ends with the connection
	return fmt.Errorf("%w: its prompt was not answered within %v", ErrLocked, limit)
}

// send calls a method of the service's API on one of its objects; see sendTo.
func (c *secretsConn) send(ctx context.Context, path dbus.ObjectPath, kind, method string, args ...any) func(results ...any) error {
	return c.sendTo(ctx, secretsName, path, secretsAPI+kind, method, args...)
}

// sendTo prepares a call and returns the function that waits for the answer, so that several calls travel together.
func (c *secretsConn) sendTo(ctx context.Context, destination string, path dbus.ObjectPath, api, method string, args ...any) func(results ...any) error {
	_, answered := c.prepare(ctx, destination, path, api, method, args...)
	return answered
}

// prepare is sendTo with the serial of the call.
func (c *secretsConn) prepare(ctx context.Context, destination string, path dbus.ObjectPath, api, method string, args ...any) (serial uint32, answered func(results ...any) error) {
	serial = c.Call(destination, path, api, method, args...)
	return serial, func(results ...any) error {
		c.Limit(c.patience)
		m, err := c.answer(serial)
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil && c.known && mayAsk(method) {
			return fmt.Errorf("%w: no answer within %v; the Secret Service may be asking in a window of its own", ErrLocked, c.patience)
		}
		if err != nil {
			return serviceFailure(ctx, err)
		}
		if err := dbus.Store(m.Body, results...); err != nil {
			return fmt.Errorf("secret service: unexpected answer to %s: %w", method, err)
		}
		return nil
	}
}

// mayAsk reports whether a service may ask the person before it answers the method: pass_secret_service for the password of a
// key, KeePassXC for that of its database.
func mayAsk(method string) bool {
	return method == "GetSecrets" || method == "SetSecret" || method == "CreateItem" || method == "SearchItems"
}

// secretsError is an error that the service or the bus answered. Both strings are foreign.
type secretsError struct{ name, text string }

func (e *secretsError) Error() string {
	if e.text == "" || e.text == e.name { // as xdg-dbus-proxy answers
		return fmt.Sprintf("secret service: %q", e.name)
	}
	return fmt.Sprintf("secret service: %q: %q", e.name, e.text)
}

// Is reports whether a sandbox refuses the service to us.
func (e *secretsError) Is(target error) bool {
	return target == fs.ErrPermission && e.name == "org.freedesktop.DBus.Error.AccessDenied"
}

// isUnknown reports whether an error means that the item does not exist (any more). Each service has its own error for
// it.
func isUnknown(err error) bool {
	var e *secretsError
	if !errors.As(err, &e) {
		return false
	}
	switch e.name {
	case "org.freedesktop.DBus.Error.UnknownMethod", // gnome-keyring
		"org.freedesktop.DBus.Error.UnknownObject",    // KeePassXC, KWallet
		"org.freedesktop.DBus.Error.UnknownInterface", // KeePassXC
		"org.freedesktop.DBus.Error.InvalidArgs",      // KWallet
		"org.freedesktop.Secret.Error.NoSuchObject":   // the specification
		return true
	}
	return false
}

// failure is the error in a message of that type. Its first value, if there is one, is a text for people.
func failure(m *dbus.Message) error {
	e := &secretsError{}
	e.name, _ = m.Headers[dbus.FieldErrorName].Value().(string)
	if len(m.Body) > 0 {
		e.text, _ = m.Body[0].(string)
	}
	return e
}

// serviceFailure translates the error of a failed call.
func serviceFailure(ctx context.Context, err error) error {
	var answer *secretsError
	if !errors.As(err, &answer) {
		return noSecretService(ctx, err)
	}
	switch name := answer.name; {
	case name == "org.freedesktop.Secret.Error.IsLocked":
		return ErrLocked
	case name == "org.freedesktop.DBus.Error.ServiceUnknown", name == "org.freedesktop.DBus.Error.NameHasNoOwner":
		return noSecretService(ctx, fmt.Errorf("%w: %w", errNoService, answer))
	case name == "org.freedesktop.DBus.Error.TimedOut", // the provider does not start
		strings.HasPrefix(name, "org.freedesktop.DBus.Error.Spawn."),
		name == "org.freedesktop.DBus.Error.NoReply", // the provider ended while it was asked
		name == "org.freedesktop.DBus.Error.AccessDenied":
		return noSecretService(ctx, answer)
	}
	return answer
}

// errNoService means that nothing can keep a secret: there is no bus, or no program on it provides the service. A
// service that does not answer does exist.
var errNoService = errors.New("no program provides it here")

// noSecretService is the error for a service that does not exist or does not answer, unless our own context has ended.
func noSecretService(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("no answer within %v", replyLimit)
	}
	return fmt.Errorf("%w: the Secret Service cannot be reached: %w", ErrUnavailable, err)
}
