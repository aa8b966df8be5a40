#include "textflag.h"

// func load(addr uintptr) byte
TEXT ·load(SB),NOSPLIT,$0-9
	MOVQ	addr+0(FP), AX
	MOVB	(AX), AX
	MOVB	AX, ret+8(FP)
	RET

// func store(addr uintptr)
TEXT ·store(SB),NOSPLIT,$0-8
	MOVQ	addr+0(FP), AX
	MOVB	$0, (AX)
	RET

// func jump(addr uintptr)
// As a call, so that a return address says where it came from.
TEXT ·jump(SB),NOSPLIT,$8-8
	MOVQ	addr+0(FP), AX
	CALL	AX
	RET

// func textAddress() uintptr
TEXT ·textAddress(SB),NOSPLIT,$0-8
	LEAQ	·load(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
