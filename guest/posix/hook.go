package posix

import (
	"syscall"
	"unsafe"

	"ukvm.dev/guest/kernel"
)

// hook is kernel.Hook.
func hook(trap, a1, a2, a3, a4, a5, a6 uintptr, p1, p2, p3, p4, p5, p6 unsafe.Pointer) (r1, errno uintptr, ok bool) {
	if ending.Load() {
		select {}
	}
	switch trap {
	case syscall.SYS_READ: // a server makes these two for each request; the list of arguments costs as much as they do
		return answer(system.readInto(a1, p2, a3))
	case syscall.SYS_WRITE:
		return answer(system.writeFrom(a1, p2, a3))
	}
	return system.call(trap, args{a1, a2, a3, a4, a5, a6, p1, p2, p3, p4, p5, p6})
}

// answer is a handler's result as package kernel has it.
func answer(r uintptr, e syscall.Errno) (r1, errno uintptr, ok bool) {
	if e == toGate {
		return 0, 0, false
	}
	return r, uintptr(e), true
}

// call serves one system call. ok is false if the gate should.
func (s *System) call(trap uintptr, a args) (r1, errno uintptr, ok bool) {
	if trap >= uintptr(len(calls)) || calls[trap].serve == nil {
		return 0, 0, false
	}
	return answer(calls[trap].serve(s, a))
}

// offer fills kernel.Hooked: which calls are offered to hook, and which of their arguments are pointers.
func offer(hooked *[len(kernel.Hooked)]uint8) {
	for n := range calls {
		if calls[n].serve != nil {
			hooked[n] = offered | calls[n].pointers
		}
	}
}

// offered is the bit of kernel.Hooked that says so.
const offered = 0x80
