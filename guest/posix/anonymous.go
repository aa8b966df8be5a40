package posix

import (
	"sync"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// Device numbers (st_dev) of what is not on a file system of its own here, and of the root.
const (
	deviceSockets   = 8
	devicePipes     = 14
	deviceAnonymous = 15
	deviceRoot      = 18
	deviceProc      = 20
	deviceShares    = 32 // + the index of the device
)

// anonymous is the inode of what has none in a file system: pipes, sockets, the console.
type anonymous struct {
	mu   sync.Mutex
	attr vnode.Attr
}

func (s *System) newAnonymous(device uint64, mode uint32) *anonymous {
	now := s.env.now()
	return &anonymous{attr: vnode.Attr{
		Dev: device, Ino: s.inodes.Add(1), Mode: mode, Nlink: 1,
		Atime: now, Mtime: now, Ctime: now, Btime: now,
	}}
}

func (n *anonymous) Attr() vnode.Attr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.attr
}

func (n *anonymous) SetAttr(c vnode.Change) syscall.Errno {
	if c.Set&vnode.SetSize != 0 {
		return syscall.EINVAL
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.Set&vnode.SetMode != 0 {
		n.attr.Mode = n.attr.Mode&syscall.S_IFMT | c.Mode&0o7777
	}
	if c.Set&vnode.SetUID != 0 {
		n.attr.UID = c.UID
	}
	if c.Set&vnode.SetGID != 0 {
		n.attr.GID = c.GID
	}
	if c.Set&vnode.SetAtime != 0 {
		n.attr.Atime = c.Atime
	}
	if c.Set&vnode.SetMtime != 0 {
		n.attr.Mtime = c.Mtime
	}
	return 0
}
