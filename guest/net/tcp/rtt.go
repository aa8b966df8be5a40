package tcp

// rtt measures the round trip and derives the retransmission timeout (RFC 6298). Times are nanoseconds.
//
// One segment at a time is timed with our own clock; only when something has been repeated, so that it is unclear what
// an ACK answers (Karn), the coarser timestamps decide (RFC 7323 §4).
type rtt struct {
	srtt, rttvar int64 // 0: no sample yet
	min          int64 // least sample of the last minutes
	minAt        int64 // when it was taken
	taken        int64 // when the last sample was,
	due          int64 // and when the next one is to be taken (selective.go)
	rto          int64
	backoff      uint8
	timing       bool
	timedSeq     seq // timing ends with the ACK of this
	timedAt      int64
}

func (r *rtt) reset() { *r = rtt{rto: initialRTO} }

// timeout is the present timeout, with backoff.
func (r *rtt) timeout() int64 { return min(r.rto<<min(r.backoff, 16), maxRTO) }

func (r *rtt) add(sample int64) {
	if r.srtt == 0 {
		r.srtt, r.rttvar = sample, sample/2
	} else {
		d := sample - r.srtt
		if d < 0 {
			d = -d
		}
		r.rttvar += (d - r.rttvar) / 4
		r.srtt += (sample - r.srtt) / 8
	}
	r.rto = min(max(r.srtt+max(clockGrain, 4*r.rttvar), minRTO), maxRTO)
}

// least keeps the least sample (RFC 8985 §6.2 step 1).
func (r *rtt) least(sample, now int64) {
	if r.min == 0 || sample <= r.min || now-r.minAt > minRTTLife {
		r.min, r.minAt = sample, now
	}
}

// sample measures with an ACK of something new.
func (c *Conn) sample(s *segment, now int64) {
	r := &c.rtt
	switch {
	case r.timing:
		if s.ack.atLeast(r.timedSeq) {
			r.timing = false
			r.add(max(now-r.timedAt, 1))
			c.cc.RTT = r.srtt
			r.least(max(now-r.timedAt, 1), now)
		}
	case c.ts.on && s.opt.HasTimestamps && s.opt.TSEcr != 0 && c.rec.phase != open:
		if ticks := int32(c.timestamp(now) - s.opt.TSEcr); ticks >= 0 {
			r.add(max(int64(ticks)*clockGrain, clockGrain))
		}
	}
}

// timestamp is our timestamp clock, in milliseconds.
func (c *Conn) timestamp(now int64) uint32 { return uint32(now/clockGrain) + c.ts.offset }
