package tcp

// tailProbe is the tail loss probe (RFC 8985 §7): when a flight's ACKs stay away for two round trips, one segment is
// sent, so that the ACK that it causes shows what is missing, instead of waiting for the retransmission timeout and
// starting over with a window of one segment.
//
// It is pushed. If all had arrived, and only its ACK was lost, the peer would otherwise delay the ACK of a probe
// of new data, the one segment that it gets: under 5 % loss without delay, Linux's 40 ms were half of all time.
type tailProbe struct {
	now    bool // is being sent
	out    bool // has been sent, and nothing was heard of it yet
	end    seq  // snd.max then
	repeat bool // it was no new data
}

// armProbe sets the probe timer (§7.2), or clears it where a probe has no place.
func (c *Conn) armProbe(now int64) {
	if !c.sack {
		return
	}
	b := &c.board
	rto := c.deadline[timerRetransmit]
	if c.rec.phase.lossy() || b.sacked > 0 || b.lost > 0 || c.rack.probe.out || c.snd.max == c.snd.una || c.snd.wnd == 0 ||
		c.retries > 0 || rto == 0 {
		c.stop(timerProbe)
		return
	}
	wait := int64(1 * second)
	if c.rtt.srtt > 0 {
		wait = 2 * c.rtt.srtt
		if c.snd.max.minus(c.snd.una) <= c.snd.mss {
			wait += worstAckDelay
		}
	}
	c.start(timerProbe, min(now+max(wait, leastProbe), rto))
}

// probeTimeout sends the probe (§7.3): new data, if there is any and the peer has room, else the last segment again.
func (c *Conn) probeTimeout(now int64) {
	p := &c.rack.probe
	if c.box.Busy(c.link) {
		return // the retransmission timer is still there
	}
	*p = tailProbe{now: true, out: true}
	c.box.Stats.TailProbes++
	off := c.snd.max.minus(c.snd.una)
	if n := min(c.snd.buf.len()-off, c.snd.wnd-off, c.snd.mss); n > 0 {
		c.sendNew(n, c.snd.fin && off+n == c.snd.buf.len() && c.snd.wnd-off > n, now)
	} else {
		p.repeat = true
		c.sendLast(now)
	}
	p.end, p.now = c.snd.max, false
	c.start(timerRetransmit, now+c.rtt.timeout())
}

// sendLast sends the last segment again.
func (c *Conn) sendLast(now int64) {
	b := &c.board
	i := len(b.list) - 1
	from, end := b.from(i), b.list[i].end
	data := min(end.minus(from), c.snd.buf.len()-from.minus(c.snd.una)) // the rest is FIN
	if data > c.snd.mss {
		// The last one of several that share a range.
		i = b.cut(i, from.plus((data-1)/c.snd.mss*c.snd.mss), end, false)
	}
	c.sendAgain(i, end.minus(b.from(i)), now)
}

// probeAnswered looks at what an ACK says of the probe (§7.4): if it repaired a loss that nobody would have noticed
// otherwise, the congestion that caused it must be answered still.
func (c *Conn) probeAnswered(s *segment, d *delivery) (repaired bool) {
	p := &c.rack.probe
	if !p.out || s.ack.before(p.end) {
		return false
	}
	switch {
	case !p.repeat, d.dup:
		p.out = false
	case s.ack.after(p.end):
		p.out = false
		return true
	case d.bytes == 0 && s.opt.SACKs == 0 && s.len == 0:
		p.out = false // the original arrived, and then the probe
	}
	return false
}
