package user

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// inputARP answers requests for the addresses that are ours (RFC 826). There is nothing to learn: the guest's addresses
// are known.
func (l *Link) inputARP(b []byte) {
	request := header.ARP(b)
	if !request.IsValid() || request.Op() != header.ARPRequest {
		return
	}
	if !l.plan.isOurs(netip.AddrFrom4([4]byte(request.ProtocolAddressTarget()))) {
		return
	}
	packet := buffer.NewViewSize(header.ARPSize)
	reply := header.ARP(packet.AsSlice())
	reply.SetIPv4OverEthernet()
	reply.SetOp(header.ARPReply)
	copy(reply.HardwareAddressSender(), l.plan.routerMAC[:])
	copy(reply.ProtocolAddressSender(), request.ProtocolAddressTarget())
	copy(reply.HardwareAddressTarget(), request.HardwareAddressSender())
	copy(reply.ProtocolAddressTarget(), request.ProtocolAddressSender())
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(packet)})
	pkt.NetworkProtocolNumber = header.ARPProtocolNumber
	l.out.put(pkt)
	pkt.DecRef()
}
