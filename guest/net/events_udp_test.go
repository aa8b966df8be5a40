package net

import (
	"fmt"
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/event"
	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/udp"
)

// TestEventPeer: a connected socket hears its peer only, and what ICMP says of it, over both versions of IP.
func TestEventPeer(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{Delay: 1_000_000}, nic.Features{}).with6()
	for _, to := range []netip.Addr{w.b.addr, w.b.addr6(), w.b.iface.link6.LinkLocal().WithZone("eth0")} {
		peer := netip.AddrPortFrom(to, 7)
		c := must[*event.Socket](t)(w.a.UDP().Open(0))
		if err := c.Send([]byte("x")); err != udp.ErrDestination {
			t.Errorf("%v: sent to nobody: %v", to, err)
		}
		if err := c.Connect(peer); err != nil {
			t.Fatal(err)
		}
		var got []string
		c.OnReceive(func(b []byte, from netip.AddrPort) { got = append(got, fmt.Sprintf("%s from %v", b, from)) })
		c.OnError(func(err error) {
			got = append(got, err.Error())
			if err != packet.ErrRefused {
				t.Errorf("%v: %v", to, err)
			}
		})
		if err := c.Send([]byte("anybody?")); err != nil {
			t.Fatal(err)
		}
		w.clock.Run(seconds)
		s := must[*event.Socket](t)(w.b.UDP().Open(7))
		other := must[*event.Socket](t)(w.b.UDP().Open(8))
		s.OnReceive(func(b []byte, from netip.AddrPort) {
			for _, k := range []*event.Socket{other, s} {
				if err := k.SendTo(b, from); err != nil {
					t.Errorf("answer to %v: %v", from, err)
				}
			}
		})
		if err := c.Send([]byte("now")); err != nil {
			t.Fatal(err)
		}
		w.clock.Run(seconds)
		if want := fmt.Sprintf("[%v now from %v]", packet.ErrRefused, peer); fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
		s.Close()
		other.Close()
		c.Close()
		if err := c.Connect(peer); err != event.ErrClosed {
			t.Errorf("connect on a closed socket: %v", err)
		}
	}
	// Who is not connected hears of no error.
	c := must[*event.Socket](t)(w.a.UDP().Open(0))
	c.OnError(func(err error) { t.Errorf("not connected: %v", err) })
	if err := c.SendTo([]byte("x"), netip.AddrPortFrom(w.b.addr6(), 7)); err != nil {
		t.Fatal(err)
	}
	w.clock.Run(seconds)
	if err := c.SendTo([]byte("x"), netip.MustParseAddrPort("[fe80::1%eth7]:7")); err != packet.ErrNetUnreachable {
		t.Errorf("through an interface there is none of: %v", err)
	}
	c.Close()
	w.left()
}

// TestEventGroups joins and leaves groups of both versions.
func TestEventGroups(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{Delay: 1_000_000}, nic.Features{}).with6()
	for _, text := range []string{"239.1.2.3", "ff02::1234", "ff02::1234%eth0", "ff05::7%2"} {
		group := netip.MustParseAddr(text)
		bare := group.WithZone("")
		s := must[*event.Socket](t)(w.b.UDP().Open(5353))
		got := 0
		s.OnReceive(func(b []byte, from netip.AddrPort) { got++ })
		c := must[*event.Socket](t)(w.a.UDP().Open(0))
		send := func(want int, when string) {
			t.Helper()
			got = 0
			if err := c.SendTo([]byte("x"), netip.AddrPortFrom(group, 5353)); err != nil {
				t.Fatal(err)
			}
			if w.clock.Run(seconds); got != want {
				t.Errorf("%s: %d datagrams %s", text, got, when)
			}
		}
		send(0, "before joining")
		if err := s.Join(group); err != nil {
			t.Fatal(err)
		}
		if err := s.Join(group); err != udp.ErrInUse {
			t.Errorf("joined again: %v", err)
		}
		send(1, "after joining")
		if err := s.Leave(bare); err != nil {
			t.Errorf("leave: %v", err)
		}
		if err := s.Leave(bare); err == nil {
			t.Error("left twice")
		}
		send(0, "after leaving")
		if err := s.Join(group); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if bare.Is6() && w.b.iface.link6.InGroup(bare) {
			t.Errorf("%s: in the group after Close", text)
		}
		for _, bad := range []string{"10.0.0.1", "2001:db8::1", "ff02::1%eth9"} {
			if err := c.Join(netip.MustParseAddr(bad)); err == nil {
				t.Errorf("joined %s", bad)
			}
		}
		c.Close()
	}
	w.left()
}
