package kernel

import "testing"

// Where the program's handler and its restorer are, in name.
const (
	handlerAddr  = 0x400100
	restorerAddr = 0x400200
)

// handle sets a handler for a signal as Go's runtime does. The thread has an alternate stack in the upper half of the
// arena.
func handle(t testing.TB, sig uint64) {
	t.Helper()
	const siginfo, restorer, restart = 4, 0x04000000, 0x10000000
	act := put(arenaSize/2-64, handlerAddr, siginfo|restorer|restart|saOnStack, restorerAddr, ^uint64(0))
	if r := sys(nrRtSigaction, sig, act, 0, 8); r != 0 {
		t.Fatalf("sigaction(%d): %d", sig, int64(r))
	}
	stack := put(arenaSize/2-64, arena+arenaSize/2, 0, arenaSize/2)
	if r := sys(nrSigaltstack, stack, 0); r != 0 {
		t.Fatalf("sigaltstack: %d", int64(r))
	}
}

// sigreturn ends a handler: it returns to the restorer, which makes the call.
func sigreturn() {
	threads[running].frame.RSP += 8
	sys(nrRtSigreturn)
}

func TestSigaction(t *testing.T) {
	boots(t)
	for sig := uint64(1); sig <= maxSignal; sig++ {
		want := uint64(0)
		if sig == sigKILL || sig == sigSTOP {
			want = eINVAL
		}
		if got := errno(sys(nrRtSigaction, sig, put(0, 0x400000+sig, sig, 2*sig, 3*sig), 0, 8)); got != want {
			t.Errorf("sigaction(%d): errno %d, want %d", sig, got, want)
		}
	}
	for sig := uint64(1); sig <= maxSignal; sig++ {
		if r := sys(nrRtSigaction, sig, 0, arena+64, 8); r != 0 {
			t.Errorf("sigaction(%d): %d", sig, int64(r))
		}
		got := [4]uint64{*word(arena + 64), *word(arena + 72), *word(arena + 80), *word(arena + 88)}
		want := [4]uint64{0x400000 + sig, sig, 2 * sig, 3 * sig}
		if sig == sigKILL || sig == sigSTOP {
			want = [4]uint64{}
		}
		if got != want {
			t.Errorf("action of %d: %#x, want %#x", sig, got, want)
		}
	}
	// New and old at once, in the same place.
	sys(nrRtSigaction, 5, put(0, 1, 2, 3, 4), arena, 8)
	if *word(arena) != 0x400005 {
		t.Errorf("old action: handler %#x", *word(arena))
	}
}

func TestMask(t *testing.T) {
	boots(t)
	const block, unblock, set = 0, 1, 2
	r := random(2)
	mask := uint64(0)
	for range 1000 {
		how, s := r.Uint64N(3), r.Uint64()
		if r := sys(nrRtSigprocmask, how, put(0, s), arena+8, 8); r != 0 || *word(arena + 8) != mask {
			t.Fatalf("sigprocmask: %d, old mask %#x, want %#x", int64(r), *word(arena + 8), mask)
		}
		switch how {
		case block:
			mask |= s
		case unblock:
			mask &^= s
		case set:
			mask = s
		}
		mask &^= bit(sigKILL) | bit(sigSTOP)
		if sys(nrRtSigprocmask, 99, 0, arena+8, 8); *word(arena + 8) != mask { // how does not count without a set
			t.Fatalf("mask %#x, want %#x", *word(arena + 8), mask)
		}
	}
}

// TestDefaultActions sees what becomes of a program that handles no signals.
func TestDefaultActions(t *testing.T) {
	ignored := map[uint64]bool{sigCHLD: true, sigURG: true, sigWINCH: true, sigCONT: true}
	for sig := uint64(1); sig <= maxSignal; sig++ {
		boots(t)
		send := func() { sys(nrTgkill, processID, 1, sig) }
		if ignored[sig] {
			send()
			if threads[1].pending != 0 {
				t.Errorf("signal %d, ignored by default, is pending", sig)
			}
			continue
		}
		if e := endOf(t, send); e.signal != sig {
			t.Errorf("signal %d ended the program with %+v", sig, e)
		}
	}
	boots(t)
	sys(nrRtSigaction, sigINT, put(0, handlerIgnore, 0, 0, 0), 0, 8)
	sys(nrKill, processID, sigINT)
	if threads[1].pending != 0 {
		t.Error("an ignored signal is pending")
	}
	for _, pid := range []uint64{0, 1, ^uint64(0)} {
		if r := sys(nrKill, pid, 0); r != 0 {
			t.Errorf("kill(%d, 0): %d", int64(pid), int64(r))
		}
	}
}

