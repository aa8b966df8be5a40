package posix

import (
	"sync/atomic"
	"syscall"
	"time"
)

// socketObject is a socket of any family. Like all objects it never waits: EAGAIN says that a call would have to.
type socketObject interface {
	object
	base() *socketBase
	bind(a sockaddr) syscall.Errno
	// connect returns EINPROGRESS if EventOut will follow, EAGAIN if it may be tried again after EventOut.
	connect(a sockaddr) syscall.Errno
	listen(backlog int) syscall.Errno
	accept() (socketObject, sockaddr, syscall.Errno)
	// receive stores data into p. flags are MSG_PEEK, MSG_TRUNC and MSG_OOB. What came along goes to c unless it is
	// nil. mflags are those recvmsg(2) reports.
	receive(p []byte, flags int, c *control) (n int, from sockaddr, mflags int, errno syscall.Errno)
	// transmit sends p, with c unless it is nil. The zero address means the connected peer.
	transmit(p []byte, to sockaddr, flags int, c *control) (int, syscall.Errno)
	shutdown(how int) syscall.Errno
	name(peer bool) (sockaddr, syscall.Errno)
	// setOption and option serve what socketBase does not.
	setOption(level, name int, v []byte) syscall.Errno
	option(level, name int, v []byte) (int, syscall.Errno)
}

// socketBase is what all sockets have.
type socketBase struct {
	*anonymous
	sys      *System
	state    readiness
	family   uint16
	typ      int
	protocol int

	receiveTimeout atomic.Int64 // ns, 0: none
	sendTimeout    atomic.Int64
}

func (b *socketBase) initSocket(s *System, family uint16, typ, protocol int) {
	b.anonymous = s.newAnonymous(deviceSockets, syscall.S_IFSOCK|0o777)
	b.sys, b.family, b.typ, b.protocol = s, family, typ, protocol
	b.state.init(s.core)
}

func (b *socketBase) base() *socketBase { return b }

func (b *socketBase) ready() *readiness { return &b.state }

// gather says that a datagram is one piece.
func (b *socketBase) gather(n int) bool { return b.typ != syscall.SOCK_STREAM }

// timeoutOf is how long a call on an object waits: SO_RCVTIMEO or SO_SNDTIMEO of a socket.
func timeoutOf(o object, e Events) time.Duration {
	so, ok := o.(socketObject)
	switch {
	case !ok:
		return 0
	case e == EventIn:
		return time.Duration(so.base().receiveTimeout.Load())
	}
	return time.Duration(so.base().sendTimeout.Load())
}

// socket returns the socket of a descriptor argument. The caller releases d. Errors: EBADF, ENOTSOCK.
func (s *System) socket(fd uintptr) (*description, socketObject, syscall.Errno) {
	d, errno := s.get(fd)
	if errno != 0 {
		return nil, nil, s.refuse(fd, syscall.ENOTSOCK)
	}
	so, ok := d.object.(socketObject)
	if !ok {
		errno = syscall.ENOTSOCK
		if d.isPath() {
			errno = syscall.EBADF
		}
		d.release()
		return nil, nil, errno
	}
	return d, so, 0
}

// newSocket makes a socket. Errors: EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT.
func (s *System) newSocket(family uint16, typ, protocol int) (socketObject, syscall.Errno) {
	switch family {
	case syscall.AF_UNIX:
		return s.newUnix(typ, protocol)
	case syscall.AF_NETLINK:
		return s.newNetlink(typ, protocol)
	}
	return s.newInet(family, typ, protocol)
}

const socketTypeMask = 0xf

// socketFlags splits SOCK_NONBLOCK and SOCK_CLOEXEC off a type. Errors: EINVAL.
func socketFlags(v uintptr) (typ int, status uint32, cloexec bool, errno syscall.Errno) {
	flags := uint32(v) &^ socketTypeMask
	if flags&^(syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC) != 0 {
		return 0, 0, false, syscall.EINVAL
	}
	return int(v & socketTypeMask), flags & syscall.O_NONBLOCK, flags&syscall.SOCK_CLOEXEC != 0, 0
}

// sysSocket is socket(2).
func sysSocket(s *System, a args) (uintptr, syscall.Errno) {
	typ, status, cloexec, errno := socketFlags(a.a2)
	if errno != 0 {
		return 0, errno
	}
	so, errno := s.newSocket(uint16(a.a1), typ, int(int32(a.a3)))
	if errno != 0 {
		return 0, errno
	}
	return count(s.install(newDescription(so, syscall.O_RDWR|status), 0, cloexec))
}

