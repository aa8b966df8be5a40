package hostdir

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// reopen opens a regular file or directory through its O_PATH descriptor. The name in /proc/self/fd must be followed to do
// so, so what was opened is seen to be the same.
func (d *Dir) reopen(n *node, flags int) (int, syscall.Errno) {
	if n.kind != syscall.S_IFREG && n.kind != syscall.S_IFDIR {
		return -1, syscall.EINVAL
	}
	if d.readOnly {
		fd, e := d.reopenAs(n, flags|unix.O_NOATIME)
		if e != syscall.EPERM { // of another owner
			return fd, e
		}
	}
	return d.reopenAs(n, flags)
}

func (d *Dir) reopenAs(n *node, flags int) (int, syscall.Errno) {
	fd, e := openat(d.proc, procName(n.path), flags, 0)
	if e != 0 {
		return -1, e
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || (identity{st.Dev, st.Ino}) != n.id || st.Mode&syscall.S_IFMT != n.kind {
		unix.Close(fd)
		return -1, syscall.ESTALE
	}
	return fd, 0
}

// description is the one that the contents of a node are read and written through, or nil; unref gives it back.
func (d *Dir) description(n *node) *description {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n.file != nil {
		n.file.refs++
	}
	return n.file
}

func (d *Dir) unref(p **description) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unrefLocked(p)
}

// adopt makes fd, which it takes over, a description with one reference.
func (d *Dir) adopt(fd int, write bool) (*description, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.extra >= d.maxNodes {
		unix.Close(fd)
		return nil, syscall.ENFILE
	}
	d.extra++
	return &description{fd: fd, write: write, refs: 1}, 0
}

// Open opens a regular file for reading, and for writing if the host permits that; if write is set, it must. Done takes
// one Open back. Errors: those of open(2), EISDIR, ELOOP for symbolic links, ENXIO for what else is no file, ENFILE.
func (d *Dir) Open(h Node, write bool) syscall.Errno {
	n, e := d.hold(h)
	if e != 0 {
		return e
	}
	defer d.release(n)
	switch {
	case n.kind == syscall.S_IFDIR:
		return syscall.EISDIR
	case n.kind == syscall.S_IFLNK:
		return syscall.ELOOP
	case n.kind != syscall.S_IFREG:
		return syscall.ENXIO
	case write && d.readOnly:
		return syscall.EROFS
	}
	if d.openAgain(n, write) {
		return 0
	}
	s, e := d.openFile(n, write)
	if e != 0 {
		return e
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case n.count == 0: // forgotten meanwhile: nobody would close it
		d.unrefLocked(&s)
		return syscall.ESTALE
	case n.file == nil || s.write && !n.file.write:
		// The first, or one that may do more than the one before. A lock stays with the latter.
		d.unrefLocked(&n.file)
		n.file = s
	default:
		d.unrefLocked(&s) // another call was faster
	}
	n.opens++
	return 0
}

// openAgain counts an Open if the description that is there will do.
func (d *Dir) openAgain(n *node, write bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n.count == 0 || n.file == nil || write && !n.file.write {
		return false
	}
	n.opens++
	return true
}

func (d *Dir) openFile(n *node, write bool) (*description, syscall.Errno) {
	if !d.readOnly {
		fd, e := d.reopen(n, unix.O_RDWR)
		if e == 0 {
			return d.adopt(fd, true)
		}
		// What forbids writing only: permissions, a read-only file system, a running program, an immutable file.
		forbidden := e == syscall.EACCES || e == syscall.EROFS || e == syscall.ETXTBSY || e == syscall.EPERM
		if write || !forbidden {
			return nil, e
		}
	}
	fd, e := d.reopen(n, unix.O_RDONLY)
	if e != 0 {
		return nil, e
	}
	return d.adopt(fd, false)
}

// Done takes back one Open. The last also gives up the node's lock.
func (d *Dir) Done(h Node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[h]
	if n == nil || n.opens == 0 || d.closed {
		return
	}
	if n.opens--; n.opens == 0 {
		d.unrefLocked(&n.file)
		d.unrefLocked(&n.lock)
	}
}

// contents keeps a node and its description during a call; the function that it returns lets them go. Errors: EISDIR and
// EINVAL if it is no file, EBADF if it is not open, or not for writing.
func (d *Dir) contents(h Node, write bool) (*node, *description, func(), syscall.Errno) {
	hold := d.hold
	if write {
		hold = d.change
	}
	n, e := hold(h)
	if e != 0 {
		return nil, nil, nil, e
	}
	s := d.description(n)
	done := func() {
		d.unref(&s)
		d.release(n)
	}
	switch {
	case n.kind == syscall.S_IFDIR:
		e = syscall.EISDIR
	case n.kind != syscall.S_IFREG:
		e = syscall.EINVAL
	case s == nil, write && !s.write:
		e = syscall.EBADF
	}
	if e != 0 {
		done()
		return nil, nil, nil, e
	}
	return n, s, done, 0
}

