package ip6

import (
	"net/netip"

	"ukvm.dev/guest/net/siphash"
	"ukvm.dev/guest/net/wire"
)

// Identified returns the address of a /64 prefix with the interface identifier of RFC 7217: the same for the same secret,
// card and prefix, unrelated between prefixes, and telling nothing about the card. try counts the duplicates there have
// been.
func Identified(prefix netip.Prefix, key siphash.Key, mac wire.MAC, try uint8) netip.Addr {
	a := prefix.Masked().Addr().As16()
	var m [16]byte
	copy(m[:8], a[:8])
	copy(m[8:14], mac[:])
	for round := uint8(0); ; round++ {
		m[14], m[15] = try, round
		h := siphash.Sum64(key, m[:])
		for i := range 8 {
			a[8+i] = byte(h >> (8 * i))
		}
		if !reserved([8]byte(a[8:])) {
			return netip.AddrFrom16(a)
		}
	}
}

// reserved reports interface identifiers that no host may have (RFC 5453 §3): the subnet's routers, reserved anycasts,
// and those of Ethernet addresses that IANA has.
func reserved(id [8]byte) bool {
	return id == [8]byte{} || [7]byte(id[:7]) == [7]byte{0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} && id[7] >= 0x80 ||
		[4]byte(id[:4]) == [4]byte{0x02, 0x00, 0x5e, 0xff} && id[4] == 0xfe
}
