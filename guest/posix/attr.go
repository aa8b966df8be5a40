package posix

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

// setAttr changes the attributes of what a path argument names.
func (s *System) setAttr(dirfd uintptr, p unsafe.Pointer, flags uintptr, c vnode.Change) syscall.Errno {
	path, errno := pathAt(p)
	if errno != 0 {
		return errno
	}
	n, errno := s.existing(dirfd, path, flags)
	if errno != 0 {
		return errno
	}
	return n.SetAttr(c)
}

// setAttrOf changes the attributes of what a descriptor refers to. Errors: EBADF, also for O_PATH.
func (s *System) setAttrOf(fd uintptr, c vnode.Change) syscall.Errno {
	d, errno := s.get(fd)
	if errno != 0 {
		n, errno := s.coreNode(fdOf(fd))
		if errno != 0 {
			return errno
		}
		return n.SetAttr(c)
	}
	defer d.release()
	if d.isPath() {
		return syscall.EBADF
	}
	return d.object.SetAttr(c)
}

func changeMode(mode uintptr) vnode.Change {
	return vnode.Change{Set: vnode.SetMode, Mode: uint32(mode) & 0o7777}
}

// sysChmod is chmod(2).
func sysChmod(s *System, a args) (uintptr, syscall.Errno) {
	return result(s.setAttr(cwd, a.p1, 0, changeMode(a.a2)))
}

// sysFchmod is fchmod(2).
func sysFchmod(s *System, a args) (uintptr, syscall.Errno) {
	return result(s.setAttrOf(a.a1, changeMode(a.a2)))
}

// sysFchmodat is fchmodat(2), which as a system call takes no flags.
func sysFchmodat(s *System, a args) (uintptr, syscall.Errno) {
	return result(s.setAttr(a.a1, a.p2, 0, changeMode(a.a3)))
}

// sysFchmodat2 is fchmodat2(2). Errors: EOPNOTSUPP for a symbolic link.
func sysFchmodat2(s *System, a args) (uintptr, syscall.Errno) {
	if a.a4&^(atSymlinkNoFollow|atEmptyPath) != 0 {
		return 0, syscall.EINVAL
	}
	path, errno := pathAt(a.p2)
	if errno != 0 {
		return 0, errno
	}
	n, errno := s.existing(a.a1, path, a.a4)
	if errno != 0 {
		return 0, errno
	}
	if _, ok := n.(vnode.Symlink); ok {
		return 0, syscall.EOPNOTSUPP
	}
	return result(n.SetAttr(changeMode(a.a3)))
}

// changeOwner is a change of owner and group; -1 leaves one as it is.
func changeOwner(uid, gid uintptr) (c vnode.Change) {
	const keep = ^uint32(0)
	c.UID, c.GID = uint32(uid), uint32(gid)
	if c.UID != keep {
		c.Set |= vnode.SetUID
	}
	if c.GID != keep {
		c.Set |= vnode.SetGID
	}
	return c
}

// sysChown is chown(2).
func sysChown(s *System, a args) (uintptr, syscall.Errno) {
	return result(s.setAttr(cwd, a.p1, 0, changeOwner(a.a2, a.a3)))
}

// sysLchown is lchown(2).
func sysLchown(s *System, a args) (uintptr, syscall.Errno) {
	return result(s.setAttr(cwd, a.p1, atSymlinkNoFollow, changeOwner(a.a2, a.a3)))
}

// sysFchown is fchown(2).
func sysFchown(s *System, a args) (uintptr, syscall.Errno) {
	return result(s.setAttrOf(a.a1, changeOwner(a.a2, a.a3)))
}

// sysFchownat is fchownat(2).
func sysFchownat(s *System, a args) (uintptr, syscall.Errno) {
	if a.a5&^(atSymlinkNoFollow|atEmptyPath) != 0 {
		return 0, syscall.EINVAL
	}
	return result(s.setAttr(a.a1, a.p2, a.a5, changeOwner(a.a3, a.a4)))
}

// Values of tv_nsec that stand for something (utimensat(2)).
const (
	utimeNow  = 1<<30 - 1
	utimeOmit = 1<<30 - 2
)

