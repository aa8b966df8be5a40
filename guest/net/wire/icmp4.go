package wire

// ICMP is the fixed part of an ICMP message (RFC 792).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|     Type      |     Code      |          Checksum             |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|  echo: Identifier             |        Sequence Number        |
//	|  need fragmentation: unused   |        Next-hop MTU (RFC 1191)|
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type ICMP []byte

// ICMPSize is the length of the fixed part in bytes.
const ICMPSize = 8

// ICMP types.
const (
	ICMPEchoReply    = 0
	ICMPUnreachable  = 3
	ICMPSourceQuench = 4
	ICMPRedirect     = 5
	ICMPEcho         = 8
	ICMPTimeExceeded = 11
	ICMPParameter    = 12
)

// Codes of ICMPUnreachable.
const (
	UnreachNet        = 0
	UnreachHost       = 1
	UnreachProto      = 2
	UnreachPort       = 3
	UnreachNeedFrag   = 4
	UnreachAdminProto = 13
)

// TimeReassembly is the code of ICMPTimeExceeded for a reassembly that did not finish.
const TimeReassembly = 1

// ParseICMP takes the fixed part at the start of b.
func ParseICMP(b []byte) (ICMP, bool) {
	if len(b) < ICMPSize {
		return nil, false
	}
	return ICMP(b[:ICMPSize]), true
}

// The fields of a header that ParseICMP has accepted, and how to change them.
func (h ICMP) Type() uint8          { return h[0] }
func (h ICMP) Code() uint8          { return h[1] }
func (h ICMP) Checksum() uint16     { return get16(h[2:]) }
func (h ICMP) ID() uint16           { return get16(h[4:]) }
func (h ICMP) Seq() uint16          { return get16(h[6:]) }
func (h ICMP) MTU() int             { return int(get16(h[6:])) }
func (h ICMP) SetType(t uint8)      { h[0] = t }
func (h ICMP) SetID(id uint16)      { put16(h[4:], id) }
func (h ICMP) SetChecksum(v uint16) { put16(h[2:], v) }

// Encode stores type, code and the 32 bits that follow the checksum, and clears the checksum. h has ICMPSize bytes.
func (h ICMP) Encode(typ, code uint8, rest uint32) {
	_ = h[ICMPSize-1]
	h[0], h[1], h[2], h[3] = typ, code, 0, 0
	put32(h[4:], rest)
}
