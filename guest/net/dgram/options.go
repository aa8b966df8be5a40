package dgram

import "net/netip"

// Options are what one datagram asks for in place of what its end point has (control messages). The zero Options ask for
// nothing.
type Options struct {
	Src    netip.Addr // an address of this host
	Link   int
	TTL    uint8 // 0: not asked for
	TOS    uint8
	HasTOS bool
}
