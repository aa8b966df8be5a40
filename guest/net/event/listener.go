package event

import (
	"net/netip"

	"ukvm.dev/guest/net/ready"
)

// TCP makes connections and waits for them.
type TCP struct{ loop *Loop }

// TCP returns the loop's TCP.
func (l *Loop) TCP() TCP { return TCP{l} }

// Listener waits for connections.
type Listener struct {
	loop      *Loop
	acceptor  Acceptor
	onConnect func(*Conn)
	queued    bool
	closed    bool
}

// Listen waits for connections to a port at all addresses of the host; 0 is a free one.
func (t TCP) Listen(port uint16) (*Listener, error) {
	return t.ListenAt(netip.AddrPortFrom(netip.Addr{}, port))
}

// ListenAt waits for connections to one address.
func (t TCP) ListenAt(local netip.AddrPort) (*Listener, error) {
	l := t.loop
	s := &Listener{loop: l}
	l.lock()
	defer l.unlock()
	if err := l.host.Acquire(); err != nil {
		return nil, err
	}
	a, err := l.host.Listen(local, s.event)
	if err != nil {
		l.host.Release()
		return nil, err
	}
	s.acceptor = a
	l.opened()
	return s, nil
}

// OnConnect says what to do with a new connection: set its callbacks. Until then connections wait in the backlog.
func (s *Listener) OnConnect(f func(*Conn)) {
	s.loop.lock()
	s.onConnect = f
	s.loop.schedule(s, &s.queued)
	s.loop.unlock()
}

// Addr returns where the listener listens.
func (s *Listener) Addr() netip.AddrPort {
	s.loop.lock()
	defer s.loop.unlock()
	return s.acceptor.Local()
}

// Close stops listening. Connections that OnConnect has been given stay.
func (s *Listener) Close() {
	s.loop.lock()
	if !s.closed {
		s.closed = true
		s.acceptor.Close()
		s.loop.host.Release()
		s.loop.closed()
	}
	s.loop.unlock()
}

func (s *Listener) event(ready.Events) { s.loop.schedule(s, &s.queued) }

func (s *Listener) run() {
	s.queued = false
	l := s.loop
	for !s.closed && s.onConnect != nil {
		k := s.acceptor.Accept()
		if k == nil {
			return
		}
		if l.host.Acquire() != nil {
			k.Abort()
			continue
		}
		c := &Conn{loop: l, stream: k}
		k.Notify(c.event)
		l.opened()
		f := s.onConnect
		l.host.Mutex.Unlock()
		f(c)
		l.host.Mutex.Lock()
		c.event(0)
	}
}
