//go:build ukvm

#include "go_asm.h"
#include "textflag.h"

// func Start()
// Entry of a guest, from the image header: RSP points at argc, upcalls are masked, nothing has run yet. It sets up the
// kernel and goes on to Go's own start as if Linux had started the program. NOSPLIT because there is no g yet.
TEXT ·Start(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	SP, R12
	MOVQ	$1, const_controlMask

	// The kernel's g: only the stack bounds count (runtime.g begins stack.lo, stack.hi, stackguard0, stackguard1).
	LEAQ	·stack(SB), AX
	LEAQ	·g(SB), R14
	MOVQ	AX, 0(R14)
	LEAQ	const_kernelStack(AX), SP
	MOVQ	SP, 8(R14)
	ADDQ	$1024, AX
	MOVQ	AX, 16(R14)
	MOVQ	AX, 24(R14)

	LEAQ	·outClosure(SB), AX
	MOVQ	AX, ·outFunc(SB)
	LEAQ	·monotonicClosure(SB), AX
	MOVQ	AX, ·nowFunc(SB)
	LEAQ	·cpuidClosure(SB), AX
	MOVQ	AX, ·cpuidFunc(SB)
	LEAQ	·swapClosure(SB), AX
	MOVQ	AX, ·swapFunc(SB)

	LEAQ	·upcallEntry(SB), AX
	MOVQ	AX, ·entries+entryPoints_upcall(SB)
	MOVQ	SP, ·entries+entryPoints_stack(SB)
	LEAQ	·Gate(SB), AX
	MOVQ	AX, ·entries+entryPoints_gate(SB)
	LEAQ	·tail(SB), AX
	MOVQ	AX, ·entries+entryPoints_tail(SB)

	PUSHQ	R12
	SUBQ	$8, SP
	XORPS	X15, X15
	MOVQ	·bootFunc(SB), DX
	CALL	(DX)
	ADDQ	$8, SP
	POPQ	R12

	LEAQ	·vclock(SB), AX
	MOVQ	AX, runtime·vdsoClockgettimeSym(SB)
	MOVQ	$1, runtime·ukvmgateptr(SB)
	MOVQ	R12, SP
	MOVQ	$0, const_controlMask
	JMP	_rt0_amd64(SB)

// func enter(nr, a, b, c uint64) uint64
// NOSPLIT because its frame is a return address.
TEXT ·enter(SB),NOSPLIT,$0-40
	MOVQ	nr+0(FP), AX
	MOVQ	a+8(FP), DI
	MOVQ	b+16(FP), SI
	MOVQ	c+24(FP), DX
	CALL	·gateCall(SB)
	MOVQ	AX, ret+32(FP)
	RET
