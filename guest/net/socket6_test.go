package net

import (
	"bytes"
	"net/netip"
	"strconv"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/udp"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
)

func (h *host) socket6(t testing.TB, typ int) *sock {
	t.Helper()
	k, e := h.Socket6(typ, 0)
	if e != 0 {
		t.Fatalf("socket: %v", e)
	}
	return watch(t, k)
}

// local6 is the host's link-local address as programs have it.
func (h *host) local6() netip.Addr {
	return h.iface.link6.LinkLocal().WithZone(strconv.Itoa(h.iface.Index()))
}

// dial6 connects from to an address, and returns what the listener accepts, and from where.
func (w *world) dial6(from *host, l *sock, to netip.AddrPort) (client, server *sock, peer netip.AddrPort) {
	w.t.Helper()
	c := from.socket6(w.t, sockStream)
	c.must(c.Connect(to), syscall.EINPROGRESS)
	if !w.clock.RunUntil(30*seconds, func() bool { return l.level&posix.EventIn != 0 && c.level&posix.EventOut != 0 }) {
		w.t.Fatalf("no connection to %v", to)
	}
	k, peer, e := l.Accept()
	l.must(e)
	return c, watch(w.t, k), peer
}

func (s *sock) name(peer bool) netip.AddrPort {
	s.t.Helper()
	a, e := s.Name(peer)
	s.must(e)
	return a
}

func mapped(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }

// TestDualStack: one listener on [::] serves IPv6 and, unless IPV6_V6ONLY is set, IPv4.
func TestDualStack(t *testing.T) {
	for _, f := range []nic.Features{{}, offload} {
		w := newWorld(t, 1, nettest.Faults{Delay: 100_000}, f).with6()
		l := w.b.socket6(t, sockStream)
		l.must(l.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 80)))
		l.must(l.Listen(10))
		if a := l.name(false); a != netip.MustParseAddrPort("[::]:80") {
			t.Errorf("the listener is called %v", a)
		}
		for _, c := range []struct{ to, want netip.Addr }{
			{w.b.addr6(), w.a.addr6()},
			{mapped(w.b.addr), mapped(w.a.addr)},
		} {
			a, b, peer := w.dial6(w.a, l, netip.AddrPortFrom(c.to, 80))
			if peer.Addr() != c.want || b.name(true) != peer || b.name(false) != netip.AddrPortFrom(c.to, 80) || a.name(true) != b.name(false) || a.name(false) != peer {
				t.Errorf("to %v: accepted from %v; server %v to %v, client %v to %v", c.to, peer, b.name(false), b.name(true), a.name(false), a.name(true))
			}
			w.transfer(a, b, 3<<20)
			a.Close()
			b.Close()
		}
		// An IPv4 socket is IPv4's alone.
		c := w.a.socket(t, sockStream, 0)
		c.must(c.Connect(netip.AddrPortFrom(w.b.addr, 80)), syscall.EINPROGRESS)
		if !w.clock.RunUntil(seconds, func() bool { return c.level&posix.EventOut != 0 && l.level&posix.EventIn != 0 }) || c.name(false).Addr() != w.a.addr {
			t.Errorf("from an IPv4 socket: %x, %v", c.level, c.name(false))
		}
		k, _, e := l.Accept()
		l.must(e)
		k.Close()
		if e := w.a.socket(t, sockStream, 0).Connect(netip.AddrPortFrom(w.b.addr6(), 80)); e != syscall.EAFNOSUPPORT {
			t.Errorf("an IPv4 socket to an IPv6 address: %v", e)
		}
	}
}

