package posix

import (
	"syscall"
	"unsafe"
)

// sockaddr is a socket address of any family here. The zero value is none.
type sockaddr struct {
	family uint16
	ip     Addr   // AF_INET, AF_INET6
	path   string // AF_UNIX: a path, an abstract name after a NUL, or "" for unnamed
	port   uint32 // AF_NETLINK: nl_pid
	groups uint32 // AF_NETLINK: nl_groups
}

// Sizes of addresses (ip(7), ipv6(7), unix(7), netlink(7)).
const (
	sizeInet4       = 16
	sizeInet6       = 28
	sizeInet6RFC    = 24 // without the scope
	sizeUnix        = 110
	sizeNetlink     = 12
	sizeFamily      = 2
	sockaddrStorage = 128
)

// parseSockaddr decodes an address. Errors: EINVAL, EAFNOSUPPORT for other families.
func parseSockaddr(b []byte) (a sockaddr, errno syscall.Errno) {
	if len(b) < sizeFamily || len(b) > sockaddrStorage {
		return a, syscall.EINVAL
	}
	a.family = uint16(b[0]) | uint16(b[1])<<8
	switch a.family {
	case syscall.AF_UNSPEC:
		return a, 0
	case syscall.AF_INET:
		if len(b) < sizeInet4 {
			return a, syscall.EINVAL
		}
		a.ip = Addr4([4]byte(b[4:8]), big16(b[2:]))
		return a, 0
	case syscall.AF_INET6:
		if len(b) < sizeInet6RFC {
			return a, syscall.EINVAL
		}
		a.ip = Addr{Family: syscall.AF_INET6, Port: big16(b[2:]), IP: [16]byte(b[8:24])}
		if len(b) >= sizeInet6 {
			a.ip.Scope = get32(b[24:])
		}
		return a, 0
	case syscall.AF_UNIX:
		if len(b) > sizeUnix {
			return a, syscall.EINVAL
		}
		if name := b[sizeFamily:]; len(name) > 0 && name[0] == 0 {
			a.path = string(name)
		} else {
			a.path = cString(name)
		}
		return a, 0
	case syscall.AF_NETLINK:
		if len(b) < sizeNetlink {
			return a, syscall.EINVAL
		}
		a.port, a.groups = get32(b[4:]), get32(b[8:])
		return a, 0
	}
	return a, syscall.EAFNOSUPPORT
}

// appendTo encodes an address; none is encoded as nothing.
func (a sockaddr) appendTo(b []byte) []byte {
	if a.family == syscall.AF_UNSPEC {
		return b
	}
	b = append(b, byte(a.family), byte(a.family>>8))
	port := a.ip.Port
	switch a.family {
	case syscall.AF_INET:
		ip := a.ip.as4()
		b = append(b, byte(port>>8), byte(port))
		b = append(b, ip[:]...)
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	case syscall.AF_INET6:
		ip := a.ip.as16()
		b = append(b, byte(port>>8), byte(port), 0, 0, 0, 0)
		b = append(b, ip[:]...)
		b = append32(b, a.ip.Scope)
	case syscall.AF_UNIX:
		b = append(b, a.path...)
		if a.path != "" && a.path[0] != 0 {
			b = append(b, 0)
		}
	case syscall.AF_NETLINK:
		b = append(b, 0, 0)
		b = append32(b, a.port)
		b = append32(b, a.groups)
	}
	return b
}

// sockaddrAt reads an address argument. Errors: EINVAL, EFAULT, EAFNOSUPPORT.
func sockaddrAt(p unsafe.Pointer, n uintptr) (sockaddr, syscall.Errno) {
	if n > sockaddrStorage {
		return sockaddr{}, syscall.EINVAL
	}
	b, errno := memory(p, n)
	if errno != 0 {
		return sockaddr{}, errno
	}
	return parseSockaddr(b)
}

// putSockaddr stores as much of an address as there is room for at p, and its whole length at size, which says how
// much room there is; p may be nil. Errors: EFAULT, EINVAL.
func putSockaddr(p, size unsafe.Pointer, a sockaddr) syscall.Errno {
	if p == nil {
		return 0
	}
	if size == nil {
		return syscall.EFAULT
	}
	n := (*int32)(size)
	if *n < 0 {
		return syscall.EINVAL
	}
	*n = int32(storeSockaddr(p, uintptr(*n), a))
	return 0
}

// storeSockaddr stores up to n bytes of an address and returns its length.
func storeSockaddr(p unsafe.Pointer, n uintptr, a sockaddr) int {
	var buf [sockaddrStorage]byte
	b := a.appendTo(buf[:0])
	copy(unsafe.Slice((*byte)(p), n), b)
	return len(b)
}

func big16(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }

func get32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func get16(b []byte) uint16 { return uint16(b[0]) | uint16(b[1])<<8 }

func append16(b []byte, v uint16) []byte { return append(b, byte(v), byte(v>>8)) }

func append32(b []byte, v uint32) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}

func put32(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}
