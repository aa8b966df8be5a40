package posix

import (
	"syscall"
	"time"
	"unsafe"
)

// pollfd is struct pollfd (poll(2)).
type pollfd struct {
	fd      int32
	events  int16
	revents int16
}

// Bits of poll(2) beyond Events.
const (
	pollNval   = 0x20
	pollRdNorm = 0x40
	pollWrNorm = 0x100
)

// forever is a timeout that never comes.
const forever = time.Duration(-1)

// sysPoll is poll(2).
func sysPoll(s *System, a args) (uintptr, syscall.Errno) {
	timeout := forever
	if ms := int32(a.a3); ms >= 0 {
		timeout = time.Duration(ms) * time.Millisecond
	}
	return s.pollUser(a.p1, a.a2, timeout)
}

// sysPpoll is ppoll(2). The signal mask is not applied: Go's signals come to threads of their own.
func sysPpoll(s *System, a args) (uintptr, syscall.Errno) {
	timeout, errno := timeoutAt(a.p3)
	if errno != 0 {
		return 0, errno
	}
	return s.pollUser(a.p1, a.a2, timeout)
}

// timeoutAt reads a struct timespec; nil is forever. Errors: EINVAL.
func timeoutAt(p unsafe.Pointer) (time.Duration, syscall.Errno) {
	if p == nil {
		return forever, 0
	}
	t := *(*syscall.Timespec)(p)
	if t.Sec < 0 || uint64(t.Nsec) >= 1e9 {
		return 0, syscall.EINVAL
	}
	const most = 1 << 33 // seconds a Duration can hold
	if t.Sec > most {
		return forever, 0
	}
	return time.Duration(t.Nano()), 0
}

func (s *System) pollUser(p unsafe.Pointer, n uintptr, timeout time.Duration) (uintptr, syscall.Errno) {
	if uint64(n) > s.gate.Limit(syscall.RLIMIT_NOFILE).Cur {
		return 0, syscall.EINVAL
	}
	if p == nil && n > 0 {
		return 0, syscall.EFAULT
	}
	return count(s.poll(unsafe.Slice((*pollfd)(p), n), timeout))
}

// poll waits until one of fds, which is user memory, is ready, and returns how many are. Objects of this package are
// looked at here, and the goroutine parks until one of them has news. If there is a descriptor of package kernel's
// among them, an epoll instance waits for all.
func (s *System) poll(fds []pollfd, timeout time.Duration) (int, syscall.Errno) {
	watched := make([]*description, len(fds))
	defer func() {
		for _, d := range watched {
			if d != nil {
				d.release()
			}
		}
	}()
	foreign := false
	for i := range fds {
		fd := int(fds[i].fd)
		if fd < 0 {
			continue
		}
		if watched[i] = s.files.get(fd); watched[i] == nil {
			kind, _ := s.core.KindOf(fd)
			foreign = foreign || kind != 0
		}
	}
	if foreign {
		return s.pollKernel(fds, timeout)
	}
	if n := check(fds, watched); n > 0 || timeout == 0 {
		return n, 0
	}
	woken := make(chan struct{}, 1)
	links := make([]*link, len(fds))
	for i, d := range watched {
		if d == nil || d.object.ready() == nil {
			continue
		}
		links[i] = &link{events: Events(fds[i].events) | waitErrors, woken: woken}
		d.object.ready().join(links[i])
	}
	defer func() {
		for i, l := range links {
			if l != nil {
				watched[i].object.ready().leave(l)
			}
		}
	}()
	var expired <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		expired = t.C
	}
	for {
		if n := check(fds, watched); n > 0 {
			return n, 0
		}
		select {
		case <-woken:
		case <-expired:
			return check(fds, watched), 0
		}
	}
}

// check stores what fds are ready for and returns how many are.
func check(fds []pollfd, watched []*description) (n int) {
	for i := range fds {
		f := &fds[i]
		f.revents = 0
		switch d := watched[i]; {
		case f.fd < 0:
		case d == nil || d.isPath():
			f.revents = pollNval
		default:
			f.revents = pollResult(levelOf(d.object), f.events)
		}
		if f.revents != 0 {
			n++
		}
	}
	return n
}

// levelOf is what an object is ready for.
func levelOf(o object) Events {
	if r := o.ready(); r != nil {
		return r.now()
	}
	return EventIn | EventOut
}

// pollResult is what poll reports of a level to one who asks for events.
func pollResult(level Events, events int16) int16 {
	if level&EventIn != 0 {
		level |= pollRdNorm
	}
	if level&EventOut != 0 {
		level |= pollWrNorm
	}
	return int16(level & (Events(uint16(events)) | EventErr | EventHup))
}

// pollKernel polls by means of an epoll instance, for which package kernel knows the readiness of all descriptors.
// Errors: those of making the instance, ENOMEM.
func (s *System) pollKernel(fds []pollfd, timeout time.Duration) (int, syscall.Errno) {
	e, errno := s.gate.Epoll()
	if errno != 0 {
		return 0, syscall.ENOMEM
	}
	defer e.Close()
	levels := make(map[int32]Events, len(fds))
	wanted := make(map[int32]Events, len(fds))
	for i := range fds {
		if fd := fds[i].fd; fd >= 0 {
			wanted[fd] |= Events(uint16(fds[i].events)) & EventsLevel
		}
	}
	for fd, events := range wanted {
		switch errno := e.Add(int(fd), events, fd); errno {
		case 0:
		case syscall.EPERM:
			levels[fd] = EventIn | EventOut
		case syscall.EBADF:
			levels[fd] = pollNval
		default:
			return 0, errno
		}
	}
	ms := -1
	switch {
	case len(levels) > 0:
		ms = 0
	case timeout >= 0:
		ms = int(min((timeout+time.Millisecond-1)/time.Millisecond, 1<<31-1))
	}
	events := make([]syscall.EpollEvent, max(1, len(wanted)))
	n, errno := e.Wait(events, ms)
	if errno != 0 {
		return 0, errno
	}
	for _, ev := range events[:n] {
		levels[ev.Fd] |= Events(ev.Events)
	}
	ready := 0
	for i := range fds {
		f := &fds[i]
		f.revents = 0
		if f.fd >= 0 {
			level := levels[f.fd]
			f.revents = pollResult(level, f.events) | int16(level&pollNval)
		}
		if f.revents != 0 {
			ready++
		}
	}
	return ready, 0
}
