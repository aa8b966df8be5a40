package wire

import "net/netip"

// MAC is an Ethernet address.
type MAC [6]byte

// Broadcast is the Ethernet address of every station.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// IsMulticast reports whether m is a group address; broadcast is one.
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// MulticastMAC returns the Ethernet address of a multicast group (RFC 1112 §6.4, RFC 2464 §7).
func MulticastMAC(group netip.Addr) MAC {
	if group.Is6() {
		a := group.As16()
		return MAC{0x33, 0x33, a[12], a[13], a[14], a[15]}
	}
	a := group.As4()
	return MAC{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
}

// EtherType says what an Ethernet frame carries.
type EtherType uint16

// Ethernet types.
const (
	TypeIPv4 EtherType = 0x0800
	TypeARP  EtherType = 0x0806
	TypeIPv6 EtherType = 0x86dd
)

// Ethernet is an Ethernet II header.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                          Destination                          |
//	+                               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                               |                               |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+                               +
//	|                            Source                             |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|             Type              |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type Ethernet []byte

// EthernetSize is the length of an Ethernet header in bytes.
const EthernetSize = 14

// ParseEthernet takes the header at the start of b.
func ParseEthernet(b []byte) (Ethernet, bool) {
	if len(b) < EthernetSize {
		return nil, false
	}
	return Ethernet(b[:EthernetSize]), true
}

// The fields of a header that ParseEthernet has accepted.
func (h Ethernet) Dst() MAC        { return MAC(h[0:6]) }
func (h Ethernet) Src() MAC        { return MAC(h[6:12]) }
func (h Ethernet) Type() EtherType { return EtherType(get16(h[12:])) }

// Encode stores a header into h, which has EthernetSize bytes.
func (h Ethernet) Encode(dst, src MAC, t EtherType) {
	_ = h[EthernetSize-1]
	copy(h[0:6], dst[:])
	copy(h[6:12], src[:])
	put16(h[12:], uint16(t))
}
