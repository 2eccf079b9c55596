package platform

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

const (
	// maxPeerTable bounds what is read of one of the kernel's tables of connections.
	maxPeerTable = 16 << 20
	// peerTries is how often the tables are read: a line can be passed over while others come and go.
	peerTries = 3
)

// peerTables are where a connection to 127.0.0.1 can be listed: a socket for IPv6 may connect to ::ffff:127.0.0.1.
var peerTables = [...]string{"/proc/net/tcp", "/proc/net/tcp6"}

func ownPeer(server, client netip.AddrPort) (own, certain bool) {
	if !server.Addr().Unmap().Is4() || !client.Addr().Unmap().Is4() {
		return false, true
	}
	for range peerTries {
		for _, name := range peerTables {
			if uid, found := peerIn(name, server, client); found {
				return uid == 0 || uid == os.Getuid(), true
			}
		}
	}
	return false, true
}

// peersUnknown returns why no connection can be told to be this user's, as where /proc is not mounted. nil otherwise.
func peersUnknown() error {
	var failed error
	for _, name := range peerTables {
		f, err := os.Open(name)
		if err == nil {
			f.Close()
			return nil
		}
		failed = cmp.Or(failed, err)
	}
	return failed
}

func peerIn(name string, server, client netip.AddrPort) (uid int, found bool) {
	f, err := os.Open(name)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	return connectionOwner(io.LimitReader(f, maxPeerTable), client, server)
}

// connectionOwner finds the connection from local to remote in the form of proc(5), /proc/net/tcp and tcp6: addresses are
// the words of an IPv4 or IPv6 address in the machine's order and the port, in hexadecimal; the user is the eighth column,
// the inode of the socket the tenth. A socket that no process has open any more has the inode 0, and its user is root's to
// some kernels, whichever user closed it.
func connectionOwner(table io.Reader, local, remote netip.AddrPort) (uid int, found bool) {
	from4, to4, from6, to6 := procAddress(local), procAddress(remote), procMapped(local), procMapped(remote)
	for lines := bufio.NewScanner(table); lines.Scan(); {
		columns := strings.Fields(lines.Text())
		if len(columns) < 10 || (columns[1] != from4 || columns[2] != to4) && (columns[1] != from6 || columns[2] != to6) {
			continue
		}
		uid, err := strconv.ParseUint(columns[7], 10, 31)
		inode, inodeErr := strconv.ParseUint(columns[9], 10, 64)
		return int(uid), err == nil && inodeErr == nil && inode != 0
	}
	return 0, false
}

func procAddress(a netip.AddrPort) string {
	bytes := a.Addr().Unmap().As4()
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(bytes[:]), a.Port())
}

// procMapped is procAddress for the address as a socket for IPv6 has it (RFC 4291 §2.5.5.2).
func procMapped(a netip.AddrPort) string {
	bytes := netip.AddrFrom4(a.Addr().Unmap().As4()).As16()
	var words strings.Builder
	for i := 0; i < len(bytes); i += 4 {
		fmt.Fprintf(&words, "%08X", binary.NativeEndian.Uint32(bytes[i:]))
	}
	return fmt.Sprintf("%s:%04X", &words, a.Port())
}