// TestPendingSignals sees that blocked signals wait, each once, and are taken in order when they are unblocked.
func TestPendingSignals(t *testing.T) {
	boots(t)
	for _, sig := range []uint64{sigHUP, sigINT, sigPIPE} {
		handle(t, sig)
	}
	all := ^uint64(0)
	sys(nrRtSigprocmask, 2, put(0, all), 0, 8)
	for _, sig := range []uint64{sigPIPE, sigHUP, sigINT, sigHUP} {
		sys(nrTgkill, processID, 1, sig)
	}
	sys(nrRtSigpending, arena+8, 8)
	if got, want := *word(arena + 8), bit(sigHUP)|bit(sigINT)|bit(sigPIPE); got != want {
		t.Errorf("pending %#x, want %#x", got, want)
	}
	sys(nrRtSigprocmask, 2, put(0, 0), 0, 8)
	var took []uint64
	for threads[1].depth == 1 {
		took = append(took, threads[1].frame.RDI)
		sigreturn()
	}
	if len(took) != 3 || took[0] != sigHUP || took[1] != sigINT || took[2] != sigPIPE {
		t.Errorf("took %d, want HUP, INT, PIPE", took)
	}
}

// TestProcessSignal sees that a signal to the process goes to a thread that does not block it.
func TestProcessSignal(t *testing.T) {
	boots(t)
	handle(t, sigINT)
	i := spawn(t)
	threads[i].altBase, threads[i].altSize = arena+arenaSize/4, arenaSize/4
	threads[1].mask = bit(sigINT)
	sys(nrKill, processID, sigINT)
	if threads[1].pending != 0 || threads[i].pending != bit(sigINT) {
		t.Fatalf("pending: %#x and %#x", threads[1].pending, threads[i].pending)
	}
	sys(nrSchedYield)
	if running != i || threads[i].frame.RIP != handlerAddr || threads[i].frame.RDI != sigINT {
		t.Errorf("thread %d runs at %#x", running, threads[i].frame.RIP)
	}
}

// TestSignalsOfTheMonitor sees that each bit of Control.Signals arrives.
func TestSignalsOfTheMonitor(t *testing.T) {
	for sig := uint64(1); sig <= maxSignal; sig++ {
		boots(t)
		if sig != sigKILL && sig != sigSTOP {
			handle(t, sig)
		}
		control().Signals = bit(sig)
		threads[1].frame.RSP = arena + arenaSize/4
		if sig == sigKILL || sig == sigSTOP {
			if e := endOf(t, interrupt); e.signal != sig {
				t.Errorf("signal %d: %+v", sig, e)
			}
			continue
		}
		interrupt()
		f := &threads[1].frame
		if f.RIP != handlerAddr || f.RDI != sig || control().Signals != 0 {
			t.Errorf("signal %d: at %#x with %d", sig, f.RIP, f.RDI)
		}
		if got := *word32(f.RSI + siCode); got != siUser {
			t.Errorf("signal %d: si_code %d", sig, int32(got))
		}
	}
}

