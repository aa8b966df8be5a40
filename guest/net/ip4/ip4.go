// Package ip4 is the IPv4 box (RFC 791, RFC 1122 §3): it checks what arrives, puts fragments together, hands payloads to
// the transports, and sends, cutting into fragments what is too long. It knows the interfaces' addresses and the
// routes. It does not forward; what is not for this host goes to Forward, behind the Forwarding filter, which nobody has
// wired yet.
//
//	 ToICMP ▲  ToTCP ▲  ToUDP ▲                │ Send
//	┌───────┴────────┴────────┴─┐       ┌──────▼──────────┐
//	│ Input filter              │       │ route           │
//	│ reassembly                │       │ Output filter   │
//	│ is it ours?               │       │ fragments       │
//	│ Prerouting filter, checks │       │ Postrouting     │
//	└───────────▲───────────────┘       └──────┬──────────┘
//	    Receive │                  Link.Output ▼
//
// Not safe for concurrent use: the stack's lock guards it.
package ip4

import (
	"net/netip"

	"ukvm.dev/guest/net/fragment"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// DefaultTTL is the time to live of packets that do not ask for another (RFC 1700, as Linux).
const DefaultTTL = 64

// Stats counts packets, with IncludeOS's names in the comments.
type Stats struct {
	PacketsRx          uint64 // ip4.packets_rx
	PacketsTx          uint64 // ip4.packets_tx
	PacketsDropped     uint64 // ip4.packets_dropped: malformed, not for us, without a route, too long
	PreroutingDropped  uint64 // ip4.prerouting_dropped
	PostroutingDropped uint64 // ip4.postrouting_dropped
	InputDropped       uint64 // ip4.input_dropped
	ForwardDropped     uint64 // ip4.forward_dropped
	OutputDropped      uint64 // ip4.output_dropped
	FragmentsRx        uint64
	FragmentsTx        uint64
	Reassembled        uint64
	ReassemblyFailed   uint64 // timed out, overlapped, or over a limit
}

// Filter decides about a packet: false drops it (the box releases it).
type Filter func(*packet.Packet) bool

// Box is the box. The function values are set by the stack's wiring; a nil Handler drops, a nil Filter lets pass.
type Box struct {
	ToICMP packet.Handler
	ToTCP  packet.Handler
	ToUDP  packet.Handler
	ToIGMP packet.Handler // to the interface's mcast box

	// UnknownProtocol gets what no transport takes, TimedOut the first fragment of what could not be put together in
	// time; both with Packet.Network.
	UnknownProtocol packet.Handler
	TimedOut        packet.Handler
	Forward         packet.Handler // packets for others

	Failed packet.FailureHandler // what became of packets of ours, see Unreachable

	// Each sees a packet at one place: Prerouting, Forwarding and Postrouting with the IP header at the front, Input and
	// Output with what follows it. Package filter has what decides by rules.
	Prerouting, Input, Forwarding, Output, Postrouting Filter

	Now    func() int64
	Random func() uint64
	Wheel  *timer.Wheel
	Pool   *packet.Pool

	Routes route.Table
	Stats  Stats

	links      []*Link // by Index; 0 is nil
	reassembly fragment.Table
	ids        idents
}

// Receive takes an IPv4 packet; its Link is set.
func (b *Box) Receive(p *packet.Packet) {
	b.Stats.PacketsRx++
	link := b.link(p.Link)
	h, ok := wire.ParseIPv4(p.Bytes())
	if !ok || link == nil || h.TotalLen() > p.Len() {
		b.drop(p)
		return
	}
	p.Truncate(h.TotalLen()) // Ethernet pads
	p.Src, p.Dst = h.Src(), h.Dst()
	p.Proto, p.TTL, p.TOS = h.Proto(), h.TTL(), h.TOS()
	if !link.Loopback && (!h.ChecksumOK() || b.martian(p)) || sourceRouted(h) {
		b.drop(p)
		return
	}
	if b.Prerouting != nil && !b.Prerouting(p) {
		b.Stats.PreroutingDropped++
		p.Release()
		return
	}
	group := link.isGroup(p.Dst) || p.Dst == broadcast || link.isBroadcast(p.Dst)
	if !group && (p.Broadcast || !b.IsLocal(p.Dst)) {
		// RFC 1122 §3.3.6: no unicast packets in link-layer broadcasts.
		if b.Forward != nil && !p.Broadcast {
			b.forward(p)
			return
		}
		b.drop(p)
		return
	}
	p.Broadcast = group
	if h.IsFragment() {
		b.Stats.FragmentsRx++
		if p = b.reassemble(h, p); p == nil {
			return
		}
		h, _ = wire.ParseIPv4(p.Bytes())
	}
	p.MarkNetwork()
	p.Trim(len(h))
	if b.Input != nil && !b.Input(p) {
		b.Stats.InputDropped++
		p.Release()
		return
	}
	var next packet.Handler
	switch p.Proto {
	case wire.ProtoTCP:
		next = b.ToTCP
	case wire.ProtoUDP:
		next = b.ToUDP
	case wire.ProtoICMP:
		next = b.ToICMP
	case wire.ProtoIGMP:
		next = b.ToIGMP
	}
	if next == nil {
		next = b.UnknownProtocol
	}
	if next == nil {
		b.drop(p)
		return
	}
	next(p)
}

// forward hands on what is for others.
func (b *Box) forward(p *packet.Packet) {
	if b.Forwarding != nil && !b.Forwarding(p) {
		b.Stats.ForwardDropped++
		p.Release()
		return
	}
	b.Forward(p)
}

// martian reports addresses that no packet from a wire may have (RFC 1122 §3.2.1.3, RFC 6890).
func (b *Box) martian(p *packet.Packet) bool {
	src, dst := p.Src, p.Dst
	return src.IsMulticast() || b.IsBroadcast(src) || src.IsLoopback() || dst.IsLoopback() ||
		src.IsUnspecified() && dst != broadcast || dst.IsUnspecified() || b.IsLocal(src)
}

// sourceRouted reports a loose or strict source route option, which RFC 7126 §4.3 says to drop.
func sourceRouted(h wire.IPv4) bool {
	const end, nop, loose, strict = 0, 1, 131, 137
	for o := h[wire.IPv4Size:]; len(o) > 0 && o[0] != end; {
		if o[0] == nop {
			o = o[1:]
			continue
		}
		if o[0] == loose || o[0] == strict {
			return true
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return false
		}
		o = o[o[1]:]
	}
	return false
}

// Route says how to reach dst, from src and through link if those are given.
func (b *Box) Route(dst, src netip.Addr, link int) (route.Route, error) {
	if b.IsLocal(dst) && link <= Loopback {
		l := b.links[Loopback]
		r := route.Route{Link: Loopback, Source: src, NextHop: dst, MTU: l.MTU, TSO: l.TSO, Local: true}
		if !src.IsValid() {
			r.Source = dst
			if dst.IsLoopback() {
				r.Source = localhost
			}
		}
		return r, nil
	}
	group := dst == broadcast || dst.IsMulticast()
	if group && link == 0 && src.IsValid() {
		link = b.linkOf(src)
	}
	e, ok := b.Routes.Lookup(dst, link)
	if !ok && group {
		// Neither needs a route, only an interface: the one asked for, loopback too, or the first card.
		for _, l := range b.links {
			if l != nil && (l.Index == link || link == 0 && !l.Loopback) {
				e, ok = &route.Entry{Link: l.Index}, true
				break
			}
		}
	}
	if !ok {
		return route.Route{}, packet.ErrNetUnreachable
	}
	l := b.link(e.Link)
	if l == nil {
		return route.Route{}, packet.ErrNetUnreachable
	}
	r := route.Route{Link: l.Index, Source: src, NextHop: dst, MTU: l.MTU, TSO: l.TSO}
	r.Broadcast = group || l.isBroadcast(dst)
	if e.Router.IsValid() && !r.Broadcast {
		r.NextHop = e.Router
	}
	if !src.IsValid() {
		r.Source = e.Source
		if !r.Source.IsValid() {
			if r.Source = l.Addr(); !r.Source.IsValid() {
				r.Source = unspecified // an interface that is being configured
			}
		}
	}
	return r, nil
}

// Send sends a payload to p.Dst. p.Proto says what it is; Src, Link, TTL, TOS and DF are respected if set.
func (b *Box) Send(p *packet.Packet) {
	r, err := b.Route(p.Dst, p.Src, p.Link)
	if err != nil {
		b.drop(p)
		return
	}
	p.Src, p.Link, p.NextHop, p.Broadcast = r.Source, r.Link, r.NextHop, r.Broadcast
	if p.TTL == 0 {
		p.TTL = DefaultTTL
	}
	if b.Output != nil && !b.Output(p) {
		b.Stats.OutputDropped++
		p.Release()
		return
	}
	f := wire.IPv4Fields{TOS: p.TOS, TTL: p.TTL, Proto: p.Proto, Src: p.Src, Dst: p.Dst}
	f.TotalLen = wire.IPv4Size + p.Len()
	if p.DF {
		f.Flags = wire.IPv4DF // an atomic datagram: any identification will do (RFC 6864 §4.1)
	} else {
		f.ID = b.ids.next(p.Dst, b.Random)
	}
	link := b.links[r.Link]
	if f.TotalLen > r.MTU && p.Net.GSOType == 0 {
		if p.DF || f.TotalLen > wire.IPv4Max {
			b.drop(p)
			return
		}
		b.fragment(link, p, &f)
		return
	}
	if p.Proto == wire.ProtoIGMP {
		wire.EncodeRouterAlert(p.Prepend(wire.RouterAlertSize), &f)
	} else {
		wire.IPv4(p.Prepend(wire.IPv4Size)).Encode(&f)
	}
	b.emit(link, p)
}

// fragment sends p in pieces that fit the link (RFC 791 §2.3). They refer to p's memory.
func (b *Box) fragment(link *Link, p *packet.Packet, f *wire.IPv4Fields) {
	p.CompleteChecksum()
	step := (link.MTU - wire.IPv4Size) &^ 7
	for off, n := 0, p.Len(); off < n; off += step {
		q := b.Pool.Headers()
		size := min(step, n-off)
		p.Reference(q, off, size)
		f.Offset, f.Flags = off, wire.IPv4MF
		if off+size == n {
			f.Flags = 0
		}
		f.TotalLen = wire.IPv4Size + size
		q.Src, q.Dst, q.Link, q.NextHop, q.Broadcast = p.Src, p.Dst, p.Link, p.NextHop, p.Broadcast
		q.Proto, q.TTL, q.TOS = p.Proto, p.TTL, p.TOS
		wire.IPv4(q.Prepend(wire.IPv4Size)).Encode(f)
		b.Stats.FragmentsTx++
		b.emit(link, q)
	}
	p.Release()
}

// emit sends a finished packet.
func (b *Box) emit(link *Link, p *packet.Packet) {
	if b.Postrouting != nil && !b.Postrouting(p) {
		b.Stats.PostroutingDropped++
		p.Release()
		return
	}
	b.Stats.PacketsTx++
	p.MarkNetwork()
	link.Output(p)
}

// Unreachable takes back a packet whose next hop does not answer, and tells the transport that sent it.
func (b *Box) Unreachable(p *packet.Packet) {
	b.Stats.PacketsDropped++
	if h, ok := wire.ParseIPv4(p.Bytes()); ok && h.Offset() == 0 && len(p.Bytes()) >= len(h)+8 {
		b.Failed(&packet.Failure{
			Src: h.Src(), Dst: h.Dst(), Proto: h.Proto(), Header: p.Bytes()[len(h):],
			Err: packet.ErrHostUnreachable,
		})
	}
	p.Release()
}

func (b *Box) drop(p *packet.Packet) {
	b.Stats.PacketsDropped++
	p.Release()
}
