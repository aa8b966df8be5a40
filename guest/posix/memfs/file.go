package memfs

import (
	"math"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// file is a regular file. inode.mu guards all of it.
type file struct {
	inode
	size    int64
	below   []byte // the base: read-only memory below the chunks
	chunks  chunks
	charged int64 // bytes of chunks
}

var (
	_ vnode.File   = (*file)(nil)
	_ vnode.Holder = (*file)(nil)
)

// AddFile makes a regular file whose contents are base, which is read-only memory that stays: a member of an archive.
func AddFile(d vnode.Dir, name string, m vnode.Make, base []byte) (vnode.Node, syscall.Errno) {
	n, errno := d.Make(name, m)
	if errno != 0 {
		return nil, errno
	}
	f := n.(*file)
	f.mu.Lock()
	f.below, f.size = base, int64(len(base))
	f.mu.Unlock()
	return f, 0
}

// Hold keeps the contents.
func (f *file) Hold() syscall.Errno { return f.hold() }

// Release ends a Hold.
func (f *file) Release() { f.release(f) }

// Attr returns the attributes.
func (f *file) Attr() vnode.Attr {
	f.mu.RLock()
	defer f.mu.RUnlock()
	a := f.attrLocked()
	a.Size = f.size
	a.Allocated = f.charged + int64(len(f.below))
	return a
}

// SetAttr changes attributes and size.
func (f *file) SetAttr(c vnode.Change) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Set&vnode.SetSize != 0 {
		if c.Size < 0 {
			return syscall.EINVAL
		}
		f.truncateLocked(c.Size)
	}
	f.changeLocked(c)
	return 0
}

// contentLocked returns the memory of chunk i: its own, or the base's. own is false for the base.
func (f *file) contentLocked(i int64) (b []byte, own bool) {
	if k, ok := f.chunks.get(i); ok {
		return k.b, true
	}
	return f.baseLocked(i), false
}

func (f *file) baseLocked(i int64) []byte {
	if at := i << chunkShift; at < int64(len(f.below)) {
		return f.below[at:min(at+chunkSize, int64(len(f.below)))]
	}
	return nil
}

// growthLocked returns how much memory it takes to give chunk i at least n bytes of its own.
func (f *file) growthLocked(i int64, n int) (size int, grow int64) {
	b, own := f.contentLocked(i)
	if own && n <= len(b) {
		return len(b), 0
	}
	size = sizeFor(max(n, len(b)))
	if own {
		return size, int64(size - len(b))
	}
	return size, int64(size)
}

// growLocked gives chunk i memory of its own of that size, which is charged.
func (f *file) growLocked(i int64, size int) []byte {
	b, own := f.contentLocked(i)
	if own {
		f.charged -= int64(len(b))
	}
	f.charged += int64(size)
	c := make([]byte, size)
	copy(c, b)
	f.chunks.put(i, chunk{c})
	return c
}

// writableLocked returns chunk i with at least n bytes of memory of its own, nil if there is no room.
func (f *file) writableLocked(i int64, n int) []byte {
	if b, own := f.contentLocked(i); own && n <= len(b) {
		return b
	}
	size, grow := f.growthLocked(i, n)
	if !f.fs.charge(grow) {
		return nil
	}
	return f.growLocked(i, size)
}

func (f *file) removeLocked(i int64) {
	if k, ok := f.chunks.get(i); ok {
		f.chunks.remove(i)
		f.fs.charge(-int64(len(k.b)))
		f.charged -= int64(len(k.b))
	}
}

// ReadAt reads from an offset.
func (f *file) ReadAt(p []byte, off int64) (n int, errno syscall.Errno) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if off >= f.size {
		return 0, 0
	}
	p = p[:min(int64(len(p)), f.size-off)]
	for n < len(p) {
		i, at := off>>chunkShift, int(off&(chunkSize-1))
		part := p[n:min(len(p), n+chunkSize-at)]
		b, _ := f.contentLocked(i)
		got := 0
		if at < len(b) {
			got = copy(part, b[at:])
		}
		clear(part[got:])
		n += len(part)
		off += int64(len(part))
	}
	return n, 0
}

// WriteAt writes at an offset.
func (f *file) WriteAt(p []byte, off int64) (int, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writeLocked(p, off)
}

// Append writes at the end.
func (f *file) Append(p []byte) (n int, end int64, errno syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, errno = f.writeLocked(p, f.size)
	return n, f.size, errno
}

func (f *file) writeLocked(p []byte, off int64) (n int, errno syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	if off == math.MaxInt64 {
		return 0, syscall.EFBIG
	}
	p = p[:min(int64(len(p)), math.MaxInt64-off)]
	for n < len(p) {
		i, at := off>>chunkShift, int(off&(chunkSize-1))
		part := p[n:min(len(p), n+chunkSize-at)]
		b := f.writableLocked(i, at+len(part))
		if b == nil {
			if n == 0 {
				return 0, syscall.ENOSPC
			}
			break
		}
		copy(b[at:], part)
		n += len(part)
		off += int64(len(part))
	}
	f.size = max(f.size, off)
	f.modifiedLocked()
	return n, 0
}

// truncateLocked sets the size. What lies beyond the size is always zero, so that growing shows zeroes.
func (f *file) truncateLocked(size int64) {
	if size < f.size {
		f.below = f.below[:min(size, int64(len(f.below)))]
		end := chunkCount(f.size)
		i := size >> chunkShift
		if at := int(size & (chunkSize - 1)); at != 0 {
			if k, ok := f.chunks.get(i); ok && at < len(k.b) {
				clear(k.b[at:])
			}
			i++
		}
		for i = f.chunks.next(i, end); i < end; i = f.chunks.next(i+1, end) {
			f.removeLocked(i)
		}
	}
	f.size = size
}

// discardLocked gives everything back.
func (f *file) discardLocked() {
	f.fs.charge(-f.charged)
	f.charged, f.size, f.below, f.chunks = 0, 0, nil, chunks{}
}

// Sync does nothing: memory is as durable as it gets here.
func (f *file) Sync() syscall.Errno { return 0 }
