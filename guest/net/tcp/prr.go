package tcp

// prr is proportional rate reduction (RFC 9937): during fast recovery the window goes from what was in flight to the
// threshold while as much is sent, in proportion, as is delivered. So there is neither a pause nor a burst.
type prr struct {
	flight    int // RecoverFS: bytes that were in flight at the start
	delivered int // since then
	out       int // sent since then
}

// proportional sets the window after that many more bytes have been delivered. safe says that the ACK has moved on and
// tells of no further loss (SafeACK).
func (c *Conn) proportional(delivered int, safe bool) {
	p := &c.rec.prr
	p.delivered += delivered
	pipe, target, mss := c.pipe(), c.cc.Threshold, c.snd.mss
	var n int
	if pipe > target {
		n = int((int64(p.delivered)*int64(target)+int64(p.flight)-1)/int64(p.flight)) - p.out
	} else {
		n = p.delivered - p.out
		if safe {
			n = max(n, delivered) + mss
		}
		n = min(n, target-pipe)
	}
	if p.out == 0 || pipe < mss {
		n = max(n, mss) // the first retransmission is sent at once, and something is always under way
	}
	c.cc.Size = pipe + max(n, 0)
}
