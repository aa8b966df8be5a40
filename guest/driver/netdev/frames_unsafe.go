package netdev

import (
	"sync/atomic"
	"unsafe"

	"ukvm.dev/hypercall"
)

// slot is the header of a slot, whose Status is for waits and free only, and the whole slot.
//
// Safety: there is a ring, so the monitor has mapped so much there, for good, and Go's collector does not know that memory. A slot
// is longer than its header, and aligned as the kernel wants it (TPACKET_ALIGNMENT).
func (r *frameRing) slot(i uint32) (*hypercall.FrameSlot, []byte) {
	addr := uint64(r.at) + uint64(i)*uint64(r.account.Size)
	p := *(*unsafe.Pointer)(unsafe.Pointer(&addr))
	return (*hypercall.FrameSlot)(p), unsafe.Slice((*byte)(p), int(r.account.Size))
}

// waits reports whether a slot has a frame that is in it, whole. What the host's kernel wrote before it said so is seen by who
// sees that.
func waits(s *hypercall.FrameSlot) bool {
	const bits = hypercall.FrameReady | hypercall.FrameLong | hypercall.FrameVLAN
	return atomic.LoadUint32(&s.Status)&bits == hypercall.FrameReady
}

// enter keeps the monitor from the ring, and from the receive queue, until leave.
func (r *frameRing) enter() { atomic.StoreUint32(&r.account.Busy, 1) }
func (r *frameRing) leave() { atomic.StoreUint32(&r.account.Busy, 0) }

// free gives a slot back.
func free(s *hypercall.FrameSlot) { atomic.StoreUint32(&s.Status, 0) }
