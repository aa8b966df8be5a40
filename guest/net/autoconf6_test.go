package net

import (
	"net/netip"
	"slices"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// advertise6 has router b say, in an advertisement with these flags, that there is a prefix, a DNS server with a link-local
// address, and a search list.
func (w *world) advertise6(flags byte) {
	m := []byte{wire.NDPRouterAdvert, 0, 0, 0, 64, flags, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	m = append(m, wire.NDPPrefix, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0)
	m = append(m, netip.MustParseAddr("2001:db8:1::").AsSlice()...)
	m = append(m, wire.NDPRDNSS, 3, 0, 0, 0, 0, 14, 16)
	m = append(m, netip.MustParseAddr("fe80::53").AsSlice()...)
	m = append(m, wire.NDPDNSSL, 2, 0, 0, 0, 0, 14, 16, 3, 'l', 'a', 'n', 0, 0, 0, 0)
	w.b.Do(func(b *Boxes, _ []*Interface) {
		p := w.b.pool.Linear(len(m))
		copy(p.Bytes(), m)
		p.Src, p.Dst, p.Link, p.Proto, p.TTL = w.b.iface.link6.LinkLocal(), wire.AllNodes, 2, wire.ProtoICMPv6, 255
		s := wire.Pseudo(p.Src, p.Dst, wire.ProtoICMPv6, p.Len())
		p.Sum(&s)
		wire.ICMP(p.Bytes()).SetChecksum(s.Checksum())
		b.IP6.Send(p)
	})
}

// TestDHCP6 configures a host that has IPv6 only: the address as a router says, and, as that says there is one, DNS servers
// and domains as a DHCPv6 server says. It is ready when both have spoken, and does not wait long for the second.
func TestDHCP6(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		w := newWorld(t, 1, nettest.Faults{Delay: 1_000_000}, nic.Features{}).with6()
		var servers []netip.Addr
		var search string
		w.a.config.Resolvers = func(s []netip.Addr, d string) { servers, search = s, d }
		i := w.a.iface
		w.a.Do(func(b *Boxes, _ []*Interface) {
			b.IP4.RemoveAddrs(&i.link)
			i.ready = make(chan struct{})
		})
		ready := func() bool {
			select {
			case <-i.Ready():
				return true
			default:
				return false
			}
		}
		if err := i.Configure(hypercall.NetConfig{Flags: hypercall.NetIP6 | hypercall.NetRouter}); err != nil {
			t.Fatal(err)
		}
		d := w.b.socket6(t, sockDgram)
		d.must(d.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), wire.DHCP6ServerPort)))
		group := wire.AllDHCP6Servers.As16()
		d.must(d.SetOption(solIPv6, ipv6JoinGroup, append(group[:], 2, 0, 0, 0)))
		// receive takes the next request.
		receive := func() (wire.DHCP6, netip.AddrPort) {
			t.Helper()
			b := make([]byte, 500)
			n, from, _, e := d.Recv(b, 0)
			d.must(e)
			h, ok := wire.ParseDHCP6(b[:n])
			if !ok || h.Type() != wire.DHCP6InformationRequest || from.Port() != wire.DHCP6ClientPort || from.Addr() != w.a.iface.link6.LinkLocal().WithZone("2") {
				t.Fatalf("%x from %v", b[:n], from)
			}
			return h, from
		}
		w.advertise6(0x40)
		w.clock.Run(100 * millisecond)
		h, from := receive()
		want := []netip.Addr{netip.MustParseAddr("fe80::53%eth0")}
		if ready() || !slices.Equal(servers, want) || search != "lan" {
			t.Fatalf("before the server has spoken: ready %v, servers %v, search %q", ready(), servers, search)
		}
		if deaf {
			if w.clock.Run(1200 * millisecond); !ready() {
				t.Error("still waiting for a server that does not answer")
			}
			h, from = receive() // asked again
		}
		reply := make(wire.DHCP6, wire.DHCP6Size)
		reply.Encode(wire.DHCP6Reply, h.XID())
		id, _ := h.Options().Get(wire.Opt6ClientID)
		o := wire.DHCP6Options(reply).Append(wire.Opt6ClientID, id...).Append(wire.Opt6ServerID, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1)
		o = o.Append(wire.Opt6DNS, netip.MustParseAddr("2001:db8::53").AsSlice()...)
		o = o.Append(wire.Opt6Domains, []byte("\x07example\x03org\x00\x03lan\x00")...)
		// From elsewhere it is not heard.
		f := w.b.socket6(t, sockDgram)
		f.must(f.Bind(netip.AddrPortFrom(w.b.addr6(), 1000)))
		_, e := f.Send(o, from, 0)
		f.must(e)
		w.clock.Run(100 * millisecond)
		if !slices.Equal(servers, want) {
			t.Errorf("from an address that is not of the link: %v", servers)
		}
		_, e = d.Send(o, from, 0)
		d.must(e)
		w.clock.Run(100 * millisecond)
		want = []netip.Addr{netip.MustParseAddr("2001:db8::53"), want[0]}
		if !ready() || !slices.Equal(servers, want) || search != "example.org lan" {
			t.Errorf("configured: ready %v, servers %v, search %q", ready(), servers, search)
		}
		if s := i.DHCP6.Stats; s.PacketsRx != 1 || s.PacketsTx < 1 {
			t.Errorf("%+v", s)
		}
		// Without the flag nobody is asked, and what was learned is forgotten.
		if err := i.Configure(hypercall.NetConfig{Flags: hypercall.NetIP6 | hypercall.NetRouter}); err != nil {
			t.Fatal(err)
		}
		w.advertise6(0)
		w.clock.Run(seconds)
		if n := i.DHCP6.Stats.PacketsTx; n > 2 || !slices.Equal(servers, want[1:]) || search != "lan" {
			t.Errorf("without the flag: %d requests, servers %v, search %q", n, servers, search)
		}
		k := w.a.socket6(t, sockDgram)
		k.must(k.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), wire.DHCP6ClientPort))) // free again
	}
}
