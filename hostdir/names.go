package hostdir

import (
	"encoding/binary"
	"math"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Make makes a file in a directory: of type and permissions mode, a symbolic link with a target. Without a name it is a regular file
// that has none (O_TMPFILE). Errors: EEXIST, ENOENT, ENOTDIR, ENOSPC, EROFS, EPERM for devices, EOPNOTSUPP.
func (d *Dir) Make(dir Node, name string, mode uint32, target string) (Node, Attr, syscall.Errno) {
	checked := name
	if name == "" && mode&unix.S_IFMT == unix.S_IFREG {
		checked = "#" // has to be some name
	}
	n, errno := d.changing(dir, checked)
	if errno != 0 {
		return 0, Attr{}, errno
	}
	defer d.release(n)
	permissions := mode & 0o1777
	var err error
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return d.makeFile(n, name, permissions)
	case unix.S_IFDIR:
		err = again(func() error { return unix.Mkdirat(n.path, name, permissions) })
	case unix.S_IFLNK:
		if target == "" || len(target) >= unix.PathMax || strings.Contains(target, "\x00") {
			return 0, Attr{}, syscall.EINVAL
		}
		err = again(func() error { return unix.Symlinkat(target, n.path, name) })
	case unix.S_IFIFO, unix.S_IFSOCK:
		err = again(func() error { return unix.Mknodat(n.path, name, mode&unix.S_IFMT|permissions, 0) })
	default:
		return 0, Attr{}, syscall.EPERM
	}
	if err != nil {
		return 0, Attr{}, errnoOf(err)
	}
	h, a, errno := d.find(n, name)
	if errno != 0 || mode&unix.S_IFMT == unix.S_IFLNK {
		return h, a, errno
	}
	return d.permit(h, permissions)
}

// makeFile makes a regular file.
func (d *Dir) makeFile(dir *node, name string, permissions uint32) (Node, Attr, syscall.Errno) {
	flags := unix.O_RDWR | unix.O_CLOEXEC | unix.O_NOFOLLOW
	if name == "" {
		name = "."
		flags |= unix.O_TMPFILE
	} else {
		flags |= unix.O_CREAT | unix.O_EXCL
	}
	var fd int
	err := again(func() (err error) { fd, err = unix.Openat(dir.path, name, flags, permissions&0o700); return err })
	if err != nil {
		return 0, Attr{}, errnoOf(err)
	}
	made := &node{path: fd}
	path, err := unix.Open(made.self(), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(fd)
		return 0, Attr{}, errnoOf(err)
	}
	h, _, errno := d.enter(path, false)
	if errno != 0 {
		unix.Close(fd)
		return 0, Attr{}, errno
	}
	d.keep(h, fd, permissions)
	return d.permit(h, permissions)
}

// keep has whoever made a file write to it although its permissions would not let it be opened for that.
func (d *Dir) keep(h Node, fd int, permissions uint32) {
	n, errno := d.use(h)
	if errno != 0 {
		unix.Close(fd)
		return
	}
	defer d.release(n)
	n.mu.Lock()
	defer n.mu.Unlock()
	if permissions&0o600 == 0o600 || n.write >= 0 {
		unix.Close(fd)
		return
	}
	n.write = fd
}

// permit gives what was made its permissions, whatever the umask.
func (d *Dir) permit(h Node, permissions uint32) (Node, Attr, syscall.Errno) {
	n, errno := d.use(h)
	if errno != 0 {
		return 0, Attr{}, errno
	}
	defer d.release(n)
	if errno = n.chmod(permissions); errno == 0 {
		var a Attr
		if a, _, errno = d.stat(n.path); errno == 0 {
			return h, a, 0
		}
	}
	d.Forget(h, 1)
	return 0, Attr{}, errno
}

// Link gives a file another name. Errors: EEXIST, EPERM for directories, ENOENT, EXDEV, EMLINK.
func (d *Dir) Link(dir Node, name string, h Node) syscall.Errno {
	n, errno := d.changing(dir, name)
	if errno != 0 {
		return errno
	}
	defer d.release(n)
	f, errno := d.use(h)
	if errno != 0 {
		return errno
	}
	defer d.release(f)
	if f.typ == unix.S_IFDIR {
		return syscall.EPERM
	}
	return errnoOf(again(func() error {
		return unix.Linkat(unix.AT_FDCWD, f.self(), n.path, name, unix.AT_SYMLINK_FOLLOW)
	}))
}

