package posix

import (
	"sync"
	"sync/atomic"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// description is an open file description (open(2)): what dup'ed descriptors share.
type description struct {
	object object
	at     place // where it was opened, if it has a name

	flags atomic.Uint32 // access mode and status flags as fcntl(F_GETFL) returns them
	refs  atomic.Int32  // descriptor numbers and calls in progress; 0 is the end

	mu  sync.Mutex
	pos int64 // file position; of directories: what follows

	locks atomic.Pointer[locks] // where it has or had advisory locks
}

// place is a name in a directory: what /proc/self/fd shows.
type place struct {
	dir  vnode.Dir
	name string
}

// newDescription returns a description with one reference, the caller's.
func newDescription(o object, flags uint32) *description {
	d := &description{object: o}
	d.flags.Store(flags)
	d.refs.Store(1)
	return d
}

// retain takes a reference unless the description is at its end.
func (d *description) retain() bool {
	for {
		n := d.refs.Load()
		if n == 0 {
			return false
		}
		if d.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release gives a reference back. With the last one the object is closed.
func (d *description) release() {
	if d.refs.Add(-1) > 0 {
		return
	}
	if t := d.locks.Load(); t != nil {
		t.ended(d)
	}
	d.object.close(d)
}

// Status flags: what F_SETFL can change, and what O_CREAT's companions leave no trace of.
const (
	settableFlags = syscall.O_APPEND | syscall.O_NONBLOCK | syscall.O_ASYNC | syscall.O_DIRECT | syscall.O_NOATIME
	createFlags   = syscall.O_CREAT | syscall.O_EXCL | syscall.O_NOCTTY | syscall.O_TRUNC | syscall.O_CLOEXEC
	oPath         = 0x200000
	oLargeFile    = 0x8000 // every open file has it on 64-bit machines
)

func (d *description) nonblocking() bool { return d.flags.Load()&syscall.O_NONBLOCK != 0 }

func (d *description) readable() bool {
	f := d.flags.Load()
	return f&syscall.O_ACCMODE != syscall.O_WRONLY && f&oPath == 0
}

func (d *description) writable() bool {
	f := d.flags.Load()
	return f&syscall.O_ACCMODE != syscall.O_RDONLY && f&oPath == 0
}

// isPath reports whether the description only stands for a place (O_PATH).
func (d *description) isPath() bool { return d.flags.Load()&oPath != 0 }
