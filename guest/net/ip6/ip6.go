// Package ip6 is the IPv6 box (RFC 8200, RFC 4291): it checks what arrives, reads extension headers, puts fragments
// together, hands payloads to the transports, and sends, cutting into fragments what is too long for the path. It knows
// the interfaces' addresses, the routes and which address to send from (RFC 6724). It does not forward: what is not for
// this host goes to Forward, behind the Forwarding filter, which nobody has wired yet.
//
//	 ToICMP ▲  ToTCP ▲  ToUDP ▲                │ Send
//	┌───────┴────────┴────────┴─┐       ┌──────▼──────────┐
//	│ Input filter              │       │ route, source   │
//	│ extension headers,        │       │ Output filter   │
//	│   reassembly              │       │ fragments       │
//	│ is it ours?               │       │ Postrouting     │
//	│ Prerouting filter, checks │       │                 │
//	└───────────▲───────────────┘       └──────┬──────────┘
//	    Receive │                  Link.Output ▼
//
// Addresses have no zones in here: a link-local one means something together with the interface, Packet.Link. Addresses
// that stand for IPv4 ones (::ffff:0:0/96) never come from a wire or go to one.
//
// Not safe for concurrent use: the stack's lock guards it.
package ip6

import (
	"net/netip"

	"ukvm.dev/guest/net/fragment"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// DefaultHopLimit is the hop limit of packets that do not ask for another (RFC 1700, as Linux).
const DefaultHopLimit = 64

// Stats counts packets.
type Stats struct {
	PacketsRx          uint64 // ip6.packets_rx
	PacketsTx          uint64 // ip6.packets_tx
	PacketsDropped     uint64 // ip6.packets_dropped: malformed, not for us, without a route, too long
	PreroutingDropped  uint64 // ip6.prerouting_dropped
	PostroutingDropped uint64 // ip6.postrouting_dropped
	InputDropped       uint64 // ip6.input_dropped
	ForwardDropped     uint64 // ip6.forward_dropped
	OutputDropped      uint64 // ip6.output_dropped
	FragmentsRx        uint64
	FragmentsTx        uint64
	Reassembled        uint64
	ReassemblyFailed   uint64 // timed out, overlapped, or over a limit
}

// Filter decides about a packet: false drops it (the box releases it).
type Filter func(*packet.Packet) bool

// Box is the box. The function values are set by the stack's wiring; a nil Handler drops, a nil Filter lets pass.
type Box struct {
	ToICMP packet.Handler
	ToTCP  packet.Handler
	ToUDP  packet.Handler

	// Problem gets a packet that cannot be understood: a code of wire.ICMP6Parameter and the offset of the byte it is
	// about. TimedOut gets the start of what could not be put together in time. Both with Packet.Network.
	Problem  func(p *packet.Packet, code uint8, at int)
	TimedOut packet.Handler
	Forward  packet.Handler // packets for others

	Failed packet.FailureHandler // what became of packets of ours, see Unreachable

	// Each sees a packet at one place: Prerouting, Forwarding and Postrouting with the IP header at the front, Input and
	// Output with what follows it and its extensions. Package filter has what decides by rules.
	Prerouting, Input, Forwarding, Output, Postrouting Filter

	Now    func() int64
	Random func() uint64
	Wheel  *timer.Wheel
	Pool   *packet.Pool

	Routes route.Table
	Stats  Stats

	links      []*Link // by Index; 0 is nil
	reassembly fragment.Table
	paths      paths
}

// Receive takes an IPv6 packet; its Link is set.
func (b *Box) Receive(p *packet.Packet) {
	b.Stats.PacketsRx++
	link := b.link(p.Link)
	h, ok := wire.ParseIPv6(p.Bytes())
	if !ok || link == nil || wire.IPv6Size+h.PayloadLen() > p.Len() {
		b.drop(p)
		return
	}
	p.Truncate(wire.IPv6Size + h.PayloadLen()) // Ethernet pads
	p.Src, p.Dst = h.Src(), h.Dst()
	p.Proto, p.TTL, p.TOS = h.NextHeader(), h.HopLimit(), h.TrafficClass()
	if b.martian(link, p) {
		b.drop(p)
		return
	}
	if b.Prerouting != nil && !b.Prerouting(p) {
		b.Stats.PreroutingDropped++
		p.Release()
		return
	}
	if group := p.Dst.IsMulticast(); group || p.Broadcast {
		if !group || !link.isGroup(p.Dst) {
			b.drop(p) // unicast in a link-layer multicast, or a group that nobody here is in
			return
		}
		p.Broadcast = true
	} else if !b.accepts(link, p.Dst) {
		if b.Forward != nil {
			b.forward(p)
			return
		}
		b.drop(p)
		return
	}
	p.MarkNetwork()
	if p.Proto != wire.ProtoTCP && p.Proto != wire.ProtoUDP && p.Proto != wire.ProtoICMPv6 {
		if p = b.extensions(p); p == nil {
			return
		}
	} else {
		p.Trim(wire.IPv6Size)
	}
	if b.Input != nil && !b.Input(p) {
		b.Stats.InputDropped++
		p.Release()
		return
	}
	var next packet.Handler
	switch p.Proto {
	case wire.ProtoTCP:
		next = b.ToTCP
	case wire.ProtoUDP:
		next = b.ToUDP
	case wire.ProtoICMPv6:
		next = b.ToICMP
	}
	if next == nil {
		b.drop(p)
		return
	}
	next(p)
}

// forward hands on what is for others.
func (b *Box) forward(p *packet.Packet) {
	if b.Forwarding != nil && !b.Forwarding(p) {
		b.Stats.ForwardDropped++
		p.Release()
		return
	}
	b.Forward(p)
}

// martian reports addresses that no packet from a wire may have (RFC 4291 §2.5.2, §2.5.3, §2.7; RFC 6890).
func (b *Box) martian(link *Link, p *packet.Packet) bool {
	src, dst := p.Src, p.Dst
	if src.IsMulticast() || dst.IsUnspecified() || src.Is4In6() || dst.Is4In6() {
		return true
	}
	if link.Loopback {
		return false
	}
	if dst.IsMulticast() && dst.As16()[1]&0xf <= 1 { // scope reserved or interface-local
		return true
	}
	if b.IsLocal(src) {
		// Only a station that has the same address, and defends it, sends so (RFC 4861 §7.2.6).
		return p.Proto != wire.ProtoICMPv6 || !dst.IsLinkLocalMulticast()
	}
	return src.IsLoopback() || dst.IsLoopback() ||
		src.IsUnspecified() && !dst.IsLinkLocalMulticast() // neighbour and multicast listener discovery only
}

// accepts reports whether a unicast packet that came in through link is for this host: on any interface, but a
// link-local address is one interface's only.
func (b *Box) accepts(link *Link, dst netip.Addr) bool {
	if link.Owns(dst) {
		return true
	}
	return link.Loopback && b.IsLocal(dst) || !dst.IsLinkLocalUnicast() && b.IsLocal(dst)
}

// Send sends a payload to p.Dst. p.Proto says what it is; Src, Link, TTL, TOS and DF are respected if set. With DF the
// packet is not cut into fragments; too long for the link, it is dropped.
func (b *Box) Send(p *packet.Packet) {
	r, err := b.Route(p.Dst, p.Src, p.Link)
	if err != nil {
		b.drop(p)
		return
	}
	p.Src, p.Link, p.NextHop, p.Broadcast = r.Source, r.Link, r.NextHop, r.Broadcast
	if p.TTL == 0 {
		p.TTL = DefaultHopLimit
		if l := b.links[r.Link]; l.HopLimit != 0 {
			p.TTL = l.HopLimit
		}
	}
	if b.Output != nil && !b.Output(p) {
		b.Stats.OutputDropped++
		p.Release()
		return
	}
	link := b.links[r.Link]
	if p.Net.GSOType == 0 && wire.IPv6Size+p.Len() > r.MTU {
		if !p.DF {
			b.fragment(link, p, r.MTU)
			return
		}
		// Longer than the path's MTU, but not than the link's: it is up to the sender, who has DF set.
		if wire.IPv6Size+p.Len() > link.MTU {
			b.drop(p)
			return
		}
	}
	b.emit(link, p, p.Proto)
}

// emit puts the header on a payload and sends it.
func (b *Box) emit(link *Link, p *packet.Packet, next uint8) {
	n := p.Len()
	if n > wire.IPv6MaxPayload {
		b.drop(p)
		return
	}
	wire.IPv6(p.Prepend(wire.IPv6Size)).Encode(&wire.IPv6Fields{
		TrafficClass: p.TOS, FlowLabel: p.Label, PayloadLen: n, NextHeader: next, HopLimit: p.TTL, Src: p.Src, Dst: p.Dst,
	})
	if b.Postrouting != nil && !b.Postrouting(p) {
		b.Stats.PostroutingDropped++
		p.Release()
		return
	}
	b.Stats.PacketsTx++
	p.MarkNetwork()
	link.Output(p)
}

// Unreachable takes back a packet whose next hop does not answer, and tells the transport that sent it.
func (b *Box) Unreachable(p *packet.Packet) {
	b.Stats.PacketsDropped++
	h, ok := wire.ParseIPv6(p.Bytes())
	if ok {
		if proto, at, ok := Transport(p.Bytes()); ok && len(p.Bytes()) >= at+8 {
			b.Failed(&packet.Failure{
				Src: h.Src(), Dst: h.Dst(), Proto: proto, Header: p.Bytes()[at:], Err: packet.ErrHostUnreachable,
			})
		}
	}
	p.Release()
}

func (b *Box) drop(p *packet.Packet) {
	b.Stats.PacketsDropped++
	p.Release()
}
