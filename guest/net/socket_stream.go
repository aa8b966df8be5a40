package net

import (
	"net/netip"
	"syscall"

	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/tcp"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
)

// stream is a TCP socket: a connection, or a listener once Listen has been called.
type stream struct {
	common
	conn     *tcp.Conn
	listener *tcp.Listener // in place of conn
}

var _ Socket = (*stream)(nil)

func (s *Stack) newStream() Socket { return s.streamOf(s.boxes.TCP.New()) }

func (s *Stack) streamOf(c *tcp.Conn) *stream {
	k := &stream{common: common{stack: s, typ: sockStream, protocol: wire.ProtoTCP}, conn: c}
	c.Upcall = k.event
	return k
}

// event is the Upcall of connection and listener.
func (k *stream) event(raised ready.Events) { k.tell(k.ready(), raised) }

func (k *stream) ready() ready.Events {
	if k.listener != nil {
		return k.listener.Ready()
	}
	return k.conn.Ready()
}

// lock enters the stack; the caller defers leave. It returns EBADF if the socket has been closed.
func (k *common) lock() syscall.Errno {
	k.stack.enter()
	if k.closed {
		return syscall.EBADF
	}
	return 0
}

func (k *stream) Bind(local netip.AddrPort) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if k.listener != nil {
		return syscall.EINVAL
	}
	addr, ok := k.localAddr(local.Addr(), false)
	if !ok {
		return syscall.EADDRNOTAVAIL
	}
	return errnoOf(k.conn.Bind(addr, local.Port(), k.reuseAddr, k.reusePort))
}

func (k *stream) Connect(peer netip.AddrPort) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if k.listener != nil {
		return syscall.EISCONN
	}
	if !peer.IsValid() {
		return syscall.EAFNOSUPPORT // AF_UNSPEC would disconnect, which Linux allows and nobody does
	}
	peer, ok := peerAddr(peer)
	if !ok {
		return syscall.EAFNOSUPPORT
	}
	err := k.conn.Connect(peer)
	if err == tcp.ErrAborted {
		// It has been a connection before. Linux reports how that ended, then starts anew.
		if e := k.conn.Err(); e != nil {
			return errnoOf(e)
		}
		k.conn = k.conn.Again()
		err = k.conn.Connect(peer)
	}
	k.settle(k.ready())
	if err == nil {
		return syscall.EINPROGRESS
	}
	return errnoOf(err)
}

func (k *stream) Listen(backlog int) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if k.listener != nil {
		k.listener.SetBacklog(backlog)
		return 0
	}
	l, err := k.conn.Listen(backlog)
	if err != nil {
		return errnoOf(err)
	}
	k.listener = l
	k.settle(k.ready())
	return 0
}

func (k *stream) Accept() (Socket, netip.AddrPort, syscall.Errno) {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return nil, netip.AddrPort{}, e
	}
	if k.listener == nil {
		return nil, netip.AddrPort{}, syscall.EINVAL
	}
	if k.listener.Ready() == 0 {
		return nil, netip.AddrPort{}, syscall.EAGAIN
	}
	if err := k.stack.newSocket(); err != nil {
		return nil, netip.AddrPort{}, errnoOf(err)
	}
	c := k.listener.Accept()
	k.settle(k.ready())
	a := k.stack.streamOf(c)
	a.reuseAddr, a.reusePort, a.device, a.priority = k.reuseAddr, k.reusePort, k.device, k.priority
	return a, c.Accepted(), 0
}

func (k *stream) Recv(p []byte, flags int) (int, netip.AddrPort, int, syscall.Errno) {
	defer k.stack.leave()
	e := k.lock()
	switch {
	case e != 0:
	case flags&msgOOB != 0:
		e = syscall.EINVAL // there never is urgent data
	case k.listener != nil:
		e = syscall.ENOTCONN
	}
	if e != 0 {
		return 0, netip.AddrPort{}, 0, e
	}
	var (
		n   int
		err error
	)
	if flags&(msgTrunc|msgPeek) == msgTrunc {
		n, err = k.conn.Discard(len(p))
	} else {
		n, err = k.conn.Read(p, flags&msgPeek != 0)
	}
	if len(p) == 0 && err == tcp.ErrWouldBlock {
		err = nil
	}
	k.settle(k.ready())
	return n, netip.AddrPort{}, 0, errnoOf(err)
}

func (k *stream) Send(p []byte, _ netip.AddrPort, flags int) (int, syscall.Errno) {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return 0, e
	}
	if k.listener != nil {
		return 0, syscall.EPIPE
	}
	if flags&msgOOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	n, err := k.conn.Write(p, flags&msgMore != 0)
	k.settle(k.ready())
	return n, errnoOf(err)
}

func (k *stream) Shutdown(how int) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if how < shutRD || how > shutRDWR {
		return syscall.EINVAL
	}
	if k.listener != nil {
		if how == shutWR {
			return 0
		}
		k.stopListening()
		return 0
	}
	if k.conn.State() == tcp.Closed {
		return syscall.ENOTCONN
	}
	if how != shutWR {
		if err := k.conn.CloseRead(); err != nil {
			return errnoOf(err)
		}
	}
	if how != shutRD {
		return errnoOf(k.conn.CloseWrite())
	}
	return 0
}

// stopListening makes an unconnected socket of a listening one, and wakes who waits for connections.
func (k *stream) stopListening() {
	k.conn = k.stack.boxes.TCP.New()
	k.conn.Options = k.listener.Options
	k.conn.Upcall = k.event
	k.listener.Close()
	k.listener = nil
	k.event(ready.In | ready.Hup | ready.RdHup)
}

func (k *stream) Name(peer bool) (netip.AddrPort, syscall.Errno) {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return netip.AddrPort{}, e
	}
	switch {
	case k.listener != nil && peer:
		return netip.AddrPort{}, syscall.ENOTCONN
	case k.listener != nil:
		return name(k.listener.Local()), 0
	case peer:
		a, ok := k.conn.Remote()
		if !ok {
			return a, syscall.ENOTCONN
		}
		return a, 0
	}
	return name(k.conn.Local()), 0
}

func (k *stream) Notify(f func(level, raised posix.Events)) {
	k.stack.enter()
	defer k.stack.leave()
	k.register(f, k.ready())
}

func (k *stream) Close() syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	k.drop()
	if k.listener != nil {
		k.listener.Close()
	} else {
		k.conn.Close()
	}
	return 0
}
