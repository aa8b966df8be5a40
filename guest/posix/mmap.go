package posix

import (
	"syscall"
	"unsafe"
)

const pageSize = 4096

// Flags of mmap(2).
const (
	mapShared         = 0x1
	mapPrivate        = 0x2
	mapSharedValidate = 0x3
	mapType           = 0xf
	mapAnonymous      = 0x20
)

// sysMmap is mmap(2) of a file; anonymous memory is package kernel's. A private mapping is memory with a copy of the
// contents. So is a shared one that is only read: a later write to the file does not show in it. Shared mappings to
// write to are refused. Errors: EBADF, EACCES, EINVAL, ENODEV, ENOMEM.
func sysMmap(s *System, a args) (uintptr, syscall.Errno) {
	addr, n, prot, flags, off := a.a1, a.a2, a.a3, a.a4, a.a6
	if flags&mapAnonymous != 0 {
		return 0, toGate
	}
	d, errno := s.get(a.a5)
	if errno != 0 {
		return 0, s.refuse(a.a5, syscall.ENODEV)
	}
	defer d.release()
	if d.isPath() {
		return 0, syscall.EBADF
	}
	if off&(pageSize-1) != 0 || n == 0 || int64(off) < 0 || int64(off+n) < 0 {
		return 0, syscall.EINVAL
	}
	shared := false
	switch flags & mapType {
	case mapPrivate:
	case mapShared, mapSharedValidate:
		shared = true
	default:
		return 0, syscall.EINVAL
	}
	if !d.readable() || shared && prot&syscall.PROT_WRITE != 0 && !d.writable() {
		return 0, syscall.EACCES
	}
	var o positioned
	switch object := d.object.(type) {
	case *regular:
		o = object
	case *device:
		if object.rdev == rdevZero {
			o = object
		}
	}
	if o == nil || shared && prot&syscall.PROT_WRITE != 0 {
		return 0, syscall.ENODEV
	}
	at, errno := s.gate.Memory(syscall.SYS_MMAP, addr, n, syscall.PROT_READ|syscall.PROT_WRITE,
		flags&^mapType|mapPrivate|mapAnonymous)
	if errno != 0 {
		return 0, errno
	}
	if _, isFile := o.(*regular); isFile { // new memory is zero, as is the device
		if errno = load(o, at, n, int64(off)); errno != 0 {
			s.gate.Memory(syscall.SYS_MUNMAP, at, n, 0, 0)
			return 0, errno
		}
	}
	const writable = syscall.PROT_READ | syscall.PROT_WRITE
	if prot&(writable|syscall.PROT_EXEC) != writable {
		if _, errno = s.gate.Memory(syscall.SYS_MPROTECT, at, n, prot, 0); errno != 0 {
			s.gate.Memory(syscall.SYS_MUNMAP, at, n, 0, 0)
			return 0, errno
		}
	}
	return at, 0
}

// load copies a file's contents to mapped memory.
//
// Safety: [at, at+n) has just been mapped for this call, outside Go's heap, so an address may stand for it.
func load(o positioned, at, n uintptr, off int64) syscall.Errno {
	p := unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), n)
	for done := 0; done < len(p); {
		got, errno := o.readAt(p[done:], off+int64(done))
		if errno != 0 {
			return errno
		}
		if got == 0 {
			break
		}
		done += got
	}
	return 0
}

// sysMsync is msync(2): no mapping has anything to write back.
func sysMsync(s *System, a args) (uintptr, syscall.Errno) {
	if a.a1&(pageSize-1) != 0 || a.a3&^7 != 0 || a.a3&5 == 5 {
		return 0, syscall.EINVAL
	}
	return 0, 0
}
