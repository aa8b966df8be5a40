package posix

import (
	"sync"
	"syscall"
)

// netlinkSocket is a socket of AF_NETLINK (netlink(7)), protocol NETLINK_ROUTE: it answers requests about network
// interfaces and their addresses. Nothing can be changed through it, and there are no multicast messages.
type netlinkSocket struct {
	socketBase

	mu      sync.Mutex
	port    uint32 // 0: not bound
	groups  uint32
	peer    uint32
	replies [][]byte
}

var (
	_ socketObject = (*netlinkSocket)(nil)
	_ gatherer     = (*netlinkSocket)(nil)
)

// newNetlink makes a socket. Errors: ESOCKTNOSUPPORT, EPROTONOSUPPORT.
func (s *System) newNetlink(typ, protocol int) (socketObject, syscall.Errno) {
	if typ != syscall.SOCK_RAW && typ != syscall.SOCK_DGRAM {
		return nil, syscall.ESOCKTNOSUPPORT
	}
	if protocol != syscall.NETLINK_ROUTE {
		return nil, syscall.EPROTONOSUPPORT
	}
	o := &netlinkSocket{}
	o.initSocket(s, syscall.AF_NETLINK, typ, protocol)
	o.state.notify(EventOut, 0)
	return o, 0
}

func (o *netlinkSocket) read(d *description, p []byte) (int, syscall.Errno) {
	n, _, _, errno := o.receive(p, 0, nil)
	return n, errno
}

func (o *netlinkSocket) write(d *description, p []byte) (int, syscall.Errno) {
	return o.transmit(p, sockaddr{}, 0, nil)
}

func (o *netlinkSocket) close(d *description) {}

// portLocked binds the socket if it is not: to the process id, or to a number of its own if that is taken. Which ports
// are taken is not kept: each socket but the first bound by itself gets a number nobody chooses.
func (o *netlinkSocket) portLocked() uint32 {
	if o.port == 0 {
		o.port = processID
		if n := o.sys.netlinks.Add(1); n > 1 {
			o.port = uint32(-4096 - int64(n))
		}
	}
	return o.port
}

func (o *netlinkSocket) bind(a sockaddr) syscall.Errno {
	if a.family != syscall.AF_NETLINK {
		return syscall.EINVAL
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.port != 0 && a.port != o.port:
		return syscall.EINVAL
	case a.port != 0:
		o.port = a.port
	default:
		o.portLocked()
	}
	o.groups = a.groups
	return 0
}

func (o *netlinkSocket) connect(a sockaddr) syscall.Errno {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch a.family {
	case syscall.AF_UNSPEC:
		o.peer = 0
		return 0
	case syscall.AF_NETLINK:
		o.portLocked()
		o.peer = a.port
		return 0
	}
	return syscall.EINVAL
}

func (o *netlinkSocket) listen(backlog int) syscall.Errno { return syscall.EOPNOTSUPP }

func (o *netlinkSocket) accept() (socketObject, sockaddr, syscall.Errno) {
	return nil, sockaddr{}, syscall.EOPNOTSUPP
}

func (o *netlinkSocket) shutdown(how int) syscall.Errno { return syscall.EOPNOTSUPP }

func (o *netlinkSocket) name(peer bool) (sockaddr, syscall.Errno) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if peer {
		return sockaddr{family: syscall.AF_NETLINK, port: o.peer}, 0
	}
	return sockaddr{family: syscall.AF_NETLINK, port: o.port, groups: o.groups}, 0
}

// transmit takes requests and queues the answers. Errors: ECONNREFUSED for a port other than the kernel's.
func (o *netlinkSocket) transmit(p []byte, to sockaddr, flags int, c *control) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	if to.family != 0 && to.family != syscall.AF_NETLINK {
		return 0, syscall.EINVAL
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if to.port != 0 || to.family == 0 && o.peer != 0 {
		return 0, syscall.ECONNREFUSED
	}
	port := o.portLocked()
	n := len(o.replies)
	o.replies = append(o.replies, answerRoute(p, port, o.sys.interfaces())...)
	if len(o.replies) > n {
		o.state.notify(EventIn|EventOut, EventIn)
	}
	return len(p), 0
}

func (o *netlinkSocket) receive(p []byte, flags int, c *control) (n int, from sockaddr, mflags int, errno syscall.Errno) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.replies) == 0 {
		return 0, from, 0, syscall.EAGAIN
	}
	m := o.replies[0]
	n = copy(p, m)
	if n < len(m) {
		mflags = syscall.MSG_TRUNC
	}
	if flags&syscall.MSG_TRUNC != 0 {
		n = len(m)
	}
	if flags&syscall.MSG_PEEK == 0 {
		if o.replies = o.replies[1:]; len(o.replies) == 0 {
			o.state.notify(EventOut, 0)
		}
	}
	return n, sockaddr{family: syscall.AF_NETLINK}, mflags, 0
}

// setOption accepts buffer sizes, and the options of netlink that only ask for more or less in answers.
func (o *netlinkSocket) setOption(level, name int, v []byte) syscall.Errno {
	const (
		solNetlink = 270

		addMembership, dropMembership, pktInfo, extAck, getStrictCheck, capAck = 1, 2, 3, 11, 12, 10
	)
	if _, errno := intOption(v); errno != 0 {
		return errno
	}
	switch {
	case level == syscall.SOL_SOCKET:
		switch name {
		case syscall.SO_RCVBUF, syscall.SO_SNDBUF, syscall.SO_RCVBUFFORCE, syscall.SO_SNDBUFFORCE, syscall.SO_REUSEADDR:
			return 0
		}
	case level == solNetlink:
		switch name {
		case addMembership, dropMembership, pktInfo, extAck, getStrictCheck, capAck:
			return 0
		}
	}
	return syscall.ENOPROTOOPT
}

func (o *netlinkSocket) option(level, name int, v []byte) (int, syscall.Errno) {
	if level != syscall.SOL_SOCKET {
		return 0, syscall.ENOPROTOOPT
	}
	switch name {
	case syscall.SO_ERROR, syscall.SO_ACCEPTCONN:
		return putOption(v, 0), 0
	case syscall.SO_RCVBUF, syscall.SO_SNDBUF:
		return putOption(v, unixSendLimit), 0
	}
	return 0, syscall.ENOPROTOOPT
}
