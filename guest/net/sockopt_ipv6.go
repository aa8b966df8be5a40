package net

import (
	"net/netip"
	"syscall"

	"ukvm.dev/guest/net/ip6"
	"ukvm.dev/guest/net/tcp"
)

// hopsOf is the hop limit a socket uses: 0 stands for the default.
func hopsOf(hops uint8) int {
	if hops == 0 {
		return ip6.DefaultHopLimit
	}
	return int(hops)
}

// setV6Only is IPV6_V6ONLY, which a socket that has been bound has for good.
func (k *common) setV6Only(x int, bound bool) syscall.Errno {
	if !k.v6 {
		return syscall.ENOPROTOOPT
	}
	if bound {
		return syscall.EINVAL
	}
	k.only6 = x != 0
	return 0
}

// setIPv6 sets an option of level IPPROTO_IPV6 on a stream socket.
func (k *stream) setIPv6(o *tcp.Options, name int, v []byte) syscall.Errno {
	x, e := intOption(v)
	if e != 0 {
		return e
	}
	if !k.v6 {
		return syscall.ENOPROTOOPT
	}
	switch name {
	case ipv6V6Only:
		bound := k.listener != nil
		if !bound {
			_, port := k.conn.Local()
			bound = port != 0
		}
		return k.setV6Only(x, bound)
	case ipv6UnicastHops:
		return setByte(&o.TTL, x, 0, 0)
	case ipv6TClass:
		return setByte(&o.TOS, x, 0, 0)
	case ipv6MTUDiscover, ipv6DontFrag, ipv6RecvErr:
		return 0 // TCP finds the path's MTU in any case
	}
	return syscall.ENOPROTOOPT
}

// ipv6Option gets an option of level IPPROTO_IPV6 from a stream socket.
func (k *stream) ipv6Option(o *tcp.Options, name int, v []byte) (int, syscall.Errno) {
	if !k.v6 {
		return 0, syscall.ENOPROTOOPT
	}
	switch name {
	case ipv6V6Only:
		return putInts(v, boolInt(k.only6))
	case ipv6UnicastHops:
		return putInts(v, hopsOf(o.TTL))
	case ipv6TClass:
		return putInts(v, int(o.TOS))
	case ipv6MTU:
		if k.listener == nil {
			if _, ok := k.conn.Remote(); ok {
				return putInts(v, k.conn.Info().PathMTU)
			}
		}
		return 0, syscall.ENOTCONN
	}
	return 0, syscall.ENOPROTOOPT
}

// setIPv6 sets an option of level IPPROTO_IPV6 on a datagram socket.
func (k *datagram) setIPv6(name int, v []byte) syscall.Errno {
	if !k.v6 {
		return syscall.ENOPROTOOPT
	}
	switch name {
	case ipv6JoinGroup:
		return k.join6(v)
	case ipv6LeaveGroup:
		return k.quit6(v)
	}
	x, e := intOption(v)
	if e != 0 {
		return e
	}
	if e, ok := k.setSending(&k.end.Sending, solIPv6, name, x); ok {
		return e
	}
	switch name {
	case ipv6V6Only:
		_, port := k.end.Local()
		if e := k.setV6Only(x, port != 0); e != 0 {
			return e
		}
		k.end.Any = k.any()
	case ipv6MTUDiscover:
		if x < ipPMTUDont || x > ipPMTUProb {
			return syscall.EINVAL
		}
		k.pmtu = x
		k.end.DF = x >= ipPMTUDo
	case ipv6DontFrag:
		k.end.DF = x != 0
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

// ipv6Option gets an option of level IPPROTO_IPV6 from a datagram socket.
func (k *datagram) ipv6Option(name int, v []byte) (int, syscall.Errno) {
	if !k.v6 {
		return 0, syscall.ENOPROTOOPT
	}
	if n, e, ok := k.sendingOption(&k.end.Sending, solIPv6, name, v); ok {
		return n, e
	}
	switch name {
	case ipv6V6Only:
		return putInts(v, boolInt(k.only6))
	case ipv6MTUDiscover:
		return putInts(v, k.pmtu)
	case ipv6DontFrag:
		return putInts(v, boolInt(k.end.DF))
	case ipv6MTU:
		return k.ipOption(ipMTU, v)
	}
	return 0, syscall.ENOPROTOOPT
}

// membership6 reads struct ipv6_mreq: group and interface, 0 if routing is to find that.
func (k *datagram) membership6(v []byte) (group netip.Addr, link int, e syscall.Errno) {
	if len(v) < 20 {
		return group, 0, syscall.EINVAL
	}
	group = netip.AddrFrom16([16]byte(v[:16]))
	link, _ = intOption(v[16:])
	switch {
	case !group.IsMulticast():
		return group, 0, syscall.EINVAL
	case link != 0 && k.stack.linkName(link) == "":
		return group, 0, syscall.ENODEV
	}
	return group, link, 0
}

// join6 is IPV6_JOIN_GROUP.
func (k *datagram) join6(v []byte) syscall.Errno {
	group, link, e := k.membership6(v)
	if e != 0 {
		return e
	}
	ip := &k.stack.boxes.IP6
	link, err := ip.Join(group, link)
	if err != nil {
		if err == ip6.ErrLimit {
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

// quit6 is IPV6_LEAVE_GROUP.
func (k *datagram) quit6(v []byte) syscall.Errno {
	group, link, e := k.membership6(v)
	if e != 0 {
		return e
	}
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
	k.stack.boxes.IP6.Leave(group, link)
	return 0
}
