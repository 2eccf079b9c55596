package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

func nativeKeychain() *Keychain {
	s := secretService{
		addresses: os.Getenv("DBUS_SESSION_BUS_ADDRESS"),
		socket:    filepath.Join("/run/user", strconv.Itoa(os.Geteuid()), "bus"),
	}
	return &Keychain{store: s, unlock: s.unlock, describe: "Secret Service", lockDir: LockDir}
}

// secretService keeps each secret as an item of the default collection of org.freedesktop.secrets, the Secret Service
// API 0.2, with the attributes below. gnome-keyring, KeePassXC and KWallet provide it, each with its own idea of the
// details, named where the code follows them.
type secretService struct {
	addresses string // D-Bus addresses of the session bus; empty: socket
	socket    string // path of the session bus's usual socket
}

// The limits of waiting.
const (
	replyLimit  = 3 * time.Second // one reply, where nobody is asked
	personLimit = 2 * time.Minute // one prompt, where a person may be asked
)

const (
	secretsName = "org.freedesktop.secrets"
	secretsPath = dbus.ObjectPath("/org/freedesktop/secrets")
	secretsAPI  = "org.freedesktop.Secret."
	itemSchema  = "dev.clerk-credential-helper.Item"
	noObject    = dbus.ObjectPath("/")
)

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
	c, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	defer c.Close()
	opened, found := c.openSession(ctx), c.search(ctx, attributes(name))
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
	err = c.send(ctx, secretsPath, "Service.GetSecrets", open, session)(&secrets)
	if err != nil && !isUnknown(err) { // KWallet's answer for an item that has gone meanwhile
		return "", err
	}
	for _, path := range open {
		if item, ok := secrets[path]; ok {
			if len(item.Value) == 0 { // KWallet's answer for a locked item
				return "", fmt.Errorf("%w: the item is there but reads empty", ErrLocked)
			}
			return string(item.Value), nil
		}
	}
	return "", c.absent(ctx, nil)
}

func (s secretService) set(ctx context.Context, name, value string) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	opened := c.openSession(ctx)
	// KeePassXC answers a write to a locked database with a prompt that would ask the person, so look first.
	if err := c.usable(ctx); err != nil {
		return err
	}
	session, err := opened()
	if err != nil {
		return err
	}
	properties := map[string]dbus.Variant{
		secretsAPI + "Item.Label":      dbus.MakeVariant(keychainService + " " + name),
		secretsAPI + "Item.Attributes": dbus.MakeVariant(attributes(name)),
	}
	const replace = true // in place: readers never miss the item
	var item, prompt dbus.ObjectPath
	content := secret{session, []byte{}, []byte(value), "text/plain; charset=utf8"}
	err = c.send(ctx, c.collection, "Collection.CreateItem", properties, content, replace)(&item, &prompt)
	if err != nil {
		return err
	}
	return c.follow(ctx, prompt, replyLimit)
}

func (s secretService) delete(ctx context.Context, name string) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	open, locked, err := c.search(ctx, attributes(name))()
	if err != nil {
		return err
	}
	if len(open) == 0 {
		return c.absent(ctx, locked)
	}
	// KWallet also deletes locked items if it is told to, so only the open ones are named.
	for _, path := range open {
		var prompt dbus.ObjectPath
		err := c.send(ctx, path, "Item.Delete")(&prompt)
		if err == nil {
			err = c.follow(ctx, prompt, replyLimit)
		}
		if err != nil && !isUnknown(err) {
			return err
		}
	}
	return nil
}

func (s secretService) unlock(ctx context.Context) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	var prompt dbus.ObjectPath
	if c.collection == noObject {
		var made dbus.ObjectPath
		properties := map[string]dbus.Variant{secretsAPI + "Collection.Label": dbus.MakeVariant("Default keyring")}
		err := c.send(ctx, secretsPath, "Service.CreateCollection", properties, "default")(&made, &prompt)
		if err != nil {
			return err
		}
		return c.follow(ctx, prompt, personLimit)
	}
	// Our items may also be in a collection that was the default one when they were made.
	_, locked, err := c.search(ctx, map[string]string{"service": keychainService, "xdg:schema": itemSchema})()
	if err != nil {
		return err
	}
	var unlocked []dbus.ObjectPath
	err = c.send(ctx, secretsPath, "Service.Unlock", append(locked, c.collection))(&unlocked, &prompt)
	if err != nil {
		return err
	}
	return c.follow(ctx, prompt, personLimit)
}

