package user_test

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"ukvm.dev/netif"
	"ukvm.dev/netif/user"
)

// FuzzFrames sends frames with a payload of any kind, cut in two, to a network where nobody is reached. What comes back must
// be for the guest, and well formed.
func FuzzFrames(f *testing.F) {
	link := newLink(f, user.Config{
		HostLoopback: true,
		Dial:         func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED },
		Ping:         func(context.Context, netip.Addr) (net.Conn, error) { return nil, syscall.EHOSTUNREACH },
	})
	c := link.Config()
	for _, frame := range [][]byte{
		packet(c, c.Addr.Addr(), c.Router, 1, ping()), arpRequest(c, c.Router),
		packet6(c, "fe80::15", "ff02::2", 58, 255, []byte{133, 0, 0, 0, 0, 0, 0, 0}),
		packet6(c, "fe80::15", "ff02::1:ff00:2", 58, 255, solicitation("fd00::2")),
		packet6(c, "fd00::15", "2001:db8::1", 58, 64, []byte{128, 0, 0, 0, 0, 7, 0, 1}),
		packet6(c, "fd00::15", "2001:db8::1", 17, 64, []byte{0, 7, 0, 9, 0, 8, 0, 0}),
		packet6(c, "fd00::15", "2001:db8::1", 6, 64, synSegment(4, 0)),
		packet6(c, "fd00::15", "fd00::4", 6, 64, synSegment(0, 3)),
		packet6(c, "fd00::15", "fd00::2", 44, 64, []byte{17, 0, 0, 1, 0, 0, 0, 1, 0, 7, 0, 9, 0, 8, 0, 0}),
	} {
		f.Add(frame, 20)
	}
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		if cut < 0 || cut > len(data) {
			t.Skip()
		}
		if n, err := link.Send([]netif.Frame{{Data: [][]byte{data[:cut], data[cut:]}, Len: len(data)}}); n != 1 || err != nil {
			t.Fatalf("Send = %d, %v", n, err)
		}
		for {
			got := receive(t, link, 0)
			if got == nil {
				return
			}
			switch {
			case len(got) < 14 || [6]byte(got) != c.MAC:
				t.Fatalf("a frame for another: %x", got)
			case got[12] == 8 && got[13] == 0:
				if ip := header.IPv4(got[14:]); !ip.IsValid(len(ip)) || !ip.IsChecksumValid() {
					t.Fatalf("IPv4: %x", got)
				}
			case got[12] == 0x86:
				if ip := header.IPv6(got[14:]); !ip.IsValid(len(ip)) || int(ip.PayloadLength()) != len(ip)-40 {
					t.Fatalf("IPv6: %x", got)
				}
			}
		}
	})
}
