package posix

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hypercall"
)

// Shared mappings of files (mmap(2), MAP_SHARED) are of two kinds.
//
// A file that can be shown (vnode.Mapper: shared directories) is: its pages are the host's own, and there is nothing to do here but to
// take the mapping back when its last page goes.
//
// Of another one, in memory or on a disk, the mapping is a mirror, memory with a copy. What write(2) and its relatives change is
// copied to the mirrors; what the program writes to a mirror is found when the file is read, synced or unmapped, by comparing. So
// reads and writes through system calls and memory agree, but two mirrors of the same bytes do so only after such a call. A mirror's
// pages behind the end of the file are zero, where Linux has SIGBUS.

// mapping is a stretch of a shared mapping.
type mapping struct {
	start, end uintptr
	off        int64 // of start in the file
	d          *description
	prot       uintptr // what the program may do with it
	shown      *shown  // nil: a mirror
}

// shown is a file's stretch that the file system has made appear.
type shown struct {
	file  vnode.Mapper
	addr  uintptr
	write bool
	left  uintptr // bytes that are still mapped
}

// mappings are all there are, by address.
type mappings struct {
	count   atomic.Int32 // so that nobody looks without need
	mirrors atomic.Int32

	mu   sync.Mutex // held while files are read and written: a mirror and its file change together
	list []*mapping
}

// insert enters a mapping, whose reference to its description it takes over.
func (t *mappings) insert(m *mapping) {
	i, _ := slices.BinarySearchFunc(t.list, m.start, func(m *mapping, at uintptr) int {
		if m.start < at {
			return -1
		}
		return 1
	})
	t.list = slices.Insert(t.list, i, m)
	t.counted(m, 1)
}

func (t *mappings) counted(m *mapping, n int32) {
	t.count.Add(n)
	if m.shown == nil {
		t.mirrors.Add(n)
	}
}

// overlapping are the mappings that have something of [start, end).
func (t *mappings) overlapping(start, end uintptr) []*mapping {
	i := 0
	for i < len(t.list) && t.list[i].end <= start {
		i++
	}
	j := i
	for j < len(t.list) && t.list[j].start < end {
		j++
	}
	return t.list[i:j]
}

// isolate splits mappings so that none has something of [start, end) and something else, and returns those that lie in it.
func (t *mappings) isolate(start, end uintptr) []*mapping {
	for _, at := range [2]uintptr{start, end} {
		for _, m := range t.overlapping(at, at+1) {
			if m.start == at {
				continue
			}
			rest := &mapping{start: at, end: m.end, off: m.off + int64(at-m.start), d: m.d, prot: m.prot, shown: m.shown}
			m.end = at
			m.d.retain()
			t.insert(rest)
		}
	}
	return slices.Clone(t.overlapping(start, end))
}

// unmapShared forgets what is mapped in [start, end), which the program has given up; s.maps.mu is held. The descriptions that
// it returns are to be released without it.
func (s *System) unmapShared(start, end uintptr) (released []*description) {
	for _, m := range s.maps.isolate(start, end) {
		s.maps.list = slices.DeleteFunc(s.maps.list, func(o *mapping) bool { return o == m })
		s.maps.counted(m, -1)
		if h := m.shown; h != nil {
			if h.left -= m.end - m.start; h.left == 0 {
				h.file.Unmap(h.addr, h.write)
			}
		}
		released = append(released, m.d)
	}
	return released
}

// forShown reports whether a range has addresses at which only files can appear.
func forShown(start, n uintptr) bool {
	return start < uintptr(hypercall.FilesEnd) && start+n > uintptr(hypercall.FilesVA)
}

