package netdev

import (
	"sync/atomic"
	"unsafe"

	"ukvm.dev/hypercall"
)

// frameRing is the guest's end of a frame ring (hypercall/frames.go). The zero value has no slots.
type frameRing struct {
	mem         []byte
	slots, size uint32
	account     *hypercall.Frames
}

// newFrameRing is the ring that the boot information describes, with its account in the receive queue.
func newFrameRing(f hypercall.FrameRing, rx *hypercall.Queue) frameRing {
	if f.Addr == 0 {
		return frameRing{}
	}
	addr := uint64(f.Addr)
	// Safety: the monitor has mapped so much there, for good; Go's collector does not know that memory.
	mem := unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), int(f.Slots)*int(f.Size))
	return frameRing{mem, f.Slots, f.Size, &rx.Frames}
}

// slot is the memory of a slot.
func (r *frameRing) slot(i uint32) []byte { return r.mem[int(i)*int(r.size):][:r.size] }

// header is the beginning of a slot. Its Status is for waits and free only.
//
// Safety: a slot is longer than its header, and aligned as the kernel wants it (TPACKET_ALIGNMENT).
func (r *frameRing) header(i uint32) *hypercall.FrameSlot {
	return (*hypercall.FrameSlot)(unsafe.Pointer(unsafe.SliceData(r.slot(i))))
}

// waits reports whether a slot has a frame that is in it, whole. What the host's kernel wrote before it said so is seen by who
// sees that.
func (r *frameRing) waits(i uint32) bool {
	const bits = hypercall.FrameReady | hypercall.FrameLong | hypercall.FrameVLAN
	return atomic.LoadUint32(&r.header(i).Status)&bits == hypercall.FrameReady
}

// free gives a slot back.
func (r *frameRing) free(i uint32) { atomic.StoreUint32(&r.header(i).Status, 0) }
