package posix

import "syscall"

// Addr is an IPv4 or IPv6 address with a port. The zero Addr is none. It is not a netip.AddrPort: the tests of net/netip
// use package os, which uses this package, and packages cannot import each other.
type Addr struct {
	Family uint16 // AF_INET, AF_INET6, or 0 for none
	Port   uint16
	Scope  uint32   // of an AF_INET6 address: the index of its interface, or 0
	IP     [16]byte // an AF_INET address is in the first four bytes
}

// Addr4 makes an AF_INET address.
func Addr4(ip [4]byte, port uint16) Addr {
	a := Addr{Family: syscall.AF_INET, Port: port}
	copy(a.IP[:], ip[:])
	return a
}

// Prefix is an address of an interface, without a port, and the length of its network's prefix.
type Prefix struct {
	Addr
	Bits int
}

// mapped begins IPv6 addresses that stand for IPv4 ones (RFC 4291 §2.5.5.2).
var mapped = [12]byte{10: 0xff, 11: 0xff}

// as4 returns an IPv4 address; 0.0.0.0 if it is none.
func (a Addr) as4() (ip [4]byte) {
	switch {
	case a.Family == syscall.AF_INET:
		copy(ip[:], a.IP[:])
	case a.Family == syscall.AF_INET6 && [12]byte(a.IP[:12]) == mapped:
		copy(ip[:], a.IP[12:])
	}
	return ip
}

// as16 returns an IPv6 address; an IPv4 address as one that stands for it.
func (a Addr) as16() (ip [16]byte) {
	if a.Family != syscall.AF_INET {
		return a.IP
	}
	copy(ip[:], mapped[:])
	copy(ip[12:], a.IP[:4])
	return ip
}

// raw is the address's own bytes.
func (a *Addr) raw() []byte {
	if a.Family == syscall.AF_INET {
		return a.IP[:4]
	}
	return a.IP[:]
}

func (a Addr) isLoopback() bool {
	if a.Family == syscall.AF_INET {
		return a.IP[0] == 127
	}
	return a.IP == [16]byte{15: 1}
}

// isLinkLocal6 reports whether it is in fe80::/10.
func (a Addr) isLinkLocal6() bool {
	return a.Family == syscall.AF_INET6 && a.IP[0] == 0xfe && a.IP[1]&0xc0 == 0x80
}

// dotted is an IPv4 address as text.
func dotted(ip [4]byte) string {
	return decimal(int64(ip[0])) + "." + decimal(int64(ip[1])) + "." + decimal(int64(ip[2])) + "." + decimal(int64(ip[3]))
}
