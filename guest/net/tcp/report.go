package tcp

import "ukvm.dev/guest/net/wire"

// What the receiver reports in the SACK option (RFC 2018 §4, RFC 2883 §4).

// recentSeq remembers where segments have arrived last, latest first, one place for each span: the order in which spans
// are reported.
type recentSeq struct {
	at [wire.SACKBlocksMax]seq
	n  int
}

// add notes a place in a span of r.
func (l *recentSeq) add(r *reassembly, at seq) {
	i := r.around(at)
	if i < 0 {
		return
	}
	keep := [wire.SACKBlocksMax]seq{at}
	n := 1
	for _, x := range l.at[:l.n] {
		// What is no longer in a span is forgotten, what is in the same one is said by at.
		if k := r.around(x); k >= 0 && k != i && n < len(keep) {
			keep[n] = x
			n++
		}
	}
	l.at, l.n = keep, n
}

// duplicate notes that the data between two sequence numbers has arrived again.
func (c *Conn) duplicate(start, end seq) {
	c.box.Stats.DuplicatesRx++
	if c.sack {
		c.rcv.dup = wire.SACKBlock{Start: uint32(start), End: uint32(end)}
	}
}

// repeated notes what of the segment lies before rcv.nxt, and was there already. What is further back than a window can
// be is of no use to anybody.
func (c *Conn) repeated(s *segment) {
	old := c.rcv.nxt.minus(s.seq)
	if s.len == 0 || old <= 0 || old > max(c.rcv.limit, 1<<16) || s.has(wire.SYN) {
		return
	}
	c.duplicate(s.seq, s.seq.plus(min(old, s.len)))
}

// reports says whether there is something to report.
func (c *Conn) reports() bool {
	return c.sack && (len(c.rcv.ahead.spans) > 0 || c.rcv.dup != wire.SACKBlock{})
}

// report puts at most most blocks into the option: first a duplicate, once (RFC 2883 §4), then the span in which a
// segment has arrived last, then those before it (RFC 2018 §4).
func (c *Conn) report(o *wire.TCPOptions, most int) {
	r := &c.rcv.ahead
	most = min(most, len(o.SACK))
	n := 0
	add := func(b wire.SACKBlock) {
		o.SACK[n] = b
		n++
	}
	if most > 0 && c.rcv.dup != (wire.SACKBlock{}) {
		add(c.rcv.dup)
		c.rcv.dup = wire.SACKBlock{}
	}
	for _, at := range r.recent.at[:r.recent.n] {
		if i := r.around(at); i >= 0 && n < most {
			x := &r.spans[i]
			end := x.end
			if x.fin {
				end++ // FIN takes a number, too
			}
			add(wire.SACKBlock{Start: uint32(x.start), End: uint32(end)})
		}
	}
	o.SACKs = uint8(max(n, 0))
}
