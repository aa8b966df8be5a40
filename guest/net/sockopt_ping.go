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
	case level == solIP && !k.v6, level == solIPv6 && k.v6:
		if e, ok := k.setSending(&k.end.Sending, level, name, x); ok {
			return e
		}
		if level == solIPv6 && name == ipv6V6Only {
			return 0 // it is, whatever is said
		}
	}
	return syscall.ENOPROTOOPT
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
	case level == solIP && !k.v6, level == solIPv6 && k.v6:
		if n, e, ok := k.sendingOption(&k.end.Sending, level, name, v); ok {
			return n, e
		}
		if level == solIPv6 && name == ipv6V6Only {
			return putInts(v, 1)
		}
	}
	return 0, syscall.ENOPROTOOPT
}
