package bus

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseAddress(t *testing.T) {
	for _, row := range []struct{ address, want string }{
		{"unix:path=/run/user/1000/bus", "/run/user/1000/bus"},
		{"unix:path=/run/user/1000/bus,guid=0123", "/run/user/1000/bus"},
		{"unix:guid=0123,path=/tmp/a%20b%2cc", "/tmp/a b,c"},
		{"unix:path=/tmp/a+b", "/tmp/a+b"},
		{"unix:abstract=/tmp/dbus-x", "@/tmp/dbus-x"},
	} {
		if got, err := parseAddress(row.address); err != nil || got != row.want {
			t.Errorf("parseAddress(%q) = %q, %v; want %q", row.address, got, err, row.want)
		}
	}
	for _, row := range []struct{ reason, address string }{
		{"empty", ""},
		{"no transport", "/run/user/1000/bus"},
		{"the network", "tcp:host=localhost,port=1"},
		{"another kind with a path", "unixexec:path=/bin/sh"},
		{"a transport that only begins alike", "unixx:path=/tmp/a"},
		{"nothing to dial", "unix:guid=0123"},
		{"for listeners only", "unix:tmpdir=/tmp"},
		{"empty path", "unix:path="},
		{"both", "unix:path=/a,abstract=/b"},
		{"two paths", "unix:path=/a,path=/b"},
		{"bad escape", "unix:path=/a%2"},
		{"bad hex", "unix:path=/a%zz"},
		{"escaped NUL", "unix:path=/a%00b"},
	} {
		if got, err := parseAddress(row.address); err == nil {
			t.Errorf("parseAddress(%q) = %q, want an error: %s", row.address, got, row.reason)
		}
	}
}

func TestCheckPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d := Dialer{Limit: time.Second, None: errors.New("none"), Foreign: errors.New("belongs to another user")}
	conn, err := d.dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := d.checkPeer(conn.socket.fd, os.Geteuid()+1); err == nil {
		t.Error("a socket of another user was accepted")
	}
	t.Run("a connection", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("only root can be another user")
		}
		for uid, want := range map[int]bool{os.Geteuid(): true, 12345: false} {
			name := fmt.Sprintf("@clerk-credential-helper-test-%d-%d", os.Getpid(), uid)
			listening := make(chan error)
			go func() {
				runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
				if _, _, failed := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); failed != 0 {
					listening <- failed
					return
				}
				listener, err := net.Listen("unix", name)
				if err == nil {
					t.Cleanup(func() { listener.Close() })
				}
				listening <- err
			}()
			if err := <-listening; err != nil {
				t.Fatal(err)
			}
			conn, err := d.dial(t.Context(), name)
			if (err == nil) != want {
				t.Errorf("a socket of user %d: %v", uid, err)
			}
			if err == nil {
				conn.Close()
			}
		}
	})
}

// TestHandshakeIsWaitedFor: a proxy gets the two parts of the handshake one after the other, and a bus both at once.
func TestHandshakeIsWaitedFor(t *testing.T) {
	for _, proxy := range []bool{false, true} {
		c := newConn(&socket{proxy: proxy})
		if (c.auth != "") != proxy || string(c.out[len(c.out)-7:]) != "BEGIN\r\n" {
			t.Errorf("proxy %t: first %q, then %q", proxy, c.auth, c.out)
		}
	}
	if isProxy(os.Getpid()) {
		t.Error("this test is taken for a proxy")
	}
	if !isProxy(0) || !isProxy(1<<30) {
		t.Error("a process that cannot be seen is not taken for a proxy")
	}
}

// TestHeldCallsGoOutInOrder: the serials of a connection rise, as xdg-dbus-proxy wants them, whatever is called between Hold and
// resume.
func TestHeldCallsGoOutInOrder(t *testing.T) {
	for _, row := range []struct {
		reason    string
		meanwhile int
		resumed   bool
	}{
		{"nothing else is called: they go out", 0, true},
		{"another call goes out first: they do not follow it", 1, false},
		{"nor two others", 2, false},
	} {
		c := newConn(&socket{})
		c.out = nil // the handshake
		call := func(method string) { c.Call("dev.acme.Service", "/", "dev.acme.API", method) }
		call("First")
		call("Second")
		held := c.out
		resume := c.Hold()
		if len(c.out) != 0 {
			t.Errorf("%s: %q is not held", row.reason, c.out)
		}
		for range row.meanwhile {
			call("Other")
		}
		want := c.out
		if row.resumed {
			want = held
		}
		if resumed := resume(); resumed != row.resumed || !bytes.Equal(c.out, want) {
			t.Errorf("%s: resume = %t, and %q is to be written, want %q", row.reason, resumed, c.out, want)
		}
	}
}
