package filter

import (
	"slices"

	"ukvm.dev/guest/net/bucket"
	"ukvm.dev/guest/net/conntrack"
	"ukvm.dev/guest/net/packet"
)

// Stats counts packets of a place.
type Stats struct {
	Accepted uint64
	Dropped  uint64 // rejected ones not counted
	Rejected uint64
}

// Box is the box. The function values are set by the stack's wiring; all but Now may be nil.
type Box struct {
	// Track returns the state of a packet's connection; Confirm follows if the packet passes. They are called at Input,
	// Forward and Output, if the table is Tracking. Confirm returns false if there are too many connections.
	Track   func(*conntrack.Packet) conntrack.State
	Confirm func() bool
	// Reject tells a packet's sender. The packet stays the caller's.
	Reject func(h Hook, p *packet.Packet, a Answer)
	// Log takes a line about a packet.
	Log func(text string)
	// Configuring reports whether the DHCP client of an interface runs.
	Configuring func(link int) bool
	Now         func() int64 // nanoseconds

	// Loopback is the index of the interface that is not filtered.
	Loopback int

	Stats [Hooks]Stats

	table     *Table
	links     []uint64 // by index of the interface: its bit in rules
	header    header
	track     conntrack.Packet
	stack     [MaxDepth]frame
	answering bool
	logs      bucket.Bucket
}

// frame is where to go on after a jump: rules[at:end].
type frame struct{ at, end int32 }

// unnamed is the bit of an interface that rules do not name.
const unnamed = 1 << MaxNames

// Load makes the box run another table from the next packet on, nil for none, and returns the one it ran. The named
// interfaces are those the stack has, by index; an index without an interface has an empty name.
func (b *Box) Load(t *Table, interfaces []string) *Table {
	old := b.table
	b.table = t
	b.logs = bucket.Bucket{}
	b.Interfaces(interfaces)
	return old
}

// Table returns the table the box runs, nil if none.
func (b *Box) Table() *Table { return b.table }

// Interfaces tells the box, when that changes, which interfaces there are.
func (b *Box) Interfaces(names []string) {
	b.links = make([]uint64, len(names))
	if b.table == nil {
		return
	}
	for i, n := range names {
		if k := slices.Index(b.table.names, n); n != "" && k >= 0 {
			b.links[i] = 1 << k
		}
	}
}

// Hook returns what decides about packets at a place, for the IP boxes: false means that the packet is to be dropped. It
// is nil if every packet would pass.
func (b *Box) Hook(h Hook) func(*packet.Packet) bool {
	t := b.table
	if t == nil {
		return nil
	}
	tracked := t.tracking && (h == Input || h == Forward || h == Output)
	if i := t.hooks[h]; !tracked && (i == 0 || t.chains[i-1].policy == Accept && t.chains[i-1].first == t.chains[i-1].end) {
		return nil
	}
	return func(p *packet.Packet) bool { return b.decide(h, p) }
}

// decide runs a packet through the chain of a place.
func (b *Box) decide(h Hook, p *packet.Packet) bool {
	if p.Link == b.Loopback || b.answering {
		return true
	}
	t, f := b.table, &b.header
	f.parse(h, p)
	f.in, f.out = 0, 0
	link := uint64(0)
	if uint(p.Link) < uint(len(b.links)) {
		link = b.links[p.Link]
	}
	if h <= Forward {
		f.in = link | unnamed
	} else {
		f.out = link | unnamed
	}
	if f.essential(b.Configuring, p.Link) {
		return true
	}
	tracked := t.tracking && h != Prerouting && h != Postrouting
	if tracked {
		b.track = conntrack.Packet{
			Src: p.Src, Dst: p.Dst, Proto: f.proto, Transport: f.transport,
			Len: f.length, Local: h == Output,
		}
		f.state = b.Track(&b.track)
	}
	verdict := Accept
	var answer Answer
	if i := t.hooks[h]; i != 0 {
		verdict, answer = b.walk(h, &t.chains[i-1], p)
	}
	if verdict == Accept && tracked && !b.Confirm() {
		verdict = Drop
	}
	s := &b.Stats[h]
	switch verdict {
	case Accept:
		s.Accepted++
		return true
	case Reject:
		s.Rejected++
		if b.Reject != nil {
			b.answering = true
			b.Reject(h, p, answer)
			b.answering = false
		}
		return false
	}
	s.Dropped++
	return false
}

// walk runs the packet of b.header through a chain and those it jumps to.
func (b *Box) walk(h Hook, c *chain, p *packet.Packet) (Verdict, Answer) {
	t, f := b.table, &b.header
	base, depth := c, 0
	at, end := c.first, c.end
	for {
		if at == end {
			if depth == 0 {
				break
			}
			depth--
			at, end = b.stack[depth].at, b.stack[depth].end
			continue
		}
		r := &t.rules[at]
		at++
		if !r.matches(f) || r.limit != nil && r.limit.take(b.Now()) == (r.match&overLimit != 0) {
			continue
		}
		r.packets++
		r.bytes += f.bytes
		if r.counter != 0 {
			n := &t.counters[r.counter-1]
			n.packets++
			n.bytes += f.bytes
		}
		if r.log {
			b.log(h, p, r)
		}
		switch r.verdict {
		case Continue:
		case Jump:
			b.stack[depth] = frame{at, end}
			depth++
			to := &t.chains[r.chain]
			at, end = to.first, to.end
		case Return:
			at = end
		default:
			return r.verdict, r.answer
		}
	}
	base.packets++
	base.bytes += f.bytes
	return base.policy, 0
}
