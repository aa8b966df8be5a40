package ndp

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

type state uint8

const (
	incomplete state = iota
	reachable
	stale
	probe
	static
)

type entry struct {
	box     *Box
	addr    netip.Addr
	mac     wire.MAC
	state   state
	router  bool
	tries   int
	expires int64 // reachable until
	pending packet.Queue
	timer   timer.Timer
}

// Resolve resolves p.NextHop and passes p on, now or when the neighbour has answered.
func (b *Box) Resolve(p *packet.Packet) {
	p.EtherType = wire.TypeIPv6
	if p.Broadcast {
		p.MAC = wire.MulticastMAC(p.NextHop)
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
			b.drop(p)
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
			b.drop(p)
			return
		}
		b.waiting++
		e.pending.Push(p)
		return
	case reachable:
		if b.Now() < e.expires {
			break
		}
		fallthrough
	case stale:
		if b.emitting {
			break // an answer of ours is no reason to ask back
		}
		e.state, e.tries = probe, 0
		b.ask(e)
	}
	p.MAC = e.mac
	b.Output(p)
}

// Set makes an entry that never expires.
func (b *Box) Set(addr netip.Addr, mac wire.MAC) bool {
	e := b.cache[addr]
	if e == nil {
		if e = b.add(addr); e == nil {
			return false
		}
	}
	b.resolved(e, mac, true)
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

// heard takes a neighbour's Ethernet address from a message that is no answer (RFC 4861 §7.2.3): it may be forged, so it
// has to be confirmed before long.
func (b *Box) heard(addr netip.Addr, mac wire.MAC) {
	if mac == (wire.MAC{}) {
		return
	}
	e := b.cache[addr]
	if e == nil {
		if e = b.add(addr); e == nil {
			return
		}
	}
	if e.state != static && (e.state == incomplete || e.mac != mac) {
		b.resolved(e, mac, false)
	}
}

// resolved stores what has been learnt of a neighbour; confirmed means that it has answered us.
func (b *Box) resolved(e *entry, mac wire.MAC, confirmed bool) {
	e.timer.Stop()
	e.state, e.mac = stale, mac
	if confirmed {
		base := b.Reachable
		if base == 0 {
			base = ReachableTime
		}
		// Between half and one and a half of it, so that stations do not fall into step (RFC 4861 §6.3.2).
		e.state, e.expires = reachable, b.Now()+base/2+int64(b.Random()%uint64(base))
	}
	for p := e.pending.Pop(); p != nil; p = e.pending.Pop() {
		b.waiting--
		p.MAC = mac
		b.Output(p)
	}
}

// add makes an entry, in place of another if the cache is full: one that is not known to be reachable if there is such,
// never one that packets wait for. It returns nil if all are of that kind.
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
			if !e.router && (e.state == stale || e.expires <= b.Now()) {
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
	e.timer.Set(b.Now() + RetransmitTime)
	source := b.Source(e.addr)
	if !source.IsValid() {
		return
	}
	to := wire.SolicitedNode(e.addr)
	if e.state == probe {
		to = e.addr
	}
	b.solicit(e.addr, source, to)
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
	if e.router && b.Lost != nil {
		b.Lost(e.addr)
	}
	for p := pending.Pop(); p != nil; p = pending.Pop() {
		b.Stats.Dropped++
		b.Unreachable(p)
	}
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
