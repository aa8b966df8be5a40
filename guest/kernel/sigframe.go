package kernel

// Signal frames as Linux builds them on x86-64 (arch/x86/kernel/signal_64.c, struct rt_sigframe): what Go's handlers
// read and change, and rt_sigreturn takes back. Vector state is not in the frame but stays in the kernel, where
// handlers cannot change it; Go never looks at it.
//
//	return address   the action's restorer     ← RSP at the handler's entry
//	struct ucontext  flags, link, stack, mcontext (23 words), mask
//	struct siginfo   128 bytes
const (
	frameSize = 8 + ucontextSize + siginfoSize

	ucontextSize = 304
	ucStack      = 16 // base, flags, size
	ucRegisters  = 40 // struct sigcontext
	ucMask       = 296
	siginfoSize  = 128
	siCode       = 8
	siAddr       = 16 // or si_pid, si_uid
)

// Selectors Linux shows in a signal frame, where programs may look: user code and stack segment.
const userSelectors = 0x33 | 0x2b<<48

// deliver makes a thread take one of its deliverable signals p: synchronous ones first, then that of a profile, which is
// about where the program was interrupted, while handlers of others, such as Go's preemption, make it go on elsewhere. It
// reports whether the thread's state has changed such that there may be more to do.
func deliver(t *thread, p uint64) bool {
	const synchronous = 1<<(sigSEGV-1) | 1<<(sigBUS-1) | 1<<(sigILL-1) | 1<<(sigTRAP-1) | 1<<(sigFPE-1)
	switch {
	case p&synchronous != 0:
		p &= synchronous
	case p&bit(sigPROF) != 0:
		p = bit(sigPROF)
	}
	if p&synchronous == 0 && t.code != 0 {
		t.code, t.addr = 0, 0
	}
	sig := uint64(1)
	for p&1 == 0 {
		p >>= 1
		sig++
	}
	t.pending &^= bit(sig)
	a := &actions[sig]
	if ignored(sig) {
		return true
	}
	if a.handler == handlerDefault {
		halt(0, sig)
	}
	if t.depth != 0 {
		// A signal inside a handler that did not block it: Go blocks them all. There is one saved vector state, so
		// it waits for the handler's end.
		t.pending |= bit(sig)
		return false
	}
	pushFrame(t, a, sig)
	return true
}

// pushFrame makes a thread continue in a signal handler.
func pushFrame(t *thread, a *action, sig uint64) {
	f := &t.frame
	if t.how == resumeCall { // as SYSCALL leaves them
		f.RIP, f.R11, f.RFLAGS = f.RCX, rflagsUser, rflagsUser
	}
	sp := f.RSP - 128 // the red zone of the System V ABI
	if a.flags&saOnStack != 0 && t.altSize != 0 && f.RSP-t.altBase-1 >= t.altSize {
		sp = t.altBase + t.altSize
	}
	sp = (sp-frameSize)&^15 - 8
	if !userRange(sp, frameSize, protRead|protWrite) {
		halt(0, sigSEGV)
	}
	for i := uint64(0); i < frameSize; i += 8 {
		*word(sp + i) = 0
	}
	*word(sp) = a.restorer
	uc := sp + 8
	info := uc + ucontextSize
	*word(uc + ucStack) = t.altBase
	*word(uc + ucStack + 16) = t.altSize
	saveRegisters(uc+ucRegisters, t)
	*word(uc + ucMask) = t.mask
	*word32(info) = uint32(sig)
	switch {
	case t.code != 0:
		*word32(info + siCode), *word(info + siAddr) = t.code, t.addr
	case t.fromKernel&bit(sig) != 0:
		*word32(info + siCode) = siKernel
	case t.fromThread&bit(sig) != 0:
		*word32(info + siCode), *word(info + siAddr) = siTkill, processID
	default:
		*word32(info + siCode), *word(info + siAddr) = siUser, processID
	}
	t.code, t.addr = 0, 0

	t.mask |= a.mask &^ unblockable
	if a.flags&saNoDefer == 0 {
		t.mask |= bit(sig)
	}
	if a.flags&saReset != 0 {
		a.handler = handlerDefault
	}
	f.RDI, f.RSI, f.RDX, f.RAX = sig, info, uc, 0
	f.RIP, f.RSP, f.RFLAGS = a.handler, sp, rflagsUser
	t.outerHow, t.how, t.depth = t.how, resumeAll, 1
}

// rflagsUser is the flags register of a fresh thread: interrupts on, as every program sees it, and the fixed bit.
const rflagsUser = 0x202

// rflagsMask are the flags a program may set: CF PF AF ZF SF DF OF AC ID.
const rflagsMask = 0x240cd5

// saveRegisters stores the registers of struct sigcontext.
func saveRegisters(m uint64, t *thread) {
	f := &t.frame
	*word(m), *word(m + 8), *word(m + 16), *word(m + 24) = f.R8, f.R9, f.R10, f.R11
	*word(m + 32), *word(m + 40), *word(m + 48), *word(m + 56) = f.R12, f.R13, f.R14, f.R15
	*word(m + 64), *word(m + 72), *word(m + 80), *word(m + 88) = f.RDI, f.RSI, f.RBP, f.RBX
	*word(m + 96), *word(m + 104), *word(m + 112), *word(m + 120) = f.RDX, f.RAX, f.RCX, f.RSP
	*word(m + 128), *word(m + 136), *word(m + 144) = f.RIP, f.RFLAGS, userSelectors
	if t.code != 0 {
		*word(m + 152), *word(m + 160) = control().Error, control().Vector
	}
	*word(m + 168), *word(m + 176) = t.mask, t.addr
}

// sysRtSigreturn ends a handler: the registers in its frame, which it may have changed, become the thread's.
func sysRtSigreturn(t *thread) {
	f := &t.frame
	uc := f.RSP
	if t.depth == 0 || !userRange(uc, ucontextSize, protRead) {
		halt(0, sigSEGV)
	}
	m := uc + ucRegisters
	f.R8, f.R9, f.R10, f.R11 = *word(m), *word(m + 8), *word(m + 16), *word(m + 24)
	f.R12, f.R13, f.R14, f.R15 = *word(m + 32), *word(m + 40), *word(m + 48), *word(m + 56)
	f.RDI, f.RSI, f.RBP, f.RBX = *word(m + 64), *word(m + 72), *word(m + 80), *word(m + 88)
	f.RDX, f.RAX, f.RCX, f.RSP = *word(m + 96), *word(m + 104), *word(m + 112), *word(m + 120)
	f.RIP = *word(m + 128)
	f.RFLAGS = *word(m + 136)&rflagsMask | rflagsUser
	t.mask = *word(uc + ucMask) &^ unblockable
	t.depth = 0
	t.how = resumeAll
	if t.outerHow == resumeVector {
		t.how = resumeVector
		t.xsave = xsaveOf(running, 0)
	}
}
