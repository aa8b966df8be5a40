package guest

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
)

// nativeListener is event.Acceptor.
type nativeListener struct {
	n       *native
	l       *net.TCPListener
	waiting []*nativeStream
	room    sync.Cond
	closed  bool
}

// listen is event.Host.Listen.
func (n *native) listen(local netip.AddrPort, upcall func(events)) (eventAcceptor, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(local))
	if err != nil {
		return nil, plain(err)
	}
	a := &nativeListener{n: n, l: l}
	a.room.L = &n.mu
	go a.run(upcall)
	return a, nil
}

func (a *nativeListener) run(upcall func(events)) {
	for {
		c, err := a.l.AcceptTCP()
		a.n.enter()
		for len(a.waiting) >= nativeBacklog && !a.closed {
			a.room.Wait()
		}
		if a.closed {
			a.n.leave()
			if err == nil {
				c.Close()
			}
			return
		}
		if err == nil {
			a.waiting = append(a.waiting, a.n.stream(c))
			upcall(eventIn)
		}
		a.n.turn()
	}
}

func (a *nativeListener) Accept() eventStream {
	if len(a.waiting) == 0 {
		return nil
	}
	s := a.waiting[0]
	a.waiting = a.waiting[1:]
	a.room.Signal()
	return s
}

func (a *nativeListener) Local() netip.AddrPort { return unmapped(a.l.Addr()) }

func (a *nativeListener) Close() {
	a.closed = true
	a.room.Signal()
	a.l.Close()
	for _, s := range a.waiting {
		s.Abort()
	}
	a.waiting = nil
}

// unmapped is the address of an end of a connection.
func unmapped(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
	case *net.UDPAddr:
		return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
	}
	return netip.AddrPort{}
}

// nativeStream is event.Stream.
type nativeStream struct {
	n      *native
	conn   *net.TCPConn // nil: connecting
	cancel context.CancelFunc
	remote netip.AddrPort
	upcall func(events)
	acks   bool

	queue  packetQueue
	unread int
	fin    bool // the peer's end has arrived
	room   sync.Cond

	out      []byte // written, not sent
	sending  int    // of that, being sent
	spare    []byte
	shut     bool // end after out
	sent     bool // that has been done
	wantRoom bool
	more     sync.Cond

	over   bool
	orphan bool // closed by the program
	err    error
}

// stream makes a stream of a connection.
func (n *native) stream(c *net.TCPConn) *nativeStream {
	s := &nativeStream{n: n}
	s.room.L, s.more.L = &n.mu, &n.mu
	if c != nil {
		s.start(c)
	}
	return s
}

func (s *nativeStream) start(c *net.TCPConn) {
	s.conn, s.remote = c, unmapped(c.RemoteAddr())
	go s.read()
	go s.write()
}

// connect is event.Host.Connect.
func (n *native) connect(peer netip.AddrPort, upcall func(events)) (eventStream, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := n.stream(nil)
	s.upcall, s.cancel, s.remote = upcall, cancel, peer
	go func() {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", peer.String())
		cancel()
		n.enter()
		switch {
		case err != nil:
			s.end(plain(err))
		case s.over:
			c.Close()
		default:
			s.start(c.(*net.TCPConn))
			s.tell(eventOut)
		}
		n.turn()
	}()
	return s, nil
}

func (s *nativeStream) tell(e events) {
	if s.upcall != nil {
		s.upcall(e)
	}
}

// end is the end of the connection.
func (s *nativeStream) end(err error) {
	if s.over {
		return
	}
	s.over = true
	if s.err == nil {
		s.err = err
	}
	if s.conn != nil {
		s.conn.Close()
	}
	s.out, s.spare = nil, nil
	s.room.Signal()
	s.more.Signal()
	s.tell(eventIn | eventOut | eventHup)
}

