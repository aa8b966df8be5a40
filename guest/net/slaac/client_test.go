package slaac

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

var (
	routerA, routerB = netip.MustParseAddr("fe80::a"), netip.MustParseAddr("fe80::b")
	prefix           = netip.MustParsePrefix("2001:db8:1::/64")
	server           = netip.MustParseAddr("2001:db8::53")
)

// lab is a client with its surroundings, and what it has configured.
type lab struct {
	c         Client
	wheel     timer.Wheel
	now       int64
	solicits  int
	routers   map[netip.Addr]bool
	onLink    map[netip.Prefix]bool
	addrs     map[netip.Prefix][2]int64 // preferred, valid
	servers   []netip.Addr
	domains   []string
	other     int
	mtu       int
	hopLimit  uint8
	reachable int64
}

func newLab() *lab {
	l := &lab{now: 3600e9, routers: map[netip.Addr]bool{}, onLink: map[netip.Prefix]bool{}, addrs: map[netip.Prefix][2]int64{}}
	l.wheel.Advance(l.now)
	l.c = Client{
		Solicit:      func() { l.solicits++ },
		AddRouter:    func(a netip.Addr) { l.routers[a] = true },
		RemoveRouter: func(a netip.Addr) { delete(l.routers, a) },
		OnLink: func(p netip.Prefix, on bool) {
			if delete(l.onLink, p); on {
				l.onLink[p] = true
			}
		},
		SetAddr:    func(p netip.Prefix, preferred, valid int64) { l.addrs[p] = [2]int64{preferred, valid} },
		RemoveAddr: func(p netip.Prefix) { delete(l.addrs, p) },
		SetServers: func(s []netip.Addr) { l.servers = s },
		SetSearch:  func(d []string) { l.domains = d },
		Other:      func() { l.other++ },
		SetLink:    func(mtu int, hops uint8, reachable int64) { l.mtu, l.hopLimit, l.reachable = mtu, hops, reachable },
		Now:        func() int64 { return l.now }, Wheel: &l.wheel, MTU: 1500,
	}
	return l
}

func (l *lab) pass(d int64) { nettest.Pass(&l.now, &l.wheel, d) }

// advert makes an advertisement.
func advert(lifetime uint16, options ...[]byte) []byte {
	b := make([]byte, wire.NDPRouterAdvertSize)
	b[0], b[4] = wire.NDPRouterAdvert, 64
	binary.BigEndian.PutUint16(b[6:], lifetime)
	for _, o := range options {
		b = append(b, o...)
	}
	return b
}

func prefixOption(p netip.Prefix, flags byte, valid, preferred uint32) []byte {
	b := make([]byte, 32)
	b[0], b[1], b[2], b[3] = wire.NDPPrefix, 4, byte(p.Bits()), flags
	binary.BigEndian.PutUint32(b[4:], valid)
	binary.BigEndian.PutUint32(b[8:], preferred)
	a := p.Addr().As16()
	copy(b[16:], a[:])
	return b
}

func mtuOption(mtu uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{wire.NDPMTU, 1, 0, 0}, mtu)
}

func serverOption(lifetime uint32, servers ...netip.Addr) []byte {
	b := binary.BigEndian.AppendUint32([]byte{wire.NDPRDNSS, byte(1 + 2*len(servers)), 0, 0}, lifetime)
	for _, a := range servers {
		b = append(b, a.AsSlice()...)
	}
	return b
}

// searchOption makes a search list of names in DNS form.
func searchOption(lifetime uint32, names string) []byte {
	b := append(binary.BigEndian.AppendUint32([]byte{wire.NDPDNSSL, 0, 0, 0}, lifetime), names...)
	b = append(b, make([]byte, -len(b)&7)...)
	b[1] = byte(len(b) / 8)
	return b
}

func (l *lab) receive(t testing.TB, from netip.Addr, b []byte) {
	t.Helper()
	h, ok := wire.ParseNDP(b)
	if !ok {
		t.Fatalf("%x", b)
	}
	l.c.Receive(h, from)
}

const both = 0xc0 // on-link, autonomous

