package posix

import (
	"syscall"
	"time"
	"unsafe"
)

// sysPselect6 is pselect6(2). The signal mask is not applied (sysPpoll).
func sysPselect6(s *System, a args) (uintptr, syscall.Errno) {
	timeout, errno := timeoutAt(a.p5)
	if errno != 0 {
		return 0, errno
	}
	return count(s.selectSets(int(int32(a.a1)), [3]unsafe.Pointer{a.p2, a.p3, a.p4}, timeout))
}

// sysSelect is select(2), which leaves the time that was left in its argument.
func sysSelect(s *System, a args) (uintptr, syscall.Errno) {
	timeout := forever
	if a.p5 != nil {
		t := *(*syscall.Timeval)(a.p5)
		if t.Sec < 0 || t.Usec < 0 {
			return 0, syscall.EINVAL
		}
		timeout = time.Duration(min(t.Sec, 1<<33)*1e9 + t.Usec*1e3)
	}
	start := time.Now()
	n, errno := s.selectSets(int(int32(a.a1)), [3]unsafe.Pointer{a.p2, a.p3, a.p4}, timeout)
	if a.p5 != nil {
		left := max(0, timeout-time.Since(start))
		*(*syscall.Timeval)(a.p5) = syscall.NsecToTimeval(int64(left))
	}
	return uintptr(n), errno
}

// asked are the events of select's three sets: what is polled for, and what counts as ready.
var asked = [3]struct{ poll, ready int16 }{
	{int16(EventIn), int16(EventIn | EventHup | EventErr)},
	{int16(EventOut), int16(EventOut | EventErr)},
	{int16(EventPri), int16(EventPri)},
}

// selectSets polls the descriptors in three sets of n bits, each of which may be nil, and leaves in them those that are
// ready. Errors: EINVAL, EBADF.
func (s *System) selectSets(n int, sets [3]unsafe.Pointer, timeout time.Duration) (int, syscall.Errno) {
	if n < 0 {
		return 0, syscall.EINVAL
	}
	n = min(n, maxDescriptors)
	words := (n + 63) / 64
	var fds []pollfd
	for fd := range n {
		events := int16(0)
		for i, set := range sets {
			if set != nil && unsafe.Slice((*uint64)(set), words)[fd/64]>>(fd%64)&1 != 0 {
				events |= asked[i].poll
			}
		}
		if events != 0 {
			fds = append(fds, pollfd{fd: int32(fd), events: events})
		}
	}
	if _, errno := s.poll(fds, timeout); errno != 0 {
		return 0, errno
	}
	for _, f := range fds {
		if f.revents&pollNval != 0 {
			return 0, syscall.EBADF
		}
	}
	total := 0
	for i, set := range sets {
		if set == nil {
			continue
		}
		bits := unsafe.Slice((*uint64)(set), words)
		for _, f := range fds {
			word, bit := &bits[f.fd/64], uint64(1)<<(f.fd%64)
			if *word&bit == 0 {
				continue
			}
			if f.revents&asked[i].ready != 0 {
				total++
			} else {
				*word &^= bit
			}
		}
	}
	return total, 0
}
