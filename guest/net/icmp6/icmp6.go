// Package icmp6 is the ICMPv6 box (RFC 4443): it answers echo requests, tells transports what became of their packets,
// sends errors about packets that cannot be delivered, and hands the messages of neighbour and multicast listener
// discovery to those boxes. What it sends is limited in rate. Not safe for concurrent use: the stack's lock guards it.
package icmp6

import (
	"net/netip"

	"ukvm.dev/guest/net/bucket"
	"ukvm.dev/guest/net/ip6"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// Limits on what others can make us send, in messages (RFC 4443 §2.4 (f)).
const (
	ErrorRate  = 1000 // errors a second, as Linux's icmp_msgs_per_sec
	ErrorBurst = 50
	EchoRate   = 20000 // echo replies a second
	EchoBurst  = 1000
)

// errorMax is how much of a packet an error quotes, in bytes: all that fits the MTU of any link (RFC 4443 §2.4 (c)).
const errorMax = wire.IPv6MinMTU - wire.IPv6Size - wire.ICMPSize

// Stats counts messages.
type Stats struct {
	EchoRx    uint64
	EchoTx    uint64 // replies
	ErrorsRx  uint64
	ErrorsTx  uint64
	Dropped   uint64 // malformed, or of no interest
	Throttled uint64 // not sent because of a limit
}

// Box is the box. The function values are set by the stack's wiring.
type Box struct {
	Send   packet.Handler // down: to IP
	ToTCP  packet.FailureHandler
	ToUDP  packet.FailureHandler
	ToNDP  packet.Handler                // messages of RFC 4861, checksum verified
	ToMLD  packet.Handler                // messages of RFC 2710 and RFC 3810, likewise
	ToPing packet.Handler                // echo replies
	Pinged packet.FailureHandler         // what became of echo requests
	Copy   func(*packet.Packet)          // every message there is, which stays ours
	TooBig func(dst netip.Addr, mtu int) // the path to dst takes less

	// Source selects the address to send from to dst through an interface (0: routing decides).
	Source  func(dst netip.Addr, link int) netip.Addr
	IsLocal func(netip.Addr) bool
	Now     func() int64
	Pool    *packet.Pool

	Stats Stats

	errors bucket.Bucket
	echoes bucket.Bucket
}

// Receive takes an ICMPv6 message.
func (b *Box) Receive(p *packet.Packet) {
	h, ok := wire.ParseICMP(p.Bytes())
	if !ok || !verify(p) {
		b.drop(p)
		return
	}
	if b.Copy != nil {
		b.Copy(p)
	}
	switch t := h.Type(); t {
	case wire.ICMP6Echo:
		b.Stats.EchoRx++
		b.reply(p)
	case wire.ICMP6EchoReply:
		b.up(b.ToPing, p)
	case wire.NDPRouterSolicit, wire.NDPRouterAdvert, wire.NDPNeighbourSolicit, wire.NDPNeighbourAdvert:
		b.up(b.ToNDP, p)
	case wire.MLDQuery, wire.MLDReport, wire.MLDDone, wire.MLDv2Report:
		b.up(b.ToMLD, p)
	default:
		// Redirects among them: a host may ignore them (RFC 4861 §8), and whoever sends them is on the link.
		if t >= wire.ICMP6FirstInfo {
			b.drop(p)
			return
		}
		b.Stats.ErrorsRx++
		b.failure(h, p)
		p.Release()
	}
}

func (b *Box) up(f packet.Handler, p *packet.Packet) {
	if f == nil {
		b.drop(p)
		return
	}
	f(p)
}

func verify(p *packet.Packet) bool {
	s := wire.Pseudo(p.Src, p.Dst, wire.ProtoICMPv6, p.Len())
	p.Sum(&s)
	return s.Checksum() == 0
}

// Checksum stores the checksum of a message from src to dst, whose field is 0.
func Checksum(p *packet.Packet, src, dst netip.Addr) {
	s := wire.Pseudo(src, dst, wire.ProtoICMPv6, p.Len())
	p.Sum(&s)
	wire.ICMP(p.Bytes()).SetChecksum(s.Checksum())
}

// reply answers an echo request with its own payload, by reference. One to a group of the link is answered from this
// host's own address (RFC 4443 §4.2).
func (b *Box) reply(p *packet.Packet) {
	switch {
	case p.Src.IsUnspecified() || p.Dst.IsMulticast() && !p.Dst.IsLinkLocalMulticast():
		b.Stats.Dropped++
	case !b.echoes.Take(b.Now(), bucket.Second(EchoRate), EchoBurst):
		b.Stats.Throttled++
	default:
		q := b.Pool.Headers()
		p.Reference(q, wire.ICMPSize, p.Len()-wire.ICMPSize)
		h := wire.ICMP(q.Prepend(wire.ICMPSize))
		copy(h, p.Bytes())
		h.SetType(wire.ICMP6EchoReply)
		h.SetChecksum(0)
		q.Src, q.Dst, q.Proto, q.TOS = p.Dst, p.Src, wire.ProtoICMPv6, p.TOS
		if p.Dst.IsMulticast() {
			q.Src = netip.Addr{}
		}
		b.Stats.EchoTx++
		b.emit(q, p)
	}
	p.Release()
}

// emit sends an answer to p. The checksum covers the source address, so that is needed first.
func (b *Box) emit(q, p *packet.Packet) {
	if p.Src.IsLinkLocalUnicast() || p.Dst.IsMulticast() {
		q.Link = p.Link
	}
	if !q.Src.IsValid() {
		if q.Src = b.Source(q.Dst, q.Link); !q.Src.IsValid() {
			q.Release()
			return
		}
	}
	Checksum(q, q.Src, q.Dst)
	b.Send(q)
}

// failure tells the transport whose packet an error quotes.
func (b *Box) failure(h wire.ICMP, p *packet.Packet) {
	quote := p.Bytes()[wire.ICMPSize:]
	ip, ok := wire.ParseIPv6(quote)
	if !ok || !b.IsLocal(ip.Src()) {
		b.Stats.Dropped++
		return
	}
	proto, at, ok := ip6.Transport(quote)
	if !ok || len(quote) < at+8 {
		b.Stats.Dropped++
		return
	}
	f := packet.Failure{Src: ip.Src(), Dst: ip.Dst(), Proto: proto, Header: quote[at:]}
	switch h.Type() {
	case wire.ICMP6Unreachable:
		f.Err, f.Hard = unreachable(h.Code())
	case wire.ICMP6TooBig:
		// What is below the least MTU is not believed (RFC 8201 §4).
		f.Err, f.MTU = packet.ErrTooBig, int(min(max(h.Rest(), wire.IPv6MinMTU), wire.IPv6MaxPayload))
		if proto != wire.ProtoTCP && b.TooBig != nil {
			b.TooBig(f.Dst, f.MTU)
		}
	case wire.ICMP6TimeExceeded:
		f.Err = packet.ErrHostUnreachable
	case wire.ICMP6Parameter:
		f.Err, f.Hard = packet.ErrProtoUnreachable, h.Code() == wire.Param6NextHeader
	default:
		f.Err = packet.ErrHostUnreachable
	}
	b.Fail(&f)
}

// Fail passes on a failure from whatever source.
func (b *Box) Fail(f *packet.Failure) {
	switch f.Proto {
	case wire.ProtoTCP:
		b.ToTCP(f)
	case wire.ProtoUDP:
		b.ToUDP(f)
	case wire.ProtoICMPv6:
		if b.Pinged != nil {
			b.Pinged(f)
		}
	}
}

// unreachable classifies the codes of ICMP6Unreachable as Linux does (RFC 4443 §3.1).
func unreachable(code uint8) (err error, hard bool) {
	switch code {
	case wire.Unreach6NoRoute:
		return packet.ErrNetUnreachable, false
	case wire.Unreach6Address:
		return packet.ErrHostUnreachable, false
	case wire.Unreach6Port:
		return packet.ErrRefused, true
	case wire.Unreach6Prohibited, wire.Unreach6Policy, wire.Unreach6Reject:
		return packet.ErrHostUnreachable, true
	}
	return packet.ErrNetUnreachable, false
}

// Unreachable sends an error about a received packet, unless it may not (RFC 4443 §2.4 (e)), and releases it.
func (b *Box) Unreachable(p *packet.Packet, code uint8) {
	b.emitError(p, wire.ICMP6Unreachable, code, 0)
}

// Problem sends the error about a packet that cannot be understood at an offset, and releases p.
func (b *Box) Problem(p *packet.Packet, code uint8, at int) {
	b.emitError(p, wire.ICMP6Parameter, code, uint32(at))
}

// TimeExceeded sends the error about a datagram whose fragments did not all arrive, and releases p.
func (b *Box) TimeExceeded(p *packet.Packet) {
	b.emitError(p, wire.ICMP6TimeExceeded, wire.TimeReassembly, 0)
}

func (b *Box) emitError(p *packet.Packet, typ, code uint8, rest uint32) {
	defer p.Release()
	// Only about an unknown option may an error go to who sent to a group.
	if (p.Broadcast || p.Dst.IsMulticast()) && !(typ == wire.ICMP6Parameter && code == wire.Param6Option) {
		return
	}
	src := p.Dst
	if src.IsMulticast() {
		src = netip.Addr{}
	}
	b.send(src, p, p.Network(), typ, code, rest)
}

// Error sends an error from src, or from any address if that is the zero Addr, to the sender of a packet, which stays
// the caller's, unless it may not (RFC 4443 §2.4 (e)). quote is the packet, IP header first.
func (b *Box) Error(src netip.Addr, p *packet.Packet, quote []byte, typ, code uint8) {
	if !p.Broadcast && !p.Dst.IsMulticast() {
		b.send(src, p, quote, typ, code, 0)
	}
}

func (b *Box) send(src netip.Addr, p *packet.Packet, quote []byte, typ, code uint8, rest uint32) {
	if quote == nil || p.Src.IsUnspecified() || p.Src.IsMulticast() {
		return
	}
	// No errors about errors, nor about what may be one.
	if proto, at, ok := ip6.Transport(quote); ok && proto == wire.ProtoICMPv6 {
		if len(quote) <= at || quote[at] < wire.ICMP6FirstInfo || quote[at] == wire.NDPRedirect {
			return
		}
	}
	if !b.errors.Take(b.Now(), bucket.Second(ErrorRate), ErrorBurst) {
		b.Stats.Throttled++
		return
	}
	quote = quote[:min(len(quote), errorMax)]
	q := b.Pool.Linear(wire.ICMPSize + len(quote))
	wire.ICMP(q.Bytes()).Encode(typ, code, rest)
	copy(q.Bytes()[wire.ICMPSize:], quote)
	q.Src, q.Dst, q.Proto = src, p.Src, wire.ProtoICMPv6
	b.Stats.ErrorsTx++
	b.emit(q, p)
}

func (b *Box) drop(p *packet.Packet) {
	b.Stats.Dropped++
	p.Release()
}
