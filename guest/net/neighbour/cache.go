// Package neighbour is the cache of Ethernet addresses of the stations on a link, which packages arp and ndp are two ways
// to fill: ARP for IPv4, neighbour discovery for IPv6.
//
// An entry is in one of five states, named as in RFC 4861 §7.3.2; DELAY is left out, since no upper layer would end it:
//
//	         packet for an               answer: queued packets leave
//	        unknown neighbour   ┌───────────────────────────────────────────────┐
//	(none) ─────────────► Incomplete ──Requests unanswered──► (none), queued packets are Unreachable
//	   │                        │ other news                                  │
//	   │ other news             ▼                                             ▼
//	   └────────────────────► Stale ◄─────────────after its time────────── Reachable
//	                            │ packet: its address is used while a         ▲
//	                            ▼ request to it asks for confirmation         │
//	                          Probe ─────────────────answer───────────────────┘
//	                            └──Requests unanswered──► (none)
//
// Static entries have been set by hand and stay. With ARP there is no other news, and an entry whose time is over goes to
// Probe with the next packet.
//
// Not safe for concurrent use: the stack's lock guards it.
package neighbour

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// Limits and times; times in nanoseconds.
const (
	MaxEntries = 512 // cache entries; one makes room when a new one comes
	MaxPending = 64  // packets waiting for one neighbour; the oldest goes (RFC 1122 §2.3.2.2, RFC 4861 §7.2.2: at least one)
	MaxWaiting = 256 // packets waiting for all neighbours together; further ones are dropped
	Requests   = 3   // before a neighbour counts as unreachable (RFC 4861 §10: MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT)
	Interval   = 1e9 // between requests (RFC 1122 §2.3.2.1; RFC 4861 §10: RETRANS_TIMER)
)

// Cache is the cache of one link. Its function values are set by the stack's wiring; Lost may be nil.
type Cache struct {
	Output      packet.Handler   // down: packets with MAC
	Unreachable packet.Handler   // packets whose next hop does not answer
	Ask         func(e *Entry)   // asks for e: whoever it is, or if it is in state Probe the one at its MAC
	Lost        func(netip.Addr) // this router does not answer
	Now         func() int64     // nanoseconds
	Wheel       *timer.Wheel

	Dropped uint64 // counts packets for neighbours that cannot be found; whoever fills the cache adds what is malformed
	Silent  uint64 // counts neighbours that did not answer

	entries map[netip.Addr]*Entry
	recent  *Entry // one of entries: the last that Resolve has looked up
	waiting int    // packets in pending queues
}

// State is an entry's state.
type State uint8

// States.
const (
	Incomplete State = iota
	Reachable
	Stale
	Probe
	Static
)

// Entry is what is known of a neighbour.
type Entry struct {
	Addr   netip.Addr
	MAC    wire.MAC // not if Incomplete
	State  State
	Router bool

	cache   *Cache
	tries   int
	expires int64 // Reachable until
	pending packet.Queue
	timer   timer.Timer
}

// Resolve passes p on to p.NextHop, now or when the neighbour has answered. With quiet an entry is used as it is: what p is
// about is no reason to ask for confirmation.
func (c *Cache) Resolve(p *packet.Packet, quiet bool) {
	e := c.recent
	if e == nil || e.Addr != p.NextHop {
		e = c.entries[p.NextHop]
		c.recent = e
	}
	if e == nil {
		if e = c.Add(p.NextHop); e == nil {
			c.drop(p)
			return
		}
		c.ask(e)
	}
	switch e.State {
	case Incomplete:
		if e.pending.Len() >= MaxPending {
			c.waiting--
			c.drop(e.pending.Pop())
		}
		if c.waiting >= MaxWaiting {
			c.drop(p)
			return
		}
		c.waiting++
		e.pending.Push(p)
		return
	case Reachable:
		if c.Now() < e.expires {
			break
		}
		fallthrough
	case Stale:
		if quiet {
			break
		}
		e.State, e.tries = Probe, 0
		c.ask(e)
	}
	p.MAC = e.MAC
	c.Output(p)
}

