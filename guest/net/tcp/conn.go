package tcp

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// Options are what the holder of a connection may choose. They are read when they matter and may be changed any time
// through Conn.Options, followed by Conn.Changed. Times are nanoseconds.
type Options struct {
	NoDelay      bool // send short segments at once (no Nagle)
	Cork         bool // hold short segments back (TCP_CORK)
	KeepAlive    bool // probe a peer that is silent
	KeepIdle     int64
	KeepInterval int64
	KeepCount    int
	UserTimeout  int64 // give up when data or probes are unanswered that long (RFC 9293 §3.8.3); 0: see limits.go
	LingerOn     bool  // Close waits Linger for the peer's ACK, then resets; with Linger 0 it resets at once
	Linger       int64
	TTL, TOS     uint8
	Congestion   *Congestion // nil: the box's
	SendBuffer   int         // payload bytes; 0: grows by itself
	RecvBuffer   int
	Link         int // only through this interface; 0: any
}

// DefaultOptions is what sockets start with.
func DefaultOptions() Options {
	return Options{KeepIdle: keepIdle, KeepInterval: keepInterval, KeepCount: keepCount}
}

// Conn is one connection's control block. It begins with New and Connect, or comes from Listener.Accept, and belongs to
// its holder until Close or Abort; after that it lives on by itself until the closing handshake is over.
type Conn struct {
	Options  Options
	Upcall   func(raised ready.Events) // from Flush: something has happened; must not call the connection
	NoteAcks bool                      // raise ready.Acked when the peer has acknowledged data

	box      *Box
	flow     flow
	state    State
	err      error // pending: the next call returns it
	soft     error // an ICMP error that does not end the connection yet (RFC 9293 §3.9.2.2)
	orphan   bool  // nobody holds it any more
	bound    *binding
	counted  bool // in ports.use
	listener *Listener
	nextHalf *Conn // in Listener's queues
	prevHalf *Conn

	link  int // interface it goes through
	mtu   int // of the path
	tso   int // see route.Route
	noDF  bool
	label uint32 // IPv6 flow label
	path  path   // while mtu is less than it was

	scaling bool // the peer has sent a window scale option: both ends shift (RFC 7323 §2.2), be it by 0

	snd struct {
		iss, una, nxt seq
		max           seq    // highest ever sent; nxt goes back on a timeout, max does not
		wnd           int    // what the peer allows beyond una, in bytes
		maxWnd        int    // largest it has ever allowed
		wl1, wl2      seq    // seq and ack of the segment wnd came with
		scale         uint8  // of the windows that arrive
		mss           int    // payload of a full segment
		full          seq    // what was out when the congestion window was used last
		released      int    // acknowledged since output last ran, in bytes: its room in the windows is not used yet
		delivered     int    // the same with what was acknowledged selectively
		small         seq    // end of the last segment shorter than mss (Minshall's variant of Nagle)
		fin           bool   // the holder has closed this direction: FIN follows the buffer
		cork          bool   // MSG_MORE: hold a short segment
		wantRoom      bool   // a Write did not fit: tell when there is room
		last          int64  // when data was last sent
		probing       int    // window probes since the window was last open
		progress      int64  // when the peer last acknowledged something new, or data was first sent
		buf           buffer // from una on
	}
	rcv struct {
		irs, nxt seq
		edge     seq // nxt must not pass it: the right edge of the window we have promised, which never moves left
		acked    seq // what our last ACK said
		scale    uint8
		mss      int  // largest payload seen: what "full-sized" means for delayed ACKs
		ourMSS   int  // what we announced
		limit    int  // receive buffer in bytes of payload
		queued   int  // bytes in queue
		fin      bool // the peer's FIN has been taken
		shut     bool // the holder reads no more
		queue    packet.Queue
		ahead    reassembly
		dup      wire.SACKBlock // arrived twice: to be told with the next ACK; empty: none
		last     int64          // when anything last arrived
		lastData int64
		grow     growth
	}
	ts struct {
		on     bool
		offset uint32 // of our clock (RFC 7323 §7.1 wants it unguessable)
		recent seq    // TS.Recent
		at     int64  // when recent was taken
	}
	sack        bool // negotiated (RFC 2018 §2): both ends understand the option
	ecn         ecn
	frto        frto
	ackNow      bool         // an ACK is due with the next flush
	raised      ready.Events // for Upcall, with the next flush
	quick       int          // how many more segments are acknowledged at once
	challengeAt int64

	rtt   rtt
	cc    congestion
	rec   recovery
	board scoreboard // if sack
	rack  rack       // if sack

	retries int // retransmissions of the same data, SYN or FIN
	repeats int // retransmissions in all
	probes  int // unanswered window or keep-alive probes

	timer    timer.Timer
	deadline [timers]int64 // 0: off
	flushed  int64         // when the last flush was
	flushes  int           // how many there were in a row

	isDirty, isBlocked     bool
	dirtyNext, blockedNext *Conn
}

