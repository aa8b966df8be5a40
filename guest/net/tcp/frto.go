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
	step frtoStep
	at   int64 // when the timeout was
	end  seq   // what was repeated lies before it
	most seq   // while it holds: new data is sent up to here
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
func (c *Conn) frtoBegin(now int64) {
	c.frto = frto{step: frtoWaits, at: now, end: minSeq(c.snd.una.plus(c.snd.mss), c.snd.max)}
}

// forward takes an ACK after a timeout, of n bytes, and reports whether it shows that the timeout was spurious.
func (c *Conn) forward(d *delivery, n int) bool {
	f := &c.frto
	switch f.step {
	case frtoWaits:
		f.step = frtoOff
		unsent := c.snd.buf.len() - c.snd.nxt.minus(c.snd.una)
		room := c.snd.wnd - c.snd.nxt.minus(c.snd.una)
		if n > 0 && c.snd.una.atLeast(f.end) && c.snd.una.before(c.rec.point) && unsent > 0 && room >= min(unsent, c.snd.mss) {
			f.step, f.most = frtoHolds, c.snd.max.plus(frtoNew*c.snd.mss)
		}
	case frtoHolds:
		f.step = frtoOff
		// d.oldest is of what was sent once: before the timeout, or new.
		if d.oldest == 0 || d.oldest >= f.at || !c.rec.saved.valid {
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
