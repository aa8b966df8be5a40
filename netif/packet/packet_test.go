package packet_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
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

// arpRequest asks for the gateway's address, as the guest.
func arpRequest(c netif.Config) []byte {
	b := append(bytes.Repeat([]byte{0xff}, 6), c.MAC[:]...)
	b = append(b, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1) // ARP, Ethernet, IPv4, request (RFC 826)
	b = append(b, c.MAC[:]...)
	b = append(b, c.Addr.Addr().AsSlice()...)
	b = append(b, make([]byte, 6)...)
	return append(b, c.Router.AsSlice()...)
}

func TestConformance(t *testing.T) {
	netiftest.NewNetNS(t) // skips once for all
	netiftest.Run(t, func(t *testing.T) netiftest.Subject {
		l := open(t, newWire(t, 1500).config())
		return netiftest.Subject{Link: l, MTU: 1500, Request: arpRequest(l.Config())}
	})
}

// exchange sends a frame and returns the next one that comes.
func exchange(t *testing.T, l *packet.Link, frame []byte) []byte {
	t.Helper()
	if n, err := l.Send([]netif.Frame{{Data: [][]byte{frame}, Len: len(frame)}}); n != 1 || err != nil {
		t.Fatalf("Send = %d, %v", n, err)
	}
	answer := []netif.Frame{{Data: [][]byte{make([]byte, 2000)}}}
	for {
		n, err := l.Receive(answer)
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			return answer[0].Data[0][:answer[0].Len]
		}
		if !l.Arm() && !netiftest.Readable(l.FD(), netiftest.Patience) {
			t.Fatal("no answer")
		}
	}
}

// TestTCP runs 4 MiB each way between a gVisor stack behind the link and a server on the kernel's.
func TestTCP(t *testing.T) {
	netiftest.Leaks(t)
	for _, mtu := range []int{576, 1500, 1900, 2000, 9000, 65535} {
		w := newWire(t, mtu)
		l := open(t, w.config())
		guest := netiftest.NewGuest(t, l, l.Config(), netiftest.GuestOptions{})
		transfer(t, w.near, l, guest)
		guest.Stop()
		l.Close()
	}
}

// TestFeatures leaves checksums and segmentation to the other side, as far as that was agreed.
func TestFeatures(t *testing.T) {
	netiftest.Leaks(t)
	w := newWire(t, 1500)
	l := open(t, w.config())
	all := l.Features()
	if !all.TCP6 {
		t.Error("no segmentation of IPv6")
	}
	for name, f := range map[string]netif.Features{
		"more than there is":             {TxChecksum: true, TxSegment: all.TxSegment + 1},
		"segments without checksums":     {RxSegment: all.RxSegment},
		"sending them without checksums": {TxSegment: all.TxSegment},
		"less than negative":             {TxChecksum: true, TxSegment: -1},
		"frames shorter than they come":  {RxChecksum: true, RxSegment: all.RxSegment - 1},
	} {
		if err := l.SetFeatures(f); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	frame := arpRequest(l.Config())
	for _, h := range []hypercall.NetHeader{{Flags: hypercall.NeedsCsum}, {GSOType: hypercall.GSOTCP4}, {GSOType: hypercall.GSOTCP6}} {
		before := l.Counters().TxDropped
		l.Send([]netif.Frame{{Header: h, Data: [][]byte{frame}, Len: len(frame)}})
		if l.Counters().TxDropped != before+1 {
			t.Errorf("a frame with %+v was sent although that is off", h)
		}
	}
	for _, c := range []struct {
		features netif.Features
		tx, rx   bool // are there long frames?
	}{
		{netif.Features{TxChecksum: true, TxSegment: all.TxSegment}, true, false},
		{netif.Features{RxChecksum: true, RxSegment: all.RxSegment}, false, true},
		{netif.Features{TxChecksum: true, RxChecksum: true}, false, false},
		{all, true, true},
		{netif.Features{}, false, false},
	} {
		if err := l.SetFeatures(c.features); err != nil {
			t.Fatal(err)
		}
		guest := netiftest.NewGuest(t, l, l.Config(), netiftest.GuestOptions{Features: c.features})
		before := l.Counters()
		transfer(t, w.near, l, guest)
		guest.Stop()
		after := l.Counters()
		// 4 MiB and acknowledgements are at least 2800 frames of the MTU each way.
		const few = 2800
		if tx, rx := after.TxFrames-before.TxFrames, after.RxFrames-before.RxFrames; (tx < few) != c.tx || (rx < few) != c.rx {
			t.Errorf("%+v: %d frames sent, %d received", c.features, tx, rx)
		}
	}
	l.Close()
	if err := l.SetFeatures(all); !errors.Is(err, netif.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func transfer(t *testing.T, ns *netiftest.NetNS, l *packet.Link, guest *netiftest.Guest) {
	var listener net.Listener
	ns.Do(t, func() (err error) {
		listener, err = net.Listen("tcp4", l.Config().Router.String()+":0")
		return err
	})
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := guest.Dial(ctx, "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()

	const size = 4 << 20
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(data)
	want := sha256.Sum256(data)
	var wg sync.WaitGroup
	for _, c := range []net.Conn{client, server} {
		wg.Go(func() {
			if _, err := c.Write(data); err != nil {
				t.Errorf("send: %v", err)
			}
		})
		wg.Go(func() {
			sum := sha256.New()
			if n, err := io.CopyN(sum, c, size); err != nil {
				t.Errorf("received %d bytes: %v", n, err)
			}
			if !bytes.Equal(sum.Sum(nil), want[:]) {
				t.Error("the stream arrived changed")
			}
		})
	}
	wg.Wait()
}

// device looks up the device by name in ns; nil if there is none.
func device(t *testing.T, ns *netiftest.NetNS, name string) (link netlink.Link) {
	t.Helper()
	ns.Do(t, func() (err error) {
		link, err = netlink.LinkByName(name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			err = nil
		}
		return err
	})
	return link
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
