// Package eth is the Ethernet II box of one interface: it takes frames apart by type and puts headers on. Not safe for
// concurrent use: the stack's lock guards it.
package eth

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// Stats counts frames, with IncludeOS's names in the comments.
type Stats struct {
	PacketsRx      uint64 // ethernet.packets_rx
	PacketsTx      uint64 // ethernet.packets_tx
	PacketsDropped uint64 // ethernet.packets_dropped: too short, for others, of an unknown type
}

// Box is the box. The function values are set by the stack's wiring; a nil one drops what would go there.
type Box struct {
	ToARP  packet.Handler // up, by type
	ToIP4  packet.Handler
	ToIP6  packet.Handler
	Output packet.Handler // down: to the card

	MAC   wire.MAC // the interface's address
	Stats Stats
}

// Receive takes a frame.
func (b *Box) Receive(p *packet.Packet) {
	b.Stats.PacketsRx++
	h, ok := wire.ParseEthernet(p.Bytes())
	if !ok {
		b.drop(p)
		return
	}
	dst := h.Dst()
	p.Broadcast = dst.IsMulticast()
	if dst != b.MAC && !p.Broadcast {
		b.drop(p)
		return
	}
	p.MAC = h.Src()
	p.EtherType = h.Type()
	p.Trim(wire.EthernetSize)
	var next packet.Handler
	switch p.EtherType {
	case wire.TypeIPv4:
		next = b.ToIP4
	case wire.TypeARP:
		next = b.ToARP
	case wire.TypeIPv6:
		next = b.ToIP6
	}
	if next == nil {
		b.drop(p)
		return
	}
	next(p)
}

// Send puts a header on a packet whose MAC and EtherType say where it goes, and hands it to the card.
func (b *Box) Send(p *packet.Packet) {
	wire.Ethernet(p.Prepend(wire.EthernetSize)).Encode(p.MAC, b.MAC, p.EtherType)
	b.Stats.PacketsTx++
	b.Output(p)
}

func (b *Box) drop(p *packet.Packet) {
	b.Stats.PacketsDropped++
	p.Release()
}
