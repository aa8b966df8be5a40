package tcp

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
)

// arrive is SEGMENT ARRIVES of RFC 9293 §3.10.7, for connections. What it does not take of s.p stays there for the
// caller to release.
func (c *Conn) arrive(s *segment) {
	switch c.state {
	case Closed, TimeWait:
		return
	case SynSent:
		c.arriveSynSent(s)
		return
	}

	if c.state == SynReceived && s.seq == c.rcv.irs && s.flags&(wire.SYN|wire.ACK|wire.RST) == wire.SYN|wire.ACK {
		// Simultaneous open (§3.5, figure 7): the peer's SYN again, with the ACK of ours. Only the ACK is news. Answering
		// the SYN would make the two ends answer each other for ever.
		s.flags &^= wire.SYN
		s.seq++
	}

	// First: is any of it in the window, and is it of this incarnation? (§3.10.7.4, RFC 7323 §5.3)
	if !c.paws(s) {
		return
	}
	if !c.inWindow(s) {
		c.outOfWindow(s)
		return
	}
	c.rcv.last = c.box.Now()

	// Second: RST (RFC 5961 §3.2).
	if s.has(wire.RST) {
		if s.seq == c.rcv.nxt {
			c.resetByPeer()
		} else {
			c.challenge()
		}
		return
	}

	// Third would be security. Fourth: SYN (RFC 5961 §4.2).
	if s.has(wire.SYN) {
		c.challenge()
		return
	}

	// Fifth: ACK.
	if !s.has(wire.ACK) {
		return
	}
	c.probes = 0
	if c.ts.on && s.opt.HasTimestamps && !s.seq.after(c.rcv.acked) {
		c.ts.recent, c.ts.at = seq(s.opt.TSVal), c.box.Now() // RFC 7323 §4.3
	}
	if c.state == SynReceived && !c.establish(s) {
		return
	}
	if !c.acknowledge(s) || c.state == Closed || c.state == TimeWait {
		return
	}

	c.takeMark(s)

	// Sixth: URG is ignored (doc.go). Seventh: the text.
	c.repeated(s)
	s.trimFront(c.rcv.nxt)
	s.trimBack(c.rcv.edge)
	if s.len == 0 && !s.has(wire.FIN) {
		return
	}
	if !c.state.receives() {
		return // the peer's FIN has been here: nothing can follow it
	}
	if c.orphan && s.len > 0 {
		// Nobody will ever read it, and the peer should know (RFC 9293 §3.6.1, RFC 2525 §2.17).
		c.sendReset()
		c.end(ErrReset)
		return
	}
	c.take(s)
}

// paws protects against old duplicates by timestamp (RFC 7323 §5.3 R1), and reports whether the segment may go on.
func (c *Conn) paws(s *segment) bool {
	if !c.ts.on || s.has(wire.RST) {
		return true
	}
	if !s.opt.HasTimestamps {
		return s.has(wire.SYN) // else dropped silently: RFC 7323 §3.2
	}
	if seq(s.opt.TSVal).before(c.ts.recent) && c.box.Now()-c.ts.at < pawsIdle {
		c.outOfWindow(s)
		return false
	}
	return true
}

// inWindow is the acceptability test of RFC 9293 §3.4, table 6. When the window is closed, an ACK with data in front of
// it is still let in, for its ACK; trimBack removes the data.
func (c *Conn) inWindow(s *segment) bool {
	wnd := c.rcv.edge.minus(c.rcv.nxt)
	n := s.size()
	if n == 0 {
		// Wider than the RFC at both ends, as Linux: ACKs that data sent after them has overtaken, back to the last
		// one we acknowledged, and those of a peer that has filled the window while something was lost.
		return s.seq.atLeast(c.rcv.acked) && !s.seq.after(c.rcv.edge)
	}
	if wnd == 0 {
		if s.seq == c.rcv.nxt {
			c.ackNow = true // it was a probe: say where we are
			c.touch()
			return true
		}
		return false
	}
	return s.seq.before(c.rcv.edge) && s.seq.plus(n).after(c.rcv.nxt)
}

// outOfWindow answers a segment that is not acceptable with an ACK, unless it is a RST. Bare ACKs are answered less
// often, so that two confused ends do not shout at each other, and so are SYNs, which anybody can forge (RFC 5961 §7).
func (c *Conn) outOfWindow(s *segment) {
	switch {
	case s.has(wire.RST):
	case c.state == SynReceived && s.has(wire.SYN) && s.seq == c.rcv.irs:
		c.sendSyn() // the peer has not seen our SYN|ACK
	case s.size() > 0 && !s.has(wire.SYN):
		c.repeated(s)
		c.sendAck() // at once: it may count as a duplicate ACK
	default:
		c.challenge()
	}
}

// challenge sends an ACK that makes an honest peer prove itself (RFC 5961), not more often than challengeGap.
func (c *Conn) challenge() {
	now := c.box.Now()
	if c.challengeAt != 0 && now-c.challengeAt < challengeGap {
		return
	}
	c.challengeAt = now
	c.box.Stats.ChallengeAcks++
	c.sendAck()
}

// resetByPeer ends the connection because of a valid RST.
func (c *Conn) resetByPeer() {
	c.box.Stats.ResetsRx++
	switch c.state {
	case CloseWait:
		c.end(ErrShut) // as Linux: the program has read the end already
	case Closing, LastAck:
		c.end(nil)
	case SynReceived:
		if c.listener == nil {
			c.end(packet.ErrRefused)
			return
		}
		c.end(ErrReset)
	default:
		c.end(ErrReset)
	}
}

// finish takes the peer's FIN, which comes next in sequence (RFC 9293 §3.10.7.4, eighth).
func (c *Conn) finish() {
	c.rcv.nxt++
	c.rcv.fin = true
	c.ackNow = true
	c.dropOutOfOrder()
	raised := ready.In | ready.RdHup
	switch c.state {
	case SynReceived, Established:
		c.state = CloseWait
	case FinWait1:
		c.state = Closing // had our FIN been acknowledged, this were FIN-WAIT-2
	case FinWait2:
		c.wait()
	}
	if c.snd.fin {
		raised |= ready.Hup
	}
	c.touch()
	c.upcall(raised)
}
