package hostfs

import (
	"syscall"

	"ukvm.dev/hypercall"
)

// Map has the host's own pages of the file appear. Their times of change are the host's business, and so is what else the attributes
// say: they are looked at anew after a Sync.
func (f *file) Map(off, n int64, write bool) (uintptr, syscall.Errno) {
	q := hypercall.ShareRequest{Offset: off, Size: n}
	if write {
		q.Flags = 1
	}
	r := f.request(hypercall.ShareMap, q)
	if r.Errno != 0 {
		return 0, syscall.Errno(r.Errno)
	}
	if write {
		f.shown.Add(1) // and what was read ahead is of no use any more
		f.ahead.drop()
	}
	return uintptr(r.N), 0
}

// Unmap takes back what Map has returned.
func (f *file) Unmap(addr uintptr, write bool) {
	f.request(hypercall.ShareUnmap, hypercall.ShareRequest{Offset: int64(addr)})
	if write {
		f.shown.Add(-1)
	}
}
