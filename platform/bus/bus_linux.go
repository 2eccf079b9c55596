package bus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

const (
	// maxBytes is the most that is read from a bus on one connection. One connection carries one secret.
	maxBytes = 4 << 20
	// guidDigits is the length of a bus's name for itself, hexadecimal (D-Bus Specification, UUIDs).
	guidDigits = 32
	// serialOffset is where a message's serial stands, four bytes.
	serialOffset = 8
)

// Conn is a connection to a message bus, for one goroutine.
type Conn struct {
	socket  *socket
	in      *bufio.Reader
	auth    string // the first line of the handshake, if its answer is awaited before anything else is written
	out     []byte // called, and not written yet
	serial  uint32 // the last call's
	greeted bool   // the bus has accepted us
	failed  error  // a call that could not be encoded
	broken  bool   // nothing more can be read, or a part of a message was lost
	answers map[uint32]*dbus.Message
}

// newConn begins with the handshake: EXTERNAL is the mechanism by which the kernel tells the bus who we are. BEGIN and
// the first messages do not wait for its answer; Receive looks at it before anything else. A proxy is waited for: it also
// reads the handshake, and xdg-dbus-proxy 0.1.4 takes what follows in the same write for a part of it.
func newConn(s *socket) *Conn {
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	auth, begin := "\x00AUTH EXTERNAL "+uid+"\r\n", "BEGIN\r\n"
	if !s.proxy {
		auth, begin = "", auth+begin
	}
	return &Conn{
		socket:  s,
		in:      bufio.NewReader(io.LimitReader(s, maxBytes)),
		auth:    auth,
		out:     []byte(begin),
		answers: make(map[uint32]*dbus.Message),
	}
}

// Close ends the connection.
func (c *Conn) Close() { c.socket.close() }

// Limit bounds the waiting from now on.
func (c *Conn) Limit(d time.Duration) { c.socket.deadline = time.Now().Add(d) }

// Watch has the end of ctx end the connection, until Release, in place of the context of Dial.
func (c *Conn) Watch(ctx context.Context) {
	c.socket.release()
	c.socket.watch(ctx)
}

// Release ends Watch. It reports whether the connection can still be used.
func (c *Conn) Release() bool { return c.socket.release() && !c.broken }

// Hold keeps the calls that were prepared from being written until resume. If another call was made meanwhile, resume drops
// them and reports false: serials have to rise, or xdg-dbus-proxy 0.1.4 ends the connection.
func (c *Conn) Hold() (resume func() bool) {
	held, last := c.out, c.serial
	c.out = nil
	return func() bool {
		if c.serial != last {
			return false
		}
		c.out = held
		return true
	}
}

// Call prepares a method call and returns its serial, for Answer.
func (c *Conn) Call(destination string, path dbus.ObjectPath, api, method string, args ...any) uint32 {
	c.serial++
	m := &dbus.Message{
		Type: dbus.TypeMethodCall,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(destination),
			dbus.FieldPath:        dbus.MakeVariant(path),
			dbus.FieldInterface:   dbus.MakeVariant(api),
			dbus.FieldMember:      dbus.MakeVariant(method),
		},
		Body: args,
	}
	if len(args) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(args...))
	}
	var encoded bytes.Buffer
	if err := m.EncodeTo(&encoded, binary.LittleEndian); err != nil {
		c.failed = errors.Join(c.failed, err)
		return c.serial
	}
	text := encoded.Bytes()
	// The library numbers the messages of its own connections only (D-Bus Specification, Message Format).
	binary.LittleEndian.PutUint32(text[serialOffset:], c.serial)
	c.out = append(c.out, text...)
	return c.serial
}

// Answer waits for the answer to a call, which may be an error.
func (c *Conn) Answer(serial uint32) (*dbus.Message, error) {
	for !c.Answered(serial) {
		if _, err := c.Receive(); err != nil {
			return nil, err
		}
	}
	m := c.answers[serial]
	delete(c.answers, serial)
	return m, nil
}

// Answered reports whether Answer need not wait.
func (c *Conn) Answered(serial uint32) bool { return c.answers[serial] != nil }

