package platform

import "net/netip"

// OwnPeer reports whether a connection over loopback may be this user's: its other end, client, belongs to this user or
// to root (who may forward a port), or its owner is unknown. Argument lists are public on many systems, so any user of
// the machine can use an address that is in one; this tells the users apart. On systems other than Linux it is always
// true.
func OwnPeer(server, client netip.AddrPort) bool { return ownPeer(server, client) }