// New returns an unconnected connection.
func (b *Box) New() *Conn {
	c := &Conn{box: b, Options: DefaultOptions()}
	c.timer.Init(b.Wheel, c.expire)
	return c
}

// congestion is the algorithm the options ask for.
func (c *Conn) congestion() *Congestion {
	switch {
	case c.Options.Congestion != nil:
		return c.Options.Congestion
	case c.box.Congestion != nil:
		return c.box.Congestion
	}
	return Cubic
}

// State returns the connection's state.
func (c *Conn) State() State { return c.state }

// upcall tells the holder, with the next flush: once for all that a batch of segments brings.
func (c *Conn) upcall(raised ready.Events) {
	if c.Upcall != nil {
		c.raised |= raised
		c.touch()
	}
}

// begin makes a connection whose flow and path are known one of the box's.
func (c *Conn) begin(state State) {
	b := c.box
	iss := b.isn.next(&c.flow, b.Now(), b.Random)
	if w := b.waits.reused; w != nil {
		b.waits.reused = nil
		if w.flow == c.flow && !iss.after(w.snd.plus(1<<16)) {
			iss = w.snd.plus(1 << 16) // beyond all the old connection sent (RFC 6191 §2)
		}
	}
	c.initialise(state, iss)
	c.enter()
}

// initialise sets the control block up.
func (c *Conn) initialise(state State, iss seq) {
	b := c.box
	now := b.Now()
	c.state = state
	c.snd.iss = iss
	c.snd.una, c.snd.nxt, c.snd.max, c.snd.small, c.snd.full = iss, iss, iss, iss, iss
	c.snd.progress = now
	c.snd.mss = unnamedMSS(c.flow.local)
	c.ts.offset = b.isn.timestampOffset(&c.flow)
	c.label = b.isn.flowLabel(&c.flow, b.Random)
	c.rcv.ourMSS = c.mtu - headerSize(c.flow.local)
	c.rcv.mss = defaultMSS
	c.rcv.limit = b.receiveLimit(&c.Options)
	c.rcv.scale = b.windowScale(&c.Options)
	c.rcv.last = now
	c.quick = quickAcks
	c.rtt.reset()
}

// enter puts the connection into the box's tables.
func (c *Conn) enter() {
	b := c.box
	if b.conns == nil {
		b.conns = make(map[flow]*Conn)
	}
	b.conns[c.flow] = c
	b.ports.use(uint16(c.flow.localPort))
	c.counted = true
}

// end takes the connection out of everything. What has arrived stays readable for the holder.
func (c *Conn) end(err error) {
	if c.state == Closed {
		return
	}
	if c.err == nil {
		c.err = err
	}
	c.leave()
	if c.listener != nil {
		c.listener.ended(c)
	}
	c.state = Closed
	if c.orphan {
		c.discard()
	}
	raised := ready.In | ready.Out | ready.RdHup | ready.Hup
	if err != nil {
		raised |= ready.Err
	}
	c.upcall(raised)
}

// leave takes the connection out of the box's tables and stops what runs for it.
func (c *Conn) leave() {
	b := c.box
	if b.conns[c.flow] == c {
		delete(b.conns, c.flow)
	}
	if c.counted {
		c.counted = false
		b.ports.unuse(uint16(c.flow.localPort))
	}
	c.timer.Stop()
	c.deadline = [timers]int64{}
	c.ackNow = false
	b.memory -= c.snd.buf.clear()
	c.dropOutOfOrder()
}

// discard releases what has arrived and nobody is going to read.
func (c *Conn) discard() {
	for p := c.rcv.queue.Pop(); p != nil; p = c.rcv.queue.Pop() {
		c.box.memory -= p.Charge
		p.Release()
	}
	c.rcv.queued = 0
}

// Ready returns what the connection is ready for (as Linux's tcp_poll).
func (c *Conn) Ready() ready.Events {
	var e ready.Events
	if c.err != nil {
		e |= ready.Err
	}
	switch c.state {
	case SynSent, SynReceived:
		return e
	case Closed:
		e |= ready.Hup | ready.Out
		if c.flow.remotePort != 0 {
			e |= ready.In | ready.RdHup
		}
		return e
	}
	if c.rcv.fin || c.rcv.shut {
		e |= ready.In | ready.RdHup
		if c.snd.fin {
			e |= ready.Hup
		}
	}
	if c.rcv.queued > 0 {
		e |= ready.In
	}
	if c.snd.fin || c.writable() {
		e |= ready.Out
	}
	return e
}
