package tcpproxy

import (
	"net/netip"
	"time"
)

// connKey is a connection as the guest sees it. An IPv4 address is in the first four bytes of its place, so that there is
// nothing in a key but bytes to be compared.
type connKey struct {
	addr      [16]byte // of the other side
	guestAddr [16]byte
	port      uint16
	guest     uint16 // port of the guest
	version   uint16 // of IP
}

func makeKey(peer, guest netip.AddrPort) (k connKey) {
	k.port, k.guest, k.version = peer.Port(), guest.Port(), 6
	if peer.Addr().Is4() {
		k.version = 4
	}
	copy(k.addr[:], peer.Addr().AsSlice())
	copy(k.guestAddr[:], guest.Addr().AsSlice())
	return k
}

func (k *connKey) six() bool { return k.version == 6 }

func (k *connKey) peer() netip.AddrPort { return netip.AddrPortFrom(k.address(k.addr), k.port) }

// local is the guest's end.
func (k *connKey) local() netip.AddrPort { return netip.AddrPortFrom(k.address(k.guestAddr), k.guest) }

func (k *connKey) address(a [16]byte) netip.Addr {
	if k.six() {
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte(a[:4]))
}

// headers is the length of the headers in frames to the guest, without options.
func (k *connKey) headers() int {
	if k.six() {
		return headerSize6
	}
	return headerSize
}

// state is how far a connection is.
type state uint8

const (
	// Begun by the guest: its SYN has come, the host is dialled; then the SYN-ACK is sent.
	dialing state = iota
	accepting
	// Begun by the host's side: the SYN is sent.
	connecting
	// Data flows. What has ended is in the fields of conn.
	established
	// Nothing is left but a reset for the guest.
	resetting
	// Not in the table any more.
	gone
)

// conn is one connection. The proxy's lock guards it.
//
// Sequence numbers towards the guest:
//
//	iss        una          nxt          max
//	SYN ┊ gone ┊ in flight  ┊ sent once, ┊ ... then, after all of send, FIN
//	           ┊            ┊ to repeat  ┊
//	           └─ send ──────────────────────┘
//
// and from it: everything before rcv has come, and the guest may send up to adv.
type conn struct {
	key   connKey
	state state
	slot  int32 // of the socket's events; noSlot without a socket
	fd    int   // -1 without a socket

	byGuest bool   // begun by it
	syn     []byte // the guest's, while dialing

	// The guest has acknowledged staleAck of an older connection, which is to be reset.
	stale    bool
	staleAck uint32

	// To the guest.
	iss, una, nxt, max uint32
	window             int // of the guest, from una
	widest             int // largest window it had
	scale              uint8
	segment            int    // largest payload
	send               buffer // from una on
	hostEnded          bool   // FIN follows send
	finSent, finAcked  bool
	limit              int    // bytes in flight after a loss, growing again with what is acknowledged; 0: no limit
	recover            uint32 // no fast retransmission before this is acknowledged
	duplicates         int    // acknowledgements that repeat una
	retries            int    // since the last progress
	probe              bool   // ask for the window

	// From the guest.
	rcv, adv    uint32
	advScale    uint8
	guestEnded  bool // its FIN has come
	hostShut    bool // and was passed on
	pend        buffer
	unacked     int  // bytes since the last acknowledgement
	unackedSegs int  // segments since
	ackNow      bool // an acknowledgement must not wait
	ackRepeats  int  // how often it is to be repeated, so that the guest sees what is missing

	// The socket, as its events say.
	readable, writable bool
	hungUp             bool // there is an end to be read, or an error
	lastRead           int  // bytes

	queued bool // in Proxy.ready

	// Times on the proxy's clock; 0 is never.
	retryAt int64 // retransmission or window probe
	ackAt   int64 // delayed acknowledgement
	dieAt   int64 // connection in the making
}

const (
	// Retransmission (RFC 6298 section 2.1 and 5.5). Guests lose nothing unless they run out of memory.
	firstRetry = time.Second
	lastRetry  = 60 * time.Second
	maxRetries = 10 // then the guest is taken for dead: after some five minutes

	// Acknowledgements wait for data to go with them (RFC 9293 section 3.8.6.3), but not for longer, nor beyond so much.
	ackDelay    = 40 * time.Millisecond
	ackSegments = 2
	ackBytes    = 16 << 10

	// duplicateLimit is how many repeated acknowledgements mean a loss (RFC 5681 section 3.2).
	duplicateLimit = 3

	// lossSegments is how many segments may be in flight after a loss (RFC 5681 section 3.1).
	lossSegments = 4

	// windowScale gives maxShare room in the window field (RFC 7323 section 2).
	windowScale = 5
	maxScale    = 14

	defaultSegment = 536 // RFC 9293 section 3.7.1; over IPv6 1220 would do
)

