package net

import (
	"net/netip"

	"ukvm.dev/guest/net/event"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/tcp"
)

// Events is the stack's event loop, see package event.
func (s *Stack) Events() *event.Loop { return s.events }

// TCP and UDP are the event loop's.
func (s *Stack) TCP() event.TCP { return s.events.TCP() }

// UDP is explained at TCP.
func (s *Stack) UDP() event.UDP { return s.events.UDP() }

// eventBacklog bounds connections that the loop has not accepted yet, which it does with the next batch.
const eventBacklog = 1024

// eventHost is what the event loop runs on.
func (s *Stack) eventHost() event.Host {
	return event.Host{
		Mutex: &s.mu,
		Look:  func() { s.now = s.config.Clock.Now() },
		Leave: s.leave,
		Now:   s.config.Clock.Now,
		Wheel: &s.wheel,
		Acquire: func() error {
			if s.newSocket() != nil {
				return event.ErrLimit
			}
			return nil
		},
		Release: func() { s.sockets-- },
		Listen:  s.eventListen,
		Connect: s.eventConnect,
		Open:    s.eventOpen,
	}
}

// eventListen is event.Host.Listen.
func (s *Stack) eventListen(local netip.AddrPort, upcall func(ready.Events)) (event.Acceptor, error) {
	addr, err := s.eventAddr(local.Addr())
	if err != nil {
		return nil, err
	}
	c := s.boxes.TCP.New()
	c.Options.NoDelay = true
	if err := c.Bind(addr, local.Port(), true, false); err != nil {
		return nil, err
	}
	l, err := c.Listen(eventBacklog)
	if err != nil {
		c.Close()
		return nil, err
	}
	l.Upcall = upcall
	return acceptor{l}, nil
}

// eventAddr is an address of this host to bind to; the zero Addr stands for all.
func (s *Stack) eventAddr(a netip.Addr) (netip.Addr, error) {
	addr, _, err := s.eventLocal(a)
	return addr, err
}

// eventLocal also returns the interface of a link-local address, which the address's zone names.
func (s *Stack) eventLocal(a netip.Addr) (addr netip.Addr, link int, err error) {
	a, link, ok := s.zone(a)
	if !ok {
		return a, 0, tcp.ErrNoPort
	}
	k := common{stack: s, v6: true, device: link}
	if a.Is4() {
		a = netip.AddrFrom16(a.As16())
	}
	addr, ok = k.localAddr(a, true)
	if !ok {
		return addr, 0, tcp.ErrNoPort
	}
	if !addr.IsLinkLocalUnicast() || addr.Is4() {
		link = 0
	}
	return addr, link, nil
}

// acceptor is a tcp.Listener as package event has it.
type acceptor struct{ *tcp.Listener }

// Accept is event.Acceptor.
func (a acceptor) Accept() event.Stream {
	if c := a.Listener.Accept(); c != nil {
		return c
	}
	return nil
}

// Local is event.Acceptor.
func (a acceptor) Local() netip.AddrPort { return name(a.Listener.Local()) }

// eventConnect is event.Host.Connect.
func (s *Stack) eventConnect(peer netip.AddrPort, upcall func(ready.Events)) (event.Stream, error) {
	peer, link, ok := s.eventPeer(peer)
	if !ok {
		return nil, packet.ErrNetUnreachable
	}
	c := s.boxes.TCP.New()
	c.Options.NoDelay, c.Options.Link = true, link
	c.Upcall = upcall
	if err := c.Connect(peer); err != nil {
		return nil, err
	}
	return c, nil
}

// eventOpen is event.Host.Open.
func (s *Stack) eventOpen(local netip.AddrPort, upcall func(ready.Events)) (event.Port, error) {
	addr, link, err := s.eventLocal(local.Addr())
	if err != nil {
		return nil, err
	}
	p := &port{stack: s}
	p.end.Link = link
	s.boxes.UDP.Open(&p.end, s.limits.UDPDefault)
	p.end.Broadcast = true
	if err := p.end.Bind(addr, local.Port()); err != nil {
		return nil, err
	}
	p.end.Upcall = upcall
	return p, nil
}
