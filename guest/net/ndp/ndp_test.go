package ndp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ukvm.dev/guest/net/neighbour"
	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

var (
	ourIP, ourMAC   = netip.MustParseAddr("fe80::1"), wire.MAC{2, 0, 0, 0, 0, 1}
	peerIP, peerMAC = netip.MustParseAddr("fe80::2"), wire.MAC{2, 0, 0, 0, 0, 2}
	otherMAC        = wire.MAC{2, 0, 0, 0, 0, 3}
	nobody          = netip.IPv6Unspecified()
)

// lab is a box with its surroundings: what the box sends goes through Resolve, as it would through IP.
type lab struct {
	t          testing.TB
	box        Box
	wheel      timer.Wheel
	pool       packet.Pool
	now        int64
	out        []string // what went down, in words
	lost       int
	routers    int
	duplicates []netip.Addr
	gone       []netip.Addr
}

func newLab(t testing.TB) *lab {
	l := &lab{t: t, now: 3600e9}
	b := &l.box
	rng := rand.New(rand.NewPCG(1, 1))
	b.MAC = ourMAC
	b.Ask = b.Solicit
	b.Now, b.Random, b.Wheel, b.Pool = func() int64 { return l.now }, rng.Uint64, &l.wheel, &l.pool
	b.Owns = func(a netip.Addr) bool { return a == ourIP && !slices.Contains(l.duplicates, a) }
	b.Source = func(netip.Addr) netip.Addr { return ourIP }
	b.Unreachable = func(p *packet.Packet) { l.lost++; p.Release() }
	b.ToRouters = func(p *packet.Packet) { l.routers++; p.Release() }
	b.Duplicate = func(a netip.Addr) { l.duplicates = append(l.duplicates, a) }
	b.Lost = func(a netip.Addr) { l.gone = append(l.gone, a) }
	b.Send = func(p *packet.Packet) {
		s := wire.Pseudo(p.Src, p.Dst, wire.ProtoICMPv6, p.Len())
		p.Sum(&s)
		if s.Checksum() != 0 || p.TTL != 255 {
			t.Errorf("a message with a wrong checksum or hop limit %d: %x", p.TTL, p.Bytes())
		}
		p.NextHop, p.Broadcast = p.Dst, p.Dst.IsMulticast()
		b.Resolve(p)
	}
	b.Output = func(p *packet.Packet) {
		to := string('0' + rune(p.MAC[5]))
		switch p.MAC {
		case wire.MulticastMAC(wire.AllNodes):
			to = "all"
		case wire.MulticastMAC(wire.SolicitedNode(p.NextHop)), wire.MulticastMAC(p.NextHop):
			to = "group"
		}
		h, ok := wire.ParseNDP(p.Bytes())
		switch {
		case !ok:
			l.out = append(l.out, "data to "+to)
		case h.Type() == wire.NDPNeighbourSolicit:
			from := ""
			if p.Src.IsUnspecified() {
				from = " from nobody"
			} else if m, ok := h.Options().LinkAddr(wire.NDPSourceLink); !ok || m != ourMAC {
				from = " without address"
			}
			l.out = append(l.out, "request for "+h.Target().String()+from+" to "+to)
		case h.Type() == wire.NDPNeighbourAdvert:
			l.out = append(l.out, fmt.Sprintf("advert %x to %s", h.Flags(), to))
		default:
			l.out = append(l.out, "?")
		}
		p.Release()
	}
	return l
}

func (l *lab) send(to netip.Addr) {
	p := l.pool.Linear(10)
	clear(p.Bytes())
	p.NextHop = to
	l.box.Resolve(p)
}

// message makes the box receive a neighbour message; a zero option leaves the option out.
func (l *lab) message(typ, flags uint8, target netip.Addr, mac, option wire.MAC, src, dst netip.Addr) {
	n := wire.NDPNeighbourSize
	if option != (wire.MAC{}) {
		n += wire.NDPLinkAddrSize
	}
	p := l.pool.Linear(n)
	wire.NDP(p.Bytes()).EncodeNeighbour(typ, flags, target, option)
	p.MAC, p.Src, p.Dst, p.TTL = mac, src, dst, 255
	l.box.Receive(p)
}

