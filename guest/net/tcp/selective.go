package tcp

import "ukvm.dev/guest/net/wire"

// Loss recovery with selective acknowledgements. The phases are those of recovery.go; what differs is how losses are
// found (rack.go), that only they are repeated, and that what is in the network is known (RFC 6675's pipe), so that the
// congestion window is what limits it (prr.go), and no sleight of hand with its size.

// pipe is how many bytes are in the network (RFC 6675 §4).
func (c *Conn) pipe() int { return c.snd.nxt.minus(c.snd.una) - c.board.sacked - c.board.lost }

// selective takes an ACK from a peer that can SACK; n is how far it has moved una. limited says whether the congestion
// window was used.
func (c *Conn) selective(s *segment, n int, limited bool, now int64) {
	b, r := &c.board, &c.rack
	d := delivery{now: now, fack: maxSeq(r.fack, b.start), minRTT: c.rtt.min, offset: c.ts.offset}
	if c.ts.on && s.opt.HasTimestamps && s.opt.TSEcr != 0 {
		d.echoes, d.echo = true, s.opt.TSEcr
	}
	before := b.start
	if n > 0 {
		b.ack(s.ack, &d)
	}
	if s.opt.SACKs > 0 {
		c.takeBlocks(s, before, &d)
	}
	c.snd.delivered += d.bytes
	if n == 0 && d.bytes == 0 && !d.dup && !r.probe.out && c.rec.dups < dupThreshold && !c.congested(s) {
		return
	}
	c.sampleDelivery(&d, before)
	r.update(&d, c.snd.una, c.snd.max)
	if c.probeAnswered(s, &d) && c.rec.phase == open {
		c.reduce(&d, n, reducing)
		return
	}
	newly := c.detectLoss(now) + c.blindLoss(n)
	if c.undo(&d, n) || c.forward(&d, n) {
		newly = 0
	}
	if newly == 0 && c.congested(s) {
		c.box.Stats.MarksAnswered++
		c.reduce(&d, n, reducing)
		return
	}
	c.touch() // less is in the network: something may be sent
	c.respond(&d, n, newly, limited)
}

// blindLoss is for ACKs without blocks that say that something is missing: the first segment is lost at the third
// duplicate, and the next one at each partial ACK (RFC 6582 §3.2). gVisor's netstack reports no blocks once it has sent
// its FIN.
func (c *Conn) blindLoss(n int) int {
	b, r := &c.board, &c.rec
	switch {
	case b.sacked > 0:
		r.dups, r.blind = 0, false
		return 0
	case n > 0:
		r.dups = 0
		if !r.blind || r.phase != fast || c.snd.una.atLeast(r.point) {
			return 0
		}
	case r.dups != dupThreshold || r.phase != open || r.valid && !c.snd.una.after(r.point):
		return 0
	}
	if b.len() == 0 || b.list[b.head].state != inFlight || b.list[b.head].resent {
		return 0
	}
	r.blind = true
	first := c.snd.una.plus(c.snd.mss)
	i := b.head
	if first.before(b.list[i].end) {
		i = b.cut(i, c.snd.una, first, false)
	}
	return b.lose(i)
}

// takeBlocks takes the SACK option (RFC 2018 §5). Every block is checked: it must lie in what is out. before is una
// before this ACK.
func (c *Conn) takeBlocks(s *segment, before seq, d *delivery) {
	b := &c.board
	blocks := s.opt.SACK[:s.opt.SACKs]
	if start, end := seq(blocks[0].Start), seq(blocks[0].End); end.after(start) {
		// A duplicate is below the ACK, or within the block that follows (RFC 2883 §4).
		below := !end.after(s.ack) && end.after(before.plus(-max(c.snd.maxWnd, 1<<16)))
		within := len(blocks) > 1 && start.atLeast(seq(blocks[1].Start)) && !end.after(seq(blocks[1].End)) && !end.after(c.snd.max)
		if below || within {
			d.dup = true
			if below {
				d.dupBytes = end.minus(maxSeq(start, c.rec.saved.from)) // negative if older
			}
			c.box.Stats.DuplicatesTx++
			blocks = blocks[1:]
		}
	}
	// In order, or late reports would look like late arrivals.
	var sorted [wire.SACKBlocksMax]wire.SACKBlock
	n := 0
	for _, k := range blocks {
		start, end := seq(k.Start), seq(k.End)
		if !end.after(start) || end.after(c.snd.max) || !start.after(c.snd.una) {
			continue
		}
		at := n
		for ; at > 0 && seq(sorted[at-1].Start).after(start); at-- {
			sorted[at] = sorted[at-1]
		}
		sorted[at] = k
		n++
	}
	for _, k := range sorted[:n] {
		b.sack(seq(k.Start), seq(k.End), c.snd.mss, d)
	}
}