// Descriptor returns a descriptor of an open file, to be mapped: for reading, and for writing if write is set. The caller closes it.
// Errors: EISDIR and
// EINVAL if it is no file, EBADF if it is not open, or not for writing, EMFILE.
func (d *Dir) Descriptor(h Node, write bool) (int, syscall.Errno) {
	_, s, done, e := d.contents(h, write)
	if e != 0 {
		return -1, e
	}
	defer done()
	return retry(func() (int, error) { return unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0) })
}

// ReadAt reads into bufs, at most 1024 of them (IOV_MAX), from an offset. 0 bytes is the end. With nowait it returns EAGAIN
// if the host would have to wait for a disk, or its file system cannot say so (preadv2(2), RWF_NOWAIT); fewer bytes than
// there was room for are then those that were at hand, and not a sign of the end.
func (d *Dir) ReadAt(h Node, bufs [][]byte, off int64, nowait bool) (int, syscall.Errno) {
	_, s, done, e := d.contents(h, false)
	if e != 0 {
		return 0, e
	}
	defer done()
	if off < 0 { // -1 would be the description's own offset
		return 0, syscall.EINVAL
	}
	flags := 0
	if nowait {
		flags = unix.RWF_NOWAIT
	}
	n, e := retry(func() (int, error) { return unix.Preadv2(s.fd, bufs, off, flags) })
	if e == syscall.EOPNOTSUPP && nowait {
		e = syscall.EAGAIN
	}
	return max(n, 0), e
}

// WriteAt writes bufs, at most 1024 of them (IOV_MAX), at an offset or, with appendTo, at the end of the file, wherever
// that is when it happens. It returns how many bytes were written, perhaps not all, and the offset after them, which was
// the end of the file in the latter case. Errors: those of pwritev2(2), EBADF, EROFS.
func (d *Dir) WriteAt(h Node, bufs [][]byte, off int64, appendTo bool) (n int, end int64, e syscall.Errno) {
	node, s, done, e := d.contents(h, true)
	if e != 0 {
		return 0, 0, e
	}
	defer done()
	if appendTo {
		return d.append(node, s, bufs)
	}
	switch {
	case off < 0: // -1 would be the description's own offset
		return 0, 0, syscall.EINVAL
	case off >= d.maxSize:
		return 0, 0, syscall.EFBIG
	}
	n, e = retry(func() (int, error) { return unix.Pwritev2(s.fd, bufs, off, 0) })
	n = max(n, 0)
	return n, off + int64(n), e
}

// append writes at the end. The description's own offset tells where that was, also if other processes append at the
// same time.
func (d *Dir) append(node *node, s *description, bufs [][]byte) (n int, end int64, e syscall.Errno) {
	node.position.Lock()
	defer node.position.Unlock()
	if st, e := statx(s.fd); e != 0 {
		return 0, 0, e
	} else if int64(st.Size) >= d.maxSize {
		return 0, 0, syscall.EFBIG
	}
	n, e = retry(func() (int, error) { return unix.Pwritev2(s.fd, bufs, -1, unix.RWF_APPEND) })
	if e != 0 {
		return 0, 0, e
	}
	end, err := unix.Seek(s.fd, 0, unix.SEEK_CUR)
	return n, end, errno(err)
}

// Allocate is fallocate(2).
func (d *Dir) Allocate(h Node, mode uint32, off, length int64) syscall.Errno {
	_, s, done, e := d.contents(h, true)
	if e != 0 {
		return e
	}
	defer done()
	switch {
	case off < 0 || length <= 0:
		return syscall.EINVAL
	case off > d.maxSize-length:
		return syscall.EFBIG
	}
	_, e = retry(func() (int, error) { return 0, unix.Fallocate(s.fd, mode, off, length) })
	return e
}

// Next returns the first offset from off on that holds data or, if hole is set, lies in a hole, of which there is one at
// the end: lseek(2) with SEEK_DATA and SEEK_HOLE. Errors: ENXIO if there is none.
func (d *Dir) Next(h Node, off int64, hole bool) (int64, syscall.Errno) {
	n, s, done, e := d.contents(h, false)
	if e != 0 {
		return 0, e
	}
	defer done()
	whence := unix.SEEK_DATA
	if hole {
		whence = unix.SEEK_HOLE
	}
	n.position.Lock()
	defer n.position.Unlock()
	next, err := unix.Seek(s.fd, off, whence)
	if err != nil {
		return 0, errno(err)
	}
	return next, 0
}

// Sync has a file or directory on the disk before it returns: fsync(2), or fdatasync(2) if dataOnly is set. A file need not
// be open. Errors: EIO, ENOSPC, EINVAL for other types.
func (d *Dir) Sync(h Node, dataOnly bool) syscall.Errno {
	n, e := d.hold(h)
	if e != 0 {
		return e
	}
	defer d.release(n)
	sync := unix.Fsync
	if dataOnly {
		sync = unix.Fdatasync
	}
	s := d.description(n)
	defer d.unref(&s)
	fd := -1
	if s != nil {
		fd = s.fd
	} else {
		if fd, e = d.reopen(n, unix.O_RDONLY); e != 0 {
			return e
		}
		defer unix.Close(fd)
	}
	_, e = retry(func() (int, error) { return 0, sync(fd) })
	return e
}
