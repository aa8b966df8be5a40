package ip6

import (
	"ukvm.dev/guest/net/fragment"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// ReassemblyTime is how long the fragments of a datagram may take to arrive, in nanoseconds (RFC 8200 §4.5).
const ReassemblyTime = 60e9

// reassemble takes a fragment, whose IPv6 header is at the front and whose fragment header, h, at offset at. It returns
// the whole packet, with the IPv6 header at the front and Proto set, if it was the last one missing. Headers before the
// fragment header, which have been looked at, are left out.
func (b *Box) reassemble(p *packet.Packet, h wire.IPv6Fragment, at int) *packet.Packet {
	var (
		off, next = h.Offset(), h.NextHeader()
		last, id  = !h.More(), h.ID()
		start     = at + len(h)
		n         = p.Len() - start
	)
	switch {
	case n == 0:
		b.drop(p)
		return nil
	case !last && n%8 != 0:
		return b.problem(p, start, wire.Param6Field, 4) // the payload length
	case off+n > wire.IPv6MaxPayload:
		return b.problem(p, start, wire.Param6Field, at+2) // the offset
	case off == 0 && !wholeChain(next, p.Bytes()[start:]):
		return b.problem(p, start, wire.Param6FirstFrag, 0) // RFC 7112
	}
	t := &b.reassembly
	if t.Pool == nil {
		t.Lifetime, t.Now, t.Wheel, t.Pool, t.TimedOut = ReassemblyTime, b.Now, b.Wheel, b.Pool, b.timedOut
	}
	var header [wire.IPv6Size]byte
	copy(header[:], p.Bytes())
	ip := wire.IPv6(header[:])
	ip.SetNextHeader(next)
	key := fragment.Key{Src: p.Src, Dst: p.Dst, ID: id, Link: p.Link}
	p.Trim(start)
	p = t.Add(key, fragment.Fragment{Packet: p, Header: header[:], Offset: off, Last: last})
	b.Stats.ReassemblyFailed = t.Failed
	if p == nil {
		return nil
	}
	b.Stats.Reassembled++
	ip, _ = wire.ParseIPv6(p.Bytes())
	ip.SetPayloadLen(p.Len() - wire.IPv6Size)
	p.Proto = ip.NextHeader()
	p.MarkNetwork()
	return p
}

// wholeChain reports whether a first fragment has all headers up to the transport's (RFC 7112 §5): else a filter could
// not tell what it is.
func wholeChain(next uint8, b []byte) bool {
	for range MaxExtensions {
		switch next {
		case wire.ProtoDestOptions, wire.ProtoRouting:
			h, ok := wire.ParseIPv6Ext(b)
			if !ok {
				return false
			}
			next, b = h.NextHeader(), b[len(h):]
		case wire.ProtoTCP:
			return len(b) >= wire.TCPSize
		case wire.ProtoUDP, wire.ProtoICMPv6:
			return len(b) >= wire.UDPSize
		default:
			return true // it will be refused once it is whole
		}
	}
	return false
}

func (b *Box) timedOut(p *packet.Packet) {
	b.Stats.ReassemblyFailed = b.reassembly.Failed
	if b.TimedOut == nil {
		p.Release()
		return
	}
	b.TimedOut(p)
}

// fragment sends p in pieces that fit mtu (RFC 8200 §4.5). They refer to p's memory. Identifications are random
// (RFC 7739 §5.3).
func (b *Box) fragment(link *Link, p *packet.Packet, mtu int) {
	if p.Len() > wire.IPv6MaxPayload {
		b.drop(p)
		return
	}
	p.CompleteChecksum()
	id := uint32(b.Random())
	step := (mtu - wire.IPv6Size - wire.IPv6FragmentSize) &^ 7
	for off, n := 0, p.Len(); off < n; off += step {
		q := b.Pool.Headers()
		size := min(step, n-off)
		p.Reference(q, off, size)
		q.Src, q.Dst, q.Link, q.NextHop, q.Broadcast = p.Src, p.Dst, p.Link, p.NextHop, p.Broadcast
		q.Proto, q.TTL, q.TOS, q.Label = p.Proto, p.TTL, p.TOS, p.Label
		wire.IPv6Fragment(q.Prepend(wire.IPv6FragmentSize)).Encode(p.Proto, off, off+size < n, id)
		b.Stats.FragmentsTx++
		b.emit(link, q, wire.ProtoFragment)
	}
	p.Release()
}
