package wire

// ICMPv6 types (RFC 4443, RFC 4861, RFC 3810). The fixed part of a message has the layout of ICMP, so the type of its
// header is ICMP, too; ICMP.Rest is what RFC 4443 calls MTU or pointer.
const (
	ICMP6Unreachable  = 1
	ICMP6TooBig       = 2
	ICMP6TimeExceeded = 3
	ICMP6Parameter    = 4
	ICMP6FirstInfo    = 128 // below: errors
	ICMP6Echo         = 128
	ICMP6EchoReply    = 129

	MLDQuery  = 130
	MLDReport = 131
	MLDDone   = 132

	NDPRouterSolicit    = 133
	NDPRouterAdvert     = 134
	NDPNeighbourSolicit = 135
	NDPNeighbourAdvert  = 136
	NDPRedirect         = 137

	MLDv2Report = 143
)

// Codes of ICMP6Unreachable.
const (
	Unreach6NoRoute    = 0
	Unreach6Prohibited = 1
	Unreach6Scope      = 2
	Unreach6Address    = 3
	Unreach6Port       = 4
	Unreach6Policy     = 5
	Unreach6Reject     = 6
)

// Codes of ICMP6Parameter.
const (
	Param6Field      = 0 // erroneous header field
	Param6NextHeader = 1 // unrecognised next header
	Param6Option     = 2 // unrecognised option
	Param6FirstFrag  = 3 // first fragment without the whole header chain (RFC 7112)
)

// Rest returns the 32 bits that follow the checksum.
func (h ICMP) Rest() uint32 { return get32(h[4:]) }
