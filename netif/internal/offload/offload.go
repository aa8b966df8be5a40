// Package offload describes gVisor's outgoing packets to the other side of a link that takes over checksums and
// segmentation (virtio 1.2 §5.1.6.2).
package offload

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

// Header is the network header of an outgoing Ethernet frame that holds pkt. It is for links with
// stack.CapabilityTXChecksumOffload, on which gVisor leaves checksums of TCP and UDP out: Header stores the sum of the
// pseudo header, as NeedsCsum demands. Packets without such a checksum get the zero header: fragments, other protocols,
// and packets that did not come from gVisor's transports, which have no headers marked.
func Header(pkt *stack.PacketBuffer) hypercall.NetHeader {
	network, transport := pkt.NetworkHeader().Slice(), pkt.TransportHeader().Slice()
	if len(network) == 0 || len(transport) == 0 {
		return hypercall.NetHeader{}
	}
	var protocol tcpip.TransportProtocolNumber
	var src, dst tcpip.Address
	switch pkt.NetworkProtocolNumber {
	case header.IPv4ProtocolNumber:
		ip := header.IPv4(network)
		if ip.More() || ip.FragmentOffset() != 0 {
			return hypercall.NetHeader{}
		}
		protocol, src, dst = ip.TransportProtocol(), ip.SourceAddress(), ip.DestinationAddress()
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(network) // a fragment has another next header
		protocol, src, dst = ip.TransportProtocol(), ip.SourceAddress(), ip.DestinationAddress()
	default:
		return hypercall.NetHeader{}
	}
	pseudo := header.PseudoHeaderChecksum(protocol, src, dst, uint16(len(transport)+pkt.Data().Size()))
	h := hypercall.NetHeader{
		Flags:     hypercall.NeedsCsum,
		CsumStart: uint16(netif.EthernetSize + len(network)),
	}
	switch protocol {
	case header.TCPProtocolNumber:
		header.TCP(transport).SetChecksum(pseudo)
		h.CsumOffset = header.TCPChecksumOffset
	case header.UDPProtocolNumber:
		const checksumOffset = 6 // RFC 768
		header.UDP(transport).SetChecksum(pseudo)
		h.CsumOffset = checksumOffset
	default:
		return hypercall.NetHeader{}
	}
	gso := pkt.GSOOptions
	if pkt.Data().Size() <= int(gso.MSS) {
		return h
	}
	switch gso.Type {
	case stack.GSOTCPv4:
		h.GSOType = hypercall.GSOTCP4
	case stack.GSOTCPv6:
		h.GSOType = hypercall.GSOTCP6
	default:
		return h
	}
	h.GSOSize = gso.MSS
	h.HdrLen = h.CsumStart + uint16(len(transport))
	return h
}
