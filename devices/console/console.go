// Package console is the monitor's end of a guest's standard streams.
package console

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// bufferSize bounds what is read ahead of the guest.
const bufferSize = 64 << 10

// Console joins a guest's standard streams to a reader and two writers. Its methods may be called by any goroutine.
type Console struct {
	in   io.Reader
	out  [2]io.Writer
	wake func() // called when there is input for a guest that sleeps

	mu      sync.Mutex
	room    sync.Cond
	buf     []byte // read, not yet taken by the guest
	err     error  // why no more will come; io.EOF for the end
	reading bool   // the goroutine that reads exists
	closed  bool
	done    chan struct{} // closed when that goroutine has ended
}

// New makes a console. A nil stream is /dev/null. wake is called, from another goroutine, when input arrives.
func New(in io.Reader, out, err io.Writer, wake func()) *Console {
	c := &Console{in: in, out: [2]io.Writer{out, err}, wake: wake, done: make(chan struct{})}
	c.room.L = &c.mu
	if in == nil {
		c.err = io.EOF
	}
	return c
}

// Write writes pieces to stream 1 or 2 and returns how many bytes were taken and, if not all, a Linux errno.
func (c *Console) Write(stream int, pieces [][]byte) (n int, errno syscall.Errno) {
	w := c.out[stream-1]
	for _, p := range pieces {
		if w == nil {
			n += len(p)
			continue
		}
		k, err := w.Write(p)
		n += max(k, 0)
		if err != nil {
			return n, errnoOf(err)
		}
	}
	return n, 0
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

// Read moves input to pieces. n is 0 if nothing has come yet, or if nothing will: then end is true, or errno says why.
// Reading from the host begins with the first call, so that a guest that does not read leaves the input to others.
func (c *Console) Read(pieces [][]byte) (n int, end bool, errno syscall.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start()
	for _, p := range pieces {
		k := copy(p, c.buf)
		c.buf = c.buf[k:]
		n += k
	}
	c.room.Signal()
	if n > 0 || c.err == nil || len(c.buf) > 0 {
		return n, false, 0
	}
	if errors.Is(c.err, io.EOF) {
		return 0, true, 0
	}
	return 0, false, errnoOf(c.err)
}

// Ready reports whether Read would return something other than "nothing yet". It is false before the first Read.
func (c *Console) Ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reading && (len(c.buf) > 0 || c.err != nil)
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
		c.wake()
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

// Close stops reading. If the input is a file or connection that can be interrupted, or has ended, the goroutine that
// reads it has ended when Close returns; a Read of another kind of input ends when it returns by itself.
func (c *Console) Close() {
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
