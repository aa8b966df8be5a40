package tcpproxy

import (
	"errors"
	"fmt"
	"net"

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

// readLocked takes what the socket has into the buffer towards the guest, as far as the guest has room for it.
func (p *Proxy) readLocked(c *conn) {
	for c.readable && !c.hostEnded && c.fd >= 0 {
		// Even a window that is shut lets something in, so that there is a reason to probe it.
		room := max(min(c.window, p.shareLocked()), smallPiece) - c.send.size
		if room <= 0 || c.unsent() >= largePiece {
			return
		}
		n, err := p.readPieceLocked(c, room)
		switch {
		case n > 0:
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

// readPieceLocked reads once, at most room bytes: into the last piece if that has room that is worth it, into a new one if
// the connection moves much, and else by way of the scratch buffer. So pieces are mostly full, whatever comes.
func (p *Proxy) readPieceLocked(c *conn, room int) (n int, err error) {
	into, piece := c.send.tail(), []byte(nil)
	direct := len(into) >= min(room, ackBytes)
	if !direct {
		into = p.scratch[:]
		if c.lastRead >= ackBytes && room >= largePiece/2 {
			piece = p.memory.get(largePiece)
			into = piece[:cap(piece)]
		}
	}
	into = into[:min(room, len(into))]
	p.vector.Add(into)
	n, err = p.vector.Read(c.fd)
	switch {
	case n <= 0:
		if piece != nil {
			p.memory.put(piece)
		}
		return 0, err
	case direct:
		c.send.grow(n)
	case piece != nil:
		c.send.appendPiece(into[:n])
	default:
		c.send.append(&p.memory, into[:n])
	}
	c.lastRead = n
	// A short read has emptied the socket, and an event tells of more; but the one of its end may have come already.
	c.readable = n == len(into) || c.hungUp
	return n, nil
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
		for _, b := range parts {
			p.vector.Add(b)
		}
		n, err := p.vector.Write(c.fd)
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
