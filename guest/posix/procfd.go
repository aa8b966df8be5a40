package posix

import (
	"syscall"

	"ukvm.dev/guest/kernel"
	"ukvm.dev/guest/posix/vnode"
)

// procFDs is /proc/self/fd: a link for each open descriptor.
type procFDs struct {
	procDir
}

var _ vnode.Dir = (*procFDs)(nil)

// Lookup finds an open descriptor.
func (d *procFDs) Lookup(name string) (vnode.Node, syscall.Errno) {
	fd, ok := number(name)
	if !ok || !d.fs.sys.isOpen(fd) {
		return nil, syscall.ENOENT
	}
	return newFDLink(d.fs, fd), 0
}

// Entries lists the open descriptors; the cookie of n is n+1.
func (d *procFDs) Entries(after uint64, buf []vnode.Entry) (n int, errno syscall.Errno) {
	s := d.fs.sys
	for fd := int(after); fd < s.descriptorTop() && n < len(buf); fd++ {
		if s.isOpen(fd) {
			buf[n] = vnode.Entry{Name: decimal(int64(fd)), Ino: fdInode(fd), Type: syscall.S_IFLNK, Cookie: uint64(fd) + 1}
			n++
		}
	}
	return n, 0
}

// Attr returns the attributes; the size is the number of open descriptors, as Linux has it.
func (d *procFDs) Attr() vnode.Attr {
	a := d.procDir.Attr()
	for fd := range d.fs.sys.descriptorTop() {
		if d.fs.sys.isOpen(fd) {
			a.Size++
		}
	}
	return a
}

// isOpen reports whether a descriptor number is in use, by whomever.
func (s *System) isOpen(fd int) bool {
	if slot := s.files.at(fd); slot != nil && slot.Load() != nil {
		return true
	}
	kind, _ := s.core.KindOf(fd)
	return kind != kernel.KindNone
}

// descriptorTop bounds the numbers that are looked at for /proc/self/fd. Numbers of package kernel's own descriptors
// beyond it, which takes hundreds of them, are not listed.
func (s *System) descriptorTop() int {
	const atLeast = 256
	if slots := s.files.slots.Load(); slots != nil {
		return max(atLeast, len(*slots))
	}
	return atLeast
}

// fdLink is one link of /proc/self/fd.
type fdLink struct {
	procNode
	sys *System
	fd  int
}

var _ magicLink = (*fdLink)(nil)

func fdInode(fd int) uint64 { return 1<<32 + uint64(fd) }

func newFDLink(p *procFS, fd int) *fdLink {
	l := &fdLink{sys: p.sys, fd: fd}
	l.attr = vnode.Attr{
		Dev: deviceProc, Ino: fdInode(fd), Mode: syscall.S_IFLNK | 0o500, Nlink: 1, Size: 64,
		Atime: p.at, Mtime: p.at, Ctime: p.at, Btime: p.at,
	}
	if d := p.sys.files.get(fd); d != nil {
		if d.writable() {
			l.attr.Mode |= 0o200
		}
		d.release()
	}
	return l
}

// jump leads to what the descriptor refers to.
func (l *fdLink) jump() (vnode.Node, syscall.Errno) {
	d := l.sys.files.get(l.fd)
	if d == nil {
		n, errno := l.sys.coreNode(l.fd)
		if errno != 0 {
			return nil, syscall.ENOENT
		}
		return n, 0
	}
	defer d.release()
	return nodeOf(d.object), 0
}

// Target describes what the descriptor refers to: its path, or type and inode.
func (l *fdLink) Target() string {
	d := l.sys.files.get(l.fd)
	if d == nil {
		if n, errno := l.sys.coreNode(l.fd); errno == 0 {
			return n.(*coreNode).describe()
		}
		return ""
	}
	defer d.release()
	return l.sys.describe(d)
}

func (s *System) describe(d *description) string {
	a := d.object.Attr()
	switch n := nodeOf(d.object).(type) {
	case vnode.Dir:
		if path, errno := s.fs().pathOf(n); errno == 0 {
			return path
		}
		return "/ (deleted)"
	case *memoryFile:
		return "/memfd:" + n.name + " (deleted)"
	case *pipeEnd:
		if d.at.dir == nil {
			return "pipe:[" + decimal(int64(a.Ino)) + "]"
		}
	case socketObject:
		return "socket:[" + decimal(int64(a.Ino)) + "]"
	}
	path, errno := "", syscall.Errno(0)
	if d.at.dir != nil {
		path, errno = s.fs().pathOf(d.at.dir)
	}
	if path != "/" {
		path += "/"
	}
	path += d.at.name
	if errno != 0 || a.Nlink == 0 {
		path += " (deleted)"
	}
	return path
}

// number parses a decimal number without sign or leading zeroes.
func number(s string) (int, bool) {
	if s == "" || len(s) > 6 || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}
