package posix

import (
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// sysChdir is chdir(2).
func sysChdir(s *System, a args) (uintptr, syscall.Errno) {
	path, errno := pathAt(a.p1)
	if errno != 0 {
		return 0, errno
	}
	n, errno := s.existing(cwd, path, 0)
	if errno != 0 {
		return 0, errno
	}
	return result(s.setWorkDir(n))
}

// sysFchdir is fchdir(2).
func sysFchdir(s *System, a args) (uintptr, syscall.Errno) {
	n, errno := s.nodeOfDescriptor(a.a1)
	if errno != 0 {
		return 0, errno
	}
	return result(s.setWorkDir(n))
}

func (s *System) setWorkDir(n vnode.Node) syscall.Errno {
	d, ok := n.(vnode.Dir)
	if !ok {
		return syscall.ENOTDIR
	}
	t := s.fs()
	t.mu.Lock()
	t.cwd = d
	t.mu.Unlock()
	return 0
}

// sysGetcwd is getcwd(2). It returns the length with the NUL.
func sysGetcwd(s *System, a args) (uintptr, syscall.Errno) {
	path, errno := s.fs().pathOf(s.tree.workDir())
	if errno != 0 {
		return 0, errno
	}
	if a.a2 <= uintptr(len(path)) {
		return 0, syscall.ERANGE
	}
	p, errno := memory(a.p1, a.a2)
	if errno != 0 {
		return 0, errno
	}
	p[copy(p, path)] = 0
	return uintptr(len(path)) + 1, 0
}

// sysChroot is chroot(2): there is no second root.
func sysChroot(s *System, a args) (uintptr, syscall.Errno) { return 0, syscall.EPERM }
