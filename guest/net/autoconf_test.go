package net

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"ukvm.dev/guest/net/dhcp"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/hypercall"
)

// TestAwaitAddresses waits for a card whose server is silent, for one that gets its address meanwhile, and not at all
// for those that DHCP does not configure.
func TestAwaitAddresses(t *testing.T) {
	s := New(Config{})
	add := func(name string, c hypercall.NetConfig) *Interface {
		i, err := s.AddCard(Card{
			Name: name, MAC: [6]byte{2, 0, 0, 0, 0, byte(len(s.interfaces))}, MTU: 1500,
			Transmit: func(p *packet.Packet) bool { p.Release(); return true },
			Flush:    func() {},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Configure(c); err != nil {
			t.Fatal(err)
		}
		return i
	}
	add("static", hypercall.NetConfig{Addr: [4]byte{10, 0, 0, 1}, Prefix: 24})
	if late := s.awaitAddresses(time.Hour); late != nil {
		t.Errorf("waited for %q", late)
	}
	i := add("slow", hypercall.NetConfig{Flags: hypercall.NetDHCP})
	if late := s.awaitAddresses(time.Millisecond); !slices.Equal(late, []string{"slow"}) {
		t.Errorf("without a server: %q are late", late)
	}
	go s.Do(func(*Boxes, []*Interface) {
		i.bound(dhcp.Lease{Addr: netip.MustParsePrefix("10.0.1.7/24"), Seconds: 600})
	})
	if late := s.awaitAddresses(time.Hour); late != nil {
		t.Errorf("with a lease: %q are late", late)
	}
	s.Do(func(_ *Boxes, interfaces []*Interface) {
		for _, i := range interfaces {
			i.DHCP.Stop()
		}
	})
}
