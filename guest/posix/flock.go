package posix

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// processID is the number of the only process.
const processID = 1

// locks are the advisory locks of files, by node: flock(2)'s, which descriptions own, and fcntl(2)'s.
type locks struct {
	used atomic.Bool // something has been locked: until then closing need not look

	mu    sync.Mutex
	files map[vnode.Node]*fileLocks
}

type fileLocks struct {
	users   int // calls in progress
	holders []holder
	records []record
	waiting readiness // only for its waiters
}

// holder is a description that holds a lock of flock(2).
type holder struct {
	by        *description
	exclusive bool
}

// use returns the locks of d's file for a call that changes them; unuse ends that, and forgets files without locks.
func (t *locks) use(d *description) *fileLocks {
	d.locks.Store(t)
	t.used.Store(true)
	t.mu.Lock()
	defer t.mu.Unlock()
	n := nodeOf(d.object)
	f := t.files[n]
	if f == nil {
		if t.files == nil {
			t.files = make(map[vnode.Node]*fileLocks)
		}
		f = &fileLocks{}
		t.files[n] = f
	}
	f.users++
	return f
}

func (t *locks) unuse(d *description) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := nodeOf(d.object)
	f := t.files[n]
	f.users--
	t.forgetLocked(n, f)
}

func (t *locks) forgetLocked(n vnode.Node, f *fileLocks) {
	if f.users == 0 && len(f.holders) == 0 && len(f.records) == 0 {
		delete(t.files, n)
	}
}

// sysFlock is flock(2).
func sysFlock(s *System, a args) (uintptr, syscall.Errno) {
	d, errno := s.get(a.a1)
	if errno != 0 {
		return 0, s.refuse(a.a1, 0) // nobody else could lock what is the kernel's
	}
	defer d.release()
	if d.isPath() {
		return 0, syscall.EBADF
	}
	return result(s.flock(d, int(uint32(a.a2))))
}

// flock locks and unlocks as a whole. A lock that changes its kind is given up first (flock(2)). Errors: EINVAL,
// EWOULDBLOCK.
func (s *System) flock(d *description, op int) syscall.Errno {
	how := op &^ syscall.LOCK_NB
	if how != syscall.LOCK_SH && how != syscall.LOCK_EX && how != syscall.LOCK_UN {
		return syscall.EINVAL
	}
	t := &s.locks
	f := t.use(d)
	defer t.unuse(d)
	want := holder{d, how == syscall.LOCK_EX}
	w := wait{on: &f.waiting, never: op&syscall.LOCK_NB != 0}
	defer w.done()
	for {
		t.mu.Lock()
		if slices.Contains(f.holders, want) && how != syscall.LOCK_UN {
			t.mu.Unlock()
			return 0
		}
		before := len(f.holders)
		f.holders = slices.DeleteFunc(f.holders, func(h holder) bool { return h.by == d })
		changed := len(f.holders) != before
		done := how == syscall.LOCK_UN
		if !done && !slices.ContainsFunc(f.holders, func(h holder) bool { return h.exclusive || want.exclusive }) {
			f.holders = append(f.holders, want)
			done = true
		}
		t.mu.Unlock()
		if changed {
			f.waiting.wake(waitErrors)
		}
		if done {
			return 0
		}
		if !w.more() {
			return syscall.EWOULDBLOCK
		}
	}
}

// closed ends the process's record locks on a file of which it has closed a descriptor, whichever that was (fcntl(2)).
func (t *locks) closed(d *description) {
	if t.used.Load() {
		t.drop(d, nil)
	}
}

// ended ends the locks that a description owns, and the record locks of a call that was still in progress when the
// descriptor was closed.
func (t *locks) ended(d *description) {
	t.drop(d, d)
	t.drop(d, nil)
}

func (t *locks) drop(d, owner *description) {
	n := nodeOf(d.object)
	t.mu.Lock()
	f := t.files[n]
	if f == nil {
		t.mu.Unlock()
		return
	}
	f.records = slices.DeleteFunc(f.records, func(r record) bool { return r.owner == owner })
	if owner != nil {
		f.holders = slices.DeleteFunc(f.holders, func(h holder) bool { return h.by == owner })
	}
	t.forgetLocked(n, f)
	t.mu.Unlock()
	f.waiting.wake(waitErrors)
}