// read is the goroutine that reads.
func (s *nativeStream) read() {
	for {
		p := s.n.pool.Receive(nativeChunk)
		k, err := s.conn.Read(p.Bytes())
		s.n.enter()
		if k > 0 && !s.orphan {
			p.Truncate(k)
			s.queue.Push(p)
			s.unread += k
			s.tell(eventIn)
		} else {
			p.Release()
			if k > 0 {
				s.Abort() // nobody will ever read it
			}
		}
		switch {
		case err == io.EOF:
			s.fin = true
			s.tell(eventIn)
			s.both()
		case err != nil:
			s.end(plain(err))
		}
		for s.unread >= nativeReceive && !s.over && !s.orphan {
			s.n.turn()
			s.n.enter()
			if s.unread >= nativeReceive && !s.over && !s.orphan {
				s.room.Wait()
			}
		}
		done := err != nil || s.over
		s.n.turn()
		if done {
			return
		}
	}
}

// write is the goroutine that sends.
func (s *nativeStream) write() {
	s.n.mu.Lock()
	for {
		for len(s.out) == 0 && !s.shut && !s.over {
			s.more.Wait()
		}
		if s.over {
			s.n.mu.Unlock()
			return
		}
		if len(s.out) == 0 {
			s.sent = true
			s.conn.CloseWrite()
			s.both()
			s.n.turn()
			return
		}
		b := s.out
		s.out, s.spare = s.spare[:0], nil
		s.sending = len(b)
		s.n.mu.Unlock()
		_, err := s.conn.Write(b)
		s.n.enter()
		s.sending, s.spare = 0, b[:0]
		if err != nil {
			s.end(plain(err))
		}
		raised := events(0)
		if s.acks {
			raised |= eventAcked
		}
		if s.wantRoom && s.Writable() {
			s.wantRoom = false
			raised |= eventOut
		}
		if raised != 0 {
			s.tell(raised)
		}
		s.n.turn()
		s.n.mu.Lock()
	}
}

// both ends the connection if both directions are closed.
func (s *nativeStream) both() {
	if s.fin && s.sent {
		s.end(nil)
	}
}

func (s *nativeStream) Notify(f func(events)) { s.upcall = f }
func (s *nativeStream) SetNoteAcks(on bool)   { s.acks = on }
func (s *nativeStream) Opening() bool         { return s.conn == nil && !s.over }
func (s *nativeStream) Over() (bool, error)   { return s.over, s.err }
func (s *nativeStream) Consumed(int)          {}
func (s *nativeStream) Unread() int           { return s.unread }
func (s *nativeStream) Ended() bool           { return s.fin && s.unread == 0 }
func (s *nativeStream) Unacked() int          { return len(s.out) + s.sending }
func (s *nativeStream) Writable() bool        { return s.conn != nil && 3*s.Unacked() <= 2*nativeSend }

func (s *nativeStream) Ends() (local, remote netip.AddrPort) {
	if s.conn != nil {
		local = unmapped(s.conn.LocalAddr())
	}
	return local, s.remote
}

func (s *nativeStream) Take() *aPacket {
	p := s.queue.Pop()
	if p != nil {
		s.unread -= p.Len()
		s.room.Signal()
	}
	return p
}

func (s *nativeStream) Return(p *aPacket) {
	s.queue.InsertAfter(nil, p)
	s.unread += p.Len()
}

func (s *nativeStream) Write(b []byte, _ bool) (int, error) {
	if s.over {
		err := s.err
		if err == nil {
			err = ErrClosed
		}
		return 0, err
	}
	k := min(len(b), nativeSend-s.Unacked())
	if s.conn == nil {
		k = 0
	}
	if k < len(b) {
		s.wantRoom = true
	}
	if k <= 0 {
		return 0, ErrFull
	}
	s.out = append(s.out, b[:k]...)
	s.more.Signal()
	return k, nil
}

func (s *nativeStream) CloseWrite() error {
	s.shut = true
	s.more.Signal()
	return nil
}

func (s *nativeStream) Close() {
	s.upcall = nil
	unread := s.unread > 0
	s.discard()
	if s.conn == nil || unread {
		s.Abort()
		return
	}
	s.orphan = true
	s.room.Signal()
	s.CloseWrite()
}

func (s *nativeStream) Abort() {
	s.upcall = nil
	s.discard()
	if s.cancel != nil {
		s.cancel()
	}
	if s.conn != nil && !s.over {
		s.conn.SetLinger(0)
	}
	s.end(nil)
}

func (s *nativeStream) discard() {
	s.queue.Release()
	s.unread = 0
}
