package user

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Packets that are made here rather than by netstack: datagrams and errors for the guest, which need no state.

const ttl = 64

func address(a netip.Addr) tcpip.Address { return tcpip.AddrFrom4(a.As4()) }

func addrPort(a tcpip.Address, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4(a.As4()), port)
}

// sendUDP queues a datagram for the guest, in fragments if it is longer than the MTU. It copies payload.
func (l *Link) sendUDP(src, dst netip.AddrPort, payload []byte) {
	size := header.UDPMinimumSize + len(payload)
	if size > header.IPv4MaximumPayloadSize-header.IPv4MinimumSize {
		return
	}
	if header.IPv4MinimumSize+size <= l.plan.MTU {
		packet := buffer.NewViewSize(header.IPv4MinimumSize + size)
		b := packet.AsSlice()
		encodeUDP(b[header.IPv4MinimumSize:], src, dst, payload)
		l.encodeIPv4(b, header.UDPProtocolNumber, src.Addr(), dst.Addr(), 0, 0)
		l.sendPacket(packet)
		return
	}
	datagram := buffer.NewViewSize(size)
	defer datagram.Release()
	encodeUDP(datagram.AsSlice(), src, dst, payload)
	l.sendFragments(datagram.AsSlice(), header.UDPProtocolNumber, src.Addr(), dst.Addr())
}

func encodeUDP(b header.UDP, src, dst netip.AddrPort, payload []byte) {
	b.Encode(&header.UDPFields{SrcPort: src.Port(), DstPort: dst.Port(), Length: uint16(len(b))})
	copy(b[header.UDPMinimumSize:], payload)
	pseudo := header.PseudoHeaderChecksum(header.UDPProtocolNumber, address(src.Addr()), address(dst.Addr()), uint16(len(b)))
	sum := ^checksum.Checksum(b, pseudo)
	if sum == 0 {
		sum = 0xffff // zero says that there is no checksum (RFC 768)
	}
	b.SetChecksum(sum)
}

// sendFragments queues what is longer than the MTU (RFC 791 section 3.2).
func (l *Link) sendFragments(b []byte, protocol tcpip.TransportProtocolNumber, src, dst netip.Addr) {
	id := uint16(l.ipID.Add(1))
	step := (l.plan.MTU - header.IPv4MinimumSize) &^ 7
	for offset := 0; offset < len(b); offset += step {
		piece := b[offset:min(offset+step, len(b))]
		packet := buffer.NewViewSize(header.IPv4MinimumSize + len(piece))
		copy(packet.AsSlice()[header.IPv4MinimumSize:], piece)
		l.encodeIPv4(packet.AsSlice(), protocol, src, dst, id, uint16(offset))
		if offset+len(piece) < len(b) {
			ip := header.IPv4(packet.AsSlice())
			ip.SetFlagsFragmentOffset(header.IPv4FlagMoreFragments, uint16(offset))
			ip.SetChecksum(0)
			ip.SetChecksum(^ip.CalculateChecksum())
		}
		l.sendPacket(packet)
	}
}

// encodeIPv4 writes the header of a packet that fills b.
func (l *Link) encodeIPv4(b header.IPv4, protocol tcpip.TransportProtocolNumber, src, dst netip.Addr, id, offset uint16) {
	b.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(b)), ID: id, FragmentOffset: offset,
		TTL: ttl, Protocol: uint8(protocol), SrcAddr: address(src), DstAddr: address(dst),
	})
	b.SetChecksum(^b.CalculateChecksum())
}

// sendPacket takes over packet, a whole IPv4 packet.
func (l *Link) sendPacket(packet *buffer.View) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(packet)})
	pkt.NetworkProtocolNumber = header.IPv4ProtocolNumber
	l.out.put(pkt)
	pkt.DecRef()
}

// unreachable tells the guest that what it sent from port src did not reach dst (RFC 792). Seq is the sequence number of
// a TCP segment, which stacks compare, and nothing for UDP. Netstack's budget for ICMP messages applies.
func (l *Link) unreachable(from netip.Addr, code header.ICMPv4Code, protocol tcpip.TransportProtocolNumber, src, dst netip.AddrPort, seq uint32) {
	if !l.stack.AllowICMPMessage() {
		return
	}
	const quoted = header.IPv4MinimumSize + 8 // the header and 64 bits, as in RFC 792
	packet := buffer.NewViewSize(header.IPv4MinimumSize + header.ICMPv4MinimumSize + quoted)
	b := packet.AsSlice()
	icmp := header.ICMPv4(b[header.IPv4MinimumSize:])
	icmp.SetType(header.ICMPv4DstUnreachable)
	icmp.SetCode(code)
	quote := icmp[header.ICMPv4MinimumSize:]
	l.encodeIPv4(header.IPv4(quote), protocol, src.Addr(), dst.Addr(), 0, 0)
	ports := header.UDP(quote[header.IPv4MinimumSize:])
	ports.SetSourcePort(src.Port())
	ports.SetDestinationPort(dst.Port())
	ports.SetLength(header.UDPMinimumSize) // of a datagram that is a header; less is none
	if protocol == header.TCPProtocolNumber {
		ports.SetLength(uint16(seq >> 16)) // the place of the sequence number
		ports.SetChecksum(uint16(seq))
	}
	icmp.SetChecksum(^checksum.Checksum(icmp, 0))
	l.encodeIPv4(b, header.ICMPv4ProtocolNumber, from, l.plan.guest, 0, 0)
	l.sendPacket(packet)
}