func TestConfigure(t *testing.T) {
	l := newLab()
	l.c.Start()
	l.pass(5e9)
	if l.solicits != 2 {
		t.Errorf("%d solicitations in 5 s", l.solicits)
	}
	b := advert(1800, prefixOption(prefix, both, 3600, 600), mtuOption(1400), serverOption(1200, server))
	binary.BigEndian.PutUint32(b[8:], 20000)
	l.receive(t, routerA, b)
	start := l.now
	if !l.routers[routerA] || !l.onLink[prefix] || l.addrs[prefix] != [2]int64{start + 600e9, start + 3600e9} ||
		!slices.Equal(l.servers, []netip.Addr{server}) || l.mtu != 1400 || l.hopLimit != 64 || l.reachable != 20e9 {
		t.Errorf("%+v", l)
	}
	l.pass(60e9)
	if l.solicits != 2 {
		t.Error("it goes on asking")
	}
	// All ends in its time.
	for _, c := range []struct {
		after int64
		what  string
		there func() bool
	}{
		{1200e9, "servers", func() bool { return len(l.servers) > 0 }},
		{1800e9, "router", func() bool { return l.routers[routerA] }},
		{3600e9, "address", func() bool { return len(l.addrs) > 0 }},
		{3600e9, "prefix", func() bool { return len(l.onLink) > 0 }},
	} {
		if at := start + c.after - 2e9; l.now < at {
			l.pass(at - l.now)
			if !c.there() {
				t.Errorf("%s: gone too early", c.what)
			}
		}
		if at := start + c.after + 2e9; l.now < at {
			l.pass(at - l.now)
		}
		if c.there() {
			t.Errorf("%s: still there", c.what)
		}
	}
	if l.wheel.Len() != 0 {
		t.Errorf("%d timers left", l.wheel.Len())
	}
}

func TestNobody(t *testing.T) {
	l := newLab()
	l.c.Start()
	l.pass(100e9)
	if l.solicits != Solicitations || l.wheel.Len() != 0 {
		t.Errorf("%d solicitations, %d timers", l.solicits, l.wheel.Len())
	}
	l.receive(t, routerA, advert(1800))
	if !l.routers[routerA] {
		t.Error("a router that comes late is not heard")
	}
	l.c.Stop()
	l.receive(t, routerB, advert(1800))
	if l.routers[routerB] || l.wheel.Len() != 0 {
		t.Error("heard after Stop")
	}
}

func TestWithdraw(t *testing.T) {
	l := newLab()
	l.c.Start()
	l.receive(t, routerA, advert(1800, prefixOption(prefix, both, 1<<32-1, 1<<32-1), serverOption(1<<32-1, server)))
	if l.addrs[prefix] != [2]int64{0, 0} {
		t.Errorf("for ever: %v", l.addrs)
	}
	l.pass(1e9)
	l.receive(t, routerA, advert(0, prefixOption(prefix, both, 0, 0), serverOption(0, server)))
	if len(l.routers)+len(l.onLink)+len(l.servers) != 0 {
		t.Errorf("%+v", l)
	}
	// An address goes in two hours at the earliest, but is not used for what is new (RFC 4862 §5.5.3 (e)).
	if a := l.addrs[prefix]; a != [2]int64{l.now, l.now + twoHours} {
		t.Errorf("%v at %d", a, l.now)
	}
	first := l.addrs[prefix][1]
	l.pass(600e9)
	l.receive(t, routerA, advert(0, prefixOption(prefix, both, 1, 1)))
	if l.addrs[prefix][1] != first {
		t.Error("the rest of two hours was shortened or prolonged")
	}
	l.receive(t, routerA, advert(0, prefixOption(prefix, both, 10000, 10000)))
	if l.addrs[prefix][1] != l.now+10000e9 {
		t.Error("not prolonged")
	}
}

