package posix

import (
	"syscall"
	"time"
)

// Options of SOL_SOCKET (socket(7)) that package syscall does not name.
const (
	soProtocol  = 38
	soDomain    = 39
	soRcvTimeo2 = 66 // SO_RCVTIMEO_NEW, the same on 64-bit machines
	soSndTimeo2 = 67
)

// maxOption bounds an option's value.
const maxOption = 4096

// sysSetsockopt is setsockopt(2).
func sysSetsockopt(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	n := int32(a.a5)
	if n < 0 {
		return 0, syscall.EINVAL
	}
	v, errno := memory(a.p4, uintptr(min(n, maxOption)))
	if errno != 0 {
		return 0, errno
	}
	level, name := int(int32(a.a2)), int(int32(a.a3))
	if level == syscall.SOL_SOCKET {
		switch name {
		case syscall.SO_RCVTIMEO, soRcvTimeo2, syscall.SO_SNDTIMEO, soSndTimeo2:
			if len(v) < 16 {
				return 0, syscall.EINVAL
			}
			sec, usec := int64(get64(v)), int64(get64(v[8:]))
			if usec < 0 || usec >= 1e6 {
				return 0, syscall.EDOM
			}
			timeout := &so.base().receiveTimeout
			if name == syscall.SO_SNDTIMEO || name == soSndTimeo2 {
				timeout = &so.base().sendTimeout
			}
			timeout.Store(max(0, min(sec, 1<<33)*1e9+usec*1e3))
			return 0, 0
		case syscall.SO_TYPE, soProtocol, soDomain, syscall.SO_ERROR, syscall.SO_ACCEPTCONN:
			return 0, syscall.ENOPROTOOPT
		}
	}
	return result(so.setOption(level, name, v))
}

func get64(b []byte) uint64 { return uint64(get32(b)) | uint64(get32(b[4:]))<<32 }

// sysGetsockopt is getsockopt(2).
func sysGetsockopt(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	if a.p5 == nil {
		return 0, syscall.EFAULT
	}
	size := (*int32)(a.p5)
	if *size < 0 {
		return 0, syscall.EINVAL
	}
	v, errno := memory(a.p4, uintptr(min(*size, maxOption)))
	if errno != 0 {
		return 0, errno
	}
	level, name := int(int32(a.a2)), int(int32(a.a3))
	n, known := so.base().option(level, name, v)
	if !known {
		if n, errno = so.option(level, name, v); errno != 0 {
			return 0, errno
		}
	}
	*size = int32(n)
	return 0, 0
}

// option serves the options that all sockets have; known is false for others.
func (b *socketBase) option(level, name int, v []byte) (n int, known bool) {
	if level != syscall.SOL_SOCKET {
		return 0, false
	}
	switch name {
	case syscall.SO_TYPE:
		return putOption(v, b.typ), true
	case soDomain:
		return putOption(v, int(b.family)), true
	case soProtocol:
		return putOption(v, b.protocol), true
	case syscall.SO_RCVTIMEO, soRcvTimeo2:
		return putTimeout(v, time.Duration(b.receiveTimeout.Load())), true
	case syscall.SO_SNDTIMEO, soSndTimeo2:
		return putTimeout(v, time.Duration(b.sendTimeout.Load())), true
	}
	return 0, false
}

// putOption stores an int, or as much of it as there is room for.
func putOption(v []byte, n int) int {
	return copy(v, []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
}

// putTimeout stores a struct timeval.
func putTimeout(v []byte, d time.Duration) int {
	var b [16]byte
	put64(b[:], uint64(d/time.Second))
	put64(b[8:], uint64(d%time.Second/time.Microsecond))
	return copy(v, b[:])
}

// intOption is the value of an option that is an int. Errors: EINVAL.
func intOption(v []byte) (int, syscall.Errno) {
	if len(v) < 4 {
		return 0, syscall.EINVAL
	}
	return int(int32(get32(v))), 0
}
