package net

import (
	"net/netip"
	"strconv"

	"ukvm.dev/guest/net/dgram"
	"ukvm.dev/guest/net/event"
	"ukvm.dev/guest/net/ip4"
	"ukvm.dev/guest/net/ip6"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/udp"
)

// zone splits the zone, name or number of an interface, off an address; link is 0 if there is none, ok false if there is no
// such interface. As on Linux it means nothing on an address that is not the link's.
func (s *Stack) zone(a netip.Addr) (addr netip.Addr, link int, ok bool) {
	z := a.Zone()
	if z == "" {
		return a, 0, true
	}
	a = a.WithZone("")
	if !a.IsLinkLocalUnicast() && !a.IsMulticast() {
		return a, 0, true
	}
	link, err := strconv.Atoi(z)
	if err == nil {
		return a, link, s.linkName(link) != ""
	}
	if z == "lo" {
		return a, s.lo.Index, true
	}
	for _, i := range s.interfaces {
		if i.Name == z {
			return a, i.link.Index, true
		}
	}
	return a, 0, false
}

// eventPeer is a destination for the event loop, and its interface if it has a zone.
func (s *Stack) eventPeer(to netip.AddrPort) (netip.AddrPort, int, bool) {
	a, link, ok := s.zone(to.Addr())
	if !ok {
		return to, 0, false
	}
	to, ok = peerAddr(netip.AddrPortFrom(a, to.Port()))
	return to, link, ok
}

// port is a udp.Endpoint as package event has it.
type port struct {
	stack *Stack
	end   udp.Endpoint
}

var _ event.Port = (*port)(nil)

// Local is event.Port.
func (p *port) Local() netip.AddrPort { return name(p.end.Local()) }

// Take is event.Port. Link-local senders have their interface as zone, so that they can be answered.
func (p *port) Take() *packet.Packet {
	q := p.end.Inbox.Take()
	if q != nil && q.Src.Is6() && q.Src.IsLinkLocalUnicast() {
		q.Src = q.Src.WithZone(p.stack.linkName(q.Link))
	}
	return q
}

// SendTo is event.Port.
func (p *port) SendTo(b []byte, to netip.AddrPort) error {
	var o dgram.Options
	if to.IsValid() {
		var ok bool
		if to, o.Link, ok = p.stack.eventPeer(to); !ok {
			return packet.ErrNetUnreachable
		}
	}
	err := p.end.SendWith(b, to, o)
	if err == udp.ErrWouldBlock {
		return event.ErrFull
	}
	return err
}

// Connect is event.Port.
func (p *port) Connect(peer netip.AddrPort) error {
	peer, link, ok := p.stack.eventPeer(peer)
	if !ok {
		return packet.ErrNetUnreachable
	}
	return p.end.ConnectVia(peer, link)
}

// Err is event.Port.
func (p *port) Err() error {
	err := p.end.Err
	p.end.Err = nil
	return err
}

// Join is event.Port.
func (p *port) Join(group netip.Addr) error {
	group, link, ok := p.stack.zone(group.Unmap())
	if !ok || !group.IsMulticast() {
		return packet.ErrNetUnreachable
	}
	join := p.stack.boxes.IP6.Join
	if group.Is4() {
		join = p.stack.boxes.IP4.Join
	}
	link, err := join(group, link)
	switch {
	case err == ip4.ErrLimit || err == ip6.ErrLimit:
		return event.ErrLimit
	case err != nil:
		return err
	case !p.end.Joined(group, link):
		p.stack.leaveGroup(group, link)
		return udp.ErrInUse
	}
	return nil
}

// Leave is event.Port.
func (p *port) Leave(group netip.Addr) error {
	group, link, ok := p.stack.zone(group.Unmap())
	if link == 0 {
		p.end.Groups(func(g netip.Addr, l int) {
			if g == group {
				link = l
			}
		})
	}
	if !ok || !p.end.Left(group, link) {
		return packet.ErrNetUnreachable
	}
	p.stack.leaveGroup(group, link)
	return nil
}

// Close is event.Port.
func (p *port) Close() {
	p.end.Groups(p.stack.leaveGroup)
	p.end.Close()
}
