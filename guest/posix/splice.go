package posix

import (
	"syscall"
	"unsafe"
)

// Flags of splice(2). Data is always copied, so only "do not wait for the pipe" means something.
const (
	spliceNonblock = 2
	spliceKnown    = 15
)

// sysSplice is splice(2): between a pipe and anything else, with one copy. Errors: EBADF, EINVAL, ESPIPE, EPIPE.
func sysSplice(s *System, a args) (uintptr, syscall.Errno) {
	if a.a6&^spliceKnown != 0 {
		return 0, syscall.EINVAL
	}
	if a.a5 == 0 {
		return 0, 0
	}
	in, errno := s.get(a.a1)
	if errno != 0 {
		return 0, s.refuse(a.a1, syscall.EINVAL)
	}
	defer in.release()
	out, errno := s.get(a.a3)
	if errno != 0 {
		return 0, s.refuse(a.a3, syscall.EINVAL)
	}
	defer out.release()
	if !in.readable() || !out.writable() {
		return 0, syscall.EBADF
	}
	x := newTransfer(in, out, int(min(a.a5, maxTransfer)), a.a6)
	x.inAt, x.outAt = (*int64)(a.p2), (*int64)(a.p4)
	switch {
	case x.from != nil && x.inAt != nil || x.to != nil && x.outAt != nil:
		errno = syscall.ESPIPE
	case x.from == x.to: // the same pipe, or none
		errno = syscall.EINVAL
	case x.from == nil:
		errno = checkOther(in, x.inAt)
	case x.to == nil:
		if errno = checkOther(out, x.outAt); errno == 0 && out.flags.Load()&syscall.O_APPEND != 0 {
			errno = syscall.EINVAL
		}
	}
	if errno != 0 {
		return 0, errno
	}
	return count(x.run())
}

// transfer is a splice or tee in progress. Its offsets are user memory, so it stays on the stack: it is not captured by
// functions or passed to any that are not known.
type transfer struct {
	in, out     *description
	from, to    *pipe // nil if that side is no pipe
	inAt, outAt *int64
	n           int
	tee         bool
	never       bool // SPLICE_F_NONBLOCK
}

func newTransfer(in, out *description, n int, flags uintptr) transfer {
	x := transfer{in: in, out: out, n: n, never: flags&spliceNonblock != 0}
	if e, ok := in.object.(*pipeEnd); ok {
		x.from = e.pipe
	}
	if e, ok := out.object.(*pipeEnd); ok {
		x.to = e.pipe
	}
	return x
}

// move moves once. EAGAIN: one of the sides would have to wait.
func (x *transfer) move() (int, syscall.Errno) {
	switch {
	case x.from != nil && x.to != nil:
		return x.from.move(x.to, x.n, !x.tee)
	case x.from != nil:
		return x.from.drain(x)
	}
	return x.to.fill(x)
}

// checkOther says whether what is at the other end of a pipe can be spliced: streams, and files at an offset.
func checkOther(d *description, at *int64) syscall.Errno {
	_, seekable := d.object.(positioned)
	so, isSocket := d.object.(socketObject)
	_, isDir := d.object.(*directory)
	_, isTTY := d.object.(*tty) // its calls wait, which they must not under a pipe's lock
	switch {
	case at != nil && !seekable, isDir, isTTY, isSocket && so.base().typ != syscall.SOCK_STREAM:
		return syscall.EINVAL
	case at != nil && *at < 0:
		return syscall.EINVAL
	}
	return 0
}

// run moves once, waiting for either side as its flags say.
func (x *transfer) run() (int, syscall.Errno) {
	n, errno := x.move()
	if errno != syscall.EAGAIN {
		return n, errno
	}
	in, out := x.in.object, x.out.object
	forIn := wait{on: in.ready(), events: EventIn, never: x.stays(x.in, x.from), timeout: timeoutOf(in, EventIn)}
	defer forIn.done()
	forOut := wait{on: out.ready(), events: EventOut, never: x.stays(x.out, x.to), timeout: timeoutOf(out, EventOut)}
	defer forOut.done()
	for errno == syscall.EAGAIN {
		w := &forIn
		if levelOf(in)&(EventIn|EventHup) != 0 {
			w = &forOut
		}
		if !w.more() {
			break
		}
		n, errno = x.move()
	}
	return n, errno
}

