#include "go_asm.h"
#include "textflag.h"

// Reading the clock. NOSPLIT because these use no stack but the return address: the runtime calls vclock as it calls C.

// MONOTONIC leaves monotonic time in RAX and the sequence number it holds for in R8, which is in R8 already; it uses RDX.
// hypercall.Clock has the formula.
#define MONOTONIC \
	RDTSC; \
	SHLQ	$32, DX; \
	ORQ	DX, AX; \
	XORL	DX, DX; \
	SUBQ	const_clockTSC, AX; \
	CMOVQCS	DX, AX; \
	MULQ	const_clockMult; \
	SHRQ	$32, DX, AX; \
	ADDQ	const_clockMonotonic, AX

// func vclock(clock int32, ts *timespec) int32
// clock_gettime as a vDSO provides it (C calling convention: EDI, RSI; result in EAX). Only RAX, RCX, RDX, R8 and R11
// change. The runtime calls it through runtime.vdsoClockgettimeSym; others than CLOCK_REALTIME (0) and CLOCK_MONOTONIC
// (1) go through the gate.
TEXT ·vclock(SB),NOSPLIT|NOFRAME,$0-0
	CMPL	DI, $1
	JHI	other
	TESTL	DI, DI
	// LFENCE keeps RDTSC from running ahead of what comes before it. It costs half of all this, and CLOCK_REALTIME
	// does without: its readings may be some ns early, but stay in order, since time.Now, which makes them, reads
	// CLOCK_MONOTONIC next.
	JNE	fenced
retry:
	MOVQ	const_clockSeq, R8
	MONOTONIC
	ADDQ	const_clockRealtimeOffset, AX
	TESTQ	$1, R8
	JNE	retry
	CMPQ	R8, const_clockSeq
	JNE	retry
	JMP	split
fenced:
	MOVQ	const_clockSeq, R8
	LFENCE
	MONOTONIC
	TESTQ	$1, R8
	JNE	fenced
	CMPQ	R8, const_clockSeq
	JNE	fenced
split:
	// Seconds are ns / 1e9 = (ns>>9) * magic >> 75, exact for all 64-bit values; DIVQ would take a third of the time
	// that all of this does.
	MOVQ	AX, CX
	SHRQ	$9, AX
	MOVQ	$0x44b82fa09b5a53, DX
	MULQ	DX
	SHRQ	$11, DX
	MOVQ	DX, 0(SI)
	IMULQ	$1000000000, DX
	SUBQ	DX, CX
	MOVQ	CX, 8(SI)
	XORL	AX, AX
	RET
other:
	MOVL	$const_nrClockGettime, AX
	CALL	·gateCall(SB)
	RET

// func monotonic() uint64
// Monotonic time in ns. Internal calling convention (result in RAX); called through nowFunc only.
TEXT ·monotonic(SB),NOSPLIT|NOFRAME,$0-0
again:
	MOVQ	const_clockSeq, R8
	LFENCE
	MONOTONIC
	TESTQ	$1, R8
	JNE	again
	CMPQ	R8, const_clockSeq
	JNE	again
	RET
