package ping

import (
	"net/netip"

	"ukvm.dev/guest/net/dgram"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
)

// Endpoint is a ping socket or a raw one. Local and Peer are zero until bound and connected.
type Endpoint struct {
	Inbox  dgram.Inbox
	Upcall func(raised ready.Events) // something happened
	Local  netip.Addr
	Peer   netip.Addr
	Link   int    // only this interface; 0: any
	ID     uint16 // of a ping socket: its "port"
	Raw    bool
	Err    error // pending

	dgram.Sending

	// Filter has a bit set for each type of message that a raw socket does not want (RFC 3542 §3.2, raw(7)).
	Filter [8]uint32

	box  *Box
	open bool
}

// Close removes the end point from its box.
func (e *Endpoint) Close() {
	e.Upcall = nil
	e.Inbox.Clear()
	if e.open {
		e.open = false
		e.box.close(e)
	}
}

// Send sends a message as o says, which has a source. A ping socket's must be an echo request; its identifier is filled
// in, and so are checksums: but for those of a raw ICMP socket, whose programs do it themselves.
func (e *Endpoint) Send(data []byte, dst netip.Addr, o dgram.Options) error {
	b := e.box
	longest, proto := wire.IPv4Max-wire.IPv4Size, uint8(wire.ProtoICMP)
	if b.V6 {
		longest, proto = wire.IPv6MaxPayload, wire.ProtoICMPv6
	}
	if len(data) > longest-packet.HeadRoom {
		return packet.ErrTooBig
	}
	if !e.Raw && (len(data) < wire.ICMPSize || data[0] != b.request() || data[1] != 0) || b.V6 && len(data) < 4 {
		return ErrMalformed
	}
	p := b.Pool.Linear(len(data))
	m := p.Bytes()
	copy(m, data)
	if !e.Raw {
		wire.ICMP(m[:wire.ICMPSize]).SetID(e.ID)
	}
	switch {
	case b.V6:
		m[2], m[3] = 0, 0
		s := wire.Pseudo(o.Src, dst, proto, len(m))
		s.Add(m)
		sum := s.Checksum()
		m[2], m[3] = byte(sum>>8), byte(sum)
	case !e.Raw:
		h := wire.ICMP(m[:wire.ICMPSize])
		h.SetChecksum(0)
		h.SetChecksum(wire.Checksum(m))
	}
	p.Src, p.Dst, p.Link, p.Proto = o.Src, dst, o.Link, proto
	e.Sending.Apply(p, &o)
	b.Down(p)
	return nil
}

func (e *Endpoint) wants(p *packet.Packet) bool {
	return (!e.Local.IsValid() || e.Local == p.Dst) && (!e.Peer.IsValid() || e.Peer == p.Src) &&
		(e.Link == 0 || e.Link == p.Link)
}

// blocks reports whether the filter is against a message.
func (e *Endpoint) blocks(m []byte) bool {
	return len(m) > 0 && e.Filter[m[0]>>5]>>(m[0]&31)&1 != 0
}

func (e *Endpoint) upcall(raised ready.Events) {
	if e.Upcall != nil {
		e.Upcall(raised)
	}
}