func TestV6Only(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{}).with6()
	one, all4, all6 := []byte{1, 0, 0, 0}, netip.AddrPortFrom(netip.IPv4Unspecified(), 80), netip.AddrPortFrom(netip.IPv6Unspecified(), 80)
	l := w.b.socket6(t, sockStream)
	l.must(l.SetOption(solIPv6, ipv6V6Only, one))
	l.must(l.Bind(all6))
	l.must(l.Listen(10))
	if e := l.SetOption(solIPv6, ipv6V6Only, one); e != syscall.EINVAL {
		t.Errorf("IPV6_V6ONLY when bound: %v", e)
	}
	c := w.a.socket(t, sockStream, 0)
	c.must(c.Connect(netip.AddrPortFrom(w.b.addr, 80)), syscall.EINPROGRESS)
	w.clock.Run(seconds)
	var v [4]byte
	if c.Option(solSocket, soError, v[:]); syscall.Errno(v[0]) != syscall.ECONNREFUSED {
		t.Errorf("IPv4 to a listener for IPv6 only: %v", syscall.Errno(v[0]))
	}
	// The port is free for IPv4, and for nobody else.
	l4 := w.b.socket(t, sockStream, 0)
	l4.must(l4.Bind(all4))
	l4.must(l4.Listen(10))
	if e := w.b.socket6(t, sockStream).Bind(all6); e != syscall.EADDRINUSE {
		t.Errorf("both, when both are taken: %v", e)
	}
	o := w.a.socket6(t, sockStream)
	o.must(o.SetOption(solIPv6, ipv6V6Only, one))
	if e := o.Connect(netip.AddrPortFrom(mapped(w.b.addr), 80)); e != syscall.ENETUNREACH {
		t.Errorf("an IPv6-only socket to an IPv4 address: %v", e)
	}
	if e := o.Bind(netip.AddrPortFrom(mapped(w.a.addr), 1)); e != syscall.EADDRNOTAVAIL {
		t.Errorf("an IPv6-only socket at an IPv4 address: %v", e)
	}
	// Datagrams as well.
	d4, d6 := w.b.socket(t, sockDgram, 0), w.b.socket6(t, sockDgram)
	d6.must(d6.SetOption(solIPv6, ipv6V6Only, one))
	d6.must(d6.Bind(all6))
	d4.must(d4.Bind(all4))
	if e := w.b.socket6(t, sockDgram).Bind(all6); e != syscall.EADDRINUSE {
		t.Errorf("datagrams of both, when both are taken: %v", e)
	}
	from := w.a.socket6(t, sockDgram)
	for to, want := range map[netip.Addr]*sock{w.b.addr6(): d6, mapped(w.b.addr): d4} {
		_, e := from.Send([]byte("x"), netip.AddrPortFrom(to, 80), 0)
		from.must(e)
		w.clock.Run(seconds)
		for _, s := range []*sock{d4, d6} {
			_, peer, _, e := s.Recv(make([]byte, 9), 0)
			if (e == 0) != (s == want) {
				t.Errorf("to %v: %v, from %v", to, e, peer)
			}
		}
	}
}

// TestProbe does what Go's net package does to find out whether there is IPv6 and whether sockets can serve both.
func TestProbe(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{})
	for _, c := range []struct {
		addr string
		only byte
	}{{"::1", 1}, {"::ffff:127.0.0.1", 0}} {
		k := w.a.socket6(t, sockStream)
		k.must(k.SetOption(solIPv6, ipv6V6Only, []byte{c.only, 0, 0, 0}))
		k.must(k.Bind(netip.AddrPortFrom(netip.MustParseAddr(c.addr), 0)))
		k.must(k.Close())
	}
}

// TestLinkLocal talks over link-local addresses, which need an interface and say theirs.
func TestLinkLocal(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{}).with6()
	l := w.b.socket6(t, sockStream)
	l.must(l.Bind(netip.AddrPortFrom(w.b.local6(), 80)))
	l.must(l.Listen(10))
	if l.name(false).Addr() != w.b.local6() {
		t.Errorf("the listener is called %v", l.name(false))
	}
	to := netip.AddrPortFrom(w.b.local6(), 80)
	a, b, peer := w.dial6(w.a, l, to)
	if peer.Addr() != w.a.local6() || a.name(true) != to || a.name(false) != peer || b.name(false) != to {
		t.Errorf("from %v; client %v to %v, server %v", peer, a.name(false), a.name(true), b.name(false))
	}
	w.transfer(a, b, 1<<20)
	for _, c := range []struct {
		addr netip.Addr
		want syscall.Errno
	}{
		{w.b.local6().WithZone(""), syscall.EINVAL},
		{w.b.local6().WithZone("99"), syscall.ENETUNREACH},
	} {
		if e := w.a.socket6(t, sockStream).Connect(netip.AddrPortFrom(c.addr, 80)); e != c.want {
			t.Errorf("to %v: %v, want %v", c.addr, e, c.want)
		}
	}
	if e := w.b.socket6(t, sockStream).Bind(netip.AddrPortFrom(w.b.local6().WithZone(""), 81)); e != syscall.EADDRNOTAVAIL {
		t.Errorf("bind without interface: %v", e)
	}
	d, f := w.b.socket6(t, sockDgram), w.a.socket6(t, sockDgram)
	d.must(d.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 53)))
	_, e := f.Send([]byte("hello"), netip.AddrPortFrom(w.b.local6(), 53), 0)
	f.must(e)
	w.clock.Run(seconds)
	buf := make([]byte, 9)
	n, from, _, e := d.Recv(buf, 0)
	if d.must(e); string(buf[:n]) != "hello" || from.Addr() != w.a.local6() {
		t.Errorf("%q from %v", buf[:n], from)
	}
	d.must(d.Connect(from))
	if d.name(true) != from || d.name(false).Addr() != w.b.local6().WithZone("") && d.name(false).Addr() != w.b.local6() {
		t.Errorf("connected: %v to %v", d.name(false), d.name(true))
	}
	_, e = d.Send([]byte("answer"), netip.AddrPort{}, 0)
	d.must(e)
	w.clock.Run(seconds)
	if n, _, _, e := f.Recv(buf, 0); e != 0 || string(buf[:n]) != "answer" {
		t.Errorf("%q, %v", buf[:n], e)
	}
}