// secretsConn is one private connection to the bus. It lives for one call of [Keychain].
type secretsConn struct {
	*dbus.Conn
	collection dbus.ObjectPath // the default one, "/" if there is none
}

// connect returns a connection on which the service has answered once. No bus is ever started (the library's own
// SessionBus would run dbus-launch and leave a bus behind), but the bus may start the service.
func (s secretService) connect(ctx context.Context) (*secretsConn, error) {
	socket, err := dialBus(ctx, s.addresses, s.socket)
	if err != nil {
		return nil, noSecretService(ctx, err)
	}
	conn, err := dbus.NewConn(socket, dbus.WithContext(ctx))
	if err != nil {
		socket.Close()
		return nil, err
	}
	c := &secretsConn{conn, noObject}
	if err := c.begin(ctx, socket); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// begin signs on to the bus and awaits the first answer of the service. That first call must be a harmless one: where
// it is OpenSession, short-lived clients crash gnome-keyring-daemon about once in 5,000 calls (it may handle the call
// before it has made its record of the client), and the keyring comes back locked. ReadAlias costs nothing: its answer
// is needed anyway, and the greeting of the bus travels with it.
func (c *secretsConn) begin(ctx context.Context, socket *busSocket) error {
	if err := socket.SetDeadline(time.Now().Add(replyLimit)); err != nil {
		return noSecretService(ctx, err)
	}
	if err := c.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))}); err != nil {
		return noSecretService(ctx, err)
	}
	if err := socket.SetDeadline(time.Time{}); err != nil { // from here on each call has its own limit
		return noSecretService(ctx, err)
	}
	hello := c.sendTo(ctx, c.BusObject(), "org.freedesktop.DBus.Hello")
	alias := c.send(ctx, secretsPath, "Service.ReadAlias", "default")
	var unique string
	if err := hello(&unique); err != nil {
		return err
	}
	return alias(&c.collection)
}

// openSession asks for a session with the plain algorithm: secrets cross the socket as they are. The socket is a local
// one whose other end belongs to this user, and a process of this user that could listen on the bus could ask the
// service itself. So the Diffie-Hellman kind would hide nothing, and it would more than double the time of a read.
func (c *secretsConn) openSession(ctx context.Context) func() (dbus.ObjectPath, error) {
	opened := c.send(ctx, secretsPath, "Service.OpenSession", "plain", dbus.MakeVariant(""))
	return func() (session dbus.ObjectPath, err error) {
		var output dbus.Variant
		err = opened(&output, &session)
		return session, err
	}
}

// search finds items in all collections.
func (c *secretsConn) search(ctx context.Context, attributes map[string]string) func() (open, locked []dbus.ObjectPath, err error) {
	found := c.send(ctx, secretsPath, "Service.SearchItems", attributes)
	return func() (open, locked []dbus.ObjectPath, err error) {
		err = found(&open, &locked)
		return open, locked, err
	}
}

// absent says why no open item was found. A search that finds nothing proves nothing while the collection is locked:
// KeePassXC shows no items then.
func (c *secretsConn) absent(ctx context.Context, locked []dbus.ObjectPath) error {
	if len(locked) > 0 {
		return ErrLocked
	}
	if err := c.usable(ctx); err != nil {
		return err
	}
	return ErrNotFound
}

// usable checks that there is a default collection and that it is open.
func (c *secretsConn) usable(ctx context.Context) error {
	if c.collection == noObject {
		return fmt.Errorf("%w: the Secret Service has no default keyring", ErrLocked)
	}
	var locked bool
	property := c.sendTo(ctx, c.Object(secretsName, c.collection), "org.freedesktop.DBus.Properties.Get", secretsAPI+"Collection", "Locked")
	if err := property(&locked); err != nil {
		return err
	}
	if locked {
		return ErrLocked
	}
	return nil
}

