package wire

import "net/netip"

// IP protocol numbers.
const (
	ProtoICMP = 1
	ProtoTCP  = 6
	ProtoUDP  = 17
)

// IPv4 is an IPv4 header with its options (RFC 791 §3.1).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Version|  IHL  |Type of Service|          Total Length         |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|         Identification        |Flags|      Fragment Offset    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|  Time to Live |    Protocol   |         Header Checksum       |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                       Source Address                          |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                    Destination Address                        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                    Options                    |    Padding    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type IPv4 []byte

// IPv4Size is the length of an IPv4 header without options; IPv4Max the greatest total length of a packet.
const (
	IPv4Size = 20
	IPv4Max  = 65535
)

// IPv4 flags and the mask of the fragment offset.
const (
	IPv4DF         = 0x4000
	IPv4MF         = 0x2000
	ipv4OffsetMask = 0x1fff
)

// ParseIPv4 takes the header at the start of b, options included. The total length may exceed len(b): the rest of the
// packet may lie elsewhere. The checksum is not looked at.
func ParseIPv4(b []byte) (IPv4, bool) {
	if len(b) < IPv4Size || b[0]>>4 != 4 {
		return nil, false
	}
	n := int(b[0]&15) * 4
	if n < IPv4Size || n > len(b) || int(get16(b[2:])) < n {
		return nil, false
	}
	return IPv4(b[:n]), true
}

// The fields of a header that ParseIPv4 has accepted, and how to change them.
func (h IPv4) TOS() uint8        { return h[1] }
func (h IPv4) TotalLen() int     { return int(get16(h[2:])) }
func (h IPv4) ID() uint16        { return get16(h[4:]) }
func (h IPv4) DF() bool          { return get16(h[6:])&IPv4DF != 0 }
func (h IPv4) MF() bool          { return get16(h[6:])&IPv4MF != 0 }
func (h IPv4) Offset() int       { return int(get16(h[6:])&ipv4OffsetMask) * 8 } // of the fragment, in bytes
func (h IPv4) IsFragment() bool  { return get16(h[6:])&(IPv4MF|ipv4OffsetMask) != 0 }
func (h IPv4) TTL() uint8        { return h[8] }
func (h IPv4) Proto() uint8      { return h[9] }
func (h IPv4) Checksum() uint16  { return get16(h[10:]) }
func (h IPv4) Src() netip.Addr   { return netip.AddrFrom4([4]byte(h[12:16])) }
func (h IPv4) Dst() netip.Addr   { return netip.AddrFrom4([4]byte(h[16:20])) }
func (h IPv4) ChecksumOK() bool  { return Checksum(h) == 0 }
func (h IPv4) PayloadLen() int   { return h.TotalLen() - len(h) }
func (h IPv4) SetTotalLen(n int) { put16(h[2:], uint16(n)) }
func (h IPv4) SetFragment(offset int, flags uint16) {
	put16(h[6:], uint16(offset/8)|flags)
}

// SetChecksum computes and stores the header checksum.
func (h IPv4) SetChecksum() {
	put16(h[10:], 0)
	put16(h[10:], Checksum(h))
}

// IPv4Fields is what Encode stores.
type IPv4Fields struct {
	TOS      uint8
	TotalLen int
	ID       uint16
	Flags    uint16 // IPv4DF, IPv4MF
	Offset   int    // of the fragment in bytes, a multiple of 8
	TTL      uint8
	Proto    uint8
	Src, Dst netip.Addr // IPv4
}

// Encode stores a header without options, checksum included, into h, which has IPv4Size bytes.
func (h IPv4) Encode(f *IPv4Fields) {
	_ = h[IPv4Size-1]
	h[0] = 4<<4 | IPv4Size/4
	h[1] = f.TOS
	put16(h[2:], uint16(f.TotalLen))
	put16(h[4:], f.ID)
	put16(h[6:], f.Flags|uint16(f.Offset/8))
	h[8] = f.TTL
	h[9] = f.Proto
	src, dst := f.Src.As4(), f.Dst.As4()
	copy(h[12:16], src[:])
	copy(h[16:20], dst[:])
	h.SetChecksum()
}

// RouterAlertSize is the length of an IPv4 header with the option that makes routers look at a packet for others
// (RFC 2113), in bytes.
const RouterAlertSize = IPv4Size + 4

// EncodeRouterAlert stores a header with that option into b, which has RouterAlertSize bytes. f.TotalLen is for a header
// without options.
func EncodeRouterAlert(b []byte, f *IPv4Fields) {
	h := IPv4(b[:RouterAlertSize])
	h[:IPv4Size].Encode(f)
	h[0] = 4<<4 | RouterAlertSize/4
	h[20], h[21], h[22], h[23] = 148, 4, 0, 0
	h.SetTotalLen(f.TotalLen + 4)
	h.SetChecksum()
}
