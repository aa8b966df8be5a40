package conntrack

import "ukvm.dev/guest/net/wire"

// tcpState is what is known of a TCP connection: of each end by what it has sent.
type tcpState struct{ ends [2]tcpEnd }

// tcpEnd is one end of a TCP connection. Sequence numbers count SYN and FIN.
type tcpEnd struct {
	start  uint32 // first sequence number after its SYN
	next   uint32 // after the last one it has sent
	edge   uint32 // up to where the other end lets it send
	acked  uint32 // the last acknowledgement it has sent
	window uint32 // the greatest it has announced, in bytes; 0: it has not been seen
	scale  uint8
	scales bool // its SYN offered window scaling (RFC 7323 §2.2)
	syn    bool // it has sent SYN
	fin    bool // it has sent FIN
	known  bool // acked is valid
}

// ackSlack is how far back acknowledgements may lie: an old one that was overtaken is harmless.
const ackSlack = 66000

// windowMax is the greatest window there can be (RFC 7323 §2.3).
const windowMax = 1 << 30

// Comparison of sequence numbers (RFC 9293 §3.4).
func before(a, b uint32) bool { return int32(a-b) < 0 }

// segment is a TCP segment.
type segment struct {
	seq, end uint32
	ack      uint32
	window   uint32
	flags    uint8
	options  []byte
}

func (s *segment) has(flags uint8) bool { return s.flags&flags != 0 }

// parse reads a segment and reports whether its flags make sense.
func (s *segment) parse(p *Packet) (src, dst uint16, ok bool) {
	h, ok := wire.ParseTCP(p.Transport)
	if !ok || len(h) > p.Len {
		return 0, 0, false
	}
	*s = segment{seq: h.Seq(), ack: h.Ack(), window: uint32(h.Window()), flags: h.Flags(), options: h.Options()}
	s.end = s.seq + uint32(p.Len-len(h))
	switch s.flags & (wire.SYN | wire.FIN | wire.RST | wire.ACK) {
	case wire.SYN, wire.SYN | wire.ACK:
		s.end++
	case wire.FIN | wire.ACK:
		s.end++
	case wire.ACK, wire.RST, wire.RST | wire.ACK:
	default:
		return 0, 0, false
	}
	return h.SrcPort(), h.DstPort(), true
}

func (b *Box) trackTCP(p *Packet) State {
	var s segment
	src, dst, ok := s.parse(p)
	if !ok {
		return Invalid
	}
	k, from := makeKey(makeEnd(p.Src, src), makeEnd(p.Dst, dst), wire.ProtoTCP)
	i := b.find(&k)
	if i != 0 && s.flags&(wire.SYN|wire.ACK) == wire.SYN && b.at(i).over() {
		b.remove(i) // the ports are used again
		i = 0
	}
	if i == 0 {
		return b.beginTCP(&k, from, &s, p)
	}
	e := b.at(i)
	if s.has(wire.SYN) {
		return b.handshake(i, e, from, &s)
	}
	if from != e.origin && !e.replied && e.tcp.ends[1-from].syn && !s.has(wire.RST) {
		return Established // not the answer, but what makes a forgotten connection known (RFC 9293 §3.5.1)
	}
	if !e.tcp.accept(from, &s) {
		return Invalid
	}
	if from != e.origin {
		e.replied = true
	}
	b.refresh(i, e.after(from, &s), b.now)
	if e.replied {
		return Established
	}
	return New
}

// beginTCP notes a connection that begins with SYN, or one that is in progress if the sender can be believed.
func (b *Box) beginTCP(k *key, from uint8, s *segment, p *Packet) State {
	switch {
	case s.flags&(wire.SYN|wire.ACK) == wire.SYN:
		b.begin(k, from, unreplied, p).tcp.ends[from].open(s)
	case s.has(wire.SYN|wire.RST) || !p.Local && b.now >= b.PickUp:
		return Invalid
	default:
		t := &b.begin(k, from, unreplied, p).tcp
		t.ends[0].scale, t.ends[1].scale = wire.MaxWindowScale, wire.MaxWindowScale // who knows
		t.accept(from, s)
	}
	return New
}

// over reports whether a new connection may take the place of this one.
func (e *entry) over() bool { return e.queue == closed }

// open takes the SYN of an end.
func (e *tcpEnd) open(s *segment) {
	var o wire.TCPOptions
	o.Parse(s.options)
	*e = tcpEnd{
		start: s.seq + 1, next: s.end, edge: s.end, window: max(s.window, 1),
		scale: o.WindowScale, scales: o.HasScale, syn: true,
	}
}

