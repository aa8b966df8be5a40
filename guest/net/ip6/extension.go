package ip6

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// Limits on extension headers: RFC 8504 §5.3 allows a host to have them. What is longer is dropped.
const (
	MaxExtensions     = 8   // headers of one packet
	MaxExtensionBytes = 512 // all of them together
	MaxOptions        = 16  // in one header, padding not counted
)

// extensions reads the extension headers of a packet, whose IPv6 header is at the front, and returns it with the
// transport's header there and Proto set, or nil if nothing is left to be done: it was a fragment, or dropped.
func (b *Box) extensions(p *packet.Packet) *packet.Packet {
	next := p.Proto
	nextAt := 6 // where the value of next was
	at := wire.IPv6Size
	for range MaxExtensions {
		data := p.Bytes()
		switch next {
		case wire.ProtoTCP, wire.ProtoUDP, wire.ProtoICMPv6:
			p.Proto = next
			p.Trim(at)
			return p
		case wire.ProtoHopByHop:
			if at != wire.IPv6Size { // only the first may be one (RFC 8200 §4.1)
				return b.problem(p, at, wire.Param6NextHeader, nextAt)
			}
			fallthrough
		case wire.ProtoDestOptions:
			h, ok := wire.ParseIPv6Ext(data[at:])
			if !ok {
				return b.cut(p)
			}
			if !b.options(p, h, at) {
				return nil
			}
			next, nextAt, at = h.NextHeader(), at, at+len(h)
		case wire.ProtoRouting:
			h, ok := wire.ParseIPv6Ext(data[at:])
			if !ok {
				return b.cut(p)
			}
			// This host is no router and knows no routing type. Type 0 is dropped in any case (RFC 5095).
			if h.SegmentsLeft() != 0 || h.RoutingType() == 0 {
				return b.problem(p, at, wire.Param6Field, at+2)
			}
			next, nextAt, at = h.NextHeader(), at, at+len(h)
		case wire.ProtoFragment:
			h, ok := wire.ParseIPv6Fragment(data[at:])
			if !ok {
				return b.cut(p)
			}
			b.Stats.FragmentsRx++
			if h.Offset() == 0 && !h.More() { // atomic: not a fragment at all (RFC 6946)
				next, nextAt, at = h.NextHeader(), at, at+len(h)
				break
			}
			if p = b.reassemble(p, h, at); p == nil {
				return nil
			}
			next, nextAt, at = p.Proto, 6, wire.IPv6Size
			if next == wire.ProtoHopByHop || next == wire.ProtoFragment {
				return b.problem(p, at, wire.Param6NextHeader, nextAt)
			}
		case wire.ProtoNone:
			b.drop(p) // nothing follows (RFC 8200 §4.7)
			return nil
		default:
			return b.problem(p, at, wire.Param6NextHeader, nextAt)
		}
		if at > wire.IPv6Size+MaxExtensionBytes {
			return b.cut(p)
		}
	}
	return b.cut(p)
}

// cut drops a packet whose headers do not fit it, or our limits.
func (b *Box) cut(p *packet.Packet) *packet.Packet {
	b.drop(p)
	return nil
}

// problem reports a packet that has at bytes of headers, and is dropped.
func (b *Box) problem(p *packet.Packet, at int, code uint8, pointer int) *packet.Packet {
	b.Stats.PacketsDropped++
	if b.Problem == nil {
		p.Release()
		return nil
	}
	p.Proto = wire.ProtoNone // whatever it is, it is not for a transport
	p.Trim(min(at, p.Len()))
	b.Problem(p, code, pointer)
	return nil
}

// options looks at the options of a header at offset at (RFC 8200 §4.2). It reports false if the packet was dropped for
// one of them.
func (b *Box) options(p *packet.Packet, h wire.IPv6Ext, at int) bool {
	n := 0
	for i := 2; i < len(h); {
		kind, _, next, ok := h.Option(i)
		if !ok {
			b.drop(p)
			return false
		}
		if kind > 1 && kind != wire.OptRouterAlert {
			if n++; n > MaxOptions {
				b.drop(p)
				return false
			}
			// The two highest bits of an unknown option's type say what to do.
			switch kind >> 6 {
			case 1:
				b.drop(p)
				return false
			case 2, 3:
				if kind>>6 == 3 && p.Dst.IsMulticast() {
					b.drop(p)
					return false
				}
				b.problem(p, at, wire.Param6Option, at+i)
				return false
			}
		}
		i = next
	}
	return true
}

// Transport finds the transport header of a packet that is quoted in an error or was not sent: what it is and where it
// begins. ok is false if it is not there, also because the packet is not a first fragment.
func Transport(b []byte) (proto uint8, at int, ok bool) {
	h, ok := wire.ParseIPv6(b)
	if !ok {
		return 0, 0, false
	}
	proto, at = h.NextHeader(), wire.IPv6Size
	for range MaxExtensions {
		switch proto {
		case wire.ProtoHopByHop, wire.ProtoDestOptions, wire.ProtoRouting:
			e, ok := wire.ParseIPv6Ext(b[at:])
			if !ok {
				return 0, 0, false
			}
			proto, at = e.NextHeader(), at+len(e)
		case wire.ProtoFragment:
			f, ok := wire.ParseIPv6Fragment(b[at:])
			if !ok || f.Offset() != 0 {
				return 0, 0, false
			}
			proto, at = f.NextHeader(), at+len(f)
		default:
			return proto, at, at <= len(b)
		}
	}
	return 0, 0, false
}
