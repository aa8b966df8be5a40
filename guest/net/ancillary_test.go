package net

import (
	"net/netip"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
)

var on = []byte{1, 0, 0, 0}

// message receives a datagram with its ancillary data.
func (s *sock) message() (text string, from netip.AddrPort, a posix.Ancillary) {
	s.t.Helper()
	b := make([]byte, 2000)
	n, from, _, e := s.Socket.(messenger).RecvMessage(b, 0, &a)
	s.must(e)
	return string(b[:n]), from, a
}

// TestAncillary: a program that asks hears where a datagram was sent to, through which interface, and with which hop limit
// and class; and sends with those it says.
func TestAncillary(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{}).with6()
	all4 := func(s *sock) {
		for _, name := range []int{ipPktInfo, ipRecvTTL, ipRecvTOS} {
			s.must(s.SetOption(solIP, name, on))
		}
	}
	all6 := func(s *sock) {
		for _, name := range []int{ipv6RecvPktInfo, ipv6RecvHopLimit, ipv6RecvTClass} {
			s.must(s.SetOption(solIPv6, name, on))
		}
	}
	four, dual := w.b.socket(t, sockDgram, 0), w.b.socket6(t, sockDgram)
	four.must(four.Bind(ap("0.0.0.0:54")))
	dual.must(dual.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 53)))
	all4(four)
	a4, a6 := w.a.socket(t, sockDgram, 0), w.a.socket6(t, sockDgram)
	bcast := on
	a4.must(a4.SetOption(solSocket, soBroadcast, bcast))
	send := func(s *sock, to netip.AddrPort, a posix.Ancillary) {
		t.Helper()
		_, e := s.Socket.(messenger).SendMessage([]byte("x"), to, 0, &a)
		s.must(e)
		w.clock.Run(seconds)
	}
	addr := func(a netip.Addr) posix.Addr { return toPosix(netip.AddrPortFrom(a, 0)) }
	const p4 = posix.AncillaryPktInfo4 | posix.AncillaryTTL | posix.AncillaryTOS
	const p6 = posix.AncillaryPktInfo6 | posix.AncillaryHopLimit | posix.AncillaryTClass
	own := addr(w.b.addr)
	for _, c := range []struct {
		what   string
		from   *sock
		to     netip.AddrPort
		say    posix.Ancillary
		at     *sock
		expect posix.Ancillary
		setup  func()
	}{
		{"plain", a4, netip.AddrPortFrom(w.b.addr, 54), posix.Ancillary{}, four, posix.Ancillary{Has: p4, Link: 2, Local: own, Own: own, Hops: 64}, nil},
		{"asked for", a4, netip.AddrPortFrom(w.b.addr, 54), posix.Ancillary{Has: posix.AncillaryTTL | posix.AncillaryTOS, Hops: 9, Class: 0x2c}, four,
			posix.Ancillary{Has: p4, Link: 2, Local: own, Own: own, Hops: 9, Class: 0x2c}, nil},
		{"broadcast", a4, ap("10.0.0.255:54"), posix.Ancillary{Link: 2}, four,
			posix.Ancillary{Has: p4, Link: 2, Local: addr(netip.MustParseAddr("10.0.0.255")), Own: own, Hops: 64}, nil},
		{"nothing asked for", a6, netip.AddrPortFrom(w.b.addr6(), 53), posix.Ancillary{}, dual, posix.Ancillary{}, nil},
		{"IPv6", a6, netip.AddrPortFrom(w.b.addr6(), 53), posix.Ancillary{}, dual,
			posix.Ancillary{Has: p6, Link: 2, Local: addr(w.b.addr6()), Hops: 64}, func() { all6(dual) }},
		{"IPv6 asked for", a6, netip.AddrPortFrom(w.b.addr6(), 53),
			posix.Ancillary{Has: posix.AncillaryHopLimit | posix.AncillaryTClass, Hops: 255, Class: 3, Link: 2, Local: addr(w.a.addr6())}, dual,
			posix.Ancillary{Has: p6, Link: 2, Local: addr(w.b.addr6()), Hops: 255, Class: 3}, nil},
		{"link-local", a6, netip.AddrPortFrom(w.b.local6().WithZone(""), 53), posix.Ancillary{Link: 2, Local: addr(w.a.local6())}, dual,
			posix.Ancillary{Has: p6, Link: 2, Local: addr(w.b.local6().WithZone("")), Hops: 64}, func() { w.a.bindLink(a6) }},
		{"IPv4 in IPv6", a4, netip.AddrPortFrom(w.b.addr, 53), posix.Ancillary{}, dual,
			posix.Ancillary{Has: posix.AncillaryPktInfo6, Link: 2, Local: own, Own: own, Hops: 64}, nil},
		{"IPv4 in IPv6, both asked for", a4, netip.AddrPortFrom(w.b.addr, 53), posix.Ancillary{}, dual,
			posix.Ancillary{Has: p4 | posix.AncillaryPktInfo6, Link: 2, Local: own, Own: own, Hops: 64}, func() { all4(dual) }},
	} {
		if c.setup != nil {
			c.setup()
		}
		send(c.from, c.to, c.say)
		if _, _, got := c.at.message(); got != c.expect {
			t.Errorf("%s:\n%+v, want\n%+v", c.what, got, c.expect)
		}
	}
	for _, c := range []struct {
		from *sock
		to   netip.AddrPort
		a    posix.Ancillary
		want syscall.Errno
	}{
		{a4, netip.AddrPortFrom(w.b.addr, 54), posix.Ancillary{Link: 7}, syscall.ENODEV},
		{a4, netip.AddrPortFrom(w.b.addr, 54), posix.Ancillary{Link: 1 << 31}, syscall.ENODEV},
		{a4, netip.AddrPortFrom(w.b.addr, 54), posix.Ancillary{Local: own}, syscall.ENETUNREACH},
		{a6, netip.AddrPortFrom(w.b.addr6(), 54), posix.Ancillary{Local: addr(w.b.addr6())}, syscall.EINVAL},
		{a6, netip.AddrPortFrom(w.b.addr6(), 54), posix.Ancillary{Link: 1}, syscall.EINVAL}, // it is bound to eth0 by now
	} {
		_, e := c.from.Socket.(messenger).SendMessage([]byte("x"), c.to, 0, &c.a)
		c.from.want("send", e, c.want)
	}
	for _, name := range []int{ipPktInfo, ipRecvTTL, ipRecvTOS} {
		var v [4]byte
		if n, e := four.Option(solIP, name, v[:]); n != 4 || e != 0 || v[0] != 1 {
			t.Errorf("option %d: %v, %v", name, v, e)
		}
		four.must(four.SetOption(solIP, name, make([]byte, 4)))
	}
	send(a4, netip.AddrPortFrom(w.b.addr, 54), posix.Ancillary{})
	if _, _, got := four.message(); got != (posix.Ancillary{}) {
		t.Errorf("nothing asked for any more: %+v", got)
	}
}

