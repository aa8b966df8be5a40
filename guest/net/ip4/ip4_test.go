package ip4

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
	ourIP, peerIP = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	farIP         = netip.MustParseAddr("192.0.2.1")
)

// lab is a box with a card, and its surroundings.
type lab struct {
	t             *testing.T
	box           Box
	lo, card      Link
	wheel         timer.Wheel
	pool          packet.Pool
	now           int64
	up, down      [][]byte // payloads delivered, packets sent
	next          []netip.Addr
	unknown, late int
}

func newLab(t *testing.T) *lab {
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
	b.UnknownProtocol = func(p *packet.Packet) { l.unknown++; p.Release() }
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
		b.AddAddr(&l.lo, netip.MustParsePrefix("127.0.0.1/8")),
		b.AddAddr(&l.card, netip.PrefixFrom(ourIP, 24)),
		b.Routes.Add(route.Entry{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Router: netip.MustParseAddr("10.0.0.254"), Link: 2}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// ipPacket makes a packet.
func ipPacket(f wire.IPv4Fields, payload []byte) []byte {
	b := make([]byte, wire.IPv4Size+len(payload))
	f.TotalLen = len(b)
	if f.TTL == 0 {
		f.TTL = 64
	}
	if f.Proto == 0 {
		f.Proto = wire.ProtoUDP
	}
	if !f.Src.IsValid() {
		f.Src = peerIP
	}
	if !f.Dst.IsValid() {
		f.Dst = ourIP
	}
	wire.IPv4(b[:wire.IPv4Size]).Encode(&f)
	copy(b[wire.IPv4Size:], payload)
	return b
}

func (l *lab) receive(b []byte) {
	p := l.pool.Receive(len(b))
	p.Truncate(copy(p.Bytes(), b))
	p.Link = 2
	l.box.Receive(p)
}

func (l *lab) send(dst netip.Addr, n int, df bool) {
	p := l.pool.Linear(n)
	for i, b := 0, p.Bytes(); i < n; i++ {
		b[i] = byte(i * 7)
	}
	p.Dst, p.Proto, p.DF = dst, wire.ProtoUDP, df
	l.box.Send(p)
}

func TestReceive(t *testing.T) {
	ok := ipPacket(wire.IPv4Fields{}, []byte("hello"))
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(ok)
		f(b)
		h := wire.IPv4(b[:20])
		h.SetChecksum()
		return b
	}
	addr := netip.MustParseAddr
	for _, c := range []struct {
		name  string
		b     []byte
		taken bool
	}{
		{"ours", ok, true},
		{"padded by Ethernet", append(bytes.Clone(ok), make([]byte, 20)...), true},
		{"broadcast", ipPacket(wire.IPv4Fields{Dst: broadcast}, []byte("hello")), true},
		{"subnet broadcast", ipPacket(wire.IPv4Fields{Dst: addr("10.0.0.255")}, []byte("hello")), true},
		{"all systems", ipPacket(wire.IPv4Fields{Dst: AllSystems}, []byte("hello")), true},
		{"DHCP answer from nowhere", ipPacket(wire.IPv4Fields{Src: unspecified, Dst: broadcast}, []byte("hello")), true},
		{"other's", ipPacket(wire.IPv4Fields{Dst: addr("10.0.0.3")}, []byte("hello")), false},
		{"other group", ipPacket(wire.IPv4Fields{Dst: addr("224.0.0.5")}, []byte("hello")), false},
		{"wrong checksum", func() []byte { b := bytes.Clone(ok); b[8]--; return b }(), false},
		{"truncated", ok[:len(ok)-1], false},
		{"total length too long", change(func(b []byte) { b[3]++ }), false},
		{"version 6", change(func(b []byte) { b[0] = 0x65 }), false},
		{"empty", nil, false},
		{"from loopback", ipPacket(wire.IPv4Fields{Src: localhost}, []byte("hello")), false},
		{"to loopback", ipPacket(wire.IPv4Fields{Dst: localhost}, []byte("hello")), false},
		{"from broadcast", ipPacket(wire.IPv4Fields{Src: broadcast}, []byte("hello")), false},
		{"from the subnet's broadcast", ipPacket(wire.IPv4Fields{Src: addr("10.0.0.255")}, []byte("hello")), false},
		{"from a group", ipPacket(wire.IPv4Fields{Src: AllSystems}, []byte("hello")), false},
		{"from ourselves (LAND)", ipPacket(wire.IPv4Fields{Src: ourIP}, []byte("hello")), false},
		{"from nowhere to us", ipPacket(wire.IPv4Fields{Src: unspecified}, []byte("hello")), false},
	} {
		l := newLab(t)
		if len(c.b) > 0 {
			l.receive(c.b)
		} else {
			p := l.pool.Receive(1)
			p.Truncate(0)
			p.Link = 2
			l.box.Receive(p)
		}
		if (len(l.up) == 1) != c.taken {
			t.Errorf("%s: taken %v, want %v", c.name, len(l.up) == 1, c.taken)
		}
		if c.taken && len(l.up) == 1 && string(l.up[0]) != "hello" {
			t.Errorf("%s: payload %q", c.name, l.up[0])
		}
	}
}

func TestReceiveBroadcastFrame(t *testing.T) {
	l := newLab(t)
	b := ipPacket(wire.IPv4Fields{}, []byte("x"))
	p := l.pool.Receive(len(b))
	p.Truncate(copy(p.Bytes(), b))
	p.Link, p.Broadcast = 2, true
	l.box.Receive(p)
	if len(l.up) != 0 {
		t.Error("unicast in a broadcast frame was taken (RFC 1122 §3.3.6)")
	}
}

func TestOptions(t *testing.T) {
	l := newLab(t)
	for name, o := range map[string][]byte{
		"none": {0, 0, 0, 0}, "nop": {1, 1, 1, 0}, "router alert": {148, 4, 0, 0}, "broken": {7, 99, 0, 0}, "zero length": {7, 0, 0, 0},
		"loose": {131, 3, 4, 0}, "strict": {137, 3, 4, 0}, "after nop": {1, 131, 3, 4},
	} {
		l.up = nil
		b := ipPacket(wire.IPv4Fields{}, append(o, "data"...))
		b[0] = 0x46
		wire.IPv4(b[:24]).SetChecksum()
		l.receive(b)
		routed := name == "loose" || name == "strict" || name == "after nop"
		if (len(l.up) == 1) == routed {
			t.Errorf("%s: taken %v", name, len(l.up) == 1)
		}
	}
}

func TestUnknownProtocol(t *testing.T) {
	l := newLab(t)
	l.receive(ipPacket(wire.IPv4Fields{Proto: 99}, []byte("x")))
	if l.unknown != 1 {
		t.Error("not reported")
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
		l.receive(ipPacket(wire.IPv4Fields{}, []byte("x")))
		l.send(peerIP, 10, false)
		if c.count(&l.box.Stats) != 1 || len(l.up)+len(l.down) != 1 {
			t.Errorf("%+v", l.box.Stats)
		}
	}
}

func TestRoute(t *testing.T) {
	l := newLab(t)
	addr := netip.MustParseAddr
	for _, c := range []struct {
		dst, src, source, next string
		link                   int
		broadcast              bool
	}{
		{"10.0.0.2", "", "10.0.0.1", "10.0.0.2", 2, false},
		{"192.0.2.1", "", "10.0.0.1", "10.0.0.254", 2, false},
		{"10.0.0.1", "", "10.0.0.1", "10.0.0.1", 1, false},
		{"127.5.5.5", "", "127.0.0.1", "127.5.5.5", 1, false},
		{"127.0.0.1", "10.0.0.1", "10.0.0.1", "127.0.0.1", 1, false},
		{"255.255.255.255", "", "10.0.0.1", "255.255.255.255", 2, true},
		{"10.0.0.255", "", "10.0.0.1", "10.0.0.255", 2, true},
		{"224.0.0.251", "", "10.0.0.1", "224.0.0.251", 2, true},
	} {
		var src netip.Addr
		if c.src != "" {
			src = addr(c.src)
		}
		r, err := l.box.Route(addr(c.dst), src, 0)
		if err != nil || r.Source != addr(c.source) || r.NextHop != addr(c.next) || r.Link != c.link || r.Broadcast != c.broadcast {
			t.Errorf("%s: %+v, %v", c.dst, r, err)
		}
	}
	l.box.RemoveAddrs(&l.card)
	if _, err := l.box.Route(farIP, netip.Addr{}, 0); err != packet.ErrNetUnreachable {
		t.Errorf("no route: %v", err)
	}
	if r, err := l.box.Route(broadcast, netip.Addr{}, 0); err != nil || r.Source != unspecified || r.Link != 2 {
		t.Errorf("broadcast without addresses: %+v, %v", r, err)
	}
}

func TestSend(t *testing.T) {
	l := newLab(t)
	l.send(farIP, 100, true)
	h, ok := wire.ParseIPv4(l.down[0])
	if !ok || !h.ChecksumOK() || h.TotalLen() != 120 || h.Src() != ourIP || h.Dst() != farIP || !h.DF() || h.TTL() != DefaultTTL ||
		l.next[0] != netip.MustParseAddr("10.0.0.254") {
		t.Errorf("sent %x to %v", l.down[0], l.next[0])
	}
	l.send(farIP, 1500, true)
	if len(l.down) != 1 || l.box.Stats.PacketsDropped != 1 {
		t.Error("a packet too long was not dropped in spite of DF")
	}
	l.send(localhost, 10, false)
	if len(l.up) != 1 || len(l.down) != 1 {
		t.Error("loopback")
	}
}

// TestFragments sends datagrams of all sorts of lengths in fragments, and receives these in any order.
func TestFragments(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, n := range []int{1480, 1481, 2960, 2961, 8000, 30000, 65000, 65507 + 8} {
		for _, mtu := range []int{1500, 576} {
			a, b := newLab(t), newLab(t)
			a.card.MTU = mtu
			p := a.pool.Headers() // as UDP builds long ones
			m := a.pool.Buf(n)
			want := m.Data[:n]
			for i := range want {
				want[i] = byte(r.Uint32())
			}
			head := min(8, n)
			p.AddRef(m, want[head:])
			copy(p.Prepend(head), want[:head])
			p.Dst, p.Proto = peerIP, wire.ProtoUDP
			a.box.Send(p)
			for i, f := range a.down {
				if h := wire.IPv4(f[:20]); len(f) > mtu || !h.ChecksumOK() || h.MF() != (i+1 < len(a.down)) {
					t.Fatalf("%d bytes: fragment %d: %x", n, i, f[:20])
				}
			}
			r.Shuffle(len(a.down), func(i, j int) { a.down[i], a.down[j] = a.down[j], a.down[i] })
			for i, f := range a.down {
				// To the other host.
				h := wire.IPv4(f[:20])
				src, dst := peerIP.As4(), ourIP.As4()
				copy(h[12:], src[:])
				copy(h[16:], dst[:])
				h.SetChecksum()
				b.receive(f)
				if i+1 < len(a.down) && r.IntN(3) == 0 {
					b.receive(f) // a duplicate
				}
			}
			if len(b.up) != 1 || !bytes.Equal(b.up[0], want) {
				t.Fatalf("%d bytes at MTU %d: %d delivered", n, mtu, len(b.up))
			}
			if b.box.reassembly.Len() != 0 || b.box.reassembly.Memory() != 0 || b.wheel.Len() != 0 {
				t.Errorf("left behind: %+v", b.box.reassembly)
			}
			m.Release()
		}
	}
}

func piece(id uint16, off, n int, more bool) []byte {
	f := wire.IPv4Fields{ID: id, Offset: off}
	if more {
		f.Flags = wire.IPv4MF
	}
	return ipPacket(f, make([]byte, n))
}

func TestHostileFragments(t *testing.T) {
	for name, list := range map[string][][]byte{
		"overlap":               {piece(1, 0, 16, true), piece(1, 8, 16, false)},
		"overlap from behind":   {piece(1, 8, 16, false), piece(1, 0, 16, true)},
		"two ends":              {piece(1, 16, 16, false), piece(1, 24, 16, false)},
		"beyond the end":        {piece(1, 8, 8, false), piece(1, 16, 8, true)},
		"end before others":     {piece(1, 16, 8, true), piece(1, 8, 8, false)},
		"beyond 64 KiB":         {piece(1, 65528, 100, false)},
		"empty":                 {piece(1, 0, 0, true), piece(1, 8, 8, false)},
		"odd length":            {piece(1, 0, 7, true), piece(1, 8, 8, false)},
		"contained":             {piece(1, 0, 64, true), piece(1, 8, 8, true), piece(1, 64, 8, false)},
		"same start other size": {piece(1, 0, 16, true), piece(1, 0, 8, true), piece(1, 16, 8, false)},
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
			t.Errorf("%s: left behind %+v", name, l.box.reassembly)
		}
	}
}

