package posix

import (
	"syscall"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

// newName finds where a new name goes. Errors: EEXIST if it is there, ENOENT for a trailing slash unless a directory is
// to be made.
func (s *System) newName(dirfd uintptr, path string, isDir bool) (found, syscall.Errno) {
	f, errno := s.find(dirfd, path, walkParent)
	switch {
	case errno != 0:
		return found{}, errno
	case f.last != lastName || f.node != nil:
		return found{}, syscall.EEXIST
	case f.slash && !isDir:
		return found{}, syscall.ENOENT
	}
	return f, 0
}

// makeNode makes a node at a path argument.
func (s *System) makeNode(dirfd uintptr, path unsafe.Pointer, m vnode.Make) syscall.Errno {
	name, errno := pathAt(path)
	if errno != 0 {
		return errno
	}
	f, errno := s.newName(dirfd, name, m.Mode&syscall.S_IFMT == syscall.S_IFDIR)
	if errno != 0 {
		return errno
	}
	_, errno = f.dir.Make(f.name, m)
	return errno
}

// sysMkdirat is mkdirat(2).
func sysMkdirat(s *System, a args) (uintptr, syscall.Errno) {
	mode := s.masked(uint32(a.a3) & 0o1777)
	return result(s.makeNode(a.a1, a.p2, vnode.Make{Mode: syscall.S_IFDIR | mode}))
}

// sysMkdir is mkdir(2).
func sysMkdir(s *System, a args) (uintptr, syscall.Errno) {
	return sysMkdirat(s, args{a1: cwd, p2: a.p1, a3: a.a2})
}

// sysMknodat is mknodat(2): files, FIFOs, sockets and device nodes.
func sysMknodat(s *System, a args) (uintptr, syscall.Errno) {
	mode := uint32(a.a3)
	typ := mode & syscall.S_IFMT
	m := vnode.Make{Mode: s.masked(mode & 0o7777)}
	switch typ {
	case 0:
		typ = syscall.S_IFREG
	case syscall.S_IFREG, syscall.S_IFIFO, syscall.S_IFSOCK:
	case syscall.S_IFCHR, syscall.S_IFBLK:
		m.Rdev = uint64(uint32(a.a4))
	case syscall.S_IFDIR:
		return 0, syscall.EPERM
	default:
		return 0, syscall.EINVAL
	}
	m.Mode |= typ
	return result(s.makeNode(a.a1, a.p2, m))
}

// sysMknod is mknod(2).
func sysMknod(s *System, a args) (uintptr, syscall.Errno) {
	return sysMknodat(s, args{a1: cwd, p2: a.p1, a3: a.a2, a4: a.a3})
}

// sysSymlinkat is symlinkat(2).
func sysSymlinkat(s *System, a args) (uintptr, syscall.Errno) {
	target, errno := pathAt(a.p1)
	if errno != 0 {
		return 0, errno
	}
	if target == "" {
		return 0, syscall.ENOENT
	}
	return result(s.makeNode(a.a2, a.p3, vnode.Make{Mode: syscall.S_IFLNK | 0o777, Target: target}))
}

// sysSymlink is symlink(2).
func sysSymlink(s *System, a args) (uintptr, syscall.Errno) {
	return sysSymlinkat(s, args{p1: a.p1, a2: cwd, p3: a.p2})
}

// sysReadlinkat is readlinkat(2). An empty path means a symbolic link opened with O_PATH.
func sysReadlinkat(s *System, a args) (uintptr, syscall.Errno) {
	if int(a.a4) <= 0 {
		return 0, syscall.EINVAL
	}
	path, errno := pathAt(a.p2)
	if errno != 0 {
		return 0, errno
	}
	n, errno := s.existing(a.a1, path, atSymlinkNoFollow|atEmptyPath)
	if errno != 0 {
		return 0, errno
	}
	link, ok := n.(vnode.Symlink)
	if !ok {
		if path == "" {
			return 0, syscall.ENOENT
		}
		return 0, syscall.EINVAL
	}
	p, errno := memory(a.p3, a.a4)
	if errno != 0 {
		return 0, errno
	}
	return uintptr(copy(p, link.Target())), 0
}

// sysReadlink is readlink(2).
func sysReadlink(s *System, a args) (uintptr, syscall.Errno) {
	if a.p1 != nil && *(*byte)(a.p1) == 0 {
		return 0, syscall.ENOENT
	}
	return sysReadlinkat(s, args{a1: cwd, p2: a.p1, p3: a.p2, a4: a.a3})
}

// sysLinkat is linkat(2).
func sysLinkat(s *System, a args) (uintptr, syscall.Errno) {
	if a.a5&^(atSymlinkFollow|atEmptyPath) != 0 {
		return 0, syscall.EINVAL
	}
	from, errno := pathAt(a.p2)
	if errno != 0 {
		return 0, errno
	}
	to, errno := pathAt(a.p4)
	if errno != 0 {
		return 0, errno
	}
	flags := a.a5 & atEmptyPath
	if a.a5&atSymlinkFollow == 0 {
		flags |= atSymlinkNoFollow
	}
	n, errno := s.existing(a.a1, from, flags)
	if errno != 0 {
		return 0, errno
	}
	f, errno := s.newName(a.a3, to, false)
	if errno != 0 {
		return 0, errno
	}
	if n.Attr().Dev != f.dir.Attr().Dev {
		return 0, syscall.EXDEV
	}
	if _, ok := n.(vnode.Dir); ok {
		return 0, syscall.EPERM
	}
	return result(f.dir.Link(f.name, n))
}

// sysLink is link(2).
func sysLink(s *System, a args) (uintptr, syscall.Errno) {
	return sysLinkat(s, args{a1: cwd, p2: a.p1, a3: cwd, p4: a.p2})
}
