package wire

import (
	"bytes"
	"net/netip"
	"testing"
)

var (
	ip6a = netip.MustParseAddr("fe80::1")
	ip6b = netip.MustParseAddr("2001:db8::2")
)

func TestIPv6(t *testing.T) {
	want := unhex(t, "6ab12345 0010 3a40 fe800000000000000000000000000001 20010db8000000000000000000000002")
	b := make(IPv6, IPv6Size)
	b.Encode(&IPv6Fields{TrafficClass: 0xab, FlowLabel: 0x12345, PayloadLen: 16, NextHeader: ProtoICMPv6, HopLimit: 64, Src: ip6a, Dst: ip6b})
	if !bytes.Equal(b, want) {
		t.Errorf("encoded %x, want %x", []byte(b), want)
	}
	h, ok := ParseIPv6(append(want, 1, 2))
	if !ok || h.TrafficClass() != 0xab || h.FlowLabel() != 0x12345 || h.PayloadLen() != 16 || h.NextHeader() != ProtoICMPv6 ||
		h.HopLimit() != 64 || h.Src() != ip6a || h.Dst() != ip6b {
		t.Errorf("parsed %v %x", ok, []byte(h))
	}
	if _, ok := ParseIPv6(want[:39]); ok {
		t.Error("39 bytes accepted")
	}
	if _, ok := ParseIPv6(append([]byte{0x45}, want[1:]...)); ok {
		t.Error("version 4 accepted")
	}
}

func TestIPv6Fragment(t *testing.T) {
	want := unhex(t, "1100 05a9 01020304")
	b := make(IPv6Fragment, IPv6FragmentSize)
	b.Encode(ProtoUDP, 1448, true, 0x01020304)
	if !bytes.Equal(b, want) {
		t.Errorf("encoded %x, want %x", []byte(b), want)
	}
	h, ok := ParseIPv6Fragment(want)
	if !ok || h.NextHeader() != ProtoUDP || h.Offset() != 1448 || !h.More() || h.ID() != 0x01020304 {
		t.Errorf("parsed %v %x", ok, []byte(h))
	}
}

func TestIPv6Options(t *testing.T) {
	h, ok := ParseIPv6Ext(unhex(t, "3a00 0502 0000 0100"))
	if !ok || h.NextHeader() != ProtoICMPv6 || len(h) != 8 {
		t.Fatalf("%v %x", ok, []byte(h))
	}
	kind, v, i, ok := h.Option(2)
	if kind != OptRouterAlert || !bytes.Equal(v, []byte{0, 0}) || i != 6 || !ok {
		t.Errorf("router alert: %d %x %d %v", kind, v, i, ok)
	}
	if kind, _, i, ok = h.Option(i); kind != 1 || i != 8 || !ok {
		t.Errorf("padding: %d %d %v", kind, i, ok)
	}
	for _, bad := range []string{"3a00 0505 0000 0100", "3a00 0000 0000 0001"} {
		h, _ := ParseIPv6Ext(unhex(t, bad))
		n := 0
		for i, ok := 2, true; ok && i < len(h); n++ {
			_, _, i, ok = h.Option(i)
			if !ok {
				n = 100
			}
		}
		if n < 100 {
			t.Errorf("%s: accepted", bad)
		}
	}
	if _, ok := ParseIPv6Ext(make([]byte, 7)); ok {
		t.Error("7 bytes accepted")
	}
	if _, ok := ParseIPv6Ext([]byte{0, 1, 0, 0, 0, 0, 0, 0}); ok {
		t.Error("a header longer than its packet accepted")
	}
}

func TestGroups6(t *testing.T) {
	a := netip.MustParseAddr("2001:db8::aabb:ccdd")
	g := SolicitedNode(a)
	if g != netip.MustParseAddr("ff02::1:ffbb:ccdd") {
		t.Errorf("solicited node group %v", g)
	}
	if m := MulticastMAC(g); m != (MAC{0x33, 0x33, 0xff, 0xbb, 0xcc, 0xdd}) {
		t.Errorf("its Ethernet address %v", m)
	}
}

