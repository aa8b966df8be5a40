package posix

import (
	"math"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// regular is an open regular file. The position is the description's, under its lock, so that reads and writes of
// several goroutines follow each other (read(2), "thread safety").
type regular struct {
	vnode.File
	sys *System
}

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

// The methods that read or change contents, which mirrors have copies of (mapping.go).

// ReadAt reads what is in the file and its mirrors.
func (f *regular) ReadAt(p []byte, off int64) (int, syscall.Errno) {
	if t := &f.sys.maps; t.mirrors.Load() != 0 {
		t.mu.Lock()
		defer t.mu.Unlock()
		if errno := f.sys.collectFile(f.File, off, off+int64(len(p))); errno != 0 {
			return 0, errno
		}
	}
	return f.File.ReadAt(p, off)
}

// WriteAt writes to the file and its mirrors.
func (f *regular) WriteAt(p []byte, off int64) (int, syscall.Errno) {
	t := &f.sys.maps
	if t.mirrors.Load() == 0 {
		return f.File.WriteAt(p, off)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n, errno := f.File.WriteAt(p, off)
	f.sys.spread(f.File, p[:n], off)
	return n, errno
}

// Append is WriteAt at the end.
func (f *regular) Append(p []byte) (n int, end int64, errno syscall.Errno) {
	t := &f.sys.maps
	if t.mirrors.Load() == 0 {
		return f.File.Append(p)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n, end, errno = f.File.Append(p)
	f.sys.spread(f.File, p[:n], end-int64(n))
	return n, end, errno
}

// SetAttr changes attributes, among them the size.
func (f *regular) SetAttr(c vnode.Change) syscall.Errno { return f.sys.change(f.File, c) }

// Allocate makes room or holes.
func (f *regular) Allocate(mode uint32, off, n int64) (errno syscall.Errno) {
	f.sys.reshape(f.File, off, func() { errno = f.File.Allocate(mode, off, n) })
	return errno
}

// Sync makes what is in the file and its mirrors durable.
func (f *regular) Sync() syscall.Errno {
	if errno := f.sys.collectAll(f.File); errno != 0 {
		return errno
	}
	return f.File.Sync()
}

// change is SetAttr of a node.
func (s *System) change(n vnode.Node, c vnode.Change) (errno syscall.Errno) {
	f, ok := n.(vnode.File)
	if !ok || c.Set&vnode.SetSize == 0 || s.maps.mirrors.Load() == 0 {
		return n.SetAttr(c)
	}
	s.reshape(f, min(c.Size, f.Attr().Size), func() { errno = f.SetAttr(c) })
	return errno
}

// reshape changes what is in a file from an offset on, as truncate(2) and fallocate(2) do.
func (s *System) reshape(f vnode.File, from int64, change func()) {
	if s.maps.mirrors.Load() == 0 {
		change()
		return
	}
	s.maps.mu.Lock()
	defer s.maps.mu.Unlock()
	s.collectFile(f, 0, math.MaxInt64)
	change()
	s.reload(f, from, math.MaxInt64)
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
func (s *System) openFile(n vnode.File, flags uint32) (opened, syscall.Errno) {
	o, ok := n.(vnode.Opener)
	if !ok {
		return hold(&regular{n, s})
	}
	if errno := o.Open(flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0); errno != 0 {
		return opened{}, errno
	}
	return opened{object: &regular{n, s}}, 0
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