// follow carries out a prompt, if the service answered with one, and waits for its end. Following is not asking:
// KeePassXC answers each write with a prompt that shows no window, and does nothing until it is called.
func (c *secretsConn) follow(ctx context.Context, prompt dbus.ObjectPath, limit time.Duration) error {
	if prompt == noObject {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	signals := make(chan *dbus.Signal, 16)
	c.Signal(signals)
	const completed = "Completed"
	err := c.AddMatchSignalContext(waiting, dbus.WithMatchObjectPath(prompt),
		dbus.WithMatchInterface(secretsAPI+"Prompt"), dbus.WithMatchMember(completed))
	if err != nil {
		return serviceFailure(ctx, err)
	}
	call := c.Object(secretsName, prompt).GoWithContext(waiting, secretsAPI+"Prompt.Prompt", 0, nil, "")
	for answered := call.Done; ; {
		select {
		case done := <-answered:
			if done.Err != nil && waiting.Err() == nil {
				return serviceFailure(ctx, done.Err)
			}
			answered = nil // the person is being asked
		case signal, ok := <-signals:
			if !ok {
				return noSecretService(ctx, errors.New("the connection to the bus has ended"))
			}
			if signal.Path != prompt || signal.Name != secretsAPI+"Prompt."+completed {
				continue
			}
			if len(signal.Body) == 0 || signal.Body[0] != false {
				return fmt.Errorf("%w: the prompt was dismissed", ErrLocked)
			}
			return nil
		case <-waiting.Done():
			if err := ctx.Err(); err != nil {
				return err
			}
			c.Object(secretsName, prompt).Go(secretsAPI+"Prompt.Dismiss", dbus.FlagNoReplyExpected, nil)
			return fmt.Errorf("%w: its prompt was not answered within %v", ErrLocked, limit)
		}
	}
}

// send calls a method of the service's API on one of its objects; see sendTo.
func (c *secretsConn) send(ctx context.Context, path dbus.ObjectPath, method string, args ...any) func(results ...any) error {
	return c.sendTo(ctx, c.Object(secretsName, path), secretsAPI+method, args...)
}

// sendTo sends a call and returns the function that waits for the answer, so that several calls can be on their way.
func (c *secretsConn) sendTo(ctx context.Context, object dbus.BusObject, method string, args ...any) func(results ...any) error {
	waiting, cancel := context.WithTimeout(ctx, replyLimit)
	call := object.GoWithContext(waiting, method, 0, nil, args...)
	return func(results ...any) error {
		defer cancel()
		done := <-call.Done
		if done.Err != nil {
			return serviceFailure(ctx, done.Err)
		}
		if err := dbus.Store(done.Body, results...); err != nil {
			return fmt.Errorf("secret service: unexpected answer to %s: %w", method, err)
		}
		return nil
	}
}

// secretsError is an error that the service or the bus answered. Both strings are foreign.
type secretsError struct{ name, text string }

func (e *secretsError) Error() string { return fmt.Sprintf("secret service: %q: %q", e.name, e.text) }

// isUnknown says that an item is not there (any more). Every service has its own word for it.
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

// serviceFailure puts a failed call into our words.
func serviceFailure(ctx context.Context, err error) error {
	var answer dbus.Error
	if !errors.As(err, &answer) {
		return noSecretService(ctx, err)
	}
	failure := &secretsError{name: answer.Name}
	if len(answer.Body) > 0 {
		failure.text, _ = answer.Body[0].(string)
	}
	switch name := answer.Name; {
	case name == "org.freedesktop.Secret.Error.IsLocked":
		return ErrLocked
	case name == "org.freedesktop.DBus.Error.ServiceUnknown", // nobody provides the name
		name == "org.freedesktop.DBus.Error.NameHasNoOwner",
		name == "org.freedesktop.DBus.Error.TimedOut", // the provider does not start
		strings.HasPrefix(name, "org.freedesktop.DBus.Error.Spawn."),
		name == "org.freedesktop.DBus.Error.NoReply", // the provider ended while it was asked
		name == "org.freedesktop.DBus.Error.AccessDenied":
		return noSecretService(ctx, failure)
	}
	return failure
}

// noSecretService says that there is no service here, or none that answers, unless it is we who gave up.
func noSecretService(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("no answer within %v", replyLimit)
	}
	return fmt.Errorf("%w: the Secret Service cannot be reached: %v", ErrUnavailable, err)
}
