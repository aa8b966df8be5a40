package event

import (
	"net/netip"

	"ukvm.dev/guest/net/ready"
)

// Conn is a connection. Callbacks may be set, changed and unset (nil) at any time.
//
//	            ┌────────────── open ───────────────┐
//	OnConnect ──► OnRead … OnRead, OnEnd            ├──► OnClose, once
//	            │ OnWrite, OnDrain … until CloseWrite │
//	            └───────────────────────────────────┘
//
// A connection ends when both sides have closed their direction, when the program closes or aborts it, or when it fails.
type Conn struct {
	loop   *Loop
	stream Stream
	queued bool

	onOpen  func(*Conn, error) // set while connecting
	onRead  func([]byte)
	readMax int
	onEnd   func()
	onWrite func(int)
	onDrain func()
	onClose func(error)

	paused  bool
	full    bool  // a Write did not fit
	shut    bool  // CloseWrite
	ended   bool  // the peer's end has been told of
	over    bool  // Close, Abort or an error: only OnClose is to come
	done    bool  // OnClose has been called
	err     error // the reason for OnClose
	written uint64
	acked   uint64 // as OnWrite was told
}

// Connect makes a connection, and calls f with it as soon as it is open, or with nil and the reason why it could not be.
// The Conn is returned at once, to be closed should it take too long, in which case f is called with ErrClosed.
func (t TCP) Connect(peer netip.AddrPort, f func(*Conn, error)) (*Conn, error) {
	l := t.loop
	c := &Conn{loop: l, onOpen: f}
	l.lock()
	defer l.unlock()
	if err := l.host.Acquire(); err != nil {
		return nil, err
	}
	s, err := l.host.Connect(peer, c.event)
	if err != nil {
		l.host.Release()
		return nil, err
	}
	c.stream = s
	l.opened()
	return c, nil
}

// OnRead says what to do with data: f is called with the next bytes, at most max of them, 0 for no limit. They are the
// card's own buffer, and not to be used after f has returned.
func (c *Conn) OnRead(max int, f func(buf []byte)) {
	c.loop.lock()
	c.onRead, c.readMax = f, max
	c.event(0)
	c.loop.unlock()
}

// OnEnd says what to do when the peer has closed its direction and all it sent has been read. Without it the connection
// is closed in our direction, too, after what has been written.
func (c *Conn) OnEnd(f func()) {
	c.loop.lock()
	c.onEnd = f
	c.loop.unlock()
}

// OnWrite is told of the completion of writes: that n more bytes have arrived at the peer.
func (c *Conn) OnWrite(f func(n int)) {
	c.loop.lock()
	c.onWrite = f
	if !c.done {
		c.stream.SetNoteAcks(f != nil)
		c.acked = c.written - uint64(c.stream.Unacked())
	}
	c.loop.unlock()
}

// OnDrain is told, after a Write that did not fit, that there is room again.
func (c *Conn) OnDrain(f func()) {
	c.loop.lock()
	c.onDrain = f
	c.event(0)
	c.loop.unlock()
}

// OnClose is told, once, that the connection is over: err is nil if it was closed in order, ErrAborted after Abort, else
// why it failed. Nothing is called afterwards.
func (c *Conn) OnClose(f func(err error)) {
	c.loop.lock()
	c.onClose = f
	c.loop.unlock()
}

// Write copies as much of b as fits into the send buffer, and returns how much that is; if it is not all, with ErrFull.
// It never waits. What a callback writes is sent when the loop has dealt with its batch of events.
func (c *Conn) Write(b []byte) (int, error) {
	c.loop.lock()
	n, err := c.write(b)
	c.loop.unlock()
	return n, err
}

func (c *Conn) write(b []byte) (int, error) {
	if c.over || c.shut {
		return 0, ErrClosed
	}
	if len(b) == 0 {
		return 0, nil
	}
	n, err := c.stream.Write(b, false)
	c.written += uint64(n)
	switch {
	case n == len(b):
		return n, nil
	case n > 0 || c.stream.Opening():
		err = ErrFull
	default:
		if over, _ := c.stream.Over(); over {
			if c.err == nil {
				c.err = err // Write has cleared it
			}
			c.event(0)
			return 0, err
		}
		err = ErrFull
	}
	c.full = true
	return n, err
}

// Unacked is how many bytes have been written that the peer has not acknowledged.
func (c *Conn) Unacked() int {
	c.loop.lock()
	defer c.loop.unlock()
	if c.done {
		return 0
	}
	return c.stream.Unacked()
}

// Pause holds OnRead back: data waits, and the peer stops when the receive buffer is full. Resume goes on.
func (c *Conn) Pause() { c.pause(true) }

// Resume is explained at Pause.
func (c *Conn) Resume() { c.pause(false) }

func (c *Conn) pause(on bool) {
	c.loop.lock()
	c.paused = on
	c.event(0)
	c.loop.unlock()
}

// CloseWrite closes our direction, after what has been written: the peer reads the end. Reading goes on.
func (c *Conn) CloseWrite() error {
	c.loop.lock()
	defer c.loop.unlock()
	if c.over || c.shut {
		return ErrClosed
	}
	c.shut = true
	return c.stream.CloseWrite()
}

// Close closes the connection in order, after what has been written. The program is done with it: nothing is read any
// more, and if something is there unread the peer gets a reset, as RFC 2525 §2.17 has it: use CloseWrite to be sure that
// it reads what was written.
func (c *Conn) Close() { c.finish(nil, Stream.Close) }

// Abort ends the connection with a reset.
func (c *Conn) Abort() { c.finish(ErrAborted, Stream.Abort) }

func (c *Conn) finish(err error, f func(Stream)) {
	c.loop.lock()
	if !c.over {
		if c.onOpen != nil && err == nil {
			err = ErrClosed
		}
		c.over, c.err = true, err
		f(c.stream)
		c.event(0)
	}
	c.loop.unlock()
}

// LocalAddr and RemoteAddr return the addresses of both ends.
func (c *Conn) LocalAddr() netip.AddrPort {
	local, _ := c.ends()
	return local
}

// RemoteAddr is explained at LocalAddr.
func (c *Conn) RemoteAddr() netip.AddrPort {
	_, remote := c.ends()
	return remote
}

func (c *Conn) ends() (local, remote netip.AddrPort) {
	c.loop.lock()
	defer c.loop.unlock()
	return c.stream.Ends()
}

// event is the stream's upcall: there is news.
func (c *Conn) event(ready.Events) {
	if !c.done {
		c.loop.schedule(c, &c.queued)
	}
}
