package kernel

// Signals as Go's runtime uses them (signal(7)): handlers with SA_SIGINFO on an alternate stack, masks, and the default
// actions. Signals come from tgkill and kill inside, from the monitor (Control.Signals), from timers and from
// exceptions.

const (
	sigHUP    = 1
	sigINT    = 2
	sigQUIT   = 3
	sigILL    = 4
	sigTRAP   = 5
	sigABRT   = 6
	sigBUS    = 7
	sigFPE    = 8
	sigKILL   = 9
	sigSEGV   = 11
	sigPIPE   = 13
	sigALRM   = 14
	sigCHLD   = 17
	sigCONT   = 18
	sigSTOP   = 19
	sigURG    = 23
	sigPROF   = 27
	sigWINCH  = 28
	siUser    = 0
	siKernel  = 0x80
	siTkill   = 0xfffffffa // -6
	saOnStack = 0x08000000
	saNoDefer = 0x40000000
	saReset   = 0x80000000

	handlerDefault = 0
	handlerIgnore  = 1
)

// action is struct kernel_sigaction.
type action struct{ handler, flags, restorer, mask uint64 }

var actions [maxSignal + 1]action

func bit(sig uint64) uint64 { return 1 << (sig - 1) }

// ignored reports whether a signal that arrives would do nothing.
func ignored(sig uint64) bool {
	switch actions[sig].handler {
	case handlerIgnore:
		return true
	case handlerDefault:
		return sig == sigCHLD || sig == sigURG || sig == sigWINCH || sig == sigCONT
	}
	return false
}

// post sends a signal to a thread, and interrupts its wait if it takes the signal.
func post(i uint32, sig uint64, code uint32) {
	t := &threads[i]
	if sig != sigKILL && ignored(sig) && t.mask&bit(sig) == 0 {
		return
	}
	if sig == sigKILL {
		halt(0, sigKILL)
	}
	t.pending |= bit(sig)
	t.fromThread &^= bit(sig)
	t.fromKernel &^= bit(sig)
	switch code {
	case siTkill:
		t.fromThread |= bit(sig)
	case siKernel:
		t.fromKernel |= bit(sig)
	}
	if t.state != stateWaiting || t.mask&bit(sig) != 0 {
		return
	}
	switch {
	case t.wait == waitWrite && t.done > 0:
		n := t.done
		t.done = 0
		wake(i, n) // what is written cannot be written again
		return
	case t.wait == waitRead, t.wait == waitWrite:
		again(i) // SA_RESTART, which Go always asks for
		return
	}
	wake(i, fail(eINTR))
}

// raise makes the running thread take a signal for what its last instruction did. A program that cannot take it ends.
func raise(sig uint64, code uint32, addr uint64) {
	t := &threads[running]
	if ignored(sig) || actions[sig].handler == handlerDefault || t.mask&bit(sig) != 0 || t.depth != 0 {
		halt(0, sig)
	}
	t.code, t.addr = code, addr
	t.pending |= bit(sig)
}

// postProcess sends a signal to a thread that does not block it, preferably the running one, else the first.
func postProcess(sig uint64) {
	to := uint32(0)
	if running != 0 && threads[running].state == stateRunning && threads[running].mask&bit(sig) == 0 {
		to = running
	}
	for i := uint32(1); i < threadTop && to == 0; i++ {
		if threads[i].state != stateFree && threads[i].mask&bit(sig) == 0 {
			to = i
		}
	}
	if to == 0 {
		to = mainThread
	}
	post(to, sig, siUser)
}

// takeSignals posts what the monitor has sent.
func takeSignals() {
	c := control()
	if c.Signals == 0 {
		return
	}
	s := swapFunc(controlAddr+uint64(controlSignals), 0)
	for sig := uint64(1); s != 0; sig, s = sig+1, s>>1 {
		if s&1 != 0 {
			postProcess(sig)
		}
	}
}

func sysRtSigaction(sig, new, old, size uint64) uint64 {
	if sig == 0 || sig > maxSignal || size != 8 || (new != 0 && (sig == sigKILL || sig == sigSTOP)) {
		return fail(eINVAL)
	}
	if old != 0 && !userRange(old, 32, protWrite) || new != 0 && !userRange(new, 32, protRead) {
		return fail(eFAULT)
	}
	a := &actions[sig]
	was := *a
	if new != 0 {
		*a = action{*word(new), *word(new + 8), *word(new + 16), *word(new + 24)}
	}
	if old != 0 {
		*word(old), *word(old + 8), *word(old + 16), *word(old + 24) = was.handler, was.flags, was.restorer, was.mask
	}
	return 0
}

const unblockable = 1<<(sigKILL-1) | 1<<(sigSTOP-1)

func sysRtSigprocmask(t *thread, how, new, old, size uint64) uint64 {
	if size != 8 {
		return fail(eINVAL)
	}
	if new != 0 && !userRange(new, 8, protRead) || old != 0 && !userRange(old, 8, protWrite) {
		return fail(eFAULT)
	}
	was, set := t.mask, uint64(0)
	if new != 0 {
		set = *word(new)
		switch how {
		case 0:
			t.mask |= set
		case 1:
			t.mask &^= set
		case 2:
			t.mask = set
		default:
			return fail(eINVAL)
		}
		t.mask &^= unblockable
	}
	if old != 0 {
		*word(old) = was
	}
	return 0
}

func sysRtSigpending(t *thread, set, size uint64) uint64 {
	if size != 8 {
		return fail(eINVAL)
	}
	if !userRange(set, 8, protWrite) {
		return fail(eFAULT)
	}
	*word(set) = t.pending & t.mask
	return 0
}

// sysSigaltstack gets and sets where handlers run; struct stack_t is base, flags, size.
func sysSigaltstack(t *thread, new, old uint64) uint64 {
	const onStack, disable = 1, 2
	base, size := t.altBase, t.altSize
	on := t.frame.RSP-base < size
	if new != 0 {
		if on {
			return fail(ePERM)
		}
		if !userRange(new, 24, protRead) {
			return fail(eFAULT)
		}
		t.altBase, t.altSize = *word(new), *word(new + 16)
		if *word32(new + 8)&disable != 0 {
			t.altBase, t.altSize = 0, 0
		}
	}
	if old != 0 {
		if !userRange(old, 24, protWrite) {
			return fail(eFAULT)
		}
		flags := uint64(0)
		switch {
		case size == 0:
			flags = disable
		case on:
			flags = onStack
		}
		*word(old), *word(old + 8), *word(old + 16) = base, flags, size
	}
	return 0
}

func sysTgkill(tid, sig uint64) uint64 {
	if int32(tid) <= 0 {
		return fail(eINVAL)
	}
	i := findThread(tid)
	if i == 0 {
		return fail(eSRCH)
	}
	if sig > maxSignal {
		return fail(eINVAL)
	}
	if sig != 0 {
		post(i, sig, siTkill)
	}
	return 0
}

func sysKill(pid, sig uint64) uint64 {
	if int64(pid) > 1 || int64(pid) < -1 {
		return fail(eSRCH)
	}
	if sig > maxSignal {
		return fail(eINVAL)
	}
	if sig != 0 {
		postProcess(sig)
	}
	return 0
}