// ReplySerial is the serial of the call that a message answers, 0 for other messages.
func ReplySerial(m *dbus.Message) uint32 {
	serial, _ := m.Headers[dbus.FieldReplySerial].Value().(uint32)
	return serial
}

// Flush writes the calls that were collected.
func (c *Conn) Flush() error {
	if len(c.out) == 0 {
		return nil
	}
	if c.auth != "" {
		if _, err := io.WriteString(c.socket, c.auth); err != nil {
			return err
		}
		c.auth = ""
		if err := c.greet(); err != nil {
			return err
		}
	}
	_, err := c.socket.Write(c.out)
	c.out = c.out[:0]
	return err
}

// greet reads the answer to the handshake, once.
func (c *Conn) greet() error {
	if c.greeted {
		return nil
	}
	err := c.readGreeting()
	c.greeted = err == nil
	return err
}

// Quiet reports whether nothing comes within d, once everything has been written.
func (c *Conn) Quiet(d time.Duration) bool {
	if c.in.Buffered() > 0 || c.failed != nil || c.Flush() != nil {
		return false
	}
	poll := []unix.PollFd{{Fd: int32(c.socket.fd), Events: unix.POLLIN}}
	for until := time.Now().Add(d); ; {
		n, err := unix.Poll(poll, max(0, int(time.Until(until).Milliseconds())))
		if err != unix.EINTR { // by one of the runtime's own signals
			return n == 0 && err == nil
		}
	}
}

// Receive reads one message, after everything has been written. Answers are also kept for Answer.
func (c *Conn) Receive() (*dbus.Message, error) {
	if c.failed != nil {
		return nil, c.failed
	}
	err := c.Flush()
	if err == nil {
		err = c.greet()
	}
	var m *dbus.Message
	if err == nil {
		m, err = dbus.DecodeMessage(c.in)
	}
	if err != nil {
		c.broken = true
		return nil, err
	}
	if serial := ReplySerial(m); serial != 0 {
		c.answers[serial] = m
	}
	return m, nil
}

// readGreeting reads the line "OK GUID" (D-Bus Specification, Authentication Protocol). Anything else is a refusal, and
// then the bus takes none of the messages that have been written.
func (c *Conn) readGreeting() error {
	line, err := c.in.ReadSlice('\n') // of 4096 bytes at most, the reader's buffer
	if err != nil {
		return fmt.Errorf("reading the greeting of the bus: %w", err)
	}
	guid, ok := strings.CutPrefix(string(line), "OK ")
	guid, end := strings.CutSuffix(guid, "\r\n")
	if _, err := hex.DecodeString(guid); !ok || !end || err != nil || len(guid) != guidDigits {
		return fmt.Errorf("the bus does not accept us: %q", line)
	}
	return nil
}

// Dialer connects to a bus. All fields are required.
type Dialer struct {
	Limit   time.Duration // of the waiting, until Conn.Limit
	None    error         // wrapped if there is no socket
	Foreign error         // wrapped if it belongs to another user
}

// Dial connects to the first bus in a list of D-Bus addresses that answers, or to the socket at path if the list is
// empty. Only Unix sockets whose other end runs as this user are accepted: secrets cross them in the clear.
func (d Dialer) Dial(ctx context.Context, addresses, path string) (*Conn, error) {
	if addresses == "" || addresses == "autolaunch:" {
		return d.dial(ctx, path)
	}
	var failed error
	for address := range strings.SplitSeq(addresses, ";") {
		if address == "" {
			continue
		}
		socket, err := parseAddress(address)
		if err == nil {
			var conn *Conn
			if conn, err = d.dial(ctx, socket); err == nil {
				return conn, nil
			}
		}
		if failed == nil || errors.Is(failed, d.None) {
			failed = err
		}
	}
	if failed == nil {
		failed = fmt.Errorf("no bus address in %q", addresses)
	}
	return nil, failed
}

