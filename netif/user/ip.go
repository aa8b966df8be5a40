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

func address(a netip.Addr) tcpip.Address {
	if a.Is4() {
		return tcpip.AddrFrom4(a.As4())
	}
	return tcpip.AddrFrom16(a.As16())
}

func addrPort(a tcpip.Address, port uint16) netip.AddrPort {
	if a.Len() == header.IPv4AddressSize {
		return netip.AddrPortFrom(netip.AddrFrom4(a.As4()), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(a.As16()), port)
}

// sendUDP queues a datagram for the guest, in fragments if it is longer than the MTU. It copies payload.
func (l *Link) sendUDP(src, dst netip.AddrPort, payload []byte) {
	size := header.UDPMinimumSize + len(payload)
	if !dst.Addr().Is4() {
		l.sendUDP6(src, dst, payload)
		return
	}
	if size > header.IPv4MaximumPayloadSize-header.IPv4MinimumSize {
		return
	}
	if header.IPv4MinimumSize+size <= l.plan.MTU {
		packet := buffer.NewViewSize(header.IPv4MinimumSize + size)
		b := packet.AsSlice()
		encodeUDP(b[header.IPv4MinimumSize:], src, dst, payload)
		l.encodeIPv4(b, header.UDPProtocolNumber, src.Addr(), dst.Addr(), 0, 0)
		l.sendPacket(packet, header.IPv4ProtocolNumber)
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
		l.sendPacket(packet, header.IPv4ProtocolNumber)
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

// sendPacket takes over packet, a whole IP packet.
func (l *Link) sendPacket(packet *buffer.View, version tcpip.NetworkProtocolNumber) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(packet)})
	pkt.NetworkProtocolNumber = version
	l.out.put(pkt)
	pkt.DecRef()
}
