package filter

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"ukvm.dev/guest/net/conntrack"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// Interfaces of the tests.
const (
	lo = 1 + iota
	eth0
	eth1
)

var interfaces = []string{"", "lo", "eth0", "eth1"}

// bench is a box with what its functions were told.
type bench struct {
	Box
	now       int64
	state     conntrack.State
	confirmed int
	full      bool
	rejected  []Answer
	lines     []string
	dhcp      bool
}

func newBench(t testing.TB, c *Config) *bench {
	t.Helper()
	table, err := Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{now: 1e15}
	b.Track = func(*conntrack.Packet) conntrack.State { return b.state }
	b.Confirm = func() bool { b.confirmed++; return !b.full }
	b.Reject = func(_ Hook, _ *packet.Packet, a Answer) { b.rejected = append(b.rejected, a) }
	b.Log = func(s string) { b.lines = append(b.lines, s) }
	b.Configuring = func(int) bool { return b.dhcp }
	b.Now = func() int64 { return b.now }
	b.Loopback = lo
	b.Load(table, interfaces)
	return b
}

// sample describes a packet.
type sample struct {
	link             int
	src, dst         string
	proto            uint8
	srcPort, dstPort uint16
	flags, typ       uint8
	ttl              uint8
	size             int // of the payload
	short            bool
}

var pool packet.Pool

// make makes the packet as Input and Output see it.
func (s sample) make() *packet.Packet {
	head := map[uint8]int{wire.ProtoTCP: 20, wire.ProtoUDP: 8, wire.ProtoICMP: 8, protoICMPv6: 8}[s.proto]
	p := pool.Linear(head + s.size)
	b := p.Bytes()
	clear(b)
	switch s.proto {
	case wire.ProtoTCP:
		wire.TCP(b[:20]).Encode(&wire.TCPFields{SrcPort: s.srcPort, DstPort: s.dstPort, Flags: s.flags})
	case wire.ProtoUDP:
		wire.UDP(b[:8]).Encode(s.srcPort, s.dstPort, len(b), 0)
	case wire.ProtoICMP, protoICMPv6:
		b[0] = s.typ
	}
	if s.short {
		p.Truncate(head - 1)
	}
	p.Link, p.Proto, p.TTL = s.link, s.proto, s.ttl
	if p.Link == 0 {
		p.Link = eth0
	}
	p.Src, p.Dst = netip.MustParseAddr(or(s.src, "192.0.2.1")), netip.MustParseAddr(or(s.dst, "10.0.0.2"))
	return p
}

func or(s, t string) string {
	if s == "" {
		return t
	}
	return s
}

// pass runs a packet through a place.
func (b *bench) pass(h Hook, s sample) bool {
	p := s.make()
	if h != Input && h != Output {
		if p.Src.Is4() {
			n := p.Len()
			wire.IPv4(p.Prepend(wire.IPv4Size)).Encode(&wire.IPv4Fields{TotalLen: 20 + n, TTL: 64, Proto: s.proto, Src: p.Src, Dst: p.Dst})
		} else {
			x := p.Prepend(ipv6Size)
			clear(x)
			x[0], x[6], x[7] = 6<<4, s.proto, s.ttl
		}
	}
	f := b.Hook(h)
	ok := f == nil || f(p)
	p.Release()
	return ok
}

func prefixes(list ...string) Addrs {
	var a Addrs
	for _, s := range list {
		a.Prefixes = append(a.Prefixes, netip.MustParsePrefix(s))
	}
	return a
}

func not(a Addrs) Addrs { a.Not = true; return a }

func ports(list ...uint16) (p Ports) {
	for i := 0; i < len(list); i += 2 {
		p.Ranges = append(p.Ranges, PortRange{list[i], list[i+1]})
	}
	return p
}

const (
	tcp  = wire.ProtoTCP
	udp  = wire.ProtoUDP
	icmp = wire.ProtoICMP
)

