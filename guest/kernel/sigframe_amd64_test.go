package kernel

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
)

// TestFramesAgainstLinux takes real signals on the host, with known registers, and compares the frames Linux builds with
// those of this kernel, byte for byte.

// linux is what Linux has shown a handler.
type linuxFrame struct {
	sp, info, context, sig, rax uint64 // registers at the handler's entry
	frame                       [frameSize]byte
}

func (l *linuxFrame) word(off int) uint64 { return *(*uint64)(unsafe.Pointer(&l.frame[off])) }

// signals makes functions that take a signal natively.
type signals struct {
	*code
	seen              *linuxFrame
	handler, restorer uint64
	skip              byte
}

// newSignals makes a handler that copies its frame to seen, and skips an instruction of that length.
func newSignals(t testing.TB, skip byte) *signals {
	s := &signals{code: newCode(t), seen: new(linuxFrame), skip: skip}
	pin := new(runtime.Pinner)
	pin.Pin(s.seen)
	t.Cleanup(pin.Unpin)
	s.handler = s.here()
	s.movabs(rcx, uint64(uintptr(unsafe.Pointer(s.seen))))
	s.emit(0x48, 0x89, 0x21)       // MOV [RCX], RSP
	s.emit(0x48, 0x89, 0x71, 8)    // MOV [RCX+8], RSI
	s.emit(0x48, 0x89, 0x51, 16)   // MOV [RCX+16], RDX
	s.emit(0x48, 0x89, 0x79, 24)   // MOV [RCX+24], RDI
	s.emit(0x48, 0x89, 0x41, 32)   // MOV [RCX+32], RAX
	s.emit(0x48, 0x8d, 0x79, 40)   // LEA RDI, [RCX+40]
	s.emit(0x48, 0x89, 0xe6, 0xb9) // MOV RSI, RSP; MOV ECX, frameSize
	s.emit(byte(frameSize%256), byte(frameSize/256), 0, 0)
	s.emit(0xf3, 0xa4)                               // REP MOVSB
	s.emit(0x48, 0x83, 0x82)                         // ADDQ [RDX+RIP], skip
	s.emit(ucRegisters+128, 0, 0, 0, skip, 0xc3)     // RET
	s.restorer = s.here()                            //
	s.emit(0xb8, nrRtSigreturn, 0, 0, 0, 0x0f, 0x05) // MOV EAX, 15; SYSCALL
	return s
}

// take runs f while sig has the handler, on this goroutine's thread. No other test runs at that time.
func (s *signals) take(t testing.TB, sig uint64, f func()) {
	t.Helper()
	const flags = 4 | 0x04000000 | saOnStack // SA_SIGINFO, SA_RESTORER
	act, old := [4]uint64{s.handler, flags, s.restorer, 1 << 40}, [4]uint64{}
	swap := func(new, old *[4]uint64) {
		if _, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(new)), uintptr(unsafe.Pointer(old)), 8, 0, 0); e != 0 {
			t.Fatal(e)
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	swap(&act, &old)
	f()
	swap(&old, nil)
	if s.seen.sig != sig {
		t.Fatalf("the host's signal %d was not taken", sig)
	}
}

// fields of a frame that hold for both kernels, as offsets from the return address.
func compareFrames(t *testing.T, l *linuxFrame, sp uint64, leaveOut map[int]string) {
	t.Helper()
	for off := 0; off < frameSize; off += 8 {
		got, want := *word(sp + uint64(off)), l.word(off)
		if off >= atReserved && off < atReserved+64 {
			want = 0 // Linux leaves there what was on the stack
		}
		if leaveOut[off] == "" && got != want {
			t.Errorf("frame + %d (%s): %#x, Linux has %#x", off, frameField(off), got, want)
		}
	}
}

func frameField(off int) string {
	names := []string{"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp",
		"rip", "eflags", "selectors", "err", "trapno", "oldmask", "cr2", "fpstate"}
	const registers, info = 8 + ucRegisters, 8 + ucontextSize
	switch {
	case off >= info:
		return fmt.Sprintf("siginfo + %d", off-info)
	case off >= registers && off < registers+8*len(names):
		return names[(off-registers)/8]
	}
	return fmt.Sprintf("ucontext + %d", off-8)
}

