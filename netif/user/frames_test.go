package user_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/user"
)

// send sends one frame.
func send(t testing.TB, l *user.Link, frame []byte) {
	t.Helper()
	if n, err := l.Send([]netif.Frame{{Data: [][]byte{frame}, Len: len(frame)}}); n != 1 || err != nil {
		t.Fatalf("Send = %d, %v", n, err)
	}
}

// receive returns the next frame; nil if none comes in the given time.
func receive(t testing.TB, l *user.Link, patience time.Duration) []byte {
	t.Helper()
	frame := []netif.Frame{{Data: [][]byte{make([]byte, 1<<16)}}}
	for deadline := time.Now().Add(patience); ; {
		n, err := l.Receive(frame)
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			return frame[0].Data[0][:frame[0].Len]
		}
		if !l.Arm() && !netiftest.Readable(l.FD(), time.Until(deadline)) {
			return nil
		}
	}
}

// packet is an IPv4 packet in a frame of the guest.
func packet(c netif.Config, src, dst netip.Addr, protocol uint8, payload []byte) []byte {
	b := append([]byte{2, 'u', 'k', 'v', 'm', 2}, c.MAC[:]...)
	b = append(b, 8, 0)
	ip := header.IPv4(make([]byte, 20, 20+len(payload)))
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(20 + len(payload)), TTL: 64, Protocol: protocol,
		SrcAddr: netiftest.Address(src), DstAddr: netiftest.Address(dst),
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	return append(append(b, ip...), payload...)
}

func ping() []byte {
	b := []byte{8, 0, 0, 0, 0, 7, 0, 1, 'p', 'i', 'n', 'g'}
	binary.BigEndian.PutUint16(b[2:], ^checksum.Checksum(b, 0))
	return b
}

func TestARP(t *testing.T) {
	for _, loopback := range []bool{false, true} {
		l := newLink(t, user.Config{HostLoopback: loopback})
		for addr, answered := range map[string]bool{
			"10.0.2.2": true, "10.0.2.3": true, "10.0.2.4": loopback,
			"10.0.2.15": false, "10.0.2.77": false, "192.0.2.1": false, "0.0.0.0": false,
		} {
			request := arpRequest(l.Config(), netip.MustParseAddr(addr))
			send(t, l, request)
			got := receive(t, l, 0)
			if !answered {
				if got != nil {
					t.Errorf("answer for %s: %x", addr, got)
				}
				continue
			}
			want := append(append([]byte{}, request[6:12]...), got[22:28]...)
			want = append(want, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2)
			want = append(append(want, got[22:28]...), request[38:42]...)
			want = append(want, request[22:32]...)
			if !bytes.Equal(got, want) {
				t.Errorf("answer for %s:\n%x, want\n%x", addr, got, want)
			}
		}
	}
}

func TestEcho(t *testing.T) {
	l := newLink(t, user.Config{Ping: func(context.Context, netip.Addr) (net.Conn, error) { return nil, syscall.EACCES }})
	c := l.Config()
	for addr, answered := range map[string]bool{"10.0.2.2": true, "10.0.2.3": true, "10.0.2.77": false, "192.0.2.1": false} {
		send(t, l, packet(c, c.Addr.Addr(), netip.MustParseAddr(addr), 1, ping()))
		got := receive(t, l, netiftest.Patience)
		if answered && (len(got) != 46 || got[34] != 0 || string(got[42:]) != "ping") {
			t.Errorf("answer of %s: %x", addr, got)
		}
		if !answered && (len(got) != 70 || got[34] != 3) {
			t.Errorf("%s is not unreachable: %x", addr, got)
		}
	}
}

// TestUnreachableQuotesUDP checks that what an ICMP error quotes is a datagram of the guest's: stacks look.
func TestUnreachableQuotesUDP(t *testing.T) {
	l := newLink(t, user.Config{})
	c := l.Config()
	udp := header.UDP(make([]byte, 8+4))
	udp.Encode(&header.UDPFields{SrcPort: 4000, DstPort: 9, Length: uint16(len(udp))})
	send(t, l, packet(c, c.Addr.Addr(), c.Router, 17, udp)) // the router has no such port
	got := receive(t, l, 0)
	if len(got) < 14+20+8+20+8 || got[34] != byte(header.ICMPv4DstUnreachable) || got[35] != byte(header.ICMPv4PortUnreachable) {
		t.Fatalf("answer: %x", got)
	}
	ip := header.IPv4(got[42:])
	quoted := header.UDP(ip[20:])
	if !ip.IsChecksumValid() || ip.Protocol() != 17 || ip.SourceAddress() != netiftest.Address(c.Addr.Addr()) ||
		quoted.SourcePort() != 4000 || quoted.DestinationPort() != 9 || quoted.Length() < header.UDPMinimumSize {
		t.Errorf("quote: %x", got[42:])
	}
}

