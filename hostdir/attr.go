package hostdir

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Attr is what stat(2) reports of an inode.
type Attr struct {
	Ino                        uint64 // the host's; unique only in one file system
	Rdev                       uint64
	Mode                       uint32 // S_IF bits and permissions
	Nlink, UID, GID            uint32
	Size                       int64
	Allocated                  int64 // bytes of storage
	Atime, Mtime, Ctime, Btime int64 // nanoseconds since 1970; Btime is 0 where the host does not know it
}

// Change is a change of attributes.
type Change struct {
	Set          uint32 // which fields count
	Mode         uint32 // permission bits only
	UID, GID     uint32
	Size         int64
	Atime, Mtime int64
}

// Set bits of Change.
const (
	SetMode = 1 << iota
	SetUID
	SetGID
	SetSize // truncate(2); also sets the time of modification unless SetMtime is there
	SetAtime
	SetMtime
)

// nobody is the user or group of what is not this process's: the kernel's overflow user ID.
const nobody = 65534

// permissions are the mode bits that may be set on the host.
const permissions = 0o1777

// statx is statx(2) of a descriptor.
func statx(fd int) (st unix.Statx_t, e syscall.Errno) {
	_, e = retry(func() (int, error) {
		return 0, unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
	})
	return st, e
}

func identityOf(st *unix.Statx_t) identity {
	return identity{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino}
}

// attr is what is shown of a file.
func (d *Dir) attr(st *unix.Statx_t) Attr {
	ns := func(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }
	a := Attr{
		Ino: st.Ino, Rdev: unix.Mkdev(st.Rdev_major, st.Rdev_minor), Mode: uint32(st.Mode), Nlink: st.Nlink,
		UID: nobody, GID: nobody, Size: int64(st.Size), Allocated: int64(st.Blocks) * 512, // st_blocks counts 512 bytes
		Atime: ns(st.Atime), Mtime: ns(st.Mtime), Ctime: ns(st.Ctime),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		a.Btime = ns(st.Btime)
	}
	if st.Uid == d.uid {
		a.UID = 0
	}
	if st.Gid == d.gid {
		a.GID = 0
	}
	return a
}

// Attr returns the attributes, as statx(2).
func (d *Dir) Attr(h Node) (Attr, syscall.Errno) {
	n, e := d.hold(h)
	if e != 0 {
		return Attr{}, e
	}
	defer d.release(n)
	return d.attrOf(n)
}

func (d *Dir) attrOf(n *node) (Attr, syscall.Errno) {
	st, e := statx(n.path)
	if e != 0 {
		return Attr{}, e
	}
	return d.attr(&st), 0
}

// SetAttr changes the attributes that c.Set names. What can be seen beforehand to be forbidden is refused before anything
// changes. A size is set through the description that Open made, if it may write, else the host must permit writing.
// Errors: EPERM, EROFS, EACCES, EINVAL (unknown bits, a negative size, a size of what is no file), EISDIR, EFBIG, ENOSPC,
// EOPNOTSUPP (the mode of a symbolic link).
func (d *Dir) SetAttr(h Node, c Change) (Attr, syscall.Errno) {
	n, e := d.change(h)
	if e != 0 {
		return Attr{}, e
	}
	defer d.release(n)
	st, e := statx(n.path)
	if e != 0 {
		return Attr{}, e
	}
	shown := d.attr(&st)
	own := st.Uid == d.uid || d.uid == 0
	switch {
	case c.Set&^(SetMode|SetUID|SetGID|SetSize|SetAtime|SetMtime) != 0:
		return Attr{}, syscall.EINVAL
	case c.Set&SetUID != 0 && c.UID != shown.UID, c.Set&SetGID != 0 && c.GID != shown.GID:
		return Attr{}, syscall.EPERM
	case c.Set&(SetMode|SetAtime|SetMtime) != 0 && !own:
		return Attr{}, syscall.EPERM
	case c.Set&SetMode != 0 && n.kind == syscall.S_IFLNK:
		return Attr{}, syscall.EOPNOTSUPP
	}
	if c.Set&SetSize != 0 {
		if e := d.truncate(n, c.Size); e != 0 {
			return Attr{}, e
		}
	}
	if c.Set&SetMode != 0 {
		if e := d.chmod(n.path, c.Mode); e != 0 {
			return Attr{}, e
		}
	}
	if c.Set&(SetAtime|SetMtime) != 0 {
		if e := d.setTimes(n.path, c); e != 0 {
			return Attr{}, e
		}
	}
	return d.attrOf(n)
}

// chmod sets the permissions of what an O_PATH descriptor stands for.
func (d *Dir) chmod(path int, mode uint32) syscall.Errno {
	_, e := retry(func() (int, error) { return 0, unix.Fchmodat(d.proc, procName(path), mode&permissions, 0) })
	return e
}

func (d *Dir) setTimes(path int, c Change) syscall.Errno {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	if c.Set&SetAtime != 0 {
		times[0] = unix.NsecToTimespec(c.Atime)
	}
	if c.Set&SetMtime != 0 {
		times[1] = unix.NsecToTimespec(c.Mtime)
	}
	// The name in /proc stands for the file itself, also if that is a symbolic link.
	_, e := retry(func() (int, error) { return 0, unix.UtimesNanoAt(d.proc, procName(path), times, 0) })
	return e
}

func (d *Dir) truncate(n *node, size int64) syscall.Errno {
	switch {
	case n.kind == syscall.S_IFDIR:
		return syscall.EISDIR
	case n.kind != syscall.S_IFREG, size < 0:
		return syscall.EINVAL
	case size > d.maxSize:
		return syscall.EFBIG
	}
	s := d.description(n)
	defer d.unref(&s)
	fd := -1
	if s != nil && s.write {
		fd = s.fd
	} else {
		var e syscall.Errno
		if fd, e = d.reopen(n, unix.O_WRONLY); e != 0 {
			return e
		}
		defer unix.Close(fd)
	}
	_, e := retry(func() (int, error) { return 0, unix.Ftruncate(fd, size) })
	return e
}

// Statfs is what statfs(2) reports of a file system.
type Statfs struct {
	Type                int64 // magic number, statfs(2)
	BlockSize           int64
	Blocks, Free, Avail uint64 // of BlockSize bytes
	Files, FilesFree    uint64
	ReadOnly            bool // the export or the file system
}

// Statfs reports on the file system of the root.
func (d *Dir) Statfs() (Statfs, syscall.Errno) {
	n, e := d.hold(Root)
	if e != 0 {
		return Statfs{}, e
	}
	defer d.release(n)
	var s unix.Statfs_t
	if _, e := retry(func() (int, error) { return 0, unix.Fstatfs(n.path, &s) }); e != 0 {
		return Statfs{}, e
	}
	return Statfs{
		Type: s.Type, BlockSize: s.Bsize, Blocks: s.Blocks, Free: s.Bfree, Avail: s.Bavail, Files: s.Files, FilesFree: s.Ffree,
		ReadOnly: d.readOnly || s.Flags&unix.ST_RDONLY != 0,
	}, 0
}
