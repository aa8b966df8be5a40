#include "textflag.h"

// The address to go on at, in CX, follows a SYSCALL instruction, which has 2 bytes: the gate executes that one.
TEXT ·Gate(SB),NOSPLIT|NOFRAME,$0-0
	LOCK
	INCQ	·Calls(SB)
	SUBQ	$2, CX
	JMP	CX

TEXT ·Start(SB),NOSPLIT|NOFRAME,$0-0
	JMP	_rt0_amd64(SB)

TEXT ·Enable(SB),NOSPLIT,$0-0
	MOVQ	$1, runtime·ukvmgateptr(SB)
	RET
