package net

import (
	"net/netip"
	"syscall"

	"ukvm.dev/guest/net/ip4"
)

// setByte stores an IP option that is one byte, least to 255; -1 restores the default, 0.
func setByte(p *uint8, x, least int, e syscall.Errno) syscall.Errno {
	switch {
	case e != 0:
		return e
	case x == -1:
		x = 0
	case x < least || x > 255:
		return syscall.EINVAL
	}
	*p = uint8(x)
	return 0
}

// ttlOf is the TTL a socket uses: 0 stands for the default.
func ttlOf(ttl uint8) int {
	if ttl == 0 {
		return ip4.DefaultTTL
	}
	return int(ttl)
}

// setIP sets an option of level IPPROTO_IP on a datagram socket.
func (k *datagram) setIP(name int, v []byte) syscall.Errno {
	switch name {
	case ipMulticastIf:
		_, link, e := k.membership(v, true)
		if e == 0 {
			k.end.MulticastLink = link
		}
		return e
	case ipAddMembership:
		return k.join(v)
	case ipDropMembership:
		return k.quit(v)
	}
	x, e := intOption(v)
	if e != 0 {
		return e
	}
	if e, ok := k.setSending(&k.end.Sending, solIP, name, x); ok {
		return e
	}
	switch name {
	case ipMulticastAll:
		k.all = x != 0
	case ipMTUDiscover:
		if x < ipPMTUDont || x > ipPMTUProb {
			return syscall.EINVAL
		}
		k.pmtu = x
		k.end.DF = x >= ipPMTUDo
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

// ipOption gets an option of level IPPROTO_IP from a datagram socket.
func (k *datagram) ipOption(name int, v []byte) (int, syscall.Errno) {
	if n, e, ok := k.sendingOption(&k.end.Sending, solIP, name, v); ok {
		return n, e
	}
	switch name {
	case ipMulticastAll:
		return putInts(v, boolInt(k.all))
	case ipMTUDiscover:
		return putInts(v, k.pmtu)
	case ipMTU:
		if !k.end.Peer().IsValid() {
			return 0, syscall.ENOTCONN
		}
		addr, _ := k.end.Local()
		r, err := k.stack.route(k.end.Peer().Addr(), addr, k.device)
		if err != nil {
			return 0, errnoOf(err)
		}
		return putInts(v, r.MTU)
	case ipMulticastIf:
		var a [4]byte
		if n := k.end.MulticastLink - firstCard; n >= 0 && n < len(k.stack.interfaces) {
			if addr := k.stack.interfaces[n].link.Addr(); addr.IsValid() {
				a = addr.As4()
			}
		}
		return copy(v, a[:]), 0
	}
	return 0, syscall.ENOPROTOOPT
}

// membership reads struct ip_mreqn (group, address, interface) or ip_mreq (group, address); with single also one
// address. link is the interface meant, 0 if none.
func (k *datagram) membership(v []byte, single bool) (group netip.Addr, link int, e syscall.Errno) {
	if len(v) < 4 || len(v) < 8 && !single {
		return group, 0, syscall.EINVAL
	}
	group = netip.AddrFrom4([4]byte(v[:4]))
	addr := group
	if len(v) >= 8 {
		addr = netip.AddrFrom4([4]byte(v[4:8]))
	}
	if len(v) >= 12 {
		link, _ = intOption(v[8:])
	}
	switch {
	case link != 0:
		if k.stack.linkName(link) == "" {
			return group, 0, syscall.ENODEV
		}
	case addr.IsUnspecified():
	case k.stack.lo.Owns(addr):
		link = k.stack.lo.Index
	default:
		for _, i := range k.stack.interfaces {
			if i.link.Owns(addr) {
				return group, i.link.Index, 0
			}
		}
		return group, 0, syscall.ENODEV
	}
	return group, link, 0
}

// join is IP_ADD_MEMBERSHIP.
func (k *datagram) join(v []byte) syscall.Errno {
	group, link, e := k.membership(v, false)
	if e != 0 {
		return e
	}
	if !group.IsMulticast() {
		return syscall.EINVAL
	}
	ip := &k.stack.boxes.IP4
	link, err := ip.Join(group, link)
	if err != nil {
		if err == ip4.ErrLimit {
			return syscall.ENOBUFS
		}
		return syscall.ENODEV
	}
	if !k.end.Joined(group, link) {
		ip.Leave(group, link)
		return syscall.EADDRINUSE
	}
	return 0
}

// quit is IP_DROP_MEMBERSHIP.
func (k *datagram) quit(v []byte) syscall.Errno {
	group, link, e := k.membership(v, false)
	if e != 0 {
		return e
	}
	ip := &k.stack.boxes.IP4
	if link == 0 {
		k.end.Groups(func(g netip.Addr, l int) {
			if g == group {
				link = l
			}
		})
	}
	if !k.end.Left(group, link) {
		return syscall.EADDRNOTAVAIL
	}
	ip.Leave(group, link)
	return 0
}
