package kernel

import (
	"unsafe"

	"ukvm.dev/hypercall"
)

// The hypercalls, one function each. The argument block is in the control page.

func control() *hypercall.Control {
	addr := controlAddr
	return *(**hypercall.Control)(unsafe.Pointer(&addr))
}

func args() unsafe.Pointer { return unsafe.Pointer(&control().Args) }

func call(n hypercall.Call) { outFunc(hypercall.PortCall+uint64(n), 0) }

// halt ends the guest: the program's exit status, or the signal that ended it.
func halt(status, signal uint64) {
	a := (*hypercall.HaltArgs)(args())
	a.Status, a.Signal = status, signal
	for {
		call(hypercall.CallHalt)
	}
}

// abort ends the guest with a sentence about what the kernel met.
func abort(text string) {
	a := (*hypercall.AbortArgs)(args())
	a.Text, a.Len = hypercall.GVA(uintptr(unsafe.Pointer(unsafe.StringData(text)))), uint64(len(text))
	for {
		call(hypercall.CallAbort)
	}
}

const (
	readySignal  = hypercall.ReadySignal
	readyConsole = hypercall.ReadyConsole
	readyOutput  = hypercall.ReadyOutput
)

// poll sleeps in the monitor until the deadline, a signal, a device or the console, and returns ready bits.
func poll(deadline uint64) uint64 {
	a := (*hypercall.PollArgs)(args())
	a.Deadline = deadline
	call(hypercall.CallPoll)
	return a.Ready
}

// consoleWrite returns the bytes taken and, if those are not all, an errno.
func consoleWrite(stream, addr, n uint64) (taken, errno uint64) {
	a := (*hypercall.ConsoleWriteArgs)(args())
	a.Stream, a.Addr, a.Len = stream, hypercall.GVA(addr), n
	call(hypercall.CallConsoleWrite)
	return a.N, a.Errno
}

// consoleRead returns the bytes stored and whether the input has ended.
func consoleRead(addr, n uint64) (stored uint64, end bool, errno uint64) {
	a := (*hypercall.ConsoleReadArgs)(args())
	a.Addr, a.Len = hypercall.GVA(addr), n
	call(hypercall.CallConsoleRead)
	return a.N, a.End != 0, a.Errno
}

// memory does one operation on present pages; it reports whether there was memory enough.
func memory(op, prot uint32, start, end uint64) bool {
	memoryOp = hypercall.MemoryOp{Op: op, Prot: prot, Start: hypercall.GVA(start), End: hypercall.GVA(end)}
	a := (*hypercall.MemoryArgs)(args())
	a.Ops, a.Count = hypercall.GVA(uintptr(unsafe.Pointer(&memoryOp))), 1
	call(hypercall.CallMemory)
	return a.Done == 1
}

var memoryOp hypercall.MemoryOp

// entropy fills [addr, addr+n), n at most 256, with random bytes of the host.
func entropy(addr, n uint64) {
	a := (*hypercall.EntropyArgs)(args())
	a.Addr, a.Len = hypercall.GVA(addr), n
	call(hypercall.CallEntropy)
}
