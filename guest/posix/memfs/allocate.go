package memfs

import (
	"math"
	"syscall"
)

// Modes of fallocate(2).
const (
	keepSize  = 0x01
	punchHole = 0x02
	zeroRange = 0x10
)

// Allocate makes room for a range, makes a hole of it or fills it with zeroes.
func (f *file) Allocate(mode uint32, off, n int64) syscall.Errno {
	if n > math.MaxInt64-off {
		return syscall.EFBIG
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	end := off + n
	switch mode {
	case 0, keepSize:
		if errno := f.reserveLocked(off, end); errno != 0 {
			return errno
		}
	case punchHole | keepSize, zeroRange, zeroRange | keepSize:
		if errno := f.zeroLocked(off, min(end, f.size)); errno != 0 {
			return errno
		}
	default:
		return syscall.EOPNOTSUPP
	}
	if mode&keepSize == 0 {
		f.size = max(f.size, end)
	}
	f.modifiedLocked()
	return 0
}

// reserveLocked gives all chunks of [off, end) memory of their own, so that writing there needs none. It does so for
// all of them or, if there is no room, for none.
func (f *file) reserveLocked(off, end int64) syscall.Errno {
	first, last := off>>chunkShift, (end-1)>>chunkShift
	if last-first >= f.fs.limit>>chunkShift {
		return syscall.ENOSPC
	}
	upTo := func(i int64) int { return int(min(chunkSize, end-i<<chunkShift)) }
	total := int64(0)
	for i := first; i <= last; i++ {
		_, grow := f.growthLocked(i, upTo(i))
		total += grow
	}
	if !f.fs.charge(total) {
		return syscall.ENOSPC
	}
	for i := first; i <= last; i++ {
		if size, grow := f.growthLocked(i, upTo(i)); grow > 0 {
			f.growLocked(i, size)
		}
	}
	return 0
}

// zeroLocked makes [off, end), which lies within the size, read as zero and gives whole chunks back.
func (f *file) zeroLocked(off, end int64) syscall.Errno {
	for off < end {
		i, at := off>>chunkShift, int(off&(chunkSize-1))
		n := int(min(end-off, int64(chunkSize-at)))
		b, own := f.contentLocked(i)
		switch {
		case at >= len(b):
		case at == 0 && (n >= len(b) || off+int64(n) == f.size):
			f.removeLocked(i)
			if f.baseLocked(i) != nil {
				f.chunks.put(i, chunk{}) // hides the base
			}
		default:
			if !own {
				if b = f.writableLocked(i, len(b)); b == nil {
					return syscall.ENOSPC
				}
			}
			clear(b[at:min(at+n, len(b))])
		}
		off += int64(n)
	}
	return 0
}

// Next finds data or holes, in units of chunks.
func (f *file) Next(off int64, hole bool) (int64, syscall.Errno) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if off >= f.size {
		return 0, syscall.ENXIO
	}
	end := chunkCount(f.size)
	base := chunkCount(int64(len(f.below)))
	for i := off >> chunkShift; i < end; i++ {
		b, _ := f.contentLocked(i)
		switch {
		case hole == (len(b) == 0):
			return max(off, i<<chunkShift), 0
		case !hole && i >= base: // only chunks of its own follow
			i = f.chunks.next(i+1, end) - 1
		}
	}
	if hole {
		return f.size, 0
	}
	return 0, syscall.ENXIO
}
