package hostfs

import (
	"sync"
	"syscall"
	"time"

	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hypercall"
)

// inode is what all nodes have.
type inode struct {
	fs     *FS
	handle uint64
	self   vnode.Node

	mu    sync.Mutex
	attr  vnode.Attr
	until time.Time // attr is believed
}

// learn takes attributes from the monitor.
func (in *inode) learn(a *hypercall.ShareInfo) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.attr = vnode.Attr{
		Dev: in.fs.config.Device, Ino: a.Ino, Rdev: a.Rdev, Mode: a.Mode, Nlink: a.Nlink, UID: a.UID, GID: a.GID,
		Size: a.Size, Allocated: a.Allocated, Atime: a.Atime, Mtime: a.Mtime, Ctime: a.Ctime, Btime: a.Btime,
	}
	in.until = time.Now().Add(in.fs.config.Valid)
}

// doubt makes the next look at the attributes go to the host.
func (in *inode) doubt() {
	in.mu.Lock()
	in.until = time.Time{}
	in.mu.Unlock()
}

// Attr returns the attributes; the last known ones if the host does not answer any more.
func (in *inode) Attr() vnode.Attr {
	in.mu.Lock()
	a, fresh := in.attr, time.Now().Before(in.until)
	in.mu.Unlock()
	if fresh {
		return a
	}
	if r := in.request(hypercall.ShareAttr, hypercall.ShareRequest{}); r.Errno == 0 {
		in.learn(&r.Attr)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.attr
}

// SetAttr changes attributes.
func (in *inode) SetAttr(c vnode.Change) syscall.Errno {
	q := hypercall.ShareRequest{Set: c.Set, Mode: c.Mode, UID: c.UID, GID: c.GID, Size: c.Size, Atime: c.Atime, Mtime: c.Mtime}
	r := in.request(hypercall.ShareSetAttr, q)
	if r.Errno == 0 {
		in.learn(&r.Attr)
		if f, ok := in.self.(*file); ok && c.Set&vnode.SetSize != 0 {
			f.ahead.drop()
		}
	}
	return syscall.Errno(r.Errno)
}

// request makes a request about this node that has no names and no data.
func (in *inode) request(op hypercall.ShareOp, q hypercall.ShareRequest) hypercall.ShareReply {
	q.Op, q.Node = uint32(op), in.handle
	return in.fs.call(q, "", "", nil, nil)
}

// base is the inode of a node of this file system, or nil.
func (fs *FS) base(n vnode.Node) *inode {
	var in *inode
	switch n := n.(type) {
	case *dir:
		in = &n.inode
	case *file:
		in = &n.inode
	case *symlink:
		in = &n.inode
	case *special:
		in = &n.inode
	}
	if in == nil || in.fs != fs {
		return nil
	}
	return in
}

// symlink is a symbolic link. Its target does not change.
type symlink struct {
	inode
	once   sync.Once
	target string
}

var _ vnode.Symlink = (*symlink)(nil)

// Target returns where the link leads; an empty path if the host does not say any more, which leads nowhere.
func (l *symlink) Target() string {
	l.once.Do(func() {
		buf := make([]byte, vnode.PathMax)
		q := hypercall.ShareRequest{Op: uint32(hypercall.ShareReadlink), Node: l.handle}
		if r := l.fs.call(q, "", "", nil, buf); r.Errno == 0 {
			l.target = string(buf[:max(0, min(int(r.N), len(buf)))])
		}
	})
	return l.target
}

// special is a FIFO, a socket or a device. A FIFO is the guest's own: what is written to it does not come out on the host.
type special struct{ inode }
