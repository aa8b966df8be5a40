package posix

import (
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// openFIFO opens a FIFO, waiting for the other side as fifo(7) says. Errors: ENXIO if it is opened for writing without
// waiting and nobody reads.
func (s *System) openFIFO(n vnode.Node, flags uint32) (object, syscall.Errno) {
	reads := flags&syscall.O_ACCMODE != syscall.O_WRONLY
	writes := flags&syscall.O_ACCMODE != syscall.O_RDONLY
	never := flags&syscall.O_NONBLOCK != 0
	p := s.fifoOf(n)
	p.mu.Lock()
	readers := p.readers
	p.mu.Unlock()
	if never && writes && !reads && readers == 0 {
		s.fifoClosed(n, p)
		return nil, syscall.ENXIO
	}
	// The link is there before the other side can appear, so that its appearance is not missed.
	link := newLink(0)
	p.opened.join(link)
	defer p.opened.leave(link)
	e := p.open(s, n, reads, writes)
	for !never && reads != writes && !e.met() {
		<-link.woken
	}
	return e, 0
}

// met reports whether the other side is open, or has been since this end was opened.
func (e *pipeEnd) met() bool {
	p := e.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.reads {
		return p.writers > 0 || p.generation.writes != e.since.writes
	}
	return p.readers > 0 || p.generation.reads != e.since.reads
}

// fifoOf returns the pipe of a FIFO for one more user; fifoClosed ends that.
func (s *System) fifoOf(n vnode.Node) *pipe {
	t := &s.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.fifos[n]
	if p == nil {
		p = newPipe(s.core)
		if t.fifos == nil {
			t.fifos = make(map[vnode.Node]*pipe)
		}
		t.fifos[n] = p
	}
	p.users++
	return p
}

// fifoClosed takes a user from a FIFO's pipe and forgets it with the last one. Anonymous pipes have none.
func (s *System) fifoClosed(n vnode.Node, p *pipe) {
	t := &s.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fifos[n] != p {
		return
	}
	if p.users--; p.users == 0 {
		delete(t.fifos, n)
	}
}

// fifoUser takes one more user of an open FIFO's pipe.
func (s *System) fifoUser(n vnode.Node, p *pipe) {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	if s.tree.fifos[n] == p {
		p.users++
	}
}
