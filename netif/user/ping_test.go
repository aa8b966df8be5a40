package user_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/user"
)

// echoRequest is a message with an identifier and a sequence number, as the guest sends it.
func echoRequest(id, sequence uint16, size int) []byte {
	b := make([]byte, 8+size)
	b[0] = 8
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], sequence)
	for i := range size {
		b[8+i] = byte(i)
	}
	binary.BigEndian.PutUint16(b[2:], ^checksum.Checksum(b, 0))
	return b
}

// pinger is a network whose hosts all answer, as the host's sockets do: with another identifier.
type pinger struct {
	net.Conn
	replies chan []byte
	once    sync.Once
	closed  chan struct{}
}

func newPinger(context.Context, netip.Addr) (net.Conn, error) {
	return &pinger{replies: make(chan []byte, 16), closed: make(chan struct{})}, nil
}

func (p *pinger) Write(b []byte) (int, error) {
	reply := bytes.Clone(b)
	reply[0] = 0
	binary.BigEndian.PutUint16(reply[4:], 0xbeef)
	p.replies <- []byte{3, 1, 0, 0, 0, 0, 0, 0} // no reply: it is left out
	p.replies <- reply
	return len(b), nil
}

func (p *pinger) Read(b []byte) (int, error) {
	select {
	case reply := <-p.replies:
		return copy(b, reply), nil
	case <-p.closed:
		return 0, net.ErrClosed
	}
}

func (p *pinger) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// checkEchoReply checks a frame with a reply to a request.
func checkEchoReply(t *testing.T, frame []byte, from, to netip.Addr, request []byte) {
	t.Helper()
	if len(frame) < 34 {
		t.Fatalf("no reply of %v: %x", from, frame)
	}
	ip := header.IPv4(frame[14:])
	want := bytes.Clone(request)
	want[0], want[2], want[3] = 0, 0, 0
	binary.BigEndian.PutUint16(want[2:], ^checksum.Checksum(want, 0))
	if !ip.IsChecksumValid() || ip.SourceAddress() != netiftest.Address(from) || ip.DestinationAddress() != netiftest.Address(to) ||
		!bytes.Equal(ip.Payload(), want) {
		t.Errorf("reply of %v: %x", from, frame)
	}
}

func TestPing(t *testing.T) {
	netiftest.Leaks(t)
	l := newLink(t, user.Config{Ping: newPinger})
	c := l.Config()
	for i, peer := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1"} {
		addr := netip.MustParseAddr(peer)
		request := echoRequest(7, uint16(i), 56)
		send(t, l, packet(c, c.Addr.Addr(), addr, 1, request))
		checkEchoReply(t, receive(t, l, netiftest.Patience), addr, c.Addr.Addr(), request)
	}
	if s := l.Stats().Ping; s.Open != 2 || s.ToHost != 3 || s.ToGuest < 3 {
		t.Errorf("%+v", s)
	}
	// Not echo, and too short to be.
	send(t, l, packet(c, c.Addr.Addr(), netip.MustParseAddr("192.0.2.9"), 1, []byte{13, 0, 0xf2, 0xff, 0, 0, 0, 0}))
	send(t, l, packet(c, c.Addr.Addr(), netip.MustParseAddr("192.0.2.9"), 1, []byte{8, 0, 0xf7, 0xff}))
	if s := l.Stats().Ping; s.ToHost != 3 {
		t.Errorf("%+v", s)
	}
}

// TestPingLimit begins more flows than there can be.
func TestPingLimit(t *testing.T) {
	netiftest.Leaks(t)
	l := newLink(t, user.Config{Ping: newPinger, MaxUDP: 3})
	c := l.Config()
	for id := range uint16(5) {
		send(t, l, packet(c, c.Addr.Addr(), netip.MustParseAddr("192.0.2.1"), 1, echoRequest(id, 0, 0)))
	}
	if s := l.Stats().Ping; s.Open != 3 || s.Refused != 2 {
		t.Errorf("%+v", s)
	}
}

// TestPingNeedsLeave checks that who decides with Dial what the guest reaches does not have it ping everything.
func TestPingNeedsLeave(t *testing.T) {
	l := newLink(t, user.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }})
	c := l.Config()
	send(t, l, packet(c, c.Addr.Addr(), netip.MustParseAddr("192.0.2.1"), 1, echoRequest(0x1234, 0x5678, 4)))
	got := receive(t, l, netiftest.Patience)
	if len(got) != 70 || got[34] != 3 || got[35] != byte(header.ICMPv4AdminProhibited) {
		t.Fatalf("answer %x", got)
	}
	if quoted := got[62:]; quoted[0] != 8 || binary.BigEndian.Uint16(quoted[4:]) != 0x1234 || binary.BigEndian.Uint16(quoted[6:]) != 0x5678 {
		t.Errorf("quote %x", quoted)
	}
}

// pingNetwork is a namespace where ICMP sockets are permitted, with addresses that the kernel answers for.
func pingNetwork(t *testing.T) (dial func(context.Context, netip.Addr) (net.Conn, error)) {
	ns := netiftest.NewNetNS(t)
	ns.Do(t, func() error {
		if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for _, a := range []string{"192.0.2.1/32", "2001:db8::1/128"} {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(lo, addr); err != nil {
				return fmt.Errorf("add %s: %w", a, err)
			}
		}
		_, err = globalAddress(lo)
		return err
	})
	return func(ctx context.Context, addr netip.Addr) (c net.Conn, err error) {
		if e := ns.Run(func() error { c, err = user.DialPing(ctx, addr); return nil }); e != nil {
			return nil, e
		}
		return c, err
	}
}

// TestPingSocket goes through the host's own ICMP sockets. Requests longer than the MTU come and go in fragments.
func TestPingSocket(t *testing.T) {
	netiftest.Leaks(t)
	dial := pingNetwork(t)
	l := newLink(t, user.Config{Ping: dial})
	c := l.Config()
	addr := netip.MustParseAddr("192.0.2.1")
	for i := range uint16(3) {
		request := echoRequest(0x7000, i, int(i)*9000)
		send(t, l, packet(c, c.Addr.Addr(), addr, 1, request))
		checkEchoReply(t, receive(t, l, netiftest.Patience), addr, c.Addr.Addr(), request)
	}
	send(t, l, packet(c, c.Addr.Addr(), netip.MustParseAddr("198.51.100.1"), 1, echoRequest(1, 1, 0))) // there is no route
	if got := receive(t, l, netiftest.Patience); len(got) != 70 || got[34] != 3 || got[35] != byte(header.ICMPv4NetUnreachable) {
		t.Errorf("answer %x", got)
	}
}

// TestPingIsNotPermitted is what most servers say to anybody, and this test's namespace does too.
func TestPingIsNotPermitted(t *testing.T) {
	ns := netiftest.NewNetNS(t)
	var err error
	ns.Do(t, func() error {
		if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("1 0"), 0); err != nil {
			return err
		}
		err = user.PingAllowed()
		return nil
	})
	if !errors.Is(err, syscall.EACCES) {
		t.Errorf("error is %v", err)
	}
}
