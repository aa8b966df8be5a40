package net

import (
	"net/netip"
	"syscall"

	"ukvm.dev/guest/net/dgram"
	"ukvm.dev/guest/net/ping"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
)

// icmpSocket is an ICMP or ICMPv6 socket: of type SOCK_DGRAM one that sends echo requests and gets their replies, with the
// identifier as port; of type SOCK_RAW one that sends whatever and gets copies of all, ICMP's with IP headers.
type icmpSocket struct {
	common
	end      ping.Endpoint
	opened   bool
	peerLink int // of a peer that is reached through one interface only
}

var _ Socket = (*icmpSocket)(nil)

func (s *Stack) newPing(v6, raw bool) Socket {
	k := &icmpSocket{common: common{stack: s, v6: v6, only6: v6, typ: sockDgram, protocol: wire.ProtoICMP}}
	if v6 {
		k.protocol = wire.ProtoICMPv6
	}
	if raw {
		k.typ = sockRaw
	}
	k.end.Raw = raw
	k.end.Sending = dgram.NewSending()
	k.end.Inbox.Limit = s.limits.UDPDefault
	k.end.Upcall = k.event
	return k
}

// box is the one of the socket's version.
func (k *icmpSocket) box() *ping.Box {
	if k.v6 {
		return &k.stack.boxes.Ping6
	}
	return &k.stack.boxes.Ping4
}

func (k *icmpSocket) event(raised ready.Events) { k.tell(k.ready(), raised) }

func (k *icmpSocket) ready() ready.Events {
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
func (k *icmpSocket) open() syscall.Errno {
	if k.opened {
		return 0
	}
	if err := k.box().Open(&k.end); err != nil {
		return errnoOf(err)
	}
	k.opened = true
	return 0
}

func (k *icmpSocket) Bind(local netip.AddrPort) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if k.opened && !k.end.Raw {
		return syscall.EINVAL
	}
	addr, ok := k.localAddr(local.Addr(), false)
	if !ok {
		return syscall.EADDRNOTAVAIL
	}
	k.end.Local, k.end.Link = netip.Addr{}, k.device
	if !addr.IsUnspecified() {
		k.end.Local = addr
	}
	if !k.end.Raw {
		k.end.ID = local.Port()
	}
	return k.open()
}

func (k *icmpSocket) Connect(peer netip.AddrPort) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if !peer.IsValid() {
		k.end.Peer = netip.Addr{}
		return 0
	}
	peer, link, e := k.destination(peer)
	if e != 0 {
		return e
	}
	if _, err := k.stack.route(peer.Addr(), k.end.Local, link); err != nil {
		return errnoOf(err)
	}
	k.end.Peer, k.peerLink = peer.Addr(), link
	return k.open()
}

// destination is peerAddr of a socket that has one version's addresses only. An interface is chosen for groups, too.
func (k *icmpSocket) destination(a netip.AddrPort) (netip.AddrPort, int, syscall.Errno) {
	to, link, e := k.peerAddr(a)
	switch {
	case e != 0:
		return to, 0, e
	case k.v6 && to.Addr().Is4():
		return to, 0, syscall.EINVAL
	case link == 0:
		if link = k.device; link == 0 && to.Addr().IsMulticast() {
			link = k.end.MulticastLink
		}
	}
	return to, link, 0
}

func (k *icmpSocket) Listen(int) syscall.Errno { return syscall.EOPNOTSUPP }

func (k *icmpSocket) Accept() (Socket, netip.AddrPort, syscall.Errno) {
	return nil, netip.AddrPort{}, syscall.EOPNOTSUPP
}

func (k *icmpSocket) Recv(b []byte, flags int) (int, netip.AddrPort, int, syscall.Errno) {
	return k.RecvMessage(b, flags, nil)
}

// RecvMessage is Recv, and what a posix.Messenger says.
func (k *icmpSocket) RecvMessage(b []byte, flags int, a *posix.Ancillary) (int, netip.AddrPort, int, syscall.Errno) {
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
	from := k.outer(p.Src, 0, p.Link)
	k.describe(p, a)
	if flags&msgPeek == 0 {
		k.end.Inbox.Drop()
	}
	k.settle(k.ready())
	return n, from, mflags, 0
}

func (k *icmpSocket) Send(b []byte, to netip.AddrPort, flags int) (int, syscall.Errno) {
	return k.SendMessage(b, to, flags, nil)
}

// SendMessage is Send, and what a posix.Messenger says.
func (k *icmpSocket) SendMessage(b []byte, to netip.AddrPort, flags int, a *posix.Ancillary) (int, syscall.Errno) {
	defer k.stack.leave()
	e := k.lock()
	if e == 0 {
		e = k.open()
	}
	if e != 0 {
		return 0, e
	}
	dst, o := k.end.Peer, dgram.Options{Link: k.peerLink, Src: k.end.Local}
	if to.IsValid() {
		if to, o.Link, e = k.destination(to); e != 0 {
			return 0, e
		}
		dst = to.Addr()
	}
	if !dst.IsValid() {
		return 0, syscall.EDESTADDRREQ
	}
	if e := k.options(&o, a); e != 0 {
		return 0, e
	}
	r, err := k.stack.route(dst, o.Src, o.Link)
	if err != nil {
		return 0, errnoOf(err)
	}
	if r.Broadcast && !dst.IsMulticast() && !k.broadcast {
		return 0, syscall.EACCES
	}
	o.Src, o.Link = r.Source, r.Link
	if err := k.end.Send(b, dst, o); err != nil {
		return 0, errnoOf(err)
	}
	return len(b), 0
}

func (k *icmpSocket) Shutdown(int) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if !k.end.Peer.IsValid() {
		return syscall.ENOTCONN
	}
	return 0
}

func (k *icmpSocket) Name(peer bool) (netip.AddrPort, syscall.Errno) {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return netip.AddrPort{}, e
	}
	if !peer {
		return k.outer(k.end.Local, k.end.ID, k.device), 0
	}
	if !k.end.Peer.IsValid() {
		return netip.AddrPort{}, syscall.ENOTCONN
	}
	return k.outer(k.end.Peer, 0, k.peerLink), 0
}

func (k *icmpSocket) Notify(f func(level, raised posix.Events)) {
	k.stack.enter()
	defer k.stack.leave()
	k.register(f, k.ready())
}

func (k *icmpSocket) Close() syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	k.drop()
	k.end.Close()
	return 0
}
