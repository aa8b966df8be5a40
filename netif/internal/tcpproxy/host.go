package tcpproxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
)

// noSlot is the number in events of descriptors that are not ours.
const noSlot = -1

// slot is what an event is for. A number can be in use again when an event of its earlier user is looked at, so events
// carry the generation too.
type slot struct {
	generation int32
	conn       *conn
	listener   *listener
}

// listener is a published port.
type listener struct {
	fd     int
	port   uint16 // of the guest
	slot   int32
	paused bool // accept failed for want of resources
}

// acceptRetry is the pause after that.
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

// watchLocked gives fd a slot.
func (p *Proxy) watchLocked(fd int, events uint32, s slot) (int32, error) {
	if len(p.freeSlots) == 0 {
		p.freeSlots = append(p.freeSlots, int32(len(p.slots)))
		p.slots = append(p.slots, slot{})
	}
	number := p.freeSlots[len(p.freeSlots)-1]
	s.generation = p.slots[number].generation + 1
	event := unix.EpollEvent{Events: events, Fd: number, Pad: s.generation}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return noSlot, fmt.Errorf("watch socket: %w", syscallError("epoll_ctl", err))
	}
	p.freeSlots = p.freeSlots[:len(p.freeSlots)-1]
	p.slots[number] = s
	return number, nil
}

// attachLocked makes fd the socket of c, and closes it if that fails.
func (p *Proxy) attachLocked(c *conn, fd int) bool {
	c.fd = fd
	c.readable, c.writable = true, true // until a call says otherwise
	var err error
	c.slot, err = p.watchLocked(fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET, slot{conn: c})
	if err != nil {
		p.resetHostLocked(c)
	}
	return err == nil
}

// takeSocket gives the descriptor of a socket to us: the runtime's poller does not need to look after it any more.
func takeSocket(socket *net.TCPConn) (fd int, err error) {
	defer socket.Close()
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1, err
	}
	if e := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return -1, e
	}
	return fd, err
}

// resetConn closes c so that the peer gets a reset, if c can do that.
func resetConn(c net.Conn) {
	if c, ok := c.(interface{ SetLinger(int) error }); ok {
		c.SetLinger(0)
	}
	c.Close()
}

// resetHostLocked closes the socket of c with a reset.
func (p *Proxy) resetHostLocked(c *conn) {
	if c.fd >= 0 {
		unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	p.closeLocked(c)
}

// closeLocked closes the socket of c, which ends its events.
func (p *Proxy) closeLocked(c *conn) {
	if p.gather.conn == c {
		p.gather.drop()
	}
	if c.fd < 0 {
		return
	}
	unix.Close(c.fd)
	c.fd = -1
	if c.slot != noSlot {
		p.slots[c.slot].conn = nil
		p.freeSlots = append(p.freeSlots, c.slot)
		c.slot = noSlot
	}
	c.readable, c.writable = false, false
}

// pollLocked takes the events that are there.
func (p *Proxy) pollLocked() {
	for {
		n, err := unix.EpollWait(p.epoll, p.events[:], 0)
		if err != nil || n <= 0 {
			return
		}
		for _, e := range p.events[:n] {
			if e.Fd == noSlot {
				continue
			}
			s := p.slots[e.Fd]
			switch {
			case s.generation != e.Pad: // of a socket that is closed
			case s.listener != nil:
				p.acceptLocked(s.listener)
			case s.conn != nil:
				p.eventLocked(s.conn, e.Events)
			}
		}
		if n < len(p.events) {
			return
		}
	}
}

func (p *Proxy) eventLocked(c *conn, events uint32) {
	if events&(unix.EPOLLHUP|unix.EPOLLERR|unix.EPOLLRDHUP) != 0 {
		c.hungUp = true
	}
	if events&unix.EPOLLERR != 0 {
		// A reset passes what the guest has no window for.
		if code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			p.abortLocked(c)
			return
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLRDHUP) != 0 {
		c.readable = true
		if c.state == established {
			p.readyLocked(c)
		}
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP) != 0 {
		c.writable = true
		p.writeLocked(c)
	}
}

// acceptLocked takes the clients that wait.
func (p *Proxy) acceptLocked(l *listener) {
	for {
		fd, addr, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			p.clientLocked(fd, addr, l.port)
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		default: // no descriptors or memory left
			p.config.Table.Lost()
			l.paused = true
			unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, l.fd, nil)
			now := p.now()
			p.scheduleLocked(now+int64(acceptRetry), now)
			return
		}
	}
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
	if ok && p.config.Table.Begin() != Granted {
		ok = false
	} else if !ok {
		p.config.Table.Refuse()
	}
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
			key := connKey{addr: peer.Addr().As4(), port: peer.Port(), guest: port}
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

