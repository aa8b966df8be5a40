package tcp

// hystart is HyStart++ (RFC 9406): it ends the first slow start when the round trip grows, before a queue somewhere
// overflows and much is lost at once. First it only slows it down, in case that was a mistake.
type hystart struct {
	end          seq   // of the round
	last, now    int64 // least round trips of the last and of this round; 0: none
	samples      int
	conservative bool  // CSS
	base         int64 // the round trip that began it
	rounds       int   // of it
}

// Constants of RFC 9406 §4.3.
const (
	hystartMin     = 4 * millisecond
	hystartMax     = 16 * millisecond
	hystartSamples = 8
	hystartDivisor = 4 // how much slower CSS is
	hystartRounds  = 5 // of CSS
)

// measure takes an ACK of n bytes in the first slow start, and returns by how much the window may grow; done says that
// slow start is over.
func (h *hystart) measure(n int, sample int64, una, nxt seq) (grow int, done bool) {
	if sample > 0 {
		if h.now == 0 || sample < h.now {
			h.now = sample
		}
		h.samples++
	}
	if h.samples >= hystartSamples && h.now > 0 {
		switch {
		case h.conservative:
			h.conservative = h.now >= h.base // else it was a mistake
		case h.last > 0 && h.now >= h.last+min(max(h.last/8, hystartMin), hystartMax):
			h.conservative, h.base, h.rounds = true, h.now, 0
		}
	}
	if !una.before(h.end) {
		h.end, h.last, h.now, h.samples = nxt, h.now, 0, 0
		if h.conservative {
			h.rounds++
			done = h.rounds >= hystartRounds
		}
	}
	if h.conservative {
		n /= hystartDivisor
	}
	return n, done
}
