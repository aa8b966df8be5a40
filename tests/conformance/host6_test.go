package conformance

import (
	"fmt"
	"net/netip"
	"syscall"

	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// Scripts speak of IPv4. Over IPv6 addresses are others, with the same last numbers; what is said of MTUs is 20 bytes more,
// so that segments have the same length; and errors are ICMPv6's. Scripts that are for IPv6 alone mean what they say.

// longer is how much longer IPv6's header is.
const longer = wire.IPv6Size - wire.IPv4Size

// addr is the address a script means.
func (h *host) addr(a netip.Addr) netip.Addr {
	if !h.six || a.Is6() {
		return a
	}
	b := a.As4()
	switch {
	case a.IsUnspecified():
		return netip.IPv6Unspecified()
	case a.IsLoopback():
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 12: b[0], 13: b[1], 14: b[2], 15: b[3]})
}

func (h *host) endpoint(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(h.addr(a.Addr()), a.Port())
}

// configure6 gives the stack its address, whose uniqueness takes a while to be found.
func (h *host) configure6(c card) {
	h.t.Helper()
	err := h.iface.Configure(hypercall.NetConfig{Flags: hypercall.NetIP6, IP6: hypercall.NetConfig6{
		Addr: h.addr(hostAddr).As16(), Prefix: 64, Router: h.addr(peerAddr).As16(), Key: [16]byte{1},
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.neighbour(wire.NDPNeighbourSolicit, h.addr(peerAddr), h.addr(hostAddr), peerMAC)
	h.clock.Run(2 * second)
}

// neighbour makes a neighbour's solicitation or advertisement arrive; target is whom it is about.
func (h *host) neighbour(typ uint8, src, target netip.Addr, mac wire.MAC) {
	m := make(wire.NDP, wire.NDPNeighbourSize+wire.NDPLinkAddrSize)
	m.EncodeNeighbour(typ, wire.NDPSolicited|wire.NDPOverride, target, mac)
	if typ == wire.NDPNeighbourSolicit {
		m[4] = 0
	}
	dst := h.addr(hostAddr)
	s := wire.Pseudo(src, dst, wire.ProtoICMPv6, len(m))
	s.Add(m)
	wire.ICMP(m).SetChecksum(s.Checksum())
	h.holdIP(wire.IPv4Fields{Proto: wire.ProtoICMPv6, Src: src, Dst: dst, TTL: 255}, m)
	h.deliver()
}

// take6 takes what the stack sends in IPv6: segments, and neighbour solicitations, which are answered.
func (h *host) take6(b []byte) {
	ip, ok := wire.ParseIPv6(b)
	if !ok || ip.PayloadLen() != len(b)-len(ip) {
		h.t.Errorf("sent a wrong IP packet %x", b)
		return
	}
	payload := b[len(ip):]
	switch ip.NextHeader() {
	case wire.ProtoHopByHop:
		return // groups announced
	case wire.ProtoICMPv6:
		m, ok := wire.ParseNDP(payload)
		if ok && m.Type() == wire.NDPNeighbourSolicit && ip.Src() == h.addr(hostAddr) {
			target := m.Target()
			h.clock.At(h.clock.Now(), func() { h.neighbour(wire.NDPNeighbourAdvert, target, target, peerMAC) })
		}
		return
	}
	sum := wire.Pseudo(ip.Src(), ip.Dst(), wire.ProtoTCP, len(payload))
	sum.Add(payload)
	tcp, ok := wire.ParseTCP(payload)
	if !ok || ip.NextHeader() != wire.ProtoTCP || sum.Checksum() != 0 || ip.Src() != h.addr(hostAddr) {
		h.t.Errorf("sent a wrong segment %x", b)
		return
	}
	h.sort(frame{h.clock.Now(), nil, ip, tcp, payload[len(tcp):]})
}

// holdIP puts a packet into the card's batch, of the version its addresses are of.
func (h *host) holdIP(f wire.IPv4Fields, payload []byte) {
	if f.Dst.Is4() {
		h.hold(wire.TypeIPv4, ip(f, payload))
		return
	}
	h.hold(wire.TypeIPv6, ip6(f, payload))
}

// ip6 encloses a payload in an IPv6 packet.
func ip6(f wire.IPv4Fields, payload []byte) []byte {
	if f.TTL == 0 {
		f.TTL = 64
	}
	b := make([]byte, wire.IPv6Size+len(payload))
	wire.IPv6(b[:wire.IPv6Size]).Encode(&wire.IPv6Fields{
		TrafficClass: f.TOS, PayloadLen: len(payload), NextHeader: f.Proto, HopLimit: f.TTL, Src: f.Src, Dst: f.Dst,
	})
	copy(b[wire.IPv6Size:], payload)
	return b
}

// What a script compares of a frame's IP header. In IPv6 nobody cuts a packet on its way.
func (f *frame) dst() netip.Addr {
	if f.ip6 != nil {
		return f.ip6.Dst()
	}
	return f.ip.Dst()
}

func (f *frame) ttl() uint8 {
	if f.ip6 != nil {
		return f.ip6.HopLimit()
	}
	return f.ip.TTL()
}

func (f *frame) tos() uint8 {
	if f.ip6 != nil {
		return f.ip6.TrafficClass()
	}
	return f.ip.TOS()
}

func (f *frame) df() bool { return f.ip6 != nil || f.ip[6]&0x40 != 0 }

// labelled checks that over IPv6 all segments of a connection have the same flow label, which is not 0 (RFC 6437 §3).
func (fl *flow) labelled(f *frame) error {
	if f.ip6 == nil {
		return nil
	}
	label, to := f.ip6.FlowLabel(), netip.AddrPortFrom(f.dst(), f.tcp.SrcPort())
	if label == 0 || label != fl.label && to == fl.labelOf {
		return fmt.Errorf("flow label %#x, was %#x", label, fl.label)
	}
	fl.label, fl.labelOf = label, to
	return nil
}

// shift is how much more an MTU is than the script says.
func (p *peer) shift() int {
	if p.six && p.version != 6 {
		return longer
	}
	return 0
}

// option is the option of the socket's version.
func (p *peer) option(o sockopt) (level, name int, value []byte) {
	if p.six && o.level == syscall.IPPROTO_IP {
		o.level = syscall.IPPROTO_IPV6
		o.name = map[int]int{syscall.IP_TTL: syscall.IPV6_UNICAST_HOPS, syscall.IP_TOS: syscall.IPV6_TCLASS}[o.name]
	}
	return o.level, o.name, o.value
}

// icmp6s are the kinds of ICMP errors in ICMPv6, as type and code (RFC 4443 §3).
var icmp6s = map[string][2]uint8{
	"net":    {wire.ICMP6Unreachable, wire.Unreach6NoRoute},
	"host":   {wire.ICMP6Unreachable, wire.Unreach6Address},
	"proto":  {wire.ICMP6Parameter, wire.Param6NextHeader},
	"port":   {wire.ICMP6Unreachable, wire.Unreach6Port},
	"toobig": {wire.ICMP6TooBig, 0},
	"admin":  {wire.ICMP6Unreachable, wire.Unreach6Prohibited},
	"ttl":    {wire.ICMP6TimeExceeded, 0},
}

// icmp6 is icmp over IPv6.
func (p *peer) icmp6(what string, mtu, seq int, fl *flow) {
	p.t.Helper()
	kind, ok := icmp6s[what]
	if !ok {
		p.fatal("IPv6 has no such error")
	}
	if what == "toobig" {
		mtu += p.shift()
	}
	us, them, router := p.addr(hostAddr), p.addr(peerAddr), p.addr(netip.MustParseAddr("10.0.0.254"))
	quote := ip6(wire.IPv4Fields{Proto: wire.ProtoTCP, Src: us, Dst: them}, tcp(us, them, wire.TCPFields{
		SrcPort: fl.ours, DstPort: p.port, Seq: fl.iss + uint32(int32(seq)), Flags: wire.ACK,
	}, nil, nil))
	b := make([]byte, wire.ICMPSize+len(quote))
	h := wire.ICMP(b[:wire.ICMPSize])
	h.Encode(kind[0], kind[1], uint32(mtu))
	copy(b[wire.ICMPSize:], quote)
	sum := wire.Pseudo(router, us, wire.ProtoICMPv6, len(b))
	sum.Add(b)
	h.SetChecksum(sum.Checksum())
	p.holdIP(wire.IPv4Fields{Proto: wire.ProtoICMPv6, Src: router, Dst: us}, b)
	p.deliver()
}