// TestAltstack sees where handlers run.
func TestAltstack(t *testing.T) {
	boots(t)
	handle(t, sigINT)
	take := func() uint64 {
		sys(nrTgkill, processID, 1, sigINT)
		sp := threads[1].frame.RSP
		if sp%16 != 8 {
			t.Errorf("stack pointer %#x at the handler's entry", sp)
		}
		return sp
	}
	top := arena + arenaSize
	threads[1].frame.RSP = arena + 0x4000
	if sp := take(); sp != (top-frameSize)&^15-8 {
		t.Errorf("alternate stack: at %#x, its end is %#x", sp, top)
	}
	// Within the handler: it may be asked for, and not changed.
	if r := sys(nrSigaltstack, 0, put(0, 9, 9, 9)); r != 0 || *word(arena) != top-arenaSize/2 || *word32(arena + 8) != 1 || *word(arena + 16) != arenaSize/2 {
		t.Errorf("in the handler: %#x, flags %d, %#x", *word(arena), *word32(arena + 8), *word(arena + 16))
	}
	if got := errno(sys(nrSigaltstack, put(0, arena, 0, 0x4000), 0)); got != ePERM {
		t.Errorf("change in the handler: errno %d, want EPERM", got)
	}
	sigreturn()

	// A thread that runs on its alternate stack stays there, below its red zone.
	on := top - 0x1000
	threads[1].frame.RSP = on
	if sp := take(); sp >= on-128 || sp < on-128-frameSize-32 {
		t.Errorf("already on the alternate stack at %#x: frame at %#x", on, sp)
	}
	sigreturn()

	// Without one: below the red zone.
	threads[1].frame.RSP = arena + 0x4000
	sys(nrSigaltstack, put(0, 0, 2, 0), 0)
	if sp := take(); sp >= arena+0x4000-128 || sp < arena+0x4000-128-frameSize-32 {
		t.Errorf("no alternate stack: frame at +%#x", sp-arena)
	}
	sigreturn()

	// A stack that is not there ends the program.
	threads[1].frame.RSP = arena + frameSize
	if e := endOf(t, func() { sys(nrTgkill, processID, 1, sigINT) }); e.signal != sigSEGV {
		t.Errorf("no room for a frame: %+v", e)
	}
}

// TestSecondSignal sees that a signal that a handler does not block waits for its end: there is one saved vector state.
func TestSecondSignal(t *testing.T) {
	boots(t)
	handle(t, sigINT)
	handle(t, sigHUP)
	actions[sigINT].mask = 0
	threads[1].frame.RSP = arena + 0x4000
	sys(nrTgkill, processID, 1, sigINT)
	sys(nrTgkill, processID, 1, sigHUP)
	if threads[1].pending != bit(sigHUP) || threads[1].depth != 1 {
		t.Fatalf("in the first handler: pending %#x, depth %d", threads[1].pending, threads[1].depth)
	}
	sigreturn()
	if f := &threads[1].frame; f.RDI != sigHUP || f.RIP != handlerAddr {
		t.Error("the second signal did not come after the first")
	}
}

// TestBadSigreturn ends the program.
func TestBadSigreturn(t *testing.T) {
	boots(t)
	threads[1].frame.RSP = arena + 0x4000
	if e := endOf(t, func() { sys(nrRtSigreturn) }); e.signal != sigSEGV {
		t.Errorf("without a handler: %+v", e)
	}
	boots(t)
	handle(t, sigINT)
	threads[1].frame.RSP = arena + 0x4000
	sys(nrTgkill, processID, 1, sigINT)
	threads[1].frame.RSP = 0x1000
	if e := endOf(t, func() { sys(nrRtSigreturn) }); e.signal != sigSEGV {
		t.Errorf("with a frame that is not there: %+v", e)
	}
}

// TestSigreturnFlags sees that a changed frame gives a program no flags it may not have, and that it can change its
// registers and mask.
func TestSigreturnFlags(t *testing.T) {
	boots(t)
	handle(t, sigINT)
	threads[1].frame.RSP = arena + 0x4000
	sys(nrTgkill, processID, 1, sigINT)
	uc := threads[1].frame.RDX
	*word(uc + ucRegisters + 136) = ^uint64(0)
	*word(uc + ucRegisters + 128) = 0x400777
	*word(uc + ucMask) = ^uint64(0)
	sigreturn()
	f := &threads[1].frame
	if f.RFLAGS != rflagsMask|rflagsUser || f.RIP != 0x400777 {
		t.Errorf("flags %#x, RIP %#x", f.RFLAGS, f.RIP)
	}
	if threads[1].mask != ^uint64(0)&^unblockable {
		t.Errorf("mask %#x", threads[1].mask)
	}
	const trap, iopl, nested, resume, virtual = 1 << 8, 3 << 12, 1 << 14, 1 << 16, 1<<17 | 1<<19 | 1<<20
	if f.RFLAGS&(trap|iopl|nested|resume|virtual) != 0 {
		t.Errorf("a program can set flags %#x", f.RFLAGS)
	}
}

