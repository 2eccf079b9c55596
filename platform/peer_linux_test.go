package platform

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOwnPeer(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	here, there := addrPort(server.LocalAddr()), addrPort(server.RemoteAddr())

	table, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if uid, found := connectionOwner(table, there, here); !found || uid != os.Getuid() {
		t.Errorf("a connection of our own: user %d, found: %v", uid, found)
	}
	if own, certain := OwnPeer(here, there); !own || !certain {
		t.Error("a connection of our own is refused")
	}
	for reason, other := range map[string]netip.AddrPort{
		"no connection":     netip.AddrPortFrom(there.Addr(), 1),
		"the listener":      here,
		"IPv6":              netip.MustParseAddrPort("[::1]:1"),
		"nothing that is":   {},
		"another machine's": netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), there.Port()),
	} {
		if own, certain := OwnPeer(here, other); own || !certain {
			t.Errorf("%s: %v is taken for our own", reason, other)
		}
	}
}

func addrPort(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

func TestConnectionOwner(t *testing.T) {
	const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:8AE3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:8AE3 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0100007F:C350 0100007F:8AE3 01 00000000:00000000 00:00000000 00000000  1001        0 3 1 0 20 4 30 10 -1
   3: 0100007F:C351
   4: 0100007F:C352 0100007F:8AE3 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0000000000000000
   5: 0100007F:C353 0100007F:8AE3 04 00000000:00000000 00:00000000 00000000  1001        0 0 1 0 20 4 30 10 -1
   6: 0100007F:C354 0100007F:8AE3 01 00000000:00000000 00:00000000 00000000    -1        0 3 1 0 20 4 30 10 -1
   7: 0100007F:C355 0100007F:8AE3 01 00000000:00000000 00:00000000 00000000  root       0 3 1 0 20 4 30 10 -1
   8: 0100007F:C356 0100007F:8AE3 01 00000000:00000000 00:00000000 00000000  1001
`
	const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF00000100007F:C350 0000000000000000FFFF00000100007F:8AE3 01 00000000:00000000 00:00000000 00000000  1002        0 3 1 0 20 4 30 10 -1
   1: 00000000000000000000000001000000:C351 00000000000000000000000001000000:8AE3 01 00000000:00000000 00:00000000 00000000  1002        0 3 1 0 20 4 30 10 -1
   2: 0000000000000000FFFF00000100007F:C352 0000000000000000FFFF00000100007F:8AE3 04 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   3: 00000000000000000000FFFF0100007F:C353 00000000000000000000FFFF0100007F:8AE3 01 00000000:00000000 00:00000000 00000000  1002        0 3 1 0 20 4 30 10 -1
`
	server := netip.MustParseAddrPort("127.0.0.1:35555")
	for _, row := range []struct {
		reason, table, client string
		uid                   int
		found                 bool
	}{
		{"the client's end, not the server's", tcp, "127.0.0.1:50000", 1001, true},
		{"a socket for IPv6", tcp6, "127.0.0.1:50000", 1002, true},
		{"the client's address as IPv6 has it", tcp, "[::ffff:127.0.0.1]:50000", 1001, true},
		{"another port", tcp, "127.0.0.1:49999", 0, false},
		{"another address", tcp, "127.0.0.2:50000", 0, false},
		{"a line that is cut off", tcp, "127.0.0.1:50001", 0, false},
		{"closed by both, which the kernel calls root's", tcp, "127.0.0.1:50002", 0, false},
		{"closed by the client", tcp, "127.0.0.1:50003", 0, false},
		{"closed by the client, a socket for IPv6", tcp6, "127.0.0.1:50002", 0, false},
		{"a negative user", tcp, "127.0.0.1:50004", 0, false},
		{"a user that is no number", tcp, "127.0.0.1:50005", 0, false},
		{"no inode", tcp, "127.0.0.1:50006", 0, false},
		{"::1 is not 127.0.0.1", tcp6, "127.0.0.1:50001", 0, false},
		{"another form of IPv4 in IPv6", tcp6, "127.0.0.1:50003", 0, false},
		{"an empty table", "", "127.0.0.1:50000", 0, false},
	} {
		uid, found := connectionOwner(strings.NewReader(row.table), netip.MustParseAddrPort(row.client), server)
		if found != row.found || found && uid != row.uid {
			t.Errorf("%s: got %d, %v", row.reason, uid, found)
		}
	}
}

// TestOwnPeerOfUsers has a process of one user judge the connections of that user, of another, and of root.
func TestOwnPeerOfUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be other users")
	}
	const us, stranger = 4243, 4244
	program := openToAll(t)
	as := func(uid uint32, role, address, how string) *exec.Cmd {
		cmd := exec.Command(program, "-test.run=^TestPeerProcess$")
		cmd.Env = []string{"PLATFORM_TEST_PEER=" + role, "PLATFORM_TEST_ADDRESS=" + address, "PLATFORM_TEST_HOW=" + how}
		cmd.Dir = "/"
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		return cmd
	}
	judge := as(us, "judge", "", "")
	stdin, err := judge.StdinPipe() // it ends with this
	if err != nil {
		t.Fatal(err)
	}
	out, err := judge.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := judge.Start(); err != nil {
		t.Fatal(err)
	}
	defer judge.Wait()
	defer stdin.Close()
	verdicts := bufio.NewScanner(out)
	if !verdicts.Scan() {
		t.Fatal("there is no judge")
	}
	_, port, err := net.SplitHostPort(verdicts.Text())
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1", "::ffff:127.0.0.1"} {
		for _, how := range []string{"open", "half closed", "closed", "reset"} {
			for _, uid := range []uint32{us, stranger, 0} {
				client := as(uid, "client", net.JoinHostPort(address, port), how)
				done, err := client.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := client.Start(); err != nil {
					t.Fatal(err)
				}
				if !verdicts.Scan() {
					t.Fatal("there is no verdict")
				}
				done.Close()
				if err := client.Wait(); err != nil {
					t.Error(err)
				}
				open := how == "open" || how == "half closed"
				want := fmt.Sprintf("%s %v", how, open && uid != stranger)
				if got := verdicts.Text(); got != want {
					t.Errorf("user %d, to %s: %q, want %q", uid, address, got, want)
				}
			}
		}
	}
}

