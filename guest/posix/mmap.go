package posix

import (
	"syscall"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

const pageSize = 4096

// Flags of mmap(2).
const (
	mapShared         = 0x1
	mapPrivate        = 0x2
	mapSharedValidate = 0x3
	mapType           = 0xf
	mapFixed          = 0x10
	mapAnonymous      = 0x20
	mapFixedNoReplace = 0x100000
)

// sysMmap is mmap(2) of a file; anonymous memory is package kernel's. A private mapping is memory with a copy of the contents, as they
// are now; shared ones are mapping.go's business. Errors: EBADF, EACCES, EINVAL, ENODEV, ENOMEM.
func sysMmap(s *System, a args) (uintptr, syscall.Errno) {
	addr, n, prot, flags, off := a.a1, a.a2, a.a3, a.a4, a.a6
	if flags&(mapFixed|mapFixedNoReplace) != 0 && s.maps.count.Load() != 0 {
		if forShown(addr, n) {
			return 0, syscall.ENOMEM
		}
		if flags&mapFixedNoReplace == 0 && addr&(pageSize-1) == 0 {
			if _, errno := sysMunmap(s, args{a1: addr, a2: n}); errno != 0 && errno != toGate {
				return 0, errno
			}
		}
	}
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
	if off&(pageSize-1) != 0 || n == 0 || int64(off) < 0 || int64(roundPage(n)) < 0 || int64(off+roundPage(n)) < 0 {
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
	if !forShown(addr, n) {
		flags &^= mapType
	} else { // a hint that cannot be followed
		addr, flags = 0, flags&^mapType
	}
	switch o := d.object.(type) {
	case *regular:
		if shared {
			return s.mapShared(d, addr, roundPage(n), prot, flags, int64(off))
		}
		return s.mapCopy(o.ReadAt, addr, n, prot, flags, int64(off))
	case *device:
		if o.rdev == rdevZero { // as anonymous memory
			return s.gate.Memory(syscall.SYS_MMAP, addr, n, prot, flags|mapPrivate|mapAnonymous)
		}
	}
	return 0, syscall.ENODEV
}

// mapShared makes a shared mapping.
func (s *System) mapShared(d *description, addr, n, prot, flags uintptr, off int64) (uintptr, syscall.Errno) {
	o := d.object.(*regular)
	if f, ok := o.File.(vnode.Mapper); ok && flags&(mapFixed|mapFixedNoReplace) == 0 {
		at, errno := f.Map(off, int64(n), d.writable())
		switch {
		case errno == 0:
			_, errno = s.gate.Memory(syscall.SYS_MMAP, at, n, prot, mapFixed|mapPrivate|mapAnonymous)
			if errno != 0 {
				f.Unmap(at, d.writable())
				return 0, errno
			}
			d.retain()
			s.maps.mu.Lock()
			s.maps.insert(&mapping{
				start: at, end: at + n, off: off, d: d, prot: prot, shown: &shown{file: f, addr: at, write: d.writable(), left: n},
			})
			s.maps.mu.Unlock()
			return at, 0
		case errno != syscall.ENODEV:
			return 0, errno
		}
	}
	s.maps.mu.Lock()
	defer s.maps.mu.Unlock()
	s.collectFile(o.File, off, off+int64(n)) // what other mirrors have
	at, errno := s.mapCopy(o.File.ReadAt, addr, n, prot, flags, off)
	if errno != 0 {
		return 0, errno
	}
	d.retain()
	s.maps.insert(&mapping{start: at, end: at + n, off: off, d: d, prot: prot})
	return at, 0
}

// mapCopy makes memory with a copy of a file's contents.
func (s *System) mapCopy(readAt reader, addr, n, prot, flags uintptr, off int64) (uintptr, syscall.Errno) {
	const writable = syscall.PROT_READ | syscall.PROT_WRITE
	at, errno := s.gate.Memory(syscall.SYS_MMAP, addr, n, writable, flags|mapPrivate|mapAnonymous)
	if errno != 0 {
		return 0, errno
	}
	errno = load(readAt, at, n, off)
	if errno == 0 && prot&(writable|syscall.PROT_EXEC) != writable {
		_, errno = s.gate.Memory(syscall.SYS_MPROTECT, at, n, prot, 0)
	}
	if errno != 0 {
		s.gate.Memory(syscall.SYS_MUNMAP, at, n, 0, 0)
		return 0, errno
	}
	return at, 0
}

// reader reads a file at an offset.
type reader = func(p []byte, off int64) (int, syscall.Errno)

// load copies a file's contents to mapped memory.
//
// Safety: [at, at+n) has just been mapped for this call, outside Go's heap, so an address may stand for it.
func load(readAt reader, at, n uintptr, off int64) syscall.Errno {
	p := unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), n)
	for done := 0; done < len(p); {
		got, errno := readAt(p[done:], off+int64(done))
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
