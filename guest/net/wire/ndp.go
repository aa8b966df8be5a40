package wire

import "net/netip"

// NDP is a neighbour discovery message (RFC 4861 §4) from the ICMPv6 header on, options included.
type NDP []byte

// Sizes of the messages without options, in bytes.
const (
	NDPRouterSolicitSize = 8
	NDPRouterAdvertSize  = 16
	NDPNeighbourSize     = 24 // solicitation and advertisement
	NDPLinkAddrSize      = 8  // an option with an Ethernet address
)

// NDPMaxOptions bounds the options of one message: more is an attack.
const NDPMaxOptions = 64

// NDP option types (RFC 4861 §4.6, RFC 8106 §5).
const (
	NDPSourceLink = 1
	NDPTargetLink = 2
	NDPPrefix     = 3
	NDPMTU        = 5
	NDPRDNSS      = 25
	NDPDNSSL      = 31
)

// Flags of a neighbour advertisement.
const (
	NDPRouter    = 0x80
	NDPSolicited = 0x40
	NDPOverride  = 0x20
)

// ParseNDP takes a whole message of the types NDPRouterSolicit to NDPNeighbourAdvert and checks lengths and options
// (RFC 4861 §6.1, §7.1: options have lengths greater than zero and fit).
func ParseNDP(b []byte) (NDP, bool) {
	if len(b) < ICMPSize {
		return nil, false
	}
	h := NDP(b)
	at := h.fixed()
	if at == 0 || len(b) < at {
		return nil, false
	}
	for n := 0; at < len(b); n++ {
		if n == NDPMaxOptions || len(b)-at < 2 || b[at+1] == 0 || at+8*int(b[at+1]) > len(b) {
			return nil, false
		}
		at += 8 * int(b[at+1])
	}
	return h, true
}

// fixed is the length before the options, 0 for other messages.
func (h NDP) fixed() int {
	switch h[0] {
	case NDPRouterSolicit:
		return NDPRouterSolicitSize
	case NDPRouterAdvert:
		return NDPRouterAdvertSize
	case NDPNeighbourSolicit, NDPNeighbourAdvert:
		return NDPNeighbourSize
	}
	return 0
}

// The fields of a message that ParseNDP has accepted: those of all, of the two about neighbours, and of a router's.
func (h NDP) Type() uint8             { return h[0] }
func (h NDP) Code() uint8             { return h[1] }
func (h NDP) Target() netip.Addr      { return netip.AddrFrom16([16]byte(h[8:24])) }
func (h NDP) Flags() uint8            { return h[4] } // of a neighbour advertisement
func (h NDP) HopLimit() uint8         { return h[4] } // of a router advertisement, as are the rest
func (h NDP) Managed() bool           { return h[5]&0x80 != 0 }
func (h NDP) OtherConfig() bool       { return h[5]&0x40 != 0 }
func (h NDP) Preference() uint8       { return h[5] >> 3 & 3 } // RFC 4191: 1 high, 0 medium, 3 low
func (h NDP) RouterLifetime() uint16  { return get16(h[6:]) }  // seconds
func (h NDP) ReachableTime() uint32   { return get32(h[8:]) }  // milliseconds
func (h NDP) RetransmitTimer() uint32 { return get32(h[12:]) } // milliseconds
func (h NDP) Options() NDPOptions     { return NDPOptions(h[h.fixed():]) }

// EncodeNeighbour stores a neighbour solicitation or advertisement without checksum into h, which has NDPNeighbourSize
// bytes or, with an option that holds mac, NDPLinkAddrSize more.
func (h NDP) EncodeNeighbour(typ, flags uint8, target netip.Addr, mac MAC) {
	_ = h[NDPNeighbourSize-1]
	h[0], h[1], h[2], h[3] = typ, 0, 0, 0
	h[4], h[5], h[6], h[7] = flags, 0, 0, 0
	a := target.As16()
	copy(h[8:24], a[:])
	if len(h) > NDPNeighbourSize {
		kind := uint8(NDPTargetLink)
		if typ == NDPNeighbourSolicit {
			kind = NDPSourceLink
		}
		encodeLinkAddr(h[NDPNeighbourSize:], kind, mac)
	}
}

