package net

import (
	"fmt"
	stdnet "net"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"ukvm.dev/hypercall"
)

// with6 gives both sides of a pair of peers 2001:db8::1 and ::2; gVisor's gets a link-local address, too.
func (p *peers) with6() (us, them netip.Addr) {
	p.t.Helper()
	us, them = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	prefix := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom16(them.As16()), PrefixLen: 64}
	link := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom16(netip.MustParseAddr("fe80::2").As16()), PrefixLen: 64}
	for _, a := range []tcpip.AddressWithPrefix{prefix, link} {
		if err := p.them.AddProtocolAddress(nicID, tcpip.ProtocolAddress{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: a}, stack.AddressProperties{}); err != nil {
			p.t.Fatal(err)
		}
	}
	p.them.SetRouteTable([]tcpip.Route{{Destination: prefix.Subnet(), NIC: nicID}, {Destination: link.Subnet(), NIC: nicID}})
	c := hypercall.NetConfig{Flags: hypercall.NetIP6}
	c.IP6.Addr, c.IP6.Prefix = us.As16(), 64
	if err := p.us.iface.Configure(c); err != nil {
		p.t.Fatal(err)
	}
	return us, them
}

func full6(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFrom16(a.Addr().WithZone("").As16()), Port: a.Port()}
}

// TestGvisor6 transfers data with gVisor's netstack over IPv6, over global and link-local addresses, dialled by either.
func TestGvisor6(t *testing.T) {
	p := newPeers(t)
	us, them := p.with6()
	local := netip.MustParseAddr("fe80::2").WithZone(fmt.Sprint(p.us.iface.Index()))
	for _, c := range []struct{ us, them netip.Addr }{{us, them}, {p.us.local6(), local}} {
		t.Run(c.them.String(), func(t *testing.T) {
			theirs, err := gonet.ListenTCP(p.them, full6(netip.AddrPortFrom(c.them, 80)), ipv6.ProtocolNumber)
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			accepted := make(chan stdnet.Conn, 1)
			go func() {
				g, err := theirs.Accept()
				if err != nil {
					t.Error(err)
				}
				accepted <- g
			}()
			ours, err := p.us.dial(netip.AddrPortFrom(c.them, 80))
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, ours, <-accepted, 4<<20)

			ln := p.us.listenOn6(t, 8080)
			defer ln.Close()
			go func() {
				k, err := ln.Accept()
				if err != nil {
					t.Error(err)
				}
				accepted <- k
			}()
			g, err := gonet.DialTCP(p.them, full6(netip.AddrPortFrom(c.us, 8080)), ipv6.ProtocolNumber)
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, <-accepted, g, 4<<20)
		})
	}
}

// TestGvisorDatagrams6 sends datagrams in fragments both ways.
func TestGvisorDatagrams6(t *testing.T) {
	p := newPeers(t)
	us, them := p.with6()
	local, remote := full6(netip.AddrPortFrom(them, 53)), full6(netip.AddrPortFrom(us, 53))
	g, err := gonet.DialUDP(p.them, &local, &remote, ipv6.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	k, e := p.us.Socket6(sockDgram, 0)
	if e != 0 {
		t.Fatal(e)
	}
	defer k.Close()
	if e := k.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 53)); e != 0 {
		t.Fatal(e)
	}
	for _, n := range []int{1, 1400, 5000, 60000} {
		want := make([]byte, n)
		pattern(want, 0, uint64(n))
		if _, e := k.Send(want, netip.AddrPortFrom(them, 53), 0); e != 0 {
			t.Fatal(e)
		}
		buf := make([]byte, 65536)
		g.SetReadDeadline(time.Now().Add(20 * time.Second))
		if got, err := g.Read(buf); err != nil || string(buf[:got]) != string(want) {
			t.Fatalf("%d bytes to them: %d, %v", n, got, err)
		}
		if _, err := g.Write(want); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			got, from, _, e := k.Recv(buf, 0)
			if e == 0 {
				if from != netip.AddrPortFrom(them, 53) || string(buf[:got]) != string(want) {
					t.Errorf("%d bytes from %v: %d", n, from, got)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes from them: %v", n, e)
			}
		}
	}
}
