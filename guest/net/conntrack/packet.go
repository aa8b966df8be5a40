package conntrack

import "net/netip"

// Packet is what the box wants to know of a packet.
type Packet struct {
	Src, Dst  netip.Addr
	Proto     uint8
	Local     bool   // this host sends it
	Transport []byte // the start of the transport header, as much as lies in one piece
	Len       int    // of the whole transport payload, header included, in bytes
}
