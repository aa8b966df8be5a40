package user

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// DHCP (RFC 2131) and its options (RFC 2132). The server has one lease, which does not end in practice; messages are
// those of BOOTP:
//
//	 0 op htype hlen hops   4 xid   8 secs flags   12 ciaddr   16 yiaddr   20 siaddr   24 giaddr
//	28 chaddr (16)   44 sname (64)   108 file (128)   236 magic cookie   240 options
const (
	dhcpServerPort = 67
	dhcpClientPort = 68

	dhcpOptions = 240
	dhcpMinimum = 300 // what old clients expect at least (RFC 1542 section 2.1)
	dhcpMagic   = 0x63825363

	bootRequest, bootReply = 1, 2

	optionPad         = 0
	optionSubnetMask  = 1
	optionRouter      = 3
	optionDNS         = 6
	optionMTU         = 26
	optionRequestedIP = 50
	optionLeaseTime   = 51
	optionMessageType = 53
	optionServerID    = 54
	optionEnd         = 255

	dhcpDiscover = 1
	dhcpOffer    = 2
	dhcpRequest  = 3
	dhcpACK      = 5
	dhcpNAK      = 6
	dhcpInform   = 8

	leaseSeconds = 7 * 24 * 3600
)

// inputDHCP reports whether ip is for the DHCP server, and answers it. Fragments and bad checksums are left alone.
func (l *Link) inputDHCP(ip header.IPv4, dst netip.Addr) bool {
	udp := header.UDP(ip.Payload())
	if ip.Protocol() != uint8(header.UDPProtocolNumber) || ip.More() || ip.FragmentOffset() != 0 ||
		len(udp) < header.UDPMinimumSize || udp.DestinationPort() != dhcpServerPort {
		return false
	}
	if dst != l.plan.router && dst != netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	if reply := l.dhcpReply(udp.Payload()); reply != nil {
		to := netip.AddrPortFrom(l.plan.guest, dhcpClientPort)
		if reply[dhcpOptions+2] == dhcpNAK { // the guest does not have the address
			to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), dhcpClientPort)
		}
		l.sendUDP(netip.AddrPortFrom(l.plan.router, dhcpServerPort), to, reply)
	}
	return true
}

// dhcpReply is the answer to a message; nil is none.
func (l *Link) dhcpReply(message []byte) []byte {
	if len(message) < dhcpOptions || message[0] != bootRequest || message[1] != 1 || message[2] != 6 ||
		binary.BigEndian.Uint32(message[236:]) != dhcpMagic {
		return nil
	}
	var kind byte
	requested := netip.AddrFrom4([4]byte(message[12:16])) // ciaddr: the client has it already
	for options := message[dhcpOptions:]; len(options) > 0; {
		code := options[0]
		if code == optionPad {
			options = options[1:]
			continue
		}
		if code == optionEnd || len(options) < 2 || len(options) < 2+int(options[1]) {
			break
		}
		value := options[2 : 2+int(options[1])]
		options = options[2+len(value):]
		switch {
		case code == optionMessageType && len(value) == 1:
			kind = value[0]
		case code == optionRequestedIP && len(value) == 4:
			requested = netip.AddrFrom4([4]byte(value))
		case code == optionServerID && len(value) == 4 && netip.AddrFrom4([4]byte(value)) != l.plan.router:
			return nil // it has chosen another server
		}
	}
	switch kind {
	case dhcpDiscover:
		kind = dhcpOffer
	case dhcpRequest:
		kind = dhcpACK
		if requested != l.plan.guest {
			kind = dhcpNAK
		}
	case dhcpInform:
		kind = dhcpACK
	default: // release and decline change nothing
		return nil
	}
	return l.dhcpMessage(message, kind)
}

func (l *Link) dhcpMessage(request []byte, kind byte) []byte {
	b := make([]byte, dhcpOptions, dhcpMinimum)
	b[0], b[1], b[2] = bootReply, 1, 6
	copy(b[4:8], request[4:8])     // xid
	copy(b[10:12], request[10:12]) // flags
	copy(b[28:44], request[28:44]) // chaddr
	binary.BigEndian.PutUint32(b[236:], dhcpMagic)
	option := func(code byte, value ...byte) {
		b = append(append(b, code, byte(len(value))), value...)
	}
	option(optionMessageType, kind)
	option(optionServerID, l.plan.router.AsSlice()...)
	if kind != dhcpNAK {
		copy(b[16:20], l.plan.guest.AsSlice()) // yiaddr
		copy(b[20:24], l.plan.router.AsSlice())
		option(optionSubnetMask, binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-l.plan.Subnet.Bits()))...)
		option(optionRouter, l.plan.router.AsSlice()...)
		option(optionDNS, l.plan.dns.AsSlice()...)
		option(optionMTU, binary.BigEndian.AppendUint16(nil, uint16(l.plan.MTU))...)
		option(optionLeaseTime, binary.BigEndian.AppendUint32(nil, leaseSeconds)...)
	}
	b = append(b, optionEnd)
	return append(b, make([]byte, max(0, dhcpMinimum-len(b)))...)
}
