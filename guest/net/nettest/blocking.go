package nettest

import (
	"io"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"ukvm.dev/guest/posix"
)

// Socket is what Blocking needs of a stack's socket.
type Socket interface {
	Connect(peer netip.AddrPort) syscall.Errno
	Recv(b []byte, flags int) (n int, from netip.AddrPort, mflags int, e syscall.Errno)
	Send(b []byte, to netip.AddrPort, flags int) (int, syscall.Errno)
	Shutdown(how int) syscall.Errno
	Option(level, name int, v []byte) (int, syscall.Errno)
	Notify(f func(level, raised posix.Events))
	Close() syscall.Errno
}

// Conn makes of a socket what package net has for programs, but for addresses: it waits for readiness and tries again, as the
// system call layer does. It is for stacks on a clock that goes by itself, and safe for concurrent use.
type Conn struct {
	socket   Socket
	closed   error // what is said of a Conn that has been closed
	mu       sync.Mutex
	cond     *sync.Cond
	level    posix.Events
	edge     int // counts announcements
	read     time.Time
	write    time.Time
	isClosed bool
}

// Blocking returns a Conn of a socket. closed is the error of what is tried once it is closed: net.ErrClosed, which this
// package must not know.
func Blocking(k Socket, closed error) *Conn {
	c := &Conn{socket: k, closed: closed}
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

// Wait tries until the result is not EAGAIN, or the deadline for reading has passed (os.ErrDeadlineExceeded).
func (c *Conn) Wait(try func() syscall.Errno) error { return c.wait(&c.read, try) }

func (c *Conn) wait(deadline *time.Time, try func() syscall.Errno) error {
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
			return c.closed
		}
		if late {
			return os.ErrDeadlineExceeded
		}
	}
}

func expired(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// Dial connects and waits for the outcome.
func (c *Conn) Dial(to netip.AddrPort) error {
	if e := c.socket.Connect(to); e != 0 && e != syscall.EINPROGRESS {
		return e
	}
	c.mu.Lock()
	for c.level&(posix.EventOut|posix.EventErr|posix.EventHup) == 0 {
		c.cond.Wait()
	}
	c.mu.Unlock()
	var v [4]byte
	if _, e := c.socket.Option(syscall.SOL_SOCKET, syscall.SO_ERROR, v[:]); e != 0 {
		return e
	}
	if v[0] != 0 {
		return syscall.Errno(v[0])
	}
	return nil
}

// Read reads; io.EOF is the end of the stream, os.ErrDeadlineExceeded a deadline that has passed.
func (c *Conn) Read(b []byte) (n int, err error) {
	n, _, err = c.ReadFrom(b)
	if err == nil && n == 0 && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

// Write writes all of b, or says how much of it.
func (c *Conn) Write(b []byte) (done int, err error) {
	for done < len(b) {
		err := c.wait(&c.write, func() syscall.Errno {
			n, e := c.socket.Send(b[done:], netip.AddrPort{}, 0)
			done += n
			return e
		})
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// ReadFrom reads a datagram.
func (c *Conn) ReadFrom(b []byte) (n int, from netip.AddrPort, err error) {
	err = c.wait(&c.read, func() (e syscall.Errno) {
		n, from, _, e = c.socket.Recv(b, 0)
		return e
	})
	return n, from, err
}

// WriteTo sends a datagram.
func (c *Conn) WriteTo(b []byte, to netip.AddrPort) error {
	return c.wait(&c.write, func() syscall.Errno {
		_, e := c.socket.Send(b, to, 0)
		return e
	})
}

// Close closes the socket. Who waits is told.
func (c *Conn) Close() error {
	c.mu.Lock()
	was := c.isClosed
	c.isClosed = true
	c.mu.Unlock()
	c.cond.Broadcast()
	if was {
		return c.closed
	}
	return failure(c.socket.Close())
}

// CloseWrite ends what is written.
func (c *Conn) CloseWrite() error { return failure(c.socket.Shutdown(syscall.SHUT_WR)) }

// failure is nil for 0, which as an error would be none.
func failure(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// SetDeadline is when reading and writing fail at the latest. The zero time is never.
func (c *Conn) SetDeadline(t time.Time) error {
	c.setDeadline(&c.read, t)
	c.setDeadline(&c.write, t)
	return nil
}

// SetReadDeadline is SetDeadline for reading.
func (c *Conn) SetReadDeadline(t time.Time) error { c.setDeadline(&c.read, t); return nil }

// SetWriteDeadline is SetDeadline for writing.
func (c *Conn) SetWriteDeadline(t time.Time) error { c.setDeadline(&c.write, t); return nil }

func (c *Conn) setDeadline(d *time.Time, t time.Time) {
	c.mu.Lock()
	*d = t
	c.mu.Unlock()
	c.cond.Broadcast()
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), c.cond.Broadcast)
	}
}
