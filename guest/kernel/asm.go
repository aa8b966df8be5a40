package kernel

import (
	"unsafe"

	"ukvm.dev/hypercall"
)

// Offsets for the assembly, which sees them as const_… in go_asm.h.
const (
	frameRAX    = unsafe.Offsetof(hypercall.Frame{}.RAX)
	frameRBX    = unsafe.Offsetof(hypercall.Frame{}.RBX)
	frameRCX    = unsafe.Offsetof(hypercall.Frame{}.RCX)
	frameRDX    = unsafe.Offsetof(hypercall.Frame{}.RDX)
	frameRSI    = unsafe.Offsetof(hypercall.Frame{}.RSI)
	frameRDI    = unsafe.Offsetof(hypercall.Frame{}.RDI)
	frameRBP    = unsafe.Offsetof(hypercall.Frame{}.RBP)
	frameRSP    = unsafe.Offsetof(hypercall.Frame{}.RSP)
	frameR8     = unsafe.Offsetof(hypercall.Frame{}.R8)
	frameR9     = unsafe.Offsetof(hypercall.Frame{}.R9)
	frameR10    = unsafe.Offsetof(hypercall.Frame{}.R10)
	frameR11    = unsafe.Offsetof(hypercall.Frame{}.R11)
	frameR12    = unsafe.Offsetof(hypercall.Frame{}.R12)
	frameR13    = unsafe.Offsetof(hypercall.Frame{}.R13)
	frameR14    = unsafe.Offsetof(hypercall.Frame{}.R14)
	frameR15    = unsafe.Offsetof(hypercall.Frame{}.R15)
	frameRIP    = unsafe.Offsetof(hypercall.Frame{}.RIP)
	frameRFLAGS = unsafe.Offsetof(hypercall.Frame{}.RFLAGS)

	controlSignals = unsafe.Offsetof(hypercall.Control{}.Signals)
	controlReady   = unsafe.Offsetof(hypercall.Control{}.Ready)

	controlMask   = uintptr(hypercall.ControlVA) + unsafe.Offsetof(hypercall.Control{}.Mask)
	controlResume = uintptr(hypercall.ControlVA) + unsafe.Offsetof(hypercall.Control{}.Resume)

	clockSeq            = uintptr(hypercall.ClockVA) + unsafe.Offsetof(hypercall.Clock{}.Seq)
	clockTSC            = uintptr(hypercall.ClockVA) + unsafe.Offsetof(hypercall.Clock{}.TSC)
	clockMult           = uintptr(hypercall.ClockVA) + unsafe.Offsetof(hypercall.Clock{}.Mult)
	clockMonotonic      = uintptr(hypercall.ClockVA) + unsafe.Offsetof(hypercall.Clock{}.Monotonic)
	clockRealtimeOffset = uintptr(hypercall.ClockVA) + unsafe.Offsetof(hypercall.Clock{}.Realtime)
	realtimeInClock     = unsafe.Offsetof(hypercall.Clock{}.Realtime)
)

// Entries for the assembly to call, and assembly for Go to call, each through a function value: that is the compiler's
// internal calling convention on both sides, and the only way that leaves FS alone (package comment). Start sets the
// second group, before any Go code runs.
var (
	dispatchFunc = dispatch
	upcallFunc   = upcall
	bootFunc     = boot

	outFunc   func(port, value uint64)        // out32
	nowFunc   func() uint64                   // monotonic
	cpuidFunc func(leaf, sub uint64) uint64   // cpuid: EBX<<32 | EAX
	swapFunc  func(addr, value uint64) uint64 // swap: XCHG
)

// word, word32 and byteAt give access to memory by address: the program's, as a system call names it, or shared with the
// monitor.
func word(addr uint64) *uint64   { return *(**uint64)(unsafe.Pointer(&addr)) }
func word32(addr uint64) *uint32 { return *(**uint32)(unsafe.Pointer(&addr)) }
func byteAt(addr uint64) *byte   { return *(**byte)(unsafe.Pointer(&addr)) }

func addressOf(p *byte) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }
