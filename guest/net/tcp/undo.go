package tcp

// window is a congestion window put aside when it was reduced, in case that turns out to have been a mistake: segments
// were late, not lost. The peer shows it by telling of duplicates for everything that was repeated (RFC 2883, RFC 3708),
// or by the timestamp of the original in its ACK of what was repeated (RFC 3522, the Eifel algorithm).
type window struct {
	Window
	valid  bool
	from   seq // una then
	resent int // bytes repeated since, and not reported as duplicates
	any    bool
}

// save puts the window aside, unless there is one from an earlier reduction that is not over.
func (r *recovery) save(c *Conn) {
	if !r.saved.valid {
		r.saved = window{Window: c.cc.Window, valid: true, from: c.snd.una}
	}
}

// repeated notes that n bytes have been repeated.
func (r *recovery) repeated(n int) {
	r.saved.resent += n
	r.saved.any = true
}

// undo takes the reduction back if it was a mistake, and reports whether it did; n is how far the ACK has moved una.
func (c *Conn) undo(d *delivery, n int) bool {
	r := &c.rec
	if !r.phase.lossy() || !r.saved.valid || !r.saved.any {
		return false
	}
	r.saved.resent -= max(d.dupBytes, 0)
	if !(d.original && n > 0) && !(d.dupBytes > 0 && r.saved.resent <= 0) {
		return false
	}
	c.takeBack()
	return true
}

// takeBack takes the reduction back: nothing was lost.
func (c *Conn) takeBack() {
	r := &c.rec
	c.box.Stats.SpuriousRecoveries++
	size, threshold := max(c.cc.Size, r.saved.Size), max(c.cc.Threshold, r.saved.Threshold)
	c.cc.Window = r.saved.Window
	c.cc.MSS = c.snd.mss
	c.cc.Size, c.cc.Threshold = size, threshold
	c.board.found()
	r.phase = open
	r.saved = window{}
	c.frto.step = frtoOff
	c.touch()
}
