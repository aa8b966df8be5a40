package posix

import "syscall"

// Commands of fcntl(2) that package syscall does not name.
const (
	fSetPipeSize = 1031
	fGetPipeSize = 1032
	fAddSeals    = 1033
	fGetSeals    = 1034
	fOFDGetLock  = 36
	fOFDSetLock  = 37
	fOFDSetLockW = 38
	fSetSig      = 10
	fGetSig      = 11
	fSetLease    = 1024
	fGetLease    = 1025
	fNotify      = 1026
	fDupQuery    = 1027
	fGetRWHint   = 1035
	fSetFileHint = 1038
)

// sysFcntl is fcntl(2).
func sysFcntl(s *System, a args) (uintptr, syscall.Errno) {
	d, errno := s.get(a.a1)
	if errno != 0 {
		return 0, errno
	}
	cmd := int(uint32(a.a2))
	switch cmd {
	case syscall.F_DUPFD, syscall.F_DUPFD_CLOEXEC: // d's reference goes to the new number
		if min := int(uint32(a.a3)); uint64(min) < s.gate.Limit(syscall.RLIMIT_NOFILE).Cur {
			return count(s.install(d, min, cmd == syscall.F_DUPFD_CLOEXEC))
		}
		d.release()
		return 0, syscall.EINVAL
	}
	defer d.release()
	if d.isPath() && cmd != syscall.F_GETFD && cmd != syscall.F_SETFD && cmd != syscall.F_GETFL && cmd != fDupQuery {
		return 0, syscall.EBADF
	}
	switch cmd {
	case syscall.F_GETFD, syscall.F_SETFD:
		return 0, toGate // package kernel keeps it for all numbers
	case syscall.F_GETFL:
		return uintptr(d.flags.Load()), 0
	case syscall.F_SETFL:
		return result(s.setFlags(d, uint32(a.a3)))
	case syscall.F_GETLK, syscall.F_SETLK, syscall.F_SETLKW, fOFDGetLock, fOFDSetLock, fOFDSetLockW:
		return result(s.recordLock(d, cmd, (*syscall.Flock_t)(a.p3)))
	case fGetPipeSize, fSetPipeSize:
		e, ok := d.object.(*pipeEnd)
		if !ok {
			return 0, syscall.EBADF
		}
		if cmd == fGetPipeSize {
			return uintptr(e.pipe.size()), 0
		}
		return count(e.pipe.resize(int(uint32(a.a3))))
	case fGetSeals, fAddSeals:
		m, ok := nodeOf(d.object).(*memoryFile)
		if !ok {
			return 0, syscall.EINVAL
		}
		if cmd == fGetSeals {
			return uintptr(m.seals.Load()), 0
		}
		if !d.writable() {
			return 0, syscall.EPERM
		}
		return result(m.seal(uint32(a.a3)))
	case syscall.F_GETOWN, fGetSig, syscall.F_SETOWN, fSetSig:
		return 0, 0 // O_ASYNC has no effect
	case fGetLease:
		return syscall.F_UNLCK, 0
	}
	return 0, syscall.EINVAL
}

// setFlags is F_SETFL. Errors: EPERM, EINVAL.
func (s *System) setFlags(d *description, flags uint32) syscall.Errno {
	switch d.object.(type) {
	case *pipeEnd, *regular:
	default:
		if flags&syscall.O_DIRECT != 0 {
			return syscall.EINVAL
		}
	}
	s.setStatus(d, d.flags.Load()&^settableFlags|flags&settableFlags)
	return 0
}

// setStatus stores status flags, and tells package kernel, which the runtime asks, about O_NONBLOCK.
func (s *System) setStatus(d *description, flags uint32) {
	was := d.flags.Swap(flags)
	if (was^flags)&syscall.O_NONBLOCK == 0 {
		return
	}
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	for _, fd := range s.numbersOf(d) {
		kept := uint(flags & syscall.O_NONBLOCK)
		if v, _ := s.gate.Fcntl(fd, syscall.F_GETFD, 0); v&syscall.FD_CLOEXEC != 0 {
			kept |= syscall.O_CLOEXEC
		}
		s.core.SetFlags(fd, kept)
	}
}
