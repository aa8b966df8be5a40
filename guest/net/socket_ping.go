package net

import (
	"net/netip"
	"syscall"

	"ukvm.dev/guest/net/icmp4"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
)

// ping is an ICMP socket: of type SOCK_DGRAM one that sends echo requests and gets their replies, with the identifier as
// port; of type SOCK_RAW one that sends whatever ICMP and gets copies of all, with IP headers.
type ping struct {
	common
	end    icmp4.Endpoint
	opened bool
}

var _ Socket = (*ping)(nil)

func (s *Stack) newPing(raw bool) Socket {
	k := &ping{common: common{stack: s, typ: sockDgram, protocol: wire.ProtoICMP}}
	if raw {
		k.typ = sockRaw
	}
	k.end.Raw = raw
	k.end.Inbox.Limit = s.limits.UDPDefault
	k.end.Upcall = k.event
	return k
}

func (k *ping) event(raised ready.Events) { k.tell(k.ready(), raised) }

func (k *ping) ready() ready.Events {
	r := ready.Out
	if k.end.Inbox.Len() > 0 {
		r |= ready.In
	}
	if k.end.Err != nil {
		r |= ready.Err | ready.In
	}
	return r
}

// open enters the end point into the box: at Bind, or before the first use.
func (k *ping) open() syscall.Errno {
	if k.opened {
		return 0
	}
	if err := k.stack.boxes.ICMP4.Open(&k.end); err != nil {
		return errnoOf(err)
	}
	k.opened = true
	return 0
}

func (k *ping) Bind(local netip.AddrPort) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	addr, ok := k.localAddr(local.Addr(), false)
	if !ok {
		return syscall.EADDRNOTAVAIL
	}
	if k.opened && !k.end.Raw {
		return syscall.EINVAL
	}
	k.end.Local = netip.Addr{}
	if !addr.IsUnspecified() {
		k.end.Local = addr
	}
	if !k.end.Raw {
		k.end.ID = local.Port()
	}
	return k.open()
}

func (k *ping) Connect(peer netip.AddrPort) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if !peer.IsValid() {
		k.end.Peer = netip.Addr{}
		return 0
	}
	peer, _, e := k.peerAddr(peer)
	if e != 0 {
		return e
	}
	if _, err := k.stack.boxes.IP4.Route(peer.Addr(), k.end.Local, k.device); err != nil {
		return errnoOf(err)
	}
	k.end.Peer = peer.Addr()
	return k.open()
}

func (k *ping) Listen(int) syscall.Errno { return syscall.EOPNOTSUPP }

func (k *ping) Accept() (Socket, netip.AddrPort, syscall.Errno) {
	return nil, netip.AddrPort{}, syscall.EOPNOTSUPP
}

func (k *ping) Recv(b []byte, flags int) (int, netip.AddrPort, int, syscall.Errno) {
	defer k.stack.leave()
	e := k.lock()
	if e == 0 {
		e = k.open()
	}
	if e == 0 && k.end.Err != nil {
		e = errnoOf(k.end.Err)
		k.end.Err = nil
	}
	p := k.end.Inbox.Front()
	if e == 0 && p == nil {
		e = syscall.EAGAIN
	}
	if e != 0 {
		return 0, netip.AddrPort{}, 0, e
	}
	n, mflags := take(p, b, flags)
	from := netip.AddrPortFrom(p.Src, 0)
	if flags&msgPeek == 0 {
		k.end.Inbox.Drop()
	}
	k.settle(k.ready())
	return n, from, mflags, 0
}

func (k *ping) Send(b []byte, to netip.AddrPort, flags int) (int, syscall.Errno) {
	defer k.stack.leave()
	e := k.lock()
	if e == 0 {
		e = k.open()
	}
	if e != 0 {
		return 0, e
	}
	dst := k.end.Peer
	if to.IsValid() {
		peer, _, e := k.peerAddr(to)
		if e != 0 {
			return 0, e
		}
		dst = peer.Addr()
	}
	if !dst.IsValid() {
		return 0, syscall.EDESTADDRREQ
	}
	r, err := k.stack.boxes.IP4.Route(dst, k.end.Local, k.device)
	if err != nil {
		return 0, errnoOf(err)
	}
	if r.Broadcast && !dst.IsMulticast() && !k.broadcast {
		return 0, syscall.EACCES
	}
	if err := k.end.Send(b, r.Source, dst, r.Link); err != nil {
		return 0, errnoOf(err)
	}
	return len(b), 0
}

func (k *ping) Shutdown(int) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if !k.end.Peer.IsValid() {
		return syscall.ENOTCONN
	}
	return 0
}

func (k *ping) Name(peer bool) (netip.AddrPort, syscall.Errno) {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return netip.AddrPort{}, e
	}
	if !peer {
		return name(k.end.Local, k.end.ID), 0
	}
	if !k.end.Peer.IsValid() {
		return netip.AddrPort{}, syscall.ENOTCONN
	}
	return netip.AddrPortFrom(k.end.Peer, 0), 0
}

func (k *ping) Notify(f func(level, raised posix.Events)) {
	k.stack.enter()
	defer k.stack.leave()
	k.register(f, k.ready())
}

func (k *ping) Close() syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	k.drop()
	k.end.Close()
	return 0
}