// sysUtimensat is utimensat(2). A null path means dirfd itself (futimens(3)).
func sysUtimensat(s *System, a args) (uintptr, syscall.Errno) {
	now := s.env.now()
	c := vnode.Change{Set: vnode.SetAtime | vnode.SetMtime, Atime: now, Mtime: now}
	if a.p3 != nil {
		t := *(*[2]syscall.Timespec)(a.p3)
		if t[0].Nsec == utimeOmit && t[1].Nsec == utimeOmit {
			return 0, 0
		}
		var errno syscall.Errno
		if c, errno = changeTimes(t, now); errno != 0 {
			return 0, errno
		}
	}
	if a.p2 == nil {
		switch {
		case fdOf(a.a1) == atFDCWD:
			return 0, syscall.EFAULT
		case a.a4 != 0:
			return 0, syscall.EINVAL
		}
		return result(s.setAttrOf(a.a1, c))
	}
	if a.a4&^(atSymlinkNoFollow|atEmptyPath) != 0 {
		return 0, syscall.EINVAL
	}
	return result(s.setAttr(a.a1, a.p2, a.a4, c))
}

// changeTimes is a change of times of access and modification. Errors: EINVAL.
func changeTimes(t [2]syscall.Timespec, now int64) (c vnode.Change, errno syscall.Errno) {
	ns := [2]int64{now, now}
	for i, set := range [2]uint32{vnode.SetAtime, vnode.SetMtime} {
		switch n := t[i].Nsec; {
		case n == utimeOmit:
			continue
		case n == utimeNow:
		case n < 0 || n >= 1e9:
			return c, syscall.EINVAL
		default:
			ns[i] = t[i].Nano()
		}
		c.Set |= set
	}
	c.Atime, c.Mtime = ns[0], ns[1]
	return c, 0
}

// sysUtimes is utimes(2), with microseconds; futimesat(2) in its form with a directory.
func sysUtimes(s *System, a args) (uintptr, syscall.Errno) {
	return sysFutimesat(s, args{a1: cwd, p2: a.p1, p3: a.p2})
}

// sysFutimesat is futimesat(2).
func sysFutimesat(s *System, a args) (uintptr, syscall.Errno) {
	now := s.env.now()
	c := vnode.Change{Set: vnode.SetAtime | vnode.SetMtime, Atime: now, Mtime: now}
	if a.p3 != nil {
		t := *(*[2]syscall.Timeval)(a.p3)
		if uint64(t[0].Usec) >= 1e6 || uint64(t[1].Usec) >= 1e6 {
			return 0, syscall.EINVAL
		}
		c.Atime, c.Mtime = t[0].Nano(), t[1].Nano()
	}
	return result(s.setAttr(a.a1, a.p2, 0, c))
}

// sysUtime is utime(2), with seconds.
func sysUtime(s *System, a args) (uintptr, syscall.Errno) {
	now := s.env.now()
	c := vnode.Change{Set: vnode.SetAtime | vnode.SetMtime, Atime: now, Mtime: now}
	if a.p2 != nil {
		t := *(*[2]int64)(a.p2)
		c.Atime, c.Mtime = t[0]*1e9, t[1]*1e9
	}
	return result(s.setAttr(cwd, a.p1, 0, c))
}

// sysFaccessat is faccessat(2), which as a system call takes no flags; sysFaccessat2 is faccessat2(2), which does.
// There is one user, root: reading and writing are always allowed, running where anybody may.
func sysFaccessat(s *System, a args) (uintptr, syscall.Errno) {
	a.a4 = 0
	return sysFaccessat2(s, a)
}

func sysFaccessat2(s *System, a args) (uintptr, syscall.Errno) {
	const execute, write = 1, 2
	if a.a3&^7 != 0 || a.a4&^(atEACCESS|atSymlinkNoFollow|atEmptyPath) != 0 {
		return 0, syscall.EINVAL
	}
	path, errno := pathAt(a.p2)
	if errno != 0 {
		return 0, errno
	}
	n, errno := s.existing(a.a1, path, a.a4)
	if errno != 0 {
		return 0, errno
	}
	if at := n.Attr(); a.a3&execute != 0 && at.Mode&0o111 == 0 && at.Type() != syscall.S_IFDIR {
		return 0, syscall.EACCES
	}
	if m := s.tree.mountFor(n); a.a3&write != 0 && m != nil && m.fs.Statfs().ReadOnly {
		return 0, syscall.EROFS
	}
	return 0, 0
}

// sysAccess is access(2).
func sysAccess(s *System, a args) (uintptr, syscall.Errno) {
	return sysFaccessat(s, args{a1: cwd, p2: a.p1, a3: a.a2})
}

// sysUmask is umask(2).
func sysUmask(s *System, a args) (uintptr, syscall.Errno) {
	return uintptr(atomic.SwapUint32(s.fs().mask, uint32(a.a1)&0o777)), 0
}
