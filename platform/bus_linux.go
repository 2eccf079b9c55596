package platform

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
	// maxBusBytes is the most that is read from a bus on one connection. One connection carries one secret.
	maxBusBytes = 4 << 20
	// guidDigits is the length of a bus's name for itself, hexadecimal (D-Bus Specification, UUIDs).
	guidDigits = 32
	// serialOffset is where a message's serial stands, four bytes.
	serialOffset = 8
)

// busConn is a connection to a message bus for one goroutine. It is made for a program that reads one secret and ends:
// calls are collected and go out, with the handshake, in one write when an answer is waited for.
type busConn struct {
	socket  *busSocket
	in      *bufio.Reader
	auth    string // the first line of the handshake, if its answer is awaited before anything else is written
	out     []byte // called, and not written yet
	serial  uint32 // the last call's
	greeted bool   // the bus has accepted us
	failed  error  // a call that could not be encoded
	broken  bool   // nothing more can be read, or a part of a message was lost
	answers map[uint32]*dbus.Message
}

// newBusConn begins with the handshake: EXTERNAL is the mechanism by which the kernel tells the bus who we are. BEGIN and
// the first messages do not wait for its answer; receive looks at it before anything else. A proxy is waited for: it also
// reads the handshake, and xdg-dbus-proxy 0.1.4 takes what follows in the same write for a part of it.
func newBusConn(socket *busSocket) *busConn {
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	auth, begin := "\x00AUTH EXTERNAL "+uid+"\r\n", "BEGIN\r\n"
	if !socket.proxy {
		auth, begin = "", auth+begin
	}
	return &busConn{
		socket:  socket,
		in:      bufio.NewReader(io.LimitReader(socket, maxBusBytes)),
		auth:    auth,
		out:     []byte(begin),
		answers: make(map[uint32]*dbus.Message),
	}
}

func (c *busConn) close() { c.socket.close() }

// call prepares a method call and returns its serial, for answer.
func (c *busConn) call(destination string, path dbus.ObjectPath, api, method string, args ...any) uint32 {
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

// answer waits for the answer to a call. The error is a [*secretsError] if the answer is one.
func (c *busConn) answer(serial uint32) (*dbus.Message, error) {
	for c.answers[serial] == nil {
		if _, err := c.receive(); err != nil {
			return nil, err
		}
	}
	m := c.answers[serial]
	delete(c.answers, serial)
	if m.Type == dbus.TypeError {
		return nil, failure(m)
	}
	return m, nil
}

// answers is the serial of the call that a message answers, 0 for other messages.
func answers(m *dbus.Message) uint32 {
	serial, _ := m.Headers[dbus.FieldReplySerial].Value().(uint32)
	return serial
}

// flush writes the calls that were collected.
func (c *busConn) flush() error {
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
func (c *busConn) greet() error {
	if c.greeted {
		return nil
	}
	err := c.readGreeting()
	c.greeted = err == nil
	return err
}

// quiet reports whether nothing comes within d, once everything has been written.
func (c *busConn) quiet(d time.Duration) bool {
	if c.in.Buffered() > 0 || c.failed != nil || c.flush() != nil {
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

// receive reads one message, after everything has been written. Answers are also kept for answer.
func (c *busConn) receive() (*dbus.Message, error) {
	if c.failed != nil {
		return nil, c.failed
	}
	err := c.flush()
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
	if serial := answers(m); serial != 0 {
		c.answers[serial] = m
	}
	return m, nil
}

// readGreeting reads the line "OK GUID" (D-Bus Specification, Authentication Protocol). Anything else is a refusal, and
// then the bus takes none of the messages that have been written.
func (c *busConn) readGreeting() error {
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

// dialBus connects to the first bus in a list of D-Bus addresses that answers, or to the socket at path if the list is
// empty. Only Unix sockets whose other end runs as this user are accepted: secrets cross them in the clear. The error is
// errNoService if none of the sockets is there.
func dialBus(ctx context.Context, addresses, path string) (*busSocket, error) {
	if addresses == "" || addresses == "autolaunch:" {
		return dialSocket(ctx, path)
	}
	var failed error
	for address := range strings.SplitSeq(addresses, ";") {
		if address == "" {
			continue
		}
		socket, err := parseBusAddress(address)
		if err == nil {
			var conn *busSocket
			if conn, err = dialSocket(ctx, socket); err == nil {
				return conn, nil
			}
		}
		if failed == nil || errors.Is(failed, errNoService) {
			failed = err
		}
	}
	if failed == nil {
		failed = fmt.Errorf("no bus address in %q", addresses)
	}
	return nil, failed
}

// parseBusAddress returns the socket of one address of the forms unix:path=... and unix:abstract=..., with "@" before
// an abstract one (D-Bus Specification, Server Addresses). Other keys are passed over.
func parseBusAddress(address string) (string, error) {
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

func dialSocket(ctx context.Context, name string) (*busSocket, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &busSocket{fd: fd}
	s.watch(ctx)
	s.limit(replyLimit)
	_, err = s.try(unix.SO_SNDTIMEO, "connect", func() (int, error) { return 0, unix.Connect(fd, &unix.SockaddrUnix{Name: name}) })
	if err == nil {
		var pid int
		pid, err = checkPeer(fd, os.Geteuid())
		s.proxy = err == nil && isProxy(pid)
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		err = fmt.Errorf("%w: %w", errNoService, err)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("bus at %q: %w", name, err)
	}
	return s, nil
}

// busSocket is a connected socket that blocks its thread: the runtime's poller would cost a process that waits three
// times in its life two changes of threads for each.
type busSocket struct {
	fd       int
	deadline time.Time
	unwatch  func() bool
	ended    chan struct{} // closed when the context's end has been carried out
	proxy    bool          // the other end passes on what it reads
}

// watch has the end of ctx end each wait, and the connection, until release.
func (s *busSocket) watch(ctx context.Context) {
	ended := make(chan struct{})
	s.ended = ended
	s.unwatch = context.AfterFunc(ctx, func() {
		defer close(ended)
		unix.Shutdown(s.fd, unix.SHUT_RDWR)
	})
}

// release ends watch. It reports whether the connection can still be used.
func (s *busSocket) release() bool {
	if !s.unwatch() {
		<-s.ended // the number must not be another file's by then
		return false
	}
	s.unwatch = func() bool { return true }
	return true
}

// limit bounds the waiting from now on.
func (s *busSocket) limit(d time.Duration) { s.deadline = time.Now().Add(d) }

func (s *busSocket) Read(p []byte) (int, error) {
	n, err := s.try(unix.SO_RCVTIMEO, "read", func() (int, error) { return unix.Read(s.fd, p) })
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (s *busSocket) Write(p []byte) (int, error) {
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
func (s *busSocket) try(option int, name string, call func() (int, error)) (int, error) {
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

func (s *busSocket) close() {
	s.release()
	unix.Close(s.fd)
}

// checkPeer asks the kernel who listens at the other end, and returns its process id.
func checkPeer(fd, uid int) (pid int, err error) {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt", err)
	}
	if int(peer.Uid) != uid {
		return 0, fmt.Errorf("it %w (%d)", ErrForeign, peer.Uid)
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