// after reports whether sequence number a is later than b.
func after(a, b uint32) bool { return int32(a-b) > 0 }

// inFlight is how many bytes of send the guest has been sent, since the last step back.
func (c *conn) inFlight() int {
	n := int(c.nxt - c.una)
	if c.finSent && n > 0 {
		n-- // FIN takes a number
	}
	return min(n, c.send.size)
}

// unsent is how many bytes of send are not in flight.
func (c *conn) unsent() int { return c.send.size - c.inFlight() }

// sequenceLocked starts the numbers towards the guest, and the time it has to answer.
func (p *Proxy) sequenceLocked(c *conn) {
	c.iss = newSequence()
	c.una, c.nxt, c.max, c.recover = c.iss, c.iss, c.iss, c.iss
	now := p.now()
	c.dieAt = now + int64(p.config.Timeout)
	p.scheduleLocked(c.dieAt, now)
}

// retryLocked arms the timer for what is in flight, or for a window that stays shut.
func (p *Proxy) retryLocked(c *conn, now int64) {
	wait := min(firstRetry<<c.retries, lastRetry)
	c.retryAt = now + int64(wait)
	p.scheduleLocked(c.retryAt, now)
}

// dueLocked does what is due for c and returns when to look again; 0 is never.
func (p *Proxy) dueLocked(c *conn, now int64) int64 {
	if c.dieAt != 0 && c.dieAt <= now || c.retries == maxRetries && c.retryAt != 0 && c.retryAt <= now {
		p.abortLocked(c)
		return 0
	}
	if c.ackAt != 0 && c.ackAt <= now {
		c.ackAt, c.ackNow = 0, true
		p.readyLocked(c)
	}
	if c.retryAt != 0 && c.retryAt <= now {
		c.retries++
		c.probe = c.state == established && c.window == 0 // what is in flight was not taken
		c.limit = lossSegments * c.segment
		p.repeatLocked(c)
		p.retryLocked(c, now)
	}
	next := int64(0)
	for _, at := range []int64{c.dieAt, c.ackAt, c.retryAt} {
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

// repeatLocked makes c send again what the guest has not acknowledged.
func (p *Proxy) repeatLocked(c *conn) {
	c.nxt = c.una
	c.finSent = false
	c.recover = c.max
	p.readyLocked(c)
}

// abortLocked ends c with a reset on both sides. The guest's is sent by Output.
func (p *Proxy) abortLocked(c *conn) {
	if c.state == resetting || c.state == gone {
		return
	}
	p.resetHostLocked(c)
	if c.state == dialing {
		p.removeLocked(c) // whoever dials tells the guest
		return
	}
	p.settleLocked(c)
	c.state = resetting
	c.retryAt, c.ackAt, c.dieAt, c.retries = 0, 0, 0, 0
	c.send.free(&p.memory)
	c.pend.free(&p.memory)
	p.readyLocked(c)
}

// settleLocked gives the place of c in the table of connections back.
func (p *Proxy) settleLocked(c *conn) {
	switch c.state {
	case dialing, accepting, connecting:
		p.config.Table.Fail()
	case established:
		p.config.Table.End()
	}
}

// startLocked puts c in the table.
func (p *Proxy) startLocked(c *conn) {
	p.conns[c.key] = c
}

// removeLocked forgets c.
func (p *Proxy) removeLocked(c *conn) {
	if c.state == gone {
		return
	}
	p.settleLocked(c)
	c.state = gone
	c.send.free(&p.memory)
	c.pend.free(&p.memory)
	p.closeLocked(c)
	delete(p.conns, c.key)
}

// finishLocked removes c if both sides have ended and know it of each other.
func (p *Proxy) finishLocked(c *conn) {
	if c.state == established && c.finAcked && c.guestEnded && c.hostShut && !c.ackNow {
		p.removeLocked(c)
	}
}
