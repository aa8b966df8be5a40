package net

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// TestRouterAdvertisement lets a router that answers solicitations configure a host: addresses, route, MTU, DNS servers.
func TestRouterAdvertisement(t *testing.T) {
	var servers []netip.Addr
	w := newWorld(t, 1, nettest.Faults{Delay: 1000}, nic.Features{})
	w.a.config.Resolvers = func(s []netip.Addr, _ string) { servers = s }
	router, mac := netip.MustParseAddr("fe80::fe"), wire.MAC{2, 0, 0, 0, 0, 0xfe}
	advertise := func(lifetime byte) {
		m := []byte{wire.NDPRouterAdvert, 0, 0, 0, 61, 0, 0, lifetime, 0, 0, 0, 0, 0, 0, 0, 0}
		m = append(m, wire.NDPSourceLink, 1, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])
		m = append(m, wire.NDPMTU, 1, 0, 0, 0, 0, 0x05, 0x78) // 1400
		m = append(m, wire.NDPPrefix, 4, 64, 0xc0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0)
		m = append(m, netip.MustParseAddr("2001:db8:1::").AsSlice()...)
		m = append(m, wire.NDPRDNSS, 3, 0, 0, 0, 0, 1, 0)
		m = append(m, netip.MustParseAddr("2001:db8:1::53").AsSlice()...)
		s := wire.Pseudo(router, wire.AllNodes, wire.ProtoICMPv6, len(m))
		s.Add(m)
		wire.ICMP(m).SetChecksum(s.Checksum())
		f := make([]byte, wire.EthernetSize+wire.IPv6Size, 200)
		wire.Ethernet(f).Encode(wire.MulticastMAC(wire.AllNodes), mac, wire.TypeIPv6)
		wire.IPv6(f[wire.EthernetSize:]).Encode(&wire.IPv6Fields{PayloadLen: len(m), NextHeader: wire.ProtoICMPv6, HopLimit: 255, Src: router, Dst: wire.AllNodes})
		w.link.B.Send(append(f, m...))
	}
	asked := 0
	var toRouter [][]byte // datagrams to the router
	w.link.A.Tap = func(f []byte) bool {
		if len(f) < 55 || f[12] != 0x86 {
			return true
		}
		if f[20] == wire.ProtoICMPv6 && f[54] == wire.NDPRouterSolicit {
			if asked++; asked == 2 {
				w.clock.At(w.clock.Now()+1000, func() { advertise(200) })
			}
		} else if wire.MAC(f[:6]) == mac && f[20] == wire.ProtoUDP {
			toRouter = append(toRouter, append([]byte(nil), f...))
		}
		return true
	}
	c := hypercall.NetConfig{Flags: hypercall.NetIP6 | hypercall.NetRouter, Addr: w.a.addr.As4(), Prefix: 24}
	c.IP6.Key = [16]byte{1, 2, 3}
	if err := w.a.iface.Configure(c); err != nil {
		t.Fatal(err)
	}
	w.clock.Run(6 * seconds)
	i := w.a.iface
	prefix := netip.MustParsePrefix("2001:db8:1::/64")
	auto := func() (list []netip.Addr) {
		for _, a := range i.link6.Addrs() {
			if a.Auto {
				list = append(list, a.Addr())
			}
		}
		return list
	}
	addrs := auto()
	if asked != 2 || len(addrs) != 1 || !prefix.Contains(addrs[0]) || i.link6.MTU != 1400 || i.link6.HopLimit != 61 ||
		!slices.Equal(servers, []netip.Addr{netip.MustParseAddr("2001:db8:1::53")}) {
		t.Fatalf("asked %d times: %v, MTU %d, hop limit %d, servers %v", asked, i.link6.Addrs(), i.link6.MTU, i.link6.HopLimit, servers)
	}
	// What is beyond goes to the router, from the new address.
	far := netip.MustParseAddr("2001:db8:f::1")
	k := w.a.socket6(t, sockDgram)
	_, e := k.Send([]byte("x"), netip.AddrPortFrom(far, 53), 0)
	k.must(e)
	w.clock.Run(seconds)
	if len(toRouter) != 1 {
		t.Fatalf("%d frames went to the router", len(toRouter))
	}
	if h := wire.IPv6(toRouter[0][wire.EthernetSize:]); h.Src() != addrs[0] || h.Dst() != far || h.HopLimit() != 61 {
		t.Errorf("sent from %v to %v with hop limit %d", h.Src(), h.Dst(), h.HopLimit())
	}
	// The same secret makes the same address again (RFC 7217); a duplicate makes another.
	if err := i.Configure(c); err != nil {
		t.Fatal(err)
	}
	advertise(200)
	w.clock.Run(2 * seconds)
	if again := auto(); !slices.Equal(again, addrs) {
		t.Errorf("%v became %v", addrs, again)
	}
	w.a.Do(func(*Boxes, []*Interface) { i.duplicate(addrs[0]) })
	if other := auto(); len(other) != 1 || other[0] == addrs[0] || !prefix.Contains(other[0]) {
		t.Errorf("after a duplicate: %v", other)
	}
	// The router goes, and in the end the address.
	advertise(0)
	w.clock.Run(seconds)
	if _, e := k.Send([]byte("x"), netip.AddrPortFrom(far, 53), 0); e == 0 {
		t.Error("there still is a route")
	}
	w.clock.Run(600 * seconds)
	if left := auto(); len(left) != 0 {
		t.Errorf("still there: %v", left)
	}
}

