package ring

import (
	"unsafe"

	"ukvm.dev/hypercall"
)

func queueOf(mem []byte) *hypercall.Queue {
	if len(mem) < hypercall.QueueSize {
		panic("BUG: queue memory too small")
	}
	// Safety: mem is page-aligned guest memory that stays mapped as long as the VM; the structure is no larger than
	// QueueSize (TestFits in package hypercall) and holds no pointers.
	return (*hypercall.Queue)(unsafe.Pointer(&mem[0]))
}
