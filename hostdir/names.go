package hostdir

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// targetMax is the longest target of a symbolic link, in bytes (PATH_MAX of limits.h, without the NUL).
const targetMax = 4095

// Make makes a file, directory, symbolic link (to target), FIFO or socket, and counts as a Lookup. mode has the S_IF bits
// and the permissions, which the new file has but for set-user-ID and set-group-ID. A name that exists is EEXIST. A file with
// the name "" has none (open(2), O_TMPFILE). Errors: those of open, mkdir, symlink and mknod(2), EPERM for devices, EINVAL
// and ENAMETOOLONG for names, ENFILE, ESTALE if somebody on the host was faster to replace what had been made. If the process
// runs out of descriptors just then (Nodes and descriptions have their room beforehand), the file may be there all the same.
func (d *Dir) Make(dir Node, name string, mode uint32, target string) (Node, Attr, syscall.Errno) {
	kind := mode & syscall.S_IFMT
	if name != "" || kind != syscall.S_IFREG {
		if e := checkName(name); e != 0 {
			return 0, Attr{}, e
		}
	}
	parent, e := d.change(dir)
	if e != 0 {
		return 0, Attr{}, e
	}
	defer d.release(parent)
	if e := d.reserve(); e != 0 {
		return 0, Attr{}, e
	}
	defer d.cancel()
	if kind == syscall.S_IFREG {
		return d.makeFile(parent, name, mode)
	}
	mode &= permissions
	_, e = retry(func() (int, error) {
		switch kind {
		case syscall.S_IFDIR:
			return 0, unix.Mkdirat(parent.path, name, mode)
		case syscall.S_IFLNK:
			if e := checkTarget(target); e != 0 {
				return 0, e
			}
			return 0, unix.Symlinkat(target, parent.path, name)
		case syscall.S_IFIFO, syscall.S_IFSOCK:
			return 0, unix.Mknodat(parent.path, name, kind|mode, 0)
		case syscall.S_IFCHR, syscall.S_IFBLK:
			return 0, syscall.EPERM
		}
		return 0, syscall.EINVAL
	})
	if e != 0 {
		return 0, Attr{}, e
	}
	fd, e := openat(parent.path, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if e != 0 {
		return 0, Attr{}, e
	}
	n, a, e := d.made(fd, kind, mode)
	if e != 0 {
		return 0, Attr{}, e
	}
	return n.handle, a, 0
}

func checkTarget(target string) syscall.Errno {
	switch {
	case target == "":
		return syscall.ENOENT
	case len(target) > targetMax:
		return syscall.ENAMETOOLONG
	case strings.Contains(target, "\x00"):
		return syscall.EINVAL
	}
	return 0
}

// made makes a new file, whose O_PATH descriptor it takes over, a node, after it has got the permissions that the umask, or
// an access control list of the directory, has taken.
func (d *Dir) made(path int, kind, mode uint32) (*node, Attr, syscall.Errno) {
	st, e := statx(path)
	switch {
	case e != 0:
	case uint32(st.Mode)&syscall.S_IFMT != kind:
		e = syscall.ESTALE
	case kind != syscall.S_IFLNK && uint32(st.Mode)&^syscall.S_IFMT != mode:
		e = d.chmod(path, mode)
	}
	if e != 0 {
		unix.Close(path)
		return nil, Attr{}, e
	}
	return d.remember(path, true)
}

func (d *Dir) makeFile(parent *node, name string, mode uint32) (Node, Attr, syscall.Errno) {
	mode &= permissions
	// Who makes a file may write to it once, whatever its permissions (open(2)). Where they forbid to open it again, the
	// Open that follows finds the description that made it. There must be room for that before the file is there.
	var kept *description
	if mode&syscall.S_IRUSR == 0 || mode&syscall.S_IWUSR == 0 {
		var e syscall.Errno
		if kept, e = d.adopt(-1, true); e != 0 {
			return 0, Attr{}, e
		}
		defer d.unref(&kept)
	}
	flags := unix.O_CREAT | unix.O_EXCL
	if name == "" {
		name, flags = ".", unix.O_TMPFILE
	}
	fd, e := openat(parent.path, name, flags|unix.O_RDWR|unix.O_NOFOLLOW, mode)
	if e != 0 {
		return 0, Attr{}, e
	}
	if kept != nil {
		kept.fd = fd
	} else {
		defer unix.Close(fd)
	}
	path, e := openat(d.proc, procName(fd), unix.O_PATH, 0)
	if e != 0 {
		return 0, Attr{}, e
	}
	n, a, e := d.made(path, syscall.S_IFREG, mode)
	if e != 0 {
		return 0, Attr{}, e
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if kept != nil && n.file == nil && n.count > 0 {
		n.file, kept = kept, nil
	}
	return n.handle, a, 0
}

// two keeps two nodes during a call that changes something.
func (d *Dir) two(a, b Node) (x, y *node, done func(), e syscall.Errno) {
	if x, e = d.change(a); e != 0 {
		return nil, nil, nil, e
	}
	if y, e = d.hold(b); e != 0 {
		d.release(x)
		return nil, nil, nil, e
	}
	return x, y, func() { d.release(x); d.release(y) }, 0
}

// Link gives a file another name, also one that was made without any. Errors: those of link(2).
func (d *Dir) Link(dir Node, name string, h Node) syscall.Errno {
	if e := checkName(name); e != 0 {
		return e
	}
	parent, n, done, e := d.two(dir, h)
	if e != 0 {
		return e
	}
	defer done()
	if n.kind == syscall.S_IFDIR {
		return syscall.EPERM
	}
	_, e = retry(func() (int, error) {
		// What is followed is the name in /proc only: it stands for the file itself, also for a symbolic link.
		return 0, unix.Linkat(d.proc, procName(n.path), parent.path, name, unix.AT_SYMLINK_FOLLOW)
	})
	return e
}

// Remove takes a name away: that of an empty directory if isDir is set, else another file's. Errors: those of unlink(2) and
// rmdir(2).
func (d *Dir) Remove(dir Node, name string, isDir bool) syscall.Errno {
	if e := checkName(name); e != 0 {
		return e
	}
	parent, e := d.change(dir)
	if e != 0 {
		return e
	}
	defer d.release(parent)
	flags := 0
	if isDir {
		flags = unix.AT_REMOVEDIR
	}
	_, e = retry(func() (int, error) { return 0, unix.Unlinkat(parent.path, name, flags) })
	return e
}

// Rename gives what has a name in one directory another name in another. mode is the flags of renameat2(2): 0,
// RENAME_NOREPLACE or RENAME_EXCHANGE. Errors: those of renameat2; EXDEV if there is another file system mounted between.
func (d *Dir) Rename(dir Node, name string, to Node, as string, mode uint32) syscall.Errno {
	for _, s := range []string{name, as} {
		if e := checkName(s); e != 0 {
			return e
		}
	}
	if mode != 0 && mode != unix.RENAME_NOREPLACE && mode != unix.RENAME_EXCHANGE {
		return syscall.EINVAL
	}
	from, target, done, e := d.two(dir, to)
	if e != 0 {
		return e
	}
	defer done()
	_, e = retry(func() (int, error) {
		return 0, unix.Renameat2(from.path, name, target.path, as, uint(mode))
	})
	return e
}

// Readlink stores the target of a symbolic link into buf, as much as fits. Errors: EINVAL if it is none, or buf is empty.
func (d *Dir) Readlink(h Node, buf []byte) (int, syscall.Errno) {
	n, e := d.hold(h)
	if e != 0 {
		return 0, e
	}
	defer d.release(n)
	if n.kind != syscall.S_IFLNK || len(buf) == 0 {
		return 0, syscall.EINVAL
	}
	size, e := retry(func() (int, error) { return unix.Readlinkat(n.path, "", buf) })
	return max(size, 0), e
}
