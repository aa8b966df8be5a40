// Package ring is the monitor's end of a queue (hypercall/ring.go, virtio 1.2 §2.7): it takes descriptor chains that the
// guest has made available, checks them, and gives them back used. Everything in a queue can change while it is read;
// each value is loaded once.
//
// A Queue is used by the vCPU's thread while the vCPU does not run, so no barriers are needed against the guest's own
// stores; a snapshot of it is Next and Used.
package ring

import (
	"errors"

	"ukvm.dev/hypercall"
)

// Errors that end a guest: only a broken or hostile one causes them.
var (
	ErrIndex = errors.New("ring index out of range")
	ErrChain = errors.New("bad descriptor chain")
)

// Queue is one queue. Next and Used are its whole state beside the guest's memory.
type Queue struct {
	mem  *hypercall.Queue
	Next uint16 // position in Avail of the next chain to take
	Used uint16 // position in Used of the next entry
}

// New makes the monitor's end of a queue in mem, hypercall.QueueSize bytes of guest memory.
func New(mem []byte) *Queue { return &Queue{mem: queueOf(mem)} }

// Waiting is how many chains the guest has made available.
func (q *Queue) Waiting() (int, error) {
	n := q.mem.Avail.Index - q.Next
	if n > hypercall.QueueLen {
		return 0, ErrIndex
	}
	return int(n), nil
}

// Head is the descriptor that begins the i-th waiting chain.
func (q *Queue) Head(i int) uint16 {
	return q.mem.Avail.Ring[(q.Next+uint16(i))%hypercall.QueueLen]
}

// Buffer is a descriptor's buffer, not checked yet.
type Buffer struct {
	Addr hypercall.GVA
	Len  uint32
}

// Memory is how devices reach guest memory: Slices appends the host memory behind [va, va+n) to dst, if the guest has mapped it
// for the access (a hypercall.Prot bit).
type Memory interface {
	Slices(dst [][]byte, va hypercall.GVA, n uint64, access uint32) ([][]byte, error)
}

// Chain appends the buffers of the chain at head to dst. All must be for writing by the monitor, or all for reading. A
// chain has at most hypercall.QueueLen descriptors, so that a loop ends.
func (q *Queue) Chain(dst []Buffer, head uint16, write bool) ([]Buffer, error) {
	return q.walk(dst, head, func(writes bool) bool { return writes == write })
}

// Request is Chain for one whose first buffers are for reading and the rest for writing (virtio 1.2 §2.7.4.2); the first `read` of
// those it appends are for reading.
func (q *Queue) Request(dst []Buffer, head uint16) (chain []Buffer, read int, err error) {
	written := false
	chain, err = q.walk(dst, head, func(writes bool) bool {
		if !writes {
			read++
		}
		fits := writes || !written
		written = writes
		return fits
	})
	return chain, read, err
}

// walk appends the buffers of a chain to dst, as long as fits agrees with whether the monitor is to write to them.
func (q *Queue) walk(dst []Buffer, head uint16, fits func(writes bool) bool) ([]Buffer, error) {
	for n := 0; ; n++ {
		if head >= hypercall.QueueLen || n == hypercall.QueueLen {
			return dst, ErrChain
		}
		d := q.mem.Desc[head] // a copy
		if d.Flags&^(hypercall.DescNext|hypercall.DescWrite) != 0 || !fits(d.Flags&hypercall.DescWrite != 0) {
			return dst, ErrChain
		}
		dst = append(dst, Buffer{d.Addr, d.Len})
		if d.Flags&hypercall.DescNext == 0 {
			return dst, nil
		}
		head = d.Next
	}
}

// Done gives the next waiting chain, which begins at head, back to the guest; n bytes were written into it.
func (q *Queue) Done(head uint16, n uint32) {
	q.Take()
	q.Return(head, n)
}

// Take takes the next waiting chain, which Head(0) begins, for longer than a moment.
func (q *Queue) Take() { q.Next++ }

// Return gives a chain that was taken back to the guest; n bytes were written into it.
func (q *Queue) Return(head uint16, n uint32) {
	q.mem.Used.Ring[q.Used%hypercall.QueueLen] = hypercall.UsedElem{ID: uint32(head), Len: n}
	q.Used++
}

// Publish makes what was given back visible to the guest.
func (q *Queue) Publish() { q.mem.Used.Index = q.Used }

// News reports whether the guest wants to know about used chains and there are some it has not seen.
func (q *Queue) News() bool {
	return q.mem.Avail.Flags&hypercall.AvailQuiet == 0 && q.mem.Avail.Event != q.Used
}

// Frames is a copy of what the guest says about its frame ring.
func (q *Queue) Frames() hypercall.Frames { return q.mem.Frames }

// SetFrames tells the guest that it has a frame ring.
func (q *Queue) SetFrames(f hypercall.Frames) { q.mem.Frames = f }

// SetNextFrame tells the guest at which slot of its frame ring to look next.
func (q *Queue) SetNextFrame(slot uint32) { q.mem.Frames.Next = slot }
