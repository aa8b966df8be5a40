package net

import (
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/conntrack"
	"ukvm.dev/guest/net/filter"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/wire"
)

// benchRules are n rules for packets that come in, the last of which lets pass what the benchmark sends, behind one that
// lets pass what belongs to connections, if there is tracking.
func benchRules(n int, tracking bool) *filter.Config {
	c := rules("input", filter.Drop)
	l := &c.Chains[0].Rules
	if tracking {
		*l = append(*l, filter.Rule{State: conntrack.Established | conntrack.Related, Verdict: filter.Accept})
	}
	for i := range n - 2 {
		r := portRule(wire.ProtoTCP, uint16(1000+i), filter.Accept)
		if i%4 == 3 {
			r = filter.Rule{Src: filter.Addrs{Prefixes: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24")}}, Verdict: filter.Drop}
		}
		*l = append(*l, r)
	}
	if *l = append(*l, portRule(wire.ProtoTCP, 80, filter.Accept), portRule(wire.ProtoUDP, 53, filter.Accept)); n > 2 {
		c.Chains[0].Rules = append(*l, filter.Rule{Count: "rest"})
	}
	return c
}

// benchmarkFilter sends a request and its answer, TCP and UDP, to a host with a filter: two packets in and two out for
// TCP, one each for UDP.
func benchmarkFilter(b *testing.B, c *filter.Config) {
	b.Run("tcp", func(b *testing.B) {
		w := newWirePair(b, nic.Features{TxChecksum: true}, 1500)
		w.b.filter(b, c)
		k, s := w.connect(b)
		buf := make([]byte, 128)
		defer cpuTime(b)()
		for range b.N {
			k.Send(buf, netip.AddrPort{}, 0)
			w.shuttle()
			s.Recv(buf, 0)
			s.Send(buf, netip.AddrPort{}, 0)
			w.shuttle()
			if n, _, _, e := k.Recv(buf, 0); e != 0 || n != len(buf) {
				b.Fatal(n, e)
			}
		}
	})
	b.Run("udp", func(b *testing.B) {
		w := newWirePair(b, nic.Features{TxChecksum: true}, 1500)
		w.b.filter(b, c)
		k, s := w.a.socket(b, sockDgram, 0), w.b.socket(b, sockDgram, 0)
		s.must(s.Bind(netip.MustParseAddrPort("0.0.0.0:53")))
		k.must(k.Connect(netip.AddrPortFrom(w.b.addr, 53)))
		buf := make([]byte, 128)
		defer cpuTime(b)()
		for range b.N {
			k.Send(buf, netip.AddrPort{}, 0)
			w.shuttle()
			_, from, _, e := s.Recv(buf, 0)
			s.must(e)
			s.Send(buf, from, 0)
			w.shuttle()
			if n, _, _, e := k.Recv(buf, 0); n != len(buf) || e != 0 {
				b.Fatal(n, e)
			}
		}
	})
}

func BenchmarkFilterNone(b *testing.B)      { benchmarkFilter(b, nil) }
func BenchmarkFilter2(b *testing.B)         { benchmarkFilter(b, benchRules(2, false)) }
func BenchmarkFilter20(b *testing.B)        { benchmarkFilter(b, benchRules(20, false)) }
func BenchmarkFilterConntrack(b *testing.B) { benchmarkFilter(b, benchRules(2, true)) }
func BenchmarkFilter20Tracked(b *testing.B) { benchmarkFilter(b, benchRules(20, true)) }
