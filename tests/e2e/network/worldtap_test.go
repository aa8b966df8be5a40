package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"ukvm.dev/monitor"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/tap"
)

// The network of the TAP device.
const (
	tapName  = "tap0"
	tapGuest = "10.77.0.2"
	tapHost  = "10.77.0.1"
)

// startTAP runs a guest with a TAP device in a namespace, where the test's sockets are too.
func startTAP(t testing.TB, image string, o options) *world {
	ns := netiftest.NewNetNS(t)
	link, err := tap.New(tap.Config{
		Name: tapName, NetNSFile: ns, Addr: netip.MustParsePrefix(tapGuest + "/24"), DNS: []netip.Addr{netip.MustParseAddr(tapHost)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	v := startVM(t, image, o, monitor.NIC{Name: "eth0", Link: link, Config: link.Config()})
	w := inNamespace(ns, tapGuest, tapHost)
	w.pid, w.ring = os.Getpid(), 1
	w.cut = func(cut bool) {
		ns.Do(t, func() error { return setLink(tapName, !cut) })
	}
	w.stop = v.stop
	return w
}

// inNamespace is a world whose sockets are in a namespace, with a guest at an address.
func inNamespace(ns *netiftest.NetNS, guest, host string) *world {
	return &world{
		dial: func(ctx context.Context, network string, port int) (c net.Conn, err error) {
			do(ns, func() {
				c, err = new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("%s:%d", guest, port))
			})
			return c, err
		},
		address: func(port int) string { return fmt.Sprintf("%s:%d", guest, port) },
		listenAt: func(t testing.TB, port int) (l net.Listener) {
			var err error
			do(ns, func() { l, err = net.Listen("tcp", fmt.Sprintf("%s:%d", host, port)) })
			return open(t, l, err)
		},
		listenPacketAt: func(t testing.TB, port int) (c net.PacketConn) {
			var err error
			do(ns, func() { c, err = net.ListenPacket("udp", fmt.Sprintf("%s:%d", host, port)) })
			return open(t, c, err)
		},
		host: host,
		ns:   ns,
	}
}

// do runs f in a namespace.
func do(ns *netiftest.NetNS, f func()) {
	// A namespace that cannot be entered is not one that a test can go on in.
	if err := ns.Run(func() error { f(); return nil }); err != nil {
		panic(err)
	}
}

// setLink sets a device of this thread's namespace up or down.
func setLink(name string, up bool) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if up {
		return netlink.LinkSetUp(link)
	}
	return netlink.LinkSetDown(link)
}