func TestNDP(t *testing.T) {
	b := make(NDP, NDPNeighbourSize+NDPLinkAddrSize)
	b.EncodeNeighbour(NDPNeighbourAdvert, NDPSolicited|NDPOverride, ip6a, mac1)
	want := unhex(t, "8800 0000 60000000 fe800000000000000000000000000001 0201 020000000001")
	if !bytes.Equal(b, want) {
		t.Errorf("encoded %x, want %x", []byte(b), want)
	}
	h, ok := ParseNDP(want)
	if !ok || h.Target() != ip6a || h.Flags() != NDPSolicited|NDPOverride {
		t.Fatalf("parsed %v %x", ok, []byte(h))
	}
	if m, ok := h.Options().LinkAddr(NDPTargetLink); !ok || m != mac1 {
		t.Errorf("link address %v %v", m, ok)
	}
	if _, ok := h.Options().LinkAddr(NDPSourceLink); ok {
		t.Error("an option that is not there was found")
	}
	for name, bad := range map[string][]byte{
		"short":             want[:23],
		"option cut off":    want[:31],
		"option of 0 bytes": append(bytes.Clone(want[:24]), 2, 0, 0, 0, 0, 0, 0, 0),
		"no NDP":            append([]byte{128}, want[1:]...),
		"too many options":  append(bytes.Clone(want[:24]), bytes.Repeat([]byte{9, 1, 0, 0, 0, 0, 0, 0}, NDPMaxOptions+1)...),
	} {
		if _, ok := ParseNDP(bad); ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNDPRouter(t *testing.T) {
	b := unhex(t, `8600 0000 40 c8 0708 00007530 000003e8
		0101 020000000002
		0501 0000 000005dc
		0304 40c0 00278d00 00093a80 00000000 20010db8000100000000000000000000
		1903 0000 00000e10 20010db8000000000000000000000053`)
	h, ok := ParseNDP(b)
	if !ok || h.HopLimit() != 64 || !h.Managed() || !h.OtherConfig() || h.Preference() != 1 || h.RouterLifetime() != 1800 ||
		h.ReachableTime() != 30000 || h.RetransmitTimer() != 1000 {
		t.Fatalf("parsed %v %x", ok, []byte(h))
	}
	seen := 0
	for kind, o, rest, more := h.Options().Next(); more; kind, o, rest, more = rest.Next() {
		switch kind {
		case NDPMTU:
			if n, ok := ParseNDPMTU(o); !ok || n != 1500 {
				t.Errorf("MTU %d %v", n, ok)
			}
		case NDPPrefix:
			p, ok := ParseNDPPrefix(o)
			if !ok || p.Prefix != netip.MustParsePrefix("2001:db8:1::/64") || !p.OnLink || !p.Auto || p.Valid != 2592000 || p.Preferred != 604800 {
				t.Errorf("prefix %+v %v", p, ok)
			}
		case NDPRDNSS:
			d, ok := ParseNDPServers(o)
			if !ok || d.Len() != 1 || d.At(0) != netip.MustParseAddr("2001:db8::53") || d.Lifetime() != 3600 {
				t.Errorf("servers %x %v", o, ok)
			}
		}
		seen++
	}
	if seen != 4 {
		t.Errorf("%d options", seen)
	}
	for _, bad := range [][]byte{nil, make([]byte, 31), append([]byte{3, 4, 129}, make([]byte, 29)...)} {
		if _, ok := ParseNDPPrefix(bad); ok {
			t.Errorf("prefix %x accepted", bad)
		}
	}
	rs := make(NDP, NDPRouterSolicitSize+NDPLinkAddrSize)
	rs.EncodeRouterSolicit(mac1)
	if want := unhex(t, "8500 0000 00000000 0101 020000000001"); !bytes.Equal(rs, want) {
		t.Errorf("solicitation %x, want %x", []byte(rs), want)
	}
}

func FuzzIPv6(f *testing.F) {
	f.Add(unhex(&testing.T{}, "60012345 0010 3a40 fe800000000000000000000000000001 20010db8000000000000000000000002"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseIPv6(b)
		if !ok {
			return
		}
		c := make(IPv6, IPv6Size)
		c.Encode(&IPv6Fields{TrafficClass: h.TrafficClass(), FlowLabel: h.FlowLabel(), PayloadLen: h.PayloadLen(),
			NextHeader: h.NextHeader(), HopLimit: h.HopLimit(), Src: h.Src(), Dst: h.Dst()})
		if !bytes.Equal(c, h) {
			t.Errorf("%x became %x", []byte(h), []byte(c))
		}
	})
}

func FuzzIPv6Ext(f *testing.F) {
	f.Add([]byte{0x3a, 0, 5, 2, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := ParseIPv6Ext(b); ok {
			_, _, _ = h.NextHeader(), h.RoutingType(), h.SegmentsLeft()
			for i, ok := 2, true; ok && i < len(h); {
				was := i
				if _, _, i, ok = h.Option(i); ok && (i <= was || i > len(h)) {
					t.Fatalf("from %d to %d of %d", was, i, len(h))
				}
			}
		}
		if h, ok := ParseIPv6Fragment(b); ok {
			if h.Offset() > 65528 || h.Offset()%8 != 0 {
				t.Errorf("offset %d", h.Offset())
			}
			c := make(IPv6Fragment, IPv6FragmentSize)
			c.Encode(h.NextHeader(), h.Offset(), h.More(), h.ID())
			if c.Offset() != h.Offset() || c.More() != h.More() || c.ID() != h.ID() || c.NextHeader() != h.NextHeader() {
				t.Errorf("%x became %x", []byte(h), []byte(c))
			}
		}
	})
}

func FuzzNDP(f *testing.F) {
	f.Add(unhex(&testing.T{}, "8800 0000 60000000 fe800000000000000000000000000001 0201 020000000001"))
	f.Add(unhex(&testing.T{}, `8600 0000 40 c8 0708 00007530 000003e8 0101 020000000002 0501 0000 000005dc
		0304 40c0 00278d00 00093a80 00000000 20010db8000100000000000000000000 1903 0000 00000e10 20010db8000000000000000000000053`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseNDP(b)
		if !ok {
			return
		}
		switch h.Type() {
		case NDPNeighbourAdvert, NDPNeighbourSolicit:
			_, _ = h.Target(), h.Flags()
		case NDPRouterAdvert:
			_, _, _, _ = h.HopLimit(), h.Preference(), h.RouterLifetime(), h.ReachableTime()
			_, _, _ = h.RetransmitTimer(), h.Managed(), h.OtherConfig()
		}
		h.Options().LinkAddr(NDPSourceLink)
		n := 0
		for kind, o, rest, more := h.Options().Next(); more; kind, o, rest, more = rest.Next() {
			if n++; len(o) < 8 || o[0] != kind {
				t.Fatalf("option %d: %x", kind, o)
			}
			if p, ok := ParseNDPPrefix(o); ok && (!p.Prefix.IsValid() || p.Prefix != p.Prefix.Masked()) {
				t.Errorf("prefix %v", p.Prefix)
			}
			ParseNDPMTU(o)
			if d, ok := ParseNDPSearch(o); ok && len(d.Domains(3)) > 3 {
				t.Errorf("%q", d.Domains(9))
			}
			if d, ok := ParseNDPServers(o); ok {
				for i := range d.Len() {
					d.At(i)
				}
			}
		}
		if n > NDPMaxOptions {
			t.Errorf("%d options", n)
		}
	})
}
