package event

import (
	"net/netip"

	"ukvm.dev/guest/net/ready"
)

// Connect sets whom Send sends to, and who alone is heard. What ICMP says of datagrams to that peer is OnError's. Another
// Connect changes the peer.
func (s *Socket) Connect(peer netip.AddrPort) error {
	s.loop.lock()
	defer s.loop.unlock()
	if s.closed {
		return ErrClosed
	}
	return s.port.Connect(peer)
}

// Send is SendTo to the peer of Connect.
func (s *Socket) Send(data []byte) error { return s.SendTo(data, netip.AddrPort{}) }

// OnError says what to do with an error about datagrams sent before: that nobody has the peer's port, or that it cannot be
// reached (guest.ErrRefused, guest.ErrUnreachable). Only sockets that are connected hear of that. Until there is an OnError
// the last one waits.
func (s *Socket) OnError(f func(err error)) {
	s.loop.lock()
	s.onError = f
	s.loop.schedule(s, &s.queued)
	s.loop.unlock()
}

// Join makes the socket receive datagrams to a multicast group, through the interface that the group's zone names
// (ff02::1%eth0) or, without one, that routing finds. Leave undoes it, and so does Close.
func (s *Socket) Join(group netip.Addr) error {
	s.loop.lock()
	defer s.loop.unlock()
	if s.closed {
		return ErrClosed
	}
	return s.port.Join(group)
}

// Leave is explained at Join.
func (s *Socket) Leave(group netip.Addr) error {
	s.loop.lock()
	defer s.loop.unlock()
	if s.closed {
		return ErrClosed
	}
	return s.port.Leave(group)
}

// fail tells of an error if there is one.
func (s *Socket) fail() {
	if s.closed || s.onError == nil {
		return
	}
	if err := s.port.Err(); err != nil {
		s.loop.call(func() { s.onError(err) })
	}
}

// wanted reports whether the socket has a callback to run for what was raised.
func (s *Socket) wanted(raised ready.Events) bool {
	return raised&ready.Out == 0 || raised&(ready.In|ready.Err) != 0 || s.full
}
