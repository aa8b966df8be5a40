package posix

import (
	"syscall"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

// object is what an open file description refers to. Its attributes are those of fstat(2) and fchmod(2).
//
// read and write never wait: they return EAGAIN, and the caller waits for the readiness. Slices are user memory
// (package comment).
type object interface {
	vnode.Node
	read(d *description, p []byte) (int, syscall.Errno)
	write(d *description, p []byte) (int, syscall.Errno)
	// ready returns the readiness, nil for objects that are always ready and that epoll refuses.
	ready() *readiness
	// close is called when the description's last number is closed and its last call has returned.
	close(d *description)
}

// positioned is an object with offsets: pread(2), pwrite(2).
type positioned interface {
	object
	readAt(p []byte, off int64) (int, syscall.Errno)
	writeAt(p []byte, off int64) (int, syscall.Errno)
}

// seeker is an object that lseek(2) works on. The position is the description's.
type seeker interface {
	object
	seek(d *description, off int64, whence int) (int64, syscall.Errno)
}

// controller is an object with ioctl(2) requests of its own. p is the argument if it is a pointer.
type controller interface {
	object
	ioctl(d *description, request uint32, p unsafe.Pointer) (uintptr, syscall.Errno)
}

// gatherer is an object to which some writes are done whole or not at all; gather says whether n bytes
// from several buffers have to arrive in one piece.
type gatherer interface {
	object
	gather(n int) bool
}
