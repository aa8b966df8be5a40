package user

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Echo requests (RFC 792, RFC 4443 section 4). Netstack answers those to our own addresses. The rest goes out through
// unprivileged ICMP sockets of the host, which put an identifier of their own into requests and get only the replies to
// them (Linux: ping_group_range in Documentation/networking/ip-sysctl.rst). A flow is what has one identifier and one peer.
const (
	maxPings    = 256 // flows
	pingTimeout = 10 * time.Second

	echoSize = header.ICMPv4MinimumSize // of the header: type, code, checksum, identifier, sequence number
)

// PingAllowed reports why echo requests of guests cannot leave this host, if they cannot.
func PingAllowed() error {
	c, err := dialPing(context.Background(), netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	if err != nil {
		return err
	}
	return c.Close()
}

// dialPing makes a socket that sends and receives ICMP messages of echo.
func dialPing(_ context.Context, addr netip.Addr) (net.Conn, error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	var to unix.Sockaddr
	if addr.Is4() {
		to = &unix.SockaddrInet4{Addr: addr.As4()}
	} else {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
		to = &unix.SockaddrInet6{Addr: addr.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("make ICMP socket: %w", err)
	}
	if err := unix.Connect(fd, to); err != nil { // datagrams: it does not wait
		unix.Close(fd)
		return nil, fmt.Errorf("connect ICMP socket to %v: %w", addr, err)
	}
	f := os.NewFile(uintptr(fd), "icmp")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("use ICMP socket: %w", err)
	}
	return c, nil
}

// handlePing gets the echo requests of the guest over IPv4, whole, on the thread of Send. Netstack answers those to our own
// addresses afterwards, and no others.
func (l *Link) handlePing(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	dst := addrPort(id.LocalAddress, 0).Addr()
	if l.plan.isOurs(dst) {
		return true
	}
	message := stack.PayloadSince(pkt.TransportHeader())
	defer message.Release()
	l.ping(addrPort(id.RemoteAddress, 0), dst, message.AsSlice())
	return true
}

// inputPing6 takes an ICMPv6 message for somebody outside.
func (l *Link) inputPing6(src netip.AddrPort, dst netip.Addr, message []byte) {
	icmp := header.ICMPv6(message)
	sum := header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: address(src.Addr()), Dst: address(dst)})
	if len(message) < echoSize || icmp.Type() != header.ICMPv6EchoRequest || icmp.Checksum() != sum {
		l.blocked.Add(1)
		return
	}
	l.ping(src, dst, message)
}

// ping passes on an echo request.
func (l *Link) ping(src netip.AddrPort, dst netip.Addr, message []byte) {
	if len(message) < echoSize {
		return
	}
	guest := netip.AddrPortFrom(src.Addr(), be.Uint16(message[4:]))
	key := udpKey{guest: guest, peer: netip.AddrPortFrom(dst, 0)}
	e := l.pings.find(key)
	if e == nil {
		sequence := be.Uint16(message[6:])
		target, verdict := l.policy.decide(key.peer)
		if verdict != forward {
			l.pingUnreachable(key, sequence, verdict.err())
			return
		}
		e = l.pings.add(key, func(e *udpEntry) udpFlow {
			return l.startFlow(&hostFlow{
				table: &l.pings, key: key, entry: e,
				dial:    func(ctx context.Context) (net.Conn, error) { return l.plan.Ping(ctx, target.Addr()) },
				deliver: func(reply []byte) { l.sendEchoReply(key, reply) },
				failed:  func(err error) { l.pingUnreachable(key, sequence, err) },
			})
		})
		if e == nil {
			return
		}
	}
	e.touch()
	l.pings.toHost.Add(1)
	e.flow.send(message)
}

func (l *Link) pingUnreachable(key udpKey, sequence uint16, err error) {
	protocol := header.ICMPv4ProtocolNumber
	if !key.peer.Addr().Is4() {
		protocol = header.ICMPv6ProtocolNumber
	}
	why := reasonOf(err)
	if why == refused {
		why = noHost
	}
	l.unreachable(l.plan.routerOf(key.peer.Addr()), why, protocol, key.guest, key.peer, uint32(sequence))
}

// sendEchoReply queues a reply for the guest, with the guest's identifier in it.
func (l *Link) sendEchoReply(key udpKey, reply []byte) {
	v4 := key.peer.Addr().Is4()
	want := byte(header.ICMPv6EchoReply)
	if v4 {
		want = byte(header.ICMPv4EchoReply)
	}
	if len(reply) < echoSize || reply[0] != want {
		return
	}
	be.PutUint16(reply[4:], key.guest.Port())
	if !v4 {
		if header.IPv6MinimumSize+len(reply) > l.plan.MTU {
			return // requests in fragments are not passed on either
		}
		packet := buffer.NewViewSize(header.IPv6MinimumSize + len(reply))
		copy(packet.AsSlice()[header.IPv6MinimumSize:], reply)
		l.sendICMPv6(packet, key.peer.Addr(), key.guest.Addr(), ttl)
		return
	}
	icmp := header.ICMPv4(reply)
	icmp.SetChecksum(0)
	icmp.SetChecksum(^checksum.Checksum(icmp, 0))
	if header.IPv4MinimumSize+len(reply) > l.plan.MTU {
		l.sendFragments(reply, header.ICMPv4ProtocolNumber, key.peer.Addr(), key.guest.Addr())
		return
	}
	packet := buffer.NewViewSize(header.IPv4MinimumSize + len(reply))
	copy(packet.AsSlice()[header.IPv4MinimumSize:], reply)
	l.encodeIPv4(packet.AsSlice(), header.ICMPv4ProtocolNumber, key.peer.Addr(), key.guest.Addr(), 0, 0)
	l.sendPacket(packet, header.IPv4ProtocolNumber)
}

// noPing is Config.Ping where Config.Dial says what the guest may reach, but nothing says that of pings.
func noPing(context.Context, netip.Addr) (net.Conn, error) { return nil, syscall.EACCES }
