// Package udp is the UDP box (RFC 768, RFC 1122 §4.1): ports, checksums, and end points with a queue each.
//
//	Endpoint.Inbox ▲                │ Endpoint.Send: the one copy on the way down
//	      ┌────────┴────────────────▼────────┐
//	      │ Box    ports                     │──► PortUnreachable
//	      └────────▲────────────────┬────────┘
//	       Receive │                ▼ Send
//
// Not safe for concurrent use: the stack's lock guards it.
package udp

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/wire"
)

// Longest datagrams over IPv4 and IPv6, in bytes.
const (
	MaxPayload  = wire.IPv4Max - wire.IPv4Size - wire.UDPSize
	MaxPayload6 = wire.IPv6MaxPayload - wire.UDPSize
)

// Stats counts datagrams.
type Stats struct {
	PacketsRx      uint64 // udp.packets_rx
	PacketsTx      uint64 // udp.packets_tx
	PacketsDropped uint64 // udp.packets_dropped: malformed, or no room in the end point's queue
	NoPort         uint64 // nobody has the port
}

// Box is the box. The function values are set by the stack's wiring.
type Box struct {
	Down            packet.Handler // to IP
	PortUnreachable packet.Handler // datagrams nobody wants, with Packet.Network
	Route           func(dst, src netip.Addr, link int) (route.Route, error)
	Busy            func(link int) bool // the card's queue is full: wait for Resume
	Random          func() uint64
	Pool            *packet.Pool

	MaxEndpoints int // limit on end points with a port
	Memory       int // of all queues, in bytes
	Stats        Stats

	ports     map[uint16]*Endpoint // heads of lists linked through next
	endpoints int
	used      int         // bytes in queues
	blocked   []*Endpoint // that wait for Resume
}

// Len is the number of end points with a port.
func (b *Box) Len() int { return b.endpoints }

// Used is the memory of all queues, in bytes.
func (b *Box) Used() int { return b.used }

// Receive takes a datagram.
func (b *Box) Receive(p *packet.Packet) {
	b.Stats.PacketsRx++
	h, ok := wire.ParseUDP(p.Bytes())
	if !ok || h.Len() > p.Len() {
		b.drop(p)
		return
	}
	p.Truncate(h.Len())
	if h.Checksum() == 0 && p.Dst.Is6() { // RFC 8200 §8.1
		b.drop(p)
		return
	}
	if h.Checksum() != 0 && !p.ChecksumOK() {
		s := wire.Pseudo(p.Src, p.Dst, wire.ProtoUDP, p.Len())
		p.Sum(&s)
		if s.Checksum() != 0 {
			b.drop(p)
			return
		}
	}
	p.SrcPort = h.SrcPort()
	dst := h.DstPort()
	if p.Broadcast {
		b.deliverAll(p, dst)
		return
	}
	e := b.lookup(p, dst)
	if e == nil {
		b.Stats.NoPort++
		b.PortUnreachable(p)
		return
	}
	p.Trim(wire.UDPSize)
	b.deliver(e, p)
}

func (b *Box) deliver(e *Endpoint, p *packet.Packet) {
	if !e.Inbox.Push(p) {
		b.Stats.PacketsDropped++
		return
	}
	e.upcall(ready.In)
}

// deliverAll gives a broadcast or multicast datagram to every end point that wants it.
func (b *Box) deliverAll(p *packet.Packet, port uint16) {
	p.Trim(wire.UDPSize)
	found := false
	for e := b.ports[port]; e != nil; e = e.next {
		if e.score(p) < 0 || p.Dst.IsMulticast() && !e.joined(p.Dst, p.Link) {
			continue
		}
		found = true
		q := b.Pool.Receive(max(p.Len(), 1))
		q.Truncate(p.CopyOut(q.Bytes()))
		q.Src, q.Dst, q.SrcPort, q.Link, q.TTL, q.TOS = p.Src, p.Dst, p.SrcPort, p.Link, p.TTL, p.TOS
		b.deliver(e, q)
	}
	if !found {
		b.Stats.NoPort++
	}
	p.Release()
}

// lookup finds who gets a datagram: the end point that asks for most of what the datagram has (peer before local
// address); among equals with SO_REUSEPORT one by flow, else the youngest.
func (b *Box) lookup(p *packet.Packet, port uint16) *Endpoint {
	var best *Endpoint
	top, equals := -1, 0
	for e := b.ports[port]; e != nil; e = e.next {
		switch s := e.score(p); {
		case s > top:
			best, top, equals = e, s, 1
		case s == top && s >= 0 && best.ReusePort:
			equals++
			if flow(p)%uint32(equals) == 0 {
				best = e
			}
		}
	}
	return best
}

// flow hashes the sender, so that one sender's datagrams stay with one of several end points.
func flow(p *packet.Packet) uint32 {
	a := p.Src.As16()
	h := uint32(p.SrcPort)
	for _, x := range a {
		h = (h ^ uint32(x)) * 16777619
	}
	return h ^ h>>15
}

// Fail takes the news that a datagram did not arrive. Only connected end points hear of it, and only of what will not
// pass (udp(7)).
func (b *Box) Fail(f *packet.Failure) {
	h, ok := wire.ParseUDP(f.Header)
	if !ok || !f.Hard {
		return
	}
	peer := netip.AddrPortFrom(f.Dst, h.DstPort())
	for e := b.ports[h.SrcPort()]; e != nil; e = e.next {
		if e.peer == peer && route.Covers(e.local, f.Src) {
			e.Err = f.Err
			e.upcall(ready.Err | ready.In | ready.Out)
			return
		}
	}
}

// Resume is called when a card that was Busy no longer is: those that could not send may try again.
func (b *Box) Resume() {
	for i, e := range b.blocked {
		b.blocked[i] = nil
		e.blocked = false
		e.upcall(ready.Out)
	}
	b.blocked = b.blocked[:0]
}

func (b *Box) drop(p *packet.Packet) {
	b.Stats.PacketsDropped++
	p.Release()
}