// allow says that the other end has made room up to a sequence number.
func (e *tcpEnd) allow(edge uint32) {
	if before(e.edge, edge) {
		e.edge = edge
	}
}

// handshake takes a segment with SYN that belongs to a connection. Nothing that is wrong about it changes anything.
func (b *Box) handshake(i index, e *entry, from uint8, s *segment) State {
	me, peer := &e.tcp.ends[from], &e.tcp.ends[1-from]
	early := e.queue == unreplied || e.queue == local || e.queue == opening
	if s.has(wire.ACK) && (!peer.syn || before(s.ack, peer.start) || before(peer.next, s.ack)) {
		return Invalid // it answers no SYN
	}
	if !early {
		// RFC 5961 §4: it is answered by a challenge, and whether it is right turns out then.
		return Established
	}
	// A SYN can be replaced while nobody has answered; SYN|ACK, which names the other's number, longer: SYN cookies
	// change from one to the next.
	if !me.syn || s.seq+1 != me.start && (!e.replied || s.has(wire.ACK)) {
		me.open(s)
	}
	if from != e.origin {
		e.replied = true
	}
	if s.seq+1 == me.start && s.has(wire.ACK) {
		me.acked, me.known = s.ack, true
		peer.allow(s.ack + max(s.window, 1)) // not scaled (RFC 7323 §2.2)
		if !me.scales || !peer.scales {
			me.scale, peer.scale = 0, 0
		}
	}
	q := e.queue
	if e.replied && q == unreplied {
		q = opening
	}
	b.refresh(i, q, b.now)
	if e.replied {
		return Established
	}
	return New
}

// accept reports whether a segment without SYN lies in the windows, and learns from it. An end that is seen for the
// first time, in a connection that was in progress, is believed.
func (t *tcpState) accept(from uint8, s *segment) bool {
	me, peer := &t.ends[from], &t.ends[1-from]
	window := s.window << me.scale
	ack := s.ack
	if !s.has(wire.ACK) || s.has(wire.RST) && ack == 0 {
		ack = peer.next
	}
	if me.window == 0 {
		if me.next == 0 && me.edge == 0 {
			me.next, me.edge = s.seq, s.end+max(window, ackSlack)
		}
		if peer.window == 0 {
			peer.next, peer.edge = ack, ack+max(window, 1)
		}
		if s.has(wire.RST) && s.seq == 0 {
			s.seq, s.end = me.next, me.next // RST in answer to a SYN (RFC 9293 §3.10.7.1)
		}
	}
	switch {
	case before(me.edge, s.seq), // beyond the window
		peer.window != 0 && before(s.end, me.next-peer.window-1), // all of it lies behind the window
		before(peer.next, ack), // it acknowledges what was not sent
		me.known && before(ack, me.acked-max(me.window, ackSlack)): // older than a window (RFC 5961 §5.2)
		return false
	}
	me.window = max(me.window, window, 1)
	if s.has(wire.RST) {
		return true
	}
	if before(me.next, s.end) {
		me.next = s.end
	}
	if before(me.edge, s.end) {
		// It has more room than was seen.
		peer.window = min(peer.window+s.end-me.edge, windowMax)
		me.edge = s.end
	}
	if s.has(wire.ACK) {
		if !me.known || before(me.acked, ack) {
			me.acked, me.known = ack, true
		}
		peer.allow(ack + max(window, 1))
	}
	if s.has(wire.FIN) {
		me.fin = true
	}
	return true
}

// after returns the queue an entry is in after a segment without SYN was accepted.
func (e *entry) after(from uint8, s *segment) queueID {
	me, peer := &e.tcp.ends[from], &e.tcp.ends[1-from]
	switch {
	case s.has(wire.RST):
		// The receiver believes what is exactly where it expects it; what is merely in its window it asks about. A
		// refused SYN has nothing to expect, but is acknowledged.
		exact := s.seq == me.next || peer.known && s.seq == peer.acked
		if !me.syn && peer.syn {
			exact = s.has(wire.ACK) && s.ack == peer.next
		}
		if exact {
			return closed
		}
		return e.queue
	case e.queue == closed, me.fin && peer.fin:
		return closed
	case me.fin || peer.fin:
		if e.queue >= assured {
			return closing
		}
	case e.queue == opening || e.queue == unreplied || e.queue == local:
		if e.replied && (peer.syn && s.has(wire.ACK) && !before(s.ack, peer.start) && me.syn && from == e.origin || !me.syn && !peer.syn) {
			return established
		}
	}
	return e.queue
}
