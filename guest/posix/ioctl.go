package posix

import (
	"syscall"
	"unsafe"
)

// Requests of ioctl(2) (asm-generic/ioctls.h).
const (
	tcgets   = 0x5401
	fionread = 0x541b
	fionbio  = 0x5421
	fioasync = 0x5452
	fionclex = 0x5450
	fioclex  = 0x5451
)

// sysIoctl is ioctl(2).
func sysIoctl(s *System, a args) (uintptr, syscall.Errno) {
	d, errno := s.get(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	if d.isPath() {
		return 0, syscall.EBADF
	}
	request := uint32(a.a2)
	switch request {
	case fionbio:
		if a.p3 == nil {
			return 0, syscall.EFAULT
		}
		flags := d.flags.Load() &^ syscall.O_NONBLOCK
		if *(*int32)(a.p3) != 0 {
			flags |= syscall.O_NONBLOCK
		}
		s.setStatus(d, flags)
		return 0, 0
	case fioasync:
		return 0, 0
	case fioclex, fionclex:
		flag := uintptr(0)
		if request == fioclex {
			flag = syscall.FD_CLOEXEC
		}
		_, errno := s.gate.Fcntl(fdOf(a.a1), syscall.F_SETFD, flag)
		return 0, errno
	}
	if c, ok := d.object.(controller); ok {
		return c.ioctl(d, request, a.p3)
	}
	if f, ok := d.object.(*regular); ok && request == fionread {
		d.mu.Lock()
		pos := d.pos
		d.mu.Unlock()
		return result(putInt(a.p3, int(max(0, f.Attr().Size-pos))))
	}
	return 0, syscall.ENOTTY
}

// putInt stores an int of C.
func putInt(p unsafe.Pointer, n int) syscall.Errno {
	if p == nil {
		return syscall.EFAULT
	}
	*(*int32)(p) = int32(n)
	return 0
}
