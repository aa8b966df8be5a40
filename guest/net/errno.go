package net

import (
	"syscall"

	"ukvm.dev/guest/net/ip4"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ping"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/tcp"
	"ukvm.dev/guest/net/udp"
)

// errnoOf is the one place where the boxes' errors become Linux's numbers.
func errnoOf(err error) syscall.Errno {
	switch err {
	case nil:
		return 0
	case packet.ErrNetUnreachable, route.ErrNoRoute:
		return syscall.ENETUNREACH
	case packet.ErrHostUnreachable:
		return syscall.EHOSTUNREACH
	case packet.ErrRefused:
		return syscall.ECONNREFUSED
	case packet.ErrProtoUnreachable:
		return syscall.ENOPROTOOPT
	case packet.ErrTooBig:
		return syscall.EMSGSIZE
	case tcp.ErrWouldBlock, udp.ErrWouldBlock:
		return syscall.EAGAIN
	case tcp.ErrInUse, udp.ErrInUse, ping.ErrInUse:
		return syscall.EADDRINUSE
	case tcp.ErrNoPort:
		return syscall.EADDRNOTAVAIL
	case tcp.ErrLimit, udp.ErrLimit, ping.ErrLimit, ip4.ErrLimit, route.ErrTableFull, errTooManySockets:
		return syscall.ENOBUFS
	case tcp.ErrNotConnected:
		return syscall.ENOTCONN
	case tcp.ErrConnected:
		return syscall.EISCONN
	case tcp.ErrInProgress:
		return syscall.EALREADY
	case tcp.ErrShut:
		return syscall.EPIPE
	case tcp.ErrReset:
		return syscall.ECONNRESET
	case tcp.ErrTimeout:
		return syscall.ETIMEDOUT
	case tcp.ErrAborted:
		return syscall.ECONNABORTED
	case udp.ErrBroadcast:
		return syscall.EACCES
	case udp.ErrDestination:
		return syscall.EDESTADDRREQ
	}
	return syscall.EINVAL
}
