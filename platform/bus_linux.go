package platform

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxBusBytes is the most that is read from a bus on one connection. One connection carries one secret.
const maxBusBytes = 4 << 20

// busSocket is a connected bus. Writes have the limit of a reply, so that a bus that has stopped reading cannot hold us.
type busSocket struct {
	*net.UnixConn
	r *bufio.Reader
}

func (s *busSocket) Read(p []byte) (int, error) { return s.r.Read(p) }

func (s *busSocket) Write(p []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(replyLimit)); err != nil {
		return 0, err
	}
	return s.UnixConn.Write(p)
}

// dialBus connects to the first bus in a list of D-Bus addresses that answers, or to the socket at path if the list is
// empty. Only Unix sockets whose other end runs as this user are accepted: secrets cross them in the clear.
func dialBus(ctx context.Context, addresses, path string) (*busSocket, error) {
	if addresses == "" || addresses == "autolaunch:" {
		return dialSocket(ctx, path)
	}
	failed := fmt.Errorf("no bus address in %q", addresses)
	for address := range strings.SplitSeq(addresses, ";") {
		if address == "" {
			continue
		}
		var socket string
		socket, failed = parseBusAddress(address)
		if failed != nil {
			continue
		}
		var conn *busSocket
		if conn, failed = dialSocket(ctx, socket); failed == nil {
			return conn, nil
		}
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
	dialer := net.Dialer{Timeout: replyLimit}
	conn, err := dialer.DialContext(ctx, "unix", name)
	if err != nil {
		return nil, err
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%q is not a unix socket", name), conn.Close())
	}
	if err := checkPeer(socket, os.Geteuid()); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &busSocket{socket, bufio.NewReader(io.LimitReader(socket, maxBusBytes))}, nil
}

// checkPeer asks the kernel who listens at the other end.
func checkPeer(socket *net.UnixConn, uid int) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	if int(peer.Uid) != uid {
		return fmt.Errorf("the bus belongs to another user (%d)", peer.Uid)
	}
	return nil
}
