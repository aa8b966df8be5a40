package posix

import (
	"syscall"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

// directory is an open directory. The description's position counts "." and ".." and then goes by the entries'
// cookies: 0 is ".", 1 is "..", and c+2 what follows the entry with cookie c.
type directory struct {
	vnode.Dir
	tree *tree
}

var _ seeker = (*directory)(nil)

func (o *directory) ready() *readiness { return nil }

func (o *directory) close(d *description) {}

func (o *directory) read(d *description, p []byte) (int, syscall.Errno) { return 0, syscall.EISDIR }

func (o *directory) write(d *description, p []byte) (int, syscall.Errno) { return 0, syscall.EBADF }

func (o *directory) seek(d *description, off int64, whence int) (int64, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case whence == seekCur:
		off += d.pos
	case whence != seekSet:
		return 0, syscall.EINVAL
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	d.pos = off
	return off, 0
}

// direntHeader is the size of struct linux_dirent64 (getdents(2)) before the name.
const direntHeader = 19

// entryBatch is how many entries are asked for at a time.
const entryBatch = 32

// sysGetdents64 is getdents64(2).
func sysGetdents64(s *System, a args) (uintptr, syscall.Errno) {
	d, errno := s.get(a.a1)
	if errno != 0 {
		return 0, s.refuse(a.a1, syscall.ENOTDIR)
	}
	defer d.release()
	o, ok := d.object.(*directory)
	switch {
	case d.isPath():
		return 0, syscall.EBADF
	case !ok:
		return 0, syscall.ENOTDIR
	}
	p, errno := memory(a.p2, a.a3)
	if errno != 0 {
		return 0, errno
	}
	return count(o.list(d, p))
}

// list stores entries from the description's position on.
func (o *directory) list(d *description, p []byte) (n int, errno syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	full := false
	if d.pos < 2 {
		if _, _, errno = o.Up(); errno != 0 {
			return 0, errno // removed
		}
		n, full = o.listDots(d, p)
	}
	buf := make([]vnode.Entry, entryBatch)
	for !full {
		k, errno := o.Entries(uint64(d.pos-2), buf)
		if errno != 0 {
			return partial(n, errno)
		}
		for _, e := range buf[:k] {
			size := putDirent(p[n:], e.Ino, int64(e.Cookie)+2, e.Type, e.Name)
			if full = size == 0; full {
				break
			}
			n += size
			d.pos = int64(e.Cookie) + 2
		}
		if k == 0 {
			return n, 0
		}
	}
	if n == 0 {
		return 0, syscall.EINVAL // not even one fits
	}
	return n, 0
}

func (o *directory) listDots(d *description, p []byte) (n int, full bool) {
	for d.pos < 2 {
		at, name := vnode.Dir(o.Dir), "."
		if d.pos == 1 {
			at, name = o.tree.parent(o.Dir), ".."
		}
		size := putDirent(p[n:], at.Attr().Ino, d.pos+1, syscall.S_IFDIR, name)
		if size == 0 {
			return n, true
		}
		n += size
		d.pos++
	}
	return n, false
}

// putDirent encodes an entry and returns its size, 0 if it does not fit.
func putDirent(p []byte, ino uint64, next int64, typ uint32, name string) int {
	size := (direntHeader + len(name) + 1 + 7) &^ 7
	if size > len(p) {
		return 0
	}
	// The buffer need not be aligned: byte by byte.
	put64(p, ino)
	put64(p[8:], uint64(next))
	p[16], p[17] = byte(size), byte(size>>8)
	p[18] = byte(typ >> 12) // DT_ values are the mode's type bits
	n := direntHeader + copy(p[direntHeader:], name)
	clear(p[n:size])
	return size
}

func put64(p []byte, v uint64) {
	for i := range 8 {
		p[i] = byte(v >> (8 * i))
	}
}

// sysLseek is lseek(2).
func sysLseek(s *System, a args) (uintptr, syscall.Errno) {
	d, errno := s.get(a.a1)
	if errno != 0 {
		return 0, s.refuse(a.a1, syscall.ESPIPE)
	}
	defer d.release()
	if d.isPath() {
		return 0, syscall.EBADF
	}
	o, ok := d.object.(seeker)
	if !ok {
		return 0, syscall.ESPIPE
	}
	pos, errno := o.seek(d, int64(a.a2), int(uint32(a.a3)))
	return uintptr(pos), errno
}

// pathOnly is what O_PATH opens: a place to start from, or to look at.
type pathOnly struct {
	vnode.Node
}

func (o *pathOnly) ready() *readiness { return nil }

func (o *pathOnly) close(d *description) { releaseNode(o.Node) }

func (o *pathOnly) read(d *description, p []byte) (int, syscall.Errno) { return 0, syscall.EBADF }

func (o *pathOnly) write(d *description, p []byte) (int, syscall.Errno) { return 0, syscall.EBADF }

func (o *pathOnly) ioctl(d *description, request uint32, p unsafe.Pointer) (uintptr, syscall.Errno) {
	return 0, syscall.EBADF
}
