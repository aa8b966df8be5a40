// Package ndp is the neighbour discovery box of one interface (RFC 4861, RFC 4862 §5.4): for IPv6 what package arp is
// for IPv4. It finds the Ethernet address for what IP sends, answers for the host's own addresses, and finds out whether
// another station has one of them.
//
// An entry of the cache is in one of four states (RFC 4861 §7.3.2; DELAY is left out, since no upper layer would end it):
//
//	         packet for an         solicited answer: queued packets leave
//	        unknown neighbour   ┌───────────────────────────────────────────────┐
//	(none) ─────────────► incomplete ──3 requests unanswered──► (none), queued packets are Unreachable
//	   │                        │ other news                                  │
//	   │ its own request        ▼                                             ▼
//	   └────────────────────► stale ◄────────after ReachableTime───────── reachable
//	                            │ packet: its address is used while a         ▲
//	                            ▼ request to it asks for confirmation         │
//	                          probe ──────────────solicited answer────────────┘
//	                            └──3 requests unanswered──► (none)
//
// Duplicate address detection is optimistic (RFC 4429): an address is used from the start, with advertisements that do
// not override others' cache entries, and given up if another station turns out to have it. So a program that starts has
// no second to wait. Unlike RFC 4429 §3.2, solicitations from it carry our Ethernet address: Linux answers none without.
//
// Not safe for concurrent use: the stack's lock guards it.
package ndp