// TestForeignSource checks that the guest cannot speak for others, nor to hosts that are not on its link.
func TestForeignSource(t *testing.T) {
	l := newLink(t, user.Config{})
	c := l.Config()
	for i, pair := range [][2]string{
		{"10.0.2.16", "10.0.2.2"}, {"10.0.2.2", "10.0.2.2"}, {"127.0.0.1", "10.0.2.2"}, {"0.0.0.0", "10.0.2.2"},
		{"10.0.2.15", "127.0.0.1"}, {"10.0.2.15", "10.0.2.255"}, {"10.0.2.15", "169.254.169.254"},
	} {
		send(t, l, packet(c, netip.MustParseAddr(pair[0]), netip.MustParseAddr(pair[1]), 1, ping()))
		if got := receive(t, l, 0); got != nil {
			t.Errorf("%v was answered: %x", pair, got)
		}
		if got := l.Stats().Blocked; got != uint64(i+1) {
			t.Errorf("%v: %d blocked, want %d", pair, got, i+1)
		}
	}
	other := packet(c, c.Addr.Addr(), c.Router, 1, ping())
	other[5]++
	send(t, l, other)
	ipv6 := packet(c, c.Addr.Addr(), c.Router, 1, ping())
	ipv6[12], ipv6[13] = 0x86, 0xdd
	send(t, l, ipv6)
	if s, got := l.Stats(), receive(t, l, 0); got != nil || s.Ignored != 1 || s.Blocked != 8 { // the other is no IPv6 packet
		t.Errorf("stats %+v, answer %x", l.Stats(), got)
	}
}

// dhcpMessage is one of the guest's client.
func dhcpMessage(c netif.Config, src, dst string, options ...byte) []byte {
	b := make([]byte, 240, 300)
	b[0], b[1], b[2] = 1, 1, 6
	copy(b[4:8], "\x12\x34\x56\x78")
	copy(b[28:], c.MAC[:])
	copy(b[236:], "\x63\x82\x53\x63")
	b = append(append(b, options...), 255)
	udp := make([]byte, 8, 400)
	binary.BigEndian.PutUint16(udp[0:], 68)
	binary.BigEndian.PutUint16(udp[2:], 67)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(b)))
	return packet(c, netip.MustParseAddr(src), netip.MustParseAddr(dst), 17, append(udp, b...))
}

func TestDHCP(t *testing.T) {
	l := newLink(t, user.Config{MTU: 9000})
	c := l.Config()
	const broadcast = "255.255.255.255"
	for _, step := range []struct {
		name     string
		src, dst string
		options  []byte
		answer   byte // 0: none
		to       string
	}{
		{"discover", "0.0.0.0", broadcast, []byte{53, 1, 1}, 2, "10.0.2.15"},
		{"request", "0.0.0.0", broadcast, []byte{53, 1, 3, 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2}, 5, "10.0.2.15"},
		{"request of another address", "0.0.0.0", broadcast, []byte{53, 1, 3, 50, 4, 10, 0, 2, 16}, 6, broadcast},
		{"request to another server", "0.0.0.0", broadcast, []byte{53, 1, 3, 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 9}, 0, ""},
		{"renewal", "10.0.2.15", "10.0.2.2", []byte{0, 0, 53, 1, 3, 50, 4, 10, 0, 2, 15}, 5, "10.0.2.15"},
		{"release", "10.0.2.15", "10.0.2.2", []byte{53, 1, 7}, 0, ""},
		{"no type", "0.0.0.0", broadcast, []byte{50, 4, 10, 0, 2, 15}, 0, ""},
		{"cut option", "0.0.0.0", broadcast, []byte{53, 9, 1}, 0, ""},
	} {
		send(t, l, dhcpMessage(c, step.src, step.dst, step.options...))
		got := receive(t, l, 0)
		if step.answer == 0 {
			if got != nil {
				t.Errorf("%s: answer %x", step.name, got)
			}
			continue
		}
		if len(got) < 14+28+300 {
			t.Errorf("%s: answer of %d bytes", step.name, len(got))
			continue
		}
		ip := header.IPv4(got[14:])
		udp := header.UDP(ip.Payload())
		m := udp.Payload()
		if dst := ip.DestinationAddress().String(); dst != step.to || udp.DestinationPort() != 68 || m[242] != step.answer ||
			!udp.IsChecksumValid(ip.SourceAddress(), ip.DestinationAddress(), checksum.Checksum(m, 0)) {
			t.Errorf("%s: type %d to %s", step.name, m[242], dst)
		}
		if step.answer == 6 {
			continue
		}
		want := []byte{
			53, 1, step.answer, 54, 4, 10, 0, 2, 2, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2, 6, 4, 10, 0, 2, 3,
			26, 2, 0x23, 0x28, 51, 4, 0, 9, 0x3a, 0x80, 255,
		}
		if !bytes.Equal(m[16:20], []byte{10, 0, 2, 15}) || !bytes.HasPrefix(m[240:], want) || string(m[4:8]) != "\x12\x34\x56\x78" {
			t.Errorf("%s: answer %x", step.name, m)
		}
	}
}

