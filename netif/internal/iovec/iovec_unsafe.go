// Package iovec is readv(2) and writev(2) for those who make one call after the other on descriptors that never block: the
// list of pieces is kept, where package unix makes one for each call, and Go's scheduler is not told of the call. That
// costs half of a short one; and where there is one processor, another thread would take over in the middle of a long one.
// A single piece goes without a list, by read(2) and write(2), which saves the kernel as much as the scheduler's part.
package iovec

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Vector lists pieces of memory. The zero Vector is empty. It is not safe for concurrent use.
type Vector []unix.Iovec

// Add appends b, which stays the caller's and must not change its place before the next call.
func (v *Vector) Add(b []byte) {
	if len(b) == 0 {
		return
	}
	// Safety: the pointer is one into b, as long as b is.
	e := unix.Iovec{Base: unsafe.SliceData(b)}
	e.SetLen(len(b))
	*v = append(*v, e)
}

// Read fills the pieces from fd, which is non-blocking, forgets them, and returns the number of bytes.
func (v *Vector) Read(fd int) (int, error) { return v.call(unix.SYS_READ, unix.SYS_READV, fd) }

// Write writes the pieces to fd, which is non-blocking, forgets them, and returns the number of bytes.
func (v *Vector) Write(fd int) (int, error) { return v.call(unix.SYS_WRITE, unix.SYS_WRITEV, fd) }

// call is the system call single for one piece, and several else.
func (v *Vector) call(single, several uintptr, fd int) (int, error) {
	var n uintptr
	var e unix.Errno
	// Safety: the addresses are converted in the calls themselves, and what the list's entries point to is kept alive by
	// them.
	if list := *v; len(list) == 1 {
		n, _, e = unix.RawSyscall(single, uintptr(fd), uintptr(unsafe.Pointer(list[0].Base)), uintptr(list[0].Len))
	} else {
		n, _, e = unix.RawSyscall(several, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(list))), uintptr(len(list)))
	}
	clear(*v)
	*v = (*v)[:0]
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
