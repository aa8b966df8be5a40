// Package wire holds the formats the stack reads and writes: Ethernet II, ARP (RFC 826), IPv4 (RFC 791), ICMP
// (RFC 792), IPv6 (RFC 8200), ICMPv6 (RFC 4443), NDP (RFC 4861), UDP (RFC 768), TCP (RFC 9293, options of RFC 7323 and
// 2018) and DHCP (RFC 2131, 2132), with the Internet checksum (RFC 1071).
//
// A header is a named byte slice over the packet's own memory. ParseX checks once that everything the getters touch is
// there and consistent; getters and setters then assume it. No function here keeps its argument, allocates or panics on
// any input, and none needs a lock.
package wire

// Big-endian loads and stores; the compiler makes one instruction and one bounds check of each.

func get16(b []byte) uint16 { _ = b[1]; return uint16(b[0])<<8 | uint16(b[1]) }

func get32(b []byte) uint32 {
	_ = b[3]
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func put16(b []byte, v uint16) {
	_ = b[1]
	b[0], b[1] = byte(v>>8), byte(v)
}

func put32(b []byte, v uint32) {
	_ = b[3]
	b[0], b[1], b[2], b[3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
}
