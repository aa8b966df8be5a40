//go:build ukvm

package posix

import (
	"math/bits"
	"syscall"
	"unsafe"

	"ukvm.dev/guest/kernel"
	"ukvm.dev/hypercall"
)

//go:linkname prepare ukvm/kernel.Prepare
var prepare = setUp

// setMaxStack sets the largest size a goroutine's stack may have and returns the one before.
//
//go:linkname setMaxStack runtime/debug.setMaxStack
func setMaxStack(n int) int

// limitStacks lets a stack have a quarter of memory, at most Go's default of 1 GB: runaway recursion then ends with
// Go's own report of a stack overflow, which a stack larger than memory would never come to. A quarter, because a
// stack that grows is copied to one of twice the size, and garbage collection wants room too.
func limitStacks(memory uint64) {
	setMaxStack(int(min(memory/4, 1_000_000_000)))
}

//go:linkname programArgs os.runtime_args
func programArgs() []string

//go:linkname programEnviron syscall.runtime_envs
func programEnviron() []string

// addExitHook has f called when the program ends, whatever its status.
//
//go:linkname addExitHook os.ukvmAddExitHook
func addExitHook(f func())

// rawSyscall6 makes a system call that is not offered to this package.
//
//go:linkname rawSyscall6 syscall.ukvmRawSyscall6
//go:uintptrkeepalive
func rawSyscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, errno syscall.Errno)

// bootArchive is the archive of --copy.
//
// Safety: the monitor maps it read-only at a fixed address outside all Go memory before the guest starts, for good.
func bootArchive() []byte {
	n := kernel.Boot().Archive
	if n == 0 {
		return nil
	}
	addr := uintptr(hypercall.ArchiveVA)
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), n)
}

// counterFrequency is the frequency of the time-stamp counter in Hz, from the clock page.
//
// Safety: the page is mapped read-only at a fixed address, for good.
func counterFrequency() uint64 {
	addr := uintptr(hypercall.ClockVA)
	mult := (*(**hypercall.Clock)(unsafe.Pointer(&addr))).Mult // ns a tick, 32.32
	if mult == 0 {
		return 0
	}
	hz, _ := bits.Div64(1_000_000_000>>32, 1_000_000_000<<32, mult)
	return hz
}
