package hostdir

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Open opens a regular file for ReadAt and, if write is set, for what changes contents. Opens are counted; Done takes one back.
// Errors: EINVAL for what is no regular file, EROFS, EACCES, ETXTBSY.
func (d *Dir) Open(h Node, write bool) syscall.Errno {
	n, errno := d.use(h)
	if errno != 0 {
		return errno
	}
	defer d.release(n)
	switch {
	case n.typ != unix.S_IFREG:
		return syscall.EINVAL
	case write && d.options.ReadOnly:
		return syscall.EROFS
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.write >= 0, !write && n.read >= 0:
	case write:
		if n.write, errno = n.reopen(unix.O_RDWR); errno == syscall.EACCES {
			// It may be written to and not read, which is for the guest to know.
			n.write, errno = n.reopen(unix.O_WRONLY)
		}
	default:
		n.read, errno = d.openToRead(n)
	}
	if errno != 0 {
		return errno
	}
	d.mu.Lock()
	n.opens++
	d.mu.Unlock()
	return 0
}

// openToRead opens a file for reading, without a trace if nothing may change.
func (d *Dir) openToRead(n *node) (int, syscall.Errno) {
	if d.options.ReadOnly {
		if fd, errno := n.reopen(unix.O_RDONLY | unix.O_NOATIME); errno != syscall.EPERM {
			return fd, errno
		}
	}
	return n.reopen(unix.O_RDONLY)
}

// reopen opens the node's file, which is a regular one, and makes sure that it is what was opened.
func (n *node) reopen(flags int) (fd int, errno syscall.Errno) {
	err := again(func() (err error) {
		fd, err = unix.Open(n.self(), flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		return err
	})
	if err != nil {
		return -1, errnoOf(err)
	}
	var s unix.Stat_t
	if err := again(func() error { return unix.Fstat(fd, &s) }); err != nil || s.Mode&unix.S_IFMT != unix.S_IFREG || s.Ino != n.id.ino {
		unix.Close(fd)
		return -1, syscall.ESTALE
	}
	return fd, 0
}

// Done takes an Open back.
func (d *Dir) Done(h Node) {
	n, errno := d.use(h)
	if errno != 0 {
		return
	}
	defer d.release(n)
	n.mu.Lock()
	defer n.mu.Unlock()
	d.mu.Lock()
	n.opens = max(n.opens-1, 0)
	// Calls that run keep what they use: they are users, beside this one.
	idle := n.opens == 0 && n.users == 1
	d.mu.Unlock()
	if idle {
		n.closeContents()
	}
}

// contents returns a node that is open, and a descriptor of it. Errors: EBADF if it is not open, or not for that.
func (d *Dir) contents(h Node, write bool) (n *node, fd int, errno syscall.Errno) {
	if write && d.options.ReadOnly {
		return nil, -1, syscall.EROFS
	}
	if n, errno = d.use(h); errno != 0 {
		return nil, -1, errno
	}
	n.mu.Lock()
	if fd = n.write; fd < 0 && !write {
		fd = n.read
	}
	n.mu.Unlock()
	if fd < 0 {
		d.release(n)
		return nil, -1, syscall.EBADF
	}
	return n, fd, 0
}

// maxPieces is how many pieces of memory one call of the kernel's takes (IOV_MAX).
const maxPieces = 1024

// ReadAt reads into bufs from an offset; less than their length is the end of the file. With nowait it returns EAGAIN where it would
// have to wait for a disk, and for file systems that cannot tell (RWF_NOWAIT, readv(2)).
func (d *Dir) ReadAt(h Node, bufs [][]byte, off int64, nowait bool) (done int, errno syscall.Errno) {
	n, fd, errno := d.contents(h, false)
	if errno != 0 {
		return 0, errno
	}
	defer d.release(n)
	if len(bufs) > maxPieces || off < 0 {
		return 0, syscall.EINVAL
	}
	flags, want := 0, 0
	if nowait {
		flags = unix.RWF_NOWAIT
	}
	for _, b := range bufs {
		want += len(b)
	}
	for left := bufs; done < want; {
		got, err := unix.Preadv2(fd, left, off+int64(done), flags)
		switch {
		case err == unix.EINTR:
			continue
		case nowait && (err == unix.EOPNOTSUPP || err == unix.EAGAIN):
			return 0, syscall.EAGAIN // what was read so far is read again
		case err != nil:
			if done > 0 {
				return done, 0
			}
			return 0, errnoOf(err)
		case got == 0:
			return done, 0
		}
		done += got
		left = rest(left, got)
	}
	return done, 0
}

// rest is what is left of bufs behind the first n bytes. bufs stay as they are.
func rest(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n == 0 {
		return bufs
	}
	bufs = append([][]byte(nil), bufs...)
	bufs[0] = bufs[0][n:]
	return bufs
}

// WriteAt writes bufs at an offset or, with appendTo, at the end. It returns how many bytes and where the file ends afterwards. Errors come
// with 0 bytes only: ENOSPC, EDQUOT, EFBIG, EIO.
func (d *Dir) WriteAt(h Node, bufs [][]byte, off int64, appendTo bool) (done int, end int64, errno syscall.Errno) {
	n, fd, errno := d.contents(h, true)
	if errno != 0 {
		return 0, 0, errno
	}
	defer d.release(n)
	if len(bufs) > maxPieces || off < 0 {
		return 0, 0, syscall.EINVAL
	}
	want := 0
	for _, b := range bufs {
		want += len(b)
	}
	a, _, errno := d.stat(n.path)
	if errno != 0 {
		return 0, 0, errno
	}
	flags := 0
	if appendTo {
		flags, off = unix.RWF_APPEND, a.Size
	}
	if off > d.longest-int64(want) {
		return 0, 0, syscall.EFBIG
	}
	for left := bufs; done < want; {
		put, err := unix.Pwritev2(fd, left, off+int64(done), flags)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil && done == 0:
			return 0, 0, errnoOf(err)
		}
		if err != nil || put == 0 {
			break
		}
		done += put
		left = rest(left, put)
	}
	if a, _, errno = d.stat(n.path); errno != 0 {
		return 0, 0, errno
	}
	return done, a.Size, 0
}

