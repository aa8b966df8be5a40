package tcp

// A connection has several deadlines and one timer, which is set for the earliest. Moving a deadline back or clearing it
// costs a store: the timer then fires for nothing once, and is set again. If it is much too early Flush sets it right: each
// time that it fires for nothing may wake an idle guest.
const (
	timerReorder    = iota // what was sent before something delivered must have arrived
	timerProbe             // nothing has been heard for so long that the tail may be lost
	timerRetransmit        // SYN, data or FIN is not acknowledged
	timerPersist           // the peer's window is closed, or a short segment is held
	timerAck               // an ACK has been delayed long enough
	timerKeepAlive
	timerState // FIN-WAIT-2 or linger has lasted long enough
	timers
)

// start sets deadline k.
func (c *Conn) start(k int, at int64) {
	c.deadline[k] = at
	if !c.timer.Active() || at < c.timer.When() {
		c.timer.Set(at)
	}
}

// stop clears deadline k.
func (c *Conn) stop(k int) { c.deadline[k] = 0 }

// expire runs what is due.
func (c *Conn) expire() {
	now := c.box.Now()
	for k := range c.deadline {
		if c.deadline[k] == 0 || c.deadline[k] > now {
			continue
		}
		c.deadline[k] = 0
		switch k {
		case timerReorder:
			c.reorderTimeout(now)
		case timerProbe:
			c.probeTimeout(now)
		case timerRetransmit:
			c.retransmitTimeout(now)
		case timerPersist:
			c.persistTimeout(now)
		case timerAck:
			c.ackNow = true
			c.touch()
		case timerKeepAlive:
			c.keepAliveTimeout(now)
		case timerState:
			c.stateTimeout()
		}
		if c.state == Closed || c.state == TimeWait {
			return
		}
	}
	if next := c.nextDeadline(); next != 0 {
		c.timer.Set(next)
	}
}