// openToAll copies the test's program to where other users can start it.
func openToAll(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	chmod(t, dir, 0o755)
	program := filepath.Join(dir, "peer.test")
	if err := os.WriteFile(program, text, 0o700); err != nil {
		t.Fatal(err)
	}
	chmod(t, program, 0o755)
	return program
}

// TestPeerProcess is the other processes of TestOwnPeerOfUsers.
func TestPeerProcess(t *testing.T) {
	var err error
	switch os.Getenv("PLATFORM_TEST_PEER") {
	case "":
		return
	case "judge":
		err = playJudge()
	case "client":
		err = playClient(os.Getenv("PLATFORM_TEST_ADDRESS"), os.Getenv("PLATFORM_TEST_HOW"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// playJudge says of each connection whether it is its user's, once the client has done with it what it says.
func playJudge() error {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			how, err := bufio.NewReader(conn).ReadString('\n')
			how = strings.TrimSpace(how)
			if err == nil && how != "open" {
				io.Copy(io.Discard, conn) // until it is
			}
			own, _ := OwnPeer(addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr()))
			fmt.Println(how, own)
			conn.Close()
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// playClient uses the bare system calls: the net package makes IPv4 of a mapped address.
func playClient(address, how string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	family, sockaddr := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
	if to.Addr().Is4() {
		family, sockaddr = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, sockaddr); err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte(how+"\n")); err != nil {
		return err
	}
	switch how {
	case "half closed":
		err = unix.Shutdown(fd, unix.SHUT_WR)
	case "reset":
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		fallthrough
	case "closed":
		if err == nil {
			err = unix.Close(fd)
		}
	}
	if err != nil {
		return fmt.Errorf("as user %s: %w", strconv.Itoa(os.Getuid()), err)
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
