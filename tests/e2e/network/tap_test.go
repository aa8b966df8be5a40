package network

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/internal/ukvmtest"
)

// TestPing sends ICMP echo requests of many sizes, in fragments where they are longer than the MTU.
func TestPing(t *testing.T) {
	w := newWorld(t, overTAP, options{})
	c := w.listenICMP(t)
	guest := &net.IPAddr{IP: net.ParseIP(tapGuest)}
	buf := make([]byte, 1<<16)
	fastest := time.Hour
	for sequence, size := range []int{0, 1, 56, 56, 56, 56, 56, 1472, 1473, 9000, 60_000} {
		request := make([]byte, 8+size)
		request[0] = 8 // echo request (RFC 792)
		binary.BigEndian.PutUint16(request[4:], 0x756b)
		binary.BigEndian.PutUint16(request[6:], uint16(sequence))
		for i := range size {
			request[8+i] = byte(i * 7)
		}
		binary.BigEndian.PutUint16(request[2:], internetChecksum(request))
		begin := time.Now()
		if _, err := c.WriteTo(request, guest); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		answer := buf[:n]
		if n != len(request) || answer[0] != 0 || internetChecksum(answer) != 0 || string(answer[4:]) != string(request[4:]) {
			t.Errorf("%d bytes: answer of %d", size, n)
		}
		fastest = min(fastest, time.Since(begin))
	}
	ukvmtest.Figure(t, "network/tap/ping", float64(fastest)/float64(time.Microsecond), "µs")
}

// listenICMP opens a raw socket for ICMP.
func (w *world) listenICMP(t testing.TB) (c net.PacketConn) {
	var err error
	do(w.ns, func() { c, err = net.ListenPacket("ip4:icmp", "0.0.0.0") })
	return open(t, c, err)
}

// internetChecksum is that of RFC 1071.
func internetChecksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word |= uint32(b[i+1])
		}
		sum += word
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// TestTAPCommand runs ukvm in the namespace of the device, and in another from where it names that. The device goes with
// the guest.
func TestTAPCommand(t *testing.T) {
	path := image(t)
	t.Run("inside", func(t *testing.T) {
		ns := netiftest.NewNetNS(t)
		checkTAPCommand(t, ns, ns, []string{"run", "--net", "tap=" + tapName + ",ip=" + tapGuest + "/24", path})
	})
	t.Run("named", func(t *testing.T) {
		ns, elsewhere := netiftest.NewNetNS(t), netiftest.NewNetNS(t)
		name := fmt.Sprintf("/proc/%d/fd/%d", syscall.Getpid(), ns.Fd())
		checkTAPCommand(t, elsewhere, ns, []string{
			"run", "--net", fmt.Sprintf("tap=%s,ip=%s/24,gw=%s,mac=02:00:00:00:00:77,mtu=1400,netns=%s", tapName, tapGuest, tapHost, name), path,
		})
		link := netlinkOf(t, ns, "lo")
		if link == nil {
			t.Error("no loopback device in the namespace")
		}
	})
}

// checkTAPCommand starts ukvm in one namespace and talks to its guest from another.
func checkTAPCommand(t *testing.T, in, from *netiftest.NetNS, words []string) {
	p := startIn(t, in, words)
	p.Await("ready\n")
	w := inNamespace(from, tapGuest, tapHost)
	c := w.connect(t, 80)
	fmt.Fprint(c, "GET /addresses HTTP/1.0\r\n\r\n")
	buf := make([]byte, 4096)
	n, _ := readAll(c, buf)
	if got := string(buf[:n]); !strings.Contains(got, tapGuest+"/24") {
		t.Errorf("the guest answers %q", got)
	}
	if netlinkOf(t, from, tapName) == nil {
		t.Error("the device is not where it should be")
	}
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 || r.Stdout != "ready\nbye\n" || r.Stderr != "" {
		t.Errorf("%+v", r)
	}
	eventually(t, func() error {
		if netlinkOf(t, from, tapName) != nil {
			return fmt.Errorf("the device is still there")
		}
		return nil
	})
}

// readAll reads until the end or buf is full.
func readAll(c net.Conn, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var k int
		k, err = c.Read(buf[n:])
		n += k
	}
	return n, err
}

// netlinkOf looks a device up in a namespace.
func netlinkOf(t testing.TB, ns *netiftest.NetNS, name string) (link netlink.Link) {
	do(ns, func() { link, _ = netlink.LinkByName(name) })
	return link
}

// TestTwoCards gives a guest the user network and a TAP device; it is reached over both.
func TestTwoCards(t *testing.T) {
	path := image(t)
	ns := netiftest.NewNetNS(t)
	p := startIn(t, ns, []string{
		"run", "--net", "user", "-p", "127.0.0.1:0:80", "--net", "tap=" + tapName + ",ip=" + tapGuest + "/24", path,
	})
	ports := publishedPorts(t, p, 1)
	p.Await("ready\n")
	for _, address := range []struct {
		addr string
		port int
	}{{"127.0.0.1", ports["tcp80"]}, {tapGuest, 80}} {
		c := inNamespace(ns, address.addr, "").connect(t, address.port)
		fmt.Fprint(c, "GET /addresses HTTP/1.0\r\n\r\n")
		buf := make([]byte, 4096)
		n, _ := readAll(c, buf)
		if got := string(buf[:n]); !strings.Contains(got, `"eth0":["10.0.2.15/24","fe80::`) || !strings.Contains(got, `,"fd00::`) || !strings.Contains(got, `"eth1":["`+tapGuest+`/24"]`) {
			t.Errorf("by %s the guest answers %q", address.addr, got)
		}
	}
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 {
		t.Errorf("%+v", r)
	}
}
