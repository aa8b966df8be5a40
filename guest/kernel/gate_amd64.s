#include "go_asm.h"
#include "textflag.h"

// The ways into and out of the kernel. Offsets come from the compiler: thread_… and const_… are in go_asm.h. Absolute
// addresses are those of the control page (hypercall.ControlVA), which an instruction reaches without a register.
// NOSPLIT because these go from one stack to another, and neither is theirs.

#define MASK const_controlMask

// WRFSBASE RAX
#define WRFSBASE_AX BYTE $0xf3; BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0xd0
// XSAVE64 and XRSTOR64 (RDI) of the components for which there is room
#define COMPONENTS MOVL ·xsaveMask(SB), AX; XORL DX, DX
#define XSAVE64_DI BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x27
#define XRSTOR64_DI BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x2f

// LOAD loads the registers of the thread in R15, all but R11.
#define LOAD \
	MOVQ	(thread_frame+const_frameRAX)(R15), AX; \
	MOVQ	(thread_frame+const_frameRBX)(R15), BX; \
	MOVQ	(thread_frame+const_frameRCX)(R15), CX; \
	MOVQ	(thread_frame+const_frameRDX)(R15), DX; \
	MOVQ	(thread_frame+const_frameRSI)(R15), SI; \
	MOVQ	(thread_frame+const_frameRDI)(R15), DI; \
	MOVQ	(thread_frame+const_frameRBP)(R15), BP; \
	MOVQ	(thread_frame+const_frameRSP)(R15), SP; \
	MOVQ	(thread_frame+const_frameR8)(R15), R8; \
	MOVQ	(thread_frame+const_frameR9)(R15), R9; \
	MOVQ	(thread_frame+const_frameR10)(R15), R10; \
	MOVQ	(thread_frame+const_frameR12)(R15), R12; \
	MOVQ	(thread_frame+const_frameR13)(R15), R13; \
	MOVQ	(thread_frame+const_frameR14)(R15), R14; \
	MOVQ	(thread_frame+const_frameR15)(R15), R15

GLOBL ·stack(SB), NOPTR, $const_kernelStack
GLOBL ·g(SB), NOPTR, $512

// func Gate()
// What SYSCALL does on Linux, for code that jumps here instead: number in RAX, arguments in RDI, RSI, RDX, R10, R8, R9,
// address to return to in RCX; result in RAX; RCX, R11 and vector registers are lost, all else stays. Called by every
// system call site of the derived standard library, and nothing else.
TEXT ·Gate(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	$1, MASK
	MOVQ	·current(SB), R11
	MOVQ	AX, (thread_frame+const_frameRAX)(R11)
	MOVQ	BX, (thread_frame+const_frameRBX)(R11)
	MOVQ	CX, (thread_frame+const_frameRCX)(R11)
	MOVQ	DX, (thread_frame+const_frameRDX)(R11)
	MOVQ	SI, (thread_frame+const_frameRSI)(R11)
	MOVQ	DI, (thread_frame+const_frameRDI)(R11)
	MOVQ	BP, (thread_frame+const_frameRBP)(R11)
	MOVQ	SP, (thread_frame+const_frameRSP)(R11)
	MOVQ	R8, (thread_frame+const_frameR8)(R11)
	MOVQ	R9, (thread_frame+const_frameR9)(R11)
	MOVQ	R10, (thread_frame+const_frameR10)(R11)
	MOVQ	R12, (thread_frame+const_frameR12)(R11)
	MOVQ	R13, (thread_frame+const_frameR13)(R11)
	MOVQ	R14, (thread_frame+const_frameR14)(R11)
	MOVQ	R15, (thread_frame+const_frameR15)(R11)
	LEAQ	·stack+const_kernelStack(SB), SP
	LEAQ	·g(SB), R14
	XORPS	X15, X15
	CLD
	MOVQ	R11, AX
	MOVQ	·dispatchFunc(SB), DX
	CALL	(DX)
	JMP	·resume(SB)

// func upcallEntry()
// Where the monitor continues the vCPU for an upcall: upcalls masked, RSP at the top of the kernel's stack, RFLAGS 2,
// everything else as it was in the interrupted code, whose registers are in Control.Frame.
TEXT ·upcallEntry(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	·xsaveArea(SB), DI
	COMPONENTS
	XSAVE64_DI
	LEAQ	·g(SB), R14
	XORPS	X15, X15
	MOVQ	·upcallFunc(SB), DX
	CALL	(DX)
	JMP	·resume(SB)

// func resume()
// Continues the thread in RAX.
TEXT ·resume(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	AX, R15
	MOVQ	thread_fs(R15), AX
	CMPQ	AX, ·loadedFS(SB)
	JEQ	loaded
	MOVQ	AX, ·loadedFS(SB)
	WRFSBASE_AX
loaded:
	CMPQ	thread_how(R15), $const_resumeCall
	JNE	all
	XORPS	X15, X15	// the caller may be Go code that keeps zero there
	LOAD
	MOVQ	$0, MASK
	JMP	CX

all:
	CMPQ	thread_how(R15), $const_resumeVector
	JNE	general
	MOVQ	thread_xsave(R15), DI
	COMPONENTS
	XRSTOR64_DI
general:
	MOVQ	(thread_frame+const_frameRIP)(R15), AX
	MOVQ	AX, const_controlResume
	PUSHQ	(thread_frame+const_frameRFLAGS)(R15)
	POPFQ
	MOVQ	(thread_frame+const_frameR11)(R15), R11
	LOAD
	JMP	·tail(SB)

// func tail()
// The end of a return with all registers in place: it clears the mask and jumps through Control.Resume. An upcall that
// hits between the two takes Control.Resume for the interrupted address; boot checks the encoding that this relies on.
TEXT ·tail(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	$0, MASK
	BYTE	$0xff; BYTE $0x24; BYTE $0x25; LONG $const_controlResume // JMP *Control.Resume
