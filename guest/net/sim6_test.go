package net

import (
	"bytes"
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// with6 gives both hosts of a world 2001:db8::1 and ::2, beside their link-local addresses.
func (w *world) with6() *world {
	w.t.Helper()
	for _, h := range []*host{w.a, w.b} {
		c := hypercall.NetConfig{Flags: hypercall.NetIP6, Addr: h.addr.As4(), Prefix: 24}
		c.IP6.Addr, c.IP6.Prefix = h.addr6().As16(), 64
		if err := h.iface.Configure(c); err != nil {
			w.t.Fatal(err)
		}
	}
	w.clock.Run(2 * seconds) // detection of duplicates
	return w
}

// addr6 is the host's global address.
func (h *host) addr6() netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: h.addr.As4()[3]})
}

// TestEcho6 pings a host at each of its addresses.
func TestEcho6(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{}).with6()
	local := w.b.iface.link6.LinkLocal()
	if !local.IsLinkLocalUnicast() {
		t.Fatalf("link-local address %v", local)
	}
	for _, dst := range []netip.Addr{w.b.addr6(), local, wire.AllNodes} {
		var from []netip.Addr
		w.a.Do(func(b *Boxes, _ []*Interface) {
			b.ICMP6.ToPing = func(p *packet.Packet) {
				if !bytes.HasSuffix(p.Bytes(), []byte("hello")) {
					t.Errorf("%x", p.Bytes())
				}
				from = append(from, p.Src)
				p.Release()
			}
			p := w.a.pool.Linear(wire.ICMPSize + 5)
			wire.ICMP(p.Bytes()).Encode(wire.ICMP6Echo, 0, 1)
			copy(p.Bytes()[wire.ICMPSize:], "hello")
			p.Src, p.Dst, p.Link, p.Proto = w.a.source6(dst, 2), dst, 2, wire.ProtoICMPv6
			s := wire.Pseudo(p.Src, dst, wire.ProtoICMPv6, p.Len())
			p.Sum(&s)
			wire.ICMP(p.Bytes()).SetChecksum(s.Checksum())
			b.IP6.Send(p)
		})
		w.clock.Run(1 * seconds)
		want := dst
		if dst.IsMulticast() {
			want = local
		}
		if len(from) != 1 || from[0] != want {
			t.Errorf("%v: answers from %v", dst, from)
		}
	}
}

// TestDuplicate6 gives two hosts the same address: the second one gives it up, and makes itself another link-local one.
func TestDuplicate6(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{}).with6()
	c := hypercall.NetConfig{Flags: hypercall.NetIP6}
	c.IP6.Addr, c.IP6.Prefix = w.b.addr6().As16(), 64
	if err := w.a.iface.Configure(c); err != nil {
		t.Fatal(err)
	}
	w.clock.Run(2 * seconds)
	if w.a.iface.link6.Owns(w.b.addr6()) || !w.b.iface.link6.Owns(w.b.addr6()) {
		t.Error("a duplicate address is in use")
	}
	var first, second netip.Addr
	w.a.Do(func(*Boxes, []*Interface) {
		first = w.a.iface.link6.LinkLocal()
		w.a.iface.duplicate(first)
		second = w.a.iface.link6.LinkLocal()
	})
	if !second.IsLinkLocalUnicast() || second == first {
		t.Errorf("after %v: %v", first, second)
	}
}

// TestSmallLink6: where packets of 1280 bytes do not fit there is no IPv6.
func TestSmallLink6(t *testing.T) {
	s := New(Config{})
	i, err := s.AddCard(Card{
		Name: "eth0", MAC: [6]byte{2, 0, 0, 0, 0, 1}, MTU: 1279,
		Transmit: func(p *packet.Packet) bool { p.Release(); return true }, Flush: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Configure(hypercall.NetConfig{Flags: hypercall.NetIP6}); err != nil || len(i.link6.Addrs()) != 0 {
		t.Errorf("addresses %v, %v", i.link6.Addrs(), err)
	}
}
