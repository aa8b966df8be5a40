package posix

import "syscall"

// Flags of send and receive calls (recv(2)) that package syscall does not name.
const (
	msgMore        = 0x8000
	msgWaitForOne  = 0x10000
	msgCmsgCloexec = 0x40000000
)

// What of the flags is this package's business; the rest is passed on.
const (
	receiveFlags  = syscall.MSG_PEEK | syscall.MSG_TRUNC | syscall.MSG_OOB
	transmitFlags = syscall.MSG_OOB | msgMore | syscall.MSG_EOR | syscall.MSG_DONTROUTE
)

// receive receives into p, waiting unless the description or the flags forbid it.
func (d *description) receive(so socketObject, p []byte, flags int, c *control) (n int, from sockaddr, mflags int, errno syscall.Errno) {
	if flags&syscall.MSG_ERRQUEUE != 0 {
		return 0, from, 0, syscall.EAGAIN // nothing is ever in it
	}
	all := flags&(syscall.MSG_WAITALL|syscall.MSG_PEEK) == syscall.MSG_WAITALL && so.base().typ == syscall.SOCK_STREAM
	w := wait{
		on: so.ready(), events: EventIn,
		never:   flags&syscall.MSG_DONTWAIT != 0 || d.nonblocking(),
		timeout: timeoutOf(so, EventIn),
	}
	defer w.done()
	for {
		var m int
		m, from, mflags, errno = so.receive(p[n:], flags&receiveFlags, c)
		switch {
		case errno == syscall.EAGAIN && w.more():
			continue
		case errno != 0:
			n, errno = partial(n, errno)
			return n, from, mflags, errno
		}
		n += m
		if !all || m == 0 || n >= len(p) {
			return n, from, mflags, 0
		}
	}
}

// transmit sends p: a stream all of it, if it waits. Errors: EPIPE among others. No SIGPIPE is raised: Go's runtime
// ignores it but for the standard streams, where package os raises it.
func (d *description) transmit(so socketObject, p []byte, to sockaddr, flags int, c *control) (n int, errno syscall.Errno) {
	n, errno = so.transmit(p, to, flags&transmitFlags, c)
	if errno == 0 && n >= len(p) || errno != 0 && errno != syscall.EAGAIN {
		return n, errno
	}
	if flags&syscall.MSG_DONTWAIT != 0 || d.nonblocking() {
		return partial(n, errno)
	}
	w := wait{on: so.ready(), events: EventOut, timeout: timeoutOf(so, EventOut)}
	defer w.done()
	for (n < len(p) || errno == syscall.EAGAIN) && w.more() {
		if n > 0 {
			c = nil // it went with the first byte
		}
		var m int
		m, errno = so.transmit(p[n:], to, flags&transmitFlags, c)
		n += m
		if errno != 0 && errno != syscall.EAGAIN || errno == 0 && n >= len(p) {
			break
		}
	}
	return partial(n, errno)
}

// sysRecvfrom is recvfrom(2).
func sysRecvfrom(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	p, errno := memory(a.p2, a.a3)
	if errno != 0 {
		return 0, errno
	}
	n, from, _, errno := d.receive(so, p, int(int32(a.a4)), nil)
	if errno != 0 {
		return 0, errno
	}
	return uintptr(n), putSockaddr(a.p5, a.p6, from)
}

// sysSendto is sendto(2).
func sysSendto(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	p, errno := memory(a.p2, a.a3)
	if errno != 0 {
		return 0, errno
	}
	to := sockaddr{}
	if a.p5 != nil {
		if to, errno = sockaddrAt(a.p5, uintptr(uint32(a.a6))); errno != 0 {
			return 0, errno
		}
	}
	return count(d.transmit(so, p, to, int(int32(a.a4)), nil))
}