// Offsets in a frame.
const (
	atReturn   = 0
	atFlags    = 8
	atStack    = 8 + ucStack
	atErr      = 8 + ucRegisters + 152
	atTrap     = 8 + ucRegisters + 160
	atCR2      = 8 + ucRegisters + 176
	atFPState  = 8 + ucRegisters + 184
	atReserved = 8 + ucRegisters + 192
	atPID      = 8 + ucontextSize + siAddr
	vectorGone = "Linux's uc_flags and fpstate tell of the vector state, which is not in our frames"
	ownStack   = "each kernel shows the stack it was given"
	lastFault  = "Linux shows the thread's last fault"
	processIDs = "different processes"
)

// fill gives all registers that a call leaves alone values of their own.
func fill(r *rand.Rand, f *hypercall.Frame) {
	*f = hypercall.Frame{RBX: r.Uint64(), RBP: r.Uint64(), R8: r.Uint64(), R9: r.Uint64(), R10: r.Uint64(), R12: r.Uint64(),
		R13: r.Uint64(), R14: r.Uint64(), R15: r.Uint64()}
}

func TestFrameOfTgkill(t *testing.T) {
	boots(t)
	s := newSignals(t, 0)
	after := uint64(0)
	call := s.withRegisters(func() { s.emit(0x0f, 0x05); after = s.here() })
	var regs, in hypercall.Frame
	fill(random(5), &regs)
	mask := [1]uint64{}
	s.take(t, uint64(unix.SIGUSR2), func() {
		unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, 0, 0, uintptr(unsafe.Pointer(&mask)), 8, 0, 0)
		regs.RAX, regs.RDI, regs.RSI, regs.RDX = nrTgkill, uint64(unix.Getpid()), uint64(unix.Gettid()), uint64(unix.SIGUSR2)
		in = regs
		call(&regs)
	})
	in.RSP = regs.RSP
	if regs.RAX != 0 || regs.RBX != in.RBX || regs.R15 != in.R15 || regs.RSP != in.RSP {
		t.Fatalf("the host's thread has gone astray: %+v", regs)
	}

	// The same call here.
	handle(t, uint64(unix.SIGUSR2))
	actions[unix.SIGUSR2].restorer = s.restorer
	th := &threads[1]
	th.mask = mask[0]
	th.frame = in
	th.frame.RDI, th.frame.RSI, th.frame.RCX = processID, 1, after
	dispatch(th)
	f := &th.frame
	compareFrames(t, s.seen, f.RSP, map[int]string{
		atFlags: vectorGone, atFPState: vectorGone, atStack: ownStack, atStack + 8: ownStack, atStack + 16: ownStack,
		atErr: lastFault, atTrap: lastFault, atCR2: lastFault, atPID: processIDs,
		8 + ucRegisters + 64: processIDs, 8 + ucRegisters + 72: processIDs, // arguments of the call
	})
	if pid, uid := *word(f.RSP + atPID)&0xffffffff, *word(f.RSP + atPID)>>32; pid != processID || uid != 0 {
		t.Errorf("sent by process %d of user %d", pid, uid)
	}
	if l := s.seen.word(atPID); l != uint64(unix.Getpid())|uint64(unix.Getuid())<<32 {
		t.Errorf("Linux says it was sent by %#x", l)
	}
	// Arguments of the handler.
	l := s.seen
	if f.RDI != l.sig || f.RSI-f.RSP != l.info-l.sp || f.RDX-f.RSP != l.context-l.sp || f.RAX != l.rax || f.RSP%16 != l.sp%16 {
		t.Errorf("the handler begins with %#x %#x %#x %#x on %#x, Linux's with %#x %#x %#x %#x on %#x", f.RDI, f.RSI, f.RDX, f.RAX, f.RSP, l.sig, l.info, l.context, l.rax, l.sp)
	}

	// A frame of Linux's, given back to this kernel, makes the thread what it was.
	for off := 0; off < frameSize; off += 8 {
		*word(f.RSP + uint64(off)) = l.word(off)
	}
	sigreturn()
	regs.RIP, regs.RFLAGS = after, l.word(8+ucRegisters+136)
	if *f != regs {
		t.Errorf("after rt_sigreturn\n%+v, Linux has\n%+v", *f, regs)
	}
	if th.mask != mask[0] {
		t.Errorf("mask %#x, was %#x", th.mask, mask[0])
	}
}

