package tcp

import (
	"net/netip"

	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/wire"
)

// Listener waits for connections.
//
//	SYN ──► half (SYN-RECEIVED, at most half-open limit) ──ACK──► ready (at most backlog) ──► Accept
//	    └─► if half is full: a cookie, see cookies.go ─────ACK──────┘
type Listener struct {
	Options Options                   // what its connections start with
	Upcall  func(raised ready.Events) // a connection can be accepted

	box     *Box
	bound   *binding
	backlog int
	half    list
	ready   list
	next    *Listener // with the same port
	closed  bool
}

// list is a list of connections linked through nextHalf and prevHalf.
type list struct {
	head, tail *Conn
	n          int
}

func (l *list) push(c *Conn) {
	c.prevHalf, c.nextHalf = l.tail, nil
	if l.tail != nil {
		l.tail.nextHalf = c
	} else {
		l.head = c
	}
	l.tail = c
	l.n++
}

func (l *list) remove(c *Conn) {
	if c.prevHalf != nil {
		c.prevHalf.nextHalf = c.nextHalf
	} else {
		l.head = c.nextHalf
	}
	if c.nextHalf != nil {
		c.nextHalf.prevHalf = c.prevHalf
	} else {
		l.tail = c.prevHalf
	}
	c.prevHalf, c.nextHalf = nil, nil
	l.n--
}

// Listen makes a listener of an unconnected connection, which is then used up: its binding, options and Upcall move.
// Without a binding it gets a random port on all addresses. backlog bounds the connections not yet accepted, between 1
// and MaxBacklog.
func (c *Conn) Listen(backlog int) (*Listener, error) {
	b := c.box
	if c.state != Closed || c.flow.remotePort != 0 {
		return nil, ErrInvalid
	}
	n := 0
	for _, l := range b.listeners {
		for ; l != nil; l = l.next {
			n++
		}
	}
	if n >= MaxListeners {
		return nil, ErrLimit
	}
	if c.bound == nil {
		if err := c.Bind(netip.Addr{}, 0, false, false); err != nil {
			return nil, err
		}
	}
	if !b.ports.free(c.bound) {
		return nil, ErrInUse // another one listens by now
	}
	c.bound.listening = true
	l := &Listener{Options: c.Options, Upcall: c.Upcall, box: b, bound: c.bound}
	l.SetBacklog(backlog)
	c.bound, c.Upcall = nil, nil
	if b.listeners == nil {
		b.listeners = make(map[uint16]*Listener)
	}
	l.next = b.listeners[l.bound.port]
	b.listeners[l.bound.port] = l
	return l, nil
}

// SetBacklog changes the bound on connections not yet accepted.
func (l *Listener) SetBacklog(n int) { l.backlog = min(max(n, 1), MaxBacklog) }

// Local returns the address, as route.Covers has it, and port.
func (l *Listener) Local() (netip.Addr, uint16) { return l.bound.addr, l.bound.port }

// listener finds who listens for a flow: one bound to its address before one bound to all; among equals, which share the
// port by reusePort, always the same for a flow, whose ACK may carry a cookie, and none that others can choose.
func (b *Box) listener(f *flow) *Listener {
	var best *Listener
	exact, equals, hash := false, uint64(0), uint64(0)
	for l := b.listeners[uint16(f.localPort)]; l != nil; l = l.next {
		match := l.bound.addr == f.local
		if !route.Covers(l.bound.addr, f.local) || exact && !match {
			continue
		}
		if best == nil || match && !exact {
			best, exact, equals = l, match, 1
			continue
		}
		if equals == 1 {
			hash = b.isn.portHash(f, b.Random)
		}
		equals++
		hash = hash*6364136223846793005 + 1442695040888963407 // the next of a sequence (Knuth)
		if (hash>>33)%equals == 0 {
			best = l
		}
	}
	return best
}

// arrive is RFC 9293 §3.10.7.2, LISTEN.
func (l *Listener) arrive(f flow, s *segment) {
	b := l.box
	switch {
	case s.has(wire.RST):
		return
	case s.has(wire.ACK):
		if !l.takeCookie(f, s) {
			b.refuse(f, s)
		}
		return
	case !s.has(wire.SYN) || s.has(wire.FIN):
		b.Stats.Dropped++
		return
	}
	b.Stats.ConnAttempts++
	if l.ready.n >= l.backlog {
		b.Stats.ListenOverflows++
		return
	}
	if l.half.n >= l.halfOpenMax() {
		l.sendCookie(f, s)
		return
	}
	if len(b.conns) >= b.Limits.Conns {
		// The oldest is the least likely to be completed.
		if l.half.n == 0 {
			b.Stats.Dropped++
			return
		}
		b.Stats.HalfOpenDropped++
		l.half.head.end(ErrTimeout)
	}
	r, err := b.Route(f.remote, f.local, l.Options.Link)
	if err != nil {
		b.Stats.Dropped++
		return
	}
	c := l.newConn(f, &r)
	c.begin(SynReceived)
	c.takeSyn(s)
	l.half.push(c)
	c.sendSyn()
	c.start(timerRetransmit, b.Now()+c.rtt.timeout())
}

// newConn returns a connection of the listener's that has not begun.
func (l *Listener) newConn(f flow, r *route.Route) *Conn {
	c := l.box.New()
	c.Options = l.Options
	c.flow = f
	c.link, c.mtu, c.tso = r.Link, r.MTU, r.TSO
	c.listener = l
	return c
}

// halfOpenMax is how many half-open connections a listener has.
func (l *Listener) halfOpenMax() int { return min(max(2*l.backlog, 16), MaxHalfOpen) }

// promote moves a connection whose handshake is complete to the accept queue.
func (l *Listener) promote(c *Conn) {
	l.half.remove(c)
	l.ready.push(c)
	if l.Upcall != nil {
		l.Upcall(ready.In)
	}
}

// ended takes a connection that has ended out of the half-open list. One that waits for Accept stays: the program learns
// what became of it.
func (l *Listener) ended(c *Conn) {
	if c.state == SynReceived {
		l.half.remove(c)
		c.listener = nil
	}
}

// Accept takes the oldest connection of the accept queue, nil if there is none.
func (l *Listener) Accept() *Conn {
	c := l.ready.head
	if c == nil {
		return nil
	}
	l.ready.remove(c)
	c.listener = nil
	return c
}

// Ready reports whether there is a connection to accept.
func (l *Listener) Ready() ready.Events {
	if l.ready.n > 0 {
		return ready.In
	}
	return 0
}

// Pending returns how many connections wait for Accept and how many for their peer's ACK.
func (l *Listener) Pending() (accept, half int) { return l.ready.n, l.half.n }

// Close stops listening. Connections that nobody has accepted are reset.
func (l *Listener) Close() {
	if l.closed {
		return
	}
	l.closed = true
	l.Upcall = nil
	b := l.box
	port := l.bound.port
	if at := b.listeners[port]; at == l {
		if l.next == nil {
			delete(b.listeners, port)
		} else {
			b.listeners[port] = l.next
		}
	} else {
		for at.next != l {
			at = at.next
		}
		at.next = l.next
	}
	b.ports.unbind(l.bound)
	for l.half.head != nil {
		c := l.half.head
		c.sendReset()
		c.end(ErrAborted)
	}
	for c := l.Accept(); c != nil; c = l.Accept() {
		c.Abort()
	}
}
