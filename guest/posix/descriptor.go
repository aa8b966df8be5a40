package posix

import (
	"sync"
	"sync/atomic"
	"syscall"

	"ukvm.dev/guest/kernel"
)

// table maps descriptor numbers to descriptions. Package kernel gives the numbers out; a number that is not in the
// table is the kernel's or free. Lookups take no lock; changes of numbers, here and in the kernel, happen together
// under mu.
type table struct {
	mu    sync.Mutex
	slots atomic.Pointer[[]atomic.Pointer[description]]
}

// at returns the slot of a number, nil if there is none yet.
func (t *table) at(fd int) *atomic.Pointer[description] {
	slots := t.slots.Load()
	if slots == nil || uint(fd) >= uint(len(*slots)) {
		return nil
	}
	return &(*slots)[fd]
}

// get returns a number's description with a reference for the caller, or nil.
func (t *table) get(fd int) *description {
	for {
		slot := t.at(fd)
		if slot == nil {
			return nil
		}
		d := slot.Load()
		if d == nil || d.retain() {
			return d
		}
		// It was closed after the Load: the slot has changed.
	}
}

// setLocked puts d into a slot.
func (t *table) setLocked(fd int, d *description) {
	slots := t.slots.Load()
	if slots == nil || fd >= len(*slots) {
		n := max(32, fd+1)
		if slots != nil {
			n = max(n, 2*len(*slots))
		}
		grown := make([]atomic.Pointer[description], n)
		if slots != nil {
			for i := range *slots {
				grown[i].Store((*slots)[i].Load())
			}
		}
		slots = &grown
		t.slots.Store(slots)
	}
	(*slots)[fd].Store(d)
}

// get returns the description of a descriptor argument with a reference for the caller. Errors: toGate if the number is
// not ours; the gate knows whether it is the kernel's or EBADF.
func (s *System) get(fd uintptr) (*description, syscall.Errno) {
	d := s.files.get(fdOf(fd))
	if d == nil {
		return nil, toGate
	}
	return d, 0
}

// attachFlags are the flags of kernel.Attach for a description.
func attachFlags(d *description, cloexec bool) uint {
	flags := uint(d.flags.Load() & syscall.O_NONBLOCK)
	if cloexec {
		flags |= syscall.O_CLOEXEC
	}
	if d.object.ready() == nil {
		flags |= kernel.Plain
	}
	return flags
}

// install gives d the lowest free number from min on. The caller's reference becomes the number's; if there is no
// number, it is given back. Errors: EMFILE.
func (s *System) install(d *description, min int, cloexec bool) (int, syscall.Errno) {
	s.files.mu.Lock()
	fd := s.core.Attach(min, attachFlags(d, cloexec))
	if fd < 0 {
		s.files.mu.Unlock()
		d.release()
		return 0, syscall.Errno(-fd)
	}
	s.files.setLocked(fd, d)
	if r := d.object.ready(); r != nil {
		r.addNumber(fd)
	}
	s.files.mu.Unlock()
	return fd, 0
}

// installAt gives d the number fd, closing what has it (dup2). The caller's reference becomes the number's. Errors:
// EBADF if fd is beyond the limit.
func (s *System) installAt(d *description, fd int, cloexec bool) syscall.Errno {
	s.files.mu.Lock()
	old := s.forgetLocked(fd)
	if n := s.core.AttachAt(fd, attachFlags(d, cloexec)); n < 0 {
		if old != nil {
			s.restoreLocked(fd, old)
		}
		s.files.mu.Unlock()
		d.release()
		return syscall.Errno(-n)
	}
	s.files.setLocked(fd, d)
	if r := d.object.ready(); r != nil {
		r.addNumber(fd)
	}
	s.files.mu.Unlock()
	if old != nil {
		s.dropNumber(old)
	}
	return 0
}

// forgetLocked takes a number out of the table and returns its description, whose reference is now the caller's.
// Package kernel still has the number.
func (s *System) forgetLocked(fd int) *description {
	slot := s.files.at(fd)
	if slot == nil {
		return nil
	}
	d := slot.Load()
	if d == nil {
		return nil
	}
	slot.Store(nil)
	if r := d.object.ready(); r != nil {
		r.removeNumber(fd)
	}
	return d
}

func (s *System) restoreLocked(fd int, d *description) {
	s.files.setLocked(fd, d)
	if r := d.object.ready(); r != nil {
		r.addNumber(fd)
	}
}

// close frees a number. Errors: toGate if it is not ours.
func (s *System) close(fd int) syscall.Errno {
	s.files.mu.Lock()
	d := s.forgetLocked(fd)
	mine := d != nil
	if !mine {
		// An object's number without an object is left when dup2 from a descriptor of the kernel's fails because that is
		// closed at the same time (dupTo).
		kind, _ := s.core.KindOf(fd)
		mine = kind == kernel.KindObject
	}
	if mine {
		s.core.Detach(fd)
	}
	s.files.mu.Unlock()
	if d != nil {
		s.dropNumber(d)
	}
	if !mine {
		return toGate
	}
	return 0
}

// dropNumber ends what a description loses with one of its numbers: the process's record locks (fcntl(2)) and, with
// the last one, everything.
func (s *System) dropNumber(d *description) {
	s.locks.closed(d)
	d.release()
}

// numbersOf returns the numbers of a description.
func (s *System) numbersOf(d *description) (fds []int) {
	slots := s.files.slots.Load()
	if slots == nil {
		return nil
	}
	for fd := range *slots {
		if (*slots)[fd].Load() == d {
			fds = append(fds, fd)
		}
	}
	return fds
}