import (
	"net/netip"

	"ukvm.dev/guest/net/icmp6"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// Limits and times; times in nanoseconds.
const (
	MaxEntries = 512 // cache entries; one makes room when a new one comes
	MaxPending = 64  // packets waiting for one neighbour; the oldest goes (RFC 4861 §7.2.2 wants at least one)
	MaxWaiting = 256 // packets waiting for all neighbours together; further ones are dropped
	Requests   = 3   // MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT (RFC 4861 §10)

	RetransmitTime = 1e9 // RETRANS_TIMER
	ReachableTime  = 30e9

	hopLimit = 255 // a router would have made it less: the message comes from the link (RFC 4861 §7.1)
)

// Stats counts messages.
type Stats struct {
	SolicitsRx  uint64
	SolicitsTx  uint64
	AdvertsRx   uint64
	AdvertsTx   uint64
	Dropped     uint64 // malformed, or sent to a neighbour that cannot be found
	Conflicts   uint64 // others that claim an address of ours
	Unreachable uint64 // neighbours that did not answer
}

// Box is the box. The function values are set by the stack's wiring.
type Box struct {
	Output      packet.Handler              // down, to Ethernet: packets with EtherType and MAC
	Send        packet.Handler              // down, to IP: our own messages
	ToRouters   packet.Handler              // router advertisements
	Unreachable packet.Handler              // packets whose next hop does not answer
	Owns        func(netip.Addr) bool       // is this an address of the interface?
	Source      func(netip.Addr) netip.Addr // the address to ask a neighbour from; the zero Addr if there is none
	Duplicate   func(netip.Addr)            // another station has this address of ours
	Lost        func(netip.Addr)            // this neighbour does not answer, or is no router any more

	Now    func() int64 // nanoseconds
	Random func() uint64
	Wheel  *timer.Wheel
	Pool   *packet.Pool

	MAC       wire.MAC
	Link      int   // index of the interface
	Reachable int64 // base of reachable times, in nanoseconds; 0: ReachableTime
	Stats     Stats

	cache     map[netip.Addr]*entry
	recent    *entry // one of cache: the last that Resolve has looked up
	waiting   int    // packets in pending queues
	emitting  bool
	tentative map[netip.Addr]*detection
}

// Receive takes a neighbour discovery message, whose checksum is right (RFC 4861 §7.1).
func (b *Box) Receive(p *packet.Packet) {
	h, ok := wire.ParseNDP(p.Bytes())
	if !ok || p.Pieces() > 1 || p.TTL != hopLimit || h.Code() != 0 || p.MAC == b.MAC {
		b.drop(p)
		return
	}
	switch h.Type() {
	case wire.NDPNeighbourSolicit:
		b.Stats.SolicitsRx++
		b.solicited(h, p)
	case wire.NDPNeighbourAdvert:
		b.Stats.AdvertsRx++
		b.advertised(h, p)
	case wire.NDPRouterAdvert:
		b.router(h, p)
		return
	}
	p.Release()
}

// solicited answers a solicitation (RFC 4861 §7.2.3, §7.2.4; RFC 4862 §5.4.3).
func (b *Box) solicited(h wire.NDP, p *packet.Packet) {
	target := h.Target()
	mac, has := h.Options().LinkAddr(wire.NDPSourceLink)
	probe := p.Src.IsUnspecified()
	if target.IsMulticast() || probe && (has || p.Dst != wire.SolicitedNode(target)) || has && mac.IsMulticast() {
		b.Stats.Dropped++
		return
	}
	if !b.Owns(target) {
		return
	}
	flags := uint8(wire.NDPOverride)
	if b.tentative[target] != nil {
		if probe {
			b.duplicate(target)
			return
		}
		flags = 0
	}
	if probe {
		// Somebody is about to take our address: all must hear that it is in use.
		b.Stats.Conflicts++
		b.advertise(target, wire.AllNodes, flags)
		return
	}
	if has {
		b.heard(p.Src, mac)
	}
	b.advertise(target, p.Src, flags|wire.NDPSolicited)
}

// advertised takes an advertisement (RFC 4861 §7.2.5).
func (b *Box) advertised(h wire.NDP, p *packet.Packet) {
	target, flags := h.Target(), h.Flags()
	mac, has := h.Options().LinkAddr(wire.NDPTargetLink)
	if target.IsMulticast() || p.Dst.IsMulticast() && flags&wire.NDPSolicited != 0 || has && (mac.IsMulticast() || mac == wire.MAC{}) {
		b.Stats.Dropped++
		return
	}
	if b.Owns(target) {
		b.Stats.Conflicts++
		if b.tentative[target] != nil {
			b.duplicate(target)
		}
		return
	}
	e := b.cache[target]
	if e == nil || e.state == static {
		return // nobody has asked
	}
	solicited, override := flags&wire.NDPSolicited != 0, flags&wire.NDPOverride != 0
	other := has && mac != e.mac
	if e.state == incomplete {
		if !has {
			return
		}
		b.resolved(e, mac, solicited)
	} else if other && !override {
		if e.state == reachable {
			e.state = stale
		}
		return
	} else {
		if !has {
			mac = e.mac
		}
		if solicited {
			b.resolved(e, mac, true)
		} else if other {
			b.resolved(e, mac, false)
		}
	}
	if was := e.router; was && flags&wire.NDPRouter == 0 && b.Lost != nil {
		e.router = false
		b.Lost(target)
	}
}

// router passes an advertisement of a router on, after the cache has heard of it (RFC 4861 §6.1.2, §6.3.4).
func (b *Box) router(h wire.NDP, p *packet.Packet) {
	if !p.Src.IsLinkLocalUnicast() || b.Owns(p.Src) || b.ToRouters == nil {
		b.drop(p)
		return
	}
	if mac, ok := h.Options().LinkAddr(wire.NDPSourceLink); ok && !mac.IsMulticast() {
		b.heard(p.Src, mac)
	}
	if e := b.cache[p.Src]; e != nil {
		e.router = true
	}
	b.ToRouters(p)
}

// advertise tells dst that target is ours.
func (b *Box) advertise(target, dst netip.Addr, flags uint8) {
	b.Stats.AdvertsTx++
	q := b.Pool.Linear(wire.NDPNeighbourSize + wire.NDPLinkAddrSize)
	wire.NDP(q.Bytes()).EncodeNeighbour(wire.NDPNeighbourAdvert, flags, target, b.MAC)
	b.emit(q, target, dst)
}

// Announce tells the link that an address is ours (RFC 4861 §7.2.6).
func (b *Box) Announce(addr netip.Addr) { b.advertise(addr, wire.AllNodes, wire.NDPOverride) }

// solicit asks for target: all who may have it, or only the one at dst.
func (b *Box) solicit(target, src, dst netip.Addr) {
	b.Stats.SolicitsTx++
	n := wire.NDPNeighbourSize
	if !src.IsUnspecified() {
		n += wire.NDPLinkAddrSize
	}
	q := b.Pool.Linear(n)
	wire.NDP(q.Bytes()).EncodeNeighbour(wire.NDPNeighbourSolicit, 0, target, b.MAC)
	b.emit(q, src, dst)
}

// SolicitRouters asks the routers of the link for advertisements (RFC 4861 §4.1).
func (b *Box) SolicitRouters(src netip.Addr) {
	q := b.Pool.Linear(wire.NDPRouterSolicitSize + wire.NDPLinkAddrSize)
	wire.NDP(q.Bytes()).EncodeRouterSolicit(b.MAC)
	b.emit(q, src, wire.AllRouters)
}

func (b *Box) emit(q *packet.Packet, src, dst netip.Addr) {
	icmp6.Checksum(q, src, dst)
	q.Src, q.Dst, q.Link, q.Proto, q.TTL, q.DF = src, dst, b.Link, wire.ProtoICMPv6, hopLimit, true
	b.emitting = true
	b.Send(q)
	b.emitting = false
}

func (b *Box) drop(p *packet.Packet) {
	b.Stats.Dropped++
	p.Release()
}
