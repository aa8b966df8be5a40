package net

import (
	"net/netip"

	"ukvm.dev/guest/net/filter"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// reject is filter.Box.Reject. Who sent the packet hears of it as if the packet had arrived: a program of this guest
// through loopback, so that its connection is not told while it is sending.
func (s *Stack) reject(h filter.Hook, p *packet.Packet, a filter.Answer) {
	transport, network := p.Bytes(), p.Bytes()
	var room [wire.IPv4Size + quoteLen]byte
	switch h {
	case filter.Input:
		network = p.Network()
	case filter.Output:
		network = quote(room[:], p)
	default:
		ip, ok := wire.ParseIPv4(network)
		if !ok || ip.Offset() != 0 {
			return
		}
		transport = network[len(ip):]
	}
	if p.Broadcast || network == nil {
		return
	}
	if a == filter.AnswerDefault {
		a = filter.AnswerPort
		if p.Proto == wire.ProtoTCP {
			a = filter.AnswerReset
		}
	}
	from, to := p.Dst, p.Src
	if a == filter.AnswerReset {
		s.reset(from, to, transport, p.Len()-(len(p.Bytes())-len(transport)))
		return
	}
	code := [...]uint8{
		filter.AnswerPort: wire.UnreachPort, filter.AnswerHost: wire.UnreachHost, filter.AnswerProhibited: wire.UnreachAdminProto,
	}[a]
	if h >= filter.Output || !s.boxes.IP4.IsLocal(from) {
		// What this host does not let out, or is not for it, it answers itself.
		from = netip.Addr{}
		if s.boxes.IP4.IsLocal(to) {
			from = to
		}
	}
	s.boxes.ICMP4.Error(from, to, network, wire.ICMPUnreachable, code)
}

// quoteLen is how much of a transport header an error quotes about what was not sent: ports and sequence number.
const quoteLen = 8

// quote makes, in room, of a packet that has no IP header yet what an ICMP error quotes.
func quote(room []byte, p *packet.Packet) []byte {
	b := p.Bytes()
	if len(b) < quoteLen {
		return nil
	}
	wire.IPv4(room[:wire.IPv4Size]).Encode(&wire.IPv4Fields{
		TotalLen: min(wire.IPv4Size+p.Len(), wire.IPv4Max), TTL: p.TTL, TOS: p.TOS, Proto: p.Proto, Src: p.Src, Dst: p.Dst,
	})
	copy(room[wire.IPv4Size:], b[:quoteLen])
	return room
}

// reset answers a TCP segment of n bytes, header included, with RST (RFC 9293 §3.10.7.1).
func (s *Stack) reset(from, to netip.Addr, segment []byte, n int) {
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
	s.boxes.IP4.Send(p)
}
