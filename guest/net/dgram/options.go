package dgram

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
)

// Options are what one datagram asks for in place of what its end point has (control messages). The zero Options ask for
// nothing.
type Options struct {
	Src    netip.Addr // an address of this host
	Link   int
	TTL    uint8 // 0: not asked for
	TOS    uint8
	HasTOS bool
}

// Apply gives TTL and TOS to a packet that has its end point's.
func (o *Options) Apply(p *packet.Packet) {
	if o.TTL != 0 {
		p.TTL = o.TTL
	}
	if o.HasTOS {
		p.TOS = o.TOS
	}
}
