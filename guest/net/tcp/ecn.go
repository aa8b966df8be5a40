package tcp

import "ukvm.dev/guest/net/wire"

// Explicit congestion notification (RFC 3168): routers mark segments (CE) instead of dropping them, the receiver echoes
// the mark (ECE) until the sender says that it has slowed down (CWR).
//
//	sender ── data, ECT ──► router ── data, CE ──► receiver
//	   ▲  └── data, CWR ───────────────────────────►  │
//	   └───────────────── ACK, ECE ◄──────────────────┘
//
// Box.ECN says who may ask for it. A SYN that gets no answer is repeated without (§6.1.1.1). With SYN cookies, which do not
// remember it, it is not used.
type ecn struct {
	on     bool
	asked  bool // our SYN had ECE and CWR
	echo   bool // to be echoed: a mark has arrived, and no CWR since
	reduce bool // CWR is to be sent with the next new data
	point  seq  // NewReno: the window is not reduced again before that is acknowledged
}

// ECN says which new connections may use explicit congestion notification.
type ECN uint8

const (
	ECNAnswer ECN = iota // those whose peers ask for it
	ECNAsk               // those, and our connections ask for it
	ECNOff               // none
)

// The ECN field of the IP header, the low bits of the traffic class (RFC 3168 §5).
const (
	ecnMask = 3
	ecnECT0 = 2
	ecnCE   = 3
)

// synFlags are what a SYN has beside SYN and ACK.
func (c *Conn) synFlags() uint8 {
	if c.state == SynReceived {
		if c.ecn.on {
			return wire.ECE
		}
		return 0
	}
	c.ecn.asked = c.box.ECN == ECNAsk && c.retries == 0
	if c.ecn.asked {
		return wire.ECE | wire.CWR
	}
	return 0
}

// negotiateECN takes the flags of the peer's SYN (§6.1.1).
func (c *Conn) negotiateECN(s *segment) {
	c.ecn.point = c.snd.iss
	switch got := s.flags & (wire.ECE | wire.CWR); {
	case s.has(wire.ACK):
		c.ecn.on = c.ecn.asked && got == wire.ECE
	default:
		c.ecn.on = c.listener != nil && got == wire.ECE|wire.CWR && c.box.ECN != ECNOff
	}
}

// takeMark takes what the network and the peer say with a segment that is in the window (§6.1.3).
func (c *Conn) takeMark(s *segment) {
	if !c.ecn.on {
		return
	}
	if s.has(wire.CWR) {
		c.ecn.echo = false
	}
	if s.len > 0 && s.p.TOS&ecnMask == ecnCE {
		c.box.Stats.MarksRx++
		c.ecn.echo = true
		c.ackNow = true
		c.touch()
	}
}

// congested reports whether a segment echoes a mark that has not been answered yet (§6.1.2).
func (c *Conn) congested(s *segment) bool {
	return c.ecn.on && s.flags&(wire.ECE|wire.SYN) == wire.ECE && c.rec.phase == open && c.snd.max != c.snd.una
}

// slowDown is NewReno's answer to a mark: as to a loss, but there is nothing to repeat. Once in each window.
func (c *Conn) slowDown() {
	if c.ecn.point.atLeast(c.snd.una) && !c.ecn.point.after(c.snd.max) {
		return
	}
	c.box.Stats.MarksAnswered++
	c.cc.lost(min(c.snd.max.minus(c.snd.una), c.cc.Size), c.box.Now())
	c.cc.Size = c.cc.Threshold
	c.ecn.point, c.ecn.reduce = c.snd.max, true
}

// mark completes a segment with n bytes of data that begin at a sequence number: only new data may be marked by routers
// (§6.1.4, §6.1.5), and says CWR.
func (c *Conn) mark(at seq, n int) (flags, tos uint8) {
	if !c.ecn.on || n == 0 || at.before(c.snd.max) {
		return 0, 0
	}
	if c.ecn.reduce {
		c.ecn.reduce = false
		flags = wire.CWR
	}
	return flags, ecnECT0
}
