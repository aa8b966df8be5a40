package net

import "syscall"

// SetOption sets an option of an ICMP socket.
func (k *icmpSocket) SetOption(level, name int, v []byte) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	x, e := intOption(v)
	switch {
	case level == solSocket:
		if e, ok := k.setSocket(name, v); ok {
			k.end.Link = k.device
			return e
		}
		switch name {
		case soRcvBuf, soRcvBufForce:
			k.end.Inbox.Limit = min(max(2*x, 4096), k.stack.limits.UDPMax)
			return e
		case soSndBuf, soSndBufForce:
			return e
		}
	case k.end.Raw && name == icmpFilter && level == solRaw && !k.v6:
		k.end.Filter = [8]uint32{uint32(x)} // of the first 32 types
		return e
	case k.end.Raw && name == icmpFilter && level == solICMPv6 && k.v6:
		var b [32]byte
		copy(b[:], v)
		for n := range k.end.Filter {
			w, _ := intOption(b[4*n:])
			k.end.Filter[n] = uint32(w)
		}
		return 0
	case e != 0:
		return e
	case level == solIP && !k.v6:
		return k.setIP(name, x)
	case level == solIPv6 && k.v6:
		return k.setIPv6(name, x)
	}
	return syscall.ENOPROTOOPT
}

func (k *icmpSocket) setIP(name, x int) syscall.Errno {
	switch name {
	case ipTTL:
		return setByte(&k.end.TTL, x, 1, 0)
	case ipTOS:
		return setByte(&k.end.TOS, x, 0, 0)
	case ipMulticastTTL:
		return k.setHops(x)
	case ipMulticastLoop:
		k.loop = x != 0
		return 0
	}
	if k.want(solIP, name, x != 0) {
		return 0
	}
	return syscall.ENOPROTOOPT
}

func (k *icmpSocket) setIPv6(name, x int) syscall.Errno {
	switch name {
	case ipv6UnicastHops:
		return setByte(&k.end.TTL, x, 0, 0)
	case ipv6TClass:
		return setByte(&k.end.TOS, x, 0, 0)
	case ipv6MulticastHops:
		return k.setHops(x)
	case ipv6MulticastLoop:
		k.loop = x != 0
		return 0
	case ipv6MulticastIf:
		if x != 0 && k.stack.linkName(x) == "" {
			return syscall.ENODEV
		}
		k.end.MulticastLink = x
		return 0
	case ipv6V6Only:
		return 0 // it is, whatever is said
	}
	if k.want(solIPv6, name, x != 0) {
		return 0
	}
	return syscall.ENOPROTOOPT
}

func (k *icmpSocket) setHops(x int) syscall.Errno {
	if x == -1 {
		x = 1
	}
	return setByte(&k.end.MulticastTTL, x, 0, 0)
}

// Option gets an option of an ICMP socket.
func (k *icmpSocket) Option(level, name int, v []byte) (int, syscall.Errno) {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return 0, e
	}
	switch {
	case level == solSocket:
		if n, e, ok := k.socketOption(name, v); ok {
			return n, e
		}
		switch name {
		case soError:
			e := errnoOf(k.end.Err)
			k.end.Err = nil
			k.settle(k.ready())
			return putInts(v, int(e))
		case soRcvBuf:
			return putInts(v, k.end.Inbox.Limit)
		case soSndBuf:
			return putInts(v, udpDefault)
		case soAcceptConn:
			return putInts(v, 0)
		}
	case k.end.Raw && name == icmpFilter && level == solRaw && !k.v6:
		return putInts(v, int(k.end.Filter[0]))
	case k.end.Raw && name == icmpFilter && level == solICMPv6 && k.v6:
		var all [8]int
		for n, w := range k.end.Filter {
			all[n] = int(int32(w))
		}
		return putInts(v, all[:]...)
	case level == solIP && !k.v6:
		switch name {
		case ipTTL:
			return putInts(v, ttlOf(k.end.TTL))
		case ipTOS:
			return putInts(v, int(k.end.TOS))
		case ipMulticastTTL:
			return putInts(v, int(k.end.MulticastTTL))
		case ipMulticastLoop:
			return putInts(v, boolInt(k.loop))
		}
	case level == solIPv6 && k.v6:
		switch name {
		case ipv6UnicastHops:
			return putInts(v, hopsOf(k.end.TTL))
		case ipv6TClass:
			return putInts(v, int(k.end.TOS))
		case ipv6MulticastHops:
			return putInts(v, int(k.end.MulticastTTL))
		case ipv6MulticastIf:
			return putInts(v, k.end.MulticastLink)
		case ipv6MulticastLoop:
			return putInts(v, boolInt(k.loop))
		case ipv6V6Only:
			return putInts(v, 1)
		}
	}
	if f := ancillaryOf(level, name); f != 0 && (level == solIPv6) == k.v6 {
		return putInts(v, boolInt(k.wanted&f != 0))
	}
	return 0, syscall.ENOPROTOOPT
}