// TestConditions has, for each condition, packets that match and packets that just do not.
func TestConditions(t *testing.T) {
	syn := sample{proto: tcp, srcPort: 40000, dstPort: 80, flags: wire.SYN}
	with := func(s sample, f func(*sample)) sample { f(&s); return s }
	for _, c := range []struct {
		name string
		hook Hook
		rule Rule
		yes  []sample
		no   []sample
	}{
		{"nothing", Input, Rule{}, []sample{syn, {proto: 200}}, nil},
		{"protocol", Input, Rule{Proto: tcp}, []sample{syn}, []sample{{proto: udp, dstPort: 80}, {proto: icmp}, {}}},
		{"port", Input, Rule{Proto: tcp, DstPort: ports(80, 80)}, []sample{syn},
			[]sample{with(syn, func(s *sample) { s.dstPort = 81 }), with(syn, func(s *sample) { s.dstPort = 79 }),
				with(syn, func(s *sample) { s.short = true }), {proto: udp, dstPort: 80}}},
		{"port ranges", Input, Rule{Proto: udp, DstPort: ports(1000, 2000, 53, 53, 2001, 2002)},
			[]sample{{proto: udp, dstPort: 53}, {proto: udp, dstPort: 1000}, {proto: udp, dstPort: 2002}},
			[]sample{{proto: udp, dstPort: 54}, {proto: udp, dstPort: 999}, {proto: udp, dstPort: 2003}, {proto: tcp, dstPort: 53}}},
		{"source port", Input, Rule{Proto: tcp, SrcPort: ports(1024, 65535)}, []sample{syn}, []sample{with(syn, func(s *sample) { s.srcPort = 20 })}},
		{"not a port", Input, Rule{Proto: tcp, DstPort: Ports{Not: true, Ranges: ports(80, 81).Ranges}},
			[]sample{with(syn, func(s *sample) { s.dstPort = 82 })}, []sample{syn, with(syn, func(s *sample) { s.short = true })}},
		{"source", Input, Rule{Src: prefixes("192.0.2.0/28")}, []sample{{src: "192.0.2.15"}},
			[]sample{{src: "192.0.2.16"}, {src: "192.0.1.255"}, {src: "::192.0.2.1"}}},
		{"destination", Output, Rule{Dst: prefixes("fd00::/7", "203.0.113.5/32")}, []sample{{src: "fd00::1", dst: "fdff::"}, {dst: "203.0.113.5"}},
			[]sample{{src: "fd00::1", dst: "fe00::"}, {dst: "203.0.113.4"}}},
		{"not a source", Input, Rule{Src: not(prefixes("10.0.0.0/8"))}, []sample{{src: "11.0.0.0"}, {src: "fd00::1", dst: "fd00::2"}}, []sample{{src: "10.255.255.255"}}},
		{"all of IPv4", Input, Rule{Src: prefixes("0.0.0.0/0")}, []sample{{}}, []sample{{src: "fd00::1", dst: "fd00::2"}}},
		{"all of IPv6", Input, Rule{Src: prefixes("::/0"), Dst: not(prefixes("0.0.0.0/0"))}, []sample{{src: "fd00::1", dst: "fd00::2"}}, []sample{{}}},
		{"interface in", Input, Rule{In: []string{"eth1"}}, []sample{{link: eth1}}, []sample{{link: eth0}, {link: 7}, {link: -1}}},
		{"interface out", Output, Rule{Out: []string{"eth1", "eth0"}}, []sample{{link: eth1}, {link: eth0}}, []sample{{link: 4}}},
		{"type", Input, Rule{Proto: icmp, Types: []uint8{8, 255}}, []sample{{proto: icmp, typ: 8}, {proto: icmp, typ: 255}}, []sample{{proto: icmp}, {proto: icmp, typ: 9}, {proto: tcp}}},
		{"ICMPv6 type", Input, Rule{Proto: protoICMPv6, Types: []uint8{128}}, []sample{{src: "fd00::1", dst: "fd00::2", proto: protoICMPv6, typ: 128}}, []sample{{proto: icmp, typ: 128}}},
		{"flags", Input, Rule{Proto: tcp, Set: wire.SYN, Clear: wire.ACK}, []sample{syn, with(syn, func(s *sample) { s.flags |= wire.PSH })},
			[]sample{with(syn, func(s *sample) { s.flags |= wire.ACK }), with(syn, func(s *sample) { s.flags = 0 }), with(syn, func(s *sample) { s.short = true })}},
		{"before routing", Prerouting, Rule{Proto: tcp, DstPort: ports(80, 80), In: []string{"eth0"}}, []sample{syn, with(syn, func(s *sample) { s.src, s.dst = "fd00::1", "fd00::2" })},
			[]sample{with(syn, func(s *sample) { s.dstPort = 22 })}},
		{"after routing", Postrouting, Rule{Proto: udp, SrcPort: ports(7, 7), Out: []string{"eth0"}}, []sample{{proto: udp, srcPort: 7}}, []sample{{proto: udp, dstPort: 7}}},
		{"forwarded", Forward, Rule{Proto: icmp, Types: []uint8{8}}, []sample{{proto: icmp, typ: 8}}, []sample{{proto: icmp}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.rule.Verdict = Drop
			b := newBench(t, &Config{Chains: []Chain{{Name: c.hook.String(), Rules: []Rule{c.rule}}}})
			for _, s := range c.yes {
				if b.pass(c.hook, s) {
					t.Errorf("%+v does not match", s)
				}
			}
			for _, s := range c.no {
				if !b.pass(c.hook, s) {
					t.Errorf("%+v matches", s)
				}
			}
			if s := b.Stats[c.hook]; s.Dropped != uint64(len(c.yes)) || s.Accepted != uint64(len(c.no)) {
				t.Errorf("%+v", s)
			}
			for h := range Hooks {
				if h != c.hook && b.Hook(h) != nil {
					t.Errorf("something at %v", h)
				}
			}
		})
	}
}