// sampleDelivery measures the round trip, about once in each, with what was sent once only (RFC 6298 §3, §4), or with the
// timestamp, of which only an ACK that moves una has a new one (RFC 7323 §4.3).
//
// A round trip is over when it has lasted as long as they do, or when something has been delivered that was sent after the last
// sample: a sample that contains a lost ACK, or a delayed one, would otherwise make itself outlive hundreds of round trips of
// microseconds, and probes and timeouts would come that much later.
func (c *Conn) sampleDelivery(d *delivery, before seq) {
	r := &c.rtt
	switch {
	case d.dup: // it answers a copy of what had arrived long ago, and the ACK of that was lost
	case d.oldest != 0 && !d.ambiguous:
		r.least(max(d.now-d.newest, 1), d.now)
		if d.now >= r.due || d.newest >= r.taken {
			r.add(max(d.now-d.oldest, 1))
			c.cc.RTT = r.srtt
			r.taken, r.due = d.now, d.now+min(r.srtt, d.now-d.oldest)
		}
	case d.echoes && c.snd.una.after(before):
		if ticks := int32(c.timestamp(d.now) - d.echo); ticks >= 0 && d.now >= r.due {
			sample := max(int64(ticks)*clockGrain, clockGrain)
			r.add(sample)
			r.taken, r.due = d.now, d.now+min(r.srtt, sample)
		}
	}
}

// respond moves between the phases, and adapts the window.
func (c *Conn) respond(d *delivery, n, newly int, limited bool) {
	r := &c.rec
	done := r.phase != open && c.snd.una.atLeast(r.point)
	switch r.phase {
	case fast, reducing:
		if !done {
			c.proportional(d.bytes, n > 0 && newly == 0)
			break
		}
		c.cc.Size = c.cc.Threshold
	case slow:
		c.cc.acked(min(d.bytes, 2*c.snd.mss), d.now) // RFC 3465 §2.3: not a burst for what arrived before the timeout
	case open:
		r.valid = r.valid && !c.snd.una.after(r.point) // sequence numbers come round again
		if newly > 0 || n == 0 {
			break
		}
		switch {
		case c.cc.algorithm.HyStart && c.cc.first():
			sample := int64(0)
			if d.newest != 0 {
				sample = max(d.now-d.newest, 1)
			}
			if !limited {
				n = 0 // but the round trip tells all the same
			}
			c.cc.slowStarted(n, sample, d.now, c.snd.una, c.snd.nxt)
		case limited:
			c.cc.acked(n, d.now)
		}
	}
	if done {
		r.phase, r.blind = open, false
		r.saved = window{}
		c.rack.recovered()
	}
	if newly > 0 {
		c.lossNoticed(d, n)
	}
}

// lossNoticed begins fast recovery, unless it is under way. If the window is being reduced already, that will do.
func (c *Conn) lossNoticed(d *delivery, n int) {
	r := &c.rec
	switch r.phase {
	case open:
		c.box.Stats.FastRecoveries++
		c.reduce(d, n, fast)
	case reducing:
		c.box.Stats.FastRecoveries++
		r.phase, r.point = fast, c.snd.max
		c.stop(timerProbe)
	}
}

