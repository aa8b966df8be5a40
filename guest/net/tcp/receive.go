package tcp

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
)

// take is the seventh and eighth step of RFC 9293 §3.10.7.4 for text and FIN inside the window.
func (c *Conn) take(s *segment) {
	if s.seq != c.rcv.nxt {
		c.keep(s)
		return
	}
	b := c.box
	now := b.Now()
	c.rcv.lastData = now
	hole := c.rcv.ooo.Len() > 0
	if s.len > 0 {
		if c.rcv.queued > 0 && b.pressure(s.p.Size()) {
			b.Stats.MemoryPressure++
			c.ackNow = true
			c.touch()
			return
		}
		if s.len > c.rcv.mss {
			c.rcv.mss = min(s.len, c.rcv.ourMSS)
		}
		c.measure(s, now)
		p := s.p
		s.p = nil
		c.enqueue(p, s.len)
		c.upcall(ready.In)
	}
	if s.has(wire.FIN) || hole && c.fill() {
		c.finish()
		return
	}
	switch {
	case hole || c.quick > 0 || c.rcv.nxt.minus(c.rcv.acked) >= 2*c.rcv.mss:
		c.ackNow = true // RFC 5681 §4.2: every second full segment, and whatever fills a hole
		c.touch()
	case c.deadline[timerAck] == 0:
		c.start(timerAck, now+delayedAck)
	}
	c.quick = max(c.quick-1, 0)
}

// enqueue puts n bytes that come next in sequence where Read finds them. Short segments are merged into the memory
// behind the one before, so that what the queue keeps is at most 2.5 times the payload (half-full blocks, and packets).
func (c *Conn) enqueue(p *packet.Packet, n int) {
	c.rcv.nxt = c.rcv.nxt.plus(n)
	c.rcv.queued += n
	c.box.Stats.Rx += uint64(n)
	if last := c.rcv.queue.Back(); last != nil && n < packet.Small/2 && last.Absorb(p) {
		return
	}
	p.Charge = p.Size()
	c.box.memory += p.Charge
	c.rcv.queue.Push(p)
}

// fill moves from behind the hole what it no longer separates, and reports whether that ends with the peer's FIN.
func (c *Conn) fill() (fin bool) {
	for p := c.rcv.ooo.Front(); p != nil && !seq(p.Seq).after(c.rcv.nxt); p = c.rcv.ooo.Front() {
		c.rcv.ooo.Pop()
		c.uncharge(p)
		old := c.rcv.nxt.minus(seq(p.Seq))
		fin = p.Fin && old <= p.Len()
		if old < p.Len() {
			p.Trim(old)
			c.enqueue(p, p.Len())
		} else {
			p.Release()
		}
		if fin {
			return true
		}
	}
	return false
}

// keep holds a segment that is ahead of a hole, and answers with a duplicate ACK (RFC 5681 §4.2).
func (c *Conn) keep(s *segment) {
	b := c.box
	b.Stats.OutOfOrder++
	c.quick = quickAcks
	if c.rcv.acked != c.rcv.nxt {
		c.sendAck() // what is in order first, so that the next one counts as a duplicate
	}
	c.hold(s)
	c.sendAck()
}

// hold inserts the segment into the list of those ahead of a hole, which do not overlap and are sorted by Seq. There is
// room for one, or it is forgotten: the peer will repeat it.
func (c *Conn) hold(s *segment) {
	b := c.box
	q := &c.rcv.ooo
	p := s.p
	p.Shrink()
	size := p.Size()
	if q.Len() >= MaxOutOfOrder || c.rcv.oooMemory+size > 2*c.rcv.limit || b.pressure(size) {
		b.Stats.MemoryPressure++
		return
	}
	// Behind the last one that begins before it; nearly always that is the last of all.
	before := q.Back()
	if before != nil && seq(before.Seq).after(s.seq) {
		before = nil
		for at := q.Front(); at != nil && !seq(at.Seq).after(s.seq); at = at.Next {
			before = at
		}
	}
	if before != nil {
		if before.Fin {
			return // nothing comes after a FIN
		}
		s.trimFront(seq(before.Seq).plus(before.Len()))
		if s.len == 0 && !s.has(wire.FIN) {
			return
		}
	}
	// Those it covers go; of the first it does not cover, it keeps its hands off.
	end := s.seq.plus(s.len)
	for at := next(q, before); at != nil; at = next(q, before) {
		if seq(at.Seq).atLeast(end) && !(at.Len() == 0 && seq(at.Seq) == end) {
			break
		}
		if atEnd := seq(at.Seq).plus(at.Len()); atEnd.after(end) || atEnd == end && at.Fin {
			s.trimBack(seq(at.Seq))
			break
		}
		q.RemoveAfter(before)
		c.uncharge(at)
		at.Release()
	}
	if s.len == 0 && !s.has(wire.FIN) {
		return
	}
	s.p = nil
	p.Seq, p.Fin = uint32(s.seq), s.has(wire.FIN)
	if before != nil && !p.Fin && seq(before.Seq).plus(before.Len()) == s.seq && before.Absorb(p) {
		return
	}
	p.Charge = size
	c.rcv.oooMemory += size
	b.memory += size
	q.InsertAfter(before, p)
}

// next returns what follows at in q, its front if at is nil.
func next(q *packet.Queue, at *packet.Packet) *packet.Packet {
	if at == nil {
		return q.Front()
	}
	return at.Next
}

func (c *Conn) uncharge(p *packet.Packet) {
	c.rcv.oooMemory -= p.Charge
	c.box.memory -= p.Charge
}

// dropOutOfOrder forgets what is ahead of a hole.
func (c *Conn) dropOutOfOrder() {
	for p := c.rcv.ooo.Pop(); p != nil; p = c.rcv.ooo.Pop() {
		c.uncharge(p)
		p.Release()
	}
}