// TestFeatures moves data with checksums and segmentation left to the other side.
func TestFeatures(t *testing.T) {
	netiftest.Leaks(t)
	for _, mtu := range []int{1500, 0} {
		l := newLink(t, user.Config{MTU: mtu, Publish: []user.Publish{{Guest: 80}}})
		all := l.Features()
		if err := l.SetFeatures(netif.Features{TxSegment: all.TxSegment + 1}); err == nil {
			t.Error("more than there is was accepted")
		}
		if err := l.SetFeatures(netif.Features{RxSegment: 1000}); err == nil {
			t.Error("segmentation without checksums was accepted")
		}
		frame := packet(l.Config(), l.Config().Addr.Addr(), l.Config().Router, 1, ping())
		l.Send([]netif.Frame{{Data: [][]byte{frame}, Len: len(frame), Header: hypercall.NetHeader{Flags: hypercall.NeedsCsum}}})
		if l.Counters().TxDropped != 1 {
			t.Error("a frame with NeedsCsum was taken although that is off")
		}
		if err := l.SetFeatures(all); err != nil {
			t.Fatal(err)
		}
		g := netiftest.NewGuest(t, l, l.Config(), netiftest.GuestOptions{Features: all})
		listener := g.Listen(t, 80)
		serve(listener, echo)
		c, err := net.Dial("tcp", hostPort(l, 0))
		if err != nil {
			t.Fatal(err)
		}
		before := l.Counters()
		data := randomBytes(4 << 20)
		checkEcho(t, c, data)
		c.Close()
		after := l.Counters()
		if mtu == 1500 {
			if size := (after.RxBytes - before.RxBytes) / (after.RxFrames - before.RxFrames); size < 2000 {
				t.Errorf("frames to the guest have %d bytes on average: no segmentation offload", size)
			}
		}
		g.Stop()
	}
}

// FuzzSend gives the link what a hostile guest might.
func FuzzSend(f *testing.F) {
	l := newLink(f, user.Config{HostLoopback: true, Dial: refuseAll, DNS: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}})
	c := l.Config()
	tcp := header.TCP(make([]byte, 20))
	tcp.Encode(&header.TCPFields{SrcPort: 1, DstPort: 80, Flags: header.TCPFlagSyn, DataOffset: 20, WindowSize: 1000})
	udp := []byte{0, 9, 0, 53, 0, 10, 0, 0, 'h', 'i'}
	f.Add(arpRequest(c, c.Router), uint8(0))
	f.Add(packet(c, c.Addr.Addr(), c.Router, 1, ping()), uint8(1))
	f.Add(packet(c, c.Addr.Addr(), netip.MustParseAddr("192.0.2.1"), 6, tcp), uint8(2))
	f.Add(packet(c, c.Addr.Addr(), c.DNS[0], 17, udp), uint8(3))
	f.Add(packet(c, c.Addr.Addr(), netip.MustParseAddr("192.0.2.1"), 17, udp), uint8(0))
	f.Add(dhcpMessage(c, "0.0.0.0", "255.255.255.255", 53, 1, 1), uint8(0))
	if err := l.SetFeatures(l.Features()); err != nil {
		f.Fatal(err)
	}
	room := []netif.Frame{{Data: [][]byte{make([]byte, 1<<16)}}}
	f.Fuzz(func(t *testing.T, frame []byte, flags uint8) {
		header := hypercall.NetHeader{Flags: flags & 3, GSOType: flags >> 2 & 1}
		// The checksums of the packet are made right, or nearly nothing would get past them.
		if len(frame) >= 34 && frame[14]>>4 == 4 {
			fixChecksums(frame[14:])
		}
		if n, err := l.Send([]netif.Frame{{Header: header, Data: [][]byte{frame}, Len: len(frame)}}); n != 1 || err != nil {
			t.Fatalf("Send = %d, %v", n, err)
		}
		for {
			n, err := l.Receive(room)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				return
			}
		}
	})
}

func fixChecksums(b []byte) {
	ip := header.IPv4(b)
	if int(ip.HeaderLength()) > len(b) || int(ip.HeaderLength()) < 20 {
		return
	}
	ip.SetChecksum(0)
	ip.SetChecksum(^ip.CalculateChecksum())
	payload := b[ip.HeaderLength():]
	if ip.Protocol() == 1 && len(payload) >= 4 {
		payload[2], payload[3] = 0, 0
		binary.BigEndian.PutUint16(payload[2:], ^checksum.Checksum(payload, 0))
	}
}
