package tcp

import (
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
)

// acknowledge is the fifth check of RFC 9293 §3.10.7.4: it frees what is acknowledged, and reports whether the segment
// may go on.
func (c *Conn) acknowledge(s *segment) bool {
	switch {
	case s.ack.after(c.snd.max):
		c.challenge() // it acknowledges what we have not sent
		return false
	case s.ack.before(c.snd.una.plus(-max(c.snd.maxWnd, 1<<16))):
		c.challenge() // too old to be of this connection (RFC 5961 §5.2)
		return false
	}
	wasWnd := c.snd.wnd
	c.updateWindow(s)
	// RFC 5681 §2.
	duplicate := s.ack == c.snd.una && s.len == 0 && !s.has(wire.FIN) && c.snd.wnd == wasWnd && c.snd.max.after(c.snd.una)
	switch {
	case c.sack || s.ack.after(c.snd.una):
		if duplicate && s.opt.SACKs == 0 {
			c.rec.dups++
		}
		c.advance(s)
	case duplicate:
		c.duplicateAck()
	}
	if !c.sack && c.congested(s) {
		c.slowDown()
	}
	return true
}

// updateWindow takes the window of a segment that is not older than the one it was last taken from (RFC 9293
// §3.10.7.4).
func (c *Conn) updateWindow(s *segment) {
	if s.ack.before(c.snd.una) {
		return
	}
	if !c.snd.wl1.before(s.seq) && !(c.snd.wl1 == s.seq && s.ack.atLeast(c.snd.wl2)) {
		return
	}
	wnd := s.wnd << c.snd.scale
	c.snd.wl1, c.snd.wl2 = s.seq, s.ack
	if wnd == c.snd.wnd {
		return
	}
	grown := wnd > c.snd.wnd
	if c.snd.wnd == 0 && c.snd.max.after(c.snd.una) {
		c.start(timerRetransmit, c.box.Now()+c.rtt.timeout()) // it has been probing with longer and longer pauses
	}
	c.snd.wnd = wnd
	c.snd.maxWnd = max(c.snd.maxWnd, wnd)
	if grown {
		c.stop(timerPersist)
		c.touch()
	}
}

// advance takes an ACK of something new, cumulative or, where it has been negotiated, selective.
func (c *Conn) advance(s *segment) {
	b := c.box
	now := b.Now()
	n := max(s.ack.minus(c.snd.una), 0)
	limited := c.cwndLimited()
	data := min(n, c.snd.buf.len())
	if n > 0 {
		if !c.sack {
			c.sample(s, now)
		}
		b.memory -= c.snd.buf.consume(data)
		c.snd.una = s.ack
		c.snd.released += n
		c.snd.nxt = maxSeq(c.snd.nxt, s.ack)
		c.snd.small = maxSeq(c.snd.small, s.ack)
		c.snd.progress = now
		c.retries = 0
		c.rtt.backoff = 0
	}
	if c.sack {
		c.selective(s, n, limited, now)
	} else {
		c.newAck(n, limited, now)
	}
	if n == 0 {
		return
	}

	// RFC 6298 §5.2, §5.3.
	if c.snd.una == c.snd.max {
		c.stop(timerRetransmit)
	} else {
		c.start(timerRetransmit, now+c.rtt.timeout())
	}
	c.armProbe(now)
	c.touch()
	if c.NoteAcks && data > 0 {
		c.upcall(ready.Acked)
	}
	if n > data && c.snd.fin {
		c.finAcknowledged()
	}
}

// finAcknowledged moves on when the peer has our FIN.
func (c *Conn) finAcknowledged() {
	switch c.state {
	case FinWait1:
		c.state = FinWait2
		if c.orphan {
			c.start(timerState, c.box.Now()+finWait2)
		}
	case Closing:
		c.wait()
	case LastAck:
		c.end(nil)
	}
}

// cwndLimited reports whether the congestion window, rather than the program or the peer, has been the limit when what is
// acknowledged now was sent: only then may it grow (RFC 7661 §3, RFC 9293 §3.8.2).
func (c *Conn) cwndLimited() bool {
	if c.snd.una.before(c.snd.full) {
		return true
	}
	c.snd.full = c.snd.una // so that it does not come round again
	return false
}

// noteLimit notes whether the congestion window is used now.
func (c *Conn) noteLimit() {
	pipe := c.pipe()
	if c.cc.slowStart() && 2*pipe >= c.cc.Size || // it doubles: what is half used now will be full next
		pipe+c.snd.mss > c.cc.Size {
		c.snd.full = c.snd.max
	}
}
