package posix

import (
	"syscall"
	"unsafe"

	"ukvm.dev/guest/kernel"
	"ukvm.dev/guest/posix/vnode"
)

// Device numbers of character devices as stat(2) has them (Documentation/admin-guide/devices.txt).
const (
	rdevNull    = 1<<8 | 3
	rdevZero    = 1<<8 | 5
	rdevFull    = 1<<8 | 7
	rdevRandom  = 1<<8 | 8
	rdevURandom = 1<<8 | 9
	rdevTTY     = 5<<8 | 0
	rdevPTS     = 136 << 8
)

// device is an open character device that is always ready.
type device struct {
	vnode.Node
	sys  *System
	rdev uint64
}

var (
	_ positioned = (*device)(nil)
	_ seeker     = (*device)(nil)
)

// openDevice opens a device node, which the caller holds. Errors: ENXIO if there is no such device.
func (s *System) openDevice(n vnode.Node, rdev uint64, flags uint32) (opened, syscall.Errno) {
	switch rdev {
	case rdevNull, rdevZero, rdevFull, rdevRandom, rdevURandom:
		return opened{object: &device{n, s, rdev}}, 0
	case rdevTTY:
		t, errno := s.openTTY(n)
		if errno != 0 {
			releaseNode(n)
			return opened{}, errno
		}
		return opened{object: t}, 0
	}
	releaseNode(n)
	return opened{}, syscall.ENXIO
}

func (o *device) ready() *readiness { return nil }

func (o *device) close(d *description) { releaseNode(o.Node) }

func (o *device) read(d *description, p []byte) (int, syscall.Errno) {
	switch o.rdev {
	case rdevNull:
		return 0, 0
	case rdevRandom, rdevURandom:
		o.sys.gate.Random(p)
	default:
		clear(p)
	}
	return len(p), 0
}

func (o *device) write(d *description, p []byte) (int, syscall.Errno) {
	if o.rdev == rdevFull {
		return 0, syscall.ENOSPC
	}
	return len(p), 0 // what is written to random is not used
}

func (o *device) readAt(p []byte, off int64) (int, syscall.Errno) { return o.read(nil, p) }

func (o *device) writeAt(p []byte, off int64) (int, syscall.Errno) { return o.write(nil, p) }

func (o *device) seek(d *description, off int64, whence int) (int64, syscall.Errno) {
	if whence > seekHole {
		return 0, syscall.EINVAL
	}
	return 0, 0
}

// tty is /dev/tty: the console's streams under numbers of its own, as long as one of them is a terminal. Reads and
// writes wait in the kernel, so it is not pollable.
type tty struct {
	vnode.Node
	sys     *System
	in, out int
}

var _ controller = (*tty)(nil)

// openTTY finds the terminal. Errors: ENXIO if there is none.
func (s *System) openTTY(n vnode.Node) (*tty, syscall.Errno) {
	t := &tty{Node: n, sys: s, in: -1, out: -1}
	for fd := range 3 {
		kind, stream := s.core.KindOf(fd)
		if kind != kernel.KindConsole || s.env.boot().Console[stream]&consoleTTY == 0 {
			continue
		}
		use := &t.out
		if stream == 0 {
			use = &t.in
		}
		if *use >= 0 {
			continue
		}
		dup, errno := s.gate.Fcntl(fd, syscall.F_DUPFD_CLOEXEC, 3)
		if errno != 0 {
			t.close(nil)
			return nil, errno
		}
		*use = dup
	}
	if t.in < 0 && t.out < 0 {
		return nil, syscall.ENXIO
	}
	return t, 0
}

func (o *tty) ready() *readiness { return nil }

func (o *tty) close(d *description) {
	for _, fd := range [2]int{o.in, o.out} {
		if fd >= 0 {
			o.sys.gate.Close(fd)
		}
	}
	if d != nil {
		releaseNode(o.Node)
	}
}

func (o *tty) read(d *description, p []byte) (int, syscall.Errno) {
	if o.in < 0 {
		return 0, syscall.EIO
	}
	return o.sys.gate.Read(o.in, p)
}

func (o *tty) write(d *description, p []byte) (int, syscall.Errno) {
	if o.out < 0 {
		return 0, syscall.EIO
	}
	return o.sys.gate.Write(o.out, p)
}

func (o *tty) ioctl(d *description, request uint32, p unsafe.Pointer) (uintptr, syscall.Errno) {
	return o.sys.gate.Ioctl(max(o.in, o.out), request, p)
}