// stays says that a side, a pipe if p is not nil, is not waited for.
func (x *transfer) stays(d *description, p *pipe) bool {
	return d.nonblocking() || p != nil && x.never
}

// fill reads from what is not a pipe, once, right into the pipe's memory.
func (p *pipe) fill(x *transfer) (int, syscall.Errno) {
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.capacity - p.ring.n
	switch {
	case p.readers == 0:
		return 0, syscall.EPIPE
	case room <= 0:
		return 0, syscall.EAGAIN
	}
	space := p.ring.space(min(room, x.n))
	var n int
	var errno syscall.Errno
	if x.inAt != nil {
		n, errno = x.in.object.(positioned).readAt(space, *x.inAt)
		*x.inAt += int64(n)
	} else {
		n, errno = x.in.object.read(x.in, space)
	}
	p.ring.commit(n)
	if n > 0 {
		p.updateLocked(EventIn)
	}
	return n, errno
}

// drain writes from the pipe's memory to what is not a pipe, once.
func (p *pipe) drain(x *transfer) (int, syscall.Errno) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ring.n == 0 {
		if p.writers == 0 {
			return 0, 0
		}
		return 0, syscall.EAGAIN
	}
	data := p.ring.front()
	data = data[:min(len(data), x.n)]
	var n int
	var errno syscall.Errno
	if x.outAt != nil {
		n, errno = x.out.object.(positioned).writeAt(data, *x.outAt)
		*x.outAt += int64(n)
	} else {
		n, errno = x.out.object.write(x.out, data)
	}
	p.takeLocked(n)
	return n, errno
}

// takeLocked drops n bytes that have been taken and tells those concerned.
func (p *pipe) takeLocked(n int) {
	wasFull := p.capacity-p.ring.n < pipeBuf
	p.ring.drop(n)
	p.updateLocked(0)
	if wasFull && n > 0 {
		p.wakeWritersLocked()
	}
}

// move copies up to n bytes from one pipe to another and, unless it is for tee, takes them from the first.
func (p *pipe) move(to *pipe, n int, take bool) (int, syscall.Errno) {
	// Both locks, in the order of addresses: objects on the heap do not move.
	first, second := p, to
	if uintptr(unsafe.Pointer(first)) > uintptr(unsafe.Pointer(second)) {
		first, second = second, first
	}
	first.mu.Lock()
	defer first.mu.Unlock()
	second.mu.Lock()
	defer second.mu.Unlock()
	room := to.capacity - to.ring.n
	switch {
	case to.readers == 0:
		return 0, syscall.EPIPE
	case p.ring.n == 0 && p.writers == 0:
		return 0, 0
	case p.ring.n == 0 || room <= 0:
		return 0, syscall.EAGAIN
	}
	data := p.ring.front()
	data = data[:min(len(data), n, room)]
	to.ring.write(data)
	to.updateLocked(EventIn)
	if take {
		p.takeLocked(len(data))
	}
	return len(data), 0
}

// sysTee is tee(2).
func sysTee(s *System, a args) (uintptr, syscall.Errno) {
	if a.a4&^spliceKnown != 0 {
		return 0, syscall.EINVAL
	}
	if a.a3 == 0 {
		return 0, 0
	}
	in, errno := s.get(a.a1)
	if errno != 0 {
		return 0, s.refuse(a.a1, syscall.EINVAL)
	}
	defer in.release()
	out, errno := s.get(a.a2)
	if errno != 0 {
		return 0, s.refuse(a.a2, syscall.EINVAL)
	}
	defer out.release()
	if !in.readable() || !out.writable() {
		return 0, syscall.EBADF
	}
	x := newTransfer(in, out, int(min(a.a3, maxTransfer)), a.a4)
	x.tee = true
	if x.from == nil || x.to == nil || x.from == x.to {
		return 0, syscall.EINVAL
	}
	return count(x.run())
}

// sysVmsplice is vmsplice(2). There are no pages to give away: EINVAL makes callers write.
func sysVmsplice(s *System, a args) (uintptr, syscall.Errno) { return 0, syscall.EINVAL }
