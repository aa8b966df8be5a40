package net

import (
	"io"
	gonet "net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/guest/posix"
)

// conn makes a net.Conn (and a net.PacketConn) of a socket, as the system call layer does: it waits for readiness and
// tries again.
type conn struct {
	Socket
	mu       sync.Mutex
	cond     *sync.Cond
	level    posix.Events
	edge     int // counts announcements
	read     time.Time
	write    time.Time
	isClosed bool
}

func blocking(k Socket) *conn {
	c := &conn{Socket: k}
	c.cond = sync.NewCond(&c.mu)
	k.Notify(func(level, raised posix.Events) {
		c.mu.Lock()
		c.level = level
		c.edge++
		c.mu.Unlock()
		c.cond.Broadcast()
	})
	return c
}

// wait tries until the result is not EAGAIN.
func (c *conn) wait(deadline *time.Time, try func() syscall.Errno) error {
	for {
		c.mu.Lock()
		edge := c.edge
		c.mu.Unlock()
		e := try()
		if e == 0 {
			return nil
		}
		if e != syscall.EAGAIN {
			return e
		}
		c.mu.Lock()
		for c.edge == edge && !c.isClosed && !expired(*deadline) {
			c.cond.Wait()
		}
		closed, late := c.isClosed, expired(*deadline)
		c.mu.Unlock()
		if closed {
			return gonet.ErrClosed
		}
		if late {
			return os.ErrDeadlineExceeded
		}
	}
}

func expired(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (c *conn) Read(b []byte) (n int, err error) {
	err = c.wait(&c.read, func() (e syscall.Errno) {
		n, _, _, e = c.Recv(b, 0)
		return e
	})
	if err == nil && n == 0 && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

func (c *conn) Write(b []byte) (done int, err error) {
	for done < len(b) {
		err := c.wait(&c.write, func() syscall.Errno {
			n, e := c.Send(b[done:], netip.AddrPort{}, 0)
			done += n
			return e
		})
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (c *conn) ReadFrom(b []byte) (n int, from netip.AddrPort, err error) {
	err = c.wait(&c.read, func() (e syscall.Errno) {
		n, from, _, e = c.Recv(b, 0)
		return e
	})
	return n, from, err
}

func (c *conn) WriteTo(b []byte, to netip.AddrPort) error {
	return c.wait(&c.write, func() syscall.Errno {
		_, e := c.Send(b, to, 0)
		return e
	})
}

func (c *conn) Close() error {
	c.mu.Lock()
	c.isClosed = true
	c.mu.Unlock()
	c.cond.Broadcast()
	if e := c.Socket.Close(); e != 0 {
		return e
	}
	return nil
}

func (c *conn) CloseWrite() error {
	if e := c.Shutdown(shutWR); e != 0 {
		return e
	}
	return nil
}

func (c *conn) LocalAddr() gonet.Addr {
	a, _ := c.Name(false)
	return gonet.TCPAddrFromAddrPort(a)
}

func (c *conn) RemoteAddr() gonet.Addr {
	a, _ := c.Name(true)
	return gonet.TCPAddrFromAddrPort(a)
}

func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error  { c.setDeadline(&c.read, t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.setDeadline(&c.write, t); return nil }

func (c *conn) setDeadline(d *time.Time, t time.Time) {
	c.mu.Lock()
	*d = t
	c.mu.Unlock()
	c.cond.Broadcast()
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), c.cond.Broadcast)
	}
}

// dial connects and waits for the outcome.
func (h *host) dial(to netip.AddrPort) (*conn, error) {
	make := h.Socket
	if to.Addr().Is6() {
		make = h.Socket6
	}
	k, e := make(sockStream, 0)
	if e != 0 {
		return nil, e
	}
	c := blocking(k)
	if e := c.Connect(to); e != 0 && e != syscall.EINPROGRESS {
		c.Close()
		return nil, e
	}
	c.mu.Lock()
	for c.level&(posix.EventOut|posix.EventErr|posix.EventHup) == 0 {
		c.cond.Wait()
	}
	c.mu.Unlock()
	var v [4]byte
	if c.Option(solSocket, soError, v[:]); v[0] != 0 {
		c.Close()
		return nil, syscall.Errno(v[0])
	}
	return c, nil
}

// listener is a net.Listener.
type listener struct{ *conn }

func (h *host) listenOn(t testing.TB, port uint16) *listener {
	t.Helper()
	return h.listenAt(t, netip.AddrPortFrom(netip.IPv4Unspecified(), port), h.Socket)
}

// listenOn6 makes a listener for both versions of IP.
func (h *host) listenOn6(t testing.TB, port uint16) *listener {
	t.Helper()
	return h.listenAt(t, netip.AddrPortFrom(netip.IPv6Unspecified(), port), h.Socket6)
}

func (h *host) listenAt(t testing.TB, at netip.AddrPort, make func(typ, protocol int) (Socket, syscall.Errno)) *listener {
	t.Helper()
	k, e := make(sockStream, 0)
	if e == 0 {
		e = k.SetOption(solSocket, soReuseAddr, []byte{1, 0, 0, 0})
	}
	if e == 0 {
		e = k.Bind(at)
	}
	if e == 0 {
		e = k.Listen(512)
	}
	if e != 0 {
		t.Fatal(e)
	}
	return &listener{blocking(k)}
}

func (l *listener) Accept() (gonet.Conn, error) {
	var k Socket
	err := l.wait(&l.read, func() (e syscall.Errno) {
		k, _, e = l.conn.Accept()
		return e
	})
	if err != nil {
		return nil, err
	}
	return blocking(k), nil
}

func (l *listener) Addr() gonet.Addr { return l.LocalAddr() }

func (h *host) udp(t testing.TB, port uint16) *conn {
	t.Helper()
	k, e := h.Socket(sockDgram, 0)
	if e == 0 {
		e = k.Bind(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	}
	if e != 0 {
		t.Fatal(e)
	}
	return blocking(k)
}