// Remove takes a name away: a directory's if isDir is set, else another file's. Errors: ENOENT, ENOTDIR, EISDIR, ENOTEMPTY, EBUSY.
func (d *Dir) Remove(dir Node, name string, isDir bool) syscall.Errno {
	n, errno := d.changing(dir, name)
	if errno != 0 {
		return errno
	}
	defer d.release(n)
	flags := 0
	if isDir {
		flags = unix.AT_REMOVEDIR
	}
	return errnoOf(again(func() error { return unix.Unlinkat(n.path, name, flags) }))
}

// Rename gives a file another name, in this or another directory. Flags are 0, RENAME_NOREPLACE or RENAME_EXCHANGE. Errors as renameat2(2).
func (d *Dir) Rename(dir Node, name string, to Node, as string, flags uint32) syscall.Errno {
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return syscall.EINVAL
	}
	n, errno := d.changing(dir, name)
	if errno != 0 {
		return errno
	}
	defer d.release(n)
	t, errno := d.changing(to, as)
	if errno != 0 {
		return errno
	}
	defer d.release(t)
	return errnoOf(again(func() error { return unix.Renameat2(n.path, name, t.path, as, uint(flags)) }))
}

// Readlink stores where a symbolic link leads. Errors: EINVAL for what is none.
func (d *Dir) Readlink(h Node, buf []byte) (int, syscall.Errno) {
	n, errno := d.use(h)
	if errno != 0 {
		return 0, errno
	}
	defer d.release(n)
	if n.typ != unix.S_IFLNK || len(buf) == 0 {
		return 0, syscall.EINVAL
	}
	got, err := unix.Readlinkat(n.path, "", buf)
	return max(got, 0), errnoOf(err)
}

// Sizes of directory entries before the name, in bytes: as Linux has them (getdents(2)), and as Entries does.
const (
	direntHeader = 19
	entryHeader  = 24
)

// MaxCookie is the largest cookie: others count positions from it. File systems that number names by hash (ext4, btrfs) call the end
// the largest offset there is; the names do not come near.
const MaxCookie = math.MaxInt64 - 2

// MinEntries is the least room that Entries takes, in bytes.
const MinEntries = 512

// Entries stores names of a directory that follow a cookie, 0 at the beginning, but for "." and "..": whole records of inode number
// and cookie (8 bytes each), type bits of the mode (0: unknown) and length of the name (4 bytes each), little-endian, and
// the name, with zeroes up to a multiple of 8. It returns how many bytes; 0 is the end. Errors: ENOTDIR, EINVAL for less
// room than MinEntries.
func (d *Dir) Entries(dir Node, after uint64, buf []byte) (int, syscall.Errno) {
	n, errno := d.directory(dir, "#")
	if errno != 0 {
		return 0, errno
	}
	defer d.release(n)
	if len(buf) < MinEntries {
		return 0, syscall.EINVAL
	}
	fd, err := unix.Openat(n.path, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, errnoOf(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Seek(fd, int64(after), unix.SEEK_SET); err != nil {
		return 0, errnoOf(err)
	}
	// A record of ours is at most 8 bytes longer than Linux's, which have at least 24.
	raw := make([]byte, len(buf)/4*3&^7)
	for {
		got, err := unix.Getdents(fd, raw)
		if err != nil {
			return 0, errnoOf(err)
		}
		if got <= 0 {
			return 0, 0
		}
		if size := convert(buf, raw[:got]); size > 0 {
			return size, 0
		}
	}
}

// convert makes of Linux's records ours.
func convert(buf, raw []byte) (size int) {
	le := binary.LittleEndian
	for len(raw) > direntHeader {
		length := int(le.Uint16(raw[16:]))
		if length <= direntHeader || length > len(raw) {
			break
		}
		name, _, _ := strings.Cut(string(raw[direntHeader:length]), "\x00")
		if name != "." && name != ".." {
			b := buf[size:]
			le.PutUint64(b, le.Uint64(raw))
			le.PutUint64(b[8:], min(le.Uint64(raw[8:]), MaxCookie))
			le.PutUint32(b[16:], uint32(raw[18])<<12) // DT_ values are the mode's type bits
			le.PutUint32(b[20:], uint32(len(name)))
			end := (entryHeader + len(name) + 7) &^ 7
			clear(b[entryHeader+copy(b[entryHeader:], name) : end])
			size += end
		}
		raw = raw[length:]
	}
	return size
}
