package tcp

import (
	"errors"
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/route"
)

// ErrNoPort is returned by Connect when there is no local port to connect from.
var ErrNoPort = errors.New("cannot assign requested address")

// Bind gives an unconnected connection a local address, as route.Covers has it, and port (0: a random one).
func (c *Conn) Bind(addr netip.Addr, port uint16, reuseAddr, reusePort bool) error {
	if c.bound != nil || c.state != Closed || c.flow.remotePort != 0 {
		return ErrInvalid
	}
	e := &binding{addr: addr, port: port, reuseAddr: reuseAddr, reusePort: reusePort}
	if err := c.box.bind(e); err != nil {
		return err
	}
	c.bound = e
	return nil
}

// Again returns a fresh connection with the options, Upcall and binding of c, which has ended.
func (c *Conn) Again() *Conn {
	n := c.box.New()
	n.Options, n.Upcall, n.bound = c.Options, c.Upcall, c.bound
	c.Upcall, c.bound = nil, nil
	c.discard()
	return n
}

// Connect starts the handshake (RFC 9293 §3.10.1, active OPEN). The outcome is announced by Upcall: Out when the
// connection is established, Err when it is not.
func (c *Conn) Connect(peer netip.AddrPort) error {
	b := c.box
	switch {
	case c.state == SynSent || c.state == SynReceived:
		return ErrInProgress
	case c.state != Closed:
		return ErrConnected
	case c.flow.remotePort != 0:
		return ErrAborted // it has been one connection already
	case peer.Port() == 0:
		return packet.ErrRefused
	}
	var src netip.Addr
	if c.bound != nil && route.Specific(c.bound.addr) {
		src = c.bound.addr
	}
	r, err := b.Route(peer.Addr(), src, c.Options.Link)
	if err != nil {
		return err
	}
	if r.Broadcast {
		return packet.ErrNetUnreachable
	}
	if len(b.conns) >= b.Limits.Conns {
		return ErrLimit
	}
	f := flow{local: r.Source, remote: peer.Addr(), remotePort: uint32(peer.Port())}
	if c.bound != nil {
		f.localPort = uint32(c.bound.port)
		if !b.available(&f) {
			return ErrNoPort
		}
	} else if !b.choose(&f) {
		return ErrNoPort
	}
	b.waits.reuse(b, f)
	c.flow = f
	c.link, c.mtu, c.tso = r.Link, r.MTU, r.TSO
	c.begin(SynSent)
	b.Stats.ConnAttempts++
	c.sendSyn()
	c.start(timerRetransmit, b.Now()+c.rtt.timeout())
	return nil
}

// Local returns the local address and port, as far as they are known.
func (c *Conn) Local() (netip.Addr, uint16) {
	if c.flow.localPort != 0 {
		return c.flow.local, uint16(c.flow.localPort)
	}
	if c.bound != nil {
		return c.bound.addr, c.bound.port
	}
	return netip.Addr{}, 0
}

