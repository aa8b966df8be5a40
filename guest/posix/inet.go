package posix

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// inetSocket is a socket of a protocol stack that has registered itself (RegisterFamily).
type inetSocket struct {
	socketBase
	sock       Socket
	stack      Family
	connecting atomic.Bool // connect has returned EINPROGRESS
}

var (
	_ socketObject = (*inetSocket)(nil)
	_ gatherer     = (*inetSocket)(nil)
	_ controller   = (*inetSocket)(nil)
)

// newInet makes a socket of a registered family. Errors: EAFNOSUPPORT, EINVAL and those of Family.Socket.
func (s *System) newInet(family uint16, typ, protocol int) (socketObject, syscall.Errno) {
	f, errno := s.family(family)
	if errno != 0 {
		return nil, errno
	}
	if typ < syscall.SOCK_STREAM || typ > syscall.SOCK_PACKET {
		return nil, syscall.EINVAL
	}
	sock, errno := f.Socket(typ, protocol)
	if errno != 0 {
		return nil, errno
	}
	if protocol == 0 {
		protocol = defaultProtocol(typ)
	}
	return s.wrapInet(f, sock, family, typ, protocol), 0
}

func defaultProtocol(typ int) int {
	switch typ {
	case syscall.SOCK_STREAM:
		return syscall.IPPROTO_TCP
	case syscall.SOCK_DGRAM:
		return syscall.IPPROTO_UDP
	}
	return 0
}

func (s *System) wrapInet(f Family, sock Socket, family uint16, typ, protocol int) *inetSocket {
	o := &inetSocket{sock: sock, stack: f}
	o.initSocket(s, family, typ, protocol)
	sock.Notify(o.state.notify)
	return o
}

// address checks the family of an address and returns what Socket takes; AF_UNSPEC is the zero Addr.
func (o *inetSocket) address(a sockaddr) (Addr, syscall.Errno) {
	if a.family != syscall.AF_UNSPEC && a.family != o.family {
		return Addr{}, syscall.EAFNOSUPPORT
	}
	return a.ip, 0
}

func (o *inetSocket) sockaddr(ip Addr) sockaddr {
	if ip.Family == 0 && ip.Port == 0 {
		return sockaddr{}
	}
	return sockaddr{family: o.family, ip: ip}
}

func (o *inetSocket) read(d *description, p []byte) (int, syscall.Errno) {
	// Servers try to read, and find nothing, more often than not: net/http three times for each request. A stream that is
	// ready to be written to and for nothing else is connected, and has nothing to say; its stack need not be asked.
	if o.typ == syscall.SOCK_STREAM && len(p) > 0 && o.state.now() == EventOut {
		return 0, syscall.EAGAIN
	}
	n, _, _, errno := o.sock.Recv(p, 0)
	return n, errno
}

func (o *inetSocket) write(d *description, p []byte) (int, syscall.Errno) {
	return o.sock.Send(p, Addr{}, 0)
}

func (o *inetSocket) close(d *description) { o.sock.Close() }

func (o *inetSocket) bind(a sockaddr) syscall.Errno {
	ip, errno := o.address(a)
	if errno != 0 {
		return errno
	}
	if ip.Family == 0 {
		return syscall.EAFNOSUPPORT
	}
	return o.sock.Bind(ip)
}

func (o *inetSocket) connect(a sockaddr) syscall.Errno {
	ip, errno := o.address(a)
	if errno != 0 {
		return errno
	}
	switch errno = o.sock.Connect(ip); errno {
	case syscall.EINPROGRESS:
		o.connecting.Store(true)
	case syscall.EISCONN:
		if o.connecting.Swap(false) {
			return 0 // the connection that was in progress has come about
		}
	}
	return errno
}

func (o *inetSocket) listen(backlog int) syscall.Errno {
	if o.typ != syscall.SOCK_STREAM {
		return syscall.EOPNOTSUPP
	}
	return o.sock.Listen(backlog)
}

func (o *inetSocket) accept() (socketObject, sockaddr, syscall.Errno) {
	if o.typ != syscall.SOCK_STREAM {
		return nil, sockaddr{}, syscall.EOPNOTSUPP
	}
	sock, peer, errno := o.sock.Accept()
	if errno != 0 {
		return nil, sockaddr{}, errno
	}
	return o.sys.wrapInet(o.stack, sock, o.family, o.typ, o.protocol), o.sockaddr(peer), 0
}

func (o *inetSocket) receive(p []byte, flags int, c *control) (int, sockaddr, int, syscall.Errno) {
	var n, mflags int
	var from Addr
	var errno syscall.Errno
	if m, ok := o.sock.(Messenger); ok && c != nil {
		n, from, mflags, errno = m.RecvMessage(p, flags, &c.ancillary)
	} else {
		n, from, mflags, errno = o.sock.Recv(p, flags)
	}
	if errno != 0 || from.Family == 0 {
		return n, sockaddr{}, mflags, errno
	}
	return n, o.sockaddr(from), mflags, 0
}

func (o *inetSocket) transmit(p []byte, to sockaddr, flags int, c *control) (int, syscall.Errno) {
	ip, errno := o.address(to)
	if errno != 0 {
		return 0, errno
	}
	if c != nil && len(c.files) > 0 {
		return 0, syscall.EINVAL
	}
	if m, ok := o.sock.(Messenger); ok && c != nil && c.ancillary.Has != 0 {
		return m.SendMessage(p, ip, flags, &c.ancillary)
	}
	return o.sock.Send(p, ip, flags)
}

func (o *inetSocket) shutdown(how int) syscall.Errno { return o.sock.Shutdown(how) }

// name returns an address; a socket that has none yet is bound to the zero address.
func (o *inetSocket) name(peer bool) (sockaddr, syscall.Errno) {
	ip, errno := o.sock.Name(peer)
	return sockaddr{family: o.family, ip: ip}, errno
}

func (o *inetSocket) setOption(level, name int, v []byte) syscall.Errno {
	return o.sock.SetOption(level, name, v)
}

func (o *inetSocket) option(level, name int, v []byte) (int, syscall.Errno) {
	return o.sock.Option(level, name, v)
}

// Queued is an optional ability of a Socket: how many bytes can be read now (FIONREAD; of a datagram socket, of the
// next datagram), and how many have been sent but not acknowledged (TIOCOUTQ).
type Queued interface {
	Queued() (in, out int)
}

const tiocoutq = 0x5411

func (o *inetSocket) ioctl(d *description, request uint32, p unsafe.Pointer) (uintptr, syscall.Errno) {
	switch request {
	case fionread, tiocoutq:
		q, ok := o.sock.(Queued)
		if !ok {
			return 0, syscall.ENOTTY
		}
		in, out := q.Queued()
		if request == tiocoutq {
			in = out
		}
		return result(putInt(p, in))
	}
	return result(o.sys.interfaceIoctl(request, p))
}
