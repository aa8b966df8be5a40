package memfs

import (
	"sync"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// node is what directories hold.
type node interface {
	vnode.Node
	base() *inode
}

// inode is what all nodes have. An inode is gone when it has neither names nor holders: then its memory is given back.
type inode struct {
	fs  *FS
	ino uint64
	typ uint32 // type bits of the mode, which never change

	mu                         sync.RWMutex
	mode                       uint32
	nlink                      uint32
	uid, gid                   uint32
	rdev                       uint64
	atime, mtime, ctime, btime int64
	holders                    int
	linkable                   bool // made without a name, and may still get one
	gone                       bool
}

func (in *inode) init(fs *FS, m vnode.Make) {
	now := fs.now()
	in.fs, in.ino, in.typ = fs, fs.ino.Add(1), m.Mode&syscall.S_IFMT
	in.mode, in.uid, in.gid, in.rdev = m.Mode, m.UID, m.GID, m.Rdev
	in.atime, in.mtime, in.ctime, in.btime = now, now, now, now
}

func (in *inode) base() *inode { return in }

func (in *inode) attrLocked() vnode.Attr {
	return vnode.Attr{
		Dev: in.fs.device, Ino: in.ino, Rdev: in.rdev,
		Mode: in.mode, Nlink: in.nlink, UID: in.uid, GID: in.gid,
		Atime: in.atime, Mtime: in.mtime, Ctime: in.ctime, Btime: in.btime,
	}
}

// Attr returns the attributes of a node without contents.
func (in *inode) Attr() vnode.Attr {
	in.mu.RLock()
	defer in.mu.RUnlock()
	return in.attrLocked()
}

// SetAttr changes attributes; a size only a regular file has.
func (in *inode) SetAttr(c vnode.Change) syscall.Errno {
	if c.Set&vnode.SetSize != 0 {
		return syscall.EINVAL
	}
	in.mu.Lock()
	in.changeLocked(c)
	in.mu.Unlock()
	return 0
}

func (in *inode) changeLocked(c vnode.Change) {
	if c.Set&vnode.SetMode != 0 {
		in.mode = in.mode&syscall.S_IFMT | c.Mode&0o7777
	}
	if c.Set&vnode.SetUID != 0 {
		in.uid = c.UID
	}
	if c.Set&vnode.SetGID != 0 {
		in.gid = c.GID
	}
	in.ctime = in.fs.now()
	if c.Set&vnode.SetSize != 0 {
		in.mtime = in.ctime
	}
	if c.Set&vnode.SetAtime != 0 {
		in.atime = c.Atime
	}
	if c.Set&vnode.SetMtime != 0 {
		in.mtime = c.Mtime
	}
}

// modifiedLocked sets the times of a change of contents.
func (in *inode) modifiedLocked() {
	in.mtime = in.fs.now()
	in.ctime = in.mtime
}

// modified sets the times of a directory whose entries have changed.
func (in *inode) modified() {
	in.mu.Lock()
	in.modifiedLocked()
	in.mu.Unlock()
}

// link changes the number of names by n.
func (in *inode) link(n int) {
	in.mu.Lock()
	in.nlink = uint32(int(in.nlink) + n)
	in.ctime = in.fs.now()
	in.mu.Unlock()
}

// unusedLocked reports whether the inode has just lost its last name or holder; then it is gone, and the caller gives
// back what it holds.
func (in *inode) unusedLocked() bool {
	if in.gone || in.nlink > 0 || in.holders > 0 {
		return false
	}
	in.gone = true
	in.fs.charge(-InodeCost)
	in.fs.inodes.Add(-1)
	return true
}

// drop gives a node's memory back if nothing uses it any more.
func drop(n node) {
	in := n.base()
	in.mu.Lock()
	if in.unusedLocked() {
		if f, ok := n.(*file); ok {
			f.discardLocked()
		}
	}
	in.mu.Unlock()
}

// hold and release serve vnode.Holder for nodes that can be open without a name.
func (in *inode) hold() syscall.Errno {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.gone {
		return syscall.ENOENT
	}
	in.holders++
	return 0
}

func (in *inode) release(n node) {
	in.mu.Lock()
	in.holders--
	in.mu.Unlock()
	drop(n)
}

// symlink is a symbolic link.
type symlink struct {
	inode
	target string
}

var _ vnode.Symlink = (*symlink)(nil)

// Target returns where the link points.
func (l *symlink) Target() string { return l.target }

// Attr returns the attributes; the size is the target's length.
func (l *symlink) Attr() vnode.Attr {
	a := l.inode.Attr()
	a.Size = int64(len(l.target))
	return a
}

// special is a device, FIFO or socket: a name and attributes. What it stands for is package posix's business.
type special struct{ inode }

var _ vnode.Holder = (*special)(nil)

// Hold keeps the inode.
func (s *special) Hold() syscall.Errno { return s.hold() }

// Release ends a Hold.
func (s *special) Release() { s.release(s) }
