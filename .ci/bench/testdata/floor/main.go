// Command floor prints one secret of the Secret Service, in as few round trips and with as little code as a Go program
// can. The bench compares our program with it; it has no other use, and checks next to nothing.
//
//	floor KEY VALUE
//
// KEY and VALUE are an attribute of the item. The bus is the first one in $DBUS_SESSION_BUS_ADDRESS, which must have the
// form unix:path=PATH. The three round trips are those of platform's keychain: the answer to a first, harmless call is
// awaited, because gnome-keyring may crash otherwise.
package main

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	secret, err := lookup(os.Args[1], os.Args[2])
	if err != nil {
		os.Stderr.WriteString("floor: " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.Write(secret)
}

const (
	service = "org.freedesktop.secrets"
	api     = "org.freedesktop.Secret.Service"
	object  = "/org/freedesktop/secrets"
)

func lookup(key, value string) ([]byte, error) {
	address, _, _ := strings.Cut(os.Getenv("DBUS_SESSION_BUS_ADDRESS"), ",")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: strings.TrimPrefix(address, "unix:path=")})
	}
	if err != nil {
		return nil, err
	}
	c := conn{
		read:  func(p []byte) (int, error) { return syscall.Read(fd, p) },
		write: func(p []byte) (int, error) { return syscall.Write(fd, p) },
	}
	c.out = append(c.out, "\x00AUTH EXTERNAL "...)
	for _, digit := range []byte(strconv.Itoa(os.Geteuid())) {
		c.out = append(c.out, '3', digit) // the hexadecimal form of an ASCII digit
	}
	c.out = append(c.out, "\r\nBEGIN\r\n"...)
	c.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", nil)
	alias := c.call(service, object, api, "ReadAlias", "s", text(nil, "default"))
	if err := c.greeting(); err != nil {
		return nil, err
	}
	if _, err := c.answer(alias); err != nil {
		return nil, err
	}
	open := c.call(service, object, api, "OpenSession", "sv", text(append(text(nil, "plain"), "\x01s\x00"...), ""))
	attributes := text(text(make([]byte, 8), key), value)
	binary.LittleEndian.PutUint32(attributes, uint32(len(attributes)-8))
	search := c.call(service, object, api, "SearchItems", "a{ss}", attributes)
	answer, err := c.answer(open)
	if err != nil {
		return nil, err
	}
	answer.at = len("\x01s\x00") // of an empty text
	answer.text()
	session := answer.text()
	if answer, err = c.answer(search); err != nil {
		return nil, err
	}
	if answer.number() == 0 {
		return nil, errors.New("there is no such item, or it is locked")
	}
	paths := text(make([]byte, 4), answer.text())
	binary.LittleEndian.PutUint32(paths, uint32(len(paths)-4))
	if answer, err = c.answer(c.call(service, object, api, "GetSecrets", "aoo", text(paths, session))); err != nil {
		return nil, err
	}
	answer.at = 8 // the first of a list
	answer.text() // its item
	answer.align(8)
	answer.text()  // the session
	answer.bytes() // no parameters
	return answer.bytes(), nil
}

// conn is a connection to a bus.
type conn struct {
	read, write func([]byte) (int, error)
	out, in     []byte
	serial      uint32
}

// call prepares a method call and returns its serial. The call is sent when an answer is waited for.
func (c *conn) call(destination, path, api, method, signature string, body []byte) uint32 {
	c.serial++
	m := append([]byte("l\x01\x00\x01"), make([]byte, 12)...)
	field := func(code byte, kind, value string) {
		m = append(pad(m, 8), code, 1, kind[0], 0)
		if kind == "g" {
			m = append(append(append(m, byte(len(value))), value...), 0)
		} else {
			m = text(m, value)
		}
	}
	field(1, "o", path)
	field(2, "s", api)
	field(3, "s", method)
	field(6, "s", destination)
	if signature != "" {
		field(8, "g", signature)
	}
	binary.LittleEndian.PutUint32(m[4:], uint32(len(body)))
	binary.LittleEndian.PutUint32(m[8:], c.serial)
	binary.LittleEndian.PutUint32(m[12:], uint32(len(m)-16))
	c.out = append(append(c.out, pad(m, 8)...), body...)
	return c.serial
}

func pad(b []byte, to int) []byte {
	for len(b)%to != 0 {
		b = append(b, 0)
	}
	return b
}

// text appends a string or an object path.
func text(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(pad(b, 4), uint32(len(s)))
	return append(append(b, s...), 0)
}

// fill sends the prepared calls and reads until c.in has n bytes.
func (c *conn) fill(n int) error {
	if len(c.out) > 0 {
		if _, err := c.write(c.out); err != nil {
			return err
		}
		c.out = c.out[:0]
	}
	for len(c.in) < n {
		buffer := make([]byte, 8<<10)
		got, err := c.read(buffer)
		if err != nil {
			return err
		}
		if got == 0 {
			return errors.New("the bus hung up")
		}
		c.in = append(c.in, buffer[:got]...)
	}
	return nil
}

// greeting skips the line "OK GUID".
func (c *conn) greeting() error {
	const line = len("OK 0123456789abcdef0123456789abcdef\r\n")
	if err := c.fill(line); err != nil {
		return err
	}
	c.in = c.in[line:]
	return nil
}

// answer waits for the answer to a call.
func (c *conn) answer(serial uint32) (*reader, error) {
	for {
		if err := c.fill(16); err != nil {
			return nil, err
		}
		fields := reader{b: c.in, at: 12}
		n := int(fields.number())
		start := (16 + n + 7) &^ 7
		end := start + int(binary.LittleEndian.Uint32(c.in[4:]))
		if err := c.fill(end); err != nil {
			return nil, err
		}
		message := c.in[:end]
		c.in = c.in[end:]
		if replyTo(message[:16+n]) != serial {
			continue
		}
		if message[1] != 2 {
			return nil, errors.New("the answer is an error")
		}
		return &reader{b: message[start:]}, nil
	}
}

// replyTo returns the serial of the call that a message answers, 0 for other messages.
func replyTo(header []byte) uint32 {
	for r := (reader{b: header, at: 16}); r.at < len(header); {
		r.align(8)
		code, kind := header[r.at], header[r.at+2]
		r.at += 4
		switch {
		case code == 5:
			return r.number()
		case kind == 'g':
			r.at += 1 + int(header[r.at]) + 1
		case kind == 'u':
			r.number()
		default:
			r.text()
		}
	}
	return 0
}

// reader reads the values of a message.
type reader struct {
	b  []byte
	at int
}

func (r *reader) align(to int) { r.at = (r.at + to - 1) &^ (to - 1) }

func (r *reader) number() uint32 {
	r.align(4)
	r.at += 4
	return binary.LittleEndian.Uint32(r.b[r.at-4:])
}

func (r *reader) bytes() []byte {
	n := int(r.number())
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *reader) text() string {
	s := string(r.bytes())
	r.at++
	return s
}
