package tap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"

	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/tap"
)

var guestMAC = [6]byte{2, 0, 0, 0, 0, 0x15}

func config(ns *netiftest.NetNS) tap.Config {
	return tap.Config{
		Name: "ukvmtest0", NetNSFile: ns, MAC: guestMAC,
		Addr: netip.MustParsePrefix("198.51.100.2/24"),
	}
}

func open(t testing.TB, c tap.Config) *tap.Link {
	t.Helper()
	l, err := tap.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// bothWays runs a test on links whose frames for the guest come by a ring, and on some that read them from the device, as they do on
// one that was there before.
func bothWays(t *testing.T, test func(t *testing.T, open func(*netiftest.NetNS, tap.Config) *tap.Link)) {
	netiftest.NewNetNS(t) // skips once for all
	t.Run("ring", func(t *testing.T) {
		test(t, func(ns *netiftest.NetNS, c tap.Config) *tap.Link {
			l := open(t, c)
			l.UseRing()
			for frames := []netif.Frame{{Data: [][]byte{make([]byte, 2000)}}}; !l.Live(); {
				if _, err := l.Receive(frames); err != nil {
					t.Fatal(err)
				}
			}
			return l
		})
	})
	t.Run("read", func(t *testing.T) {
		test(t, func(ns *netiftest.NetNS, c tap.Config) *tap.Link {
			if device(t, ns, c.Name) == nil {
				makeDevice(t, ns, c)
			}
			return open(t, c)
		})
	})
}

// makeDevice makes the device of c beforehand, with the host's address.
func makeDevice(t *testing.T, ns *netiftest.NetNS, c tap.Config) {
	t.Helper()
	ns.Do(t, func() error {
		link := &netlink.Tuntap{
			LinkAttrs: netlink.LinkAttrs{Name: c.Name, MTU: 1500}, Mode: netlink.TUNTAP_MODE_TAP,
			Flags: netlink.TUNTAP_DEFAULTS | netlink.TUNTAP_VNET_HDR,
		}
		if err := netlink.LinkAdd(link); err != nil {
			return err
		}
		return netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(198, 51, 100, 1), Mask: net.CIDRMask(24, 32)}})
	})
}

func TestConformance(t *testing.T) {
	bothWays(t, func(t *testing.T, open func(*netiftest.NetNS, tap.Config) *tap.Link) {
		netiftest.Run(t, func(t *testing.T) netiftest.Subject {
			ns := netiftest.NewNetNS(t)
			l := open(ns, config(ns))
			return netiftest.Subject{Link: l, MTU: 1500, Request: netiftest.ARPRequest(l.Config())}
		})
	})
}

// exchange sends a frame and returns the next one that comes.
func exchange(t *testing.T, l *tap.Link, frame []byte) []byte {
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

// TestRawFrames talks ARP and ICMP with the kernel.
func TestRawFrames(t *testing.T) {
	netiftest.Leaks(t)
	l := open(t, config(netiftest.NewNetNS(t)))
	c := l.Config()

	arp := exchange(t, l, netiftest.ARPRequest(c))
	if len(arp) < 42 || arp[21] != 2 || !bytes.Equal(arp[28:32], c.Router.AsSlice()) || !bytes.Equal(arp[0:6], c.MAC[:]) {
		t.Fatalf("answer to the ARP request: %x", arp)
	}
	hostMAC := arp[22:28]

	echo := append(append([]byte{}, hostMAC...), c.MAC[:]...)
	echo = append(echo, 0x08, 0x00)
	ip := []byte{0x45, 0, 0, 28 + 4, 0, 1, 0, 0, 64, 1, 0, 0}
	ip = append(append(ip, c.Addr.Addr().AsSlice()...), c.Router.AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], ^checksum.Checksum(ip, 0))
	icmp := []byte{8, 0, 0, 0, 0, 7, 0, 1, 'p', 'i', 'n', 'g'}
	binary.BigEndian.PutUint16(icmp[2:], ^checksum.Checksum(icmp, 0))
	answer := exchange(t, l, append(append(echo, ip...), icmp...))
	// The kernel has not seen the guest's address before and may ask for it first.
	if answer[12] == 8 && answer[13] == 6 {
		reply := append(append([]byte{}, answer[6:12]...), c.MAC[:]...)
		reply = append(reply, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2)
		reply = append(append(reply, c.MAC[:]...), c.Addr.Addr().AsSlice()...)
		answer = exchange(t, l, append(reply, answer[22:32]...))
	}
	if len(answer) < 46 || answer[23] != 1 || answer[34] != 0 || string(answer[42:46]) != "ping" {
		t.Errorf("answer to the echo request: %x", answer)
	}
}

