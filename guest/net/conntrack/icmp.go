package conntrack

import (
	"net/netip"

	"ukvm.dev/guest/net/wire"
)

const protoICMPv6 = 58

// ICMP types beside those of package wire. Those of ICMPv6 are RFC 4443's.
const (
	timestamp, timestampReply = 13, 14

	unreachable6, parameter6 = 1, 4 // the first and the last error
	echo6, echoReply6        = 128, 129
)

// trackICMP follows requests by their identifier, and errors to the connection they are about.
func (b *Box) trackICMP(p *Packet) State {
	h, ok := wire.ParseICMP(p.Transport)
	if !ok {
		return Invalid
	}
	t := int(h.Type())
	if p.Proto == protoICMPv6 {
		t |= 0x100
	}
	switch t {
	case wire.ICMPEcho, timestamp, 0x100 | echo6:
		return b.query(p, makeEnd(p.Src, h.ID()), makeEnd(p.Dst, 0), true)
	case wire.ICMPEchoReply, timestampReply, 0x100 | echoReply6:
		return b.query(p, makeEnd(p.Src, 0), makeEnd(p.Dst, h.ID()), false)
	case wire.ICMPUnreachable, wire.ICMPTimeExceeded, wire.ICMPParameter,
		0x100 | unreachable6, 0x102, 0x103, 0x100 | parameter6:
		return b.about(p)
	}
	return Untracked
}

// query follows a request or its reply. The end that asks has the identifier for a port, the other one 0.
func (b *Box) query(p *Packet, src, dst end, request bool) State {
	k, from := makeKey(src, dst, p.Proto)
	i := b.find(&k)
	switch {
	case i == 0 && !request:
		return Invalid
	case i == 0:
		b.begin(&k, from, icmpQuery, p)
		return New
	}
	e := b.at(i)
	if !request {
		e.replied = true
	}
	b.refresh(i, e.queue, b.now)
	if e.replied {
		return Established
	}
	return New
}

// about finds the connection of the packet that an error quotes. That packet went to where the error comes from, or
// through there, and it came from where the error goes.
func (b *Box) about(p *Packet) State {
	quote := p.Transport[wire.ICMPSize:]
	var src, dst netip.Addr
	var proto uint8
	if p.Proto == wire.ProtoICMP {
		h, ok := wire.ParseIPv4(quote)
		if !ok || h.Offset() != 0 {
			return Invalid
		}
		src, dst, proto, quote = h.Src(), h.Dst(), h.Proto(), quote[len(h):]
	} else {
		const size = 40
		if len(quote) < size || quote[0]>>4 != 6 {
			return Invalid
		}
		src, dst = netip.AddrFrom16([16]byte(quote[8:24])), netip.AddrFrom16([16]byte(quote[24:40]))
		proto, quote = quote[6], quote[size:]
	}
	if src != p.Dst || len(quote) < 8 {
		return Invalid
	}
	var from, to uint16
	switch proto {
	case wire.ProtoTCP, wire.ProtoUDP:
		from, to = uint16(quote[0])<<8|uint16(quote[1]), uint16(quote[2])<<8|uint16(quote[3])
	case wire.ProtoICMP, protoICMPv6:
		switch id := wire.ICMP(quote[:wire.ICMPSize]).ID(); {
		case quote[0] == wire.ICMPEcho && proto == wire.ProtoICMP, quote[0] == timestamp && proto == wire.ProtoICMP, quote[0] == echo6 && proto == protoICMPv6:
			from = id
		default: // replies: of interest to nobody
			return Invalid
		}
	}
	k, _ := makeKey(makeEnd(src, from), makeEnd(dst, to), proto)
	if b.find(&k) == 0 {
		return Invalid
	}
	return Related
}
