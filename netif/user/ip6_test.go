package user_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/user"
)

// newGuest6 makes a link and a guest on it that has found its router.
func newGuest6(t testing.TB, c user.Config) (*user.Link, *netiftest.Guest, netiftest.Discovered) {
	t.Helper()
	l := newLink(t, c)
	g := netiftest.NewGuest(t, l, l.Config(), netiftest.GuestOptions{IPv6: true})
	return l, g, g.Discover(t)
}

// newKernelGuest6 is Linux as the guest, when it has found its router.
func newKernelGuest6(t testing.TB, l *user.Link) (*kernelGuest, netip.Addr) {
	t.Helper()
	g := newKernelGuest(t, l)
	var found netip.Addr
	g.ns.Do(t, func() error {
		for _, setting := range []string{"accept_ra=2", "accept_dad=0", "dad_transmits=0", "router_solicitation_delay=0", "disable_ipv6=0"} {
			name, value, _ := strings.Cut(setting, "=")
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/guest0/"+name, []byte(value), 0); err != nil {
				return err
			}
		}
		link, err := netlink.LinkByName("guest0")
		if err != nil {
			return err
		}
		found, err = globalAddress(link)
		return err
	})
	return g, found
}

// globalAddress waits until a device can use an IPv6 address that is not link-local.
func globalAddress(link netlink.Link) (netip.Addr, error) {
	for deadline := time.Now().Add(netiftest.Patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V6)
		if err != nil {
			return netip.Addr{}, err
		}
		for _, a := range addrs {
			addr, _ := netip.AddrFromSlice(a.IP)
			if !addr.IsLinkLocalUnicast() && !addr.IsLoopback() && a.Flags&syscall.IFA_F_TENTATIVE == 0 {
				return addr, nil
			}
		}
	}
	return netip.Addr{}, errors.New("Linux has no IPv6 address that it can use")
}

func TestDiscovery(t *testing.T) {
	netiftest.Leaks(t)
	_, _, got := newGuest6(t, user.Config{})
	if got.Addr.Masked() != netip.MustParsePrefix("fd00::/64") || got.Router != netip.MustParseAddr("fe80::2") ||
		fmt.Sprint(got.Servers) != "[fd00::3]" {
		t.Errorf("%+v", got)
	}
}

func TestDiscoveryOfOtherSubnet(t *testing.T) {
	_, _, got := newGuest6(t, user.Config{Subnet6: netip.MustParsePrefix("fd12:3456:789a:1::/64")})
	if got.Addr.Masked() != netip.MustParsePrefix("fd12:3456:789a:1::/64") || fmt.Sprint(got.Servers) != "[fd12:3456:789a:1::3]" {
		t.Errorf("%+v", got)
	}
}

// TestDiscoveryByLinux checks the advertisement against Linux: MTU, router and lifetimes.
func TestDiscoveryByLinux(t *testing.T) {
	netiftest.Leaks(t)
	l := newLink(t, user.Config{MTU: 9000})
	g, addr := newKernelGuest6(t, l)
	if !netip.MustParsePrefix("fd00::/64").Contains(addr) {
		t.Errorf("address %v", addr)
	}
	g.ns.Do(t, func() error {
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
		if err == nil && (len(routes) != 1 || routes[0].Gw.String() != "fe80::2" || routes[0].MTU != 9000 && routes[0].MTU != 0) {
			t.Errorf("default routes: %+v", routes)
		}
		return err
	})
}

// TestAdvertisementIsAnswer checks that a guest hears nothing unasked, and what it asks for.
func TestAdvertisementIsAnswer(t *testing.T) {
	l := newLink(t, user.Config{})
	if got := receive(t, l, 0); got != nil {
		t.Fatalf("unasked: %x", got)
	}
	send(t, l, packet6(l.Config(), "fe80::15", "ff02::2", 58, 255, []byte{133, 0, 0, 0, 0, 0, 0, 0}))
	got := receive(t, l, 0)
	if len(got) < 14+40+16 || got[54] != 134 || binary.BigEndian.Uint16(got[60:]) != 9000 || got[21] != 255 ||
		netip.AddrFrom16([16]byte(got[38:])) != netip.MustParseAddr("fe80::15") {
		t.Errorf("advertisement: %x", got)
	}
}

