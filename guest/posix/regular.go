package posix

import (
	"math"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// regular is an open regular file. The position is the description's, under its lock, so that reads and writes of
// several goroutines follow each other (read(2), "thread safety").
type regular struct{ vnode.File }

var (
	_ positioned = (*regular)(nil)
	_ seeker     = (*regular)(nil)
)

func (f *regular) ready() *readiness { return nil }

func (f *regular) close(d *description) {
	if o, ok := f.File.(vnode.Opener); ok {
		o.Close()
		return
	}
	releaseNode(f.File)
}

func (f *regular) read(d *description, p []byte) (int, syscall.Errno) {
	d.mu.Lock()
	n, errno := f.readAt(p, d.pos)
	d.pos += int64(n)
	d.mu.Unlock()
	return n, errno
}

func (f *regular) write(d *description, p []byte) (n int, errno syscall.Errno) {
	if len(p) == 0 {
		return 0, 0 // which does not move the position to the end either
	}
	d.mu.Lock()
	if d.flags.Load()&syscall.O_APPEND != 0 {
		var end int64
		if n, end, errno = f.Append(p); errno == 0 {
			d.pos = end
		}
	} else {
		n, errno = f.writeAt(p, d.pos)
		d.pos += int64(n)
	}
	d.mu.Unlock()
	return n, errno
}

func (f *regular) readAt(p []byte, off int64) (int, syscall.Errno) {
	if off > math.MaxInt64-int64(len(p)) {
		return 0, syscall.EINVAL
	}
	return f.ReadAt(p, off)
}

func (f *regular) writeAt(p []byte, off int64) (int, syscall.Errno) {
	if off > math.MaxInt64-int64(len(p)) {
		return 0, syscall.EINVAL
	}
	return f.WriteAt(p, off)
}

// Values of lseek's whence beyond those of package syscall's users.
const (
	seekSet = iota
	seekCur
	seekEnd
	seekData
	seekHole
)

func (f *regular) seek(d *description, off int64, whence int) (int64, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch whence {
	case seekSet:
	case seekCur, seekEnd:
		base := d.pos
		if whence == seekEnd {
			base = f.Attr().Size
		}
		if off > 0 && base > math.MaxInt64-off {
			return 0, syscall.EINVAL
		}
		off += base
	case seekData, seekHole:
		if off < 0 {
			return 0, syscall.ENXIO
		}
		at, errno := f.Next(off, whence == seekHole)
		if errno != 0 {
			return 0, errno
		}
		off = at
	default:
		return 0, syscall.EINVAL
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	d.pos = off
	return off, 0
}

// openFile makes the object of an open regular file.
func openFile(n vnode.File, flags uint32) (opened, syscall.Errno) {
	o, ok := n.(vnode.Opener)
	if !ok {
		return hold(&regular{n})
	}
	if errno := o.Open(flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0); errno != 0 {
		return opened{}, errno
	}
	return opened{object: &regular{n}}, 0
}

// holdNode keeps a node that is opened; releaseNode ends that.
func holdNode(n vnode.Node) syscall.Errno {
	if h, ok := n.(vnode.Holder); ok {
		return h.Hold()
	}
	return 0
}

func releaseNode(n vnode.Node) {
	if h, ok := n.(vnode.Holder); ok {
		h.Release()
	}
}