// TestGroupsAnnounced joins groups of both IPs and looks at the reports, as a switch would.
func TestGroupsAnnounced(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{Delay: 1000}, nic.Features{}).with6()
	var igmp, mld [][]byte
	w.link.A.Tap = func(f []byte) bool {
		f = append([]byte(nil), f...)
		switch ip := f[wire.EthernetSize:]; {
		case f[12] == 0x08 && f[13] == 0 && ip[9] == wire.ProtoIGMP:
			h, ok := wire.ParseIPv4(ip)
			if !ok || !h.ChecksumOK() || len(h) != wire.RouterAlertSize || h.TTL() != 1 || wire.Checksum(ip[len(h):h.TotalLen()]) != 0 {
				t.Errorf("%x", ip)
			}
			igmp = append(igmp, ip[len(h):h.TotalLen()])
		case f[12] == 0x86 && ip[6] == wire.ProtoHopByHop:
			h := wire.IPv6(ip[:wire.IPv6Size])
			m := ip[wire.IPv6Size+8:]
			s := wire.Pseudo(h.Src(), h.Dst(), wire.ProtoICMPv6, len(m))
			if s.Add(m); s.Checksum() != 0 || h.HopLimit() != 1 || !h.Src().IsLinkLocalUnicast() {
				t.Errorf("%x", ip)
			}
			mld = append(mld, m)
		}
		return true
	}
	d4, d6 := w.a.socket(t, sockDgram, 0), w.a.socket6(t, sockDgram)
	d4.must(d4.SetOption(solIP, ipAddMembership, []byte{239, 1, 2, 3, 0, 0, 0, 0, 2, 0, 0, 0}))
	group := netip.MustParseAddr("ff05::1234")
	g := group.As16()
	d6.must(d6.SetOption(solIPv6, ipv6JoinGroup, append(g[:], 2, 0, 0, 0)))
	w.clock.Run(3 * seconds)
	want4 := []byte{wire.GroupToExclude, 0, 0, 0, 239, 1, 2, 3}
	want6 := append([]byte{wire.GroupToExclude, 0, 0, 0}, g[:]...)
	for i := range 2 {
		if len(igmp) != 2 || len(mld) != 2 || !bytes.Equal(igmp[i][8:], want4) || !bytes.Equal(mld[i][8:], want6) {
			t.Fatalf("after joining: %x, %x", igmp, mld)
		}
	}
	// A router asks: each group is named, also those of the host's addresses.
	igmp, mld = nil, nil
	w.b.Do(func(b *Boxes, _ []*Interface) {
		p := w.b.pool.Linear(12)
		copy(p.Bytes(), []byte{wire.IGMPQuery, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0})
		wire.ICMP(p.Bytes()).SetChecksum(wire.Checksum(p.Bytes()))
		p.Dst, p.Link, p.Proto, p.TTL = netip.MustParseAddr("224.0.0.1"), 2, wire.ProtoIGMP, 1
		b.IP4.Send(p)
		p = w.b.pool.Linear(28)
		clear(p.Bytes())
		copy(p.Bytes(), []byte{wire.MLDQuery, 0, 0, 0, 3, 232})
		src := w.b.iface.link6.LinkLocal()
		s := wire.Pseudo(src, wire.AllNodes, wire.ProtoICMPv6, 28)
		p.Sum(&s)
		wire.ICMP(p.Bytes()).SetChecksum(s.Checksum())
		p.Src, p.Dst, p.Link, p.Proto, p.TTL = src, wire.AllNodes, 2, wire.ProtoICMPv6, 1
		b.IP6.Send(p)
	})
	w.clock.Run(3 * seconds)
	if len(igmp) != 1 || len(mld) != 1 || igmp[0][7] != 1 || igmp[0][8] != wire.GroupIsExclude || mld[0][7] != 3 || !bytes.Contains(mld[0], want6[4:]) {
		t.Errorf("asked: %x, %x", igmp, mld)
	}
	igmp, mld = nil, nil
	d4.Close()
	d6.Close()
	w.clock.Run(3 * seconds)
	if len(igmp) != 2 || len(mld) != 2 || igmp[0][8] != wire.GroupToInclude || mld[0][8] != wire.GroupToInclude {
		t.Errorf("after leaving: %x, %x", igmp, mld)
	}
}
