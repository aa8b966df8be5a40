package filter

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// IP protocols and ICMPv6 types beside those of package wire.
const (
	protoICMPv6 = 58

	routerSolicitation = 133 // the first type of neighbour discovery (RFC 4861 §4)
	redirect           = 137 // the last
	listenerQuery      = 130 // the first of multicast listener discovery (RFC 2710 §3)
	listenerDone       = 132 // the last
	listenerReport2    = 143 // RFC 3810 §5.2
)

// header is what rules look at of a packet.
type header struct {
	src, dst         addr
	in, out          uint64 // one bit: the interface
	srcPort, dstPort uint16
	proto            uint8
	typ              uint8 // ICMP
	flags            uint8 // TCP
	has              match // onSrcPort and onDstPort, onType, onFlags: what the packet has
	state            State
	ttl              uint8
	bytes            uint64 // of the IP packet
	length           int    // of what the network header is followed by, in bytes
	transport        []byte // the start of that; nil in fragments but the first
}

// parse reads a packet at a place. Before Input and after Output the network header is at the front; what it says has
// been checked or made by the IP box.
func (f *header) parse(h Hook, p *packet.Packet) {
	f.src, f.dst = toAddr(p.Src), toAddr(p.Dst)
	f.proto, f.ttl, f.has, f.state = p.Proto, p.TTL, 0, 0
	f.bytes, f.length = uint64(p.Len()), p.Len()
	b := p.Bytes()
	switch {
	case h == Input || h == Output: // options are not counted
		f.bytes += wire.IPv4Size
		if !p.Src.Is4() {
			f.bytes += ipv6Size - wire.IPv4Size
		}
	default:
		f.proto, b = skipNetwork(b)
		f.length -= len(p.Bytes()) - len(b)
	}
	f.transport = b
	switch f.proto {
	case wire.ProtoTCP:
		if len(b) >= wire.TCPSize {
			t := wire.TCP(b)
			f.srcPort, f.dstPort, f.flags = t.SrcPort(), t.DstPort(), t.Flags()
			f.has = onSrcPort | onDstPort | onFlags
		}
	case wire.ProtoUDP:
		if len(b) >= wire.UDPSize {
			u := wire.UDP(b)
			f.srcPort, f.dstPort = u.SrcPort(), u.DstPort()
			f.has = onSrcPort | onDstPort
		}
	case wire.ProtoICMP, protoICMPv6:
		if len(b) > 0 {
			f.typ = b[0]
			f.has = onType
		}
	}
}

const ipv6Size = 40

// IPv6 extension headers (RFC 8200 §4).
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	destination = 60
)

// maxExtensions is how many extension headers are looked behind.
const maxExtensions = 8

// skipNetwork returns the transport protocol of an IP packet and what lies behind the network header; nil in fragments
// that are not the first, and where that can not be told.
func skipNetwork(b []byte) (proto uint8, rest []byte) {
	if h, ok := wire.ParseIPv4(b); ok {
		if h.Offset() != 0 {
			return h.Proto(), nil
		}
		return h.Proto(), b[len(h):]
	}
	if len(b) < ipv6Size || b[0]>>4 != 6 {
		return 0, nil
	}
	next, first := b[6], true
	b = b[ipv6Size:]
	for range maxExtensions {
		switch next {
		case hopByHop, routing, destination:
			if len(b) < 8 || len(b) < 8*(1+int(b[1])) {
				return next, nil
			}
			next, b = b[0], b[8*(1+int(b[1])):]
		case fragment:
			if len(b) < 8 {
				return next, nil
			}
			first = first && b[2] == 0 && b[3]&^7 == 0
			next, b = b[0], b[8:]
		default:
			if !first {
				b = nil
			}
			return next, b
		}
	}
	return next, nil
}

// essential reports what is not filtered, see the package comment. configuring says whether the DHCP client of the
// packet's interface runs.
func (f *header) essential(configuring func(link int) bool, link int) bool {
	const client4, server4, client6, server6 = wire.DHCPClientPort, wire.DHCPServerPort, 546, 547
	switch f.proto {
	case protoICMPv6:
		if f.has&onType == 0 {
			return false
		}
		return f.ttl == 255 && routerSolicitation <= f.typ && f.typ <= redirect ||
			f.ttl == 1 && (listenerQuery <= f.typ && f.typ <= listenerDone || f.typ == listenerReport2)
	case wire.ProtoUDP:
		from, to := f.srcPort, f.dstPort
		if f.out != 0 {
			from, to = to, from
		}
		return f.has != 0 && (from == server4 && to == client4 || from == server6 && to == client6) &&
			configuring != nil && configuring(link)
	}
	return false
}
