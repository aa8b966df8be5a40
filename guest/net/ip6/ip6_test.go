package ip6

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/fragment"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

var (
	addr   = netip.MustParseAddr
	ourIP  = addr("2001:db8::1")
	ourLL  = addr("fe80::1")
	peerIP = addr("2001:db8::2")
	peerLL = addr("fe80::2")
	farIP  = addr("2001:db8:f::1")
	router = addr("fe80::fe")
)

// lab is a box with a card, and its surroundings.
type lab struct {
	t        testing.TB
	box      Box
	lo, card Link
	wheel    timer.Wheel
	pool     packet.Pool
	now      int64
	up, down [][]byte // payloads delivered, packets sent
	next     []netip.Addr
	problems [][2]int // code and offset
	late     int
}

func newLab(t testing.TB) *lab {
	l := &lab{t: t, now: 3600e9}
	b := &l.box
	rng := rand.New(rand.NewPCG(1, 1))
	b.Now, b.Random, b.Wheel, b.Pool = func() int64 { return l.now }, rng.Uint64, &l.wheel, &l.pool
	l.wheel.Advance(l.now)
	record := func(p *packet.Packet) {
		d := make([]byte, p.Len())
		p.CopyOut(d)
		l.up = append(l.up, d)
		p.Release()
	}
	b.ToUDP, b.ToTCP, b.ToICMP = record, record, record
	b.Problem = func(p *packet.Packet, code uint8, at int) {
		if p.Network() == nil {
			t.Error("a problem without its packet")
		}
		l.problems = append(l.problems, [2]int{int(code), at})
		p.Release()
	}
	b.TimedOut = func(p *packet.Packet) { l.late++; p.Release() }
	l.lo = Link{MTU: 65535, Loopback: true, Output: func(p *packet.Packet) { p.Link = 1; b.Receive(p) }}
	l.card = Link{MTU: 1500, Output: func(p *packet.Packet) {
		d := make([]byte, p.Len())
		p.CopyOut(d)
		l.down = append(l.down, d)
		l.next = append(l.next, p.NextHop)
		p.Release()
	}}
	for _, err := range []error{
		b.AddLink(&l.lo), b.AddLink(&l.card),
		b.AddAddr(&l.lo, Addr{Prefix: netip.MustParsePrefix("::1/128")}, false),
		b.AddAddr(&l.card, Addr{Prefix: netip.PrefixFrom(ourLL, 64)}, false),
		b.AddAddr(&l.card, Addr{Prefix: netip.PrefixFrom(ourIP, 64)}, true),
		b.Routes.Add(route.Entry{Prefix: netip.MustParsePrefix("::/0"), Router: router, Link: 2}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// ipPacket makes a packet.
func ipPacket(f wire.IPv6Fields, payload []byte) []byte {
	b := make([]byte, wire.IPv6Size+len(payload))
	f.PayloadLen = len(payload)
	if f.HopLimit == 0 {
		f.HopLimit = 64
	}
	if f.NextHeader == 0 {
		f.NextHeader = wire.ProtoUDP
	}
	if !f.Src.IsValid() {
		f.Src = peerIP
	}
	if !f.Dst.IsValid() {
		f.Dst = ourIP
	}
	wire.IPv6(b[:wire.IPv6Size]).Encode(&f)
	copy(b[wire.IPv6Size:], payload)
	return b
}

func (l *lab) receive(b []byte) {
	p := l.pool.Receive(max(len(b), 1))
	p.Truncate(copy(p.Bytes(), b))
	p.Link = 2
	l.box.Receive(p)
}

func TestReceive(t *testing.T) {
	hello := []byte("hello")
	ok := ipPacket(wire.IPv6Fields{}, hello)
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(ok)
		f(b)
		return b
	}
	for _, c := range []struct {
		name  string
		b     []byte
		taken bool
	}{
		{"ours", ok, true},
		{"padded by Ethernet", append(bytes.Clone(ok), make([]byte, 20)...), true},
		{"link-local", ipPacket(wire.IPv6Fields{Src: peerLL, Dst: ourLL}, hello), true},
		{"all nodes", ipPacket(wire.IPv6Fields{Dst: wire.AllNodes}, hello), true},
		{"our solicited-node group", ipPacket(wire.IPv6Fields{Dst: wire.SolicitedNode(ourIP)}, hello), true},
		{"detection of duplicates", ipPacket(wire.IPv6Fields{Src: netip.IPv6Unspecified(), Dst: wire.SolicitedNode(ourIP)}, hello), true},
		{"other's", ipPacket(wire.IPv6Fields{Dst: peerIP}, hello), false},
		{"other group", ipPacket(wire.IPv6Fields{Dst: addr("ff02::5")}, hello), false},
		{"interface-local group", ipPacket(wire.IPv6Fields{Dst: addr("ff01::1")}, hello), false},
		{"truncated", ok[:len(ok)-1], false},
		{"header only, in part", ok[:39], false},
		{"payload length too long", change(func(b []byte) { b[5]++ }), false},
		{"version 4", change(func(b []byte) { b[0] = 0x45 }), false},
		{"empty", nil, false},
		{"from loopback", ipPacket(wire.IPv6Fields{Src: localhost}, hello), false},
		{"to loopback", ipPacket(wire.IPv6Fields{Dst: localhost}, hello), false},
		{"from a group", ipPacket(wire.IPv6Fields{Src: wire.AllNodes}, hello), false},
		{"from ourselves (LAND)", ipPacket(wire.IPv6Fields{Src: ourIP}, hello), false},
		{"from ourselves to all", ipPacket(wire.IPv6Fields{Src: ourIP, Dst: wire.AllNodes}, hello), false},
		{"another defends our address", ipPacket(wire.IPv6Fields{NextHeader: wire.ProtoICMPv6, Src: ourIP, Dst: wire.AllNodes}, hello), true},
		{"from nowhere to us", ipPacket(wire.IPv6Fields{Src: netip.IPv6Unspecified()}, hello), false},
		{"to nowhere", ipPacket(wire.IPv6Fields{Dst: netip.IPv6Unspecified()}, hello), false},
		{"from an IPv4 address", ipPacket(wire.IPv6Fields{Src: addr("::ffff:10.0.0.1")}, hello), false},
		{"to an IPv4 address", ipPacket(wire.IPv6Fields{Dst: addr("::ffff:127.0.0.1")}, hello), false},
	} {
		l := newLab(t)
		l.receive(c.b)
		if (len(l.up) == 1) != c.taken {
			t.Errorf("%s: taken %v, want %v", c.name, len(l.up) == 1, c.taken)
		}
		if c.taken && len(l.up) == 1 && string(l.up[0]) != "hello" {
			t.Errorf("%s: payload %q", c.name, l.up[0])
		}
	}
}

func TestReceiveOnOtherLink(t *testing.T) {
	l := newLab(t)
	other := Link{MTU: 1500}
	if err := l.box.AddLink(&other); err != nil {
		t.Fatal(err)
	}
	for dst, taken := range map[netip.Addr]int{ourIP: 1, ourLL: 0} {
		l.up = nil
		b := ipPacket(wire.IPv6Fields{Dst: dst}, []byte("x"))
		p := l.pool.Receive(len(b))
		p.Truncate(copy(p.Bytes(), b))
		p.Link = 3
		l.box.Receive(p)
		if len(l.up) != taken {
			t.Errorf("%v through another interface: taken %d, want %d", dst, len(l.up), taken)
		}
	}
	b := ipPacket(wire.IPv6Fields{}, []byte("x"))
	p := l.pool.Receive(len(b))
	p.Truncate(copy(p.Bytes(), b))
	p.Link, p.Broadcast = 2, true
	l.up = nil
	l.box.Receive(p)
	if len(l.up) != 0 {
		t.Error("unicast in a multicast frame was taken")
	}
}

// ext makes an extension header of whole 8 bytes.
func ext(next uint8, body ...byte) []byte {
	b := append([]byte{next, 0}, body...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	b[1] = uint8(len(b)/8 - 1)
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func frag(next uint8, off int, more bool, id uint32) []byte {
	b := make(wire.IPv6Fragment, wire.IPv6FragmentSize)
	b.Encode(next, off, more, id)
	return b
}

func TestExtensionHeaders(t *testing.T) {
	const udp, dst, hop, rt, fr = wire.ProtoUDP, wire.ProtoDestOptions, wire.ProtoHopByHop, wire.ProtoRouting, wire.ProtoFragment
	data := []byte("12345678")
	many := []byte{}
	for range MaxExtensions + 1 {
		many = append(many, ext(dst, 1, 4, 0, 0, 0, 0)...)
	}
	for _, c := range []struct {
		name    string
		first   uint8
		b       []byte
		taken   bool
		problem [2]int // of (code, offset); 0, 0 is none
		group   bool
	}{
		{"destination options", dst, join(ext(udp, 1, 4, 0, 0, 0, 0), data), true, [2]int{}, false},
		{"router alert", 255, join(ext(udp, 5, 2, 0, 0, 1, 0), data), true, [2]int{}, false},
		{"hop-by-hop, destination", 255, join(ext(dst, 1, 4, 0, 0, 0, 0), ext(udp, 1, 4, 0, 0, 0, 0), data), true, [2]int{}, false},
		{"hop-by-hop later", dst, join(ext(hop, 1, 4, 0, 0, 0, 0), ext(udp, 1, 4, 0, 0, 0, 0), data), false, [2]int{wire.Param6NextHeader, 40}, false},
		{"routing type 0", rt, join(ext(udp, 0, 1), data), false, [2]int{wire.Param6Field, 42}, false},
		{"routing type 0 used up", rt, join(ext(udp, 0, 0), data), false, [2]int{wire.Param6Field, 42}, false},
		{"routing type 9 used up", rt, join(ext(udp, 9, 0), data), true, [2]int{}, false},
		{"routing type 9", rt, join(ext(udp, 9, 2), data), false, [2]int{wire.Param6Field, 42}, false},
		{"option to skip", dst, join(ext(udp, 0x3e, 4, 0, 0, 0, 0), data), true, [2]int{}, false},
		{"option to drop for", dst, join(ext(udp, 0x7e, 4, 0, 0, 0, 0), data), false, [2]int{}, false},
		{"option to report", dst, join(ext(udp, 0xbe, 4, 0, 0, 0, 0), data), false, [2]int{wire.Param6Option, 42}, false},
		{"option to report, to a group", dst, join(ext(udp, 0xbe, 4, 0, 0, 0, 0), data), false, [2]int{wire.Param6Option, 42}, true},
		{"option not to report, to a group", dst, join(ext(udp, 0xfe, 4, 0, 0, 0, 0), data), false, [2]int{}, true},
		{"broken option", dst, join(ext(udp, 0x3e, 200, 0, 0, 0, 0), data), false, [2]int{}, false},
		{"no next header", wire.ProtoNone, data, false, [2]int{}, false},
		{"unknown", 200, data, false, [2]int{wire.Param6NextHeader, 6}, false},
		{"unknown after options", dst, join(ext(200, 1, 4, 0, 0, 0, 0), data), false, [2]int{wire.Param6NextHeader, 40}, false},
		{"cut off", dst, []byte{udp, 3, 0, 0, 0, 0, 0, 0}, false, [2]int{}, false},
		{"too many", dst, join(many, data), false, [2]int{}, false},
		{"too long", dst, join(ext(udp, append([]byte{1, 255}, make([]byte, 600)...)...), data), false, [2]int{}, false},
		{"atomic fragment", fr, join(frag(udp, 0, false, 1), data), true, [2]int{}, false},
		{"fragment of odd length", fr, join(frag(udp, 0, true, 1), data, []byte{1}), false, [2]int{wire.Param6Field, 4}, false},
		{"fragment that ends beyond 64 KiB", fr, join(frag(udp, 65528, false, 1), data), false, [2]int{wire.Param6Field, 42}, false},
		{"first fragment without transport header", fr, join(frag(dst, 0, true, 1), ext(udp, 1, 4, 0, 0, 0, 0)), false, [2]int{wire.Param6FirstFrag, 0}, false},
	} {
		l := newLab(t)
		f := wire.IPv6Fields{NextHeader: c.first}
		if c.group {
			f.Dst = wire.AllNodes
		}
		b := ipPacket(f, c.b)
		if c.first == 255 {
			b[6] = hop
		}
		l.receive(b)
		if (len(l.up) == 1) != c.taken {
			t.Errorf("%s: taken %v, want %v", c.name, len(l.up) == 1, c.taken)
		} else if c.taken && !bytes.Equal(l.up[0], data) {
			t.Errorf("%s: payload %x", c.name, l.up[0])
		}
		reported := c.problem != [2]int{} || c.name == "first fragment without transport header"
		if (len(l.problems) == 1) != reported || reported && l.problems[0] != c.problem {
			t.Errorf("%s: problems %v, want %v", c.name, l.problems, c.problem)
		}
	}
}

// TestFragments sends datagrams of all sorts of lengths in fragments, and receives these in any order.
func TestFragments(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, n := range []int{1461, 2896, 2897, 8000, 30000, 65535} {
		for _, mtu := range []int{1500, 1280} {
			a, b := newLab(t), newLab(t)
			a.card.MTU = mtu
			p := a.pool.Headers() // as UDP builds long ones
			m := a.pool.Buf(n)
			want := m.Data[:n]
			for i := range want {
				want[i] = byte(r.Uint32())
			}
			p.AddRef(m, want[8:])
			copy(p.Prepend(8), want[:8])
			p.Dst, p.Proto = peerIP, wire.ProtoUDP
			a.box.Send(p)
			for _, f := range a.down {
				if h, ok := wire.ParseIPv6(f); len(f) > mtu || !ok || h.NextHeader() != wire.ProtoFragment || h.PayloadLen() != len(f)-40 {
					t.Fatalf("%d bytes at MTU %d: fragment of %d bytes", n, mtu, len(f))
				}
			}
			r.Shuffle(len(a.down), func(i, j int) { a.down[i], a.down[j] = a.down[j], a.down[i] })
			for i, f := range a.down {
				src, dst := peerIP.As16(), ourIP.As16()
				copy(f[8:], src[:])
				copy(f[24:], dst[:])
				b.receive(f)
				if i+1 < len(a.down) && r.IntN(3) == 0 {
					b.receive(f) // a duplicate
				}
			}
			if len(b.up) != 1 || !bytes.Equal(b.up[0], want) {
				t.Fatalf("%d bytes at MTU %d: %d delivered, %v", n, mtu, len(b.up), b.problems)
			}
			if b.box.reassembly.Len() != 0 || b.box.reassembly.Memory() != 0 || b.wheel.Len() != 0 {
				t.Errorf("left behind: %d", b.box.reassembly.Len())
			}
			m.Release()
		}
	}
}

func piece(id uint32, off, n int, more bool) []byte {
	return ipPacket(wire.IPv6Fields{NextHeader: wire.ProtoFragment}, join(frag(wire.ProtoUDP, off, more, id), make([]byte, n)))
}

func TestHostileFragments(t *testing.T) {
	for name, list := range map[string][][]byte{
		"overlap":             {piece(1, 0, 16, true), piece(1, 8, 16, false)},
		"overlap from behind": {piece(1, 8, 16, false), piece(1, 0, 16, true)},
		"two ends":            {piece(1, 16, 16, false), piece(1, 24, 16, false)},
		"beyond the end":      {piece(1, 8, 8, false), piece(1, 16, 8, true)},
		"contained":           {piece(1, 0, 64, true), piece(1, 8, 8, true), piece(1, 64, 8, false)},
		"a fragment in fragments": {
			ipPacket(wire.IPv6Fields{NextHeader: wire.ProtoFragment}, join(frag(wire.ProtoFragment, 0, true, 1), frag(wire.ProtoUDP, 0, false, 2), make([]byte, 8))),
			piece(1, 16, 8, false),
		},
	} {
		l := newLab(t)
		for _, f := range list {
			l.receive(f)
		}
		if len(l.up) != 0 {
			t.Errorf("%s: delivered", name)
		}
		l.now += ReassemblyTime + 1e9
		l.wheel.Advance(l.now)
		if l.box.reassembly.Len() != 0 || l.box.reassembly.Memory() != 0 || l.wheel.Len() != 0 {
			t.Errorf("%s: left behind %d", name, l.box.reassembly.Len())
		}
	}
	l := newLab(t)
	for i := range 3000 {
		l.receive(piece(uint32(i), 0, 1400, true))
		if r := &l.box.reassembly; r.Len() > fragment.MaxDatagrams || r.Memory() > fragment.MaxMemory {
			t.Fatalf("%d datagrams, %d bytes", r.Len(), r.Memory())
		}
	}
	l.now += ReassemblyTime + 1e9
	l.wheel.Advance(l.now)
	if l.box.reassembly.Memory() != 0 || l.late == 0 {
		t.Errorf("%d bytes, %d reported as timed out", l.box.reassembly.Memory(), l.late)
	}
}

func TestRoute(t *testing.T) {
	l := newLab(t)
	for _, c := range []struct {
		dst, src, source, next string
		link                   int
	}{
		{"2001:db8::2", "", "2001:db8::1", "2001:db8::2", 2},
		{"2001:db8:f::1", "", "2001:db8::1", "fe80::fe", 2},
		{"fe80::2", "", "fe80::1", "fe80::2", 2},
		{"fe80::2", "fe80::1", "fe80::1", "fe80::2", 2},
		{"2001:db8::1", "", "2001:db8::1", "2001:db8::1", 1},
		{"::1", "", "::1", "::1", 1},
		{"fe80::1", "", "fe80::1", "fe80::1", 1},
		{"ff02::fb", "", "fe80::1", "ff02::fb", 2},
		{"ff05::2", "", "2001:db8::1", "ff05::2", 2},
	} {
		var src netip.Addr
		if c.src != "" {
			src = addr(c.src)
		}
		r, err := l.box.Route(addr(c.dst), src, 0)
		if err != nil || r.Source != addr(c.source) || r.NextHop != addr(c.next) || r.Link != c.link || r.Broadcast != addr(c.dst).IsMulticast() {
			t.Errorf("%s: %+v, %v", c.dst, r, err)
		}
	}
	l.box.RemoveAddrs(&l.card)
	if _, err := l.box.Route(farIP, netip.Addr{}, 0); err != packet.ErrNetUnreachable {
		t.Errorf("no route: %v", err)
	}
	if l.card.InGroup(wire.SolicitedNode(ourIP)) {
		t.Error("still in the group of an address that is gone")
	}
}

// TestSource has the examples of RFC 6724 §10.1 that apply to a host with one interface.
func TestSource(t *testing.T) {
	for _, c := range []struct{ dst, addrs, want string }{
		{"2001:db8:1::1", "2001:db8:3::1 fe80::1", "2001:db8:3::1"},
		{"ff05::1", "2001:db8:3::1 fe80::1", "2001:db8:3::1"},
		{"2001:db8:1::1", "2001:db8:1::1 2001:db8:2::1", "2001:db8:1::1"},
		{"fe80::1", "fe80::2 2001:db8:1::1", "fe80::2"},
		{"2001:db8:1::1", "2001:db8:1::2 2001:db8:3::2", "2001:db8:1::2"},
		{"2002:c633:6401::1", "2002:c633:6401::d5e3:7953:13eb:22e8 2001:db8:1::2", "2002:c633:6401::d5e3:7953:13eb:22e8"},
		{"fd00::1", "2001:db8::2 fd01::2", "fd01::2"},
		{"2001:db8:9::1", "fd01::2 2001:db8::2", "2001:db8::2"},
	} {
		l := newLab(t)
		l.box.RemoveAddrs(&l.card)
		for _, a := range bytes.Fields([]byte(c.addrs)) {
			if err := l.box.AddAddr(&l.card, Addr{Prefix: netip.PrefixFrom(addr(string(a)), 64)}, false); err != nil {
				t.Fatal(err)
			}
		}
		if got := l.box.Source(&l.card, addr(c.dst)); got != addr(c.want) {
			t.Errorf("to %s from %s: %v, want %s", c.dst, c.addrs, got, c.want)
		}
	}
	l := newLab(t)
	l.box.AddAddr(&l.card, Addr{Prefix: netip.MustParsePrefix("2001:db8::9/64"), Preferred: l.now}, false)
	if got := l.box.Source(&l.card, addr("2001:db8::8")); got != ourIP {
		t.Errorf("a deprecated address, %v, is used", got)
	}
}

func TestSend(t *testing.T) {
	l := newLab(t)
	send := func(dst netip.Addr, n int, df bool) {
		p := l.pool.Linear(n)
		clear(p.Bytes())
		p.Dst, p.Proto, p.DF = dst, wire.ProtoUDP, df
		l.box.Send(p)
	}
	send(farIP, 100, true)
	h, ok := wire.ParseIPv6(l.down[0])
	if !ok || h.PayloadLen() != 100 || h.Src() != ourIP || h.Dst() != farIP || h.HopLimit() != DefaultHopLimit || l.next[0] != router {
		t.Errorf("sent %x to %v", l.down[0], l.next[0])
	}
	send(farIP, 1500, true)
	if len(l.down) != 1 || l.box.Stats.PacketsDropped != 1 {
		t.Error("a packet too long was not dropped in spite of DF")
	}
	send(localhost, 10, false)
	if len(l.up) != 1 || len(l.down) != 1 {
		t.Error("loopback")
	}
	// A router says the path takes less.
	l.box.TooBig(farIP, 100)
	l.down = nil
	send(farIP, 1400, false)
	if len(l.down) != 2 || len(l.down[0]) > wire.IPv6MinMTU {
		t.Errorf("%d packets, the first of %d bytes", len(l.down), len(l.down[0]))
	}
	if r, _ := l.box.Route(farIP, netip.Addr{}, 0); r.MTU != wire.IPv6MinMTU {
		t.Errorf("path MTU %d", r.MTU)
	}
	l.now += PathTime + 1
	if r, _ := l.box.Route(farIP, netip.Addr{}, 0); r.MTU != 1500 {
		t.Errorf("path MTU %d after its time", r.MTU)
	}
	for i := range 3 * MaxPaths {
		l.box.TooBig(netip.AddrFrom16([16]byte{0: 0x20, 14: byte(i >> 8), 15: byte(i)}), 1400)
	}
	if n := len(l.box.paths.mtu); n > MaxPaths {
		t.Errorf("%d paths remembered", n)
	}
}

func TestFilters(t *testing.T) {
	deny := func(*packet.Packet) bool { return false }
	for _, c := range []struct {
		set   func(*Box)
		count func(*Stats) uint64
	}{
		{func(b *Box) { b.Prerouting = deny }, func(s *Stats) uint64 { return s.PreroutingDropped }},
		{func(b *Box) { b.Input = deny }, func(s *Stats) uint64 { return s.InputDropped }},
		{func(b *Box) { b.Output = deny }, func(s *Stats) uint64 { return s.OutputDropped }},
		{func(b *Box) { b.Postrouting = deny }, func(s *Stats) uint64 { return s.PostroutingDropped }},
	} {
		l := newLab(t)
		c.set(&l.box)
		l.receive(ipPacket(wire.IPv6Fields{}, []byte("x")))
		p := l.pool.Linear(10)
		p.Dst, p.Proto = peerIP, wire.ProtoUDP
		l.box.Send(p)
		if c.count(&l.box.Stats) != 1 || len(l.up)+len(l.down) != 1 {
			t.Errorf("%+v", l.box.Stats)
		}
	}
}

func TestIdentified(t *testing.T) {
	key := [16]byte{1}
	mac := wire.MAC{2, 0, 0, 0, 0, 1}
	p := netip.MustParsePrefix("2001:db8::/64")
	a := Identified(p, key, mac, 0)
	if !p.Contains(a) || a != Identified(p, key, mac, 0) {
		t.Errorf("%v: not in the prefix, or not stable", a)
	}
	others := map[netip.Addr]bool{a: true}
	for _, b := range []netip.Addr{
		Identified(p, key, mac, 1), Identified(p, [16]byte{2}, mac, 0), Identified(p, key, wire.MAC{2, 0, 0, 0, 0, 2}, 0),
		Identified(netip.MustParsePrefix("2001:db8:0:1::/64"), key, mac, 0),
	} {
		id := netip.AddrFrom16([16]byte(append(make([]byte, 8), b.AsSlice()[8:]...)))
		if others[b] || others[id] {
			t.Errorf("%v: the same identifier again", b)
		}
		others[id] = true
	}
	for _, id := range [][8]byte{{}, {0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x80}, {2, 0, 0x5e, 0xff, 0xfe, 1, 2, 3}} {
		if !reserved(id) {
			t.Errorf("%x is reserved", id)
		}
	}
}

func TestLimits(t *testing.T) {
	l := newLab(t)
	for i := 2; i < MaxAddrs; i++ {
		if err := l.box.AddAddr(&l.card, Addr{Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x20, 15: byte(i)}), 64)}, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.box.AddAddr(&l.card, Addr{Prefix: netip.MustParsePrefix("2001:db8::99/64")}, false); err != ErrLimit {
		t.Errorf("one address too many: %v", err)
	}
	n := 0
	for i := range MaxGroups + 1 {
		if _, err := l.box.Join(netip.AddrFrom16([16]byte{0: 0xff, 1: 5, 14: 1, 15: byte(i)}), 2); err == nil {
			n++
		} else if err != ErrLimit {
			t.Fatal(err)
		}
	}
	if n > MaxGroups || len(l.card.groups) != MaxGroups {
		t.Errorf("%d groups", len(l.card.groups))
	}
}

// FuzzReceive feeds whole packets, one after the other.
func FuzzReceive(f *testing.F) {
	seed := func(packets ...[]byte) {
		var b []byte
		for _, p := range packets {
			b = append(append(b, byte(len(p))), p...)
		}
		f.Add(b)
	}
	seed(ipPacket(wire.IPv6Fields{}, []byte("12345678")))
	seed(piece(1, 0, 16, true), piece(1, 16, 8, false))
	seed(ipPacket(wire.IPv6Fields{NextHeader: wire.ProtoDestOptions}, join(ext(wire.ProtoUDP, 0xbe, 4, 0, 0, 0, 0), []byte("12345678"))))
	seed(ipPacket(wire.IPv6Fields{NextHeader: wire.ProtoRouting}, join(ext(wire.ProtoFragment, 0, 0), frag(wire.ProtoICMPv6, 0, true, 9), make([]byte, 16))))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLab(t)
		for len(b) > 0 {
			n := min(1+int(b[0]), len(b))
			l.receive(b[1:n])
			b = b[n:]
			l.now += 1e9
			l.wheel.Advance(l.now)
		}
		l.now += 100e9
		l.wheel.Advance(l.now)
		if l.box.reassembly.Memory() != 0 || l.box.reassembly.Len() != 0 {
			t.Errorf("left behind: %d", l.box.reassembly.Len())
		}
	})
}

// FuzzTransport looks for the transport header in a quoted packet.
func FuzzTransport(f *testing.F) {
	f.Add(ipPacket(wire.IPv6Fields{NextHeader: wire.ProtoDestOptions}, join(ext(wire.ProtoUDP, 1, 4, 0, 0, 0, 0), []byte("12345678"))))
	f.Add(piece(1, 0, 16, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, at, ok := Transport(b); ok && (at < wire.IPv6Size || at > len(b)) {
			t.Errorf("at %d of %d", at, len(b))
		}
	})
}
