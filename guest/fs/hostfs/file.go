package hostfs

import (
	"sync/atomic"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hypercall"
)

// file is a regular file.
type file struct {
	inode
	ahead ahead
	shown atomic.Int32 // mappings through which it may be written to
}

var (
	_ vnode.File   = (*file)(nil)
	_ vnode.Opener = (*file)(nil)
	_ vnode.Mapper = (*file)(nil)
)

// Open asks the host, which may refuse, and has news of the file.
func (f *file) Open(write bool) syscall.Errno {
	q := hypercall.ShareRequest{}
	if write {
		q.Flags = 1
	}
	r := f.request(hypercall.ShareOpen, q)
	if r.Errno == 0 {
		f.learn(&r.Attr)
		f.ahead.drop()
	}
	return syscall.Errno(r.Errno)
}

// Close takes an Open back.
func (f *file) Close() {
	f.ahead.drop()
	f.request(hypercall.ShareClose, hypercall.ShareRequest{})
}

// ReadAt reads from an offset.
func (f *file) ReadAt(p []byte, off int64) (n int, errno syscall.Errno) {
	if f.shown.Load() == 0 {
		if n, ok := f.ahead.read(f, p, off); ok {
			return n, 0
		}
	}
	for n < len(p) {
		part := p[n:min(len(p), n+f.fs.caller.Max())]
		got, errno := f.fetch(part, off+int64(n))
		n += got
		if errno != 0 {
			return partial(n, errno)
		}
		if got < len(part) {
			break
		}
	}
	return n, 0
}

// fetch reads at most Max bytes.
func (f *file) fetch(p []byte, off int64) (int, syscall.Errno) {
	q := hypercall.ShareRequest{Op: uint32(hypercall.ShareRead), Node: f.handle, Offset: off}
	r := f.fs.call(q, "", "", nil, p)
	return max(0, min(int(r.N), len(p))), syscall.Errno(r.Errno)
}

// WriteAt writes at an offset.
func (f *file) WriteAt(p []byte, off int64) (int, syscall.Errno) {
	n, _, errno := f.write(p, off, 0)
	return n, errno
}

// Append writes at the end. More than Max bytes are several writes, between which others may append.
func (f *file) Append(p []byte) (n int, end int64, errno syscall.Errno) { return f.write(p, 0, 1) }

func (f *file) write(p []byte, off int64, flags uint32) (n int, end int64, errno syscall.Errno) {
	defer f.ahead.drop() // what was read meanwhile may be older
	for n < len(p) {
		part := p[n:min(len(p), n+f.fs.caller.Max())]
		q := hypercall.ShareRequest{Op: uint32(hypercall.ShareWrite), Node: f.handle, Offset: off + int64(n), Flags: flags}
		r := f.fs.call(q, "", "", part, nil)
		if r.Errno != 0 {
			n, errno = partial(n, syscall.Errno(r.Errno))
			return n, end, errno
		}
		f.learn(&r.Attr)
		put := max(0, min(int(r.N), len(part)))
		n, end = n+put, int64(r.Node)
		if put < len(part) {
			break
		}
	}
	return n, end, 0
}

// partial is what a call returns that an error has ended: what was done counts, else the error.
func partial(n int, errno syscall.Errno) (int, syscall.Errno) {
	if n > 0 {
		return n, 0
	}
	return 0, errno
}

// Allocate is fallocate(2).
func (f *file) Allocate(mode uint32, off, n int64) syscall.Errno {
	defer f.ahead.drop()
	r := f.request(hypercall.ShareAllocate, hypercall.ShareRequest{Flags: mode, Offset: off, Size: n})
	if r.Errno == 0 {
		f.learn(&r.Attr)
	}
	return syscall.Errno(r.Errno)
}

// Next is lseek(2) with SEEK_DATA and SEEK_HOLE.
func (f *file) Next(off int64, hole bool) (int64, syscall.Errno) {
	q := hypercall.ShareRequest{Offset: off}
	if hole {
		q.Flags = 1
	}
	r := f.request(hypercall.ShareNext, q)
	return r.N, syscall.Errno(r.Errno)
}

// Sync has the host's disk have what was written.
func (f *file) Sync() syscall.Errno {
	return syscall.Errno(f.request(hypercall.ShareSync, hypercall.ShareRequest{}).Errno)
}
