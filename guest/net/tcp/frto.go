package tcp

// frto is F-RTO with SACK (RFC 5682 §3.1): a retransmission timeout is spurious, because ACKs were late and nothing was lost,
// if afterwards something is acknowledged that had been sent before it and was not repeated. To see that, new data is sent in
// place of more copies:
//
//	timeout ── repeat the first segment ──► waits ── ACK of it: up to two new segments ──► holds
//	                                          │                                              │ ACK of what was
//	                 any other ACK, nothing new to send or no window for it                  │ not repeated:
//	                                          ▼                                              ▼ the window is as
//	              go on as after any timeout: repeat what is lost ◄── any other ACK ── before the timeout
//
// Only the first timeout of a recovery is looked at (step 1). Peers with timestamps show the same with the first ACK (Eifel,
// undo.go). Without SACK there is none: §2.1.
type frto struct {
	step  frtoStep
	end   seq // what was repeated lies before it
	point seq // while it holds: what was sent before the timeout lies before it; RFC 5682 calls it RecoveryPoint
}

type frtoStep uint8

const (
	frtoOff frtoStep = iota
	frtoWaits
	frtoHolds
)

// frtoNew is how many new segments are sent (step 2b).
const frtoNew = 2

// frtoBegin is told of the first timeout of a recovery, before anything is repeated.
func (c *Conn) frtoBegin() {
	c.frto = frto{step: frtoWaits, end: minSeq(c.snd.una.plus(c.snd.mss), c.snd.max)}
}

// frtoMost is up to where new data is sent while it holds.
func (c *Conn) frtoMost() seq { return c.frto.point.plus(frtoNew * c.snd.mss) }

// forward takes an ACK after a timeout, of n bytes, and reports whether it shows that the timeout was spurious.
func (c *Conn) forward(d *delivery, n int) bool {
	f := &c.frto
	switch f.step {
	case frtoWaits:
		f.step = frtoOff
		unsent := c.snd.buf.len() - c.snd.nxt.minus(c.snd.una)
		room := c.snd.wnd - c.snd.nxt.minus(c.snd.una)
		if n > 0 && c.snd.una.atLeast(f.end) && c.snd.una.before(c.rec.point) && unsent > 0 && room >= min(unsent, c.snd.mss) {
			f.step, f.point = frtoHolds, c.snd.max
		}
	case frtoHolds:
		f.step = frtoOff
		// d.oldest is of what was sent once.
		if d.oldest == 0 || d.fack.after(f.point) || !c.rec.saved.valid {
			c.cc.Size = min(c.cc.Size, 3*c.snd.mss) // step 3a
			return false
		}
		c.box.Stats.SpuriousTimeouts++
		// What the copy's ACK seemed to say about when its neighbours should have arrived was about the original.
		c.rack.at, c.rack.end, c.rack.rtt = d.newest, d.fack, d.now-d.newest
		c.takeBack()
		return true
	}
	return false
}
