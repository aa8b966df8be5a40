package tcpproxy

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// listener is a published port.
type listener struct {
	fd     int
	port   uint16 // of the guest
	slot   int32
	paused bool // accept failed for want of resources, or too many clients wait for the guest
}

// acceptRetry is how long that lasts at least.
const acceptRetry = 50 * time.Millisecond

// Listen connects to a port of the guest for each client of the listening socket fd, which it takes over.
func (p *Proxy) Listen(fd int, port uint16) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &listener{fd: fd, port: port}
	var err error
	// Level-triggered: what is not accepted now is reported again.
	l.slot, err = p.watchLocked(fd, unix.EPOLLIN, slot{listener: l})
	if err != nil {
		unix.Close(fd)
	}
	return err
}

// acceptBatch is how many clients are taken before something else has its turn.
const acceptBatch = 64

// acceptLocked takes clients that wait. When the guest does not keep up with them they wait where they are: a burst is no
// reason for resets.
func (p *Proxy) acceptLocked(l *listener) {
	for range acceptBatch {
		if p.config.Table.Saturated() {
			p.pauseLocked(l)
			return
		}
		fd, addr, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			p.clientLocked(fd, addr, l.port)
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		default: // no descriptors or memory left
			p.config.Table.Lost()
			p.pauseLocked(l)
			return
		}
	}
}

// pauseLocked takes no clients for a while.
func (p *Proxy) pauseLocked(l *listener) {
	l.paused = true
	unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, l.fd, nil)
	now := p.now()
	p.scheduleLocked(now+int64(acceptRetry), now)
}

// resumeListenersLocked watches those again that were paused; it reports whether one still is.
func (p *Proxy) resumeListenersLocked() (paused bool) {
	for i := range p.slots {
		l := p.slots[i].listener
		if l == nil || !l.paused {
			continue
		}
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: l.slot, Pad: p.slots[i].generation}
		l.paused = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, l.fd, &event) != nil
		paused = paused || l.paused
	}
	return paused
}

// clientLocked begins a connection with the guest for a client.
func (p *Proxy) clientLocked(fd int, addr unix.Sockaddr, port uint16) {
	c := &conn{state: connecting, fd: -1, slot: noSlot}
	key, ok := p.keyLocked(p.config.SeenAs(addrPort(addr)), port)
	if ok = ok && !p.crowdedLocked(); !ok {
		p.config.Table.Refuse()
	}
	ok = ok && p.config.Table.Begin() == Granted
	if !ok {
		c.fd = fd
		p.resetHostLocked(c)
		return
	}
	tune(fd)
	c.key = key
	if !p.attachLocked(c, fd) {
		p.config.Table.Fail()
		return
	}
	p.startLocked(c)
	p.sequenceLocked(c)
	p.readyLocked(c)
}

// keyLocked finds a name for a connection with a port of the guest; peer's port is only a wish.
func (p *Proxy) keyLocked(peer netip.AddrPort, port uint16) (connKey, bool) {
	const tries = 1000
	for range tries {
		if peer.Port() >= FirstPort {
			key := makeKey(peer, netip.AddrPortFrom(p.config.Guest, port))
			if _, taken := p.conns[key]; !taken {
				return key, true
			}
		}
		peer = netip.AddrPortFrom(peer.Addr(), randomPort())
	}
	return connKey{}, false
}

// tune sets what package net sets on its connections.
func tune(fd int) {
	const keepAlive = 15 // seconds
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAlive)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAlive)
}

func addrPort(addr unix.Sockaddr) netip.AddrPort {
	switch a := addr.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}
