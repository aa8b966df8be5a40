package posix

import (
	"syscall"
	"unsafe"
)

// maxVectors is how many buffers one call may name (IOV_MAX).
const maxVectors = 1024

// vectors is an array of iovec in user memory. It is read through typed structs each time, because the buffers it
// names may lie on a stack that moves.
type vectors struct {
	p unsafe.Pointer
	n int
}

// vectorsAt checks an array of iovec (readv(2)). Errors: EINVAL, EFAULT.
func vectorsAt(p unsafe.Pointer, n uintptr) (vectors, syscall.Errno) {
	if n > maxVectors {
		return vectors{}, syscall.EINVAL
	}
	if n == 0 {
		return vectors{}, 0
	}
	if p == nil {
		return vectors{}, syscall.EFAULT
	}
	v := vectors{p, int(n)}
	for i := range v.n {
		e := v.entry(i)
		if int64(e.Len) < 0 {
			return vectors{}, syscall.EINVAL
		}
		if e.Base == nil && e.Len > 0 {
			return vectors{}, syscall.EFAULT
		}
	}
	return v, 0
}

func (v vectors) entry(i int) *syscall.Iovec { return &unsafe.Slice((*syscall.Iovec)(v.p), v.n)[i] }

// at returns the i-th buffer.
func (v vectors) at(i int) []byte {
	e := v.entry(i)
	if e.Len == 0 {
		return nil
	}
	return unsafe.Slice(e.Base, min(e.Len, maxTransfer))
}

// total is the length of all buffers, at most maxTransfer.
func (v vectors) total() int {
	sum := uint64(0)
	for i := range v.n {
		sum = min(sum+v.entry(i).Len, maxTransfer)
	}
	return int(sum)
}

// only returns the one buffer that is not empty, if there is no other.
func (v vectors) only() ([]byte, bool) {
	var found []byte
	for i := range v.n {
		if b := v.at(i); len(b) > 0 {
			if found != nil {
				return nil, false
			}
			found = b
		}
	}
	return found, true
}

// gather copies the buffers' contents to the kernel's memory.
func (v vectors) gather() []byte {
	b := make([]byte, 0, v.total())
	for i := range v.n {
		b = append(b, v.at(i)[:min(len(v.at(i)), cap(b)-len(b))]...)
	}
	return b
}

// scatter copies b to the buffers and returns how much of it fitted.
func (v vectors) scatter(b []byte) (n int) {
	for i := 0; i < v.n && n < len(b); i++ {
		n += copy(v.at(i), b[n:])
	}
	return n
}

// sysReadv is readv(2).
func sysReadv(s *System, a args) (uintptr, syscall.Errno) {
	v, errno := vectorsAt(a.p2, a.a3)
	if errno != 0 {
		return 0, errno
	}
	d, errno := s.get(a.a1)
	if errno != 0 {
		return count(s.gateReadv(fdOf(a.a1), v))
	}
	defer d.release()
	if !d.readable() {
		return 0, syscall.EBADF
	}
	return count(d.readv(v))
}

// readv reads into several buffers: what one read has to give.
func (d *description) readv(v vectors) (n int, errno syscall.Errno) {
	if p, ok := v.only(); ok {
		return d.read(p)
	}
	if g, ok := d.object.(gatherer); ok && g.gather(v.total()) { // one datagram
		p := make([]byte, v.total())
		n, errno = d.read(p)
		if errno != 0 {
			return 0, errno
		}
		return v.scatter(p[:n]), 0
	}
	for i := range v.n {
		p := v.at(i)
		if len(p) == 0 {
			continue
		}
		m := 0
		if n == 0 {
			m, errno = d.read(p)
		} else {
			m, errno = d.object.read(d, p) // waits no more
		}
		n += m
		if errno != 0 || m < len(p) {
			break
		}
	}
	return partial(n, errno)
}

