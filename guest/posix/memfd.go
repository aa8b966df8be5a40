package posix

import (
	"sync/atomic"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// memoryFile is a file of memfd_create(2): one without a name in the root file system, with seals.
type memoryFile struct {
	vnode.File
	name  string
	seals atomic.Uint32
}

// Seals of fcntl(2), F_ADD_SEALS.
const (
	sealSeal = 1 << iota
	sealShrink
	sealGrow
	sealWrite
	sealFutureWrite
	sealExec
	sealsKnown = sealSeal | sealShrink | sealGrow | sealWrite | sealFutureWrite | sealExec
)

// sysMemfdCreate is memfd_create(2).
func sysMemfdCreate(s *System, a args) (uintptr, syscall.Errno) {
	const (
		cloexec, allowSealing, hugeTLB, noExecSeal, exec = 1, 2, 4, 8, 16

		nameMax = 250 // with the NUL
	)
	flags := uint32(a.a2)
	if flags&^(cloexec|allowSealing|noExecSeal|exec) != 0 || flags&(noExecSeal|exec) == noExecSeal|exec {
		return 0, syscall.EINVAL // huge pages are not supported
	}
	name, errno := text(a.p1, nameMax, syscall.EINVAL)
	if errno != 0 {
		return 0, errno
	}
	t, ok := s.fs().root.(vnode.Temporary)
	if !ok {
		return 0, syscall.ENOSYS
	}
	mode := uint32(0o777)
	if flags&noExecSeal != 0 {
		mode = 0o666
	}
	n, errno := t.MakeTemporary(vnode.Make{Mode: syscall.S_IFREG | mode})
	if errno != 0 {
		return 0, errno
	}
	m := &memoryFile{File: n.(vnode.File), name: name}
	if flags&(allowSealing|noExecSeal) == 0 {
		m.seals.Store(sealSeal)
	}
	if flags&noExecSeal != 0 {
		m.seals.Store(sealExec)
	}
	o, errno := hold(&regular{m, s})
	if errno != 0 {
		return 0, errno
	}
	return count(s.install(newDescription(o.object, syscall.O_RDWR|oLargeFile), 0, flags&cloexec != 0))
}

// Hold and Release are the file's.
func (m *memoryFile) Hold() syscall.Errno { return holdNode(m.File) }

// Release ends a Hold.
func (m *memoryFile) Release() { releaseNode(m.File) }

// seal adds seals. Errors: EPERM if sealing is sealed, EINVAL.
func (m *memoryFile) seal(bits uint32) syscall.Errno {
	if bits&^sealsKnown != 0 {
		return syscall.EINVAL
	}
	if m.seals.Load()&sealSeal != 0 {
		return syscall.EPERM
	}
	m.seals.Or(bits)
	return 0
}

// sealed reports whether one of the seals is set.
func (m *memoryFile) sealed(bits uint32) bool { return m.seals.Load()&bits != 0 }

// WriteAt writes unless that is sealed.
func (m *memoryFile) WriteAt(p []byte, off int64) (int, syscall.Errno) {
	if len(p) > 0 && (m.sealed(sealWrite|sealFutureWrite) || m.sealed(sealGrow) && off+int64(len(p)) > m.Attr().Size) {
		return 0, syscall.EPERM
	}
	return m.File.WriteAt(p, off)
}

// Append writes at the end unless that is sealed.
func (m *memoryFile) Append(p []byte) (int, int64, syscall.Errno) {
	if len(p) > 0 && m.sealed(sealWrite|sealFutureWrite|sealGrow) {
		return 0, 0, syscall.EPERM
	}
	return m.File.Append(p)
}

// SetAttr changes the size unless that is sealed.
func (m *memoryFile) SetAttr(c vnode.Change) syscall.Errno {
	if c.Set&vnode.SetSize != 0 {
		size := m.Attr().Size
		if c.Size < size && m.sealed(sealShrink) || c.Size > size && m.sealed(sealGrow) {
			return syscall.EPERM
		}
	}
	if c.Set&vnode.SetMode != 0 && m.sealed(sealExec) && (c.Mode^m.Attr().Mode)&0o111 != 0 {
		return syscall.EPERM
	}
	return m.File.SetAttr(c)
}

// Allocate makes room or holes unless that is sealed.
func (m *memoryFile) Allocate(mode uint32, off, n int64) syscall.Errno {
	const punchHole = 2
	if mode&punchHole != 0 && m.sealed(sealWrite|sealFutureWrite) ||
		mode&punchHole == 0 && m.sealed(sealGrow) && off+n > m.Attr().Size {
		return syscall.EPERM
	}
	return m.File.Allocate(mode, off, n)
}