// Allocate is fallocate(2).
func (d *Dir) Allocate(h Node, mode uint32, off, length int64) syscall.Errno {
	n, fd, errno := d.contents(h, true)
	if errno != 0 {
		return errno
	}
	defer d.release(n)
	if off < 0 || length <= 0 || off > d.longest-length {
		return syscall.EFBIG
	}
	return errnoOf(again(func() error { return unix.Fallocate(fd, mode, off, length) }))
}

// Next returns the first offset from off on that has data or, if hole is set, lies in a hole: lseek(2). Errors: ENXIO.
func (d *Dir) Next(h Node, off int64, hole bool) (int64, syscall.Errno) {
	n, fd, errno := d.contents(h, false)
	if errno != 0 {
		return 0, errno
	}
	defer d.release(n)
	whence := unix.SEEK_DATA
	if hole {
		whence = unix.SEEK_HOLE
	}
	at, err := unix.Seek(fd, off, whence)
	if err != nil {
		return 0, errnoOf(err)
	}
	return at, 0
}

// Sync returns when a file, or a directory's names, are on the disk; with dataOnly a file's contents suffice.
func (d *Dir) Sync(h Node, dataOnly bool) syscall.Errno {
	n, errno := d.use(h)
	if errno != 0 {
		return errno
	}
	defer d.release(n)
	fd := -1
	switch n.typ {
	case unix.S_IFDIR:
		var err error
		if fd, err = unix.Openat(n.path, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return errnoOf(err)
		}
		defer unix.Close(fd)
	case unix.S_IFREG:
		n.mu.Lock()
		if fd = n.write; fd < 0 {
			fd = n.read
		}
		n.mu.Unlock()
		if fd < 0 {
			return syscall.EBADF
		}
	default:
		return syscall.EINVAL
	}
	if dataOnly {
		return errnoOf(again(func() error { return unix.Fdatasync(fd) }))
	}
	return errnoOf(again(func() error { return unix.Fsync(fd) }))
}

// Lock is flock(2) of a file that is open, and does not wait: how is LOCK_SH, LOCK_EX or LOCK_UN. All opens of one Dir are one holder.
// Errors: EWOULDBLOCK if others, on the host or in other guests, are in the way.
func (d *Dir) Lock(h Node, how int) syscall.Errno {
	n, fd, errno := d.contents(h, false)
	if errno != 0 {
		return errno
	}
	defer d.release(n)
	return errnoOf(again(func() error { return unix.Flock(fd, how|unix.LOCK_NB) }))
}
