package event

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
)

// UDP makes sockets for datagrams.
type UDP struct{ loop *Loop }

// UDP returns the loop's UDP.
func (l *Loop) UDP() UDP { return UDP{l} }

// Socket sends and receives datagrams.
type Socket struct {
	loop      *Loop
	port      Port
	onReceive func([]byte, netip.AddrPort)
	onDrain   func()
	onError   func(error)
	full      bool
	queued    bool
	closed    bool
}

// Open makes a socket with a port, 0 for a free one, at all addresses of the host.
func (u UDP) Open(port uint16) (*Socket, error) {
	return u.OpenAt(netip.AddrPortFrom(netip.Addr{}, port))
}

// OpenAt makes a socket at one address.
func (u UDP) OpenAt(local netip.AddrPort) (*Socket, error) {
	l := u.loop
	s := &Socket{loop: l}
	l.lock()
	defer l.unlock()
	if err := l.host.Acquire(); err != nil {
		return nil, err
	}
	p, err := l.host.Open(local, s.event)
	if err != nil {
		l.host.Release()
		return nil, err
	}
	s.port = p
	l.opened()
	return s, nil
}

// OnReceive says what to do with a datagram. It is the card's own buffer, and not to be used after f has returned. Until
// there is an OnReceive they wait in a queue; those it has no room for are lost.
func (s *Socket) OnReceive(f func(data []byte, from netip.AddrPort)) {
	s.loop.lock()
	s.onReceive = f
	s.loop.schedule(s, &s.queued)
	s.loop.unlock()
}

// OnDrain is told, after SendTo has returned ErrFull, that it may be tried again.
func (s *Socket) OnDrain(f func()) {
	s.loop.lock()
	s.onDrain = f
	s.loop.schedule(s, &s.queued)
	s.loop.unlock()
}

// SendTo sends a datagram; the zone of a link-local address or group names its interface. It never waits; ErrFull means that the card takes no more at the moment.
func (s *Socket) SendTo(data []byte, to netip.AddrPort) error {
	s.loop.lock()
	defer s.loop.unlock()
	if s.closed {
		return ErrClosed
	}
	err := s.port.SendTo(data, to)
	s.full = s.full || err == ErrFull
	return err
}

// Addr returns the address and port the socket has.
func (s *Socket) Addr() netip.AddrPort {
	s.loop.lock()
	defer s.loop.unlock()
	return s.port.Local()
}

// Close gives up the port. No callback begins afterwards.
func (s *Socket) Close() {
	s.loop.lock()
	if !s.closed {
		s.closed = true
		s.port.Close()
		s.loop.host.Release()
		s.loop.closed()
	}
	s.loop.unlock()
}

func (s *Socket) event(raised ready.Events) {
	if s.wanted(raised) {
		s.loop.schedule(s, &s.queued)
	}
}

func (s *Socket) run() {
	s.queued = false
	if s.full && !s.closed && s.onDrain != nil {
		s.full = false
		s.loop.call(s.onDrain)
	}
	s.fail()
	for range readBudget {
		if s.closed || s.onReceive == nil {
			return
		}
		p := s.port.Take()
		if p == nil {
			return
		}
		s.deliver(p)
	}
	s.loop.schedule(s, &s.queued)
}

func (s *Socket) deliver(p *packet.Packet) {
	l := s.loop
	b := p.Bytes()
	if len(b) < p.Len() {
		if l.scratch == nil {
			l.scratch = make([]byte, packet.Large)
		}
		b = l.scratch[:p.CopyOut(l.scratch)]
	}
	f, from := s.onReceive, netip.AddrPortFrom(p.Src, p.SrcPort)
	l.host.Mutex.Unlock()
	f(b, from)
	l.host.Mutex.Lock()
	p.Release()
}
