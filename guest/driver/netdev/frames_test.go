package netdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	monitor "ukvm.dev/devices/net"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
	netpacket "ukvm.dev/netif/packet"
)

// ringGuest is a driver with the ring of a packet socket at the end of a veth, and the monitor's device in between.
type ringGuest struct {
	host   *netiftest.NetNS // where the other end is
	link   *netpacket.Link
	device *monitor.Device
	driver *Device
	queue  *hypercall.Queue
	mem    []byte
	pool   packet.Pool

	byRing, byQueue int
}

func newRingGuest(t *testing.T) *ringGuest {
	t.Helper()
	g := &ringGuest{host: netiftest.NewNetNS(t)}
	far := netiftest.NewNetNS(t)
	g.host.Do(t, func() error {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "near0"}, PeerName: "far0", PeerNamespace: netlink.NsFd(far.Fd())}); err != nil {
			return err
		}
		near, err := netlink.LinkByName("near0")
		if err != nil {
			return err
		}
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(198, 51, 100, 1), Mask: net.CIDRMask(24, 32)}}
		return errors.Join(netlink.AddrAdd(near, addr), netlink.LinkSetUp(near))
	})
	var err error
	if g.link, err = netpacket.New(netpacket.Config{Name: "far0", NetNSFile: far, Addr: netip.MustParsePrefix("198.51.100.2/24")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.link.Close() })
	f := g.link.Features()
	if err := g.link.SetFeatures(f); err != nil {
		t.Fatal(err)
	}
	r, err := g.link.ShareRing()
	if err != nil || r.Mem == nil {
		t.Fatalf("ring of %d bytes, %v", len(r.Mem), err)
	}
	g.mem = r.Mem
	t.Cleanup(func() { unix.Munmap(g.mem) })
	w := newWire(1500)
	g.device = monitor.New(g.link, f, 1500, w.slot, host{})
	g.device.ShareFrames(g.link, r)
	g.queue = w.queue(0)
	g.driver = newDevice(g.queue, w.queue(1), longest(65535), 64<<20, &g.pool)
	g.driver.frames.at = addressOf(r.Mem)
	return g
}

// collect returns what has come, as the guest sees it.
func (g *ringGuest) collect() (frames [][]byte) {
	for {
		ring, queue := g.queue.Frames.Count, g.driver.rx.used
		if !g.driver.collect() {
			return frames
		}
		g.byRing += int(g.queue.Frames.Count - ring)
		g.byQueue += int(g.driver.rx.used - queue)
		for _, p := range g.driver.batch {
			b := make([]byte, p.Len())
			p.CopyOut(b)
			frames = append(frames, b)
			p.Release()
		}
		g.driver.batch = g.driver.batch[:0]
	}
}

// number is that of a datagram to port 9 with the frame around it, or false.
func number(frame []byte) (n int, size int, ok bool) {
	const headers = 14 + 20 + 8
	if len(frame) < headers+4 || frame[12] != 8 || frame[13] != 0 || frame[23] != 17 || frame[37] != 9 {
		return 0, 0, false
	}
	return int(binary.BigEndian.Uint32(frame[headers:])), len(frame) - headers, true
}

