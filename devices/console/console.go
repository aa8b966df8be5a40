// Package console is the monitor's end of a guest's standard streams. Nothing here waits for the other end of a stream:
// a guest whose output nobody reads, or whose input does not come, goes on with its other work, and is told when there is
// something to do.
package console

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bufferSize bounds what is read ahead of the guest.
const bufferSize = 64 << 10

// Console joins a guest's standard streams to a reader and two writers. Its methods may be called by any goroutine,
// those for output by one at a time.
type Console struct {
	in   io.Reader
	out  [2]output
	full [2]bool // Write has found no room, and Events has not said since that there is some
	wake func()  // called when Events has news

	mu      sync.Mutex
	room    sync.Cond
	buf     []byte // read, not yet taken by the guest
	err     error  // why no more will come; io.EOF for the end
	hungry  bool   // Read has found nothing, and Events has not said since that there is something
	reading bool   // the goroutine that reads exists
	closed  bool
	done    chan struct{} // closed when that goroutine has ended
}

// output is where a stream goes.
type output interface {
	// write takes as much of p as there is room for. errno is EAGAIN if that is not all.
	write(p []byte) (n int, errno syscall.Errno)
	// ready reports whether write would take something.
	ready() bool
	// descriptor becomes writable when there is room; -1 if wake is called then.
	descriptor() int
	// drain waits until what was taken has been written, or stop is closed.
	drain(stop <-chan struct{})
	close()
}

// New makes a console. A nil stream is /dev/null. wake is called, from another goroutine, when Events has news.
func New(in io.Reader, out, err io.Writer, wake func()) *Console {
	c := &Console{in: in, out: [2]output{newOutput(out, wake), newOutput(err, wake)}, wake: wake, done: make(chan struct{})}
	c.room.L = &c.mu
	if in == nil {
		c.err = io.EOF
	}
	return c
}

func newOutput(w io.Writer, wake func()) output {
	if w == nil {
		return null{}
	}
	if f, ok := w.(*os.File); ok {
		if o := newFile(f); o != nil {
			return o
		}
	}
	return newWriter(w, wake)
}

// Write writes pieces to stream 1 or 2 and returns how many bytes were taken and, if not all, a Linux errno: EAGAIN if
// there is no room now, of which Events will tell.
func (c *Console) Write(stream int, pieces [][]byte) (n int, errno syscall.Errno) {
	for _, p := range pieces {
		if len(p) == 0 {
			continue
		}
		k, errno := c.out[stream-1].write(p)
		n += k
		if errno != 0 {
			c.full[stream-1] = errno == syscall.EAGAIN
			return n, errno
		}
	}
	return n, 0
}

// Read moves input to pieces. n is 0 if nothing has come yet, or if nothing will: then end is true, or errno says why.
// In the first case, and if there are no pieces, Events will tell when there is something. Reading from the host begins
// with the first call, so that a guest that does not read leaves the input to others.
func (c *Console) Read(pieces [][]byte) (n int, end bool, errno syscall.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start()
	c.hungry = false
	for _, p := range pieces {
		k := copy(p, c.buf)
		c.buf = c.buf[k:]
		n += k
	}
	c.room.Signal()
	switch {
	case n > 0:
		return n, false, 0
	case len(c.buf) > 0 || c.err != nil && len(pieces) == 0: // only asked for
		c.hungry = true
		c.wake()
		return 0, false, 0
	case c.err == nil:
		c.hungry = true
		return 0, false, 0
	case errors.Is(c.err, io.EOF):
		return 0, true, 0
	}
	return 0, false, errnoOf(c.err)
}

// Events says what has changed since Read found nothing, and since Write found no room. It says so once.
func (c *Console) Events() (input, room bool) {
	for i := range c.full {
		if c.full[i] && c.out[i].ready() {
			c.full[i], room = false, true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hungry && (len(c.buf) > 0 || c.err != nil) {
		c.hungry, input = false, true
	}
	return input, room
}

// Await appends the descriptors that become ready when Events has news of which nobody tells.
func (c *Console) Await(fds []unix.PollFd) []unix.PollFd {
	for i, full := range c.full {
		if full {
			if fd := c.out[i].descriptor(); fd >= 0 {
				fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT})
			}
		}
	}
	return fds
}

// Awaits reports whether Await would append any.
func (c *Console) Awaits() bool {
	return c.full[0] && c.out[0].descriptor() >= 0 || c.full[1] && c.out[1].descriptor() >= 0
}

// Drain waits until what Write has taken has been written, or stop is closed.
func (c *Console) Drain(stop <-chan struct{}) {
	for _, o := range c.out {
		o.drain(stop)
	}
}

func (c *Console) start() {
	if c.reading || c.in == nil {
		return
	}
	c.reading = true
	go c.pump()
}

// pump reads ahead until the input ends.
func (c *Console) pump() {
	defer close(c.done)
	b := make([]byte, bufferSize)
	for {
		n, err := c.in.Read(b)
		c.mu.Lock()
		c.buf = append(c.buf, b[:n]...)
		if err != nil {
			c.err = err
		}
		if c.hungry {
			c.wake()
		}
		for len(c.buf) > 0 && !c.closed {
			c.room.Wait()
		}
		stop := err != nil || c.closed
		c.mu.Unlock()
		if stop {
			return
		}
	}
}

// Close stops reading and writing. Goroutines that do so have ended when it returns, but for those whose Read or Write
// cannot be interrupted: they end when it returns by itself. An input that is a file or a connection can be.
func (c *Console) Close() {
	for _, o := range c.out {
		o.close()
	}
	c.mu.Lock()
	c.closed = true
	reading := c.reading
	c.room.Signal()
	c.mu.Unlock()
	if !reading {
		return
	}
	if d, ok := c.in.(interface{ SetReadDeadline(time.Time) error }); ok && d.SetReadDeadline(time.Unix(0, 1)) == nil {
		<-c.done
		_ = d.SetReadDeadline(time.Time{}) // as it was; it is the caller's
	}
}

// errnoOf is the guest's view of an error of the host's.
func errnoOf(err error) syscall.Errno {
	var e syscall.Errno
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, io.ErrClosedPipe), errors.Is(err, os.ErrClosed):
		return syscall.EPIPE
	}
	return syscall.EIO
}

// null takes everything.
type null struct{}

func (null) write(p []byte) (int, syscall.Errno) { return len(p), 0 }
func (null) ready() bool                         { return true }
func (null) descriptor() int                     { return -1 }
func (null) drain(<-chan struct{})               {}
func (null) close()                              {}