func (c *Cache) drop(p *packet.Packet) {
	c.Dropped++
	p.Release()
}

// Find returns the entry of a neighbour, or nil.
func (c *Cache) Find(addr netip.Addr) *Entry { return c.entries[addr] }

// Add returns the entry of a neighbour, which is made if there is none: in place of another if the cache is full, one that
// is not known to be reachable if there is such, never one that packets wait for. It returns nil if all are of that kind.
func (c *Cache) Add(addr netip.Addr) *Entry {
	if e := c.entries[addr]; e != nil {
		return e
	}
	if c.entries == nil {
		c.entries = make(map[netip.Addr]*Entry)
	}
	if len(c.entries) >= MaxEntries {
		var victim *Entry
		for _, e := range c.entries { // in random order
			if e.State == Static || e.State == Incomplete {
				continue
			}
			victim = e
			if !e.Router && (e.State == Stale || e.expires <= c.Now()) {
				break
			}
		}
		if victim == nil {
			return nil
		}
		c.remove(victim)
	}
	e := &Entry{Addr: addr, cache: c}
	e.timer.Init(c.Wheel, e.timeout)
	c.entries[addr] = e
	return e
}

// Confirmed stores what a neighbour has answered, to be believed until the given time.
func (e *Entry) Confirmed(mac wire.MAC, until int64) {
	e.expires = until
	e.know(Reachable, mac)
}

// Heard stores what is said of a neighbour without having been asked for: it may be forged, so it has to be confirmed before
// long.
func (e *Entry) Heard(mac wire.MAC) { e.know(Stale, mac) }

func (e *Entry) know(s State, mac wire.MAC) {
	e.timer.Stop()
	e.State, e.MAC = s, mac
	c := e.cache
	for p := e.pending.Pop(); p != nil; p = e.pending.Pop() {
		c.waiting--
		p.MAC = mac
		c.Output(p)
	}
}

// Set makes an entry that never expires.
func (c *Cache) Set(addr netip.Addr, mac wire.MAC) bool {
	e := c.Add(addr)
	if e == nil {
		return false
	}
	e.know(Static, mac)
	return true
}

// Flush forgets everything but static entries.
func (c *Cache) Flush() {
	for _, e := range c.entries {
		if e.State != Static {
			c.remove(e)
		}
	}
}

func (c *Cache) remove(e *Entry) {
	e.timer.Stop()
	c.waiting -= e.pending.Len()
	e.pending.Release()
	delete(c.entries, e.Addr)
	if c.recent == e {
		c.recent = nil
	}
}

// ask sends a request for e and starts waiting for the answer.
func (c *Cache) ask(e *Entry) {
	e.tries++
	e.timer.Set(c.Now() + Interval)
	c.Ask(e)
}

func (e *Entry) timeout() {
	c := e.cache
	if e.tries < Requests {
		c.ask(e)
		return
	}
	c.Silent++
	pending := e.pending
	e.pending = packet.Queue{}
	c.waiting -= pending.Len()
	c.remove(e)
	if e.Router && c.Lost != nil {
		c.Lost(e.Addr)
	}
	for p := pending.Pop(); p != nil; p = pending.Pop() {
		c.Dropped++
		c.Unreachable(p)
	}
}

// Len is the number of entries.
func (c *Cache) Len() int { return len(c.entries) }

// Waiting is how many packets wait for a neighbour to answer.
func (c *Cache) Waiting() int { return c.waiting }

// Lookup returns the Ethernet address of a neighbour, if it is known.
func (c *Cache) Lookup(addr netip.Addr) (wire.MAC, bool) {
	if e := c.entries[addr]; e != nil && e.State != Incomplete {
		return e.MAC, true
	}
	return wire.MAC{}, false
}