func (l *lab) solicit(target netip.Addr, mac wire.MAC, src netip.Addr) {
	option := mac
	if src.IsUnspecified() {
		option = wire.MAC{}
	}
	l.message(wire.NDPNeighbourSolicit, 0, target, mac, option, src, wire.SolicitedNode(target))
}

func (l *lab) advert(target netip.Addr, mac wire.MAC, flags uint8) {
	l.message(wire.NDPNeighbourAdvert, flags, target, mac, mac, target, ourIP)
}

func (l *lab) pass(d int64) { nettest.Pass(&l.now, &l.wheel, d) }

func (l *lab) expect(what string, want ...string) {
	l.t.Helper()
	if !slices.Equal(l.out, want) {
		l.t.Errorf("%s: %q, want %q", what, l.out, want)
	}
	l.out = nil
}

const askAll = "request for fe80::2 to group"

func TestResolve(t *testing.T) {
	l := newLab(t)
	l.send(peerIP)
	l.send(peerIP)
	l.expect("two packets for a stranger", askAll)
	l.advert(peerIP, peerMAC, wire.NDPSolicited|wire.NDPOverride)
	l.expect("its answer", "data to 2", "data to 2")
	l.send(peerIP)
	l.expect("a packet for an acquaintance", "data to 2")
	l.pass(46e9) // beyond any reachable time
	l.send(peerIP)
	l.expect("after the reachable time", "request for fe80::2 to 2", "data to 2")
	l.advert(peerIP, peerMAC, wire.NDPSolicited)
	l.send(peerIP)
	l.expect("confirmed", "data to 2")
	if l.wheel.Len() != 0 {
		t.Errorf("%d timers run for neighbours at rest", l.wheel.Len())
	}
}

func TestUnreachable(t *testing.T) {
	l := newLab(t)
	l.send(peerIP)
	l.pass(10e9)
	l.expect("no answer", askAll, askAll, askAll)
	if l.lost != 1 || l.box.Len() != 0 || l.box.Silent != 1 {
		t.Errorf("%d lost, %d entries, %+v", l.lost, l.box.Len(), l.box.Stats)
	}
	// One that has been reachable goes the same way, and its router's routes with it.
	l.send(peerIP)
	l.advert(peerIP, peerMAC, wire.NDPSolicited|wire.NDPOverride|wire.NDPRouter)
	l.box.Find(peerIP).Router = true
	l.pass(46e9)
	l.send(peerIP)
	l.pass(10e9)
	if l.box.Len() != 0 || !slices.Equal(l.gone, []netip.Addr{peerIP}) {
		t.Errorf("%d entries, routers lost: %v", l.box.Len(), l.gone)
	}
}

func TestAnswer(t *testing.T) {
	l := newLab(t)
	l.solicit(ourIP, peerMAC, peerIP)
	l.expect("a request for us", "advert 60 to 2")
	l.solicit(peerIP, otherMAC, netip.MustParseAddr("fe80::3"))
	l.expect("a request for another")
	l.solicit(ourIP, otherMAC, nobody)
	l.expect("somebody about to take our address", "advert 20 to all")
	l.solicit(ourIP, ourMAC, peerIP)
	l.expect("our own, come back")
}

