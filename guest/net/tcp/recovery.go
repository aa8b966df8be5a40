package tcp

// recovery is loss recovery. Here is what is done for peers without selective acknowledgements: RFC 5681 §3.2, RFC
// 6582, RFC 3042; for the others see selective.go.
//
//	          third duplicate ACK: repeat the first segment
//	open ───────────────────────────────────────────► fast
//	 ▲ ▲                                              │  │ partial ACK: repeat the next hole
//	 │ └───────── ACK of all that was out (full ACK) ─┘  │
//	 │                                                   │
//	 └── ACK of all that was out ── slow ◄───────────────┘ retransmission timeout (from open, too):
//	                                                       go back and send everything again
type recovery struct {
	phase phase
	dups  int
	point seq // "recover": what had been sent when the loss was noticed
	valid bool
	blind bool   // in fast recovery although nothing was acknowledged selectively
	prr   prr    // if SACK has been negotiated,
	saved window // too
}

type phase uint8

const (
	open phase = iota
	fast
	slow
	reducing // as fast, but nothing is known to be lost (selective.go)
)

// lossy reports whether a loss is being repaired.
func (p phase) lossy() bool { return p == fast || p == slow }

// duplicateAck takes an ACK that says "something arrived, but not what I wait for".
func (c *Conn) duplicateAck() {
	r := &c.rec
	r.dups++
	switch {
	case r.phase == fast:
		c.cc.Size += c.snd.mss // one more has left the network
	case r.phase == slow:
		return // echoes of what we send again
	case r.dups == dupThreshold && (!r.valid || c.snd.una.after(r.point)):
		c.enterFast()
		return
	}
	// Limited transmit (RFC 3042): output counts dups as room for new data.
	c.touch()
}

func (c *Conn) enterFast() {
	r := &c.rec
	now := c.box.Now()
	c.box.Stats.FastRecoveries++
	c.cc.lost(c.flight(), now)
	c.ecn.reduce = c.ecn.on
	r.phase, r.point, r.valid = fast, c.snd.max, true
	c.repeat()
	c.cc.Size = c.cc.Threshold + dupThreshold*c.snd.mss
	c.start(timerRetransmit, now+c.rtt.timeout())
	c.touch()
}

// newAck adapts to an ACK of n new bytes; una has moved already. limited says whether the congestion window was used.
func (c *Conn) newAck(n int, limited bool, now int64) {
	r := &c.rec
	r.dups = 0
	switch r.phase {
	case open:
		r.valid = r.valid && !c.snd.una.after(r.point) // sequence numbers come round again
		if limited {
			c.cc.acked(n, now)
		}
	case slow:
		c.cc.acked(min(n, c.snd.mss), now) // RFC 3465 §2.3: an ACK may be of much that arrived before the timeout
		if c.snd.una.atLeast(r.point) {
			r.phase = open
		}
	case fast:
		flight := c.snd.max.minus(c.snd.una)
		if c.snd.una.atLeast(r.point) {
			// Full ACK: deflate to what is right, without a burst (RFC 6582 §3.2 step 3, option 1).
			c.cc.Size = min(c.cc.Threshold, max(flight, c.snd.mss)+c.snd.mss)
			r.phase = open
			return
		}
		// Partial ACK: the next hole starts here.
		c.repeat()
		c.cc.Size -= n
		if n >= c.snd.mss {
			c.cc.Size += c.snd.mss
		}
		c.cc.Size = max(c.cc.Size, c.snd.mss)
	}
}

// allowance is the congestion window as output sees it: with limited transmit, a segment more for each of the first
// duplicate ACKs.
func (c *Conn) allowance() int {
	if c.sack {
		most := c.cc.Size + c.board.sacked + c.board.lost // so that the pipe is what it limits
		if c.frto.step == frtoHolds {
			most = min(most, c.frtoMost().minus(c.snd.una))
		}
		return most
	}
	if c.rec.phase == open {
		return c.cc.Size + min(c.rec.dups, dupThreshold-1)*c.snd.mss
	}
	return c.cc.Size
}

// timeoutLoss prepares for sending everything again after a retransmission timeout (RFC 5681 §3.1).
func (c *Conn) timeoutLoss() {
	if c.sack {
		c.timeoutSelective(c.box.Now())
		return
	}
	r := &c.rec
	if c.retries == 1 {
		c.cc.lost(c.snd.max.minus(c.snd.una), c.box.Now())
	}
	c.cc.Size = c.snd.mss
	r.phase, r.dups, r.point, r.valid = slow, 0, c.snd.max, true
	c.snd.nxt = c.snd.una
	c.rtt.timing = false // Karn
}

// repeat sends the first unacknowledged segment again.
func (c *Conn) repeat() {
	c.rtt.timing = false
	n := min(c.snd.mss, c.snd.buf.len())
	fin := c.snd.fin && n == c.snd.buf.len() && c.snd.max.minus(c.snd.una) > n
	if n == 0 && !fin {
		return
	}
	c.box.Stats.Retransmits++
	c.repeats++
	c.sendData(c.snd.una, n, fin)
}