func TestIgnored(t *testing.T) {
	for name, o := range map[string][]byte{
		"link-local prefix":      prefixOption(netip.MustParsePrefix("fe80::/64"), both, 3600, 600),
		"group as prefix":        prefixOption(netip.MustParsePrefix("ff02::/64"), both, 3600, 600),
		"everything as prefix":   prefixOption(netip.MustParsePrefix("::/0"), both, 3600, 600),
		"IPv4 as prefix":         prefixOption(netip.MustParsePrefix("::ffff:0:0/96"), both, 3600, 600),
		"MTU below the least":    mtuOption(1279),
		"MTU beyond the card's":  mtuOption(9000),
		"no flags":               prefixOption(prefix, 0, 3600, 600),
		"preferred beyond valid": prefixOption(prefix, 0x40, 600, 3600),
		"not 64 bits":            prefixOption(netip.MustParsePrefix("2001:db8::/56"), 0x40, 3600, 600),
		"servers that are none":  serverOption(600, netip.IPv6Unspecified(), wire.AllNodes, netip.IPv6Loopback()),
	} {
		l := newLab()
		l.c.Start()
		l.receive(t, routerA, advert(0, o))
		if len(l.routers)+len(l.onLink)+len(l.addrs)+len(l.servers)+l.mtu != 0 {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

func TestLimits(t *testing.T) {
	l := newLab()
	l.c.Start()
	for i := range 1000 {
		p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x20, 6: byte(i >> 8), 7: byte(i)}), 64)
		l.receive(t, netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i >> 8), 15: byte(i)}),
			advert(9000, prefixOption(p, both, 1<<31, 1<<31), serverOption(1<<31, p.Addr())))
		if i%2 == 0 {
			l.pass(1e9)
		}
	}
	if len(l.routers) != MaxRouters || len(l.onLink) != MaxPrefixes || len(l.addrs) != MaxPrefixes || len(l.servers) != MaxServers {
		t.Errorf("%d routers, %d and %d prefixes, %d servers", len(l.routers), len(l.onLink), len(l.addrs), len(l.servers))
	}
	was := l.c.Stats.Dropped
	for range 1000 {
		l.receive(t, routerA, advert(9000))
	}
	if l.c.Stats.Dropped < was+900 {
		t.Errorf("of a flood %d were dropped", l.c.Stats.Dropped-was)
	}
}

// TestNames: a search list is kept as long as it says (RFC 8106 §5.2), and that a DHCPv6 server knows more is passed on.
func TestNames(t *testing.T) {
	l := newLab()
	l.c.Start()
	l.receive(t, routerA, advert(1800, searchOption(1200, "\x03lan\x00\x07example\x03org\x00")))
	if !slices.Equal(l.domains, []string{"lan", "example.org"}) || l.other != 0 {
		t.Fatalf("%q, asked for more %d times", l.domains, l.other)
	}
	l.receive(t, routerA, advert(1800, searchOption(0, "\x03lan\x00"), searchOption(1200, "\x01 \x00")))
	if !slices.Equal(l.domains, []string{"example.org"}) {
		t.Errorf("one withdrawn: %q", l.domains)
	}
	if l.pass(1201e9); l.domains != nil {
		t.Errorf("after their time: %q", l.domains)
	}
	for i, flags := range []byte{0x40, 0x80, 0xc0} {
		b := advert(1800)
		b[5] = flags
		if l.receive(t, routerA, b); l.other != i+1 {
			t.Errorf("flags %x: asked for more %d times", flags, l.other)
		}
	}
}

// FuzzReceive feeds advertisements and lets time pass; what is configured stays within its limits, and ends.
func FuzzReceive(f *testing.F) {
	f.Add(uint64(1), advert(1800, prefixOption(prefix, both, 3600, 600), mtuOption(1400), serverOption(1200, server)))
	f.Add(uint64(2), advert(0, prefixOption(prefix, both, 0, 0)))
	f.Add(uint64(3), advert(9, searchOption(1200, "\x03lan\x00")))
	f.Fuzz(func(t *testing.T, seed uint64, b []byte) {
		h, ok := wire.ParseNDP(b)
		if !ok {
			return
		}
		r := rand.New(rand.NewPCG(seed, 1))
		l := newLab()
		l.c.Start()
		for range 5 {
			l.c.Receive(h, netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: byte(r.IntN(8))}))
			l.pass(r.Int64N(4000) * 1e9)
			if len(l.domains) > MaxDomains || len(l.routers) > MaxRouters || len(l.onLink) > MaxPrefixes || len(l.addrs) > MaxPrefixes || len(l.servers) > MaxServers {
				t.Fatal(fmt.Sprintf("%+v", l))
			}
			if l.mtu != 0 && (l.mtu < 1280 || l.mtu > 1500) {
				t.Fatalf("MTU %d", l.mtu)
			}
		}
		l.c.Stop()
		if l.wheel.Len() != 0 {
			t.Errorf("%d timers left", l.wheel.Len())
		}
	})
}
