// Package ndp is the neighbour discovery box of one interface (RFC 4861, RFC 4862 §5.4): for IPv6 what package arp is
// for IPv4. It finds the Ethernet address for what IP sends, answers for the host's own addresses, and finds out whether
// another station has one of them.
//
// What it learns is in package neighbour's cache.
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
	"ukvm.dev/guest/net/neighbour"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// ReachableTime is how long what a neighbour has answered is believed, about, if routers do not say (RFC 4861 §10), in
// nanoseconds.
const ReachableTime = 30e9

const hopLimit = 255 // a router would have made it less: the message comes from the link (RFC 4861 §7.1)

// Stats counts messages.
type Stats struct {
	SolicitsRx uint64
	SolicitsTx uint64
	AdvertsRx  uint64
	AdvertsTx  uint64
	Conflicts  uint64 // others that claim an address of ours
}

// Box is the box. The function values are set by the stack's wiring, those of the cache among them: its Output is
// Ethernet's, its Ask is Solicit, and its Lost is also told of neighbours that are no routers any more.
type Box struct {
	neighbour.Cache
	Send      packet.Handler              // down, to IP: our own messages
	ToRouters packet.Handler              // router advertisements
	Owns      func(netip.Addr) bool       // is this an address of the interface?
	Source    func(netip.Addr) netip.Addr // the address to ask a neighbour from; the zero Addr if there is none
	Duplicate func(netip.Addr)            // another station has this address of ours

	Random func() uint64
	Pool   *packet.Pool

	MAC       wire.MAC
	Link      int   // index of the interface
	Reachable int64 // base of reachable times, in nanoseconds; 0: ReachableTime
	Stats     Stats

	emitting  bool
	tentative map[netip.Addr]*detection
}

// Resolve resolves p.NextHop and passes p on, now or when the neighbour has answered.
func (b *Box) Resolve(p *packet.Packet) {
	p.EtherType = wire.TypeIPv6
	if p.Broadcast {
		p.MAC = wire.MulticastMAC(p.NextHop)
		b.Output(p)
		return
	}
	b.Cache.Resolve(p, b.emitting) // an answer of ours is no reason to ask back
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
		b.Dropped++
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
		b.Dropped++
		return
	}
	if b.Owns(target) {
		b.Stats.Conflicts++
		if b.tentative[target] != nil {
			b.duplicate(target)
		}
		return
	}
	e := b.Find(target)
	if e == nil || e.State == neighbour.Static {
		return // nobody has asked
	}
	solicited, override := flags&wire.NDPSolicited != 0, flags&wire.NDPOverride != 0
	other := has && mac != e.MAC
	if e.State == neighbour.Incomplete {
		if !has {
			return
		}
		b.resolved(e, mac, solicited)
	} else if other && !override {
		if e.State == neighbour.Reachable {
			e.State = neighbour.Stale
		}
		return
	} else {
		if !has {
			mac = e.MAC
		}
		if solicited || other {
			b.resolved(e, mac, solicited)
		}
	}
	if was := e.Router; was && flags&wire.NDPRouter == 0 && b.Lost != nil {
		e.Router = false
		b.Lost(target)
	}
}

// resolved stores what has been learnt of a neighbour; confirmed means that it has answered us.
func (b *Box) resolved(e *neighbour.Entry, mac wire.MAC, confirmed bool) {
	if !confirmed {
		e.Heard(mac)
		return
	}
	base := b.Reachable
	if base == 0 {
		base = ReachableTime
	}
	// Between half and one and a half of it, so that stations do not fall into step (RFC 4861 §6.3.2).
	e.Confirmed(mac, b.Now()+base/2+int64(b.Random()%uint64(base)))
}

// heard takes a neighbour's Ethernet address from a message that is no answer (RFC 4861 §7.2.3).
func (b *Box) heard(addr netip.Addr, mac wire.MAC) {
	if mac == (wire.MAC{}) {
		return
	}
	e := b.Add(addr)
	if e != nil && e.State != neighbour.Static && (e.State == neighbour.Incomplete || e.MAC != mac) {
		e.Heard(mac)
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
	if e := b.Find(p.Src); e != nil {
		e.Router = true
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

// Solicit asks for a neighbour's Ethernet address.
func (b *Box) Solicit(e *neighbour.Entry) {
	source := b.Source(e.Addr)
	if !source.IsValid() {
		return
	}
	to := wire.SolicitedNode(e.Addr)
	if e.State == neighbour.Probe {
		to = e.Addr
	}
	b.solicit(e.Addr, source, to)
}

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
	b.Dropped++
	p.Release()
}
