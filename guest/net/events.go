package net

import (
	"net/netip"

	"ukvm.dev/guest/net/event"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/tcp"
	"ukvm.dev/guest/net/udp"
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
	k := common{stack: s, v6: true}
	if a.Is4() {
		a = netip.AddrFrom16(a.As16())
	}
	addr, ok := k.localAddr(a, true)
	if !ok {
		return addr, tcp.ErrNoPort
	}
	return addr, nil
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
	peer, ok := peerAddr(peer)
	if !ok {
		return nil, packet.ErrNetUnreachable
	}
	c := s.boxes.TCP.New()
	c.Options.NoDelay = true
	c.Upcall = upcall
	if err := c.Connect(peer); err != nil {
		return nil, err
	}
	return c, nil
}

// eventOpen is event.Host.Open.
func (s *Stack) eventOpen(local netip.AddrPort, upcall func(ready.Events)) (event.Port, error) {
	addr, err := s.eventAddr(local.Addr())
	if err != nil {
		return nil, err
	}
	p := new(port)
	s.boxes.UDP.Open(&p.end, s.limits.UDPDefault)
	p.end.Broadcast = true
	if err := p.end.Bind(addr, local.Port()); err != nil {
		return nil, err
	}
	p.end.Upcall = upcall
	return p, nil
}

// port is a udp.Endpoint as package event has it.
type port struct{ end udp.Endpoint }

// Local is event.Port.
func (p *port) Local() netip.AddrPort { return name(p.end.Local()) }

// Take is event.Port.
func (p *port) Take() *packet.Packet { return p.end.Inbox.Take() }

// SendTo is event.Port.
func (p *port) SendTo(b []byte, to netip.AddrPort) error {
	to, ok := peerAddr(to)
	if !ok {
		return packet.ErrNetUnreachable
	}
	err := p.end.Send(b, to)
	if err == udp.ErrWouldBlock {
		return event.ErrFull
	}
	return err
}

// Close is event.Port.
func (p *port) Close() { p.end.Close() }
