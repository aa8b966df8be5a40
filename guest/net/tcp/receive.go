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
	hole := c.rcv.ahead.len() > 0
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
