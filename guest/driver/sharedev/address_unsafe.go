package sharedev

import (
	"unsafe"

	"ukvm.dev/hypercall"
)

// addressOf is what a descriptor says of b's memory. The slot that owns it lives as long as the device, and Go's collector does
// not move what is in the heap.
func addressOf(b []byte) hypercall.GVA {
	// Safety: the address goes to the monitor only, as a number.
	return hypercall.GVA(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}