// TestFrameRing has the host send numbered datagrams, short ones and long ones, while the guest looks at its ring and the monitor
// serves the queues, in any order. All arrive, whole and in order, whichever way each takes.
func TestFrameRing(t *testing.T) {
	netiftest.NewNetNS(t) // skips where there are none
	netiftest.Leaks(t)
	g := newRingGuest(t)
	var c net.Conn
	g.host.Do(t, func() (err error) {
		link, err := netlink.LinkByName("near0")
		if err != nil {
			return err
		}
		mac := g.link.Config().MAC
		if err := netlink.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, IP: net.IPv4(198, 51, 100, 2), HardwareAddr: mac[:], State: netlink.NUD_PERMANENT,
		}); err != nil {
			return err
		}
		c, err = net.Dial("udp4", "198.51.100.2:9")
		return err
	})
	defer c.Close()

	r := rand.New(rand.NewPCG(6, 6))
	const total = 30000
	sizes := make([]int, total)
	sent, got, short, long := 0, 0, 0, 0
	for deadline := time.Now().Add(netiftest.Patience); got < total; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d datagrams have come, %+v", got, sent, g.link.Counters())
		}
		for range r.IntN(100) {
			if sent == total || sent-got > 500 {
				break
			}
			n := 4 + r.IntN(200)
			if r.IntN(1+sent%200) == 0 { // at times many, at times few
				n = 4 + r.IntN(1400)
			}
			b := make([]byte, n)
			binary.BigEndian.PutUint32(b, uint32(sent))
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			sizes[sent] = n
			sent++
		}
		if r.IntN(3) == 0 {
			if _, err := g.device.Serve(); err != nil {
				t.Fatal(err)
			}
		}
		for _, frame := range g.collect() {
			n, size, ok := number(frame)
			if !ok {
				continue // of the host's IPv6
			}
			if n != got || size != sizes[n] {
				t.Fatalf("datagram %d of %d bytes has come, want %d of %d", n, size, got, sizes[got])
			}
			if size <= 204 {
				short++
			} else {
				long++
			}
			got++
		}
	}
	if g.byRing < total/2 || g.byQueue < long/2 || long < total/100 {
		t.Errorf("%d by the ring, %d by the queue; %d long ones", g.byRing, g.byQueue, long)
	}
	if _, err := g.device.Serve(); err != nil {
		t.Fatal(err)
	}
	if c := g.link.Counters(); c.RxFrames < total || c.RxBytes < total*46 || c.RxDropped != 0 {
		t.Errorf("counters %+v", c)
	}
}

