package wire

import "net/netip"

// Next header values of IPv6 (RFC 8200 §4, RFC 4443 §1) that IPv4 does not share.
const (
	ProtoHopByHop    = 0
	ProtoRouting     = 43
	ProtoFragment    = 44
	ProtoICMPv6      = 58
	ProtoNone        = 59
	ProtoDestOptions = 60
)

// IPv6 is an IPv6 header without extension headers (RFC 8200 §3).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Version| Traffic Class |           Flow Label                  |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|         Payload Length        |  Next Header  |   Hop Limit   |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                         Source Address                        |
//	|                          (16 bytes)                           |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                      Destination Address                      |
//	|                          (16 bytes)                           |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type IPv6 []byte

// IPv6Size is the length of the header; IPv6MinMTU what every link carries (RFC 8200 §5); IPv6MaxPayload the longest
// payload without jumbograms. All in bytes.
const (
	IPv6Size       = 40
	IPv6MinMTU     = 1280
	IPv6MaxPayload = 65535
)

// ParseIPv6 takes the header at the start of b. The payload length may exceed what follows.
func ParseIPv6(b []byte) (IPv6, bool) {
	if len(b) < IPv6Size || b[0]>>4 != 6 {
		return nil, false
	}
	return IPv6(b[:IPv6Size]), true
}

// The fields of a header that ParseIPv6 has accepted, and how to change them.
func (h IPv6) TrafficClass() uint8 { return h[0]<<4 | h[1]>>4 }
func (h IPv6) FlowLabel() uint32   { return get32(h) & 0xfffff }
func (h IPv6) PayloadLen() int     { return int(get16(h[4:])) }
func (h IPv6) NextHeader() uint8   { return h[6] }
func (h IPv6) HopLimit() uint8     { return h[7] }
func (h IPv6) Src() netip.Addr     { return netip.AddrFrom16([16]byte(h[8:24])) }
func (h IPv6) Dst() netip.Addr     { return netip.AddrFrom16([16]byte(h[24:40])) }

// SetPayloadLen stores the length of what follows the header, in bytes.
func (h IPv6) SetPayloadLen(n int) { put16(h[4:], uint16(n)) }

// SetNextHeader stores what follows the header.
func (h IPv6) SetNextHeader(p uint8) { h[6] = p }

// IPv6Fields is what Encode stores.
type IPv6Fields struct {
	TrafficClass uint8
	FlowLabel    uint32
	PayloadLen   int
	NextHeader   uint8
	HopLimit     uint8
	Src, Dst     netip.Addr // IPv6
}

// Encode stores a header into h, which has IPv6Size bytes.
func (h IPv6) Encode(f *IPv6Fields) {
	_ = h[IPv6Size-1]
	put32(h, 6<<28|uint32(f.TrafficClass)<<20|f.FlowLabel&0xfffff)
	put16(h[4:], uint16(f.PayloadLen))
	h[6], h[7] = f.NextHeader, f.HopLimit
	src, dst := f.Src.As16(), f.Dst.As16()
	copy(h[8:24], src[:])
	copy(h[24:40], dst[:])
}

// IPv6Ext is an extension header whose length is in its second byte: hop-by-hop and destination options, routing
// (RFC 8200 §4.3, §4.4, §4.6).
type IPv6Ext []byte

// ParseIPv6Ext takes the extension header at the start of b.
func ParseIPv6Ext(b []byte) (IPv6Ext, bool) {
	if len(b) < 8 {
		return nil, false
	}
	n := 8 + 8*int(b[1])
	if n > len(b) {
		return nil, false
	}
	return IPv6Ext(b[:n]), true
}

// The fields of a header that ParseIPv6Ext has accepted. The last two are a routing header's.
func (h IPv6Ext) NextHeader() uint8   { return h[0] }
func (h IPv6Ext) RoutingType() uint8  { return h[2] }
func (h IPv6Ext) SegmentsLeft() uint8 { return h[3] }

// OptRouterAlert is the hop-by-hop option that makes routers look at a packet for others (RFC 2711).
const OptRouterAlert = 5

// Option takes the option at offset i of a hop-by-hop or destination options header and returns the offset of the next,
// which is len(h) after the last. The first is at 2; padding is an option like others. ok is false for a malformed one.
func (h IPv6Ext) Option(i int) (kind uint8, value []byte, next int, ok bool) {
	if i >= len(h) {
		return 0, nil, i, false
	}
	if h[i] == 0 {
		return 0, nil, i + 1, true // Pad1
	}
	if i+2 > len(h) || i+2+int(h[i+1]) > len(h) {
		return h[i], nil, i, false
	}
	next = i + 2 + int(h[i+1])
	return h[i], h[i+2 : next], next, true
}

// IPv6Fragment is a fragment header (RFC 8200 §4.5).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|  Next Header  |   Reserved    |      Fragment Offset    |Res|M|
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                         Identification                        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type IPv6Fragment []byte

// IPv6FragmentSize is the length of a fragment header in bytes.
const IPv6FragmentSize = 8

// ParseIPv6Fragment takes the fragment header at the start of b.
func ParseIPv6Fragment(b []byte) (IPv6Fragment, bool) {
	if len(b) < IPv6FragmentSize {
		return nil, false
	}
	return IPv6Fragment(b[:IPv6FragmentSize]), true
}

// The fields of a header that ParseIPv6Fragment has accepted.
func (h IPv6Fragment) NextHeader() uint8 { return h[0] }
func (h IPv6Fragment) Offset() int       { return int(get16(h[2:]) &^ 7) } // in bytes
func (h IPv6Fragment) More() bool        { return h[3]&1 != 0 }
func (h IPv6Fragment) ID() uint32        { return get32(h[4:]) }

// Encode stores a header into h, which has IPv6FragmentSize bytes. offset is in bytes, a multiple of 8.
func (h IPv6Fragment) Encode(next uint8, offset int, more bool, id uint32) {
	_ = h[IPv6FragmentSize-1]
	h[0], h[1] = next, 0
	v := uint16(offset)
	if more {
		v |= 1
	}
	put16(h[2:], v)
	put32(h[4:], id)
}

// SolicitedNode returns the multicast group in which an address is asked for (RFC 4291 §2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// Well-known groups (RFC 4291 §2.7.1, RFC 3810 §5.2.14).
var (
	AllNodes        = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x01})
	AllRouters      = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x02})
	AllMLDv2Routers = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x16})
)
