package tcp

import "net/netip"

// growth is how a receive buffer finds its size (dynamic right-sizing, Fisk and Feng): at least twice what the program
// reads in a round trip, so that the window is not what limits the peer.
type growth struct {
	copied int   // read since at
	space  int   // most that was read in one round trip
	at     int64 // nanoseconds
	rtt    int64 // as the receiver sees it: 0: unknown
}

// want is the buffer for a peer of which more has been read in the last round trip than in any before. If that grows, it will have
// grown twice as much again when the window announced now is used: a peer in slow start, which doubles, would otherwise meet the
// window, and stay slower after the first loss than it need be. (tcp_rcv_space_adjust of Linux's does the same.)
func (g *growth) want(mss int) int {
	want := 2*g.copied + 16*mss
	if g.space > 0 {
		grown := min(g.copied-g.space, g.space)
		want += int(2 * int64(want) * int64(grown) / int64(g.space))
	}
	return want
}

// measure estimates the round trip from what the peer echoes.
func (c *Conn) measure(s *segment, now int64) {
	g := &c.rcv.grow
	if !c.ts.on || s.opt.TSEcr == 0 || s.len < c.rcv.mss {
		return
	}
	ticks := int32(c.timestamp(now) - s.opt.TSEcr)
	if ticks < 0 {
		return
	}
	sample := max(int64(ticks)*clockGrain, clockGrain)
	if g.rtt == 0 {
		g.rtt = sample
	} else {
		g.rtt += (sample - g.rtt) / 8
	}
}

// hasRead adapts the buffer and the window after the program has read n bytes.
func (c *Conn) hasRead(n int) {
	g := &c.rcv.grow
	now := c.box.Now()
	g.copied += n
	trip := g.rtt
	if trip == 0 {
		trip = max(c.rtt.srtt, clockGrain)
	}
	if now-g.at >= trip {
		if g.copied > g.space {
			if want := g.want(c.rcv.mss); want > c.rcv.limit && c.Options.RecvBuffer == 0 && !c.box.tight() {
				c.rcv.limit = min(want, c.box.Limits.ReceiveMax)
			}
			g.space = g.copied
		}
		g.copied, g.at = 0, now
	}
	if !c.state.receives() {
		return
	}
	// A window update of its own is worth sending if it opens the window a good deal further, or from nearly nothing
	// (RFC 9293 §3.8.6.2.2). Otherwise the next ACK has it.
	left := c.rcv.edge.minus(c.rcv.nxt)
	more := c.windowEdge().minus(c.rcv.edge)
	if more >= c.rcv.limit/4 && more >= c.rcv.mss || left < 2*c.rcv.mss && more >= min(c.rcv.limit/2, c.rcv.mss) {
		c.ackNow = true
		c.touch()
	}
}

// windowEdge is how far the window could reach.
func (c *Conn) windowEdge() seq {
	limit := c.rcv.limit
	if c.box.tight() {
		limit = min(limit, c.box.Limits.ReceiveMin)
	}
	free := max(limit-c.rcv.queued, 0)
	return c.rcv.nxt.plus(min(free, 65535<<c.rcv.scale))
}

// announce returns the window field of the segment being sent, and moves the right edge: never to the left, and only by
// so much that the peer does not send dribs and drabs (RFC 9293 §3.8.6.2.2).
func (c *Conn) announce(syn bool) uint16 {
	if syn {
		// Not scaled (RFC 7323 §2.2). The connection's window starts from what is said here.
		wnd := min(c.rcv.limit, 65535)
		c.rcv.edge = c.rcv.nxt.plus(wnd)
		return uint16(wnd)
	}
	edge := c.windowEdge()
	if more := edge.minus(c.rcv.edge); more >= min(c.rcv.limit/2, c.rcv.mss) {
		c.rcv.edge = edge
	}
	return uint16(min(max(c.rcv.edge.minus(c.rcv.nxt), 0)>>c.rcv.scale, 65535))
}

// receiveLimit is the size of a receive buffer to begin with.
func (b *Box) receiveLimit(o *Options) int {
	if o.RecvBuffer > 0 {
		return min(max(o.RecvBuffer, b.Limits.ReceiveMin), b.Limits.ReceiveMax)
	}
	return b.Limits.ReceiveDefault
}

// windowScale is the shift count to ask for: the largest window there can be must fit the field.
func (b *Box) windowScale(o *Options) uint8 {
	most := b.Limits.ReceiveMax
	if o.RecvBuffer > 0 {
		most = b.receiveLimit(o)
	}
	var s uint8
	for s < 14 && most>>s > 65535 {
		s++
	}
	return s
}

// tight reports whether most of the memory of the box is taken: windows and buffers shrink to their minimum.
func (b *Box) tight() bool { return b.memory > b.Limits.Memory/4*3 }

// headerSize is what IP and TCP headers without options take: the MSS does not count options (RFC 6691).
func headerSize(a netip.Addr) int {
	if a.Is4() {
		return 20 + 20
	}
	return 40 + 20
}