// sysWritev is writev(2).
func sysWritev(s *System, a args) (uintptr, syscall.Errno) {
	v, errno := vectorsAt(a.p2, a.a3)
	if errno != 0 {
		return 0, errno
	}
	d, errno := s.get(a.a1)
	if errno != 0 {
		return count(s.gateWritev(fdOf(a.a1), v))
	}
	defer d.release()
	if !d.writable() {
		return 0, syscall.EBADF
	}
	return count(d.writev(v))
}

func (d *description) writev(v vectors) (n int, errno syscall.Errno) {
	if p, ok := v.only(); ok {
		return d.write(p)
	}
	if g, ok := d.object.(gatherer); ok && g.gather(v.total()) {
		return d.write(v.gather())
	}
	for i := range v.n {
		p := v.at(i)
		if len(p) == 0 {
			continue
		}
		m := 0
		m, errno = d.write(p)
		n += m
		if errno != 0 || m < len(p) {
			break
		}
	}
	return partial(n, errno)
}

// gateReadv and gateWritev work on a descriptor of package kernel's, one buffer a call.
func (s *System) gateReadv(fd int, v vectors) (int, syscall.Errno) {
	for i := range v.n {
		if p := v.at(i); len(p) > 0 {
			return s.gate.Read(fd, p)
		}
	}
	return s.gate.Read(fd, nil)
}

func (s *System) gateWritev(fd int, v vectors) (n int, errno syscall.Errno) {
	for i := range v.n {
		p := v.at(i)
		if len(p) == 0 {
			continue
		}
		m := 0
		m, errno = s.gate.Write(fd, p)
		if errno != 0 {
			break
		}
		if n += m; m < len(p) {
			break
		}
	}
	if n == 0 && errno == 0 {
		return s.gate.Write(fd, nil)
	}
	return partial(n, errno)
}

// sysPreadv is preadv(2) and, with flags, preadv2(2). The offset is a4: on 64-bit machines a5, its upper half, adds
// nothing.
func sysPreadv(s *System, a args) (uintptr, syscall.Errno) {
	v, errno := vectorsAt(a.p2, a.a3)
	if errno != 0 {
		return 0, errno
	}
	d, o, errno := s.positioned(a.a1, int64(a.a4), false)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	n := 0
	for i := range v.n {
		p := v.at(i)
		m := 0
		m, errno = o.readAt(p, int64(a.a4)+int64(n))
		n += m
		if errno != 0 || m < len(p) {
			break
		}
	}
	return count(partial(n, errno))
}

// sysPwritev is pwritev(2).
func sysPwritev(s *System, a args) (uintptr, syscall.Errno) {
	v, errno := vectorsAt(a.p2, a.a3)
	if errno != 0 {
		return 0, errno
	}
	d, o, errno := s.positioned(a.a1, int64(a.a4), true)
	if errno != 0 {
		return 0, errno
	}
	defer d.release()
	n := 0
	for i := range v.n {
		p := v.at(i)
		m := 0
		m, errno = d.writeAt(o, p, int64(a.a4)+int64(n))
		n += m
		if errno != 0 || m < len(p) {
			break
		}
	}
	return count(partial(n, errno))
}

// Flags of preadv2(2). Those that only ask for speed or durability are fulfilled by doing nothing.
const (
	rwfHiPri  = 0x1
	rwfDsync  = 0x2
	rwfSync   = 0x4
	rwfNowait = 0x8
	rwfKnown  = rwfHiPri | rwfDsync | rwfSync | rwfNowait
)

// sysPreadv2 is preadv2(2). The offset -1 stands for the file position.
func sysPreadv2(s *System, a args) (uintptr, syscall.Errno) {
	if a.a6&^rwfKnown != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	if int64(a.a4) == -1 {
		return sysReadv(s, a)
	}
	return sysPreadv(s, a)
}

// sysPwritev2 is pwritev2(2).
func sysPwritev2(s *System, a args) (uintptr, syscall.Errno) {
	if a.a6&^rwfKnown != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	if int64(a.a4) == -1 {
		return sysWritev(s, a)
	}
	return sysPwritev(s, a)
}
