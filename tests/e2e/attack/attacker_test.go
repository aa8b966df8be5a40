package attack

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ukvm.dev/guest/net/wire"
	"ukvm.dev/netif/netiftest"
)

// attacker sends frames to the guest that claim to be from whomever, and sees those that the guest sends. The kernel of
// the host does not know of it: what the guest sends to strangers it drops, since it forwards nothing.
type attacker struct {
	t    testing.TB
	out  int // socket to send on
	in   int // socket that has the guest's frames
	seen [2048]byte
}

// newAttacker makes an attacker on a device of a namespace.
func newAttacker(t testing.TB, ns *netiftest.NetNS, device string) *attacker {
	t.Helper()
	a := &attacker{t: t, out: -1, in: -1}
	t.Cleanup(func() {
		unix.Close(a.out)
		unix.Close(a.in)
	})
	ns.Do(t, func() error {
		link, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		if a.out, err = openPacket(link.Attrs().Index, 0); err != nil {
			return err
		}
		a.in, err = openPacket(link.Attrs().Index, unix.ETH_P_IP)
		return err
	})
	// What is received and not looked at is dropped by the kernel.
	if err := unix.SetsockoptInt(a.in, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20); err != nil {
		t.Fatal(err)
	}
	timeout := unix.NsecToTimeval(int64(100 * time.Millisecond))
	if err := unix.SetsockoptTimeval(a.in, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	return a
}

// openPacket opens a packet socket (packet(7)) on a device. One for protocol 0 receives nothing.
func openPacket(index int, protocol uint16) (int, error) {
	swapped := protocol<<8 | protocol>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(swapped))
	if err != nil {
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swapped, Ifindex: index}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind packet socket: %w", err)
	}
	return fd, nil
}

// send sends a frame. That the queue is full is the attacker's bad luck.
func (a *attacker) send(frame []byte) {
	for {
		switch _, err := unix.Write(a.out, frame); err {
		case nil, unix.ENOBUFS:
			return
		case unix.EINTR:
		default:
			a.t.Fatalf("send a frame: %v", err)
		}
	}
}

// segment is a TCP segment of the guest's.
type segment struct {
	to   netip.AddrPort
	tcp  wire.TCP
	data []byte
}

// receive returns the next segment of the guest's, or false when there is none for a while. It is valid until the next
// call.
func (a *attacker) receive() (segment, bool) {
	for {
		n, err := unix.Read(a.in, a.seen[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			if err != unix.EAGAIN {
				a.t.Errorf("receive a frame: %v", err)
			}
			return segment{}, false
		}
		if n < wire.EthernetSize {
			continue
		}
		ip, ok := wire.ParseIPv4(a.seen[wire.EthernetSize:n])
		if !ok || ip.Proto() != wire.ProtoTCP || ip.IsFragment() {
			continue
		}
		rest := a.seen[wire.EthernetSize+len(ip) : min(n, wire.EthernetSize+ip.TotalLen())]
		if tcp, ok := wire.ParseTCP(rest); ok {
			return segment{netip.AddrPortFrom(ip.Dst(), tcp.DstPort()), tcp, rest[len(tcp):]}, true
		}
	}
}

// flood sends count frames, so many a second.
func (a *attacker) flood(count, rate int, frame func(n int) []byte) {
	const burst = 50
	begin := time.Now()
	for n := range count {
		if n%burst == 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(rate))))
		}
		a.send(frame(n))
	}
}

// frames makes frames in a buffer of its own, one at a time.
type frames struct{ buf [2048]byte }

// tcp makes a segment to the guest's port 80.
func (m *frames) tcp(from netip.AddrPort, f wire.TCPFields, data []byte) []byte {
	f.SrcPort, f.DstPort, f.Checksum = from.Port(), 80, 0
	b := m.buf[wire.EthernetSize+wire.IPv4Size:]
	wire.TCP(b[:wire.TCPSize]).Encode(&f)
	n := wire.TCPSize + copy(b[wire.TCPSize:], data)
	sum := wire.Pseudo(from.Addr(), guestAddr, wire.ProtoTCP, n)
	sum.Add(b[:n])
	wire.TCP(b[:wire.TCPSize]).SetChecksum(sum.Checksum())
	return m.ip(wire.IPv4Fields{Proto: wire.ProtoTCP, Src: from.Addr(), Flags: wire.IPv4DF}, n)
}

// ip puts the headers in front of n bytes.
func (m *frames) ip(f wire.IPv4Fields, n int) []byte {
	f.Dst, f.TTL, f.TotalLen = guestAddr, 64, wire.IPv4Size+n
	wire.Ethernet(m.buf[:wire.EthernetSize]).Encode(guestMAC, attackerMAC, wire.TypeIPv4)
	wire.IPv4(m.buf[wire.EthernetSize:][:wire.IPv4Size]).Encode(&f)
	return m.buf[:wire.EthernetSize+f.TotalLen]
}

// stranger is the nth of many addresses behind the router.
func stranger(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, 64 | byte(n>>16)&63, byte(n >> 8), byte(n)})
}
