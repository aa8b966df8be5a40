package conntrack

import "ukvm.dev/guest/net/wire"

// Stats counts.
type Stats struct {
	New     uint64 // connections entered
	Expired uint64
	Evicted uint64 // connections that made room for others
	Full    uint64 // connections that found no room
	Invalid uint64 // packets
	Related uint64 // packets
}

// Box is the box. Now, Random and Max are set before the first packet.
type Box struct {
	Now    func() int64 // nanoseconds
	Random func() uint64
	Max    int   // entries
	PickUp int64 // until when anybody's TCP connections in progress are entered
	Stats  Stats

	now     int64
	secret  [4]uint64
	buckets []index // of entries linked through next; as many as a power of two
	chunks  []*[chunkLen]entry
	used    index // entries of chunks that have been used, 0 included
	free    index // first of those that are free again
	entries int
	queues  [queues]queue
	pending pending
}

// pending is a connection whose first packet is on its way through the filter.
type pending struct {
	entry entry
	queue queueID
	set   bool
}

// Len is the number of connections known.
func (b *Box) Len() int {
	b.expire(b.Now(), b.entries)
	return b.entries
}

// Reset forgets all connections and gives back the memory.
func (b *Box) Reset() {
	*b = Box{Now: b.Now, Random: b.Random, Max: b.Max, Stats: b.Stats}
}

// Track returns what a packet is to the connections known. Confirm is to be called if it passes.
func (b *Box) Track(p *Packet) State {
	b.now = b.Now()
	b.pending.set = false
	if len(b.buckets) == 0 {
		for i := range b.secret {
			b.secret[i] = b.Random() | 1
		}
		b.grow()
	}
	s := b.track(p)
	switch s {
	case Invalid:
		b.Stats.Invalid++
	case Related:
		b.Stats.Related++
	}
	return s
}

// Confirm says that the packet of the last call of Track has passed. It returns false if the connection the packet
// begins can not be entered, since there are too many: the packet is to be dropped.
func (b *Box) Confirm() bool {
	if !b.pending.set {
		return true
	}
	b.pending.set = false
	return b.insert(&b.pending.entry, b.pending.queue)
}

// begin notes a connection to be entered.
func (b *Box) begin(k *key, from uint8, q queueID, p *Packet) *entry {
	if p.Local && q <= icmpQuery {
		q = local
	}
	b.pending = pending{entry: entry{key: *k, origin: from}, queue: q, set: true}
	return &b.pending.entry
}

func (b *Box) track(p *Packet) State {
	t := p.Transport
	switch p.Proto {
	case wire.ProtoTCP:
		return b.trackTCP(p)
	case wire.ProtoUDP:
		h, ok := wire.ParseUDP(t)
		if !ok || h.Len() > p.Len {
			return Invalid
		}
		return b.trackPlain(p, h.SrcPort(), h.DstPort())
	case wire.ProtoICMP, protoICMPv6:
		return b.trackICMP(p)
	}
	return b.trackPlain(p, 0, 0)
}

// trackPlain follows protocols without connections: whoever has been answered is connected.
func (b *Box) trackPlain(p *Packet, src, dst uint16) State {
	k, from := makeKey(makeEnd(p.Src, src), makeEnd(p.Dst, dst), p.Proto)
	i := b.find(&k)
	if i == 0 {
		b.begin(&k, from, unreplied, p)
		return New
	}
	e := b.at(i)
	if from != e.origin {
		e.replied = true
	}
	if !e.replied {
		b.refresh(i, e.queue, b.now)
		return New
	}
	b.refresh(i, stream, b.now)
	return Established
}
