package guestmem

import (
	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
)

// warmFrames is the size of the warm part in frames: one huge page.
const warmFrames = hugePage / PageSize

// warm is the beginning of RAM when the host has provided it ahead of use.
type warm struct {
	frames  allocator
	present [warmFrames]bool // on the host, and zero if free
}

// Warm has the host provide the first 2 MiB now, as one huge page if it can, and Alloc prefer them. A guest that starts
// touches about as much, in many small pieces; one huge page costs the host a quarter of what those do (0.15 ms, and 0.6).
// A RAM of less than four times that is left as it is. Call Warm before the first Alloc.
func (r *RAM) Warm() {
	if r.Size() < 4*hugePage {
		return
	}
	if first, ok := r.frames.alloc(MaxOrder); !ok || first != 0 {
		panic("BUG: RAM is warmed after its first use")
	}
	w := &warm{}
	w.frames.init(warmFrames)
	r.warm = w
	r.populate(r.mem[:hugePage])
	for f := range w.present {
		w.present[f] = true
	}
}

// used is how many frames of the warm part are in use, less those that the other allocator counts for it.
func (w *warm) used() int64 {
	if w == nil {
		return 0
	}
	return int64(w.frames.used) - warmFrames
}

// alloc takes a block of the warm part. It has none of the largest order, of which there would be just one.
func (w *warm) alloc(order int) (frame uint64, ok bool) {
	if w == nil || order == MaxOrder {
		return 0, false
	}
	return w.frames.alloc(order)
}

// has reports whether a frame belongs to the warm part.
func (w *warm) has(frame uint64) bool { return w != nil && frame < warmFrames }

// provided reports whether the host has provided all of n frames from one on, and notes that from now on it has.
func (w *warm) provided(frame, n uint64) bool {
	if !w.has(frame) {
		return false
	}
	all := true
	for f := frame; f < frame+n; f++ {
		all = all && w.present[f]
		w.present[f] = true
	}
	return all
}

// lost notes that the host no longer has n frames from one on as they were.
func (w *warm) lost(frame, n uint64) {
	for f := frame; f < frame+n && w.has(f); f++ {
		w.present[f] = false
	}
}

// AllocCold is Alloc for a block that is to show a file: from outside the warm part, as long as there is one.
func (r *RAM) AllocCold(order int) (hypercall.GPA, bool) {
	frame, ok := r.frames.alloc(order)
	if !ok {
		frame, ok = r.warm.alloc(order)
	}
	return gpaOf(frame * PageSize), ok
}

// populate has the host provide memory, as huge pages where it is large enough for them.
func (r *RAM) populate(b []byte) {
	if len(b) >= hugePage {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a host without huge pages refuses, and does without
	}
	_ = unix.Madvise(b, unix.MADV_POPULATE_WRITE) // before Linux 5.14 the pages come when they are touched
}
