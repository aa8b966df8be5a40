package net

import (
	"net/netip"
	"strconv"
	"syscall"
)

// Addresses of sockets as programs see them differ from those in the boxes in two ways. A socket of the IPv6 family has
// IPv4 addresses in IPv6 form (::ffff:10.0.0.1, RFC 3493 §3.7), and link-local ones have the number of their interface as
// zone. In the boxes IPv4 addresses are IPv4 addresses, and interfaces are passed beside the address.

// inner splits an address from a program into the address and the interface its zone names.
func inner(a netip.Addr) (netip.Addr, int) {
	link := 0
	if z := a.Zone(); z != "" {
		link, _ = strconv.Atoi(z)
		a = a.WithZone("")
		if !a.IsLinkLocalUnicast() && !a.IsLinkLocalMulticast() {
			link = 0 // as Linux, which ignores it
		}
	}
	return a.Unmap(), link
}

// outer makes an address for the program of one in the boxes; link is where a link-local one belongs.
func (k *common) outer(a netip.Addr, port uint16, link int) netip.AddrPort {
	switch {
	case !k.v6:
		return name(a, port)
	case !a.IsValid():
		a = netip.IPv6Unspecified()
	case a.Is4():
		a = netip.AddrFrom16(a.As16())
	case a.IsLinkLocalUnicast():
		if link == 0 {
			link = k.stack.boxes.IP6.LinkOf(a)
		}
		if link != 0 {
			a = a.WithZone(strconv.Itoa(link))
		}
	}
	return netip.AddrPortFrom(a, port)
}

// any is the local address of a socket that has not been bound to one, see route.Covers.
func (k *common) any() netip.Addr {
	switch {
	case !k.v6:
		return netip.IPv4Unspecified()
	case k.only6:
		return netip.IPv6Unspecified()
	}
	return netip.Addr{}
}

// localAddr turns what bind(2) was given into a box's address, see route.Covers. ok is false if it is not an address of
// this host.
func (k *common) localAddr(a netip.Addr, groups bool) (addr netip.Addr, ok bool) {
	mapped := a.Is4In6()
	a, link := inner(a)
	ip4, ip6 := &k.stack.boxes.IP4, &k.stack.boxes.IP6
	switch {
	case !a.IsValid() || a.IsUnspecified() && !mapped:
		return k.any(), true
	case a.Is4():
		if k.v6 && (k.only6 || !mapped) {
			return netip.Addr{}, false
		}
		return a, a.IsUnspecified() || ip4.IsLocal(a) || groups && (a.IsMulticast() || ip4.IsBroadcast(a))
	case !k.v6:
		return netip.Addr{}, false
	case a.IsMulticast():
		return a, groups
	}
	if a.IsLinkLocalUnicast() {
		if link == 0 {
			link = k.device
		}
		if owner := ip6.LinkOf(a); link == 0 || owner != link {
			return netip.Addr{}, false
		}
		k.device = link // as Linux: it stays with this interface
		return a, true
	}
	return a, ip6.IsLocal(a)
}

// peerAddr turns what connect(2) or sendto(2) was given into a destination and its interface, 0 if routing is to find
// it. The unspecified address is this host, as on Linux.
func (k *common) peerAddr(a netip.AddrPort) (netip.AddrPort, int, syscall.Errno) {
	addr, link := inner(a.Addr())
	switch {
	case addr.Is4():
		if k.only6 {
			return a, 0, syscall.ENETUNREACH
		}
		if addr.IsUnspecified() {
			addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
	case !k.v6 || !addr.IsValid():
		return a, 0, syscall.EAFNOSUPPORT
	case addr.IsUnspecified():
		addr = netip.IPv6Loopback()
	case addr.IsLinkLocalUnicast():
		if k.device != 0 {
			if link != 0 && link != k.device {
				return a, 0, syscall.EINVAL
			}
			link = k.device
		}
		if link == 0 && !k.stack.boxes.IP6.IsLocal(addr) {
			return a, 0, syscall.EINVAL // on which interface?
		}
	}
	return netip.AddrPortFrom(addr, a.Port()), link, 0
}

// peerAddr is common.peerAddr for the event loop, which has no sockets.
func peerAddr(a netip.AddrPort) (netip.AddrPort, bool) {
	addr := a.Addr().Unmap()
	if !addr.IsValid() {
		return a, false
	}
	if addr.IsUnspecified() {
		if addr.Is6() {
			return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port()), true
		}
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.AddrPortFrom(addr, a.Port()), true
}

// name makes an address for getsockname(2) and the like.
func name(addr netip.Addr, port uint16) netip.AddrPort {
	if !addr.IsValid() {
		addr = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(addr, port)
}
