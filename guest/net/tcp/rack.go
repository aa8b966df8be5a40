package tcp

// rack is RACK-TLP (RFC 8985): a segment is lost when one sent later has been delivered and enough time has passed for
// both to have arrived in the other order. It finds lost retransmissions, too, and the loss of a flight's tail without
// waiting for the retransmission timeout.
type rack struct {
	at      int64 // when the latest sent of the delivered segments was sent,
	end     seq   // where it ends,
	rtt     int64 // and how long its ACK took
	fack    seq   // the highest that has been delivered
	reorder bool  // segments have been seen to arrive in another order

	// The reordering window adapts to duplicates, which tell of repeating what was not lost (§6.2 step 4).
	mult    int
	persist int // recoveries until it is small again
	round   seq // duplicates before this count once
	inRound bool

	probe tailProbe
}

// Constants of RFC 8985.
const (
	rackPersist   = 16                // §6.2 step 4: recoveries without duplicates
	worstAckDelay = 200 * millisecond // §7.2: WCDelAckT
)

// delivery is what one ACK says has arrived.
type delivery struct {
	now    int64
	bytes  int   // that were not known to have arrived before
	oldest int64 // when the first of them was sent that was sent once; 0: none
	newest int64 // and the last
	// The ACK moves una over what was sent more than once: it may answer any of that (Karn).
	ambiguous bool

	// The segment sent last of them: RACK.xmit_ts and end_seq.
	at     int64
	end    seq
	resent bool

	// What tells originals and copies apart (Eifel, RFC 3522): an echo from before the copy was sent.
	echoes bool
	moves  bool // what is taken now has been acknowledged cumulatively
	head   bool // it is about the range taken now: the one that moved una
	echo   uint32
	offset uint32
	minRTT int64

	fack     seq
	reorder  bool // something arrived after what was sent after it
	original bool // a segment was repeated although the original arrived
	dup      bool // the peer has got something twice,
	dupBytes int  // so much of it below the ACK
}

// take notes that n bytes of range f up to end have arrived (RFC 8985 §6.2, steps 2 and 3).
func (d *delivery) take(n int, end seq, f *flight) {
	d.bytes += n
	switch {
	case end.after(d.fack):
		d.fack = end
	case !f.resent && end.before(d.fack):
		d.reorder = true
	}
	d.ambiguous = d.ambiguous || d.moves && f.resent
	if !f.resent {
		if d.oldest == 0 {
			d.oldest = f.at
		}
		d.oldest, d.newest = min(d.oldest, f.at), max(d.newest, f.at)
	} else if d.echoes && d.head && int32(d.echo-d.stamp(f.at)) < 0 {
		d.original = d.original || !f.again // of more than two, it may be the first copy
		return
	} else if d.now-f.at < d.minRTT {
		return // too early to be the copy's
	}
	if sentAfter(f.at, end, d.at, d.end) {
		d.at, d.end, d.resent = f.at, end, f.resent
	}
}

// stamp is the timestamp of what was sent at a time.
func (d *delivery) stamp(at int64) uint32 { return uint32(at/clockGrain) + d.offset }

// sentAfter orders segments by when they were sent (§6.2: RACK_sent_after).
func sentAfter(at int64, end seq, at2 int64, end2 seq) bool {
	return at > at2 || at == at2 && end.after(end2)
}

// update takes what has been delivered (§6.2, steps 1 to 4).
func (r *rack) update(d *delivery, una, max seq) {
	if d.at != 0 && sentAfter(d.at, d.end, r.at, r.end) {
		r.at, r.end, r.rtt = d.at, d.end, d.now-d.at
	}
	r.fack = d.fack
	r.reorder = r.reorder || d.reorder
	if r.inRound && una.atLeast(r.round) {
		r.inRound = false
	}
	if d.dup && !r.inRound {
		r.inRound, r.round = true, max
		r.mult = min(r.mult+1, 255)
		r.persist = rackPersist
	}
}

// recovered is told at the end of each recovery (§6.2 step 4).
func (r *rack) recovered() {
	if r.persist > 0 {
		r.persist--
	}
	if r.persist == 0 {
		r.mult = 1
	}
}

// reorderWindow is how much later than in order a segment may arrive.
func (c *Conn) reorderWindow() int64 {
	r := &c.rack
	if !r.reorder && (c.rec.phase.lossy() || c.board.sacked > (dupThreshold-1)*c.snd.mss) {
		return 0 // nothing has been reordered so far: RFC 5681's threshold will do (§6.2 step 4, RFC 6675's IsLost)
	}
	return min(int64(r.mult)*c.rtt.min/4, c.rtt.srtt)
}

// detectLoss marks what must be lost by now, and returns how many bytes that is (§6.2 step 5). For what may still come
// it sets the reordering timer.
func (c *Conn) detectLoss(now int64) (newly int) {
	b, r := &c.board, &c.rack
	if r.at == 0 || b.sacked == 0 && !c.rec.phase.lossy() {
		c.stop(timerReorder)
		return 0
	}
	window := r.rtt + c.reorderWindow()
	wait := int64(0)
	for i := b.head; i < len(b.list); i++ {
		f := &b.list[i]
		if !f.resent && f.at > r.at && b.from(i).atLeast(b.resent) {
			break // those behind were sent later still
		}
		if f.state != inFlight || !sentAfter(r.at, r.end, f.at, f.end) {
			continue
		}
		if left := f.at + window - now; left > 0 {
			wait = max(wait, left)
			continue
		}
		newly += b.lose(i)
	}
	if wait > 0 {
		c.start(timerReorder, now+wait)
	} else {
		c.stop(timerReorder)
	}
	return newly
}

// reorderTimeout is the reordering timer's (§6.3).
func (c *Conn) reorderTimeout(now int64) {
	if n := c.detectLoss(now); n > 0 {
		c.lossNoticed(&delivery{now: now}, 0)
		if c.rec.phase == fast {
			c.proportional(0, false)
		}
		c.touch()
	}
}