// TestAdvert is RFC 4861 §7.2.5: what an advertisement does to an entry.
func TestAdvert(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags uint8
		mac   wire.MAC
		want  string
	}{
		{"same, unsolicited", 0, peerMAC, "data to 2"},
		{"other, no override", wire.NDPSolicited, otherMAC, "request for fe80::2 to 2, data to 2"},
		{"other, override", wire.NDPOverride, otherMAC, "request for fe80::2 to 3, data to 3"},
		{"other, override, solicited", wire.NDPOverride | wire.NDPSolicited, otherMAC, "data to 3"},
	} {
		l := newLab(t)
		l.send(peerIP)
		l.advert(peerIP, peerMAC, wire.NDPSolicited|wire.NDPOverride)
		l.out = nil
		l.advert(peerIP, c.mac, c.flags)
		l.send(peerIP)
		if got := strings.Join(l.out, ", "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	l := newLab(t)
	l.advert(peerIP, peerMAC, wire.NDPSolicited|wire.NDPOverride)
	if l.box.Len() != 0 {
		t.Error("an advertisement nobody asked for made an entry")
	}
	l.solicit(ourIP, peerMAC, peerIP)
	l.out = nil
	l.send(peerIP)
	l.expect("known from its own request", "request for fe80::2 to 2", "data to 2")
}

func TestInvalid(t *testing.T) {
	group := wire.AllNodes
	for name, f := range map[string]func(l *lab){
		"hop limit": func(l *lab) {
			p := l.pool.Linear(24)
			wire.NDP(p.Bytes()).EncodeNeighbour(wire.NDPNeighbourSolicit, 0, ourIP, peerMAC)
			p.MAC, p.Src, p.Dst, p.TTL = peerMAC, peerIP, ourIP, 254
			l.box.Receive(p)
		},
		"code": func(l *lab) {
			p := l.pool.Linear(24)
			wire.NDP(p.Bytes()).EncodeNeighbour(wire.NDPNeighbourSolicit, 0, ourIP, peerMAC)
			p.Bytes()[1] = 1
			p.MAC, p.Src, p.Dst, p.TTL = peerMAC, peerIP, ourIP, 255
			l.box.Receive(p)
		},
		"target is a group": func(l *lab) { l.solicit(group, peerMAC, peerIP) },
		"nobody with an address": func(l *lab) {
			l.message(wire.NDPNeighbourSolicit, 0, ourIP, peerMAC, peerMAC, nobody, wire.SolicitedNode(ourIP))
		},
		"nobody to us alone": func(l *lab) { l.message(wire.NDPNeighbourSolicit, 0, ourIP, peerMAC, wire.MAC{}, nobody, ourIP) },
		"group as Ethernet address": func(l *lab) {
			l.message(wire.NDPNeighbourSolicit, 0, ourIP, peerMAC, wire.MAC{1, 0, 0, 0, 0, 9}, peerIP, ourIP)
		},
		"solicited, to all": func(l *lab) {
			l.message(wire.NDPNeighbourAdvert, wire.NDPSolicited, peerIP, peerMAC, peerMAC, peerIP, group)
		},
	} {
		l := newLab(t)
		f(l)
		if len(l.out) != 0 || l.box.Len() != 0 || l.box.Dropped != 1 {
			t.Errorf("%s: %q, %d entries, %+v", name, l.out, l.box.Len(), l.box.Stats)
		}
	}
}

func TestDuplicate(t *testing.T) {
	l := newLab(t)
	l.box.Detect(ourIP)
	l.expect("detection", "request for fe80::1 from nobody to group")
	l.solicit(ourIP, peerMAC, peerIP)
	l.expect("asked while it is not sure", "advert 40 to 2") // no override
	l.pass(2e9)
	if l.box.Tentative(ourIP) || len(l.duplicates) != 0 || l.wheel.Len() != 0 {
		t.Errorf("nobody else has it: %v", l.duplicates)
	}
	for name, f := range map[string]func(l *lab){
		"another defends it":          func(l *lab) { l.advert(ourIP, peerMAC, wire.NDPOverride) },
		"another begins to, too":      func(l *lab) { l.solicit(ourIP, peerMAC, nobody) },
		"another defends it, quietly": func(l *lab) { l.advert(ourIP, peerMAC, 0) },
	} {
		l := newLab(t)
		l.box.Detect(ourIP)
		f(l)
		if !slices.Equal(l.duplicates, []netip.Addr{ourIP}) || l.box.Tentative(ourIP) || l.wheel.Len() != 0 {
			t.Errorf("%s: duplicates %v", name, l.duplicates)
		}
	}
	l = newLab(t)
	l.advert(ourIP, peerMAC, wire.NDPOverride)
	if len(l.duplicates) != 0 || l.box.Stats.Conflicts != 1 {
		t.Error("an address that has been ours for long was given up")
	}
}

func TestRouters(t *testing.T) {
	l := newLab(t)
	ra := func(src netip.Addr) {
		b := make([]byte, wire.NDPRouterAdvertSize+wire.NDPLinkAddrSize)
		b[0], b[16], b[17], b[18], b[23] = wire.NDPRouterAdvert, wire.NDPSourceLink, 1, 2, 2
		p := l.pool.Linear(len(b))
		copy(p.Bytes(), b)
		p.MAC, p.Src, p.Dst, p.TTL = peerMAC, src, wire.AllNodes, 255
		l.box.Receive(p)
	}
	ra(netip.MustParseAddr("2001:db8::1"))
	if l.routers != 0 {
		t.Error("an advertisement from beyond the link was taken")
	}
	ra(peerIP)
	if l.routers != 1 || l.box.Len() != 1 {
		t.Errorf("%d advertisements, %d entries", l.routers, l.box.Len())
	}
	l.send(peerIP)
	l.advert(peerIP, peerMAC, wire.NDPSolicited) // without the router's flag
	if !slices.Equal(l.gone, []netip.Addr{peerIP}) {
		t.Errorf("a router that is none any more: %v", l.gone)
	}
}

func TestLimits(t *testing.T) {
	l := newLab(t)
	host := func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i >> 8), 15: byte(i)})
	}
	for range neighbour.MaxPending + 10 {
		l.send(host(1000))
	}
	if n := l.box.Waiting(); n != neighbour.MaxPending {
		t.Errorf("%d packets wait for one", n)
	}
	for i := range 3 * neighbour.MaxWaiting {
		l.send(host(2000 + i))
	}
	if l.box.Waiting() != neighbour.MaxWaiting || l.box.Len() > neighbour.MaxEntries {
		t.Errorf("%d packets wait, %d entries", l.box.Waiting(), l.box.Len())
	}
	l.pass(60e9)
	for i := range 2 * neighbour.MaxEntries {
		l.solicit(ourIP, peerMAC, host(5000+i))
	}
	if l.box.Len() != neighbour.MaxEntries {
		t.Errorf("%d entries", l.box.Len())
	}
	l.box.Flush()
	if l.box.Len() != 0 || l.box.Waiting() != 0 {
		t.Errorf("%d entries, %d packets after Flush", l.box.Len(), l.box.Waiting())
	}
	if !l.box.Set(peerIP, peerMAC) {
		t.Fatal("no static entry")
	}
	l.advert(peerIP, otherMAC, wire.NDPOverride|wire.NDPSolicited)
	l.box.Flush()
	if mac, ok := l.box.Lookup(peerIP); !ok || mac != peerMAC {
		t.Errorf("static entry: %v %v", mac, ok)
	}
}

