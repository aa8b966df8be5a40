// Package kernel stands in for the guest kernel, in programs that run natively: its gate counts, and sends the call on to
// Linux.
package kernel

import (
	"unsafe"

	"ukvm.dev/hypercall"
)

// Hook, Hooked and AtPanic are those of the guest kernel.
var (
	Hook   func(trap, a1, a2, a3, a4, a5, a6 uintptr, p1, p2, p3, p4, p5, p6 unsafe.Pointer) (r1, errno uintptr, ok bool)
	Hooked [512]uint8

	AtPanic func()
)

// Calls is how many system calls have come through the gate.
var Calls uint64

// Answer proves the import.
const Answer = hypercall.Answer

// Enable opens the gate.
func Enable()

// Gate and Start are those of the guest kernel.
func Gate()
func Start()