// Remote returns the peer of a connection, false if there is none (any more).
func (c *Conn) Remote() (netip.AddrPort, bool) {
	switch c.state {
	case Closed, SynSent:
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(c.flow.remote, uint16(c.flow.remotePort)), true
}

// Accepted returns the peer, also of a connection that has ended already.
func (c *Conn) Accepted() netip.AddrPort {
	return netip.AddrPortFrom(c.flow.remote, uint16(c.flow.remotePort))
}

// Err returns the pending error and clears it (SO_ERROR).
func (c *Conn) Err() error {
	err := c.err
	c.err = nil
	return err
}

// sendLimit is the present size of the send buffer: what was asked for, or enough to keep twice the congestion window in
// it.
func (c *Conn) sendLimit() int {
	l := &c.box.Limits
	switch {
	case c.box.tight():
		return l.SendMin
	case c.Options.SendBuffer > 0:
		return min(max(c.Options.SendBuffer, l.SendMin), l.SendMax)
	}
	return min(max(l.SendDefault, 2*c.cc.Size), l.SendMax)
}

// SendLimit and ReceiveLimit return the sizes of the buffers in bytes of payload.
func (c *Conn) SendLimit() int { return c.sendLimit() }

// ReceiveLimit returns the size of the receive buffer in bytes of payload.
func (c *Conn) ReceiveLimit() int {
	if c.rcv.limit > 0 {
		return c.rcv.limit
	}
	return c.box.receiveLimit(&c.Options)
}

// writable reports whether it is worth waking a writer: a third of the buffer is free (as Linux's sk_stream_is_writeable).
func (c *Conn) writable() bool { return 3*c.snd.buf.len() <= 2*c.sendLimit() }

// offerRoom raises Out if a writer waits and there is room. It is asked when the holder is about to be told, not when an
// ACK makes room: a loss in the same batch shrinks the buffer again, and Out, raised for nothing, would not come again.
func (c *Conn) offerRoom() {
	if c.snd.wantRoom && c.writable() && !c.snd.fin && c.state.transmits() {
		c.snd.wantRoom = false
		c.raised |= ready.Out
	}
}

// Write copies as much of data as fits into the send buffer and returns how much that was; 0 comes with an error. more
// means that more will follow at once, so that a short segment is held back (MSG_MORE).
func (c *Conn) Write(data []byte, more bool) (int, error) {
	if err := c.Err(); err != nil {
		return 0, err
	}
	switch {
	case c.state == SynSent || c.state == SynReceived:
		c.snd.wantRoom = true
		return 0, ErrWouldBlock
	case c.state == Closed || c.snd.fin:
		return 0, ErrShut
	}
	room := c.sendLimit() - c.snd.buf.len()
	if c.snd.buf.len() > 0 && c.box.pressure(min(len(data), packet.Large)) {
		room = 0 // what is on its way will make some
	}
	n := min(room, len(data))
	if n <= 0 && len(data) > 0 {
		c.snd.wantRoom = true
		return 0, ErrWouldBlock
	}
	if n < len(data) {
		c.snd.wantRoom = true
	}
	c.box.memory += c.snd.buf.append(c.box.Pool, data[:n])
	c.snd.cork = more
	c.touch()
	return n, nil
}

// Read copies what has arrived into data, or, with peek, leaves it where it is. It returns 0 and no error at the end of
// the stream.
func (c *Conn) Read(data []byte, peek bool) (int, error) {
	if c.rcv.queued == 0 {
		switch {
		case c.err != nil:
			return 0, c.Err()
		case c.rcv.fin || c.rcv.shut:
			return 0, nil
		case c.state == Closed:
			if c.flow.remotePort == 0 {
				return 0, ErrNotConnected
			}
			return 0, nil
		}
		return 0, ErrWouldBlock
	}
	n := 0
	if peek {
		for p := c.rcv.queue.Front(); p != nil && n < len(data); p = p.Next {
			n += p.CopyOut(data[n:])
		}
		return n, nil
	}
	for p := c.rcv.queue.Front(); p != nil && n < len(data); p = c.rcv.queue.Front() {
		k := p.CopyOut(data[n:])
		n += k
		if k < p.Len() {
			p.Trim(k)
			break
		}
		c.rcv.queue.Pop()
		c.box.memory -= p.Charge
		p.Release()
	}
	c.rcv.queued -= n
	c.hasRead(n)
	return n, nil
}

// Discard drops up to n bytes of what has arrived (recv with MSG_TRUNC) and returns how many.
func (c *Conn) Discard(n int) (int, error) {
	if c.rcv.queued == 0 {
		return c.Read(nil, false)
	}
	done := 0
	for p := c.rcv.queue.Front(); p != nil && done < n; p = c.rcv.queue.Front() {
		if k := n - done; k < p.Len() {
			p.Trim(k)
			done = n
			break
		}
		done += p.Len()
		c.rcv.queue.Pop()
		c.box.memory -= p.Charge
		p.Release()
	}
	c.rcv.queued -= done
	c.hasRead(done)
	return done, nil
}

// CloseWrite sends FIN after what is in the send buffer (shutdown(2), SHUT_WR).
func (c *Conn) CloseWrite() error {
	switch c.state {
	case SynSent:
		c.end(nil)
		return nil
	case Established:
		c.state = FinWait1
	case CloseWait:
		c.state = LastAck
	case SynReceived:
	case Closed:
		return ErrNotConnected
	default:
		return nil
	}
	c.snd.fin = true
	c.snd.cork = false
	c.touch()
	raised := ready.Out
	if c.rcv.fin {
		raised |= ready.Hup
	}
	c.upcall(raised)
	return nil
}

// CloseRead makes Read return the end of the stream once what has arrived is read (SHUT_RD). The peer is not told.
func (c *Conn) CloseRead() error {
	if c.state == Closed {
		return ErrNotConnected
	}
	c.rcv.shut = true
	c.upcall(ready.In | ready.RdHup)
	return nil
}

// Close gives the connection up (RFC 9293 §3.10.4): it closes in order by itself, or, if data has arrived that nobody
// has read (RFC 2525 §2.17) or Options.Linger is 0, with RST. The holder must not use it afterwards.
func (c *Conn) Close() {
	c.Upcall = nil
	c.unbind()
	unread := c.rcv.queued > 0
	c.discard()
	switch c.state {
	case Closed, TimeWait:
		return
	case SynSent:
		c.end(nil)
		return
	}
	if unread || c.Options.LingerOn && c.Options.Linger == 0 {
		c.Abort()
		return
	}
	c.orphan = true
	if c.Options.LingerOn {
		c.start(timerState, c.box.Now()+c.Options.Linger)
	}
	if c.state == FinWait2 {
		c.start(timerState, c.box.Now()+finWait2)
		return
	}
	c.CloseWrite()
}

// Abort ends the connection with RST (RFC 9293 §3.10.5).
func (c *Conn) Abort() {
	c.Upcall = nil
	c.unbind()
	c.orphan = true
	switch c.state {
	case Closed, TimeWait, SynSent:
	default:
		c.sendReset()
	}
	if c.state == TimeWait {
		c.discard()
		return
	}
	c.end(nil)
	c.discard()
}

func (c *Conn) unbind() {
	if c.bound != nil {
		c.box.ports.unbind(c.bound)
		c.bound = nil
	}
}
