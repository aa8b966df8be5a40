package posix

import (
	"syscall"
	"unsafe"

	"ukvm.dev/guest/kernel"
)

// core is package kernel's side of descriptors: numbers, readiness and flags. The methods are kernel's functions of the
// same names.
type core interface {
	Attach(min int, flags uint) int
	AttachAt(fd int, flags uint) int
	Detach(fd int) int
	SetReady(fd int, set, clear uint32)
	SetFlags(fd int, flags uint) int
	KindOf(fd int) (kind, value int)
}

// gate makes system calls that package kernel serves. Slices are used during the call only.
type gate interface {
	// Read and Write work on descriptors of the kernel's, such as the console.
	Read(fd int, p []byte) (int, syscall.Errno)
	Write(fd int, p []byte) (int, syscall.Errno)
	Close(fd int) syscall.Errno
	Ioctl(fd int, request uint32, p unsafe.Pointer) (uintptr, syscall.Errno)
	// Fcntl takes an integer argument.
	Fcntl(fd, cmd int, arg uintptr) (int, syscall.Errno)
	// Random fills p.
	Random(p []byte)
	// Memory is mmap, mprotect or munmap.
	Memory(trap, addr, n, prot, flags uintptr) (uintptr, syscall.Errno)
	// Limit is getrlimit(2).
	Limit(resource int) syscall.Rlimit
	// Clock is clock_gettime(2), in ns.
	Clock(id int) int64
	// Epoll waits for descriptors of any kind.
	Epoll() (epoll, syscall.Errno)
}

// epoll is an epoll instance of the kernel's (epoll_ctl(2), level-triggered).
type epoll interface {
	Add(fd int, events Events, data int32) syscall.Errno
	// Wait stores the events that hold into buf, after up to ms milliseconds; -1 is for ever.
	Wait(buf []syscall.EpollEvent, ms int) (int, syscall.Errno)
	Close()
}

// kernelCore is the core in a guest.
type kernelCore struct{}

func (kernelCore) Attach(min int, flags uint) int     { return kernel.Attach(min, flags) }
func (kernelCore) AttachAt(fd int, flags uint) int    { return kernel.AttachAt(fd, flags) }
func (kernelCore) Detach(fd int) int                  { return kernel.Detach(fd) }
func (kernelCore) SetReady(fd int, set, clear uint32) { kernel.SetReady(fd, set, clear) }
func (kernelCore) SetFlags(fd int, flags uint) int    { return kernel.SetFlags(fd, flags) }
func (kernelCore) KindOf(fd int) (kind, value int)    { return kernel.KindOf(fd) }

// kernelGate makes the calls in a guest.
//
// Safety: pointers become uintptrs only in the argument list of syscall.Syscall, which keeps their targets alive and,
// in the derived GOROOT, is offered back to the hook, which sends the call on to the gate with stacks as they then are.
type kernelGate struct{}

func (kernelGate) Read(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.Syscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}

func (kernelGate) Write(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.Syscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}

func (kernelGate) Close(fd int) syscall.Errno {
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0)
	return errno
}

func (kernelGate) Ioctl(fd int, request uint32, p unsafe.Pointer) (uintptr, syscall.Errno) {
	r, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(p))
	return r, errno
}

func (kernelGate) Fcntl(fd, cmd int, arg uintptr) (int, syscall.Errno) {
	r, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), uintptr(cmd), arg)
	return int(r), errno
}

func (kernelGate) Random(p []byte) {
	for len(p) > 0 {
		n, _, errno := syscall.RawSyscall(sysGETRANDOM, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0)
		if errno != 0 {
			panic("BUG: the kernel has no random bytes")
		}
		p = p[n:]
	}
}

func (kernelGate) Memory(trap, addr, n, prot, flags uintptr) (uintptr, syscall.Errno) {
	r, _, errno := rawSyscall6(trap, addr, n, prot, flags, ^uintptr(0), 0)
	return r, errno
}

func (kernelGate) Limit(resource int) (l syscall.Rlimit) {
	syscall.RawSyscall(syscall.SYS_GETRLIMIT, uintptr(resource), uintptr(unsafe.Pointer(&l)), 0)
	return l
}

func (kernelGate) Clock(id int) int64 {
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

func (kernelGate) Epoll() (epoll, syscall.Errno) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err.(syscall.Errno)
	}
	return kernelEpoll(fd), 0
}

type kernelEpoll int

func (e kernelEpoll) Add(fd int, events Events, data int32) syscall.Errno {
	ev := syscall.EpollEvent{Events: uint32(events), Fd: data}
	if err := syscall.EpollCtl(int(e), syscall.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return err.(syscall.Errno)
	}
	return 0
}

func (e kernelEpoll) Wait(buf []syscall.EpollEvent, ms int) (int, syscall.Errno) {
	n, err := syscall.EpollWait(int(e), buf, ms)
	if err != nil {
		return 0, err.(syscall.Errno)
	}
	return n, 0
}

func (e kernelEpoll) Close() { syscall.Close(int(e)) }
