// Package arp is the address resolution box of one interface (RFC 826, RFC 1122 §2.3.2, RFC 5227 §2.4): it finds the
// Ethernet address for what IP sends and answers for the host's own addresses.
//
// An entry of the cache is in one of three states:
//
//	          packet for an           reply: queued packets leave
//	         unknown neighbour   ┌──────────────────────────────────┐
//	(none) ──────────────► incomplete ──3 requests unanswered──► (none), queued packets are Unreachable
//	                                                                │
//	         stale ◄──────packet after Lifetime────── reachable ◄───┘
//	           │  ▲ its Ethernet address is used while a unicast request asks for confirmation
//	           └──┴─3 requests unanswered──► (none)
//
// Not safe for concurrent use: the stack's lock guards it.
package arp

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// Limits and times; times in nanoseconds.
const (
	MaxEntries = 512 // cache entries; one makes room when a new one comes
	MaxPending = 64  // packets waiting for one neighbour; the oldest goes (RFC 1122 §2.3.2.2 wants at least one)
	MaxWaiting = 256 // packets waiting for all neighbours together; further ones are dropped
	Requests   = 3   // before a neighbour counts as unreachable
	Interval   = 1e9 // between requests (RFC 1122 §2.3.2.1)
	Lifetime   = 300e9
	DefendIdle = 10e9 // between announcements that defend an address (RFC 5227 §2.4)
)

// Stats counts ARP packets, with IncludeOS's names in the comments.
type Stats struct {
	RequestsRx  uint64 // arp.requests_rx
	RequestsTx  uint64 // arp.requests_tx
	RepliesRx   uint64 // arp.replies_rx
	RepliesTx   uint64 // arp.replies_tx
	Dropped     uint64 // malformed, or sent to a neighbour that cannot be found
	Conflicts   uint64 // others that claim an address of ours
	Unreachable uint64 // neighbours that did not answer
}

// Box is the box. The function values are set by the stack's wiring.
type Box struct {
	Output      packet.Handler            // down: packets with EtherType and MAC
	Unreachable packet.Handler            // packets whose next hop does not answer
	Owns        func(netip.Addr) bool     // is this an address of the interface?
	Source      func() (netip.Addr, bool) // the address to ask from
	Now         func() int64              // nanoseconds
	Wheel       *timer.Wheel
	Pool        *packet.Pool

	MAC   wire.MAC
	Stats Stats

	cache    map[netip.Addr]*entry
	recent   *entry // one of cache: the last that Send has looked up
	waiting  int    // packets in pending queues
	defended int64  // when an address was last defended
}

type state uint8

const (
	incomplete state = iota
	reachable
	stale
	static
)

type entry struct {
	box     *Box
	addr    netip.Addr
	mac     wire.MAC
	state   state
	tries   int
	expires int64 // reachable until
	pending packet.Queue
	timer   timer.Timer
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
	e := b.recent
	if e == nil || e.addr != p.NextHop {
		e = b.cache[p.NextHop]
		b.recent = e
	}
	if e == nil {
		if e = b.add(p.NextHop); e == nil {
			b.Stats.Dropped++
			p.Release()
			return
		}
		b.ask(e)
	}
	switch e.state {
	case incomplete:
		if e.pending.Len() >= MaxPending {
			b.Stats.Dropped++
			b.waiting--
			e.pending.Pop().Release()
		}
		if b.waiting >= MaxWaiting {
			b.Stats.Dropped++
			p.Release()
			return
		}
		b.waiting++
		e.pending.Push(p)
		return
	case reachable:
		if b.Now() >= e.expires {
			e.state, e.tries = stale, 0
			b.ask(e)
		}
	}
	p.MAC = e.mac
	b.Output(p)
}

// Receive takes an ARP packet (RFC 826, "Packet Reception").
func (b *Box) Receive(p *packet.Packet) {
	h, ok := wire.ParseARP(p.Bytes())
	if !ok || h.SenderMAC().IsMulticast() || h.SenderMAC() == (wire.MAC{}) || h.SenderIP().IsMulticast() {
		b.Stats.Dropped++
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

// Set makes an entry that never expires.
func (b *Box) Set(addr netip.Addr, mac wire.MAC) bool {
	e := b.cache[addr]
	if e == nil {
		if e = b.add(addr); e == nil {
			return false
		}
	}
	b.resolved(e, mac)
	e.state = static
	return true
}

// Flush forgets everything but static entries.
func (b *Box) Flush() {
	for _, e := range b.cache {
		if e.state != static {
			b.remove(e)
		}
	}
}

// learn takes news of a neighbour. Only who talks to us gets a new entry; others only have theirs corrected.
func (b *Box) learn(addr netip.Addr, mac wire.MAC, forUs bool) {
	e := b.cache[addr]
	if e == nil {
		if !forUs {
			return
		}
		if e = b.add(addr); e == nil {
			return
		}
	}
	if e.state != static {
		b.resolved(e, mac)
	}
}

func (b *Box) resolved(e *entry, mac wire.MAC) {
	e.timer.Stop()
	e.state, e.mac, e.expires = reachable, mac, b.Now()+Lifetime
	for p := e.pending.Pop(); p != nil; p = e.pending.Pop() {
		b.waiting--
		p.MAC = mac
		b.Output(p)
	}
}

// add makes an entry, in place of another if the cache is full: one that has expired if there is such, never one that
// packets wait for. It returns nil if all are of that kind.
func (b *Box) add(addr netip.Addr) *entry {
	if b.cache == nil {
		b.cache = make(map[netip.Addr]*entry)
	}
	if len(b.cache) >= MaxEntries {
		var victim *entry
		for _, e := range b.cache { // in random order
			if e.state == static || e.state == incomplete {
				continue
			}
			victim = e
			if e.expires <= b.Now() {
				break
			}
		}
		if victim == nil {
			return nil
		}
		b.remove(victim)
	}
	e := &entry{box: b, addr: addr}
	e.timer.Init(b.Wheel, e.timeout)
	b.cache[addr] = e
	return e
}

func (b *Box) remove(e *entry) {
	e.timer.Stop()
	b.waiting -= e.pending.Len()
	e.pending.Release()
	delete(b.cache, e.addr)
	if b.recent == e {
		b.recent = nil
	}
}

// ask sends a request for e and starts waiting for the answer.
func (b *Box) ask(e *entry) {
	e.tries++
	e.timer.Set(b.Now() + Interval)
	source, ok := b.Source()
	if !ok {
		return
	}
	to := wire.Broadcast
	if e.state == stale {
		to = e.mac
	}
	b.Stats.RequestsTx++
	b.emit(wire.ARPRequest, to, source, wire.MAC{}, e.addr)
}

func (e *entry) timeout() {
	b := e.box
	if e.tries < Requests {
		b.ask(e)
		return
	}
	b.Stats.Unreachable++
	pending := e.pending
	e.pending = packet.Queue{}
	b.waiting -= pending.Len()
	b.remove(e)
	for p := pending.Pop(); p != nil; p = pending.Pop() {
		b.Stats.Dropped++
		b.Unreachable(p)
	}
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

// Len is the number of entries.
func (b *Box) Len() int { return len(b.cache) }

// Lookup returns the Ethernet address of a neighbour, if it is known.
func (b *Box) Lookup(addr netip.Addr) (wire.MAC, bool) {
	if e := b.cache[addr]; e != nil && e.state != incomplete {
		return e.mac, true
	}
	return wire.MAC{}, false
}
