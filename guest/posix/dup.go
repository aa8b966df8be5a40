package posix

import (
	"syscall"

	"ukvm.dev/guest/kernel"
)

// sysClose is close(2).
func sysClose(s *System, a args) (uintptr, syscall.Errno) { return result(s.close(fdOf(a.a1))) }

// sysCloseRange is close_range(2), for descriptors of all kinds.
func sysCloseRange(s *System, a args) (uintptr, syscall.Errno) {
	const unshare, cloexec = 2, 4
	first, last := uint32(a.a1), uint32(a.a2)
	if a.a3&^(unshare|cloexec) != 0 || first > last {
		return 0, syscall.EINVAL
	}
	limit := min(uint64(last)+1, maxDescriptors)
	for fd := uint64(first); fd < limit; fd++ {
		if kind, _ := s.core.KindOf(int(fd)); kind == 0 {
			continue
		}
		if a.a3&cloexec != 0 {
			s.gate.Fcntl(int(fd), syscall.F_SETFD, syscall.FD_CLOEXEC)
		} else if s.close(int(fd)) == toGate {
			s.gate.Close(int(fd))
		}
	}
	return 0, 0
}

// maxDescriptors bounds descriptor numbers (package kernel's limits.go).
const maxDescriptors = 1 << 17

// sysDup is dup(2).
func sysDup(s *System, a args) (uintptr, syscall.Errno) {
	d, errno := s.get(a.a1)
	if errno != 0 {
		return 0, errno
	}
	return count(s.install(d, 0, false))
}

// sysDup2 is dup2(2).
func sysDup2(s *System, a args) (uintptr, syscall.Errno) {
	if fdOf(a.a1) == fdOf(a.a2) {
		d, errno := s.get(a.a1)
		if errno != 0 {
			return 0, errno
		}
		d.release()
		return a.a2, 0
	}
	return s.dupTo(a.a1, a.a2, false)
}

// sysDup3 is dup3(2).
func sysDup3(s *System, a args) (uintptr, syscall.Errno) {
	if a.a3&^syscall.O_CLOEXEC != 0 || fdOf(a.a1) == fdOf(a.a2) {
		return 0, syscall.EINVAL
	}
	return s.dupTo(a.a1, a.a2, a.a3 != 0)
}

func (s *System) dupTo(from, to uintptr, cloexec bool) (uintptr, syscall.Errno) {
	target := fdOf(to)
	if target < 0 {
		return 0, syscall.EBADF
	}
	for {
		d, errno := s.get(from)
		if errno == 0 {
			return uintptr(target), s.installAt(d, target, cloexec)
		}
		// The source is package kernel's, which makes the copy; an object of ours at the target goes first, unless the
		// call is going to fail.
		s.files.mu.Lock()
		if slot := s.files.at(fdOf(from)); slot != nil && slot.Load() != nil {
			s.files.mu.Unlock()
			continue // it has just been opened
		}
		kind, _ := s.core.KindOf(fdOf(from))
		if kind == kernel.KindNone || kind == kernel.KindObject || uint64(target) >= s.gate.Limit(syscall.RLIMIT_NOFILE).Cur {
			s.files.mu.Unlock()
			return 0, syscall.EBADF
		}
		old := s.forgetLocked(target)
		s.files.mu.Unlock()
		if old != nil {
			s.dropNumber(old)
		}
		return 0, toGate
	}
}
