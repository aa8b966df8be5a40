package guestmem

import "math/bits"

// MaxOrder is the largest block order: 2 MiB.
const MaxOrder = 9

// allocator is a buddy allocator of frames. A block of order k is 1<<k frames, aligned to its size; a bit of free[k] is
// set for each free block of that order. Low addresses go first, which keeps the high end of RAM untouched.
type allocator struct {
	frames uint64
	used   uint64
	free   [MaxOrder + 1][]uint64
	count  [MaxOrder + 1]int // bits set in free[k], so that no search is for nothing
	first  [MaxOrder + 1]int // no word of free[k] before this one has a bit set
}

func (a *allocator) init(frames uint64) {
	a.frames = frames
	for k := range a.free {
		a.free[k] = make([]uint64, frames>>k/64+1)
	}
	for f := uint64(0); f < frames; {
		k := MaxOrder
		for f&(1<<k-1) != 0 || f+1<<k > frames {
			k--
		}
		a.set(k, f>>k)
		f += 1 << k
	}
}

func (a *allocator) set(k int, block uint64) {
	w := int(block / 64)
	a.free[k][w] |= 1 << (block % 64)
	a.count[k]++
	a.first[k] = min(a.first[k], w)
}

func (a *allocator) has(k int, block uint64) bool {
	w := int(block / 64)
	return w < len(a.free[k]) && a.free[k][w]&(1<<(block%64)) != 0
}

func (a *allocator) clear(k int, block uint64) {
	a.free[k][block/64] &^= 1 << (block % 64)
	a.count[k]--
}

// lowest returns the lowest free block of an order.
func (a *allocator) lowest(k int) (uint64, bool) {
	if a.count[k] == 0 {
		return 0, false
	}
	for w := a.first[k]; w < len(a.free[k]); w++ {
		if b := a.free[k][w]; b != 0 {
			a.first[k] = w
			return uint64(w)*64 + uint64(bits.TrailingZeros64(b)), true
		}
	}
	panic("BUG: free blocks are miscounted")
}

// alloc returns the first frame of a block.
func (a *allocator) alloc(order int) (frame uint64, ok bool) {
	for k := order; k <= MaxOrder; k++ {
		block, ok := a.lowest(k)
		if !ok {
			continue
		}
		a.clear(k, block)
		for ; k > order; k-- { // split, and keep the lower half
			block *= 2
			a.set(k-1, block+1)
		}
		a.used += 1 << order
		return block << order, true
	}
	return 0, false
}

// release takes back one frame and joins it with free neighbours.
func (a *allocator) release(frame uint64) {
	a.used--
	k, block := 0, frame
	for k < MaxOrder && a.has(k, block^1) {
		a.clear(k, block^1)
		block /= 2
		k++
	}
	a.set(k, block)
}
