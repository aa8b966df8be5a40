package user

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// reason is why a peer of the guest cannot be reached.
type reason int

const (
	refused    reason = iota // it is there, but not the port
	noNetwork                // nobody knows the way
	noHost                   // nobody has the address
	prohibited               // somebody does not want it
)

// codes are those of ICMP's "destination unreachable" (RFC 792, RFC 1812 section 5.2.7.1; RFC 4443 section 3.1).
var codes = [...]struct {
	v4 header.ICMPv4Code
	v6 header.ICMPv6Code
}{
	refused:    {header.ICMPv4PortUnreachable, header.ICMPv6PortUnreachable},
	noNetwork:  {header.ICMPv4NetUnreachable, header.ICMPv6NetworkUnreachable},
	noHost:     {header.ICMPv4HostUnreachable, header.ICMPv6AddressUnreachable},
	prohibited: {header.ICMPv4AdminProhibited, header.ICMPv6Prohibited},
}

// reasonOf is what an error of Dial or of a socket means.
func reasonOf(err error) reason {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return refused
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return prohibited
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EADDRNOTAVAIL):
		return noNetwork // the last two are those of a host without IPv6
	}
	return noHost
}

// unreachable tells the guest that what it sent from src did not reach dst (RFC 792, RFC 4443). Seq is the sequence number
// of a TCP segment, which stacks compare, or of an echo request, whose identifier is the port of src; and nothing for UDP.
// Netstack's budget for ICMP messages applies.
func (l *Link) unreachable(from netip.Addr, why reason, protocol tcpip.TransportProtocolNumber, src, dst netip.AddrPort, seq uint32) {
	netstack, err := l.netstack()
	if err != nil || !netstack.AllowICMPMessage() {
		return
	}
	const head = header.ICMPv4MinimumSize // ICMPv6's is as long
	const quoted = 8                      // bytes of what is behind the IP header, as in RFC 792
	if !dst.Addr().Is4() {
		packet := buffer.NewViewSize(header.IPv6MinimumSize + head + header.IPv6MinimumSize + quoted)
		b := packet.AsSlice()
		icmp := header.ICMPv6(b[header.IPv6MinimumSize:])
		icmp.SetType(header.ICMPv6DstUnreachable)
		icmp.SetCode(codes[why].v6)
		encodeIPv6(header.IPv6(icmp[head:]), protocol, src.Addr(), dst.Addr())
		quote(icmp[head+header.IPv6MinimumSize:], protocol, src.Port(), dst.Port(), seq)
		l.sendICMPv6(packet, from, src.Addr(), ttl)
		return
	}
	packet := buffer.NewViewSize(header.IPv4MinimumSize + head + header.IPv4MinimumSize + quoted)
	b := packet.AsSlice()
	icmp := header.ICMPv4(b[header.IPv4MinimumSize:])
	icmp.SetType(header.ICMPv4DstUnreachable)
	icmp.SetCode(codes[why].v4)
	l.encodeIPv4(header.IPv4(icmp[head:]), protocol, src.Addr(), dst.Addr(), 0, 0)
	quote(icmp[head+header.IPv4MinimumSize:], protocol, src.Port(), dst.Port(), seq)
	icmp.SetChecksum(^checksum.Checksum(icmp, 0))
	l.encodeIPv4(b, header.ICMPv4ProtocolNumber, from, src.Addr(), 0, 0)
	l.sendPacket(packet, header.IPv4ProtocolNumber)
}

// quote writes the first 8 bytes of what the guest sent, as far as they say what that was.
func quote(b []byte, protocol tcpip.TransportProtocolNumber, src, dst uint16, seq uint32) {
	binary.BigEndian.PutUint16(b[0:], src)
	binary.BigEndian.PutUint16(b[2:], dst)
	switch protocol {
	case header.TCPProtocolNumber:
		binary.BigEndian.PutUint32(b[4:], seq)
	case header.UDPProtocolNumber:
		binary.BigEndian.PutUint16(b[4:], header.UDPMinimumSize) // of a datagram that is a header; less is none
	case header.ICMPv4ProtocolNumber, header.ICMPv6ProtocolNumber:
		clear(b)
		b[0] = byte(header.ICMPv4Echo)
		if protocol == header.ICMPv6ProtocolNumber {
			b[0] = byte(header.ICMPv6EchoRequest)
		}
		binary.BigEndian.PutUint16(b[4:], src)
		binary.BigEndian.PutUint16(b[6:], uint16(seq))
	}
}
