package net

import "syscall"

// intOption reads an option's value: an int, or for the older IP options a single byte.
func intOption(v []byte) (int, syscall.Errno) {
	switch {
	case len(v) >= 4:
		return int(int32(uint32(v[0]) | uint32(v[1])<<8 | uint32(v[2])<<16 | uint32(v[3])<<24)), 0
	case len(v) >= 1:
		return int(v[0]), 0
	}
	return 0, syscall.EINVAL
}

// putInts stores ints, as many bytes of them as fit.
func putInts(v []byte, values ...int) (int, syscall.Errno) {
	n := 0
	for _, x := range values {
		for i := 0; i < 4 && n < len(v); i++ {
			v[n] = byte(uint32(int32(x)) >> (8 * i))
			n++
		}
	}
	return n, 0
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// setSocket sets an option of level SOL_SOCKET that all sockets share. ok is false if it is none of those.
func (k *common) setSocket(name int, v []byte) (e syscall.Errno, ok bool) {
	if name == soBindToDevice {
		return k.bindToDevice(cString(v)), true
	}
	x, e := intOption(v)
	if e != 0 {
		return e, true
	}
	switch name {
	case soReuseAddr:
		k.reuseAddr = x != 0
	case soReusePort:
		k.reusePort = x != 0
	case soBroadcast:
		k.broadcast = x != 0
	case soOOBInline:
		k.oobInline = x != 0
	case soPriority:
		k.priority = x
	case soRcvLowat:
		if x > 1 {
			return syscall.ENOPROTOOPT, true
		}
	case soType, soError, soAcceptConn, soProtocol, soDomain:
		return syscall.ENOPROTOOPT, true
	default:
		return 0, false
	}
	return 0, true
}

// socketOption gets an option of level SOL_SOCKET that all sockets share.
func (k *common) socketOption(name int, v []byte) (n int, e syscall.Errno, ok bool) {
	x := 0
	switch name {
	case soReuseAddr:
		x = boolInt(k.reuseAddr)
	case soReusePort:
		x = boolInt(k.reusePort)
	case soBroadcast:
		x = boolInt(k.broadcast)
	case soOOBInline:
		x = boolInt(k.oobInline)
	case soPriority:
		x = k.priority
	case soRcvLowat:
		x = 1
	case soType:
		x = k.typ
	case soProtocol:
		x = k.protocol
	case soDomain:
		x = afInet
		if k.v6 {
			x = afInet6
		}
	case soBindToDevice:
		n = copy(v, k.stack.linkName(k.device)+"\x00")
		if k.device == 0 {
			n = 0
		}
		return n, 0, true
	default:
		return 0, 0, false
	}
	n, e = putInts(v, x)
	return n, e, true
}

func (k *common) bindToDevice(name string) syscall.Errno {
	switch name {
	case "":
		k.device = 0
		return 0
	case "lo":
		k.device = k.stack.lo.Index
		return 0
	}
	for _, i := range k.stack.interfaces {
		if i.Name == name {
			k.device = i.link.Index
			return 0
		}
	}
	return syscall.ENODEV
}

func (s *Stack) linkName(index int) string {
	if index == s.lo.Index {
		return "lo"
	}
	if n := index - firstCard; n >= 0 && n < len(s.interfaces) {
		return s.interfaces[n].Name
	}
	return ""
}

// SetOption sets an option of a datagram socket.
func (k *datagram) SetOption(level, name int, v []byte) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	switch level {
	case solSocket:
		if e, ok := k.setSocket(name, v); ok {
			k.end.Broadcast, k.end.Link = k.broadcast, k.device
			return e
		}
		x, _ := intOption(v)
		switch name {
		case soRcvBuf, soRcvBufForce:
			k.end.Inbox.Limit = min(max(2*x, 4096), k.stack.limits.UDPMax) // Linux doubles, for bookkeeping
			return 0
		case soSndBuf, soSndBufForce, soKeepAlive, soLinger:
			return 0 // what is sent is not kept here
		}
	case solIP:
		return k.setIP(name, v)
	case solIPv6:
		return k.setIPv6(name, v)
	}
	return syscall.ENOPROTOOPT
}

// Option gets an option of a datagram socket.
func (k *datagram) Option(level, name int, v []byte) (int, syscall.Errno) {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return 0, e
	}
	switch level {
	case solSocket:
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
		case soAcceptConn, soKeepAlive:
			return putInts(v, 0)
		case soLinger:
			return putInts(v, 0, 0)
		}
	case solIP:
		return k.ipOption(name, v)
	case solIPv6:
		return k.ipv6Option(name, v)
	}
	return 0, syscall.ENOPROTOOPT
}
