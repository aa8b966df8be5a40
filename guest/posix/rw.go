package posix

import (
	"syscall"
	"unsafe"
)

// sysRead is read(2).
func sysRead(s *System, a args) (uintptr, syscall.Errno) { return s.readInto(a.a1, a.p2, a.a3) }

// readInto is read(2).
func (s *System) readInto(fd uintptr, to unsafe.Pointer, size uintptr) (uintptr, syscall.Errno) {
	d, errno := s.get(fd)
	if errno != 0 {
		return 0, errno
	}
	n, errno := 0, syscall.EBADF
	if d.readable() {
		var p []byte
		if p, errno = memory(to, size); errno == 0 {
			n, errno = d.read(p)
		}
	}
	d.release()
	return uintptr(n), errno
}

// sysWrite is write(2).
func sysWrite(s *System, a args) (uintptr, syscall.Errno) { return s.writeFrom(a.a1, a.p2, a.a3) }

// writeFrom is write(2).
func (s *System) writeFrom(fd uintptr, from unsafe.Pointer, size uintptr) (uintptr, syscall.Errno) {
	d, errno := s.get(fd)
	if errno != 0 {
		return 0, errno
	}
	n, errno := 0, syscall.EBADF
	if d.writable() {
		var p []byte
		if p, errno = memory(from, size); errno == 0 {
			n, errno = d.write(p)
		}
	}
	d.release()
	return uintptr(n), errno
}

// read reads into p, waiting if the description is to.
func (d *description) read(p []byte) (int, syscall.Errno) {
	n, errno := d.object.read(d, p)
	if errno != syscall.EAGAIN || d.nonblocking() {
		return n, errno
	}
	w := wait{on: d.object.ready(), events: EventIn, timeout: timeoutOf(d.object, EventIn)}
	defer w.done()
	for w.more() {
		if n, errno = d.object.read(d, p); errno != syscall.EAGAIN {
			break
		}
	}
	return n, errno
}

// write writes p: all of it if the description waits, else what there is room for.
func (d *description) write(p []byte) (int, syscall.Errno) {
	n, errno := d.object.write(d, p)
	if errno == 0 && n == len(p) || errno != 0 && errno != syscall.EAGAIN || d.nonblocking() {
		return n, errno
	}
	w := wait{on: d.object.ready(), events: EventOut, timeout: timeoutOf(d.object, EventOut)}
	defer w.done()
	for n < len(p) && w.more() {
		m, e := d.object.write(d, p[n:])
		n += m
		if errno = e; e != 0 && e != syscall.EAGAIN {
			break
		}
	}
	return partial(n, errno)
}

// partial is the result of a transfer that came as far as n bytes before errno.
func partial(n int, errno syscall.Errno) (int, syscall.Errno) {
	if n > 0 {
		return n, 0
	}
	return 0, errno
}

// sysPread64 is pread64(2).
func sysPread64(s *System, a args) (uintptr, syscall.Errno) {
	d, o, errno := s.positioned(a.a1, int64(a.a4), false)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	p, errno := memory(a.p2, a.a3)
	if errno != 0 {
		return 0, errno
	}
	return count(o.readAt(p, int64(a.a4)))
}

// sysPwrite64 is pwrite64(2). With O_APPEND it writes at the end, which is Linux's known deviation from POSIX.
func sysPwrite64(s *System, a args) (uintptr, syscall.Errno) {
	d, o, errno := s.positioned(a.a1, int64(a.a4), true)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	p, errno := memory(a.p2, a.a3)
	if errno != 0 {
		return 0, errno
	}
	return count(d.writeAt(o, p, int64(a.a4)))
}

// writeAt writes at an offset, or at the end if the description appends.
func (d *description) writeAt(o positioned, p []byte, off int64) (int, syscall.Errno) {
	if f, ok := o.(*regular); ok && d.flags.Load()&syscall.O_APPEND != 0 {
		n, _, errno := f.Append(p)
		return n, errno
	}
	return o.writeAt(p, off)
}

// positioned returns the object of a descriptor that is read or written at an offset. The caller releases d. Errors:
// EINVAL for a negative offset, EBADF, ESPIPE.
func (s *System) positioned(fd uintptr, off int64, writing bool) (*description, positioned, syscall.Errno) {
	if off < 0 {
		return nil, nil, syscall.EINVAL
	}
	d, errno := s.get(fd)
	if errno != 0 {
		return nil, nil, s.refuse(fd, syscall.ESPIPE)
	}
	o, ok := d.object.(positioned)
	switch {
	case writing && !d.writable(), !writing && !d.readable():
		errno = syscall.EBADF
	case !ok:
		errno = syscall.ESPIPE
		if _, isDir := d.object.(*directory); isDir {
			errno = syscall.EISDIR
		}
	}
	if errno != 0 {
		d.release()
		return nil, nil, errno
	}
	return d, o, 0
}

// refuse is the error of a call that package kernel's descriptors do not support: errno, or EBADF if fd is not open.
func (s *System) refuse(fd uintptr, errno syscall.Errno) syscall.Errno {
	if kind, _ := s.core.KindOf(fdOf(fd)); kind == 0 {
		return syscall.EBADF
	}
	return errno
}
