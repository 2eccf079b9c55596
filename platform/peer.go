package platform

import "net/netip"

// OwnPeer says whether a connection over loopback may be this user's: its other end, client, belongs to this user or to
// root (who may forward a port), or the system does not say. Argument lists are public on many systems, so that an
// address in one can be used by any user of the machine; this tells them apart. Linux only: elsewhere it is always true.
func OwnPeer(server, client netip.AddrPort) bool { return ownPeer(server, client) }
