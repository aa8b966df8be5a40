package wire

import "net/netip"

// DHCP is a DHCP message (RFC 2131 §2) without its options.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|     op (1)    |   htype (1)   |   hlen (1)    |   hops (1)    |
//	+---------------+---------------+---------------+---------------+
//	|                            xid (4)                            |
//	+-------------------------------+-------------------------------+
//	|           secs (2)            |           flags (2)           |
//	+-------------------------------+-------------------------------+
//	|                          ciaddr  (4)                          |
//	|                          yiaddr  (4)                          |
//	|                          siaddr  (4)                          |
//	|                          giaddr  (4)                          |
//	|                          chaddr  (16)                         |
//	|                          sname   (64)                         |
//	|                          file    (128)                        |
//	|        magic cookie (4), then options (variable)              |
//	+---------------------------------------------------------------+
type DHCP []byte

// DHCPSize is the length of a message up to the options, cookie included.
const DHCPSize = 240

const dhcpCookie = 0x63825363

// DHCP operations, ports and flags.
const (
	DHCPBootRequest = 1
	DHCPBootReply   = 2

	DHCPServerPort = 67
	DHCPClientPort = 68

	DHCPFlagBroadcast = 0x8000
)

// DHCPType is the value of option OptMessageType (RFC 2132 §9.6).
type DHCPType uint8

// DHCP message types.
const (
	DHCPDiscover DHCPType = 1 + iota
	DHCPOffer
	DHCPRequest
	DHCPDecline
	DHCPAck
	DHCPNak
	DHCPRelease
)

// DHCP options (RFC 2132; 119 is RFC 3397).
const (
	OptPad           = 0
	OptSubnetMask    = 1
	OptRouter        = 3
	OptDNS           = 6
	OptHostname      = 12
	OptDomain        = 15
	OptMTU           = 26
	OptRequestedIP   = 50
	OptLeaseTime     = 51
	OptOverload      = 52
	OptMessageType   = 53
	OptServerID      = 54
	OptParameters    = 55
	OptMaxSize       = 57
	OptRenewalTime   = 58
	OptRebindingTime = 59
	OptClientID      = 61
	OptEnd           = 255
)

// ParseDHCP takes a message for Ethernet: fixed part and options.
func ParseDHCP(b []byte) (DHCP, DHCPOptions, bool) {
	if len(b) < DHCPSize || get32(b[236:]) != dhcpCookie || b[1] != 1 || b[2] != 6 {
		return nil, nil, false
	}
	return DHCP(b[:DHCPSize]), DHCPOptions(b[DHCPSize:]), true
}

// The fields of a header that ParseDHCP has accepted.
func (h DHCP) Op() uint8            { return h[0] }
func (h DHCP) XID() uint32          { return get32(h[4:]) }
func (h DHCP) Flags() uint16        { return get16(h[10:]) }
func (h DHCP) ClientIP() netip.Addr { return netip.AddrFrom4([4]byte(h[12:16])) }
func (h DHCP) YourIP() netip.Addr   { return netip.AddrFrom4([4]byte(h[16:20])) }
func (h DHCP) ClientMAC() MAC       { return MAC(h[28:34]) }

// DHCPFields is what Encode stores.
type DHCPFields struct {
	Op       uint8
	XID      uint32
	Secs     uint16
	Flags    uint16
	ClientIP netip.Addr // ciaddr, IPv4
	YourIP   netip.Addr // yiaddr, IPv4
	MAC      MAC
}

// Encode stores the fixed part into h, which has DHCPSize bytes.
func (h DHCP) Encode(f *DHCPFields) {
	clear(h[:DHCPSize])
	h[0], h[1], h[2] = f.Op, 1, 6
	put32(h[4:], f.XID)
	put16(h[8:], f.Secs)
	put16(h[10:], f.Flags)
	c, y := f.ClientIP.As4(), f.YourIP.As4()
	copy(h[12:16], c[:])
	copy(h[16:20], y[:])
	copy(h[28:34], f.MAC[:])
	put32(h[236:], dhcpCookie)
}

// DHCPOptions are the options of a message: code, length, value, ended by OptEnd (RFC 2132 §2).
type DHCPOptions []byte

// Get returns the value of the first option with that code. A malformed list ends at the fault.
func (o DHCPOptions) Get(code uint8) ([]byte, bool) {
	for len(o) > 0 && o[0] != OptEnd {
		if o[0] == OptPad {
			o = o[1:]
			continue
		}
		if len(o) < 2 || 2+int(o[1]) > len(o) {
			break
		}
		n := 2 + int(o[1])
		if o[0] == code {
			return o[2:n], true
		}
		o = o[n:]
	}
	return nil, false
}

// Type returns the message's type, 0 if it has none.
func (o DHCPOptions) Type() DHCPType {
	if v, ok := o.Get(OptMessageType); ok && len(v) == 1 {
		return DHCPType(v[0])
	}
	return 0
}

// Uint32 returns a four-byte option.
func (o DHCPOptions) Uint32(code uint8) (uint32, bool) {
	if v, ok := o.Get(code); ok && len(v) == 4 {
		return get32(v), true
	}
	return 0, false
}

// Uint16 returns a two-byte option.
func (o DHCPOptions) Uint16(code uint8) (uint16, bool) {
	if v, ok := o.Get(code); ok && len(v) == 2 {
		return get16(v), true
	}
	return 0, false
}

// Addr returns the first address of an option, the zero Addr if there is none.
func (o DHCPOptions) Addr(code uint8) netip.Addr {
	if v, ok := o.Get(code); ok && len(v) >= 4 {
		return netip.AddrFrom4([4]byte(v[:4]))
	}
	return netip.Addr{}
}

// Addrs returns up to max addresses of an option.
func (o DHCPOptions) Addrs(code uint8, max int) []netip.Addr {
	v, _ := o.Get(code)
	var list []netip.Addr
	for ; len(v) >= 4 && len(list) < max; v = v[4:] {
		list = append(list, netip.AddrFrom4([4]byte(v[:4])))
	}
	return list
}

// Append adds an option with a value of at most 255 bytes.
func (o DHCPOptions) Append(code uint8, value ...byte) DHCPOptions {
	return append(append(o, code, byte(len(value))), value...)
}

// AppendUint32 adds an option whose value is a number.
func (o DHCPOptions) AppendUint32(code uint8, v uint32) DHCPOptions {
	return o.Append(code, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// AppendAddr adds an option whose value is an IPv4 address.
func (o DHCPOptions) AppendAddr(code uint8, a netip.Addr) DHCPOptions {
	b := a.As4()
	return o.Append(code, b[:]...)
}

// End closes the list.
func (o DHCPOptions) End() DHCPOptions { return append(o, OptEnd) }