func TestReassemblyLimits(t *testing.T) {
	l := newLab(t)
	for i := range 10000 {
		l.receive(piece(uint16(i), 0, 1480, true))
		if r := &l.box.reassembly; r.Len() > fragment.MaxDatagrams || r.Memory() > fragment.MaxMemory {
			t.Fatalf("%d datagrams, %d bytes", r.Len(), r.Memory())
		}
	}
	for i := range 3000 {
		l.receive(piece(1, 16*i, 8, true)) // holes everywhere
		if r := &l.box.reassembly; r.Memory() > fragment.MaxMemory {
			t.Fatalf("%d bytes", r.Memory())
		}
	}
	l.now += ReassemblyTime + 1e9
	l.wheel.Advance(l.now)
	if l.box.reassembly.Memory() != 0 || l.late == 0 {
		t.Errorf("%d bytes, %d reported as timed out", l.box.reassembly.Memory(), l.late)
	}
}

func TestGroups(t *testing.T) {
	l := newLab(t)
	group := netip.MustParseAddr("239.1.2.3")
	b := ipPacket(wire.IPv4Fields{Dst: group}, []byte("x"))
	link, err := l.box.Join(group, 0)
	if err != nil || link != 2 {
		t.Fatal(link, err)
	}
	l.box.Join(group, 2)
	l.box.Leave(group, 2)
	l.receive(b)
	if len(l.up) != 1 {
		t.Error("not received after Join")
	}
	l.box.Leave(group, 2)
	l.box.Leave(group, 2)
	l.receive(b)
	if len(l.up) != 1 {
		t.Error("received after Leave")
	}
	for i := range MaxGroups {
		if _, err := l.box.Join(netip.AddrFrom4([4]byte{239, 0, 0, byte(i)}), 2); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.box.Join(group, 2); err != ErrLimit {
		t.Errorf("one group too many: %v", err)
	}
}

func TestLinkLimits(t *testing.T) {
	l := newLab(t)
	for i := 1; i < MaxAddrs; i++ {
		if err := l.box.AddAddr(&l.card, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, 1, byte(i)}), 32)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.box.AddAddr(&l.card, netip.MustParsePrefix("10.9.9.9/32")); err != ErrLimit {
		t.Errorf("one address too many: %v", err)
	}
	for range MaxLinks - 2 {
		if err := l.box.AddLink(&Link{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.box.AddLink(&Link{}); err != ErrLimit {
		t.Errorf("one interface too many: %v", err)
	}
}

func TestIdents(t *testing.T) {
	var s idents
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[uint16]bool{}
	for range 5000 {
		id := s.next(peerIP, r.Uint64)
		if seen[id] {
			t.Fatal("an identification was repeated")
		}
		seen[id] = true
	}
}

// FuzzReceive feeds whole packets, one after the other.
func FuzzReceive(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLab(t)
		for len(b) > 0 {
			n := min(1+int(b[0]), len(b))
			p := b[:n]
			if h, ok := wire.ParseIPv4(p[1:]); ok {
				h.SetChecksum()
			}
			l.receive(p[1:])
			b = b[n:]
			l.now += 1e9
			l.wheel.Advance(l.now)
		}
		l.now += 100e9
		l.wheel.Advance(l.now)
		if l.box.reassembly.Memory() != 0 || l.box.reassembly.Len() != 0 {
			t.Errorf("left behind: %+v", l.box.reassembly)
		}
	})
}
