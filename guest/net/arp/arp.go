// Package arp is the address resolution box of one interface (RFC 826, RFC 1122 §2.3.2, RFC 5227 §2.4): it finds the
// Ethernet address for what IP sends and answers for the host's own addresses.
//
// What it learns is in package neighbour's cache.
//
// Not safe for concurrent use: the stack's lock guards it.
package arp

import (
	"net/netip"

	"ukvm.dev/guest/net/neighbour"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// Times, in nanoseconds.
const (
	Lifetime   = 300e9 // how long what a neighbour has said is believed without question
	DefendIdle = 10e9  // between announcements that defend an address (RFC 5227 §2.4)
)

// Stats counts ARP packets, with IncludeOS's names in the comments.
type Stats struct {
	RequestsRx uint64 // arp.requests_rx
	RequestsTx uint64 // arp.requests_tx
	RepliesRx  uint64 // arp.replies_rx
	RepliesTx  uint64 // arp.replies_tx
	Conflicts  uint64 // others that claim an address of ours
}

// Box is the box. The function values are set by the stack's wiring, those of the cache among them: its Output takes ARP
// packets too, and its Ask is Request.
type Box struct {
	neighbour.Cache
	Owns   func(netip.Addr) bool     // is this an address of the interface?
	Source func() (netip.Addr, bool) // the address to ask from
	Pool   *packet.Pool

	MAC   wire.MAC
	Stats Stats

	defended int64 // when an address was last defended
}

// Send resolves p.NextHop and passes p on, now or when the neighbour has answered.
func (b *Box) Send(p *packet.Packet) {
	p.EtherType = wire.TypeIPv4
	if p.Broadcast {
		p.MAC = wire.Broadcast
		if p.NextHop.IsMulticast() {
			p.MAC = wire.MulticastMAC(p.NextHop)
		}
		b.Output(p)
		return
	}
	b.Resolve(p, false)
}

// Receive takes an ARP packet (RFC 826, "Packet Reception").
func (b *Box) Receive(p *packet.Packet) {
	h, ok := wire.ParseARP(p.Bytes())
	if !ok || h.SenderMAC().IsMulticast() || h.SenderMAC() == (wire.MAC{}) || h.SenderIP().IsMulticast() {
		b.Dropped++
		p.Release()
		return
	}
	sender, mac := h.SenderIP(), h.SenderMAC()
	forUs := b.Owns(h.TargetIP())
	switch h.Op() {
	case wire.ARPRequest:
		b.Stats.RequestsRx++
	case wire.ARPReply:
		b.Stats.RepliesRx++
	default:
		forUs = false
	}
	switch {
	case mac == b.MAC:
		// Our own broadcast, come back.
	case b.Owns(sender):
		b.conflict(sender)
	case sender.IsUnspecified():
		// RFC 5227 probe: somebody wants to know whether the target is in use.
	default:
		b.learn(sender, mac, forUs)
	}
	if h.Op() == wire.ARPRequest && forUs && mac != b.MAC {
		b.Stats.RepliesTx++
		b.emit(wire.ARPReply, mac, h.TargetIP(), mac, sender)
	}
	p.Release()
}

// Announce tells the link that addr is ours (gratuitous ARP, RFC 5227 §2.3).
func (b *Box) Announce(addr netip.Addr) {
	b.Stats.RequestsTx++
	b.emit(wire.ARPRequest, wire.Broadcast, addr, wire.MAC{}, addr)
}

// learn takes news of a neighbour. Only who talks to us gets a new entry; others only have theirs corrected.
func (b *Box) learn(addr netip.Addr, mac wire.MAC, forUs bool) {
	e := b.Find(addr)
	if e == nil && forUs {
		e = b.Add(addr)
	}
	if e != nil && e.State != neighbour.Static {
		e.Confirmed(mac, b.Now()+Lifetime)
	}
}

// Request asks for a neighbour's Ethernet address.
func (b *Box) Request(e *neighbour.Entry) {
	source, ok := b.Source()
	if !ok {
		return
	}
	to := wire.Broadcast
	if e.State == neighbour.Probe {
		to = e.MAC
	}
	b.Stats.RequestsTx++
	b.emit(wire.ARPRequest, to, source, wire.MAC{}, e.Addr)
}

// conflict defends an address that another station claims, at most every DefendIdle.
func (b *Box) conflict(addr netip.Addr) {
	b.Stats.Conflicts++
	if now := b.Now(); b.defended == 0 || now-b.defended >= DefendIdle {
		b.defended = now
		b.Announce(addr)
	}
}

func (b *Box) emit(op uint16, to wire.MAC, senderIP netip.Addr, targetMAC wire.MAC, targetIP netip.Addr) {
	p := b.Pool.Linear(wire.ARPSize)
	wire.ARP(p.Bytes()).Encode(op, b.MAC, senderIP, targetMAC, targetIP)
	p.EtherType = wire.TypeARP
	p.MAC = to
	b.Output(p)
}
