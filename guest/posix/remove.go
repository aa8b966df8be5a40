package posix

import (
	"syscall"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

// sysUnlinkat is unlinkat(2).
func sysUnlinkat(s *System, a args) (uintptr, syscall.Errno) {
	switch a.a3 {
	case 0:
		return result(s.unlink(a.a1, a.p2))
	case atRemoveDir:
		return result(s.rmdir(a.a1, a.p2))
	}
	return 0, syscall.EINVAL
}

// sysUnlink is unlink(2).
func sysUnlink(s *System, a args) (uintptr, syscall.Errno) { return result(s.unlink(cwd, a.p1)) }

// sysRmdir is rmdir(2).
func sysRmdir(s *System, a args) (uintptr, syscall.Errno) { return result(s.rmdir(cwd, a.p1)) }

func (s *System) unlink(dirfd uintptr, p unsafe.Pointer) syscall.Errno {
	path, errno := pathAt(p)
	if errno != 0 {
		return errno
	}
	f, errno := s.find(dirfd, path, walkParent)
	if errno != 0 {
		return errno
	}
	_, isDir := f.node.(vnode.Dir)
	switch {
	case f.last != lastName:
		return syscall.EISDIR
	case f.node == nil:
		return syscall.ENOENT
	case isDir:
		return syscall.EISDIR
	case f.slash:
		return syscall.ENOTDIR
	}
	return f.dir.Remove(f.name, false)
}

func (s *System) rmdir(dirfd uintptr, p unsafe.Pointer) syscall.Errno {
	path, errno := pathAt(p)
	if errno != 0 {
		return errno
	}
	f, errno := s.find(dirfd, path, walkParent)
	if errno != 0 {
		return errno
	}
	switch {
	case f.last == lastDotDot:
		return syscall.ENOTEMPTY
	case f.last == lastDot:
		return syscall.EINVAL
	case f.last == lastRoot:
		return syscall.EBUSY
	case f.node == nil:
		return syscall.ENOENT
	case s.tree.mountOf(f.node) != nil:
		return syscall.EBUSY
	}
	return f.dir.Remove(f.name, true)
}

// sysRenameat2 is renameat2(2).
func sysRenameat2(s *System, a args) (uintptr, syscall.Errno) {
	const noReplace, exchange = uintptr(vnode.RenameNoReplace), uintptr(vnode.RenameExchange)
	if a.a5&^(noReplace|exchange) != 0 || a.a5 == noReplace|exchange {
		return 0, syscall.EINVAL
	}
	return result(s.rename(a.a1, a.p2, a.a3, a.p4, vnode.RenameMode(a.a5)))
}

// sysRenameat is renameat(2).
func sysRenameat(s *System, a args) (uintptr, syscall.Errno) {
	return result(s.rename(a.a1, a.p2, a.a3, a.p4, vnode.RenameReplace))
}

// sysRename is rename(2).
func sysRename(s *System, a args) (uintptr, syscall.Errno) {
	return result(s.rename(cwd, a.p1, cwd, a.p2, vnode.RenameReplace))
}

func (s *System) rename(fromfd uintptr, from unsafe.Pointer, tofd uintptr, to unsafe.Pointer, mode vnode.RenameMode) syscall.Errno {
	fromPath, errno := pathAt(from)
	if errno != 0 {
		return errno
	}
	toPath, errno := pathAt(to)
	if errno != 0 {
		return errno
	}
	f, errno := s.find(fromfd, fromPath, walkParent)
	if errno != 0 {
		return errno
	}
	t, errno := s.find(tofd, toPath, walkParent)
	if errno != 0 {
		return errno
	}
	_, isDir := f.node.(vnode.Dir)
	_, replacesDir := t.node.(vnode.Dir)
	switch {
	case f.last == lastName && t.last == lastName && f.dir.Attr().Dev != t.dir.Attr().Dev:
		return syscall.EXDEV
	case f.last != lastName:
		return syscall.EBUSY
	case t.last != lastName && mode == vnode.RenameNoReplace:
		return syscall.EEXIST
	case t.last != lastName:
		return syscall.EBUSY
	case f.node == nil:
		return syscall.ENOENT
	case mode == vnode.RenameNoReplace && t.node != nil:
		return syscall.EEXIST
	case mode == vnode.RenameExchange && t.node == nil:
		return syscall.ENOENT
	case !isDir && f.slash, !isDir && t.slash && mode != vnode.RenameExchange,
		mode == vnode.RenameExchange && t.slash && !replacesDir:
		return syscall.ENOTDIR
	case s.tree.mountOf(f.node) != nil, t.node != nil && s.tree.mountOf(t.node) != nil:
		return syscall.EBUSY
	}
	return f.dir.Rename(f.name, t.dir, t.name, mode)
}
