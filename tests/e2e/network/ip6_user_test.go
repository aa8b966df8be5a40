package network

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/e2e/network/internal/contract"
)

// TestUserIPv6 has a guest on the user network connect over IPv6 to a host that the namespace has on a device of its own, by
// TCP and UDP, and to ::1 by the address that stands for it.
func TestUserIPv6(t *testing.T) {
	path := image(t)
	ns := netiftest.NewNetNS(t)
	const outside = "2001:db8::1"
	ns.Do(t, func() error {
		device := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "outside0"}, PeerName: "outside1"}
		if err := netlink.LinkAdd(device); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/outside0/disable_ipv6", []byte("0"), 0); err != nil {
			return err
		}
		address, err := netlink.ParseAddr(outside + "/64")
		if err != nil {
			return err
		}
		address.Flags = syscall.IFA_F_NODAD
		if err := netlink.AddrAdd(device, address); err != nil {
			return err
		}
		for _, name := range []string{"outside0", "outside1"} {
			if err := setLink(name, true); err != nil {
				return err
			}
		}
		return nil
	})
	p := startIn(t, ns, []string{"run", "--host-loopback", "-p", "127.0.0.1:0:80", path})
	ports := publishedPorts(t, p, 1)
	p.Await("ready\n")
	w := inNamespace(ns, "127.0.0.1", "")
	inside := w.dial
	w.dial = func(ctx context.Context, network string, port int) (net.Conn, error) { // 80 is the guest's
		return inside(ctx, network, ports[network+strconv.Itoa(port)])
	}
	w.client = &http.Client{Transport: w.transport()}
	t.Cleanup(w.client.CloseIdleConnections)
	if got := getAddresses(t, w, 80); !strings.Contains(got, "fd00::15/64") {
		t.Errorf("the guest has %s", got)
	}
	for _, to := range []struct{ network, listen, dial string }{
		{"tcp", outside, outside}, {"udp", outside, outside}, {"tcp", "::1", "fd00::4"}, {"udp", "::1", "fd00::4"},
	} {
		address := net.JoinHostPort(to.dial, strconv.Itoa(echoIn(t, ns, to.network, to.listen)))
		if got := w.dialGuest(t, contract.Dial{Network: to.network, Address: address, Send: "hello"}); got.Received != "hello" || got.Fault != nil {
			t.Errorf("%s to %s: %+v", to.network, to.dial, got)
		}
	}
	for _, address := range []string{"[2001:db8:1::1]:80", "[fd00::2]:9", "[fd00::77]:9"} { // no route, nothing there, nobody
		if got := w.dialGuest(t, contract.Dial{Network: "tcp", Address: address}); got.Fault == nil || got.Elapsed > patience/2 {
			t.Errorf("%s: %+v", address, got)
		}
	}
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 {
		t.Errorf("%+v", r)
	}
}

// echoIn answers on an address of a namespace with what it gets, and returns the port.
func echoIn(t *testing.T, ns *netiftest.NetNS, network, address string) (port int) {
	t.Helper()
	address = net.JoinHostPort(address, "0")
	var err error
	if network == "udp" {
		var c net.PacketConn
		do(ns, func() { c, err = net.ListenPacket(network, address) })
		open(t, c, err)
		go func() {
			buf := make([]byte, 1500)
			for {
				n, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				c.WriteTo(buf[:n], from)
			}
		}()
		return c.LocalAddr().(*net.UDPAddr).Port
	}
	var l net.Listener
	do(ns, func() { l, err = net.Listen(network, address) })
	open(t, l, err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(struct{ io.Writer }{c}, c); c.Close() }()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}