// EncodeRouterSolicit stores a router solicitation without checksum into h, which has NDPRouterSolicitSize bytes or,
// with an option that holds mac, NDPLinkAddrSize more.
func (h NDP) EncodeRouterSolicit(mac MAC) {
	clear(h[:NDPRouterSolicitSize])
	h[0] = NDPRouterSolicit
	if len(h) > NDPRouterSolicitSize {
		encodeLinkAddr(h[NDPRouterSolicitSize:], NDPSourceLink, mac)
	}
}

func encodeLinkAddr(b []byte, kind uint8, mac MAC) {
	_ = b[NDPLinkAddrSize-1]
	b[0], b[1] = kind, 1
	copy(b[2:8], mac[:])
}

// NDPOptions is a list of options that ParseNDP has accepted.
type NDPOptions []byte

// Next takes the first option off: its type, the whole of it, and what is left. more is false at the end.
func (o NDPOptions) Next() (kind uint8, option []byte, rest NDPOptions, more bool) {
	if len(o) == 0 {
		return 0, nil, nil, false
	}
	n := 8 * int(o[1])
	return o[0], o[:n], o[n:], true
}

// LinkAddr returns the Ethernet address in the first option of a type, false if there is none.
func (o NDPOptions) LinkAddr(want uint8) (MAC, bool) {
	for kind, option, rest, more := o.Next(); more; kind, option, rest, more = rest.Next() {
		if kind == want && len(option) == NDPLinkAddrSize {
			return MAC(option[2:8]), true
		}
	}
	return MAC{}, false
}

// NDPPrefixInfo is a prefix information option (RFC 4861 §4.6.2). Lifetimes are in seconds; all ones is for ever.
type NDPPrefixInfo struct {
	Prefix           netip.Prefix
	OnLink, Auto     bool
	Valid, Preferred uint32
}

// ParseNDPPrefix reads a prefix information option.
func ParseNDPPrefix(b []byte) (p NDPPrefixInfo, ok bool) {
	if len(b) != 32 || b[0] != NDPPrefix || b[2] > 128 {
		return p, false
	}
	p.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte(b[16:32])), int(b[2])).Masked()
	p.OnLink, p.Auto = b[3]&0x80 != 0, b[3]&0x40 != 0
	p.Valid, p.Preferred = get32(b[4:]), get32(b[8:])
	return p, true
}

// ParseNDPMTU reads an MTU option, in bytes.
func ParseNDPMTU(b []byte) (int, bool) {
	if len(b) != 8 || b[0] != NDPMTU {
		return 0, false
	}
	return int(get32(b[4:])), true
}

// NDPServers is a recursive DNS server option (RFC 8106 §5.1).
type NDPServers []byte

// ParseNDPServers takes a recursive DNS server option.
func ParseNDPServers(b []byte) (NDPServers, bool) {
	if len(b) < 24 || b[0] != NDPRDNSS || (len(b)-8)%16 != 0 {
		return nil, false
	}
	return NDPServers(b), true
}

// The fields of an option that ParseNDPServers has accepted.
func (o NDPServers) Lifetime() uint32 { return get32(o[4:]) } // seconds
func (o NDPServers) Len() int         { return (len(o) - 8) / 16 }
func (o NDPServers) At(i int) netip.Addr {
	return netip.AddrFrom16([16]byte(o[8+16*i : 24+16*i]))
}

// NDPSearch is a DNS search list option (RFC 8106 §5.2).
type NDPSearch []byte

// ParseNDPSearch takes a DNS search list option.
func ParseNDPSearch(b []byte) (NDPSearch, bool) {
	if len(b) < 16 || b[0] != NDPDNSSL {
		return nil, false
	}
	return NDPSearch(b), true
}

// The fields of an option that ParseNDPSearch has accepted; the names as ParseDomains has them.
func (o NDPSearch) Lifetime() uint32           { return get32(o[4:]) } // seconds
func (o NDPSearch) Domains(limit int) []string { return ParseDomains(o[8:], limit) }
