package posix

import (
	"syscall"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

const blockSize = 4096 // st_blksize

// putStat stores attributes as struct stat (stat(2)). Errors: EFAULT.
func putStat(p unsafe.Pointer, a vnode.Attr) syscall.Errno {
	if p == nil {
		return syscall.EFAULT
	}
	*(*syscall.Stat_t)(p) = syscall.Stat_t{
		Dev: a.Dev, Ino: a.Ino, Nlink: uint64(a.Nlink), Mode: a.Mode, Uid: a.UID, Gid: a.GID, Rdev: a.Rdev,
		Size: a.Size, Blksize: blockSize, Blocks: (a.Allocated + 511) / 512,
		Atim: timespec(a.Atime), Mtim: timespec(a.Mtime), Ctim: timespec(a.Ctime),
	}
	return 0
}

// timespec splits ns since 1970, which may be negative.
func timespec(ns int64) syscall.Timespec {
	sec, nsec := ns/1e9, ns%1e9
	if nsec < 0 {
		sec, nsec = sec-1, nsec+1e9
	}
	return syscall.Timespec{Sec: sec, Nsec: nsec}
}

// sysStat is stat(2).
func sysStat(s *System, a args) (uintptr, syscall.Errno) {
	return result(s.stat(cwd, a.p1, a.p2, 0))
}

// sysLstat is lstat(2).
func sysLstat(s *System, a args) (uintptr, syscall.Errno) {
	return result(s.stat(cwd, a.p1, a.p2, atSymlinkNoFollow))
}

// sysNewfstatat is newfstatat(2).
func sysNewfstatat(s *System, a args) (uintptr, syscall.Errno) {
	if a.a4&^(atSymlinkNoFollow|atNoAutomount|atEmptyPath|atStatxSync) != 0 {
		return 0, syscall.EINVAL
	}
	return result(s.stat(a.a1, a.p2, a.p3, a.a4))
}

func (s *System) stat(dirfd uintptr, path, buf unsafe.Pointer, flags uintptr) syscall.Errno {
	name, errno := pathAt(path)
	if errno != 0 {
		return errno
	}
	n, errno := s.existing(dirfd, name, flags)
	if errno != 0 {
		return errno
	}
	return putStat(buf, n.Attr())
}

// sysFstat is fstat(2).
func sysFstat(s *System, a args) (uintptr, syscall.Errno) {
	n, errno := s.nodeOfDescriptor(a.a1)
	if errno != 0 {
		return 0, errno
	}
	return result(putStat(a.p2, n.Attr()))
}

// nodeOfDescriptor is nodeAt for calls that take no AT_FDCWD.
func (s *System) nodeOfDescriptor(fd uintptr) (vnode.Node, syscall.Errno) {
	if fdOf(fd) < 0 {
		return nil, syscall.EBADF
	}
	return s.nodeAt(fd)
}

// statx is struct statx (statx(2)).
type statx struct {
	mask, blksize                               uint32
	attributes                                  uint64
	nlink, uid, gid                             uint32
	mode, _                                     uint16
	ino, size, blocks, attributesMask           uint64
	atime, btime, ctime, mtime                  statxTime
	rdevMajor, rdevMinor, devMajor, devMinor    uint32
	mountID                                     uint64
	dioMemAlign, dioOffsetAlign                 uint32
	subvol                                      uint64
	atomicMin, atomicMax, atomicSegments, dioRd uint32
	atomicMaxOpt, _                             uint32
	_                                           [8]uint64
}

type statxTime struct {
	sec  int64
	nsec uint32
	_    int32
}

func statxTimeOf(ns int64) statxTime {
	t := timespec(ns)
	return statxTime{sec: t.Sec, nsec: uint32(t.Nsec)}
}

// sysStatx is statx(2). It always answers with the basic attributes and the time of birth.
func sysStatx(s *System, a args) (uintptr, syscall.Errno) {
	const (
		basicStats    = 0x7ff
		btime         = 0x800
		maskReserved  = 0x80000000
		attrMountRoot = 0x2000
		known         = atSymlinkNoFollow | atNoAutomount | atEmptyPath | atStatxSync
	)
	if a.a3&^known != 0 || a.a3&atStatxSync == atStatxSync || a.a4&maskReserved != 0 {
		return 0, syscall.EINVAL
	}
	path, errno := "", syscall.Errno(0)
	if a.p2 != nil || a.a3&atEmptyPath == 0 { // with AT_EMPTY_PATH a null path is an empty one
		if path, errno = pathAt(a.p2); errno != 0 {
			return 0, errno
		}
	}
	n, errno := s.existing(a.a1, path, a.a3)
	if errno != 0 {
		return 0, errno
	}
	if a.p5 == nil {
		return 0, syscall.EFAULT
	}
	at := n.Attr()
	x := statx{
		mask: basicStats | btime, blksize: blockSize, nlink: at.Nlink, uid: at.UID, gid: at.GID, mode: uint16(at.Mode),
		ino: at.Ino, size: uint64(at.Size), blocks: uint64((at.Allocated + 511) / 512),
		attributesMask: attrMountRoot,
		atime:          statxTimeOf(at.Atime), btime: statxTimeOf(at.Btime), ctime: statxTimeOf(at.Ctime),
		mtime: statxTimeOf(at.Mtime),
	}
	x.rdevMajor, x.rdevMinor = majorMinor(at.Rdev)
	x.devMajor, x.devMinor = majorMinor(at.Dev)
	if s.fs().mountOf(n) != nil {
		x.attributes = attrMountRoot
	}
	*(*statx)(a.p5) = x
	return 0, 0
}

// majorMinor splits a device number (makedev(3)).
func majorMinor(dev uint64) (major, minor uint32) {
	return uint32(dev>>8&0xfff | dev>>32&^0xfff), uint32(dev&0xff | dev>>12&^0xff)
}

// sysStatfs is statfs(2).
func sysStatfs(s *System, a args) (uintptr, syscall.Errno) {
	path, errno := pathAt(a.p1)
	if errno != 0 {
		return 0, errno
	}
	n, errno := s.existing(cwd, path, 0)
	if errno != 0 {
		return 0, errno
	}
	return result(s.statfs(n, a.p2))
}

// sysFstatfs is fstatfs(2).
func sysFstatfs(s *System, a args) (uintptr, syscall.Errno) {
	n, errno := s.nodeOfDescriptor(a.a1)
	if errno != 0 {
		return 0, errno
	}
	return result(s.statfs(n, a.p2))
}

// Magic numbers of what lies in no file system of the tree (statfs(2)).
const (
	magicPipes     = 0x50495045
	magicSockets   = 0x534f434b
	magicAnonymous = 0x09041934
)

func (s *System) statfs(n vnode.Node, p unsafe.Pointer) syscall.Errno {
	if p == nil {
		return syscall.EFAULT
	}
	out := syscall.Statfs_t{Bsize: blockSize, Frsize: blockSize, Namelen: vnode.NameMax}
	out.Fsid.X__val[0] = int32(n.Attr().Dev)
	if m := s.fs().mountFor(n); m != nil {
		f := m.fs.Statfs()
		out.Type, out.Bsize, out.Frsize = f.Type, f.BlockSize, f.BlockSize
		out.Blocks, out.Bfree, out.Bavail, out.Files, out.Ffree = f.Blocks, f.Free, f.Avail, f.Files, f.FilesFree
		const valid, readOnly = 0x20, 1
		out.Flags = valid
		if f.ReadOnly {
			out.Flags |= readOnly
		}
	} else {
		switch n.Attr().Dev {
		case devicePipes:
			out.Type = magicPipes
		case deviceSockets:
			out.Type = magicSockets
		default:
			out.Type = magicAnonymous
		}
	}
	*(*syscall.Statfs_t)(p) = out
	return 0
}
