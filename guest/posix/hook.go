package posix

import (
	"unsafe"

	"ukvm.dev/guest/kernel"
)

// hook is kernel.Hook.
func hook(trap, a1, a2, a3, a4, a5, a6 uintptr, p1, p2, p3, p4, p5, p6 unsafe.Pointer) (r1, errno uintptr, ok bool) {
	if ending.Load() {
		select {}
	}
	return system.call(trap, args{a1, a2, a3, a4, a5, a6, p1, p2, p3, p4, p5, p6})
}

// call serves one system call. ok is false if the gate should.
func (s *System) call(trap uintptr, a args) (r1, errno uintptr, ok bool) {
	if trap >= uintptr(len(calls)) || calls[trap].serve == nil {
		return 0, 0, false
	}
	r, e := calls[trap].serve(s, a)
	if e == toGate {
		return 0, 0, false
	}
	return r, uintptr(e), true
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