// nextDeadline is the earliest, 0 if there is none.
func (c *Conn) nextDeadline() (next int64) {
	for _, at := range c.deadline {
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

// restMin is the time in ns by which a timer may be too early. A delayed ACK is that much before a retransmission.
const restMin = 100_000_000

// A connection is busy after busyFlushes flushes with less than busyGap ns between. A request and its answer are two or three.
const (
	busyGap     = 10_000_000
	busyFlushes = 6
)

// rest sets the timer right if it is much too early, unless the connection is busy: then each exchange would set it twice, and it
// fires for nothing once, afterwards.
func (c *Conn) rest() {
	now := c.box.Now()
	if now-c.flushed < busyGap {
		c.flushes = min(c.flushes+1, busyFlushes)
	} else {
		c.flushes = 0
	}
	c.flushed = now
	if c.flushes == busyFlushes || !c.timer.Active() {
		return
	}
	switch next := c.nextDeadline(); {
	case next == 0:
		c.timer.Stop()
	case next-c.timer.When() >= restMin:
		c.timer.Set(next)
	}
}

// maxRetries is how often the present state repeats what is not acknowledged.
func (c *Conn) maxRetries() int {
	switch {
	case c.state == SynSent:
		return synRetries
	case c.state == SynReceived:
		return synAckRetries
	case c.orphan:
		return orphanRetries
	}
	return dataRetries
}

// timedOut ends the connection if it has been tried often or long enough, and reports whether it did.
func (c *Conn) timedOut(tries, limit int, now int64) bool {
	if c.Options.UserTimeout > 0 && tries > 0 {
		if now-c.snd.progress < c.Options.UserTimeout {
			return false
		}
	} else if tries < limit {
		return false
	}
	err := c.soft
	if err == nil {
		err = ErrTimeout
	}
	c.end(err)
	return true
}

// retransmitTimeout is RFC 6298 §5.4 to §5.7.
func (c *Conn) retransmitTimeout(now int64) {
	if c.timedOut(c.retries, c.maxRetries(), now) {
		return
	}
	if c.snd.wnd == 0 && c.state.transmits() {
		// The peer has taken its window back: probe rather than repeat what it will not take.
		c.goBack()
		c.persistTimeout(now)
		return
	}
	c.retries++
	c.box.Stats.Timeouts++
	c.rtt.backoff++
	next := now + c.rtt.timeout()
	if t := c.Options.UserTimeout; t > 0 {
		next = min(next, max(c.snd.progress+t, now+clockGrain))
	}
	c.start(timerRetransmit, next)
	switch c.state {
	case SynSent, SynReceived:
		c.box.Stats.Retransmits++
		c.repeats++
		c.rtt.timing = false
		c.sendSyn()
	default:
		c.suspectBlackHole()
		c.timeoutLoss()
		c.touch()
	}
}

// persistTimeout probes a closed window (RFC 9293 §3.8.6.1), or sends a short segment that was held long enough.
func (c *Conn) persistTimeout(now int64) {
	if c.snd.wnd > 0 && c.snd.max == c.snd.una {
		c.pushOut(now)
		return
	}
	if c.timedOut(c.probes, probesMax, now) {
		return
	}
	if c.probes == 0 {
		c.snd.progress = now // a peer that answers probes may keep its window closed for ever
	}
	c.probes++
	c.box.Stats.ZeroWindowProbes++
	c.snd.probing++
	wait := min(c.rtt.rto<<min(c.snd.probing, 16), maxRTO)
	if c.snd.max == c.snd.una {
		c.start(timerPersist, now+wait)
	} else {
		c.start(timerRetransmit, now+wait)
	}
	c.sendProbe()
}

// pushOut sends what fits the window although it is short, because it has been held for long enough (RFC 9293
// §3.8.6.2.1, the override timeout).
func (c *Conn) pushOut(now int64) {
	n := min(c.snd.buf.len(), c.snd.wnd, c.cc.Size, c.snd.mss)
	if n == 0 {
		return
	}
	c.snd.progress = now
	c.sendNew(n, false, now)
	c.start(timerRetransmit, now+c.rtt.timeout())
}

// keepAliveTimeout probes a peer that has been silent (RFC 9293 §3.8.4).
func (c *Conn) keepAliveTimeout(now int64) {
	o := &c.Options
	if !o.KeepAlive {
		return
	}
	if idle := now - c.rcv.last; idle < o.KeepIdle {
		c.probes = 0
		c.start(timerKeepAlive, c.rcv.last+o.KeepIdle)
		return
	}
	if c.snd.max != c.snd.una || c.snd.buf.len() > 0 {
		c.start(timerKeepAlive, now+o.KeepIdle) // retransmission or window probes find out
		return
	}
	if c.probes == 0 {
		c.snd.progress = now
	}
	if o.UserTimeout > 0 && c.probes > 0 && now-c.snd.progress >= o.UserTimeout ||
		o.UserTimeout == 0 && c.probes >= o.KeepCount {
		c.sendReset()
		c.end(ErrTimeout)
		return
	}
	c.probes++
	c.box.Stats.KeepAliveProbes++
	c.start(timerKeepAlive, now+o.KeepInterval)
	c.sendProbe()
}

// stateTimeout ends what has been waited for long enough.
func (c *Conn) stateTimeout() {
	if c.state != FinWait2 {
		c.sendReset() // linger is over
		c.end(ErrTimeout)
		return
	}
	c.end(nil)
}

// Changed says that Options have been changed.
func (c *Conn) Changed() {
	switch c.state {
	case Closed, SynSent, SynReceived, TimeWait:
		return
	}
	if c.Options.RecvBuffer > 0 {
		c.rcv.limit = max(c.rcv.limit, c.box.receiveLimit(&c.Options))
	}
	if a := c.congestion(); a != c.cc.algorithm {
		c.cc.algorithm, c.cc.cubic, c.cc.Window.acked = a, cubic{}, 0
	}
	c.stop(timerKeepAlive)
	if c.Options.KeepAlive {
		c.start(timerKeepAlive, c.rcv.last+c.Options.KeepIdle)
	}
	c.touch()
}
