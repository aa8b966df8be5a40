#include "textflag.h"

// func call(nr, a, b, c uintptr) uintptr
TEXT ·call(SB),NOSPLIT,$0-40
	MOVQ	nr+0(FP), AX
	MOVQ	a+8(FP), DI
	MOVQ	b+16(FP), SI
	MOVQ	c+24(FP), DX
	SYSCALL
	MOVQ	AX, ret+32(FP)
	RET

// func registersKept() bool
// SYSCALL changes RAX, RCX and R11 and nothing else.
TEXT ·registersKept(SB),NOSPLIT,$0-1
	MOVQ	R14, R9
	MOVQ	$3, BX
	MOVQ	$4, DX
	MOVQ	$5, SI
	MOVQ	$6, DI
	MOVQ	$8, R8
	MOVQ	$10, R10
	MOVQ	$12, R12
	MOVQ	$13, R13
	MOVQ	$15, R15
	MOVQ	$39, AX // getpid
	SYSCALL
	CMPQ	BX, $3
	JNE	lost
	CMPQ	DX, $4
	JNE	lost
	CMPQ	SI, $5
	JNE	lost
	CMPQ	DI, $6
	JNE	lost
	CMPQ	R8, $8
	JNE	lost
	CMPQ	R9, R14
	JNE	lost
	CMPQ	R10, $10
	JNE	lost
	CMPQ	R12, $12
	JNE	lost
	CMPQ	R13, $13
	JNE	lost
	CMPQ	R15, $15
	JNE	lost
	MOVB	$1, ret+0(FP)
	RET
lost:
	MOVB	$0, ret+0(FP)
	RET
