package guest

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
)

// native is the event loop's host where there is no guest: Go's package net.
//
//	accept, reader, writer: a goroutine each ──► lock, queue, upcall ──► turn: callbacks run on that goroutine
//
// What a stream does here is what package tcp's Conn does; see event.Stream.
type native struct {
	mu    sync.Mutex
	loop  *eventLoop
	wheel wheel
	clock clock
	now   int64
	armed int64
	pool  pool
}

// Bounds, in bytes: of what has arrived and is not read, and of what is written and not sent.
const (
	nativeReceive = 256 << 10
	nativeSend    = 256 << 10
	nativeChunk   = 16 << 10
	nativeBacklog = 128
	nativeInbox   = 64 // datagrams
)

var nativeLoop = sync.OnceValue(func() *eventLoop {
	n := &native{clock: systemClock()}
	n.loop = newLoop(eventHost{
		Mutex:   &n.mu,
		Look:    func() { n.now = n.clock.Now() },
		Leave:   n.leave,
		Now:     n.clock.Now,
		Wheel:   &n.wheel,
		Acquire: func() error { return nil },
		Release: func() {},
		Listen:  n.listen,
		Connect: n.connect,
		Open:    n.open,
	})
	return n.loop
})

// enter, turn and leave are as in net.Stack.
func (n *native) enter() {
	n.mu.Lock()
	n.now = n.clock.Now()
}

func (n *native) turn() {
	for range 16 {
		n.loop.Run()
	}
	n.leave()
}

func (n *native) leave() {
	next, ok := n.wheel.Next()
	if n.loop.Pending() {
		next, ok = n.now, true
	}
	if ok && (n.armed == 0 || next < n.armed) {
		n.armed = next
		n.clock.SetAlarm(next, n.alarm)
	}
	n.mu.Unlock()
}

func (n *native) alarm() {
	n.enter()
	n.armed = 0
	n.wheel.Advance(n.now)
	n.turn()
}

// plain is the error of the event loop that corresponds to one of package net, or the system's that it has come from.
func plain(err error) error {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		switch errno {
		case syscall.ECONNRESET, syscall.EPIPE:
			return ErrReset
		case syscall.ETIMEDOUT:
			return ErrTimeout
		case syscall.ECONNREFUSED:
			return ErrRefused
		case syscall.EHOSTUNREACH:
			return ErrUnreachable
		case syscall.EADDRINUSE:
			return ErrInUse
		}
		return errno
	case errors.Is(err, net.ErrClosed):
		return ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTimeout
	}
	return err
}