// packet6 is an IPv6 packet in a frame of the guest. The checksum of ICMPv6 is filled in.
func packet6(c netif.Config, src, dst string, protocol, hops uint8, payload []byte) []byte {
	b := append([]byte{2, 'u', 'k', 'v', 'm', 2}, c.MAC[:]...)
	if a := netip.MustParseAddr(dst); a.IsMulticast() {
		copy(b, []byte{0x33, 0x33, 0, 0, 0, 2})
	}
	b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, protocol, hops)
	b = append(b, netip.MustParseAddr(src).AsSlice()...)
	b = append(b, netip.MustParseAddr(dst).AsSlice()...)
	b = append(b, payload...)
	if protocol == 58 && len(payload) >= 4 {
		icmp := header.ICMPv6(b[54:])
		icmp.SetChecksum(0)
		ip := header.IPv6(b[14:])
		icmp.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: ip.SourceAddress(), Dst: ip.DestinationAddress()}))
	}
	return b
}

// solicitation asks for the neighbour that has an address.
func solicitation(target string) []byte {
	b := make([]byte, 24, 32)
	b[0] = 135
	copy(b[8:], netip.MustParseAddr(target).AsSlice())
	return append(b, 1, 1, 2, 'u', 'k', 'v', 'm', 15)
}

func TestNeighbors(t *testing.T) {
	for _, loopback := range []bool{false, true} {
		l := newLink(t, user.Config{HostLoopback: loopback})
		for target, answered := range map[string]bool{
			"fd00::2": true, "fd00::3": true, "fd00::4": loopback, "fe80::2": true,
			"fd00::15": false, "fd00::77": false, "2001:db8::1": false, "::": false, "::1": false,
		} {
			send(t, l, packet6(l.Config(), "fe80::15", "ff02::1:ff00:2", 58, 255, solicitation(target)))
			got := receive(t, l, 0)
			if answered != (got != nil) {
				t.Errorf("%s: %x", target, got)
				continue
			}
			if !answered {
				continue
			}
			ip := header.IPv6(got[14:])
			icmp := header.ICMPv6(ip.Payload())
			sum := header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: ip.SourceAddress(), Dst: ip.DestinationAddress()})
			if icmp.Type() != 136 || icmp.Checksum() != sum || ip.HopLimit() != 255 || icmp[4] != 0xe0 ||
				netip.AddrFrom16([16]byte(icmp[8:])) != netip.MustParseAddr(target) || !bytes.Equal(icmp[24:], []byte{2, 1, 2, 'u', 'k', 'v', 'm', 2}) {
				t.Errorf("%s: %x", target, got)
			}
		}
	}
}

// TestDuplicateAddress looks whether the router's address is free, as a guest does that wants it.
func TestDuplicateAddress(t *testing.T) {
	l := newLink(t, user.Config{})
	send(t, l, packet6(l.Config(), "::", "ff02::1:ff00:2", 58, 255, solicitation("fd00::2")))
	got := receive(t, l, 0)
	if len(got) < 78 || got[54] != 136 || got[58] != 0xa0 || netip.AddrFrom16([16]byte(got[38:])) != netip.MustParseAddr("ff02::1") {
		t.Errorf("answer %x", got)
	}
}

// TestForgedDiscovery sends what cannot have come from a neighbour.
func TestForgedDiscovery(t *testing.T) {
	l := newLink(t, user.Config{})
	c := l.Config()
	good := solicitation("fd00::2")
	broken := packet6(c, "fe80::15", "ff02::1:ff00:2", 58, 255, good)
	broken[56]++
	code := bytes.Clone(good)
	code[1] = 1
	for i, frame := range [][]byte{
		packet6(c, "fe80::15", "ff02::1:ff00:2", 58, 254, good), broken,
		packet6(c, "fe80::15", "ff02::1:ff00:2", 58, 255, code),
		packet6(c, "fe80::15", "ff02::1:ff00:2", 58, 255, good[:20]),
	} {
		send(t, l, frame)
		if got := receive(t, l, 0); got != nil {
			t.Errorf("frame %d is answered: %x", i, got)
		}
		if n := l.Stats().Blocked; n != uint64(i+1) {
			t.Errorf("frame %d: %d are blocked", i, n)
		}
	}
}