// TestVerdicts walks through chains that jump and return.
func TestVerdicts(t *testing.T) {
	port := func(p uint16, r Rule) Rule {
		r.Proto, r.DstPort = udp, ports(p, p)
		return r
	}
	b := newBench(t, &Config{Chains: []Chain{
		{Name: "deep", Rules: []Rule{port(1, Rule{Verdict: Return}), port(2, Rule{Verdict: Accept}), port(7, Rule{Count: "seven"})}},
		{Name: "input", Policy: Drop, Rules: []Rule{
			{Count: "all"},
			{Verdict: Jump, Chain: "side"},
			port(1, Rule{Verdict: Accept, Count: "one"}),
			port(3, Rule{Verdict: Return}),
			port(3, Rule{Verdict: Accept}),
			port(4, Rule{Verdict: Reject, Answer: AnswerHost}),
			port(5, Rule{Verdict: Reject}),
			port(7, Rule{Verdict: Accept, Count: "seven"}),
		}},
		{Name: "side", Rules: []Rule{port(6, Rule{Verdict: Drop}), {Verdict: Jump, Chain: "deep"}}},
	}})
	for i, want := range []bool{1: true, 2: true, 3: false, 4: false, 5: false, 6: false, 7: true, 8: false} {
		if got := b.pass(Input, sample{proto: udp, dstPort: uint16(i), size: 72}); got != want && i > 0 {
			t.Errorf("port %d: %v", i, got)
		}
	}
	if len(b.rejected) != 2 || b.rejected[0] != AnswerHost || b.rejected[1] != AnswerDefault {
		t.Errorf("rejected: %v", b.rejected)
	}
	got := map[string]uint64{}
	b.Table().Counters(func(name string, packets, bytes *uint64) {
		got[name] = *packets
		if *bytes != *packets*100 {
			t.Errorf("%s: %d packets, %d bytes", name, *packets, *bytes)
		}
	})
	if got["all"] != 9 || got["one"] != 1 || got["seven"] != 2 {
		t.Errorf("counters: %v", got)
	}
	if s := b.Stats[Input]; s != (Stats{Accepted: 3, Dropped: 4, Rejected: 2}) {
		t.Errorf("%+v", s)
	}
	policy, rules := uint64(0), 0
	b.Table().Rules(func(chain string, r *Rule, packets, _ uint64) {
		rules++
		if chain == "input" && r == nil {
			policy = packets
		}
	})
	if policy != 3 || rules != 14 { // ports 0, 3 and 8
		t.Errorf("%d packets for the policy, %d rules", policy, rules)
	}
}

