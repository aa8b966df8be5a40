package net

import (
	"net/netip"
	"syscall"

	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
)

// Socket makes a socket of the IPv4 family: stream (TCP), datagram (UDP, or ICMP echo as in Linux's ping sockets), raw
// (ICMP only).
func (s *Stack) Socket(typ, protocol int) (Socket, syscall.Errno) {
	s.enter()
	defer s.leave()
	var make func() Socket
	switch typ {
	case sockStream:
		if protocol == 0 || protocol == wire.ProtoTCP {
			make = s.newStream
		}
	case sockDgram:
		switch protocol {
		case 0, wire.ProtoUDP:
			make = s.newDatagram
		case wire.ProtoICMP:
			make = func() Socket { return s.newPing(false) }
		}
	case sockRaw:
		if protocol == wire.ProtoICMP {
			make = func() Socket { return s.newPing(true) }
		}
	default:
		return nil, syscall.ESOCKTNOSUPPORT
	}
	if make == nil {
		return nil, syscall.EPROTONOSUPPORT
	}
	if err := s.newSocket(); err != nil {
		return nil, errnoOf(err)
	}
	return make(), 0
}

// common is what all sockets have. The stack's lock guards it.
type common struct {
	stack    *Stack
	typ      int
	protocol int
	notify   func(level, raised posix.Events)
	told     ready.Events // level as notify last heard it
	closed   bool

	reuseAddr, reusePort bool
	broadcast, oobInline bool
	device               int // index of the interface it is bound to (SO_BINDTODEVICE)
	priority             int
}

// tell passes on what a box has announced. Level is what the socket is ready for now.
func (k *common) tell(level, raised ready.Events) {
	if k.notify != nil {
		k.told = level
		k.notify(posix.Events(level), posix.Events(raised))
	}
}

// settle tells of a level that an operation on the socket itself, rather than the box, has changed.
func (k *common) settle(level ready.Events) {
	if level != k.told {
		k.tell(level, level&^k.told)
	}
}

// register is Notify: it also says at once what the socket, which may have come from Accept with data already in it, is
// ready for.
func (k *common) register(f func(level, raised posix.Events), level ready.Events) {
	k.notify = f
	k.tell(level, level)
}

// drop is the common part of Close. It reports false if that has been done.
func (k *common) drop() bool {
	if k.closed {
		return false
	}
	k.closed = true
	k.notify = nil
	k.stack.sockets--
	return true
}

// localAddr turns what bind(2) was given into a box's address, in which the zero Addr stands for all. ok is false if it
// is not an address of this host.
func (k *common) localAddr(a netip.Addr, groups bool) (addr netip.Addr, ok bool) {
	a = a.Unmap()
	ip := &k.stack.boxes.IP4
	switch {
	case !a.IsValid() || a.IsUnspecified():
		return netip.Addr{}, true
	case !a.Is4():
		return netip.Addr{}, false
	case ip.IsLocal(a):
		return a, true
	case groups && (a.IsMulticast() || ip.IsBroadcast(a)):
		return a, true
	}
	return netip.Addr{}, false
}

// peerAddr turns what connect(2) or sendto(2) was given into a destination: 0.0.0.0 is this host, as on Linux.
func peerAddr(a netip.AddrPort) (netip.AddrPort, bool) {
	addr := a.Addr().Unmap()
	if !addr.Is4() {
		return a, false
	}
	if addr.IsUnspecified() {
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.AddrPortFrom(addr, a.Port()), true
}

// name makes an address for getsockname(2) and the like.
func name(addr netip.Addr, port uint16) netip.AddrPort {
	if !addr.IsValid() {
		addr = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(addr, port)
}
