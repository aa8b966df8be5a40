package filter

import (
	"net/netip"
	"strconv"

	"ukvm.dev/guest/net/bucket"
	"ukvm.dev/guest/net/conntrack"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// log reports a packet, unless too many have been.
func (b *Box) log(h Hook, p *packet.Packet, r *rule) {
	if b.Log == nil || !b.logs.Take(b.Now(), bucket.Second(LogRate), LogBurst) {
		return
	}
	b.Log(b.header.line(h, p, r))
}

// line describes a packet and what becomes of it:
//
//	input: PREFIX 10.0.0.9:40000 > 10.0.0.2:22 tcp S, 60 bytes, new: drop
func (f *header) line(h Hook, p *packet.Packet, r *rule) string {
	s := append(make([]byte, 0, 160), h.String()...)
	s = append(s, ": "...)
	if r.rule.Prefix != "" {
		s = append(append(s, r.rule.Prefix...), ' ')
	}
	s = f.end(s, p.Src, f.srcPort)
	s = append(s, " > "...)
	s = f.end(s, p.Dst, f.dstPort)
	switch f.proto {
	case wire.ProtoTCP:
		s = append(s, " tcp "...)
		for i, c := range "FSRPAUEC" {
			if f.has&onFlags != 0 && f.flags>>i&1 != 0 {
				s = append(s, byte(c))
			}
		}
	case wire.ProtoUDP:
		s = append(s, " udp"...)
	case wire.ProtoICMP, protoICMPv6:
		s = append(s, " icmp type "...)
		s = strconv.AppendUint(s, uint64(f.typ), 10)
	default:
		s = append(s, " protocol "...)
		s = strconv.AppendUint(s, uint64(f.proto), 10)
	}
	s = append(s, ", "...)
	s = strconv.AppendUint(s, f.bytes, 10)
	s = append(s, " bytes"...)
	if f.state != 0 {
		s = append(append(s, ", "...), conntrack.State(f.state).String()...)
	}
	s = append(s, ": "...)
	return string(append(s, r.verdict.String()...))
}

// end appends an address and, if there is one, a port.
func (f *header) end(s []byte, a netip.Addr, port uint16) []byte {
	if f.has&onSrcPort != 0 {
		return netip.AddrPortFrom(a, port).AppendTo(s)
	}
	return a.AppendTo(s)
}
