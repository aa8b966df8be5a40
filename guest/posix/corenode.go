package posix

import (
	"syscall"

	"ukvm.dev/guest/kernel"
	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hypercall"
)

const (
	consoleTTY  = hypercall.ConsoleTTY
	consolePipe = hypercall.ConsolePipe
	consoleNull = hypercall.ConsoleNull
)

// coreNode is what fstat(2) sees of a descriptor of package kernel's, and what opening it through /proc/self/fd
// duplicates.
type coreNode struct {
	attr vnode.Attr
	fd   int
	sys  *System
}

var _ opener = (*coreNode)(nil)

// coreNode describes a descriptor of package kernel's. Errors: EBADF.
func (s *System) coreNode(fd int) (vnode.Node, syscall.Errno) {
	kind, stream := s.core.KindOf(fd)
	if kind == kernel.KindNone || kind == kernel.KindObject {
		return nil, syscall.EBADF
	}
	n := &coreNode{fd: fd, sys: s}
	n.attr = vnode.Attr{Dev: deviceAnonymous, Ino: 1, Mode: 0o600, Nlink: 1}
	if kind == kernel.KindConsole {
		n.attr.Ino = uint64(2 + stream)
		switch bits := s.env.boot().Console[stream]; {
		case bits&consoleTTY != 0:
			n.attr.Ino, n.attr.Mode, n.attr.Rdev = 2, syscall.S_IFCHR|0o620, rdevPTS
		case bits&consoleNull != 0:
			n.attr.Mode, n.attr.Rdev = syscall.S_IFCHR|0o666, rdevNull
		case bits&consolePipe != 0:
			n.attr.Dev, n.attr.Mode = devicePipes, syscall.S_IFIFO|0o600
		default: // a file of the host's
			n.attr.Mode = syscall.S_IFREG | 0o600
		}
	}
	return n, 0
}

// Attr returns the attributes.
func (n *coreNode) Attr() vnode.Attr { return n.attr }

// SetAttr is fchmod(2) on what belongs to the host.
func (n *coreNode) SetAttr(c vnode.Change) syscall.Errno {
	if c.Set&vnode.SetSize != 0 {
		return syscall.EINVAL
	}
	return syscall.EPERM
}

func (n *coreNode) open(s *System, flags uint32) (opened, syscall.Errno) {
	cmd := syscall.F_DUPFD
	if flags&syscall.O_CLOEXEC != 0 {
		cmd = syscall.F_DUPFD_CLOEXEC
	}
	fd, errno := s.gate.Fcntl(n.fd, cmd, 0)
	return opened{fd: fd}, errno
}

// describe is what /proc/self/fd shows for a descriptor of package kernel's.
func (n *coreNode) describe() string {
	switch n.attr.Type() {
	case syscall.S_IFCHR:
		if n.attr.Rdev == rdevNull {
			return "/dev/null"
		}
		return "/dev/console"
	case syscall.S_IFIFO:
		return "pipe:[" + decimal(int64(n.attr.Ino)) + "]"
	case syscall.S_IFREG:
		return "/dev/console"
	}
	switch kind, _ := n.sys.core.KindOf(n.fd); kind {
	case kernel.KindEventfd:
		return "anon_inode:[eventfd]"
	case kernel.KindEpoll:
		return "anon_inode:[eventpoll]"
	}
	return "anon_inode:[device]"
}
