package tcp

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// reassembly holds what has arrived ahead of a hole. spans are its contiguous pieces, so that what a segment costs grows
// with the logarithm of the number of holes, however they are made (CVE-2018-5390).
//
//	queue   ▣─▣─▣─────────▣─▣──▣──────▣
//	spans   [     ]       [      ]    [ ]     sorted, disjoint, not touching, but behind a FIN
type reassembly struct {
	queue  packet.Queue // sorted by Seq, disjoint
	spans  []span
	memory int       // bytes charged
	recent recentSeq // where segments have arrived last
}

// span is a contiguous piece, at least one packet.
type span struct {
	start, end seq
	last       *packet.Packet
	fin        bool // the peer's FIN follows
}

// len is the number of segments held.
func (r *reassembly) len() int { return r.queue.Len() }

// find returns the first span that ends at or behind at.
func (r *reassembly) find(at seq) int {
	lo, hi := 0, len(r.spans)
	for lo < hi {
		if m := int(uint(lo+hi) / 2); r.spans[m].end.atLeast(at) {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return lo
}

// around returns the span that contains at, -1 if there is none.
func (r *reassembly) around(at seq) int {
	if i := r.find(at + 1); i < len(r.spans) && !r.spans[i].start.after(at) {
		return i
	}
	return -1
}

// hold inserts the segment. If there is no room for it, it is forgotten: the peer will repeat it.
func (c *Conn) hold(s *segment) {
	b, r := c.box, &c.rcv.ahead
	i := r.find(s.seq)
	joins := i < len(r.spans) && !r.spans[i].start.after(s.seq)
	if joins {
		have := &r.spans[i]
		if have.fin && s.seq.atLeast(have.end) {
			return // nothing comes after a FIN
		}
		if s.len > 0 && have.end.after(s.seq) {
			c.duplicate(s.seq, minSeq(have.end, s.seq.plus(s.len)))
			r.recent.add(r, s.seq)
		}
		s.trimFront(have.end)
		if have.fin || s.len == 0 && (!s.has(wire.FIN) || s.seq.before(have.end)) {
			return
		}
	}
	p := s.p
	p.Shrink()
	size := p.Size()
	if r.len() >= MaxOutOfOrder || r.memory+size > 2*c.rcv.limit || b.pressure(size) {
		b.Stats.MemoryPressure++
		return
	}
	var before *packet.Packet
	switch {
	case joins:
		before = r.spans[i].last
	case i > 0:
		before = r.spans[i-1].last
	}
	first := i // of the spans behind the segment
	if joins {
		first++
	}
	// Those it covers go; of the first it does not cover, it keeps its hands off.
	behind := first
	for ; behind < len(r.spans); behind++ {
		at := &r.spans[behind]
		end := s.seq.plus(s.len)
		if at.start.after(end) || at.start == end && s.has(wire.FIN) {
			break
		}
		if at.end.after(end) || at.end == end && at.fin {
			s.trimBack(at.start)
			break
		}
		c.forget(before, at.last)
	}
	follows := behind < len(r.spans) && r.spans[behind].start == s.seq.plus(s.len) && !s.has(wire.FIN)
	n := span{start: s.seq, end: s.seq.plus(s.len), fin: s.has(wire.FIN)}

	s.p = nil
	p.Seq, p.Fin = uint32(s.seq), n.fin
	if joins && !p.Fin && before.Absorb(p) {
		n.last = before
	} else {
		p.Charge = size
		r.memory += size
		b.memory += size
		r.queue.InsertAfter(before, p)
		n.last = p
	}
	from, to := first, behind
	if joins {
		n.start = r.spans[i].start
		from--
	}
	if follows {
		n.end, n.last, n.fin = r.spans[behind].end, r.spans[behind].last, r.spans[behind].fin
		to++
	}
	r.replace(from, to, n)
	r.recent.add(r, s.seq)
}

// replace puts n where the spans from up to but not including to are.
func (r *reassembly) replace(from, to int, n span) {
	if from == to {
		r.spans = append(r.spans, span{})
		copy(r.spans[from+1:], r.spans[from:])
	} else if from+1 < to {
		k := copy(r.spans[from+1:], r.spans[to:])
		r.spans = r.spans[:from+1+k]
	}
	r.spans[from] = n
}

// forget drops the packets behind before, up to and including last.
func (c *Conn) forget(before, last *packet.Packet) {
	q := &c.rcv.ahead.queue
	for {
		p := q.Front()
		if before != nil {
			p = before.Next
		}
		q.RemoveAfter(before)
		c.uncharge(p)
		p.Release()
		if p == last {
			return
		}
	}
}

// fill moves to the reader's queue what no hole is in front of any more, and reports whether that ends with the peer's
// FIN.
func (c *Conn) fill() (fin bool) {
	r := &c.rcv.ahead
	for len(r.spans) > 0 && !r.spans[0].start.after(c.rcv.nxt) {
		at := r.spans[0]
		r.spans = r.spans[1:]
		for last := false; !last; {
			p := r.queue.Pop()
			last = p == at.last
			c.uncharge(p)
			if old := c.rcv.nxt.minus(seq(p.Seq)); old < p.Len() {
				p.Trim(old)
				c.enqueue(p, p.Len())
			} else {
				p.Release()
			}
		}
		if at.fin && at.end == c.rcv.nxt {
			return true
		}
	}
	if len(r.spans) == 0 {
		r.reset()
	}
	return false
}

// reset forgets the past when nothing is held. A long list is not kept.
func (r *reassembly) reset() {
	r.recent.n = 0
	if r.spans = r.spans[:0]; cap(r.spans) > 64 {
		r.spans = nil
	}
}

func (c *Conn) uncharge(p *packet.Packet) {
	c.rcv.ahead.memory -= p.Charge
	c.box.memory -= p.Charge
}

// dropOutOfOrder forgets what is ahead of a hole.
func (c *Conn) dropOutOfOrder() {
	r := &c.rcv.ahead
	for p := r.queue.Pop(); p != nil; p = r.queue.Pop() {
		c.uncharge(p)
		p.Release()
	}
	r.spans = nil
	r.reset()
	c.rcv.dup = wire.SACKBlock{}
}
