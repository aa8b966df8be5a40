package tcp

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
)

// minSendMSS is the least MSS a peer can talk us into, in bytes: less is not a network but an attack (CVE-2019-11479).
const minSendMSS = 64

// unnamedMSS is the MSS of a peer that names none.
func unnamedMSS(local netip.Addr) int {
	if local.Is6() {
		return defaultMSS6
	}
	return defaultMSS
}

// takeSyn takes the peer's SYN: sequence number and options (RFC 9293 §3.7.1, RFC 7323 §2, §3).
func (c *Conn) takeSyn(s *segment) {
	c.rcv.irs = s.seq
	c.rcv.nxt = s.seq + 1
	c.rcv.acked = c.rcv.nxt
	mss := int(s.opt.MSS)
	if mss == 0 {
		mss = unnamedMSS(c.flow.local)
	}
	mss = max(min(mss, c.mtu-headerSize(c.flow.local)), minSendMSS)
	if s.opt.HasTimestamps {
		c.ts.on, c.ts.recent, c.ts.at = true, seq(s.opt.TSVal), c.box.Now()
		mss -= wire.TCPTimestampsSize
	}
	c.snd.mss = mss
	c.sack = s.opt.SACKPermitted
	c.negotiateECN(s)
	if c.scaling = s.opt.HasScale; c.scaling {
		c.snd.scale = s.opt.WindowScale
	} else {
		c.rcv.scale = 0
	}
	// SYNs carry windows unscaled.
	c.snd.wnd, c.snd.maxWnd = s.wnd, s.wnd
	c.snd.wl1, c.snd.wl2 = s.seq, s.ack
	c.rcv.edge = c.rcv.nxt.plus(min(c.rcv.limit, 65535))
}

// arriveSynSent is RFC 9293 §3.10.7.3.
func (c *Conn) arriveSynSent(s *segment) {
	acked := s.has(wire.ACK)
	if acked && (!s.ack.after(c.snd.iss) || s.ack.after(c.snd.max)) {
		c.box.refuse(c.flow, s)
		return
	}
	if s.has(wire.RST) {
		if acked {
			c.box.Stats.ResetsRx++
			c.end(packet.ErrRefused)
		}
		return
	}
	if !s.has(wire.SYN) {
		return
	}
	c.takeSyn(s)
	if !acked {
		// Simultaneous open. Text, if any, comes again.
		c.state = SynReceived
		c.retries = 0
		c.sendSyn()
		c.start(timerRetransmit, c.box.Now()+c.rtt.timeout())
		return
	}
	c.opened(s)
	c.ackNow = true
	c.touch()
	s.trimFront(c.rcv.nxt)
	s.trimBack(c.rcv.edge)
	if s.len > 0 || s.has(wire.FIN) {
		c.take(s)
	}
}

// establish takes the ACK of our SYN in SYN-RECEIVED (RFC 9293 §3.10.7.4, fifth). It reports whether the segment may go
// on.
func (c *Conn) establish(s *segment) bool {
	if !s.ack.after(c.snd.una) || s.ack.after(c.snd.max) {
		c.box.refuse(c.flow, s)
		return false
	}
	if l := c.listener; l != nil && l.ready.n >= l.backlog {
		c.box.Stats.ListenOverflows++ // it can try again: our SYN|ACK will be repeated
		return false
	}
	wnd := s.wnd << c.snd.scale
	c.snd.wnd, c.snd.maxWnd = wnd, max(wnd, c.snd.maxWnd)
	c.snd.wl1, c.snd.wl2 = s.seq, s.ack
	c.opened(s)
	return true
}

// opened makes the connection ESTABLISHED: our SYN has been acknowledged.
func (c *Conn) opened(s *segment) {
	b := c.box
	now := b.Now()
	repeated := c.retries
	switch {
	case c.snd.progress == 0: // after a cookie
	case repeated == 0 && c.repeats == 0:
		c.rtt.add(max(now-c.snd.progress, 1))
		c.rtt.least(max(now-c.snd.progress, 1), now)
	case c.ts.on && s.opt.TSEcr != 0:
		c.rtt.add(max(int64(int32(c.timestamp(now)-s.opt.TSEcr))*clockGrain, clockGrain))
	default:
		c.rtt.rto = fallbackRTO
	}
	c.rtt.backoff = 0
	c.retries = 0
	c.snd.una = c.snd.iss + 1
	c.snd.nxt, c.snd.max, c.snd.small = c.snd.una, c.snd.una, c.snd.una
	c.snd.progress = now
	if c.sack {
		c.board.reset(c.snd.una)
		c.rack = rack{fack: c.snd.una, mult: 1}
	}
	c.stop(timerRetransmit)
	c.cc.begin(c.congestion(), c.snd.mss)
	c.cc.hystart.end = c.snd.una
	if repeated > 1 {
		c.cc.Size = c.snd.mss // RFC 5681 §3.1
	}
	c.rcv.grow.at, c.rcv.grow.space = now, c.rcv.limit
	c.state = Established
	if c.Options.KeepAlive {
		c.start(timerKeepAlive, now+c.Options.KeepIdle)
	}
	if l := c.listener; l != nil {
		b.Stats.ConnIncoming++
		l.promote(c)
		return
	}
	b.Stats.ConnOutgoing++
	if c.snd.fin {
		c.state = FinWait1 // closed in the meantime
		c.touch()
	}
	c.upcall(ready.Out)
}
