package net

import (
	"syscall"

	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
)

// Socket makes a socket of the IPv4 family: stream (TCP), datagram (UDP, or ICMP echo as in Linux's ping sockets), raw
// (ICMP only).
func (s *Stack) Socket(typ, protocol int) (Socket, syscall.Errno) {
	return s.socket(typ, protocol, false)
}

// Socket6 makes a socket of the IPv6 family, which serves IPv4, too, unless IPV6_V6ONLY is set: stream (TCP), datagram
// (UDP, or ICMPv6 echo), raw (ICMPv6 only).
func (s *Stack) Socket6(typ, protocol int) (Socket, syscall.Errno) {
	return s.socket(typ, protocol, true)
}

func (s *Stack) socket(typ, protocol int, v6 bool) (Socket, syscall.Errno) {
	s.enter()
	defer s.leave()
	icmp := wire.ProtoICMP
	if v6 {
		icmp = wire.ProtoICMPv6
	}
	var make func(v6 bool) Socket
	switch typ {
	case sockStream:
		if protocol == 0 || protocol == wire.ProtoTCP {
			make = s.newStream
		}
	case sockDgram:
		switch protocol {
		case 0, wire.ProtoUDP:
			make = s.newDatagram
		case icmp:
			make = func(v6 bool) Socket { return s.newPing(v6, false) }
		}
	case sockRaw:
		if protocol == icmp {
			make = func(v6 bool) Socket { return s.newPing(v6, true) }
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
	return make(v6), 0
}

// common is what all sockets have. The stack's lock guards it.
type common struct {
	stack    *Stack
	v6       bool // of the IPv6 family
	only6    bool // IPV6_V6ONLY
	typ      int
	protocol int
	notify   func(level, raised posix.Events)
	told     ready.Events // level as notify last heard it
	closed   bool

	reuseAddr, reusePort bool
	broadcast, oobInline bool
	device               int // index of the interface it is bound to (SO_BINDTODEVICE)
	priority             int

	wanted posix.AncillaryFields // the control messages that recvmsg(2) is to have
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
