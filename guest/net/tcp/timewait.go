package tcp

import (
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// wait is what is left of a connection in TIME-WAIT: enough to answer a repeated FIN, and to recognise a new
// connection's SYN (RFC 9293 §3.6.1, RFC 6191).
type wait struct {
	flow       flow
	snd, rcv   seq // SND.NXT and RCV.NXT
	tsOn       bool
	tsOffset   uint32
	tsRecent   seq
	wnd        uint16 // window field to announce
	since      int64
	until      int64
	asked      bool // a SYN that may not take its place was answered
	next, prev *wait
}

// waits are all connections in TIME-WAIT, oldest first: they all stay equally long, so one timer will do.
type waits struct {
	byFlow map[flow]*wait
	oldest *wait
	newest *wait
	timer  timer.Timer
	inited bool
	reused *wait // the next connection to begin takes this one's place
}

func (w *waits) len() int { return len(w.byFlow) }

func (w *waits) find(f flow) *wait { return w.byFlow[f] }

// wait moves the connection to TIME-WAIT. Its control block is the holder's alone from now on.
func (c *Conn) wait() {
	b := c.box
	if c.ackNow || c.rcv.acked != c.rcv.nxt {
		c.sendAck()
	}
	w := &wait{
		flow: c.flow, snd: c.snd.max, rcv: c.rcv.nxt,
		tsOn: c.ts.on, tsOffset: c.ts.offset, tsRecent: c.ts.recent, since: b.Now(),
		wnd: uint16(min(max(c.rcv.edge.minus(c.rcv.nxt), 0)>>c.rcv.scale, 65535)),
	}
	c.leave()
	c.state = TimeWait
	b.waits.add(b, w)
	c.upcall(ready.Hup)
}

func (s *waits) add(b *Box, w *wait) {
	if !s.inited {
		s.inited = true
		s.byFlow = make(map[flow]*wait)
		s.timer.Init(b.Wheel, func() { s.expire(b) })
	}
	if len(s.byFlow) >= b.Limits.TimeWait && s.oldest != nil {
		s.remove(b, s.oldest)
	}
	if b.Limits.TimeWait == 0 {
		return
	}
	s.byFlow[w.flow] = w
	b.ports.use(uint16(w.flow.localPort))
	s.push(b, w)
}

// push puts w at the end, with the full time to wait.
func (s *waits) push(b *Box, w *wait) {
	w.until = b.Now() + timeWait
	w.next, w.prev = nil, s.newest
	if s.newest != nil {
		s.newest.next = w
	} else {
		s.oldest = w
	}
	s.newest = w
	if !s.timer.Active() {
		s.timer.Set(w.until)
	}
}

func (s *waits) unlink(w *wait) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		s.oldest = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		s.newest = w.prev
	}
}

func (s *waits) remove(b *Box, w *wait) {
	s.unlink(w)
	delete(s.byFlow, w.flow)
	b.ports.unuse(uint16(w.flow.localPort))
}

func (s *waits) expire(b *Box) {
	now := b.Now()
	for s.oldest != nil && s.oldest.until <= now {
		s.remove(b, s.oldest)
	}
	if s.oldest != nil {
		s.timer.Set(s.oldest.until)
	}
}

// reuse makes room for a new connection with the flow of one in TIME-WAIT.
func (s *waits) reuse(b *Box, f flow) {
	if w := s.byFlow[f]; w != nil {
		s.remove(b, w)
		s.reused = w
	}
}

// reusable reports whether a new connection may be made with the flow: timestamps, which have moved on since, tell the
// two apart (RFC 6191).
func (w *wait) reusable(now int64) bool { return w.tsOn && now-w.since >= reuseAfter }

// waitArrive is TIME-WAIT of RFC 9293 §3.10.7.4 with RFC 6191, and RFC 1337: RST is ignored, but for the one with which a
// peer that has begun a new connection answers our ACK (RFC 9293 §3.10.7.3). Without timestamps and with random initial
// numbers it could not reach us for a minute otherwise. waitArrive reports whether the segment is a SYN that may begin a
// new connection; the old one is gone then.
func (b *Box) waitArrive(w *wait, s *segment) bool {
	old := w.tsOn && s.opt.HasTimestamps && seq(s.opt.TSVal).before(w.tsRecent)
	switch {
	case s.has(wire.RST):
		if w.asked && s.seq == w.rcv {
			b.waits.remove(b, w)
		}
	case s.has(wire.SYN):
		fresh := s.seq.after(w.rcv)
		if w.tsOn && s.opt.HasTimestamps && seq(s.opt.TSVal) != w.tsRecent {
			fresh = !old
		}
		if fresh && !s.has(wire.ACK) {
			b.waits.reuse(b, w.flow)
			return true
		}
		w.asked = true
		b.waitAck(w)
	case s.size() > 0 || old:
		if !old && s.has(wire.FIN) && s.seq.plus(s.size()) == w.rcv {
			b.waits.unlink(w)
			b.waits.push(b, w) // our ACK was lost
		}
		b.waitAck(w)
	}
	return false
}

// waitAck sends the last ACK again.
func (b *Box) waitAck(w *wait) {
	var opt *wire.TCPOptions
	if w.tsOn {
		opt = &wire.TCPOptions{TSVal: uint32(b.Now()/clockGrain) + w.tsOffset, TSEcr: uint32(w.tsRecent)}
	}
	b.control(&w.flow, w.snd, w.rcv, wire.ACK, w.wnd, opt)
}
