package net

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/wire"
)

// The transports serve both versions of IP. Going down, the destination decides.

// send hands a payload to IP.
func (s *Stack) send(p *packet.Packet) {
	if p.Dst.Is4() {
		s.boxes.IP4.Send(p)
		return
	}
	s.boxes.IP6.Send(p)
}

// route says how to reach dst. A source that is unspecified, in either version, is none.
func (s *Stack) route(dst, src netip.Addr, link int) (route.Route, error) {
	if src.IsValid() && src.IsUnspecified() {
		src = netip.Addr{}
	}
	if dst.Is4() {
		if src.Is6() {
			return route.Route{}, packet.ErrNetUnreachable
		}
		return s.boxes.IP4.Route(dst, src, link)
	}
	if src.Is4() {
		return route.Route{}, packet.ErrNetUnreachable
	}
	return s.boxes.IP6.Route(dst, src, link)
}

// leaveGroup undoes a join.
func (s *Stack) leaveGroup(group netip.Addr, link int) {
	if group.Is4() {
		s.boxes.IP4.Leave(group, link)
		return
	}
	s.boxes.IP6.Leave(group, link)
}

// portUnreachable reports a datagram that nobody wants.
func (s *Stack) portUnreachable(p *packet.Packet) {
	if p.Dst.Is4() {
		s.boxes.ICMP4.Unreachable(p, wire.UnreachPort)
		return
	}
	s.boxes.ICMP6.Unreachable(p, wire.Unreach6Port)
}

// receive hands a packet from loopback to the IP of its version.
func (s *Stack) receive(p *packet.Packet) {
	if b := p.Bytes(); len(b) > 0 && b[0]>>4 == 6 {
		s.boxes.IP6.Receive(p)
		return
	}
	s.boxes.IP4.Receive(p)
}
