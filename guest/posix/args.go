package posix

import (
	"syscall"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

// args are a system call's arguments. a1 to a6 hold integers; p1 to p6 hold those arguments that the table calls
// pointers, in a form that follows the goroutine's stack. Addresses below the first page arrive as nil.
type args struct {
	a1, a2, a3, a4, a5, a6 uintptr
	p1, p2, p3, p4, p5, p6 unsafe.Pointer
}

// handler serves one system call. The result is only valid without an error. toGate as error sends the call on.
type handler func(s *System, a args) (uintptr, syscall.Errno)

// toGate is a handler's answer "not mine": the call concerns a descriptor of package kernel's.
const toGate = ^syscall.Errno(0)

// maxTransfer bounds the bytes of one read or write: MAX_RW_COUNT, INT_MAX rounded down to a page.
const maxTransfer = 0x7ffff000

// fdOf is a descriptor argument: the kernel looks at 32 bits only.
func fdOf(a uintptr) int { return int(int32(a)) }

// memory is n bytes of user memory at p, at most maxTransfer. Errors: EFAULT.
//
// Safety: the slice lives in the caller's frames only (package comment).
func memory(p unsafe.Pointer, n uintptr) ([]byte, syscall.Errno) {
	if n == 0 {
		return nil, 0
	}
	if p == nil {
		return nil, syscall.EFAULT
	}
	return unsafe.Slice((*byte)(p), min(n, maxTransfer)), 0
}

// text copies a NUL-terminated string of the user's, of at most limit bytes with the NUL. Errors: EFAULT, tooLong.
func text(p unsafe.Pointer, limit int, tooLong syscall.Errno) (string, syscall.Errno) {
	if p == nil {
		return "", syscall.EFAULT
	}
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		if n++; n == limit {
			return "", tooLong
		}
	}
	b := make([]byte, n)
	copy(b, unsafe.Slice((*byte)(p), n))
	return unsafe.String(unsafe.SliceData(b), n), 0 // b is not changed any more
}

// pathAt copies a path.
func pathAt(p unsafe.Pointer) (string, syscall.Errno) {
	return text(p, vnode.PathMax, syscall.ENAMETOOLONG)
}

// result is a handler's result for calls that return 0.
func result(errno syscall.Errno) (uintptr, syscall.Errno) { return 0, errno }

// count is a handler's result for calls that return a count.
func count(n int, errno syscall.Errno) (uintptr, syscall.Errno) { return uintptr(n), errno }