// TestNotFiltered has what passes whatever the rules are.
func TestNotFiltered(t *testing.T) {
	all := &Config{}
	for h := range Hooks {
		all.Chains = append(all.Chains, Chain{Name: h.String(), Policy: Drop})
	}
	b := newBench(t, all)
	offer, request := sample{proto: udp, srcPort: 67, dstPort: 68}, sample{proto: udp, srcPort: 68, dstPort: 67}
	advert := sample{proto: protoICMPv6, src: "fe80::1", dst: "fe80::2", typ: 136, ttl: 255}
	far, other, report, reported := advert, advert, advert, advert
	far.ttl, other.typ, report.typ, report.ttl, reported.typ, reported.ttl = 254, 128, 143, 1, 143, 2
	for h := range Hooks {
		dhcp := offer
		wrong := request
		if h >= Output {
			dhcp, wrong = wrong, dhcp
		}
		if b.pass(h, sample{proto: tcp}) || b.pass(h, far) || b.pass(h, other) || b.pass(h, dhcp) {
			t.Errorf("%v: something passes", h)
		}
		if !b.pass(h, advert) || !b.pass(h, report) || b.pass(h, reported) {
			t.Errorf("%v: no neighbour discovery, or no groups", h)
		}
		if !b.pass(h, sample{proto: tcp, link: lo}) {
			t.Errorf("%v: no loopback", h)
		}
		b.dhcp = true
		if !b.pass(h, dhcp) || b.pass(h, wrong) {
			t.Errorf("%v: DHCP", h)
		}
		b.dhcp = false
	}
}

// TestLimit lets pass a burst, then the rate; over is what does not.
func TestLimit(t *testing.T) {
	for _, over := range []bool{false, true} {
		b := newBench(t, &Config{Chains: []Chain{{Name: "input", Policy: Drop, Rules: []Rule{
			{Proto: udp, Limit: Limit{Over: over, Events: 10, Per: time.Second, Burst: 3}, Verdict: map[bool]Verdict{false: Accept, true: Drop}[over]},
			{Verdict: map[bool]Verdict{false: Drop, true: Accept}[over]},
		}}}})
		count := func(n int) (passed int) {
			for range n {
				if b.pass(Input, sample{proto: udp}) {
					passed++
				}
			}
			return passed
		}
		for i, c := range []struct {
			after time.Duration
			want  int
		}{{0, 3}, {99 * time.Millisecond, 0}, {time.Millisecond, 1}, {250 * time.Millisecond, 2}, {50 * time.Millisecond, 1}, {time.Hour, 3}, {0, 0}} {
			b.now += int64(c.after)
			if n := count(20); n != c.want {
				t.Errorf("over %v, step %d: %d packets, want %d", over, i, n, c.want)
			}
		}
	}
}

// TestLog sees what lines look like, and that there are not too many.
func TestLog(t *testing.T) {
	b := newBench(t, &Config{Chains: []Chain{{Name: "input", Rules: []Rule{
		{State: conntrack.New, Log: true, Prefix: "hello", Verdict: Drop}, {Log: true, Verdict: Accept},
	}}}})
	b.state = conntrack.New
	b.pass(Input, sample{proto: tcp, srcPort: 1, dstPort: 22, flags: wire.SYN})
	b.state = conntrack.Established
	b.pass(Input, sample{proto: icmp, typ: 8, src: "192.0.2.77", size: 10})
	b.pass(Input, sample{proto: 99, src: "fd00::1", dst: "fd00::2"})
	want := []string{
		"input: hello 192.0.2.1:1 > 10.0.0.2:22 tcp S, 40 bytes, new: drop",
		"input: 192.0.2.77 > 10.0.0.2 icmp type 8, 38 bytes, established: accept",
		"input: fd00::1 > fd00::2 protocol 99, 40 bytes, established: accept",
	}
	if strings.Join(b.lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(b.lines, "\n"), strings.Join(want, "\n"))
	}
	for range 1000 {
		b.pass(Input, sample{proto: udp})
	}
	if len(b.lines) != LogBurst {
		t.Errorf("%d lines", len(b.lines))
	}
	b.now += 1e9
	for range 1000 {
		b.pass(Input, sample{proto: udp})
	}
	if len(b.lines) != LogBurst+LogRate {
		t.Errorf("%d lines", len(b.lines))
	}
}