// TestTCP runs 4 MiB each way between a gVisor stack behind the link and a server on the kernel's.
func TestTCP(t *testing.T) {
	bothWays(t, func(t *testing.T, open func(*netiftest.NetNS, tap.Config) *tap.Link) {
		netiftest.Leaks(t)
		ns := netiftest.NewNetNS(t)
		for _, mtu := range []int{576, 1500, 65521} {
			c := config(ns)
			c.MTU = mtu
			l := open(ns, c)
			guest := netiftest.NewGuest(t, l, l.Config(), netiftest.GuestOptions{})
			netiftest.Transfer(t, ns, l.Config().Router, guest)
			guest.Stop()
			l.Close()
		}
	})
}

func TestFeatures(t *testing.T) {
	bothWays(t, func(t *testing.T, open func(*netiftest.NetNS, tap.Config) *tap.Link) {
		netiftest.Leaks(t)
		ns := netiftest.NewNetNS(t)
		netiftest.Offloads(t, ns, open(ns, config(ns)))
	})
}

// TestManyFrames: when frames become many the link changes to a ring by itself. Nothing is lost on the way, and what comes twice is
// little.
func TestManyFrames(t *testing.T) {
	netiftest.Leaks(t)
	ns := netiftest.NewNetNS(t)
	l := open(t, config(ns))
	request := netiftest.ARPRequest(l.Config())
	frames := []netif.Frame{{Data: [][]byte{make([]byte, 2000)}}, {Data: [][]byte{make([]byte, 2000)}}}
	fd := l.FD()
	sent, got, after := 0, 0, 0
	receive := func() (n int) {
		n, err := l.Receive(frames)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for deadline := time.Now().Add(netiftest.Patience); after < 1000; {
		if time.Now().After(deadline) {
			t.Fatalf("no ring after %d frames", got)
		}
		for range 1 + sent%3 {
			if n, err := l.Send([]netif.Frame{{Data: [][]byte{request}, Len: len(request)}}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			sent++
		}
		n := receive()
		got += n
		if l.Live() {
			after += n
		}
	}
	for !l.Arm() && netiftest.Readable(l.FD(), 100*time.Millisecond) || l.Arm() {
		got += receive()
	}
	if got < sent || got > sent+20 {
		t.Errorf("%d frames were sent, %d have come", sent, got)
	}
	if l.FD() == fd || netiftest.Readable(fd, 0) {
		t.Error("frames still come by the device")
	}
	if c := l.Counters(); c.RxFrames != uint64(got) || c.RxDropped != 0 {
		t.Errorf("%d frames have come: %+v", got, c)
	}
}

// TestFewFrames: a link with little to do makes no ring.
func TestFewFrames(t *testing.T) {
	l := open(t, config(netiftest.NewNetNS(t)))
	for range 300 {
		exchange(t, l, netiftest.ARPRequest(l.Config()))
		time.Sleep(time.Millisecond)
	}
	if l.Live() {
		t.Error("a ring for some hundred frames a second")
	}
}

// TestRingOrNot: whose device it is decides how frames for the guest come, and whether the guest may take them itself.
func TestRingOrNot(t *testing.T) {
	bothWays(t, func(t *testing.T, open func(*netiftest.NetNS, tap.Config) *tap.Link) {
		netiftest.Leaks(t)
		ns := netiftest.NewNetNS(t)
		l := open(ns, config(ns))
		want := strings.HasSuffix(t.Name(), "/ring")
		if l.Live() != want {
			t.Errorf("ring: %v", l.Live())
		}
		if r, err := l.ShareRing(); r.Mem != nil || err != nil {
			t.Errorf("a guest that has agreed to nothing gets a ring of %d bytes, %v", len(r.Mem), err)
		}
		if err := l.SetFeatures(l.Features()); err != nil {
			t.Fatal(err)
		}
		r, err := l.ShareRing()
		if err != nil || (r.Mem != nil) != want || len(r.Mem) != r.Slots*r.Size {
			t.Fatalf("ring of %d bytes, %d slots of %d, %v", len(r.Mem), r.Slots, r.Size, err)
		}
		if err := l.SetFeatures(netif.Features{}); (err != nil) != want {
			t.Errorf("taking features back from who has the ring: %v", err)
		}
		l.Close()
		if l.Seek(netif.Taken{Slot: 1}) {
			t.Error("something waits on a closed link")
		}
		if _, err := l.ShareRing(); !errors.Is(err, netif.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if want {
			clear(r.Mem) // still there
			if err := unix.Munmap(r.Mem); err != nil {
				t.Error(err)
			}
		}
	})
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

func TestDeviceIsMadeAndRemoved(t *testing.T) {
	netiftest.Leaks(t)
	ns := netiftest.NewNetNS(t)
	c := config(ns)
	c.MTU = 4000
	l := open(t, c)
	if l.Name() != c.Name || l.Config().MTU != 4000 || l.Config().MAC != guestMAC {
		t.Errorf("link %s, config %+v", l.Name(), l.Config())
	}
	link := device(t, ns, c.Name)
	if link == nil || link.Attrs().MTU != 4000 || link.Attrs().Flags&net.FlagUp == 0 {
		t.Fatalf("device: %+v", link)
	}
	ns.Do(t, func() error {
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err == nil && (len(addrs) != 1 || addrs[0].IPNet.String() != l.HostAddr().String()) {
			t.Errorf("host's addresses: %v, want %v", addrs, l.HostAddr())
		}
		return err
	})
	if l, err := tap.New(c); err == nil {
		l.Close()
		t.Error("a second link on the same device")
	} else if !strings.Contains(err.Error(), "in use by another process") || !errors.Is(err, unix.EBUSY) {
		t.Errorf("a second link on the same device: %v", err)
	}
	l.Close()
	if device(t, ns, c.Name) != nil {
		t.Error("the device outlives its link")
	}

	c.Name, c.MTU, c.Addr = "", 0, netip.Prefix{}
	l = open(t, c)
	if l.Name() == "" || device(t, ns, l.Name()) == nil || l.Config().MTU != 1500 || l.HostAddr().IsValid() {
		t.Errorf("link %q, config %+v, host %v", l.Name(), l.Config(), l.HostAddr())
	}
}

func TestPersistentDeviceIsLeft(t *testing.T) {
	netiftest.Leaks(t)
	ns := netiftest.NewNetNS(t)
	c := config(ns)
	ns.Do(t, func() error {
		link := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: c.Name, MTU: 1400}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_DEFAULTS | netlink.TUNTAP_VNET_HDR}
		if err := netlink.LinkAdd(link); err != nil {
			return err
		}
		return netlink.LinkSetMTU(link, 1400)
	})
	for range 2 {
		l := open(t, c)
		if l.Config().MTU != 1400 || l.HostAddr().IsValid() {
			t.Errorf("config %+v, host %v", l.Config(), l.HostAddr())
		}
		l.Close()
		if device(t, ns, c.Name) == nil {
			t.Fatal("the device is gone")
		}
	}
}

func TestDeviceRemovedFromOutside(t *testing.T) {
	bothWays(t, removeDevice)
}

func removeDevice(t *testing.T, open func(*netiftest.NetNS, tap.Config) *tap.Link) {
	ns := netiftest.NewNetNS(t)
	l := open(ns, config(ns))
	link := device(t, ns, l.Name())
	ns.Do(t, func() error { return netlink.LinkDel(link) })
	frame := netif.Frame{Data: [][]byte{make([]byte, 60)}, Len: 60}
	if n, err := l.Send([]netif.Frame{frame}); n != 0 || !errors.Is(err, unix.ENODEV) {
		t.Errorf("Send = %d, %v", n, err)
	}
	l.Arm()
	p := []unix.PollFd{{Fd: int32(l.FD()), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, int(netiftest.Patience/time.Millisecond)); n != 1 {
		t.Errorf("poll: %d, %v", n, err)
	}
	if n, err := l.Receive([]netif.Frame{frame}); n != 0 || !errors.Is(err, unix.ENODEV) {
		t.Errorf("Receive = %d, %v", n, err)
	}
}

func TestDeviceDown(t *testing.T) {
	ns := netiftest.NewNetNS(t)
	l := open(t, config(ns))
	link := device(t, ns, l.Name())
	ns.Do(t, func() error { return netlink.LinkSetDown(link) })
	frame := netif.Frame{Data: [][]byte{make([]byte, 60)}, Len: 60}
	if n, err := l.Send([]netif.Frame{frame}); n != 1 || err != nil || l.Counters().TxDropped != 1 {
		t.Errorf("Send = %d, %v, counters %+v", n, err, l.Counters())
	}
}

func TestErrors(t *testing.T) {
	netiftest.Leaks(t)
	ns := netiftest.NewNetNS(t)
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		config tap.Config
		want   string
	}{
		{tap.Config{Name: "lo", NetNSFile: ns}, "attach to tap lo: a device of that name exists and is no single-queue TAP: invalid argument"},
		{tap.Config{Name: "x", NetNS: "no-such-namespace"}, "network namespace no-such-namespace does not exist: make it with `ip netns add` or give the path of one"},
		{tap.Config{Name: "x", NetNSFile: file}, "enter network namespace: the file is none: invalid argument"},
		{tap.Config{Name: "x", MTU: 1}, "configure tap: mtu 1 is out of range 576 to 65521"},
	} {
		l, err := tap.New(c.config)
		if err == nil {
			l.Close()
			t.Errorf("%+v succeeded, want %q", c.config, c.want)
		} else if err.Error() != c.want {
			t.Errorf("error %q, want %q", err, c.want)
		}
	}
}

// TestNamedNamespace uses a namespace as `ip netns add` makes it.
func TestNamedNamespace(t *testing.T) {
	ns := netiftest.NewNetNS(t)
	name := fmt.Sprintf("ukvm-test-%x", rand.Uint64())
	var handle netns.NsHandle
	ns.Do(t, func() (err error) { // the thread moves to the new namespace, and ends
		handle, err = netns.NewNamed(name)
		return err
	})
	defer func() {
		if err := netns.DeleteNamed(name); err != nil {
			t.Error(err)
		}
	}()
	defer handle.Close()
	l := open(t, tap.Config{Name: "ukvmtest0", NetNS: name})
	at, err := netlink.NewHandleAt(handle)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	if _, err := at.LinkByName(l.Name()); err != nil {
		t.Errorf("the device is not in the namespace: %v", err)
	}
	if _, err := netlink.LinkByName(l.Name()); err == nil {
		t.Error("the device is in the process's namespace")
	}
	l.Close()
}

// TestThreadsComeHome makes devices elsewhere from many goroutines and checks that no thread stays there.
func TestThreadsComeHome(t *testing.T) {
	ns := netiftest.NewNetNS(t)
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				l, err := tap.New(tap.Config{NetNS: ns.Path()})
				if err != nil {
					t.Error(err)
					return
				}
				l.Close()
			}
		})
	}
	wg.Wait()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		at, err := os.Readlink("/proc/self/task/" + thread.Name() + "/ns/net")
		if err == nil && at != home {
			t.Errorf("thread %s is in %s, want %s", thread.Name(), at, home)
		}
	}
}

func TestUnprivileged(t *testing.T) {
	netiftest.Unprivileged(t, "^TestPermission$")
}

func TestPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("everything is permitted to root")
	}
	l, err := tap.New(tap.Config{Name: "ukvmtest0"})
	if err == nil {
		l.Close()
		t.Fatal("a device was made without privileges")
	}
	switch err.Error() {
	case "open /dev/net/tun: not permitted: run as root, or use the user-mode network (--net user): permission denied":
	case "make tap ukvmtest0: needs CAP_NET_ADMIN: run as root, have root make it (ip tuntap add ukvmtest0 mode tap user NAME), or use --net user: operation not permitted":
	case "open /dev/net/tun: it is missing: load the module (modprobe tun), or pass the device into the container: no such file or directory":
	default:
		t.Errorf("error %q", err)
	}
	if _, err := tap.New(tap.Config{Name: "ukvmtest0", NetNS: "/proc/1/ns/net"}); err == nil {
		t.Error("a device was made in another's namespace")
	}
}