// FuzzReceive mixes arbitrary messages with packets to send and the passing of time. The cache stays bounded, and what
// was to be sent is sent or reported lost.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{2, 1, 0, 2, 0, 2, 3, 255, 6, 9})
	f.Add([]byte{1, 0, 1, 2, 1, 2, 2, 3, 3, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLab(t)
		sends := 0
		l.box.Detect(ourIP)
		for len(b) > 0 {
			op := b[0]
			b = b[1:]
			switch op % 4 {
			case 0: // anything
				n := min(int(op), len(b))
				p := l.pool.Receive(max(n, 1))
				p.Truncate(copy(p.Bytes(), b[:n]))
				p.MAC, p.Src, p.Dst, p.TTL = peerMAC, peerIP, ourIP, 255
				b = b[n:]
				l.box.Receive(p)
			case 1: // a right one
				var a [4]byte
				b = b[copy(a[:], b):]
				host := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: a[1] & 15})
				if op&4 != 0 {
					l.advert(host, wire.MAC{2, 0, 0, 0, 0, a[3]}, a[2])
				} else {
					l.solicit(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: a[2] & 3}), wire.MAC{2, 0, 0, 0, 0, a[3]}, host)
				}
			case 2:
				l.send(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: op & 15}))
				sends++
			case 3:
				l.pass(int64(op) << 24)
			}
			if l.box.Len() > neighbour.MaxEntries {
				t.Fatalf("%d neighbours", l.box.Len())
			}
		}
		l.pass(60e9) // all that waits is given up by then
		sent := 0
		for _, o := range l.out {
			if strings.HasPrefix(o, "data") {
				sent++
			}
		}
		if sent+l.lost+int(l.box.Dropped) < sends || sent+l.lost > sends+len(l.out) {
			t.Errorf("%d sent and %d lost of %d", sent, l.lost, sends)
		}
		if l.wheel.Len() != 0 {
			t.Errorf("%d timers left", l.wheel.Len())
		}
		l.box.Flush()
	})
}
