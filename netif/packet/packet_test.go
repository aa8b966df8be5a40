package packet_test

import (
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/packet"
)

// Names and addresses of the veth.
const (
	nearName = "near0" // where the host's stack is
	farName  = "far0"  // where the link is
	hostAddr = "198.51.100.1/24"
)

// wire is a veth between two namespaces.
type wire struct{ near, far *netiftest.NetNS }

func newWire(t testing.TB, mtu int) wire {
	t.Helper()
	w := wire{netiftest.NewNetNS(t), netiftest.NewNetNS(t)}
	w.near.Do(t, func() error {
		link := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: nearName, MTU: mtu}, PeerName: farName, PeerNamespace: netlink.NsFd(w.far.Fd()),
		}
		if err := netlink.LinkAdd(link); err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(hostAddr)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	})
	return w
}

func (w wire) config() packet.Config {
	return packet.Config{Name: farName, NetNSFile: w.far, Addr: netip.MustParsePrefix("198.51.100.2/24")}
}

func open(t testing.TB, c packet.Config) *packet.Link {
	t.Helper()
	l, err := packet.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestConformance(t *testing.T) {
	netiftest.NewNetNS(t) // skips once for all
	netiftest.Run(t, func(t *testing.T) netiftest.Subject {
		l := open(t, newWire(t, 1500).config())
		return netiftest.Subject{Link: l, MTU: 1500, Request: netiftest.ARPRequest(l.Config())}
	})
}

// TestTCP runs 4 MiB each way between a gVisor stack behind the link and a server on the kernel's.
func TestTCP(t *testing.T) {
	netiftest.Leaks(t)
	for _, mtu := range []int{576, 1500, 1900, 2000, 9000, 65535} {
		w := newWire(t, mtu)
		l := open(t, w.config())
		guest := netiftest.NewGuest(t, l, l.Config(), netiftest.GuestOptions{})
		netiftest.Transfer(t, w.near, l.Config().Router, guest)
		guest.Stop()
		l.Close()
	}
}

func TestFeatures(t *testing.T) {
	netiftest.Leaks(t)
	w := newWire(t, 1500)
	netiftest.Offloads(t, w.near, open(t, w.config()))
}

func TestUnprivileged(t *testing.T) {
	netiftest.Unprivileged(t, "^TestPermission$")
}

func TestPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("everything is permitted to root")
	}
	l, err := packet.New(packet.Config{Name: "lo"})
	if err == nil {
		l.Close()
		t.Fatal("a packet socket without privileges")
	}
	if want := "packet lo: needs CAP_NET_RAW: run as root, or use --net user: operation not permitted"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}