// TestFramesOfFaults does what traps, natively, and gives the same exceptions to this kernel.
func TestFramesOfFaults(t *testing.T) {
	boots(t)
	hole, err := unix.Mmap(-1, 0, pageSize, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(hole)
	closed := uint64(uintptr(unsafe.Pointer(&hole[0])))
	for _, c := range []struct {
		name   string
		sig    unix.Signal
		body   []byte
		skip   byte // the length of body if its last instruction is to be skipped
		rbx    uint64
		vector uint64
		rip    uint64 // of the upcall, relative to the instruction
	}{
		{"page, not mapped", unix.SIGSEGV, []byte{0x48, 0x8b, 0x03}, 3, 0x1008, vectorPage, 0},
		{"page, no access", unix.SIGSEGV, []byte{0x48, 0x8b, 0x03}, 3, closed + 16, vectorPage, 0},
		{"write, no access", unix.SIGSEGV, []byte{0x48, 0x89, 0x03}, 3, closed + 24, vectorPage, 0},
		{"non-canonical address", unix.SIGSEGV, []byte{0x48, 0x8b, 0x03}, 3, 1 << 60, vectorProtection, 0},
		{"privileged instruction", unix.SIGSEGV, []byte{0xf4}, 1, 0, vectorProtection, 0},
		{"invalid opcode", unix.SIGILL, []byte{0x0f, 0x0b}, 2, 0, vectorInvalid, 0},
		{"division by zero", unix.SIGFPE, []byte{0x48, 0xf7, 0xf3}, 3, 0, vectorDivide, 0},
		{"int3", unix.SIGTRAP, []byte{0xcc}, 0, 0, vectorBreakpoint, 1},
		{"int $3", unix.SIGTRAP, []byte{0xcd, 3}, 0, 0, vectorBreakpoint, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			boots(t)
			insert(closed, closed+pageSize, protNone, true)
			s := newSignals(t, c.skip)
			at := uint64(0)
			call := s.withRegisters(func() { at = s.here(); s.emit(c.body...) })
			var regs hypercall.Frame
			fill(random(6), &regs)
			regs.RAX, regs.RCX, regs.RDX, regs.RBX = 7, 8, 1, c.rbx // RDX:RAX is divided
			in := regs
			mask := [1]uint64{}
			s.take(t, uint64(c.sig), func() {
				unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, 0, 0, uintptr(unsafe.Pointer(&mask)), 8, 0, 0)
				call(&regs)
			})
			handle(t, uint64(c.sig))
			actions[c.sig].restorer = s.restorer
			th := &threads[1]
			th.mask = mask[0]
			th.frame = in
			th.frame.RIP, th.frame.RSP, th.frame.RFLAGS = at+c.rip, regs.RSP, s.seen.word(8+ucRegisters+136)
			th.frame.R11 = s.seen.word(8 + ucRegisters + 24)
			err, address := s.seen.word(atErr), uint64(0)
			if c.vector == vectorPage {
				address = c.rbx
			}
			fault(c.vector, err, address)
			out := map[int]string{
				atFlags: vectorGone, atFPState: vectorGone, atStack: ownStack, atStack + 8: ownStack, atStack + 16: ownStack,
			}
			if c.vector != vectorPage {
				out[atCR2] = lastFault
			}
			compareFrames(t, s.seen, th.frame.RSP, out)
		})
	}
}
