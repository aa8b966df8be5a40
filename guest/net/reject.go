package net

import (
	"net/netip"

	"ukvm.dev/guest/net/filter"
	"ukvm.dev/guest/net/ip6"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// reject is filter.Box.Reject. Who sent the packet hears of it as if the packet had arrived: a program of this guest
// through loopback, so that its connection is not told while it is sending.
func (s *Stack) reject(h filter.Hook, p *packet.Packet, a filter.Answer) {
	transport, network := p.Bytes(), p.Bytes()
	var room [quoteMax]byte
	switch h {
	case filter.Input:
		network = p.Network()
	case filter.Output:
		network = quote(room[:], p)
	default:
		at, ok := transportOf(network)
		if !ok {
			return
		}
		transport = network[at:]
	}
	if p.Broadcast || network == nil {
		return
	}
	from, to := p.Dst, p.Src
	if a == filter.AnswerReset || a == filter.AnswerDefault && p.Proto == wire.ProtoTCP {
		s.reset(from, to, p.Link, transport, p.Len()-(len(p.Bytes())-len(transport)))
		return
	}
	if !s.isLocal(from) {
		// What this host does not let out, or is not for it, it answers itself.
		from = netip.Addr{}
		if s.isLocal(to) {
			from = to
		}
	}
	c := codes[a]
	if to.Is4() {
		s.boxes.ICMP4.Error(from, to, network, wire.ICMPUnreachable, c[0])
		return
	}
	s.boxes.ICMP6.Error(from, p, network, wire.ICMP6Unreachable, c[1])
}

// codes are those of the answers in ICMP and ICMPv6.
var codes = [...][2]uint8{
	filter.AnswerDefault:    {wire.UnreachPort, wire.Unreach6Port},
	filter.AnswerPort:       {wire.UnreachPort, wire.Unreach6Port},
	filter.AnswerHost:       {wire.UnreachHost, wire.Unreach6Address},
	filter.AnswerProhibited: {wire.UnreachAdminProto, wire.Unreach6Prohibited},
}

func (s *Stack) isLocal(a netip.Addr) bool {
	if a.Is4() {
		return s.boxes.IP4.IsLocal(a)
	}
	return s.boxes.IP6.IsLocal(a)
}

// transportOf is where the transport header begins behind an IP header.
func transportOf(b []byte) (at int, ok bool) {
	if h, ok := wire.ParseIPv4(b); ok {
		return len(h), h.Offset() == 0
	}
	_, at, ok = ip6.Transport(b)
	return at, ok
}

// quoteLen is how much of a transport header an error quotes about what was not sent: ports and sequence number.
const (
	quoteLen = 8
	quoteMax = wire.IPv6Size + quoteLen
)

// quote makes, in room, of a packet that has no IP header yet what an ICMP error quotes.
func quote(room []byte, p *packet.Packet) []byte {
	b := p.Bytes()
	if len(b) < quoteLen {
		return nil
	}
	n := wire.IPv4Size
	if p.Src.Is4() {
		wire.IPv4(room[:n]).Encode(&wire.IPv4Fields{
			TotalLen: min(n+p.Len(), wire.IPv4Max), TTL: p.TTL, TOS: p.TOS, Proto: p.Proto, Src: p.Src, Dst: p.Dst,
		})
	} else {
		n = wire.IPv6Size
		wire.IPv6(room[:n]).Encode(&wire.IPv6Fields{
			PayloadLen: min(p.Len(), wire.IPv6MaxPayload), HopLimit: p.TTL, TrafficClass: p.TOS, NextHeader: p.Proto, Src: p.Src, Dst: p.Dst,
		})
	}
	copy(room[n:], b[:quoteLen])
	return room[:n+quoteLen]
}

// reset answers a TCP segment of n bytes, header included, with RST (RFC 9293 §3.10.7.1).
func (s *Stack) reset(from, to netip.Addr, link int, segment []byte, n int) {
	t, ok := wire.ParseTCP(segment)
	if !ok || t.Flags()&wire.RST != 0 {
		return
	}
	f := wire.TCPFields{SrcPort: t.DstPort(), DstPort: t.SrcPort(), Flags: wire.RST}
	if t.Flags()&wire.ACK != 0 {
		f.Seq = t.Ack()
	} else {
		f.Flags |= wire.ACK
		f.Ack = t.Seq() + uint32(n-len(t)) + uint32(t.Flags()&wire.SYN)/wire.SYN + uint32(t.Flags()&wire.FIN)/wire.FIN
	}
	p := s.pool.Headers()
	h := wire.TCP(p.Prepend(wire.TCPSize))
	sum := wire.Pseudo(from, to, wire.ProtoTCP, wire.TCPSize)
	f.Checksum = sum.Fold()
	h.Encode(&f)
	p.SetPartialChecksum(wire.TCPChecksumOffset)
	p.Src, p.Dst, p.Proto, p.DF = from, to, wire.ProtoTCP, true
	if to.IsLinkLocalUnicast() && !s.isLocal(to) {
		p.Link = link
	}
	s.send(p)
}
