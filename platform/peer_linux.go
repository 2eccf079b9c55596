package platform

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// maxPeerTable bounds what is read of the kernel's table of connections.
const maxPeerTable = 16 << 20

func ownPeer(server, client netip.AddrPort) bool {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return true
	}
	defer f.Close()
	uid, found := connectionOwner(io.LimitReader(f, maxPeerTable), client, server)
	return !found || uid == 0 || uid == os.Getuid()
}

// connectionOwner finds the connection from local to remote in the form of proc(5), /proc/net/tcp: addresses are the
// bytes of an IPv4 address in the machine's order and the port, in hexadecimal; the user is the eighth column.
func connectionOwner(table io.Reader, local, remote netip.AddrPort) (uid int, found bool) {
	from, to := procAddress(local), procAddress(remote)
	for lines := bufio.NewScanner(table); lines.Scan(); {
		columns := strings.Fields(lines.Text())
		if len(columns) < 8 || columns[1] != from || columns[2] != to {
			continue
		}
		uid, err := strconv.Atoi(columns[7])
		return uid, err == nil
	}
	return 0, false
}

func procAddress(a netip.AddrPort) string {
	bytes := a.Addr().Unmap().As4()
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(bytes[:]), a.Port())
}
