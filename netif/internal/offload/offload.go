// Package offload describes gVisor's outgoing packets to the other side of a link that takes over checksums and
// segmentation (virtio 1.2 §5.1.6.2).
package offload

import (
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
	ip := header.IPv4(pkt.NetworkHeader().Slice())
	transport := pkt.TransportHeader().Slice()
	if pkt.NetworkProtocolNumber != header.IPv4ProtocolNumber || len(ip) == 0 || len(transport) == 0 {
		return hypercall.NetHeader{}
	}
	if ip.More() || ip.FragmentOffset() != 0 {
		return hypercall.NetHeader{}
	}
	length := uint16(len(transport) + pkt.Data().Size())
	pseudo := header.PseudoHeaderChecksum(ip.TransportProtocol(), ip.SourceAddress(), ip.DestinationAddress(), length)
	h := hypercall.NetHeader{
		Flags:     hypercall.NeedsCsum,
		CsumStart: uint16(netif.EthernetSize + len(ip)),
	}
	switch ip.TransportProtocol() {
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
	if gso := pkt.GSOOptions; gso.Type == stack.GSOTCPv4 && pkt.Data().Size() > int(gso.MSS) {
		h.GSOType = hypercall.GSOTCP4
		h.GSOSize = gso.MSS
		h.HdrLen = h.CsumStart + uint16(len(transport))
	}
	return h
}
