package wire

import "net/netip"

// ProtoIGMP is IGMP's protocol number.
const ProtoIGMP = 2

// IGMP message types (RFC 3376 §4, RFC 2236 §2); those of MLD are ICMPv6's.
const (
	IGMPQuery    = 0x11
	IGMPv1Report = 0x12
	IGMPv2Report = 0x16
	IGMPv2Leave  = 0x17
	IGMPv3Report = 0x22
)

// GroupRecord says something about a multicast group in a report of IGMPv3 or MLDv2, whose formats differ in the length
// of addresses only (RFC 3376 §4.2, RFC 3810 §5.2).
type GroupRecord struct {
	Kind  uint8
	Group netip.Addr
}

// Kinds of records. Without sources, excluding none means all: to be a member.
const (
	GroupIsExclude = 2 // is a member
	GroupToInclude = 3 // has left
	GroupToExclude = 4 // has joined
)

// GroupReportSize is the length of a report of n records about IPv4 or IPv6 groups, in bytes.
func GroupReportSize(n int, v6 bool) int {
	if v6 {
		return 8 + n*(4+16)
	}
	return 8 + n*(4+4)
}

// EncodeGroupReport stores a report of a type, IGMPv3Report or MLDv2Report, without checksum, into b, which has
// GroupReportSize bytes.
func EncodeGroupReport(b []byte, typ uint8, records []GroupRecord) {
	clear(b)
	b[0] = typ
	put16(b[6:], uint16(len(records)))
	at := 8
	for _, r := range records {
		b[at] = r.Kind
		at += 4
		at += copy(b[at:], r.Group.AsSlice())
	}
}

// ParseMLDQuery reads a multicast listener query, of MLDv1 if old (RFC 2710 §3, RFC 3810 §5.1). The delay, the longest a
// report may wait, is in milliseconds; group is :: for a general query.
func ParseMLDQuery(b []byte) (delay int, group netip.Addr, old, ok bool) {
	if len(b) < 24 || b[0] != MLDQuery || len(b) > 24 && len(b) < 28 {
		return 0, group, false, false
	}
	group = netip.AddrFrom16([16]byte(b[8:24]))
	delay = int(get16(b[4:]))
	old = len(b) == 24
	if !old && delay >= 1<<15 { // a floating-point number
		delay = (delay&0xfff | 0x1000) << (delay>>12&7 + 3)
	}
	return delay, group, old, true
}

// ParseIGMPQuery reads a membership query, of IGMPv2 or IGMPv1 if old (RFC 3376 §4.1, §7.1). The delay is in
// milliseconds; group is 0.0.0.0 for a general query.
func ParseIGMPQuery(b []byte) (delay int, group netip.Addr, old, ok bool) {
	if len(b) < 8 || b[0] != IGMPQuery || len(b) > 8 && len(b) < 12 {
		return 0, group, false, false
	}
	group = netip.AddrFrom4([4]byte(b[4:8]))
	code := int(b[1])
	old = len(b) == 8
	if old && code == 0 {
		code = 100 // IGMPv1 (RFC 2236 §4)
	}
	if !old && code >= 1<<7 {
		code = (code&0xf | 0x10) << (code>>4&7 + 3)
	}
	return code * 100, group, old, true
}
