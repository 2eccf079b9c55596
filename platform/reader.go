package platform

import (
	"context"
	"net/netip"
	"os"
)

// ReaderGone waits until f has no reader left, or until ctx ends, and reports whether it was the former. It works for
// pipes and, except on macOS, for sockets; for anything else, and on Windows, it waits for ctx.
func ReaderGone(ctx context.Context, f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		<-ctx.Done()
		return false
	}
	return readerGone(ctx, f, info.Mode()&os.ModeNamedPipe != 0)
}

// OwnPeer reports whether a connection over loopback, of which client is the other end, belongs to this user or to root,
// who may forward a port. Argument lists are public on many systems, so any user of the machine can use an address that
// is in one; this tells the users apart. certain is false on systems other than Linux, which do not say whose a connection
// is: own is then true.
//
// On Linux, a connection that is closed already, and one that is not among those of our network namespace, is not own.
func OwnPeer(server, client netip.AddrPort) (own, certain bool) { return ownPeer(server, client) }
