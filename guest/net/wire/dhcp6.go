package wire

import "net/netip"

// DHCP6 is a DHCPv6 message between client and server (RFC 8415 §8), options included.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|   msg-type    |               transaction-id                  |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	.                    options (variable)                         .
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type DHCP6 []byte

// DHCP6Size is the length of a message up to the options, in bytes. DHCP6MaxOptions bounds those of one message: more is
// an attack.
const (
	DHCP6Size       = 4
	DHCP6MaxOptions = 64
)

// DHCPv6 ports and message types (RFC 8415 §7.2, §7.3).
const (
	DHCP6ClientPort = 546
	DHCP6ServerPort = 547

	DHCP6Reply              = 7
	DHCP6InformationRequest = 11
)

// DHCPv6 options (RFC 8415 §21, RFC 3646).
const (
	Opt6ClientID    = 1
	Opt6ServerID    = 2
	Opt6Request     = 6 // codes of the options wanted
	Opt6Elapsed     = 8 // hundredths of a second
	Opt6Status      = 13
	Opt6DNS         = 23
	Opt6Domains     = 24
	Opt6RefreshTime = 32 // seconds
	Opt6InfMaxRT    = 83 // seconds
)

// AllDHCP6Servers is where clients send to (RFC 8415 §7.1).
var AllDHCP6Servers = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 13: 1, 15: 2})

// ParseDHCP6 takes a whole message and checks that its options fit.
func ParseDHCP6(b []byte) (DHCP6, bool) {
	if len(b) < DHCP6Size {
		return nil, false
	}
	rest := b[DHCP6Size:]
	for n := 0; len(rest) > 0; n++ {
		if n == DHCP6MaxOptions || len(rest) < 4 || 4+int(get16(rest[2:])) > len(rest) {
			return nil, false
		}
		rest = rest[4+int(get16(rest[2:])):]
	}
	return DHCP6(b), true
}

// The fields of a message that ParseDHCP6 has accepted.
func (h DHCP6) Type() uint8           { return h[0] }
func (h DHCP6) XID() uint32           { return get32(h) & 0xffffff }
func (h DHCP6) Options() DHCP6Options { return DHCP6Options(h[DHCP6Size:]) }

// Encode stores the fields into h, which has DHCP6Size bytes.
func (h DHCP6) Encode(typ uint8, xid uint32) { put32(h, uint32(typ)<<24|xid&0xffffff) }

// DHCP6Options is a list of options that ParseDHCP6 has accepted, or one to be sent.
type DHCP6Options []byte

// Get returns the value of the first option of a kind, false if there is none.
func (o DHCP6Options) Get(code uint16) ([]byte, bool) {
	for len(o) > 0 {
		n := 4 + int(get16(o[2:]))
		if get16(o) == code {
			return o[4:n], true
		}
		o = o[n:]
	}
	return nil, false
}

// Uint32 returns the value of the first option of a kind, false if there is none, or if it has another size.
func (o DHCP6Options) Uint32(code uint16) (uint32, bool) {
	v, ok := o.Get(code)
	if !ok || len(v) != 4 {
		return 0, false
	}
	return get32(v), true
}

// Addrs returns the addresses of the first option of a kind, at most limit.
func (o DHCP6Options) Addrs(code uint16, limit int) (list []netip.Addr) {
	v, _ := o.Get(code)
	if len(v)%16 != 0 {
		return nil
	}
	for ; len(v) > 0 && len(list) < limit; v = v[16:] {
		list = append(list, netip.AddrFrom16([16]byte(v[:16])))
	}
	return list
}

// Append adds an option.
func (o DHCP6Options) Append(code uint16, value ...byte) DHCP6Options {
	o = append(o, byte(code>>8), byte(code), byte(len(value)>>8), byte(len(value)))
	return append(o, value...)
}
