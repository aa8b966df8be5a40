package net

import (
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/posix"
)

// TestDescribe: what /proc/net shows of the stack.
func TestDescribe(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{}).with6()
	d := w.a.socket6(t, sockDgram)
	group := netip.MustParseAddr("ff02::1234").As16()
	d.must(d.SetOption(solIPv6, ipv6JoinGroup, append(group[:], 2, 0, 0, 0)))
	d.must(d.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 53)))
	_, e := d.Send([]byte("to itself"), netip.AddrPortFrom(netip.IPv6Loopback(), 53), 0)
	d.must(e)
	d6 := w.a.socket6(t, sockDgram)
	_, e = d6.Send([]byte("x"), netip.AddrPortFrom(w.b.addr6(), 53), 0)
	d6.must(e)
	w.clock.Run(seconds)
	list := w.a.Interfaces()
	lo, eth := list[0], list[1]
	const size = 40 + 8 + 9
	if lo.Sent != (posix.Traffic{Packets: 1, Bytes: size}) || lo.Received != lo.Sent {
		t.Errorf("loopback: %+v, %+v", lo.Sent, lo.Received)
	}
	if s := w.a.iface.NIC.Stats; s.PacketsTx == 0 || eth.Sent.Packets != s.PacketsTx || eth.Sent.Bytes != s.BytesTx || eth.Received.Packets != s.PacketsRx || eth.Received.Bytes != s.BytesRx {
		t.Errorf("%+v, %+v, but %+v", eth.Sent, eth.Received, s)
	}
	names := map[string]bool{}
	for _, g := range eth.Groups {
		names[fromPosix(g).Addr().String()] = true
	}
	for _, want := range []string{"224.0.0.1", "ff02::1", "ff02::1234", "ff02::1:ff00:1"} {
		if !names[want] {
			t.Errorf("no group %s in %v", want, names)
		}
	}
	var routes []string
	for _, r := range w.a.Family().(posix.Router).Routes() {
		routes = append(routes, netip.PrefixFrom(fromPosix(r.Addr).Addr(), r.Bits).String()+" "+r.Link)
	}
	if len(routes) != 2 || routes[0] != "10.0.0.0/24 eth0" || routes[1] != "2001:db8::/64 eth0" {
		t.Errorf("routes %q", routes)
	}
}
