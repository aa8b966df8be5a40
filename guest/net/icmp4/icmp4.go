// Package icmp4 is the ICMP box (RFC 792, RFC 1122 §3.2.2): it answers echo requests, tells transports what became of
// their packets, and sends errors about packets that cannot be delivered. Redirects and source quench are ignored
// (RFC 6633, RFC 1122 allows it for hosts). What it sends is limited in rate. Not safe for concurrent use: the stack's
// lock guards it.
package icmp4

import (
	"net/netip"

	"ukvm.dev/guest/net/bucket"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// Limits on what others can make us send, in messages.
const (
	ErrorRate  = 1000 // errors a second, as Linux's icmp_msgs_per_sec
	ErrorBurst = 50
	EchoRate   = 20000 // echo replies a second
	EchoBurst  = 1000
)

// errorMax is how much of a packet an error quotes, in bytes: all that fits 576 (RFC 1812 §4.3.2.3).
const errorMax = 576 - wire.IPv4Size - wire.ICMPSize

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
	ToPing packet.Handler        // echo replies
	Pinged packet.FailureHandler // what became of echo requests
	Copy   func(*packet.Packet)  // every message there is, which stays ours

	IsBroadcast func(netip.Addr) bool
	IsLocal     func(netip.Addr) bool
	Now         func() int64
	Pool        *packet.Pool

	Stats Stats

	errors bucket.Bucket
	echoes bucket.Bucket
}

// Receive takes an ICMP message.
func (b *Box) Receive(p *packet.Packet) {
	h, ok := wire.ParseICMP(p.Bytes())
	if !ok || !verify(p) {
		b.Stats.Dropped++
		p.Release()
		return
	}
	if b.Copy != nil {
		b.Copy(p)
	}
	switch h.Type() {
	case wire.ICMPEcho:
		b.Stats.EchoRx++
		b.reply(p)
	case wire.ICMPEchoReply:
		if b.ToPing == nil {
			b.Stats.Dropped++
			p.Release()
			return
		}
		b.ToPing(p)
	case wire.ICMPUnreachable, wire.ICMPTimeExceeded, wire.ICMPParameter:
		b.Stats.ErrorsRx++
		b.failure(h, p)
		p.Release()
	default:
		b.Stats.Dropped++
		p.Release()
	}
}

func verify(p *packet.Packet) bool {
	var s wire.Sum
	p.Sum(&s)
	return s.Checksum() == 0
}

// reply answers an echo request with its own payload, by reference.
func (b *Box) reply(p *packet.Packet) {
	switch {
	case p.Broadcast || p.Src.IsUnspecified() || b.IsBroadcast(p.Src): // RFC 1122 §3.2.2.6 allows to ignore these
		b.Stats.Dropped++
	case !b.echoes.Take(b.Now(), bucket.Second(EchoRate), EchoBurst):
		b.Stats.Throttled++
	default:
		q := b.Pool.Headers()
		p.Reference(q, wire.ICMPSize, p.Len()-wire.ICMPSize)
		h := wire.ICMP(q.Prepend(wire.ICMPSize))
		copy(h, p.Bytes())
		h.SetType(wire.ICMPEchoReply)
		h.SetChecksum(0)
		var s wire.Sum
		q.Sum(&s)
		h.SetChecksum(s.Checksum())
		q.Src, q.Dst, q.Proto, q.TOS = p.Dst, p.Src, wire.ProtoICMP, p.TOS
		b.Stats.EchoTx++
		b.Send(q)
	}
	p.Release()
}

// failure tells the transport whose packet an error quotes.
func (b *Box) failure(h wire.ICMP, p *packet.Packet) {
	quote := p.Bytes()[wire.ICMPSize:]
	ip, ok := wire.ParseIPv4(quote)
	if !ok || len(quote) < len(ip)+8 || ip.Offset() != 0 || !b.IsLocal(ip.Src()) {
		b.Stats.Dropped++
		return
	}
	f := packet.Failure{Src: ip.Src(), Dst: ip.Dst(), Proto: ip.Proto(), Header: quote[len(ip):]}
	switch h.Type() {
	case wire.ICMPUnreachable:
		f.Err, f.Hard = unreachable(h.Code())
		if h.Code() == wire.UnreachNeedFrag {
			f.MTU = h.MTU()
		}
	case wire.ICMPTimeExceeded:
		f.Err = packet.ErrHostUnreachable
	case wire.ICMPParameter:
		f.Err, f.Hard = packet.ErrProtoUnreachable, true
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
	case wire.ProtoICMP:
		if b.Pinged != nil {
			b.Pinged(f)
		}
	}
}

// unreachable classifies the codes of ICMPUnreachable as Linux does (RFC 1122 §3.2.2.1, §4.2.3.9; RFC 1812 §5.2.7.1).
func unreachable(code uint8) (err error, hard bool) {
	switch code {
	case wire.UnreachNet:
		return packet.ErrNetUnreachable, false
	case wire.UnreachHost:
		return packet.ErrHostUnreachable, false
	case wire.UnreachProto:
		return packet.ErrProtoUnreachable, true
	case wire.UnreachPort:
		return packet.ErrRefused, true
	case wire.UnreachNeedFrag:
		return packet.ErrTooBig, false
	case 5, 11, 12: // source route failed, unreachable for this type of service
		return packet.ErrHostUnreachable, false
	case 6, 9: // network unknown, prohibited
		return packet.ErrNetUnreachable, true
	}
	return packet.ErrHostUnreachable, true // host unknown, isolated, prohibited, filtered
}

// Unreachable sends an error about a received packet, unless it may not (RFC 1122 §3.2.2), and releases it.
func (b *Box) Unreachable(p *packet.Packet, code uint8) { b.emitError(p, wire.ICMPUnreachable, code) }

// TimeExceeded sends the error about a datagram whose fragments did not all arrive, and releases p.
func (b *Box) TimeExceeded(p *packet.Packet) {
	b.emitError(p, wire.ICMPTimeExceeded, wire.TimeReassembly)
}

func (b *Box) emitError(p *packet.Packet, typ, code uint8) {
	if quote := p.Network(); quote != nil && !p.Broadcast {
		b.Error(p.Dst, p.Src, quote, typ, code)
	}
	p.Release()
}

// Error sends an error from src to dst about the packet quote, IP header first, unless it may not (RFC 1122 §3.2.2). The
// packet was no broadcast of the link layer.
func (b *Box) Error(src, dst netip.Addr, quote []byte, typ, code uint8) {
	ip, ok := wire.ParseIPv4(quote)
	if !ok || ip.Offset() != 0 || dst.IsUnspecified() || dst.IsMulticast() || b.IsBroadcast(dst) {
		return
	}
	if ip.Proto() == wire.ProtoICMP {
		// No errors about errors.
		if h, ok := wire.ParseICMP(quote[len(ip):]); !ok || h.Type() != wire.ICMPEcho {
			return
		}
	}
	if !b.errors.Take(b.Now(), bucket.Second(ErrorRate), ErrorBurst) {
		b.Stats.Throttled++
		return
	}
	quote = quote[:min(len(quote), errorMax)]
	q := b.Pool.Linear(wire.ICMPSize + len(quote))
	h := wire.ICMP(q.Bytes())
	h.Encode(typ, code, 0)
	copy(q.Bytes()[wire.ICMPSize:], quote)
	h.SetChecksum(wire.Checksum(q.Bytes()))
	q.Src, q.Dst, q.Proto = src, dst, wire.ProtoICMP
	b.Stats.ErrorsTx++
	b.Send(q)
}