// sysMunmap is munmap(2). Anonymous memory is package kernel's.
func sysMunmap(s *System, a args) (uintptr, syscall.Errno) {
	start, n := a.a1, a.a2
	if s.maps.count.Load() == 0 || start&(pageSize-1) != 0 || n == 0 || start+n < start {
		return 0, toGate
	}
	end := start + roundPage(n)
	s.maps.mu.Lock()
	if len(s.maps.overlapping(start, end)) == 0 {
		s.maps.mu.Unlock()
		return 0, toGate
	}
	s.collect(start, end) // what a file does not take is lost, as on Linux
	_, errno := s.gate.Memory(syscall.SYS_MUNMAP, start, n, 0, 0)
	var released []*description
	if errno == 0 {
		released = s.unmapShared(start, end)
	}
	s.maps.mu.Unlock()
	for _, d := range released {
		d.release()
	}
	return 0, errno
}

// sysMprotect is mprotect(2) where files are mapped. Errors: EACCES to write to a file that is not open for that.
func sysMprotect(s *System, a args) (uintptr, syscall.Errno) {
	start, n, prot := a.a1, a.a2, a.a3
	if s.maps.count.Load() == 0 || start&(pageSize-1) != 0 || start+n < start {
		return 0, toGate
	}
	end := start + roundPage(n)
	s.maps.mu.Lock()
	defer s.maps.mu.Unlock()
	list := s.maps.overlapping(start, end)
	if len(list) == 0 {
		return 0, toGate
	}
	for _, m := range list {
		if prot&syscall.PROT_WRITE != 0 && !m.d.writable() {
			return 0, syscall.EACCES
		}
	}
	if _, errno := s.gate.Memory(syscall.SYS_MPROTECT, start, n, prot, 0); errno != 0 {
		return 0, errno
	}
	for _, m := range s.maps.isolate(start, end) {
		if m.shown == nil && m.prot&syscall.PROT_WRITE != 0 && prot&syscall.PROT_WRITE == 0 {
			s.collectFrom(m) // while somebody still looks
		}
		m.prot = prot
	}
	return 0, 0
}

// sysMadvise is madvise(2): a mirror's memory is not given back.
func sysMadvise(s *System, a args) (uintptr, syscall.Errno) {
	start, n := a.a1, a.a2
	if s.maps.mirrors.Load() == 0 || start&(pageSize-1) != 0 || start+n < start {
		return 0, toGate
	}
	s.maps.mu.Lock()
	defer s.maps.mu.Unlock()
	for _, m := range s.maps.overlapping(start, start+roundPage(n)) {
		if m.shown == nil {
			return 0, 0
		}
	}
	return 0, toGate
}

// sysMsync is msync(2). Errors: EINVAL, ENOMEM if something of the range is not mapped, those of the file system.
func sysMsync(s *System, a args) (uintptr, syscall.Errno) {
	const async, invalidate, sync = 1, 2, 4
	start, n, flags := a.a1, a.a2, a.a3
	if start&(pageSize-1) != 0 || flags&^(async|invalidate|sync) != 0 || flags&(async|sync) == async|sync {
		return 0, syscall.EINVAL
	}
	end := start + roundPage(n)
	if end < start || !s.isMapped(start, end) {
		return 0, syscall.ENOMEM
	}
	if s.maps.count.Load() == 0 {
		return 0, 0
	}
	s.maps.mu.Lock()
	errno := s.collect(start, end)
	var files []*description
	if flags&sync != 0 {
		for _, m := range s.maps.overlapping(start, end) {
			if m.d.writable() && m.d.retain() && !slices.ContainsFunc(files, func(d *description) bool { return d.object == m.d.object }) {
				files = append(files, m.d)
			}
		}
	}
	s.maps.mu.Unlock()
	for _, d := range files {
		if e := d.object.(*regular).File.Sync(); errno == 0 {
			errno = e
		}
		d.release()
	}
	return 0, errno
}

// isMapped reports whether all of [start, end) is mapped.
func (s *System) isMapped(start, end uintptr) bool {
	at := uint64(start)
	for _, r := range s.env.regions() {
		if uint64(r.Start) <= at && at < uint64(r.End) {
			at = uint64(r.End)
		}
	}
	return at >= uint64(end)
}

func roundPage(n uintptr) uintptr { return (n + pageSize - 1) &^ (pageSize - 1) }
