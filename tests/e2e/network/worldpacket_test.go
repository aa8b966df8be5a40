package network

import (
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"ukvm.dev/monitor"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/packet"
)

// The veth of the packet network: the guest's end is in a namespace of its own, as a container's is.
const (
	packetNear  = "near0"
	packetFar   = "eth0"
	packetGuest = "10.78.0.2"
	packetHost  = "10.78.0.1"
)

// startPacket runs a guest on one end of a veth; the test's sockets are in the namespace of the other.
func startPacket(t testing.TB, image string, o options) *world {
	ns, far := netiftest.NewNetNS(t), netiftest.NewNetNS(t)
	ns.Do(t, func() error {
		near := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: packetNear}, PeerName: packetFar, PeerNamespace: netlink.NsFd(far.Fd()),
		}
		if err := netlink.LinkAdd(near); err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(packetHost + "/24")
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(near, addr); err != nil {
			return err
		}
		return netlink.LinkSetUp(near)
	})
	link, err := packet.New(packet.Config{
		Name: packetFar, NetNSFile: far, Addr: netip.MustParsePrefix(packetGuest + "/24"), DNS: []netip.Addr{netip.MustParseAddr(packetHost)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	v := startVM(t, image, o, monitor.NIC{Name: "eth0", Link: link, Config: link.Config()})
	w := inNamespace(ns, packetGuest, packetHost)
	w.pid = os.Getpid()
	w.cut = func(cut bool) {
		ns.Do(t, func() error { return setLink(packetNear, !cut) })
	}
	w.stop = v.stop
	return w
}
