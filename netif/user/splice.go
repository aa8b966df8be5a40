package user

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// spliceBuffer is how much a connection moves in one step, in bytes. Connections without data to move hold no buffer.
const spliceBuffer = 256 << 10

// lingerTimeout is how long a connection that both sides have ended may take to deliver what is left to the guest.
const lingerTimeout = time.Minute

// bufferPool has buffers of spliceBuffer bytes.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, spliceBuffer)
	return &b
}

func (p *bufferPool) put(b *[]byte) { p.pool.Put(b) }

// splice joins a connection of the guest and one of the host until both have ended:
//
//	guest ─► ep ─ toHost ─► host        end of stream: CloseWrite        reset: reset
//	guest ◄─ ep ◄─ toGuest ─ host       end of stream: Shutdown(write)   reset: Abort
//
// Each direction is one goroutine with at most one buffer on the way, so backpressure passes from window to window.
type splice struct {
	ep   tcpip.Endpoint
	wq   *waiter.Queue
	host net.Conn
	raw  syscall.RawConn // of host; nil if it is no socket
	pool *bufferPool
	own  []byte // for reading a host that is no socket

	moving *atomic.Int64 // counts the bytes on their way to hosts: neither netstack's any more nor written

	readable, writable, hungUp chan struct{}
	failed                     atomic.Bool // one side was reset: nothing more is to be delivered
}

func newSplice(ep tcpip.Endpoint, wq *waiter.Queue, host net.Conn, pool *bufferPool, moving *atomic.Int64) *splice {
	s := &splice{ep: ep, wq: wq, host: host, pool: pool, moving: moving}
	if c, ok := host.(*net.TCPConn); ok {
		s.raw, _ = c.SyscallConn()
	}
	return s
}

// run returns when nothing of the connection is left, or ctx is done.
func (s *splice) run(ctx context.Context) {
	var readable, writable, hungUp, reset waiter.Entry
	readable, s.readable = waiter.NewChannelEntry(waiter.ReadableEvents)
	writable, s.writable = waiter.NewChannelEntry(waiter.WritableEvents)
	hungUp, s.hungUp = waiter.NewChannelEntry(waiter.EventHUp)
	reset = waiter.NewFunctionEntry(waiter.EventErr|waiter.EventHUp, func(waiter.EventMask) {
		if s.guestReset() {
			s.host.SetDeadline(time.Unix(0, 1)) // wakes what waits for the host
		}
	})
	for _, e := range []*waiter.Entry{&readable, &writable, &hungUp, &reset} {
		s.wq.EventRegister(e)
		defer s.wq.EventUnregister(e)
	}
	stop := context.AfterFunc(ctx, s.fail)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(s.toGuest)
	s.toHost()
	wg.Wait()
	s.host.Close()
	s.ep.Close()
	s.linger(ctx)
}

// guestReset reports whether the guest's connection has ended with an error.
func (s *splice) guestReset() bool { return tcp.EndpointState(s.ep.State()) == tcp.StateError }

// linger waits until the guest has everything, so that what netstack still holds counts as this connection's.
func (s *splice) linger(ctx context.Context) {
	timeout := time.NewTimer(lingerTimeout)
	defer timeout.Stop()
	for {
		switch tcp.EndpointState(s.ep.State()) {
		case tcp.StateClose, tcp.StateError, tcp.StateTimeWait:
			return
		}
		select {
		case <-s.hungUp:
		case <-timeout.C:
			s.abortGuest()
			return
		case <-ctx.Done():
			s.abortGuest()
			return
		}
	}
}

// fail resets both sides.
func (s *splice) fail() {
	if s.failed.Swap(true) {
		return
	}
	s.abortGuest()
	reset(s.host)
}

func (s *splice) abortGuest() {
	if ep, ok := s.ep.(interface{ Abort() }); ok {
		ep.Abort()
	}
}

// reset closes c so that the peer gets a reset, if c can do that.
func reset(c net.Conn) {
	if c, ok := c.(interface{ SetLinger(int) error }); ok {
		c.SetLinger(0)
	}
	c.Close()
}

// toHost moves the guest's stream.
func (s *splice) toHost() {
	for {
		buf := s.pool.get()
		w := tcpip.SliceWriter(*buf)
		s.moving.Add(spliceBuffer) // at most, so that there is no moment at which nobody has them
		res, err := s.ep.Read(&w, tcpip.ReadOptions{})
		s.moving.Add(int64(res.Count) - spliceBuffer)
		if err == nil {
			_, werr := s.host.Write((*buf)[:res.Count])
			s.moving.Add(-int64(res.Count))
			s.pool.put(buf)
			if werr != nil {
				s.fail()
				return
			}
			continue
		}
		s.pool.put(buf)
		switch err.(type) {
		case *tcpip.ErrWouldBlock:
			<-s.readable
		case *tcpip.ErrClosedForReceive:
			if s.guestReset() || !closeWrite(s.host) {
				s.fail()
			}
			return
		default:
			s.fail()
			return
		}
	}
}

// closeWrite ends the stream to c and reports false if it could not. A connection without half-close stays open.
func closeWrite(c net.Conn) bool {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite() == nil
	}
	return true
}

// toGuest moves the host's stream.
func (s *splice) toGuest() {
	for {
		n, err := s.moveToGuest()
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && n == 0:
			if s.ep.Shutdown(tcpip.ShutdownWrite) != nil {
				s.fail()
			}
			return
		default:
			s.fail()
			return
		}
	}
}

// moveToGuest waits for bytes of the host and writes them to the guest.
func (s *splice) moveToGuest() (int, error) {
	if s.raw == nil {
		if s.own == nil {
			s.own = make([]byte, spliceBuffer/8)
		}
		n, err := s.host.Read(s.own)
		if n > 0 {
			err = s.writeGuest(s.own[:n]) // an error of Read comes again
		}
		return n, err
	}
	buf, n, err := s.readSocket()
	if buf != nil {
		err = s.writeGuest((*buf)[:n])
		s.pool.put(buf)
	}
	return n, err
}

// readSocket waits until there is something to read, then takes a buffer for it, which the caller puts back.
func (s *splice) readSocket() (buf *[]byte, n int, err error) {
	var rerr error
	err = s.raw.Read(func(fd uintptr) bool {
		buf = s.pool.get()
		for {
			if n, rerr = unix.Read(int(fd), *buf); rerr != unix.EINTR {
				break
			}
		}
		if n <= 0 {
			s.pool.put(buf)
			buf, n = nil, 0
		}
		return rerr != unix.EAGAIN
	})
	switch {
	case err != nil:
		return nil, 0, err
	case rerr != nil:
		return nil, 0, rerr
	case n == 0:
		return nil, 0, io.EOF
	}
	return buf, n, nil
}

var errGuestGone = errors.New("connection of the guest has ended")

// writeGuest blocks while the guest's window and netstack's buffer are full.
func (s *splice) writeGuest(b []byte) error {
	var r bytes.Reader
	for len(b) > 0 {
		r.Reset(b)
		n, err := s.ep.Write(&r, tcpip.WriteOptions{})
		b = b[n:]
		switch err.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			<-s.writable
		default:
			return errGuestGone
		}
	}
	return nil
}