// TestExceptions sees which signal each exception becomes.
func TestExceptions(t *testing.T) {
	const rip, addr = 0x400500, 0x123456
	for _, e := range []struct {
		name              string
		vector, err       uint64
		cr2               uint64
		sig               uint64
		code              uint32
		wantAddr, wantRIP uint64
	}{
		{"divide", vectorDivide, 0, 0, sigFPE, fpeIntDiv, rip, rip},
		{"debug", vectorDebug, 0, 0, sigTRAP, trapTrace, rip, rip},
		{"breakpoint", vectorBreakpoint, 0, 0, sigTRAP, siKernel, 0, rip},
		{"overflow", vectorOverflow, 0, 0, sigSEGV, siKernel, 0, rip},
		{"bound", vectorBound, 0, 0, sigSEGV, siKernel, 0, rip},
		{"invalid opcode", vectorInvalid, 0, 0, sigILL, illIllOpn, rip, rip},
		{"general protection", vectorProtection, 0, 0, sigSEGV, siKernel, 0, rip},
		{"page, not mapped", vectorPage, 4, addr, sigSEGV, segvMapErr, addr, rip},
		{"page, no access", vectorPage, 7, 0, sigSEGV, segvAccErr, 0, rip},
		{"floating point", vectorFloat, 0, 0, sigFPE, fpeFltInv, rip, rip},
		{"alignment", vectorAlignment, 0, 0, sigBUS, busAdrAln, 0, rip},
		{"SIMD", vectorSIMD, 0, 0, sigFPE, fpeFltInv, rip, rip},
	} {
		t.Run(e.name, func(t *testing.T) {
			boots(t)
			handle(t, e.sig)
			if e.name == "page, no access" {
				e.cr2, e.wantAddr = arena+5, arena+5
			}
			f := &threads[1].frame
			f.RIP, f.RSP, f.RAX, f.RFLAGS = rip, arena+0x4000, 77, 0x10202
			fault(e.vector, e.err, e.cr2)
			if f.RIP != handlerAddr || f.RDI != e.sig {
				t.Fatalf("at %#x with signal %d", f.RIP, f.RDI)
			}
			info, m := f.RSI, f.RDX+ucRegisters
			if got := *word32(info + siCode); got != e.code {
				t.Errorf("si_code %d, want %d", got, e.code)
			}
			if got := *word(info + siAddr); got != e.wantAddr {
				t.Errorf("si_addr %#x, want %#x", got, e.wantAddr)
			}
			if *word(m + 152) != e.err || *word(m + 160) != e.vector || *word(m + 128) != e.wantRIP || *word(m + 104) != 77 {
				t.Errorf("context: error %#x, vector %d, RIP %#x", *word(m + 152), *word(m + 160), *word(m + 128))
			}
			sigreturn()
			if f.RIP != rip || f.RAX != 77 || threads[1].how != resumeVector {
				t.Errorf("after the handler: RIP %#x, RAX %d, how %d", f.RIP, f.RAX, threads[1].how)
			}
		})
		// A program that cannot take it ends: no handler, blocked, in a handler.
		for name, prepare := range map[string]func(){
			"no handler":   func() { actions[e.sig] = action{} },
			"ignored":      func() { actions[e.sig].handler = handlerIgnore },
			"blocked":      func() { threads[1].mask = bit(e.sig) },
			"in a handler": func() { threads[1].depth = 1 },
		} {
			boots(t)
			handle(t, e.sig)
			prepare()
			f := &threads[1].frame
			f.RIP, f.RSP = rip, arena+0x4000
			if end := endOf(t, func() { fault(e.vector, e.err, e.cr2) }); end.signal != e.sig {
				t.Errorf("%s, %s: %+v", e.name, name, end)
			}
		}
	}
}

// TestBreakpointInstruction sees that INT $3 as Go's assembler encodes it is a breakpoint, behind the instruction.
func TestBreakpointInstruction(t *testing.T) {
	for _, vector := range []uint64{vectorInvalid, vectorProtection} {
		boots(t)
		handle(t, sigTRAP)
		protectArena(protRead | protExec)
		*word32(arena + 16) = 0x9003cd
		insert(0x7000_0000, 0x7000_1000, protRead, true)
		f := &threads[1].frame
		f.RIP, f.RSP = arena+16, arena+0x4000
		protectStack := func() {
			cut(arena+0x2000, arena+arenaSize)
			insert(arena+0x2000, arena+arenaSize, protRead|protWrite, true)
		}
		protectStack()
		fault(vector, 0, 0)
		if f.RDI != sigTRAP || *word(f.RDX + ucRegisters + 128) != arena+18 || *word(f.RDX + ucRegisters + 160) != vectorBreakpoint {
			t.Errorf("vector %d: signal %d, RIP +%d", vector, f.RDI, *word(f.RDX + ucRegisters + 128)-arena)
		}
	}
}