// TestDatagrams6 sends datagrams up to the longest there can be, in fragments, to another host and to this one.
func TestDatagrams6(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{Delay: 1000}, nic.Features{TxChecksum: true}).with6()
	for _, h := range []*host{w.b, w.a} {
		d, f := h.socket6(t, sockDgram), w.a.socket6(t, sockDgram)
		d.must(d.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 53)))
		d.must(d.SetOption(solSocket, soRcvBuf, []byte{0, 0, 8, 0}))
		for _, n := range []int{0, 1, 1452, 1453, 9000, 65507, udp.MaxPayload6} {
			want := bytes.Repeat([]byte("0123456789a"), n/11+1)[:n]
			_, e := f.Send(want, netip.AddrPortFrom(h.addr6(), 53), 0)
			f.must(e)
			w.clock.Run(seconds)
			buf := make([]byte, 70000)
			got, _, _, e := d.Recv(buf, 0)
			if e != 0 || !bytes.Equal(buf[:got], want) {
				t.Errorf("%d bytes: %d, %v", n, got, e)
			}
		}
		if _, e := f.Send(make([]byte, udp.MaxPayload6+1), netip.AddrPortFrom(h.addr6(), 53), 0); e != syscall.EMSGSIZE {
			t.Errorf("a byte too many: %v", e)
		}
		d.Close()
	}
	// Nobody has the port.
	f := w.a.socket6(t, sockDgram)
	f.must(f.Connect(netip.AddrPortFrom(w.b.addr6(), 99)))
	_, e := f.Send([]byte("x"), netip.AddrPort{}, 0)
	f.must(e)
	w.clock.Run(seconds)
	if _, _, _, e := f.Recv(make([]byte, 9), 0); e != syscall.ECONNREFUSED {
		t.Errorf("nobody there: %v", e)
	}
}

// TestPathMTU6: a router in between says that the path takes less; TCP and UDP keep to it.
func TestPathMTU6(t *testing.T) {
	const mtu = 1300
	w := newWorld(t, 1, nettest.Faults{Delay: 1_000_000}, nic.Features{}).with6()
	l := w.b.socket6(t, sockStream)
	l.must(l.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 80)))
	l.must(l.Listen(10))
	dropped := 0
	w.link.A.Tap = func(f []byte) bool {
		if len(f) <= mtu+wire.EthernetSize {
			return true
		}
		dropped++
		quote := f[wire.EthernetSize:][:1232]
		// The answer comes from the router, on the next occasion.
		w.clock.At(w.clock.Now()+1000, func() {
			router := netip.MustParseAddr("2001:db8::fe")
			p := w.a.pool.Receive(wire.EthernetSize + wire.IPv6Size + wire.ICMPSize + len(quote))
			b := p.Bytes()[:wire.EthernetSize+wire.IPv6Size+wire.ICMPSize+len(quote)]
			p.Truncate(len(b))
			wire.Ethernet(b).Encode(w.a.iface.Eth.MAC, wire.MAC{2, 0, 0, 0, 0, 0xfe}, wire.TypeIPv6)
			m := b[wire.EthernetSize+wire.IPv6Size:]
			wire.IPv6(b[wire.EthernetSize:]).Encode(&wire.IPv6Fields{PayloadLen: len(m), NextHeader: wire.ProtoICMPv6, HopLimit: 64, Src: router, Dst: w.a.addr6()})
			wire.ICMP(m).Encode(wire.ICMP6TooBig, 0, mtu)
			copy(m[wire.ICMPSize:], quote)
			s := wire.Pseudo(router, w.a.addr6(), wire.ProtoICMPv6, len(m))
			s.Add(m)
			wire.ICMP(m).SetChecksum(s.Checksum())
			w.a.iface.Receive([]*packet.Packet{p})
		})
		return false
	}
	a, b, _ := w.dial6(w.a, l, netip.AddrPortFrom(w.b.addr6(), 80))
	w.transfer(a, b, 1<<20)
	if dropped == 0 || dropped > 100 {
		t.Errorf("%d packets were too long", dropped)
	}
	d, f := w.b.socket6(t, sockDgram), w.a.socket6(t, sockDgram)
	d.must(d.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 53)))
	for i := range 2 {
		_, e := f.Send(make([]byte, 1400), netip.AddrPortFrom(w.b.addr6(), 53), 0)
		f.must(e)
		w.clock.Run(seconds)
		n, _, _, e := d.Recv(make([]byte, 2000), 0)
		if (e == 0) != (i == 1) || e == 0 && n != 1400 {
			t.Errorf("datagram %d: %d bytes, %v", i, n, e)
		}
	}
}

