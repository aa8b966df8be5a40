package monitor

import (
	"unsafe"

	"ukvm.dev/hypercall"
)

// The pages the monitor shares with a guest are seen as the structures of package hypercall.
//
// Safety, for all of these: the slice is a block of the guest's RAM of at least the structure's size (TestFits in
// package hypercall, and reserve), page-aligned, and mapped as long as the VM exists. The structures hold no pointers.
// The guest may change what it can write at any time the vCPU runs; the vCPU does not run while the monitor looks.

func controlOf(b []byte) *hypercall.Control { return (*hypercall.Control)(unsafe.Pointer(&b[0])) }
func clockOf(b []byte) *hypercall.Clock     { return (*hypercall.Clock)(unsafe.Pointer(&b[0])) }
func regionsOf(b []byte) *hypercall.Regions { return (*hypercall.Regions)(unsafe.Pointer(&b[0])) }
func bootOf(b []byte) *hypercall.Boot       { return (*hypercall.Boot)(unsafe.Pointer(&b[0])) }

// argsOf is the argument block of a call, copied so that it can be checked once.
func argsOf[T any](c *hypercall.Control) T { return *(*T)(unsafe.Pointer(&c.Args)) }

// resultOf is the argument block to store results in.
func resultOf[T any](c *hypercall.Control) *T { return (*T)(unsafe.Pointer(&c.Args)) }

const bootSize = uint64(unsafe.Sizeof(hypercall.Boot{}))

const memoryOpSize = uint64(unsafe.Sizeof(hypercall.MemoryOp{}))

// bytesOf is an operation's memory, to copy the guest's into.
func bytesOf(op *[1]hypercall.MemoryOp) []byte {
	// Safety: the structure holds no pointers, so any bytes make a valid one.
	return unsafe.Slice((*byte)(unsafe.Pointer(op)), memoryOpSize)
}
