// Package wake signals the sleeping consumer of a queue through an eventfd(2), with a system call only when it sleeps.
//
//	consumer                                producer
//	  lock; nothing queued: Arm; unlock       lock; queue; Notify; unlock
//	  poll FD
//	  lock; Clear; take what is queued; unlock
//
// Notify after Arm makes FD readable, once; Notify without Arm does nothing. Because both happen under the lock of the
// queue, no wake-up is lost and none is left over.
package wake

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Event is one consumer's eventfd. All methods but FD are called with the lock of the queue held.
type Event struct {
	fd    int
	armed bool // the consumer sleeps or is about to
	set   bool // fd is readable
}

// New makes an event that is neither armed nor set.
func New() (*Event, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make eventfd: %w", err)
	}
	return &Event{fd: fd}, nil
}

// FD is readable from a Notify that follows an Arm until Clear.
func (e *Event) FD() int { return e.fd }

// Arm makes the next Notify signal.
func (e *Event) Arm() {
	e.Clear()
	e.armed = true
}

// Notify says that something was queued.
func (e *Event) Notify() {
	if !e.armed {
		return
	}
	e.armed = false
	e.set = true
	// An eventfd that is at zero, as this one, takes 1 without blocking.
	unix.Write(e.fd, binary.NativeEndian.AppendUint64(make([]byte, 0, 8), 1))
}

// Clear makes FD not readable and disarms.
func (e *Event) Clear() {
	e.armed = false
	if e.set {
		e.set = false
		var count [8]byte
		unix.Read(e.fd, count[:])
	}
}

// Close closes FD. Notify, Arm and Clear do nothing afterwards.
func (e *Event) Close() {
	if e.fd >= 0 {
		unix.Close(e.fd)
	}
	*e = Event{fd: -1}
}