// TestForeignSource6 checks that the guest cannot speak for others, nor to what is not for it to reach.
func TestForeignSource6(t *testing.T) {
	l := newLink(t, user.Config{HostLoopback: true})
	c := l.Config()
	udp := []byte{0, 7, 0, 9, 0, 8, 0, 0}
	for i, p := range [][2]string{
		{"2001:db8::1", "fd00::2"}, {"fd00::2", "fd00::3"}, {"::1", "fd00::2"}, {"::", "fd00::2"}, {"fe80::15", "2001:db8::1"},
		{"fe80::15", "fd00::4"}, {"fd00::15", "::1"}, {"fd00::15", "::"}, {"fd00::15", "::ffff:127.0.0.1"},
		{"fd00::15", "::7f00:1"}, {"fd00::15", "64:ff9b::7f00:1"}, {"fd00::15", "64:ff9b::a9fe:a9fe"}, {"fd00::15", "fe80::99"},
	} {
		for _, protocol := range []uint8{17, 6} {
			send(t, l, packet6(c, p[0], p[1], protocol, 64, append(udp, make([]byte, 12)...)))
		}
		send(t, l, packet6(c, p[0], p[1], 44, 64, append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, udp...)))
		send(t, l, packet6(c, p[0], p[1], 58, 64, []byte{128, 0, 0, 0, 0, 0, 0, 0}))
		if got := receive(t, l, 0); got != nil {
			t.Errorf("%v is answered: %x", p, got)
		}
		if n := l.Stats().Blocked; n != uint64(4*(i+1)) {
			t.Fatalf("%v: %d are blocked", p, n)
		}
	}
	// Extension headers other than of fragments, and fragments of what netstack would answer for others.
	for i, frame := range [][]byte{
		packet6(c, "fd00::15", "fd00::2", 0, 64, append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udp...)),
		packet6(c, "fd00::15", "fd00::2", 43, 64, append([]byte{17, 0, 0, 0, 0, 0, 0, 0}, udp...)),
		packet6(c, "fd00::15", "2001:db8::1", 44, 64, []byte{58, 0, 0, 1, 0, 0, 0, 1, 128, 0, 0, 0, 0, 0, 0, 0}),
		packet6(c, "fd00::15", "2001:db8::1", 44, 64, []byte{17}),
	} {
		before := l.Stats().Blocked
		send(t, l, frame)
		if got := receive(t, l, 0); got != nil || l.Stats().Blocked != before+1 {
			t.Errorf("frame %d: answer %x, stats %+v", i, got, l.Stats())
		}
	}
}

func TestNoIPv6(t *testing.T) {
	for _, c := range []user.Config{{NoIPv6: true}, {MTU: 1279}} {
		l := newLink(t, c)
		send(t, l, packet6(l.Config(), "fe80::15", "ff02::1:ff00:2", 58, 255, solicitation("fd00::2")))
		send(t, l, packet6(l.Config(), "fe80::15", "ff02::2", 58, 255, []byte{133, 0, 0, 0, 0, 0, 0, 0}))
		if got := receive(t, l, 0); got != nil || l.Stats().Ignored != 2 {
			t.Errorf("%+v: answer %x, stats %+v", c, got, l.Stats())
		}
	}
}

// TestTCP6Errors checks what the guest is told of connections that fail.
func TestTCP6Errors(t *testing.T) {
	netiftest.Leaks(t)
	l := newLink(t, user.Config{Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		switch address {
		case "[2001:db8::1]:80":
			return nil, syscall.ECONNREFUSED
		case "[2001:db8::2]:80":
			return nil, syscall.ENETUNREACH
		}
		return nil, syscall.EACCES
	}})
	g, _ := newKernelGuest6(t, l)
	for address, want := range map[string]error{
		"[2001:db8::1]:80": syscall.ECONNREFUSED, "[2001:db8::2]:80": syscall.ENETUNREACH, "[2001:db8::3]:80": syscall.EACCES,
		"[fd00::2]:80": syscall.ECONNREFUSED, "[fd00::77]:80": syscall.EHOSTUNREACH,
	} {
		c, err := g.dial("tcp", address)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
	}
}

// TestUDP6 exchanges datagrams of many sizes, in fragments where they are longer than the MTU.
func TestUDP6(t *testing.T) {
	netiftest.Leaks(t)
	server := hostPackets(t, same)
	l := newLink(t, user.Config{MTU: 1500, Dial: dialTo(server.LocalAddr())})
	g, _ := newKernelGuest6(t, l)
	c, err := g.dial("udp", "[2001:db8::1]:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, size := range []int{0, 1, 1452, 1453, 9000, 60_000} {
		data := randomBytes(size)
		if got := ask(t, c, data); !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back for %d", len(got), size)
		}
	}
}