// readLocked takes what the socket has into the buffer towards the guest, as far as the guest has room for it.
func (p *Proxy) readLocked(c *conn) {
	for c.readable && !c.hostEnded && c.fd >= 0 {
		// Even a window that is shut lets something in, so that there is a reason to probe it.
		room := max(min(c.window, p.shareLocked()), smallPiece) - c.send.size
		if room <= 0 || c.unsent() >= largePiece {
			return
		}
		// A connection that moves much reads into pieces of its own, others by way of the scratch buffer.
		into := p.scratch[:min(room, len(p.scratch))]
		var piece []byte
		if c.lastRead >= ackBytes {
			piece = p.memory.get(largePiece)
			into = piece[:min(room, largePiece)]
		}
		n, err := unix.Read(c.fd, into)
		if n > 0 {
			c.lastRead = n
			if piece != nil {
				c.send.appendPiece(piece[:n])
			} else {
				c.send.append(&p.memory, into[:n])
			}
			// A short read has emptied the socket, and an event tells of more; but the one of its end has come already.
			c.readable = n == len(into) || c.hungUp
			continue
		}
		if piece != nil {
			p.memory.put(piece)
		}
		switch {
		case err == nil:
			c.hostEnded = true
			c.readable = false
		case errors.Is(err, unix.EAGAIN):
			c.readable = false
		case errors.Is(err, unix.EINTR):
		default:
			p.abortLocked(c)
		}
	}
}

// gather is payload of one connection that lies in frames of the guest.
type gather struct {
	conn  *conn
	parts [][]byte
}

// gatherParts is how many pieces are written at once, at most; the kernel takes 1024 (UIO_MAXIOV).
const gatherParts = 64

func (g *gather) drop() {
	clear(g.parts)
	g.parts = g.parts[:0]
	g.conn = nil
}

// gatherLocked notes n bytes of a frame for c's socket.
func (p *Proxy) gatherLocked(c *conn, f *netif.Frame, off, n int) {
	if p.gather.conn != c {
		p.flushLocked()
		p.gather.conn = c
	}
	eachOf(f, off, n, func(b []byte) { p.gather.parts = append(p.gather.parts, b) })
	if len(p.gather.parts) >= gatherParts {
		p.flushLocked()
	}
}

// Flush writes what Input has gathered; the frames are not used afterwards. It reports whether Output has something to
// say.
func (p *Proxy) Flush() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushLocked()
	return !p.ready.empty()
}

// flushLocked writes what is gathered to its socket, and keeps what that has no room for.
func (p *Proxy) flushLocked() {
	c := p.gather.conn
	if c == nil {
		return
	}
	parts := p.gather.parts
	if c.pend.size == 0 && c.writable {
		n, err := unix.Writev(c.fd, parts)
		switch {
		case err == nil:
			for n > 0 {
				if n < len(parts[0]) {
					parts[0] = parts[0][n:]
					break
				}
				n -= len(parts[0])
				parts = parts[1:]
			}
			if len(parts) > 0 {
				c.writable = false // an event tells of room
			}
		case errors.Is(err, unix.EAGAIN):
			c.writable = false
		case errors.Is(err, unix.EINTR):
		default:
			p.abortLocked(c)
			parts = nil
		}
	}
	for _, b := range parts {
		c.pend.append(&p.memory, b)
	}
	p.gather.drop()
	if c.pend.size > 0 && c.writable {
		p.writeLocked(c)
	}
}

// writeLocked writes what waits for the socket.
func (p *Proxy) writeLocked(c *conn) {
	if c.state != established {
		return
	}
	for c.pend.size > 0 && c.writable {
		var parts [8][]byte
		n := 0
		c.pend.each(0, c.pend.size, func(b []byte) {
			if n < len(parts) {
				parts[n] = b
				n++
			}
		})
		wrote, err := unix.Writev(c.fd, parts[:n])
		switch {
		case err == nil:
			c.pend.discard(&p.memory, wrote)
		case errors.Is(err, unix.EAGAIN):
			c.writable = false
		case errors.Is(err, unix.EINTR):
		default:
			p.abortLocked(c)
			return
		}
	}
	p.shutHostLocked(c)
	// The guest learns that there is room again when it is worth a segment (RFC 9293 section 3.8.6.2.2).
	if room := p.roomLocked(c); room-int(c.adv-c.rcv) >= min(2*c.segment, p.shareLocked()/2) {
		p.ackLocked(c)
	}
	p.finishLocked(c)
}

// shutHostLocked passes the guest's end on when everything before it is written.
func (p *Proxy) shutHostLocked(c *conn) {
	if !c.guestEnded || c.hostShut || c.pend.size > 0 || c.state != established {
		return
	}
	if err := unix.Shutdown(c.fd, unix.SHUT_WR); err != nil && !errors.Is(err, unix.ENOTCONN) {
		p.abortLocked(c)
		return
	}
	c.hostShut = true
}