// TestMulticast6 sends to a group.
func TestMulticast6(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{}).with6()
	group := netip.MustParseAddr("ff02::1234")
	g := group.As16()
	mreq := append(g[:], 2, 0, 0, 0)
	d, f := w.b.socket6(t, sockDgram), w.a.socket6(t, sockDgram)
	d.must(d.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 5353)))
	f.must(f.SetOption(solIPv6, ipv6MulticastIf, []byte{2, 0, 0, 0}))
	receive := func() syscall.Errno {
		_, e := f.Send([]byte("x"), netip.AddrPortFrom(group, 5353), 0)
		f.must(e)
		w.clock.Run(seconds)
		_, from, _, e := d.Recv(make([]byte, 9), 0)
		if e == 0 && from.Addr() != w.a.local6() {
			t.Errorf("from %v", from)
		}
		return e
	}
	if e := receive(); e != syscall.EAGAIN {
		t.Errorf("not joined: %v", e)
	}
	d.must(d.SetOption(solIPv6, ipv6JoinGroup, mreq))
	if e := d.SetOption(solIPv6, ipv6JoinGroup, mreq); e != syscall.EADDRINUSE {
		t.Errorf("joined again: %v", e)
	}
	d.must(receive())
	d.must(d.SetOption(solIPv6, ipv6LeaveGroup, mreq))
	if e := receive(); e != syscall.EAGAIN {
		t.Errorf("left: %v", e)
	}
	d.must(d.SetOption(solIPv6, ipv6JoinGroup, mreq))
	d.Close()
	if w.b.iface.link6.InGroup(group) {
		t.Error("still in the group after Close")
	}
}

func TestOptions6(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{})
	for _, typ := range []int{sockStream, sockDgram} {
		k := w.a.socket6(t, typ)
		for _, c := range []struct {
			name, value, want int
			set               bool
		}{
			{ipv6V6Only, 0, 0, true}, {ipv6V6Only, 1, 1, true}, {ipv6UnicastHops, 0, 64, false}, {ipv6UnicastHops, 9, 9, true},
			{ipv6TClass, 0xb8, 0xb8, true},
		} {
			if c.set {
				k.must(k.SetOption(solIPv6, c.name, []byte{byte(c.value), 0, 0, 0}))
			}
			var v [4]byte
			if _, e := k.Option(solIPv6, c.name, v[:]); e != 0 || int(v[0]) != c.want {
				t.Errorf("type %d, option %d: %d, %v", typ, c.name, v[0], e)
			}
		}
		var v [4]byte
		if k.Option(solSocket, soDomain, v[:]); v[0] != afInet6 {
			t.Errorf("domain %d", v[0])
		}
		if e := k.SetOption(solIPv6, 9999, v[:]); e != syscall.ENOPROTOOPT {
			t.Errorf("unknown option: %v", e)
		}
		k4 := w.a.socket(t, typ, 0)
		if e := k4.SetOption(solIPv6, ipv6V6Only, v[:]); e != syscall.ENOPROTOOPT {
			t.Errorf("IPV6_V6ONLY of an IPv4 socket: %v", e)
		}
	}
}
