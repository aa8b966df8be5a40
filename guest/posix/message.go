package posix

import (
	"syscall"
	"time"
	"unsafe"
)

// mmsghdr is struct mmsghdr (sendmmsg(2)).
type mmsghdr struct {
	hdr syscall.Msghdr
	len uint32
	_   uint32
}

// maxMessages bounds the messages of one sendmmsg or recvmmsg (UIO_MAXIOV).
const maxMessages = 1024

// sysSendmsg is sendmsg(2).
func sysSendmsg(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	if a.p2 == nil {
		return 0, syscall.EFAULT
	}
	return count(s.sendMessage(d, so, (*syscall.Msghdr)(a.p2), int(int32(a.a3))))
}

// sysRecvmsg is recvmsg(2).
func sysRecvmsg(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	if a.p2 == nil {
		return 0, syscall.EFAULT
	}
	return count(s.receiveMessage(d, so, (*syscall.Msghdr)(a.p2), int(int32(a.a3))))
}

// sysSendmmsg is sendmmsg(2).
func sysSendmmsg(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	n := int(min(uint32(a.a3), maxMessages))
	if n > 0 && a.p2 == nil {
		return 0, syscall.EFAULT
	}
	for i := range n {
		m := &unsafe.Slice((*mmsghdr)(a.p2), n)[i]
		sent, errno := s.sendMessage(d, so, &m.hdr, int(int32(a.a4)))
		if errno != 0 {
			return count(partial(i, errno))
		}
		m = &unsafe.Slice((*mmsghdr)(a.p2), n)[i]
		m.len = uint32(sent)
	}
	return uintptr(n), 0
}

// sysRecvmmsg is recvmmsg(2). The time limit counts between messages, as on Linux.
func sysRecvmmsg(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	limit, errno := timeoutAt(a.p5)
	if errno != 0 {
		return 0, errno
	}
	n, flags := int(min(uint32(a.a3), maxMessages)), int(int32(a.a4))
	if n > 0 && a.p2 == nil {
		return 0, syscall.EFAULT
	}
	start := time.Now()
	for i := range n {
		m := &unsafe.Slice((*mmsghdr)(a.p2), n)[i]
		got, errno := s.receiveMessage(d, so, &m.hdr, flags&^msgWaitForOne)
		if errno != 0 {
			return count(partial(i, errno))
		}
		m = &unsafe.Slice((*mmsghdr)(a.p2), n)[i]
		m.len = uint32(got)
		if flags&msgWaitForOne != 0 {
			flags |= syscall.MSG_DONTWAIT
		}
		if limit >= 0 && time.Since(start) >= limit {
			return uintptr(i + 1), 0
		}
	}
	return uintptr(n), 0
}

// sendMessage sends what a msghdr names. h stays in this frame: it and what it points to may lie on the stack.
func (s *System) sendMessage(d *description, so socketObject, h *syscall.Msghdr, flags int) (int, syscall.Errno) {
	to := sockaddr{}
	if h.Name != nil && h.Namelen > 0 {
		var errno syscall.Errno
		if to, errno = sockaddrAt(unsafe.Pointer(h.Name), uintptr(h.Namelen)); errno != 0 {
			return 0, errno
		}
	}
	v, errno := vectorsOf(h)
	if errno != 0 {
		return 0, errno
	}
	var c *control
	if h.Control != nil && h.Controllen > 0 {
		b, _ := memory(unsafe.Pointer(h.Control), uintptr(h.Controllen))
		family := so.base().family
		if so.base().typ == syscall.SOCK_STREAM && family != syscall.AF_UNIX {
			family = syscall.AF_UNSPEC // TCP does not look at what is IP's
		}
		if c, errno = s.parseControl(b, family); errno != 0 {
			return 0, errno
		}
		defer c.drop()
	}
	if p, ok := v.only(); ok {
		return d.transmit(so, p, to, flags, c)
	}
	if so.base().typ != syscall.SOCK_STREAM {
		return d.transmit(so, v.gather(), to, flags, c)
	}
	n := 0
	for i := range v.n {
		p := v.at(i)
		if len(p) == 0 {
			continue
		}
		more := flags
		if i < v.n-1 {
			more |= msgMore
		}
		m, errno := d.transmit(so, p, to, more, c)
		n += m
		c = nil // it went with the first byte
		if errno != 0 || m < len(p) {
			return partial(n, errno)
		}
	}
	return n, 0
}

// vectorsOf are a msghdr's buffers. Errors: EMSGSIZE, EINVAL, EFAULT.
func vectorsOf(h *syscall.Msghdr) (vectors, syscall.Errno) {
	if h.Iovlen > maxVectors {
		return vectors{}, syscall.EMSGSIZE
	}
	return vectorsAt(unsafe.Pointer(h.Iov), uintptr(h.Iovlen))
}

// receiveMessage receives into what a msghdr names.
func (s *System) receiveMessage(d *description, so socketObject, h *syscall.Msghdr, flags int) (n int, errno syscall.Errno) {
	v, errno := vectorsOf(h)
	if errno != 0 {
		return 0, errno
	}
	var c *control
	if h.Control != nil && h.Controllen > 0 {
		c = &control{}
		defer c.drop()
	}
	var from sockaddr
	var mflags int
	p, one := v.only()
	switch {
	case one:
		n, from, mflags, errno = d.receive(so, p, flags, c)
	case so.base().typ != syscall.SOCK_STREAM:
		buf := make([]byte, v.total())
		n, from, mflags, errno = d.receive(so, buf, flags, c)
		v.scatter(buf[:min(n, len(buf))])
	default:
		n, from, mflags, errno = d.receiveStream(so, v, flags, c)
	}
	if errno != 0 {
		return 0, errno
	}
	if h.Name != nil {
		h.Namelen = uint32(storeSockaddr(unsafe.Pointer(h.Name), uintptr(h.Namelen), from))
	} else {
		h.Namelen = 0
	}
	used := 0
	if c != nil {
		b, _ := memory(unsafe.Pointer(h.Control), uintptr(h.Controllen))
		var cut bool
		if used, cut = s.storeControl(b, c, flags&msgCmsgCloexec != 0); cut {
			mflags |= syscall.MSG_CTRUNC
		}
	}
	h.Controllen = uint64(used)
	h.Flags = int32(mflags | flags&msgCmsgCloexec)
	return n, 0
}

// receiveStream receives into several buffers: waiting for the first bytes only, unless all are asked for.
func (d *description) receiveStream(so socketObject, v vectors, flags int, c *control) (n int, from sockaddr, mflags int, errno syscall.Errno) {
	for i := range v.n {
		p := v.at(i)
		if len(p) == 0 {
			continue
		}
		m := 0
		m, from, mflags, errno = d.receive(so, p, flags, c)
		n += m
		if errno != 0 || m < len(p) || flags&syscall.MSG_PEEK != 0 {
			break
		}
		if flags&syscall.MSG_WAITALL == 0 {
			flags |= syscall.MSG_DONTWAIT
		}
	}
	n, errno = partial(n, errno)
	return n, from, mflags, errno
}
