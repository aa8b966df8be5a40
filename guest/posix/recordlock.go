package posix

import (
	"slices"
	"syscall"
)

// record is a lock on bytes of a file (fcntl_locking(2)). Its owner is the process (nil) or an open file description.
type record struct {
	from, to int64 // both included
	write    bool
	owner    *description
}

func (r record) conflicts(o record) bool {
	return r.owner != o.owner && r.from <= o.to && o.from <= r.to && (r.write || o.write)
}

// recordLock is fcntl(2) with F_GETLK, F_SETLK, F_SETLKW and their OFD forms. All of the process's goroutines are one
// owner, so its own locks never conflict with each other, as on Linux. Errors: EFAULT, EINVAL, EBADF, EAGAIN.
func (s *System) recordLock(d *description, cmd int, l *syscall.Flock_t) syscall.Errno {
	if l == nil {
		return syscall.EFAULT
	}
	r := record{}
	switch cmd {
	case fOFDGetLock, fOFDSetLock, fOFDSetLockW:
		if l.Pid != 0 {
			return syscall.EINVAL
		}
		r.owner = d
	}
	typ := l.Type
	if typ != syscall.F_RDLCK && typ != syscall.F_WRLCK && typ != syscall.F_UNLCK {
		return syscall.EINVAL
	}
	r.write = typ == syscall.F_WRLCK
	var errno syscall.Errno
	if r.from, r.to, errno = d.lockRange(l); errno != 0 {
		return errno
	}
	if cmd == syscall.F_GETLK || cmd == fOFDGetLock {
		if typ == syscall.F_UNLCK {
			return syscall.EINVAL
		}
		s.locks.query(d, r, l)
		return 0
	}
	switch {
	case typ == syscall.F_RDLCK && !d.readable(), typ == syscall.F_WRLCK && !d.writable():
		return syscall.EBADF
	case typ == syscall.F_UNLCK:
		s.locks.unlock(d, r)
		return 0
	}
	return s.locks.lock(d, r, cmd == syscall.F_SETLKW || cmd == fOFDSetLockW)
}

// query stores the first lock that r conflicts with into l, or F_UNLCK.
func (t *locks) query(d *description, r record, l *syscall.Flock_t) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.Type = syscall.F_UNLCK
	f := t.files[nodeOf(d.object)]
	if f == nil {
		return
	}
	for _, o := range f.records {
		if !r.conflicts(o) {
			continue
		}
		l.Type, l.Whence, l.Start, l.Len, l.Pid = syscall.F_RDLCK, seekSet, o.from, 0, processID
		if o.write {
			l.Type = syscall.F_WRLCK
		}
		if o.to != 1<<63-1 {
			l.Len = o.to - o.from + 1
		}
		if o.owner != nil {
			l.Pid = -1
		}
		return
	}
}

func (t *locks) lock(d *description, r record, waits bool) syscall.Errno {
	f := t.use(d)
	defer t.unuse(d)
	w := wait{on: &f.waiting, never: !waits}
	defer w.done()
	for {
		t.mu.Lock()
		free := !slices.ContainsFunc(f.records, r.conflicts)
		if free {
			f.addLocked(r)
		}
		t.mu.Unlock()
		if free {
			f.waiting.wake(waitErrors) // a weaker lock may have replaced a stronger one
			return 0
		}
		if !w.more() {
			return syscall.EAGAIN
		}
	}
}

func (t *locks) unlock(d *description, r record) {
	f := t.use(d)
	defer t.unuse(d)
	t.mu.Lock()
	f.cutLocked(r)
	t.mu.Unlock()
	f.waiting.wake(waitErrors)
}

// addLocked enters r in the place of what its owner had there, joined with equal neighbours.
func (f *fileLocks) addLocked(r record) {
	f.cutLocked(r)
	f.records = slices.DeleteFunc(f.records, func(o record) bool {
		if o.owner != r.owner || o.write != r.write {
			return false
		}
		switch {
		case o.to < r.from && o.to+1 == r.from:
			r.from = o.from
		case r.to < o.from && r.to+1 == o.from:
			r.to = o.to
		default:
			return false
		}
		return true
	})
	f.records = append(f.records, r)
}

// cutLocked takes r's range out of the locks of r's owner.
func (f *fileLocks) cutLocked(r record) {
	kept := f.records[:0:0]
	for _, o := range f.records {
		if o.owner != r.owner || o.to < r.from || r.to < o.from {
			kept = append(kept, o)
			continue
		}
		if o.from < r.from {
			left := o
			left.to = r.from - 1
			kept = append(kept, left)
		}
		if o.to > r.to {
			right := o
			right.from = r.to + 1
			kept = append(kept, right)
		}
	}
	f.records = kept
}

// lockRange turns a struct flock's whence, start and length into [from, to], to included. Errors: EINVAL, EOVERFLOW.
func (d *description) lockRange(l *syscall.Flock_t) (from, to int64, errno syscall.Errno) {
	const last = 1<<63 - 1
	base := int64(0)
	switch l.Whence {
	case seekSet:
	case seekCur:
		d.mu.Lock()
		base = d.pos
		d.mu.Unlock()
	case seekEnd:
		base = d.object.Attr().Size
	default:
		return 0, 0, syscall.EINVAL
	}
	if l.Start > 0 && base > last-l.Start {
		return 0, 0, syscall.EOVERFLOW
	}
	from = base + l.Start
	if from < 0 {
		return 0, 0, syscall.EINVAL
	}
	switch {
	case l.Len > 0:
		if l.Len-1 > last-from {
			return 0, 0, syscall.EOVERFLOW
		}
		return from, from + l.Len - 1, 0
	case l.Len < 0:
		if from+l.Len < 0 {
			return 0, 0, syscall.EINVAL
		}
		return from + l.Len, from - 1, 0
	}
	return from, last, 0
}
