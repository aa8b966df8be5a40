package hostdir

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Attr is what stat(2) says of a file. Times are ns since 1970.
type Attr struct {
	Ino, Rdev                  uint64
	Mode, Nlink, UID, GID      uint32
	Size, Allocated            int64 // bytes
	Atime, Mtime, Ctime, Btime int64
}

// Change is a change of attributes.
type Change struct {
	Set          uint32 // Set bits: which fields count
	Mode         uint32 // permission bits
	UID, GID     uint32
	Size         int64
	Atime, Mtime int64
}

// Set bits of Change.
const (
	SetMode = 1 << iota
	SetUID
	SetGID
	SetSize
	SetAtime
	SetMtime
)

// nobody is who others' files are shown to belong to.
const nobody = 65534

// Attr returns attributes.
func (d *Dir) Attr(h Node) (Attr, syscall.Errno) {
	n, errno := d.use(h)
	if errno != 0 {
		return Attr{}, errno
	}
	defer d.release(n)
	a, _, errno := d.stat(n.path)
	return a, errno
}

// stat asks for a descriptor's attributes, and what its file is known by.
func (d *Dir) stat(fd int) (a Attr, who id, errno syscall.Errno) {
	var x unix.Statx_t
	err := again(func() error {
		return unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &x)
	})
	if err != nil {
		return a, who, errnoOf(err)
	}
	ns := func(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }
	a = Attr{
		Ino: x.Ino, Rdev: unix.Mkdev(x.Rdev_major, x.Rdev_minor), Mode: uint32(x.Mode), Nlink: x.Nlink, UID: nobody, GID: nobody,
		Size: int64(x.Size), Allocated: int64(x.Blocks) * 512,
		Atime: ns(x.Atime), Mtime: ns(x.Mtime), Ctime: ns(x.Ctime), Btime: ns(x.Btime),
	}
	if x.Uid == d.uid {
		a.UID = 0
	}
	if x.Gid == d.gid {
		a.GID = 0
	}
	return a, id{unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino}, 0
}

// SetAttr changes attributes. Errors: EROFS, EPERM for another owner, EOPNOTSUPP for the mode of a symbolic link, EISDIR and EINVAL
// for the size of what has none, EFBIG, EACCES.
func (d *Dir) SetAttr(h Node, c Change) (Attr, syscall.Errno) {
	if d.options.ReadOnly {
		return Attr{}, syscall.EROFS
	}
	n, errno := d.use(h)
	if errno != 0 {
		return Attr{}, errno
	}
	defer d.release(n)
	if c.Set&(SetUID|SetGID) != 0 {
		a, _, errno := d.stat(n.path)
		switch {
		case errno != 0:
			return Attr{}, errno
		case c.Set&SetUID != 0 && c.UID != a.UID, c.Set&SetGID != 0 && c.GID != a.GID:
			return Attr{}, syscall.EPERM
		}
	}
	if c.Set&SetSize != 0 {
		if errno := d.truncate(n, c.Size); errno != 0 {
			return Attr{}, errno
		}
	}
	if c.Set&SetMode != 0 {
		if errno := n.chmod(c.Mode); errno != 0 {
			return Attr{}, errno
		}
	}
	if c.Set&(SetAtime|SetMtime) != 0 {
		if errno := n.setTimes(&c); errno != 0 {
			return Attr{}, errno
		}
	}
	a, _, errno := d.stat(n.path)
	return a, errno
}

// chmod sets permissions, without those that would make a program another user's.
func (n *node) chmod(mode uint32) syscall.Errno {
	if n.typ == unix.S_IFLNK {
		return syscall.EOPNOTSUPP
	}
	return errnoOf(again(func() error { return unix.Fchmodat(unix.AT_FDCWD, n.self(), mode&0o1777, 0) }))
}

func (n *node) setTimes(c *Change) syscall.Errno {
	omit := unix.Timespec{Nsec: unix.UTIME_OMIT}
	t := []unix.Timespec{omit, omit}
	if c.Set&SetAtime != 0 {
		t[0] = timespec(c.Atime)
	}
	if c.Set&SetMtime != 0 {
		t[1] = timespec(c.Mtime)
	}
	return errnoOf(again(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, n.self(), t, 0) }))
}

// timespec is a time in ns, which may lie before 1970.
func timespec(ns int64) unix.Timespec {
	sec, nsec := ns/1e9, ns%1e9
	if nsec < 0 {
		sec, nsec = sec-1, nsec+1e9
	}
	return unix.Timespec{Sec: sec, Nsec: nsec}
}

func (d *Dir) truncate(n *node, size int64) syscall.Errno {
	switch {
	case n.typ == unix.S_IFDIR:
		return syscall.EISDIR
	case n.typ != unix.S_IFREG || size < 0:
		return syscall.EINVAL
	case size > d.longest:
		return syscall.EFBIG
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	fd := n.write
	if fd < 0 {
		var errno syscall.Errno
		if fd, errno = n.reopen(unix.O_WRONLY); errno != 0 {
			return errno
		}
		defer unix.Close(fd)
	}
	return errnoOf(again(func() error { return unix.Ftruncate(fd, size) }))
}

// Statfs is what statfs(2) says of the file system that the directory is in.
type Statfs struct {
	Type, BlockSize                       int64
	Blocks, Free, Avail, Files, FilesFree uint64
	ReadOnly                              bool
}

// Statfs asks for it.
func (d *Dir) Statfs() (Statfs, syscall.Errno) {
	n, errno := d.use(Root)
	if errno != 0 {
		return Statfs{}, errno
	}
	defer d.release(n)
	var s unix.Statfs_t
	if err := again(func() error { return unix.Fstatfs(n.path, &s) }); err != nil {
		return Statfs{}, errnoOf(err)
	}
	return Statfs{
		Type: s.Type, BlockSize: s.Frsize, Blocks: s.Blocks, Free: s.Bfree, Avail: s.Bavail, Files: s.Files, FilesFree: s.Ffree,
		ReadOnly: d.options.ReadOnly || s.Flags&unix.ST_RDONLY != 0,
	}, 0
}