// bindLink makes a socket one of the host's card only.
func (h *host) bindLink(s *sock) { s.must(s.SetOption(solSocket, soBindToDevice, []byte("eth0"))) }

// TestPing6 pings through sockets, as x/net/icmp does with "udp6" and "ip6:ipv6-icmp".
func TestPing6(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{}).with6()
	make6 := func(typ int) *sock {
		k, e := w.a.Socket6(typ, wire.ProtoICMPv6)
		if e != 0 {
			t.Fatal(e)
		}
		return watch(t, k)
	}
	p, raw := make6(sockDgram), make6(sockRaw)
	p.must(p.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 0)))
	raw.must(raw.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 0)))
	for _, name := range []int{ipv6RecvPktInfo, ipv6RecvHopLimit} {
		p.must(p.SetOption(solIPv6, name, on))
	}
	var filter [32]byte
	for i := range filter {
		filter[i] = 0xff
	}
	filter[wire.ICMP6EchoReply/8] &^= 1 << (wire.ICMP6EchoReply % 8)
	raw.must(raw.SetOption(solICMPv6, icmpFilter, filter[:]))
	var got [32]byte
	if n, e := raw.Option(solICMPv6, icmpFilter, got[:]); n != 32 || e != 0 || got != filter {
		t.Errorf("filter %x, %v", got[:n], e)
	}
	id := p.name(false)
	if id.Addr() != netip.IPv6Unspecified() || id.Port() == 0 {
		t.Errorf("name %v", id)
	}
	m := []byte{wire.ICMP6Echo, 0, 0, 0, 0, 0, 0, 1, 'p', 'i', 'n', 'g'}
	for _, dst := range []netip.Addr{w.b.addr6(), w.b.iface.link6.LinkLocal().WithZone("2"), netip.MustParseAddr("ff02::1%2"), netip.IPv6Loopback()} {
		_, e := p.Send(m, netip.AddrPortFrom(dst, 0), 0)
		p.must(e)
		w.clock.Run(seconds)
		text, from, a := p.message()
		want := dst
		if dst.IsMulticast() {
			want = w.b.iface.link6.LinkLocal().WithZone("2")
		}
		if text[0] != wire.ICMP6EchoReply || text[8:] != "ping" || uint16(text[4])<<8|uint16(text[5]) != id.Port() || from != netip.AddrPortFrom(want, 0) {
			t.Errorf("%v: %x from %v", dst, text, from)
		}
		if a.Has != posix.AncillaryPktInfo6|posix.AncillaryHopLimit || a.Hops != 64 || a.Local.Family != afInet6 {
			t.Errorf("%v: %+v", dst, a)
		}
		if copied, from, _ := raw.message(); copied != text || from.Addr() != want {
			t.Errorf("raw: %x from %v", copied, from)
		}
	}
	_, e := p.Send([]byte{wire.ICMPEcho, 0, 0, 0, 0, 0, 0, 1}, netip.AddrPortFrom(w.b.addr6(), 0), 0)
	p.want("an ICMP request", e, syscall.EINVAL)
	_, e = p.Send(m, netip.AddrPortFrom(mapped(w.b.addr), 0), 0)
	p.want("to an IPv4 address", e, syscall.ENETUNREACH)
	p.want("bound again", p.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 5)), syscall.EINVAL)
	p.must(p.Connect(netip.AddrPortFrom(netip.MustParseAddr("2001:db8::99"), 0)))
	p.must(p.send(string(m)))
	w.clock.Run(5 * seconds)
	p.want("unreachable", p.errorOption(), syscall.EHOSTUNREACH)
	if _, e := w.a.Socket6(sockDgram, wire.ProtoICMP); e != syscall.EPROTONOSUPPORT {
		t.Errorf("ICMP in the IPv6 family: %v", e)
	}
	if _, e := w.a.Socket(sockDgram, wire.ProtoICMPv6); e != syscall.EPROTONOSUPPORT {
		t.Errorf("ICMPv6 in the IPv4 family: %v", e)
	}
}
