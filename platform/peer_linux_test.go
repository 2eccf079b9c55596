package platform

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
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
	here, there := netip.MustParseAddrPort(server.LocalAddr().String()), netip.MustParseAddrPort(server.RemoteAddr().String())

	table, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if uid, found := connectionOwner(table, there, here); !found || uid != os.Getuid() {
		t.Errorf("a connection of our own: user %d, found: %v", uid, found)
	}
	if !OwnPeer(here, there) {
		t.Error("a connection of our own is refused")
	}
}

func TestConnectionOwner(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:8AE3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:8AE3 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0100007F:C350 0100007F:8AE3 01 00000000:00000000 00:00000000 00000000  1001        0 3 1 0 20 4 30 10 -1
   3: 0100007F:C351
`
	server := netip.MustParseAddrPort("127.0.0.1:35555")
	for _, row := range []struct {
		reason, client string
		uid            int
		found          bool
	}{
		{"the client's end, not the server's", "127.0.0.1:50000", 1001, true},
		{"another port", "127.0.0.1:50001", 0, false},
		{"another address", "127.0.0.2:50000", 0, false},
	} {
		uid, found := connectionOwner(strings.NewReader(table), netip.MustParseAddrPort(row.client), server)
		if uid != row.uid || found != row.found {
			t.Errorf("%s: got %d, %v", row.reason, uid, found)
		}
	}
}