// TestTracking: packets that pass are confirmed, others not.
func TestTracking(t *testing.T) {
	b := newBench(t, &Config{Chains: []Chain{{Name: "input", Policy: Drop, Rules: []Rule{{State: conntrack.Established | conntrack.Related, Verdict: Accept}}}}})
	for _, c := range []struct {
		state conntrack.State
		hook  Hook
		pass  bool
	}{
		{conntrack.New, Input, false}, {conntrack.Established, Input, true}, {conntrack.Related, Input, true}, {conntrack.Invalid, Input, false},
		{conntrack.New, Output, true}, {conntrack.New, Forward, true},
	} {
		b.state, b.confirmed = c.state, 0
		if got := b.pass(c.hook, sample{proto: udp}); got != c.pass || b.confirmed != map[bool]int{true: 1}[c.pass] {
			t.Errorf("%v %v: %v, %d confirmed", c.hook, c.state, got, b.confirmed)
		}
	}
	if b.full = true; b.pass(Output, sample{proto: udp}) || b.Stats[Output] != (Stats{Accepted: 1, Dropped: 1}) {
		t.Error("a packet passes for whose connection there is no room")
	}
	if b.Hook(Prerouting) != nil || b.Hook(Postrouting) != nil {
		t.Error("hooks where nothing is to do")
	}
}

// TestReplace loads other rules between packets.
func TestReplace(t *testing.T) {
	drop := func(port uint16) *Config {
		return &Config{Chains: []Chain{{Name: "input", Rules: []Rule{{Proto: udp, DstPort: ports(port, port), In: []string{"eth1"}, Verdict: Drop}}}}}
	}
	b := newBench(t, drop(1))
	for i := uint16(1); i < 100; i++ {
		if b.pass(Input, sample{link: eth1, proto: udp, dstPort: i}) || !b.pass(Input, sample{link: eth1, proto: udp, dstPort: i + 1}) {
			t.Fatalf("rules %d", i)
		}
		table, err := Compile(drop(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		b.Load(table, interfaces)
	}
	b.Load(nil, nil)
	if b.Hook(Input) != nil {
		t.Error("a filter without rules")
	}
}

func TestNoAllocations(t *testing.T) {
	b := newBench(t, sampleRules(20))
	p := sample{proto: tcp, dstPort: 9, flags: wire.ACK}.make()
	f := b.Hook(Input)
	if n := testing.AllocsPerRun(1000, func() {
		if !f(p) {
			t.Fatal("dropped")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// sampleRules are n rules of an ordinary kind, and the last lets pass.
func sampleRules(n int) *Config {
	c := Chain{Name: "input", Policy: Drop}
	for i := range n - 1 {
		r := Rule{Proto: tcp, DstPort: ports(uint16(1000+i), uint16(1000+i)), Src: prefixes("198.51.100.0/24"), Verdict: Accept}
		if i%4 == 3 {
			r = Rule{Src: prefixes("203.0.113.0/24", "198.18.0.0/15"), Verdict: Drop}
		}
		c.Rules = append(c.Rules, r)
	}
	c.Rules = append(c.Rules, Rule{Proto: tcp, Verdict: Accept})
	return &Config{Chains: []Chain{c}}
}

func benchmarkRules(b *testing.B, n int) {
	k := newBench(b, sampleRules(n))
	p := sample{proto: tcp, dstPort: 9, flags: wire.ACK}.make()
	f := k.Hook(Input)
	b.ReportAllocs()
	for b.Loop() {
		f(p)
	}
}

func BenchmarkRules1(b *testing.B)   { benchmarkRules(b, 1) }
func BenchmarkRules20(b *testing.B)  { benchmarkRules(b, 20) }
func BenchmarkRules500(b *testing.B) { benchmarkRules(b, 500) }
