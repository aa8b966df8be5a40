package posix

import (
	"math/bits"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

// Sizes of pipes (pipe(7)).
const (
	pipeBuf     = 4096 // PIPE_BUF: writes up to this are done whole
	pipeSize    = 65536
	pipeMaxSize = 1 << 20 // /proc/sys/fs/pipe-max-size
)

// pipe is what pipe(2) and FIFOs make: a queue of bytes with a number of ends, each of which is an object.
//
// A write of at most PIPE_BUF bytes is done whole: it returns EAGAIN unless there is room for all. The pipe polls
// writable when PIPE_BUF bytes fit.
type pipe struct {
	mu       sync.Mutex
	ring     ring
	capacity int
	ends     []*pipeEnd
	readers  int
	writers  int
	opened   readiness // wakes open(2) of a FIFO, which waits for the other side
	generation
	users int // of a FIFO's: ends and opens in progress; tree.mu guards it
}

// generation counts how often each side of a FIFO has been opened, for an open that waits for the other.
type generation struct{ reads, writes uint64 }

// pipeEnd is one end: of an anonymous pipe, or one open(2) of a FIFO.
type pipeEnd struct {
	vnode.Node
	sys    *System
	pipe   *pipe
	reads  bool
	writes bool
	since  generation // when it was opened
	state  readiness
}

var (
	_ controller = (*pipeEnd)(nil)
	_ gatherer   = (*pipeEnd)(nil)
)

func newPipe(c core) *pipe {
	p := &pipe{capacity: pipeSize}
	p.opened.init(c)
	return p
}

// open makes an end.
func (p *pipe) open(s *System, n vnode.Node, reads, writes bool) *pipeEnd {
	e := &pipeEnd{Node: n, sys: s, pipe: p, reads: reads, writes: writes}
	e.state.init(s.core)
	p.mu.Lock()
	p.ends = append(p.ends, e)
	e.since = p.generation
	if p.writers > 0 {
		e.since.writes-- // it has had a writer
	}
	if reads {
		p.readers++
		p.generation.reads++
	}
	if writes {
		p.writers++
		p.generation.writes++
	}
	p.updateLocked(0)
	p.mu.Unlock()
	p.opened.wake(waitErrors)
	return e
}

func (e *pipeEnd) close(d *description) {
	p := e.pipe
	p.mu.Lock()
	if i := slices.Index(p.ends, e); i >= 0 {
		p.ends = slices.Delete(p.ends, i, i+1)
	}
	if e.reads {
		p.readers--
	}
	if e.writes {
		p.writers--
	}
	if p.readers == 0 && p.writers == 0 {
		p.ring = ring{}
	}
	p.updateLocked(0)
	p.mu.Unlock()
	e.sys.fifoClosed(e.Node, p)
	releaseNode(e.Node)
}

// updateLocked tells all ends what they are ready for, and what was raised just now.
func (p *pipe) updateLocked(raised Events) {
	for _, e := range p.ends {
		level := Events(0)
		if e.reads {
			if p.ring.n > 0 {
				level |= EventIn
			}
			if p.writers == 0 && p.generation.writes != e.since.writes {
				level |= EventHup
			}
		}
		if e.writes {
			if p.capacity-p.ring.n >= pipeBuf {
				level |= EventOut
			}
			if p.readers == 0 {
				level |= EventErr
			}
		}
		e.state.notify(level, raised&level)
	}
}

func (e *pipeEnd) ready() *readiness { return &e.state }

func (e *pipeEnd) read(d *description, p []byte) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	pipe := e.pipe
	pipe.mu.Lock()
	defer pipe.mu.Unlock()
	if pipe.ring.n == 0 {
		if pipe.writers == 0 {
			return 0, 0
		}
		return 0, syscall.EAGAIN
	}
	n := pipe.ring.peek(p, 0)
	pipe.takeLocked(n)
	return n, 0
}

// wakeWritersLocked lets writes that wait for room try again, even if there is too little to poll writable.
func (p *pipe) wakeWritersLocked() {
	for _, e := range p.ends {
		if e.writes {
			e.state.wake(EventOut)
		}
	}
}

func (e *pipeEnd) write(d *description, p []byte) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	pipe := e.pipe
	pipe.mu.Lock()
	defer pipe.mu.Unlock()
	if pipe.readers == 0 {
		return 0, syscall.EPIPE
	}
	room := pipe.capacity - pipe.ring.n
	if room < len(p) && (len(p) <= pipeBuf || room == 0) {
		return 0, syscall.EAGAIN
	}
	n := min(room, len(p))
	pipe.ring.write(p[:n])
	pipe.updateLocked(EventIn)
	return n, 0
}

// gather makes short vectored writes whole.
func (e *pipeEnd) gather(n int) bool { return n <= pipeBuf }

// resize is fcntl(F_SETPIPE_SZ): up to a power of two of pages. Errors: EBUSY if what is in the pipe would not fit,
// EPERM beyond the maximum, EINVAL.
func (p *pipe) resize(n int) (int, syscall.Errno) {
	if n < 0 || n > 1<<31 {
		return 0, syscall.EINVAL
	}
	size := 1 << bits.Len(uint(max(n, pipeBuf)-1))
	if size > pipeMaxSize {
		return 0, syscall.EPERM
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ring.n > size {
		return 0, syscall.EBUSY
	}
	p.capacity = size
	p.updateLocked(0)
	p.wakeWritersLocked()
	return size, 0
}

func (p *pipe) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.capacity
}

func (e *pipeEnd) ioctl(d *description, request uint32, p unsafe.Pointer) (uintptr, syscall.Errno) {
	if request != fionread {
		return 0, syscall.ENOTTY
	}
	e.pipe.mu.Lock()
	n := e.pipe.ring.n
	e.pipe.mu.Unlock()
	return result(putInt(p, n))
}

// sysPipe2 is pipe2(2).
func sysPipe2(s *System, a args) (uintptr, syscall.Errno) {
	const known = syscall.O_CLOEXEC | syscall.O_NONBLOCK | syscall.O_DIRECT | oNotificationPipe
	flags := uint32(a.a2)
	switch {
	case flags&^known != 0:
		return 0, syscall.EINVAL
	case flags&oNotificationPipe != 0:
		return 0, syscall.ENOPKG
	case a.p1 == nil:
		return 0, syscall.EFAULT
	}
	node := s.newAnonymous(devicePipes, syscall.S_IFIFO|0o600)
	p := newPipe(s.core)
	reader, writer := p.open(s, node, true, false), p.open(s, node, false, true)
	status := flags & (syscall.O_NONBLOCK | syscall.O_DIRECT)
	cloexec := flags&syscall.O_CLOEXEC != 0
	w := newDescription(writer, syscall.O_WRONLY|status)
	r, errno := s.install(newDescription(reader, syscall.O_RDONLY|status), 0, cloexec)
	if errno != 0 {
		w.release()
		return 0, errno
	}
	wr, errno := s.install(w, 0, cloexec)
	if errno != 0 {
		s.close(r)
		return 0, errno
	}
	*(*[2]int32)(a.p1) = [2]int32{int32(r), int32(wr)}
	return 0, 0
}

const oNotificationPipe = syscall.O_EXCL

// sysPipe is pipe(2).
func sysPipe(s *System, a args) (uintptr, syscall.Errno) {
	a.a2 = 0
	return sysPipe2(s, a)
}