// reduce answers congestion: the threshold is lowered, and the window moves there in proportion to what is delivered
// until all that is out now has been acknowledged. p is fast or reducing.
func (c *Conn) reduce(d *delivery, n int, p phase) {
	r := &c.rec
	r.save(c)
	c.cc.lost(c.used(c.flight()), d.now)
	c.ecn.reduce = c.ecn.on // whatever the reason (RFC 3168 §6.1.2)
	r.phase, r.point, r.valid = p, c.snd.max, true
	// What earlier ACKs of the same batch have made room for would have been sent by now, if they had come one by one: it may
	// be sent still.
	r.prr = prr{
		flight:    max(c.snd.max.minus(c.snd.una)-c.board.sacked+c.snd.delivered, c.snd.mss),
		delivered: c.snd.delivered - d.bytes,
	}
	c.proportional(d.bytes, false)
	if p == fast {
		c.stop(timerProbe)
	}
	if n == 0 {
		c.start(timerRetransmit, d.now+c.rtt.timeout())
	}
	c.touch()
}

// flight is how many bytes were in flight when output last ran: more than now, if ACKs of the same batch have come since.
func (c *Conn) flight() int { return c.snd.max.minus(c.snd.una) + c.snd.released }

// used is the window that was too much: what was in flight, or the congestion window, where only part of a segment was
// between them (RFC 9438 §4.6 allows either).
func (c *Conn) used(flight int) int {
	if flight+c.snd.mss > c.cc.Size {
		return c.cc.Size
	}
	return flight
}

// timeoutSelective prepares for sending everything that is missing again after a retransmission timeout (RFC 5681 §3.1,
// RFC 8985 §6.3).
func (c *Conn) timeoutSelective(now int64) {
	r, b := &c.rec, &c.board
	c.frto.step = frtoOff
	if c.retries == 1 && r.phase != fast {
		r.save(c)
		c.cc.lost(c.used(c.flight()), now)
		if r.phase != slow && b.len() > 0 {
			c.frtoBegin()
		}
	}
	if b.len() > 0 && b.list[b.head].state == sacked {
		b.renege() // the peer has what it does not acknowledge: it has thrown it away (RFC 2018 §8)
		c.box.Stats.SACKReneged++
	}
	// What was sent only just now may still arrive.
	window := c.rack.rtt + c.reorderWindow()
	for i := b.head; i < len(b.list); i++ {
		if f := &b.list[i]; f.state == inFlight && (i == b.head || f.at+window <= now) {
			b.lose(i)
		}
	}
	c.rack.probe.out = false
	c.stop(timerProbe)
	c.stop(timerReorder)
	c.cc.Size = c.pipe() + c.snd.mss
	r.phase, r.point, r.valid = slow, c.snd.max, true
}

// resend sends again what is lost, as far as the windows allow. It reports whether it got that far: the card may be busy.
func (c *Conn) resend(now int64) bool {
	b := &c.board
	for b.lost > 0 {
		i := b.firstLost()
		from, end := b.from(i), b.list[i].end
		off := from.minus(c.snd.una)
		data := min(end.minus(from), c.snd.buf.len()-off) // the rest is FIN
		room := min(c.cc.Size-c.pipe(), c.snd.wnd-off)
		n := min(data, room, max(c.snd.mss, c.tso/c.snd.mss*c.snd.mss))
		if n < data {
			n -= n % c.snd.mss
		}
		if n <= 0 && (data > 0 || room <= 0) {
			return true
		}
		if c.box.Busy(c.link) {
			c.block()
			return false
		}
		if n == data {
			n = end.minus(from)
		}
		c.sendAgain(i, n, now)
	}
	return true
}

// sendAgain sends the first n bytes of range i again; FIN counts as one.
func (c *Conn) sendAgain(i, n int, now int64) {
	b := &c.board
	from := b.from(i)
	data := min(n, c.snd.buf.len()-from.minus(c.snd.una))
	c.box.Stats.Retransmits++
	c.repeats++
	c.rec.repeated(n)
	c.rec.prr.out += n
	c.sendData(from, data, n > data)
	b.again(i, n, now, c.snd.mss)
	if c.deadline[timerRetransmit] == 0 {
		c.start(timerRetransmit, now+c.rtt.timeout())
	}
}
