package net

import (
	"net/netip"
	"syscall"

	"ukvm.dev/guest/net/dgram"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/udp"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
)

// datagram is a UDP socket.
type datagram struct {
	common
	end            udp.Endpoint
	shutRD, shutWR bool
	pmtu           int
	all            bool // IP_MULTICAST_ALL: remembered only
}

var _ Socket = (*datagram)(nil)

func (s *Stack) newDatagram(v6 bool) Socket {
	k := &datagram{common: common{stack: s, v6: v6, typ: sockDgram, protocol: wire.ProtoUDP}, pmtu: ipPMTUWant}
	s.boxes.UDP.Open(&k.end, s.limits.UDPDefault)
	k.end.Any = k.any()
	k.end.Upcall = k.event
	return k
}

func (k *datagram) event(raised ready.Events) { k.tell(k.ready(), raised) }

func (k *datagram) ready() ready.Events {
	r := k.end.Ready()
	if k.shutRD {
		r |= ready.In | ready.RdHup
		if k.shutWR {
			r |= ready.Hup
		}
	}
	return r
}

func (k *datagram) Bind(local netip.AddrPort) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if _, port := k.end.Local(); port != 0 {
		return syscall.EINVAL
	}
	addr, ok := k.localAddr(local.Addr(), true)
	if !ok {
		return syscall.EADDRNOTAVAIL
	}
	k.end.ReuseAddr, k.end.ReusePort, k.end.Link = k.reuseAddr, k.reusePort, k.device
	return errnoOf(k.end.Bind(addr, local.Port()))
}

func (k *datagram) Connect(peer netip.AddrPort) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if !peer.IsValid() {
		k.end.Disconnect()
		return 0
	}
	peer, link, e := k.peerAddr(peer)
	if e != 0 {
		return e
	}
	return errnoOf(k.end.ConnectVia(peer, link))
}

func (k *datagram) Listen(int) syscall.Errno { return syscall.EOPNOTSUPP }

func (k *datagram) Accept() (Socket, netip.AddrPort, syscall.Errno) {
	return nil, netip.AddrPort{}, syscall.EOPNOTSUPP
}

func (k *datagram) Recv(b []byte, flags int) (int, netip.AddrPort, int, syscall.Errno) {
	return k.RecvMessage(b, flags, nil)
}

// RecvMessage is Recv, and what a posix.Messenger says.
func (k *datagram) RecvMessage(b []byte, flags int, a *posix.Ancillary) (int, netip.AddrPort, int, syscall.Errno) {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return 0, netip.AddrPort{}, 0, e
	}
	defer func() { k.settle(k.ready()) }()
	if err := k.end.Err; err != nil {
		k.end.Err = nil
		return 0, netip.AddrPort{}, 0, errnoOf(err)
	}
	p := k.end.Inbox.Front()
	if p == nil {
		if k.shutRD {
			return 0, netip.AddrPort{}, 0, 0
		}
		return 0, netip.AddrPort{}, 0, syscall.EAGAIN
	}
	n, mflags := take(p, b, flags)
	from := k.outer(p.Src, p.SrcPort, p.Link)
	k.describe(p, a)
	if flags&msgPeek == 0 {
		k.end.Inbox.Drop()
	}
	return n, from, mflags, 0
}

// take copies a datagram for recvmsg(2).
func take(p *packet.Packet, b []byte, flags int) (n, mflags int) {
	n = p.CopyOut(b)
	if n < p.Len() {
		mflags = msgTrunc
	}
	if flags&msgTrunc != 0 {
		n = p.Len()
	}
	return n, mflags
}

func (k *datagram) Send(b []byte, to netip.AddrPort, flags int) (int, syscall.Errno) {
	return k.SendMessage(b, to, flags, nil)
}

// SendMessage is Send, and what a posix.Messenger says.
func (k *datagram) SendMessage(b []byte, to netip.AddrPort, flags int, a *posix.Ancillary) (int, syscall.Errno) {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return 0, e
	}
	link := 0
	switch {
	case k.shutWR:
		return 0, syscall.EPIPE
	case flags&msgOOB != 0:
		return 0, syscall.EOPNOTSUPP
	case to.IsValid():
		var e syscall.Errno
		if to, link, e = k.peerAddr(to); e != 0 {
			return 0, e
		}
		if to.Port() == 0 {
			return 0, syscall.EINVAL
		}
	}
	defer func() { k.settle(k.ready()) }()
	if err := k.end.Err; err != nil {
		k.end.Err = nil
		return 0, errnoOf(err)
	}
	o := dgram.Options{Link: link}
	if e := k.options(&o, a); e != 0 {
		return 0, e
	}
	if err := k.end.SendWith(b, to, o); err != nil {
		return 0, errnoOf(err)
	}
	return len(b), 0
}

func (k *datagram) Shutdown(how int) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	if how < shutRD || how > shutRDWR {
		return syscall.EINVAL
	}
	if !k.end.Peer().IsValid() {
		return syscall.ENOTCONN
	}
	k.shutRD = k.shutRD || how != shutWR
	k.shutWR = k.shutWR || how != shutRD
	k.settle(k.ready())
	return 0
}

func (k *datagram) Name(peer bool) (netip.AddrPort, syscall.Errno) {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return netip.AddrPort{}, e
	}
	if !peer {
		addr, port := k.end.Local()
		if !addr.IsValid() {
			addr = k.end.Any
		}
		return k.outer(addr, port, k.device), 0
	}
	a := k.end.Peer()
	if !a.IsValid() {
		return a, syscall.ENOTCONN
	}
	return k.outer(a.Addr(), a.Port(), k.end.PeerLink()), 0
}

func (k *datagram) Notify(f func(level, raised posix.Events)) {
	k.stack.enter()
	defer k.stack.leave()
	k.register(f, k.ready())
}

func (k *datagram) Close() syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	k.drop()
	k.end.Groups(k.stack.leaveGroup)
	k.end.Close()
	return 0
}
