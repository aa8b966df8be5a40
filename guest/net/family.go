package net

import (
	"net/netip"
	"strconv"
	"syscall"

	"ukvm.dev/guest/net/ip6"
	"ukvm.dev/guest/posix"
)

// Socket is a posix.Socket, and does what is written there, with addresses as they are in this package.
type Socket interface {
	Bind(local netip.AddrPort) syscall.Errno
	Connect(peer netip.AddrPort) syscall.Errno
	Listen(backlog int) syscall.Errno
	Accept() (Socket, netip.AddrPort, syscall.Errno)
	Recv(p []byte, flags int) (n int, from netip.AddrPort, mflags int, errno syscall.Errno)
	Send(p []byte, to netip.AddrPort, flags int) (n int, errno syscall.Errno)
	Shutdown(how int) syscall.Errno
	Name(peer bool) (netip.AddrPort, syscall.Errno)
	SetOption(level, name int, v []byte) syscall.Errno
	Option(level, name int, v []byte) (n int, errno syscall.Errno)
	Notify(f func(level, raised posix.Events))
	Close() syscall.Errno
}

// Family is the stack as package posix has it.
func (s *Stack) Family() posix.Family { return family{s} }

// Family6 is the IPv6 family. Interfaces are told of by Family alone.
func (s *Stack) Family6() posix.Family { return family6{s} }

type family struct{ stack *Stack }

type family6 struct{ stack *Stack }

// Socket is posix.Family.
func (f family6) Socket(typ, protocol int) (posix.Socket, syscall.Errno) {
	k, e := f.stack.Socket6(typ, protocol)
	if e != 0 {
		return nil, e
	}
	return posixSocket{k}, 0
}

var (
	_ posix.Interfacer = family{}
	_ posix.Router     = family{}
	_ posix.Interfacer = (*lazyStack)(nil)
	_ posix.Router     = (*lazyStack)(nil)
)

// Socket is posix.Family.
func (f family) Socket(typ, protocol int) (posix.Socket, syscall.Errno) {
	k, e := f.stack.Socket(typ, protocol)
	if e != 0 {
		return nil, e
	}
	return posixSocket{k}, 0
}

// Interfaces is posix.Interfacer.
func (f family) Interfaces() []posix.Interface { return f.stack.Interfaces() }

// Routes is posix.Router.
func (f family) Routes() []posix.Route { return f.stack.routes() }

// posixSocket is a socket as package posix has it. What is not about addresses is the socket's own.
type posixSocket struct{ Socket }

var _ posix.Socket = posixSocket{}

func (k posixSocket) Bind(local posix.Addr) syscall.Errno { return k.Socket.Bind(fromPosix(local)) }

func (k posixSocket) Connect(peer posix.Addr) syscall.Errno { return k.Socket.Connect(fromPosix(peer)) }

func (k posixSocket) Accept() (posix.Socket, posix.Addr, syscall.Errno) {
	conn, peer, e := k.Socket.Accept()
	if e != 0 {
		return nil, posix.Addr{}, e
	}
	return posixSocket{conn}, toPosix(peer), 0
}

func (k posixSocket) Recv(p []byte, flags int) (n int, from posix.Addr, mflags int, e syscall.Errno) {
	n, peer, mflags, e := k.Socket.Recv(p, flags)
	return n, toPosix(peer), mflags, e
}

func (k posixSocket) Send(p []byte, to posix.Addr, flags int) (int, syscall.Errno) {
	return k.Socket.Send(p, fromPosix(to), flags)
}

// messenger is a Socket that knows more of datagrams than their bytes: see posix.Messenger.
type messenger interface {
	RecvMessage(p []byte, flags int, a *posix.Ancillary) (n int, from netip.AddrPort, mflags int, e syscall.Errno)
	SendMessage(p []byte, to netip.AddrPort, flags int, a *posix.Ancillary) (n int, e syscall.Errno)
}

var _ posix.Messenger = posixSocket{}

func (k posixSocket) RecvMessage(p []byte, flags int, a *posix.Ancillary) (int, posix.Addr, int, syscall.Errno) {
	m, ok := k.Socket.(messenger)
	if !ok {
		return k.Recv(p, flags)
	}
	n, peer, mflags, e := m.RecvMessage(p, flags, a)
	return n, toPosix(peer), mflags, e
}

func (k posixSocket) SendMessage(p []byte, to posix.Addr, flags int, a *posix.Ancillary) (int, syscall.Errno) {
	m, ok := k.Socket.(messenger)
	if !ok {
		return k.Send(p, to, flags)
	}
	return m.SendMessage(p, fromPosix(to), flags, a)
}

func (k posixSocket) Name(peer bool) (posix.Addr, syscall.Errno) {
	a, e := k.Socket.Name(peer)
	return toPosix(a), e
}

func fromPosix(a posix.Addr) netip.AddrPort {
	switch a.Family {
	case syscall.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a.IP[:4])), a.Port)
	case syscall.AF_INET6:
		ip := netip.AddrFrom16(a.IP)
		if a.Scope != 0 && !ip.Is4In6() {
			ip = ip.WithZone(strconv.FormatUint(uint64(a.Scope), 10))
		}
		return netip.AddrPortFrom(ip, a.Port)
	}
	return netip.AddrPort{}
}

func toPosix(a netip.AddrPort) posix.Addr {
	switch ip := a.Addr(); {
	case ip.Is4():
		return posix.Addr4(ip.As4(), a.Port())
	case ip.Is6():
		scope, _ := strconv.ParseUint(ip.Zone(), 10, 32)
		return posix.Addr{Family: syscall.AF_INET6, Port: a.Port(), Scope: uint32(scope), IP: ip.As16()}
	}
	return posix.Addr{}
}

// prefixes6 are the IPv6 addresses of an interface for package posix.
func prefixes6(l *ip6.Link) (all []posix.Prefix) {
	for _, p := range l.Addrs() {
		a := posix.Addr{Family: syscall.AF_INET6, IP: p.Addr().As16()}
		all = append(all, posix.Prefix{Addr: a, Bits: p.Bits()})
	}
	return all
}

// prefixes are the addresses of an interface for package posix.
func prefixes(list []netip.Prefix) (all []posix.Prefix) {
	for _, p := range list {
		all = append(all, posix.Prefix{Addr: toPosix(netip.AddrPortFrom(p.Addr(), 0)), Bits: p.Bits()})
	}
	return all
}