// TestDNS6 asks the resolver at its IPv6 address, by both transports.
func TestDNS6(t *testing.T) {
	netiftest.Leaks(t)
	server := hostPackets(t, func(query []byte) []byte {
		query[2] |= 0x80
		return query
	})
	at := server.LocalAddr().(*net.UDPAddr).AddrPort()
	_, g, found := newGuest6(t, user.Config{DNS: []netip.AddrPort{at}, HostLoopback: true})
	query := []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04host\x04ukvm\x08internal\x00\x00\x01\x00\x01")
	to := netip.AddrPortFrom(found.Servers[0], 53).String()
	c, err := g.Dial(timeout(t), "udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := ask(t, c, query); len(got) < 16 || !bytes.Equal(got[len(got)-4:], []byte{10, 0, 2, 4}) {
		t.Errorf("UDP: %x", got)
	}
	s, err := g.Dial(timeout(t), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(netiftest.Patience))
	s.Write(append([]byte{0, byte(len(query))}, query...))
	buf := make([]byte, 512)
	n, err := s.Read(buf)
	if err != nil || n < 6 || !bytes.Equal(buf[n-4:n], []byte{10, 0, 2, 4}) {
		t.Errorf("TCP: %x, %v", buf[:n], err)
	}
}

// TestHostLoopback6 reaches the host's ::1 by the address that stands for it, and not otherwise.
func TestHostLoopback6(t *testing.T) {
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("this host has no IPv6 loopback: ", err)
	}
	defer listener.Close()
	serve(listener, echo)
	port := listener.Addr().(*net.TCPAddr).Port
	_, g, _ := newGuest6(t, user.Config{HostLoopback: true})
	c, err := g.Dial(timeout(t), "tcp", fmt.Sprintf("[fd00::4]:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	checkEcho(t, c, randomBytes(100_000))
	_, g, _ = newGuest6(t, user.Config{})
	if c, err := g.Dial(timeout(t), "tcp", fmt.Sprintf("[fd00::4]:%d", port)); err == nil {
		c.Close()
		t.Error("the host's loopback is reached without leave")
	}
}

// TestPing6 sends echo requests to the router, through the host's sockets, and to where nothing leads.
func TestPing6(t *testing.T) {
	netiftest.Leaks(t)
	dial := pingNetwork(t)
	l := newLink(t, user.Config{Ping: dial})
	c := l.Config()
	for i, peer := range []string{"fd00::2", "fd00::3", "fe80::2", "2001:db8::1", "2001:db8::1"} {
		request := echoRequest(0x7000, uint16(i), 1000*i)
		request[0] = 128
		src := "fd00::abcd"
		if peer == "fe80::2" {
			src = "fe80::15"
		}
		send(t, l, packet6(c, src, peer, 58, 64, request))
		got := receive(t, l, netiftest.Patience)
		if len(got) != 54+len(request) {
			t.Fatalf("reply of %s: %x", peer, got)
		}
		ip := header.IPv6(got[14:])
		icmp := header.ICMPv6(ip.Payload())
		sum := header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: ip.SourceAddress(), Dst: ip.DestinationAddress()})
		if icmp.Type() != header.ICMPv6EchoReply || icmp.Checksum() != sum || !bytes.Equal(icmp[4:], request[4:]) ||
			ip.SourceAddress() != netiftest.Address(netip.MustParseAddr(peer)) || ip.DestinationAddress() != netiftest.Address(netip.MustParseAddr(src)) {
			t.Errorf("reply of %s: %x", peer, got)
		}
	}
	request := echoRequest(0x1234, 0x5678, 0)
	request[0] = 128
	send(t, l, packet6(c, "fd00::15", "2001:db8:1::1", 58, 64, request))
	got := receive(t, l, netiftest.Patience)
	if len(got) != 14+40+8+40+8 || got[54] != byte(header.ICMPv6DstUnreachable) || got[55] != byte(header.ICMPv6NetworkUnreachable) ||
		!bytes.Equal(got[106:110], request[4:8]) {
		t.Errorf("no route: %x", got)
	}
}
