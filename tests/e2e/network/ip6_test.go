package network

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/e2e/network/internal/contract"
)

const (
	tapGuest6 = "fd00:7::2"
	tapHost6  = "fd00:7::1"
)

// dial connects to an address in a namespace.
func dialIn(t testing.TB, ns *netiftest.NetNS, network, address string) (c net.Conn) {
	t.Helper()
	var err error
	do(ns, func() { c, err = net.DialTimeout(network, address, patience) })
	c = open(t, c, err)
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// TestIPv6 gives a guest on a TAP device an IPv6 address beside the IPv4 one, and reaches its servers, which know nothing
// of that, by both, and by the link-local address it has made itself.
func TestIPv6(t *testing.T) {
	path := image(t)
	ns := netiftest.NewNetNS(t)
	// The host's own addresses are good at once, so that it answers from the right one.
	do(ns, func() {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0); err != nil {
			t.Fatal(err)
		}
	})
	p := startIn(t, ns, []string{
		"run", "--net", fmt.Sprintf("tap=%s,ip=%s/24,ip6=%s/64,gw6=%s", tapName, tapGuest, tapGuest6, tapHost6), path,
	})
	p.Await("ready\n")
	addrs := addresses6(t, ns, tapGuest)
	var local string
	for _, a := range addrs["eth0"] {
		if prefix, err := netip.ParsePrefix(a); err == nil && prefix.Addr().IsLinkLocalUnicast() {
			local = prefix.Addr().String() + "%" + tapName
		}
	}
	if local == "" || !strings.Contains(fmt.Sprint(addrs["eth0"]), tapGuest6+"/64") || !strings.Contains(fmt.Sprint(addrs["lo"]), "::1/128") {
		t.Fatalf("the guest's addresses: %v", addrs)
	}
	for _, host := range []string{tapGuest6, local, tapGuest} {
		address := net.JoinHostPort(host, fmt.Sprint(contract.PortEcho))
		c := dialIn(t, ns, "tcp", address)
		want := bytes.Repeat([]byte("there and back "), 100_000)
		go c.Write(want)
		got := make([]byte, len(want))
		if n, err := readAll(c, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("TCP to %s: %d bytes, %v", host, n, err)
		}
		d := dialIn(t, ns, "udp", address)
		for _, n := range []int{1, 1400, 9000, 60_000} {
			want := bytes.Repeat([]byte{byte(n)}, n)
			if _, err := d.Write(want); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 1<<16)
			k, err := d.Read(got)
			if err != nil || !bytes.Equal(got[:k], want) {
				t.Errorf("%d bytes by UDP to %s: %d, %v", n, host, k, err)
			}
		}
		ping6(t, ns, host)
	}
	// Nobody has the port, and the host says so at once.
	do(ns, func() {
		if _, err := net.DialTimeout("tcp", net.JoinHostPort(tapGuest6, "4242"), patience); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("a port nobody has: %v", err)
		}
	})
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 || r.Stderr != "" {
		t.Errorf("%+v", r)
	}
}

// addresses6 asks the guest for its addresses.
func addresses6(t testing.TB, ns *netiftest.NetNS, guest string) (addrs map[string][]string) {
	t.Helper()
	c := dialIn(t, ns, "tcp", net.JoinHostPort(guest, "80"))
	fmt.Fprint(c, "GET /addresses HTTP/1.0\r\n\r\n")
	buf := make([]byte, 4096)
	n, _ := readAll(c, buf)
	_, body, _ := bytes.Cut(buf[:n], []byte("\r\n\r\n"))
	if err := json.Unmarshal(body, &addrs); err != nil {
		t.Fatalf("%q: %v", buf[:n], err)
	}
	return addrs
}

// ping6 sends an echo request over IPv6, or IPv4 does nothing.
func ping6(t testing.TB, ns *netiftest.NetNS, host string) {
	t.Helper()
	a := netip.MustParseAddr(host)
	if a.Is4() {
		return
	}
	var c net.PacketConn
	var err error
	var to *net.IPAddr
	do(ns, func() {
		if c, err = net.ListenPacket("ip6:ipv6-icmp", "::"); err == nil {
			to, err = net.ResolveIPAddr("ip6", host)
		}
	})
	c = open(t, c, err)
	request := append([]byte{128, 0, 0, 0, 0x75, 0x6b, 0, 1}, bytes.Repeat([]byte{7}, 3000)...)
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.WriteTo(request, to); err != nil { // the kernel fills in the checksum
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatalf("ping %s: %v", host, err)
		}
		if n == len(request) && buf[0] == 129 && bytes.Equal(buf[4:n], request[4:]) {
			if from.String() != to.String() {
				t.Errorf("ping %s: answer from %v", host, from)
			}
			return
		}
	}
}
