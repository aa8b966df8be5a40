package tcp

// output sends what may be sent now: what the peer's window and the congestion window let out, in full segments, or
// short ones where Nagle's algorithm (in Minshall's variant) and RFC 9293 §3.8.6.2.1 allow.
func (c *Conn) output() {
	now := c.box.Now()
	before := c.snd.max
	c.send(now)
	c.snd.released, c.snd.delivered = 0, 0
	c.noteLimit()
	if c.snd.max != before {
		c.armProbe(now)
	}
}

func (c *Conn) send(now int64) {
	c.raise(now)
	if c.snd.max == c.snd.una && c.snd.last != 0 && now-c.snd.last > c.rtt.timeout() {
		c.cc.idle()
	}
	if c.board.lost > 0 && c.frto.step != frtoHolds && !c.resend(now) {
		return
	}
	for {
		off := c.snd.nxt.minus(c.snd.una)
		n := c.snd.buf.len() - off // negative: FIN has been sent
		if n < 0 || n == 0 && !c.snd.fin {
			return
		}
		again := c.snd.nxt.before(c.snd.max)
		size := c.segmentSize(min(n, c.snd.wnd-off, c.allowance()-off), n, again)
		fin := c.snd.fin && size == n && c.snd.wnd-off > size
		if size == 0 && !fin {
			break
		}
		if c.box.Busy(c.link) {
			c.block()
			return
		}
		if again {
			c.box.Stats.Retransmits++
			c.repeats++
			c.rtt.timing = false
		} else if !c.rtt.timing && !c.sack {
			c.rtt.timing, c.rtt.timedAt, c.rtt.timedSeq = true, now, c.snd.nxt.plus(size)
			if fin {
				c.rtt.timedSeq++
			}
		}
		if c.snd.max == c.snd.una {
			c.snd.progress = now
		}
		c.sendNew(size, fin, now)
		c.stop(timerPersist) // what it was to push out has gone
		if c.deadline[timerRetransmit] == 0 {
			c.start(timerRetransmit, now+c.rtt.timeout()) // RFC 6298 §5.1
		}
	}
	// Something waits. If nothing is on its way that could bring an ACK, a timer must see to it.
	if c.snd.max == c.snd.una && c.deadline[timerPersist] == 0 {
		wait := c.rtt.timeout()
		if c.corked() && c.snd.wnd > 0 {
			wait = corkTime
		}
		c.start(timerPersist, now+wait)
	}
}

// sendNew sends n bytes from snd.nxt on, and FIN behind them if so told.
func (c *Conn) sendNew(n int, fin bool, now int64) {
	c.sendData(c.snd.nxt, n, fin)
	c.snd.nxt = c.snd.nxt.plus(n)
	if n%c.snd.mss != 0 {
		c.snd.small = maxSeq(c.snd.small, c.snd.nxt)
	}
	if fin {
		c.snd.nxt++
		n++
	}
	c.snd.max = maxSeq(c.snd.max, c.snd.nxt)
	if c.sack {
		c.board.sent(c.snd.nxt, now, c.snd.mss)
		c.rec.prr.out += n
	}
}

// goBack prepares for sending again what is out although nothing says that the network has lost it.
func (c *Conn) goBack() {
	c.rtt.timing = false
	if c.sack {
		c.board.loseAll()
		return
	}
	c.snd.nxt = c.snd.una
}

// segmentSize says how much of the n bytes that wait to send in one segment, if windows let out room (which may be
// negative). again means they are being repeated.
func (c *Conn) segmentSize(room, n int, again bool) int {
	mss := c.snd.mss
	if room <= 0 {
		return 0
	}
	most := max(mss, c.tso/mss*mss)
	if c.ecn.reduce {
		most = mss // a card would repeat CWR in all segments it makes
	}
	size := min(room, most)
	short := size % mss
	if short == 0 {
		return size
	}
	switch {
	case size == n: // the end of what there is
		if again || c.snd.fin || !c.corked() && (c.Options.NoDelay || !c.snd.small.after(c.snd.una)) {
			return size
		}
	case again && size < mss:
		return size
	}
	if size < mss && 2*size >= c.snd.maxWnd {
		return size // the peer's buffer is small: half of it is a lot
	}
	return size - short
}

// corked reports whether the holder wants short segments held back.
func (c *Conn) corked() bool { return c.snd.cork || c.Options.Cork }
