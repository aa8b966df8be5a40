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

func (s *Stack) newStream(v6 bool) Socket { return s.streamOf(s.boxes.TCP.New(), v6) }

func (s *Stack) streamOf(c *tcp.Conn, v6 bool) *stream {
	k := &stream{common: common{stack: s, v6: v6, typ: sockStream, protocol: wire.ProtoTCP}, conn: c}
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
	k.conn.Options.Link = k.device
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
	peer, link, e := k.peerAddr(peer)
	if e != 0 {
		return e
	}
	if link != 0 {
		k.device = link // as Linux: the connection stays with this interface
		k.conn.Options.Link = link
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
	if _, port := k.conn.Local(); port == 0 {
		if err := k.conn.Bind(k.any(), 0, false, false); err != nil {
			return errnoOf(err)
		}
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
	a := k.stack.streamOf(c, k.v6)
	a.reuseAddr, a.reusePort, a.device, a.priority = k.reuseAddr, k.reusePort, k.device, k.priority
	a.only6 = k.only6
	return a, a.peer(c.Accepted()), 0
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
		addr, port := k.listener.Local()
		return k.outer(addr, port, k.device), 0
	case peer:
		a, ok := k.conn.Remote()
		if !ok {
			return a, syscall.ENOTCONN
		}
		return k.peer(a), 0
	}
	addr, port := k.conn.Local()
	if !addr.IsValid() && port == 0 {
		addr = k.any()
	}
	return k.outer(addr, port, k.device), 0
}

// peer makes the peer's address for the program. A link-local one is on our own address's link.
func (k *stream) peer(a netip.AddrPort) netip.AddrPort {
	if !k.v6 {
		return a
	}
	link := 0
	if a.Addr().IsLinkLocalUnicast() {
		own, _ := k.conn.Local()
		link = k.stack.boxes.IP6.LinkOf(own)
	}
	return k.outer(a.Addr(), a.Port(), link)
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