// TestFrameRingNews: the monitor lets the guest sleep only when nothing waits in the ring that is for it, and brings what is not.
func TestFrameRingNews(t *testing.T) {
	g := newRingGuest(t)
	request := netiftest.ARPRequest(g.link.Config())
	g.collect()
	for i := range 3 * 1024 { // more than the ring has slots
		if n, err := g.link.Send([]netif.Frame{{Data: [][]byte{request}, Len: len(request)}}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		for deadline := time.Now().Add(netiftest.Patience); !g.device.News(); {
			if time.Now().After(deadline) {
				t.Fatalf("answer %d is no news", i)
			}
		}
		if g.link.Arm() != true {
			t.Fatal("a link with a frame would let its reader sleep")
		}
		if _, err := g.device.Serve(); err != nil {
			t.Fatal(err)
		}
		if !g.device.News() {
			t.Fatal("serving the queues has taken a frame that is the guest's")
		}
		if frames := g.collect(); len(frames) == 0 {
			t.Fatal("nothing has come")
		}
		if g.device.News() {
			t.Fatal("news after the guest has looked")
		}
	}
	if g.byQueue > 10 { // what the host had to say when the device came up
		t.Errorf("%d frames by the queue", g.byQueue)
	}
}

// TestFrameRingBusy: while the guest looks, as where it was interrupted, the monitor brings nothing and takes nothing. What waits then
// comes later.
func TestFrameRingBusy(t *testing.T) {
	g := newRingGuest(t)
	request := netiftest.ARPRequest(g.link.Config())
	if _, err := g.link.Send([]netif.Frame{{Data: [][]byte{request}, Len: len(request)}}); err != nil {
		t.Fatal(err)
	}
	if !g.link.Arm() && !netiftest.Readable(g.link.FD(), netiftest.Patience) {
		t.Fatal("no answer")
	}
	slot := (*hypercall.FrameSlot)(unsafe.Pointer(&g.mem[0]))
	slot.Status |= hypercall.FrameVLAN // the monitor's to take, and to drop
	g.driver.frames.enter()
	before := g.queue.Frames
	for range 3 {
		if moved, err := g.device.Serve(); moved || err != nil {
			t.Fatal(moved, err)
		}
	}
	if g.device.News() || g.queue.Frames != before || slot.Status == 0 {
		t.Errorf("the monitor has looked at the ring of a guest that is busy there: %+v, status %#x", g.queue.Frames, slot.Status)
	}
	g.driver.frames.leave()
	if _, err := g.device.Serve(); err != nil {
		t.Fatal(err)
	}
	if g.queue.Frames.Next == before.Next || slot.Status != 0 {
		t.Errorf("afterwards the frame is still there: %+v, status %#x", g.queue.Frames, slot.Status)
	}
	if g.collect(); g.queue.Frames.Busy != 0 {
		t.Error("a guest that has looked is busy")
	}
}

// TestFrameRingSkips: what is not for the guest it leaves.
func TestFrameRingSkips(t *testing.T) {
	const size = 256
	for name, spoil := range map[string]func(s *hypercall.FrameSlot, b []byte){
		"nothing":           func(s *hypercall.FrameSlot, b []byte) { s.Status = 0 },
		"a long frame":      func(s *hypercall.FrameSlot, b []byte) { s.Status |= hypercall.FrameLong },
		"a tag":             func(s *hypercall.FrameSlot, b []byte) { s.Status |= hypercall.FrameVLAN },
		"a part":            func(s *hypercall.FrameSlot, b []byte) { s.Len++ },
		"no header":         func(s *hypercall.FrameSlot, b []byte) { s.Mac = 9 },
		"beyond the slot":   func(s *hypercall.FrameSlot, b []byte) { s.Mac = size - 59 },
		"less than a frame": func(s *hypercall.FrameSlot, b []byte) { s.Len, s.Snaplen = 13, 13 },
		"datagrams in one":  func(s *hypercall.FrameSlot, b []byte) { b[48-9] = 5 },
		"":                  func(s *hypercall.FrameSlot, b []byte) {},
	} {
		var pool packet.Pool
		b := make([]byte, 4*size+hypercall.PageSize)
		b = b[-int(uintptr(unsafe.Pointer(&b[0])))&(hypercall.PageSize-1):]
		r := frameRing{addressOf(b), &hypercall.Frames{Slots: 4, Size: size}}
		for lap := range uint32(9) {
			r.account.Next = lap % 4
			s, slot := r.slot(lap % 4)
			*s = hypercall.FrameSlot{Status: hypercall.FrameReady, Len: 60, Snaplen: 60, Mac: 48}
			copy(slot[38:], []byte{hypercall.NeedsCsum, hypercall.GSOTCP4 | hypercall.FrameECN, 54, 0, 100, 0, 34, 0, 16, 0})
			copy(slot[48:], fmt.Sprintf("frame number %47d", lap))
			spoil(s, slot)
			p := r.take(&pool)
			if (p != nil) != (name == "") {
				t.Fatalf("%s: %v", name, p)
			}
			if p == nil {
				if r.account.Next != lap%4 || r.account.Count != 0 {
					t.Errorf("%s: the ring goes on: %+v", name, *r.account)
				}
				continue
			}
			want := hypercall.NetHeader{Flags: hypercall.NeedsCsum, GSOType: hypercall.GSOTCP4, HdrLen: 54, GSOSize: 100, CsumStart: 34, CsumOffset: 16, NumBuffers: 1}
			if p.Net != want || string(p.Bytes()) != fmt.Sprintf("frame number %47d", lap) {
				t.Errorf("%+v, %q", p.Net, p.Bytes())
			}
			if a := r.account; s.Status != 0 || a.Next != (lap+1)%4 || a.Count != uint64(lap+1) || a.Bytes != 60*uint64(lap+1) {
				t.Errorf("status %d, %+v", s.Status, *a)
			}
			p.Release()
		}
	}
}