// sysSocketpair is socketpair(2). Errors: EOPNOTSUPP for all families but AF_UNIX.
func sysSocketpair(s *System, a args) (uintptr, syscall.Errno) {
	typ, status, cloexec, errno := socketFlags(a.a2)
	if errno != 0 {
		return 0, errno
	}
	if a.p4 == nil {
		return 0, syscall.EFAULT
	}
	if family := uint16(a.a1); family != syscall.AF_UNIX {
		so, errno := s.newSocket(family, typ, int(int32(a.a3)))
		if errno != 0 {
			return 0, errno
		}
		so.close(nil)
		return 0, syscall.EOPNOTSUPP
	}
	x, y, errno := s.newUnixPair(typ, int(int32(a.a3)))
	if errno != 0 {
		return 0, errno
	}
	second := newDescription(y, syscall.O_RDWR|status)
	fd1, errno := s.install(newDescription(x, syscall.O_RDWR|status), 0, cloexec)
	if errno != 0 {
		second.release()
		return 0, errno
	}
	fd2, errno := s.install(second, 0, cloexec)
	if errno != 0 {
		s.close(fd1)
		return 0, errno
	}
	*(*[2]int32)(a.p4) = [2]int32{int32(fd1), int32(fd2)}
	return 0, 0
}

// sysBind is bind(2).
func sysBind(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	to, errno := sockaddrAt(a.p2, uintptr(uint32(a.a3)))
	if errno != 0 {
		return 0, errno
	}
	return result(so.bind(to))
}

// sysListen is listen(2).
func sysListen(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	backlog := int(int32(a.a2))
	if backlog < 0 || backlog > somaxconn {
		backlog = somaxconn
	}
	return result(so.listen(backlog))
}

// somaxconn is /proc/sys/net/core/somaxconn.
const somaxconn = 4096

// sysConnect is connect(2).
func sysConnect(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	to, errno := sockaddrAt(a.p2, uintptr(uint32(a.a3)))
	if errno != 0 {
		return 0, errno
	}
	errno = so.connect(to)
	if errno != syscall.EINPROGRESS && errno != syscall.EAGAIN || d.nonblocking() {
		return 0, errno
	}
	w := wait{on: so.ready(), events: EventOut, timeout: timeoutOf(so, EventOut)}
	defer w.done()
	for w.more() {
		if errno == syscall.EAGAIN {
			if errno = so.connect(to); errno != syscall.EINPROGRESS && errno != syscall.EAGAIN {
				return 0, errno
			}
			continue
		}
		if so.ready().now()&(EventOut|EventErr|EventHup) != 0 {
			if o, ok := so.(*inetSocket); ok {
				o.connecting.Store(false) // this call has said so
			}
			return result(pendingError(so))
		}
	}
	return 0, errno
}

// pendingError takes a socket's error (SO_ERROR).
func pendingError(so socketObject) syscall.Errno {
	v := make([]byte, 4)
	if _, errno := so.option(syscall.SOL_SOCKET, syscall.SO_ERROR, v); errno != 0 {
		return errno
	}
	return syscall.Errno(get32(v))
}

// sysAccept4 is accept4(2).
func sysAccept4(s *System, a args) (uintptr, syscall.Errno) {
	typ, status, cloexec, errno := socketFlags(a.a4)
	if errno != 0 || typ != 0 {
		return 0, syscall.EINVAL
	}
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	w := wait{on: so.ready(), events: EventIn, never: d.nonblocking(), timeout: timeoutOf(so, EventIn)}
	defer w.done()
	for {
		conn, peer, errno := so.accept()
		if errno == 0 {
			fd, errno := s.install(newDescription(conn, syscall.O_RDWR|status), 0, cloexec)
			if errno != 0 {
				return 0, errno
			}
			if errno = putSockaddr(a.p2, a.p3, peer); errno != 0 {
				s.close(fd)
				return 0, errno
			}
			return uintptr(fd), 0
		}
		if errno != syscall.EAGAIN || !w.more() {
			return 0, errno
		}
	}
}

// sysAccept is accept(2).
func sysAccept(s *System, a args) (uintptr, syscall.Errno) {
	a.a4 = 0
	return sysAccept4(s, a)
}

// sysGetsockname is getsockname(2).
func sysGetsockname(s *System, a args) (uintptr, syscall.Errno) { return s.socketName(a, false) }

// sysGetpeername is getpeername(2).
func sysGetpeername(s *System, a args) (uintptr, syscall.Errno) { return s.socketName(a, true) }

func (s *System) socketName(a args, peer bool) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	name, errno := so.name(peer)
	if errno != 0 {
		return 0, errno
	}
	if a.p2 == nil {
		return 0, syscall.EFAULT
	}
	return result(putSockaddr(a.p2, a.p3, name))
}

// sysShutdown is shutdown(2).
func sysShutdown(s *System, a args) (uintptr, syscall.Errno) {
	d, so, errno := s.socket(a.a1)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	how := int(int32(a.a2))
	if how < syscall.SHUT_RD || how > syscall.SHUT_RDWR {
		return 0, syscall.EINVAL
	}
	return result(so.shutdown(how))
}
