package wire

import "net/netip"

// ARP is an ARP packet for IPv4 over Ethernet (RFC 826).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|       Hardware type 1         |    Protocol type 0x0800       |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	| HW length 6   | Proto len 4   |           Operation           |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|        Sender hardware address (6), protocol address (4)      |
//	|        Target hardware address (6), protocol address (4)      |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type ARP []byte

// ARPSize is the length of an ARP packet in bytes.
const ARPSize = 28

// ARP operations.
const (
	ARPRequest = 1
	ARPReply   = 2
)

// ParseARP takes the packet at the start of b; others than IPv4 over Ethernet are refused.
func ParseARP(b []byte) (ARP, bool) {
	if len(b) < ARPSize || get16(b) != 1 || get16(b[2:]) != uint16(TypeIPv4) || b[4] != 6 || b[5] != 4 {
		return nil, false
	}
	return ARP(b[:ARPSize]), true
}

// The fields of a header that ParseARP has accepted.
func (h ARP) Op() uint16           { return get16(h[6:]) }
func (h ARP) SenderMAC() MAC       { return MAC(h[8:14]) }
func (h ARP) SenderIP() netip.Addr { return netip.AddrFrom4([4]byte(h[14:18])) }
func (h ARP) TargetMAC() MAC       { return MAC(h[18:24]) }
func (h ARP) TargetIP() netip.Addr { return netip.AddrFrom4([4]byte(h[24:28])) }

// Encode stores a packet into h, which has ARPSize bytes. The addresses are IPv4.
func (h ARP) Encode(op uint16, senderMAC MAC, senderIP netip.Addr, targetMAC MAC, targetIP netip.Addr) {
	_ = h[ARPSize-1]
	put16(h[0:], 1)
	put16(h[2:], uint16(TypeIPv4))
	h[4], h[5] = 6, 4
	put16(h[6:], op)
	s, t := senderIP.As4(), targetIP.As4()
	copy(h[8:14], senderMAC[:])
	copy(h[14:18], s[:])
	copy(h[18:24], targetMAC[:])
	copy(h[24:28], t[:])
}
