package tap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// transfer is readv(2) or writev(2) (SYS_READV, SYS_WRITEV) on pieces of memory, of which there are some. The list for the
// kernel is used again the next time. The device never blocks, so Go's scheduler need not hear of the call: it costs half
// of it, and where there is one processor another thread would take over in the middle of long ones.
func (d *direction) transfer(call uintptr, fd int) (int, error) {
	d.vector = d.vector[:0]
	for _, p := range d.pieces {
		if len(p) > 0 {
			d.vector = append(d.vector, unix.Iovec{Base: &p[0], Len: uint64(len(p))})
		}
	}
	// Safety: the list and what it points to stay reachable through d during the call.
	n, _, e := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(d.vector))), uintptr(len(d.vector)))
	clear(d.vector) // what it pointed to is the caller's
	clear(d.pieces)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