// parseAddress returns the socket of one address of the forms unix:path=... and unix:abstract=..., with "@" before
// an abstract one (D-Bus Specification, Server Addresses). Other keys are passed over.
func parseAddress(address string) (string, error) {
	rest, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return "", fmt.Errorf("the bus address %q is not a unix socket", address)
	}
	var socket string
	for pair := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(pair, "=")
		if key != "path" && key != "abstract" {
			continue
		}
		value, err := url.PathUnescape(value)
		if err != nil || value == "" || socket != "" || strings.Contains(value, "\x00") {
			return "", fmt.Errorf("invalid bus address %q", address)
		}
		if key == "abstract" {
			value = "@" + value
		}
		socket = value
	}
	if socket == "" {
		return "", fmt.Errorf("the bus address %q names no socket", address)
	}
	return socket, nil
}

func (d Dialer) dial(ctx context.Context, name string) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{fd: fd}
	s.watch(ctx)
	s.deadline = time.Now().Add(d.Limit)
	_, err = s.try(unix.SO_SNDTIMEO, "connect", func() (int, error) { return 0, unix.Connect(fd, &unix.SockaddrUnix{Name: name}) })
	if err == nil {
		var pid int
		pid, err = d.checkPeer(fd, os.Geteuid())
		s.proxy = err == nil && isProxy(pid)
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		err = fmt.Errorf("%w: %w", d.None, err)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("bus at %q: %w", name, err)
	}
	return newConn(s), nil
}

// socket is a connected socket that blocks its thread: the runtime's poller would cost a process that waits three
// times in its life two changes of threads for each.
type socket struct {
	fd       int
	deadline time.Time
	unwatch  func() bool
	ended    chan struct{} // closed when the context's end has been carried out
	proxy    bool          // the other end passes on what it reads
}

// watch has the end of ctx end each wait, and the connection, until release.
func (s *socket) watch(ctx context.Context) {
	ended := make(chan struct{})
	s.ended = ended
	s.unwatch = context.AfterFunc(ctx, func() {
		defer close(ended)
		unix.Shutdown(s.fd, unix.SHUT_RDWR)
	})
}

// release ends watch. It reports whether the connection can still be used.
func (s *socket) release() bool {
	if !s.unwatch() {
		<-s.ended // the number must not be another file's by then
		return false
	}
	s.unwatch = func() bool { return true }
	return true
}

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.try(unix.SO_RCVTIMEO, "read", func() (int, error) { return unix.Read(s.fd, p) })
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := s.try(unix.SO_SNDTIMEO, "write", func() (int, error) { return unix.Write(s.fd, p[written:]) })
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// try makes a system call with what is left of the limit as the socket's own, which option says.
func (s *socket) try(option int, name string, call func() (int, error)) (int, error) {
	for {
		left := time.Until(s.deadline)
		if left < time.Microsecond { // zero would mean no limit
			return 0, os.ErrDeadlineExceeded
		}
		timeout := unix.NsecToTimeval(left.Nanoseconds())
		if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, option, &timeout); err != nil {
			return 0, os.NewSyscallError("setsockopt", err)
		}
		switch n, err := call(); err {
		case nil:
			return n, nil
		case unix.EINTR: // by one of the runtime's own signals
		case unix.EAGAIN:
			return 0, os.ErrDeadlineExceeded
		default:
			return 0, os.NewSyscallError(name, err)
		}
	}
}

func (s *socket) close() {
	s.release()
	unix.Close(s.fd)
}

// checkPeer asks the kernel who listens at the other end, and returns its process id.
func (d Dialer) checkPeer(fd, uid int) (pid int, err error) {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt", err)
	}
	if int(peer.Uid) != uid {
		return 0, fmt.Errorf("it %w (%d)", d.Foreign, peer.Uid)
	}
	return int(peer.Pid), nil
}

// isProxy reports whether the process that listens is xdg-dbus-proxy, or cannot be seen from here, as in a container.
func isProxy(pid int) bool {
	if pid == 0 {
		return true
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/comm", unix.O_RDONLY|unix.O_CLOEXEC, 0) // os.Open would start the poller
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	var name [16]byte // TASK_COMM_LEN
	n, err := unix.Read(fd, name[:])
	return err != nil || string(name[:max(n, 0)]) == "xdg-dbus-proxy\n"
}
