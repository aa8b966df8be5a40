package net

import (
	"net/netip"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
)

// TestCookies has a listener whose half-open connections are as many as they may be: further clients are served with
// cookies, over IPv4 and IPv6, and data flows as usual.
func TestCookies(t *testing.T) {
	for name, addr := range map[string]func(*host) netip.Addr{
		"IPv4": func(h *host) netip.Addr { return mapped(h.addr) },
		"IPv6": (*host).addr6,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, nettest.Faults{Delay: 1_000_000}, nic.Features{}).with6()
			l := w.b.socket6(t, sockStream)
			l.must(l.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 80)))
			l.must(l.Listen(1))
			to := netip.AddrPortFrom(addr(w.b), 80)
			a, b, _ := w.dial6(w.a, l, to) // so that neighbours know each other
			a.must(a.Close())
			b.must(b.Close())
			w.clock.Run(seconds)

			w.link.B.Tap = func([]byte) bool { return false }
			var stuck []*sock
			for range 16 {
				c := w.a.socket6(t, sockStream)
				c.must(c.Connect(to), syscall.EINPROGRESS)
				stuck = append(stuck, c)
			}
			w.clock.Run(seconds / 10)
			for _, c := range stuck {
				c.must(c.Close())
			}
			w.link.B.Tap = nil
			a, b, _ = w.dial6(w.a, l, to)
			if n := w.b.boxes.TCP.Stats; n.CookiesTx != 1 || n.CookiesRx != 1 {
				t.Errorf("%d cookies sent, %d taken", n.CookiesTx, n.CookiesRx)
			}
			w.transfer(a, b, 1<<20)
			l.must(l.Close())
			w.finish(a, b)
		})
	}
}
