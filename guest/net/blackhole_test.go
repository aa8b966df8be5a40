package net

import (
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/wire"
)

// TestBlackHole moves data both ways over a link that drops what is longer than an MTU, and tells nobody.
func TestBlackHole(t *testing.T) {
	for name, features := range map[string]nic.Features{"plain": {}, "offload": offload} {
		for _, mtu := range []int{1400, 1280, 576, -1400, -1280} { // IPv6, if negative
			w := newWorld(t, 1, nettest.Faults{Delay: 5_000_000, Rate: 12_500_000}, features)
			var a, b *sock
			family := "IPv4"
			if mtu > 0 {
				a, b = w.pair(80)
			} else {
				w.with6()
				family, mtu = "IPv6", -mtu
				l := w.b.socket6(t, sockStream)
				l.must(l.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 80)))
				l.must(l.Listen(1))
				a, b, _ = w.dial6(w.a, l, netip.AddrPortFrom(w.b.addr6(), 80))
				l.must(l.Close())
			}
			dropped := 0
			drop := func(frame []byte) bool {
				if len(frame) > wire.EthernetSize+mtu {
					dropped++
					return false
				}
				return true
			}
			w.link.A.Tap, w.link.B.Tap = drop, drop
			d := w.transfer(a, b, 1<<20)
			holes := w.a.boxes.TCP.Stats.BlackHoles + w.b.boxes.TCP.Stats.BlackHoles
			t.Logf("%s, %s, MTU %d: 1 MiB each way in %.2f s, %d frames dropped, MTU lowered %d times", name, family, mtu, float64(d)/seconds, dropped, holes)
			if dropped == 0 || holes < 2 {
				t.Errorf("%d frames dropped, MTU lowered %d times", dropped, holes)
			}
			if d > 20*seconds {
				t.Errorf("it took %.2f s", float64(d)/seconds)
			}
			w.finish(a, b)
		}
	}
}
