#include "go_asm.h"
#include "textflag.h"

// Functions that the kernel's Go code calls through function values, in the compiler's internal calling convention
// (arguments in RAX, RBX, …; result in RAX; R14 and RBP kept), and their closures, which Start puts into those values.
// NOSPLIT because they use no stack.

DATA	·outClosure+0(SB)/8, $·out32(SB)
GLOBL	·outClosure(SB), RODATA|NOPTR, $8
DATA	·monotonicClosure+0(SB)/8, $·monotonic(SB)
GLOBL	·monotonicClosure(SB), RODATA|NOPTR, $8
DATA	·cpuidClosure+0(SB)/8, $·cpuid(SB)
GLOBL	·cpuidClosure(SB), RODATA|NOPTR, $8
DATA	·swapClosure+0(SB)/8, $·swap(SB)
GLOBL	·swapClosure(SB), RODATA|NOPTR, $8

// func out32(port, value uint64)
TEXT ·out32(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	AX, DX
	MOVQ	BX, AX
	BYTE	$0xef // OUT DX, EAX
	RET

// func cpuid(leaf, sub uint64) uint64
// EBX in the upper half of the result, EAX in the lower.
TEXT ·cpuid(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	BX, CX
	CPUID
	SHLQ	$32, BX
	MOVL	AX, AX
	ORQ	BX, AX
	RET

// func swap(addr, value uint64) uint64
// Stores value at addr and returns what was there, atomically.
TEXT ·swap(SB),NOSPLIT|NOFRAME,$0-0
	XCHGQ	BX, 0(AX)
	MOVQ	BX, AX
	RET

// func gateCall()
// CALLs to here go through the gate as a SYSCALL instruction in their place would.
TEXT ·gateCall(SB),NOSPLIT|NOFRAME,$0-0
	POPQ	CX
	JMP	·Gate(SB)
