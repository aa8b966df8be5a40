package tcp

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/timer"
)

// Stats counts, with IncludeOS's names in the comments.
type Stats struct {
	Rx                 uint64 // tcp.rx: payload bytes delivered in order
	Tx                 uint64 // tcp.tx: payload bytes sent, repeated ones included
	PacketsRx          uint64 // tcp.packets_rx
	PacketsTx          uint64 // tcp.packets_tx
	ConnIncoming       uint64 // tcp.conn_incoming: handshakes completed
	ConnOutgoing       uint64 // tcp.conn_outgoing
	ConnAttempts       uint64 // tcp.conn_attempts: SYNs taken and Connects
	Dropped            uint64 // tcp.dropped: malformed, or for no connection
	ListenOverflows    uint64 // SYNs or last ACKs dropped because the accept queue was full
	HalfOpenDropped    uint64 // half-open connections given up for newer ones
	CookiesTx          uint64 // SYNs answered with a cookie because too many connections were half-open
	CookiesRx          uint64 // connections made of one
	CookiesBad         uint64 // ACKs without a connection, and without a cookie of ours
	Retransmits        uint64 // segments repeated
	Timeouts           uint64 // retransmission timeouts
	FastRecoveries     uint64
	SpuriousRecoveries uint64 // recoveries and timeouts for what was late only, taken back
	SpuriousTimeouts   uint64 // of those, timeouts that F-RTO has found (frto.go)
	TailProbes         uint64
	SACKReneged        uint64 // peers that threw away what they had acknowledged selectively
	DuplicatesTx       uint64 // duplicates that peers have told of
	MarksRx            uint64 // segments that a router has marked (ECN)
	MarksAnswered      uint64 // windows reduced because of marks
	OutOfOrder         uint64 // segments that arrived ahead of a hole
	DuplicatesRx       uint64 // segments of which part had arrived before
	ResetsTx           uint64
	ResetsRx           uint64
	ChallengeAcks      uint64
	ZeroWindowProbes   uint64
	BlackHoles         uint64 // times a path MTU was lowered because full-size segments kept getting lost
	KeepAliveProbes    uint64
	MemoryPressure     uint64 // segments dropped because the buffers of the box were full
}

// Box is the box. The function values are set by the stack's wiring and Limits by New's caller.
type Box struct {
	Down   packet.Handler // segments, to IP
	Route  func(dst, src netip.Addr, link int) (route.Route, error)
	Busy   func(link int) bool // the card's queue is full: data can wait until Resume
	Now    func() int64        // nanoseconds, monotonic
	Random func() uint64
	Wheel  *timer.Wheel
	Pool   *packet.Pool

	Limits     Limits
	Congestion *Congestion // of new connections; nil: Cubic
	ECN        ECN         // of new connections
	Stats      Stats

	conns     map[flow]*Conn
	listeners map[uint16]*Listener // by port, linked through next
	ports     ports
	waits     waits
	isn       isnSource
	cookies   cookieSource
	stateless Conn // what answers SYNs that are not remembered
	memory    int  // bytes in buffers of connections

	dirty   *Conn // first of those Flush is to look at, linked through dirtyNext
	blocked *Conn // first of those that wait for Resume, linked through blockedNext
}

// flow names a connection from our side. Its fields have no padding between them, so that hashing is one pass.
type flow struct {
	local, remote         netip.Addr
	localPort, remotePort uint32
}

// Conns is the number of connections, those in TIME-WAIT not counted; Waiting counts those.
func (b *Box) Conns() int { return len(b.conns) }

// Waiting is the number of connections in TIME-WAIT.
func (b *Box) Waiting() int { return b.waits.len() }

// Memory is how many bytes the buffers of all connections take.
func (b *Box) Memory() int { return b.memory }

// Receive takes a segment; Src and Dst are set.
func (b *Box) Receive(p *packet.Packet) {
	b.Stats.PacketsRx++
	var s segment
	if !s.parse(p) {
		b.Stats.Dropped++
		p.Release()
		return
	}
	f := flow{p.Dst, p.Src, uint32(s.dstPort), uint32(s.srcPort)}
	b.route(f, &s)
	if s.p != nil {
		s.p.Release()
	}
}

// route finds whom a segment is for (RFC 9293 §3.10.7).
func (b *Box) route(f flow, s *segment) {
	if c := b.conns[f]; c != nil {
		c.arrive(s)
		return
	}
	if w := b.waits.find(f); w != nil && !b.waitArrive(w, s) {
		return
	}
	if l := b.listener(&f); l != nil {
		l.arrive(f, s)
		return
	}
	b.Stats.Dropped++
	b.refuse(f, s)
}

// Flush lets every connection that is on the dirty list send what it has to. It is called once after a batch.
func (b *Box) Flush() {
	for c := b.dirty; c != nil; c = b.dirty {
		b.dirty = c.dirtyNext
		c.dirtyNext, c.isDirty = nil, false
		c.flush()
	}
}

// Tell tells holders what is new ahead of Flush, for those that answer at once: what they write then carries the ACK.
// Upcalls must not call the box.
func (b *Box) Tell() {
	for c := b.dirty; c != nil; c = c.dirtyNext {
		c.tell()
	}
}

// Dirty reports whether there is something for Flush to do.
func (b *Box) Dirty() bool { return b.dirty != nil }

// Resume is called when a card that was Busy no longer is.
func (b *Box) Resume() {
	for c := b.blocked; c != nil; c = b.blocked {
		b.blocked = c.blockedNext
		c.blockedNext, c.isBlocked = nil, false
		c.touch()
	}
}

// touch puts the connection on the dirty list.
func (c *Conn) touch() {
	if !c.isDirty {
		c.isDirty = true
		c.dirtyNext = c.box.dirty
		c.box.dirty = c
	}
}

// block puts the connection on the list of those that wait for the card.
func (c *Conn) block() {
	if !c.isBlocked {
		c.isBlocked = true
		c.blockedNext = c.box.blocked
		c.box.blocked = c
	}
}

// flush sends what the connection owes, data first, since it carries the ACK, and tells the holder what is new.
func (c *Conn) flush() {
	if c.state.transmits() {
		c.output()
	}
	if c.ackNow {
		c.sendAck()
	}
	c.rest()
	c.tell()
}

// tell is the end of flush.
func (c *Conn) tell() {
	c.offerRoom()
	if raised := c.raised; raised != 0 {
		c.raised = 0
		if c.Upcall != nil {
			c.Upcall(raised)
		}
	}
}

// pressure reports whether n more bytes of buffers would be too many.
func (b *Box) pressure(n int) bool { return b.memory+n > b.Limits.Memory }
