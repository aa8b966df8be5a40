package user

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// IPv6 (RFC 8200). UDP, fragments and what the proxy does not take of TCP (see segment6) go to netstack; neighbour discovery
// and echo requests are seen to here.

// routable6 reports whether packets to a may leave the link: it is not the loopback, unspecified, link-local or multicast,
// and does not stand for an IPv4 address that is not routable (RFC 4291 section 2.5.5, RFC 6052).
func routable6(a netip.Addr) bool {
	if !a.Is6() || a.IsUnspecified() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.Is4In6() {
		return false
	}
	b := a.As16()
	if [12]byte(b[:12]) == [12]byte{} {
		return false // IPv4-compatible, and what else is reserved there
	}
	if [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b} { // 64:ff9b::/96, for translators on the way
		return routable(netip.AddrFrom4([4]byte(b[12:])))
	}
	return true
}

// inputIPv6 takes over packet.
func (l *Link) inputIPv6(packet *buffer.View) {
	ip := header.IPv6(packet.AsSlice())
	if l.plan.NoIPv6 {
		packet.Release()
		l.ignored.Add(1)
		return
	}
	if !ip.IsValid(len(ip)) {
		packet.Release()
		l.blocked.Add(1)
		return
	}
	src, dst := netip.AddrFrom16(ip.SourceAddress().As16()), netip.AddrFrom16(ip.DestinationAddress().As16())
	protocol, payload := ip.NextHeader(), ip.Payload()
	if protocol == uint8(header.ICMPv6ProtocolNumber) && l.inputNDP(ip, src, dst) {
		packet.Release()
		return
	}
	if dst.IsMulticast() { // reports of group members, other protocols' discovery
		packet.Release()
		l.ignored.Add(1)
		return
	}
	ours := l.plan.isOurs(dst)
	known := l.plan.Subnet6.Contains(src) && !l.plan.isOurs(src) && routable6(dst) || src.IsLinkLocalUnicast() && dst == routerLinkLocal
	switch protocol {
	case uint8(header.TCPProtocolNumber), uint8(header.UDPProtocolNumber):
	case uint8(header.ICMPv6ProtocolNumber):
		if !ours && known {
			l.inputPing6(netip.AddrPortFrom(src, 0), dst, payload)
			packet.Release()
			return
		}
	case uint8(header.IPv6FragmentExtHdrIdentifier):
		if known = known && len(payload) >= header.IPv6FragmentHeaderSize; known && !ours {
			// Netstack would answer an echo request itself, whoever is meant.
			known = payload[0] == uint8(header.TCPProtocolNumber) || payload[0] == uint8(header.UDPProtocolNumber)
		}
	default:
		known = false // other extension headers have no use here
	}
	if !known {
		packet.Release()
		l.blocked.Add(1)
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(packet)})
	l.deliver(header.IPv6ProtocolNumber, pkt)
	pkt.DecRef()
}

// encodeIPv6 writes the header of a packet that fills b.
func encodeIPv6(b header.IPv6, protocol tcpip.TransportProtocolNumber, src, dst netip.Addr) {
	b.Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(b) - header.IPv6MinimumSize), TransportProtocol: protocol, HopLimit: ttl,
		SrcAddr: address(src), DstAddr: address(dst),
	})
}

// sendUDP6 is sendUDP for IPv6.
func (l *Link) sendUDP6(src, dst netip.AddrPort, payload []byte) {
	size := header.UDPMinimumSize + len(payload)
	if size > header.IPv6MaximumPayloadSize {
		return
	}
	if header.IPv6MinimumSize+size <= l.plan.MTU {
		packet := buffer.NewViewSize(header.IPv6MinimumSize + size)
		b := packet.AsSlice()
		encodeUDP(b[header.IPv6MinimumSize:], src, dst, payload)
		encodeIPv6(b, header.UDPProtocolNumber, src.Addr(), dst.Addr())
		l.sendPacket(packet, header.IPv6ProtocolNumber)
		return
	}
	datagram := buffer.NewViewSize(size)
	defer datagram.Release()
	encodeUDP(datagram.AsSlice(), src, dst, payload)
	l.sendFragments6(datagram.AsSlice(), header.UDPProtocolNumber, src.Addr(), dst.Addr())
}

// sendFragments6 queues what is longer than the MTU (RFC 8200 section 4.5).
func (l *Link) sendFragments6(b []byte, protocol tcpip.TransportProtocolNumber, src, dst netip.Addr) {
	const headers = header.IPv6MinimumSize + header.IPv6FragmentHeaderSize
	id := l.ipID.Add(1)
	step := (l.plan.MTU - headers) &^ 7
	for offset := 0; offset < len(b); offset += step {
		piece := b[offset:min(offset+step, len(b))]
		packet := buffer.NewViewSize(headers + len(piece))
		p := packet.AsSlice()
		p[header.IPv6MinimumSize] = uint8(protocol)
		place := uint16(offset) // in units of 8 bytes, shifted by the three bits behind it
		if offset+len(piece) < len(b) {
			place |= 1
		}
		be.PutUint16(p[header.IPv6MinimumSize+2:], place)
		be.PutUint32(p[header.IPv6MinimumSize+4:], id)
		copy(p[headers:], piece)
		encodeIPv6(p, header.IPv6FragmentHeader, src, dst)
		l.sendPacket(packet, header.IPv6ProtocolNumber)
	}
}

// sendICMPv6 completes and queues a message that stands behind the IP header's place in packet.
func (l *Link) sendICMPv6(packet *buffer.View, src, dst netip.Addr, hopLimit uint8) {
	b := packet.AsSlice()
	ip := header.IPv6(b)
	encodeIPv6(ip, header.ICMPv6ProtocolNumber, src, dst)
	ip.SetHopLimit(hopLimit)
	icmp := header.ICMPv6(b[header.IPv6MinimumSize:])
	icmp.SetChecksum(0)
	icmp.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: ip.SourceAddress(), Dst: ip.DestinationAddress()}))
	l.sendPacket(packet, header.IPv6ProtocolNumber)
}