// TestStraySyscall serves a SYSCALL instruction that traps.
func TestStraySyscall(t *testing.T) {
	boots(t)
	i := spawn(t)
	protectArena(protRead | protExec)
	*word32(arena) = 0x050f
	f := &threads[1].frame
	f.RIP, f.RAX, f.RFLAGS = arena, nrGettid, 0x202
	fault(vectorInvalid, 0, 0)
	if f.RAX != 1 || f.RIP != arena+2 || f.RCX != arena+2 || f.R11 != 0x202 || running != 1 {
		t.Errorf("gettid: %d, RIP +%d", f.RAX, f.RIP-arena)
	}
	f.RIP, f.RAX = arena, nrSchedYield // one that gives the processor away
	fault(vectorInvalid, 0, 0)
	if running != i || f.RAX != 0 || f.RIP != arena+2 || threads[1].how != resumeVector {
		t.Errorf("sched_yield: thread %d runs", running)
	}
	if control().Log.Upcalls != 2 {
		t.Errorf("%d upcalls", control().Log.Upcalls)
	}
}

// TestUpcallsAreCounted also sees that xsave areas belong to threads and depths.
func TestVectorAreas(t *testing.T) {
	boots(t)
	xsaveBase, xsaveStride = 0x1000, 64
	seen := map[uint64]bool{}
	for i := uint32(0); i < maxThreads; i++ {
		for depth := range uint32(2) {
			a := xsaveOf(i, depth)
			if seen[a] || a < xsaveBase || a+xsaveStride > xsaveBase+2*maxThreads*xsaveStride {
				t.Fatalf("area of thread %d, depth %d: %#x", i, depth, a)
			}
			seen[a] = true
		}
	}
	handle(t, sigINT)
	threads[1].frame.RSP = arena + 0x4000
	sys(nrGettid)
	if xsaveArea != xsaveOf(1, 0) {
		t.Error("the next upcall would not save to the thread's area")
	}
	interrupt()
	if threads[1].xsave != xsaveOf(1, 0) {
		t.Error("the thread would not be given its area back")
	}
	control().Signals = bit(sigINT)
	interrupt()
	if threads[1].depth != 1 || xsaveArea != xsaveOf(1, 1) {
		t.Error("an upcall in the handler would overwrite what was interrupted")
	}
	interrupt() // in the handler
	if threads[1].xsave != xsaveOf(1, 1) {
		t.Error("the handler would not be given its area back")
	}
	sigreturn()
	if threads[1].xsave != xsaveOf(1, 0) || threads[1].how != resumeVector || xsaveArea != xsaveOf(1, 0) {
		t.Error("after the handler the vector state is not that of before")
	}
}

// TestProfileFirst: a profile's signal finds the interrupted code, and not where another signal's handler has sent it.
func TestProfileFirst(t *testing.T) {
	boots(t)
	for _, sig := range []uint64{sigURG, sigPROF} {
		actions[sig] = action{handler: 0x1000 * sig, flags: saOnStack, mask: ^uint64(0)}
	}
	threads[mainThread].altBase, threads[mainThread].altSize = arena+4096, 16384
	post(mainThread, sigURG, siTkill)
	post(mainThread, sigPROF, siKernel)
	threads[mainThread].frame.RIP = 0x401000
	interrupt()
	f := &threads[mainThread].frame
	if f.RIP != 0x1000*sigPROF || f.RDI != sigPROF {
		t.Fatalf("handler at %#x for signal %d, want SIGPROF's", f.RIP, f.RDI)
	}
	if rip := *word(f.RDX + ucRegisters + 128); rip != 0x401000 {
		t.Errorf("it finds %#x interrupted", rip)
	}
	f.RSP += 8 // the handler returns
	sys(nrRtSigreturn)
	if f := &threads[mainThread].frame; f.RDI != sigURG {
		t.Errorf("then signal %d, want SIGURG", f.RDI)
	}
}
