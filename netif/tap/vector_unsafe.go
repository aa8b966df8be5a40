package tap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// vector lists the memory for readv(2) or writev(2). It is kept from frame to frame: package unix makes one for each call.
type vector []unix.Iovec

// add appends b.
func (v *vector) add(b []byte) {
	if len(b) == 0 {
		return
	}
	// Safety: the pointer is one into b, as long as b is.
	e := unix.Iovec{Base: unsafe.SliceData(b)}
	e.SetLen(len(b))
	*v = append(*v, e)
}

// call makes the system call and forgets the memory, which is the caller's. The device never blocks, so Go's scheduler need
// not hear of it: where there is one processor, another thread would take over in the middle of a long one.
func (v *vector) call(number uintptr, fd int) (int, error) {
	// Safety: the list's address is converted in the call itself, and what its entries point to is kept alive by them.
	n, _, e := unix.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(*v))), uintptr(len(*v)))
	clear(*v)
	*v = (*v)[:0]
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
