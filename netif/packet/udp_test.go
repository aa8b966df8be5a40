package packet_test

import (
	"bytes"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
)

// TestDatagrams sends several that the kernel leaves in one frame (UDP_SEGMENT), which the guest gets one by one.
func TestDatagrams(t *testing.T) {
	netiftest.Leaks(t)
	w := newWire(t, 1500)
	l := open(t, w.config())
	if err := l.SetFeatures(l.Features()); err != nil {
		t.Fatal(err)
	}
	if !answered(t, l) { // the host knows the guest's address from here on
		t.Fatal("no answer")
	}
	const segment, all = 1000, 7500
	data := bytes.Repeat([]byte("datagram"), all/8+1)[:all]
	w.near.Do(t, func() error {
		c, err := net.Dial("udp", "198.51.100.2:9")
		if err != nil {
			return err
		}
		defer c.Close()
		raw, err := c.(*net.UDPConn).SyscallConn()
		if err != nil {
			return err
		}
		if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, segment) }); e != nil {
			return e
		}
		if err != nil {
			return err
		}
		_, err = c.Write(data)
		return err
	})
	const headers = netif.EthernetSize + 20 + 8
	var got []byte
	frames := []netif.Frame{{Data: [][]byte{make([]byte, 1514)}}}
	for len(got) < all {
		n, err := l.Receive(frames)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			if !l.Arm() && !netiftest.Readable(l.FD(), netiftest.Patience) {
				t.Fatalf("%d bytes have come, %+v", len(got), l.Counters())
			}
			continue
		}
		f := &frames[0]
		b := f.Data[0][:f.Len]
		if b[12] != 8 || b[13] != 0 || b[23] != 17 {
			continue // ARP
		}
		if want := min(segment, all-len(got)); len(b) != headers+want {
			t.Fatalf("a frame of %d bytes, want %d", len(b), headers+want)
		}
		got = append(got, b[headers:]...)
	}
	if !bytes.Equal(got, data) {
		t.Error("other bytes")
	}
}
