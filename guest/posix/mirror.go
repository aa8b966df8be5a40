package posix

import (
	"syscall"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

// memory is the memory of a mapping.
//
// Safety: it is mapped, outside Go's heap, until the mapping is taken out of the list, under the same lock.
func (m *mapping) memory() []byte {
	at := m.start
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), m.end-m.start)
}

// file is what the mapping shows.
func (m *mapping) file() vnode.File { return m.d.object.(*regular).File }

// collectFrom gives a mirror's file what the program has written to the mirror. Errors are those of reading and writing the file.
func (s *System) collectFrom(m *mapping) syscall.Errno {
	if m.shown != nil || m.prot&syscall.PROT_WRITE == 0 {
		return 0
	}
	return s.collectPart(m, 0, int64(m.end-m.start))
}

// collectPart is collectFrom for bytes from to to of a mirror. Other mirrors learn of them.
func (s *System) collectPart(m *mapping, from, to int64) (errno syscall.Errno) {
	file := m.file()
	to = min(to, file.Attr().Size-m.off)
	mem := m.memory()
	buf := make([]byte, max(0, min(to-from, copyChunk)))
	for from < to {
		b := buf[:min(int64(len(buf)), to-from)]
		n, e := file.ReadAt(b, m.off+from)
		if e != 0 {
			return e
		}
		if n == 0 {
			break
		}
		now := mem[from : from+int64(n)]
		for at := 0; at < n; at += pageSize {
			end := min(at+pageSize, n)
			first, last := difference(now[at:end], b[at:end])
			if first == last {
				continue
			}
			changed, off := now[at+first:at+last], m.off+from+int64(at+first)
			if _, e := file.WriteAt(changed, off); e != 0 {
				errno = e
				continue
			}
			s.spread(file, changed, off)
		}
		from += int64(n)
	}
	return errno
}

// difference is where two slices of one length differ: between first and last; the same number if they do not.
func difference(a, b []byte) (first, last int) {
	if string(a) == string(b) { // without a copy
		return 0, 0
	}
	for a[first] == b[first] {
		first++
	}
	for last = len(a); a[last-1] == b[last-1]; last-- {
	}
	return first, last
}

// collect gives files what the program has written to mirrors in [start, end); s.maps.mu is held.
func (s *System) collect(start, end uintptr) (errno syscall.Errno) {
	for _, m := range s.maps.overlapping(start, end) {
		if e := s.collectFrom(m); errno == 0 {
			errno = e
		}
	}
	return errno
}

// collectAll is collect for all mirrors, or those of one file.
func (s *System) collectAll(of vnode.File) (errno syscall.Errno) {
	if s.maps.mirrors.Load() == 0 {
		return 0
	}
	s.maps.mu.Lock()
	defer s.maps.mu.Unlock()
	for _, m := range s.maps.list {
		if of != nil && m.file() != of {
			continue
		}
		if e := s.collectFrom(m); errno == 0 {
			errno = e
		}
	}
	return errno
}

// collectFile gives bytes off to end of a file what the program has written to mirrors of them; s.maps.mu is held.
func (s *System) collectFile(file vnode.File, off, end int64) (errno syscall.Errno) {
	s.eachMirror(file, off, end, func(m *mapping, from, to int64) {
		if m.prot&syscall.PROT_WRITE == 0 {
			return
		}
		if e := s.collectPart(m, from, to); errno == 0 {
			errno = e
		}
	})
	return errno
}

// reload gives mirrors of bytes off to end of a file what is there now; s.maps.mu is held.
func (s *System) reload(file vnode.File, off, end int64) {
	s.eachMirror(file, off, end, func(m *mapping, from, to int64) {
		s.edit(m, from, to, func(mem []byte) {
			for at := m.off + from; len(mem) > 0; {
				n, errno := file.ReadAt(mem, at)
				if errno != 0 || n == 0 {
					clear(mem) // behind the end, or unreadable
					return
				}
				mem, at = mem[n:], at+int64(n)
			}
		})
	})
}

// spread copies what was written at an offset of a file to mirrors; s.maps.mu is held.
func (s *System) spread(file vnode.File, p []byte, off int64) {
	s.eachMirror(file, off, off+int64(len(p)), func(m *mapping, from, to int64) {
		s.edit(m, from, to, func(mem []byte) { copy(mem, p[m.off+from-off:]) })
	})
}

// eachMirror calls f for what mirrors have of bytes off to end of a file: from and to are offsets in the mirror.
func (s *System) eachMirror(file vnode.File, off, end int64, f func(m *mapping, from, to int64)) {
	for _, m := range s.maps.list {
		if m.shown != nil || m.file() != file {
			continue
		}
		if from, to := max(off, m.off), min(end, m.off+int64(m.end-m.start)); from < to {
			f(m, from-m.off, to-m.off)
		}
	}
}

// edit calls f with bytes from to to of a mirror, which the program may not be able to write to.
func (s *System) edit(m *mapping, from, to int64, f func(mem []byte)) {
	const both = syscall.PROT_READ | syscall.PROT_WRITE
	if m.prot&both != both {
		start := m.start + uintptr(from)&^(pageSize-1)
		n := roundPage(m.start+uintptr(to)) - start
		if _, errno := s.gate.Memory(syscall.SYS_MPROTECT, start, n, both, 0); errno != 0 {
			return
		}
		defer s.gate.Memory(syscall.SYS_MPROTECT, start, n, m.prot, 0)
	}
	f(m.memory()[from:to])
}
